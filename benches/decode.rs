//! Reading one piece of 310 x 310: six channels as an array and as six PNGs, and
//! one grey JPEG.

use criterion::{Criterion, criterion_group, criterion_main};
use goma::data::format::PixelFormat;
use goma::data::npy;
use goma::data::reader::{ImageReader, Limits};
use goma::data::sample::{Channel, PixelSource, Sample, SampleId};
use std::hint::black_box;
use std::path::PathBuf;

const SIDE: usize = 310;

fn sample(source: PixelSource) -> Sample {
    Sample {
        id: SampleId::new("piece"),
        source,
        annotation: None,
        group: None,
        mask: None,
        split: None,
    }
}

/// A smooth surface with some grain, so that compression has its usual work.
fn value(y: usize, x: usize, c: usize) -> u8 {
    let grain = (x * 7919 + y * 104_729 + c * 31) % 13;
    ((x + y * 2 + c * 20) / 5 + grain) as u8
}

fn decode(criterion: &mut Criterion) {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let channels = Channel::eraser();
    let six = ImageReader::new(PixelFormat::new(channels.clone()), Limits::default());
    let grey = ImageReader::new(
        PixelFormat::new(vec![Channel::new("GRAY")]),
        Limits::default(),
    );

    let values: Vec<u8> = (0..SIDE * SIDE * 6)
        .map(|i| value(i / 6 / SIDE, i / 6 % SIDE, i % 6))
        .collect();
    let bytes = dir.path().join("u1.npy");
    npy::write(&bytes, &[SIDE, SIDE, 6], &values).expect("written");
    let floats: Vec<f32> = values.iter().map(|&v| f32::from(v) / 255.0).collect();
    let unit = dir.path().join("f4.npy");
    npy::write(&unit, &[SIDE, SIDE, 6], &floats).expect("written");
    let plane = |c: usize| {
        image::GrayImage::from_fn(SIDE as u32, SIDE as u32, |x, y| {
            image::Luma([value(y as usize, x as usize, c)])
        })
    };
    let pngs: Vec<PathBuf> = (0..6)
        .map(|c| {
            let path = dir.path().join(format!("{}.png", channels[c]));
            plane(c).save(&path).expect("written");
            path
        })
        .collect();
    let jpeg = dir.path().join("grey.jpg");
    plane(0).save(&jpeg).expect("written");

    let mut group = criterion.benchmark_group("decode");
    for (name, reader, source) in [
        ("npy uint8, 6 channels", &six, PixelSource::File(bytes)),
        ("npy float32, 6 channels", &six, PixelSource::File(unit)),
        ("six PNGs", &six, PixelSource::Channels(pngs)),
        ("one grey JPEG", &grey, PixelSource::File(jpeg)),
    ] {
        let sample = sample(source);
        group.bench_function(name, |b| {
            b.iter(|| black_box(reader.read(black_box(&sample)).expect("read")));
        });
    }
    group.finish();
}

criterion_group!(benches, decode);
criterion_main!(benches);
