//! Physical defects: changes of a surface's shape, colour and what lies on it.

use super::draw::{between, chance, direction, pick, spread};
use super::eraser::Colour;
use super::light::{GREEN, PINK, Spectrum};
use super::noise::{Noise, smoothstep};
use super::outline::{HALF_SIDE, Outline};
use super::surface::{Surface, falloff};
use rand::Rng;
use std::f32::consts::FRAC_PI_2;

/// An ellipse with a ragged outline.
struct Blot {
    centre: [f32; 2],
    half: [f32; 2],
    turn: [f32; 2],
    ragged: f32,
    noise: Noise,
}

impl Blot {
    fn draw(reach: f32, half: [f32; 2], ragged: f32, rng: &mut impl Rng) -> Self {
        Self {
            centre: [between(rng, -reach, reach), between(rng, -reach, reach)],
            half,
            turn: direction(rng),
            ragged,
            noise: Noise::new(rng.random()),
        }
    }

    /// Half the side of a square that holds it.
    fn reach(&self) -> f32 {
        self.half[0].max(self.half[1]) * 1.4 + 6.0
    }

    /// A point in the blot's own axes.
    fn own_axes(&self, [x, y]: [f32; 2]) -> [f32; 2] {
        let (dx, dy) = (x - self.centre[0], y - self.centre[1]);
        let [cos, sin] = self.turn;
        [dx * cos + dy * sin, dy * cos - dx * sin]
    }

    /// About the signed distance to the outline, and the direction outwards.
    fn boundary(&self, point: [f32; 2]) -> (f32, [f32; 2]) {
        let [u, v] = self.own_axes(point);
        let (a, b) = (u / self.half[0], v / self.half[1]);
        let k = (a * a + b * b).sqrt();
        let (gu, gv) = (a / self.half[0], b / self.half[1]);
        let steepness = (gu * gu + gv * gv).sqrt();
        let small = self.half[0].min(self.half[1]);
        let smooth = if k > 0.2 {
            (k - 1.0) * k / steepness
        } else {
            -small
        };
        let size = 2.4 / small.clamp(4.0, 24.0);
        let rough = self.noise.octaves(point[0] * size, point[1] * size, 3) - 0.5;
        let [cos, sin] = self.turn;
        let outward = if steepness > 0.0 {
            let (nu, nv) = (gu / steepness, gv / steepness);
            [nu * cos - nv * sin, nu * sin + nv * cos]
        } else {
            [0.0, 0.0]
        };
        (smooth + self.ragged * small * rough, outward)
    }
}

/// A wandering crack with a dark bottom and one lit lip.
pub fn crack(surface: &mut Surface, severity: f32, rng: &mut impl Rng) {
    let length = 18.0 + 110.0 * severity * between(rng, 0.6, 1.1);
    let half_width = 0.45 + 1.0 * severity * between(rng, 0.7, 1.2);
    let depth = 0.20 + 0.70 * severity;
    let from_edge = chance(rng, 0.5);
    let mut angle = between(rng, 0.0, 4.0 * FRAC_PI_2);
    let mut point = if from_edge {
        let along = between(rng, -100.0, 100.0);
        let side = rng.random_range(0..4u8);
        angle = f32::from(side) * FRAC_PI_2 + spread(rng, 0.4);
        match side {
            0 => [-HALF_SIDE, along],
            1 => [along, -HALF_SIDE],
            2 => [HALF_SIDE, along],
            _ => [along, HALF_SIDE],
        }
    } else {
        [between(rng, -85.0, 85.0), between(rng, -85.0, 85.0)]
    };
    let noise = Noise::new(rng.random());
    let steps = (length / 4.0).ceil() as usize;
    let mut cavity = std::mem::take(&mut surface.cavity);
    let mut slope = std::mem::take(&mut surface.slope);
    for step in 0..steps {
        angle += spread(rng, 0.24);
        let next = [point[0] + 4.0 * angle.cos(), point[1] + 4.0 * angle.sin()];
        let taper = 1.0 - (step as f32 / steps as f32).powi(2);
        let width = (half_width * taper).max(0.3);
        let (ex, ey) = (next[0] - point[0], next[1] - point[1]);
        let middle = [0.5 * (point[0] + next[0]), 0.5 * (point[1] + next[1])];
        surface.near(middle, 8.0, |at, [x, y]| {
            let (px, py) = (x - point[0], y - point[1]);
            let along = ((px * ex + py * ey) / 16.0).clamp(0.0, 1.0);
            let (dx, dy) = (px - ex * along, py - ey * along);
            let distance = (dx * dx + dy * dy).sqrt();
            let uneven = 0.75 + 0.5 * noise.at(x * 0.4, y * 0.4);
            let bottom = depth * uneven * smoothstep(width + 0.6, width - 0.5, distance);
            cavity[at] = cavity[at].max(bottom.min(1.0));
            let lip = 0.5 * severity * falloff((distance - width).abs() / 0.8);
            if distance > 0.1 && lip > slope[at][0].abs() + slope[at][1].abs() {
                slope[at] = [-lip * dx / distance, -lip * dy / distance];
            }
        });
        point = next;
    }
    surface.cavity = cavity;
    surface.slope = slope;
}

/// A bite out of a side: dark where the rubber is gone, a rough slanting
/// fracture beside it.
pub fn chip(surface: &mut Surface, outline: &Outline, severity: f32, rng: &mut impl Rng) {
    let wide = 5.0 + 17.0 * severity * between(rng, 0.8, 1.2);
    let deep = wide * between(rng, 0.45, 0.8);
    let mut blot = Blot::draw(0.0, [wide, deep], 0.5, rng);
    let along = between(rng, -105.0, 105.0);
    (blot.centre, blot.turn) = match rng.random_range(0..4u8) {
        0 => ([-outline.half[0] - 1.0, along], [0.0, 1.0]),
        1 => ([outline.half[0] + 1.0, along], [0.0, 1.0]),
        2 => ([along, -outline.half[1] - 1.0], [1.0, 0.0]),
        _ => ([along, outline.half[1] + 1.0], [1.0, 0.0]),
    };
    fracture(surface, &blot, 0.55 * deep, severity);
}

/// A corner broken off along a rough line.
pub fn broken_corner(surface: &mut Surface, severity: f32, rng: &mut impl Rng) {
    let size = 4.0 + 38.0 * severity * between(rng, 0.8, 1.15);
    let corner = [pick(rng, &[-1.0f32, 1.0]), pick(rng, &[-1.0f32, 1.0])];
    // The round corner stands about 9 units back from the square's own.
    let at = [corner[0] * (HALF_SIDE - 5.0), corner[1] * (HALF_SIDE - 5.0)];
    let deep = size * between(rng, 0.75, 1.0);
    let mut blot = Blot::draw(0.0, [size * 1.25, deep], 0.3, rng);
    let angle = FRAC_PI_2 * 0.5 * -(corner[0] * corner[1]) + spread(rng, 0.2);
    blot.centre = at;
    blot.turn = [angle.cos(), angle.sin()];
    fracture(surface, &blot, 0.34 * deep + 1.5, severity);
}

/// Takes away what lies deeper than `slant` within a blot, and makes the rest
/// of the blot a rough face falling towards the gap.
fn fracture(surface: &mut Surface, blot: &Blot, slant: f32, severity: f32) {
    let mut distance = std::mem::take(&mut surface.distance);
    let mut slope = std::mem::take(&mut surface.slope);
    let mut cavity = std::mem::take(&mut surface.cavity);
    let mut powder = std::mem::take(&mut surface.powder);
    let mut ink = std::mem::take(&mut surface.ink);
    surface.near(blot.centre, blot.reach(), |at, point| {
        let (d, outward) = blot.boundary(point);
        if d > 1.0 {
            return;
        }
        let face = smoothstep(0.8, -0.8, d);
        let rough = blot
            .noise
            .octaves(point[0] * 0.28 + 50.0, point[1] * 0.28, 2)
            - 0.5;
        let tilt = face * (0.40 + 0.25 * severity + 0.7 * rough);
        slope[at][0] -= tilt * outward[0];
        slope[at][1] -= tilt * outward[1];
        let falling = smoothstep(0.0, 1.0, -d / slant);
        cavity[at] = cavity[at]
            .max(face * (0.10 + 0.10 * severity + 0.40 * falling * falling + 0.16 * rough));
        powder[at] = powder[at].max(face * (0.18 + 0.4 * rough).max(0.0));
        ink[at] *= 1.0 - face;
        distance[at] = distance[at].max(-d - slant);
    });
    cavity.iter_mut().for_each(|v| *v = v.clamp(0.0, 1.0));
    surface.distance = distance;
    surface.slope = slope;
    surface.cavity = cavity;
    surface.powder = powder;
    surface.ink = ink;
}

/// A crumb pressed flat onto the face: white, dark or of another eraser's
/// rubber, with a fine dark line around it.
pub fn residue(surface: &mut Surface, colour: Colour, severity: f32, rng: &mut impl Rng) {
    let long = 5.0 + 24.0 * severity * between(rng, 0.7, 1.2);
    let wide = long * between(rng, 0.28, 0.7);
    let blot = Blot::draw(100.0, [long, wide], 0.7, rng);
    let white: Spectrum = [1.0, 0.99, 0.97, 1.0, 1.0, 0.95];
    let dark: Spectrum = [0.30, 0.27, 0.29, 0.33, 0.29, 0.30];
    surface.matter = match (colour, rng.random_range(0..4u8)) {
        (Colour::White, 0) | (Colour::Pink, 0) => GREEN,
        (Colour::White, 1) | (Colour::Green, 0) => PINK,
        (_, 3) => dark,
        _ => white,
    };
    let opacity = 0.28 + 0.68 * severity;
    let mut residue = std::mem::take(&mut surface.residue);
    let mut cavity = std::mem::take(&mut surface.cavity);
    let mut slope = std::mem::take(&mut surface.slope);
    surface.near(blot.centre, blot.reach(), |at, point| {
        let (d, outward) = blot.boundary(point);
        let lumps = blot.noise.octaves(point[0] * 0.3 - 20.0, point[1] * 0.3, 2) - 0.5;
        let cover = smoothstep(0.7, -0.7, d);
        residue[at] = (cover * opacity * (1.0 + 0.35 * lumps)).clamp(0.0, 1.0);
        let line = falloff((d - 1.0).abs() / 0.9);
        let shadow = 0.06 + 0.30 * severity;
        cavity[at] = cavity[at]
            .max(shadow * line)
            .max(cover * (0.03 - 0.28 * lumps * severity));
        let raised = (0.15 + 0.5 * severity) * falloff((d + 1.0).abs() / 2.2);
        slope[at][0] += raised * outward[0] + 0.4 * cover * lumps;
        slope[at][1] += raised * outward[1] - 0.3 * cover * lumps;
    });
    surface.residue = residue;
    surface.cavity = cavity;
    surface.slope = slope;
}

/// A smooth hollow.
pub fn dent(surface: &mut Surface, severity: f32, rng: &mut impl Rng) {
    let long = 7.0 + 17.0 * severity * between(rng, 0.7, 1.2);
    let wide = long * between(rng, 0.45, 1.0);
    let blot = Blot::draw(95.0, [long, wide], 0.0, rng);
    let steep = 0.05 + 0.52 * severity;
    let mut slope = std::mem::take(&mut surface.slope);
    let mut cavity = std::mem::take(&mut surface.cavity);
    surface.near(blot.centre, blot.reach() * 1.6, |at, point| {
        let [u, v] = blot.own_axes(point);
        let (a, b) = (u / blot.half[0], v / blot.half[1]);
        // Depth exp(-r^2): its gradient points up the wall, outwards.
        let depth = (-(a * a + b * b)).exp();
        let (gu, gv) = (2.33 * a * depth * steep, 2.33 * b * depth * steep);
        let [cos, sin] = blot.turn;
        slope[at][0] -= gu * cos - gv * sin;
        slope[at][1] -= gu * sin + gv * cos;
        cavity[at] = cavity[at].max(0.07 * severity * depth);
    });
    surface.slope = slope;
    surface.cavity = cavity;
}

/// A drop of dye or grease soaked in.
pub fn stain(surface: &mut Surface, severity: f32, rng: &mut impl Rng) {
    let long = 7.0 + 24.0 * severity * between(rng, 0.7, 1.2);
    let wide = long * between(rng, 0.55, 1.0);
    let blot = Blot::draw(95.0, [long, wide], 0.42, rng);
    let dyes: [Spectrum; 4] = [
        [0.78, 0.80, 0.42, 0.97, 0.72, 0.45], // red: dark in G and NORMAL
        [0.70, 0.60, 0.80, 0.40, 0.72, 0.82], // blue: dark in R and AM
        [0.88, 0.70, 0.84, 0.95, 0.86, 0.80], // yellow grease: dark in AM
        [0.62, 0.60, 0.60, 0.66, 0.62, 0.64], // dirt: in all alike
    ];
    surface.dye = pick(rng, &dyes);
    let density = 0.10 + 0.82 * severity;
    let mut stain = std::mem::take(&mut surface.stain);
    surface.near(blot.centre, blot.reach(), |at, point| {
        let (d, _) = blot.boundary(point);
        let soaked = smoothstep(2.5, -2.5 - 0.15 * long, d);
        // Dye gathers where the drop dried last, at its edge.
        let ring = 0.35 * falloff((d + 2.5).abs() / 1.8);
        stain[at] = (density * (0.8 * soaked + ring * soaked.min(1.0))).clamp(0.0, 1.0);
    });
    surface.stain = stain;
}

/// Cut askew: a rhombus or a trapezium instead of a square.
pub fn out_of_square(surface: &mut Surface, outline: &Outline, severity: f32, rng: &mut impl Rng) {
    let sign = pick(rng, &[-1.0f32, 1.0]);
    let off = sign * (1.8 + 7.5 * severity);
    let mut askew = outline.clone();
    match rng.random_range(0..3u8) {
        0 => askew.shear += off / HALF_SIDE,
        1 => askew.taper[0] += off,
        _ => askew.taper[1] += off,
    }
    // The press holds the widest part: what is askew is lacking elsewhere.
    askew.half[0] -= askew.taper[0].abs();
    askew.half[1] -= askew.taper[1].abs();
    for y in 0..surface.window.height {
        for x in 0..surface.window.width {
            let [lx, ly] = surface.placement.to_local(
                (surface.window.x0 + x) as f32,
                (surface.window.y0 + y) as f32,
            );
            let boundary = askew.boundary(lx, ly);
            let at = y * surface.window.width + x;
            surface.distance[at] = boundary.distance;
            surface.outward[at] = boundary.outward;
        }
    }
}
