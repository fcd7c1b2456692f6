//! Scoring as a stream: while the networks work on one batch, the next is read
//! and the last is written. Memory holds a few batches, however many inputs
//! there are; rows come out in the order of the inputs.

use crate::data::colour::ColourScale;
use crate::data::image::Image;
use crate::data::inputs::Input;
use crate::data::reader::ImageReader;
use crate::data::sample::SampleId;
use crate::error::{Error, Result};
use crate::pipeline::Inspection;
use crate::pipeline::inspector::{Inspector, channels_for};
use crate::progress::Observer;
use crate::report::heatmap::heatmap_png;
use crate::report::score_folder::{Look, ScoreFolder};
use crate::report::scores::{Beside, RowOutcome, ScoreRow};
use crate::report::thumbs;
use rayon::prelude::*;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

/// Inputs in a batch, at most.
pub(crate) const BATCH: usize = 8;
/// Batches that wait before networks and writer.
const WAITING: usize = 1;

/// Inputs and what was read of them.
pub(crate) type Read<'a> = Vec<(&'a Input, Result<Image>)>;
/// Inputs and what was found.
pub(crate) type Found<'a> = Vec<(&'a Input, Result<Seen>)>;
/// An image, what was found, and what a second model says.
pub(crate) type Seen = (Image, Inspection, Option<Beside>);

/// What scores.
#[derive(Debug, Clone, Copy)]
pub struct Models<'a> {
    /// Whose verdict counts.
    pub first: &'a dyn Inspector,
    /// Whose verdict stands beside it.
    pub beside: Option<&'a dyn Inspector>,
}

impl<'a> Models<'a> {
    /// One model alone.
    #[must_use]
    pub fn one(first: &'a dyn Inspector) -> Self {
        Self {
            first,
            beside: None,
        }
    }
}

/// Scores `entries` into `folder`, one row for each, in order.
///
/// # Errors
/// [`Error::Stopped`] after a requested stop, the rows so far being kept;
/// [`Error::Io`] if the folder cannot be written. An input that cannot be read
/// is a row, not an error.
pub fn score(
    models: Models<'_>,
    entries: &[Input],
    reader: &ImageReader,
    folder: &mut ScoreFolder,
    observer: &dyn Observer,
) -> Result<()> {
    let (to_networks, read) = sync_channel::<Read<'_>>(WAITING);
    let (to_writer, found) = sync_channel::<Result<Found<'_>>>(WAITING);
    std::thread::scope(|scope| {
        scope.spawn(move || read_all(entries, reader, &to_networks));
        scope.spawn(move || inspect_all(models, reader, read, &to_writer));
        write_all(found, &models.first.about().scale, folder, observer)
    })
}

/// Ends when all is read, or when nobody listens any more.
fn read_all<'a>(entries: &'a [Input], reader: &ImageReader, next: &SyncSender<Read<'a>>) {
    for batch in batches(entries, rayon::current_num_threads()) {
        if next.send(read_batch(batch, reader)).is_err() {
            return;
        }
    }
}

/// One input for each thread, then some more each time: whoever waits for the
/// first row waits for few others.
fn batches<T>(entries: &[T], threads: usize) -> impl Iterator<Item = &[T]> {
    let (mut rest, mut size) = (entries, 0);
    std::iter::from_fn(move || {
        size = (size + threads).min(BATCH);
        let (batch, others) = rest.split_at(size.min(rest.len()));
        rest = others;
        (!batch.is_empty()).then_some(batch)
    })
}

/// Reads inputs side by side.
pub(crate) fn read_batch<'a>(batch: &'a [Input], reader: &ImageReader) -> Read<'a> {
    batch
        .par_iter()
        .map(|input| (input, input.read(reader)))
        .collect()
}

fn inspect_all<'a>(
    models: Models<'_>,
    reader: &ImageReader,
    read: Receiver<Read<'a>>,
    next: &SyncSender<Result<Found<'a>>>,
) {
    for batch in read {
        let found = inspect(models, reader, batch);
        let failed = found.is_err();
        if next.send(found).is_err() || failed {
            return;
        }
    }
}

/// The readable images of a batch go through the networks together.
fn inspect<'a>(models: Models<'_>, reader: &ImageReader, batch: Read<'a>) -> Result<Found<'a>> {
    let mut ids: Vec<SampleId> = Vec::new();
    let mut images = Vec::new();
    let mut outcomes = Vec::new();
    for (input, image) in batch {
        outcomes.push((
            input,
            image.map(|image| {
                ids.push(input.id.clone());
                images.push(image);
            }),
        ));
    }
    let inspections = models.first.inspect(&ids, &images)?;
    let others = match models.beside {
        Some(other) => beside(other, &ids, &images, reader)?,
        None => vec![None; images.len()],
    };
    let seen = images.into_iter().zip(inspections).zip(others);
    let mut inspected = seen.map(|((image, found), other)| (image, found, other));
    Ok(outcomes
        .into_iter()
        .map(|(input, outcome)| {
            let outcome = outcome.map(|()| inspected.next().expect("one for each image"));
            (input, outcome)
        })
        .collect())
}

/// What a second model says of the same pieces.
fn beside(
    other: &dyn Inspector,
    ids: &[SampleId],
    images: &[Image],
    reader: &ImageReader,
) -> Result<Vec<Option<Beside>>> {
    let wanted = other.about().format;
    let images: Vec<Image> = images
        .iter()
        .map(|image| channels_for(image, reader.format(), wanted))
        .collect::<Result<_>>()?;
    let found = other.inspect(ids, &images)?;
    Ok(found
        .into_iter()
        .map(|found| {
            let prediction = found.prediction.as_ref();
            Some(Beside {
                p_defect: prediction.map(|p| p.p_defect()),
                decision: found.decision.verdict,
                class: prediction.map(|p| p.class().to_string()),
            })
        })
        .collect())
}

fn write_all(
    found: Receiver<Result<Found<'_>>>,
    scale: &ColourScale,
    folder: &mut ScoreFolder,
    observer: &dyn Observer,
) -> Result<()> {
    for batch in found {
        let batch = batch?;
        let steps = batch.len() as u64;
        write_batch(batch, scale, folder)?;
        observer.advance(steps);
        if observer.stop_requested() {
            return Err(Error::Stopped);
        }
    }
    Ok(())
}

/// Draws and writes what was found of a batch, in its order.
pub(crate) fn write_batch(
    batch: Found<'_>,
    scale: &ColourScale,
    folder: &mut ScoreFolder,
) -> Result<()> {
    // Drawing and compressing pictures is the writer's largest cost: done side by
    // side. Whether the report needs them is asked before the batch: some may
    // turn out to be drawn in vain, none is missing.
    let waiting = &*folder;
    let drawn: Vec<_> = batch
        .into_par_iter()
        .map(|(input, outcome)| {
            let id = input.id.as_str();
            let outcome = outcome.and_then(|(image, inspection, beside)| {
                let mut row = ScoreRow::scored(
                    id,
                    &input.path,
                    &inspection.decision,
                    inspection.prediction.as_ref(),
                    inspection.anomaly_score,
                )
                .with_regions(inspection.regions);
                if let RowOutcome::Ok(scored) = &mut row.outcome {
                    scored.beside = beside;
                    scored.offset = inspection.offset;
                }
                let map = inspection.map;
                let heatmap = match waiting.saves_heatmaps() {
                    true => Some(heatmap_png(&image, &map, scale)?),
                    false => None,
                };
                let pictures = match waiting.would_picture(&row) {
                    true => Some(thumbs::draw(&image, Some(&map), scale)?),
                    false => None,
                };
                Ok((row, image, map, heatmap, pictures))
            });
            (input, outcome)
        })
        .collect();
    for (input, outcome) in drawn {
        match outcome {
            Err(error) => {
                let row = ScoreRow::unreadable(input.id.as_str(), &input.path, &error);
                folder.push(row, None)?;
            }
            Ok((row, image, map, heatmap, pictures)) => {
                let look = Look {
                    image: &image,
                    map: Some(&map),
                    heatmap,
                    pictures,
                };
                folder.push(row, Some(look))?;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_begin_small_and_leave_nothing_out() {
        let entries: Vec<usize> = (0..31).collect();
        let sizes: Vec<usize> = batches(&entries, 2).map(<[usize]>::len).collect();
        assert_eq!(sizes, [2, 4, 6, 8, 8, 3]);
        assert_eq!(
            batches(&entries, 64).next().map(<[usize]>::len),
            Some(BATCH)
        );
        assert_eq!(batches(&entries, 3).flatten().count(), 31);
        assert_eq!(batches(&[0; 0], 2).count(), 0);
    }
}
