//! The losses of DRAEM: L2 + SSIM on the reconstruction, focal on the mask.
//!
//! Section 3.1, equations 1 and 2; section 3.2, equation 3, with the constants
//! of the published code.

use crate::error::Result;
use crate::nn::ops;
use candle_core::Tensor;

/// Side of SSIM's Gaussian window.
const WINDOW: usize = 11;
/// Its standard deviation, in pixels.
const SIGMA: f64 = 1.5;
/// `(0.01 L)^2` with the pixels' range `L = 1`.
const C1: f64 = 0.01 * 0.01;
/// `(0.03 L)^2`.
const C2: f64 = 0.03 * 0.03;
/// Label smoothing and the logarithm's offset in the focal loss.
const SMOOTH: f64 = 1e-5;
/// Focal loss exponent.
const GAMMA: f64 = 2.0;

/// Mean squared difference of two tensors of one shape, a scalar.
///
/// # Errors
/// [`crate::Error::Tensor`] if the shapes differ.
pub fn l2(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    Ok((a - b)?.sqr()?.mean_all()?)
}

/// `1 - mean(SSIM)` of two images `[n, c, h, w]` in `0..=1`, a scalar.
///
/// SSIM (Wang et al. 2004) under an 11 x 11 Gaussian window of sigma 1.5,
/// zeros outside the image, each channel by itself:
/// `(2 mx my + c1)(2 sxy + c2) / ((mx^2 + my^2 + c1)(sx^2 + sy^2 + c2))`.
///
/// # Errors
/// [`crate::Error::Tensor`] if the shapes differ.
pub fn ssim(x: &Tensor, y: &Tensor) -> Result<Tensor> {
    let similarity = ops::ssim(x, y, (WINDOW, SIGMA), [C1, C2])?;
    Ok((1.0 - similarity.mean_all()?)?)
}

/// Focal loss (Lin et al. 2017, gamma 2, alpha 1) of class probabilities
/// `[n, 2, h, w]` against a mask `[n, 1, h, w]` of zeros and ones, a scalar.
///
/// With the target smoothed to `1e-5 .. 1 - 1e-5`:
/// `p = sum_k target_k p_k + 1e-5`, `loss = mean(-(1 - p)^2 ln p)`.
///
/// # Errors
/// [`crate::Error::Tensor`] if the shapes do not fit.
pub fn focal(probabilities: &Tensor, mask: &Tensor) -> Result<Tensor> {
    let defect = probabilities.narrow(1, 1, 1)?;
    let good = probabilities.narrow(1, 0, 1)?;
    let target = mask.affine(1.0 - 2.0 * SMOOTH, SMOOTH)?;
    let opposite = target.affine(-1.0, 1.0)?;
    let p = (((defect * target)? + (good * opposite)?)? + SMOOTH)?;
    let weight = p.affine(-1.0, 1.0)?.powf(GAMMA)?;
    Ok((weight * p.log()?)?.mean_all()?.neg()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{Device, Var};

    fn reference() -> serde_json::Value {
        serde_json::from_str(include_str!("../../tests/reference/draem.json")).unwrap()
    }

    fn tensor(value: &serde_json::Value, shape: &[usize]) -> Tensor {
        let data: Vec<f32> = value
            .as_array()
            .unwrap()
            .iter()
            .map(|v| v.as_f64().unwrap() as f32)
            .collect();
        Tensor::from_vec(data, shape, &Device::Cpu).unwrap()
    }

    fn close(a: &Tensor, b: &Tensor, tolerance: f32) {
        let a: Vec<f32> = a.flatten_all().unwrap().to_vec1().unwrap();
        let b: Vec<f32> = b.flatten_all().unwrap().to_vec1().unwrap();
        let scale = b.iter().fold(1e-12f32, |m, v| m.max(v.abs()));
        for (a, b) in a.iter().zip(&b) {
            assert!((a - b).abs() <= tolerance * scale, "{a} {b}");
        }
    }

    /// Values and gradients of the published losses, run in PyTorch.
    #[test]
    fn losses_and_gradients_are_those_of_the_published_code() {
        let reference = reference();
        let shape = [2, 3, 16, 12];
        let x = Var::from_tensor(&tensor(&reference["x"], &shape)).unwrap();
        let y = tensor(&reference["y"], &shape);
        for (name, loss) in [
            ("l2", l2 as fn(&Tensor, &Tensor) -> Result<Tensor>),
            ("ssim", ssim),
        ] {
            let value = loss(x.as_tensor(), &y).unwrap();
            close(
                &value,
                &tensor(&serde_json::json!([reference[name]["loss"]]), &[]),
                1e-4,
            );
            let grads = value.backward().unwrap();
            close(
                grads.get(&x).unwrap(),
                &tensor(&reference[name]["gradient"], &shape),
                1e-4,
            );
        }
        let p = Var::from_tensor(&tensor(&reference["p"], &[2, 2, 6, 5])).unwrap();
        let mask = tensor(&reference["mask"], &[2, 1, 6, 5]);
        let value = focal(p.as_tensor(), &mask).unwrap();
        close(
            &value,
            &tensor(&serde_json::json!([reference["focal"]["loss"]]), &[]),
            1e-4,
        );
        let grads = value.backward().unwrap();
        close(
            grads.get(&p).unwrap(),
            &tensor(&reference["focal"]["gradient"], &[2, 2, 6, 5]),
            1e-4,
        );
    }

    #[test]
    fn an_image_is_like_itself() {
        let x = Tensor::rand(0f32, 1.0, (1, 2, 20, 20), &Device::Cpu).unwrap();
        assert!(ssim(&x, &x).unwrap().to_scalar::<f32>().unwrap().abs() < 1e-5);
        assert_eq!(l2(&x, &x).unwrap().to_scalar::<f32>().unwrap(), 0.0);
    }
}
