//! One pass over the pieces, a few at a time: what is kept of each does not grow
//! with its photograph.

use super::channels::ChannelStatistics;
use super::{AuditOptions, UNLABELLED, duplicates};
use crate::data::colour::ColourScale;
use crate::data::dataset::Dataset;
use crate::data::image::Image;
use crate::data::reader::{ImageReader, Limits};
use crate::data::sample::SampleId;
use crate::draem::Draem;
use crate::error::{Error, Result, reason};
use crate::extract::{Extractor, InputMode};
use crate::pipeline::Pipeline;
use crate::pipeline::rows::Unreadable;
use crate::progress::Observer;
use crate::random::Seed;
use crate::report::heatmap::{fitted, jpeg, panel, photograph, shown};
use rand::seq::SliceRandom;
use rayon::prelude::*;

/// Pieces in memory at once.
const CHUNK: usize = 16;
/// Longest side of a small picture.
const PICTURE: usize = 112;

/// What turns a piece into features.
#[derive(Debug)]
pub struct Eyes {
    draem: Option<Draem>,
    extractor: Extractor,
    name: String,
}

impl Eyes {
    /// A backbone's features of the image alone.
    #[must_use]
    pub fn backbone(extractor: Extractor) -> Self {
        let name = extractor.backbone().name.clone();
        Self {
            draem: None,
            name: format!("image features of {name}"),
            extractor,
        }
    }

    /// A bundle's features of image and anomaly map.
    ///
    /// # Errors
    /// [`Error::Data`] if it has no features.
    pub fn bundle(pipeline: Pipeline) -> Result<Self> {
        let name = &pipeline.training.name;
        let hybrid = pipeline.hybrid.ok_or_else(|| {
            Error::data(format!(
                "the bundle {name} has no features: its anomaly score decides"
            ))
        })?;
        Ok(Self {
            draem: Some(pipeline.draem),
            name: format!("image and map features of the bundle {name}"),
            extractor: hybrid.extractor,
        })
    }

    /// In words.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    fn features(&self, ids: Vec<SampleId>, images: &[Image]) -> Result<Vec<Vec<f64>>> {
        let table = match &self.draem {
            None => self
                .extractor
                .table_of(InputMode::Image, ids, images, &[])?,
            Some(draem) => {
                let maps: Vec<_> = draem.draw(images)?.into_iter().map(|d| d.map).collect();
                self.extractor
                    .table(ids, &draem.inspected(images)?, &maps)?
            }
        };
        Ok(table
            .values()
            .outer_iter()
            .map(|row| row.to_vec())
            .collect())
    }
}

/// A piece that was read.
#[derive(Debug, Clone)]
pub struct Piece {
    /// Its place among the data set's samples.
    pub sample: usize,
    /// Height and width in pixels.
    pub size: [usize; 2],
    /// Mean of each channel.
    pub means: Vec<f64>,
    /// Deviation of each channel.
    pub deviations: Vec<f64>,
    /// Share of saturated pixels of each channel.
    pub saturated: Vec<f64>,
    /// All channels in small, JPEG, if it is among the samples shown.
    pub picture: Option<Vec<u8>>,
}

pub(super) struct Looked {
    pub pieces: Vec<Piece>,
    pub channels: Vec<(String, Vec<ChannelStatistics>)>,
    pub reduced: Vec<Vec<f32>>,
    pub features: Vec<Vec<f64>>,
    pub unreadable: Vec<Unreadable>,
}

/// Which samples are shown: some of each class, drawn by the seed.
fn shown_samples(dataset: &Dataset, pictures: usize, seed: Seed) -> Vec<bool> {
    let mut chosen = vec![false; dataset.samples.len()];
    for (number, class) in dataset.classes.iter().enumerate() {
        let mut of = dataset.indices_of(class);
        of.shuffle(&mut seed.derive("audit pictures", number as u64).rng());
        of.truncate(pictures);
        of.into_iter().for_each(|i| chosen[i] = true);
    }
    chosen
}

/// The class a sample counts under, as a place.
fn class_of(dataset: &Dataset, sample: usize) -> usize {
    let label = dataset.samples[sample].label();
    let of = |l: &str| dataset.classes.iter().position(|c| c == l);
    label.and_then(of).unwrap_or(dataset.classes.len())
}

/// A piece's channels beside each other, as a small JPEG.
pub(super) fn picture(image: &Image) -> Result<Vec<u8>> {
    let scale = ColourScale::new(0.0, 1.0)?;
    if matches!(image.channels(), 1 | 3) {
        return jpeg(&photograph(&fitted(&shown(image)?, PICTURE)?, &scale));
    }
    jpeg(&panel(image, &scale, PICTURE)?.into())
}

pub(super) fn look(
    dataset: &Dataset,
    limits: Limits,
    eyes: &Eyes,
    options: &AuditOptions,
    seed: Seed,
    observer: &dyn Observer,
) -> Result<Looked> {
    let reader = ImageReader::new(dataset.format.clone(), limits);
    let chosen = shown_samples(dataset, options.pictures, seed);
    let count = dataset.format.channels.len();
    let names = dataset.classes.iter().map(String::as_str);
    let mut looked = Looked {
        pieces: Vec::new(),
        channels: names
            .chain([UNLABELLED])
            .map(|class| (class.to_string(), vec![ChannelStatistics::default(); count]))
            .collect(),
        reduced: Vec::new(),
        features: Vec::new(),
        unreadable: Vec::new(),
    };
    let all: Vec<usize> = (0..dataset.samples.len()).collect();
    observer.begin("looking at pieces", all.len() as u64);
    for chunk in all.chunks(CHUNK) {
        if observer.stop_requested() {
            observer.end();
            return Err(Error::Stopped);
        }
        let seen: Vec<_> = chunk
            .par_iter()
            .map(|&i| {
                let image = reader.read(&dataset.samples[i])?;
                let statistics: Vec<_> = (0..count)
                    .map(|c| ChannelStatistics::of(&image, c))
                    .collect();
                let reduced = duplicates::reduced(&image)?;
                let picture = chosen[i].then(|| picture(&image)).transpose()?;
                Ok((image, statistics, reduced, picture))
            })
            .collect();
        let (mut ids, mut images) = (Vec::new(), Vec::new());
        for (&i, seen) in chunk.iter().zip(seen) {
            let sample = &dataset.samples[i];
            match seen {
                Err(error) => looked.unreadable.push(Unreadable {
                    id: sample.id.clone(),
                    reason: reason(&error, sample.path()),
                }),
                Ok((image, statistics, reduced, picture)) => {
                    looked.pieces.push(Piece {
                        sample: i,
                        size: [image.height(), image.width()],
                        means: statistics.iter().map(ChannelStatistics::mean).collect(),
                        deviations: statistics
                            .iter()
                            .map(ChannelStatistics::deviation)
                            .collect(),
                        saturated: statistics
                            .iter()
                            .map(ChannelStatistics::saturated)
                            .collect(),
                        picture,
                    });
                    let of = &mut looked.channels[class_of(dataset, i)].1;
                    of.iter_mut().zip(&statistics).for_each(|(a, b)| a.add(b));
                    looked.reduced.push(reduced);
                    ids.push(sample.id.clone());
                    images.push(image);
                }
            }
        }
        if !images.is_empty() {
            looked.features.extend(eyes.features(ids, &images)?);
        }
        observer.advance(chunk.len() as u64);
    }
    observer.end();
    if looked.pieces.is_empty() {
        return Err(Error::data(format!(
            "none of the {} pieces can be read",
            dataset.samples.len()
        )));
    }
    looked
        .channels
        .retain(|(_, of)| of.iter().any(|s| s.pixels() > 0));
    Ok(looked)
}
