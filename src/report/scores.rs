//! `ScoreRow`: what `score` says about one input, and the columns it becomes.
//!
//! The columns are `id,path,status,decision,class,p_defect,anomaly_score,`
//! `threshold,heatmap,message`, then one `p_CLASS` for each class. Every input
//! has a row, also one that could not be read: its status is `error`, its
//! message says why, and the columns between are empty, so that it can never
//! be counted as good.

use crate::data::offset::Offset;
use crate::data::prediction::{Decision, Prediction, Verdict};
use crate::data::region::Regions;
use crate::error::{Error, Result, reason};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// The columns every table has, in their order.
pub const COLUMNS: [&str; 10] = [
    "id",
    "path",
    "status",
    "decision",
    "class",
    "p_defect",
    "anomaly_score",
    "threshold",
    "heatmap",
    "message",
];

/// Which columns a table has beyond [`COLUMNS`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Columns {
    /// The classes of the probabilities.
    pub classes: Vec<String>,
    /// Whether a second model's verdicts stand beside.
    pub beside: bool,
}

impl From<Vec<String>> for Columns {
    /// Those of one model alone.
    fn from(classes: Vec<String>) -> Self {
        Self {
            classes,
            beside: false,
        }
    }
}

/// The columns of a second model, after all others.
pub const BESIDE: [&str; 3] = ["beside_p_defect", "beside_decision", "beside_class"];

/// What a second model says of the same piece.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Beside {
    /// Its probability of any defect; `None` without a classifier.
    pub p_defect: Option<f64>,
    /// What it would do with the piece.
    pub decision: Verdict,
    /// The class it takes it for; `None` if it knows no classes.
    pub class: Option<String>,
}

/// One input of `score`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ScoreRow {
    /// The sample's id, verbatim.
    pub id: String,
    /// The sample's (first) file; what is not UTF-8 in it becomes U+FFFD.
    pub path: String,
    /// What came of it.
    pub outcome: RowOutcome,
    /// The regions of its map, for the report and
    /// [`regions.csv`](super::regions); `None` without a map.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub regions: Option<Regions>,
}

/// What came of one input.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RowOutcome {
    /// It was inspected.
    Ok(Scored),
    /// It could not be read; the reason, on one line.
    Error(String),
}

/// The numbers of an inspected piece.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Scored {
    /// What is done with the piece.
    pub decision: Verdict,
    /// The class it is taken for; `None` if the model knows no classes.
    pub class: Option<String>,
    /// Probability of any defect; `None` without a classifier.
    pub p_defect: Option<f64>,
    /// The image score of the anomaly map; `None` without one.
    pub anomaly_score: Option<f64>,
    /// At or above this the piece fails.
    pub threshold: f64,
    /// One for each class of the table, in its order; empty without a classifier.
    pub probabilities: Vec<f64>,
    /// Its heatmap, relative to the output folder; set by
    /// [`ScoreFolder::push`](super::score_folder::ScoreFolder::push).
    pub heatmap: Option<String>,
    /// What else a person should know, on one line; mostly empty.
    pub message: String,
    /// What a second model says, where one was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub beside: Option<Beside>,
    /// How far it lies off its usual place, where the model knows one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offset: Option<Offset>,
}

impl Scored {
    /// Whether both models would do the same with the piece; `None` without a
    /// second one.
    #[must_use]
    pub fn agrees(&self) -> Option<bool> {
        self.beside.as_ref().map(|b| b.decision == self.decision)
    }
}

impl ScoreRow {
    /// The row of an inspected piece.
    #[must_use]
    pub fn scored(
        id: &str,
        path: &Path,
        decision: &Decision,
        prediction: Option<&Prediction>,
        anomaly_score: Option<f64>,
    ) -> Self {
        Self {
            id: id.into(),
            path: path.to_string_lossy().into_owned(),
            outcome: RowOutcome::Ok(Scored {
                decision: decision.verdict,
                class: prediction.map(|p| p.class().to_string()),
                p_defect: prediction.map(Prediction::p_defect),
                anomaly_score,
                threshold: decision.threshold,
                probabilities: prediction.map_or_else(Vec::new, |p| p.probabilities().to_vec()),
                heatmap: None,
                message: String::new(),
                beside: None,
                offset: None,
            }),
            regions: None,
        }
    }

    /// The row with the regions of the piece's map.
    #[must_use]
    pub fn with_regions(self, regions: Regions) -> Self {
        Self {
            regions: Some(regions),
            ..self
        }
    }

    /// The row of an input that could not be read.
    #[must_use]
    pub fn unreadable(id: &str, path: &Path, error: &Error) -> Self {
        Self {
            id: id.into(),
            path: path.to_string_lossy().into_owned(),
            outcome: RowOutcome::Error(reason(error, path)),
            regions: None,
        }
    }

    /// The numbers, if it was inspected.
    #[must_use]
    pub fn ok(&self) -> Option<&Scored> {
        match &self.outcome {
            RowOutcome::Ok(scored) => Some(scored),
            RowOutcome::Error(_) => None,
        }
    }

    /// The cells in the order of [`column_names`] for these classes.
    ///
    /// # Errors
    /// [`Error::Shape`] if there are probabilities, but not one a class;
    /// [`Error::NotFinite`] if a number is none.
    pub fn cells(&self, columns: &Columns) -> Result<Vec<Cell<'_>>> {
        let classes = &columns.classes;
        let mut cells = vec![Cell::Text(&self.id), Cell::Text(&self.path)];
        match &self.outcome {
            RowOutcome::Ok(s) => {
                if !s.probabilities.is_empty() && s.probabilities.len() != classes.len() {
                    return Err(Error::shape(
                        format!("probabilities of {}", self.id),
                        s.probabilities.len(),
                        classes.len(),
                    ));
                }
                cells.extend([
                    Cell::Text("ok"),
                    Cell::Text(s.decision.name()),
                    s.class.as_deref().map_or(Cell::Empty, Cell::Text),
                    Cell::number(s.p_defect),
                    Cell::number(s.anomaly_score),
                    Cell::Number(s.threshold),
                    s.heatmap.as_deref().map_or(Cell::Empty, Cell::Text),
                    Cell::Text(&s.message),
                ]);
                cells.extend(
                    (0..classes.len()).map(|c| Cell::number(s.probabilities.get(c).copied())),
                );
                match &s.beside {
                    Some(b) if columns.beside => cells.extend([
                        Cell::number(b.p_defect),
                        Cell::Text(b.decision.name()),
                        b.class.as_deref().map_or(Cell::Empty, Cell::Text),
                    ]),
                    _ if columns.beside => cells.extend([Cell::Empty; BESIDE.len()]),
                    _ => {}
                }
            }
            RowOutcome::Error(reason) => {
                cells.push(Cell::Text("error"));
                cells.extend([Cell::Empty; 6]);
                cells.push(Cell::Text(reason));
                let more = if columns.beside { BESIDE.len() } else { 0 };
                cells.extend(vec![Cell::Empty; classes.len() + more]);
            }
        }
        let wrong = |c: &Cell| matches!(c, Cell::Number(v) if !v.is_finite());
        if let Some(row) = cells.iter().position(wrong) {
            return Err(Error::NotFinite {
                what: format!("scores of {}", self.id),
                row,
            });
        }
        Ok(cells)
    }
}

/// One cell of a row.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Cell<'a> {
    /// Nothing to say.
    Empty,
    /// Words.
    Text(&'a str),
    /// A finite number.
    Number(f64),
}

impl Cell<'_> {
    fn number(value: Option<f64>) -> Self {
        value.map_or(Self::Empty, Self::Number)
    }
}

/// The names of all columns of a table.
///
/// A class called `defect` has the column `p_class_defect`, as `p_defect` is
/// the probability of any defect.
#[must_use]
pub fn column_names(columns: &Columns) -> Vec<String> {
    let fixed = COLUMNS.iter().map(|c| (*c).to_string());
    let of_classes = columns.classes.iter().map(|class| match class.as_str() {
        "defect" => "p_class_defect".to_string(),
        _ => format!("p_{class}"),
    });
    let of_other = BESIDE
        .iter()
        .filter(|_| columns.beside)
        .map(|c| (*c).to_string());
    fixed.chain(of_classes).chain(of_other).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    fn decision() -> Decision {
        Decision {
            verdict: Verdict::Fail,
            score: 0.75,
            threshold: 0.5,
        }
    }

    #[test]
    fn the_columns_are_the_contracts_then_one_for_each_class() {
        let names = column_names(&vec!["good".to_string(), "print".into()].into());
        assert_eq!(
            names.join(","),
            "id,path,status,decision,class,p_defect,anomaly_score,threshold,heatmap,message,\
             p_good,p_print"
        );
        assert_eq!(
            column_names(&vec!["defect".to_string()].into())[10],
            "p_class_defect"
        );
    }

    #[test]
    fn a_scored_row_has_its_numbers_in_their_columns() {
        let classes: Arc<[String]> = ["good".to_string(), "print".to_string()].into();
        let prediction = Prediction::new(classes.clone(), vec![0.25, 0.75]).unwrap();
        let row = ScoreRow::scored(
            "7",
            Path::new("in/7.png"),
            &decision(),
            Some(&prediction),
            Some(0.125),
        );
        use Cell::{Empty, Number, Text};
        assert_eq!(
            row.cells(&classes.to_vec().into()).unwrap(),
            [
                Text("7"),
                Text("in/7.png"),
                Text("ok"),
                Text("fail"),
                Text("print"),
                Number(0.75),
                Number(0.125),
                Number(0.5),
                Empty,
                Text(""),
                Number(0.25),
                Number(0.75)
            ]
        );
    }

    #[test]
    fn an_unreadable_input_has_a_reason_and_no_decision() {
        let error = Error::Sample {
            id: "7".into(),
            path: "7.png".into(),
            source: Box::new(Error::malformed("7.png", "not\na PNG").help("export it again")),
        };
        let row = ScoreRow::unreadable("7", Path::new("7.png"), &error);
        let cells = row.cells(&vec!["good".to_string()].into()).unwrap();
        assert_eq!(cells.len(), 11);
        assert_eq!(cells[2], Cell::Text("error"));
        assert_eq!(cells[3], Cell::Empty);
        assert_eq!(cells[9], Cell::Text("not a PNG"));
    }

    #[test]
    fn a_number_that_is_none_is_refused() {
        let row = ScoreRow::scored("7", Path::new("7"), &decision(), None, Some(f64::NAN));
        assert!(matches!(
            row.cells(&Columns::default()),
            Err(Error::NotFinite { .. })
        ));
    }

    #[test]
    fn a_second_model_s_verdict_follows_all_other_columns() {
        let mut row = ScoreRow::scored("7", Path::new("7"), &decision(), None, None);
        if let RowOutcome::Ok(scored) = &mut row.outcome {
            scored.beside = Some(Beside {
                p_defect: Some(0.25),
                decision: Verdict::Pass,
                class: Some("good".into()),
            });
        }
        let columns = Columns {
            classes: Vec::new(),
            beside: true,
        };
        assert_eq!(column_names(&columns)[10..], BESIDE);
        let cells = row.cells(&columns).unwrap();
        use Cell::{Number, Text};
        assert_eq!(cells[10..], [Number(0.25), Text("pass"), Text("good")]);
        assert_eq!(row.ok().unwrap().agrees(), Some(false));
        assert_eq!(row.cells(&Columns::default()).unwrap().len(), 10);
    }

    #[test]
    fn a_cause_is_said_once() {
        let error = Error::io("read", "a.png")(std::io::Error::other("disk gone"));
        assert_eq!(
            reason(&error, Path::new("a.png")),
            "cannot read a.png: disk gone"
        );
    }
}
