//! `PixelFormat`: what the numbers in a data set's files mean. Decided once for
//! a data set (see `data::survey`) and recorded; never guessed anew for
//! each file.

pub use crate::data::decode::AxisOrder;
use crate::data::npy::Dtype;
use crate::data::sample::Channel;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Values may miss the range by this share of it (rounding by whoever scaled
/// them); they are then taken for its end. Anything further out is an error.
pub const RANGE_TOLERANCE: f64 = 1e-4;

/// For each kind of number the value that means white: 1.0 in an
/// [`Image`](crate::data::image::Image). Black is 0 for all.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PixelRange {
    /// Divisor of unsigned bytes: 255.
    pub uint8: f64,
    /// Divisor of 16-bit integers: 65535, or 255 where the data set keeps bytes
    /// in them.
    pub uint16: f64,
    /// Divisor of floats: 1 or 255.
    pub float: f64,
}

impl Default for PixelRange {
    fn default() -> Self {
        Self {
            uint8: 255.0,
            uint16: 65535.0,
            float: 1.0,
        }
    }
}

impl PixelRange {
    /// Integers and floats alike run from 0 to 255.
    #[must_use]
    pub fn byte() -> Self {
        Self {
            uint8: 255.0,
            uint16: 255.0,
            float: 255.0,
        }
    }

    /// The value that means white for numbers of this kind.
    #[must_use]
    pub fn white(&self, dtype: Dtype) -> f64 {
        match dtype {
            Dtype::U8 => self.uint8,
            Dtype::U16 => self.uint16,
            Dtype::F32 | Dtype::F64 => self.float,
        }
    }
}

/// Channels, axis order and range of all files of a data set.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PixelFormat {
    /// The channels an image has, in order.
    pub channels: Vec<Channel>,
    /// The channels a file has, where they are others (more, or in another
    /// order) than those wanted; the wanted ones are picked by name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stored: Option<Vec<Channel>>,
    /// Which axis of an array counts the channels.
    pub axis: AxisOrder,
    /// What white is.
    pub range: PixelRange,
    /// Grey pictures occur among colour ones and count as R = G = B.
    #[serde(default)]
    pub grey_as_colour: bool,
}

impl PixelFormat {
    /// These channels, last in arrays, in the usual range of each kind of number.
    #[must_use]
    pub fn new(channels: Vec<Channel>) -> Self {
        Self {
            channels,
            stored: None,
            axis: AxisOrder::ChannelsLast,
            range: PixelRange::default(),
            grey_as_colour: false,
        }
    }

    /// The channels' names.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        self.channels.iter().map(|c| c.name().to_string()).collect()
    }
}

impl fmt::Display for PixelFormat {
    /// `6 channels (GRAY AM G R W NORMAL), last axis of arrays; white is 255 in
    /// uint8, 65535 in uint16, 1 in floats`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let axis = match self.axis {
            AxisOrder::ChannelsFirst => "first",
            AxisOrder::ChannelsLast => "last",
        };
        let PixelRange {
            uint8,
            uint16,
            float,
        } = self.range;
        write!(
            f,
            "{} {} ({}), {axis} axis of arrays; white is {uint8} in uint8, {uint16} in uint16, \
             {float} in floats",
            self.channels.len(),
            if self.channels.len() == 1 {
                "channel"
            } else {
                "channels"
            },
            self.names().join(" ")
        )
    }
}

/// The names for so many channels where nothing names them: GRAY; R, G, B; the
/// eraser camera's six; else C0, C1 ...
#[must_use]
pub(crate) fn usual_channels(count: usize) -> Vec<Channel> {
    match count {
        1 => vec![Channel::new("GRAY")],
        3 => ["R", "G", "B"].into_iter().map(Channel::new).collect(),
        6 => Channel::eraser(),
        n => (0..n).map(|i| Channel::new(format!("C{i}"))).collect(),
    }
}
