//! What a training leaves in the bundle's folder beside the model: its card,
//! measures and curves.

use goma::files;
use goma::pipeline::evaluate::Evaluation;
use goma::pipeline::fit::Fitted;
use goma::report::markdown::Table;
use goma::report::training::TrainingFolder;
use goma::{Error, Result, store};
use std::path::Path;

/// Writes the bundle, what it was measured at, and the training's curves.
pub fn write(fitted: &Fitted, out: &Path) -> Result<()> {
    let training = TrainingFolder::new(out);
    training.write_curves(&fitted.history)?;
    training.write_sifted(&fitted.sifted)?;
    if let Some(evaluation) = &fitted.evaluation {
        let json = serde_json::to_vec_pretty(evaluation).map_err(|e| Error::data(e.to_string()))?;
        files::write_atomic(&out.join("evaluation.json"), &json)?;
    }
    files::write_atomic(&out.join("README.md"), card(fitted).as_bytes())?;
    store::save(&fitted.pipeline, out)?;
    // The bundle is whole: what only a resumed training needs goes.
    for entry in std::fs::read_dir(out)
        .map_err(Error::io("read", out))?
        .flatten()
    {
        if entry.path().extension().is_some_and(|e| e == "checkpoint") {
            std::fs::remove_file(entry.path()).map_err(Error::io("remove", entry.path()))?;
        }
    }
    Ok(())
}

/// The measures on held-out pieces, a row for each thing compared.
pub(super) fn table(evaluation: &Evaluation) -> String {
    let mut table = Table::new([
        "compared",
        "ROC AUC",
        "AUC-PR",
        "F1",
        "defect recall at 5% false rejects",
        "accuracy",
    ]);
    let number = |v: Option<f64>| v.map_or_else(|| "-".to_string(), |v| format!("{v:.4}"));
    for (name, report) in &evaluation.arms {
        table.row([
            name.clone(),
            number(report.roc_auc),
            number(report.auc_pr),
            number(report.f1),
            number(report.recall_at_5pct_false_rejects),
            number(report.accuracy),
        ]);
    }
    let pixels = evaluation.pixels.as_ref().map_or_else(String::new, |p| {
        format!(
            "\nPixels of the anomaly map: ROC AUC {:.4}, AP {:.4}, AUPRO {:.4}.\n",
            p.roc_auc, p.average_precision, p.aupro
        )
    });
    format!(
        "{} held-out pieces, {} of them defective; thresholds from the training pieces.\n\n{table}{pixels}",
        evaluation.pieces, evaluation.defective
    )
}

/// [`table`], and below it what is to be said of each row.
pub(super) fn measured(evaluation: &Evaluation) -> String {
    let notes: String = evaluation
        .arms
        .iter()
        .flat_map(|(name, report)| report.notes.iter().map(move |n| format!("- {name}: {n}\n")))
        .collect();
    let gap = if notes.is_empty() { "" } else { "\n" };
    format!("{}{gap}{notes}", table(evaluation))
}

/// The bundle's card, for people.
fn card(fitted: &Fitted) -> String {
    let pipeline = &fitted.pipeline;
    let training = &pipeline.training;
    let shape = pipeline.draem.shape();
    let decider = pipeline.hybrid.as_ref().map_or_else(
        || "The anomaly score decides.".to_string(),
        |hybrid| {
            format!(
                "A classifier ({}) decides on {} of {} features of backbone {}; input {}.",
                hybrid.classifier.options().name(),
                hybrid.selection.columns().len(),
                hybrid.extractor.columns().len(),
                hybrid.backbone.name,
                hybrid.extractor.options().input,
            )
        },
    );
    let measured = fitted.evaluation.as_ref().map_or_else(
        || "No piece was held out: nothing is measured here.\n".to_string(),
        measured,
    );
    let notes: String = training.notes.iter().map(|n| format!("- {n}\n")).collect();
    format!(
        "# {}\n\nA model of goma {}. Use it with `goma score`.\n\n\
         Trained on {}; seed {}.\n\n\
         Anomaly model: DRAEM, {} channels, {} x {}, widths {} and {}, {} steps of {}, on {} good pieces. {}\n\n\
         Decision: {}. {} ({} pieces).\n\n## Measured\n\n{measured}\n{notes}\n\
         ## What it is not\n\nIt knows pieces like those it was trained on, under that camera and light. \
         Of others its numbers say nothing.\n",
        training.name,
        env!("CARGO_PKG_VERSION"),
        training.data,
        training.seed,
        shape.channels,
        shape.size,
        shape.size,
        shape.reconstructive_width,
        shape.discriminative_width,
        pipeline.settings.draem.steps,
        pipeline.settings.draem.batch,
        training.anomaly_pieces,
        decider,
        pipeline.rule.basis,
        training.maps,
        training.fitted_pieces,
    )
}
