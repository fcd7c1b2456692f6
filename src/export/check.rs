//! The check of an export: the written files, read back and run by another
//! runtime, must say of real pieces what goma says.

use super::FileFacts;
use super::parts::{ANOMALY, CLASSIFIER, IMAGE_FEATURES, MAP_FEATURES, has_after};
use super::runtime::{BATCH, Network};
use crate::baseline::view::PixelInput;
use crate::data::annotation::GOOD;
use crate::data::anomaly_map::AnomalyMap;
use crate::data::feature_table::FeatureTable;
use crate::data::image::Image;
use crate::data::offset::Offset;
use crate::data::prediction::Verdict;
use crate::data::sample::SampleId;
use crate::draem::Tiling;
use crate::draem::registration::{Registration, moved_back};
use crate::draem::tiles::Grid;
use crate::error::{Error, Result};
use crate::extract::map_statistics;
use crate::pipeline::supervised::Supervised;
use crate::pipeline::{Hybrid, Pipeline};
use crate::store::Contents;
use ndarray::{Array2, ArrayView2};
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::Path;

/// The largest difference that is let through: of numbers above 1, its share of
/// the number.
pub const TOLERANCE: f64 = 1e-4;

/// What was found.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Findings {
    /// Pieces compared (tiles, where the bundle cuts pieces into tiles).
    pub pieces: usize,
    /// The largest difference by what was compared; of numbers above 1 its
    /// share of the number.
    pub largest: BTreeMap<&'static str, f64>,
    /// The largest difference of the probability that the decision rests on,
    /// where goma's own classifier makes it of the exported networks' outputs.
    pub p_defect: Option<f64>,
    /// Pieces that would be decided otherwise.
    pub decisions_changed: usize,
}

impl Findings {
    fn compare(&mut self, what: &'static str, ours: &[f32], theirs: &[f32]) -> Result<()> {
        if ours.len() != theirs.len() {
            return Err(Error::shape(what, theirs.len(), ours.len()));
        }
        let pairs = ours.iter().zip(theirs);
        let furthest = pairs.fold(0.0f64, |furthest, (&a, &b)| {
            let (a, b) = (f64::from(a), f64::from(b));
            let off = (a - b).abs() / a.abs().max(1.0);
            // What is no number is as far off as can be.
            furthest.max(if off.is_nan() { f64::INFINITY } else { off })
        });
        let largest = self.largest.entry(what).or_default();
        *largest = largest.max(furthest);
        Ok(())
    }

    fn decide(&mut self, ours: Verdict, theirs: Verdict) {
        self.pieces += 1;
        self.decisions_changed += usize::from(ours != theirs);
    }

    /// Whether the exported files may be handed on.
    ///
    /// # Errors
    /// [`Error::Data`] naming what differs.
    pub fn accept(&self) -> Result<()> {
        if self.pieces == 0 {
            return Err(Error::data("no piece could be read to check the export on"));
        }
        let off: Vec<String> = self
            .largest
            .iter()
            .filter(|(_, off)| **off > TOLERANCE)
            .map(|(what, off)| format!("{what} by {off:.1e}"))
            .collect();
        if !off.is_empty() {
            return Err(Error::data(format!(
                "the exported graph differs from the bundle, at most {TOLERANCE:.0e} is let \
                 through: {}",
                off.join(", ")
            ))
            .help("check on real pieces: on pictures unlike them rounding alone grows that far"));
        }
        match self.decisions_changed {
            0 => Ok(()),
            n => Err(Error::data(format!(
                "the exported graph decides otherwise on {n} of {} pieces",
                self.pieces
            ))
            .help("a piece lies on the threshold itself: set another threshold")),
        }
    }
}

/// A check under way.
pub struct Check {
    contents: Contents,
    networks: Networks,
    tiling: Tiling,
    /// What moves pieces before they are cut into tiles.
    registration: Option<Registration>,
    /// Pieces that are not compared yet.
    waiting: Vec<Image>,
    findings: Findings,
}

impl Check {
    /// Reads back the `files` in `folder`, which were made of a bundle's `contents`.
    ///
    /// - `as_they_are`: the graphs take pieces at their own size
    ///
    /// # Errors
    /// [`Error::Malformed`] if the other runtime cannot make sense of a file.
    pub fn begin(
        mut contents: Contents,
        folder: &Path,
        files: &[FileFacts],
        as_they_are: bool,
    ) -> Result<Self> {
        let mut by_file = BTreeMap::new();
        for file in files {
            let network = Network::load(&folder.join(file.file), &file.about.input.dims)?;
            by_file.insert(file.file, network);
        }
        let (mut tiling, mut registration) = (Tiling::Off, None);
        if let Contents::Pipeline(pipeline) = &mut contents {
            tiling = pipeline.draem.tiling();
            if tiling != Tiling::Off {
                // The graph sees single tiles, wherever they lie.
                registration = pipeline.draem.registration().cloned();
                pipeline.draem.set_registration(None);
                pipeline.draem.set_tiling(Tiling::Off);
                pipeline.draem.set_roi(None);
            }
        }
        Ok(Self {
            contents,
            networks: Networks {
                by_file,
                as_they_are,
            },
            tiling,
            registration,
            waiting: Vec::new(),
            findings: Findings::default(),
        })
    }

    /// Compares what is said of one piece.
    ///
    /// # Errors
    /// [`Error::Shape`] if the graphs take pieces of another size.
    pub fn add(&mut self, mut image: Image) -> Result<()> {
        if let Some(registration) = &self.registration {
            (image, _) = registration.place(&image);
        }
        match &self.contents {
            Contents::Pipeline(pipeline) if self.tiling != Tiling::Off => {
                let size = pipeline.draem.shape().size;
                let grid = Grid::new(image.height(), image.width(), size);
                let fitted = grid.fit(&image)?;
                for tile in grid.tiles() {
                    self.waiting.push(Image::new(grid.cut(&fitted, tile))?);
                }
            }
            _ => self.waiting.push(image),
        }
        while self.waiting.len() >= BATCH {
            let batch: Vec<Image> = self.waiting.drain(..BATCH).collect();
            self.compare(&batch)?;
        }
        Ok(())
    }

    /// What was found.
    ///
    /// # Errors
    /// As [`Check::add`].
    pub fn finish(mut self) -> Result<Findings> {
        let rest = std::mem::take(&mut self.waiting);
        if !rest.is_empty() {
            self.compare(&rest)?;
        }
        Ok(self.findings)
    }

    fn compare(&mut self, images: &[Image]) -> Result<()> {
        let (networks, findings) = (&self.networks, &mut self.findings);
        match &self.contents {
            Contents::Pipeline(pipeline) => inspected(pipeline, networks, images, findings),
            Contents::Supervised(supervised) => predicted(supervised, networks, images, findings),
        }
    }
}

/// The files that were read back.
struct Networks {
    by_file: BTreeMap<&'static str, Network>,
    as_they_are: bool,
}

impl Networks {
    /// A file's outputs, by output and piece.
    fn run(&self, file: &str, pictures: &[Vec<f32>]) -> Result<Vec<Vec<Vec<f32>>>> {
        match self.by_file.get(file) {
            Some(network) => network.run(pictures),
            None => Err(Error::data(format!("{file} was not exported"))),
        }
    }

    /// What a file is fed of pieces: themselves, or at the network's size.
    fn fed(&self, file: &str, images: &[Image], size: usize) -> Result<Vec<Vec<f32>>> {
        let fed = |image: &Image| -> Result<Vec<f32>> {
            if !self.as_they_are {
                return Ok(image.resize(size, size)?.as_slice().to_vec());
            }
            let (c, h, w) = image.pixels().dim();
            let expected = self.by_file.get(file).map_or(&[][..], Network::dims);
            match expected == [c, h, w] {
                true => Ok(image.as_slice().to_vec()),
                false => Err(Error::shape("piece", [c, h, w], expected)),
            }
        };
        images.iter().map(fed).collect()
    }
}

/// Maps, scores, restored pieces, features and decisions of a hybrid or
/// anomaly model.
fn inspected(
    pipeline: &Pipeline,
    networks: &Networks,
    images: &[Image],
    findings: &mut Findings,
) -> Result<()> {
    let draem = &pipeline.draem;
    let size = draem.shape().size;
    let place = |image: &Image| match draem.registration() {
        Some(registration) => registration.place(image),
        None => (image.clone(), Offset::default()),
    };
    let (placed, offsets): (Vec<Image>, Vec<Offset>) = images.iter().map(place).unzip();
    let fed = networks.fed(ANOMALY, &placed, size)?;
    let found = networks.run(ANOMALY, &fed)?;
    let [maps, scores, restored] = &found[..] else {
        return Err(Error::shape("outputs", found.len(), 3));
    };
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for (i, drawing) in draem.draw(images)?.into_iter().enumerate() {
        let on_photograph = |planes: &[f32]| on_photograph(planes, size, &images[i], offsets[i]);
        let in_place = anomaly_map(maps[i].clone(), size)?;
        findings.compare("score", &[in_place.image_score() as f32], &scores[i])?;
        let map = anomaly_map(on_photograph(&maps[i]), size)?;
        let values = [&drawing.map, &map].map(|m| m.values().iter().copied().collect::<Vec<_>>());
        findings.compare("map", &values[0], &values[1])?;
        let score = [&drawing.map, &map].map(|m| m.image_score() as f32);
        findings.compare("score", &score[..1], &score[1..])?;
        let back = on_photograph(&restored[i]);
        findings.compare("restored", drawing.restored.as_slice(), &back)?;
        ours.push(drawing.map);
        theirs.push(map);
    }
    let Some(hybrid) = &pipeline.hybrid else {
        for ((ours, theirs), score) in ours.iter().zip(&theirs).zip(scores) {
            let score = match has_after(draem) {
                true => theirs.image_score(),
                false => f64::from(score[0]),
            };
            let [ours, theirs] = [ours.image_score(), score].map(|s| pipeline.rule.decide(s));
            findings.decide(ours.verdict, theirs.verdict);
        }
        return Ok(());
    };
    let inspected = draem.inspected(images)?;
    let columns = hybrid.extractor.columns();
    let ours_rows = hybrid.extractor.rows(&inspected, &ours)?;
    let their_rows = features(pipeline, hybrid, networks, images, &theirs)?;
    for (a, b) in ours_rows.outer_iter().zip(their_rows.outer_iter()) {
        for (what, prefix) in [("image features", "image."), ("map features", "map.")] {
            let of = |row: &ndarray::ArrayView1<f64>| -> Vec<f32> {
                let named = columns
                    .iter()
                    .zip(row)
                    .filter(|(c, _)| c.starts_with(prefix));
                named.map(|(_, v)| *v as f32).collect()
            };
            findings.compare(what, &of(&a), &of(&b))?;
        }
    }
    let table = |rows: Array2<f64>| {
        let ids = (0..images.len()).map(|i| SampleId::new(i.to_string()));
        FeatureTable::new(ids.collect(), columns.clone(), rows)
    };
    let ours = pipeline.decide(ours, Some(table(ours_rows)?))?;
    let theirs = pipeline.decide(theirs, Some(table(their_rows)?))?;
    for (a, b) in ours.iter().zip(&theirs) {
        findings.decide(a.decision.verdict, b.decision.verdict);
        let off = (a.decision.score - b.decision.score).abs();
        findings.p_defect = Some(findings.p_defect.unwrap_or(0.0).max(off));
    }
    Ok(())
}

/// Planes of `size` x `size` that a graph drew of `image` at its usual place, on the
/// photograph: the step `move-back`.
fn on_photograph(planes: &[f32], size: usize, image: &Image, offset: Offset) -> Vec<f32> {
    let photograph = (image.height(), image.width());
    let planes = planes.chunks_exact(size * size).map(|plane| {
        let plane = ArrayView2::from_shape((size, size), plane).expect("a whole plane");
        moved_back(plane, photograph, offset)
    });
    planes.flatten().collect()
}

fn anomaly_map(values: Vec<f32>, size: usize) -> Result<AnomalyMap> {
    let values = Array2::from_shape_vec((size, size), values);
    let map = AnomalyMap::new(values.map_err(|e| Error::data(e.to_string()))?)?;
    Ok(map.with_window_of(size))
}

/// Rows as [`crate::extract::Extractor::rows`] makes them, of the exported backbones.
fn features(
    pipeline: &Pipeline,
    hybrid: &Hybrid,
    networks: &Networks,
    images: &[Image],
    maps: &[AnomalyMap],
) -> Result<Array2<f64>> {
    let size = hybrid.extractor.options().size;
    let mut rows = vec![Vec::new(); images.len()];
    let mut add = |found: Vec<Vec<Vec<f32>>>| {
        for (row, features) in rows.iter_mut().zip(&found[0]) {
            row.extend(features.iter().map(|&v| f64::from(v)));
        }
    };
    if hybrid.extractor.image_backbone().is_some() {
        // The graph that takes pieces as they are blanks them itself.
        let inspected = match networks.as_they_are {
            true => images.into(),
            false => pipeline.draem.inspected(images)?,
        };
        let fed = networks.fed(IMAGE_FEATURES, &inspected, size)?;
        add(networks.run(IMAGE_FEATURES, &fed)?);
    }
    if hybrid.extractor.map_backbone().is_some() {
        let side = networks
            .by_file
            .get(MAP_FEATURES)
            .map_or(0, |n| n.dims()[1]);
        let at_its_size = |map: &AnomalyMap| -> Result<Vec<f32>> {
            Ok(map.resize(side, side)?.values().iter().copied().collect())
        };
        let fed = maps.iter().map(at_its_size).collect::<Result<Vec<_>>>()?;
        add(networks.run(MAP_FEATURES, &fed)?);
        for (row, map) in rows.iter_mut().zip(maps) {
            row.extend(map_statistics(map));
        }
    }
    let width = rows.first().map_or(0, Vec::len);
    Array2::from_shape_vec((images.len(), width), rows.concat())
        .map_err(|e| Error::data(e.to_string()))
}

/// Logits, probabilities and decisions of a baseline.
fn predicted(
    supervised: &Supervised,
    networks: &Networks,
    images: &[Image],
    findings: &mut Findings,
) -> Result<()> {
    let baseline = &supervised.baseline;
    let view = &baseline.shape().view;
    let fed = match view.input {
        PixelInput::Canny => {
            let edges = |image: &Image| Ok(view.picture(image)?.as_slice().to_vec());
            images.iter().map(edges).collect::<Result<Vec<_>>>()?
        }
        _ => networks.fed(CLASSIFIER, images, view.size)?,
    };
    let found = networks.run(CLASSIFIER, &fed)?;
    let [logits, probabilities] = &found[..] else {
        return Err(Error::shape("outputs", found.len(), 2));
    };
    let predictions = baseline.predict(images)?;
    let scores = baseline.scores(images)?;
    for (i, ours) in predictions.iter().enumerate() {
        findings.compare("logits", &scores[i], &logits[i])?;
        let said: Vec<f32> = ours.probabilities().iter().map(|&p| p as f32).collect();
        findings.compare("probabilities", &said, &probabilities[i])?;
        let good = baseline.classes().iter().position(|c| c == GOOD);
        let p_defect = good.map_or(1.0, |good| 1.0 - f64::from(probabilities[i][good]));
        let theirs = supervised.rule.decide(p_defect.clamp(0.0, 1.0));
        findings.decide(
            supervised.rule.decide(ours.p_defect()).verdict,
            theirs.verdict,
        );
    }
    Ok(())
}
