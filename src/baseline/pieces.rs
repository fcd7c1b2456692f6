//! The pieces that a baseline is trained or validated on, and where their
//! pictures come from.

use super::view::View;
use crate::data::fold::TrainingSet;
use crate::data::image::Image;
use crate::data::reader::ImageReader;
use crate::data::sample::Sample;
use crate::error::{Error, Result};
use crate::progress::Observer;
use rayon::prelude::*;

/// Where a network's pictures come from: an [`ImageReader`], or one that sets
/// further channels beside its own.
pub trait PieceReader: Sync {
    /// Channels of every picture.
    fn channels(&self) -> usize;

    /// Whether the last of them is an anomaly map, and none of the camera's.
    fn has_map(&self) -> bool {
        false
    }

    /// A piece's picture.
    ///
    /// # Errors
    /// As [`ImageReader::read`].
    fn read(&self, sample: &Sample) -> Result<Image>;
}

impl PieceReader for ImageReader {
    fn channels(&self) -> usize {
        self.format().channels.len()
    }

    fn read(&self, sample: &Sample) -> Result<Image> {
        Self::read(self, sample)
    }
}

/// Readable pieces with their classes.
pub(super) struct Pieces<'a> {
    pub samples: Vec<&'a Sample>,
    pub class: Vec<usize>,
}

/// Pieces with the reason why they could not be read.
pub(super) type Bad<'a> = Vec<(&'a Sample, String)>;

impl<'a> Pieces<'a> {
    /// Those of `set` that can be read; each is read once.
    pub fn readable(
        set: &TrainingSet<'a>,
        reader: &dyn PieceReader,
        view: &View,
        observer: &dyn Observer,
    ) -> Result<(Self, Bad<'a>)> {
        let samples: Vec<&'a Sample> = set.samples().collect();
        observer.begin("checking pieces", samples.len() as u64);
        let checked: Vec<Result<()>> = samples
            .par_iter()
            .map(|sample| {
                let image = reader.read(sample)?;
                observer.advance(1);
                match image.channels() == view.channels {
                    true => Ok(()),
                    false => Err(Error::shape("channels", image.channels(), view.channels)),
                }
            })
            .collect();
        observer.end();
        let mut pieces = Self {
            samples: Vec::new(),
            class: Vec::new(),
        };
        let mut bad = Vec::new();
        for ((sample, class), outcome) in samples.iter().zip(set.class_indices()).zip(checked) {
            match outcome {
                Ok(()) => {
                    pieces.samples.push(sample);
                    pieces.class.push(class);
                }
                Err(error) => bad.push((*sample, crate::error::reason(&error, sample.path()))),
            }
        }
        Ok((pieces, bad))
    }
}

/// Every class is trained on, and the validation pieces are of more than one.
///
/// - `train`, `validation`: the pieces' classes
pub(super) fn check_classes(
    classes: &[String],
    train: &[usize],
    validation: &[usize],
) -> Result<()> {
    if classes.len() < 2 {
        return Err(Error::data(format!(
            "a supervised baseline needs pieces of two classes; found: {}",
            classes.join(", ")
        ))
        .help("label defective pieces, or train with --model draem on good ones alone"));
    }
    for (c, name) in classes.iter().enumerate() {
        if !train.contains(&c) {
            return Err(
                Error::data(format!("no readable piece of class {name} to train on"))
                    .help("a class needs several groups; label more, or see --classes binary"),
            );
        }
    }
    let first = validation.first().copied();
    if !validation.iter().any(|c| Some(*c) != first) {
        return Err(Error::data(
            "the validation pieces are all of one class: no epoch can be chosen on them",
        )
        .help("raise baseline.validation_share, or label more pieces"));
    }
    Ok(())
}

/// Reads pieces side by side.
pub(super) fn read(samples: &[&Sample], reader: &dyn PieceReader) -> Result<Vec<Image>> {
    samples.par_iter().map(|s| reader.read(s)).collect()
}
