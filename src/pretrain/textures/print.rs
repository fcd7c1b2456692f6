//! Print fragments: strokes in the manner of letters and digits, wordmarks,
//! logos and codes. The shapes are drawn at random; none is a known font's.

use super::plane::Plane;
use rand::Rng;
use std::f32::consts::{PI, TAU};

/// What is printed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Print {
    /// Lines of letter-like shapes of this height in pixels.
    Lines { height: f32 },
    /// One large letter-like shape.
    Character,
    /// The same as an outline.
    Outlined,
    /// A slanted word with a number under it.
    Wordmark,
    /// Seven-segment digits.
    Digits,
    /// Nested simple shapes.
    Logo,
    /// A bar code.
    Bars,
    /// A matrix of square modules.
    Matrix,
}

/// Maps a print's own coordinates to the plane: turned, slanted, shifted.
#[derive(Debug, Clone, Copy)]
struct Pose {
    cos: f32,
    sin: f32,
    slant: f32,
    x: f32,
    y: f32,
}

impl Pose {
    fn draw(side: usize, turn: f32, slant: f32, rng: &mut impl Rng) -> Self {
        // Any quarter turn, then a little off it.
        let angle = rng.random_range(0..4) as f32 * PI / 2.0 + rng.random_range(-turn..turn);
        let middle = side as f32 / 2.0;
        Self {
            cos: angle.cos(),
            sin: angle.sin(),
            slant,
            x: middle + rng.random_range(-0.1..0.1) * side as f32,
            y: middle + rng.random_range(-0.1..0.1) * side as f32,
        }
    }

    /// From coordinates about the print's middle.
    fn at(&self, u: f32, v: f32) -> (f32, f32) {
        let u = u - self.slant * v;
        (
            self.x + self.cos * u - self.sin * v,
            self.y + self.sin * u + self.cos * v,
        )
    }

    /// Back from the plane.
    fn back(&self, x: f32, y: f32) -> (f32, f32) {
        let (dx, dy) = (x - self.x, y - self.y);
        let v = self.cos * dy - self.sin * dx;
        (self.cos * dx + self.sin * dy + self.slant * v, v)
    }
}

/// Ink and ground.
#[derive(Debug, Clone, Copy)]
struct Tone {
    ground: f32,
    ink: f32,
}

/// Draws one print on a plain ground.
pub(super) fn draw(kind: Print, side: usize, rng: &mut impl Rng) -> Plane {
    let tone = if rng.random_bool(0.7) {
        Tone {
            ground: rng.random_range(0.6..0.95),
            ink: rng.random_range(0.05..0.3),
        }
    } else {
        Tone {
            ground: rng.random_range(0.05..0.35),
            ink: rng.random_range(0.65..0.95),
        }
    };
    let mut plane = Plane::constant(side, tone.ground);
    match kind {
        Print::Lines { height } => lines(&mut plane, height, tone, rng),
        Print::Character => {
            let pose = Pose::draw(side, 0.5, 0.0, rng);
            let height = side as f32 * rng.random_range(0.55..0.8);
            let width = height * rng.random_range(0.5..0.8);
            let pen = height * rng.random_range(0.09..0.17);
            glyph(
                &mut plane,
                &pose,
                (-width / 2.0, -height / 2.0, width, height),
                pen,
                tone,
                rng,
            );
        }
        Print::Outlined => {
            let pose = Pose::draw(side, 0.5, 0.0, rng);
            let height = side as f32 * rng.random_range(0.55..0.8);
            let width = height * rng.random_range(0.5..0.8);
            let pen = height * rng.random_range(0.16..0.22);
            let inner = (pen - rng.random_range(3.0..4.5)).max(1.0);
            let bounds = (-width / 2.0, -height / 2.0, width, height);
            let shape = shape(rng);
            write(&mut plane, &pose, bounds, pen, tone.ink, &shape);
            write(&mut plane, &pose, bounds, inner, tone.ground, &shape);
        }
        Print::Wordmark => wordmark(&mut plane, tone, rng),
        Print::Digits => digits(&mut plane, tone, rng),
        Print::Logo => logo(&mut plane, tone, rng),
        Print::Bars => bars(&mut plane, tone, rng),
        Print::Matrix => matrix(&mut plane, tone, rng),
    }
    plane
}

/// A polyline in a unit square.
type Stroke = Vec<(f32, f32)>;

/// Two to four strokes between nodes of a 3 x 3 grid, some bent into arcs.
fn shape(rng: &mut impl Rng) -> Vec<Stroke> {
    let mut strokes: Vec<Stroke> = Vec::new();
    if rng.random_bool(0.6) {
        let x = if rng.random_bool(0.8) { 0.0 } else { 0.5 };
        strokes.push(vec![(x, 0.0), (x, 1.0)]); // a stem
    }
    let wanted = strokes.len() + rng.random_range(1..=3);
    while strokes.len() < wanted {
        let mut node = || rng.random_range(0..3) as f32 / 2.0;
        let (a, b) = ((node(), node()), (node(), node()));
        if a == b {
            continue;
        }
        if rng.random_bool(0.4) {
            // A bowl: half an ellipse over the chord from a to b.
            let side = if rng.random_bool(0.5) { 1.0 } else { -1.0 };
            let (mx, my) = ((a.0 + b.0) / 2.0, (a.1 + b.1) / 2.0);
            let (hx, hy) = ((b.0 - a.0) / 2.0, (b.1 - a.1) / 2.0);
            let bend = |t: f32| {
                let (s, c) = (t * PI).sin_cos();
                let (x, y) = (mx - hx * c - side * hy * s, my - hy * c + side * hx * s);
                (x.clamp(0.0, 1.0), y.clamp(0.0, 1.0))
            };
            strokes.push((0..=8).map(|i| bend(i as f32 / 8.0)).collect());
        } else {
            strokes.push(vec![a, b]);
        }
    }
    strokes
}

/// Writes a shape into a box (left, top, width, height) of the pose.
fn write(
    plane: &mut Plane,
    pose: &Pose,
    (left, top, width, height): (f32, f32, f32, f32),
    pen: f32,
    ink: f32,
    shape: &[Stroke],
) {
    let place = |p: (f32, f32)| pose.at(left + p.0 * width, top + p.1 * height);
    for stroke in shape {
        for pair in stroke.windows(2) {
            plane.stroke(place(pair[0]), place(pair[1]), pen, ink, 1.0);
        }
    }
}

fn glyph(
    plane: &mut Plane,
    pose: &Pose,
    bounds: (f32, f32, f32, f32),
    pen: f32,
    tone: Tone,
    rng: &mut impl Rng,
) {
    let shape = shape(rng);
    write(plane, pose, bounds, pen, tone.ink, &shape);
}

fn lines(plane: &mut Plane, height: f32, tone: Tone, rng: &mut impl Rng) {
    let height = height * rng.random_range(0.85..1.2);
    let pose = Pose::draw(plane.side, 0.15, rng.random_range(-0.1..0.25), rng);
    let pen = height * rng.random_range(0.12..0.2);
    let leading = height * rng.random_range(1.5..2.0);
    let half = plane.side as f32 * 0.75;
    let mut top = -half;
    while top < half {
        let mut left = -half * rng.random_range(0.6..1.0);
        let end = half * rng.random_range(0.5..1.0);
        while left < end {
            let width = height * rng.random_range(0.45..0.65);
            if rng.random_bool(0.85) {
                glyph(plane, &pose, (left, top, width, height), pen, tone, rng);
            }
            left += width + height * 0.35;
        }
        top += leading;
    }
}

fn wordmark(plane: &mut Plane, tone: Tone, rng: &mut impl Rng) {
    let side = plane.side as f32;
    let pose = Pose::draw(plane.side, 0.6, rng.random_range(0.1..0.4), rng);
    let letters = rng.random_range(4..=6);
    let pitch = side * rng.random_range(0.75..0.95) / letters as f32;
    let height = pitch * rng.random_range(1.2..1.7);
    let pen = pitch * rng.random_range(0.14..0.26);
    let left = -pitch * letters as f32 / 2.0;
    for i in 0..letters {
        let bounds = (left + i as f32 * pitch, -height, pitch * 0.68, height);
        glyph(plane, &pose, bounds, pen, tone, rng);
    }
    let (small, count) = (height * 0.5, rng.random_range(2..=4));
    for i in 0..count {
        let bounds = (
            small * (i as f32 - count as f32 / 2.0),
            small * 0.7,
            small * 0.6,
            small,
        );
        glyph(plane, &pose, bounds, pen * 0.6, tone, rng);
    }
}

/// Segments of a seven-segment digit, bit by bit: top, upper right, lower
/// right, bottom, lower left, upper left, middle.
const SEGMENTS: [[(f32, f32); 2]; 7] = [
    [(0.0, 0.0), (1.0, 0.0)],
    [(1.0, 0.0), (1.0, 0.5)],
    [(1.0, 0.5), (1.0, 1.0)],
    [(0.0, 1.0), (1.0, 1.0)],
    [(0.0, 0.5), (0.0, 1.0)],
    [(0.0, 0.0), (0.0, 0.5)],
    [(0.0, 0.5), (1.0, 0.5)],
];
const DIGITS: [u8; 10] = [0x3f, 0x06, 0x5b, 0x4f, 0x66, 0x6d, 0x7d, 0x07, 0x7f, 0x6f];

fn digits(plane: &mut Plane, tone: Tone, rng: &mut impl Rng) {
    let side = plane.side as f32;
    let pose = Pose::draw(plane.side, 0.2, rng.random_range(0.0..0.2), rng);
    let (columns, rows) = (rng.random_range(2..=5), rng.random_range(1..=3));
    let pitch = side * rng.random_range(0.8..1.0) / columns as f32;
    let height = (pitch * 1.1).min(side * 0.8 / rows as f32);
    let pen = height * rng.random_range(0.1..0.17);
    for row in 0..rows {
        for column in 0..columns {
            let digit = DIGITS[rng.random_range(0..10)];
            let strokes: Vec<Stroke> = SEGMENTS
                .iter()
                .enumerate()
                .filter(|(bit, _)| digit >> bit & 1 == 1)
                .map(|(_, ends)| ends.to_vec())
                .collect();
            let bounds = (
                pitch * (column as f32 - columns as f32 / 2.0 + 0.2),
                height * 1.35 * (row as f32 - rows as f32 / 2.0 + 0.15),
                height * 0.52,
                height,
            );
            write(plane, &pose, bounds, pen, tone.ink, &strokes);
        }
    }
}

fn logo(plane: &mut Plane, tone: Tone, rng: &mut impl Rng) {
    let side = plane.side as f32;
    let pose = Pose::draw(plane.side, 0.8, 0.0, rng);
    let mut size = side * rng.random_range(0.32..0.45);
    for layer in 0..rng.random_range(2..=4) {
        let value = if layer % 2 == 0 {
            tone.ink
        } else {
            tone.ground
        };
        let corners = rng.random_range(2..=6); // 2 stands for a disc
        let reach = size * 1.5;
        let stretch = rng.random_range(0.75..1.0);
        let bounds = (
            pose.x - reach,
            pose.y - reach,
            pose.x + reach,
            pose.y + reach,
        );
        plane.paint(bounds, value, |x, y| {
            let (u, v) = pose.back(x, y);
            let (r, angle) = (u.hypot(v / stretch), v.atan2(u));
            let border = if corners == 2 {
                size
            } else {
                let wedge = TAU / corners as f32;
                size * (wedge / 2.0).cos() / (angle.rem_euclid(wedge) - wedge / 2.0).cos()
            };
            border - r + 0.5
        });
        size *= rng.random_range(0.55..0.8);
    }
}

fn bars(plane: &mut Plane, tone: Tone, rng: &mut impl Rng) {
    let side = plane.side as f32;
    let pose = Pose::draw(plane.side, 0.4, 0.0, rng);
    let module = rng.random_range(1.4..2.4);
    let (half, height) = (side * 0.4, side * rng.random_range(0.2..0.4));
    let modules: Vec<bool> = {
        let mut bits = Vec::new();
        while bits.len() < 64 {
            let dark = bits.len() % 2 == 0;
            bits.extend(std::iter::repeat_n(dark, rng.random_range(1..=3)));
        }
        bits
    };
    plane.paint((0.0, 0.0, side, side), tone.ink, |x, y| {
        let (u, v) = pose.back(x, y);
        let index = (u + half) / module;
        let inside = (half - u.abs()).min(height - v.abs()) + 0.5;
        let dark = index >= 0.0 && modules.get(index as usize).copied().unwrap_or(false);
        if dark { inside } else { 0.0 }
    });
}

fn matrix(plane: &mut Plane, tone: Tone, rng: &mut impl Rng) {
    let side = plane.side as f32;
    let pose = Pose::draw(plane.side, 0.4, 0.0, rng);
    let count = rng.random_range(8..=16usize);
    let module = side * rng.random_range(0.6..0.85) / count as f32;
    let half = module * count as f32 / 2.0;
    let dark: Vec<bool> = (0..count * count)
        .map(|i| {
            let (row, column) = (i / count, i % count);
            // The finder: two full sides, two of alternating modules.
            if column == 0 || row == count - 1 {
                true
            } else if row == 0 {
                column % 2 == 0
            } else {
                rng.random_bool(0.5)
            }
        })
        .collect();
    plane.paint((0.0, 0.0, side, side), tone.ink, |x, y| {
        let (u, v) = pose.back(x, y);
        if u.abs() >= half || v.abs() >= half {
            return 0.0;
        }
        let (column, row) = (
            ((u + half) / module) as usize,
            ((v + half) / module) as usize,
        );
        if dark[row.min(count - 1) * count + column.min(count - 1)] {
            1.0
        } else {
            0.0
        }
    });
}
