//! The histogram of all scores with the thresholds, as inline SVG.
//!
//! Counts are drawn on a logarithmic axis: a shift has a thousand good pieces
//! and a handful of bad ones, and the handful is what matters.

use crate::data::prediction::Verdict;
use crate::report::html::figure;
use crate::report::html::overview::Overview;
use crate::report::run::RuleFacts;
use maud::{Markup, html};

const BINS: usize = 40;
const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 230.0;
const LEFT: f64 = 44.0;
const RIGHT: f64 = 12.0;
const TOP: f64 = 38.0;
const BOTTOM: f64 = 38.0;

/// The bars of one bin that are not empty, the tallest first.
fn tallest_first(series: &[(Verdict, Vec<u64>)], bin: usize) -> Vec<(u64, Verdict)> {
    let mut bars: Vec<_> = series
        .iter()
        .map(|(v, n)| (n[bin], *v))
        .filter(|(n, _)| *n > 0)
        .collect();
    bars.sort_by_key(|&(n, verdict)| (std::cmp::Reverse(n), verdict));
    bars
}

/// The drawing.
#[must_use]
pub fn svg(overview: &Overview, rule: &RuleFacts) -> Markup {
    let end = overview.axis_end(rule.fail_at);
    let series = [Verdict::Pass, Verdict::Review, Verdict::Fail]
        .map(|v| (v, overview.histogram(v, BINS, end)));
    let highest = series
        .iter()
        .flat_map(|(_, n)| n)
        .copied()
        .max()
        .unwrap_or(0)
        .max(1);
    let top = (highest as f64 + 1.0).log10().ceil().max(1.0);
    let x = |score: f64| LEFT + (WIDTH - LEFT - RIGHT) * (score / end).clamp(0.0, 1.0);
    let y = |count: f64| {
        TOP + (HEIGHT - TOP - BOTTOM)
            * (1.0 - (count + 1.0).log10() / (10f64.powf(top) + 1.0).log10())
    };
    let floor = HEIGHT - BOTTOM;
    let bin = (WIDTH - LEFT - RIGHT) / BINS as f64;
    let name = overview.column.name();
    let marks = [("fail", Some(rule.fail_at)), ("review", rule.review_at)];
    html! {
        svg.histogram viewBox=(format!("0 0 {WIDTH} {HEIGHT}")) role="img"
            aria-label=(format!(
                "Histogram of {name}: {} pieces passed, {} to review, {} failed; a piece fails at {}",
                overview.counts.pass, overview.counts.review, overview.counts.fail,
                figure(rule.fail_at)
            )) {
            @for power in 0..=(top as i32) {
                @let n = 10f64.powi(power);
                line.grid x1=(LEFT) x2=(WIDTH - RIGHT) y1=(px(y(n))) y2=(px(y(n))) {}
                text.tick x=(LEFT - 6.0) y=(px(y(n) + 4.0)) text-anchor="end" { (n) }
            }
            // A bin that a threshold cuts holds two decisions: the smaller
            // count is drawn last, in front.
            @for i in 0..BINS {
                @for (n, verdict) in tallest_first(&series, i) {
                    @let (left, up) = (LEFT + bin * i as f64, y(n as f64));
                    rect.(verdict.name()) x=(px(left + 0.75)) y=(px(up))
                        width=(px(bin - 1.5)) height=(px(floor - up)) rx="1" {
                        title {
                            (n) " " (verdict.name()) ", " (figure(end * i as f64 / BINS as f64))
                            " to " (figure(end * (i + 1) as f64 / BINS as f64))
                        }
                    }
                }
            }
            line.axis x1=(LEFT) x2=(WIDTH - RIGHT) y1=(floor) y2=(floor) {}
            @for (what, at) in marks {
                @if let Some(at) = at {
                    // The review threshold is the lower one: its label stands on its left.
                    @let to_left = if what == "fail" { x(at) > WIDTH * 0.75 } else { x(at) > WIDTH * 0.25 };
                    line.mark.(what) x1=(px(x(at))) x2=(px(x(at)))
                        y1=(if what == "fail" { 4.0 } else { 20.0 }) y2=(floor) {}
                    text.mark.(what)
                        x=(px(x(at) + if to_left { -5.0 } else { 5.0 }))
                        y=(if what == "fail" { 13.0 } else { 29.0 })
                        text-anchor=(if to_left { "end" } else { "start" }) {
                        (what) " from " (figure(at))
                    }
                }
            }
            @for i in 0..=4 {
                @let score = end * f64::from(i) / 4.0;
                text.tick x=(px(x(score))) y=(floor + 15.0)
                    text-anchor=(match i { 0 => "start", 4 => "end", _ => "middle" }) {
                    (tick(score))
                }
            }
            text.label x=((LEFT + WIDTH - RIGHT) / 2.0) y=(HEIGHT - 5.0) text-anchor="middle" {
                (name) " (pieces, logarithmic)"
            }
        }
    }
}

/// Coordinates to a tenth.
fn px(v: f64) -> String {
    format!("{v:.1}")
}

/// A score axis number without needless zeros.
fn tick(v: f64) -> String {
    let text = format!("{v:.4}");
    text.trim_end_matches('0').trim_end_matches('.').to_string()
}
