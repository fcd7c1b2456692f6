//! goma's side of `benches/peers/networks.py`, which times it beside other
//! programs: reads one request a line on standard input, answers one line.
//!
//! ```text
//! precision float32|bfloat16   of the networks loaded from here on
//! load NAME resnet18|resnet50|draem WEIGHTS.safetensors
//! infer NAME BATCH     -> milliseconds, then sampled outputs of the first picture
//! train NAME BATCH     -> milliseconds of one step
//! memory               -> peak memory in bytes
//! ```
//!
//! The weight file holds the network's tensors and a batch of pictures, `input`.

use candle_core::{DType, Device, Tensor};
use goma::draem::loss;
use goma::draem::network::Networks;
use goma::nn::engine::Engine;
use goma::nn::layers::Mode;
use goma::nn::optim::{Adam, AdamOptions};
use goma::nn::parameters::Parameters;
use goma::nn::precision::{Precision, Work};
use goma::nn::resnet::{Classifier, Depth, ResNet, ResNetConfig};
use goma::nn::thread_pool::on_pool;
use goma::random::Seed;
use std::collections::HashMap;
use std::io::{BufRead, Write};
use std::time::Instant;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

// The allocator that the program has.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A loaded network.
struct Peer {
    engine: Engine,
    /// `[n, channels, h, w]`.
    input: Tensor,
    pictures: Vec<Vec<f32>>,
    training: Option<Training>,
    kind: Kind,
}

#[derive(Clone, Copy)]
enum Kind {
    Draem { wide: usize, narrow: usize },
    ResNet(ResNetConfig),
}

enum Training {
    Draem(Networks, Adam),
    ResNet(Classifier, Adam),
}

impl Training {
    fn step(&mut self, x: &Tensor) -> Result<()> {
        match self {
            Training::Draem(networks, adam) => {
                let mask = x.narrow(1, 0, 1)?.gt(0.9f32)?.to_dtype(DType::F32)?;
                let (restored, classes) = networks.forward(x, Mode::Train)?;
                let losses = (loss::l2(&restored, x)? + loss::ssim(&restored, x)?)?;
                adam.backward_step(&(losses + loss::focal(&classes, &mask)?)?)?;
            }
            Training::ResNet(network, adam) => {
                let batch = x.dim(0)?;
                let classes: Vec<u32> = (0..batch as u32).map(|i| i % 2).collect();
                let classes = Tensor::from_vec(classes, batch, &Device::Cpu)?;
                let scores = network.forward(x, Mode::Train)?;
                adam.backward_step(&candle_nn::loss::cross_entropy(&scores, &classes)?)?;
            }
        }
        Ok(())
    }
}

impl Peer {
    fn load(kind: &str, path: &str) -> Result<Self> {
        let mut tensors = candle_core::safetensors::load(path, &Device::Cpu)?;
        let input = tensors.remove("input").ok_or("no tensor `input`")?;
        let (n, channels, height, width) = input.dims4()?;
        let values: Vec<f32> = input.flatten_all()?.to_vec1()?;
        let pictures: Vec<Vec<f32>> = values
            .chunks_exact(channels * height * width)
            .map(<[f32]>::to_vec)
            .collect();
        assert_eq!(pictures.len(), n);
        let filters = |name: &str| -> Result<usize> {
            Ok(tensors.get(name).ok_or(format!("no {name}"))?.dim(0)?)
        };
        let (engine, kind) = if kind == "draem" {
            let wide = filters("reconstructive.encoder.block1.0.weight")?;
            let narrow = filters("discriminative.encoder_segment.block1.0.weight")?;
            let parameters = Parameters::frozen(tensors, &Device::Cpu);
            let networks = Networks::new(&parameters.root(), channels, wide, narrow)?;
            let engine = Engine::new(networks.graph(channels)?);
            (engine, Kind::Draem { wide, narrow })
        } else {
            let depth = Depth::named(kind).ok_or("unknown network")?;
            let config = ResNetConfig {
                depth,
                width: filters("conv1.weight")?,
                channels,
            };
            let parameters = Parameters::frozen(tensors, &Device::Cpu);
            let network = ResNet::new(&parameters.root(), &config)?;
            (Engine::new(network.graph()?), Kind::ResNet(config))
        };
        Ok(Self {
            engine,
            input,
            pictures,
            training: None,
            kind,
        })
    }

    fn infer(&self, batch: usize) -> Result<(f64, Vec<f32>)> {
        let (_, _, height, width) = self.input.dims4()?;
        let pictures: Vec<&[f32]> = self.pictures[..batch].iter().map(Vec::as_slice).collect();
        let begun = Instant::now();
        let outputs = self.engine.run(&pictures, height, width)?;
        let time = begun.elapsed().as_secs_f64() * 1e3;
        let last = outputs[0].last().ok_or("no output")?;
        let step = last.len().div_ceil(64);
        Ok((time, last.iter().step_by(step).copied().collect()))
    }

    fn train(&mut self, batch: usize) -> Result<f64> {
        if self.training.is_none() {
            let parameters = Parameters::new(Seed::new(0), &Device::Cpu);
            let channels = self.input.dim(1)?;
            self.training = Some(match self.kind {
                Kind::Draem { wide, narrow } => {
                    let networks = Networks::new(&parameters.root(), channels, wide, narrow)?;
                    let adam = Adam::new(&parameters, AdamOptions::adam(1e-4))?;
                    Training::Draem(networks, adam)
                }
                Kind::ResNet(config) => {
                    let network = Classifier::new(&parameters.root(), &config, 2)?;
                    let adam = Adam::new(&parameters, AdamOptions::adam_w(1e-4, 1e-2))?;
                    Training::ResNet(network, adam)
                }
            });
        }
        let x = self.input.narrow(0, 0, batch)?.contiguous()?;
        let begun = Instant::now();
        let training = self.training.as_mut().ok_or("no training")?;
        on_pool(&Device::Cpu, || training.step(&x))?;
        Ok(begun.elapsed().as_secs_f64() * 1e3)
    }
}

fn memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024)
}

fn main() -> Result<()> {
    let mut peers: HashMap<String, Peer> = HashMap::new();
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        let words: Vec<&str> = line.split_whitespace().collect();
        let answer = match words[..] {
            ["precision", name] => {
                let precision = Precision::named(name).ok_or("unknown precision")?;
                precision.choose(&Device::Cpu, Work::Scoring)?;
                "chosen".to_string()
            }
            ["load", name, kind, path] => {
                peers.insert(name.into(), Peer::load(kind, path)?);
                "loaded".to_string()
            }
            ["infer", name, batch] => {
                let peer = peers.get(name).ok_or("not loaded")?;
                let (time, sample) = peer.infer(batch.parse()?)?;
                let sample: Vec<String> = sample.iter().map(f32::to_string).collect();
                format!("{time} {}", sample.join(" "))
            }
            ["train", name, batch] => {
                let peer = peers.get_mut(name).ok_or("not loaded")?;
                peer.train(batch.parse()?)?.to_string()
            }
            ["memory"] => memory().unwrap_or_default().to_string(),
            // `cargo bench` starts every benchmark without a request.
            _ => "precision, load, infer, train or memory expected".to_string(),
        };
        let mut out = std::io::stdout().lock();
        writeln!(out, "{answer}")?;
        out.flush()?;
    }
    Ok(())
}
