//! The structural similarity of two images at every pixel, with its gradients.
//!
//! Written out in elementary operations it takes some twenty passes over
//! memory forward and forty backward; here a plane stays in the cache.

use super::buffer::{Shared, filled, output, read, tensor_like, values, with_scratch};
use super::gaussian::blur;
use super::simd::vectorised;
use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape, Tensor};
use rayon::prelude::*;
use std::mem::MaybeUninit;

vectorised! {
    fn products(a: &[f32], b: &[f32], out: &mut [f32]) {
        for ((out, a), b) in out.iter_mut().zip(a).zip(b) {
            *out = a * b;
        }
    }
}

/// One pixel's similarity in the terms of its formula, `a1 a2 / (b1 b2)`.
#[derive(Clone, Copy)]
struct Terms {
    a1: f32,
    a2: f32,
    b1: f32,
    b2: f32,
}

impl Terms {
    /// From the window's means of x, y, x x, y y and x y.
    #[inline(always)]
    fn new([mx, my, mxx, myy, mxy]: [f32; 5], [c1, c2]: [f32; 2]) -> Self {
        Self {
            a1: 2.0 * (mx * my) + c1,
            a2: 2.0 * (mxy - mx * my) + c2,
            b1: mx * mx + my * my + c1,
            b2: (mxx - mx * mx) + (myy - my * my) + c2,
        }
    }

    #[inline(always)]
    fn similarity(self) -> f32 {
        (self.a1 * self.a2) / (self.b1 * self.b2)
    }
}

vectorised! {
    fn similarities(means: [&[f32]; 5], constants: [f32; 2], out: &mut [MaybeUninit<f32>]) {
        let [mx, my, mxx, myy, mxy] = means.map(|m| &m[..out.len()]);
        for (i, out) in out.iter_mut().enumerate() {
            let terms = Terms::new([mx[i], my[i], mxx[i], myy[i], mxy[i]], constants);
            out.write(terms.similarity());
        }
    }
}

vectorised! {
    /// Replaces the means of x, y, x x and x y by the gradients with respect to
    /// them; that of the mean of y y equals the one of x x.
    fn gradients_by_means(
        mx: &mut [f32],
        my: &mut [f32],
        mxx: &mut [f32],
        myy: &[f32],
        mxy: &mut [f32],
        constants: [f32; 2],
        dy: &[f32],
    ) {
        let n = dy.len();
        let (mx, my, mxx) = (&mut mx[..n], &mut my[..n], &mut mxx[..n]);
        let (myy, mxy) = (&myy[..n], &mut mxy[..n]);
        for i in 0..n {
            let (x, y) = (mx[i], my[i]);
            let t = Terms::new([x, y, mxx[i], myy[i], mxy[i]], constants);
            let below = 1.0 / (t.b1 * t.b2);
            let similarity = t.a1 * t.a2 * below;
            let across = 2.0 * (t.a2 - t.a1) * below;
            let along = 2.0 * similarity * (1.0 / t.b1 - 1.0 / t.b2);
            mx[i] = dy[i] * (across * y - along * x);
            my[i] = dy[i] * (across * x - along * y);
            mxx[i] = -dy[i] * similarity / t.b2;
            mxy[i] = dy[i] * 2.0 * t.a1 * below;
        }
    }
}

vectorised! {
    /// `mean + 2 x square + y product`: from the gradients by the blurred
    /// images to that by x.
    fn gather(
        x: &[f32],
        y: &[f32],
        mean: &[f32],
        square: &[f32],
        product: &[f32],
        out: &mut [MaybeUninit<f32>],
    ) {
        let n = out.len();
        let (x, y, mean) = (&x[..n], &y[..n], &mean[..n]);
        let (square, product) = (&square[..n], &product[..n]);
        for i in 0..n {
            out[i].write(mean[i] + 2.0 * x[i] * square[i] + y[i] * product[i]);
        }
    }
}

/// The custom operation on two images `[n, c, h, w]`.
pub(in crate::nn) struct Ssim {
    pub taps: Vec<f32>,
    /// `c1` and `c2`.
    pub constants: [f32; 2],
    pub x_needs_gradient: bool,
    pub y_needs_gradient: bool,
}

impl Ssim {
    fn blur(&self, x: &[f32], out: &mut [f32], size: (usize, usize)) {
        // SAFETY: a written value is a valid one to write over.
        let out = unsafe { &mut *(std::ptr::from_mut(out) as *mut [MaybeUninit<f32>]) };
        blur(x, out, size, &self.taps);
    }

    /// Calls `f` with the means of x, y, x x, y y and x y, one after the other
    /// in one slice, and a plane of scratch space.
    fn with_means<R>(
        &self,
        (x, y): (&[f32], &[f32]),
        size: (usize, usize),
        f: impl FnOnce(&mut [f32], &mut [f32]) -> R,
    ) -> R {
        let plane = size.0 * size.1;
        with_scratch(6 * plane, |scratch| {
            let (means, spare) = scratch.split_at_mut(5 * plane);
            for (i, mean) in means.chunks_exact_mut(plane).enumerate() {
                match i {
                    0 => self.blur(x, mean, size),
                    1 => self.blur(y, mean, size),
                    _ => {
                        let (a, b) = [(x, x), (y, y), (x, y)][i - 2];
                        products(a, b, spare);
                        self.blur(spare, mean, size);
                    }
                }
            }
            f(means, spare)
        })
    }

    /// The gradients of one plane, as far as they are needed.
    fn plane_gradients(
        &self,
        (x, y, dy): (&[f32], &[f32], &[f32]),
        size: (usize, usize),
        [dx_out, dy_out]: [Option<&mut [MaybeUninit<f32>]>; 2],
    ) {
        let plane = x.len();
        self.with_means((x, y), size, |means, spare| {
            let (mx, rest) = means.split_at_mut(plane);
            let (my, rest) = rest.split_at_mut(plane);
            let (mxx, rest) = rest.split_at_mut(plane);
            let (myy, mxy) = rest.split_at_mut(plane);
            gradients_by_means(mx, my, mxx, myy, mxy, self.constants, dy);
            // The window is its own transpose; `myy` is free by now.
            self.blur(mxx, myy, size);
            self.blur(mxy, mxx, size);
            let (square, product) = (myy, mxx);
            if let Some(out) = dx_out {
                self.blur(mx, spare, size);
                gather(x, y, spare, square, product, out);
            }
            if let Some(out) = dy_out {
                self.blur(my, spare, size);
                gather(y, x, spare, square, product, out);
            }
        });
    }
}

impl CustomOp2 for Ssim {
    fn name(&self) -> &'static str {
        "ssim"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        y: &CpuStorage,
        y_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (x, y) = (values(x, x_layout)?, values(y, y_layout)?);
        let (_, _, height, width) = x_layout.shape().dims4()?;
        let plane = height * width;
        let fill = |out: &mut [MaybeUninit<f32>]| {
            out.par_chunks_mut(plane)
                .zip(x.par_chunks(plane))
                .zip(y.par_chunks(plane))
                .for_each(|((out, x), y)| {
                    self.with_means((x, y), (height, width), |means, _| {
                        let means = std::array::from_fn(|i| &means[i * plane..][..plane]);
                        similarities(means, self.constants, out);
                    });
                });
        };
        // SAFETY: every plane is written.
        let out = unsafe { filled(x.len(), fill) };
        output(out, x_layout.shape().clone())
    }

    fn bwd(
        &self,
        x: &Tensor,
        y: &Tensor,
        _out: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let (_, _, height, width) = x.dims4()?;
        let plane = height * width;
        let (dx, dy) = read([x, y, gradient], |[xs, ys, gradients]| {
            let len = |needed: bool| if needed { xs.len() } else { 0 };
            let (x_len, y_len) = (len(self.x_needs_gradient), len(self.y_needs_gradient));
            let mut dy = Vec::new();
            let fill = |dx: &mut [MaybeUninit<f32>]| {
                let dx = Shared::new(dx);
                let fill = |dy: &mut [MaybeUninit<f32>]| {
                    let dy = Shared::new(dy);
                    (0..xs.len() / plane).into_par_iter().for_each(|i| {
                        let at = i * plane;
                        let part = |all: Shared, len: usize| {
                            // SAFETY: a plane's gradients are written by its
                            // task alone.
                            (len > 0).then(|| unsafe { all.slice(at, plane) })
                        };
                        let inputs = (
                            &xs[at..][..plane],
                            &ys[at..][..plane],
                            &gradients[at..][..plane],
                        );
                        let outputs = [part(dx, x_len), part(dy, y_len)];
                        self.plane_gradients(inputs, (height, width), outputs);
                    });
                };
                // SAFETY: every plane is written, or the length is 0.
                dy = unsafe { filled(y_len, fill) };
            };
            // SAFETY: as above.
            let dx = unsafe { filled(x_len, fill) };
            (dx, dy)
        })?;
        let tensor = |needed: bool, data| needed.then(|| tensor_like(data, x)).transpose();
        Ok((
            tensor(self.x_needs_gradient, dx)?,
            tensor(self.y_needs_gradient, dy)?,
        ))
    }
}
