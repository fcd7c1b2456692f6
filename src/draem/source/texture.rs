//! The paper's defects: regions filled with a foreign texture.
//!
//! DRAEM section 3.3: Perlin noise is thresholded into a mask, the mask is
//! filled from a texture source under random augmentations, and blended with
//! opacity beta: `I_a = (1 - M) I + (1 - beta) M A + beta M I`.

use super::region::{Edge, blend, perlin_region};
use super::{AnomalySource, Defect, SimulationOptions};
use crate::draem::augment::augment;
use crate::pretrain::textures;
use ndarray::{Array3, ArrayView3, Axis, s};
use rand::Rng;
use rand::seq::SliceRandom;

/// The piece with a textured region, which is the mask.
pub fn textured(
    source: &AnomalySource,
    good: ArrayView3<'_, f32>,
    options: &SimulationOptions,
    rng: &mut impl Rng,
) -> Defect {
    let (_, height, width) = good.dim();
    let mut texture = source.draw(good.dim(), rng);
    augment(&mut texture, rng);
    let region = perlin_region((height, width), options, Edge::Hard, rng);
    let beta = rng.random::<f32>() * options.beta_max;
    Defect {
        image: blend(good, &texture, &region, 1.0 - beta),
        mask: region.mapv(|weight| weight > 0.0),
    }
}

impl AnomalySource {
    /// A texture `[channels, height, width]` in `0..=1`: half of the time from
    /// a good piece (where there are any), else a picture or painted.
    pub fn draw(&self, shape: (usize, usize, usize), rng: &mut impl Rng) -> Array3<f32> {
        if !self.pieces.is_empty() && rng.random_bool(0.5) {
            let piece = &self.pieces[rng.random_range(0..self.pieces.len())];
            return shuffle_blocks(piece.view(), rng);
        }
        let (channels, height, width) = shape;
        let picture = if self.pictures.is_empty() {
            painted(height.max(width), rng)
        } else {
            self.pictures[rng.random_range(0..self.pictures.len())].clone()
        };
        spread(&cut(picture.view(), height, width, rng), channels, rng)
    }
}

/// One of the painted surfaces, `[3, side, side]`.
fn painted(side: usize, rng: &mut impl Rng) -> Array3<f32> {
    let family = rng.random_range(0..textures::FAMILIES.len());
    let picture = textures::picture_of(family, textures::Event::None, side.max(32), rng);
    let side = side.max(32);
    Array3::from_shape_vec((3, side, side), picture.pixels).expect("three square planes")
}

/// A random window of the picture at the wanted size, mirrored where the
/// picture is smaller.
fn cut(
    picture: ArrayView3<'_, f32>,
    height: usize,
    width: usize,
    rng: &mut impl Rng,
) -> Array3<f32> {
    let (channels, h, w) = picture.dim();
    let top = rng.random_range(0..=h.saturating_sub(height));
    let left = rng.random_range(0..=w.saturating_sub(width));
    Array3::from_shape_fn((channels, height, width), |(c, y, x)| {
        picture[[c, mirror(top + y, h), mirror(left + x, w)]]
    })
}

/// Index `i` reflected into `0..n` at both ends.
fn mirror(i: usize, n: usize) -> usize {
    let i = i % (2 * n);
    if i < n { i } else { 2 * n - 1 - i }
}

/// The picture's channels on `channels` channels: the same where the numbers
/// agree, else a random blend of them for each.
fn spread(picture: &Array3<f32>, channels: usize, rng: &mut impl Rng) -> Array3<f32> {
    let (from, height, width) = picture.dim();
    if from == channels {
        return picture.clone();
    }
    let mut out = Array3::zeros((channels, height, width));
    for mut plane in out.axis_iter_mut(Axis(0)) {
        let weights: Vec<f32> = (0..from).map(|_| rng.random::<f32>() + 1e-3).collect();
        let sum: f32 = weights.iter().sum();
        for (weight, source) in weights.iter().zip(picture.outer_iter()) {
            plane.scaled_add(weight / sum, &source);
        }
    }
    out
}

/// The piece cut into 2 x 2, 4 x 4 or 8 x 8 blocks, shuffled and mirrored.
fn shuffle_blocks(piece: ArrayView3<'_, f32>, rng: &mut impl Rng) -> Array3<f32> {
    let (_, height, width) = piece.dim();
    let grid = (1usize << rng.random_range(1..=3)).min(height).min(width);
    let (bh, bw) = (height / grid, width / grid);
    let mut order: Vec<usize> = (0..grid * grid).collect();
    order.shuffle(rng);
    let mut out = piece.to_owned();
    for (to, from) in order.into_iter().enumerate() {
        let (ty, tx, fy, fx) = (
            to / grid * bh,
            to % grid * bw,
            from / grid * bh,
            from % grid * bw,
        );
        let mut block = piece.slice(s![.., fy..fy + bh, fx..fx + bw]);
        if rng.random_bool(0.5) {
            block.invert_axis(Axis(2));
        }
        if rng.random_bool(0.5) {
            block.invert_axis(Axis(1));
        }
        out.slice_mut(s![.., ty..ty + bh, tx..tx + bw])
            .assign(&block);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::image::Image;
    use crate::random::Seed;

    #[test]
    fn shuffled_blocks_hold_the_same_pixels() {
        let piece = Array3::from_shape_fn((2, 16, 16), |(c, y, x)| (c * 256 + y * 16 + x) as f32);
        let shuffled = shuffle_blocks(piece.view(), &mut Seed::new(1).rng());
        let sorted = |a: &Array3<f32>| {
            let mut v: Vec<u32> = a.iter().map(|v| *v as u32).collect();
            v.sort_unstable();
            v
        };
        assert_eq!(sorted(&piece), sorted(&shuffled));
        assert_ne!(piece, shuffled);
    }

    #[test]
    fn pictures_of_any_size_and_colour_fill_any_number_of_channels() {
        let grey = Image::new(Array3::from_elem((1, 5, 7), 0.25)).unwrap();
        let source = AnomalySource::textures().with_pictures(&[grey]).unwrap();
        let texture = source.draw((6, 20, 30), &mut Seed::new(2).rng());
        assert_eq!(texture.dim(), (6, 20, 30));
        assert!(texture.iter().all(|v| (v - 0.25).abs() < 1e-6));
    }

    #[test]
    fn mirroring_walks_back_and_forth() {
        let walk: Vec<usize> = (0..7).map(|i| mirror(i, 3)).collect();
        assert_eq!(walk, [0, 1, 2, 2, 1, 0, 0]);
    }
}
