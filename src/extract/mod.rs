//! Features: what the classifier sees of a piece.
//!
//! Image and anomaly map each pass through a pretrained ResNet
//! ([`Backbone`]), whose average-pooled outputs are columns `image.0000` and
//! `map.0000` ...; plain [statistics](map_statistics) of the map are columns `stat.max` ...
//! Which of them a classifier takes is the [`InputMode`].

mod backbone;
pub mod choice;
mod statistics;

pub use backbone::{Backbone, BackboneInfo, IMAGENET_DEVIATION, IMAGENET_MEAN};
pub use statistics::map_statistics;

use crate::data::anomaly_map::AnomalyMap;
use crate::data::feature_table::FeatureTable;
use crate::data::image::Image;
use crate::data::sample::SampleId;
use crate::error::{Error, Result};
use crate::nn::weights::WeightFile;
use candle_core::Device;
use ndarray::{Array2, Array3, Axis, concatenate};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// What the classifier sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub enum InputMode {
    /// The image's features.
    #[serde(rename = "image")]
    Image,
    /// The map's features and statistics.
    #[serde(rename = "map")]
    Map,
    /// All of them.
    #[default]
    #[serde(rename = "image+map")]
    ImageAndMap,
}

impl InputMode {
    /// All modes.
    pub const ALL: [Self; 3] = [Self::Image, Self::Map, Self::ImageAndMap];

    /// `image`, `map` or `image+map`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Image => "image",
            Self::Map => "map",
            Self::ImageAndMap => "image+map",
        }
    }

    /// The mode of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|m| m.name() == name)
    }

    /// Whether it needs the image's features.
    #[must_use]
    pub fn has_image(self) -> bool {
        self != Self::Map
    }

    /// Whether it needs the map's features.
    #[must_use]
    pub fn has_map(self) -> bool {
        self != Self::Image
    }

    /// Whether a column of this name belongs to it.
    #[must_use]
    pub fn takes(self, column: &str) -> bool {
        match column.split_once('.') {
            Some(("image", _)) => self.has_image(),
            Some(("map" | "stat", _)) => self.has_map(),
            _ => false,
        }
    }

    /// The least that has all these columns.
    #[must_use]
    pub fn of_columns<T: AsRef<str>>(columns: &[T]) -> Self {
        let all = |mode: Self| columns.iter().all(|column| mode.takes(column.as_ref()));
        match (all(Self::Map), all(Self::Image)) {
            (true, _) => Self::Map,
            (_, true) => Self::Image,
            _ => Self::ImageAndMap,
        }
    }

    /// The columns of `table` that belong to it.
    #[must_use]
    pub fn of(self, table: &FeatureTable) -> FeatureTable {
        let columns = table.columns().iter().enumerate();
        let taken: Vec<usize> = columns
            .filter(|(_, name)| self.takes(name))
            .map(|(i, _)| i)
            .collect();
        table.take_columns(&taken)
    }
}

impl std::fmt::Display for InputMode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// How features are made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct FeatureOptions {
    /// Pictures and maps are resized to this many pixels a side.
    pub size: usize,
    /// What is extracted.
    pub input: InputMode,
}

impl Default for FeatureOptions {
    fn default() -> Self {
        Self {
            size: 224,
            input: InputMode::ImageAndMap,
        }
    }
}

/// Makes feature rows of images and their maps.
#[derive(Debug, Clone)]
pub struct Extractor {
    options: FeatureOptions,
    info: BackboneInfo,
    image: Option<Backbone>,
    map: Option<Backbone>,
}

impl Extractor {
    /// An extractor for images of `channels` channels, both passes with the
    /// backbone `name` of `weights`. The map passes as a one-channel picture.
    ///
    /// # Errors
    /// As for [`Backbone::new`]; [`Error::Setting`] if the size is below 32.
    pub fn new(
        options: FeatureOptions,
        name: &str,
        weights: &WeightFile,
        channels: usize,
        device: &Device,
    ) -> Result<Self> {
        if options.size < 32 {
            let reason = format!("{} found, at least 32 expected", options.size);
            return Err(Error::setting("size", reason));
        }
        let backbone = |wanted: bool, channels| {
            wanted
                .then(|| Backbone::new(name, weights, channels, device))
                .transpose()
        };
        let image = backbone(options.input.has_image(), channels)?;
        let map = backbone(options.input.has_map(), 1)?;
        let info = match image.as_ref().or(map.as_ref()) {
            Some(backbone) => backbone.info().clone(),
            None => unreachable!("every mode has an image or a map"),
        };
        Ok(Self {
            options,
            info,
            image,
            map,
        })
    }

    /// As resolved.
    #[must_use]
    pub fn options(&self) -> &FeatureOptions {
        &self.options
    }

    /// Which backbone it uses, for bundles and reports.
    #[must_use]
    pub fn backbone(&self) -> &BackboneInfo {
        &self.info
    }

    /// What images pass through, if the mode has them.
    #[must_use]
    pub fn image_backbone(&self) -> Option<&Backbone> {
        self.image.as_ref()
    }

    /// What maps pass through, if the mode has them.
    #[must_use]
    pub fn map_backbone(&self) -> Option<&Backbone> {
        self.map.as_ref()
    }

    /// Names of the columns, in order.
    #[must_use]
    pub fn columns(&self) -> Vec<String> {
        let numbered = |prefix: &'static str, backbone: &Option<Backbone>| {
            let count = backbone.as_ref().map_or(0, |b| b.info().features);
            (0..count).map(move |i| format!("{prefix}.{i:04}"))
        };
        let mut columns: Vec<String> = numbered("image", &self.image).collect();
        columns.extend(numbered("map", &self.map));
        if self.map.is_some() {
            columns.extend(statistics::NAMES.iter().map(|name| format!("stat.{name}")));
        }
        columns
    }

    /// Feature rows `[n, columns]` of images and the maps that belong to them;
    /// the same numbers for a piece alone and among others. What the mode does
    /// not take may be empty.
    ///
    /// # Errors
    /// [`Error::Shape`] if an image has other channels than the backbone, or
    /// there are not as many maps as images.
    pub fn rows(&self, images: &[Image], maps: &[AnomalyMap]) -> Result<Array2<f64>> {
        self.rows_of(InputMode::ImageAndMap, images, maps)
    }

    fn rows_of(
        &self,
        mode: InputMode,
        images: &[Image],
        maps: &[AnomalyMap],
    ) -> Result<Array2<f64>> {
        let image = self.image.as_ref().filter(|_| mode.has_image());
        let map = self.map.as_ref().filter(|_| mode.has_map());
        let mut blocks = Vec::new();
        if let Some(backbone) = image {
            blocks.push(backbone.features(images, self.options.size)?);
        }
        if let Some(backbone) = map {
            if image.is_some() && images.len() != maps.len() {
                return Err(Error::shape("anomaly maps", maps.len(), images.len()));
            }
            let pictures = maps.iter().map(as_picture).collect::<Result<Vec<_>>>()?;
            blocks.push(backbone.features(&pictures, self.options.size)?);
            let mut statistics = Array2::zeros((maps.len(), statistics::NAMES.len()));
            let rows: Vec<_> = maps.par_iter().map(map_statistics).collect();
            for (mut row, values) in statistics.outer_iter_mut().zip(rows) {
                row.assign(&ndarray::aview1(&values));
            }
            blocks.push(statistics);
        }
        let views: Vec<_> = blocks.iter().map(Array2::view).collect();
        concatenate(Axis(1), &views)
            .map_err(|e| Error::data(format!("feature blocks do not fit together: {e}")))
    }

    /// Multiplications with addition of all passes of `mode` for one piece;
    /// `None` off the CPU.
    ///
    /// # Errors
    /// As for [`Backbone::multiply_adds`].
    pub fn multiply_adds(&self, mode: InputMode) -> Result<Option<u64>> {
        let mut total = Some(0);
        for backbone in self.backbones(mode) {
            let pass = backbone.multiply_adds(self.options.size)?;
            total = total.zip(pass).map(|(a, b)| a + b);
        }
        Ok(total)
    }

    /// Lays the networks of `mode` out for their pictures now, and not at the
    /// first of them.
    ///
    /// # Errors
    /// As for [`Backbone::prepare`].
    pub fn prepare(&self, mode: InputMode) -> Result<()> {
        let backbones: Vec<&Backbone> = self.backbones(mode).collect();
        let prepare = |backbone: &&Backbone| backbone.prepare(self.options.size);
        backbones.par_iter().try_for_each(prepare)
    }

    fn backbones(&self, mode: InputMode) -> impl Iterator<Item = &Backbone> {
        let image = self.image.as_ref().filter(|_| mode.has_image());
        let map = self.map.as_ref().filter(|_| mode.has_map());
        [image, map].into_iter().flatten()
    }

    /// As [`Extractor::rows`], as a table.
    ///
    /// # Errors
    /// As for [`Extractor::rows`]; [`Error::Shape`] if there are not as many ids.
    pub fn table(
        &self,
        ids: Vec<SampleId>,
        images: &[Image],
        maps: &[AnomalyMap],
    ) -> Result<FeatureTable> {
        self.table_of(InputMode::ImageAndMap, ids, images, maps)
    }

    /// As [`Extractor::table`], of the columns that `mode` takes alone.
    ///
    /// # Errors
    /// As for [`Extractor::table`].
    pub fn table_of(
        &self,
        mode: InputMode,
        ids: Vec<SampleId>,
        images: &[Image],
        maps: &[AnomalyMap],
    ) -> Result<FeatureTable> {
        let mut columns = self.columns();
        columns.retain(|column| mode.takes(column));
        FeatureTable::new(ids, columns, self.rows_of(mode, images, maps)?)
    }
}

/// A map as a one-channel picture.
fn as_picture(map: &AnomalyMap) -> Result<Image> {
    let (height, width) = map.values().dim();
    let values = map.values().iter().copied().collect();
    let pixels = Array3::from_shape_vec((1, height, width), values)
        .map_err(|e| Error::data(e.to_string()))?;
    Image::new(pixels)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::extract::backbone::tests::tiny_weights;

    #[test]
    fn a_row_holds_image_map_and_statistics_under_their_names() {
        let options = FeatureOptions {
            size: 32,
            input: InputMode::ImageAndMap,
        };
        let weights = tiny_weights();
        let extractor = Extractor::new(options, "tiny", &weights, 6, &Device::Cpu).unwrap();
        let image = Image::new(Array3::from_elem((6, 40, 40), 0.3)).unwrap();
        let map = AnomalyMap::new(Array2::from_elem((20, 20), 0.1)).unwrap();
        let ids = vec![SampleId::new("a")];
        let (images, maps) = ([image], [map]);
        let table = extractor.table(ids, &images, &maps).unwrap();
        assert_eq!(table.columns()[0], "image.0000");
        assert_eq!(table.columns()[16], "map.0000");
        assert_eq!(table.columns()[32], "stat.max");
        for mode in InputMode::ALL {
            let ids = vec![SampleId::new("a")];
            let part = extractor.table_of(mode, ids, &images, &maps).unwrap();
            assert_eq!(part, mode.of(&table));
            assert_eq!(InputMode::of_columns(part.columns()), mode);
        }
        let counts = InputMode::ALL.map(|mode| mode.of(&table).columns().len());
        let all = table.columns().len();
        assert_eq!(counts, [16, all - 16, all]);
        assert!((table.values()[[0, 32]] - 0.1).abs() < 1e-7);
    }

    #[test]
    fn modes_go_by_the_names_of_the_contract() {
        for mode in InputMode::ALL {
            let text = serde_json::to_string(&mode).unwrap();
            assert_eq!(text, format!("\"{}\"", mode.name()));
            assert_eq!(InputMode::named(mode.name()), Some(mode));
        }
    }
}
