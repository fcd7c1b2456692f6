use super::*;
use std::fs;

fn set(tables: &[(&str, &str)], files: &[&str]) -> Result<Catalogue> {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in tables {
        fs::write(dir.path().join(name), text).unwrap();
    }
    for name in files {
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "pixels are not read here").unwrap();
    }
    read(dir.path(), None, None)
}

fn labels_of(catalogue: &Catalogue) -> Vec<(&str, Option<&str>)> {
    let samples = catalogue.samples.iter();
    samples.map(|s| (s.id.as_str(), s.label())).collect()
}

#[test]
fn tables_are_read_however_they_were_saved() {
    for text in [
        "ID,error\na,0\nb,1\n",
        "\u{feff}file_prefix , defect\r\n a , 0 \r\n\r\nb,1\r\n",
        "ID;error\na.png;0\nb.npy;1",
        "a,0\nb,1\n",
        "a,0\nb,1.0\nb,1\n",
    ] {
        let set = set(
            &[("annotations_binary.csv", text)],
            &["arrays/a.npy", "arrays/b.npy"],
        );
        let set = set.unwrap();
        let expected = [("a", Some("good")), ("b", Some("defect"))];
        assert_eq!(labels_of(&set), expected, "{text:?}");
    }
}

#[test]
fn kinds_go_before_yes_and_no_and_contradictions_are_noted() {
    let tables = [
        ("annotations_binary.csv", "ID,error\na,1\nb,1\nc,0\nd,1\n"),
        ("annotations_multi.csv", "ID,error\na,1_0\nb,0_0\nc,0_0\n"),
    ];
    let files = [
        "arrays/a.npy",
        "arrays/b.npy",
        "arrays/c.npy",
        "arrays/d.npy",
    ];
    let set = set(&tables, &files).unwrap();
    let labels: Vec<_> = labels_of(&set).iter().map(|(_, l)| l.unwrap()).collect();
    assert_eq!(labels, ["print", "good", "good", "defect"]);
    assert!(
        set.notes[0].contains("annotations_multi.csv counts: b"),
        "{:?}",
        set.notes
    );
    assert!(
        set.notes[1].ends_with("their class is defect: d"),
        "{:?}",
        set.notes
    );
}

#[test]
fn what_is_without_its_other_half_is_named() {
    let table = ("annotations_binary.csv", "ID,error\na,0\nb,1\n");
    let set = set(&[table], &["arrays/a.npy", "arrays/x.npy", "masks/y.png"]).unwrap();
    assert_eq!(labels_of(&set), [("a", Some("good")), ("x", None)]);
    assert_eq!(set.missing[0].id.as_str(), "b");
    assert_eq!(
        set.missing[0].annotation.as_ref().unwrap().label.name(),
        "defect"
    );
    assert_eq!(
        set.notes,
        [
            "1 annotated but without pixels: b",
            "1 with pixels but not annotated: x",
            "1 masks without a sample: masks/y.png"
        ]
    );
}

#[test]
fn contradictory_or_unknown_labels_are_errors_with_their_line() {
    for (text, says) in [
        (
            "ID,error\na,0\na,1\n",
            "line 3: a is defect here and good above",
        ),
        ("ID,error\na,2\n", "line 2: label \"2\" of a is not known"),
        ("ID,error\n,1\n", "line 2: no id"),
    ] {
        let error = set(&[("annotations_binary.csv", text)], &[]).unwrap_err();
        assert!(error.to_string().contains(says), "{error}");
    }
}

#[test]
fn a_file_for_each_channel_makes_one_sample_with_group_and_mask() {
    let mut files = vec!["masks/p_1.png", "images/p_2_GRAY.png", "images/p_1_UV.png"];
    let six = ["GRAY", "AM", "G", "R", "W", "NORMAL"];
    let names: Vec<String> = six.iter().map(|c| format!("images/p_1_{c}.png")).collect();
    files.extend(names.iter().map(String::as_str));
    let tables = [
        ("annotations_multi.csv", "ID,error\np_1,1_1\np_2,0_0\n"),
        ("truth.csv", "id,label,group\np_1,both,pack7\n"),
    ];
    let set = set(&tables, &files).unwrap();
    let sample = &set.samples[0];
    assert_eq!((sample.id.as_str(), sample.label()), ("p_1", Some("both")));
    assert_eq!(sample.group.as_deref(), Some("pack7"));
    assert!(sample.mask.is_some());
    let PixelSource::Channels(paths) = &sample.source else {
        panic!("six files were written");
    };
    assert!(paths[1].ends_with("p_1_AM.png"));
    // Half of the ids have UV, so it is a channel like the others.
    assert_eq!(set.channels.as_ref().map(Vec::len), Some(7));
    assert!(
        set.missing[0]
            .reason
            .contains("no file of channel AM, G, R, W, NORMAL, UV"),
        "{:?}",
        set.missing
    );
}

#[test]
fn pieces_to_be_scored_need_no_annotations() {
    let set = set(&[], &["arrays/a.npy", "arrays/b.npy"]).unwrap();
    assert_eq!(labels_of(&set), [("a", None), ("b", None)]);
    let notes = set.notes.join("\n");
    assert!(
        notes.contains("neither annotations_binary.csv nor"),
        "{notes}"
    );
}
