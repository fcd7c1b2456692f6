//! Print that lacks ink, and ink where there should be none.
//!
//! Print is found in the piece itself (`print`); its ground and its ink have
//! the tones that the piece shows around.

use super::print::{self, Print};
use super::region::{Blob, box_mean, dilated, log_uniform, unit};
use ndarray::{Array2, Array3, ArrayView2, ArrayView3, Axis, Zip};
use rand::Rng;
use rand_distr::{Distribution, Normal};
use std::f32::consts::TAU;

/// The piece with a patch or a whole character of its print paler or gone; the
/// ground that shows has the tone and grain of the ground around. `None`
/// without print.
pub fn removed(good: ArrayView3<'_, f32>, rng: &mut impl Rng) -> Option<Array3<f32>> {
    let print = print::find(good)?;
    let (_, height, width) = good.dim();
    let unit = unit(height, width);
    let at = inked_pixel(&print, rng);
    // Ink fades into the ground over a pixel or two.
    let fringe = unit.ceil() as usize + 1;
    let near_ink = dilated(&print.ink, fringe);
    let region = if rng.random_bool(0.3) {
        let character = connected(&print.ink, at);
        dilated(&character, fringe).mapv(|inside| f32::from(u8::from(inside)))
    } else {
        let size = log_uniform(0.015, 0.14, rng) * height.min(width) as f32;
        Blob {
            centre: (at.0 as f32, at.1 as f32),
            half: (size, size * rng.random_range(0.35..1.0f32)),
            ragged: rng.random_range(0.2..0.9),
            soft: rng.random_range(0.0..0.4),
        }
        .draw((height, width), rng)
    };
    let strength = if rng.random_bool(0.5) {
        1.0
    } else {
        rng.random_range(0.3..1.0)
    };
    let bare = Array2::from_shape_fn((height, width), |at| print.ground[at] && !near_ink[at]);
    let mut out = good.to_owned();
    for mut plane in out.axis_iter_mut(Axis(0)) {
        let ground = Ground::around(plane.view(), &bare, (12.0 * unit) as usize);
        for ((y, x), v) in plane.indexed_iter_mut() {
            let weight = strength * region[[y, x]];
            if weight > 0.0 && near_ink[[y, x]] {
                let filling = (ground.tone[[y, x]] + ground.grain.sample(rng)).clamp(0.0, 1.0);
                *v += weight * (filling - *v);
            }
        }
    }
    Some(out)
}

/// The piece with ink beside its print: a blot, specks, or print dragged in one
/// direction. `None` without print.
pub fn spilt(good: ArrayView3<'_, f32>, rng: &mut impl Rng) -> Option<Array3<f32>> {
    let print = print::find(good)?;
    let (_, height, width) = good.dim();
    let opacity = rng.random_range(0.35..1.0f32);
    let weights = match rng.random_range(0..3u8) {
        0 => blots((height, width), &print, 1, (0.02, 0.1), rng),
        1 => {
            let specks = rng.random_range(2..=12);
            blots((height, width), &print, specks, (0.006, 0.025), rng)
        }
        _ => smear(&print, rng),
    };
    let mut out = good.to_owned();
    for mut plane in out.axis_iter_mut(Axis(0)) {
        let mut tones: Vec<f32> = plane
            .iter()
            .zip(&print.ink)
            .filter_map(|(v, ink)| ink.then_some(*v))
            .collect();
        let middle = tones.len() / 2;
        let ink = *tones.select_nth_unstable_by(middle, f32::total_cmp).1;
        Zip::from(&mut plane)
            .and(&weights)
            .for_each(|v, &w| *v += opacity * w * (ink - *v));
    }
    Some(out)
}

/// Blobs near the print, their half axes in parts of the piece's side.
fn blots(
    (height, width): (usize, usize),
    print: &Print,
    count: usize,
    (least, most): (f32, f32),
    rng: &mut impl Rng,
) -> Array2<f32> {
    let side = height.min(width) as f32;
    let mut weights = Array2::<f32>::zeros((height, width));
    for _ in 0..count {
        let (y, x) = inked_pixel(print, rng);
        let (angle, away) = (
            TAU * rng.random::<f32>(),
            rng.random_range(0.0..0.12) * side,
        );
        let size = (log_uniform(least, most, rng) * side).max(0.7);
        let blob = Blob {
            centre: (y as f32 + away * angle.sin(), x as f32 + away * angle.cos()),
            half: (size, size * rng.random_range(0.5..1.0f32)),
            ragged: rng.random_range(0.1..0.7),
            soft: 0.15,
        };
        let blob = blob.draw((height, width), rng);
        Zip::from(&mut weights)
            .and(&blob)
            .for_each(|w, &b| *w = w.max(b));
    }
    weights
}

/// The print of one part of the piece dragged in one direction, paler with
/// distance, in streaks.
fn smear(print: &Print, rng: &mut impl Rng) -> Array2<f32> {
    let (height, width) = print.ink.dim();
    let side = height.min(width) as f32;
    let (sin, cos) = (TAU * rng.random::<f32>()).sin_cos();
    let length = (log_uniform(0.03, 0.15, rng) * side).max(2.0);
    let (cy, cx) = inked_pixel(print, rng);
    let reach = log_uniform(0.06, 0.25, rng) * side;
    let near = Blob {
        centre: (cy as f32, cx as f32),
        half: (reach, reach * rng.random_range(0.5..1.0f32)),
        ragged: 0.4,
        soft: 0.4,
    }
    .draw((height, width), rng);
    let streak = rng.random_range(0.3..1.2f32);
    let phase = TAU * rng.random::<f32>();
    Array2::from_shape_fn((height, width), |(y, x)| {
        let near = near[[y, x]];
        if near == 0.0 {
            return 0.0;
        }
        let steps = length.ceil() as usize;
        let dragged = (1..=steps).fold(0.0f32, |most, step| {
            let back = step as f32;
            let (fy, fx) = (y as f32 - back * sin, x as f32 - back * cos);
            let inside = fy >= 0.0 && fx >= 0.0 && fy < height as f32 && fx < width as f32;
            if inside && print.ink[[fy as usize, fx as usize]] {
                most.max(1.0 - back / (length + 1.0))
            } else {
                most
            }
        });
        let across = x as f32 * sin - y as f32 * cos;
        let streaks = 0.7 + 0.3 * (across * streak + phase).sin();
        near * dragged * streaks
    })
}

/// The tone of the ground at each pixel, as the ground around has it, and its
/// grain.
struct Ground {
    tone: Array2<f32>,
    grain: Normal<f32>,
}

impl Ground {
    fn around(plane: ArrayView2<'_, f32>, bare: &Array2<bool>, radius: usize) -> Self {
        let weights = bare.mapv(|b| f32::from(u8::from(b)));
        let values = &plane * &weights;
        let n = weights.sum().max(1.0);
        let mean = values.sum() / n;
        let mut tone = box_mean(values.view(), radius);
        let share = box_mean(weights.view(), radius);
        Zip::from(&mut tone).and(&share).for_each(|tone, &share| {
            *tone = if share > 1e-4 { *tone / share } else { mean };
        });
        // Grain is what neighbours differ by: the median, so that edges do not
        // count. Of a Gaussian's differences it is 0.6745 sqrt(2) deviations.
        let (height, width) = plane.dim();
        let mut steps = Vec::new();
        for y in 0..height {
            for x in 1..width {
                if bare[[y, x]] && bare[[y, x - 1]] {
                    steps.push((plane[[y, x]] - plane[[y, x - 1]]).abs());
                }
            }
        }
        let middle = steps.len() / 2;
        let deviation = match steps.is_empty() {
            true => 0.0,
            false => *steps.select_nth_unstable_by(middle, f32::total_cmp).1 / 0.954,
        };
        Self {
            tone,
            grain: Normal::new(0.0, deviation).expect("a finite deviation"),
        }
    }
}

/// Row and column of any pixel with ink.
fn inked_pixel(print: &Print, rng: &mut impl Rng) -> (usize, usize) {
    let ink = || print.ink.indexed_iter().filter(|(_, ink)| **ink);
    let chosen = rng.random_range(0..ink().count().max(1));
    ink().nth(chosen).map_or((0, 0), |(at, _)| at)
}

/// The pixels of a mask that hang together with one, sides and corners.
fn connected(mask: &Array2<bool>, start: (usize, usize)) -> Array2<bool> {
    let (height, width) = mask.dim();
    let mut found = Array2::from_elem(mask.dim(), false);
    let mut open = vec![start];
    while let Some((y, x)) = open.pop() {
        if found[[y, x]] || !mask[[y, x]] {
            continue;
        }
        found[[y, x]] = true;
        for ny in y.saturating_sub(1)..(y + 2).min(height) {
            for nx in x.saturating_sub(1)..(x + 2).min(width) {
                open.push((ny, nx));
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Seed;

    /// Bright ground with two dark bars.
    fn printed() -> Array3<f32> {
        Array3::from_shape_fn((3, 64, 64), |(c, y, x)| {
            let ink = (20..26).contains(&y) && (10..50).contains(&x) && x != 30;
            if ink { 0.2 } else { 0.7 + 0.05 * c as f32 }
        })
    }

    #[test]
    fn removal_brightens_ink_and_nothing_else() {
        let good = printed();
        let mut changed = 0;
        for seed in 0..20 {
            let out = removed(good.view(), &mut Seed::new(seed).rng()).unwrap();
            for (v, was) in out.iter().zip(&good) {
                assert!(*v >= was - 1e-6, "{v} {was}");
                changed += usize::from(v > was && *was == 0.2);
                assert!(*v <= 0.8 + 1e-6);
            }
        }
        assert!(changed > 100);
    }

    #[test]
    fn a_spill_darkens_the_ground_to_no_more_than_ink() {
        let good = printed();
        let mut seen = 0;
        for seed in 0..20 {
            let out = spilt(good.view(), &mut Seed::new(seed).rng()).unwrap();
            for (v, was) in out.iter().zip(&good) {
                assert!((0.2 - 1e-6..=was + 1e-6).contains(v), "{v} {was}");
            }
            seen += usize::from(out != good);
        }
        // A small blot may fall on print alone.
        assert!(seen > 10, "{seen}");
    }

    #[test]
    fn without_print_there_is_nothing_to_remove_or_spill() {
        let flat = Array3::from_elem((1, 32, 32), 0.5);
        assert!(removed(flat.view(), &mut Seed::new(1).rng()).is_none());
        assert!(spilt(flat.view(), &mut Seed::new(1).rng()).is_none());
    }
}
