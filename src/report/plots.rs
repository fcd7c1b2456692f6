//! Plots for training and evaluation, as SVG: readable on paper, in grey, and
//! for a colour-blind eye (the palette is Okabe and Ito's, and curves differ
//! in their dashes too).

pub mod losses;

use crate::error::{Error, Result};
use crate::metrics::ranking::Sweep;
use crate::report::font;
use crate::report::style::{INK, LINE, PALETTE, QUIET};
use plotters::coord::Shift;
use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Drawn = std::result::Result<(), Box<dyn std::error::Error>>;
type Chart<'a, 'b> = ChartContext<'a, SVGBackend<'b>, Cartesian2d<RangedCoordf64, RangedCoordf64>>;

const FONT: &str = font::FAMILY;
const HISTOGRAM_BINS: usize = 30;

/// How many pieces of each class have which score, on a logarithmic axis, with
/// the thresholds.
///
/// - `classes`: name and scores of each; scores outside `0..=1` count in the
///   outermost bars
/// - `thresholds`: what each is called, and where it lies
///
/// # Errors
/// [`Error::Data`] if it cannot be drawn.
pub fn score_histogram(
    column: &str,
    classes: &[(String, Vec<f64>)],
    thresholds: &[(&str, f64)],
) -> Result<String> {
    let counts: Vec<Vec<usize>> = classes
        .iter()
        .map(|(_, scores)| {
            let mut bins = vec![0; HISTOGRAM_BINS];
            for score in scores {
                let bin = (score.clamp(0.0, 1.0) * HISTOGRAM_BINS as f64) as usize;
                bins[bin.min(HISTOGRAM_BINS - 1)] += 1;
            }
            bins
        })
        .collect();
    let most = counts.iter().flatten().copied().max().unwrap_or(1).max(1);
    // The axis begins below 1, so that a single piece has a bar.
    let entries = (classes.len() + thresholds.len()) as f64;
    let (low, high) = (
        -0.3,
        (most as f64).log10().max(0.7) * (1.0 + 0.08 * entries),
    );
    svg("the score histogram", (760, 400), |area| {
        let mut chart = framed(area, "Scores by class", 0.0..1.0, low..high)?;
        chart
            .configure_mesh()
            .disable_x_mesh()
            .light_line_style(TRANSPARENT)
            .bold_line_style(LINE)
            .axis_style(QUIET)
            .x_desc(column)
            .y_desc("pieces")
            .y_label_formatter(&|v| losses::power_of_ten(*v))
            .label_style((FONT, 13, &INK))
            .draw()?;
        let bin = 1.0 / HISTOGRAM_BINS as f64;
        let bar = bin * 0.9 / classes.len().max(1) as f64;
        for (i, ((name, scores), bins)) in classes.iter().zip(&counts).enumerate() {
            let colour = PALETTE[i % PALETTE.len()];
            let bars = bins
                .iter()
                .enumerate()
                .filter(|(_, n)| **n > 0)
                .map(|(b, &n)| {
                    let left = (b as f64 + 0.05) * bin + bar * i as f64;
                    Rectangle::new(
                        [(left, low), (left + bar, (n as f64).log10())],
                        colour.filled(),
                    )
                });
            chart
                .draw_series(bars)?
                .label(format!("{name} ({})", scores.len()))
                .legend(move |(x, y)| {
                    Rectangle::new([(x, y - 5), (x + 12, y + 5)], colour.filled())
                });
        }
        for (i, (name, at)) in thresholds.iter().enumerate() {
            let (on, off) = if i == 0 { (6, 3) } else { (2, 3) };
            let style = INK.stroke_width(2);
            chart
                .draw_series(DashedLineSeries::new(
                    [(*at, low), (*at, high)],
                    on,
                    off,
                    style,
                ))?
                .label(format!("{name} from {at:.3}"))
                .legend(move |(x, y)| PathElement::new([(x + 6, y - 6), (x + 6, y + 6)], style));
        }
        labels(&mut chart, SeriesLabelPosition::UpperRight)
    })
}

/// Precision over recall, as the steps that average precision sums, with the
/// share of defects (what guessing gives) as a dashed line.
///
/// - `curves`: name and sweep of each
///
/// # Errors
/// [`Error::Data`] if a sweep has no defect.
pub fn precision_recall(curves: &[(&str, &Sweep)]) -> Result<String> {
    let mut drawn = Vec::new();
    let mut share = 0.0;
    for (name, sweep) in curves {
        let area = sweep.average_precision()?;
        share = sweep.n_defect as f64 / (sweep.n_defect + sweep.n_good) as f64;
        let mut points = Vec::new();
        let mut before = 0.0;
        for p in &sweep.points {
            let recall = p.true_positives as f64 / sweep.n_defect as f64;
            let precision = p.true_positives as f64 / (p.true_positives + p.false_positives) as f64;
            points.extend([(before, precision), (recall, precision)]);
            before = recall;
        }
        drawn.push((format!("{name}, AUC-PR {area:.3}"), points));
    }
    unit_square(
        ("Precision and recall", "recall", "precision"),
        drawn,
        [(0.0, share), (1.0, share)],
        SeriesLabelPosition::LowerLeft,
    )
}

/// The ROC curve, with the diagonal (what guessing gives) as a dashed line.
///
/// - `curves`: name and sweep of each
///
/// # Errors
/// [`Error::Data`] if a sweep lacks defects or good pieces.
pub fn roc(curves: &[(&str, &Sweep)]) -> Result<String> {
    let mut drawn = Vec::new();
    for (name, sweep) in curves {
        let area = sweep.roc_auc()?;
        let points = sweep.points.iter().map(|p| {
            (
                p.false_positives as f64 / sweep.n_good as f64,
                p.true_positives as f64 / sweep.n_defect as f64,
            )
        });
        let points = std::iter::once((0.0, 0.0)).chain(points).collect();
        drawn.push((format!("{name}, ROC AUC {area:.3}"), points));
    }
    unit_square(
        (
            "ROC",
            "share of good pieces rejected",
            "share of defects rejected",
        ),
        drawn,
        [(0.0, 0.0), (1.0, 1.0)],
        SeriesLabelPosition::LowerRight,
    )
}

/// Curves from (0, 0) to (1, 1): title and axes, curves, what guessing gives.
fn unit_square(
    (title, x, y): (&str, &str, &str),
    curves: Vec<(String, Vec<(f64, f64)>)>,
    guessing: [(f64, f64); 2],
    legend: SeriesLabelPosition,
) -> Result<String> {
    svg(title, (480, 460), |area| {
        let mut chart = framed(area, title, 0.0..1.0, 0.0..1.02)?;
        chart
            .configure_mesh()
            .light_line_style(TRANSPARENT)
            .bold_line_style(LINE)
            .axis_style(QUIET)
            .x_desc(x)
            .y_desc(y)
            .x_labels(6)
            .y_labels(6)
            .x_label_formatter(&|v| format!("{v:.1}"))
            .y_label_formatter(&|v| format!("{v:.1}"))
            .label_style((FONT, 13, &INK))
            .draw()?;
        chart.draw_series(DashedLineSeries::new(guessing, 4, 4, QUIET.stroke_width(1)))?;
        for (i, (name, points)) in curves.into_iter().enumerate() {
            curve(&mut chart, i, &name, points)?;
        }
        labels(&mut chart, legend)
    })
}

/// Draws into a string.
fn svg(what: &str, size: (u32, u32), draw: impl FnOnce(&Area<'_>) -> Drawn) -> Result<String> {
    font::ready();
    let mut out = String::new();
    {
        let area = SVGBackend::with_string(&mut out, size).into_drawing_area();
        area.fill(&WHITE)
            .map_err(Into::into)
            .and_then(|()| draw(&area))
            .and_then(|()| area.present().map_err(Into::into))
            .map_err(|e| Error::data(format!("cannot draw {what}: {e}")))?;
    }
    Ok(out)
}

/// Title, margins and axes.
fn framed<'a, 'b>(
    area: &'a Area<'b>,
    title: &str,
    x: std::ops::Range<f64>,
    y: std::ops::Range<f64>,
) -> std::result::Result<Chart<'a, 'b>, Box<dyn std::error::Error>> {
    Ok(ChartBuilder::on(area)
        .caption(title, (FONT, 18, &INK))
        .margin(12)
        .margin_right(24)
        .x_label_area_size(44)
        .y_label_area_size(58)
        .build_cartesian_2d(x, y)?)
}

/// The `i`-th curve, in the `i`-th colour; every other one is dashed.
fn curve<'a, 'b: 'a>(
    chart: &mut Chart<'a, 'b>,
    i: usize,
    name: &str,
    points: Vec<(f64, f64)>,
) -> Drawn {
    let style = PALETTE[i % PALETTE.len()].stroke_width(2);
    if i.is_multiple_of(2) {
        chart
            .draw_series(LineSeries::new(points, style))?
            .label(name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 20, y)], style));
    } else {
        chart
            .draw_series(DashedLineSeries::new(points, 6, 3, style))?
            .label(name)
            .legend(move |(x, y)| {
                EmptyElement::at((x, y))
                    + PathElement::new([(0, 0), (8, 0)], style)
                    + PathElement::new([(12, 0), (20, 0)], style)
            });
    }
    Ok(())
}

fn labels<'a, 'b: 'a>(chart: &mut Chart<'a, 'b>, at: SeriesLabelPosition) -> Drawn {
    chart
        .configure_series_labels()
        .position(at)
        .margin(10)
        .background_style(WHITE.mix(0.88))
        .border_style(LINE)
        .label_font((FONT, 13, &INK))
        .draw()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn curves_are_named_with_their_areas() {
        let sweep = Sweep::new(&[0.9, 0.8, 0.3, 0.1], &[true, true, false, false]).unwrap();
        assert!(
            roc(&[("map", &sweep)])
                .unwrap()
                .contains("map, ROC AUC 1.000")
        );
        assert!(
            precision_recall(&[("map", &sweep)])
                .unwrap()
                .contains("AUC-PR 1.000")
        );
    }

    #[test]
    fn names_of_classes_are_escaped() {
        let hostile = [("<script>".to_string(), vec![0.5])];
        let text = score_histogram("p_defect", &hostile, &[("fail", 0.5)]).unwrap();
        assert!(!text.contains("<script>"));
    }
}
