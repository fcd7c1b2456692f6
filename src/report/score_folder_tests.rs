use super::*;
use crate::data::prediction::{Decision, Verdict};
use crate::data::region::{RegionRule, Seen};
use crate::report::journal::Fingerprint;
use crate::report::regions::RegionFacts;
use ndarray::{Array2, Array3};
use std::collections::BTreeMap;

const PIECES: usize = 9;

fn facts(bundle: &str) -> RunFacts {
    RunFacts {
        fingerprint: Fingerprint::new().with("bundle", bundle),
        colour_scale: ColourScale::new(0.1, 0.6).ok(),
        regions: Some(RegionFacts::of(&rule())),
        ..RunFacts::default()
    }
}

fn rule() -> RegionRule {
    RegionRule::new(0.2, 0.2, Vec::new(), "a test").unwrap()
}

fn options(existing: Existing) -> ScoreOptions {
    ScoreOptions {
        existing,
        pictures: 3,
        maps: true,
        ..ScoreOptions::default()
    }
}

fn running(opened: Opened) -> ScoreFolder {
    match opened {
        Opened::Running(folder) => *folder,
        Opened::Complete(counts) => panic!("complete: {counts:?}"),
    }
}

fn open(path: &Path, existing: Existing) -> Result<Opened> {
    ScoreFolder::open(path, options(existing), facts("x"), Vec::new())
}

/// The `i`-th piece; every fourth cannot be read.
fn push(folder: &mut ScoreFolder, i: usize) {
    let id = format!("piece/{i}");
    let path = PathBuf::from(format!("in/{i}.png"));
    if i % 4 == 3 {
        let row = ScoreRow::unreadable(&id, &path, &Error::data("cut short"));
        return folder.push(row, None).unwrap();
    }
    let score = (i * 5 % 7) as f64 / 7.0;
    let decision = Decision {
        verdict: if score > 0.5 {
            Verdict::Fail
        } else {
            Verdict::Pass
        },
        score,
        threshold: 0.5,
    };
    let image = Image::new(Array3::from_elem((2, 12, 10), 0.1 * (i % 9) as f32)).unwrap();
    let map = AnomalyMap::new(Array2::from_elem((6, 5), score as f32)).unwrap();
    let look = Look {
        image: &image,
        map: Some(&map),
        heatmap: None,
        pictures: None,
    };
    let small = image.resize(6, 5).unwrap();
    let seen = Seen {
        map: &map,
        image: &small,
        restored: &small,
    };
    let channels = ["A".to_string(), "B".to_string()];
    let regions = rule().find(seen, &channels, 12, 10).unwrap();
    let row = ScoreRow::scored(&id, &path, &decision, None, Some(score)).with_regions(regions);
    folder.push(row, Some(look)).unwrap();
}

/// Every file below a folder; what holds times without them.
fn contents(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut open = vec![folder.to_path_buf()];
    while let Some(next) = open.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else if path.file_name().unwrap() != RUN_FILE {
                let mut bytes = fs::read(&path).unwrap();
                if path.extension().unwrap() == "html" {
                    let text = String::from_utf8(bytes).unwrap();
                    let pieces = text.find("id=\"cards\"").unwrap();
                    bytes = text[pieces..].into();
                }
                found.insert(
                    path.strip_prefix(folder).unwrap().display().to_string(),
                    bytes,
                );
            }
        }
    }
    found
}

fn whole_run(path: &Path) -> Counts {
    let mut folder = running(open(path, Existing::Refuse).unwrap());
    (0..PIECES).for_each(|i| push(&mut folder, i));
    folder.finish().unwrap()
}

#[test]
fn a_run_leaves_table_report_heatmaps_maps_and_facts_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let counts = whole_run(dir.path());
    assert_eq!((counts.scored(), counts.unreadable), (7, 2));
    let mut names: Vec<String> = fs::read_dir(dir.path())
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(
        names,
        [
            "heatmaps",
            "maps",
            "regions.csv",
            "report.html",
            "run.json",
            "scores.csv"
        ]
    );
    // Of seven maps, all of one value each, six reach the region threshold.
    let regions = fs::read_to_string(dir.path().join("regions.csv")).unwrap();
    assert_eq!(regions.lines().count(), 1 + 6, "{regions}");
    assert!(
        regions.contains("piece/1,1,0,0,10,12,120.0,0.71428573"),
        "{regions}"
    );
    assert_eq!(
        fs::read_dir(dir.path().join("heatmaps")).unwrap().count(),
        7
    );
    let csv = fs::read_to_string(dir.path().join("scores.csv")).unwrap();
    assert_eq!(csv.lines().count(), 1 + PIECES);
    let facts: RunFacts =
        serde_json::from_slice(&fs::read(dir.path().join(RUN_FILE)).unwrap()).unwrap();
    assert_eq!(facts.counts, Some(counts));
    assert!(facts.finished.is_some());
}

#[test]
fn a_run_killed_after_any_piece_and_anywhere_in_its_journal_ends_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let expected_at = dir.path().join("whole");
    whole_run(&expected_at);
    let expected = contents(&expected_at);
    for killed_after in 0..=PIECES {
        for torn in [0, 1, 40] {
            let path = dir.path().join(format!("{killed_after}-{torn}"));
            let mut folder = running(open(&path, Existing::Refuse).unwrap());
            (0..killed_after).for_each(|i| push(&mut folder, i));
            drop(folder);
            // A torn line at the end: what the last write left undone.
            let journal = path.join(JOURNAL_FILE);
            let length = fs::metadata(&journal).unwrap().len();
            let file = fs::OpenOptions::new().write(true).open(&journal).unwrap();
            file.set_len(length.saturating_sub(torn)).unwrap();
            drop(file);

            let mut folder = running(open(&path, Existing::Continue).unwrap());
            for i in folder.done() as usize..PIECES {
                push(&mut folder, i);
            }
            folder.finish().unwrap();
            assert!(
                contents(&path) == expected,
                "killed after {killed_after}, torn by {torn}"
            );
        }
    }
}

#[test]
fn a_complete_run_is_not_run_again() {
    let dir = tempfile::tempdir().unwrap();
    let counts = whole_run(dir.path());
    match open(dir.path(), Existing::Continue).unwrap() {
        Opened::Complete(found) => assert_eq!(found, counts),
        Opened::Running(_) => panic!("should be complete"),
    }
}

#[test]
fn a_run_with_another_bundle_is_not_continued() {
    let dir = tempfile::tempdir().unwrap();
    let mut folder = running(open(dir.path(), Existing::Refuse).unwrap());
    push(&mut folder, 0);
    drop(folder);
    let other = ScoreFolder::open(
        dir.path(),
        options(Existing::Continue),
        facts("y"),
        Vec::new(),
    );
    assert!(
        other
            .unwrap_err()
            .to_string()
            .contains("bundle (x then, y now)")
    );
}

#[test]
fn a_folder_that_goma_did_not_write_is_not_continued() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("letter.txt"), "dear").unwrap();
    assert!(open(dir.path(), Existing::Continue).is_err());
}

#[test]
fn no_two_ids_share_a_file_and_none_leaves_the_folder() {
    assert_eq!(file_name("0417"), "0417");
    let hostile = [
        "a/b",
        "a_b",
        "a\\b",
        "../../x",
        "..",
        "",
        "a b",
        &"x".repeat(500),
    ];
    let mut names: Vec<String> = hostile.iter().map(|id| file_name(id)).collect();
    for name in &names {
        assert!(
            !name.contains('/') && !name.starts_with('.') && name.len() < 140,
            "{name}"
        );
    }
    names.sort();
    names.dedup();
    assert_eq!(names.len(), hostile.len());
}
