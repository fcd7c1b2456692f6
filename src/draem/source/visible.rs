//! The one rule for what of a change is a defect: what one sees.

use super::Defect;
use ndarray::{Array2, Array3, ArrayView3, Axis, Zip};

/// A change of at most this much, in parts of white, is not marked as a defect:
/// some three times the noise of an image at the networks' size.
pub const VISIBLE: f32 = 0.03;

/// The mask of a changed image and the image with everything else taken back.
///
/// With `m` the largest change of a pixel over the channels, the pixel is a
/// defect where `m > VISIBLE`; elsewhere the good piece's value stands. Lest
/// soft defects end in a step of that height, which no real one has and the
/// network would learn to look for, a weak change is weakened further: by the
/// factor `(m / VISIBLE - 1/2)`, at most 1.
pub fn settle(good: ArrayView3<'_, f32>, mut changed: Array3<f32>) -> Defect {
    let (_, height, width) = good.dim();
    let mut largest = Array2::<f32>::zeros((height, width));
    for (before, after) in good.axis_iter(Axis(0)).zip(changed.axis_iter(Axis(0))) {
        Zip::from(&mut largest)
            .and(&before)
            .and(&after)
            .for_each(|most, &a, &b| *most = most.max((a - b).abs()));
    }
    for (before, mut after) in good.axis_iter(Axis(0)).zip(changed.axis_iter_mut(Axis(0))) {
        Zip::from(&mut after)
            .and(&before)
            .and(&largest)
            .for_each(|after, &before, &most| {
                if most <= VISIBLE {
                    *after = before;
                } else if most < 1.5 * VISIBLE {
                    *after = before + (most / VISIBLE - 0.5) * (*after - before);
                }
            });
    }
    Defect {
        image: changed,
        mask: largest.mapv(|most| most > VISIBLE),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pixel_is_marked_by_its_strongest_channel_and_the_invisible_is_taken_back() {
        let good = Array3::from_elem((2, 1, 3), 0.5);
        let mut changed = good.clone();
        changed[[0, 0, 0]] = 0.52; // not seen
        changed[[0, 0, 1]] = 0.52; // seen in the other channel
        changed[[1, 0, 1]] = 0.7;
        changed[[1, 0, 2]] = 0.5 - 1.2 * VISIBLE; // weakened by 0.7
        let defect = settle(good.view(), changed);
        assert_eq!(defect.mask.as_slice(), Some(&[false, true, true][..]));
        assert_eq!(defect.image[[0, 0, 0]], 0.5);
        assert_eq!(defect.image[[0, 0, 1]], 0.52);
        assert!((defect.image[[1, 0, 2]] - (0.5 - 0.84 * VISIBLE)).abs() < 1e-6);
    }
}
