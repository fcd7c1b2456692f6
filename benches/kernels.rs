//! The operations that training and scoring spend their time in, forward and
//! backward, at the sizes at which they occur: DRAEM at 128 x 128 with few
//! channels (preset `fast`) and with more, and the layers of a ResNet.
//!
//! ```text
//! cargo bench --bench kernels -- conv2d
//! ```

use candle_core::{Device, Tensor, Var};
use criterion::{Criterion, criterion_group, criterion_main};
use goma::Result;
use goma::nn::init::Init;
use goma::nn::ops;
use goma::random::Seed;
use std::hint::black_box;

fn random(shape: &[usize]) -> Var {
    let drawn = Init::normal(1.0).draw(shape, Seed::new(1), &Device::Cpu);
    Var::from_tensor(&drawn.expect("a drawn tensor")).expect("a variable")
}

/// Times `op` alone, then `op` and its gradients.
fn both_ways(
    criterion: &mut Criterion,
    name: &str,
    inputs: &[&Var],
    op: impl Fn(&[Tensor]) -> Result<Tensor>,
) {
    let tensors: Vec<Tensor> = inputs.iter().map(|v| v.as_tensor().clone()).collect();
    criterion.bench_function(&format!("{name}/forward"), |b| {
        b.iter(|| black_box(op(&tensors).expect("a result")));
    });
    // The gradient of a sum is 1 everywhere: no cost of the loss's own.
    let y = op(&tensors).expect("a result");
    criterion.bench_function(&format!("{name}/backward"), |b| {
        b.iter(|| black_box(y.backward().expect("gradients")));
    });
}

fn convolutions(criterion: &mut Criterion) {
    for (batch, channels, filters, side, kernel, stride) in [
        (8, 8, 8, 128, 3, 1),
        (8, 16, 16, 128, 3, 1),
        (8, 12, 8, 128, 3, 1),
        (8, 16, 32, 64, 3, 1),
        (8, 64, 64, 16, 3, 1),
        (8, 64, 64, 8, 3, 1),
        (4, 32, 32, 128, 3, 1),
        (4, 128, 128, 32, 3, 1),
        (1, 512, 512, 10, 3, 1),
        (1, 6, 64, 310, 7, 2),
        (1, 128, 256, 39, 3, 2),
        (1, 256, 64, 78, 1, 1),
        (1, 256, 512, 78, 1, 2),
    ] {
        let x = random(&[batch, channels, side, side]);
        let w = random(&[filters, channels, kernel, kernel]);
        let name =
            format!("conv2d {kernel}x{kernel}/{stride} {channels}->{filters} at {side} x{batch}");
        both_ways(criterion, &name, &[&x, &w], |t| {
            ops::conv2d(&t[0], &t[1], None, stride, kernel / 2)
        });
    }
}

fn others(criterion: &mut Criterion) {
    let x = random(&[4, 32, 128, 128]);
    let (gamma, beta) = (random(&[32]), random(&[32]));
    both_ways(criterion, "batch_norm_relu", &[&x, &gamma, &beta], |t| {
        Ok(ops::batch_norm_train(&t[0], &t[1], &t[2], 1e-5, true)?.y)
    });
    both_ways(criterion, "max_pool2d 2/2", &[&x], |t| {
        ops::max_pool2d(&t[0], 2, 2, 0)
    });
    both_ways(criterion, "max_pool2d 3/2", &[&x], |t| {
        ops::max_pool2d(&t[0], 3, 2, 1)
    });
    let half = random(&[4, 32, 64, 64]);
    both_ways(criterion, "upsample_bilinear2x", &[&half], |t| {
        ops::upsample_bilinear2x(&t[0])
    });
    let image = random(&[1, 6, 256, 256]);
    both_ways(criterion, "gaussian_window 11", &[&image], |t| {
        ops::gaussian_window(&t[0], 11, 1.5)
    });
    let two = random(&[4, 2, 256, 256]);
    both_ways(criterion, "softmax_channels", &[&two], |t| {
        ops::softmax_channels(&t[0])
    });
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(20);
    targets = convolutions, others
}
criterion_main!(benches);
