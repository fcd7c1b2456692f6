//! Every kernel against the composition of candle's operations, which is
//! slow and obvious: results and gradients.

use super::*;
use candle_core::{Device, Var};
use rand::Rng;

/// Values in [-1, 1) from a stream of their own.
fn random(shape: impl Into<candle_core::Shape>, name: &str) -> Tensor {
    let shape = shape.into();
    let mut rng = Seed::new(5).derive(name, shape.elem_count() as u64).rng();
    let values: Vec<f32> = (0..shape.elem_count())
        .map(|_| rng.random::<f32>() * 2.0 - 1.0)
        .collect();
    Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
}

/// The result of `op`, then the gradients of a weighted sum of it by every input.
fn with_gradients(inputs: &[Tensor], op: &dyn Fn(&[Tensor]) -> Result<Tensor>) -> Vec<Tensor> {
    let vars: Vec<Var> = inputs
        .iter()
        .map(|t| Var::from_tensor(&t.copy().unwrap()).unwrap())
        .collect();
    let tensors: Vec<Tensor> = vars.iter().map(|v| v.as_tensor().clone()).collect();
    let y = op(&tensors).unwrap();
    let weights = random(y.shape().clone(), "weights of the loss");
    let loss = (&y * weights).unwrap().sum_all().unwrap();
    let gradients = loss.backward().unwrap();
    let mut all = vec![y.detach()];
    all.extend(tensors.iter().map(|t| gradients.get(t).unwrap().clone()));
    all
}

/// The largest difference, relative to the largest value.
fn distance(a: &Tensor, b: &Tensor) -> f32 {
    assert_eq!(a.dims(), b.dims());
    let a: Vec<f32> = a.flatten_all().unwrap().to_vec1().unwrap();
    let b: Vec<f32> = b.flatten_all().unwrap().to_vec1().unwrap();
    let size = b.iter().fold(1e-6_f32, |m, v| m.max(v.abs()));
    let apart = a
        .iter()
        .zip(&b)
        .fold(0.0_f32, |m, (a, b)| m.max((a - b).abs()));
    assert!(a.iter().all(|v| v.is_finite()));
    apart / size
}

/// 2e-5: sums of some thousand `f32` products in another order.
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
        assert!(apart < 2e-5, "{what}, output or gradient {i}: {apart}");
    }
}

/// Sizes that are odd, not square, and smaller than a vector or a strip.
const SIZES: [(usize, usize, usize, usize); 5] = [
    (1, 1, 5, 4),
    (2, 3, 13, 12),
    (3, 2, 31, 17),
    (1, 9, 8, 40),
    (2, 16, 33, 70),
];

#[test]
fn convolutions_of_every_geometry_agree_with_the_composition() {
    for size in SIZES {
        for (filters, kernel, stride, padding) in [
            (4, 3, 1, 1),
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
        let x = [(&x[0] * 20.0).unwrap()];
        assert_agree(
            &what,
            &x,
            |t| softmax_channels(&t[0]),
            |t| ops_generic::softmax_channels(&t[0]),
        );
    }
}
