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

/// The three losses of a step, scalars.
#[derive(Debug, Clone)]
pub struct Losses {
    /// See [`l2`].
    pub l2: Tensor,
    /// See [`ssim`].
    pub ssim: Tensor,
    /// See [`focal`].
    pub focal: Tensor,
}

/// All three losses: `restored` and `good` are `[n, c, h, w]`, `classes` the
/// probabilities `[n, 2, h, w]`, `mask` `[n, 1, h, w]`.
///
/// With a region of interest (`[n, 1, h, w]` of zeros and ones, not all zero)
/// each loss is the mean over the pixels inside; SSIM's window still sees what
/// lies around them.
///
/// # Errors
/// [`crate::Error::Tensor`] if the shapes do not fit.
pub fn losses(
    restored: &Tensor,
    good: &Tensor,
    classes: &Tensor,
    mask: &Tensor,
    roi: Option<&Tensor>,
) -> Result<Losses> {
    let Some(roi) = roi else {
        return Ok(Losses {
            l2: l2(restored, good)?,
            ssim: ssim(restored, good)?,
            focal: focal(classes, mask)?,
        });
    };
    Ok(Losses {
        l2: mean_within(&(restored - good)?.sqr()?, roi)?,
        ssim: (1.0 - mean_within(&ssim_map(restored, good)?, roi)?)?,
        focal: mean_within(&focal_map(classes, mask)?, roi)?,
    })
}

/// The mean of `[n, c, h, w]` over the pixels where `[n, 1, h, w]` is 1.
fn mean_within(values: &Tensor, roi: &Tensor) -> Result<Tensor> {
    let channels = values.dim(1)? as f64;
    let pixels = (roi.sum_all()? * channels)?;
    Ok((values.broadcast_mul(roi)?.sum_all()? / pixels)?)
}

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
    Ok((1.0 - ssim_map(x, y)?.mean_all()?)?)
}

/// SSIM at every pixel of every channel, `[n, c, h, w]`.
fn ssim_map(x: &Tensor, y: &Tensor) -> Result<Tensor> {
    ops::ssim(x, y, (WINDOW, SIGMA), [C1, C2])
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
    Ok(focal_map(probabilities, mask)?.mean_all()?)
}

/// The focal loss at every pixel, `[n, 1, h, w]`.
fn focal_map(probabilities: &Tensor, mask: &Tensor) -> Result<Tensor> {
    let defect = probabilities.narrow(1, 1, 1)?;
    let good = probabilities.narrow(1, 0, 1)?;
    let target = mask.affine(1.0 - 2.0 * SMOOTH, SMOOTH)?;
    let opposite = target.affine(-1.0, 1.0)?;
    let p = (((defect * target)? + (good * opposite)?)? + SMOOTH)?;
    let weight = p.affine(-1.0, 1.0)?.powf(GAMMA)?;
    Ok((weight * p.log()?)?.neg()?)
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
    fn within_a_region_of_interest_losses_are_means_over_its_pixels() {
        let device = Device::Cpu;
        let random = |shape: &[usize]| Tensor::rand(0.05f32, 0.95, shape, &device).unwrap();
        let (x, y) = (random(&[2, 3, 24, 24]), random(&[2, 3, 24, 24]));
        let mask = random(&[2, 1, 24, 24]).gt(0.5f32).unwrap();
        let mask = mask.to_dtype(candle_core::DType::F32).unwrap();
        let p = random(&[2, 1, 24, 24]);
        let classes = Tensor::cat(&[&p.affine(-1.0, 1.0).unwrap(), &p], 1).unwrap();
        let value = |t: &Tensor| t.to_scalar::<f32>().unwrap();
        let of = |roi: Option<&Tensor>| {
            let l = losses(&x, &y, &classes, &mask, roi).unwrap();
            [value(&l.l2), value(&l.ssim), value(&l.focal)]
        };
        // Everything inside: as without a region.
        let all = Tensor::ones((2, 1, 24, 24), candle_core::DType::F32, &device).unwrap();
        for (a, b) in of(Some(&all)).iter().zip(of(None)) {
            assert!((a - b).abs() < 1e-5, "{a} {b}");
        }
        // A part: L2 and focal of the part alone.
        let left: Vec<f32> = (0..2 * 24 * 24)
            .map(|i| f32::from(u8::from(i % 24 < 10)))
            .collect();
        let left = Tensor::from_vec(left, (2, 1, 24, 24), &device).unwrap();
        let cut = |t: &Tensor| t.narrow(3, 0, 10).unwrap().contiguous().unwrap();
        let [l2_inside, _, focal_inside] = of(Some(&left));
        assert!((l2_inside - value(&l2(&cut(&x), &cut(&y)).unwrap())).abs() < 1e-5);
        assert!((focal_inside - value(&focal(&cut(&classes), &cut(&mask)).unwrap())).abs() < 1e-5);
    }

    #[test]
    fn what_lies_outside_a_region_of_interest_has_no_gradient() {
        let device = Device::Cpu;
        let x =
            Var::from_tensor(&Tensor::rand(0f32, 1.0, (1, 2, 32, 32), &device).unwrap()).unwrap();
        let y = Tensor::rand(0f32, 1.0, (1, 2, 32, 32), &device).unwrap();
        let left: Vec<f32> = (0..32 * 32)
            .map(|i| f32::from(u8::from(i % 32 < 8)))
            .collect();
        let roi = Tensor::from_vec(left, (1, 1, 32, 32), &device).unwrap();
        let p = Tensor::full(0.5f32, (1, 2, 32, 32), &device).unwrap();
        let mask = Tensor::zeros((1, 1, 32, 32), candle_core::DType::F32, &device).unwrap();
        let l = losses(x.as_tensor(), &y, &p, &mask, Some(&roi)).unwrap();
        let gradients = (l.l2 + l.ssim).unwrap().backward().unwrap();
        let gradient = gradients.get(&x).unwrap();
        let norm = |from: usize, length: usize| {
            let part = gradient.narrow(3, from, length).unwrap();
            part.abs()
                .unwrap()
                .sum_all()
                .unwrap()
                .to_scalar::<f32>()
                .unwrap()
        };
        assert!(norm(0, 8) > 0.0);
        // SSIM's window reaches 5 pixels further.
        assert_eq!(norm(13, 19), 0.0);
    }

    #[test]
    fn an_image_is_like_itself() {
        let x = Tensor::rand(0f32, 1.0, (1, 2, 20, 20), &Device::Cpu).unwrap();
        assert!(ssim(&x, &x).unwrap().to_scalar::<f32>().unwrap().abs() < 1e-5);
        assert_eq!(l2(&x, &x).unwrap().to_scalar::<f32>().unwrap(), 0.0);
    }
}
