//! The geometry of a convolution, and its windows written out as a matrix.

/// Sizes of a convolution with square kernels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::nn) struct Geometry {
    pub batch: usize,
    /// Input channels.
    pub channels: usize,
    /// Output channels.
    pub filters: usize,
    pub height: usize,
    pub width: usize,
    pub kernel: usize,
    pub stride: usize,
    /// Rows and columns of zeros on each side; less than `kernel`.
    pub padding: usize,
}

impl Geometry {
    pub(in crate::nn) fn out_height(&self) -> usize {
        (self.height + 2 * self.padding - self.kernel) / self.stride + 1
    }

    pub(in crate::nn) fn out_width(&self) -> usize {
        (self.width + 2 * self.padding - self.kernel) / self.stride + 1
    }

    pub(super) fn in_plane(&self) -> usize {
        self.height * self.width
    }

    pub(super) fn out_plane(&self) -> usize {
        self.out_height() * self.out_width()
    }

    /// Values in one window: `channels * kernel * kernel`.
    pub(super) fn window(&self) -> usize {
        self.channels * self.kernel * self.kernel
    }

    /// A 1x1 convolution reads its input as it lies: no windows to write out.
    pub(super) fn is_pointwise(&self) -> bool {
        self.kernel == 1 && self.stride == 1
    }

    /// Output columns whose tap `kx` lies inside the image.
    fn inside_columns(&self, kx: usize) -> std::ops::Range<usize> {
        let first = self.padding.saturating_sub(kx).div_ceil(self.stride);
        let end = (self.width + self.padding)
            .saturating_sub(kx)
            .div_ceil(self.stride)
            .min(self.out_width());
        first.min(end)..end
    }

    /// The image row under tap `ky` of output row `row`, unless in the padding.
    fn image_row(&self, row: usize, ky: usize) -> Option<usize> {
        (row * self.stride + ky)
            .checked_sub(self.padding)
            .filter(|&y| y < self.height)
    }
}

/// Writes the windows of output rows `first .. first + rows` of one image as
/// columns of a matrix `[window, rows * out_width]`.
pub(super) fn im2col(image: &[f32], g: &Geometry, first: usize, rows: usize, columns: &mut [f32]) {
    let out_width = g.out_width();
    let taps = g.kernel * g.kernel;
    for (line, out) in columns.chunks_exact_mut(rows * out_width).enumerate() {
        let (channel, ky, kx) = (line / taps, line % taps / g.kernel, line % g.kernel);
        let inside = g.inside_columns(kx);
        for (r, out) in out.chunks_exact_mut(out_width).enumerate() {
            let Some(y) = g.image_row(first + r, ky) else {
                out.fill(0.0);
                continue;
            };
            let row = &image[(channel * g.height + y) * g.width..][..g.width];
            out[..inside.start].fill(0.0);
            out[inside.end..].fill(0.0);
            if inside.is_empty() {
                continue;
            }
            let x = inside.start * g.stride + kx - g.padding;
            let out = &mut out[inside.clone()];
            if g.stride == 1 {
                out.copy_from_slice(&row[x..x + out.len()]);
            } else {
                for (o, v) in out.iter_mut().zip(row[x..].iter().step_by(g.stride)) {
                    *o = *v;
                }
            }
        }
    }
}

/// The transpose of [`im2col`]: adds every column back onto its window.
/// `columns` and `image` hold the same number of channels, all or a part.
pub(super) fn col2im(columns: &[f32], g: &Geometry, first: usize, rows: usize, image: &mut [f32]) {
    let out_width = g.out_width();
    let taps = g.kernel * g.kernel;
    for (line, values) in columns.chunks_exact(rows * out_width).enumerate() {
        let (channel, ky, kx) = (line / taps, line % taps / g.kernel, line % g.kernel);
        let inside = g.inside_columns(kx);
        if inside.is_empty() {
            continue;
        }
        for (r, values) in values.chunks_exact(out_width).enumerate() {
            let Some(y) = g.image_row(first + r, ky) else {
                continue;
            };
            let row = &mut image[(channel * g.height + y) * g.width..][..g.width];
            let x = inside.start * g.stride + kx - g.padding;
            let values = &values[inside.clone()];
            for (i, v) in row[x..].iter_mut().step_by(g.stride).zip(values) {
                *i += v;
            }
        }
    }
}
