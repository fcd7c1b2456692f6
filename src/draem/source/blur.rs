//! A region out of focus: smudged print, a film over the surface.

use super::region::{Blob, blend, box_mean, busiest, log_uniform, unit};
use ndarray::{Array2, Array3, ArrayView3, Axis, Zip};
use rand::Rng;

/// The piece with one blurred blob, in all channels.
pub fn blurred(good: ArrayView3<'_, f32>, rng: &mut impl Rng) -> Array3<f32> {
    let (_, height, width) = good.dim();
    let radius = (log_uniform(1.0, 4.0, rng) * unit(height, width)).round() as usize;
    let mut filling = good.to_owned();
    let mut change = Array2::<f32>::zeros((height, width));
    for mut plane in filling.axis_iter_mut(Axis(0)) {
        // Two passes: a triangle, near enough to the disc of a lens.
        let soft = box_mean(box_mean(plane.view(), radius).view(), radius);
        Zip::from(&mut change)
            .and(&plane)
            .and(&soft)
            .for_each(|most, &a, &b| *most = most.max((a - b).abs()));
        plane.assign(&soft);
    }
    let size = log_uniform(0.05, 0.25, rng) * height.min(width) as f32;
    // On plain ground blurring shows nothing.
    let centre = busiest(&change, size.ceil() as usize, rng);
    let blob = Blob::about(centre, size, 0.0..0.6, rng);
    let region = blob.draw((height, width), rng);
    blend(good, &filling, &region, 1.0)
}
