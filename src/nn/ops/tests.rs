//! Every operation four ways: against values and gradients from PyTorch,
//! against compositions of candle's operations, against finite differences,
//! and (convolution) against its definition as seven loops.

use super::*;
use crate::nn::init::Init;
use crate::nn::layers::Linear;
use crate::nn::parameters::Parameters;
use candle_core::{Device, Var};
use proptest::prelude::*;
use rand::Rng;

mod reference;

/// Values in [-1, 1) from a stream of their own.
fn random(shape: impl Into<candle_core::Shape>, name: &str) -> Tensor {
    let shape = shape.into();
    let mut rng = Seed::new(5).derive(name, shape.elem_count() as u64).rng();
    let values: Vec<f32> = (0..shape.elem_count())
        .map(|_| rng.random::<f32>() * 2.0 - 1.0)
        .collect();
    Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
}

/// What `tests/reference/nn_ops.py` starts from: value i is sin(12.9898 (i + 1) + salt).
fn wave(shape: &[usize], salt: usize) -> Tensor {
    let values: Vec<f32> = (0..shape.iter().product())
        .map(|i| (12.9898 * (i + 1) as f64 + salt as f64).sin() as f32)
        .collect();
    Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
}

fn numbers(t: &Tensor) -> Vec<f32> {
    t.flatten_all().unwrap().to_vec1().unwrap()
}

/// The result of `op`, then the gradients of a weighted sum of it by every input.
fn with_gradients(inputs: &[Tensor], op: &dyn Fn(&[Tensor]) -> Result<Tensor>) -> Vec<Tensor> {
    let vars: Vec<Var> = inputs
        .iter()
        .map(|t| Var::from_tensor(&t.copy().unwrap()).unwrap())
        .collect();
    let tensors: Vec<Tensor> = vars.iter().map(|v| v.as_tensor().clone()).collect();
    let y = op(&tensors).unwrap();
    let weights = wave(y.dims(), 99);
    let loss = (&y * weights).unwrap().sum_all().unwrap();
    let gradients = loss.backward().unwrap();
    let mut all = vec![y.detach()];
    all.extend(tensors.iter().map(|t| gradients.get(t).unwrap().clone()));
    all
}

/// The largest difference, relative to the largest value.
fn distance(a: &Tensor, b: &Tensor) -> f32 {
    assert_eq!(a.dims(), b.dims());
    let (a, b) = (numbers(a), numbers(b));
    let size = b.iter().fold(1e-6_f32, |m, v| m.max(v.abs()));
    let apart = a
        .iter()
        .zip(&b)
        .fold(0.0_f32, |m, (a, b)| m.max((a - b).abs()));
    assert!(a.iter().all(|v| v.is_finite()));
    apart / size
}

/// 5e-5: sums of some thousand `f32` products in another order.
fn assert_agree(
    what: &str,
    inputs: &[Tensor],
    fast: impl Fn(&[Tensor]) -> Result<Tensor>,
    slow: impl Fn(&[Tensor]) -> Result<Tensor>,
) {
    let fast = with_gradients(inputs, &fast);
    let slow = with_gradients(inputs, &slow);
    for (i, (a, b)) in fast.iter().zip(&slow).enumerate() {
        let apart = distance(a, b);
        assert!(apart < 5e-5, "{what}, output or gradient {i}: {apart}");
    }
}

/// Sizes that are odd, not square, and smaller than a vector or a strip.
const SIZES: [(usize, usize, usize, usize); 7] = [
    (1, 1, 5, 4),
    (2, 3, 13, 12),
    (3, 2, 31, 17),
    (1, 9, 8, 40),
    (2, 16, 33, 70),
    (3, 32, 18, 29), // Winograd's tiles
    (2, 70, 9, 11),  // windows too large for the direct kernels
];

#[test]
fn convolutions_of_every_geometry_agree_with_the_composition() {
    for size in SIZES {
        for (filters, kernel, stride, padding) in [
            (4, 3, 1, 1),
            (32, 3, 1, 1),
            (1, 3, 1, 0),
            (17, 1, 1, 0),
            (5, 1, 2, 0),
            (6, 3, 2, 1),
            (8, 2, 2, 0),
            (3, 4, 3, 1),
            (7, 5, 1, 4),
            (9, 7, 2, 3),
        ] {
            if kernel > size.2.min(size.3) + 2 * padding {
                continue;
            }
            let inputs = [
                random(size, "x"),
                random((filters, size.1, kernel, kernel), "weight"),
                random(filters, "bias"),
            ];
            let what = format!("{size:?} {filters} filters {kernel} / {stride} + {padding}");
            assert_agree(
                &what,
                &inputs,
                |t| conv2d(&t[0], &t[1], Some(&t[2]), stride, padding),
                |t| ops_generic::conv2d(&t[0], &t[1], Some(&t[2]), stride, padding),
            );
            assert_agree(
                &what,
                &inputs[..2],
                |t| conv2d(&t[0], &t[1], None, stride, padding),
                |t| ops_generic::conv2d(&t[0], &t[1], None, stride, padding),
            );
        }
    }
}

#[test]
fn batch_norm_agrees_with_the_composition() {
    for size in SIZES {
        for relu in [false, true] {
            let inputs = [
                (random(size, "x") + 3.0).unwrap(),
                random(size.1, "gamma"),
                random(size.1, "beta"),
            ];
            assert_agree(
                &format!("{size:?} {relu}"),
                &inputs,
                |t| Ok(batch_norm_train(&t[0], &t[1], &t[2], 1e-5, relu)?.y),
                |t| Ok(ops_generic::batch_norm_train(&t[0], &t[1], &t[2], 1e-5, relu)?.y),
            );
            assert_agree(
                &format!("{size:?} {relu} affine"),
                &inputs,
                |t| channel_affine(&t[0], &t[1], &t[2], relu),
                |t| ops_generic::channel_affine(&t[0], &t[1], &t[2], relu),
            );
        }
    }
}

#[test]
fn pooling_agrees_with_the_composition_even_on_equal_values() {
    for size in SIZES {
        for (kernel, stride, padding) in [(2, 2, 0), (3, 2, 1), (3, 1, 1), (2, 1, 0), (4, 3, 2)] {
            // A third of the values are 0 after ReLU: many windows have ties.
            let x = relu(&random(size, "x")).unwrap();
            let pool = || MaxPool2d {
                kernel,
                stride,
                padding,
            };
            assert_agree(
                &format!("{size:?} {kernel} / {stride} + {padding}"),
                &[x],
                |t| max_pool2d(&t[0], kernel, stride, padding),
                |t| ops_generic::max_pool2d(&t[0], &pool()),
            );
        }
    }
}

#[test]
fn the_other_operations_agree_with_their_compositions() {
    for size in SIZES {
        let x = [random(size, "x")];
        let what = format!("{size:?}");
        assert_agree(&what, &x, |t| relu(&t[0]), |t| ops_generic::relu(&t[0]));
        assert_agree(
            &what,
            &x,
            |t| upsample_bilinear2x(&t[0]),
            |t| ops_generic::upsample_bilinear2x(&t[0]),
        );
        assert_agree(
            &what,
            &x,
            |t| gaussian_window(&t[0], 11, 1.5),
            |t| ops_generic::gaussian_window(&t[0], &gaussian::taps(11, 1.5)),
        );
        // As of pictures: variances far above the constants' and rounding.
        let pair = [
            (random(size, "x") + 1.5).unwrap(),
            (random(size, "y") + 1.5).unwrap(),
        ];
        assert_agree(
            &what,
            &pair,
            |t| ssim(&t[0], &t[1], (11, 1.5), [1e-4, 9e-4]),
            |t| ops_generic::ssim(&t[0], &t[1], &gaussian::taps(11, 1.5), [1e-4, 9e-4]),
        );
        let x = [(&x[0] * 20.0).unwrap()];
        assert_agree(
            &what,
            &x,
            |t| softmax_channels(&t[0]),
            |t| ops_generic::softmax_channels(&t[0]),
        );
    }
}

/// The definition, in `f64`.
fn conv2d_by_definition(x: &Tensor, w: &Tensor, stride: usize, padding: usize) -> Vec<f32> {
    let (n, c, height, width) = x.dims4().unwrap();
    let (o, _, k, _) = w.dims4().unwrap();
    let (xs, ws) = (numbers(x), numbers(w));
    let (rows, columns) = (
        (height + 2 * padding - k) / stride + 1,
        (width + 2 * padding - k) / stride + 1,
    );
    let mut y = Vec::new();
    for image in 0..n {
        for filter in 0..o {
            for row in 0..rows {
                for column in 0..columns {
                    let mut sum = 0.0;
                    for channel in 0..c {
                        for ky in 0..k {
                            for kx in 0..k {
                                let i = (row * stride + ky).wrapping_sub(padding);
                                let j = (column * stride + kx).wrapping_sub(padding);
                                if i < height && j < width {
                                    let x = xs[((image * c + channel) * height + i) * width + j];
                                    let w = ws[((filter * c + channel) * k + ky) * k + kx];
                                    sum += f64::from(x) * f64::from(w);
                                }
                            }
                        }
                    }
                    y.push(sum as f32);
                }
            }
        }
    }
    y
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn convolution_is_what_its_definition_says(
        (n, c, o) in (1_usize..3, 1_usize..20, 1_usize..20),
        (height, width) in (1_usize..20, 1_usize..40),
        (kernel, stride) in (1_usize..6, 1_usize..4),
        padding in 0_usize..5,
    ) {
        prop_assume!(padding < kernel && kernel <= height.min(width) + 2 * padding);
        let x = random((n, c, height, width), "x");
        let w = random((o, c, kernel, kernel), "w");
        let y = numbers(&conv2d(&x, &w, None, stride, padding).unwrap());
        for (a, b) in y.iter().zip(conv2d_by_definition(&x, &w, stride, padding)) {
            prop_assert!((a - b).abs() < 1e-4, "{a} {b}");
        }
    }
}

#[test]
fn the_number_of_threads_changes_no_byte() {
    let run = |threads: usize| -> Vec<u32> {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .unwrap();
        pool.install(|| {
            let mut bits = Vec::new();
            let network = |t: &[Tensor]| {
                let x = conv2d(&t[0], &t[1], Some(&t[2]), 1, 1)?;
                let x = batch_norm_train(&x, &t[2], &t[2], 1e-5, true)?.y;
                let x = max_pool2d(&x, 2, 2, 0)?;
                let x = conv2d(&x, &t[3], None, 2, 1)?;
                let x = upsample_bilinear2x(&x)?;
                softmax_channels(&gaussian_window(&x, 11, 1.5)?)
            };
            let inputs = [
                random((5, 16, 61, 50), "x"),
                random((32, 16, 3, 3), "w"),
                random(32, "b"),
                random((20, 32, 3, 3), "w2"),
            ];
            for tensor in with_gradients(&inputs, &network) {
                bits.extend(numbers(&tensor).iter().map(|v| v.to_bits()));
            }
            let parameters = Parameters::new(Seed::new(3), &Device::Cpu);
            let linear = Linear::new(&parameters.root(), 512, 100).unwrap();
            let x = random((33, 512), "x");
            for tensor in with_gradients(&[x], &|t| linear.forward(&t[0])) {
                bits.extend(numbers(&tensor).iter().map(|v| v.to_bits()));
            }
            bits
        })
    };
    let one = run(1);
    for threads in [2, 3, 5] {
        assert!(one == run(threads), "{threads} threads");
    }
}

#[test]
fn an_image_gives_the_same_bytes_alone_and_in_a_batch() {
    for (channels, filters, kernel, stride) in [
        (8, 9, 3, 1),
        (70, 9, 3, 1),
        (64, 32, 3, 1), // small images are taken together in training
        (70, 9, 1, 1),
        (6, 9, 7, 2),
        (70, 9, 3, 2),
    ] {
        let x = random((5, channels, 20, 23), "x");
        let w = random((filters, channels, kernel, kernel), "w");
        let convolve = |x: &Tensor| conv2d(x, &w, None, stride, kernel / 2).unwrap();
        let together = convolve(&x);
        for i in 0..5 {
            let alone = convolve(&x.narrow(0, i, 1).unwrap());
            let part = together.narrow(0, i, 1).unwrap();
            assert_eq!(numbers(&alone), numbers(&part), "{channels} {kernel}");
        }
    }
}

#[test]
fn relu_has_gradient_0_at_0_and_lets_nan_through() {
    let x = Tensor::new(&[-1_f32, 0.0, 2.0], &Device::Cpu).unwrap();
    let x = Var::from_tensor(&x).unwrap();
    let y = relu(x.as_tensor()).unwrap();
    let gradients = y.sum_all().unwrap().backward().unwrap();
    assert_eq!(numbers(gradients.get(&x).unwrap()), [0.0, 0.0, 1.0]);
    let nan = Tensor::new(&[f32::NAN], &Device::Cpu).unwrap();
    assert!(numbers(&relu(&nan).unwrap())[0].is_nan());
}

#[test]
fn batch_norm_keeps_its_precision_far_from_0() {
    // Two values 1000 -+ 0.5: normalised they are -1 and 1.
    let x = Tensor::new(&[999.5_f32, 1000.5], &Device::Cpu).unwrap();
    let x = x.reshape((2, 1, 1, 1)).unwrap();
    let one = Tensor::new(&[1_f32], &Device::Cpu).unwrap();
    let zero = one.zeros_like().unwrap();
    let out = batch_norm_train(&x, &one, &zero, 0.0, false).unwrap();
    assert_eq!(numbers(&out.mean), [1000.0]);
    assert_eq!(numbers(&out.variance), [0.25]);
    assert_eq!(numbers(&out.y), [-1.0, 1.0]);
}

#[test]
fn dropout_zeroes_the_wanted_share_and_keeps_the_mean() {
    let x = Tensor::ones(100_000, DType::F32, &Device::Cpu).unwrap();
    let y = numbers(&dropout(&x, 0.25, Seed::new(1)).unwrap());
    let zeros = y.iter().filter(|v| **v == 0.0).count();
    // 5 standard deviations: sqrt(100,000 * 0.25 * 0.75) = 137.
    assert!(zeros.abs_diff(25_000) < 685, "{zeros}");
    assert!(y.iter().all(|v| *v == 0.0 || *v == 4.0 / 3.0));
    let again = numbers(&dropout(&x, 0.25, Seed::new(1)).unwrap());
    assert_eq!(y, again);
}

#[test]
fn softmax_of_far_apart_values_is_0_and_1() {
    let x = Tensor::new(&[1e30_f32, -1e30, 3.0, 3.0], &Device::Cpu).unwrap();
    let x = x.reshape((1, 2, 1, 2)).unwrap().transpose(1, 3).unwrap();
    let y = numbers(&softmax_channels(&x).unwrap());
    assert!(y[0] == 1.0 && y[1] == 0.5 && y[2] < 1e-37 && y[3] == 0.5);
}

#[test]
fn what_does_not_fit_is_refused() {
    let cpu = Device::Cpu;
    let zeros = |shape: &[usize]| Tensor::zeros(shape, DType::F32, &cpu).unwrap();
    let x = zeros(&[1, 3, 8, 6]);
    let refused = |result: Result<Tensor>| matches!(result, Err(Error::Shape { .. }));
    assert!(refused(conv2d(&x, &zeros(&[4, 2, 3, 3]), None, 1, 1)));
    assert!(refused(conv2d(&x, &zeros(&[4, 3, 3, 1]), None, 1, 1)));
    assert!(refused(conv2d(&x, &zeros(&[4, 3, 3, 3]), None, 0, 1)));
    assert!(refused(conv2d(&x, &zeros(&[4, 3, 3, 3]), None, 1, 3)));
    assert!(refused(conv2d(&x, &zeros(&[4, 3, 7, 7]), None, 1, 0)));
    let bias = zeros(&[5]);
    assert!(refused(conv2d(
        &x,
        &zeros(&[4, 3, 3, 3]),
        Some(&bias),
        1,
        1
    )));
    assert!(refused(max_pool2d(&x, 2, 2, 2)));
    assert!(refused(max_pool2d(&x, 0, 1, 0)));
    assert!(refused(gaussian_window(&x, 10, 1.5)));
    assert!(refused(upsample_bilinear2x(&zeros(&[3, 8, 6]))));
    let double = x.to_dtype(DType::F64).unwrap();
    assert!(refused(relu(&double)));
    assert!(Init::normal(-1.0).draw(3, Seed::new(1), &cpu).is_err());
}
