//! `Image`: the pixels of one sample, all channels aligned.

use crate::error::{Error, Result};
use fast_image_resize::images::{TypedImage, TypedImageRef};
use fast_image_resize::pixels::F32;
use fast_image_resize::{FilterType, ResizeAlg, ResizeOptions, Resizer};
use ndarray::{Array3, ArrayView2};

/// `[channels, height, width]`, f32 in `0..=1`, in standard (C) layout.
#[derive(Debug, Clone, PartialEq)]
pub struct Image(Array3<f32>);

impl Image {
    /// Takes pixels `[channels, height, width]` that were scaled to `0..=1`.
    ///
    /// # Errors
    /// [`Error::Shape`] if a side is zero; [`Error::NotFinite`] with the first
    /// pixel that is not a number.
    pub fn new(pixels: Array3<f32>) -> Result<Self> {
        if pixels.is_empty() {
            return Err(Error::shape("image", pixels.dim(), "at least 1 x 1 x 1"));
        }
        let pixels = if pixels.is_standard_layout() {
            pixels
        } else {
            pixels.as_standard_layout().into_owned()
        };
        let values = pixels.as_slice().expect("in standard layout");
        if let Some(row) = first_not_finite(values) {
            return Err(Error::NotFinite {
                what: "pixels".into(),
                row,
            });
        }
        Ok(Self(pixels))
    }

    /// The pixels, `[channels, height, width]`.
    #[must_use]
    pub fn pixels(&self) -> &Array3<f32> {
        &self.0
    }

    /// The pixels as one slice, channel by channel, row by row.
    #[must_use]
    pub fn as_slice(&self) -> &[f32] {
        self.0.as_slice().expect("kept in standard layout")
    }

    /// Number of channels.
    #[must_use]
    pub fn channels(&self) -> usize {
        self.0.dim().0
    }

    /// Rows of pixels.
    #[must_use]
    pub fn height(&self) -> usize {
        self.0.dim().1
    }

    /// Columns of pixels.
    #[must_use]
    pub fn width(&self) -> usize {
        self.0.dim().2
    }

    /// One channel, `[height, width]`.
    #[must_use]
    pub fn channel(&self, index: usize) -> ArrayView2<'_, f32> {
        self.0.index_axis(ndarray::Axis(0), index)
    }

    /// The image at another size; the same pixels if the size is already that.
    ///
    /// Bilinear with a window that grows with the reduction factor (what PIL
    /// calls bilinear and torchvision calls antialiased).
    ///
    /// # Errors
    /// [`Error::Shape`] if a side is zero.
    pub fn resize(&self, height: usize, width: usize) -> Result<Self> {
        if (height, width) == (self.height(), self.width()) {
            return Ok(self.clone());
        }
        if height == 0 || width == 0 {
            return Err(Error::shape(
                "resized image",
                (height, width),
                "at least 1 x 1",
            ));
        }
        let mut pixels = vec![0.0; self.channels() * height * width];
        let from = (self.height(), self.width());
        let planes = self.as_slice().chunks_exact(from.0 * from.1);
        let mut resizer = Resizer::new();
        for (source, target) in planes.zip(pixels.chunks_exact_mut(height * width)) {
            resize_plane(&mut resizer, source, from, target, (height, width));
        }
        let shape = (self.channels(), height, width);
        let pixels = Array3::from_shape_vec(shape, pixels).expect("as many as the shape says");
        Ok(Self(pixels))
    }
}

/// Where the first value is that is no number. Asked of whole blocks: a loop that could end at any
/// value the compiler does not vectorise.
pub(crate) fn first_not_finite(values: &[f32]) -> Option<usize> {
    const BLOCK: usize = 1024;
    let sound = |block: &[f32]| block.iter().fold(true, |all, v| all & v.is_finite());
    let start = values.chunks(BLOCK).position(|block| !sound(block))? * BLOCK;
    let within = values[start..].iter().position(|v| !v.is_finite())?;
    Some(start + within)
}

/// One plane `[height, width]` at another size, as [`Image::resize`] does it;
/// sides are at least 1.
pub(crate) fn resize_plane(
    resizer: &mut Resizer,
    source: &[f32],
    from: (usize, usize),
    target: &mut [f32],
    to: (usize, usize),
) {
    let (source, target) = (
        bytemuck::cast_slice::<f32, F32>(source),
        bytemuck::cast_slice_mut::<f32, F32>(target),
    );
    let view = TypedImageRef::new(from.1 as u32, from.0 as u32, source).expect("sizes agree");
    let mut out =
        TypedImage::from_pixels_slice(to.1 as u32, to.0 as u32, target).expect("sizes agree");
    let bilinear = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(FilterType::Bilinear));
    resizer
        .resize_typed(&view, &mut out, &bilinear)
        .expect("both sides are at least one pixel");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_value_that_is_no_number_is_found_wherever_it_is() {
        let sound = vec![0.5; 2500];
        assert_eq!(first_not_finite(&sound), None);
        assert_eq!(first_not_finite(&[]), None);
        for at in [0, 1, 1023, 1024, 2047, 2048, 2499] {
            for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
                let mut values = sound.clone();
                values[2499] = f32::NAN;
                values[at] = bad;
                assert_eq!(first_not_finite(&values), Some(at));
            }
        }
    }
}
