//! Flags about data that several commands share.

use clap::Args;
use goma::data::dataset::OpenOptions;
use goma::data::layout::Layout;
use goma::data::sample::Channel;

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
