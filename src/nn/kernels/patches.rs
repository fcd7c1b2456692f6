//! Parts of an image as the channels-last kernels see them: some rows and
//! columns of outputs, with the inputs that they need laid out channels last.
//!
//! Tensors in training lie channels first, as candle's do; a patch stays in
//! the cache between the rearrangement and the loops.

use super::im2col::Geometry;
use super::nhwc::GROUP;
use super::simd::Level;
use super::transpose::transpose;

/// Values of a patch's inputs and outputs: a share of the L2 cache.
const VALUES: usize = 64 * 1024;

/// Output columns of a patch, where an image has more.
const COLUMNS: usize = 64;

/// Rows and columns of most patches are multiples of this: Winograd's tiles.
const TILE: usize = 4;

/// Some outputs of one image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Patch {
    pub image: usize,
    /// The first output row, and how many.
    pub top: usize,
    pub rows: usize,
    /// The first output column, and how many.
    pub left: usize,
    pub columns: usize,
}

/// Channels with fillers to whole groups.
pub(super) fn stored(channels: usize) -> usize {
    channels.next_multiple_of(GROUP)
}

impl Patch {
    /// Patches that cover all images, in order.
    pub fn all(g: &Geometry) -> Vec<Self> {
        let (height, width) = (g.out_height(), g.out_width());
        let parts = width.div_ceil(COLUMNS);
        let columns = width.div_ceil(parts).next_multiple_of(TILE);
        let a_row = g.stride * (columns * g.stride + g.kernel) * stored(g.channels)
            + columns * stored(g.filters);
        let rows = (VALUES / a_row / TILE * TILE).max(TILE);
        let mut patches = Vec::new();
        for image in 0..g.batch {
            for top in (0..height).step_by(rows) {
                for left in (0..width).step_by(columns) {
                    patches.push(Self {
                        image,
                        top,
                        rows: rows.min(height - top),
                        left,
                        columns: columns.min(width - left),
                    });
                }
            }
        }
        patches
    }

    /// Rows and columns of inputs that the outputs need.
    pub fn inputs(&self, g: &Geometry) -> (usize, usize) {
        let side = |outputs: usize| (outputs - 1) * g.stride + g.kernel;
        (side(self.rows), side(self.columns))
    }

    /// Lays out the inputs of `x` `[batch, channels, height, width]` that the
    /// patch needs as `[rows, columns, stored channels]`, zeros beyond the image;
    /// fillers are left as they are.
    pub fn fill_inputs(&self, level: Level, x: &[f32], g: &Geometry, to: &mut [f32]) {
        let (rows, columns) = self.inputs(g);
        let plane = g.in_plane();
        let image = &x[self.image * g.channels * plane..][..g.channels * plane];
        let pixel = stored(g.channels);
        assert!(to.len() >= rows * columns * pixel);
        // Columns that lie in the image.
        let first = g.padding.saturating_sub(self.left * g.stride).min(columns);
        let end = (g.width + g.padding)
            .saturating_sub(self.left * g.stride)
            .clamp(first, columns);
        for (i, row) in to.chunks_exact_mut(columns * pixel).enumerate().take(rows) {
            let y = (self.top * g.stride + i).wrapping_sub(g.padding);
            if y >= g.height || first == end {
                row.fill(0.0);
                continue;
            }
            row[..first * pixel].fill(0.0);
            row[end * pixel..].fill(0.0);
            let from = y * g.width + self.left * g.stride + first - g.padding;
            let size = (g.channels, end - first);
            assert!(from + (size.0 - 1) * plane + size.1 <= image.len());
            let to = row[first * pixel..].as_mut_ptr();
            // SAFETY: the machine has the level; every channel's values lie
            // within the image (asserted), every pixel's within the row.
            unsafe { transpose(level, (image[from..].as_ptr(), plane), (to, pixel), size) };
        }
    }

    /// Lays out the patch of `dy` `[batch, filters, out height, out width]` as
    /// `[rows, columns, stored filters]`; fillers are left as they are.
    pub fn fill_gradients(&self, level: Level, dy: &[f32], g: &Geometry, to: &mut [f32]) {
        let (plane, pixel) = (g.out_plane(), stored(g.filters));
        let image = &dy[self.image * g.filters * plane..][..g.filters * plane];
        assert!(to.len() >= self.rows * self.columns * pixel);
        for (i, row) in to
            .chunks_exact_mut(self.columns * pixel)
            .enumerate()
            .take(self.rows)
        {
            let from = (self.top + i) * g.out_width() + self.left;
            let size = (g.filters, self.columns);
            assert!(from + (size.0 - 1) * plane + size.1 <= image.len());
            let to = (row.as_mut_ptr(), pixel);
            // SAFETY: as in `fill_inputs`.
            unsafe { transpose(level, (image[from..].as_ptr(), plane), to, size) };
        }
    }

    /// Index of the patch's first output of filter `filter`, in
    /// `[batch, filters, out height, out width]`.
    pub fn start(&self, g: &Geometry, filter: usize) -> usize {
        (self.image * g.filters + filter) * g.out_plane() + self.top * g.out_width() + self.left
    }
}
