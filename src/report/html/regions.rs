//! A piece's regions on its card: boxes on its pictures, and a list.

use super::figure;
use crate::data::region::{Region, Regions};
use crate::report::regions;
use maud::{Markup, html};

/// So many regions of a piece are shown; all are in the table.
const SHOWN: usize = 6;

/// Boxes to be laid over a picture of the whole photograph, at any size.
pub(super) fn boxes(regions: &Regions) -> Markup {
    let (width, height) = (regions.width as f64, regions.height as f64);
    let text = 0.055 * width.max(height);
    html! {
        svg.boxes viewBox=(format!("0 0 {width} {height}")) aria-hidden="true" {
            @for (i, r) in regions.found.iter().take(SHOWN).enumerate() {
                rect x=(r.left) y=(r.top) width=(r.width) height=(r.height) {}
                // Above the box, or in its corner where there is no room.
                text x=(r.left) font-size=(format!("{text:.1}"))
                    y=(format!("{:.1}", label_line(r, text))) { (i + 1) }
            }
        }
    }
}

fn label_line(region: &Region, text: f64) -> f64 {
    let top = region.top as f64;
    if top > text {
        top - 0.2 * text
    } else {
        top + 0.9 * text
    }
}

/// The regions in words, the highest peak first.
pub(super) fn list(regions: &Regions) -> Markup {
    let more = regions.found.len().saturating_sub(SHOWN);
    html! {
        @if !regions.found.is_empty() {
            ol.regions aria-label="Regions" {
                @for r in regions.found.iter().take(SHOWN) {
                    li {
                        span { (r.width) " × " (r.height) " at " (r.left) ", " (r.top) }
                        span { "peak " (figure(f64::from(r.peak))) }
                        span { "mean " (figure(f64::from(r.mean))) }
                        span title=(format!("differs by {} of white from what was restored", figure(f64::from(r.difference)))) {
                            (r.channel)
                            @if let Some(ratio) = r.ratio { " " (times(ratio)) " the usual" }
                        }
                    }
                }
            }
            @if more > 0 {
                p.hint { (more) " more in " a href=(regions::FILE) { (regions::FILE) } }
            }
        }
    }
}

/// What a box means, in words.
pub(super) fn sentence(facts: &regions::RegionFacts) -> String {
    let channel = if facts.relative {
        "the channel named beside it differs most from what the model restored, compared with good \
         pieces"
    } else {
        "the channel named beside it differs most from what the model restored"
    };
    format!(
        "Boxes are regions of the map from {} on, with a peak of {} or more ({}); {channel}.",
        figure(f64::from(facts.low)),
        figure(f64::from(facts.high)),
        facts.basis
    )
}

/// A ratio as people say it.
fn times(ratio: f32) -> String {
    match ratio {
        r if r >= 10.0 => format!("{r:.0} ×"),
        r => format!("{r:.1} ×"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn regions(count: usize, channel: &str) -> Regions {
        let found = (0..count)
            .map(|i| Region {
                left: 10 * i,
                top: 2,
                width: 8,
                height: 6,
                area: 48.0,
                peak: 0.9,
                mean: 0.6,
                centroid: [4.0, 5.0],
                channel: channel.into(),
                difference: 0.1,
                ratio: Some(12.3),
            })
            .collect();
        Regions {
            width: 310,
            height: 200,
            found,
        }
    }

    #[test]
    fn boxes_are_drawn_in_pixels_of_the_photograph() {
        let svg = boxes(&regions(2, "AM")).into_string();
        assert!(svg.contains("viewBox=\"0 0 310 200\""), "{svg}");
        assert!(
            svg.contains("<rect x=\"10\" y=\"2\" width=\"8\" height=\"6\">"),
            "{svg}"
        );
        assert_eq!(svg.matches("<text").count(), 2);
    }

    #[test]
    fn the_list_says_where_how_much_and_which_channel() {
        let text = list(&regions(8, "<b>AM")).into_string();
        assert!(
            text.contains("8 × 6 at 70, 2") ^ text.contains("2 more in"),
            "{text}"
        );
        assert!(text.contains("2 more in"), "{text}");
        assert!(text.contains("&lt;b&gt;AM 12 × the usual"), "{text}");
        assert!(list(&regions(0, "AM")).into_string().is_empty());
    }
}
