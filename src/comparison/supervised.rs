//! Supervised networks as arms: in every fold trained anew on the pieces that
//! the fold's classifiers are fitted on, best epoch and threshold chosen on a
//! share of these, then asked about the test pieces.
//!
//! A network sees the image alone, or the image with its anomaly map as one more
//! channel. The maps are those that the classifiers' rows are made of: a training
//! piece's is drawn by a model that has not seen it (unless `fitting.maps` is
//! `seen`), a test piece's by the model that a bundle would keep. That is why
//! networks are trained on [`Division::fitting`] and no further piece, without
//! the map too: arms differ in one factor.

use super::arm::{Arm, Task};
use super::cache::{Key, KeyBuilder, Product};
use super::division::Division;
use super::fits::{PredictedPiece, Predictions, most_probable};
use super::plan::Costs;
use super::stages::{CHUNK, Stages};
use super::stored::Maps;
use super::table::FoldTables;
use super::{Job, with_defects};
use crate::baseline::{self, Kind, PieceReader};
use crate::data::anomaly_map::AnomalyMap;
use crate::data::fold::TrainingSet;
use crate::data::image::Image;
use crate::data::reader::ImageReader;
use crate::data::sample::{Sample, SampleId};
use crate::error::{Error, Result};
use crate::extract::InputMode;
use crate::nn::checkpoint::Checkpoint;
use crate::nn::weights::WeightFile;
use crate::pipeline::decide;
use crate::progress::Observer;
use crate::random::Seed;
use crate::settings::Settings;
use ndarray::{Array3, Axis, s};
use serde::{Deserialize, Serialize};
use std::collections::{HashMap, HashSet};
use std::sync::OnceLock;

/// Test pieces read at a time.
const PASS: usize = 16;

/// A network that is compared, and what it starts from.
#[derive(Debug)]
pub struct StartingNetwork {
    /// The network.
    pub network: Kind,
    /// Name and weights that a ResNet starts from; without them, drawn ones.
    pub weights: Option<(String, WeightFile)>,
}

/// Anomaly maps of some pieces, `size` x `size`.
#[derive(Debug, Default)]
pub struct PieceMaps {
    size: usize,
    maps: HashMap<SampleId, AnomalyMap>,
}

impl PieceMaps {
    pub(super) fn new(size: usize) -> Self {
        let maps = HashMap::new();
        Self { size, maps }
    }

    #[cfg(test)]
    pub(super) fn ids(&self) -> std::collections::BTreeSet<&SampleId> {
        self.maps.keys().collect()
    }

    /// Adds a chunk's maps.
    pub(super) fn take(&mut self, drawn: Maps) -> Result<()> {
        for (id, map) in drawn.ids.into_iter().zip(drawn.maps) {
            let map = AnomalyMap::new(map)?.resize(self.size, self.size)?;
            self.maps.insert(id, map);
        }
        Ok(())
    }
}

/// The maps of a fold. Those to train on hold no test piece's.
#[derive(Debug, Default)]
pub struct FoldMaps {
    /// Of the training pieces that are fitted on.
    pub fitting: PieceMaps,
    /// Of the test pieces.
    pub test: PieceMaps,
}

/// Pictures with the pieces' maps as the last channel.
struct WithMap<'a> {
    reader: &'a ImageReader,
    maps: &'a PieceMaps,
}

impl PieceReader for WithMap<'_> {
    fn channels(&self) -> usize {
        PieceReader::channels(self.reader) + 1
    }

    fn has_map(&self) -> bool {
        true
    }

    fn read(&self, sample: &Sample) -> Result<Image> {
        let size = self.maps.size;
        let image = self.reader.read(sample)?.resize(size, size)?;
        let map = self.maps.maps.get(&sample.id);
        let map = map.ok_or_else(|| Error::data(format!("{} has no anomaly map", sample.id)))?;
        let channels = image.channels();
        let mut pixels = Array3::zeros((channels + 1, size, size));
        pixels
            .slice_mut(s![..channels, .., ..])
            .assign(image.pixels());
        pixels
            .index_axis_mut(Axis(0), channels)
            .assign(map.values());
        Image::new(pixels)
    }
}

/// What a trained network says: enough to set a threshold and to score.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Answers {
    /// Of each validation piece: probability of a defect, and whether it is one.
    validation: Vec<(f64, bool)>,
    /// Of each test piece: probability of a defect, and of each class.
    test: Vec<(SampleId, f64, Vec<f64>)>,
}

/// `None` if the pieces are too few to train on.
impl Product for Option<Answers> {
    const KIND: &'static str = "networks";

    fn to_bytes(&self) -> Result<Vec<u8>> {
        serde_json::to_vec(self).map_err(|e| Error::data(e.to_string()))
    }

    fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let read: Self = serde_json::from_slice(bytes).map_err(|e| Error::data(e.to_string()))?;
        let finite = |(_, p, all): &(SampleId, f64, Vec<f64>)| {
            p.is_finite() && all.iter().all(|v| v.is_finite())
        };
        if let Some(answers) = &read
            && !(answers.test.iter().all(finite)
                && answers.validation.iter().all(|(p, _)| p.is_finite()))
        {
            return Err(Error::data("a probability is no number"));
        }
        Ok(read)
    }
}

/// Trains a network and asks it about the test pieces; `None` if the pieces are
/// too few: a class is missing on one side of the inner division.
///
/// - `reader`: of `job`, gives the training pieces' pictures
/// - `test_reader`: gives the test pieces', whose labels nobody asks for
pub(super) fn answers(
    set: &TrainingSet<'_>,
    job: &baseline::Job<'_>,
    test: &[&Sample],
    test_reader: &dyn PieceReader,
    observer: &dyn Observer,
) -> Result<Option<Answers>> {
    if baseline::check(set, job.options, job.seed).is_err() {
        return Ok(None);
    }
    let fitted = baseline::fit(set, job, observer)?;
    let good = crate::data::annotation::GOOD;
    let validation = fitted.validation.iter().zip(&fitted.predictions);
    let validation = validation.map(|(s, p)| (p.p_defect(), s.label() != Some(good)));
    let validation = validation.collect();
    let mut asked = Vec::with_capacity(test.len());
    for samples in test.chunks(PASS) {
        let images = samples.iter().map(|s| test_reader.read(s));
        let images = images.collect::<Result<Vec<_>>>()?;
        for (sample, p) in samples.iter().zip(fitted.baseline.predict(&images)?) {
            asked.push((sample.id.clone(), p.p_defect(), p.probabilities().to_vec()));
        }
    }
    Ok(Some(Answers {
        validation,
        test: asked,
    }))
}

impl Answers {
    /// Each test piece's probability of a defect.
    #[cfg(test)]
    pub(super) fn scores(&self) -> impl Iterator<Item = (&SampleId, f64)> {
        self.test.iter().map(|(id, score, _)| (id, *score))
    }

    /// Decides: binary by a threshold on the validation pieces, multi-class by
    /// the largest probability.
    fn decide(self, task: Task, settings: &Settings, good_repeat: usize) -> Result<Predictions> {
        let fail_at = match task {
            Task::MultiClass => None,
            Task::Binary => {
                let (scores, defects): (Vec<f64>, Vec<bool>) = self.validation.into_iter().unzip();
                Some(decide::fit_rule(settings, good_repeat, &scores, &defects)?.fail_at)
            }
        };
        let piece = |(id, score, probabilities): (SampleId, f64, Vec<f64>)| PredictedPiece {
            id,
            score,
            predicted: match fail_at {
                Some(fail_at) => usize::from(score >= fail_at),
                None => most_probable(&probabilities),
            },
            probabilities,
        };
        Ok(Predictions {
            threshold: fail_at.filter(|t| t.is_finite()),
            selected: 0,
            pieces: self.test.into_iter().map(piece).collect(),
        })
    }
}

/// One fold, for the networks.
pub(super) struct NetworkFold<'a> {
    pub job: &'a Job<'a>,
    pub stages: &'a Stages<'a>,
    pub division: &'a Division<'a>,
    pub tables: &'a FoldTables,
    pub costs: &'a Costs,
    /// Of the whole comparison.
    pub observer: &'a dyn Observer,
    /// Put together when the first network wants them.
    pub maps: OnceLock<FoldMaps>,
}

impl NetworkFold<'_> {
    fn maps(&self) -> Result<&FoldMaps> {
        if self.maps.get().is_none() {
            let size = self.job.settings.baseline.size;
            let maps = self
                .stages
                .maps(self.division, size, self.costs, self.observer)?;
            // Networks of a fold are trained one after another.
            let _ = self.maps.set(maps);
        }
        Ok(self.maps.get().expect("set above"))
    }

    /// A network in this fold: what it says from the cache, or trained, from its
    /// checkpoint if there is one.
    pub(super) fn predictions(
        &self,
        arm: &Arm,
        (network, input): (Kind, InputMode),
        observer: &dyn Observer,
    ) -> Result<Option<Predictions>> {
        let Self { job, division, .. } = self;
        let key = key(job, self.stages, arm, division, (network, input))?;
        let label = format!("fold {}", division.number + 1);
        let about = format!("answers of {} in {label}", arm.name().file_stem());
        let answers = job.cache.product(&key, &about, observer, || {
            job.cache
                .go_on(<Option<Answers>>::KIND, &key, observer, |checkpoint| {
                    self.train(arm, (network, input), checkpoint, observer)
                })
        })?;
        answers
            .map(|answers| answers.decide(arm.task, job.settings, division.good_repeat))
            .transpose()
    }

    fn train(
        &self,
        arm: &Arm,
        (network, input): (Kind, InputMode),
        checkpoint: &Checkpoint,
        observer: &dyn Observer,
    ) -> Result<Option<Answers>> {
        let job = self.job;
        let readable = |ids: &[SampleId]| ids.iter().cloned().collect::<HashSet<_>>();
        let trainable = readable(self.tables.fitting.features.ids());
        let testable = readable(self.tables.test.features.ids());
        let set = pieces(job, arm, self.division)?.only(|s| trainable.contains(&s.id));
        let test = self.division.test.iter().map(|&i| &job.dataset.samples[i]);
        let test: Vec<&Sample> = test.filter(|s| testable.contains(&s.id)).collect();
        let files = &self.stages.reader;
        let with_maps = match input.has_map() {
            false => None,
            true => {
                let maps = self.maps()?;
                let of = |maps| WithMap {
                    reader: files,
                    maps,
                };
                Some((of(&maps.fitting), of(&maps.test)))
            }
        };
        let (reader, test_reader): (&dyn PieceReader, &dyn PieceReader) = match &with_maps {
            None => (files, files),
            Some((fitting, test)) => (fitting, test),
        };
        let start = starting(job, network);
        let training = baseline::Job {
            kind: network,
            options: &job.settings.baseline,
            start: start.map(|(_, weights)| weights),
            reader,
            seed: seed(self.division),
            device: job.device,
            checkpoint: Some(checkpoint.clone()),
        };
        answers(&set, &training, &test, test_reader, observer)
    }
}

/// Whether a network of the settings fits the data, its channels and what it
/// starts from; before anything is trained.
///
/// # Errors
/// As [`baseline::start::architecture`] and the network's own checks.
pub(super) fn check(job: &Job<'_>, network: Kind, input: InputMode) -> Result<()> {
    let options = &job.settings.baseline;
    let start = starting(job, network).map(|(_, weights)| weights);
    let channels = channels(job, input);
    let architecture = baseline::start::architecture(network, options, start, channels)?;
    let outputs = job.dataset.classes.len();
    baseline::network::summary(&architecture, options.size, outputs).map(|_| ())
}

/// Channels of a network's pictures.
pub(super) fn channels(job: &Job<'_>, input: InputMode) -> usize {
    job.dataset.format.channels.len() + usize::from(input.has_map())
}

/// All networks of a fold draw alike.
fn seed(division: &Division<'_>) -> Seed {
    division.seed.derive("compare.network", 0)
}

fn pieces<'j>(job: &'j Job<'_>, arm: &Arm, division: &Division<'j>) -> Result<TrainingSet<'j>> {
    Ok(with_defects(arm, division)?.seen_in(job.view(arm.task)))
}

pub(super) fn starting<'j>(job: &'j Job<'_>, network: Kind) -> Option<&'j (String, WeightFile)> {
    let of = |n: &&StartingNetwork| n.network == network;
    job.networks.iter().find(of)?.weights.as_ref()
}

/// The steps of a network's training in a fold, for the progress bar.
pub(super) fn steps(job: &Job<'_>, arm: &Arm, division: &Division<'_>) -> Result<u64> {
    let options = &job.settings.baseline;
    let set = pieces(job, arm, division)?;
    let trained = baseline::check(&set, options, seed(division)).unwrap_or(0);
    Ok(baseline::steps(trained, options) as u64)
}

/// The key of what a network says in a fold.
pub(super) fn key(
    job: &Job<'_>,
    stages: &Stages<'_>,
    arm: &Arm,
    division: &Division<'_>,
    (network, input): (Kind, InputMode),
) -> Result<Key> {
    let set = pieces(job, arm, division)?;
    let weights = starting(job, network);
    let mut key = KeyBuilder::new(<Option<Answers>>::KIND)
        .with("reading", stages.reading.to_string())
        .with("network", network.name())
        .with("input", input.name())
        .with("start", weights.map_or("drawn", |(_, file)| &file.sha256))
        .with_settings("baseline", &job.settings.baseline)
        .with("device", if job.device.is_cpu() { "cpu" } else { "cuda" })
        .with("seed", job.seed.to_le_bytes())
        .with("fold", (division.number as u64).to_le_bytes());
    key = stages
        .digests
        .add(key, "trained", job.dataset, set.indices());
    key = super::with_pieces(key, &set);
    for sample in set.samples() {
        // The data set may say itself what is validated on.
        key = key.with("split", format!("{:?}", sample.split));
    }
    key = stages
        .digests
        .add(key, "tested", job.dataset, &division.test);
    if input.has_map() {
        for source in &division.sources {
            let model = stages.model_key(division, source);
            for (name, pieces) in [("fitting", &source.fitting), ("test", &source.test)] {
                for chunk in pieces.chunks(CHUNK) {
                    key = key.with(name, stages.chunk_keys(&model, chunk).0.to_string());
                }
            }
        }
    }
    Ok(key.finish())
}

/// What a reader should know of the pieces that networks were trained on.
pub(super) fn note(job: &Job<'_>, division: &Division<'_>) -> String {
    use crate::settings::MapFitting;
    match job.settings.fitting.maps {
        MapFitting::HeldOut => format!(
            "supervised networks were trained on the pieces that the classifiers were fitted on ({} \
             in the first fold): without the good pieces that the anomaly model learned from, so that \
             every map they saw was of a piece new to it. --set fitting.maps=cross-fit trains them, \
             and fits all others, on all training pieces",
            division.fitting.len()
        ),
        MapFitting::CrossFit => {
            "supervised networks were trained on all training pieces, with maps \
                                 of models that had not seen the piece"
                .into()
        }
        MapFitting::Seen => {
            "supervised networks were trained on all training pieces, with maps of a \
                             model that was trained on the good ones among them"
                .into()
        }
    }
}
