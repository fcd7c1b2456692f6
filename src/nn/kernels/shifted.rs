//! An image laid out so that each tap of a convolution sees it as one
//! contiguous stretch: the windows' matrix without writing it out.
//!
//! The padded image is cut into `stride` x `stride` phases (every stride-th
//! row and column), so that from one output to the next each tap moves by one
//! value. Output (i, j) of a strip has the flat position `i row + j`, and tap
//! k of it reads `planes[offsets[k] + i row + j]`. A row is longer than the
//! output is wide: the few positions in between belong to no output.

use super::im2col::Geometry;

/// Values past the last plane that kernels may read, whole vectors at a time.
const SLACK: usize = 128;

/// How one strip of output rows is laid out; all strips of a layer are alike.
pub(super) struct Shifted {
    pub geometry: Geometry,
    /// Output rows of a strip (the last strip of an image may have fewer).
    pub rows: usize,
    /// Flat distance from one output row to the next.
    pub row: usize,
    /// Where the value that tap k multiplies at flat position 0 lies, for
    /// every channel and tap in the order of the weights.
    pub offsets: Vec<usize>,
    /// Phases along a side.
    phases: usize,
    /// Rows of a plane: those of the strip and those below that taps reach.
    plane_rows: usize,
}

impl Shifted {
    pub(super) fn new(geometry: Geometry, rows: usize) -> Self {
        let Geometry {
            channels,
            kernel,
            stride,
            ..
        } = geometry;
        let reach = (kernel - 1) / stride;
        let phases = stride.min(kernel);
        let row = geometry.out_width() + reach;
        let plane_rows = rows + reach;
        let mut offsets = Vec::with_capacity(geometry.window());
        for channel in 0..channels {
            for ky in 0..kernel {
                for kx in 0..kernel {
                    let phase = (channel * phases + ky % stride) * phases + kx % stride;
                    let shift = ky / stride * row + kx / stride;
                    offsets.push(phase * plane_rows * row + shift);
                }
            }
        }
        Self {
            geometry,
            rows,
            row,
            offsets,
            phases,
            plane_rows,
        }
    }

    /// Values of one output row over all channels and phases.
    pub(super) fn values_a_row(geometry: &Geometry) -> usize {
        let phases = geometry.stride.min(geometry.kernel);
        let reach = (geometry.kernel - 1) / geometry.stride;
        geometry.channels * phases * phases * (geometry.out_width() + reach)
    }

    /// Length of the planes with the slack behind them. A kernel that starts
    /// at a position of the strip may read [`SLACK`] values from each tap on.
    pub(super) fn len(&self) -> usize {
        let planes = self.geometry.channels * self.phases * self.phases;
        planes * self.plane_rows * self.row + SLACK
    }

    /// Flat positions of a strip with `rows` output rows, up to the last output.
    pub(super) fn positions(&self, rows: usize) -> usize {
        (rows - 1) * self.row + self.geometry.out_width()
    }

    /// Lays out what output rows from `first` on see of one image. Every
    /// value is written, the slack included.
    pub(super) fn fill(&self, image: &[f32], first: usize, planes: &mut [f32]) {
        let g = &self.geometry;
        let (planes, slack) = planes.split_at_mut(self.len() - SLACK);
        slack.fill(0.0);
        for (i, plane) in planes
            .chunks_exact_mut(self.plane_rows * self.row)
            .enumerate()
        {
            let channel = i / (self.phases * self.phases);
            let (py, px) = (i / self.phases % self.phases, i % self.phases);
            let image = &image[channel * g.in_plane()..][..g.in_plane()];
            for (r, out) in plane.chunks_exact_mut(self.row).enumerate() {
                let y = ((first + r) * g.stride + py).wrapping_sub(g.padding);
                if y < g.height {
                    self.fill_row(&image[y * g.width..][..g.width], px, out);
                } else {
                    out.fill(0.0);
                }
            }
        }
    }

    /// `out[j] = padded row[j stride + px]`.
    fn fill_row(&self, row: &[f32], px: usize, out: &mut [f32]) {
        let g = &self.geometry;
        let before = g
            .padding
            .saturating_sub(px)
            .div_ceil(g.stride)
            .min(out.len());
        let (left, rest) = out.split_at_mut(before);
        left.fill(0.0);
        let start = (before * g.stride + px).saturating_sub(g.padding);
        let row = row.get(start..).unwrap_or_default();
        let inside = row.len().div_ceil(g.stride).min(rest.len());
        let (middle, right) = rest.split_at_mut(inside);
        if g.stride == 1 {
            middle.copy_from_slice(&row[..inside]);
        } else {
            for (o, v) in middle.iter_mut().zip(row.iter().step_by(g.stride)) {
                *o = *v;
            }
        }
        right.fill(0.0);
    }

    /// Lays out the gradient of a strip's outputs on flat positions, zero in
    /// between, `[filters, len]` with a `len` of whole vectors.
    pub(super) fn fill_gradient(
        &self,
        dy: &[f32],
        first: usize,
        rows: usize,
        len: usize,
        flat: &mut [f32],
    ) {
        let g = &self.geometry;
        let width = g.out_width();
        for (filter, flat) in flat.chunks_exact_mut(len).enumerate() {
            let dy = &dy[filter * g.out_plane() + first * width..][..rows * width];
            for (dy, flat) in dy.chunks_exact(width).zip(flat.chunks_mut(self.row)) {
                flat[..width].copy_from_slice(dy);
                flat[width..].fill(0.0);
            }
            flat[self.positions(rows)..].fill(0.0);
        }
    }
}
