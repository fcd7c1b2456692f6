//! The tables of a comparison, in the form of tables 2 and 3 of Rožanec et al.:
//! input mode and classifier down, measures or fractions of defects across.

use crate::comparison::differences::{SIGNIFICANT, TESTED};
use crate::comparison::{ArmName, ArmResult, Comparison, Difference, Measured, Task};
use crate::report::markdown;
use std::collections::BTreeSet;

/// One cell.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Cell {
    /// What stands there.
    pub text: String,
    /// Differs from image alone.
    pub bold: bool,
}

impl Cell {
    fn plain(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            bold: false,
        }
    }
}

/// A table with what a reader needs to read it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Titled {
    /// Above it.
    pub title: String,
    /// What its numbers are.
    pub about: String,
    /// Names of the columns.
    pub head: Vec<String>,
    /// Its rows, as long as the head.
    pub rows: Vec<Vec<Cell>>,
}

impl Titled {
    /// The table as Markdown text.
    #[must_use]
    pub fn markdown(&self) -> String {
        let mut table = markdown::Table::new(self.head.clone());
        for row in &self.rows {
            table.row(row.iter().map(|cell| match cell.bold {
                true => format!("**{}**", cell.text),
                false => cell.text.clone(),
            }));
        }
        table.to_string()
    }
}

/// A measure's heading.
#[must_use]
pub fn heading(measure: &str) -> String {
    match measure {
        "roc_auc" => "ROC AUC",
        "auc_pr" => "AUC-PR",
        "f1" => "F1",
        "macro_f1" => "macro F1",
        "precision" => "precision",
        "defect_recall" => "defect recall",
        "correct_defect_class_recall" => "correct class recall",
        "specificity" => "specificity",
        "aql" => "AQL %",
        "kappa" => "kappa",
        "defect_recall_at_5pct_false_rejects" => "recall at 5% false rejects",
        other => return other.strip_prefix("recall_").unwrap_or(other).to_string(),
    }
    .to_string()
}

const BOLD: &str = "Bold: differs from image alone, all else equal, with p < 0.005 (exact two-sided \
                    Wilcoxon signed-rank over the folds, each test by itself); the table of tests has \
                    Holm's correction beside it.";

/// All tables, in order.
#[must_use]
pub fn all(comparison: &Comparison) -> Vec<Titled> {
    let mut tables = Vec::new();
    for task in Task::ALL {
        let arms: Vec<usize> = (0..comparison.arms.len())
            .filter(|&a| comparison.arms[a].name.task == task.name())
            .collect();
        let fractions: BTreeSet<u32> = arms
            .iter()
            .map(|&a| comparison.arms[a].name.defects)
            .collect();
        let Some(&most) = fractions.last() else {
            continue;
        };
        tables.push(by_measure(comparison, task, &arms, most));
        if fractions.len() > 1 {
            tables.push(by_fraction(comparison, task, &arms, &fractions));
        }
        tables.push(by_class(comparison, task, &arms, most));
        tables.push(intervals(comparison, task, &arms, most));
    }
    tables.push(tests(comparison));
    tables
}

/// The measures of a task's table.
fn measures_of(task: Task) -> &'static [&'static str] {
    match task {
        Task::Binary => &[
            "roc_auc",
            "auc_pr",
            "f1",
            "defect_recall",
            "specificity",
            "aql",
            "kappa",
            "defect_recall_at_5pct_false_rejects",
        ],
        Task::MultiClass => &[
            "roc_auc",
            "auc_pr",
            "macro_f1",
            "defect_recall",
            "correct_defect_class_recall",
            "specificity",
            "aql",
            "kappa",
            "defect_recall_at_5pct_false_rejects",
        ],
    }
}

/// Table 2 of the paper: arms down, measures across.
fn by_measure(comparison: &Comparison, task: Task, arms: &[usize], most: u32) -> Titled {
    let measures = measures_of(task);
    let mut head = arm_head();
    head.extend(measures.iter().map(|m| heading(m)));
    let averaged = match task {
        Task::Binary => {
            "The threshold is fitted on training pieces; arms whose specificity differs pay for \
             their recall differently, the last column has it at one price."
        }
        Task::MultiClass => {
            "ROC AUC and AUC-PR: each class against the rest, weighted by class share. Decided by \
             the largest probability."
        }
    };
    Titled {
        title: format!("Table 2: {}, {most}% of the defects", task.name()),
        about: format!("Mean over the folds and, after ±, standard deviation. {averaged} {BOLD}"),
        head,
        rows: rows(comparison, arms, most, |a| {
            measures.iter().map(|m| cell(comparison, a, m)).collect()
        }),
    }
}

/// Table 3 of the paper: arms down, fractions of the defects across.
fn by_fraction(
    comparison: &Comparison,
    task: Task,
    arms: &[usize],
    fractions: &BTreeSet<u32>,
) -> Titled {
    let measures: &[&str] = match task {
        Task::Binary => &[
            "defect_recall",
            "defect_recall_at_5pct_false_rejects",
            "roc_auc",
        ],
        Task::MultiClass => &[
            "defect_recall",
            "correct_defect_class_recall",
            "defect_recall_at_5pct_false_rejects",
            "roc_auc",
        ],
    };
    let mut head = arm_head();
    for measure in measures {
        head.extend(
            fractions
                .iter()
                .map(|f| format!("{} {f}%", heading(measure))),
        );
    }
    let most = fractions.last().copied().unwrap_or(100);
    let body = rows(comparison, arms, most, |a| {
        let name = &comparison.arms[a].name;
        let mut cells = Vec::new();
        for measure in measures {
            for &defects in fractions {
                let wanted = ArmName {
                    defects,
                    ..name.clone()
                };
                let found = arms.iter().find(|&&a| comparison.arms[a].name == wanted);
                cells.push(found.map_or(Cell::plain("-"), |&a| cell(comparison, a, measure)));
            }
        }
        cells
    });
    Titled {
        title: format!("Table 3: {}, by share of the defects", task.name()),
        about: format!(
            "All good training pieces and the given share of the defective ones, the smaller shares \
             within the larger. {BOLD}"
        ),
        head,
        rows: body,
    }
}

/// The recall of every class.
fn by_class(comparison: &Comparison, task: Task, arms: &[usize], most: u32) -> Titled {
    let measures: Vec<String> = comparison.arms[arms[0]]
        .measures
        .keys()
        .filter(|m| m.starts_with("recall_"))
        .cloned()
        .collect();
    let mut head = arm_head();
    head.extend(measures.iter().map(|m| heading(m)));
    let about = match task {
        Task::Binary => "Share of each defect class that is rejected; of good pieces, that passes.",
        Task::MultiClass => "Share of each class that is given its very name.",
    };
    Titled {
        title: format!(
            "Recall of each class: {}, {most}% of the defects",
            task.name()
        ),
        about: format!("{about} Mean ± standard deviation over the folds that have the class."),
        head,
        rows: rows(comparison, arms, most, |a| {
            let measured = &comparison.arms[a].measures;
            measures
                .iter()
                .map(|m| Cell::plain(mean(&measured[m], m)))
                .collect()
        }),
    }
}

/// Pooled values with their intervals.
fn intervals(comparison: &Comparison, task: Task, arms: &[usize], most: u32) -> Titled {
    let measures = measures_of(task);
    let mut head = arm_head();
    head.extend(measures.iter().map(|m| heading(m)));
    Titled {
        title: format!("Intervals: {}, {most}% of the defects", task.name()),
        about: "All out-of-fold predictions together, and the 95% bootstrap interval over groups."
            .into(),
        head,
        rows: rows(comparison, arms, most, |a| {
            let measured = &comparison.arms[a].measures;
            let of = |m: &&str| Cell::plain(interval(&measured[*m], m));
            measures.iter().map(of).collect()
        }),
    }
}

/// Every test of defect recall, ROC AUC and the correct class between inputs
/// and between fractions.
fn tests(comparison: &Comparison) -> Titled {
    let head = [
        "task",
        "measure",
        "arm",
        "against",
        "difference",
        "folds",
        "p",
        "p (Holm)",
    ];
    let name = |a: usize| {
        let n = &comparison.arms[a].name;
        let words = [n.input, n.classifier, n.balance];
        let words: Vec<&str> = words.into_iter().filter(|w| *w != "-").collect();
        format!("{}, {}%", words.join(" "), n.defects)
    };
    let shown = [
        "roc_auc",
        "defect_recall",
        "correct_defect_class_recall",
        "macro_f1",
        "defect_recall_at_5pct_false_rejects",
    ];
    let row = |d: &Difference| {
        vec![
            Cell::plain(comparison.arms[d.a].name.task),
            Cell::plain(heading(d.measure)),
            Cell::plain(name(d.b)),
            Cell::plain(name(d.a)),
            Cell::plain(format!("{:+.3}", d.difference)),
            Cell::plain(d.folds.to_string()),
            Cell {
                text: p_value(d.p),
                bold: d.p < SIGNIFICANT,
            },
            Cell::plain(p_value(d.p_holm)),
        ]
    };
    let mut listed: Vec<&Difference> = comparison
        .differences
        .iter()
        .filter(|d| shown.contains(&d.measure))
        .collect();
    listed.sort_by_key(|d| {
        let task = comparison.arms[d.a].name.task;
        (
            task,
            TESTED.iter().position(|t| *t == d.measure),
            d.factor != "input",
            d.factor,
            d.a,
            d.b,
        )
    });
    Titled {
        title: "Tests".into(),
        about: "Exact two-sided Wilcoxon signed-rank tests over the folds, between arms that differ in \
                one factor; Holm's correction is over all tests of the same task, measure and factor. \
                compare.json has the other measures. Folds share training pieces, so that p-values \
                are somewhat too small."
            .into(),
        head: head.map(String::from).to_vec(),
        rows: listed.into_iter().map(row).collect(),
    }
}

fn arm_head() -> Vec<String> {
    ["input", "classifier", "balancing"]
        .map(String::from)
        .to_vec()
}

/// A row for each arm of the largest fraction.
fn rows(
    comparison: &Comparison,
    arms: &[usize],
    most: u32,
    cells: impl Fn(usize) -> Vec<Cell>,
) -> Vec<Vec<Cell>> {
    let of_most = arms
        .iter()
        .filter(|&&a| comparison.arms[a].name.defects == most);
    of_most
        .map(|&a| {
            let n = &comparison.arms[a].name;
            let names = [n.input, n.classifier, n.balance].map(Cell::plain);
            names.into_iter().chain(cells(a)).collect()
        })
        .collect()
}

/// A mean, bold where the arm differs from image alone.
fn cell(comparison: &Comparison, arm: usize, measure: &str) -> Cell {
    let of = &comparison.arms[arm];
    // AQL is defect recall said otherwise.
    let tested = if measure == "aql" {
        "defect_recall"
    } else {
        measure
    };
    // The anomaly score stands against image alone under every classifier.
    let against: Vec<&Difference> = comparison
        .differences
        .iter()
        .filter(|d| {
            let other = match arm {
                a if a == d.a => d.b,
                a if a == d.b => d.a,
                _ => return false,
            };
            d.measure == tested && d.factor == "input" && is_image_of(&comparison.arms[other], of)
        })
        .collect();
    let bold = !against.is_empty() && against.iter().all(|d| d.p < SIGNIFICANT);
    Cell {
        text: mean(&of.measures[measure], measure),
        bold: bold && of.name.input != "image",
    }
}

/// Whether an arm sees the image alone and is otherwise like another.
fn is_image_of(image: &ArmResult, other: &ArmResult) -> bool {
    let (i, o) = (&image.name, &other.name);
    i.input == "image"
        && (i.task, i.defects) == (o.task, o.defects)
        && (o.classifier == "-" || (i.classifier, i.balance) == (o.classifier, o.balance))
}

fn mean(measured: &Measured, measure: &str) -> String {
    let digits = digits(measure);
    match (measured.mean, measured.deviation) {
        (Some(mean), Some(deviation)) => format!("{mean:.digits$} ± {deviation:.digits$}"),
        (Some(mean), None) => format!("{mean:.digits$}"),
        (None, _) => "-".into(),
    }
}

fn interval(measured: &Measured, measure: &str) -> String {
    let digits = digits(measure);
    match (measured.pooled, measured.interval) {
        (Some(v), Some(i)) => {
            format!("{v:.digits$} ({:.digits$} to {:.digits$})", i.low, i.high)
        }
        (Some(v), None) => format!("{v:.digits$}"),
        (None, _) => "-".into(),
    }
}

/// Percent have one digit, shares three.
fn digits(measure: &str) -> usize {
    if measure == "aql" { 1 } else { 3 }
}

fn p_value(p: f64) -> String {
    if p < 0.0001 {
        "< 0.0001".into()
    } else {
        format!("{p:.4}")
    }
}
