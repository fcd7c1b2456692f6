//! Convolution of many small images at once, for training.
//!
//! In the late stages of a ResNet an image has 4 to 100 outputs: too few
//! columns for a matrix product that reads all weights. Here the windows of
//! several images stand side by side in one matrix, so that weights are read
//! once a group. Inference does not come here: there an image must give the
//! same bytes alone and in a batch, and another number of columns may round
//! differently.

use super::buffer::with_scratch;
use super::im2col::{Geometry, col2im, im2col};
use super::matrix::{Matrix, multiply};
use super::partial_sums::partial_sums;
use rayon::prelude::*;

/// Columns of a group's matrices.
const COLUMNS: usize = 256;

/// Images with more outputs than this fill a matrix alone.
const SMALL: usize = 128;

/// A batch has at least this many groups, so that several cores have work.
const GROUPS: usize = 4;

/// Whether images are small enough, and several.
pub(super) fn pays(g: &Geometry) -> bool {
    g.batch > 1 && g.out_plane() <= SMALL
}

/// Images of one group.
fn group_size(g: &Geometry) -> usize {
    (COLUMNS / g.out_plane()).clamp(1, g.batch.div_ceil(GROUPS))
}

/// Copies rows of `width` values out of (or into) a matrix of wider rows.
fn copy_rows(from: &[f32], from_row: usize, to: &mut [f32], to_row: usize, width: usize) {
    for (from, to) in from.chunks(from_row).zip(to.chunks_mut(to_row)) {
        to[..width].copy_from_slice(&from[..width]);
    }
}

/// The windows of a group side by side, `[window, images * plane]`.
fn windows(images: &[f32], g: &Geometry) -> Vec<f32> {
    let (plane, size) = (g.out_plane(), g.channels * g.in_plane());
    let columns = images.len() / size * plane;
    let mut all = vec![0.0; g.window() * columns];
    with_scratch(g.window() * plane, |one| {
        for (i, image) in images.chunks_exact(size).enumerate() {
            im2col(image, g, 0, g.out_height(), one);
            copy_rows(one, plane, &mut all[i * plane..], columns, plane);
        }
    });
    all
}

/// The planes of a group side by side, `[filters, images * plane]`.
fn side_by_side(dy: &[f32], g: &Geometry, all: &mut [f32]) {
    let (plane, size) = (g.out_plane(), g.filters * g.out_plane());
    let columns = dy.len() / g.filters;
    for (i, image) in dy.chunks_exact(size).enumerate() {
        copy_rows(image, plane, &mut all[i * plane..], columns, plane);
    }
}

/// `y[n, o] = sum over c of w[o, c] * x[n, c]`.
pub(super) fn forward(x: &[f32], w: &[f32], g: &Geometry) -> Vec<f32> {
    let (plane, size) = (g.out_plane(), g.channels * g.in_plane());
    let group = group_size(g);
    let weights = Matrix::row_major(w, g.filters, g.window());
    let mut y = vec![0.0; g.batch * g.filters * plane];
    y.par_chunks_mut(group * g.filters * plane)
        .zip(x.par_chunks(group * size))
        .for_each(|(y, x)| {
            let columns = x.len() / size * plane;
            let mut out = vec![0.0; g.filters * columns];
            let all = windows(x, g);
            let windows = Matrix::row_major(&all, g.window(), columns);
            // SAFETY: `out` has `filters` rows of `columns` values.
            unsafe { multiply(out.as_mut_ptr(), columns, false, weights, windows) };
            for (i, y) in y.chunks_exact_mut(g.filters * plane).enumerate() {
                copy_rows(&out[i * plane..], columns, y, plane, plane);
            }
        });
    y
}

/// The gradient of the weights, `[filters, window]`.
pub(super) fn weight_gradient(x: &[f32], dy: &[f32], g: &Geometry) -> Vec<f32> {
    let (plane, size) = (g.out_plane(), g.channels * g.in_plane());
    let group = group_size(g);
    let groups: Vec<(&[f32], &[f32])> = x
        .chunks(group * size)
        .zip(dy.chunks(group * g.filters * plane))
        .collect();
    partial_sums(g.filters * g.window(), &groups, |(x, dy), sum| {
        let columns = x.len() / size * plane;
        let mut all_dy = vec![0.0; g.filters * columns];
        side_by_side(dy, g, &mut all_dy);
        let all = windows(x, g);
        let dy = Matrix::row_major(&all_dy, g.filters, columns);
        let windows = Matrix::row_major(&all, g.window(), columns).transposed();
        // SAFETY: `sum` has `filters` rows of `window` values.
        unsafe { multiply(sum.as_mut_ptr(), g.window(), true, dy, windows) };
    })
}

/// The gradient of the input of a strided convolution: `w^T dy` is the
/// gradient of the windows, which are then added onto the images.
pub(super) fn strided_input_gradient(w: &[f32], dy: &[f32], g: &Geometry) -> Vec<f32> {
    let (plane, size) = (g.out_plane(), g.channels * g.in_plane());
    let group = group_size(g);
    let weights = Matrix::row_major(w, g.filters, g.window()).transposed();
    let mut dx = vec![0.0; g.batch * size];
    dx.par_chunks_mut(group * size)
        .zip(dy.par_chunks(group * g.filters * plane))
        .for_each(|(dx, dy)| {
            let columns = dx.len() / size * plane;
            let mut all_dy = vec![0.0; g.filters * columns];
            side_by_side(dy, g, &mut all_dy);
            let mut all = vec![0.0; g.window() * columns];
            let dy = Matrix::row_major(&all_dy, g.filters, columns);
            // SAFETY: `all` has `window` rows of `columns` values.
            unsafe { multiply(all.as_mut_ptr(), columns, false, weights, dy) };
            with_scratch(g.window() * plane, |one| {
                for (i, dx) in dx.chunks_exact_mut(size).enumerate() {
                    copy_rows(&all[i * plane..], columns, one, plane, plane);
                    col2im(one, g, 0, g.out_height(), dx);
                }
            });
        });
    dx
}
