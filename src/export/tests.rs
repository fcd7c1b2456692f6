use super::*;
use crate::baseline::model::BaselineShape;
use crate::baseline::view::{Normalise, PixelInput, View};
use crate::baseline::{Architecture, Baseline, Network};
use crate::data::colour::ColourScale;
use crate::data::format::{PixelFormat, usual_channels};
use crate::data::roi::RegionOfInterest;
use crate::decision::{Criterion, Rule};
use crate::draem::Tiling;
use crate::draem::import::{Checkpoint, draem};
use crate::draem::registration::{Grey, Registration};
use crate::nn::cnn::{CnnLayer, CnnOptions, Gather};
use crate::nn::parameters::Parameters;
use crate::nn::resnet::{Depth, ResNetConfig};
use crate::pipeline::Training;
use crate::pipeline::import::{Plan, pipeline};
use crate::pipeline::supervised::Supervised;
use crate::progress::Silent;
use crate::random::Seed;
use crate::settings::Settings;
use candle_core::{Device, Tensor};
use ndarray::Array2;

/// The small networks of tests/reference/draem_import.py, 64 pixels a side.
fn anomaly_model(tiling: Tiling, roi: Option<RegionOfInterest>) -> Contents {
    let read = |name: &str| {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/reference");
        Checkpoint::read(&folder.join(name)).unwrap()
    };
    let (rec, dis) = (read("draem_seg_rec.pckl"), read("draem_seg_dis.pckl"));
    let mut draem = draem(&rec, &dis, 64, &Device::Cpu).unwrap().draem;
    draem.set_tiling(tiling);
    draem.set_roi(roi);
    let plan = Plan {
        name: "made up".into(),
        draem,
        format: PixelFormat::new(usual_channels(3)),
        origin: "a test".into(),
        pieces: None,
        fail: Some(Criterion::Fixed(0.2)),
        review: None,
        seed: 0,
    };
    let (pipeline, _) = pipeline(plan, &Silent).unwrap();
    Contents::Pipeline(Box::new(pipeline))
}

/// The same for pieces that are moved to their usual place first.
fn aligned(mut contents: Contents) -> Contents {
    if let Contents::Pipeline(pipeline) = &mut contents {
        let pieces: Vec<Grey> = pictures(3, (80, 120))
            .map(|image| Grey::of(&image.unwrap()))
            .collect();
        pipeline.draem.set_registration(Registration::of(&pieces));
    }
    contents
}

/// A baseline of random weights, its batch norms with averages other than 0 and 1.
fn baseline(architecture: Architecture, input: PixelInput, classes: &[&str]) -> Contents {
    let (channels, size) = match &architecture {
        Architecture::ResNet(config) => (config.channels, 48),
        Architecture::Cnn { channels, size, .. } => (*channels, *size),
    };
    let outputs = if classes.len() == 2 { 1 } else { classes.len() };
    let parameters = Parameters::new(Seed::new(4), &Device::Cpu);
    Network::new(&parameters.root(), &architecture, outputs).unwrap();
    let moved = |(name, tensor): (String, Tensor)| {
        let moved = match name.ends_with("running_mean") || name.ends_with("running_var") {
            true => (&tensor * 0.7).unwrap() + 0.1,
            false => Ok(tensor),
        };
        (name, moved.unwrap())
    };
    let weights = parameters.tensors().into_iter().map(moved).collect();
    let shape = BaselineShape {
        architecture,
        outputs,
        view: View {
            channels,
            map: false,
            size,
            input,
            canny: (100.0, 200.0),
            normalise: Normalise::Imagenet,
        },
        heatmap: Default::default(),
        heatmap_unit: 1.0,
    };
    let classes: Vec<String> = classes.iter().map(ToString::to_string).collect();
    Contents::Supervised(Box::new(Supervised {
        format: PixelFormat::new(usual_channels(channels)),
        baseline: Baseline::new(shape, classes.into(), weights, &Device::Cpu).unwrap(),
        rule: Rule {
            fail_at: 0.5,
            review_at: None,
            basis: "0.5, as set".into(),
        },
        scale: ColourScale::new(0.1, 1.0).unwrap(),
        start: "weights drawn at random".into(),
        training: Training::default(),
        settings: Settings::default(),
    }))
}

fn cnn(gather: Gather, dense: &[usize]) -> Architecture {
    let layer = |filters, kernel, pool| CnnLayer {
        filters,
        kernel,
        pool,
        dropout: 0.0,
    };
    Architecture::Cnn {
        options: CnnOptions {
            layers: vec![layer(4, 5, 3), layer(6, 3, 1)],
            batch_norm: true,
            gather,
            dense: dense.to_vec(),
        },
        channels: 3,
        size: 40,
    }
}

fn pictures(channels: usize, size: (usize, usize)) -> impl Iterator<Item = Result<Image>> {
    let format = PixelFormat::new(usual_channels(channels));
    (0..3).map(move |i| Pictures::Random.draw(&format, size, Seed::new(8), i))
}

/// Exports into a fresh folder, checked on pictures of this size.
fn exported(contents: Contents, pieces: PieceSize, size: (usize, usize)) -> Result<Summary> {
    let folder = tempfile::tempdir().unwrap();
    let channels = match &contents {
        Contents::Pipeline(pipeline) => pipeline.format.channels.len(),
        Contents::Supervised(supervised) => supervised.format.channels.len(),
    };
    let export = Export::new(contents, "0".repeat(64), pieces)?;
    export.write(folder.path(), "tests".into(), pictures(channels, size))
}

#[test]
fn another_runtime_says_what_goma_says() {
    let half = Array2::from_shape_fn((80, 120), |(y, _)| y < 50);
    let roi = || Some(RegionOfInterest::new(half.clone()).unwrap());
    let resnet = |depth| {
        Architecture::ResNet(ResNetConfig {
            depth,
            width: 4,
            channels: 6,
        })
    };
    let two = ["good", "bad"];
    let three = ["good", "crack", "dent"];
    let cases = [
        (anomaly_model(Tiling::Off, None), None),
        (anomaly_model(Tiling::Off, None), Some((80, 120))),
        (anomaly_model(Tiling::Off, roi()), None),
        (anomaly_model(Tiling::Off, roi()), Some((80, 120))),
        (anomaly_model(Tiling::Overlap, roi()), None),
        (aligned(anomaly_model(Tiling::Off, roi())), Some((80, 120))),
        (
            baseline(resnet(Depth::Resnet18), PixelInput::Pixels, &two),
            None,
        ),
        (
            baseline(resnet(Depth::Resnet50), PixelInput::Grey, &three),
            Some((80, 120)),
        ),
        (
            baseline(cnn(Gather::Flatten, &[7, 5]), PixelInput::Grey, &two),
            None,
        ),
        (
            baseline(cnn(Gather::Average, &[]), PixelInput::Canny, &three),
            None,
        ),
    ];
    for (i, (contents, pieces)) in cases.into_iter().enumerate() {
        let summary =
            exported(contents, pieces, (80, 120)).unwrap_or_else(|e| panic!("case {i}: {e}"));
        let findings = &summary.check.findings;
        assert_eq!(findings.decisions_changed, 0, "case {i}");
        // Tiles of 64 pixels: two by two or more.
        assert!(
            findings.pieces == 3 || (i == 4 && findings.pieces >= 12),
            "case {i}"
        );
        // Beyond the tolerance `write` would have refused.
        assert!(findings.largest.len() >= 2, "case {i}: {findings:?}");
    }
}

#[test]
fn one_changed_weight_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let mut export = Export::new(anomaly_model(Tiling::Off, None), "0".repeat(64), None).unwrap();
    let graph = export.parts[0].model.graph.as_mut().unwrap();
    let weights = graph
        .initializer
        .iter_mut()
        .find(|t| t.dims.len() == 4)
        .unwrap();
    let old = f32::from_le_bytes(weights.raw_data[..4].try_into().unwrap());
    weights.raw_data[..4].copy_from_slice(&(old + 0.05).to_le_bytes());
    let error = export
        .write(folder.path(), "tests".into(), pictures(3, (64, 64)))
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("differs from the bundle") && error.contains("map by"),
        "{error}"
    );
    assert!(!folder.path().join(SUMMARY).exists());
}

#[test]
fn a_changed_decision_or_no_piece_at_all_is_refused() {
    let accepted = |findings: Findings| findings.accept().map_err(|e| e.to_string());
    let good = Findings {
        pieces: 2,
        largest: [("map", 9e-5)].into(),
        ..Findings::default()
    };
    accepted(good.clone()).unwrap();
    let turned = Findings {
        decisions_changed: 1,
        ..good.clone()
    };
    assert!(
        accepted(turned)
            .unwrap_err()
            .contains("otherwise on 1 of 2 pieces")
    );
    let no_number = Findings {
        largest: [("map", f64::INFINITY)].into(),
        ..good
    };
    assert!(accepted(no_number).is_err());
    assert!(accepted(Findings::default()).is_err());
}

#[test]
fn what_cannot_be_in_a_graph_is_refused() {
    let size = Some((80, 120));
    let tiled = exported(anomaly_model(Tiling::Overlap, None), size, (80, 120));
    assert!(tiled.unwrap_err().to_string().contains("tiles"));
    let edges = baseline(
        cnn(Gather::Average, &[]),
        PixelInput::Canny,
        &["good", "bad"],
    );
    assert!(
        exported(edges, size, (80, 120))
            .unwrap_err()
            .to_string()
            .contains("edges")
    );
    // Pieces of another size than the graph takes.
    let other = exported(anomaly_model(Tiling::Off, None), size, (120, 80));
    assert!(
        other
            .unwrap_err()
            .to_string()
            .contains("[3, 120, 80] found")
    );
}
