//! Decides the [`PixelFormat`] of a data set, once, by looking at up to 64 of
//! its files spread evenly over the sorted list. Files that cannot be read are
//! left out; each of the others has one vote:
//!
//! - **Axis order** of three-dimensional arrays: the axis whose length is the
//!   number of channels expected; where none is expected, the shorter of the
//!   first and the last. A tie is channels last, as NumPy and pictures have it.
//! - **Range** of floats: a file that stays within 1 votes for `0..=1`, any other
//!   for `0..=255`; of 16-bit integers: a file that stays within 255 votes for
//!   bytes, any other for `0..=65535`. A tie is the wider range; a file all black
//!   has no vote. Bytes always run to 255.
//! - **Colour**: pictures are grey if all those looked at are (a colour picture
//!   of three equal channels is grey stored as colour); one of true colour makes
//!   the data set RGB, in which grey pictures then count as R = G = B.
//!
//! A file that disagrees with the decision is an error when it is read.

use crate::data::decode::{self, Decoded, Header, Limits};
use crate::data::format::{AxisOrder, PixelFormat, PixelRange, RANGE_TOLERANCE, usual_channels};
use crate::data::npy::{Dtype, Values};
use crate::data::sample::{Channel, PixelSource, Sample};
use crate::error::{Error, Result};
use rayon::prelude::*;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// How many samples are looked at.
const LOOKED_AT: usize = 64;

/// What is known before looking.
#[derive(Debug, Clone, Default)]
pub(crate) struct Known {
    /// The channels wanted.
    pub channels: Option<Vec<Channel>>,
    /// The channels the files are said to hold.
    pub stored: Option<Vec<Channel>>,
    pub axis: Option<AxisOrder>,
    pub range: Option<PixelRange>,
    /// Stands where the files leave a question open.
    pub fallback: Option<PixelFormat>,
    /// Colour pictures are colour even if their channels are equal.
    pub colour_as_stored: bool,
}

/// What one file shows.
struct Facts {
    path: PathBuf,
    shape: Shape,
    dtype: Dtype,
    /// The largest value; `None` where it decides nothing (bytes, all black).
    peak: Option<f64>,
}

enum Shape {
    Picture { channels: usize, coloured: bool },
    Array(Vec<usize>),
}

/// Decides the format; the notes say what was not unanimous.
///
/// # Errors
/// [`Error::Data`] if none of the files can be read and there is no fallback.
pub(crate) fn decide(
    samples: &[&Sample],
    known: &Known,
    limits: Limits,
) -> Result<(PixelFormat, Vec<String>)> {
    let looked: Vec<(&Sample, Result<Vec<Facts>>)> = spread(samples)
        .into_par_iter()
        .map(|sample| (sample, look(sample, known, limits)))
        .collect();
    let mut facts = Vec::new();
    let mut failure = None;
    for (sample, result) in looked {
        match result {
            Ok(found) => {
                let whole = matches!(sample.source, PixelSource::File(_));
                facts.extend(found.into_iter().map(|f| (whole, f)));
            }
            Err(error) if failure.is_none() => failure = Some(error),
            Err(_) => {}
        }
    }
    if facts.is_empty() {
        if let Some(fallback) = &known.fallback {
            return Ok((fallback.clone(), Vec::new()));
        }
        return Err(match failure {
            Some(error) => {
                error.help("none of the files looked at could be read; this is the first")
            }
            None => Error::data("there is no picture or array to look at"),
        });
    }

    let mut notes = Vec::new();
    let axis = known
        .axis
        .unwrap_or_else(|| axis_order(&facts, known, &mut notes));
    let range = known.range.unwrap_or_else(|| {
        let fallback = known.fallback.as_ref().map(|f| f.range).unwrap_or_default();
        range(&facts, fallback, &mut notes)
    });
    let (count, grey_as_colour) = channel_count(&facts, axis);
    let wanted = known.channels.as_ref();
    let stored = known
        .stored
        .clone()
        .or_else(|| known.fallback.as_ref().and_then(|f| f.stored.clone()))
        .or_else(|| {
            // Some of the usual channels, or another order, of data that name none.
            let usual = usual_channels(count.filter(|n| matches!(n, 3 | 6))?);
            let named = wanted?.iter().all(|channel| usual.contains(channel));
            (known.fallback.is_none() && named).then_some(usual)
        });
    let channels = match (wanted, &stored, count) {
        (Some(channels), _, _) => channels.clone(),
        (None, Some(stored), _) => stored.clone(),
        (None, None, Some(count)) => usual_channels(count),
        (None, None, None) => usual_channels(1),
    };
    Ok((
        PixelFormat {
            stored: stored.filter(|stored| *stored != channels),
            channels,
            axis,
            range,
            grey_as_colour: grey_as_colour
                || known.fallback.as_ref().is_some_and(|f| f.grey_as_colour),
        },
        notes,
    ))
}

/// Up to [`LOOKED_AT`] samples, evenly spread, the first and the last among them.
fn spread<'a>(samples: &[&'a Sample]) -> Vec<&'a Sample> {
    let n = samples.len();
    if n <= LOOKED_AT {
        return samples.to_vec();
    }
    (0..LOOKED_AT)
        .map(|i| samples[i * (n - 1) / (LOOKED_AT - 1)])
        .collect()
}

/// Reads headers, and pixels only where they can decide something.
fn look(sample: &Sample, known: &Known, limits: Limits) -> Result<Vec<Facts>> {
    let paths = match &sample.source {
        PixelSource::File(path) => std::slice::from_ref(path),
        PixelSource::Channels(paths) => paths.as_slice(),
    };
    paths
        .iter()
        .map(|path| look_at(path, known, limits))
        .collect()
}

fn look_at(path: &Path, known: &Known, limits: Limits) -> Result<Facts> {
    let header = decode::read_header(path, limits)?;
    let needs_pixels = match header {
        Header::Picture { channels: 3, .. }
            if known.channels.is_none() && !known.colour_as_stored =>
        {
            true
        }
        Header::Picture { dtype, .. } | Header::Array { dtype, .. } => {
            dtype != Dtype::U8 && known.range.is_none()
        }
    };
    if !needs_pixels {
        let (shape, dtype) = match header {
            Header::Picture { channels, dtype } => (
                Shape::Picture {
                    channels,
                    coloured: channels == 3,
                },
                dtype,
            ),
            Header::Array { shape, dtype } => (Shape::Array(shape), dtype),
        };
        return Ok(Facts {
            path: path.into(),
            shape,
            dtype,
            peak: None,
        });
    }
    let (shape, values) = match decode::decode(path, limits)? {
        Decoded::Picture(picture) => {
            let shape = Shape::Picture {
                channels: picture.channels,
                coloured: picture.channels == 3 && (known.colour_as_stored || !picture.is_grey()),
            };
            (shape, picture.values)
        }
        Decoded::Array(array) => (Shape::Array(array.shape), array.values),
    };
    Ok(Facts {
        path: path.into(),
        shape,
        dtype: values.dtype(),
        peak: peak(&values),
    })
}

fn peak(values: &Values) -> Option<f64> {
    let top = match values {
        Values::U8(_) => return None,
        Values::U16(v) => v.iter().copied().max().map_or(0.0, f64::from),
        Values::F32(v) => v.iter().fold(0.0, |top: f64, &x| top.max(f64::from(x))),
        Values::F64(v) => v.iter().fold(0.0, |top: f64, &x| top.max(x)),
    };
    (top > 0.0 && top.is_finite()).then_some(top)
}

fn axis_order(facts: &[(bool, Facts)], known: &Known, notes: &mut Vec<String>) -> AxisOrder {
    let fallback = known.fallback.as_ref();
    let expected: Vec<usize> = [
        known.channels.as_ref(),
        known.stored.as_ref(),
        fallback.and_then(|f| f.stored.as_ref()),
    ]
    .into_iter()
    .flatten()
    .map(Vec::len)
    .collect();
    let (mut first, mut last) = (0, 0);
    for (_, fact) in facts {
        let Shape::Array(shape) = &fact.shape else {
            continue;
        };
        let [a, _, c] = shape[..] else { continue };
        let matches = (expected.contains(&a), expected.contains(&c));
        match matches {
            (true, false) => first += 1,
            (false, true) => last += 1,
            _ if a < c => first += 1,
            _ if c < a => last += 1,
            _ => {}
        }
    }
    if first > 0 && last > 0 {
        notes.push(format!(
            "axis order: {first} of the arrays looked at have their channels first, {last} last; \
             the more frequent order is taken for all"
        ));
    }
    match first.cmp(&last) {
        std::cmp::Ordering::Greater => AxisOrder::ChannelsFirst,
        std::cmp::Ordering::Less => AxisOrder::ChannelsLast,
        std::cmp::Ordering::Equal => fallback.map_or(AxisOrder::ChannelsLast, |f| f.axis),
    }
}

fn range(facts: &[(bool, Facts)], fallback: PixelRange, notes: &mut Vec<String>) -> PixelRange {
    let mut settle =
        |what: &str, narrow: f64, wide: f64, stands: f64, takes: &dyn Fn(Dtype) -> bool| {
            let limit = narrow * (1.0 + RANGE_TOLERANCE);
            let (within, beyond): (Vec<_>, Vec<_>) = facts
                .iter()
                .filter(|(_, f)| takes(f.dtype))
                .filter_map(|(_, f)| Some((&f.path, f.peak?)))
                .partition(|(_, peak)| *peak <= limit);
            // A white that no vote could find (4095 of a 12-bit camera) stands
            // while all files fit it.
            let fits = |(_, peak): &(&PathBuf, f64)| *peak <= stands * (1.0 + RANGE_TOLERANCE);
            if stands != narrow && stands != wide && within.iter().chain(&beyond).all(fits) {
                return stands;
            }
            let (chosen, odd) = match within.len().cmp(&beyond.len()) {
                _ if within.is_empty() && beyond.is_empty() => return stands,
                std::cmp::Ordering::Greater => (narrow, &beyond),
                _ => (wide, &within),
            };
            if let Some((path, peak)) = odd.first() {
                notes.push(format!(
                    "range: {what} run from 0 to {chosen} by the majority of the files looked at; \
                 {} of {} say otherwise ({} reaches {peak})",
                    odd.len(),
                    within.len() + beyond.len(),
                    path.display()
                ));
            }
            chosen
        };
    PixelRange {
        uint8: fallback.uint8,
        uint16: settle("16-bit integers", 255.0, 65535.0, fallback.uint16, &|d| {
            d == Dtype::U16
        }),
        float: settle("floats", 1.0, 255.0, fallback.float, &|d| {
            matches!(d, Dtype::F32 | Dtype::F64)
        }),
    }
}

/// The number of channels most files have (the larger of equally frequent ones),
/// and whether grey pictures stand among colour ones.
fn channel_count(facts: &[(bool, Facts)], axis: AxisOrder) -> (Option<usize>, bool) {
    let mut votes: BTreeMap<usize, usize> = BTreeMap::new();
    let (mut grey, mut colour) = (0, 0);
    for (_, fact) in facts.iter().filter(|(whole, _)| *whole) {
        match &fact.shape {
            Shape::Picture {
                channels: 3,
                coloured: true,
            } => colour += 1,
            Shape::Picture {
                channels: 1 | 3, ..
            } => grey += 1,
            Shape::Picture { channels, .. } => *votes.entry(*channels).or_default() += 1,
            Shape::Array(shape) => {
                let channels = match (shape[..].first(), shape.get(2), axis) {
                    (_, None, _) => 1,
                    (Some(&first), _, AxisOrder::ChannelsFirst) => first,
                    (_, Some(&last), _) => last,
                };
                *votes.entry(channels).or_default() += 1;
            }
        }
    }
    if grey + colour > 0 {
        *votes.entry(if colour > 0 { 3 } else { 1 }).or_default() += grey + colour;
    }
    let count = votes
        .iter()
        .max_by_key(|&(channels, count)| (*count, *channels))
        .map(|(channels, _)| *channels);
    (count, colour > 0 && grey > 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::layout::loose::unlabelled;
    use crate::data::npy;
    use crate::data::sample::SampleId;

    fn decided(dir: &Path, known: &Known) -> Result<(PixelFormat, Vec<String>)> {
        let mut paths: Vec<PathBuf> = std::fs::read_dir(dir)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        paths.sort();
        let samples: Vec<Sample> = paths
            .into_iter()
            .map(|p| unlabelled(SampleId::new(p.display().to_string()), PixelSource::File(p)))
            .collect();
        decide(
            &samples.iter().collect::<Vec<_>>(),
            known,
            Limits::default(),
        )
    }

    #[test]
    fn the_axis_of_the_expected_length_counts_the_channels() {
        let dir = tempfile::tempdir().unwrap();
        npy::write(&dir.path().join("a.npy"), &[6, 4, 5], &[1u8; 120]).unwrap();
        // Taken by length alone, the last axis would be the channels.
        let (format, _) = decided(dir.path(), &Known::default()).unwrap();
        assert_eq!(
            (format.axis, format.channels.len()),
            (AxisOrder::ChannelsLast, 5)
        );
        let known = Known {
            channels: Some(Channel::eraser()),
            ..Known::default()
        };
        let (format, _) = decided(dir.path(), &known).unwrap();
        assert_eq!(format.axis, AxisOrder::ChannelsFirst);
    }

    #[test]
    fn one_wild_value_does_not_change_the_range_of_all() {
        let dir = tempfile::tempdir().unwrap();
        for i in 0..9 {
            let top = if i == 4 { 3.0 } else { 1.0 };
            npy::write(
                &dir.path().join(format!("{i}.npy")),
                &[1, 2],
                &[0.25f32, top],
            )
            .unwrap();
        }
        let (format, notes) = decided(dir.path(), &Known::default()).unwrap();
        assert_eq!(format.range.float, 1.0);
        assert!(notes[0].contains("4.npy reaches 3"), "{notes:?}");
    }

    #[test]
    fn bytes_kept_in_wider_numbers_are_noticed() {
        let dir = tempfile::tempdir().unwrap();
        npy::write(&dir.path().join("a.npy"), &[1, 2], &[0u16, 255]).unwrap();
        npy::write(&dir.path().join("b.npy"), &[1, 2], &[0f64, 254.0]).unwrap();
        npy::write(&dir.path().join("c.npy"), &[1, 2], &[0f32, 0.0]).unwrap();
        let (format, notes) = decided(dir.path(), &Known::default()).unwrap();
        assert_eq!(format.range, PixelRange::byte());
        assert!(notes.is_empty(), "{notes:?}");
        npy::write(&dir.path().join("a.npy"), &[1, 2], &[0u16, 256]).unwrap();
        assert_eq!(
            decided(dir.path(), &Known::default())
                .unwrap()
                .0
                .range
                .uint16,
            65535.0
        );
    }

    #[test]
    fn grey_stored_as_colour_is_grey_until_a_colour_picture_is_among_it() {
        let dir = tempfile::tempdir().unwrap();
        let save = |name: &str, pixel: [u8; 3]| {
            let path = dir.path().join(name);
            image::RgbImage::from_pixel(4, 4, image::Rgb(pixel))
                .save(path)
                .unwrap();
        };
        save("a.png", [7, 7, 7]);
        image::GrayImage::new(4, 4)
            .save(dir.path().join("b.png"))
            .unwrap();
        let (format, _) = decided(dir.path(), &Known::default()).unwrap();
        assert_eq!(format.names(), ["GRAY"]);
        save("c.png", [7, 8, 7]);
        let (format, _) = decided(dir.path(), &Known::default()).unwrap();
        assert_eq!(format.names(), ["R", "G", "B"]);
        assert!(format.grey_as_colour);
    }

    #[test]
    fn the_sample_of_files_is_spread_from_first_to_last() {
        let samples: Vec<Sample> = (0..1000)
            .map(|i| unlabelled(SampleId::new(i.to_string()), PixelSource::File("x".into())))
            .collect();
        let chosen = spread(&samples.iter().collect::<Vec<_>>());
        assert_eq!(chosen.len(), 64);
        assert_eq!(
            (chosen[0].id.as_str(), chosen[63].id.as_str()),
            ("0", "999")
        );
    }

    #[test]
    fn unreadable_files_have_no_vote() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("a.png"), "no picture").unwrap();
        let error = decided(dir.path(), &Known::default()).unwrap_err();
        assert!(error.to_string().contains("neither PNG"), "{error}");
        npy::write(&dir.path().join("b.npy"), &[1, 1], &[0.5f32]).unwrap();
        assert!(decided(dir.path(), &Known::default()).is_ok());
    }
}
