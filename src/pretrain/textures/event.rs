//! Surface events: what can befall a surface locally. Telling them apart, and
//! from their absence, is the second task of the pretraining; it is the one
//! nearest to inspection.

use super::family::FAMILIES;
use super::noise::Field;
use super::plane::Plane;
use super::surface;
use rand::Rng;
use std::f32::consts::TAU;

/// A local change of a surface; the discriminant is the class.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// Nothing happened.
    None = 0,
    /// One or a few small irregular spots.
    Spot,
    /// A thin line, nearly straight.
    Scratch,
    /// A jagged line that branches.
    Crack,
    /// The pattern is gone from a patch: ink that did not take, a worn place.
    Missing,
    /// A patch is darker or brighter, its pattern still there.
    Stain,
    /// A bump or hollow: one flank bright, the other dark.
    Dent,
    /// A patch shows another surface.
    Foreign,
    /// The pattern is dragged along one direction.
    Smear,
    /// The piece ends: a corner or border shows the ground behind.
    Chip,
}

impl Event {
    /// All events; the index is the class.
    pub const ALL: [Self; 10] = [
        Self::None,
        Self::Spot,
        Self::Scratch,
        Self::Crack,
        Self::Missing,
        Self::Stain,
        Self::Dent,
        Self::Foreign,
        Self::Smear,
        Self::Chip,
    ];

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Spot => "spot",
            Self::Scratch => "scratch",
            Self::Crack => "crack",
            Self::Missing => "missing",
            Self::Stain => "stain",
            Self::Dent => "dent",
            Self::Foreign => "foreign",
            Self::Smear => "smear",
            Self::Chip => "chip",
        }
    }
}

/// A change below this in every pixel is no event: on a plain surface a
/// missing pattern cannot be seen.
const VISIBLE: f32 = 0.12;

/// Lets `event` befall the plane. Returns the event as it can be seen
/// ([`Event::None`], and the plane as it was, if it cannot) and how much each
/// pixel belongs to it.
pub(super) fn befall(event: Event, plane: &mut Plane, rng: &mut impl Rng) -> (Event, Plane) {
    let side = plane.side;
    let mut mask = Plane::constant(side, 0.0);
    match event {
        Event::None => return (Event::None, mask),
        Event::Spot => spots(&mut mask, rng),
        Event::Scratch => scratch(&mut mask, rng),
        Event::Crack => crack(&mut mask, rng),
        Event::Missing | Event::Stain | Event::Foreign | Event::Smear => patch(&mut mask, rng),
        Event::Dent => dent(&mut mask, rng),
        Event::Chip => chip(&mut mask, rng),
    }
    let replacement = replacement(event, plane, rng);
    let before = plane.values.clone();
    for (i, v) in plane.values.iter_mut().enumerate() {
        let m = mask.values[i];
        *v = match &replacement {
            Replacement::Grey(value) => *v + (value - *v) * m,
            Replacement::Shift(by) => *v + by * m,
            Replacement::Layer(layer) => *v + (layer.values[i] - *v) * m,
        };
    }
    let seen = plane
        .values
        .iter()
        .zip(&before)
        .fold(0.0f32, |seen, (a, b)| seen.max((a - b).abs()));
    if seen < VISIBLE {
        plane.values = before;
        return (Event::None, Plane::constant(side, 0.0));
    }
    (event, mask)
}

enum Replacement {
    Grey(f32),
    Shift(f32),
    Layer(Plane),
}

fn replacement(event: Event, plane: &Plane, rng: &mut impl Rng) -> Replacement {
    let mean = plane.mean();
    // Away from the surface's own grey, on the side with more room more often.
    let contrast = rng.random_range(0.25f32..0.7);
    let darker = rng.random_bool(if mean > 0.5 { 0.75 } else { 0.4 });
    let signed = if darker { -contrast } else { contrast };
    match event {
        Event::Missing => Replacement::Grey(if rng.random_bool(0.5) {
            mean
        } else {
            plane.values[rng.random_range(0..plane.values.len())]
        }),
        Event::Stain => Replacement::Shift(0.6 * signed),
        Event::Dent => Replacement::Shift(signed),
        Event::Foreign => {
            let family = FAMILIES[rng.random_range(0..FAMILIES.len())];
            let mut layer = surface::draw(family.surface, plane.side, rng);
            let shift = rng.random_range(-0.2..0.2);
            layer.map(|v| v + shift);
            Replacement::Layer(layer)
        }
        Event::Smear => {
            let (sin, cos) = rng.random_range(0.0..TAU).sin_cos();
            let reach = rng.random_range(4..=9);
            Replacement::Layer(Plane::from_fn(plane.side, |x, y| {
                let sum: f32 = (0..reach)
                    .map(|i| {
                        let t = 1.3 * i as f32;
                        plane.sample(x + t * cos, y + t * sin)
                    })
                    .sum();
                sum / reach as f32
            }))
        }
        Event::Chip => Replacement::Grey(if rng.random_bool(0.7) {
            rng.random_range(0.0..0.15)
        } else {
            rng.random_range(0.8..1.0)
        }),
        Event::None | Event::Spot | Event::Scratch | Event::Crack => {
            Replacement::Grey((mean + signed).clamp(0.0, 1.0))
        }
    }
}

/// A point not too near the border.
fn inside(side: usize, rng: &mut impl Rng) -> (f32, f32) {
    let side = side as f32;
    (
        rng.random_range(0.15..0.85) * side,
        rng.random_range(0.15..0.85) * side,
    )
}

/// A blob of radius `r` whose outline wanders.
fn blob(mask: &mut Plane, at: (f32, f32), r: f32, soft: f32, opacity: f32, rng: &mut impl Rng) {
    let field = Field::draw(rng);
    let (wander, stretch) = (rng.random_range(0.2..0.9), rng.random_range(0.5..1.0f32));
    let (sin, cos) = rng.random_range(0.0..TAU).sin_cos();
    let reach = r * 1.8 + soft;
    let bounds = (at.0 - reach, at.1 - reach, at.0 + reach, at.1 + reach);
    mask.paint(bounds, opacity, |x, y| {
        let (dx, dy) = (x - at.0, y - at.1);
        let distance = (dx * cos + dy * sin).hypot((dy * cos - dx * sin) / stretch);
        let border = r * (1.0 + wander * field.at(dx / r + 9.3, dy / r + 4.1));
        (border - distance) / soft + 0.5
    });
}

fn spots(mask: &mut Plane, rng: &mut impl Rng) {
    for _ in 0..rng.random_range(1..=3) {
        let (at, r) = (inside(mask.side, rng), rng.random_range(1.2..5.0));
        blob(mask, at, r, rng.random_range(0.8..2.0), 1.0, rng);
    }
}

fn patch(mask: &mut Plane, rng: &mut impl Rng) {
    let r = mask.side as f32 * rng.random_range(0.1..0.3);
    let (at, soft) = (inside(mask.side, rng), rng.random_range(1.0..6.0));
    blob(mask, at, r, soft, 1.0, rng);
}

fn scratch(mask: &mut Plane, rng: &mut impl Rng) {
    let side = mask.side as f32;
    let mut angle = rng.random_range(0.0..TAU);
    let length = side * rng.random_range(0.3..0.9);
    let (width, opacity) = (rng.random_range(0.8..2.2), rng.random_range(0.6..1.0));
    let bend = rng.random_range(-0.06..0.06);
    let middle = inside(mask.side, rng);
    let mut from = (
        middle.0 - angle.cos() * length / 2.0,
        middle.1 - angle.sin() * length / 2.0,
    );
    for _ in 0..8 {
        let step = length / 8.0;
        let to = (from.0 + step * angle.cos(), from.1 + step * angle.sin());
        mask.stroke(from, to, width, opacity, 1.0);
        angle += bend;
        from = to;
    }
}

fn crack(mask: &mut Plane, rng: &mut impl Rng) {
    let main = rng.random_range(0.0..TAU);
    let start = inside(mask.side, rng);
    let width = rng.random_range(1.0..2.4f32);
    let length = mask.side as f32 * rng.random_range(0.35..0.8);
    branch(mask, start, main, length, width, 2, rng);
    branch(mask, start, main + TAU / 2.0, length * 0.4, width, 1, rng);
}

fn branch(
    mask: &mut Plane,
    start: (f32, f32),
    main: f32,
    length: f32,
    width: f32,
    depth: u32,
    rng: &mut impl Rng,
) {
    let (mut from, mut gone) = (start, 0.0);
    while gone < length {
        let step = rng.random_range(2.5f32..6.0);
        let angle = main + rng.random_range(-0.8..0.8);
        let to = (from.0 + step * angle.cos(), from.1 + step * angle.sin());
        let width = width * (1.0 - 0.7 * gone / length);
        mask.stroke(from, to, width, 1.0, 1.0);
        gone += step;
        from = to;
        if depth > 0 && rng.random_bool(0.15) {
            let turn = rng.random_range(0.5..1.2) * if rng.random_bool(0.5) { 1.0 } else { -1.0 };
            branch(
                mask,
                from,
                main + turn,
                length * 0.4,
                width * 0.7,
                depth - 1,
                rng,
            );
        }
    }
}

/// The derivative of a Gaussian along the light's direction.
fn dent(mask: &mut Plane, rng: &mut impl Rng) {
    let ((cx, cy), r) = (inside(mask.side, rng), rng.random_range(2.5..9.0f32));
    let (sin, cos) = rng.random_range(0.0..TAU).sin_cos();
    for y in 0..mask.side {
        for x in 0..mask.side {
            let (dx, dy) = ((x as f32 - cx) / r, (y as f32 - cy) / r);
            let along = dx * cos + dy * sin;
            // sqrt(e) makes the extremes +-1.
            mask.values[y * mask.side + x] = 1.65 * along * (-(dx * dx + dy * dy) / 2.0).exp();
        }
    }
}

/// A border across a corner or side, rough where it broke.
fn chip(mask: &mut Plane, rng: &mut impl Rng) {
    let side = mask.side as f32;
    let (sin, cos) = rng.random_range(0.0..TAU).sin_cos();
    let (field, rough) = (Field::draw(rng), rng.random_range(1.0..7.0));
    let offset = side * rng.random_range(0.25..0.42);
    let bow = rng.random_range(-0.02..0.02);
    *mask = Plane::from_fn(mask.side, |x, y| {
        let (dx, dy) = (x - side / 2.0, y - side / 2.0);
        let (across, along) = (dx * cos + dy * sin, dy * cos - dx * sin);
        let wander = rough * field.fractal(along / 10.0, 0.5, 2, 0.6, |n| n);
        (across - offset + bow * along * along + wander + 0.5).clamp(0.0, 1.0)
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Seed;

    #[test]
    fn a_missing_patch_of_a_plain_surface_is_no_event() {
        let mut plane = Plane::constant(48, 0.4);
        let mut rng = Seed::new(3).rng();
        let (seen, mask) = befall(Event::Missing, &mut plane, &mut rng);
        assert_eq!(seen, Event::None);
        assert!(mask.values.iter().all(|&m| m == 0.0));
        assert!(plane.values.iter().all(|&v| v == 0.4));
    }

    #[test]
    fn events_change_some_pixels_and_leave_others() {
        for event in [Event::Spot, Event::Scratch, Event::Crack, Event::Stain] {
            let mut plane = Plane::constant(64, 0.5);
            let mut rng = Seed::new(4).derive(event.name(), 0).rng();
            let (seen, _) = befall(event, &mut plane, &mut rng);
            assert_eq!(seen, event);
            let changed = plane.values.iter().filter(|v| **v != 0.5).count();
            assert!((8..3000).contains(&changed), "{} {changed}", event.name());
        }
    }

    #[test]
    fn the_class_of_an_event_is_its_place_in_the_list() {
        for (i, event) in Event::ALL.iter().enumerate() {
            assert_eq!(*event as usize, i);
        }
    }
}
