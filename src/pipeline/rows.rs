//! What the later steps are fitted and measured on: for each piece its map's
//! score and its features, drawn piece by piece so that memory stays flat.

use crate::data::colour::Calibration;
use crate::data::feature_table::FeatureTable;
use crate::data::reader::ImageReader;
use crate::data::sample::{Sample, SampleId};
use crate::draem::Draem;
use crate::error::{Error, Result};
use crate::extract::Extractor;
use crate::metrics::pixel::PixelScores;
use crate::progress::Observer;
use ndarray::{Array2, Axis, concatenate};
use rayon::prelude::*;

/// Pieces read and put through the networks at a time.
const CHUNK: usize = 16;

/// A piece that could not be read, and why.
#[derive(Debug, Clone, PartialEq)]
pub struct Unreadable {
    /// The sample.
    pub id: SampleId,
    /// The reason, in one line.
    pub reason: String,
}

/// Scores and features of readable pieces.
#[derive(Debug)]
pub struct Rows {
    /// For each row its sample's place among those asked for.
    pub places: Vec<usize>,
    /// The maps' image scores.
    pub scores: Vec<f64>,
    /// Features, where there is an extractor.
    pub features: Option<FeatureTable>,
    /// What could not be read.
    pub unreadable: Vec<Unreadable>,
}

impl Rows {
    /// These rows and then `other`'s, whose places are shifted by `shift`.
    ///
    /// # Errors
    /// [`Error::Shape`] if the features differ.
    pub fn join(self, other: Self, shift: usize) -> Result<Self> {
        let features = match (self.features, other.features) {
            (Some(a), Some(b)) => Some(stack(vec![a, b])?),
            _ => None,
        };
        Ok(Self {
            places: self
                .places
                .into_iter()
                .chain(other.places.into_iter().map(|p| p + shift))
                .collect(),
            scores: [self.scores, other.scores].concat(),
            features,
            unreadable: [self.unreadable, other.unreadable].concat(),
        })
    }
}

/// What else is gathered while the pieces pass by.
#[derive(Default)]
pub struct Gather<'a> {
    /// Heatmap colours, from the good pieces.
    pub colours: Option<&'a mut Calibration>,
    /// Pixel measures: maps at the masks' size; a good piece's mask is empty.
    /// Pixels outside the region of interest do not count.
    pub pixels: Option<&'a mut PixelScores>,
}

/// Draws maps and features of `samples`.
///
/// # Errors
/// [`Error::Stopped`]; what the networks say. A piece that cannot be read is
/// listed, not an error.
pub fn draw(
    samples: &[&Sample],
    reader: &ImageReader,
    draem: &Draem,
    extractor: Option<&Extractor>,
    mut gather: Gather<'_>,
    what: &str,
    observer: &dyn Observer,
) -> Result<Rows> {
    let mut rows = Rows {
        places: Vec::new(),
        scores: Vec::new(),
        features: None,
        unreadable: Vec::new(),
    };
    let mut tables = Vec::new();
    observer.begin(what, samples.len() as u64);
    for (chunk_index, chunk) in samples.chunks(CHUNK).enumerate() {
        if observer.stop_requested() {
            observer.end();
            return Err(Error::Stopped);
        }
        let read: Vec<_> = chunk.par_iter().map(|s| reader.read(s)).collect();
        let (mut ids, mut images, mut places) = (Vec::new(), Vec::new(), Vec::new());
        for (i, image) in read.into_iter().enumerate() {
            match image {
                Ok(image) => {
                    ids.push(chunk[i].id.clone());
                    images.push(image);
                    places.push(chunk_index * CHUNK + i);
                }
                Err(error) => rows.unreadable.push(Unreadable {
                    id: chunk[i].id.clone(),
                    reason: crate::error::reason(&error, chunk[i].path()),
                }),
            }
        }
        let mut maps = Vec::with_capacity(images.len());
        for ((drawing, image), place) in draem.draw(&images)?.into_iter().zip(&images).zip(&places)
        {
            let annotation = samples[*place].annotation.as_ref();
            if let (Some(colours), true) = (
                &mut gather.colours,
                annotation.is_some_and(|a| a.label.is_good()),
            ) {
                let (height, width) = drawing.map.values().dim();
                let inside = draem.roi().map(|roi| roi.resized(height, width));
                let inside = inside.transpose()?;
                colours.add_map_within(&drawing.map, inside.as_ref());
                colours.add_image(image);
                colours.add_differences(&drawing.seen, &drawing.restored, inside.as_ref());
            }
            maps.push(drawing.map);
        }
        if let Some(extractor) = extractor
            && !images.is_empty()
        {
            tables.push(extractor.table(ids, &draem.inspected(&images)?, &maps)?);
        }
        for ((place, image), map) in places.iter().zip(&images).zip(&maps) {
            let sample = samples[*place];
            let good = sample
                .annotation
                .as_ref()
                .is_some_and(|a| a.label.is_good());
            if let Some(pixels) = &mut gather.pixels {
                let (h, w) = (image.height(), image.width());
                let mask = match reader.read_mask(sample, image) {
                    Ok(mask) => mask,
                    Err(error) => {
                        observer.note(&error.to_string());
                        continue;
                    }
                };
                // A defective piece without a mask says nothing of its pixels.
                if mask.is_some() || good {
                    let map = map.resize(h, w)?;
                    let values = map.values().as_slice().expect("kept in standard layout");
                    let flat = |mask: Array2<bool>| mask.iter().copied().collect::<Vec<_>>();
                    let mask = mask.map(flat);
                    let inside = draem.roi().map(|roi| roi.resized(h, w)).transpose()?;
                    let inside = inside.map(flat);
                    pixels.push_within(h, w, values, mask.as_deref(), inside.as_deref())?;
                }
            }
        }
        rows.scores.extend(
            maps.iter()
                .map(crate::data::anomaly_map::AnomalyMap::image_score),
        );
        rows.places.extend(places);
        observer.advance(chunk.len() as u64);
    }
    observer.end();
    if !tables.is_empty() {
        rows.features = Some(stack(tables)?);
    }
    Ok(rows)
}

/// The tables under one another.
fn stack(tables: Vec<FeatureTable>) -> Result<FeatureTable> {
    let columns = tables[0].columns().to_vec();
    if let Some(other) = tables.iter().find(|t| t.columns() != columns) {
        return Err(Error::shape(
            "feature columns",
            other.columns().len(),
            columns.len(),
        ));
    }
    let ids = tables
        .iter()
        .flat_map(|t| t.ids().iter().cloned())
        .collect();
    let views: Vec<_> = tables.iter().map(|t| t.values().view()).collect();
    let values = concatenate(Axis(0), &views).expect("the columns agree");
    FeatureTable::new(ids, columns, values)
}
