//! `report.html`: one file that opens offline, the worst pieces first.
//!
//! The page is written piece by piece, so memory does not grow with it; its
//! size is bounded by the number of pieces with pictures and of those listed.
//! Everything lies within it, except the full-size heatmaps that it links to
//! beside it. Ids, paths and messages are hostile: maud escapes them, and a
//! content security policy allows no script but the page's own, by its hash.
//! Without scripts the page is complete, only not to be filtered.

pub mod base64;
pub mod beside;
mod facts;
pub mod histogram;
pub mod overview;
mod regions;
mod wording;

use crate::data::colour::{ColourScale, ramp};
use crate::data::prediction::Verdict;
use crate::error::{Error, Result};
use crate::report::heatmap::tick_labels;
use crate::report::run::{Counts, RunFacts};
use crate::report::scores::{ScoreRow, Scored};
use crate::report::table::Format;
use crate::report::thumbs::Pictures;
use beside::Relation;
use maud::{DOCTYPE, Markup, PreEscaped, html};
use overview::Overview;
use sha2::{Digest, Sha256};
use std::io::Write;
use wording::{duration, minute, percent, percent_encoded};

pub use wording::figure;

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

/// A report that is being written: head, cards, table, end.
pub struct Page<'a, W> {
    out: W,
    facts: &'a RunFacts,
    overview: &'a Overview,
    axis_end: f64,
    table: Format,
    cards: usize,
    rows: usize,
}

impl<'a, W: Write> Page<'a, W> {
    /// Writes everything above the pieces.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn begin(
        out: W,
        facts: &'a RunFacts,
        overview: &'a Overview,
        scale: &ColourScale,
        table: Format,
    ) -> Result<Self> {
        let mut page = Self {
            out,
            facts,
            overview,
            axis_end: overview.axis_end(facts.rule.fail_at),
            table,
            cards: 0,
            rows: 0,
        };
        page.write(DOCTYPE.0)?;
        page.write("<html lang=\"en\">")?;
        page.write(&head(facts).0)?;
        page.write(&format!("<body data-fail-at=\"{}\">", facts.rule.fail_at))?;
        page.write(&banner(facts).0)?;
        page.write("<main>")?;
        page.write(&tiles(&overview.counts).0)?;
        page.write(&facts::decided(facts, overview).0)?;
        page.write(&beside::panel(facts, overview).0)?;
        page.write(&unreadable(overview, table).0)?;
        page.write(&facts::particulars(facts).0)?;
        page.write(&toolbar(facts, overview, scale).0)?;
        page.write("<section aria-labelledby=\"pieces\"><h2 id=\"pieces\">Worst pieces</h2> <output id=\"shown\" aria-live=\"polite\"></output>")?;
        page.write("<div class=\"cards\" id=\"cards\">")?;
        Ok(page)
    }

    /// Writes the next worse piece with its pictures.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn card(&mut self, row: &ScoreRow, pictures: &Pictures) -> Result<()> {
        let Some(scored) = row.ok() else {
            return Ok(());
        };
        self.cards += 1;
        let markup = self.card_markup(row, scored, pictures);
        self.write(&markup.0)
    }

    fn card_markup(&self, row: &ScoreRow, scored: &Scored, pictures: &Pictures) -> Markup {
        let score = self.overview.column.of(row);
        let kinds = [
            ("image", &pictures.image),
            ("map", &pictures.map),
            ("overlay", &pictures.overlay),
            ("channels", &pictures.channels),
        ];
        html! {
            article.piece id=(format!("p{}", self.cards)) tabindex="0"
                data-n=(self.cards) data-d=(scored.decision.name())
                data-c=(scored.class.as_deref().unwrap_or(""))
                data-id=(row.id) data-s=[score] data-a=[scored.anomaly_score]
                data-b=[Relation::of(scored).map(Relation::name)]
                aria-label=(format!("Piece {}: {}", row.id, scored.decision.name())) {
                header {
                    h3 { (row.id) }
                    (badge(scored.decision))
                    @if let Some(class) = &scored.class { span.class { (class) } }
                    span.rank { "#" (self.cards) }
                }
                div.pictures {
                    @for (kind, bytes) in kinds {
                        @if let Some(bytes) = bytes {
                            figure.(kind) {
                                @let picture = html! {
                                    img loading="lazy" decoding="async"
                                        alt=(format!("{kind} of piece {}", row.id))
                                        src=(format!("data:image/jpeg;base64,{}", base64::encode(bytes)));
                                };
                                @match row.regions.as_ref().filter(|r| kind != "channels" && !r.found.is_empty()) {
                                    Some(regions) => div.frame { (picture) (regions::boxes(regions)) },
                                    None => (picture),
                                }
                                figcaption { (kind) }
                            }
                        }
                    }
                    @if pictures.image.is_none() { p.none { "No picture was kept of this piece." } }
                }
                @if let Some(score) = score { (self.gauge(score)) }
                dl {
                    @if let Some(p) = scored.p_defect {
                        div { dt { "defect probability" } dd { (figure(p)) } }
                    }
                    @if let Some(a) = scored.anomaly_score {
                        div { dt { "anomaly score" } dd { (figure(a)) } }
                    }
                    div { dt { "fails from" } dd { (figure(scored.threshold)) } }
                    @if let (Some(_), Some(beside)) = (&scored.beside, &self.facts.beside) {
                        div { dt { (beside.name) } dd { (beside::verdict(scored)) } }
                    }
                    @if let Some(href) = &scored.heatmap {
                        div.link { a href=(percent_encoded(href)) { "full size" } }
                    }
                }
                @if let Some(regions) = &row.regions { (regions::list(regions)) }
                @if !scored.message.is_empty() { p.message { (scored.message) } }
                p.path { (row.path) }
            }
        }
    }

    /// Where a score lies between nothing and the end of the axis, with the
    /// zones of the decisions.
    fn gauge(&self, score: f64) -> Markup {
        let share = |v: f64| 100.0 * (v / self.axis_end).clamp(0.0, 1.0);
        let fail = share(self.facts.rule.fail_at);
        let review = self.facts.rule.review_at.map_or(fail, share);
        html! {
            div.gauge aria-hidden="true"
                style=(format!("--r:{review:.2}%;--f:{fail:.2}%;--s:{:.2}%", share(score))) {
                i {}
            }
        }
    }

    /// Ends the cards and begins the table of all listed pieces.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn begin_table(&mut self, pictured: usize, listed: usize) -> Result<()> {
        let scored = self.overview.counts.scored() as usize;
        let markup = html! {
            p.empty id="none" hidden { "No piece with a picture matches the filter." }
            p.hint {
                @if pictured == 0 { "This report was made without pictures." }
                @else if pictured < scored {
                    "Pictures are shown of the worst " (pictured) " of " (scored) " pieces. "
                    "The others are in the table below."
                }
            }
        };
        self.write("</div>")?;
        self.write(&markup.0)?;
        self.write("</section><section aria-labelledby=\"all\"><h2 id=\"all\">All pieces</h2>")?;
        if listed < scored {
            let hint = html! {
                p.hint {
                    "The worst " (listed) " of " (scored) " pieces; all of them are in "
                    a href=(self.table.file_name()) { (self.table.file_name()) } "."
                }
            };
            self.write(&hint.0)?;
        }
        let head = html! {
            thead { tr {
                th scope="col" { "piece" } th scope="col" { "decision" } th scope="col" { "class" }
                th.number scope="col" { "defect probability" } th.number scope="col" { "anomaly score" }
                @if let Some(beside) = &self.facts.beside { th scope="col" { (beside.name) } }
                th scope="col" { "heatmap" }
            } }
        };
        self.write("<div class=\"scroll\"><table>")?;
        self.write(&head.0)?;
        self.write("<tbody id=\"rows\">")
    }

    /// Writes a line of the table; the worst first, in the order of the cards.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn table_row(&mut self, row: &ScoreRow) -> Result<()> {
        let Some(scored) = row.ok() else {
            return Ok(());
        };
        self.rows += 1;
        let markup = html! {
            tr data-n=(self.rows) data-d=(scored.decision.name())
                data-c=(scored.class.as_deref().unwrap_or("")) data-id=(row.id)
                data-s=[self.overview.column.of(row)] data-a=[scored.anomaly_score]
                data-b=[Relation::of(scored).map(Relation::name)] {
                th scope="row" {
                    @if self.rows <= self.cards {
                        a href=(format!("#p{}", self.rows)) { (row.id) }
                    } @else { (row.id) }
                }
                td { (badge(scored.decision)) }
                td { (scored.class.as_deref().unwrap_or("")) }
                td.number { (scored.p_defect.map(figure).unwrap_or_default()) }
                td.number { (scored.anomaly_score.map(figure).unwrap_or_default()) }
                @if self.facts.beside.is_some() { td { (beside::verdict(scored)) } }
                td { @if let Some(href) = &scored.heatmap { a href=(percent_encoded(href)) { "open" } } }
            }
        };
        self.write(&markup.0)
    }

    /// Writes the end of the page.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn end(mut self) -> Result<()> {
        self.write("</tbody></table></div></section></main>")?;
        let viewer = html! {
            dialog #viewer aria-label="Piece, large" {
                header {
                    h2 #viewer-id {} span #viewer-badge {} span.class #viewer-class {}
                    span.spring {}
                    button type="button" #previous aria-label="Previous piece" { "←" }
                    button type="button" #next aria-label="Next piece" { "→" }
                    button type="button" #close aria-label="Close" { "✕" }
                }
                div.pictures #viewer-pictures {}
                div #viewer-facts {}
                p.hint { "← and → go through the pieces shown, Esc closes" }
            }
            footer {
                "Made by goma " (self.facts.goma) ". Colours mean the same on every piece: the scale "
                "belongs to the bundle and is never stretched for an image."
            }
        };
        self.write(&viewer.0)?;
        self.write("<script>")?;
        self.write(SCRIPT)?;
        self.write("</script></body></html>\n")?;
        self.out.flush().map_err(Error::io("write", "report.html"))
    }

    fn write(&mut self, text: &str) -> Result<()> {
        self.out
            .write_all(text.as_bytes())
            .map_err(Error::io("write", "report.html"))
    }
}

/// Title, policy and style.
fn head(facts: &RunFacts) -> Markup {
    let script = base64::encode(&Sha256::digest(SCRIPT.as_bytes()));
    let policy = format!(
        "default-src 'none'; img-src data: file: 'self'; style-src 'unsafe-inline'; \
         script-src 'sha256-{script}'; base-uri 'none'; form-action 'none'"
    );
    html! {
        head {
            meta charset="utf-8";
            meta http-equiv="Content-Security-Policy" content=(policy);
            meta name="viewport" content="width=device-width, initial-scale=1";
            meta name="color-scheme" content="light dark";
            meta name="referrer" content="no-referrer";
            title { "Inspection of " (facts.data.join(", ")) }
            style { (PreEscaped(STYLE)) }
        }
    }
}

/// What was inspected, with what, when.
fn banner(facts: &RunFacts) -> Markup {
    html! {
        header.banner {
            div {
                p.brand { (eraser()) "goma" span { "inspection report" } }
                h1 { (facts.data.join(", ")) }
                p.sub {
                    span { "bundle " b { (facts.bundle.name) } }
                    @if !facts.bundle.model.is_empty() { span { (facts.bundle.model) } }
                    span { (minute(facts.finished.as_ref().unwrap_or(&facts.started))) }
                    @if let Some(s) = facts.seconds { span { (duration(s)) } }
                }
            }
            button type="button" #theme.needs-script aria-label="Switch between light and dark" { "◐" }
        }
    }
}

/// The counts, which also filter.
fn tiles(counts: &Counts) -> Markup {
    let scored = counts.scored();
    let tile = |kind: &str, symbol: &str, count: u64, of: u64| {
        html! {
            button.tile.(kind) type="button" data-filter=(kind) aria-pressed="false" {
                span.what { span.symbol aria-hidden="true" { (symbol) } (kind) }
                span.count { (count) }
                span.share { (percent(count, of)) }
            }
        }
    };
    html! {
        section.tiles aria-label="Counts" {
            div.tile.total {
                span.what { "inspected" }
                span.count { (scored) }
                span.share { "of " (counts.total()) " inputs" }
            }
            (tile("fail", "✕", counts.fail, scored))
            (tile("review", "?", counts.review, scored))
            (tile("pass", "✓", counts.pass, scored))
            (tile("unreadable", "!", counts.unreadable, counts.total()))
        }
        div.shares aria-hidden="true" {
            @for (kind, n) in [("fail", counts.fail), ("review", counts.review),
                ("pass", counts.pass), ("unreadable", counts.unreadable)] {
                @if n > 0 { i.(kind) style=(format!("flex-grow:{n}")) {} }
            }
        }
    }
}

/// The inputs that could not be read, each with the reason.
fn unreadable(overview: &Overview, table: Format) -> Markup {
    let count = overview.counts.unreadable;
    html! {
        @if count > 0 {
            section.panel.unreadable #unreadable {
                h2 { (count) @if count == 1 { " input" } @else { " inputs" } " could not be read" }
                p.hint { "What cannot be read is not inspected, and counts neither as good nor as bad." }
                div.scroll { table {
                    thead { tr {
                        th scope="col" { "input" } th scope="col" { "reason" } th scope="col" { "file" }
                    } }
                    tbody {
                        @for (id, path, reason) in &overview.errors {
                            tr { th scope="row" { (id) } td { (reason) } td.path { (path) } }
                        }
                    }
                } }
                @if count as usize > overview.errors.len() {
                    p.hint {
                        "The first " (overview.errors.len()) "; all are in "
                        a href=(table.file_name()) { (table.file_name()) } "."
                    }
                }
            }
        }
    }
}

/// Filters and the colour legend, which stay in sight.
fn toolbar(facts: &RunFacts, overview: &Overview, scale: &ColourScale) -> Markup {
    let counts = &overview.counts;
    html! {
        div.toolbar {
            div.filters.needs-script role="search" {
                div.choice role="group" aria-label="Decision" {
                    @for (value, label, n) in [("", "all", counts.scored()), ("fail", "fail", counts.fail),
                        ("review", "review", counts.review), ("pass", "pass", counts.pass)] {
                        button type="button" data-filter=(value) aria-pressed=(value.is_empty()) {
                            (label) " " small { (n) }
                        }
                    }
                }
                @if overview.classes.len() > 1 {
                    label { span { "class" } select #class {
                        option value="" { "all" }
                        @for (class, n) in &overview.classes {
                            option value=(class) { (class) " (" (n) ")" }
                        }
                    } }
                }
                (beside::filter(overview))
                label { span { "order" } select #order {
                    option value="worst" { "worst first" }
                    option value="near" { "nearest to the threshold" }
                    option value="anomaly" { "anomaly score" }
                    option value="id" { "id" }
                } }
                label.search { span { "find id" } input #search type="search" autocomplete="off"; }
            }
            (legend(facts, scale))
        }
    }
}

/// The colour bar of all maps and overlays.
fn legend(facts: &RunFacts, scale: &ColourScale) -> Markup {
    let stops: Vec<String> = (0..=12)
        .map(|i| {
            let [r, g, b] = ramp(i as f32 / 12.0);
            format!("rgb({r} {g} {b})")
        })
        .collect();
    let [low, middle, high] = tick_labels(scale);
    html! {
        div.legend role="img" aria-label=(format!(
            "Colour scale of all heatmaps: no colour below {low}, as 99 in 100 pixels of good pieces; \
             then violet, red, orange, and yellow from {high}"
        )) {
            span.name { (if facts.regions.is_some() { "anomaly of" } else { "evidence at" }) br; "each pixel" }
            span.none { i {} "like good" }
            span.bar {
                i style=(format!("background:linear-gradient(90deg,{})", stops.join(","))) {}
                span { b { (low) } b { (middle) } b { (high) } }
            }
        }
    }
}

/// A decision as symbol and word: never by colour alone.
fn badge(verdict: Verdict) -> Markup {
    let symbol = match verdict {
        Verdict::Pass => "✓",
        Verdict::Fail => "✕",
        Verdict::Review => "?",
    };
    html! {
        span.badge.(verdict.name()) { span aria-hidden="true" { (symbol) } (verdict.name()) }
    }
}

fn eraser() -> Markup {
    html! {
        svg viewBox="0 0 24 24" aria-hidden="true" {
            rect x="3.5" y="7" width="17" height="10" rx="3" transform="rotate(-24 12 12)" {}
            path d="M10.2 7.6 14 16.1" {}
        }
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
