//! Printing errors: changes of the ink plane.

use super::draw::{between, chance, direction, pick, spread};
use super::noise::{Noise, smoothstep};
use super::print::{Character, Print};
use super::surface::Surface;
use rand::Rng;

/// A letter or a figure (not the ring).
fn any_character(print: &Print, rng: &mut impl Rng) -> Character {
    pick(rng, &print.characters()[..7])
}

/// A point in the ink of a character.
fn inked_point(character: &Character, rng: &mut impl Rng) -> [f32; 2] {
    let [x, y] = character.centre();
    let reach = character.radius();
    for _ in 0..64 {
        let point = [
            x + between(rng, -reach, reach),
            y + between(rng, -reach, reach),
        ];
        if character.distance(point) < -2.0 {
            return point;
        }
    }
    [x, y]
}

/// Ink lacking in a ragged patch that leaves specks behind, as where the plate
/// was worn or the rubber dusty.
pub fn missing_ink(surface: &mut Surface, print: &Print, severity: f32, rng: &mut impl Rng) {
    let character = any_character(print, rng);
    let centre = inked_point(&character, rng);
    let long = 4.0 + 26.0 * severity * between(rng, 0.7, 1.2);
    let wide = long * between(rng, 0.4, 0.9);
    let [cos, sin] = direction(rng);
    let strength = 0.62 + 0.36 * severity;
    let bare = 0.22 * severity - 0.12;
    let noise = Noise::new(rng.random());
    let mut ink = std::mem::take(&mut surface.ink);
    surface.near(centre, long * 1.5, |at, [x, y]| {
        let (dx, dy) = (x - centre[0], y - centre[1]);
        let (u, v) = ((dx * cos + dy * sin) / long, (dy * cos - dx * sin) / wide);
        let inside = 1.0 - (u * u + v * v).sqrt();
        let ragged = noise.octaves(x * 0.16, y * 0.16, 2) - 0.5;
        let speckled = noise.at(x * 0.5 + 31.0, y * 0.5) - 0.5;
        let lost = smoothstep(
            -0.03,
            0.22,
            inside - 0.28 + bare + 0.8 * ragged + 0.9 * speckled,
        );
        let lost = lost * smoothstep(-0.5, -0.2, inside);
        ink[at] *= 1.0 - strength * lost;
    });
    surface.ink = ink;
}

/// Ink dragged off the characters in one direction, in streaks.
pub fn smear(surface: &mut Surface, print: &Print, severity: f32, rng: &mut impl Rng) {
    let character = any_character(print, rng);
    let centre = character.centre();
    let [dx, dy] = direction(rng);
    let length = 6.0 + 26.0 * severity * between(rng, 0.7, 1.2);
    let reach = character.radius() * between(rng, 0.7, 1.3) + 18.0 * severity;
    let opacity = 0.10 + 0.66 * severity;
    let noise = Noise::new(rng.random());
    let steps = 14;
    let mut ink = surface.ink.clone();
    surface.near(centre, reach + length, |at, [x, y]| {
        let (px, py) = (x - centre[0], y - centre[1]);
        let within = smoothstep(1.0, 0.6, (px * px + py * py).sqrt() / (reach + length));
        if within == 0.0 {
            return;
        }
        let across = x * dy - y * dx;
        let streaks = 0.35 + 0.65 * noise.octaves(across * 0.22, (x * dx + y * dy) * 0.02, 2);
        let mut dragged = 0.0f32;
        for step in 1..=steps {
            let t = step as f32 / steps as f32;
            let from = [x - dx * length * t, y - dy * length * t];
            dragged = dragged.max(surface.sample(&surface.ink, from) * (1.0 - t));
        }
        let added = opacity * within * streaks * dragged.sqrt();
        ink[at] = 1.0 - (1.0 - ink[at]) * (1.0 - added).max(0.0);
    });
    surface.ink = ink;
}

/// The whole print a second time, paler and a few pixels off.
pub fn double_print(surface: &mut Surface, severity: f32, rng: &mut impl Rng) {
    let [dx, dy] = direction(rng);
    let distance = 3.0 + 5.5 * severity * between(rng, 0.6, 1.2);
    let turn = spread(rng, 0.008);
    let opacity = 0.06 + 0.62 * severity;
    let mut ink = surface.ink.clone();
    surface.near([0.0, 0.0], 125.0, |at, [x, y]| {
        let from = [x - dx * distance - turn * y, y - dy * distance + turn * x];
        let ghost = opacity * surface.sample(&surface.ink, from);
        ink[at] = 1.0 - (1.0 - ink[at]) * (1.0 - ghost);
    });
    surface.ink = ink;
}

/// A character cut through by a gap, cropped, or gone.
pub fn broken_character(surface: &mut Surface, print: &Print, severity: f32, rng: &mut impl Rng) {
    let character = any_character(print, rng);
    let centre = character.centre();
    let noise = Noise::new(rng.random());
    let [nx, ny] = direction(rng);
    // A gap up to middling severity, then ever more of the character.
    let cropped = severity > 0.55 && chance(rng, 0.7);
    let target = inked_point(&character, rng);
    let half_gap = 0.9 + 5.0 * severity;
    let cut = character.radius() * (1.0 - 2.0 * (severity - 0.45) * between(rng, 0.8, 1.3));
    let strength = (0.55 + 0.9 * severity).min(1.0);
    let mut ink = std::mem::take(&mut surface.ink);
    surface.near(centre, character.radius() + 2.0, |at, point| {
        if ink[at] == 0.0 || character.distance(point) > 2.0 {
            return;
        }
        let rough = 2.2 * (noise.octaves(point[0] * 0.3, point[1] * 0.3, 2) - 0.5);
        let gone = if cropped {
            let along = (point[0] - centre[0]) * nx + (point[1] - centre[1]) * ny;
            smoothstep(-0.9, 0.9, along - cut + rough)
        } else {
            let along = (point[0] - target[0]) * nx + (point[1] - target[1]) * ny;
            smoothstep(0.9, -0.9, along.abs() - half_gap + rough)
        };
        ink[at] *= 1.0 - strength * gone;
    });
    surface.ink = ink;
}

/// Too little ink, everywhere or towards one end.
pub fn faint_print(surface: &mut Surface, severity: f32, rng: &mut impl Rng) {
    let [dx, dy] = direction(rng);
    let uneven = chance(rng, 0.5);
    let lost = 0.06 + 0.62 * severity;
    let noise = Noise::new(rng.random());
    let mut ink = std::mem::take(&mut surface.ink);
    surface.near([0.0, 0.0], 125.0, |at, [x, y]| {
        if ink[at] > 0.0 {
            let towards = if uneven {
                smoothstep(-70.0, 50.0, x * dx + y * dy)
            } else {
                1.0
            };
            let grain = noise.at(x * 0.45, y * 0.45) - 0.5;
            ink[at] *= (1.0 - lost * towards * (1.0 + 0.7 * grain)).clamp(0.0, 1.0);
        }
    });
    surface.ink = ink;
}
