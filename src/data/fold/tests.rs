use super::divide::group_of;
use super::*;
use crate::data::annotation::{Annotation, GOOD, Label};
use crate::data::format::PixelFormat;
use crate::data::layout::Layout;
use crate::data::sample::{Channel, PixelSource, Sample, SampleId};
use proptest::prelude::*;

/// Samples of these classes (by number) and groups.
fn dataset(samples: &[(usize, Option<usize>)]) -> Dataset {
    let classes: Vec<String> = ["good", "chip", "stain"].map(String::from).to_vec();
    let samples = samples
        .iter()
        .enumerate()
        .map(|(i, (class, group))| Sample {
            id: SampleId::new(format!("{i:04}")),
            source: PixelSource::File("x.png".into()),
            annotation: Some(Annotation::original(Label::new(&*classes[*class]))),
            group: group.map(|g| format!("p{g}")),
            mask: None,
            split: None,
        })
        .collect();
    Dataset {
        root: "x".into(),
        layout: Layout::Folders,
        samples,
        missing: Vec::new(),
        format: PixelFormat::new(vec![Channel::new("GRAY")]),
        classes,
        notes: Vec::new(),
    }
}

fn groups_of<'a>(dataset: &'a Dataset, indices: &[usize]) -> Vec<&'a str> {
    let mut groups: Vec<&str> = indices
        .iter()
        .map(|&i| group_of(&dataset.samples[i]))
        .collect();
    groups.sort_unstable();
    groups.dedup();
    groups
}

proptest! {
    #[test]
    fn no_group_is_on_both_sides_and_every_sample_is_tested_once(
        samples in prop::collection::vec((0usize..3, prop::option::of(0usize..12)), 8..80),
        k in 2usize..5,
        seed in 0u64..100,
    ) {
        let dataset = dataset(&samples);
        let all: Vec<usize> = (0..samples.len()).collect();
        prop_assume!(groups_of(&dataset, &all).len() >= k);
        let folds = Fold::k_fold(&dataset, k, Seed::new(seed)).unwrap();
        prop_assert_eq!(&folds, &Fold::k_fold(&dataset, k, Seed::new(seed)).unwrap());
        let mut tested: Vec<usize> = folds.iter().flat_map(|f| f.test().to_vec()).collect();
        tested.sort_unstable();
        prop_assert_eq!(&tested, &all);
        for fold in &folds {
            prop_assert_eq!(fold.train().len() + fold.test().len(), all.len());
            prop_assert!(!fold.test().is_empty());
            let train = groups_of(&dataset, fold.train());
            for group in groups_of(&dataset, fold.test()) {
                prop_assert!(!train.contains(&group));
            }
        }
    }

    #[test]
    fn without_groups_every_class_is_shared_out_to_within_one_sample(
        counts in prop::collection::vec(2usize..40, 3),
        share in 0.1f64..0.5,
        seed in 0u64..100,
    ) {
        let samples: Vec<_> = (0..3).flat_map(|c| vec![(c, None); counts[c]]).collect();
        let dataset = dataset(&samples);
        let fold = Fold::holdout(&dataset, share, Seed::new(seed)).unwrap();
        for (class, count) in counts.iter().enumerate() {
            let tested = fold.test().iter().filter(|&&i| samples[i].0 == class).count();
            prop_assert!((tested as f64 - share * *count as f64).abs() <= 1.0);
        }
    }
}

#[test]
fn another_seed_gives_another_fold() {
    let dataset = dataset(&vec![(0, None); 40]);
    let fold = |seed| Fold::holdout(&dataset, 0.25, Seed::new(seed)).unwrap();
    assert_eq!(fold(1), fold(1));
    assert_ne!(fold(1), fold(2));
    assert_eq!(fold(1).test().len(), 10);
}

#[test]
fn one_piece_cannot_be_divided() {
    let dataset = dataset(&[(0, Some(1)), (1, Some(1)), (0, Some(1))]);
    let error = Fold::holdout(&dataset, 0.5, Seed::new(0)).unwrap_err();
    assert!(error.to_string().contains("1 groups cannot"), "{error}");
    assert!(Fold::holdout(&dataset, 1.0, Seed::new(0)).is_err());
    assert!(Fold::k_fold(&dataset, 1, Seed::new(0)).is_err());
}

#[test]
fn a_declared_split_may_not_divide_a_piece() {
    let mut dataset = dataset(&[(0, Some(1)), (1, Some(1)), (0, Some(2))]);
    assert!(
        Fold::from_splits(&dataset)
            .unwrap_err()
            .to_string()
            .contains("no split")
    );
    for (sample, split) in dataset
        .samples
        .iter_mut()
        .zip([Split::Train, Split::Test, Split::Test])
    {
        sample.split = Some(split);
    }
    let error = Fold::from_splits(&dataset).unwrap_err();
    assert!(error.to_string().contains("group p1"), "{error}");
    dataset.samples[1].split = Some(Split::Validation);
    let fold = Fold::from_splits(&dataset).unwrap();
    assert_eq!((fold.train(), fold.test()), (&[0, 1][..], &[2][..]));
}

#[test]
fn good_samples_kept_back_stand_with_all_defective_ones() {
    let samples: Vec<_> = (0..40)
        .map(|i| (usize::from(i % 4 == 0), Some(i / 2)))
        .collect();
    let dataset = dataset(&samples);
    let train = Fold::everything(&dataset).training(&dataset);
    let (seen, rest) = train.split_good(0.3, Seed::new(0)).unwrap();
    assert!(seen.labels().iter().all(|label| *label == GOOD));
    assert_eq!(seen.len() + rest.len(), 40);
    assert_eq!(
        (seen.len(), rest.good().len(), rest.defective().len()),
        (21, 9, 10)
    );
    assert_eq!(rest.classes()[rest.class_indices()[0]], rest.labels()[0]);
}

#[test]
fn samples_without_a_label_are_in_no_fold() {
    let mut dataset = dataset(&[(0, None), (0, None), (1, None)]);
    dataset.samples[1].annotation = None;
    assert_eq!(Fold::everything(&dataset).train(), [0, 2]);
}

#[test]
fn a_share_of_the_defects_keeps_all_good_ones_and_lies_within_a_larger_share() {
    let samples: Vec<_> = (0..90).map(|i| (i % 3, Some(i / 9))).collect();
    let dataset = dataset(&samples);
    let train = Fold::everything(&dataset).training(&dataset);
    let with = |share| train.with_share_of_defects(share, Seed::new(4)).unwrap();
    let (quarter, half) = (with(0.25), with(0.5));
    for (share, set) in [(0.25, &quarter), (0.5, &half), (1.0, &with(1.0))] {
        let counts = |label: &str| set.labels().iter().filter(|l| **l == label).count();
        let expected = (share * 30.0f64).ceil() as usize;
        assert_eq!(counts(GOOD), 30);
        assert_eq!((counts("chip"), counts("stain")), (expected, expected));
    }
    assert!(quarter.indices().iter().all(|i| half.indices().contains(i)));
    let other = train.with_share_of_defects(0.25, Seed::new(5)).unwrap();
    assert_ne!(other.indices(), quarter.indices());
    // Of a rare class at least one sample stays.
    assert_eq!(with(0.001).defective().len(), 2);
    assert!(train.with_share_of_defects(0.0, Seed::new(4)).is_err());
}

#[test]
fn parts_hold_every_sample_once_and_no_group_twice() {
    let samples: Vec<_> = (0..60).map(|i| (i % 3, Some(i / 4))).collect();
    let dataset = dataset(&samples);
    let train = Fold::everything(&dataset).training(&dataset);
    let parts = train.parts(3, Seed::new(1)).unwrap();
    let mut all: Vec<usize> = parts.iter().flat_map(|p| p.indices().to_vec()).collect();
    all.sort_unstable();
    assert_eq!(all, train.indices());
    let mut groups: Vec<&str> = Vec::new();
    for part in &parts {
        assert!((16..=24).contains(&part.len()), "{}", part.len());
        groups.extend(groups_of(&dataset, part.indices()));
    }
    assert_eq!(groups.len(), 15);
    assert!(train.parts(1, Seed::new(1)).is_err());
}
