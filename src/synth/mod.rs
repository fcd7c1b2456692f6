//! Erasers made from nothing: six aligned channels, the exact mask of every
//! defect, the true label.
//!
//! A piece is drawn in this order: [`scene`](self) lays a pack of fifteen on
//! the belt, `eraser` draws rubber, outline, print and harmless wear, `defect`
//! (with `misprint` and `damage`) spoils the surface, `surface` lights it for
//! each channel and `picture` photographs it. Both the good and the spoiled
//! surface are photographed with the same noise; where they differ is the mask.
//!
//! [`piece`] is the 310 x 310 crop of one eraser, [`pack`] the picture of a
//! whole pack, [`write_dataset`] and [`write_packs`] make folders of them.

mod damage;
mod dataset;
mod defect;
mod draw;
mod eraser;
mod glyphs;
mod light;
mod mask;
mod misprint;
mod noise;
mod outline;
mod packs;
mod picture;
mod print;
mod scene;
mod surface;

pub use dataset::{Summary, write_dataset};
pub use defect::{Defect, Kind};
pub use eraser::Colour;
pub use packs::{Member, PackPicture, pack, write_packs};

use crate::data::annotation::Label;
use crate::error::{Error, Result};
use crate::random::Seed;
use draw::{chance, pick};
use ndarray::{Array2, Array3};
use picture::{SensorNoise, expose};
use rand::Rng;
pub use scene::PACK;
use scene::{Scene, View};
use serde::{Deserialize, Serialize};
use surface::Surface;

/// Height and width of a piece's picture.
pub const SIZE: usize = 310;

/// The four classes of the eraser data set, good first.
pub const CLASSES: [&str; 4] = ["good", "both", "physical", "print"];

/// What is made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SynthOptions {
    /// Share of defective pieces. Of these 45% have a printing error, 45% a
    /// physical defect and 10% one of each.
    pub defect_rate: f64,
    /// Share of pieces whose recorded label is another class, drawn at random;
    /// the true label is recorded beside it.
    pub label_noise: f64,
    /// Least and greatest severity, drawn uniformly between them. Above 0
    /// (barely visible) to 1.
    pub severity: [f32; 2],
}

impl Default for SynthOptions {
    fn default() -> Self {
        Self {
            defect_rate: 0.375,
            label_noise: 0.0,
            severity: [0.15, 1.0],
        }
    }
}

impl SynthOptions {
    /// Whether the options make sense.
    ///
    /// # Errors
    /// [`Error::Setting`] naming the first that is out of its range.
    pub fn check(&self) -> Result<()> {
        for (name, rate) in [
            ("defect-rate", self.defect_rate),
            ("label-noise", self.label_noise),
        ] {
            if !(0.0..=1.0).contains(&rate) {
                return Err(Error::setting(
                    name,
                    format!("{rate} given, 0 to 1 expected"),
                ));
            }
        }
        let [low, high] = self.severity;
        if !(low > 0.0 && low <= high && high <= 1.0) {
            return Err(Error::setting(
                "severity",
                format!("{low} to {high} given, two numbers above 0, up to 1, in order expected"),
            ));
        }
        Ok(())
    }
}

/// One synthetic eraser.
#[derive(Debug, Clone)]
pub struct Piece {
    /// `synth-000123`; the number is the index it was asked for with.
    pub id: String,
    /// `pack-000008`: the pack it lay in, fifteen pieces each. Pieces of a pack
    /// share light, belt and printing lot, so a split should not part them.
    pub group: String,
    /// `[6, 310, 310]`: GRAY, AM, G, R, W, NORMAL.
    pub pixels: Array3<u8>,
    /// `[310, 310]`: where the defects show; empty for a good piece, and for
    /// no other.
    pub mask: Array2<bool>,
    /// The true class: `good`, `print`, `physical` or `both`.
    pub label: Label,
    /// The recorded class: the true one, or by `label_noise` another.
    pub noisy_label: Label,
    /// What went wrong, printing error first.
    pub defects: Vec<Defect>,
    /// Colour of the rubber.
    pub colour: Colour,
}

/// A defect and the seed of its place and shape.
#[derive(Debug, Clone, Copy)]
struct Blow {
    defect: Defect,
    seed: Seed,
}

/// Piece number `index` of the series that `seed` starts.
///
/// Depends on nothing else: not on the number of threads, nor on which other
/// pieces are made. `options` must pass [`SynthOptions::check`].
#[must_use]
pub fn piece(options: &SynthOptions, seed: Seed, index: u64) -> Piece {
    let scene = Scene::draw(seed, index / PACK as u64);
    spoiled_piece(options, &scene, index).0
}

/// The piece and what happened to it, its scene being given.
fn spoiled_piece(options: &SynthOptions, scene: &Scene, index: u64) -> (Piece, Vec<Blow>) {
    let member = (index % PACK as u64) as usize;
    let view = scene.crop(member);
    let eraser = &scene.erasers[member];

    let mut surfaces = scene.surfaces(&view);
    let mut ground = scene.ground(&view, &surfaces);
    let mut surface = surfaces[member]
        .take()
        .expect("a crop shows its own eraser");
    for neighbour in surfaces.iter().flatten() {
        neighbour.paint(&mut ground);
    }
    let noise = SensorNoise::draw(
        &mut scene.member_seed("sensor", member).rng(),
        view.width,
        view.height,
    );
    let exposure = scene.exposure(&view);
    let photograph = |surface: &Surface| {
        let mut picture = ground.clone();
        surface.paint(&mut picture);
        expose(&picture, &exposure, &noise)
    };

    let plan = Plan::draw(options, scene.member_seed("plan", member));
    let mut pixels = photograph(&surface);
    let mut mask = Array2::from_elem((view.height, view.width), false);
    let mut blows = Vec::new();
    for (number, mut defect) in plan.defects.into_iter().enumerate() {
        let seed = scene
            .member_seed("defect", member)
            .derive(defect.kind.name(), number as u64);
        // A faint defect may fall where it does not show (a dent in a crack, a
        // bright crumb on white); then it happens elsewhere, a little stronger.
        let (blow, spoiled, after, changed) = (0..64)
            .find_map(|attempt| {
                let seed = seed.derive("attempt", attempt);
                let mut spoiled = surface.clone();
                defect.apply(eraser, &mut spoiled, &mut seed.rng());
                let after = photograph(&spoiled);
                let changed = mask::difference(&pixels, &after);
                let blow = Blow { defect, seed };
                defect.severity = (defect.severity * 1.1).min(1.0);
                changed.map(|changed| (blow, spoiled, after, changed))
            })
            .expect("a strong defect shows in one of many places");
        mask.zip_mut_with(&changed, |m, &c| *m |= c);
        (surface, pixels) = (spoiled, after);
        blows.push(blow);
    }

    let piece = Piece {
        id: format!("synth-{index:06}"),
        group: format!("pack-{:06}", index / PACK as u64),
        pixels,
        mask,
        label: plan.label,
        noisy_label: plan.noisy_label,
        defects: blows.iter().map(|b| b.defect).collect(),
        colour: eraser.colour,
    };
    (piece, blows)
}

/// What shall happen to a piece.
struct Plan {
    label: Label,
    noisy_label: Label,
    defects: Vec<Defect>,
}

impl Plan {
    fn draw(options: &SynthOptions, seed: Seed) -> Self {
        let rng = &mut seed.rng();
        // Everything is drawn whether it is used or not, so that changing one
        // rate changes no other draw.
        let defective = chance(rng, options.defect_rate);
        let which: f64 = rng.random();
        let print = draw_defect(options, &Kind::PRINT, rng);
        let physical = draw_defect(options, &Kind::PHYSICAL, rng);
        let (name, defects) = match (defective, which) {
            (false, _) => ("good", vec![]),
            (true, w) if w < 0.45 => ("print", vec![print]),
            (true, w) if w < 0.90 => ("physical", vec![physical]),
            (true, _) => ("both", vec![print, physical]),
        };
        let mistaken = chance(rng, options.label_noise);
        let others: Vec<&str> = CLASSES.into_iter().filter(|c| *c != name).collect();
        let other = pick(rng, &others);
        Self {
            label: Label::new(name),
            noisy_label: Label::new(if mistaken { other } else { name }),
            defects,
        }
    }
}

fn draw_defect(options: &SynthOptions, kinds: &[Kind], rng: &mut impl Rng) -> Defect {
    let kind = pick(rng, kinds);
    let [low, high] = options.severity;
    let severity = draw::between(rng, low, high);
    Defect { kind, severity }
}

#[cfg(test)]
mod tests;
