//! Plots of supervised training: loss and AUC-PR by epoch, precision over
//! recall of several models, and what an ablation found.
//! Readable on paper and in grey: curves differ in their dashes, too.

use super::picture::{Drawing, Drawn};
use crate::baseline::EpochRow;
use crate::error::{Error, Result};
use crate::metrics::ranking::Sweep;
pub(super) use crate::report::style::{INK, QUIET};
use crate::report::style::{LINE, PALETTE};
use plotters::coord::Shift;
use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

/// Lengths of dash and gap of each curve; none: a whole line.
const DASHES: [Option<(i32, i32)>; 4] = [None, Some((7, 4)), Some((2, 3)), Some((12, 3))];
pub(super) const FONT: &str = crate::report::font::FAMILY;
pub(super) const TEXT: u32 = 13;

/// Named points.
pub type Curve = (String, Vec<(f64, f64)>);

/// The epochs as CSV, a column for each number of [`EpochRow`].
#[must_use]
pub fn epochs_csv(rows: &[EpochRow]) -> String {
    let mut csv = String::from(
        "epoch,learning_rate,train_loss,validation_loss,validation_auc_pr,validation_f1,best\n",
    );
    for r in rows {
        csv.push_str(&format!(
            "{},{:?},{:?},{:?},{:?},{:?},{}\n",
            r.epoch,
            r.learning_rate,
            r.train_loss,
            r.validation_loss,
            r.validation_auc_pr,
            r.validation_f1,
            r.best
        ));
    }
    csv
}

/// Loss above, AUC-PR and F1 below, by epoch; the best epoch marked.
pub struct Epochs<'a>(pub &'a [EpochRow]);

impl Drawing for Epochs<'_> {
    fn name(&self) -> &'static str {
        "the epochs"
    }

    fn size(&self) -> (u32, u32) {
        (760, 620)
    }

    fn draw<B: DrawingBackend>(&self, area: &DrawingArea<B, Shift>, unit: u32) -> Drawn
    where
        B::ErrorType: 'static,
    {
        let rows = self.0;
        let (above, below) = area.split_vertically((50).percent_height());
        let curve = |name: &str, of: fn(&EpochRow) -> f64| -> Curve {
            let points = rows.iter().map(|r| (r.epoch as f64, of(r)));
            (name.to_string(), points.collect())
        };
        let best = rows.iter().rfind(|r| r.best).map(|r| r.epoch as f64);
        let losses = [
            curve("training", |r| r.train_loss),
            curve("validation", |r| r.validation_loss),
        ];
        let top = losses
            .iter()
            .flat_map(|(_, p)| p)
            .map(|p| p.1)
            .fold(1e-3, f64::max);
        let last = rows.last().map_or(2.0, |r| r.epoch as f64).max(2.0);
        let axes = |title, y, high| Axes {
            title,
            x: "epoch",
            y,
            range: [1.0, last, 0.0, high],
            whole: true,
        };
        lines(
            &above,
            &axes("Loss", "loss", 1.05 * top),
            &losses,
            best,
            unit,
        )?;
        let measures = [
            curve("AUC-PR", |r| r.validation_auc_pr),
            curve("best F1", |r| r.validation_f1),
        ];
        let title = "On the validation pieces";
        lines(&below, &axes(title, "share", 1.02), &measures, best, unit)
    }
}

/// Title, names and ends of the axes.
struct Axes<'a> {
    title: &'a str,
    x: &'a str,
    y: &'a str,
    /// Left, right, bottom, top.
    range: [f64; 4],
    /// Whether x counts something.
    whole: bool,
}

fn lines<B: DrawingBackend>(
    area: &DrawingArea<B, Shift>,
    axes: &Axes<'_>,
    curves: &[Curve],
    mark: Option<f64>,
    unit: u32,
) -> Drawn
where
    B::ErrorType: 'static,
{
    let [left, right, bottom, top] = axes.range;
    let text = (FONT, TEXT * unit);
    let mut chart = ChartBuilder::on(area)
        .caption(axes.title, (FONT, 17 * unit, &INK))
        .margin(10 * unit)
        .margin_right(22 * unit)
        .x_label_area_size(42 * unit)
        .y_label_area_size(56 * unit)
        .build_cartesian_2d(left..right, bottom..top)?;
    let whole = axes.whole;
    chart
        .configure_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(LINE.stroke_width(unit))
        .axis_style(QUIET.stroke_width(unit))
        .x_desc(axes.x)
        .y_desc(axes.y)
        .x_labels(if whole {
            ((right - left) as usize + 1).min(11)
        } else {
            6
        })
        .y_labels(6)
        .x_label_formatter(&|v| {
            if whole {
                format!("{v:.0}")
            } else {
                format!("{v:.1}")
            }
        })
        .y_label_formatter(&|v| short(*v))
        .label_style(text.into_font().color(&INK))
        .axis_desc_style(text.into_font().color(&INK))
        .set_all_tick_mark_size(4 * unit)
        .draw()?;
    if let Some(x) = mark {
        let style = QUIET.stroke_width(unit);
        let ends = [(x, bottom), (x, top)];
        let on = (3 * unit) as i32;
        chart.draw_series(DashedLineSeries::new(ends, on, on, style))?;
    }
    for (i, (name, points)) in curves.iter().enumerate() {
        one(&mut chart, i, name, points, unit)?;
    }
    chart
        .configure_series_labels()
        .position(match bottom == 0.0 && top > 1.03 {
            true => SeriesLabelPosition::UpperRight,
            false => SeriesLabelPosition::LowerRight,
        })
        .margin(8 * unit)
        .legend_area_size(26 * unit)
        .background_style(WHITE.mix(0.88))
        .border_style(LINE.stroke_width(unit))
        .label_font(text.into_font().color(&INK))
        .draw()?;
    Ok(())
}

type Plane<'a, B> = ChartContext<'a, B, Cartesian2d<RangedCoordf64, RangedCoordf64>>;

fn one<'a, B: DrawingBackend + 'a>(
    chart: &mut Plane<'a, B>,
    i: usize,
    name: &str,
    points: &[(f64, f64)],
    unit: u32,
) -> Drawn
where
    B::ErrorType: 'static,
{
    let style = PALETTE[i % PALETTE.len()].stroke_width(2 * unit);
    let u = unit as i32;
    let points = points.iter().copied();
    match DASHES[i % DASHES.len()] {
        None => chart
            .draw_series(LineSeries::new(points, style))?
            .label(name)
            .legend(move |(x, y)| PathElement::new(vec![(x, y), (x + 22 * u, y)], style)),
        Some((on, off)) => chart
            .draw_series(DashedLineSeries::new(points, on * u, off * u, style))?
            .label(name)
            .legend(move |(x, y)| {
                let dash = (on.min(8)) * u;
                EmptyElement::at((x, y))
                    + PathElement::new(vec![(0, 0), (dash, 0)], style)
                    + PathElement::new(vec![(22 * u - dash, 0), (22 * u, 0)], style)
            }),
    };
    Ok(())
}

/// A number of an axis.
fn short(v: f64) -> String {
    match v.abs() {
        a if a >= 100.0 => format!("{v:.0}"),
        a if a >= 10.0 => format!("{v:.1}"),
        _ => format!("{v:.2}"),
    }
}

/// Precision over recall of several models, as the steps that average
/// precision sums, with the share of defects (what guessing gives).
pub struct PrecisionRecall {
    curves: Vec<Curve>,
    share: f64,
}

impl PrecisionRecall {
    /// Of named sweeps over the same pieces.
    ///
    /// # Errors
    /// [`Error::Data`] if a sweep has no defect.
    pub fn new(sweeps: &[(&str, &Sweep)]) -> Result<Self> {
        let mut curves = Vec::new();
        let mut share = 0.0;
        for (name, sweep) in sweeps {
            let area = sweep.average_precision()?;
            share = sweep.n_defect as f64 / (sweep.n_defect + sweep.n_good) as f64;
            let mut points = Vec::new();
            let mut before = 0.0;
            for p in &sweep.points {
                let (tp, fp) = (p.true_positives as f64, p.false_positives as f64);
                let (recall, precision) = (tp / sweep.n_defect as f64, tp / (tp + fp));
                // Good pieces alone add no step to the area.
                if recall <= before {
                    continue;
                }
                points.extend([(before, precision), (recall, precision)]);
                before = recall;
            }
            curves.push((format!("{name}, AUC-PR {area:.3}"), points));
        }
        match curves.is_empty() {
            true => Err(Error::data("no model to draw precision and recall of")),
            false => Ok(Self { curves, share }),
        }
    }
}

impl Drawing for PrecisionRecall {
    fn name(&self) -> &'static str {
        "precision and recall"
    }

    fn size(&self) -> (u32, u32) {
        (560, 500)
    }

    fn draw<B: DrawingBackend>(&self, area: &DrawingArea<B, Shift>, unit: u32) -> Drawn
    where
        B::ErrorType: 'static,
    {
        let mut curves = self.curves.clone();
        let guessing = vec![(0.0, self.share), (1.0, self.share)];
        curves.push((format!("guessing, {:.3}", self.share), guessing));
        let axes = Axes {
            title: "Precision and recall",
            x: "recall",
            y: "precision",
            range: [0.0, 1.0, 0.0, 1.02],
            whole: false,
        };
        lines(area, &axes, &curves, None, unit)
    }
}

/// At most so many characters.
pub(super) fn shortened(text: &str, most: usize) -> String {
    match text.chars().count() > most {
        true => text.chars().take(most - 1).chain(['…']).collect(),
        false => text.to_string(),
    }
}

/// Values of a factor with the measure that each seed gave, and their mean.
pub struct Spread<'a> {
    /// What stands above.
    pub title: &'a str,
    /// What is measured.
    pub measure: &'a str,
    /// Each value's name and numbers.
    pub rows: &'a [(String, Vec<f64>)],
}

impl Drawing for Spread<'_> {
    fn name(&self) -> &'static str {
        "the ablation"
    }

    fn size(&self) -> (u32, u32) {
        (640, 90 + 34 * self.rows.len() as u32)
    }

    fn draw<B: DrawingBackend>(&self, area: &DrawingArea<B, Shift>, unit: u32) -> Drawn
    where
        B::ErrorType: 'static,
    {
        let u = unit as i32;
        let all = || self.rows.iter().flat_map(|(_, v)| v).copied();
        let low = (all().fold(1.0, f64::min) - 0.02).max(0.0);
        let high = (all().fold(0.0, f64::max) + 0.02).min(1.0).max(low + 0.05);
        let n = self.rows.len() as f64;
        let text = (FONT, TEXT * unit);
        let mut chart = ChartBuilder::on(area)
            .caption(self.title, (FONT, 17 * unit, &INK))
            .margin(10 * unit)
            .margin_right(22 * unit)
            .x_label_area_size(40 * unit)
            .y_label_area_size(180 * unit)
            .build_cartesian_2d(low..high, -n..0.0)?;
        chart
            .configure_mesh()
            .disable_y_mesh()
            .light_line_style(TRANSPARENT)
            .bold_line_style(LINE.stroke_width(unit))
            .axis_style(QUIET.stroke_width(unit))
            .x_desc(self.measure)
            .x_labels(7)
            .y_labels(0)
            .x_label_formatter(&|v| format!("{v:.2}"))
            .label_style(text.into_font().color(&INK))
            .axis_desc_style(text.into_font().color(&INK))
            .draw()?;
        for (i, (name, values)) in self.rows.iter().enumerate() {
            let y = -(i as f64) - 0.5;
            let style = text
                .into_font()
                .color(&INK)
                .pos(Pos::new(HPos::Right, VPos::Center));
            let (x, line) = chart.backend_coord(&(low, y));
            area.draw_text(&shortened(name, 26), &style, (x - 8 * u, line))?;
            if values.is_empty() {
                continue;
            }
            let mean = values.iter().sum::<f64>() / values.len() as f64;
            let least = values.iter().copied().fold(f64::INFINITY, f64::min);
            let most = values.iter().copied().fold(0.0, f64::max);
            chart.draw_series(LineSeries::new(
                [(least, y), (most, y)],
                QUIET.stroke_width(unit),
            ))?;
            let dots = values
                .iter()
                .map(|v| Circle::new((*v, y), 3 * u, QUIET.filled()));
            chart.draw_series(dots)?;
            let bar = [(mean, y - 0.28), (mean, y + 0.28)];
            chart.draw_series(LineSeries::new(bar, PALETTE[0].stroke_width(3 * unit)))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::picture::{png, svg};

    fn rows() -> Vec<EpochRow> {
        (1..=5)
            .map(|epoch| EpochRow {
                epoch,
                learning_rate: 1e-4,
                train_loss: 1.0 / epoch as f64,
                validation_loss: 0.4 + 0.3 / epoch as f64,
                validation_auc_pr: 0.5 + 0.05 * epoch as f64,
                validation_f1: 0.4 + 0.06 * epoch as f64,
                best: epoch < 4,
            })
            .collect()
    }

    #[test]
    fn epochs_are_written_so_that_they_read_back_exactly() {
        let csv = epochs_csv(&rows());
        assert_eq!(csv.lines().nth(1), Some("1,0.0001,1.0,0.7,0.55,0.46,true"));
        assert_eq!(csv.lines().count(), 6);
    }

    #[test]
    fn a_drawing_is_the_same_bytes_twice_and_a_png_of_three_times_the_size() {
        let rows = rows();
        let drawing = Epochs(&rows);
        let text = svg(&drawing).unwrap();
        assert!(text.contains("AUC-PR") && text.contains("validation"));
        let bytes = png(&drawing).unwrap();
        assert_eq!(bytes, png(&drawing).unwrap());
        let decoded = image::load_from_memory(&bytes).unwrap();
        assert_eq!((decoded.width(), decoded.height()), (2280, 1860));
        // Not an empty page.
        let dark = decoded.to_luma8().pixels().filter(|p| p.0[0] < 100).count();
        assert!(dark > 5000, "{dark}");
    }

    #[test]
    fn several_models_share_one_picture() {
        let sweep = Sweep::new(&[0.9, 0.8, 0.3, 0.1], &[true, false, true, false]).unwrap();
        let drawing = PrecisionRecall::new(&[("hybrid", &sweep), ("resnet18", &sweep)]).unwrap();
        let text = svg(&drawing).unwrap();
        assert!(text.contains("hybrid, AUC-PR 0.833") && text.contains("resnet18"));
        assert!(PrecisionRecall::new(&[]).is_err());
    }
}
