//! Tables as Markdown text, for the terminal, model cards and `docs/`.

use crate::metrics::report::Report;
use std::fmt;

/// A table of words and numbers, columns aligned.
///
/// ```
/// use goma::report::markdown::Table;
///
/// let mut table = Table::new(["class", "recall"]);
/// table.row(["print", "0.98"]);
/// assert_eq!(table.to_string(), "| class | recall |\n|-------|-------:|\n| print |   0.98 |\n");
/// ```
#[derive(Debug, Clone)]
pub struct Table {
    head: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these columns; all but the first are aligned to the right.
    pub fn new<T: Into<String>>(head: impl IntoIterator<Item = T>) -> Self {
        Self {
            head: head.into_iter().map(cell).collect(),
            rows: Vec::new(),
        }
    }

    /// Adds a row; missing cells are empty, those too many are left out.
    pub fn row<T: Into<String>>(&mut self, cells: impl IntoIterator<Item = T>) -> &mut Self {
        let mut row: Vec<String> = cells.into_iter().map(cell).collect();
        row.resize(self.head.len(), String::new());
        self.rows.push(row);
        self
    }
}

/// A cell's text: on one line, its bars escaped.
fn cell(text: impl Into<String>) -> String {
    crate::error::one_line(&text.into()).replace('|', "\\|")
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = |c: usize| {
            let of = |row: &Vec<String>| row[c].chars().count();
            self.rows
                .iter()
                .map(of)
                .chain([of(&self.head)])
                .max()
                .unwrap_or(0)
        };
        let widths: Vec<usize> = (0..self.head.len()).map(width).collect();
        let line = |f: &mut fmt::Formatter<'_>, row: &[String]| {
            for (c, (text, &w)) in row.iter().zip(&widths).enumerate() {
                if c == 0 {
                    write!(f, "| {text:<w$} ")?;
                } else {
                    write!(f, "| {text:>w$} ")?;
                }
            }
            writeln!(f, "|")
        };
        line(f, &self.head)?;
        for (c, &w) in widths.iter().enumerate() {
            let rule = "-".repeat(w + 1);
            write!(f, "|{rule}{}", if c == 0 { "-" } else { ":" })?;
        }
        writeln!(f, "|")?;
        self.rows.iter().try_for_each(|row| line(f, row))
    }
}

/// All measures of an evaluation: the binary ones, then each class, then the
/// confusion matrix, then what could not be computed.
#[must_use]
pub fn evaluation(report: &Report) -> String {
    let mut measures = Table::new(["measure", "value", "interval"]);
    for (name, value) in [
        ("roc_auc", report.roc_auc),
        ("auc_pr", report.auc_pr),
        ("f1", report.f1),
        ("precision", report.precision),
        ("recall", report.recall),
        ("specificity", report.specificity),
        ("false_reject_rate", report.false_reject_rate),
        (
            "recall_at_5pct_false_rejects",
            report.recall_at_5pct_false_rejects,
        ),
        ("aql", report.aql),
        ("accuracy", report.accuracy),
        ("kappa", report.kappa),
        ("macro_f1", report.macro_f1),
        ("weighted_f1", report.weighted_f1),
        ("roc_auc_one_vs_rest", report.roc_auc_one_vs_rest),
        (
            "correct_defect_class_recall",
            report.correct_defect_class_recall,
        ),
    ] {
        let interval = report.intervals.get(name);
        let interval = interval.map(|i| format!("{:.3} to {:.3}", i.low, i.high));
        measures.row([
            name.to_string(),
            value.map_or("-".into(), |v| format!("{v:.4}")),
            interval.unwrap_or_default(),
        ]);
    }
    let mut classes = Table::new(["class", "pieces", "precision", "recall", "F1", "rejected"]);
    for (name, class) in &report.per_class {
        let rejected = report.defect_recall_by_class.get(name);
        classes.row([
            name.clone(),
            class.n.to_string(),
            format!("{:.3}", class.scores.precision),
            format!("{:.3}", class.scores.recall),
            format!("{:.3}", class.scores.f1),
            rejected.map_or("-".into(), |r| format!("{r:.3}")),
        ]);
    }
    let head =
        std::iter::once("true class \\ taken for").chain(report.classes.iter().map(String::as_str));
    let mut confusion = Table::new(head);
    for (name, row) in report.classes.iter().zip(&report.confusion) {
        confusion.row(std::iter::once(name.clone()).chain(row.iter().map(ToString::to_string)));
    }
    let threshold = report.threshold.map_or(String::new(), |t| {
        format!("Threshold {t:.4} ({}). ", report.threshold_basis)
    });
    let notes: String = report.notes.iter().map(|n| format!("- {n}\n")).collect();
    format!(
        "{} pieces: {} good, {} defective. {threshold}\n\n{measures}\n{classes}\n{confusion}{}{notes}",
        report.n,
        report.n_good,
        report.n_defect,
        if notes.is_empty() { "" } else { "\n" }
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::report::{Labelled, ReportOptions};
    use crate::random::Seed;

    #[test]
    fn a_bar_in_a_cell_does_not_split_it() {
        let mut table = Table::new(["a", "b"]);
        table.row(["x|y\nz", "1"]);
        assert!(table.to_string().contains("| x\\|y z | 1 |"));
    }

    #[test]
    fn an_evaluation_names_its_measures_and_its_confusions() {
        let data = Labelled {
            classes: vec!["good".into(), "print".into()],
            truth: vec![0, 0, 1, 1],
            scores: vec![0.1, 0.2, 0.8, 0.9],
            probabilities: None,
            groups: None,
        };
        let report = Report::new(&data, &ReportOptions::default(), Seed::new(0)).unwrap();
        let text = evaluation(&report);
        assert!(text.starts_with("4 pieces: 2 good, 2 defective. Threshold"));
        let has = |line: &[&str]| {
            text.lines().any(|l| {
                l.split('|')
                    .map(str::trim)
                    .filter(|c| !c.is_empty())
                    .eq(line.iter().copied())
            })
        };
        assert!(has(&["roc_auc", "1.0000"]), "{text}");
        assert!(has(&["print", "0", "2"]), "{text}");
    }
}
