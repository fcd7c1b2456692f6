//! What reaches the sensor (light, six planes) and what the sensor makes of it
//! (blur, uneven lighting, noise, 8 bits).

use super::light::{BLUR, CHANNELS, NOISE, SHIFT, Spectrum};
use ndarray::Array3;
use rand::RngCore;

/// Light for each channel and pixel; 1 is full white.
#[derive(Debug, Clone)]
pub struct Picture {
    /// Columns.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// One plane for each channel, row by row.
    pub planes: [Vec<f32>; CHANNELS],
}

impl Picture {
    /// A black picture.
    pub fn new(width: usize, height: usize) -> Self {
        Self {
            width,
            height,
            planes: std::array::from_fn(|_| vec![0.0; width * height]),
        }
    }
}

/// How one picture is taken.
#[derive(Debug, Clone)]
pub struct Exposure {
    /// Brightness of each channel, about 1.
    pub gain: Spectrum,
    /// Change of brightness from the left to the right edge and from the top
    /// to the bottom edge, for each channel.
    pub tilt: [[f32; 2]; CHANNELS],
    /// Brightness lost in the corners.
    pub vignette: f32,
    /// Shift of each channel in pixels, besides the camera's own.
    pub shift: [[f32; 2]; CHANNELS],
    /// Pixels for each unit of an eraser.
    pub scale: f32,
}

/// The sensor's noise for one picture, standard normal, neighbouring pixels
/// slightly correlated. Drawn once, so that a piece with and without its
/// defect differ by the defect alone.
#[derive(Debug)]
pub struct SensorNoise {
    planes: [Vec<f32>; CHANNELS],
}

impl SensorNoise {
    /// Draws the noise of a picture.
    pub fn draw(rng: &mut impl RngCore, width: usize, height: usize) -> Self {
        Self {
            planes: std::array::from_fn(|_| {
                let white: Vec<f32> = (0..width * height).map(|_| bell(rng.next_u64())).collect();
                (0..white.len())
                    .map(|i| {
                        let before = white[i.saturating_sub(1)];
                        let above = white[i.saturating_sub(width)];
                        0.86 * white[i] + 0.36 * before + 0.36 * above
                    })
                    .collect()
            }),
        }
    }
}

/// Nearly standard normal: the sum of eight uniform bytes.
fn bell(bits: u64) -> f32 {
    let sum: u32 = bits.to_le_bytes().iter().map(|&b| u32::from(b)).sum();
    (sum as f32 - 1020.0) / 209.0
}

/// Takes the picture: `[channels, height, width]`, 8 bits.
pub fn expose(picture: &Picture, exposure: &Exposure, noise: &SensorNoise) -> Array3<u8> {
    let (width, height) = (picture.width, picture.height);
    let mut out = Array3::zeros((CHANNELS, height, width));
    for (c, mut plane) in out.outer_iter_mut().enumerate() {
        let sigma = BLUR[c] * exposure.scale.sqrt();
        let shift: [f32; 2] =
            std::array::from_fn(|axis| SHIFT[c][axis] * exposure.scale + exposure.shift[c][axis]);
        let light = blur(&picture.planes[c], width, height, sigma, shift);
        let grey = plane.as_slice_mut().expect("freshly made");
        for y in 0..height {
            let v = (y as f32 + 0.5) / height as f32 - 0.5;
            for x in 0..width {
                let u = (x as f32 + 0.5) / width as f32 - 0.5;
                let gain = exposure.gain[c]
                    * (1.0 + exposure.tilt[c][0] * u + exposure.tilt[c][1] * v
                        - exposure.vignette * 2.0 * (u * u + v * v));
                let at = y * width + x;
                let level = (light[at] * gain).max(0.0);
                let grain = (0.7 + NOISE[c] * level.min(1.2).sqrt()) * noise.planes[c][at];
                grey[at] = (level * 255.0 + grain + 0.5).clamp(0.0, 255.0) as u8;
            }
        }
    }
    out
}

/// Half the length of the blur's kernel.
const REACH: usize = 4;

/// Gaussian blur with a shift of a fraction of a pixel, edges repeated.
fn blur(plane: &[f32], width: usize, height: usize, sigma: f32, shift: [f32; 2]) -> Vec<f32> {
    let (across, down) = (kernel(sigma, shift[0]), kernel(sigma, shift[1]));
    let mut rows = vec![0.0f32; plane.len()];
    let mut padded = vec![0.0f32; width + 2 * REACH];
    for (source, target) in plane.chunks_exact(width).zip(rows.chunks_exact_mut(width)) {
        padded[..REACH].fill(source[0]);
        padded[REACH..REACH + width].copy_from_slice(source);
        padded[REACH + width..].fill(source[width - 1]);
        for (weight, shifted) in across.iter().zip(padded.windows(width)) {
            for (t, s) in target.iter_mut().zip(shifted) {
                *t += weight * s;
            }
        }
    }
    let mut out = vec![0.0f32; plane.len()];
    for (y, target) in out.chunks_exact_mut(width).enumerate() {
        for (k, weight) in down.iter().enumerate() {
            let row = (y + k).saturating_sub(REACH).min(height - 1);
            for (t, s) in target.iter_mut().zip(&rows[row * width..]) {
                *t += weight * s;
            }
        }
    }
    out
}

/// Weights for the samples at `-REACH..=REACH`, so that content moves by `shift`.
fn kernel(sigma: f32, shift: f32) -> [f32; 2 * REACH + 1] {
    let mut weights: [f32; 2 * REACH + 1] = std::array::from_fn(|i| {
        let distance = i as f32 - REACH as f32 + shift;
        (-distance * distance / (2.0 * sigma * sigma)).exp()
    });
    let sum: f32 = weights.iter().sum();
    weights.iter_mut().for_each(|w| *w /= sum);
    weights
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blur_keeps_the_light_and_moves_it_by_the_shift() {
        let mut plane = vec![0.0; 21 * 21];
        plane[10 * 21 + 10] = 1.0;
        let out = blur(&plane, 21, 21, 1.0, [0.5, -1.0]);
        let (mut sum, mut x, mut y) = (0.0, 0.0, 0.0);
        for (at, v) in out.iter().enumerate() {
            sum += v;
            x += v * (at % 21) as f32;
            y += v * (at / 21) as f32;
        }
        assert!((sum - 1.0).abs() < 1e-5);
        assert!((x - 10.5).abs() < 0.01 && (y - 9.0).abs() < 0.01, "{x} {y}");
    }

    #[test]
    fn sensor_noise_is_standard() {
        use crate::random::Seed;
        let noise = SensorNoise::draw(&mut Seed::new(1).rng(), 100, 100);
        let plane = &noise.planes[3];
        let mean = plane.iter().sum::<f32>() / 10_000.0;
        let variance = plane.iter().map(|v| v * v).sum::<f32>() / 10_000.0;
        assert!(
            mean.abs() < 0.05 && (variance - 1.0).abs() < 0.05,
            "{mean} {variance}"
        );
    }
}
