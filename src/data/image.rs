//! `Image`: the pixels of one sample, all channels aligned.

use crate::error::{Error, Result};
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
        if let Some(row) = pixels.iter().position(|v| !v.is_finite()) {
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
        let mut out = Array3::zeros((self.channels(), height, width));
        let plane = self.height() * self.width();
        for (source, mut target) in self
            .as_slice()
            .chunks_exact(plane)
            .zip(out.outer_iter_mut())
        {
            let target = target.as_slice_mut().expect("freshly made");
            resize_plane(source, self.height(), self.width(), target, height, width);
        }
        Ok(Self(out))
    }
}

/// One plane, bilinear, antialiased.
fn resize_plane(source: &[f32], h: usize, w: usize, target: &mut [f32], oh: usize, ow: usize) {
    use fast_image_resize::images::{TypedImage, TypedImageRef};
    use fast_image_resize::pixels::F32;
    use fast_image_resize::{FilterType, ResizeAlg, ResizeOptions, Resizer};

    let source: Vec<F32> = source.iter().map(|&v| F32::new(v)).collect();
    let mut pixels = vec![F32::new(0.0); target.len()];
    let view = TypedImageRef::new(w as u32, h as u32, &source).expect("sizes agree");
    let mut out =
        TypedImage::from_pixels_slice(ow as u32, oh as u32, &mut pixels).expect("sizes agree");
    Resizer::new()
        .resize_typed(
            &view,
            &mut out,
            &ResizeOptions::new().resize_alg(ResizeAlg::Convolution(FilterType::Bilinear)),
        )
        .expect("both sides are at least one pixel");
    for (t, p) in target.iter_mut().zip(&pixels) {
        *t = p.0;
    }
}
