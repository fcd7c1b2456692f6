//! What simulating defects costs beside a training step: each kind of defect,
//! then a batch as training makes it, and its share of the step's time.
//!
//! `cargo bench --bench simulation [-- fast|compact|paper] [--steps N]`; the
//! images are decoded once, before the training: a step decodes nothing.

// It prints a table: what it is for.
#![allow(clippy::print_stdout)]

use candle_core::Device;
use goma::draem::simulate::simulate;
use goma::draem::train::{self, Pieces, Watch};
use goma::draem::{AnomalySource, DefectKind, DraemOptions};
use goma::progress::Silent;
use goma::random::Seed;
use goma::settings::Settings;
use goma::synth::{SynthOptions, piece};
use ndarray::Array3;
use rayon::prelude::*;
use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

/// Samples of each kind.
const SAMPLES: u64 = 24;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let preset = Settings::PRESETS
        .into_iter()
        .find(|name| arguments.iter().any(|a| a == name))
        .unwrap_or("compact");
    let steps = arguments
        .iter()
        .position(|a| a == "--steps")
        .and_then(|at| arguments.get(at + 1)?.parse().ok())
        .unwrap_or(3);
    let options = Settings::preset(preset).expect("a preset").draem;
    let good = Arc::new(pieces(options.size));
    let source = AnomalySource::textures().with_pieces(good.clone());

    println!("preset {preset}: 6 channels, {0} x {0}", options.size);
    println!("\n| kind of defect | ms a sample, one thread |\n|---|---|");
    for kind in DefectKind::ALL {
        let begun = Instant::now();
        for i in 0..SAMPLES {
            let good = good[i as usize % good.len()].view();
            let rng = &mut Seed::new(1).derive(kind.name(), i).rng();
            black_box(source.defect(kind, good, &options.simulation, rng));
        }
        let each = 1e3 * begun.elapsed().as_secs_f64() / SAMPLES as f64;
        println!("| {} | {each:.2} |", kind.name());
    }

    let rounds = 8;
    let begun = Instant::now();
    for round in 0..rounds {
        let batch: Vec<_> = (0..options.batch)
            .into_par_iter()
            .map(|i| {
                let seed = Seed::new(round).derive("sample", i as u64);
                let good = good[i % good.len()].view();
                simulate(good, &source, &options.simulation, seed)
            })
            .collect();
        black_box(batch);
    }
    let simulating = 1e3 * begun.elapsed().as_secs_f64() / rounds as f64;

    // Set-up and memory's first touch fall away in the difference of two runs.
    let run = |steps| {
        let options = DraemOptions {
            steps,
            ..options.clone()
        };
        let begun = Instant::now();
        let pieces = Pieces {
            regions: &[],
            train: &good,
            validation: &[],
        };
        let watch = Watch {
            checkpoint: None,
            recorder: None,
            observer: &Silent,
        };
        let seed = Seed::new(0);
        train::fit(pieces, None, &source, &options, seed, &Device::Cpu, watch).expect("images fit");
        1e3 * begun.elapsed().as_secs_f64()
    };
    let few = run(1);
    let step = (run(1 + steps) - few) / steps as f64;
    println!(
        "\nbatch of {} on {} threads: simulating {simulating:.1} ms of a step of {step:.0} ms, {:.1}%",
        options.batch,
        rayon::current_num_threads(),
        100.0 * simulating / step
    );
}

/// Good synthetic erasers at the networks' size.
fn pieces(size: usize) -> Vec<Array3<f32>> {
    let options = SynthOptions {
        defect_rate: 0.0,
        ..SynthOptions::default()
    };
    (0..16)
        .map(|i| {
            let pixels = piece(&options, Seed::new(7), i).pixels;
            let image = goma::data::image::Image::new(pixels.map(|&v| f32::from(v) / 255.0))
                .expect("finite pixels");
            let small = image.resize(size, size).expect("a positive size");
            small.pixels().clone()
        })
        .collect()
}
