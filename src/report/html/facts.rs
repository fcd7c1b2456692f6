//! What the page says of the run as a whole: how it was decided, and with what.

use super::figure;
use super::overview::Overview;
use super::wording::{minute, short};
use crate::report::run::RunFacts;
use maud::{Markup, html};

/// The rule, what it rests on, and how all scores lie to it.
pub(super) fn decided(facts: &RunFacts, overview: &Overview) -> Markup {
    let rule = &facts.rule;
    html! {
        section.decided {
            div.panel {
                h2 { "How it was decided" }
                p.rule { (rule.sentence) }
                @if !rule.basis.is_empty() { p { (rule.basis) } }
                p { @match &facts.regions {
                    Some(regions) => (super::regions::sentence(regions)),
                    None => (ATTENTION),
                } }
                @for note in &facts.notes { p.note { (note) } }
                @if !facts.metrics.is_empty() {
                    dl.metrics {
                        @for (name, value) in &facts.metrics {
                            div { dt { (name) } dd { (figure(*value)) } }
                        }
                    }
                }
            }
            div.panel {
                h2 { "All scores" }
                (super::histogram::svg(overview, rule))
            }
        }
    }
}

/// What the heatmaps of a model without anomaly maps are.
const ATTENTION: &str = "Heatmaps show where the network looked (class activation maps). A rejected piece without \
    colours was decided on as a whole: no place of it speaks for a defect more than places of good pieces do.";

/// Everything else about the run, folded away.
pub(super) fn particulars(facts: &RunFacts) -> Markup {
    let settings = if facts.settings.is_null() {
        String::new()
    } else {
        serde_json::to_string_pretty(&facts.settings).unwrap_or_default()
    };
    let rows: [(&str, String); 12] = [
        (
            "bundle",
            format!("{} {}", facts.bundle.name, short(&facts.bundle.hash)),
        ),
        ("model", facts.bundle.model.clone()),
        ("backbone", facts.bundle.backbone.clone()),
        ("channels", facts.bundle.channels.join(" ")),
        ("trained on", facts.bundle.trained_on.clone()),
        ("inputs read as", facts.input_format.clone()),
        ("seed", facts.seed.to_string()),
        ("started", minute(&facts.started)),
        (
            "finished",
            facts.finished.as_deref().map(minute).unwrap_or_default(),
        ),
        (
            "machine",
            format!("{}, {} threads", facts.device, facts.threads),
        ),
        ("goma", facts.goma.clone()),
        ("command", facts.command.join(" ")),
    ];
    html! {
        details.panel.particulars {
            summary { "About this run" }
            dl {
                @for (name, value) in rows.iter().filter(|(_, v)| !v.is_empty()) {
                    div { dt { (name) } dd { (value) } }
                }
            }
            @if !settings.is_empty() { details { summary { "Settings" } pre { (settings) } } }
        }
    }
}
