//! `Offset`: how far a piece lies off its usual place.

use serde::{Deserialize, Serialize};

/// How far a piece lies off its usual place, in pixels of its photograph.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Offset {
    /// Downwards; negative: upwards.
    pub down: i32,
    /// To the right; negative: to the left.
    pub right: i32,
}

impl Offset {
    /// The distance, in pixels.
    #[must_use]
    pub fn length(self) -> f64 {
        f64::from(self.down).hypot(f64::from(self.right))
    }
}
