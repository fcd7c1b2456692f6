//! The six lights of the eraser camera: what each makes of rubber, ink,
//! powder and belt. Levels were read off published photographs of real packs.

/// Number of channels.
pub const CHANNELS: usize = 6;

/// One value for each channel: GRAY, AM, G, R, W, NORMAL; 1 is full white.
pub type Spectrum = [f32; CHANNELS];

/// White rubber.
pub const WHITE: Spectrum = [0.95, 0.92, 0.90, 0.965, 0.93, 0.86];
/// Pink rubber: bright in red light, dark in green.
pub const PINK: Spectrum = [0.72, 0.76, 0.47, 0.92, 0.65, 0.47];
/// Green rubber: the reverse.
pub const GREEN: Spectrum = [0.54, 0.51, 0.66, 0.46, 0.57, 0.64];
/// Black printing ink.
pub const INK: Spectrum = [0.125, 0.08, 0.13, 0.115, 0.12, 0.145];
/// Rubbed-off rubber and talcum: nearly white in every light.
pub const POWDER: Spectrum = [0.95, 0.94, 0.90, 0.965, 0.94, 0.87];
/// The conveyor belt.
pub const BELT: Spectrum = [0.088, 0.075, 0.130, 0.070, 0.090, 0.145];

/// How strongly a slope of the surface shows. NORMAL comes in flat from one
/// side, AM from the other, the rest fall nearly straight.
pub const RELIEF: Spectrum = [0.22, 0.55, 0.38, 0.10, 0.25, 0.95];

/// Where each light comes from, a unit vector in the image plane, `y` down.
pub const DIRECTION: [[f32; 2]; CHANNELS] = [
    [0.6, -0.8],
    [-0.8, -0.6],
    [0.8, -0.6],
    [0.0, -1.0],
    [-0.6, -0.8],
    [0.707, -0.707],
];

/// Sharpness: standard deviation of the point spread, in pixels of a crop.
pub const BLUR: Spectrum = [1.0, 0.92, 1.0, 1.15, 1.02, 1.05];

/// Noise of the sensor at full white, in grey levels.
pub const NOISE: Spectrum = [3.1, 2.9, 3.3, 3.0, 3.0, 3.9];

/// Shift of the channel against GRAY, in pixels: NORMAL is taken a moment
/// later, while the belt moves.
pub const SHIFT: [[f32; 2]; CHANNELS] = [
    [0.0, 0.0],
    [0.05, 0.05],
    [-0.1, 0.1],
    [0.15, -0.1],
    [0.0, 0.0],
    [0.45, 0.95],
];
