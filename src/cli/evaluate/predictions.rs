//! Reads a table of predictions: `id,label,score` or `id,label,p_CLASS...`.

use goma::data::annotation::GOOD;
use goma::metrics::report::Labelled;
use goma::{Error, Result};
use std::collections::{BTreeSet, HashMap};
use std::path::Path;

/// The table, ready to be measured.
#[derive(Debug)]
pub struct Read {
    pub labelled: Labelled,
    /// Rows that say themselves that the piece could not be read.
    pub unreadable: usize,
    /// What a person should know about rows left out.
    pub notes: Vec<String>,
}

/// The largest deviation of a row's probabilities from the sum 1: that of six
/// classes written with four digits.
const SUM_TOLERANCE: f64 = 1e-3;

/// Reads the table at `path`; `score` names the score's column.
pub fn read(path: &Path, score: Option<&str>) -> Result<Read> {
    let bytes = std::fs::read(path).map_err(Error::io("read", path))?;
    parse(&bytes, score).map_err(|e| match e {
        Problem::Table(reason) => Error::malformed(path, reason),
        Problem::Helped(reason, help) => Error::malformed(path, reason).help(help),
    })
}

/// What is wrong with a table.
#[derive(Debug)]
enum Problem {
    Table(String),
    Helped(String, &'static str),
}

impl From<String> for Problem {
    fn from(reason: String) -> Self {
        Self::Table(reason)
    }
}

impl From<csv::Error> for Problem {
    fn from(e: csv::Error) -> Self {
        Self::Table(e.to_string())
    }
}

/// One labelled row before its class is known by index.
struct Row {
    /// How errors call it.
    name: String,
    label: String,
    group: String,
    score: Option<f64>,
    /// In the order of [`Columns::classes`].
    probabilities: Vec<f64>,
}

fn parse(bytes: &[u8], score: Option<&str>) -> Result<Read, Problem> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let mut reader = csv::ReaderBuilder::new()
        .trim(csv::Trim::All)
        .from_reader(bytes);
    let columns = Columns::find(reader.headers()?, score)?;
    let mut first_row: HashMap<String, usize> = HashMap::new();
    let mut rows = Vec::new();
    let (mut unreadable, mut unlabelled) = (0, 0);
    for (index, record) in reader.records().enumerate() {
        let record = record?;
        let number = index + 1;
        let id = &record[columns.id];
        let name = format!("row {number} (id {id})");
        if let Some(first) = first_row.insert(id.to_string(), number) {
            return Err(Problem::Helped(
                format!("{name}: the id occurs already in row {first}"),
                "a piece must count once; remove one of the rows",
            ));
        }
        if columns.status.is_some_and(|c| &record[c] == "error") {
            unreadable += 1;
            continue;
        }
        if record[columns.label].is_empty() {
            unlabelled += 1;
            continue;
        }
        rows.push(columns.row(&record, name)?);
    }
    if rows.is_empty() {
        return Err(format!("no labelled row among {}", unreadable + unlabelled).into());
    }
    let labelled = columns.labelled(&rows)?;
    let mut notes = Vec::new();
    if unlabelled > 0 {
        notes.push(format!("{unlabelled} rows without a label are left out"));
    }
    if unreadable > 0 {
        notes.push(format!("{unreadable} rows with status error are left out"));
    }
    if !labelled.truth.contains(&0) {
        notes.push(format!(
            "a piece without defect is labelled good or 0; found: {}",
            labelled.classes[1..].join(", ")
        ));
    }
    Ok(Read {
        labelled,
        unreadable,
        notes,
    })
}

/// Where things stand in the table.
struct Columns {
    id: usize,
    label: usize,
    group: Option<usize>,
    status: Option<usize>,
    score: Option<usize>,
    /// The good class first; empty where probabilities name no classes.
    classes: Vec<(String, usize)>,
    /// `p_good` where it stands alone: the score is `1 − p_good`.
    only_good: Option<usize>,
}

impl Columns {
    fn find(header: &csv::StringRecord, score: Option<&str>) -> Result<Self, Problem> {
        let names: Vec<&str> = header.iter().collect();
        let mut seen = BTreeSet::new();
        if let Some(twice) = names.iter().find(|n| !seen.insert(**n)) {
            return Err(format!("column {twice} occurs twice").into());
        }
        let at = |name: &str| names.iter().position(|n| *n == name);
        let need = |name: &str| {
            at(name).ok_or_else(|| format!("column {name} is missing; found: {}", names.join(", ")))
        };
        let mut classes: Vec<(String, usize)> = names
            .iter()
            .enumerate()
            .filter_map(|(i, n)| Some((n.strip_prefix("p_")?.to_string(), i)))
            .collect();
        // Numbered classes: 0 is the good one.
        if !classes.iter().any(|c| c.0 == GOOD)
            && let Some(zero) = classes.iter_mut().find(|c| c.0 == "0")
        {
            zero.0 = GOOD.to_string();
        }
        classes.sort_by_key(|c| (c.0 != GOOD, c.0.clone()));
        // Beside named defects p_defect is their sum, as goma's scores have it.
        let mut summary = None;
        if classes.iter().any(|c| c.0 != GOOD && c.0 != "defect")
            && let Some(i) = classes.iter().position(|c| c.0 == "defect")
        {
            summary = Some(classes.remove(i).1);
        }
        let mut found = Self {
            id: need("id")?,
            label: need("label")?,
            group: at("group"),
            status: at("status"),
            score: match score {
                Some(name) => Some(need(name)?),
                None => at("score").or(summary),
            },
            classes: Vec::new(),
            only_good: None,
        };
        match &classes[..] {
            [(only, column)] if only == GOOD => found.only_good = Some(*column),
            [(only, column)] if only == "defect" => found.score = found.score.or(Some(*column)),
            [(first, _), _, ..] if first == GOOD => found.classes = classes,
            [] if found.score.is_some() => {}
            [] => {
                return Err(format!(
                    "column score, or p_good and p_CLASS for each class, is missing; found: {}",
                    names.join(", ")
                )
                .into());
            }
            _ => {
                return Err(Problem::Helped(
                    format!("column p_good is missing; found: {}", names.join(", ")),
                    "the good class needs its probability too",
                ));
            }
        }
        Ok(found)
    }

    fn row(&self, record: &csv::StringRecord, name: String) -> Result<Row, Problem> {
        let number = |column: usize, what: &str| -> Result<f64, Problem> {
            let text = &record[column];
            match text.parse::<f64>() {
                Ok(v) if v.is_finite() => Ok(v),
                _ => Err(format!("{name}: {what} {text:?} is not a finite number").into()),
            }
        };
        let probabilities = self
            .classes
            .iter()
            .map(|(class, column)| {
                let p = number(*column, &format!("p_{class}"))?;
                if (-1e-9..=1.0 + 1e-9).contains(&p) {
                    return Ok(p);
                }
                Err(Problem::Table(format!(
                    "{name}: p_{class} is {p}, outside 0..=1"
                )))
            })
            .collect::<Result<Vec<f64>, Problem>>()?;
        let sum: f64 = probabilities.iter().sum();
        if !probabilities.is_empty() && (sum - 1.0).abs() > SUM_TOLERANCE {
            return Err(format!("{name}: the probabilities sum to {sum}, not to 1").into());
        }
        let score = match (self.score, self.only_good) {
            (Some(column), _) => Some(number(column, "score")?),
            (None, Some(column)) => Some(1.0 - number(column, "p_good")?),
            (None, None) => None,
        };
        Ok(Row {
            label: record[self.label].to_string(),
            group: self.group.map_or(String::new(), |c| record[c].to_string()),
            score,
            probabilities,
            name,
        })
    }

    /// Classes as indices, groups as numbers.
    fn labelled(&self, rows: &[Row]) -> Result<Labelled, Problem> {
        let classes: Vec<String> = if self.classes.is_empty() {
            let defects: BTreeSet<&str> = rows
                .iter()
                .map(|r| plain(&r.label))
                .filter(|l| *l != GOOD)
                .collect();
            std::iter::once(GOOD)
                .chain(defects)
                .map(String::from)
                .collect()
        } else {
            self.classes.iter().map(|c| c.0.clone()).collect()
        };
        let truth = rows
            .iter()
            .map(|r| {
                class_index(&classes, &r.label).ok_or_else(|| {
                    format!("{}: label {} has no column p_{}", r.name, r.label, r.label)
                })
            })
            .collect::<Result<Vec<usize>, String>>()?;
        let scores = rows
            .iter()
            .map(|r| r.score.unwrap_or_else(|| 1.0 - r.probabilities[0]))
            .collect();
        let probabilities = (!self.classes.is_empty())
            .then(|| rows.iter().map(|r| r.probabilities.clone()).collect());
        let groups = self.group.map(|_| {
            let mut numbers: HashMap<&str, usize> = HashMap::new();
            rows.iter()
                .map(|r| {
                    let next = numbers.len();
                    *numbers.entry(&r.group).or_insert(next)
                })
                .collect()
        });
        Ok(Labelled {
            classes,
            truth,
            scores,
            probabilities,
            groups,
        })
    }
}

/// A label's class, where scores alone say nothing of class names: 0 is good,
/// 1 a defect.
fn plain(label: &str) -> &str {
    if label.eq_ignore_ascii_case(GOOD) {
        return GOOD;
    }
    match label.parse::<f64>() {
        Ok(0.0) => GOOD,
        Ok(1.0) => "defect",
        _ => label,
    }
}

/// The class a label means: by its very name, else as [`plain`] reads it, a
/// bare defect being the only defect class there is.
fn class_index(classes: &[String], label: &str) -> Option<usize> {
    let named = |name: &str| classes.iter().position(|c| c == name);
    named(label)
        .or_else(|| named(plain(label)))
        .or((classes.len() == 2 && plain(label) != GOOD).then_some(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ok(text: &str) -> Read {
        parse(text.as_bytes(), None).unwrap()
    }

    fn refused(text: &str) -> String {
        match parse(text.as_bytes(), None).unwrap_err() {
            Problem::Table(reason) | Problem::Helped(reason, _) => reason,
        }
    }

    #[test]
    fn labels_may_be_names_or_numbers() {
        let read = ok("id, label, score\na,good,0.1\nb,0,0.2\nc,1,0.9\nd,crack,0.8\ne,0.0,0\n");
        assert_eq!(read.labelled.classes, ["good", "crack", "defect"]);
        assert_eq!(read.labelled.truth, [0, 0, 2, 1, 0]);
        assert_eq!(read.labelled.scores, [0.1, 0.2, 0.9, 0.8, 0.0]);
        assert_eq!(read.labelled.probabilities, None);
    }

    #[test]
    fn probabilities_name_the_classes_and_good_comes_first() {
        let read = ok("label,p_print,p_good,id\nprint,0.7,0.3,a\ngood,0.1,0.9,b\n");
        assert_eq!(read.labelled.classes, ["good", "print"]);
        assert_eq!(read.labelled.truth, [1, 0]);
        assert!((read.labelled.scores[0] - 0.7).abs() < 1e-12);
    }

    #[test]
    fn numbered_classes_have_good_at_0() {
        let read = ok("id,label,p_0,p_1,p_2\na,2,0.1,0.2,0.7\nb,0,1,0,0\n");
        assert_eq!(read.labelled.classes, ["good", "1", "2"]);
        assert_eq!(read.labelled.truth, [2, 0]);
    }

    #[test]
    fn goma_s_own_scores_with_labels_are_read() {
        let read = ok("id,path,status,label,p_defect,p_good,p_crack,p_stain\n\
             a,x,ok,crack,0.9,0.1,0.8,0.1\nb,y,error,,,,,\nc,z,ok,,0.2,0.8,0.1,0.1\n");
        assert_eq!(read.labelled.classes, ["good", "crack", "stain"]);
        assert_eq!(read.labelled.scores, [0.9]);
        assert_eq!(read.unreadable, 1);
        assert_eq!(read.notes[0], "1 rows without a label are left out");
    }

    #[test]
    fn what_is_no_number_is_refused_with_its_row() {
        for wrong in ["NaN", "inf", "", "high"] {
            let text = format!("id,label,score\na,good,0.1\nb,1,{wrong}\n");
            let reason = refused(&text);
            assert!(reason.starts_with("row 2 (id b): score"), "{reason}");
        }
    }

    #[test]
    fn a_missing_column_is_named_with_those_found() {
        assert_eq!(
            refused("id,score\na,1\n"),
            "column label is missing; found: id, score"
        );
        assert!(refused("id,label,x\na,1,2\n").starts_with("column score, or p_good"));
        assert!(refused("id,label,p_a,p_b\na,a,1,0\n").starts_with("column p_good"));
    }

    #[test]
    fn a_piece_counts_once() {
        let reason = refused("id,label,score\na,1,2\nb,0,1\na,1,2\n");
        assert_eq!(reason, "row 3 (id a): the id occurs already in row 1");
    }

    #[test]
    fn a_label_without_its_column_and_a_wrong_sum_name_the_row() {
        let reason = refused("id,label,p_good,p_a,p_b\na,c,0.5,0.5,0\n");
        assert_eq!(reason, "row 1 (id a): label c has no column p_c");
        let reason = refused("id,label,p_good,p_a\na,a,0.5,0.7\n");
        assert!(reason.contains("sum to 1.2"), "{reason}");
    }

    #[test]
    fn a_single_probability_is_a_score() {
        assert_eq!(ok("id,label,p_defect\na,1,0.7\n").labelled.scores, [0.7]);
        assert_eq!(ok("id,label,p_good\na,1,0.25\n").labelled.scores, [0.75]);
    }

    #[test]
    fn groups_are_numbered_as_they_come() {
        let read = ok("id,label,score,group\na,1,1,x\nb,0,0,y\nc,0,0,x\n");
        assert_eq!(read.labelled.groups, Some(vec![0, 1, 0]));
    }

    #[test]
    fn a_table_without_a_good_label_says_what_it_found() {
        let read = ok("id,label,score\na,ok,1\nb,nok,0\n");
        assert!(
            read.notes[0].ends_with("found: nok, ok"),
            "{:?}",
            read.notes
        );
    }
}
