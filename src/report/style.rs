//! The colours of all plots.

use plotters::style::RGBColor;

/// Text and axes.
pub const INK: RGBColor = RGBColor(34, 38, 44);
/// Text of less weight.
pub const QUIET: RGBColor = RGBColor(110, 116, 124);
/// Lines of a grid.
pub const LINE: RGBColor = RGBColor(222, 224, 226);
/// One for each series: Okabe and Ito's, for a colour-blind eye.
pub const PALETTE: [RGBColor; 7] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(230, 159, 0),
    RGBColor(86, 180, 233),
    RGBColor(60, 60, 60),
];
