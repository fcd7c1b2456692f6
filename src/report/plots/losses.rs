//! How the training of an anomaly model went: losses and validations, as plots
//! and as CSV.

use super::{FONT, curve, framed, labels, svg};
use crate::draem::train::{History, LossRow};
use crate::draem::validate::ValidationRow;
use crate::error::{Error, Result};
use crate::report::style::{INK, LINE, QUIET};
use plotters::prelude::*;

/// A loss curve is drawn with at most this many points, each a mean.
const LOSS_POINTS: usize = 300;

/// The losses over the steps and those of validation, on a logarithmic axis;
/// long runs are averaged over equal stretches.
///
/// # Errors
/// [`Error::Data`] if there is no step.
pub fn loss_curve(history: &History) -> Result<String> {
    let rows = &history.losses;
    if rows.is_empty() {
        return Err(Error::data("no training step to draw a loss curve of"));
    }
    // A loss of exactly zero has no place on this axis.
    let place = |step: f64, loss: f64| (step, loss.max(1e-6).log10());
    type Part = fn(&LossRow) -> f64;
    let parts: [(&str, Part); 4] = [
        ("total", |r| r.total),
        ("l2", |r| r.l2),
        ("1 - SSIM", |r| r.ssim),
        ("focal", |r| r.focal),
    ];
    let stretch = rows.len().div_ceil(LOSS_POINTS);
    let mut curves: Vec<(&str, Vec<(f64, f64)>)> = parts
        .iter()
        .map(|(name, part)| {
            let points = rows.chunks(stretch).map(|chunk| {
                let n = chunk.len() as f64;
                let step = chunk.iter().map(|r| r.step as f64).sum::<f64>() / n;
                place(step, chunk.iter().map(part).sum::<f64>() / n)
            });
            (*name, points.collect())
        })
        .collect();
    if !history.validations.is_empty() {
        let validated = |part: fn(&ValidationRow) -> f64| {
            let rows = history.validations.iter();
            rows.map(|r| place(r.step as f64, part(r))).collect()
        };
        curves.push(("validation, total", validated(|r| r.total)));
        curves.push(("validation, focal", validated(|r| r.focal)));
    }
    let values = || curves.iter().flat_map(|(_, points)| points).map(|p| p.1);
    let low = values().fold(f64::INFINITY, f64::min).floor();
    let high = values()
        .fold(f64::NEG_INFINITY, f64::max)
        .ceil()
        .max(low + 1.0);
    let last = rows.last().map_or(1.0, |r| r.step as f64).max(2.0);
    svg("the loss curve", (760, 400), |area| {
        let mut chart = framed(area, "Training loss", 1.0..last, low..high)?;
        chart
            .configure_mesh()
            .light_line_style(TRANSPARENT)
            .bold_line_style(LINE)
            .axis_style(QUIET)
            .x_desc("step")
            .y_labels((high - low) as usize + 1)
            .x_label_formatter(&|v| format!("{v:.0}"))
            .y_label_formatter(&|v| power_of_ten(*v))
            .label_style((FONT, 13, &INK))
            .draw()?;
        for (i, (name, points)) in curves.iter().enumerate() {
            curve(&mut chart, i, name, points.clone())?;
        }
        labels(&mut chart, SeriesLabelPosition::UpperRight)
    })
}

/// How well simulated defects were found at each validation; the dashed line
/// is where the kept weights were taken.
///
/// # Errors
/// [`Error::Data`] if nothing was measured.
pub fn validation_curve(history: &History) -> Result<String> {
    type Part = fn(&ValidationRow) -> Option<f64>;
    let parts: [(&str, Part); 2] = [
        ("pixel AP", |r| r.pixel_ap),
        ("image ROC AUC", |r| r.image_roc_auc),
    ];
    let curves = parts.map(|(name, part)| {
        let rows = history.validations.iter();
        let points: Vec<(f64, f64)> = rows
            .filter_map(|r| Some((r.step as f64, part(r)?)))
            .collect();
        (name, points)
    });
    let Some(last) = history.validations.last() else {
        return Err(Error::data("no validation to draw a curve of"));
    };
    svg("the validation curve", (760, 400), |area| {
        let title = "Validation on simulated defects";
        let mut chart = framed(area, title, 0.0..(last.step as f64).max(1.0), 0.0..1.02)?;
        chart
            .configure_mesh()
            .light_line_style(TRANSPARENT)
            .bold_line_style(LINE)
            .axis_style(QUIET)
            .x_desc("step")
            .x_label_formatter(&|v| format!("{v:.0}"))
            .y_label_formatter(&|v| format!("{v:.1}"))
            .label_style((FONT, 13, &INK))
            .draw()?;
        if let Some(kept) = history.kept_step {
            let at = kept as f64;
            let line = DashedLineSeries::new([(at, 0.0), (at, 1.02)], 4, 4, QUIET.stroke_width(1));
            chart.draw_series(line)?;
        }
        for (i, (name, points)) in curves.into_iter().enumerate() {
            curve(&mut chart, i, name, points)?;
        }
        labels(&mut chart, SeriesLabelPosition::LowerRight)
    })
}

/// The losses as CSV: `step,total,l2,ssim,focal,learning_rate,gradient_norm`.
#[must_use]
pub fn loss_csv(rows: &[LossRow]) -> String {
    let mut csv = String::from("step,total,l2,ssim,focal,learning_rate,gradient_norm\n");
    for r in rows {
        csv.push_str(&format!(
            "{},{:?},{:?},{:?},{:?},{:?},{:?}\n",
            r.step, r.total, r.l2, r.ssim, r.focal, r.learning_rate, r.gradient_norm
        ));
    }
    csv
}

/// The validations as CSV: `step,total,l2,ssim,focal,pixel_ap,image_roc_auc,kept`;
/// a measure that there is none of is empty, `kept` is 1 for the weights kept.
#[must_use]
pub fn validation_csv(history: &History) -> String {
    let mut csv = String::from("step,total,l2,ssim,focal,pixel_ap,image_roc_auc,kept\n");
    let measure = |v: Option<f64>| v.map_or_else(String::new, |v| format!("{v:?}"));
    for r in &history.validations {
        csv.push_str(&format!(
            "{},{:?},{:?},{:?},{:?},{},{},{}\n",
            r.step,
            r.total,
            r.l2,
            r.ssim,
            r.focal,
            measure(r.pixel_ap),
            measure(r.image_roc_auc),
            u8::from(history.kept_step == Some(r.step))
        ));
    }
    csv
}

/// `log10` values as people read them: 0.01, 1, 100; blank between powers.
pub(super) fn power_of_ten(exponent: f64) -> String {
    if (exponent - exponent.round()).abs() > 1e-6 {
        return String::new();
    }
    format!("{}", 10f64.powf(exponent.round()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(n: usize) -> Vec<LossRow> {
        (1..=n)
            .map(|step| {
                let falling = 1.0 / (step as f64).sqrt();
                LossRow {
                    step,
                    total: 1.6 * falling,
                    l2: 0.1 * falling,
                    ssim: falling,
                    focal: 0.5 * falling,
                    learning_rate: 1e-4,
                    gradient_norm: 2.0,
                }
            })
            .collect()
    }

    #[test]
    fn a_loss_curve_is_bounded_in_size_whatever_the_number_of_steps() {
        let of = |losses| History {
            losses,
            ..History::default()
        };
        let long = loss_curve(&of(rows(20_000))).unwrap();
        assert!(long.len() < 200_000, "{}", long.len());
        assert!(long.contains("focal") && long.starts_with("<svg"));
        assert!(loss_curve(&of(rows(1))).is_ok());
        assert!(loss_curve(&of(Vec::new())).is_err());
    }

    #[test]
    fn losses_are_written_so_that_they_read_back_exactly() {
        let csv = loss_csv(&rows(2));
        assert_eq!(csv.lines().nth(1), Some("1,1.6,0.1,1.0,0.5,0.0001,2.0"));
        assert_eq!(csv.lines().count(), 3);
    }

    #[test]
    fn validations_are_written_with_the_one_that_was_kept() {
        let row = |step, pixel_ap| ValidationRow {
            step,
            total: 0.75,
            l2: 0.125,
            ssim: 0.5,
            focal: 0.125,
            pixel_ap,
            image_roc_auc: None,
        };
        let history = History {
            losses: rows(20),
            validations: vec![row(10, Some(0.5)), row(20, Some(0.25))],
            kept_step: Some(10),
            ..History::default()
        };
        let csv = validation_csv(&history);
        assert_eq!(csv.lines().nth(1), Some("10,0.75,0.125,0.5,0.125,0.5,,1"));
        assert!(csv.lines().nth(2).unwrap().ends_with(",0"));
        assert!(validation_curve(&history).unwrap().contains("pixel AP"));
        assert!(loss_curve(&history).unwrap().contains("validation, total"));
        assert!(validation_curve(&History::default()).is_err());
    }
}
