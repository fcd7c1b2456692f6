//! Convolution for training through the channels-last kernels of the inference
//! engine: patch by patch, each rearranged into and out of the cache.

use super::buffer::{Shared, filled, with_scratch};
use super::im2col::Geometry;
use super::nhwc::conv::{ConvSpec, Convolution};
use super::nhwc::winograd::{self, Winograd};
use super::nhwc::{Segment, View};
use super::patches::{Patch, stored};
use super::simd::Level;
use super::transpose::transpose;
use rayon::prelude::*;
use std::mem::MaybeUninit;

/// Work is cut into at least this many tasks where the shapes allow it.
const TASKS: usize = 8;

/// Filters of a task are a multiple of this: two of the widest vectors.
const FILTERS: usize = 32;

/// Tiles of 4 x 4 outputs that a task takes together at least, where there are
/// that many.
const GROUP_TILES: usize = 48;

/// Some of the filters, their weights laid out for the loops.
struct Part {
    first: usize,
    filters: usize,
    kernel: Kernel,
}

/// How the sums are computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    Direct,
    Winograd,
}

impl Way {
    /// The faster one.
    pub fn new(g: &Geometry, level: Level) -> Self {
        if winograd_pays(g, level) {
            Self::Winograd
        } else {
            Self::Direct
        }
    }
}

enum Kernel {
    Direct(Convolution),
    Winograd(Winograd),
}

fn view(start: usize, (height, width): (usize, usize), frame: usize, channels: usize) -> View {
    let pixel = stored(channels);
    let row = (width + 2 * frame) * pixel;
    View {
        start: start + frame * (row + pixel),
        row,
        pixel,
        height,
        width,
        frame,
        segments: vec![Segment {
            offset: 0,
            channels,
        }],
    }
}

impl Part {
    fn new(
        first: usize,
        w: &[f32],
        bias: &[f32],
        g: &Geometry,
        (way, level): (Way, Level),
    ) -> Self {
        let inputs = [Segment {
            offset: 0,
            channels: g.channels,
        }];
        let spec = ConvSpec {
            kernel: g.kernel,
            stride: g.stride,
            padding: g.padding,
            relu: false,
        };
        let kernel = match way {
            Way::Winograd => Kernel::Winograd(Winograd::new(spec, w, bias, level)),
            Way::Direct => {
                // The patch's inputs include the padding.
                let spec = ConvSpec { padding: 0, ..spec };
                Kernel::Direct(Convolution::new(spec, w, bias, &inputs, level))
            }
        };
        Self {
            first,
            filters: bias.len(),
            kernel,
        }
    }

    /// Computes a group of patches in `scratch`, and returns where the outputs
    /// of each lie there.
    fn run(
        &self,
        x: &[f32],
        g: &Geometry,
        group: &[Patch],
        level: Level,
        scratch: &mut [f32],
    ) -> Vec<View> {
        let mut free = 0;
        let mut take = |len: usize| {
            free += len;
            free - len
        };
        let mut views = Vec::with_capacity(group.len());
        for patch in group {
            let (rows, columns) = patch.inputs(g);
            let start = take(rows * columns * stored(g.channels));
            patch.fill_inputs(level, x, g, &mut scratch[start..]);
            let x = match self.kernel {
                Kernel::Direct(_) => view(start, (rows, columns), 0, g.channels),
                Kernel::Winograd(_) => view(start, (patch.rows, patch.columns), 1, g.channels),
            };
            let start = take(patch.rows * patch.columns * stored(self.filters));
            let y = view(start, (patch.rows, patch.columns), 0, self.filters);
            views.push((x, y));
        }
        match &self.kernel {
            Kernel::Direct(conv) => {
                for (x, y) in &views {
                    conv.run(scratch, x, y, None, None);
                }
            }
            Kernel::Winograd(conv) => {
                let views: Vec<_> = views.iter().map(|(x, y)| (x, y)).collect();
                conv.run_all(scratch, &views, None, None);
            }
        }
        views.into_iter().map(|(_, y)| y).collect()
    }
}

/// Whether Winograd's way pays in training, where weights are transformed anew
/// in each step, but small images can be taken together.
fn winograd_pays(g: &Geometry, level: Level) -> bool {
    let spec = ConvSpec {
        kernel: g.kernel,
        stride: g.stride,
        padding: g.padding,
        relu: false,
    };
    let inputs = [Segment {
        offset: 0,
        channels: g.channels,
    }];
    let tiles = winograd::tiles(g.height) * winograd::tiles(g.width);
    Winograd::applies(spec, &inputs, g.filters, level)
        && g.channels >= 16
        && g.filters >= 16
        // At most a third of the tiles' outputs lie beyond the image.
        && 3 * g.in_plane() >= 2 * tiles * winograd::OUT * winograd::OUT
        && g.batch * tiles >= GROUP_TILES
        // Larger transformed weights leave every cache.
        && g.channels * g.filters <= 256 * 256
}

/// Whether this is the fastest way, here.
pub(super) fn pays(g: &Geometry, level: Level) -> bool {
    level != Level::Baseline
        && (winograd_pays(g, level) || (g.channels >= 32 && g.filters >= 32 && g.kernel > 1))
}

/// Patches that one task takes together: those of several images if they are
/// small, so that the weights are fetched once for some vectors of tiles.
fn groups(g: &Geometry) -> Vec<Vec<Patch>> {
    let mut groups: Vec<Vec<Patch>> = Vec::new();
    let mut tiles = GROUP_TILES;
    for patch in Patch::all(g) {
        if tiles >= GROUP_TILES {
            groups.push(Vec::new());
            tiles = 0;
        }
        groups.last_mut().expect("just pushed").push(patch);
        tiles += winograd::tiles(patch.rows) * winograd::tiles(patch.columns);
    }
    groups
}

/// `y[n, o] = bias[o] + sum over c of w[o, c] * x[n, c]`.
pub(super) fn forward(
    x: &[f32],
    w: &[f32],
    bias: Option<&[f32]>,
    g: &Geometry,
    way: Way,
    level: Level,
) -> Vec<f32> {
    let none = vec![0.0; if bias.is_none() { g.filters } else { 0 }];
    let bias = bias.unwrap_or(&none);
    let groups = groups(g);
    // With few patches the filters are shared out, too; each task then lays
    // out its patch anew, which is little beside the sums.
    let parts = TASKS
        .div_ceil(groups.len())
        .min(g.filters.div_ceil(FILTERS));
    let together = g.filters.div_ceil(parts).next_multiple_of(FILTERS);
    let firsts: Vec<usize> = (0..g.filters).step_by(together).collect();
    let parts: Vec<Part> = firsts
        .into_par_iter()
        .map(|first| {
            let filters = together.min(g.filters - first);
            let w = &w[first * g.window()..][..filters * g.window()];
            Part::new(first, w, &bias[first..][..filters], g, (way, level))
        })
        .collect();
    let plane = g.out_plane();
    let fill = |out: &mut [MaybeUninit<f32>]| {
        let out = Shared::new(out);
        groups
            .par_iter()
            .flat_map(|group| parts.par_iter().map(move |part| (group, part)))
            .for_each(|(group, part)| {
                let len = group.iter().map(|patch| {
                    let (rows, columns) = patch.inputs(g);
                    let outputs = patch.rows * patch.columns * stored(part.filters);
                    rows * columns * stored(g.channels) + outputs
                });
                with_scratch(len.sum(), |scratch| {
                    let views = part.run(x, g, group, level, scratch);
                    for (patch, y) in group.iter().zip(views) {
                        for row in 0..patch.rows {
                            let from = &scratch[y.start + row * y.row..][..y.row];
                            let to = patch.start(g, part.first) + row * g.out_width();
                            let size = (patch.columns, part.filters);
                            let reach = (part.filters - 1) * plane + patch.columns;
                            // SAFETY: the machine has the level; a group alone
                            // writes its outputs of its filters; `from` holds
                            // a row's pixels.
                            unsafe {
                                let to = (out.at(to, reach), plane);
                                transpose(level, (from.as_ptr(), y.pixel), to, size);
                            }
                        }
                    }
                });
            });
    };
    // SAFETY: groups and parts cover every output of every filter.
    unsafe { filled(g.batch * g.filters * plane, fill) }
}

#[cfg(test)]
mod tests {
    use super::super::nhwc::winograd::weights;
    use super::*;
    use crate::random::Seed;
    use rand::Rng;

    fn random(len: usize, seed: u64) -> Vec<f32> {
        let mut rng = Seed::new(seed).rng();
        (0..len).map(|_| rng.random::<f32>() - 0.5).collect()
    }

    /// Calls `f` with the indices of output, input and weight of each product.
    fn products(g: &Geometry, mut f: impl FnMut(usize, usize, usize)) {
        let (height, width) = (g.out_height(), g.out_width());
        for image in 0..g.batch {
            for filter in 0..g.filters {
                for at in 0..height * width {
                    let out = (image * g.filters + filter) * height * width + at;
                    for tap in 0..g.window() {
                        let (channel, rest) = (tap / g.kernel.pow(2), tap % g.kernel.pow(2));
                        let row = at / width * g.stride + rest / g.kernel;
                        let column = at % width * g.stride + rest % g.kernel;
                        let inside = g.padding..g.padding + g.height;
                        if !inside.contains(&row) || column.wrapping_sub(g.padding) >= g.width {
                            continue;
                        }
                        let (row, column) = (row - g.padding, column - g.padding);
                        let plane = image * g.channels + channel;
                        let input = (plane * g.height + row) * g.width + column;
                        f(out, input, filter * g.window() + tap);
                    }
                }
            }
        }
    }

    /// 1e-5 of the largest value: Winograd's rounding.
    fn assert_close(found: &[f32], expected: &[f64], what: &str) {
        assert_eq!(found.len(), expected.len());
        let largest = expected.iter().fold(0.0f64, |m, v| m.max(v.abs()));
        for (i, (a, b)) in found.iter().zip(expected).enumerate() {
            assert!(
                (f64::from(*a) - b).abs() <= 1e-5 * largest,
                "{what}, {i}: {a} {b}"
            );
        }
    }

    #[test]
    fn sums_and_gradients_are_the_plain_ones_on_every_instruction_set() {
        for (batch, channels, filters, height, width, kernel, stride, padding) in [
            (1, 32, 16, 16, 16, 3, 1, 1),
            (2, 16, 48, 77, 3, 3, 1, 1),
            (5, 48, 16, 7, 7, 3, 1, 1),
            (1, 16, 16, 9, 155, 3, 1, 1),
            (2, 3, 5, 31, 13, 3, 1, 1),
            (1, 6, 9, 15, 70, 7, 2, 3),
            (2, 20, 33, 9, 8, 1, 2, 0),
            (1, 5, 3, 6, 7, 4, 3, 0),
        ] {
            let g = Geometry {
                batch,
                channels,
                filters,
                height,
                width,
                kernel,
                stride,
                padding,
            };
            let x = random(batch * channels * height * width, 1);
            let w = random(filters * g.window(), 2);
            let dy = random(batch * filters * g.out_plane(), 3);
            let mut y = vec![0.0; dy.len()];
            let mut dw = vec![0.0; w.len()];
            products(&g, |out, input, weight| {
                y[out] += f64::from(x[input]) * f64::from(w[weight]);
                dw[weight] += f64::from(x[input]) * f64::from(dy[out]);
            });
            for level in Level::available() {
                let what = format!("{g:?} {level:?}");
                let direct = forward(&x, &w, None, &g, Way::Direct, level);
                assert_close(&direct, &y, &what);
                if weights::applies(&g, level) {
                    let found = forward(&x, &w, None, &g, Way::Winograd, level);
                    assert_close(&found, &y, &what);
                    assert_close(&weights::gradient(&x, &dy, &g, level), &dw, &what);
                }
            }
        }
    }
}
