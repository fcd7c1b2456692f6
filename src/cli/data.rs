//! Flags about data that several commands share.

use clap::{Args, ValueEnum};
use goma::data::dataset::{Dataset, OpenOptions};
use goma::data::format::PixelFormat;
use goma::data::layout::Layout;
use goma::data::pixel_files::PixelFiles;
use goma::data::sample::Channel;
use goma::pipeline::rows::Unreadable;
use goma::{Error, Result};

/// How input is read.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Data")]
pub struct DataArgs {
    /// Layout of the data: milan, folders, mvtec, manifest, loose (default: detected)
    #[arg(long, value_name = "LAYOUT")]
    pub layout: Option<Layout>,
    /// Channels to use, by name and in this order, e.g. GRAY,AM (default: all)
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    pub channels: Vec<String>,
    /// Largest picture taken, in pixels (height x width)
    #[arg(long, value_name = "N", default_value_t = OpenOptions::default().max_pixels)]
    pub max_pixels: u64,
}

impl Default for DataArgs {
    fn default() -> Self {
        Self {
            layout: None,
            channels: Vec::new(),
            max_pixels: OpenOptions::default().max_pixels,
        }
    }
}

impl DataArgs {
    /// The options for opening data.
    pub fn options(&self) -> OpenOptions {
        OpenOptions {
            layout: self.layout,
            channels: (!self.channels.is_empty())
                .then(|| self.channels.iter().map(Channel::new).collect()),
            max_pixels: self.max_pixels,
            ..OpenOptions::default()
        }
    }
}

/// How pixels are written.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum Stored {
    /// arrays/ID.npy, height x width x channels
    Arrays,
    /// images/ID_CHANNEL.png
    Images,
}

impl From<Stored> for PixelFiles {
    fn from(stored: Stored) -> Self {
        match stored {
            Stored::Arrays => Self::Arrays,
            Stored::Images => Self::Images,
        }
    }
}

/// Annotated pieces whose pixels are missing: left out like unreadable ones.
pub fn without_pixels(dataset: &Dataset) -> impl Iterator<Item = Unreadable> {
    dataset
        .missing
        .iter()
        .filter(|missing| missing.annotation.is_some())
        .map(|missing| Unreadable {
            id: missing.id.clone(),
            reason: missing.reason.clone(),
        })
}

/// Asks for the channels of a bundle, in its order.
///
/// # Errors
/// [`Error::Setting`] if `--channels` asks for others.
pub fn require_channels(options: &mut OpenOptions, bundle: &PixelFormat) -> Result<()> {
    let asked = options.channels.replace(bundle.channels.clone());
    match asked {
        Some(asked) if asked != bundle.channels => Err(Error::setting(
            "channels",
            format!("the bundle needs {}", bundle.names().join(",")),
        )),
        _ => Ok(()),
    }
}
