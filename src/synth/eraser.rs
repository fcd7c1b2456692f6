//! One eraser without defects: its rubber, outline, print and harmless wear,
//! all drawn from one seed, and its surface at a place in a picture.

use super::draw::{between, chance, pick, scatter, spread};
use super::light::{GREEN, PINK, Spectrum, WHITE};
use super::noise::{Noise, smoothstep};
use super::outline::{HALF_SIDE, Outline};
use super::print::Print;
use super::surface::{Placement, REACH, Surface, Window, falloff};
use crate::random::Seed;
use rand::Rng;
use serde::{Deserialize, Serialize};

/// Colour of the rubber.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Colour {
    /// Near saturation in every channel.
    White,
    /// Bright in R, dark in G and NORMAL.
    Pink,
    /// Dark in R, brighter in G and NORMAL.
    Green,
}

impl Colour {
    /// `white`, `pink` or `green`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::White => "white",
            Self::Pink => "pink",
            Self::Green => "green",
        }
    }

    fn spectrum(self) -> Spectrum {
        match self {
            Self::White => WHITE,
            Self::Pink => PINK,
            Self::Green => GREEN,
        }
    }
}

/// What the erasers of one pack have in common.
#[derive(Debug, Clone)]
pub struct Lot {
    /// Usual ink density.
    pub density: f32,
    /// Usual shift of the print.
    pub shift: [f32; 2],
    /// Usual spread of the ink.
    pub gain: f32,
}

impl Lot {
    /// Draws a pack's common traits.
    pub fn draw(rng: &mut impl Rng) -> Self {
        Self {
            density: 0.965 + spread(rng, 0.012),
            shift: scatter(rng, 1.0),
            gain: spread(rng, 0.25),
        }
    }
}

/// A good eraser.
#[derive(Debug, Clone)]
pub struct Eraser {
    /// Colour of the rubber.
    pub colour: Colour,
    /// Its outline.
    pub outline: Outline,
    /// Its print.
    pub print: Print,
    rubber: Spectrum,
    rim: [f32; 4],
    /// How rubbed it is, `0..=1`.
    scuff: f32,
    /// Whether the printing pad left its rectangle in the powder.
    pad: f32,
    texture: Noise,
    scratches: Seed,
}

/// A thin line or a speck of powder, in eraser units.
struct Scratch {
    from: [f32; 2],
    to: [f32; 2],
    half_width: f32,
    opacity: f32,
}

impl Eraser {
    /// Draws one eraser of a lot.
    pub fn draw(seed: Seed, lot: &Lot) -> Self {
        let rng = &mut seed.derive("eraser", 0).rng();
        let colour = pick(
            rng,
            &[
                Colour::White,
                Colour::White,
                Colour::White,
                Colour::White,
                Colour::White,
                Colour::White,
                Colour::Pink,
                Colour::Pink,
                Colour::Green,
                Colour::Green,
            ],
        );
        let coloured = colour != Colour::White;
        let overall = 1.0 + spread(rng, if coloured { 0.03 } else { 0.012 });
        let own: Spectrum = scatter(rng, if coloured { 0.012 } else { 0.006 });
        let base = colour.spectrum();
        let turn = [0.006, 0.010][usize::from(chance(rng, 0.3))];
        Self {
            colour,
            outline: Outline {
                half: [HALF_SIDE + spread(rng, 0.7), HALF_SIDE + spread(rng, 0.7)],
                radius: std::array::from_fn(|_| 21.0 + spread(rng, 2.2)),
                bow: std::array::from_fn(|_| 0.6 + spread(rng, 0.35)),
                shear: spread(rng, 0.003),
                taper: scatter(rng, 0.4),
                waves: Noise::new(rng.random()),
            },
            print: Print {
                shift: std::array::from_fn(|axis| lot.shift[axis] + spread(rng, 1.2)),
                turn: spread(rng, turn),
                size: 1.0 + spread(rng, 0.006),
                gain: lot.gain + spread(rng, 0.25),
                density: (lot.density + spread(rng, 0.012)).min(1.0),
                slope: scatter(rng, 0.000_08),
                wear: between(rng, 0.0, 1.0).powi(2) * 0.8,
                texture: Noise::new(rng.random()),
            },
            rubber: std::array::from_fn(|c| base[c] * (overall + own[c])),
            rim: std::array::from_fn(|_| between(rng, 5.0, 13.0)),
            scuff: if coloured {
                between(rng, 0.40, 1.0)
            } else {
                between(rng, 0.0, 0.7)
            },
            pad: if chance(rng, 0.45) {
                between(rng, 0.2, 0.8)
            } else {
                0.0
            },
            texture: Noise::new(rng.random()),
            scratches: seed.derive("scratches", 0),
        }
    }

    /// The eraser's surface within a picture of `width` x `height` pixels;
    /// `None` if it lies outside.
    pub fn surface(&self, placement: Placement, width: usize, height: usize) -> Option<Surface> {
        let [cos, sin] = placement.turn;
        let reach = (HALF_SIDE + REACH) * (cos.abs() + sin.abs()) * placement.scale;
        let span = |centre: f32, limit: usize| {
            let from = (centre - reach).floor().clamp(0.0, limit as f32) as usize;
            let to = (centre + reach).ceil().clamp(0.0, limit as f32) as usize;
            (from, to - from)
        };
        let (x0, columns) = span(placement.centre[0], width);
        let (y0, rows) = span(placement.centre[1], height);
        if columns == 0 || rows == 0 {
            return None;
        }
        let n = columns * rows;
        let mut surface = Surface {
            placement,
            window: Window {
                x0,
                y0,
                width: columns,
                height: rows,
            },
            distance: Vec::with_capacity(n),
            outward: Vec::with_capacity(n),
            slope: vec![[0.0; 2]; n],
            lightness: vec![1.0; n],
            powder: vec![0.0; n],
            dirt: vec![0.0; n],
            ink: vec![0.0; n],
            stain: vec![0.0; n],
            residue: vec![0.0; n],
            cavity: vec![0.0; n],
            rubber: self.rubber,
            dye: [1.0; 6],
            matter: [1.0; 6],
            rim: self.rim,
        };
        for y in y0..y0 + rows {
            for x in x0..x0 + columns {
                let [lx, ly] = placement.to_local(x as f32, y as f32);
                let boundary = self.outline.boundary(lx, ly);
                surface.distance.push(boundary.distance);
                surface.outward.push(boundary.outward);
                if boundary.distance < 2.0 {
                    let at = (y - y0) * columns + (x - x0);
                    surface.lightness[at] = self.lightness(lx, ly);
                    surface.powder[at] = self.powder(lx, ly, (-boundary.distance).max(0.0));
                }
            }
        }
        self.scratch(&mut surface);
        self.print.apply(&mut surface);
        Some(surface)
    }

    /// Clouds and grain of the rubber.
    fn lightness(&self, x: f32, y: f32) -> f32 {
        let clouds = self.texture.octaves(x * 0.016, y * 0.016, 3) - 0.5;
        let grain = self.texture.at(x * 0.62 + 300.0, y * 0.62) - 0.5;
        1.0 + 0.045 * clouds + 0.024 * grain
    }

    /// Rubbed-off powder: a veil in patches, specks, more along the rim, less
    /// where the printing pad pressed.
    fn powder(&self, x: f32, y: f32, depth: f32) -> f32 {
        let patch = self.texture.octaves(x * 0.024 + 90.0, y * 0.024 - 40.0, 2);
        let fine = self.texture.at(x * 0.5 - 200.0, y * 0.5 + 77.0);
        let streak = self.texture.at((x + y) * 0.35 + 500.0, (x - y) * 0.03);
        let rim = falloff((depth - 4.0).abs() / 6.0);
        let many = 0.25 * smoothstep(0.45, 0.85, patch) + 0.75 * rim * smoothstep(0.25, 0.7, patch);
        let specks = smoothstep(0.93 - 0.35 * many, 1.05, fine);
        let veil = 0.21 * smoothstep(0.35, 0.8, patch) * (0.5 + 1.1 * streak * fine)
            + rim * (0.14 + 0.2 * patch);
        let mut powder = self.scuff * (veil + 0.9 * specks);
        if self.pad > 0.0 {
            let (across, along) = (x * 0.625 + y * 0.781, x * 0.781 - y * 0.625);
            let pressed = smoothstep(83.0, 81.5, (across - 6.0).abs())
                * smoothstep(122.0, 120.0, along.abs());
            powder *= 1.0 - self.pad * pressed;
        }
        powder.clamp(0.0, 0.9)
    }

    /// Scratches and specks of powder, a few dark dust grains.
    fn scratch(&self, surface: &mut Surface) {
        let rng = &mut self.scratches.rng();
        let lines = (self.scuff * between(rng, 50.0, 150.0)) as usize;
        let mut powder = std::mem::take(&mut surface.powder);
        for _ in 0..lines {
            let from = [between(rng, -128.0, 128.0), between(rng, -128.0, 128.0)];
            let length = 3.0 + 42.0 * between(rng, 0.0, 1.0).powi(3);
            let angle = between(rng, 0.0, std::f32::consts::PI);
            let scratch = Scratch {
                from,
                to: [
                    from[0] + length * angle.cos(),
                    from[1] + length * angle.sin(),
                ],
                half_width: between(rng, 0.35, 0.8),
                opacity: self.scuff * (0.05 + 0.40 * between(rng, 0.0, 1.0).powi(3)),
            };
            scratch.draw(surface, &mut powder);
        }
        surface.powder = powder;
        let mut dirt = std::mem::take(&mut surface.dirt);
        for _ in 0..rng.random_range(0..6) {
            let at = [between(rng, -125.0, 125.0), between(rng, -125.0, 125.0)];
            let grain = Scratch {
                from: at,
                to: [at[0] + 0.6, at[1] + 0.3],
                half_width: between(rng, 0.3, 0.9),
                opacity: between(rng, 0.1, 0.45),
            };
            grain.draw(surface, &mut dirt);
        }
        surface.dirt = dirt;
    }
}

impl Scratch {
    /// Lays the line into a plane, the stronger of old and new winning.
    fn draw(&self, surface: &Surface, plane: &mut [f32]) {
        let middle = [
            0.5 * (self.from[0] + self.to[0]),
            0.5 * (self.from[1] + self.to[1]),
        ];
        let (ex, ey) = (self.to[0] - self.from[0], self.to[1] - self.from[1]);
        let soft = 0.5 / surface.placement.scale;
        let reach = 0.5 * ex.abs().max(ey.abs()) + self.half_width + 2.0 * soft;
        surface.near(middle, reach, |at, [x, y]| {
            let (px, py) = (x - self.from[0], y - self.from[1]);
            let along = ((px * ex + py * ey) / (ex * ex + ey * ey)).clamp(0.0, 1.0);
            let (dx, dy) = (px - ex * along, py - ey * along);
            let distance = (dx * dx + dy * dy).sqrt();
            let cover = smoothstep(self.half_width + soft, self.half_width - soft, distance);
            plane[at] = plane[at].max(self.opacity * cover);
        });
    }
}
