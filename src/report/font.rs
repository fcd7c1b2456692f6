//! The font that plots are set in, on every machine the same.

use plotters::style::{FontStyle, register_font};
use std::sync::Once;

/// Its family, as plotters names it; an SVG falls back to the reader's own.
pub const FAMILY: &str = "sans-serif";

const DEJAVU_SANS: &[u8] = include_bytes!("font/DejaVuSans.ttf");

/// Makes plotters know the font. Without it nothing with a letter can be drawn.
pub fn ready() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // The bytes lie in the program; a test draws with them.
        let _ = register_font(FAMILY, FontStyle::Normal, DEJAVU_SANS);
    });
}
