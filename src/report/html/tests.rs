use super::*;
use crate::data::prediction::Decision;
use crate::report::golden;
use crate::report::regions::RegionFacts;
use crate::report::run::{BundleFacts, RuleFacts};
use std::path::Path;

fn facts() -> RunFacts {
    RunFacts {
        goma: "0.1.0".into(),
        data: vec!["line3".into()],
        bundle: BundleFacts {
            name: "eraser".into(),
            hash: "0123456789abcdef".into(),
            model: "hybrid".into(),
            ..BundleFacts::default()
        },
        rule: RuleFacts {
            sentence: "Fails at p_defect 0.5 or more.".into(),
            basis: "Best F1 on 80 held-back pieces.".into(),
            fail_at: 0.5,
            review_at: Some(0.4),
            ..RuleFacts::default()
        },
        regions: Some(RegionFacts {
            low: 0.3,
            high: 0.5,
            basis: "95% of 60 good pieces stay below it".into(),
            relative: false,
        }),
        started: "2026-01-31T09:05:00Z".into(),
        ..RunFacts::default()
    }
}

fn row(id: &str, verdict: Verdict, anomaly: f64) -> ScoreRow {
    let decision = Decision {
        verdict,
        score: anomaly,
        threshold: 0.5,
    };
    let mut row = ScoreRow::scored(id, Path::new(id), &decision, None, Some(anomaly));
    if let crate::report::scores::RowOutcome::Ok(scored) = &mut row.outcome {
        scored.class = Some(id.into());
        scored.p_defect = Some(anomaly);
        scored.message = id.into();
        scored.heatmap = Some("heatmaps/a b.png".into());
    }
    row
}

fn page(facts: &RunFacts, rows: &[ScoreRow]) -> String {
    let mut overview = Overview::new(facts.rule.score);
    rows.iter().for_each(|r| overview.add(r));
    let scale = ColourScale::new(0.1, 0.6).unwrap();
    let mut out = Vec::new();
    let mut page = Page::begin(&mut out, facts, &overview, &scale, Format::Csv).unwrap();
    for row in rows {
        let pictures = Pictures {
            image: Some(b"foo".to_vec()),
            ..Pictures::default()
        };
        page.card(row, &pictures).unwrap();
    }
    page.begin_table(rows.len(), rows.len()).unwrap();
    rows.iter().for_each(|r| page.table_row(r).unwrap());
    page.end().unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn hostile_ids_paths_messages_and_facts_stay_text() {
    let hostile = "<script>alert(1)</script>\"><img src=x onerror='alert(2)'>&amp;";
    let mut facts = facts();
    facts.data = vec![hostile.into()];
    facts.notes = vec![hostile.into()];
    facts.rule.basis = hostile.into();
    facts.bundle.name = hostile.into();
    facts.settings = serde_json::json!({ "name": hostile });
    let error = Error::data(hostile);
    let rows = [
        row(hostile, Verdict::Fail, 0.9),
        row("b", Verdict::Pass, 0.2),
        ScoreRow::unreadable(hostile, Path::new(hostile), &error),
    ];
    let text = page(&facts, &rows);
    assert!(!text.contains("<script>alert"));
    assert!(!text.contains("<img src=x"));
    assert_eq!(text.matches("<script").count(), 1, "only the page's own");
    assert!(text.contains("&lt;script&gt;alert(1)&lt;/script&gt;"));
}

#[test]
fn the_page_asks_nothing_of_the_network() {
    let text = page(&facts(), &[row("a", Verdict::Fail, 0.9)]);
    for outside in ["http://", "https://", "<link", "@import", "url("] {
        assert!(!text.contains(outside), "{outside}");
    }
    assert!(text.contains("data:image/jpeg;base64,Zm9v"));
    assert!(text.contains("heatmaps/a%20b.png"));
}

#[test]
fn a_classifier_s_page_says_what_its_heatmaps_are() {
    let rows = [row("a", Verdict::Fail, 0.9)];
    let of_classifier = page(
        &RunFacts {
            regions: None,
            ..facts()
        },
        &rows,
    );
    let told = ["where the network looked", "evidence at<br>each pixel"];
    assert!(told.iter().all(|t| of_classifier.contains(t)));
    let of_maps = page(&facts(), &rows);
    assert!(told.iter().all(|t| !of_maps.contains(t)));
    assert!(of_maps.contains("Boxes are regions of the map"));
}

#[test]
fn the_page_says_what_could_not_be_read_and_why() {
    let rows = [ScoreRow::unreadable(
        "7",
        Path::new("in/7.png"),
        &Error::data("cut short"),
    )];
    let text = page(&facts(), &rows);
    assert!(text.contains("1 input could not be read"));
    assert!(text.contains("<td>cut short</td>"));
}

#[test]
fn the_page_looks_as_it_did() {
    let rows = [row("a", Verdict::Fail, 0.9), row("b", Verdict::Pass, 0.05)];
    let text = page(&facts(), &rows);
    // Style and script are files of their own, with a history of their own.
    let skeleton = text
        .replace(STYLE, "STYLE")
        .replace(SCRIPT, "SCRIPT")
        .replace(&base64::encode(&Sha256::digest(SCRIPT.as_bytes())), "HASH");
    golden::check_text("report.html", &skeleton.replace("><", ">\n<"));
}

#[test]
fn scores_are_shown_with_three_digits_that_matter() {
    assert_eq!(figure(0.97312), "0.973");
    assert_eq!(figure(0.012345), "0.0123");
    assert_eq!(figure(0.0012345), "0.00123");
    assert_eq!(figure(0.00001234), "1.2e-5");
    assert_eq!(figure(0.0), "0.000");
}

#[test]
fn times_are_told_as_people_tell_them() {
    assert_eq!(duration(4.25), "4.2 s");
    assert_eq!(duration(125.0), "2 min 5 s");
    assert_eq!(duration(7260.0), "2 h 1 min");
    assert_eq!(minute("2026-01-31T09:05:00Z"), "2026-01-31 09:05 UTC");
}
