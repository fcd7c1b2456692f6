//! Small pictures of the worst pieces so far, kept on disk until the report
//! is written, so that a resumed run has those of the earlier one.

use crate::data::anomaly_map::AnomalyMap;
use crate::data::colour::ColourScale;
use crate::data::image::Image;
use crate::error::{Error, Result};
use crate::report::heatmap::{
    fitted, fitted_size, jpeg, map_picture, overlay, panel, photograph, shown,
};
use image::RgbImage;
use std::fs;
use std::path::{Path, PathBuf};

/// Longest side of a thumbnail; three JPEGs of a piece are about 30 kB.
const SIDE: usize = 256;
/// Longest side of one channel in the picture of all channels.
const CHANNEL_SIDE: usize = 128;

/// The pictures of one piece, by kind; a missing one is not shown.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pictures {
    /// The photograph, JPEG.
    pub image: Option<Vec<u8>>,
    /// The anomaly map, JPEG.
    pub map: Option<Vec<u8>>,
    /// The overlay, JPEG.
    pub overlay: Option<Vec<u8>>,
    /// All channels, JPEG; where a photograph in colour does not show them.
    pub channels: Option<Vec<u8>>,
}

/// The folder they lie in.
#[derive(Debug)]
pub struct Thumbs {
    folder: PathBuf,
}

const KINDS: [&str; 4] = ["image", "map", "overlay", "channels"];

impl Thumbs {
    /// Those in `folder`.
    #[must_use]
    pub fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// Their folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Saves the pictures of the `index`-th input.
    ///
    /// # Errors
    /// [`Error::Io`] if the folder cannot be written.
    pub fn write(&self, index: u64, pictures: &Pictures) -> Result<()> {
        for (kind, picture) in KINDS.iter().zip(pictures.kinds()) {
            if let Some(bytes) = picture {
                let path = self.path(index, kind);
                fs::write(&path, bytes).map_err(Error::io("write", &path))?;
            }
        }
        Ok(())
    }

    /// The pictures of the `index`-th input, as far as they are there.
    #[must_use]
    pub fn read(&self, index: u64) -> Pictures {
        let [image, map, overlay, channels] =
            KINDS.map(|kind| fs::read(self.path(index, kind)).ok());
        Pictures {
            image,
            map,
            overlay,
            channels,
        }
    }

    /// Removes the pictures of a piece that is no longer among the worst. One
    /// that stays behind does no harm; it goes with the folder.
    pub fn discard(&self, index: u64) {
        for kind in KINDS {
            let _ = fs::remove_file(self.path(index, kind));
        }
    }

    /// Removes the folder, if it is there.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn remove(&self) -> Result<()> {
        match fs::remove_dir_all(&self.folder) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                Err(Error::io("remove", &self.folder)(e))
            }
            _ => Ok(()),
        }
    }

    fn path(&self, index: u64, kind: &str) -> PathBuf {
        self.folder.join(format!("{index}-{kind}.jpg"))
    }
}

impl Pictures {
    fn kinds(&self) -> [&Option<Vec<u8>>; 4] {
        [&self.image, &self.map, &self.overlay, &self.channels]
    }
}

/// Draws the pictures of a piece.
///
/// # Errors
/// As the functions of [`heatmap`](crate::report::heatmap).
pub fn draw(image: &Image, map: Option<&AnomalyMap>, scale: &ColourScale) -> Result<Pictures> {
    let small = fitted(&shown(image)?, SIDE)?;
    let many = !matches!(image.channels(), 1 | 3);
    Ok(Pictures {
        image: Some(jpeg(&photograph(&small, scale))?),
        map: map
            .map(|m| jpeg(&small_map(m, scale, &small)?.into()))
            .transpose()?,
        overlay: map
            .map(|m| jpeg(&overlay(&small, m, scale)?.into()))
            .transpose()?,
        channels: many
            .then(|| jpeg(&panel(image, scale, CHANNEL_SIDE)?.into()))
            .transpose()?,
    })
}

/// The map's picture in the photograph's proportions, no larger than the map:
/// scaled up it would cost more and show no more.
fn small_map(map: &AnomalyMap, scale: &ColourScale, photograph: &Image) -> Result<RgbImage> {
    let (map_height, map_width) = map.values().dim();
    let side = map_height.max(map_width).min(SIDE);
    let (height, width) = fitted_size(photograph.height(), photograph.width(), side);
    map_picture(map, scale, height, width)
}
