//! How the plots are drawn, once for both forms.

use super::Plot;
use crate::error::{Error, Result};
use crate::report::font::{self, FAMILY};
use crate::report::style::{INK, LINE, PALETTE, QUIET};
use image::codecs::png::PngEncoder;
use image::{ExtendedColorType, ImageEncoder};
use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use std::ops::Range;

type Drawn = std::result::Result<(), Box<dyn std::error::Error>>;

/// Lengths of stroke and gap of each series; the first is unbroken.
const DASHES: [(i32, i32); 4] = [(1, 0), (7, 3), (2, 3), (12, 4)];
/// PNGs are this many times as wide and high as SVGs.
const PNG_SCALE: u32 = 2;

/// What can be drawn at any scale on any backend.
trait Picture {
    fn size(&self) -> (u32, u32);

    fn draw<B: DrawingBackend>(&self, area: &DrawingArea<B, Shift>, scale: f64) -> Drawn
    where
        B::ErrorType: 'static;
}

/// Draws both forms.
fn plot(picture: &impl Picture, name: String, title: String) -> Result<Plot> {
    font::ready();
    let failed = |e: Box<dyn std::error::Error>| Error::data(format!("cannot draw {name}: {e}"));
    let (width, height) = picture.size();
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, (width, height)).into_drawing_area();
        painted(picture, &area, 1.0).map_err(failed)?;
    }
    let (wide, high) = (PNG_SCALE * width, PNG_SCALE * height);
    let mut pixels = vec![0; (3 * wide * high) as usize];
    {
        let area = BitMapBackend::with_buffer(&mut pixels, (wide, high)).into_drawing_area();
        painted(picture, &area, f64::from(PNG_SCALE)).map_err(failed)?;
    }
    let mut png = Vec::new();
    PngEncoder::new(&mut png)
        .write_image(&pixels, wide, high, ExtendedColorType::Rgb8)
        .map_err(|e| failed(e.into()))?;
    Ok(Plot {
        name,
        title,
        svg,
        png,
    })
}

fn painted<B: DrawingBackend>(
    picture: &impl Picture,
    area: &DrawingArea<B, Shift>,
    scale: f64,
) -> Drawn
where
    B::ErrorType: 'static,
{
    area.fill(&WHITE)?;
    picture.draw(area, scale)?;
    area.present()?;
    Ok(())
}

/// A curve, or points with bars.
pub(super) struct Series {
    name: String,
    /// x, y, and how far the bar reaches up and down.
    points: Vec<(f64, f64, f64)>,
    marked: bool,
}

impl Series {
    /// A curve.
    pub(super) fn line(name: String, points: Vec<(f64, f64)>) -> Self {
        Self {
            name,
            points: points.into_iter().map(|(x, y)| (x, y, 0.0)).collect(),
            marked: false,
        }
    }

    /// Points with bars, joined.
    pub(super) fn with_bars(name: String, points: Vec<(f64, f64, f64)>) -> Self {
        Self {
            name,
            points,
            marked: true,
        }
    }
}

/// Curves over two axes.
pub(super) struct Lines {
    pub(super) title: String,
    pub(super) x: (&'static str, Range<f64>),
    pub(super) y: (&'static str, Range<f64>),
    /// Whether the x axis counts percent.
    pub(super) percent_x: bool,
    /// What guessing gives.
    pub(super) guess: Option<[(f64, f64); 2]>,
    pub(super) series: Vec<Series>,
}

impl Lines {
    /// Draws both forms.
    pub(super) fn plot(self, name: String, title: String) -> Result<Plot> {
        plot(&self, name, title)
    }
}

impl Picture for Lines {
    fn size(&self) -> (u32, u32) {
        (520, 440)
    }

    fn draw<B: DrawingBackend>(&self, area: &DrawingArea<B, Shift>, scale: f64) -> Drawn
    where
        B::ErrorType: 'static,
    {
        let px = |v: f64| (v * scale).round() as u32;
        // A legend above the plot hides no curve.
        let legend = 10.0 + 20.0 * self.series.len().div_ceil(2) as f64;
        let (top, below) = area.split_vertically(px(34.0 + legend));
        top.draw(&Text::new(
            self.title.clone(),
            (px(14.0) as i32, px(12.0) as i32),
            (FAMILY, px(17.0)).into_font().color(&INK),
        ))?;
        let mut chart = ChartBuilder::on(&below)
            .margin(px(10.0))
            .margin_right(px(22.0))
            .x_label_area_size(px(44.0))
            .y_label_area_size(px(54.0))
            .build_cartesian_2d(self.x.1.clone(), self.y.1.clone())?;
        let percent = self.percent_x;
        chart
            .configure_mesh()
            .light_line_style(TRANSPARENT)
            .bold_line_style(LINE.stroke_width(px(1.0)))
            .axis_style(QUIET.stroke_width(px(1.0)))
            .set_all_tick_mark_size(px(4.0))
            .x_desc(self.x.0)
            .y_desc(self.y.0)
            .x_labels(6)
            .y_labels(6)
            .x_label_formatter(&|v| match percent {
                true => format!("{v:.0}"),
                false => format!("{v:.1}"),
            })
            .y_label_formatter(&|v| format!("{v:.1}"))
            .label_style((FAMILY, px(13.0)).into_font().color(&INK))
            .draw()?;
        if let Some(guess) = self.guess {
            let style = QUIET.stroke_width(px(1.0));
            chart.draw_series(DashedLineSeries::new(guess, px(4.0), px(4.0), style))?;
        }
        for (i, series) in self.series.iter().enumerate() {
            let colour = PALETTE[i % PALETTE.len()];
            let style = colour.stroke_width(px(2.0));
            let (on, off) = DASHES[i % DASHES.len()];
            let points = series.points.iter().map(|p| (p.0, p.1));
            if off == 0 {
                chart.draw_series(LineSeries::new(points, style))?;
            } else {
                let (on, off) = (px(f64::from(on)), px(f64::from(off)));
                chart.draw_series(DashedLineSeries::new(points, on, off, style))?;
            }
            if series.marked {
                let bars = series.points.iter().map(|&(x, y, d)| {
                    let (low, high) = ((y - d).max(0.0), (y + d).min(1.0));
                    PathElement::new([(x, low), (x, high)], colour.stroke_width(px(1.0)))
                });
                chart.draw_series(bars)?;
                let size = px(4.0);
                for &(x, y, _) in &series.points {
                    let at = (x, y);
                    match i % 3 {
                        0 => chart.draw_series([Circle::new(at, size, colour.filled())])?,
                        1 => chart.draw_series([TriangleMarker::new(
                            at,
                            size + px(1.0),
                            colour.filled(),
                        )])?,
                        _ => {
                            let r = size as i32;
                            let square = Rectangle::new([(-r, -r), (r, r)], colour.filled());
                            chart.draw_series([EmptyElement::at(at) + square])?
                        }
                    };
                }
            }
            // Two entries a line.
            let (row, column) = ((i / 2) as f64, (i % 2) as f64);
            let (x, y) = (
                px(20.0 + 240.0 * column) as i32,
                px(46.0 + 20.0 * row) as i32,
            );
            let swatch = px(26.0) as i32;
            let (on, off) = (px(f64::from(on)) as i32, px(f64::from(off)) as i32);
            let mut from = x;
            while from < x + swatch {
                let to = if off == 0 {
                    x + swatch
                } else {
                    (from + on).min(x + swatch)
                };
                top.draw(&PathElement::new([(from, y), (to, y)], style))?;
                from = to + off.max(1);
            }
            let text = (FAMILY, px(13.0)).into_font().color(&INK);
            top.draw(&Text::new(
                series.name.clone(),
                (x + swatch + px(8.0) as i32, y),
                text.pos(Pos::new(HPos::Left, VPos::Center)),
            ))?;
        }
        Ok(())
    }
}

/// Mean ranks on a line, with bars over arms that are not told apart (the
/// diagram of Demšar 2006).
pub(super) struct RankAxis {
    pub(super) title: String,
    /// Name and mean rank.
    pub(super) arms: Vec<(String, f64)>,
    pub(super) critical_difference: f64,
}

impl RankAxis {
    /// Draws both forms.
    pub(super) fn plot(mut self, name: String, title: String) -> Result<Plot> {
        self.arms.sort_by(|a, b| a.1.total_cmp(&b.1));
        plot(&self, name, title)
    }

    /// First and last arm (by rank) of each widest run within the critical
    /// difference.
    fn cliques(&self) -> Vec<(usize, usize)> {
        let mut found: Vec<(usize, usize)> = Vec::new();
        for first in 0..self.arms.len() {
            let near = |a: &&(String, f64)| a.1 - self.arms[first].1 < self.critical_difference;
            let last = first + self.arms[first..].iter().take_while(near).count() - 1;
            if last > first && found.last().is_none_or(|&(_, end)| last > end) {
                found.push((first, last));
            }
        }
        found
    }

    /// Labels on one side.
    fn per_side(&self) -> usize {
        self.arms.len().div_ceil(2)
    }
}

const CLIQUE_GAP: f64 = 9.0;
const LABEL_GAP: f64 = 22.0;
const AXIS_AT: f64 = 96.0;

impl Picture for RankAxis {
    fn size(&self) -> (u32, u32) {
        let below = CLIQUE_GAP * self.cliques().len() as f64 + LABEL_GAP * self.per_side() as f64;
        (640, (AXIS_AT + 44.0 + below) as u32)
    }

    fn draw<B: DrawingBackend>(&self, area: &DrawingArea<B, Shift>, scale: f64) -> Drawn
    where
        B::ErrorType: 'static,
    {
        let px = |v: f64| (v * scale).round() as i32;
        let k = self.arms.len() as f64;
        let (left, right) = (190.0, 450.0);
        let x = |rank: f64| left + (rank - 1.0) / (k - 1.0) * (right - left);
        let stroke = |colour: RGBColor, width: f64| colour.stroke_width(px(width) as u32);
        let line = |points: [(f64, f64); 2], style: ShapeStyle| {
            PathElement::new(points.map(|(x, y)| (px(x), px(y))), style)
        };
        let text = |words: String, at: (f64, f64), size: f64, h: HPos| {
            let font = (FAMILY, px(size)).into_font().color(&INK);
            let style = font.pos(Pos::new(h, VPos::Center));
            Text::new(words, (px(at.0), px(at.1)), style)
        };
        area.draw(&text(self.title.clone(), (14.0, 20.0), 17.0, HPos::Left))?;
        // How far apart is apart.
        let reach = (x(1.0 + self.critical_difference) - left).min(right - left + 150.0);
        let cd = format!("critical difference {:.2}", self.critical_difference);
        for piece in [
            [(left, 58.0), (left + reach, 58.0)],
            [(left, 54.0), (left, 62.0)],
            [(left + reach, 54.0), (left + reach, 62.0)],
        ] {
            area.draw(&line(piece, stroke(INK, 1.0)))?;
        }
        area.draw(&text(cd, (left, 44.0), 12.0, HPos::Left))?;
        area.draw(&line([(left, AXIS_AT), (right, AXIS_AT)], stroke(INK, 1.5)))?;
        for rank in 1..=self.arms.len() {
            let at = x(rank as f64);
            area.draw(&line(
                [(at, AXIS_AT - 5.0), (at, AXIS_AT)],
                stroke(INK, 1.0),
            ))?;
            area.draw(&text(
                rank.to_string(),
                (at, AXIS_AT - 13.0),
                12.0,
                HPos::Center,
            ))?;
        }
        let cliques = self.cliques();
        for (i, &(first, last)) in cliques.iter().enumerate() {
            let y = AXIS_AT + CLIQUE_GAP * (i as f64 + 1.0);
            let (from, to) = (x(self.arms[first].1) - 4.0, x(self.arms[last].1) + 4.0);
            area.draw(&line([(from, y), (to, y)], stroke(INK, 4.0)))?;
        }
        let first_label = AXIS_AT + 22.0 + CLIQUE_GAP * cliques.len() as f64;
        for (i, (name, rank)) in self.arms.iter().enumerate() {
            // The better half to the left, the best on top; the worse to the right.
            let to_left = i < self.per_side();
            let row = if to_left { i } else { self.arms.len() - 1 - i };
            let y = first_label + LABEL_GAP * row as f64;
            let (end, h) = if to_left {
                (left - 20.0, HPos::Right)
            } else {
                (right + 20.0, HPos::Left)
            };
            area.draw(&line(
                [(x(*rank), AXIS_AT), (x(*rank), y)],
                stroke(QUIET, 1.0),
            ))?;
            area.draw(&line([(x(*rank), y), (end, y)], stroke(QUIET, 1.0)))?;
            area.draw(&Circle::new(
                (px(x(*rank)), px(AXIS_AT)),
                px(3.0),
                INK.filled(),
            ))?;
            let at = if to_left { end - 6.0 } else { end + 6.0 };
            area.draw(&text(format!("{name}  {rank:.2}"), (at, y), 13.0, h))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arms_within_the_critical_difference_are_joined_once() {
        let axis = |ranks: &[f64]| RankAxis {
            title: String::new(),
            arms: ranks.iter().map(|r| (String::new(), *r)).collect(),
            critical_difference: 1.0,
        };
        assert_eq!(axis(&[1.0, 1.5, 2.2, 4.0]).cliques(), [(0, 1), (1, 2)]);
        assert_eq!(axis(&[1.0, 1.5, 1.9]).cliques(), [(0, 2)]);
        assert!(axis(&[1.0, 2.0, 3.0]).cliques().is_empty());
    }

    #[test]
    fn a_plot_is_drawn_in_both_forms_with_names_escaped() {
        let lines = Lines {
            title: "ROC <b>".into(),
            x: ("x", 0.0..1.0),
            y: ("y", 0.0..1.0),
            percent_x: false,
            guess: Some([(0.0, 0.0), (1.0, 1.0)]),
            series: vec![
                Series::line("<script>".into(), vec![(0.0, 0.0), (1.0, 1.0)]),
                Series::with_bars("map".into(), vec![(0.2, 0.5, 0.1), (0.9, 0.7, 0.4)]),
            ],
        };
        let plot = lines.plot("roc".into(), "ROC".into()).unwrap();
        assert!(!plot.svg.contains("<script>") && plot.svg.contains("map"));
        let picture = image::load_from_memory(&plot.png).unwrap().to_rgb8();
        assert_eq!(picture.dimensions(), (1040, 880));
        // Letters are drawn, too: ink where the title stands.
        let dark = (28..300).any(|x| (20..60).any(|y| picture.get_pixel(x, y)[0] < 80));
        assert!(dark);
    }
}
