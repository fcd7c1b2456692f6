//! Tests of whole pieces and folders.

use super::*;
use crate::data::pixel_files::PixelFiles;
use crate::data::reader::ImageReader;
use crate::files::Existing;
use crate::progress::Silent;
use std::path::{Path, PathBuf};

fn only(kind: Kind, severity: f32) -> impl Fn(u64) -> Option<Piece> {
    let options = SynthOptions {
        defect_rate: 1.0,
        severity: [severity, severity],
        ..SynthOptions::default()
    };
    move |index| {
        let made = piece(&options, Seed::new(3), index);
        (made.defects.len() == 1 && made.defects[0].kind == kind).then_some(made)
    }
}

#[test]
fn the_same_seed_gives_the_same_piece_and_another_seed_another() {
    let options = SynthOptions::default();
    let a = piece(&options, Seed::new(1), 17);
    let b = piece(&options, Seed::new(1), 17);
    let c = piece(&options, Seed::new(2), 17);
    assert_eq!(a.pixels, b.pixels);
    assert_eq!(a.mask, b.mask);
    assert_ne!(a.pixels, c.pixels);
    assert_eq!(a.group, "pack-000001"); // 17 = 15 + 2
}

#[test]
fn a_mask_is_empty_exactly_for_good_pieces_and_covers_what_changed() {
    let spoiled = SynthOptions {
        defect_rate: 1.0,
        severity: [0.15, 0.3],
        ..SynthOptions::default()
    };
    let clean = SynthOptions {
        defect_rate: 0.0,
        ..SynthOptions::default()
    };
    for index in 0..24 {
        let good = piece(&clean, Seed::new(5), index);
        assert!(good.label.is_good() && good.defects.is_empty());
        assert!(good.mask.iter().all(|m| !m));
        let bad = piece(&spoiled, Seed::new(5), index);
        assert!(!bad.label.is_good());
        let marked = bad.mask.iter().filter(|m| **m).count();
        assert!(marked >= 6, "{}: {marked}", bad.id);
        // The same random draws: outside the mask the two are all but equal.
        for ((c, y, x), &v) in bad.pixels.indexed_iter() {
            let apart = v.abs_diff(good.pixels[(c, y, x)]);
            assert!(
                bad.mask[(y, x)] || apart <= 16,
                "{} at {c} {y} {x}: {apart}",
                bad.id
            );
        }
    }
}

#[test]
fn every_kind_shows_even_when_faint() {
    for kind in Kind::PRINT.into_iter().chain(Kind::PHYSICAL) {
        let find = only(kind, 0.15);
        let found = (0..200).find_map(find);
        assert!(found.is_some_and(|p| p.mask.iter().any(|m| *m)), "{kind:?}");
    }
}

#[test]
fn rates_are_kept_and_label_noise_changes_only_the_recorded_label() {
    let noisy = SynthOptions {
        label_noise: 0.3,
        ..SynthOptions::default()
    };
    let (mut bad, mut wrong) = (0, 0);
    for i in 0..2000 {
        let seed = Seed::new(9).derive("plan", i);
        let plan = Plan::draw(&noisy, seed);
        let same = Plan::draw(&SynthOptions::default(), seed);
        assert_eq!(plan.label, same.label);
        assert_eq!(same.label, same.noisy_label);
        bad += usize::from(!plan.label.is_good());
        wrong += usize::from(plan.label != plan.noisy_label);
    }
    assert!((690..=810).contains(&bad), "{bad}"); // 750 expected, 4 deviations = 87
    assert!((520..=680).contains(&wrong), "{wrong}"); // 600 expected
}

#[test]
fn options_out_of_range_are_refused_by_name() {
    let options = SynthOptions {
        defect_rate: 1.5,
        ..SynthOptions::default()
    };
    assert!(
        options
            .check()
            .unwrap_err()
            .to_string()
            .contains("defect-rate")
    );
    let options = SynthOptions {
        severity: [0.0, 1.0],
        ..SynthOptions::default()
    };
    assert!(options.check().is_err());
}

fn all_files(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files = Vec::new();
    let mut open = vec![folder.to_path_buf()];
    while let Some(next) = open.pop() {
        for entry in std::fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else {
                let name = path.strip_prefix(folder).unwrap().to_path_buf();
                files.push((name, std::fs::read(&path).unwrap()));
            }
        }
    }
    files.sort();
    files
}

#[test]
fn a_data_set_has_the_same_bytes_with_one_thread_and_with_three() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, threads: usize| {
        let out = dir.path().join(name);
        rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .unwrap()
            .install(|| {
                write_dataset(
                    &out,
                    &SynthOptions::default(),
                    11,
                    9,
                    PixelFiles::Arrays,
                    Existing::Refuse,
                    &Silent,
                )
            })
            .unwrap();
        all_files(&out)
    };
    let (one, three) = (write("one", 1), write("three", 3));
    assert_eq!(one, three);
    let names: Vec<&str> = one.iter().filter_map(|(n, _)| n.to_str()).collect();
    for name in ["annotations_multi.csv", "truth.csv", "roi.png"] {
        assert!(names.contains(&name), "{name}");
    }
    assert_eq!(names.iter().filter(|n| n.ends_with(".npy")).count(), 9);
}

#[test]
fn an_existing_data_set_is_replaced_only_by_force() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("set");
    let write = |count, existing| {
        write_dataset(
            &out,
            &SynthOptions::default(),
            1,
            count,
            PixelFiles::Images,
            existing,
            &Silent,
        )
    };
    assert_eq!(write(2, Existing::Refuse).unwrap().pieces, 2);
    assert!(write(1, Existing::Refuse).is_err());
    write(1, Existing::Replace).unwrap();
    let pictures = std::fs::read_dir(out.join("images")).unwrap().count();
    assert_eq!(pictures, 6);
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
}

#[test]
fn a_data_set_is_read_back_with_its_labels_groups_masks_and_pixels() {
    use crate::data::dataset::{Dataset, OpenOptions};
    let dir = tempfile::tempdir().unwrap();
    let noisy = SynthOptions {
        label_noise: 0.5,
        ..SynthOptions::default()
    };
    for (name, files) in [("a", PixelFiles::Arrays), ("i", PixelFiles::Images)] {
        let out = dir.path().join(name);
        write_dataset(&out, &noisy, 2, 17, files, Existing::Refuse, &Silent).unwrap();
        let dataset = Dataset::open(&out, &OpenOptions::default()).unwrap();
        assert_eq!(dataset.samples.len(), 17);
        let reader = ImageReader::new(dataset.format.clone(), OpenOptions::default().limits());
        for (index, sample) in dataset.samples.iter().enumerate() {
            let made = piece(&noisy, Seed::new(2), index as u64);
            assert_eq!(sample.id.as_str(), made.id);
            assert_eq!(sample.group.as_deref(), Some(made.group.as_str()));
            assert_eq!(sample.label(), Some(made.noisy_label.name()));
            assert_eq!(sample.mask.is_some(), !made.label.is_good());
            let image = reader.read(sample).unwrap();
            assert_eq!(image.pixels(), &made.pixels.mapv(|v| f32::from(v) / 255.0));
        }
    }
}

#[test]
fn a_pack_holds_the_same_fifteen_erasers_as_the_pieces() {
    let options = SynthOptions::default();
    let pack = pack(&options, Seed::new(4), 1);
    assert_eq!(pack.pixels.dim(), (6, 729, 969));
    assert_eq!(pack.members.len(), 15);
    let single = piece(&options, Seed::new(4), 15 + 7);
    assert_eq!(pack.members[7].id, single.id);
    assert_eq!(pack.members[7].label, single.label);
    assert_eq!(pack.members[7].colour, single.colour);
    for m in &pack.members {
        let [x, y, width, height] = m.bounds;
        assert!((155..175).contains(&width) && (155..175).contains(&height));
        assert!(x + width <= 969 && y + height <= 729);
    }
}

/// Four pieces, one a row, all channels, at a third of their size.
fn contact_sheet() -> image::GrayImage {
    const THIRD: usize = SIZE / 3;
    let options = SynthOptions::default();
    let mut sheet = image::GrayImage::new(6 * THIRD as u32, 4 * THIRD as u32);
    for (row, index) in [0, 1, 4, 7].into_iter().enumerate() {
        let pixels = piece(&options, Seed::new(1), index).pixels;
        for c in 0..6 {
            for y in 0..THIRD {
                for x in 0..THIRD {
                    let sum: u32 = (0..9)
                        .map(|k| u32::from(pixels[(c, 3 * y + k / 3, 3 * x + k % 3)]))
                        .sum();
                    let (sx, sy) = (c * THIRD + x, row * THIRD + y);
                    sheet.put_pixel(sx as u32, sy as u32, image::Luma([(sum / 9) as u8]));
                }
            }
        }
    }
    sheet
}

/// `REGENERATE=1` makes the sheet anew; look at it before committing.
#[test]
fn pieces_look_as_on_the_committed_sheet() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/synth-sheet.png");
    let sheet = contact_sheet();
    if std::env::var_os("REGENERATE").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        sheet.save(&path).unwrap();
    }
    let golden = image::open(&path).unwrap().to_luma8();
    assert_eq!(golden.dimensions(), sheet.dimensions());
    // Sines and exponentials may differ in their last bit between machines, and
    // a pixel may then round the other way.
    let apart = golden
        .iter()
        .zip(sheet.iter())
        .filter(|(a, b)| a.abs_diff(**b) > 1)
        .count();
    assert!(apart < 100, "{apart} pixels differ");
}
