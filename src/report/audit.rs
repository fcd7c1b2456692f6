//! `report.html` of `goma audit`: one file that opens offline, in the look of
//! the inspection report. No script runs; ids and classes are escaped by maud.

use crate::audit::channels::ChannelStatistics;
use crate::audit::{Audit, AuditOptions, AuditSummary};
use crate::data::dataset::Dataset;
use crate::error::Result;
use crate::report::html::base64;
use crate::report::html::figure;
use crate::report::style::PALETTE;
use maud::{DOCTYPE, Markup, PreEscaped, html};
use plotters::style::RGBColor;

const STYLE: &str = include_str!("html/page.css");
const OWN_STYLE: &str = "
.pieces { display: grid; grid-template-columns: repeat(auto-fill, minmax(220px, 1fr)); gap: 12px; }
.pieces img { width: 100%; display: block; border-radius: 6px; }
.pieces figcaption b { color: var(--ink); overflow-wrap: anywhere; }
.channels { display: grid; grid-template-columns: repeat(auto-fill, minmax(300px, 1fr)); gap: 14px; }
.channels svg { width: 100%; display: block; }
.channels path { fill: none; stroke-width: 1.4; }
.channels line { stroke: var(--line); }
.key i { display: inline-block; width: 14px; height: 3px; margin: 0 5px 3px 12px; }
.bar { background: var(--accent); height: 9px; border-radius: 2px; min-width: 2px; }
td.wide { width: 45%; }
";
/// Pairs and pieces listed at most; all are in the tables beside the page.
const LISTED: usize = 40;

/// The page. `draw` gives the small picture of the piece at a place.
///
/// # Errors
/// What drawing says.
pub fn page(
    audit: &Audit,
    dataset: &Dataset,
    summary: &AuditSummary,
    options: &AuditOptions,
    draw: impl Fn(usize) -> Result<Vec<u8>>,
) -> Result<String> {
    let markup = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { "Audit of " (summary.data) }
                style { (PreEscaped(STYLE)) (PreEscaped(OWN_STYLE)) }
            }
            body {
                header.banner { div {
                    p.brand { "goma" span { "data audit" } }
                    h1 { (summary.data) }
                    p.sub {
                        span { "layout " b { (summary.layout) } }
                        span { (summary.channels.len()) " channels: " (summary.channels.join(" ")) }
                        span { (summary.groups) " groups" }
                    }
                } }
                main {
                    (tiles(summary))
                    (corrected(summary))
                    (balance(audit, dataset, summary))
                    (suspects(audit, dataset, summary, options, &draw)?)
                    (duplicates(audit, dataset, summary, options, &draw)?)
                    (channels(audit, summary))
                    (grids(audit, dataset))
                    (unreadable(summary))
                }
                footer { "Made by goma " (summary.goma) ", seed " (summary.seed) "." }
            }
        }
    };
    Ok(markup.into_string())
}

fn tiles(summary: &AuditSummary) -> Markup {
    let tile = |what: &str, count: usize, more: String| {
        html! { div.tile { span.what { (what) } span.count { (count) } span.share { (more) } } }
    };
    html! {
        div.tiles {
            (tile("pieces", summary.pieces, format!("{} classes", summary.classes.len())))
            (tile("label issues", summary.label_issues, format!("of {} labels judged", summary.judged)))
            (tile("near-duplicates", summary.duplicates, "pairs".into()))
            (tile("across groups", summary.duplicates_across_groups, "pairs that leak into the test".into()))
            (tile("unreadable", summary.unreadable.len(), "left out".into()))
        }
        br;
    }
}

fn corrected(summary: &AuditSummary) -> Markup {
    let Some(corrections) = &summary.corrections else {
        return html! {};
    };
    html! {
        section.panel {
            h2 { "Corrected labels" }
            p.hint {
                (corrections.changed.len()) " labels changed, " (corrections.unchanged)
                " were so already. All below is seen with the corrected labels; they are in corrected/."
            }
            table {
                thead { tr { th { "piece" } th { "was" } th { "is" } th { "reason" } } }
                tbody { @for c in &corrections.changed { tr {
                    th scope="row" { (c.id) } td { (c.from) } td { (c.to) } td { (c.reason) }
                } } }
            }
        }
    }
}

fn balance(audit: &Audit, dataset: &Dataset, summary: &AuditSummary) -> Markup {
    let counts = dataset.counts();
    let most = counts.iter().map(|(_, n)| *n).max().unwrap_or(1).max(1);
    let labelled: usize = counts.iter().map(|(_, n)| n).sum();
    html! {
        section.panel {
            h2 { "Class balance" }
            table { tbody { @for (class, n) in &counts { tr {
                th scope="row" { (class) }
                td.number { (n) }
                td.number { (format!("{:.1} %", 100.0 * *n as f64 / labelled.max(1) as f64)) }
                td.wide { div.bar style=(format!("width:{:.1}%", 100.0 * *n as f64 / most as f64)) {} }
            } } } }
            @if labelled < dataset.samples.len() {
                p.hint { (dataset.samples.len() - labelled) " pieces have no label." }
            }
            @for note in &audit.notes { p.hint { (note) } }
            p.hint { "Every piece: samples.csv. Features: " (summary.features) "." }
        }
    }
}

fn image(bytes: &[u8], about: &str) -> Markup {
    html! { img loading="lazy" alt=(about) src=(format!("data:image/jpeg;base64,{}", base64::encode(bytes))); }
}

fn suspects(
    audit: &Audit,
    dataset: &Dataset,
    summary: &AuditSummary,
    options: &AuditOptions,
    draw: &impl Fn(usize) -> Result<Vec<u8>>,
) -> Result<Markup> {
    let mut cards = Vec::new();
    for &place in audit.ranked.iter().take(options.suspects) {
        let Some(s) = &audit.suspicions[place] else {
            continue; // only judged pieces are ranked
        };
        let sample = &dataset.samples[audit.pieces[place].sample];
        cards.push(html! { figure {
            (image(&draw(place)?, sample.id.as_str()))
            figcaption {
                b { (sample.id) } br;
                "labelled " b { (sample.label().unwrap_or_default()) } " at " (figure(s.self_confidence))
                @if s.suggested != sample.label().unwrap_or_default() {
                    ", looks like " b { (s.suggested) } " at " (figure(s.p_suggested))
                }
                @if s.issue { " · issue" }
            }
        } });
    }
    Ok(html! {
        section.panel {
            h2 { "Suspect labels" }
            p.hint {
                "The least believed labels first: the probability that a " (summary.classifier)
                " classifier, fitted on the other groups, gives the label. " (summary.label_issues)
                " are confidently of another class (Northcutt et al., 2021). A suspect is a reason to look, not a verdict. All: suspects.csv."
            }
            @if cards.is_empty() { p.none { "No label was judged." } }
            div.pieces { @for card in &cards { (card) } }
        }
        @if !audit.joint.is_empty() {
            section.panel {
                h2 { "Labels and what the pieces look like" }
                table {
                    thead { tr { th { "labelled" } @for class in &audit.classes { th.number { "looks like " (class) } } } }
                    tbody { @for (class, row) in audit.classes.iter().zip(&audit.joint) { tr {
                        th scope="row" { (class) }
                        @for n in row { td.number { (n) } }
                    } } }
                }
                p.hint { "The confident joint: pieces that no class is confident of are not counted." }
            }
        }
    })
}

fn duplicates(
    audit: &Audit,
    dataset: &Dataset,
    summary: &AuditSummary,
    options: &AuditOptions,
    draw: &impl Fn(usize) -> Result<Vec<u8>>,
) -> Result<Markup> {
    // Pairs of two groups first: those are the dangerous ones.
    let group = |place: usize| dataset.samples[audit.pieces[place].sample].group_or_id();
    let mut pairs: Vec<_> = audit.duplicates.iter().collect();
    pairs.sort_by_key(|p| group(p.first) == group(p.second));
    let mut rows = Vec::new();
    for pair in pairs.into_iter().take(LISTED) {
        let across = group(pair.first) != group(pair.second);
        let mut cells = Vec::new();
        for place in [pair.first, pair.second] {
            let sample = &dataset.samples[audit.pieces[place].sample];
            cells.push(html! { figure {
                (image(&draw(place)?, sample.id.as_str()))
                figcaption {
                    b { (sample.id) } br; (sample.label().unwrap_or("no label"))
                    @if let Some(group) = &sample.group { ", group " (group) }
                }
            } });
        }
        rows.push(html! {
            article.piece {
                header { h3 { "correlation " (format!("{:.3}", pair.correlation)) }
                    @if across { span.badge.fail { "two groups" } } @else { span.badge.pass { "one group" } } }
                div.pictures { @for cell in &cells { (cell) } }
            }
        });
    }
    Ok(html! {
        section.panel {
            h2 { "Near-duplicates" }
            p.hint {
                (summary.duplicates) " pairs correlate by at least " (options.duplicate_at)
                " once what all pieces share is taken off; " (summary.duplicates_across_groups)
                " lie in two groups and may stand in training and test at once; "
                (summary.duplicates_with_two_labels) " have two labels. All: duplicates.csv."
            }
            div.cards { @for row in &rows { (row) } }
        }
    })
}

/// One colour for each class.
fn colour(class: usize) -> String {
    let RGBColor(red, green, blue) = PALETTE[class % PALETTE.len()];
    format!("#{red:02x}{green:02x}{blue:02x}")
}

fn channels(audit: &Audit, summary: &AuditSummary) -> Markup {
    html! {
        section.panel {
            h2 { "Channels" }
            p.hint.key {
                "Share of pixels by value (square root), for each class:"
                @for (c, (class, _)) in audit.channels.iter().enumerate() {
                    i style=(format!("background:{}", colour(c))) {} (class)
                }
            }
            div.channels { @for (c, name) in summary.channels.iter().enumerate() {
                figure { (histogram(audit, c)) figcaption { (name) } }
            } }
            div.scroll { table {
                thead { tr {
                    th { "channel" } th { "class" } th.number { "mean" } th.number { "deviation" }
                    th.number { "1 %" } th.number { "median" } th.number { "99 %" } th.number { "saturated" }
                } }
                tbody { @for (c, name) in summary.channels.iter().enumerate() {
                    @for (class, of) in &audit.channels { (channel_row(name, class, &of[c])) }
                } }
            } }
            p.hint { "More: channels.csv, histograms.csv." }
        }
    }
}

fn channel_row(name: &str, class: &str, s: &ChannelStatistics) -> Markup {
    html! { tr {
        th scope="row" { (name) } td { (class) }
        td.number { (figure(s.mean())) } td.number { (figure(s.deviation())) }
        @for share in [0.01, 0.5, 0.99] { td.number { (figure(s.percentile(share))) } }
        td.number { (format!("{:.2} %", 100.0 * s.saturated())) }
    } }
}

/// Values in 64 steps, one line a class.
fn histogram(audit: &Audit, channel: usize) -> Markup {
    const BINS: usize = 64;
    let series: Vec<Vec<f64>> = audit
        .channels
        .iter()
        .map(|(_, of)| {
            let s = &of[channel];
            let total = s.pixels().max(1) as f64;
            s.histogram()
                .chunks(s.histogram().len() / BINS)
                .map(|four| (four.iter().sum::<u64>() as f64 / total).sqrt())
                .collect()
        })
        .collect();
    let top = series.iter().flatten().copied().fold(1e-9, f64::max);
    html! {
        svg viewBox="0 0 320 120" role="img" aria-label="Histogram" {
            line x1="0" x2="320" y1="112" y2="112" {}
            @for (class, values) in series.iter().enumerate() {
                path stroke=(colour(class)) d=(path(values, top)) {}
            }
        }
    }
}

fn path(values: &[f64], top: f64) -> String {
    let step = 320.0 / values.len() as f64;
    let points = values.iter().enumerate().map(|(i, v)| {
        let command = if i == 0 { 'M' } else { 'L' };
        format!(
            "{command}{:.1} {:.1}",
            (i as f64 + 0.5) * step,
            112.0 - 104.0 * v / top
        )
    });
    points.collect()
}

fn grids(audit: &Audit, dataset: &Dataset) -> Markup {
    let of_class = |class: &str| -> Vec<Markup> {
        let pieces = audit.pieces.iter();
        pieces
            .filter_map(|piece| {
                let sample = &dataset.samples[piece.sample];
                let picture = piece.picture.as_ref().filter(|_| sample.label() == Some(class))?;
                Some(html! { figure { (image(picture, sample.id.as_str())) figcaption { (sample.id) } } })
            })
            .collect()
    };
    html! {
        @for class in &dataset.classes {
            section.panel {
                h2 { "Samples of " (class) }
                p.hint { "Drawn at random; all channels of a piece side by side, in the order above." }
                div.pieces { @for piece in of_class(class) { (piece) } }
            }
        }
    }
}

fn unreadable(summary: &AuditSummary) -> Markup {
    html! {
        @if !summary.unreadable.is_empty() {
            section.panel.unreadable {
                h2 { "Could not be read" }
                ul { @for (id, reason) in &summary.unreadable { li { b { (id) } ": " (reason) } } }
            }
        }
    }
}
