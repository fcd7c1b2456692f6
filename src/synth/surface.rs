//! The surface of one eraser as planes over the pixels it covers: shape, ink,
//! powder, dirt and damage. Defects change these planes; [`Surface::paint`]
//! lights them for the six channels.

use super::light::{DIRECTION, INK, POWDER, RELIEF, Spectrum};
use super::picture::Picture;

/// How far an eraser's surface extends beyond its outline: what it hides of the
/// sky above the belt.
pub const REACH: f32 = 26.0;

/// Where an eraser lies in the picture.
#[derive(Debug, Clone, Copy)]
pub struct Placement {
    /// Pixel coordinates of the eraser's centre.
    pub centre: [f32; 2],
    /// Cosine and sine of the turn (clockwise, for `y` points down).
    pub turn: [f32; 2],
    /// Pixels for each unit of the eraser; 1 in a 310 x 310 crop.
    pub scale: f32,
}

impl Placement {
    /// Pixel coordinates in the eraser's own frame.
    pub fn to_local(self, x: f32, y: f32) -> [f32; 2] {
        let (dx, dy) = (x - self.centre[0], y - self.centre[1]);
        let [cos, sin] = self.turn;
        [
            (dx * cos + dy * sin) / self.scale,
            (dy * cos - dx * sin) / self.scale,
        ]
    }

    /// A point of the eraser in pixel coordinates.
    pub fn to_image(self, [x, y]: [f32; 2]) -> [f32; 2] {
        let [cos, sin] = self.turn;
        [
            self.centre[0] + self.scale * (x * cos - y * sin),
            self.centre[1] + self.scale * (x * sin + y * cos),
        ]
    }
}

/// The pixels of a rectangle of the picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// First column.
    pub x0: usize,
    /// First row.
    pub y0: usize,
    /// Columns.
    pub width: usize,
    /// Rows.
    pub height: usize,
}

/// One eraser's surface; every plane is `window.height * window.width` long.
#[derive(Debug, Clone)]
pub struct Surface {
    /// Where the eraser lies.
    pub placement: Placement,
    /// Which pixels the planes cover.
    pub window: Window,
    /// Signed distance to the outline in eraser units, negative inside.
    pub distance: Vec<f32>,
    /// Outward direction of the nearest edge.
    pub outward: Vec<[f32; 2]>,
    /// Slope of the surface besides its rim: the way it faces.
    pub slope: Vec<[f32; 2]>,
    /// Lightness of the rubber, about 1.
    pub lightness: Vec<f32>,
    /// White powder, `0..=1`.
    pub powder: Vec<f32>,
    /// Dark dust, `0..=1`.
    pub dirt: Vec<f32>,
    /// Ink density, `0..=1`.
    pub ink: Vec<f32>,
    /// Dye soaked into the rubber, `0..=1`.
    pub stain: Vec<f32>,
    /// Foreign matter lying on top, `0..=1`.
    pub residue: Vec<f32>,
    /// Light lost in cavities, `0..=1`.
    pub cavity: Vec<f32>,
    /// What the rubber reflects.
    pub rubber: Spectrum,
    /// What the dye lets through at full density.
    pub dye: Spectrum,
    /// What the residue reflects.
    pub matter: Spectrum,
    /// Width of the rounded rim on each side: left, right, top, bottom.
    pub rim: [f32; 4],
}

impl Surface {
    /// Visits the pixels whose centre lies within `reach` eraser units of
    /// `centre` (both axes): `visit(index, local point)`.
    pub fn near(&self, centre: [f32; 2], reach: f32, mut visit: impl FnMut(usize, [f32; 2])) {
        let [cx, cy] = self.placement.to_image(centre);
        let radius = reach * self.placement.scale * 1.5; // covers the turned square
        let Window {
            x0,
            y0,
            width,
            height,
        } = self.window;
        let range = |c: f32, first: usize, count: usize| {
            let from = (c - radius).floor().max(first as f32) as usize;
            let to = (c + radius).ceil().min((first + count) as f32 - 1.0);
            if to < from as f32 {
                0..0
            } else {
                from..to as usize + 1
            }
        };
        for y in range(cy, y0, height) {
            for x in range(cx, x0, width) {
                let local = self.placement.to_local(x as f32, y as f32);
                if (local[0] - centre[0]).abs() <= reach && (local[1] - centre[1]).abs() <= reach {
                    visit((y - y0) * width + (x - x0), local);
                }
            }
        }
    }

    /// Bilinear sample of a plane at an eraser point; 0 outside the window.
    pub fn sample(&self, plane: &[f32], local: [f32; 2]) -> f32 {
        let [x, y] = self.placement.to_image(local);
        let (x, y) = (x - self.window.x0 as f32, y - self.window.y0 as f32);
        if !(x >= 0.0 && y >= 0.0) {
            return 0.0;
        }
        let (i, j) = (x as usize, y as usize);
        if i + 1 >= self.window.width || j + 1 >= self.window.height {
            return 0.0;
        }
        let (u, v) = (x - i as f32, y - j as f32);
        let at = j * self.window.width + i;
        let below = at + self.window.width;
        let top = plane[at] + (plane[at + 1] - plane[at]) * u;
        let low = plane[below] + (plane[below + 1] - plane[below]) * u;
        top + (low - top) * v
    }

    /// Adds how much of the sky this eraser hides from each pixel of the ground:
    /// 1 at its edge, more beneath it, nothing from [`REACH`] units off.
    pub fn hide_sky(&self, hidden: &mut [f32], picture_width: usize) {
        for (at, pixel) in self.pixels(picture_width) {
            let d = self.distance[at];
            hidden[pixel] += if d < 0.0 {
                1.0 + (-d / 12.0).min(1.0)
            } else {
                (1.0 - d / REACH).max(0.0)
            };
        }
    }

    /// Paints the eraser, lit by each light, over the picture.
    pub fn paint(&self, picture: &mut Picture) {
        for (at, pixel) in self.pixels(picture.width) {
            let cover = (0.5 - self.distance[at] * self.placement.scale).clamp(0.0, 1.0);
            if cover > 0.0 {
                let seen = self.seen(at);
                for (plane, value) in picture.planes.iter_mut().zip(seen) {
                    plane[pixel] += (value - plane[pixel]) * cover;
                }
            }
        }
    }

    /// What the camera sees of one point in each channel.
    fn seen(&self, at: usize) -> Spectrum {
        let depth = (-self.distance[at]).max(0.0);
        let [nx, ny] = self.outward[at];
        let [left, right, top, bottom] = self.rim;
        let rim = if nx < 0.0 { left } else { right } * nx * nx
            + if ny < 0.0 { top } else { bottom } * ny * ny;
        // The rounded edge turns away from the camera: black at the very edge
        // (it sees the neighbour), then a greyer wall as wide as the rim.
        let turned = falloff(depth / (0.45 * rim));
        let wall = 1.0 - 0.62 * falloff(depth / 1.2) - 0.26 * turned;
        let lit = wall * (1.0 - 0.9 * self.cavity[at]) * (1.0 - 0.55 * self.dirt[at]);
        let slope = [
            self.slope[at][0] + 0.30 * nx * turned,
            self.slope[at][1] + 0.30 * ny * turned,
        ];
        let (powder, ink) = (self.powder[at], self.ink[at]);
        let (stain, residue) = (self.stain[at], self.residue[at]);
        std::array::from_fn(|c: usize| {
            let mut v = self.rubber[c] * self.lightness[at];
            v += (POWDER[c] - v) * powder;
            v *= 1.0 + (self.dye[c] - 1.0) * stain;
            v += (INK[c] - v) * ink;
            v += (self.matter[c] - v) * residue;
            let towards = slope[0] * DIRECTION[c][0] + slope[1] * DIRECTION[c][1];
            v * lit * (1.0 + RELIEF[c] * towards).clamp(0.15, 1.7)
        })
    }

    /// Index in the planes and index in the picture of every covered pixel.
    fn pixels(&self, picture_width: usize) -> impl Iterator<Item = (usize, usize)> + use<> {
        let Window {
            x0,
            y0,
            width,
            height,
        } = self.window;
        (0..height).flat_map(move |y| {
            (0..width).map(move |x| (y * width + x, (y0 + y) * picture_width + x0 + x))
        })
    }
}

/// About `exp(-t)` for `t >= 0`, by a fraction that has the same bits on every
/// machine.
pub fn falloff(t: f32) -> f32 {
    1.0 / (1.0 + t * (1.0 + t * (0.48 + t * 0.235)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placing_and_taking_back_gives_the_same_point() {
        let placement = Placement {
            centre: [100.0, 50.0],
            turn: [0.8, 0.6],
            scale: 0.5,
        };
        let [x, y] = placement.to_image([10.0, 20.0]);
        assert_eq!([x, y], [98.0, 61.0]); // 100 + (8 - 12) / 2, 50 + (6 + 16) / 2
        let back = placement.to_local(x, y);
        assert!((back[0] - 10.0).abs() < 1e-4 && (back[1] - 20.0).abs() < 1e-4);
    }

    #[test]
    fn falloff_follows_the_exponential() {
        for t in [0.0f32, 0.5, 1.0, 2.0, 4.0] {
            assert!((falloff(t) - (-t).exp()).abs() < 0.02, "{t}");
        }
    }
}
