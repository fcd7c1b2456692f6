//! The plot of a confusion matrix.

use super::curves::{FONT, INK, QUIET, TEXT, shortened};
use super::picture::{Drawing, Drawn};
use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

/// A confusion matrix: true class down, predicted across; share of the row
/// and count in each cell.
pub struct ConfusionMatrix<'a> {
    /// What stands above.
    pub title: &'a str,
    /// The class names.
    pub classes: &'a [String],
    /// `[true class][predicted class]`.
    pub counts: &'a [Vec<usize>],
}

impl Drawing for ConfusionMatrix<'_> {
    fn name(&self) -> &'static str {
        "the confusion matrix"
    }

    fn size(&self) -> (u32, u32) {
        let side = 76 * self.classes.len().max(2) as u32;
        (side + 190, side + 130)
    }

    fn draw<B: DrawingBackend>(&self, area: &DrawingArea<B, Shift>, unit: u32) -> Drawn
    where
        B::ErrorType: 'static,
    {
        let u = unit as i32;
        let (left, top, cell) = (150 * u, 74 * u, 76 * u);
        let n = self.classes.len() as i32;
        let style = |size: u32, h: HPos, colour: &RGBColor| {
            let font = (FONT, size * unit).into_font().color(colour);
            font.pos(Pos::new(h, VPos::Center))
        };
        let middle = left + n * cell / 2;
        area.draw_text(self.title, &style(17, HPos::Center, &INK), (middle, 20 * u))?;
        area.draw_text(
            "taken for",
            &style(TEXT, HPos::Center, &QUIET),
            (middle, 44 * u),
        )?;
        area.draw_text(
            "true class",
            &style(TEXT, HPos::Right, &QUIET),
            (left - 10 * u, 62 * u),
        )?;
        for (r, (class, row)) in self.classes.iter().zip(self.counts).enumerate() {
            let y = top + r as i32 * cell;
            let name = shortened(class, 16);
            let at = (left - 10 * u, y + cell / 2);
            area.draw_text(&name, &style(TEXT, HPos::Right, &INK), at)?;
            let across = (left + r as i32 * cell + cell / 2, 62 * u);
            area.draw_text(
                &shortened(class, 9),
                &style(TEXT, HPos::Center, &INK),
                across,
            )?;
            let total: usize = row.iter().sum();
            for (c, &count) in row.iter().enumerate() {
                let x = left + c as i32 * cell;
                let share = count as f64 / total.max(1) as f64;
                let corners = [(x, y), (x + cell - u, y + cell - u)];
                area.draw(&Rectangle::new(corners, shade(share).filled()))?;
                let ink = if share > 0.55 { &WHITE } else { &INK };
                let centre = x + cell / 2;
                let text = match total {
                    0 => "-".to_string(),
                    _ => format!("{share:.2}"),
                };
                area.draw_text(
                    &text,
                    &style(15, HPos::Center, ink),
                    (centre, y + cell / 2 - 8 * u),
                )?;
                let text = count.to_string();
                area.draw_text(
                    &text,
                    &style(12, HPos::Center, ink),
                    (centre, y + cell / 2 + 12 * u),
                )?;
            }
        }
        let note = "share of the true class; number of pieces";
        let at = (middle, top + n * cell + 22 * u);
        area.draw_text(note, &style(12, HPos::Center, &QUIET), at)?;
        Ok(())
    }
}

/// From white to a dark blue.
fn shade(share: f64) -> RGBColor {
    let mix = |from: f64, to: f64| (from + (to - from) * share).round() as u8;
    RGBColor(mix(244.0, 8.0), mix(246.0, 64.0), mix(248.0, 120.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::picture::{png, svg};

    #[test]
    fn a_matrix_names_its_classes_and_counts() {
        let classes = ["good".to_string(), "<blowhole & crack>".to_string()];
        let matrix = ConfusionMatrix {
            title: "ResNet-18",
            classes: &classes,
            counts: &[vec![8, 2], vec![1, 3]],
        };
        let text = svg(&matrix).unwrap();
        assert!(text.contains("0.80") && text.contains("0.75"));
        assert!(!text.contains("<blowhole"));
        png(&matrix).unwrap();
    }
}
