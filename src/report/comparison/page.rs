//! `compare.html`: one file that opens offline and prints well.

use super::plots::Plot;
use super::tables::Titled;
use super::{Facts, summary};
use crate::comparison::Comparison;
use maud::{DOCTYPE, PreEscaped, html};

const STYLE: &str = include_str!("page.css");

/// The page. Class names and ids are somebody else's text: maud escapes them,
/// plotters escapes those within plots, and no script runs.
pub(super) fn page(
    comparison: &Comparison,
    facts: &Facts,
    tables: &[Titled],
    plots: &[Plot],
) -> String {
    let markup = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; img-src data:";
                title { "Comparison: " (facts.data) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                main {
                    h1 { "Does the anomaly map help?" }
                    p.lead { (summary(comparison, facts)) }
                    @if !comparison.notes.is_empty() {
                        ul { @for note in &comparison.notes { li { (note) } } }
                    }
                    @for table in tables {
                        section {
                            h2 { (table.title) }
                            p.about { (table.about) }
                            div.scroll { table {
                                thead { tr { @for name in &table.head { th { (name) } } } }
                                tbody { @for row in &table.rows { tr {
                                    @for cell in row {
                                        td { @if cell.bold { b { (cell.text) } } @else { (cell.text) } }
                                    }
                                } } }
                            } }
                        }
                    }
                    section.plots {
                        h2 { "Plots" }
                        @for plot in plots {
                            figure { (PreEscaped(&plot.svg)) figcaption { (plot.title) } }
                        }
                    }
                    section {
                        h2 { "Folds" }
                        p.about { "Test pieces of each class; good pieces the anomaly model learned from; pieces classifier and threshold were fitted on." }
                        div.scroll { table {
                            thead { tr { th { "fold" } th { "tested" } th { "anomaly model" } th { "fitted on" } } }
                            tbody { @for (i, fold) in comparison.folds.iter().enumerate() { tr {
                                td { (i + 1) }
                                td { @for (c, (class, n)) in fold.test.iter().enumerate() { @if c > 0 { ", " } (n) " " (class) } }
                                td { (fold.anomaly_pieces) }
                                td { (fold.fitted_pieces) }
                            } } }
                        } }
                    }
                    @if !facts.unreadable.is_empty() {
                        section {
                            h2 { "Left out: could not be read" }
                            ul { @for (id, reason) in &facts.unreadable { li { code { (id) } ": " (reason) } } }
                        }
                    }
                    section {
                        h2 { "Settings" }
                        details { summary { "settings.toml" } pre { (facts.settings) } }
                    }
                }
            }
        }
    };
    markup.into_string()
}
