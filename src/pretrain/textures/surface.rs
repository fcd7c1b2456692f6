//! Draws the surfaces of [`family`](super::family): one grey plane each,
//! values in `0..=1`.

use super::family::{CellForm, FractalForm, LatticeForm, MarkForm, Profile, Surface};
use super::noise::{Field, band};
use super::plane::Plane;
use super::print;
use rand::Rng;
use std::f32::consts::{PI, TAU};

/// A turned, shifted and slightly scaled system of coordinates, in pixels of
/// the family's nominal scale.
#[derive(Debug, Clone, Copy)]
struct Frame {
    cos: f32,
    sin: f32,
    x: f32,
    y: f32,
}

impl Frame {
    fn draw(rng: &mut impl Rng) -> Self {
        let angle = rng.random_range(0.0..TAU);
        let scale: f32 = rng.random_range(0.87..1.15);
        Self {
            cos: angle.cos() / scale,
            sin: angle.sin() / scale,
            x: rng.random_range(-500.0..500.0),
            y: rng.random_range(-500.0..500.0),
        }
    }

    fn at(&self, x: f32, y: f32) -> (f32, f32) {
        (
            self.cos * x + self.sin * y + self.x,
            self.cos * y - self.sin * x + self.y,
        )
    }
}

/// Draws one picture of a surface.
pub(super) fn draw(surface: Surface, side: usize, rng: &mut impl Rng) -> Plane {
    match surface {
        Surface::Band { wavelength, spread } => {
            let wavelength = wavelength * rng.random_range(0.9..1.1);
            let direction = rng.random_range(0.0..PI);
            band(side, wavelength, spread, direction, rng).standardise()
        }
        Surface::Fractal {
            wavelength,
            persistence,
            form,
        } => fractal(side, wavelength, persistence, form, rng),
        Surface::Brushed { width, length } => {
            let (frame, field) = (Frame::draw(rng), Field::draw(rng));
            Plane::from_fn(side, |x, y| {
                let (u, v) = frame.at(x, y);
                field.fractal(u / length, v / width, 2, 0.6, |n| n)
            })
            .standardise()
        }
        Surface::Cells { size, form } => cells(side, size, form, rng),
        Surface::Grating { period, profile } => {
            let frame = Frame::draw(rng);
            let duty = rng.random_range(0.35..0.65);
            Plane::from_fn(side, |x, y| {
                let phase = (frame.at(x, y).0 / period).rem_euclid(1.0);
                match profile {
                    Profile::Sine => 0.5 + 0.45 * (phase * TAU).sin(),
                    Profile::Square => 0.1 + 0.8 * plateau(phase, duty, period),
                    Profile::Saw => 0.1 + 0.8 * phase,
                }
            })
        }
        Surface::Lattice { pitch, form } => lattice(side, pitch, form, rng),
        Surface::Marks {
            size,
            density,
            form,
        } => marks(side, size, density, form, rng),
        Surface::Blobs { size, levels } => {
            let (frame, field) = (Frame::draw(rng), Field::draw(rng));
            Plane::from_fn(side, |x, y| {
                let (u, v) = frame.at(x, y);
                field.fractal(u / size, v / size, 2, 0.35, |n| n)
            })
            .standardise()
            .posterise(levels)
        }
        Surface::Scratched { per_side, parallel } => scratched(side, per_side, parallel, rng),
        Surface::Grain { size, share } => grain(side, size, share, rng),
        Surface::Smooth => {
            let (frame, field) = (Frame::draw(rng), Field::draw(rng));
            let amplitude = rng.random_range(0.0..0.6);
            Plane::from_fn(side, |x, y| {
                let (u, v) = frame.at(x, y);
                0.5 + amplitude * field.at(u / 120.0, v / 120.0)
            })
        }
        Surface::Step { soft } => step(side, soft, rng),
        Surface::Panels { count } => panels(side, count, rng),
        Surface::Turned { period } => {
            let (cx, cy) = centre(side, rng);
            let (field, period) = (Field::draw(rng), period * rng.random_range(0.87..1.15));
            Plane::from_fn(side, |x, y| {
                let r = (x - cx).hypot(y - cy) / period;
                0.5 + 0.25 * (r * TAU).sin() + 0.5 * field.at(r, 0.5)
            })
        }
        Surface::Spokes { count } => {
            let (cx, cy) = centre(side, rng);
            let count = (count * rng.random_range(0.7f32..1.4)).round();
            Plane::from_fn(side, |x, y| {
                0.5 + 0.45 * ((y - cy).atan2(x - cx) * count).sin()
            })
        }
        Surface::Printed(kind) => print::draw(kind, side, rng),
    }
    .clamp()
}

impl Plane {
    /// A standardised plane cut into `levels` greys with soft borders.
    fn posterise(mut self, levels: u32) -> Self {
        let steps = (levels - 1) as f32;
        self.map(|v| {
            // Two levels split at the mean, four over two deviations.
            let t = ((v - 0.5) * 1.6 + 0.5).clamp(0.0, 1.0) * steps;
            let (low, fraction) = (t.floor(), t.fract());
            (low + ((fraction - 0.5) * 8.0 + 0.5).clamp(0.0, 1.0)) / steps * 0.7 + 0.15
        });
        self
    }
}

/// 1 over the first `duty` of a period, else 0, with borders a pixel soft.
fn plateau(phase: f32, duty: f32, period: f32) -> f32 {
    let distance = (duty / 2.0 - (phase - 0.5).abs()) * period;
    (distance + 0.5).clamp(0.0, 1.0)
}

fn centre(side: usize, rng: &mut impl Rng) -> (f32, f32) {
    let side = side as f32;
    (
        rng.random_range(-0.5 * side..1.5 * side),
        rng.random_range(-0.5 * side..1.5 * side),
    )
}

fn fractal(
    side: usize,
    wavelength: f32,
    persistence: f32,
    form: FractalForm,
    rng: &mut impl Rng,
) -> Plane {
    let (frame, field, warp) = (Frame::draw(rng), Field::draw(rng), Field::draw(rng));
    let octaves = ((wavelength / 2.5).log2().floor() as u32).clamp(2, 4);
    Plane::from_fn(side, |x, y| {
        let (u, v) = frame.at(x, y);
        let (u, v) = (u / wavelength, v / wavelength);
        match form {
            FractalForm::Plain => field.fractal(u, v, octaves, persistence, |n| n),
            FractalForm::Ridged => field.fractal(u, v, octaves, persistence, |n| {
                (1.0 - 2.5 * n.abs()).powi(3)
            }),
            FractalForm::Billowed => field.fractal(u, v, octaves, persistence, f32::abs),
            FractalForm::Warped => {
                let shift = 2.0 * warp.fractal(u, v, 2, 0.5, |n| n);
                ((u + 1.5 * v + shift) * TAU).sin()
            }
        }
    })
    .standardise()
}

fn cells(side: usize, size: f32, form: CellForm, rng: &mut impl Rng) -> Plane {
    let (frame, field, warp) = (Frame::draw(rng), Field::draw(rng), Field::draw(rng));
    let line = rng.random_range(1.0..2.2) / size;
    Plane::from_fn(side, |x, y| {
        let (mut u, mut v) = frame.at(x, y);
        if form == CellForm::Crazed {
            let shift = 0.5 * size;
            u += shift * warp.at(u / 5.0, v / 5.0);
            v += shift * warp.at(v / 5.0 + 77.0, u / 5.0);
        }
        let cell = field.cell(u / size, v / size);
        match form {
            CellForm::Bump => 1.0 - cell.nearest,
            CellForm::Border => 0.2 + 0.6 * ((cell.second - cell.nearest) / line).min(1.0),
            CellForm::Flat => 0.1 + 0.8 * cell.shade,
            CellForm::Crazed => {
                let gap = ((cell.second - cell.nearest) / line).min(1.0);
                0.1 + (0.5 + 0.2 * cell.shade) * gap
            }
        }
    })
}

fn lattice(side: usize, pitch: f32, form: LatticeForm, rng: &mut impl Rng) -> Plane {
    let (frame, field) = (Frame::draw(rng), Field::draw(rng));
    let share: f32 = rng.random_range(0.25..0.4);
    let line = rng.random_range(1.0f32..1.0 + 0.12 * pitch);
    let ink = |distance: f32| (distance + 0.5).clamp(0.0, 1.0);
    // Distance in pixels from the nearest line of a grid of this pitch.
    let to_line = |t: f32, pitch: f32| ((t / pitch).rem_euclid(1.0) - 0.5).abs() * pitch;
    Plane::from_fn(side, |x, y| {
        let (u, v) = frame.at(x, y);
        let (i, j) = ((u / pitch).floor(), (v / pitch).floor());
        let (du, dv) = (u - (i + 0.5) * pitch, v - (j + 0.5) * pitch);
        match form {
            LatticeForm::Checks => 0.5 + 0.4 * soft_sign(u, pitch) * soft_sign(v, pitch),
            LatticeForm::Weave => {
                // Warp and weft by turns on top, each rounded across.
                let over = (i + j).rem_euclid(2.0) < 0.5;
                let across = if over { du } else { dv };
                (if over { 0.45 } else { 0.3 }) + 0.45 * (across / pitch * PI).cos()
            }
            LatticeForm::Grid => {
                let distance = to_line(u, pitch).min(to_line(v, pitch));
                0.85 - 0.7 * ink(line / 2.0 - distance)
            }
            LatticeForm::Hexagons => {
                // Three waves at 60 degrees.
                let k = TAU / pitch;
                let sum: f32 = [0.0f32, PI / 3.0, 2.0 * PI / 3.0]
                    .iter()
                    .map(|a| (k * (u * a.cos() + v * a.sin())).cos())
                    .sum();
                0.35 + 0.2 * sum
            }
            LatticeForm::Bricks => {
                let shifted = u + if j.rem_euclid(2.0) < 0.5 { pitch } else { 0.0 };
                let distance = to_line(shifted, 2.0 * pitch).min(pitch / 2.0 - dv.abs());
                let tone = 0.12 * field.at((shifted / (2.0 * pitch) + 0.5).floor() + 0.3, j + 0.6);
                0.65 + tone - 0.45 * ink(line / 2.0 - distance)
            }
            LatticeForm::Dots => 0.15 + 0.7 * ink(share * pitch - du.hypot(dv)),
            LatticeForm::Rings => {
                let distance = (du.hypot(dv) - 0.36 * pitch).abs();
                0.2 + 0.65 * ink(0.09 * pitch + 0.2 - distance)
            }
            LatticeForm::Halftone => {
                let tone = 0.5 + field.at(i * pitch / 45.0 + 0.3, j * pitch / 45.0);
                0.9 - 0.8 * ink(0.62 * pitch * tone.clamp(0.05, 1.0).sqrt() - du.hypot(dv))
            }
        }
    })
}

/// +1 and -1 by turns over `pitch`, with borders a pixel soft.
fn soft_sign(t: f32, pitch: f32) -> f32 {
    let s = (t / pitch * PI).sin();
    (s * pitch / PI).clamp(-0.5, 0.5) * 2.0
}

fn marks(side: usize, size: f32, density: f32, form: MarkForm, rng: &mut impl Rng) -> Plane {
    let dark = rng.random_bool(0.5);
    let (ground, ink) = if dark { (0.75, 0.15) } else { (0.25, 0.85) };
    let mut plane = Plane::constant(side, ground);
    let reach = side as f32 + 2.0 * size;
    let count = (density * reach * reach / 1000.0 * rng.random_range(0.75..1.3)).round() as usize;
    let main = rng.random_range(0.0..TAU);
    for _ in 0..count {
        let at = (
            rng.random_range(-size..side as f32 + size),
            rng.random_range(-size..side as f32 + size),
        );
        let size = size * rng.random_range(0.75..1.3);
        let ink = ink + rng.random_range(-0.12..0.12);
        let stroke = |plane: &mut Plane, angle: f32| {
            let (dx, dy) = (angle.cos() * size / 2.0, angle.sin() * size / 2.0);
            plane.stroke(
                (at.0 - dx, at.1 - dy),
                (at.0 + dx, at.1 + dy),
                1.3,
                ink,
                0.9,
            );
        };
        match form {
            MarkForm::Discs => plane.disc(at, size / 2.0 + 0.4, 1.0, ink, 1.0),
            MarkForm::Rings => {
                plane.paint(around(at, size), ink, |x, y| {
                    let d = ((x - at.0).hypot(y - at.1) - size / 2.0).abs();
                    1.3 - d
                });
            }
            MarkForm::Squares => {
                let (sin, cos) = rng.random_range(0.0..TAU).sin_cos();
                plane.paint(around(at, size), ink, |x, y| {
                    let (dx, dy) = (x - at.0, y - at.1);
                    let d = (dx * cos + dy * sin).abs().max((dy * cos - dx * sin).abs());
                    size / 2.0 + 0.5 - d
                });
            }
            MarkForm::Combed => stroke(&mut plane, main + rng.random_range(-0.15..0.15)),
            MarkForm::Tossed => stroke(&mut plane, rng.random_range(0.0..TAU)),
            MarkForm::Crossed => {
                let turn = if rng.random_bool(0.5) { PI / 2.0 } else { 0.0 };
                stroke(&mut plane, main + turn + rng.random_range(-0.08..0.08));
            }
            MarkForm::Fibres => {
                let bend = rng.random_range(-0.25..0.25);
                let (mut angle, mut from) = (rng.random_range(0.0..TAU), at);
                for _ in 0..8 {
                    let step = size / 8.0;
                    let to = (from.0 + step * angle.cos(), from.1 + step * angle.sin());
                    plane.stroke(from, to, 1.2, ink, 0.85);
                    angle += bend + rng.random_range(-0.15..0.15);
                    from = to;
                }
            }
            MarkForm::Pits => {
                let (dx, dy) = (main.cos() * size / 4.0, main.sin() * size / 4.0);
                plane.disc((at.0 - dx, at.1 - dy), size / 2.0, size / 2.0, 0.1, 0.8);
                plane.disc((at.0 + dx, at.1 + dy), size / 2.2, size / 2.0, 0.95, 0.7);
            }
        }
    }
    plane
}

/// The box a mark of this size covers.
fn around(at: (f32, f32), size: f32) -> (f32, f32, f32, f32) {
    (at.0 - size, at.1 - size, at.0 + size, at.1 + size)
}

fn scratched(side: usize, per_side: f32, parallel: bool, rng: &mut impl Rng) -> Plane {
    let mut plane = Plane::constant(side, 0.5);
    let length = side as f32 * 1.5;
    let main = rng.random_range(0.0..TAU);
    let count = (per_side * rng.random_range(0.7..1.4)).round() as usize;
    for _ in 0..count {
        let angle = if parallel {
            main + rng.random_range(-0.08..0.08)
        } else {
            rng.random_range(0.0..TAU)
        };
        let at: (f32, f32) = (
            rng.random_range(0.0..side as f32),
            rng.random_range(0.0..side as f32),
        );
        let half = length * rng.random_range(0.15..0.6);
        let (dx, dy) = (angle.cos() * half, angle.sin() * half);
        let value = if rng.random_bool(0.5) { 0.95 } else { 0.1 };
        let (width, opacity) = (rng.random_range(0.6..1.6), rng.random_range(0.3..0.9));
        plane.stroke(
            (at.0 - dx, at.1 - dy),
            (at.0 + dx, at.1 + dy),
            width,
            value,
            opacity,
        );
    }
    plane
}

fn grain(side: usize, size: f32, share: f32, rng: &mut impl Rng) -> Plane {
    let field = Field::draw(rng);
    let (a, b) = (rng.random_range(0.0..99.0), rng.random_range(0.0..99.0));
    let mut plane = Plane::from_fn(side, |x, y| {
        0.5 + 0.1 * field.at(x / 50.0 + a, y / 50.0 + b)
    });
    let count = (share * (side * side) as f32 / (size * size)) as usize;
    for _ in 0..count {
        let at = (
            rng.random_range(0.0..side as f32),
            rng.random_range(0.0..side as f32),
        );
        let value = if rng.random_bool(0.5) { 1.0 } else { 0.0 };
        plane.disc(at, size / 2.0, 1.0, value, rng.random_range(0.4..0.9));
    }
    plane
}

fn step(side: usize, soft: f32, rng: &mut impl Rng) -> Plane {
    let (sin, cos) = rng.random_range(0.0..TAU).sin_cos();
    let middle = side as f32 / 2.0;
    let offset = rng.random_range(-0.3..0.3) * side as f32;
    let (field, bow) = (Field::draw(rng), rng.random_range(-0.004..0.004));
    let (low, high) = (rng.random_range(0.05..0.4), rng.random_range(0.55..0.95));
    Plane::from_fn(side, |x, y| {
        let (dx, dy) = (x - middle, y - middle);
        let (across, along) = (dx * cos + dy * sin, dy * cos - dx * sin);
        let distance = across - offset + bow * along * along + 1.5 * field.at(along / 20.0, 0.5);
        low + (high - low) * (distance / soft + 0.5).clamp(0.0, 1.0)
    })
}

fn panels(side: usize, count: u32, rng: &mut impl Rng) -> Plane {
    let mut plane = Plane::constant(side, rng.random_range(0.2..0.8));
    let (sin, cos) = rng.random_range(0.0..TAU).sin_cos();
    let span = side as f32 / (count as f32).sqrt();
    for _ in 0..count {
        let (cx, cy) = (
            rng.random_range(0.0..side as f32),
            rng.random_range(0.0..side as f32),
        );
        let (hw, hh) = (
            span * rng.random_range(0.2..0.7),
            span * rng.random_range(0.2..0.7),
        );
        let corner = rng.random_range(0.0..0.5) * hw.min(hh);
        let reach = hw + hh;
        let value = rng.random_range(0.05..0.95);
        plane.paint(
            (cx - reach, cy - reach, cx + reach, cy + reach),
            value,
            |x, y| {
                let (dx, dy) = (x - cx, y - cy);
                let qx = (dx * cos + dy * sin).abs() - hw + corner;
                let qy = (dy * cos - dx * sin).abs() - hh + corner;
                // Signed distance from a rounded rectangle.
                let outside = qx.max(0.0).hypot(qy.max(0.0)) + qx.max(qy).min(0.0) - corner;
                0.5 - outside
            },
        );
    }
    plane
}
