//! A pack of fifteen erasers on the belt, three rows of five: who lies where,
//! the belt around them, the light of the day. A crop and the picture of a
//! whole pack are two views of the same scene.

use super::draw::{between, chance, scatter, spread};
use super::eraser::{Eraser, Lot};
use super::light::{BELT, CHANNELS, WHITE};
use super::noise::{Noise, smoothstep};
use super::picture::{Exposure, Picture};
use super::surface::{Placement, Surface};
use crate::random::Seed;
use rand::Rng;

/// Rows of a pack.
pub const ROWS: usize = 3;
/// Columns of a pack.
pub const COLUMNS: usize = 5;
/// Erasers of a pack.
pub const PACK: usize = ROWS * COLUMNS;
/// Distance of two neighbours' centres, in eraser units.
const PITCH: [f32; 2] = [273.5, 275.5];

/// A pack of good erasers; defects are put on afterwards.
#[derive(Debug)]
pub struct Scene {
    /// The erasers, row by row.
    pub erasers: Vec<Eraser>,
    /// Centre of each eraser in eraser units from the pack's centre, its turn.
    poses: Vec<([f32; 2], f32)>,
    belt: Belt,
    seed: Seed,
    lighting: Exposure,
}

/// What a camera frames.
#[derive(Debug, Clone, Copy)]
pub struct View {
    /// Columns.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// Pixels for each eraser unit.
    pub scale: f32,
    /// The point of the scene at pixel (0, 0), in eraser units.
    pub corner: [f32; 2],
}

impl Scene {
    /// Draws pack number `index`.
    pub fn draw(seed: Seed, index: u64) -> Self {
        let seed = seed.derive("pack", index);
        let rng = &mut seed.derive("scene", 0).rng();
        let lot = Lot::draw(rng);
        let lean = spread(rng, 0.006);
        let mut poses = Vec::with_capacity(PACK);
        let mut erasers = Vec::with_capacity(PACK);
        for i in 0..PACK {
            let (row, column) = ((i / COLUMNS) as f32 - 1.0, (i % COLUMNS) as f32 - 2.0);
            let (x, y) = (column * PITCH[0], row * PITCH[1]);
            poses.push((
                [
                    x - lean * y + spread(rng, 0.8),
                    y + lean * x + spread(rng, 0.8),
                ],
                lean + spread(rng, 0.004),
            ));
            erasers.push(Eraser::draw(seed.derive("member", i as u64), &lot));
        }
        let day = 1.01 + spread(rng, 0.025);
        let own: [f32; CHANNELS] = scatter(rng, 0.006);
        Self {
            erasers,
            poses,
            belt: Belt::draw(rng),
            lighting: Exposure {
                gain: std::array::from_fn(|c| day + own[c]),
                tilt: std::array::from_fn(|_| scatter(rng, 0.016)),
                vignette: between(rng, 0.0, 0.035),
                shift: std::array::from_fn(|_| scatter(rng, 0.08)),
                scale: 1.0,
            },
            seed,
        }
    }

    /// The exposure of a view.
    pub fn exposure(&self, view: &View) -> Exposure {
        Exposure {
            scale: view.scale,
            ..self.lighting.clone()
        }
    }

    /// The 310 x 310 crop around one eraser, not quite centred on it.
    pub fn crop(&self, member: usize) -> View {
        let rng = &mut self.seed.derive("crop", member as u64).rng();
        let [x, y] = self.poses[member].0;
        let half = super::SIZE as f32 / 2.0 - 0.5;
        View {
            width: super::SIZE,
            height: super::SIZE,
            scale: 1.0,
            corner: [x - half + spread(rng, 2.6), y - half + spread(rng, 2.6)],
        }
    }

    /// Where one eraser lies in a view.
    pub fn placement(&self, member: usize, view: &View) -> Placement {
        let (centre, turn) = self.poses[member];
        let (sin, cos) = turn.sin_cos();
        Placement {
            centre: std::array::from_fn(|axis| (centre[axis] - view.corner[axis]) * view.scale),
            turn: [cos, sin],
            scale: view.scale,
        }
    }

    /// The surfaces of all erasers that a view shows; `None` for the others.
    pub fn surfaces(&self, view: &View) -> Vec<Option<Surface>> {
        self.erasers
            .iter()
            .enumerate()
            .map(|(i, eraser)| eraser.surface(self.placement(i, view), view.width, view.height))
            .collect()
    }

    /// The belt in the shadow of the erasers.
    pub fn ground(&self, view: &View, surfaces: &[Option<Surface>]) -> Picture {
        let mut picture = Picture::new(view.width, view.height);
        self.belt.paint(&mut picture, view);
        // A single side leaves the ground light enough; gaps between two sides
        // and the corners between four are black.
        let mut hidden = vec![0.0; view.width * view.height];
        for surface in surfaces.iter().flatten() {
            surface.hide_sky(&mut hidden, view.width);
        }
        for plane in &mut picture.planes {
            for (light, hidden) in plane.iter_mut().zip(&hidden) {
                *light *= 1.0 - 0.95 * smoothstep(0.85, 1.5, *hidden);
            }
        }
        picture
    }

    /// A seed for what happens to one eraser of the pack.
    pub fn member_seed(&self, purpose: &str, member: usize) -> Seed {
        self.seed.derive(purpose, member as u64)
    }
}

/// The conveyor: dark woven belt, a painted line, rails above and below.
#[derive(Debug)]
struct Belt {
    texture: Noise,
    /// Height of the painted line, if the belt has one.
    line: Option<f32>,
    level: f32,
}

impl Belt {
    fn draw(rng: &mut impl Rng) -> Self {
        Self {
            texture: Noise::new(rng.random()),
            line: chance(rng, 0.75).then(|| -172.0 + spread(rng, 12.0)),
            level: 1.0 + spread(rng, 0.12),
        }
    }

    fn paint(&self, picture: &mut Picture, view: &View) {
        for y in 0..picture.height {
            for x in 0..picture.width {
                let sx = view.corner[0] + x as f32 / view.scale;
                let sy = view.corner[1] + y as f32 / view.scale;
                let (shade, bright) = self.at(sx, sy);
                for (c, plane) in picture.planes.iter_mut().enumerate() {
                    let dark = BELT[c] * self.level * shade;
                    plane[y * picture.width + x] = dark + (0.92 * WHITE[c] - dark) * bright;
                }
            }
        }
    }

    /// Shade of the dark ground (about 1) and how much of it is white.
    fn at(&self, x: f32, y: f32) -> (f32, f32) {
        let n = self.texture;
        let streaks = n.at(x * 0.012, y * 0.33) - 0.5;
        let grain = n.at(x * 0.4 + 80.0, y * 0.4) - 0.5;
        let far = smoothstep(560.0, 760.0, x.abs());
        let weave = (n.at(x * 0.22, y * 0.22) - 0.5) * far;
        let mut shade = 1.0 + 0.35 * streaks + 0.45 * grain + 0.9 * weave + 0.5 * far;
        // Specks of rubber, and now and then a crumb.
        let mut bright = 0.6 * smoothstep(0.965, 1.0, n.at(x * 0.3 + 7.0, y * 0.3));
        let crumb = n.octaves(x * 0.024 + 21.0, y * 0.024, 3);
        bright = bright.max(0.75 * smoothstep(0.83, 0.86, crumb));
        if let Some(line) = self.line {
            let ragged = 2.5 * (n.at(x * 0.08, 3.0) - 0.5);
            let band = smoothstep(13.0, 11.0, (y - line + ragged).abs());
            bright = bright.max(band * (0.78 + 0.25 * n.at(x * 0.1, y * 0.2)));
        }
        // The frame of the machine, only to be seen around whole packs.
        if y < -505.0 {
            shade *= 1.0 + 3.0 * smoothstep(-505.0, -512.0, y) * n.at(x * 0.02, y * 0.5);
        }
        if y > 462.0 {
            shade *= 0.6;
            let rail = smoothstep(3.5, 1.5, (y - 480.0 - x * 0.002).abs());
            bright = bright.max(rail * smoothstep(-0.25, 0.1, n.at(x * 0.015, 9.0) - 0.3));
            let edge = smoothstep(488.0, 500.0, y) * smoothstep(512.0, 506.0, y);
            bright = bright.max(0.5 * edge * n.octaves(x * 0.03, y * 0.3, 2));
            let table = smoothstep(510.0, 514.0, y) * smoothstep(652.0, 648.0, y);
            let grooves = 0.86 + 0.14 * n.at(x * 0.004, y * 0.14);
            let dim = 1.0 - 0.16 * smoothstep(560.0, 620.0, y) * n.at(x * 0.003, 2.0);
            bright = bright.max(table * grooves * dim);
            let grime = smoothstep(650.0, 656.0, y);
            let dirt = smoothstep(0.50, 0.72, n.octaves(x * 0.014, y * 0.04, 4));
            bright = bright.max(grime * 0.75 * dirt);
        }
        (shade.max(0.05), bright)
    }
}
