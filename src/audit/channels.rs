//! What each channel looks like: mean, deviation, percentiles, saturated share
//! and histogram, of all pieces and of each class.

use crate::data::image::Image;

/// Bins of a histogram over 0..=1; a byte has a bin of its own.
pub const BINS: usize = 256;

/// The values of one channel, gathered piece by piece.
#[derive(Debug, Clone)]
pub struct ChannelStatistics {
    counts: Vec<u64>,
    pixels: u64,
    sum: f64,
    squares: f64,
    black: u64,
    white: u64,
}

impl Default for ChannelStatistics {
    fn default() -> Self {
        Self {
            counts: vec![0; BINS],
            pixels: 0,
            sum: 0.0,
            squares: 0.0,
            black: 0,
            white: 0,
        }
    }
}

impl ChannelStatistics {
    /// Of one channel of one piece.
    #[must_use]
    pub fn of(image: &Image, channel: usize) -> Self {
        let mut found = Self::default();
        for &value in image.channel(channel) {
            let bin = (value * (BINS - 1) as f32).round() as usize;
            found.counts[bin.min(BINS - 1)] += 1;
            found.sum += f64::from(value);
            found.squares += f64::from(value) * f64::from(value);
            found.black += u64::from(value <= 0.0);
            found.white += u64::from(value >= 1.0);
        }
        found.pixels = found.counts.iter().sum();
        found
    }

    /// Adds another's values.
    pub fn add(&mut self, other: &Self) {
        for (count, more) in self.counts.iter_mut().zip(&other.counts) {
            *count += more;
        }
        self.pixels += other.pixels;
        self.sum += other.sum;
        self.squares += other.squares;
        self.black += other.black;
        self.white += other.white;
    }

    /// Number of pixels.
    #[must_use]
    pub fn pixels(&self) -> u64 {
        self.pixels
    }

    /// Pixels in each of the [`BINS`] bins.
    #[must_use]
    pub fn histogram(&self) -> &[u64] {
        &self.counts
    }

    /// Mean value, in 0..=1.
    #[must_use]
    pub fn mean(&self) -> f64 {
        self.share(self.sum)
    }

    /// Standard deviation (of the population).
    #[must_use]
    pub fn deviation(&self) -> f64 {
        (self.share(self.squares) - self.mean().powi(2))
            .max(0.0)
            .sqrt()
    }

    /// Share of pixels at the upper end of the range.
    #[must_use]
    pub fn saturated(&self) -> f64 {
        self.share(self.white as f64)
    }

    /// Share of pixels at 0.
    #[must_use]
    pub fn black(&self) -> f64 {
        self.share(self.black as f64)
    }

    /// The value below or at which this share of the pixels lies (inverse of the
    /// empirical distribution, to a bin: 1/255).
    #[must_use]
    pub fn percentile(&self, share: f64) -> f64 {
        let wanted = (share * self.pixels as f64).ceil().max(1.0) as u64;
        let mut below = 0;
        for (bin, count) in self.counts.iter().enumerate() {
            below += count;
            if below >= wanted {
                return bin as f64 / (BINS - 1) as f64;
            }
        }
        0.0
    }

    fn share(&self, of: f64) -> f64 {
        match self.pixels {
            0 => 0.0,
            n => of / n as f64,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::Array3;

    #[test]
    fn statistics_of_four_pixels_are_those_worked_out_by_hand() {
        let pixels = Array3::from_shape_vec((1, 2, 2), vec![0.0, 0.2, 0.6, 1.0]).unwrap();
        let image = Image::new(pixels).unwrap();
        let mut s = ChannelStatistics::of(&image, 0);
        assert!((s.mean() - 0.45).abs() < 1e-7);
        // Mean of squares 0.35, less 0.2025.
        assert!((s.deviation() - 0.1475f64.sqrt()).abs() < 1e-7);
        assert_eq!((s.saturated(), s.black()), (0.25, 0.25));
        assert!((s.percentile(0.5) - 0.2).abs() < 1e-9);
        assert!((s.percentile(0.51) - 0.6).abs() < 1e-9);
        let once = s.clone();
        s.add(&once);
        assert_eq!((s.pixels(), s.mean()), (8, once.mean()));
    }
}
