//! Pictures of whole packs, fifteen erasers on the belt, with the place and
//! the truth of each.

use super::dataset::{self, Summary};
use super::{
    Blow, Colour, Defect, PACK, Piece, Scene, SensorNoise, SynthOptions, View, expose, mask,
    spoiled_piece,
};
use crate::data::annotation::Label;
use crate::data::pixel_files::PixelFiles;
use crate::error::Result;
use crate::files::Existing;
use crate::progress::Observer;
use crate::random::Seed;
use ndarray::{Array2, Array3};
use std::path::Path;

/// Size of a pack's picture: height, width.
const PICTURE: [usize; 2] = [729, 969];
/// Pixels for each eraser unit: an eraser is about 165 pixels wide.
const SCALE: f32 = 0.602;
/// Where the pack's centre lies in the picture.
const CENTRE: [f32; 2] = [452.0, 316.0];

/// The picture of one pack.
#[derive(Debug, Clone)]
pub struct PackPicture {
    /// `pack-000008`; its erasers are the pieces `15 * 8 ..`.
    pub id: String,
    /// `[6, 729, 969]`.
    pub pixels: Array3<u8>,
    /// `[729, 969]`: where defects show at this size.
    pub mask: Array2<bool>,
    /// The fifteen erasers, row by row.
    pub members: Vec<Member>,
}

/// One eraser of a pack's picture.
#[derive(Debug, Clone)]
pub struct Member {
    /// The id of the same eraser as a piece: `synth-000123`.
    pub id: String,
    /// Left, top, width, height of its upright bounding box in pixels, without
    /// its defects.
    pub bounds: [usize; 4],
    /// Clockwise turn in degrees.
    pub angle: f32,
    /// The true class.
    pub label: Label,
    /// The recorded class.
    pub noisy_label: Label,
    /// What went wrong.
    pub defects: Vec<Defect>,
    /// Colour of the rubber.
    pub colour: Colour,
}

/// Pack number `index` of the series that `seed` starts: the same erasers,
/// with the same defects, as [`super::piece`] makes for `15 * index ..`.
///
/// `options` must pass [`SynthOptions::check`].
#[must_use]
pub fn pack(options: &SynthOptions, seed: Seed, index: u64) -> PackPicture {
    let scene = Scene::draw(seed, index);
    let view = View {
        width: PICTURE[1],
        height: PICTURE[0],
        scale: SCALE,
        corner: [-CENTRE[0] / SCALE, -CENTRE[1] / SCALE],
    };
    let spoiled: Vec<(Piece, Vec<Blow>)> = (0..PACK as u64)
        .map(|member| spoiled_piece(options, &scene, index * PACK as u64 + member))
        .collect();

    let mut surfaces = scene.surfaces(&view);
    let ground = scene.ground(&view, &surfaces);
    let mut rng = seed.derive("pack picture", index).rng();
    let noise = SensorNoise::draw(&mut rng, view.width, view.height);
    let exposure = scene.exposure(&view);
    let [mut clean, mut after] = [ground.clone(), ground];
    let mut members = Vec::with_capacity(PACK);
    for (member, (piece, blows)) in spoiled.into_iter().enumerate() {
        let surface = surfaces[member]
            .as_mut()
            .expect("the view shows the whole pack");
        surface.paint(&mut clean);
        let placement = surface.placement;
        members.push(Member {
            id: piece.id,
            bounds: bounds(surface),
            angle: placement.turn[1].atan2(placement.turn[0]).to_degrees(),
            label: piece.label,
            noisy_label: piece.noisy_label,
            defects: piece.defects,
            colour: piece.colour,
        });
        for blow in blows {
            blow.defect
                .apply(&scene.erasers[member], surface, &mut blow.seed.rng());
        }
        surface.paint(&mut after);
    }
    let pixels = expose(&after, &exposure, &noise);
    let mask = mask::difference(&expose(&clean, &exposure, &noise), &pixels)
        .unwrap_or_else(|| Array2::from_elem((view.height, view.width), false));
    PackPicture {
        id: format!("pack-{index:06}"),
        pixels,
        mask,
        members,
    }
}

/// The box around the pixels that lie within the outline.
fn bounds(surface: &super::Surface) -> [usize; 4] {
    let window = surface.window;
    let (mut left, mut right, mut top, mut bottom) = (usize::MAX, 0, usize::MAX, 0);
    for (at, _) in surface
        .distance
        .iter()
        .enumerate()
        .filter(|(_, d)| **d < 0.0)
    {
        let (x, y) = (window.x0 + at % window.width, window.y0 + at / window.width);
        (left, right) = (left.min(x), right.max(x));
        (top, bottom) = (top.min(y), bottom.max(y));
    }
    [left, top, right - left + 1, bottom - top + 1]
}

/// Writes `count` packs as a folder:
///
/// - `images/PACK_CHANNEL.png` (or `arrays/PACK.npy`), 969 x 729
/// - `masks/PACK.png`, 0 and 255
/// - `packs.csv`: one row for each eraser with its box and its truth
/// - `dataset.json`: how it was made
///
/// # Errors
/// As [`super::write_dataset`].
pub fn write_packs(
    out: &Path,
    options: &SynthOptions,
    seed: u64,
    count: u64,
    files: PixelFiles,
    existing: Existing,
    observer: &dyn Observer,
) -> Result<Summary> {
    let folder = dataset::Folder::begin(out, options, existing, files, true)?;
    let mut table = folder.table(
        "packs.csv",
        &[
            "pack",
            "row",
            "column",
            "id",
            "x",
            "y",
            "width",
            "height",
            "angle",
            "label",
            "noisy_label",
            "kinds",
            "severity",
            "colour",
        ],
    )?;
    let root = Seed::new(seed);
    let mut summary = Summary::default();
    dataset::in_chunks(
        count,
        "packs",
        observer,
        |index| {
            let pack = pack(options, root, index);
            folder.write_pixels(&pack.id, pack.pixels.view())?;
            folder.write_mask(&pack.id, pack.mask.view())?;
            Ok((pack.id, pack.members))
        },
        |(pack, members)| {
            for (i, m) in members.iter().enumerate() {
                summary.count(&m.label, &m.noisy_label);
                let [x, y, width, height] = m.bounds;
                table.row(&[
                    pack.clone(),
                    (i / super::scene::COLUMNS).to_string(),
                    (i % super::scene::COLUMNS).to_string(),
                    m.id.clone(),
                    x.to_string(),
                    y.to_string(),
                    width.to_string(),
                    height.to_string(),
                    format!("{:.3}", m.angle),
                    m.label.to_string(),
                    m.noisy_label.to_string(),
                    dataset::kinds(&m.defects),
                    dataset::severities(&m.defects),
                    m.colour.name().into(),
                ])?;
            }
            Ok(())
        },
    )?;
    table.finish()?;
    folder.finish(seed, count)?;
    Ok(summary)
}
