//! `Arm`: one thing that is compared, in all folds alike.

use crate::baseline::Kind;
use crate::classifier::{Balance, ClassifierOptions};
use crate::error::{Error, Result};
use crate::extract::InputMode;
use serde::{Deserialize, Serialize};

/// What is asked of an arm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Task {
    /// Defect or not. Decided by a threshold that is fitted on training pieces.
    Binary,
    /// Which class. Decided by the largest probability.
    MultiClass,
}

impl Task {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Binary, Self::MultiClass];

    /// `binary` or `multi-class`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Binary => "binary",
            Self::MultiClass => "multi-class",
        }
    }
}

/// What gives the scores.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "decider", rename_all = "kebab-case")]
pub enum Decider {
    /// The anomaly map's score, without a classifier; for the binary task.
    AnomalyScore,
    /// Features, selection, classifier.
    Features {
        /// What the classifier sees.
        input: InputMode,
        /// The classifier, how it is fitted, and what is done about classes of
        /// unequal size.
        classifier: ClassifierOptions,
    },
    /// A supervised network from picture to class, trained end to end by the
    /// recipe of the settings.
    Network {
        /// Which network.
        network: Kind,
        /// The image, or the image with its map as one more channel.
        input: InputMode,
    },
}

/// One thing that is compared.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Arm {
    /// What is asked.
    pub task: Task,
    /// How many of the defective training pieces it may learn from, in percent.
    /// The good ones all stay.
    pub defects: u32,
    /// What answers.
    #[serde(flatten)]
    pub decider: Decider,
}

/// The names of an arm's factors, as tables and files give them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct ArmName {
    /// [`Task::name`].
    pub task: &'static str,
    /// The input mode, or `anomaly score`.
    pub input: &'static str,
    /// The classifier, or the supervised network; `-` without one.
    pub classifier: &'static str,
    /// `none`, `weights` or `resampling`; `-` without a classifier, and for a
    /// supervised network, which balances by its own recipe.
    pub balance: &'static str,
    /// Percent of the defective training pieces.
    pub defects: u32,
}

impl ArmName {
    /// The name as a file's.
    #[must_use]
    pub fn file_stem(&self) -> String {
        let words = [self.task, self.input, self.classifier, self.balance];
        let words: Vec<String> = words
            .iter()
            .filter(|word| **word != "-")
            .map(|word| word.replace(' ', "-"))
            .collect();
        format!("{}_{}", words.join("_"), self.defects)
    }
}

/// `none`, `weights` or `resampling`.
#[must_use]
pub fn balance_name(balance: Balance) -> &'static str {
    match balance {
        Balance::None => "none",
        Balance::WeightedLoss => "weights",
        Balance::Resample => "resampling",
    }
}

impl Arm {
    /// Whether a supervised network answers.
    #[must_use]
    pub fn is_network(&self) -> bool {
        matches!(self.decider, Decider::Network { .. })
    }

    /// Its factors' names.
    #[must_use]
    pub fn name(&self) -> ArmName {
        let (input, classifier, balance) = match self.decider {
            Decider::AnomalyScore => ("anomaly score", "-", "-"),
            Decider::Features { input, classifier } => (
                input.name(),
                classifier.name(),
                balance_name(classifier.balance),
            ),
            Decider::Network { network, input } => (input.name(), network.name(), "-"),
        };
        ArmName {
            task: self.task.name(),
            input,
            classifier,
            balance,
            defects: self.defects,
        }
    }
}

/// Which arms there are: every combination.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ArmOptions {
    /// What is asked.
    pub tasks: Vec<Task>,
    /// What the classifier sees.
    pub inputs: Vec<InputMode>,
    /// The classifiers, each with its settings.
    pub classifiers: Vec<ClassifierOptions>,
    /// What is done about classes of unequal size.
    pub balances: Vec<Balance>,
    /// Percent of the defective training pieces.
    pub defects: Vec<u32>,
    /// Whether the anomaly score alone is compared as well.
    pub anomaly_score: bool,
    /// Supervised networks, on those of the inputs that hold the image.
    pub networks: Vec<Kind>,
}

impl Default for ArmOptions {
    /// All input modes, both tasks, four fractions; the default classifier,
    /// balanced in its own way.
    fn default() -> Self {
        let classifier = ClassifierOptions::default();
        Self {
            tasks: Task::ALL.to_vec(),
            inputs: InputMode::ALL.to_vec(),
            classifiers: vec![classifier],
            balances: vec![classifier.balance],
            defects: vec![25, 50, 75, 100],
            anomaly_score: true,
            networks: Vec::new(),
        }
    }
}

impl ArmOptions {
    /// Every combination, once, in the order of tables: by task, input,
    /// classifier, balance, then fraction; supervised networks come last.
    ///
    /// # Errors
    /// [`Error::Setting`] for a list that is empty, a fraction outside 1 to 100,
    /// or networks where no input holds the image.
    pub fn arms(&self) -> Result<Vec<Arm>> {
        for (name, empty) in [
            ("tasks", self.tasks.is_empty()),
            ("inputs", self.inputs.is_empty()),
            ("classifiers", self.classifiers.is_empty()),
            ("balances", self.balances.is_empty()),
            ("fractions", self.defects.is_empty()),
        ] {
            if empty {
                return Err(Error::setting(name, "none given, at least one expected"));
            }
        }
        if let Some(percent) = self.defects.iter().find(|p| !(1..=100).contains(*p)) {
            return Err(Error::setting(
                "fractions",
                format!("{percent} given, 1 to 100 percent expected"),
            ));
        }
        let pictures: Vec<InputMode> = self
            .inputs
            .iter()
            .copied()
            .filter(|i| i.has_image())
            .collect();
        if !self.networks.is_empty() && pictures.is_empty() {
            return Err(Error::setting(
                "baseline",
                "a supervised network sees the image: no input has it",
            )
            .help("add image or image+map to --inputs"));
        }
        let mut arms: Vec<Arm> = Vec::new();
        let mut add = |arm: Arm| {
            if !arms.contains(&arm) {
                arms.push(arm);
            }
        };
        for &task in &self.tasks {
            if self.anomaly_score && task == Task::Binary {
                for &defects in &self.defects {
                    let decider = Decider::AnomalyScore;
                    add(Arm {
                        task,
                        defects,
                        decider,
                    });
                }
            }
            for &input in &self.inputs {
                for classifier in &self.classifiers {
                    for &balance in &self.balances {
                        let classifier = ClassifierOptions {
                            balance,
                            ..*classifier
                        };
                        for &defects in &self.defects {
                            let decider = Decider::Features { input, classifier };
                            add(Arm {
                                task,
                                defects,
                                decider,
                            });
                        }
                    }
                }
            }
            for &network in &self.networks {
                for &input in &pictures {
                    for &defects in &self.defects {
                        let decider = Decider::Network { network, input };
                        add(Arm {
                            task,
                            defects,
                            decider,
                        });
                    }
                }
            }
        }
        Ok(arms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::resnet::Depth;

    #[test]
    fn arms_are_all_combinations_once_and_their_files_differ() {
        let options = ArmOptions {
            classifiers: vec![ClassifierOptions::svm(), ClassifierOptions::logistic()],
            balances: vec![Balance::None, Balance::Resample, Balance::None],
            networks: vec![Kind::ResNet(Depth::Resnet18), Kind::Cnn],
            ..ArmOptions::default()
        };
        let arms = options.arms().unwrap();
        assert_eq!(arms.len(), 4 + 2 * 3 * 2 * 2 * 4 + 2 * 2 * 2 * 4);
        let stems: std::collections::BTreeSet<String> =
            arms.iter().map(|a| a.name().file_stem()).collect();
        assert_eq!(stems.len(), arms.len());
        assert!(stems.contains("multi-class_image+map_svm_resampling_25"));
        assert!(stems.contains("binary_anomaly-score_100"));
        assert!(stems.contains("binary_image+map_resnet18_50"));
    }

    #[test]
    fn a_network_needs_the_image() {
        let of = |inputs| {
            ArmOptions {
                inputs,
                networks: vec![Kind::Cnn],
                ..ArmOptions::default()
            }
            .arms()
        };
        assert!(of(vec![InputMode::Map]).is_err());
        let networks = |arms: Vec<Arm>| {
            let of = |a: &&Arm| matches!(a.decider, Decider::Network { .. });
            arms.iter().filter(of).count()
        };
        let both = vec![InputMode::Map, InputMode::ImageAndMap];
        assert_eq!(networks(of(both).unwrap()), 2 * 4);
        assert_eq!(networks(of(InputMode::ALL.to_vec()).unwrap()), 2 * 2 * 4);
    }

    #[test]
    fn a_fraction_outside_one_to_a_hundred_is_refused() {
        let of = |defects| {
            ArmOptions {
                defects,
                ..ArmOptions::default()
            }
            .arms()
        };
        assert!(of(vec![0]).is_err() && of(vec![101]).is_err() && of(vec![]).is_err());
    }
}
