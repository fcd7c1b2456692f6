//! Pixels as the `milan` layout keeps them: one array a piece, or one picture a
//! channel.

use crate::data::npy;
use crate::data::sample::Channel;
use crate::error::{Error, Result};
use crate::files::write_atomic;
use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use image::{EncodableLayout, ImageEncoder, Luma, PixelWithColorType, Primitive};
use ndarray::{ArrayView2, ArrayView3};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// How pixels are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PixelFiles {
    /// `arrays/ID.npy`: height x width x channels.
    Arrays,
    /// `images/ID_CHANNEL.png`: grey pictures.
    Images,
}

impl PixelFiles {
    /// The folder they lie in, within the data set's.
    #[must_use]
    pub fn folder(self) -> &'static str {
        match self {
            Self::Arrays => "arrays",
            Self::Images => "images",
        }
    }

    /// Writes pixels `[channels, height, width]` of bytes or 16-bit numbers as a
    /// sample of the data set in `root`.
    ///
    /// # Errors
    /// [`Error::Io`].
    ///
    /// # Panics
    /// If there are fewer `channels` than planes.
    pub fn write<T>(
        self,
        root: &Path,
        id: &str,
        channels: &[Channel],
        pixels: ArrayView3<'_, T>,
    ) -> Result<()>
    where
        T: npy::Element + Primitive,
        Luma<T>: PixelWithColorType<Subpixel = T>,
        [T]: EncodableLayout,
    {
        let folder = root.join(self.folder());
        if self == Self::Arrays {
            let path = folder.join(format!("{id}.npy"));
            return npy::write_array(&path, pixels.permuted_axes([1, 2, 0]));
        }
        for (i, plane) in pixels.outer_iter().enumerate() {
            write_png(&folder.join(format!("{id}_{}.png", channels[i])), plane)?;
        }
        Ok(())
    }
}

/// A grey picture as PNG.
///
/// # Errors
/// [`Error::Io`].
pub fn write_png<T>(path: &Path, plane: ArrayView2<'_, T>) -> Result<()>
where
    T: Primitive,
    Luma<T>: PixelWithColorType<Subpixel = T>,
    [T]: EncodableLayout,
{
    let (height, width) = plane.dim();
    let plane = plane.as_standard_layout();
    let grey = plane.as_slice().expect("in standard layout");
    let mut bytes = Vec::new();
    PngEncoder::new_with_quality(&mut bytes, CompressionType::Fast, FilterType::Sub)
        .write_image(
            grey.as_bytes(),
            width as u32,
            height as u32,
            <Luma<T> as PixelWithColorType>::COLOR_TYPE,
        )
        .map_err(|e| Error::io("write", path)(std::io::Error::other(e)))?;
    write_atomic(path, &bytes)
}
