//! `Settings`: the sum of every step's options, as one TOML file.
//!
//! A preset gives the start, `--config FILE.toml` changes it, `--set
//! key=value` changes that; the result is stored with whatever is produced.

use crate::baseline::{BaselineOptions, Kind};
use crate::classifier::ClassifierOptions;
use crate::data::dataset::ClassView;
use crate::decision::RuleOptions;
use crate::draem::DraemOptions;
use crate::error::{Error, Result};
use crate::extract::FeatureOptions;
use crate::nn::resnet::Depth;
use crate::selection::SelectionOptions;
use serde::{Deserialize, Serialize};

/// What kind of model is trained.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ModelKind {
    /// Anomaly model, features, selection, classifier, threshold.
    Hybrid,
    /// Anomaly model and a threshold on its score.
    Draem,
    /// A supervised ResNet of 18 layers.
    Resnet18,
    /// Of 34.
    Resnet34,
    /// Of 50.
    Resnet50,
    /// Of 101.
    Resnet101,
    /// Of 152.
    Resnet152,
    /// The plain supervised network of the settings.
    Cnn,
}

impl ModelKind {
    /// All names, as settings and command line have them.
    pub const NAMES: [&'static str; 8] = [
        "hybrid",
        "draem",
        "resnet18",
        "resnet34",
        "resnet50",
        "resnet101",
        "resnet152",
        "cnn",
    ];

    /// Those of the supervised baselines.
    pub const BASELINES: &'static [&'static str] = Self::NAMES.split_at(2).1;

    /// The network, if it is a supervised baseline.
    #[must_use]
    pub fn baseline(self) -> Option<Kind> {
        Some(match self {
            Self::Hybrid | Self::Draem => return None,
            Self::Resnet18 => Kind::ResNet(Depth::Resnet18),
            Self::Resnet34 => Kind::ResNet(Depth::Resnet34),
            Self::Resnet50 => Kind::ResNet(Depth::Resnet50),
            Self::Resnet101 => Kind::ResNet(Depth::Resnet101),
            Self::Resnet152 => Kind::ResNet(Depth::Resnet152),
            Self::Cnn => Kind::Cnn,
        })
    }
}

/// Which maps the classifier and the threshold are fitted on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MapFitting {
    /// A share of the good pieces is kept back from the anomaly model; what
    /// comes after is fitted on their maps and on the defective pieces'.
    HeldOut,
    /// The good pieces are divided in parts; every part's maps come from a
    /// model that has not seen it. The model that is kept has seen all.
    CrossFit,
    /// Everything is fitted on maps of pieces the model was trained on, as the
    /// paper does: good pieces then look better than a new one would.
    Seen,
}

/// How the data are shared out between the steps.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FittingOptions {
    /// Share of the groups (pieces, packs) held out and measured on at the end.
    /// 0 trains on all. A split that the data set gives itself goes before.
    pub test_share: f64,
    /// Which maps the classifier is fitted on.
    pub maps: MapFitting,
    /// Share of the good training pieces kept back for `held-out`.
    pub kept_back: f64,
    /// Parts for `cross-fit`.
    pub cross_fit_parts: usize,
    /// Folds over the training rows whose out-of-fold probabilities the
    /// threshold is fitted on.
    pub threshold_folds: usize,
}

impl Default for FittingOptions {
    fn default() -> Self {
        Self {
            test_share: 0.25,
            maps: MapFitting::HeldOut,
            kept_back: 1.0 / 3.0,
            cross_fit_parts: 3,
            threshold_folds: 5,
        }
    }
}

/// The sum of every step's options.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// What is trained.
    pub model: ModelKind,
    /// How the data set's labels are read.
    pub classes: ClassView,
    /// The anomaly model.
    pub draem: DraemOptions,
    /// Image and map features.
    pub features: FeatureOptions,
    /// Which features are kept.
    pub selection: SelectionOptions,
    /// What decides.
    pub classifier: ClassifierOptions,
    /// From probability to decision.
    pub decision: RuleOptions,
    /// The supervised baseline.
    pub baseline: BaselineOptions,
    /// How the data are shared out.
    pub fitting: FittingOptions,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            model: ModelKind::Hybrid,
            classes: ClassView::AsLabelled,
            draem: DraemOptions::default(),
            features: FeatureOptions::default(),
            selection: SelectionOptions::default(),
            classifier: ClassifierOptions::default(),
            decision: RuleOptions::default(),
            baseline: BaselineOptions::default(),
            fitting: FittingOptions::default(),
        }
    }
}

impl Settings {
    /// The names of the presets.
    pub const PRESETS: [&'static str; 4] = ["fast", "compact", "paper", "metal"];

    /// A preset by name.
    ///
    /// # Errors
    /// [`Error::Setting`] if there is none of that name.
    pub fn preset(name: &str) -> Result<Self> {
        let mut settings = Self::default();
        match name {
            "fast" => {}
            "compact" => {
                settings.draem = DraemOptions::compact();
                settings.baseline.size = 224;
                settings.baseline.epochs = 50;
            }
            "paper" => {
                settings.draem = DraemOptions::paper();
                settings.baseline = BaselineOptions::paper();
            }
            "metal" => {
                settings.baseline = BaselineOptions::metal();
                settings.fitting.test_share = 0.1;
            }
            _ => {
                return Err(Error::setting(
                    "preset",
                    format!("{name:?} given, {} expected", Self::PRESETS.join(", ")),
                ));
            }
        }
        Ok(settings)
    }

    /// These settings, changed by a TOML text and by `key=value` pairs.
    ///
    /// # Errors
    /// [`Error::Setting`] naming the key that is unknown or out of range.
    pub fn with(self, config: Option<&str>, pairs: &[String]) -> Result<Self> {
        let mut table =
            toml::Table::try_from(&self).map_err(|e| Error::setting("settings", e.to_string()))?;
        if let Some(text) = config {
            let changes: toml::Table = text
                .parse()
                .map_err(|e: toml::de::Error| Error::setting("--config", e.to_string()))?;
            merge(&mut table, changes);
        }
        let without_pairs = table.clone();
        for pair in pairs {
            merge(&mut table, parse_pair(pair)?);
        }
        let settings: Self = table.clone().try_into().map_err(|e: toml::de::Error| {
            let key = refused_key(without_pairs, pairs);
            Error::setting(key, e.message().to_string())
        })?;
        // Where serde takes unknown keys without a word.
        let known = toml::Table::try_from(&settings)
            .map_err(|e| Error::setting("settings", e.to_string()))?;
        if let Some(key) = unknown_key(&table, &known, "") {
            return Err(Error::setting(key, "there is no such setting"));
        }
        settings.check()?;
        Ok(settings)
    }

    /// Checks what can be checked without data.
    ///
    /// # Errors
    /// [`Error::Setting`] naming the setting.
    pub fn check(&self) -> Result<()> {
        self.draem.check()?;
        self.baseline.check()?;
        if !(32..=4096).contains(&self.features.size) {
            return Err(Error::setting("features.size", "32 to 4096 expected"));
        }
        self.decision.fail.check()?;
        if let Some(review) = self.decision.review {
            review.check()?;
        }
        let f = &self.fitting;
        if !(0.0..0.9).contains(&f.test_share) {
            return Err(Error::setting(
                "fitting.test_share",
                "0 to below 0.9 expected",
            ));
        }
        if !(f.kept_back > 0.0 && f.kept_back < 0.9) {
            return Err(Error::setting(
                "fitting.kept_back",
                "above 0, below 0.9 expected",
            ));
        }
        if !(2..=20).contains(&f.cross_fit_parts) {
            return Err(Error::setting(
                "fitting.cross_fit_parts",
                "2 to 20 expected",
            ));
        }
        if !(2..=50).contains(&f.threshold_folds) {
            return Err(Error::setting(
                "fitting.threshold_folds",
                "2 to 50 expected",
            ));
        }
        Ok(())
    }

    /// The settings as a TOML text that `--config` takes.
    #[must_use]
    pub fn to_toml(&self) -> String {
        toml::to_string_pretty(self).expect("settings are plain tables")
    }
}

/// The key of the first of `pairs` that `table` makes no settings with; without one
/// among them the file it was read from is to blame.
fn refused_key(mut table: toml::Table, pairs: &[String]) -> String {
    let refused = |table: &toml::Table| table.clone().try_into::<Settings>().is_err();
    if refused(&table) {
        return "--config".into();
    }
    for pair in pairs {
        if let Ok(change) = parse_pair(pair) {
            merge(&mut table, change);
        }
        if refused(&table) {
            let key = pair.split('=').next().unwrap_or_default();
            return key.trim().to_string();
        }
    }
    "settings".into()
}

/// The first key of `asked` that `known` lacks, its tables' names before it.
fn unknown_key(asked: &toml::Table, known: &toml::Table, within: &str) -> Option<String> {
    asked
        .iter()
        .find_map(|(key, value)| match (value, known.get(key)) {
            (_, None) => Some(format!("{within}{key}")),
            (toml::Value::Table(asked), Some(toml::Value::Table(known))) => {
                unknown_key(asked, known, &format!("{within}{key}."))
            }
            _ => None,
        })
}

/// `a.b=value` as the table `{a = {b = value}}`; a value that is no TOML is
/// taken as text, so that names need no quotes.
fn parse_pair(pair: &str) -> Result<toml::Table> {
    let (key, value) = pair
        .split_once('=')
        .filter(|(key, _)| !key.trim().is_empty())
        .ok_or_else(|| Error::setting("--set", format!("{pair:?} given, KEY=VALUE expected")))?;
    let value = format!("v = {}", value.trim())
        .parse::<toml::Table>()
        .ok()
        .and_then(|mut t| t.remove("v"))
        .unwrap_or_else(|| toml::Value::String(value.trim().to_string()));
    let mut parts = key.trim().split('.').rev();
    let mut table = toml::Table::new();
    table.insert(parts.next().unwrap_or_default().to_string(), value);
    for part in parts {
        let inner = std::mem::take(&mut table);
        table.insert(part.to_string(), toml::Value::Table(inner));
    }
    Ok(table)
}

/// Lays `changes` over `base`, table by table. A table that chooses another
/// `kind` replaces the old one: its other keys belonged to the old kind.
fn merge(base: &mut toml::Table, changes: toml::Table) {
    for (key, value) in changes {
        match (base.get_mut(&key), value) {
            (Some(toml::Value::Table(old)), toml::Value::Table(new))
                if new
                    .get("kind")
                    .is_none_or(|kind| old.get("kind") == Some(kind)) =>
            {
                merge(old, new);
            }
            (_, value) => {
                base.insert(key, value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pair_changes_one_setting_and_a_file_is_overruled_by_it() {
        let settings = Settings::default()
            .with(
                Some("[draem]\nsteps = 10\nbatch = 2"),
                &["draem.steps=20".into(), "model=draem".into()],
            )
            .unwrap();
        assert_eq!((settings.draem.steps, settings.draem.batch), (20, 2));
        assert_eq!(settings.model, ModelKind::Draem);
    }

    #[test]
    fn an_unknown_key_is_named() {
        let error = Settings::default()
            .with(None, &["draem.stepps=20".into()])
            .unwrap_err();
        assert!(error.to_string().contains("stepps"), "{error}");
    }

    #[test]
    fn a_value_of_another_kind_is_refused_with_its_key() {
        let pairs = ["draem.steps=20".into(), "draem.align=ja".into()];
        let error = Settings::default().with(None, &pairs).unwrap_err();
        let told = error.to_string();
        assert!(
            told.contains("draem.align") && told.contains("boolean"),
            "{told}"
        );
        let error = Settings::default()
            .with(Some("[draem]\nsteps = \"many\""), &pairs[..1])
            .map(|_| ());
        assert!(
            error.is_ok(),
            "the pair takes the place of the file's value"
        );
        let error = Settings::default()
            .with(Some("[draem]\nbatch = \"many\""), &pairs[..1])
            .unwrap_err();
        assert!(error.to_string().contains("--config"), "{error}");
    }

    #[test]
    fn settings_survive_their_own_file() {
        let settings = Settings::preset("paper").unwrap();
        let again = Settings::default()
            .with(Some(&settings.to_toml()), &[])
            .unwrap();
        assert_eq!(again, settings);
    }
}
