//! Bilinear doubling of height and width, corners aligned. candle 0.11.1 has
//! no gradient for it.
//!
//! Of `n` values, output o lies at input `o (n - 1) / (2 n - 1)`. So output
//! `2 i` lies `i / (2 n - 1)` before input i, output `2 i + 1` lies `(n - 1 -
//! i) / (2 n - 1)` after it: each input has one output on either side, and no
//! table of positions is needed.

use super::buffer::{filled, output, read, tensor_like, values, with_scratch};
use super::simd::vectorised;
use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor};
use rayon::prelude::*;
use std::mem::MaybeUninit;

/// Distances from each input to the outputs beside it, which are the shares
/// of its neighbours in them.
struct Shares {
    /// Of input i - 1 in output 2 i; 0 at the first.
    before: Vec<f32>,
    /// Of input i + 1 in output 2 i + 1; 0 at the last.
    after: Vec<f32>,
}

impl Shares {
    fn new(size: usize) -> Self {
        let before = |i: usize| i as f32 / (2 * size - 1) as f32;
        Self {
            before: (0..size).map(before).collect(),
            after: (0..size).rev().map(before).collect(),
        }
    }
}

vectorised! {
    /// `mixed = a + (b - a) * share`.
    fn mix(a: &[f32], b: &[f32], share: f32, mixed: &mut [f32]) {
        for ((m, a), b) in mixed.iter_mut().zip(a).zip(b) {
            *m = a + (b - a) * share;
        }
    }
}

vectorised! {
    /// Doubles `line[1..=width]`; the values at both ends of `line` only
    /// need to be finite.
    fn double(line: &[f32], shares: &Shares, y: &mut [MaybeUninit<f32>]) {
        let width = y.len() / 2;
        let (left, centre, right) = (&line[..width], &line[1..=width], &line[2..][..width]);
        let (before, after) = (&shares.before[..width], &shares.after[..width]);
        let y = &mut y[..2 * width];
        for i in 0..width {
            y[2 * i].write(centre[i] + (left[i] - centre[i]) * before[i]);
            y[2 * i + 1].write(centre[i] + (right[i] - centre[i]) * after[i]);
        }
    }
}

vectorised! {
    /// The transpose of [`double`]: `even` and `odd` hold the gradients of
    /// outputs 2 i and 2 i + 1 times the share that falls to a neighbour
    /// (after one value of 0 each), `own` what falls to input i itself.
    fn halve(dy: &[f32], shares: &Shares, own: &mut [f32], even: &mut [f32], odd: &mut [f32]) {
        let width = dy.len() / 2;
        let dy = &dy[..2 * width];
        let (before, after) = (&shares.before[..width], &shares.after[..width]);
        let own = &mut own[..width];
        let (even, odd) = (&mut even[1..=width], &mut odd[1..=width]);
        for i in 0..width {
            even[i] = dy[2 * i] * before[i];
            odd[i] = dy[2 * i + 1] * after[i];
            own[i] = (dy[2 * i] - even[i]) + (dy[2 * i + 1] - odd[i]);
        }
    }
}

vectorised! {
    /// `sum[i] = own[i] + even[i + 1] + odd[i - 1]`, as [`halve`] left them.
    fn gather(own: &[f32], even: &[f32], odd: &[f32], sum: &mut [f32]) {
        let width = sum.len();
        let (own, even, odd) = (&own[..width], &even[2..][..width], &odd[..width]);
        for i in 0..width {
            sum[i] = own[i] + even[i] + odd[i];
        }
    }
}

vectorised! {
    /// `sum += factor * x`.
    fn add_scaled(sum: &mut [f32], x: &[f32], factor: f32) {
        for (s, x) in sum.iter_mut().zip(x) {
            *s += x * factor;
        }
    }
}

fn plane_forward(x: &[f32], y: &mut [MaybeUninit<f32>], rows: &Shares, columns: &Shares) {
    let (height, width) = (rows.before.len(), columns.before.len());
    let row = |i: usize| &x[i * width..][..width];
    with_scratch(width + 2, |line| {
        line[0] = 0.0;
        line[width + 1] = 0.0;
        for (o, y) in y.chunks_exact_mut(2 * width).enumerate() {
            let i = o / 2;
            let (neighbour, share) = if o.is_multiple_of(2) {
                (i.saturating_sub(1), rows.before[i])
            } else {
                ((i + 1).min(height - 1), rows.after[i])
            };
            mix(row(i), row(neighbour), share, &mut line[1..=width]);
            double(line, columns, y);
        }
    });
}

fn plane_gradient(dy: &[f32], dx: &mut [f32], rows: &Shares, columns: &Shares) {
    let (height, width) = (rows.before.len(), columns.before.len());
    with_scratch(4 * (width + 2), |scratch| {
        scratch.fill(0.0);
        let (own, rest) = scratch.split_at_mut(width + 2);
        let (even, rest) = rest.split_at_mut(width + 2);
        let (odd, line) = rest.split_at_mut(width + 2);
        let line = &mut line[..width];
        for (o, dy) in dy.chunks_exact(2 * width).enumerate() {
            let i = o / 2;
            let (neighbour, share) = if o.is_multiple_of(2) {
                (i.saturating_sub(1), rows.before[i])
            } else {
                ((i + 1).min(height - 1), rows.after[i])
            };
            halve(dy, columns, own, even, odd);
            gather(own, even, odd, line);
            add_scaled(&mut dx[i * width..][..width], line, 1.0 - share);
            add_scaled(&mut dx[neighbour * width..][..width], line, share);
        }
    });
}

/// The custom operation.
pub(in crate::nn) struct UpsampleBilinear2x;

impl CustomOp1 for UpsampleBilinear2x {
    fn name(&self) -> &'static str {
        "upsample_bilinear2x"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (batch, channels, height, width) = layout.shape().dims4()?;
        let x = values(x, layout)?;
        let (rows, columns) = (Shares::new(height), Shares::new(width));
        // SAFETY: every output row of every plane is written.
        let y = unsafe {
            filled(4 * x.len(), |y| {
                y.par_chunks_mut(4 * height * width)
                    .zip(x.par_chunks(height * width))
                    .for_each(|(y, x)| plane_forward(x, y, &rows, &columns));
            })
        };
        output(y, (batch, channels, 2 * height, 2 * width))
    }

    fn bwd(&self, x: &Tensor, _y: &Tensor, dy: &Tensor) -> Result<Option<Tensor>> {
        let (_, _, height, width) = x.dims4()?;
        let (rows, columns) = (Shares::new(height), Shares::new(width));
        let dx = read([dy], |[dy]| {
            let mut dx = vec![0.0; dy.len() / 4];
            dx.par_chunks_mut(height * width)
                .zip(dy.par_chunks(4 * height * width))
                .for_each(|(dx, dy)| plane_gradient(dy, dx, &rows, &columns));
            dx
        })?;
        Ok(Some(tensor_like(dx, x)?))
    }
}
