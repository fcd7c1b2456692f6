//! From a grey plane to a picture as a camera would take it: two inks, light
//! that falls unevenly, a lens, contrast, gamma, sensor noise, a cut-out.

use super::plane::Plane;
use rand::Rng;
use std::f32::consts::TAU;

/// `[3, side, side]`, in `0..=1`. About half of the pictures are grey (three
/// equal channels), since inspection cameras mostly are.
pub(super) fn develop(mut plane: Plane, event: &Plane, rng: &mut impl Rng) -> Vec<f32> {
    lens(&mut plane, rng);
    let light = Light::draw(plane.side, rng);
    let tone = Tone::draw(rng);
    let area = plane.values.len();
    let mut picture = if rng.random_bool(0.5) {
        let mut grey = vec![0.0; area];
        for (i, out) in grey.iter_mut().enumerate() {
            *out = tone.of(plane.values[i]) * light.at(i);
        }
        noise(&mut grey, rng);
        grey.repeat(3)
    } else {
        let (dark, bright, tint) = inks(rng);
        let tinted = if rng.random_bool(0.4) { 0.7 } else { 0.0 };
        let mut colour = vec![0.0; 3 * area];
        for c in 0..3 {
            for i in 0..area {
                let v = tone.of(plane.values[i]);
                let ink = dark[c] + (bright[c] - dark[c]) * v;
                let stained = ink + (tint[c] * v - ink) * tinted * event.values[i].abs().min(1.0);
                colour[c * area + i] = stained * light.at(i);
            }
        }
        noise(&mut colour, rng);
        colour
    };
    if rng.random_bool(0.15) {
        cut_out(&mut picture, plane.side, rng);
    }
    for v in &mut picture {
        *v = v.clamp(0.0, 1.0);
    }
    picture
}

/// A lens between sharp and two pixels out of focus.
fn lens(plane: &mut Plane, rng: &mut impl Rng) {
    if rng.random_bool(0.6) {
        plane.soften(rng.random_range(0.02..0.3));
        if rng.random_bool(0.25) {
            plane.soften(0.3);
            plane.soften(rng.random_range(0.1..0.33));
        }
    }
}

/// Contrast about a mean, and gamma.
struct Tone {
    contrast: f32,
    mean: f32,
    gamma: f32,
}

impl Tone {
    fn draw(rng: &mut impl Rng) -> Self {
        Self {
            contrast: rng.random_range(0.25f32..1.0),
            mean: rng.random_range(0.25..0.75),
            gamma: 2f32.powf(rng.random_range(-0.7..0.7)),
        }
    }

    fn of(&self, v: f32) -> f32 {
        // Keeps within 0..=1 where the contrast allows it.
        let mean = self
            .mean
            .clamp(self.contrast / 2.0, 1.0 - self.contrast / 2.0);
        let v = (mean + self.contrast * (v - 0.5)).clamp(0.0, 1.0);
        v.powf(self.gamma)
    }
}

/// A slope of brightness and a hot spot or vignette.
struct Light {
    side: usize,
    slope: (f32, f32),
    centre: (f32, f32),
    bow: f32,
}

impl Light {
    fn draw(side: usize, rng: &mut impl Rng) -> Self {
        let (sin, cos) = rng.random_range(0.0..TAU).sin_cos();
        let steep = rng.random_range(0.0f32..0.5).powi(2) * 4.0 * 0.45;
        Self {
            side,
            slope: (steep * cos, steep * sin),
            centre: (rng.random_range(0.0..1.0), rng.random_range(0.0..1.0)),
            bow: if rng.random_bool(0.4) {
                rng.random_range(-0.7..0.3)
            } else {
                0.0
            },
        }
    }

    fn at(&self, index: usize) -> f32 {
        let x = (index % self.side) as f32 / self.side as f32;
        let y = (index / self.side) as f32 / self.side as f32;
        let (dx, dy) = (x - self.centre.0, y - self.centre.1);
        1.0 + self.slope.0 * (x - 0.5) + self.slope.1 * (y - 0.5) + self.bow * (dx * dx + dy * dy)
    }
}

/// The colours of dark and bright, and of what stains.
fn inks(rng: &mut impl Rng) -> ([f32; 3], [f32; 3], [f32; 3]) {
    let mut colour =
        |low: f32, high: f32| -> [f32; 3] { std::array::from_fn(|_| rng.random_range(low..high)) };
    (colour(0.0, 0.5), colour(0.4, 1.0), colour(0.0, 1.0))
}

/// White noise of a triangular distribution, cheap and near enough a sensor's.
fn noise(values: &mut [f32], rng: &mut impl Rng) {
    if !rng.random_bool(0.7) {
        return;
    }
    let amplitude = rng.random_range(0.0f32..0.35).powi(2);
    for v in values {
        let bits: u32 = rng.random();
        let (a, b) = ((bits & 0xffff) as f32, (bits >> 16) as f32);
        *v += amplitude * (a - b) / 65536.0;
    }
}

/// One upright rectangle of one grey; says nothing about the surface.
fn cut_out(picture: &mut [f32], side: usize, rng: &mut impl Rng) {
    let mut span = || {
        let length = rng.random_range(side / 8..side / 4);
        let start = rng.random_range(0..side - length);
        start..start + length
    };
    let (rows, columns) = (span(), span());
    let value = rng.random_range(0.0..1.0);
    for plane in picture.chunks_exact_mut(side * side) {
        for y in rows.clone() {
            plane[y * side..][columns.clone()].fill(value);
        }
    }
}
