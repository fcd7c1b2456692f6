//! The report as people read it at the terminal.

use goma::metrics::Report;
use std::fmt::Write as _;

/// A table of every measure, one a line.
pub fn table(r: &Report) -> String {
    let mut out = String::new();
    // Writing into a string cannot fail.
    let mut line = |name: &str, value: String| {
        let _ = writeln!(out, "{name:<28}{value}");
    };
    line(
        "pieces",
        format!("{}: {} good, {} defective", r.n, r.n_good, r.n_defect),
    );
    let number = |key: &str, v: Option<f64>| match (v, r.intervals.get(key)) {
        (None, _) => "undefined".to_string(),
        (Some(v), None) => format!("{v:.4}"),
        (Some(v), Some(i)) => format!("{v:.4}  ({:.4} to {:.4})", i.low, i.high),
    };
    line("ROC AUC", number("roc_auc", r.roc_auc));
    line("AUC-PR", number("auc_pr", r.auc_pr));
    line(
        "recall at 5% false rejects",
        number(
            "recall_at_5pct_false_rejects",
            r.recall_at_5pct_false_rejects,
        ),
    );
    match r.threshold {
        None => line("threshold", r.threshold_basis.to_string()),
        Some(t) => {
            line("threshold", format!("{t:.6} ({})", r.threshold_basis));
            line("  F1", number("f1", r.f1));
            line("  precision", number("precision", r.precision));
            line("  defect recall", number("recall", r.recall));
            line(
                "  AQL",
                r.aql.map_or("undefined".into(), |a| format!("{a:.2}%")),
            );
            line("  specificity", number("specificity", r.specificity));
            for (class, recall) in r
                .defect_recall_by_class
                .iter()
                .filter(|_| r.defect_recall_by_class.len() > 1)
            {
                line(&format!("  defect recall, {class}"), format!("{recall:.4}"));
            }
        }
    }
    line("accuracy", number("accuracy", r.accuracy));
    line("Cohen's kappa", number("kappa", r.kappa));
    if r.classes.len() > 2 {
        line(
            "ROC AUC, one against rest",
            number("", r.roc_auc_one_vs_rest),
        );
        line(
            "correct defect class recall",
            number("", r.correct_defect_class_recall),
        );
        line("macro F1", number("", r.macro_f1));
        line("weighted F1", number("", r.weighted_f1));
    }
    if !r.confusion.is_empty() {
        confusion(&mut out, r);
    }
    if r.classes.len() > 2 {
        classes(&mut out, r);
    }
    out
}

/// Truth down, prediction across.
fn confusion(out: &mut String, r: &Report) {
    let width = r
        .classes
        .iter()
        .map(|c| c.chars().count())
        .max()
        .unwrap_or(0)
        .max(6);
    let _ = write!(out, "\n{:<width$}", "truth");
    for class in &r.classes {
        let _ = write!(out, "  {class:>width$}");
    }
    let _ = writeln!(out, "   (predicted)");
    for (class, row) in r.classes.iter().zip(&r.confusion) {
        let _ = write!(out, "{class:<width$}");
        for n in row {
            let _ = write!(out, "  {n:>width$}");
        }
        let _ = writeln!(out);
    }
}

fn classes(out: &mut String, r: &Report) {
    let width = r
        .classes
        .iter()
        .map(|c| c.chars().count())
        .max()
        .unwrap_or(0)
        .max(6);
    let _ = writeln!(
        out,
        "\n{:<width$}  {:>6}  {:>9}  {:>6}  {:>6}  {:>7}",
        "class", "n", "precision", "recall", "F1", "ROC AUC"
    );
    for name in &r.classes {
        let Some(c) = r.per_class.get(name) else {
            continue;
        };
        let _ = writeln!(
            out,
            "{name:<width$}  {:>6}  {:>9.4}  {:>6.4}  {:>6.4}  {:>7}",
            c.n,
            c.scores.precision,
            c.scores.recall,
            c.scores.f1,
            c.roc_auc.map_or("-".into(), |a| format!("{a:.4}"))
        );
    }
}
