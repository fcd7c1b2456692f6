use super::*;
use crate::data::image::Image;
use crate::draem::loss;
use crate::draem::network::Networks;
use crate::nn::layers::Mode;
use crate::nn::parameters::Parameters;
use crate::random::Seed;
use candle_core::DType;
use ndarray::Array3;
use std::collections::BTreeMap;

fn read(name: &str) -> Checkpoint {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/reference");
    Checkpoint::read(&folder.join(name)).unwrap()
}

fn both() -> (Checkpoint, Checkpoint) {
    (read("draem_seg_rec.pckl"), read("draem_seg_dis.pckl"))
}

fn refused(reconstructive: &Checkpoint, discriminative: &Checkpoint) -> String {
    draem(reconstructive, discriminative, 64, &Device::Cpu)
        .unwrap_err()
        .to_string()
}

fn changed(
    checkpoint: &Checkpoint,
    change: impl FnOnce(&mut BTreeMap<String, Weight>),
) -> Checkpoint {
    let mut checkpoint = checkpoint.clone();
    change(&mut checkpoint.weights.weights);
    checkpoint
}

#[test]
fn widths_and_channels_are_read_from_the_shapes() {
    let (rec, dis) = both();
    let imported = draem(&rec, &dis, 96, &Device::Cpu).unwrap();
    let expected = DraemShape {
        channels: 3,
        size: 96,
        reconstructive_width: 2,
        discriminative_width: 1,
    };
    assert_eq!(imported.draem.shape(), expected);
    assert!(imported.unused.is_empty(), "{:?}", imported.unused);
    assert!(
        draem(&rec, &dis, 100, &Device::Cpu).is_err(),
        "no multiple of 32"
    );
}

#[test]
fn files_that_are_exchanged_or_of_something_else_are_told_apart() {
    let (rec, dis) = both();
    assert!(refused(&dis, &rec).contains("this is the discriminative network"));
    assert!(refused(&rec, &rec).contains("this is the reconstructive network"));
    let other = changed(&rec, |w| {
        let weight = w.remove(RECONSTRUCTIVE).unwrap();
        *w = BTreeMap::from([("conv1.weight".to_string(), weight)]);
    });
    let told = refused(&other, &dis);
    assert!(
        told.contains("conv1.weight") && told.contains("reconstructive"),
        "{told}"
    );
}

#[test]
fn what_does_not_fit_is_named_with_its_file() {
    let (rec, dis) = both();
    let lacking = changed(&dis, |w| drop(w.remove("decoder_segment.up_b.2.bias")));
    let told = refused(&rec, &lacking);
    assert!(
        told.contains("draem_seg_dis.pckl") && told.contains("decoder_segment.up_b.2.bias"),
        "{told}"
    );
    let odd = changed(&rec, |w| {
        let weight = w.get_mut("decoder.db2.3.weight").unwrap();
        weight.shape.swap(0, 1);
    });
    let told = refused(&odd, &dis);
    assert!(
        told.contains("draem_seg_rec.pckl") && told.contains("decoder.db2.3.weight"),
        "{told}"
    );
    let flat = changed(&rec, |w| {
        w.get_mut(RECONSTRUCTIVE).unwrap().shape = vec![54]
    });
    assert!(refused(&flat, &dis).contains("[width, channels, 3, 3] expected"));
    let grey = changed(&rec, |w| {
        let weight = w.get_mut(RECONSTRUCTIVE).unwrap();
        weight.shape[1] = 1;
        weight.values.truncate(18);
    });
    assert!(refused(&grey, &dis).contains("takes 6 channels, 2 expected"));
    let nan = changed(&dis, |w| {
        w.get_mut(DISCRIMINATIVE).unwrap().values[5] = f32::NAN
    });
    assert!(refused(&rec, &nan).contains("NaN"));
    let variance = "encoder.block2.1.running_var";
    let negative = changed(&rec, |w| w.get_mut(variance).unwrap().values[0] = -1.0);
    assert!(refused(&negative, &dis).contains(variance));
}

#[test]
fn weights_that_nothing_asks_for_are_named() {
    let (rec, dis) = both();
    let more = changed(&rec, |w| {
        let weight = w[RECONSTRUCTIVE].clone();
        w.insert("head.weight".into(), weight);
    });
    let imported = draem(&more, &dis, 64, &Device::Cpu).unwrap();
    assert_eq!(imported.unused, ["reconstructive.head.weight"]);
}

fn reference() -> serde_json::Value {
    serde_json::from_str(include_str!("../../tests/reference/draem_import.json")).unwrap()
}

fn numbers(value: &serde_json::Value) -> Vec<f64> {
    let values = value.as_array().unwrap().iter();
    values.map(|v| v.as_f64().unwrap()).collect()
}

/// The picture of tests/reference/draem_import.py, blue first.
fn picture() -> Image {
    Image::new(Array3::from_shape_fn((3, 256, 256), |(channel, y, x)| {
        let c = 2 - channel;
        let value = 90 + 20 * c + (x * (c + 2) + y * 3) / 8 % 64;
        let (dy, dx) = (y as i64 - 100, x as i64 - 150);
        let dented = dy * dy + dx * dx < 900;
        (if dented { 255 - value } else { value }) as f32 / 255.0
    }))
    .unwrap()
}

fn every(step: usize, plane: ndarray::ArrayView2<'_, f32>) -> Vec<f32> {
    plane
        .slice(ndarray::s![..;step, ..;step])
        .iter()
        .copied()
        .collect()
}

/// Map, restored image and score of the original networks, run in PyTorch.
#[test]
fn an_imported_model_draws_the_originals_map_and_score() {
    let (rec, dis) = both();
    let imported = draem(&rec, &dis, 256, &Device::Cpu).unwrap();
    let drawing = imported.draem.draw(&[picture()]).unwrap().remove(0);
    let reference = reference();
    let map = every(4, drawing.map.values().view());
    let restored: Vec<f32> = (0..3)
        .flat_map(|c| every(16, drawing.restored.channel(c)))
        .collect();
    for (found, key) in [(map, "map"), (restored, "restored")] {
        let expected = numbers(&reference[key]);
        assert_eq!(found.len(), expected.len());
        for (a, b) in found.iter().zip(expected) {
            // What is restored is shown within 0..1.
            assert!(
                (f64::from(*a) - b.clamp(0.0, 1.0)).abs() < 1e-4,
                "{key}: {a} {b}"
            );
        }
    }
    let score = reference["score"].as_f64().unwrap();
    assert!((drawing.map.image_score() - score).abs() < 1e-5);
    assert!(score > 0.1, "the picture has a dent to be seen");
}

/// The noise of tests/reference/draem_import.py.
fn noise(shape: (usize, usize, usize, usize)) -> Tensor {
    let count = (shape.0 * shape.1 * shape.2 * shape.3) as u64;
    let values: Vec<f32> = (0..count)
        .map(|i| {
            let i = i.wrapping_mul(2_654_435_761) & 0xFFFF_FFFF;
            let i = ((i ^ (i >> 15)) * 2_246_822_519) & 0xFFFF_FFFF;
            (((i ^ (i >> 13)) & 0xFFFF) as f64 / 65535.0) as f32
        })
        .collect();
    Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
}

/// Losses and every number of every gradient of one step, against PyTorch in
/// double precision; its own single precision is off by 2e-5.
#[test]
fn one_steps_gradients_are_the_originals_within_1e_4() {
    let (rec, dis) = both();
    let imported = draem(&rec, &dis, 64, &Device::Cpu).unwrap();
    let bytes = imported.draem.to_safetensors().unwrap();
    let mut tensors = candle_core::safetensors::load_buffer(&bytes, &Device::Cpu).unwrap();
    let normalised: Vec<String> = tensors
        .keys()
        .filter_map(|name| Some(format!("{}.bias", name.strip_suffix(".running_mean")?)))
        .collect();
    for name in normalised {
        let raised = (&tensors[&name] + 2.0).unwrap();
        tensors.insert(name, raised);
    }
    let parameters = Parameters::new(Seed::new(0), &Device::Cpu);
    let networks = Networks::new(&parameters.root(), 3, 2, 1).unwrap();
    parameters.load(&tensors).unwrap();

    let x = noise((4, 3, 64, 64));
    let mask = x.narrow(1, 0, 1).unwrap().gt(0.5f32).unwrap();
    let mask = mask.to_dtype(DType::F32).unwrap();
    let (restored, classes) = networks.forward(&x, Mode::Train).unwrap();
    let l = loss::losses(&restored, &x, &classes, &mask, None).unwrap();
    for (found, expected) in [&l.l2, &l.ssim, &l.focal]
        .into_iter()
        .zip(numbers(&reference()["losses"]))
    {
        let found = f64::from(found.to_scalar::<f32>().unwrap());
        assert!(
            (found - expected).abs() < 1e-4 * expected,
            "{found} {expected}"
        );
    }
    let gradients = ((l.l2 + l.ssim).unwrap() + l.focal)
        .unwrap()
        .backward()
        .unwrap();
    let expected = include_bytes!("../../tests/reference/draem_gradients.safetensors");
    let expected = candle_core::safetensors::load_buffer(expected, &Device::Cpu).unwrap();
    let norm = |t: &Tensor| {
        f64::from(
            t.sqr()
                .unwrap()
                .sum_all()
                .unwrap()
                .to_scalar::<f32>()
                .unwrap(),
        )
        .sqrt()
    };
    let (mut whole, mut whole_off) = (0.0, 0.0);
    let mut far = Vec::new();
    for (name, var) in parameters.trainable() {
        let (found, expected) = (gradients.get(&var).unwrap(), &expected[&name]);
        let (size, off) = (norm(expected), norm(&(found - expected).unwrap()));
        whole += size * size;
        whole_off += off * off;
        // A bias before batch norm has no gradient but rounding; the absolute part
        // is four times what single precision resolves at 1.
        if !(off < 1e-4 * size + 5e-7) {
            far.push(format!("{name}: {off:.1e} of {size:.1e}"));
        }
    }
    assert!(far.is_empty(), "{far:#?}");
    assert!(
        whole_off.sqrt() < 1e-4 * whole.sqrt(),
        "{whole_off} {whole}"
    );
}
