//! The stages before an arm is fitted: anomaly models, maps and features, each
//! from the cache or made and kept there.
//!
//! Pieces go through in chunks, each with an entry of its own: memory stays
//! flat, and a run that is killed loses one chunk.

use super::cache::{Cache, Key, KeyBuilder, Product};
use super::digests::Digests;
use super::division::{Division, Source};
use super::meter::Meter;
use super::plan::Costs;
use super::stored::{Features, Maps, Weights};
use super::supervised::{FoldMaps, PieceMaps};
use super::table::{FoldTables, beside, join};
use crate::data::anomaly_map::AnomalyMap;
use crate::data::dataset::Dataset;
use crate::data::feature_table::FeatureTable;
use crate::data::image::Image;
use crate::data::reader::{ImageReader, Limits};
use crate::data::sample::SampleId;
use crate::draem::Draem;
use crate::error::{Error, Result};
use crate::extract::{Extractor, FeatureOptions, InputMode};
use crate::nn::checkpoint::Checkpoint;
use crate::pipeline::BackboneFile;
use crate::pipeline::anomaly::{AnomalyJob, registration};
use crate::pipeline::rows::Unreadable;
use crate::progress::Observer;
use crate::random::Seed;
use crate::settings::Settings;
use candle_core::Device;
use rayon::prelude::*;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::sync::OnceLock;

/// Pieces of one cache entry.
pub(super) const CHUNK: usize = 32;
/// Pieces that go through the networks at a time.
const BATCH: usize = 8;

/// What all stages work on.
pub struct Stages<'a> {
    pub(super) dataset: &'a Dataset,
    pub(super) settings: &'a Settings,
    pub(super) digests: Digests,
    pub(super) cache: &'a Cache,
    pub(super) reader: ImageReader,
    pub(super) device: &'a Device,
    pictures: &'a [Image],
    image: Extractor,
    map: Extractor,
    /// What every key depends on that reads pixels.
    pub(super) reading: Key,
    /// What every anomaly model's key depends on.
    training: Key,
    /// What every feature's key depends on.
    features: Key,
}

impl<'a> Stages<'a> {
    /// Reads the files' digests and makes the extractors ready.
    ///
    /// # Errors
    /// [`Error::Stopped`]; as for [`Extractor::new`].
    #[allow(clippy::too_many_arguments)] // everything that the stages depend on
    pub fn new(
        dataset: &'a Dataset,
        settings: &'a Settings,
        backbone: &BackboneFile,
        pictures: &'a [Image],
        limits: Limits,
        seed: u64,
        device: &'a Device,
        cache: &'a Cache,
        observer: &dyn Observer,
    ) -> Result<Self> {
        let extractor = |input| {
            let options = FeatureOptions {
                input,
                ..settings.features.clone()
            };
            let channels = dataset.format.channels.len();
            Extractor::new(options, &backbone.name, &backbone.weights, channels, device)
        };
        let place = if device.is_cpu() { "cpu" } else { "cuda" };
        let reading = KeyBuilder::new("reading")
            .with("format", format!("{:?}", dataset.format))
            .with("limits", format!("{limits:?}"))
            .finish();
        let mut of_pictures = Sha256::new();
        for picture in pictures {
            of_pictures.update(format!("{:?}", picture.pixels().dim()));
            for value in picture.as_slice() {
                of_pictures.update(value.to_le_bytes());
            }
        }
        let training = KeyBuilder::new("training")
            .with("reading", reading.to_string())
            .with_settings("draem", &settings.draem)
            .with("pictures", of_pictures.finalize())
            .with("seed", seed.to_le_bytes())
            .with("device", place)
            .finish();
        let features = KeyBuilder::new("features")
            .with("size", settings.features.size.to_le_bytes())
            .with("backbone", Sha256::digest(&backbone.bytes))
            .with("device", place)
            .finish();
        Ok(Self {
            digests: Digests::read(dataset, observer)?,
            dataset,
            settings,
            cache,
            reader: ImageReader::new(dataset.format.clone(), limits),
            device,
            pictures,
            image: extractor(InputMode::Image)?,
            map: extractor(InputMode::Map)?,
            reading,
            training,
            features,
        })
    }

    /// The key of an anomaly model of a fold.
    pub(super) fn model_key(&self, division: &Division<'_>, source: &Source<'_>) -> Key {
        let key = KeyBuilder::new(Weights::KIND)
            .with("training", self.training.to_string())
            .with("fold", (division.number as u64).to_le_bytes())
            .with("model", source.number.to_le_bytes());
        let learns = source.learns.indices();
        self.digests
            .add(key, "learns", self.dataset, learns)
            .finish()
    }

    /// The keys of a chunk's maps and of its map features.
    pub(super) fn chunk_keys(&self, model: &Key, chunk: &[usize]) -> (Key, Key) {
        let key = KeyBuilder::new(Maps::KIND)
            .with("reading", self.reading.to_string())
            .with("model", model.to_string());
        let maps = self
            .digests
            .add(key, "pieces", self.dataset, chunk)
            .finish();
        let features = KeyBuilder::new("map features")
            .with("maps", maps.to_string())
            .with("features", self.features.to_string())
            .finish();
        (maps, features)
    }

    /// The key of a chunk's image features.
    pub(super) fn image_key(&self, chunk: &[usize]) -> Key {
        let key = KeyBuilder::new("image features")
            .with("reading", self.reading.to_string())
            .with("features", self.features.to_string());
        self.digests
            .add(key, "pieces", self.dataset, chunk)
            .finish()
    }

    /// The key of a fold's rows: of everything that [`Stages::tables`] puts
    /// together, in its order.
    pub(super) fn tables_key(&self, division: &Division<'_>) -> Key {
        let mut key = KeyBuilder::new("tables");
        for chunk in self.dataset.labelled().chunks(CHUNK) {
            key = key.with("image", self.image_key(chunk).to_string());
        }
        for source in &division.sources {
            let model = self.model_key(division, source);
            for (name, pieces) in [("fitting", &source.fitting), ("test", &source.test)] {
                for chunk in pieces.chunks(CHUNK) {
                    key = key.with(name, self.chunk_keys(&model, chunk).1.to_string());
                }
            }
        }
        key.finish()
    }

    /// Image features of all labelled pieces. No fold changes them: nothing is
    /// fitted here.
    ///
    /// # Errors
    /// [`Error::Stopped`]; what the networks and the cache say.
    pub fn image_features(
        &self,
        costs: &Costs,
        observer: &dyn Observer,
    ) -> Result<(FeatureTable, Vec<Unreadable>)> {
        let mut parts = Vec::new();
        for chunk in self.dataset.labelled().chunks(CHUNK) {
            let key = self.image_key(chunk);
            let cached = self.cache.has(Features::KIND, &key);
            let worth = costs.image_features * chunk.len() as f64;
            let meter = Meter::new(observer, "image features", worth, chunk.len() as u64);
            let about = format!("image features of {} pieces", chunk.len());
            parts.push(self.cache.product(&key, &about, &meter, || {
                meter.begin("image features", chunk.len() as u64);
                let (ids, images, unreadable) = self.read(chunk, &meter)?;
                let rows = self.image.rows(&images, &[])?;
                let scores = vec![0.0; ids.len()];
                Ok(Features {
                    table: FeatureTable::new(ids, self.image.columns(), rows)?,
                    scores,
                    unreadable,
                })
            })?);
            meter.finish(cached);
        }
        let joined = join(parts, self.image.columns())?;
        Ok((joined.table, joined.unreadable))
    }

    /// The rows of one fold: its anomaly models are trained, its maps drawn,
    /// where the cache does not hold them.
    ///
    /// # Errors
    /// [`Error::Stopped`], with a checkpoint in the cache; what the networks say.
    pub fn tables(
        &self,
        division: &Division<'_>,
        image: &FeatureTable,
        costs: &Costs,
        observer: &dyn Observer,
    ) -> Result<FoldTables> {
        let (mut fitting, mut test) = (Vec::new(), Vec::new());
        for source in &division.sources {
            let model = LazyModel::new(self, division, source, costs, observer);
            for (pieces, parts) in [(&source.fitting, &mut fitting), (&source.test, &mut test)] {
                for chunk in pieces.chunks(CHUNK) {
                    parts.push(self.map_features(&model, chunk)?);
                }
            }
        }
        Ok(FoldTables {
            fitting: beside(image, join(fitting, self.map.columns())?)?,
            test: beside(image, join(test, self.map.columns())?)?,
        })
    }

    /// The maps that [`Stages::tables`] drew, at `size` x `size`: all at once,
    /// `4 size²` bytes a piece of the fold.
    ///
    /// # Errors
    /// As [`Stages::tables`]: what is no longer in the cache is made again.
    pub(super) fn maps(
        &self,
        division: &Division<'_>,
        size: usize,
        costs: &Costs,
        observer: &dyn Observer,
    ) -> Result<FoldMaps> {
        let (mut fitting, mut test) = (PieceMaps::new(size), PieceMaps::new(size));
        for source in &division.sources {
            let model = LazyModel::new(self, division, source, costs, observer);
            for (pieces, drawn) in [(&source.fitting, &mut fitting), (&source.test, &mut test)] {
                for chunk in pieces.chunks(CHUNK) {
                    let meter = Meter::new(observer, model.label(), 0.0, chunk.len() as u64);
                    drawn.take(self.chunk_maps(&model, chunk, &meter)?)?;
                }
            }
        }
        Ok(FoldMaps { fitting, test })
    }

    fn map_features(&self, model: &LazyModel<'_, 'a>, chunk: &[usize]) -> Result<Features> {
        let label = model.label();
        let about = format!("map features of {} pieces of {label}", chunk.len());
        let key = self.chunk_keys(&model.key, chunk).1;
        let cached = self.cache.has(Features::KIND, &key);
        let worth = (model.costs.draw + model.costs.map_features) * chunk.len() as f64;
        let meter = Meter::new(model.observer, label, worth, chunk.len() as u64);
        let features = self.cache.product(&key, &about, &meter, || {
            self.extract(self.chunk_maps(model, chunk, &meter)?)
        })?;
        meter.finish(cached);
        Ok(features)
    }

    fn chunk_maps(
        &self,
        model: &LazyModel<'_, 'a>,
        chunk: &[usize],
        meter: &Meter<'_>,
    ) -> Result<Maps> {
        let about = format!(
            "anomaly maps of {} pieces of {}",
            chunk.len(),
            model.label()
        );
        let key = self.chunk_keys(&model.key, chunk).0;
        self.cache.product(&key, &about, meter, || {
            let draem = model.get()?;
            meter.begin("drawing maps", chunk.len() as u64);
            self.draw(draem, chunk, meter)
        })
    }

    fn draw(&self, draem: &Draem, chunk: &[usize], meter: &Meter<'_>) -> Result<Maps> {
        let (ids, images, unreadable) = self.read(chunk, meter)?;
        let mut maps = Vec::with_capacity(images.len());
        for batch in images.chunks(BATCH) {
            for drawing in draem.draw(batch)? {
                maps.push(drawing.map.values().clone());
            }
        }
        Ok(Maps {
            ids,
            maps,
            unreadable,
        })
    }

    fn extract(&self, maps: Maps) -> Result<Features> {
        let drawn = maps.maps.into_iter().map(AnomalyMap::new);
        let drawn = drawn.collect::<Result<Vec<_>>>()?;
        let scores = drawn.par_iter().map(AnomalyMap::image_score).collect();
        let rows = self.map.rows(&[], &drawn)?;
        Ok(Features {
            table: FeatureTable::new(maps.ids, self.map.columns(), rows)?,
            scores,
            unreadable: maps.unreadable,
        })
    }

    /// Features of maps, for timing.
    pub(super) fn map_rows(&self, maps: &[AnomalyMap]) -> Result<()> {
        self.map.rows(&[], maps).map(|_| ())
    }

    /// Features of images, for timing.
    pub(super) fn image_rows(&self, images: &[Image]) -> Result<()> {
        self.image.rows(images, &[]).map(|_| ())
    }

    /// Reads a chunk's pieces; those that cannot be read are listed.
    fn read(
        &self,
        chunk: &[usize],
        observer: &dyn Observer,
    ) -> Result<(Vec<SampleId>, Vec<Image>, Vec<Unreadable>)> {
        if observer.stop_requested() {
            return Err(Error::Stopped);
        }
        let samples: Vec<_> = chunk.iter().map(|&i| &self.dataset.samples[i]).collect();
        let read: Vec<_> = samples.par_iter().map(|s| self.reader.read(s)).collect();
        let (mut ids, mut images, mut unreadable) = (Vec::new(), Vec::new(), Vec::new());
        for (sample, image) in samples.into_iter().zip(read) {
            match image {
                Ok(image) => {
                    ids.push(sample.id.clone());
                    images.push(image);
                }
                Err(error) => unreadable.push(Unreadable {
                    id: sample.id.clone(),
                    reason: crate::error::reason(&error, sample.path()),
                }),
            }
        }
        Ok((ids, images, unreadable))
    }

    /// The anomaly model of a fold, from the cache or trained; a training that
    /// was stopped goes on from its checkpoint.
    fn model(
        &self,
        division: &Division<'_>,
        source: &Source<'_>,
        key: &Key,
        costs: &Costs,
        observer: &dyn Observer,
    ) -> Result<Draem> {
        let label = format!("fold {}", division.number + 1);
        let options = &self.settings.draem;
        let cached = self.cache.has(Weights::KIND, key);
        let steps = options.steps as u64;
        let meter = Meter::new(observer, &label, costs.model, steps);
        let about = format!(
            "anomaly model {} of {label}, {} good pieces",
            source.number,
            source.learns.len()
        );
        let weights = self.cache.product(key, &about, &meter, || {
            let train = |checkpoint: &Checkpoint| {
                let job = AnomalyJob {
                    reader: &self.reader,
                    options,
                    // What another model has seen may lie in this fold's test pieces.
                    start: None,
                    pictures: self.pictures,
                    roi: None,
                    seed: division.seed.derive("draem", source.number),
                    device: self.device,
                    checkpoint: &|_, _| checkpoint.clone(),
                    recorder: None,
                };
                job.train(&source.learns, &meter)
            };
            let trained = self.cache.go_on(Weights::KIND, key, &meter, train)?;
            Ok(Weights(trained.draem.to_safetensors()?))
        })?;
        meter.finish(cached);
        let shape = options.shape(self.dataset.format.channels.len());
        let mut draem = Draem::new(shape, weights.tensors(self.device)?, self.device)?;
        draem.set_registration(registration(&source.learns, &self.reader, options));
        Ok(draem)
    }
}

/// An anomaly model that is trained or loaded when a map is first drawn.
struct LazyModel<'b, 'a> {
    stages: &'b Stages<'a>,
    division: &'b Division<'b>,
    source: &'b Source<'b>,
    key: Key,
    costs: &'b Costs,
    /// Of the whole comparison.
    observer: &'b dyn Observer,
    draem: OnceLock<Draem>,
}

impl<'b, 'a> LazyModel<'b, 'a> {
    fn new(
        stages: &'b Stages<'a>,
        division: &'b Division<'b>,
        source: &'b Source<'b>,
        costs: &'b Costs,
        observer: &'b dyn Observer,
    ) -> Self {
        Self {
            key: stages.model_key(division, source),
            stages,
            division,
            source,
            costs,
            observer,
            draem: OnceLock::new(),
        }
    }

    fn label(&self) -> String {
        format!("fold {}", self.division.number + 1)
    }

    fn get(&self) -> Result<&Draem> {
        if self.draem.get().is_none() {
            let draem = self.stages.model(
                self.division,
                self.source,
                &self.key,
                self.costs,
                self.observer,
            )?;
            // One fold is the work of one thread: nobody else has set it.
            let _ = self.draem.set(draem);
        }
        Ok(self.draem.get().expect("set above"))
    }
}

/// Unreadable pieces, each once, by id.
pub(super) fn once(all: Vec<Unreadable>) -> Vec<Unreadable> {
    let by_id: BTreeMap<SampleId, Unreadable> =
        all.into_iter().map(|u| (u.id.clone(), u)).collect();
    by_id.into_values().collect()
}

/// The seed of a comparison.
pub(super) fn root(seed: u64) -> Seed {
    Seed::new(seed).derive("compare", 0)
}
