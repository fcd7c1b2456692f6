//! Convolution, by the way that is fastest for its sizes: channels last and by
//! Winograd's tiles where there are many channels, summed directly where there
//! are few; else the windows are written out strip by strip (im2col) for a
//! matrix product, so that a strip stays in the cache between the two.

use super::buffer::{Shared, filled, output, read, tensor_like, values, with_scratch};
use super::channels_last;
use super::grouped;
use super::im2col::{Geometry, col2im, im2col};
use super::matrix::{Matrix, multiply};
use super::nhwc::winograd;
use super::partial_sums::{Strip, partial_sums};
use super::simd::level;
#[cfg(target_arch = "x86_64")]
use super::{direct, direct_weights};
use candle_core::{CpuStorage, CustomOp2, CustomOp3, Layout, Result, Shape, Tensor};
use rayon::prelude::*;

/// Values of a strip's window matrix: half a megabyte, a share of the L2 cache.
const STRIP: usize = 128 * 1024;

/// Up to this many values in a window, summing directly is faster than
/// writing out windows for a matrix product: up to 2.5 times with 8 to 16
/// channels, a tenth with 64. Beyond, the weights no longer stay in the cache.
#[cfg(target_arch = "x86_64")]
const DIRECT_WINDOW: usize = 600;

/// Fewer outputs an image leave most of a tile unused.
#[cfg(target_arch = "x86_64")]
const DIRECT_OUTPUTS: usize = 49;

#[cfg(target_arch = "x86_64")]
fn direct_pays(g: &Geometry) -> bool {
    direct::is_available()
        && g.kernel > 1
        && g.window() <= DIRECT_WINDOW
        && g.out_plane() >= DIRECT_OUTPUTS
}

#[cfg(not(target_arch = "x86_64"))]
fn direct_pays(_: &Geometry) -> bool {
    false
}

/// Whether to take small images together; for training alone.
fn is_grouped(g: &Geometry) -> bool {
    !direct_pays(g) && grouped::pays(g)
}

/// Output rows of one strip.
fn strip_rows(g: &Geometry) -> usize {
    let columns = (STRIP / g.window()).max(256);
    // At least two strips an image: a batch of one keeps two cores busy.
    let half = g.out_height().div_ceil(2);
    (columns / g.out_width()).clamp(1, half)
}

/// Calls `f` with the window matrix `[window, rows * out_width]` of a strip.
fn with_windows<R>(
    x: &[f32],
    g: &Geometry,
    &Strip { image, first, rows }: &Strip,
    f: impl FnOnce(Matrix) -> R,
) -> R {
    let size = g.channels * g.in_plane();
    let image = &x[image * size..][..size];
    let columns = rows * g.out_width();
    if g.is_pointwise() {
        let part = &image[first * g.width..];
        return f(Matrix::new(part, (g.window(), columns), (g.in_plane(), 1)));
    }
    with_scratch(g.window() * columns, |scratch| {
        im2col(image, g, first, rows, scratch);
        f(Matrix::row_major(scratch, g.window(), columns))
    })
}

/// How the outputs of a convolution are computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Use {
    /// The way may depend on the size of the batch.
    Training,
    /// It may not: another way rounds differently, and an image must give the
    /// same bytes alone and in a batch.
    Inference,
}

/// `y[n, o] = bias[o] + sum over c of w[o, c] * x[n, c]`.
fn forward(x: &[f32], w: &[f32], bias: Option<&[f32]>, g: &Geometry, purpose: Use) -> Vec<f32> {
    assert!(bias.is_none_or(|b| b.len() == g.filters));
    let decisive = match purpose {
        Use::Training => *g,
        Use::Inference => Geometry { batch: 1, ..*g },
    };
    if channels_last::pays(&decisive, level()) {
        let way = channels_last::Way::new(&decisive, level());
        return channels_last::forward(x, w, bias, g, way, level());
    }
    if purpose == Use::Training && bias.is_none() && is_grouped(g) {
        return grouped::forward(x, w, g);
    }
    #[cfg(target_arch = "x86_64")]
    if direct_pays(g) {
        return direct::forward(x, w, bias, g);
    }
    let plane = g.out_plane();
    let weights = Matrix::row_major(w, g.filters, g.window());
    let fill = |y: &mut [std::mem::MaybeUninit<f32>]| {
        let y = Shared::new(y);
        Strip::all(g, strip_rows(g)).par_iter().for_each(|strip| {
            let &Strip { image, first, rows } = strip;
            let columns = rows * g.out_width();
            let start = image * g.filters * plane + first * g.out_width();
            // SAFETY: a strip alone writes its rows of each output plane; the
            // last of them ends (filters - 1) planes and `columns` further on.
            let out = unsafe { y.at(start, (g.filters - 1) * plane + columns) };
            with_windows(x, g, strip, |windows| {
                // SAFETY: as above; nothing is accumulated.
                unsafe { multiply(out, plane, false, weights, windows) };
            });
            let Some(bias) = bias else { return };
            for (filter, b) in bias.iter().enumerate() {
                // SAFETY: as above, and written by the product just now.
                let row =
                    unsafe { std::slice::from_raw_parts_mut(out.add(filter * plane), columns) };
                row.iter_mut().for_each(|v| *v += b);
            }
        });
    };
    // SAFETY: the strips cover every output row of every image.
    unsafe { filled(g.batch * g.filters * plane, fill) }
}

/// The gradient of the weights, `[filters, window]`.
fn weight_gradient(x: &[f32], dy: &[f32], g: &Geometry) -> Vec<f32> {
    if winograd::weights::pays(g, level()) {
        return winograd::weights::gradient(x, dy, g, level());
    }
    #[cfg(target_arch = "x86_64")]
    if direct_pays(g) {
        return direct_weights::weight_gradient(x, dy, g);
    }
    if grouped::pays(g) {
        return grouped::weight_gradient(x, dy, g);
    }
    let plane = g.out_plane();
    let size = g.filters * g.window();
    partial_sums(size, &Strip::all(g, strip_rows(g)), |strip, sum| {
        let &Strip { image, first, rows } = strip;
        let columns = rows * g.out_width();
        let start = image * g.filters * plane + first * g.out_width();
        let dy = Matrix::new(&dy[start..], (g.filters, columns), (plane, 1));
        with_windows(x, g, strip, |windows| {
            // SAFETY: `sum` has `filters` rows of `window` values and belongs
            // to this closure.
            unsafe { multiply(sum.as_mut_ptr(), g.window(), true, dy, windows.transposed()) };
        });
    })
}

/// The gradient of the input.
fn input_gradient(w: &[f32], dy: &[f32], g: &Geometry) -> Vec<f32> {
    if g.stride == 1 {
        // A convolution again: the kernels turned round, filters and
        // channels exchanged.
        let turned = turned(w, g);
        let g = Geometry {
            channels: g.filters,
            filters: g.channels,
            height: g.out_height(),
            width: g.out_width(),
            padding: g.kernel - 1 - g.padding,
            ..*g
        };
        return forward(dy, &turned, None, &g, Use::Training);
    }
    if grouped::pays(g) {
        return grouped::strided_input_gradient(w, dy, g);
    }
    strided_input_gradient(w, dy, g)
}

/// Weights `[filters, channels, k, k]` as `[channels, filters, k, k]`, each
/// kernel turned by half a turn.
fn turned(w: &[f32], g: &Geometry) -> Vec<f32> {
    let taps = g.kernel * g.kernel;
    let mut turned = vec![0.0; w.len()];
    let channels = turned.par_chunks_mut(g.filters * taps).enumerate();
    channels.for_each(|(channel, kernels)| {
        for (filter, kernel) in kernels.chunks_exact_mut(taps).enumerate() {
            let straight = &w[(filter * g.channels + channel) * taps..][..taps];
            kernel.copy_from_slice(straight);
            kernel.reverse();
        }
    });
    turned
}

/// Channels whose input gradient one task computes.
const CHANNEL_BLOCK: usize = 32;

/// The transposed convolution: `w^T dy` is the gradient of the windows, which
/// are then added onto the image. Each task owns a block of input channels.
fn strided_input_gradient(w: &[f32], dy: &[f32], g: &Geometry) -> Vec<f32> {
    let plane = g.out_plane();
    let taps = g.kernel * g.kernel;
    let mut dx = vec![0.0; g.batch * g.channels * g.in_plane()];
    let image_size = g.channels * g.in_plane();
    let block_size = CHANNEL_BLOCK * g.in_plane();
    dx.par_chunks_mut(image_size)
        .enumerate()
        .flat_map(|(image, dx)| {
            dx.par_chunks_mut(block_size)
                .enumerate()
                .map(move |(block, dx)| (image, block * CHANNEL_BLOCK, dx))
        })
        .for_each(|(image, first_channel, dx)| {
            let lines = dx.len() / g.in_plane() * taps;
            let part = &w[first_channel * taps..];
            let weights = Matrix::new(part, (g.filters, lines), (g.window(), 1)).transposed();
            let rows = strip_rows(g);
            for first in (0..g.out_height()).step_by(rows) {
                let rows = rows.min(g.out_height() - first);
                let columns = rows * g.out_width();
                let start = image * g.filters * plane + first * g.out_width();
                let dy = Matrix::new(&dy[start..], (g.filters, columns), (plane, 1));
                with_scratch(lines * columns, |scratch| {
                    // SAFETY: the scratch has `lines` rows of `columns` values.
                    unsafe { multiply(scratch.as_mut_ptr(), columns, false, weights, dy) };
                    col2im(scratch, g, first, rows, dx);
                });
            }
        });
    dx
}

/// The gradient of the bias: the sum of each filter's plane, in `f64`.
fn bias_gradient(dy: &[f32], g: &Geometry) -> Vec<f32> {
    let plane = g.out_plane();
    (0..g.filters)
        .into_par_iter()
        .map(|filter| {
            (0..g.batch)
                .map(|n| super::batch_norm::sum(&dy[(n * g.filters + filter) * plane..][..plane]))
                .sum::<f64>() as f32
        })
        .collect()
}

/// The custom operation; gradients nobody needs are not computed.
pub(in crate::nn) struct Conv2d {
    pub geometry: Geometry,
    pub input_needs_gradient: bool,
    pub weight_needs_gradient: bool,
}

impl Conv2d {
    fn gradients(
        &self,
        x: &Tensor,
        w: &Tensor,
        dy: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let g = &self.geometry;
        read([x, w, dy], |[xs, ws, dys]| {
            let (dx, dw) = rayon::join(
                || {
                    self.input_needs_gradient
                        .then(|| input_gradient(ws, dys, g))
                },
                || {
                    self.weight_needs_gradient
                        .then(|| weight_gradient(xs, dys, g))
                },
            );
            let dx = dx.map(|dx| tensor_like(dx, x)).transpose()?;
            let dw = dw.map(|dw| tensor_like(dw, w)).transpose()?;
            Ok((dx, dw))
        })?
    }

    fn purpose(&self) -> Use {
        if self.weight_needs_gradient {
            Use::Training
        } else {
            Use::Inference
        }
    }

    fn out_shape(&self) -> (usize, usize, usize, usize) {
        let g = &self.geometry;
        (g.batch, g.filters, g.out_height(), g.out_width())
    }
}

impl CustomOp2 for Conv2d {
    fn name(&self) -> &'static str {
        "conv2d"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        w: &CpuStorage,
        w_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (x, w) = (values(x, x_layout)?, values(w, w_layout)?);
        let y = forward(x, w, None, &self.geometry, self.purpose());
        output(y, self.out_shape())
    }

    fn bwd(
        &self,
        x: &Tensor,
        w: &Tensor,
        _y: &Tensor,
        dy: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        self.gradients(x, w, dy)
    }
}

impl CustomOp3 for Conv2d {
    fn name(&self) -> &'static str {
        "conv2d with bias"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        w: &CpuStorage,
        w_layout: &Layout,
        bias: &CpuStorage,
        bias_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (x, w) = (values(x, x_layout)?, values(w, w_layout)?);
        let bias = values(bias, bias_layout)?;
        let y = forward(x, w, Some(bias), &self.geometry, self.purpose());
        output(y, self.out_shape())
    }

    fn bwd(
        &self,
        x: &Tensor,
        w: &Tensor,
        bias: &Tensor,
        _y: &Tensor,
        dy: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let (dx, dw) = self.gradients(x, w, dy)?;
        let db = read([dy], |[dy]| bias_gradient(dy, &self.geometry))?;
        Ok((dx, dw, Some(tensor_like(db, bias)?)))
    }
}
