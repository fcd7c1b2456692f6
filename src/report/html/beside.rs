//! The second model's part of the page: where both agree and where not, a
//! filter by that, and its verdict on each card and line.

use super::wording::{figure, percent};
use crate::data::prediction::Verdict;
use crate::report::html::overview::Overview;
use crate::report::run::RunFacts;
use crate::report::scores::Scored;
use maud::{Markup, html};

/// How two verdicts stand to each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Relation {
    /// The same verdict.
    Agree,
    /// The first model fails it, the second does not.
    First,
    /// The second model fails it, the first does not.
    Second,
    /// One passes it, the other wants a person to look.
    Review,
}

impl Relation {
    /// All, in the order of the page.
    pub const ALL: [Self; 4] = [Self::Agree, Self::First, Self::Second, Self::Review];

    /// Of one piece; `None` without a second model.
    #[must_use]
    pub fn of(scored: &Scored) -> Option<Self> {
        let other = scored.beside.as_ref()?.decision;
        Some(match (scored.decision, other) {
            (a, b) if a == b => Self::Agree,
            (Verdict::Fail, _) => Self::First,
            (_, Verdict::Fail) => Self::Second,
            _ => Self::Review,
        })
    }

    /// As the page's script knows it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Agree => "agree",
            Self::First => "first",
            Self::Second => "second",
            Self::Review => "one-reviews",
        }
    }
}

/// Who judged beside, and how often both agree.
pub(super) fn panel(facts: &RunFacts, overview: &Overview) -> Markup {
    let Some(beside) = &facts.beside else {
        return html! {};
    };
    let scored = overview.counts.scored();
    let line = |relation: Relation| match relation {
        Relation::Agree => "both decide alike".to_string(),
        Relation::First => format!("{} alone fails it", facts.bundle.name),
        Relation::Second => format!("{} alone fails it", beside.name),
        Relation::Review => "one passes it, the other would have it reviewed".to_string(),
    };
    html! {
        section.panel #beside {
            h2 { "Beside it: " (beside.name) " (" (beside.model) ")" }
            table {
                thead { tr { th scope="col" { "verdicts" } th.number scope="col" { "pieces" } th.number scope="col" { "share" } } }
                tbody {
                    @for relation in Relation::ALL {
                        @let n = overview.relations.get(&relation).copied().unwrap_or(0);
                        @if n > 0 || relation != Relation::Review {
                            tr {
                                th scope="row" { (line(relation)) }
                                td.number { (n) }
                                td.number { (percent(n, scored)) }
                            }
                        }
                    }
                }
            }
            p.hint { "Decisions and counts above are those of " (facts.bundle.name) "." }
        }
    }
}

/// The toolbar's choice.
pub(super) fn filter(overview: &Overview) -> Markup {
    html! {
        @if !overview.relations.is_empty() {
            label { span { "verdicts" } select #beside-filter {
                option value="" { "all" }
                option value="agree" { "both alike" }
                option value="differ" { "not alike" }
                option value="first" { "this model alone fails" }
                option value="second" { "the other alone fails" }
            } }
        }
    }
}

/// The second verdict in words, for a card and a line of the table.
pub(super) fn verdict(scored: &Scored) -> Markup {
    html! {
        @if let Some(beside) = &scored.beside {
            (super::badge(beside.decision))
            @if let Some(class) = &beside.class { " " (class) }
            @if let Some(p) = beside.p_defect { " " (figure(p)) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::prediction::Decision;
    use crate::report::scores::{Beside, RowOutcome, ScoreRow};
    use std::path::Path;

    #[test]
    fn two_verdicts_stand_in_one_of_four_ways() {
        let relation = |first, second| {
            let decision = Decision {
                verdict: first,
                score: 0.5,
                threshold: 0.5,
            };
            let mut row = ScoreRow::scored("a", Path::new("a"), &decision, None, None);
            if let RowOutcome::Ok(scored) = &mut row.outcome {
                assert_eq!(Relation::of(scored), None);
                scored.beside = Some(Beside {
                    p_defect: None,
                    decision: second,
                    class: None,
                });
            }
            Relation::of(row.ok().unwrap()).unwrap()
        };
        use Verdict::{Fail, Pass, Review};
        assert_eq!(relation(Review, Review), Relation::Agree);
        assert_eq!(relation(Fail, Review), Relation::First);
        assert_eq!(relation(Pass, Fail), Relation::Second);
        assert_eq!(relation(Pass, Review), Relation::Review);
    }
}
