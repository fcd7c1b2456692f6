//! Tiles: pieces larger than the model are cut at full resolution, and the
//! maps of the cuts are blended into one.
//!
//! Tiles have the model's size and overlap by a quarter of it at least; they are
//! evenly spaced, the first and the last at the borders. A tile's pixel at
//! offset `i` of `size` weighs `sin^2(pi (i + 1/2) / size)` on each axis (a Hann
//! window), divided by the sum over all tiles there: the weights add up to 1
//! everywhere, and a tile fades in and out where it ends, since near its border
//! a network sees padding in place of the piece.

use crate::data::image::Image;
use crate::error::Result;
use ndarray::{Array2, Array3, ArrayView2, ArrayViewMut2, s};
use serde::{Deserialize, Serialize};

/// What is done with a piece larger than the model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Tiling {
    /// It is reduced to the model's size, as in the paper.
    #[default]
    Off,
    /// It is cut into overlapping tiles; a side shorter than the model is
    /// enlarged to it.
    Overlap,
}

impl Tiling {
    /// The names on the command line.
    pub const NAMES: [&'static str; 2] = ["off", "overlap"];

    /// `off` or `overlap`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Overlap => "overlap",
        }
    }

    /// The mode of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        [Self::Off, Self::Overlap]
            .into_iter()
            .find(|t| t.name() == name)
    }

    /// Whether a piece of this size is cut for a model of `size`.
    #[must_use]
    pub fn cuts(self, height: usize, width: usize, size: usize) -> bool {
        self == Self::Overlap && (height > size || width > size)
    }
}

/// Where the tiles of a piece lie: at every crossing of a row and a column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grid {
    size: usize,
    height: usize,
    width: usize,
    rows: Vec<usize>,
    columns: Vec<usize>,
}

/// One tile: its place in the grid, by row and column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tile {
    row: usize,
    column: usize,
}

impl Grid {
    /// The grid of a piece for tiles of `size` x `size`; a side shorter than
    /// that counts as `size`, see [`Grid::fit`].
    #[must_use]
    pub fn new(height: usize, width: usize, size: usize) -> Self {
        let (height, width) = (height.max(size), width.max(size));
        Self {
            size,
            height,
            width,
            rows: starts(height, size),
            columns: starts(width, size),
        }
    }

    /// Height and width that the tiles cover.
    #[must_use]
    pub fn extent(&self) -> (usize, usize) {
        (self.height, self.width)
    }

    /// The image at the size that the tiles cover: a side shorter than a tile
    /// is enlarged to it, a longer one stays as it is.
    ///
    /// # Errors
    /// As [`Image::resize`].
    pub fn fit(&self, image: &Image) -> Result<Image> {
        image.resize(self.height, self.width)
    }

    /// All tiles, row by row.
    pub fn tiles(&self) -> impl Iterator<Item = Tile> + '_ {
        (0..self.rows.len())
            .flat_map(|row| (0..self.columns.len()).map(move |column| Tile { row, column }))
    }

    /// The tile's part of a fitted image.
    #[must_use]
    pub fn cut(&self, image: &Image, tile: Tile) -> Array3<f32> {
        let (top, left) = self.corner(tile);
        let (bottom, right) = (top + self.size, left + self.size);
        image
            .pixels()
            .slice(s![.., top..bottom, left..right])
            .to_owned()
    }

    /// The tile's part of a mask that the tiles cover.
    #[must_use]
    pub fn cut_mask(&self, mask: &Array2<bool>, tile: Tile) -> Array2<bool> {
        let (top, left) = self.corner(tile);
        let (bottom, right) = (top + self.size, left + self.size);
        mask.slice(s![top..bottom, left..right]).to_owned()
    }

    fn corner(&self, tile: Tile) -> (usize, usize) {
        (self.rows[tile.row], self.columns[tile.column])
    }
}

/// First pixels of tiles along a side: evenly spaced, overlapping by a quarter
/// of a tile at least, the last one ending at the border.
fn starts(length: usize, size: usize) -> Vec<usize> {
    let rest = length.saturating_sub(size);
    let step = size - size.div_ceil(4);
    let gaps = rest.div_ceil(step.max(1));
    let place = |i: usize| (i * rest + gaps / 2).checked_div(gaps).unwrap_or(0);
    (0..=gaps).map(place).collect()
}

/// Puts planes of tiles together, one tile after another.
#[derive(Debug, Clone)]
pub struct Blend {
    /// Weights of each row of tiles, and of each column.
    down: Vec<Vec<f32>>,
    across: Vec<Vec<f32>>,
}

impl Blend {
    /// The weights of a grid.
    #[must_use]
    pub fn new(grid: &Grid) -> Self {
        Self {
            down: weights(&grid.rows, grid.height, grid.size),
            across: weights(&grid.columns, grid.width, grid.size),
        }
    }

    /// Adds a tile's plane, weighted, to the plane of the whole piece.
    pub fn add(
        &self,
        grid: &Grid,
        tile: Tile,
        plane: ArrayView2<'_, f32>,
        mut whole: ArrayViewMut2<'_, f32>,
    ) {
        let (top, left) = grid.corner(tile);
        let (down, across) = (&self.down[tile.row], &self.across[tile.column]);
        let mut part = whole.slice_mut(s![top..top + grid.size, left..left + grid.size]);
        for ((mut row, values), weight) in part.outer_iter_mut().zip(plane.outer_iter()).zip(down) {
            for ((out, value), across) in row.iter_mut().zip(values).zip(across) {
                *out += weight * across * value;
            }
        }
    }
}

/// For each tile along a side the window's values over the sum of all windows.
fn weights(starts: &[usize], length: usize, size: usize) -> Vec<Vec<f32>> {
    let window: Vec<f64> = (0..size)
        .map(|i| {
            let angle = std::f64::consts::PI * (i as f64 + 0.5) / size as f64;
            angle.sin().powi(2)
        })
        .collect();
    let mut sums = vec![0.0; length];
    for &start in starts {
        for (sum, w) in sums[start..].iter_mut().zip(&window) {
            *sum += w;
        }
    }
    starts
        .iter()
        .map(|&start| {
            window
                .iter()
                .zip(&sums[start..])
                .map(|(w, sum)| (w / sum) as f32)
                .collect()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What comes out where every tile's plane is made by `draw` from its corner.
    fn blended(grid: &Grid, draw: impl Fn(usize, usize) -> Array2<f32>) -> Array2<f32> {
        let blend = Blend::new(grid);
        let mut whole = Array2::zeros(grid.extent());
        for tile in grid.tiles() {
            let (top, left) = grid.corner(tile);
            blend.add(grid, tile, draw(top, left).view(), whole.view_mut());
        }
        whole
    }

    #[test]
    fn tiles_reach_both_borders_and_overlap_by_a_quarter() {
        for size in [32, 64, 256] {
            for length in [size, size + 1, 2 * size - 1, 5 * size + 17] {
                let starts = starts(length, size);
                assert_eq!(starts[0], 0);
                assert_eq!(starts[starts.len() - 1] + size, length);
                for pair in starts.windows(2) {
                    assert!(pair[1] > pair[0]);
                    assert!(pair[1] - pair[0] <= size - size / 4, "{size} {length}");
                }
            }
        }
    }

    #[test]
    fn constant_maps_blend_to_the_same_constant() {
        let grid = Grid::new(300, 131, 64);
        let whole = blended(&grid, |_, _| Array2::from_elem((64, 64), 0.7));
        assert!(whole.iter().all(|v| (v - 0.7).abs() < 1e-6));
    }

    #[test]
    fn planes_that_agree_blend_to_the_plane_that_they_were_cut_from() {
        let value = |y: usize, x: usize| ((y * 31 + x * 17) % 101) as f32 / 101.0;
        let grid = Grid::new(90, 200, 64);
        let whole = blended(&grid, |top, left| {
            Array2::from_shape_fn((64, 64), |(y, x)| value(top + y, left + x))
        });
        for ((y, x), v) in whole.indexed_iter() {
            assert!((v - value(y, x)).abs() < 1e-6);
        }
    }

    #[test]
    fn tiles_that_disagree_leave_no_seam() {
        // Neighbours are 0 and 1: without blending every border is a step of 1.
        let grid = Grid::new(64, 160, 64);
        let whole = blended(&grid, |_, left| {
            Array2::from_elem(
                (64, 64),
                (grid.columns.iter().position(|&c| c == left).unwrap() % 2) as f32,
            )
        });
        let row = whole.row(20);
        assert!(row.iter().any(|&v| v < 0.01) && row.iter().any(|&v| v > 0.99));
        let steps = row.windows(2).into_iter().map(|w| (w[1] - w[0]).abs());
        // The overlap is 16 pixels; a straight fade would step by 1/16.
        assert!(steps.fold(0.0, f32::max) < 0.12);
        // At a tile's first and last pixels it has faded in, not begun at once.
        for &start in &grid.columns[1..] {
            assert!((row[start] - row[start - 1]).abs() < 0.005, "{start}");
        }
    }

    #[test]
    fn one_tile_is_the_plane_itself() {
        let plane = Array2::from_shape_fn((32, 32), |(y, x)| (y * 32 + x) as f32 / 1024.0);
        let grid = Grid::new(32, 20, 32);
        assert_eq!(grid.extent(), (32, 32));
        assert_eq!(blended(&grid, |_, _| plane.clone()), plane);
    }
}
