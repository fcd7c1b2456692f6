//! The outline of one eraser: a square with round corners and slightly bowed
//! sides, as a signed distance field.

use super::noise::Noise;

/// Half the side of an eraser, in the pixels of a 310 x 310 crop.
pub const HALF_SIDE: f32 = 135.0;

/// A nearly square outline, centred on the origin, `y` down.
#[derive(Debug, Clone)]
pub struct Outline {
    /// Half width and half height.
    pub half: [f32; 2],
    /// Corner radii: top left, top right, bottom left, bottom right.
    pub radius: [f32; 4],
    /// How far the middle of a side stands out: left, right, top, bottom.
    pub bow: [f32; 4],
    /// Sideways shift for each unit downwards.
    pub shear: f32,
    /// Half width gained from the middle to the bottom; half height gained
    /// from the middle to the right.
    pub taper: [f32; 2],
    /// Unevenness of the sides.
    pub waves: Noise,
}

/// Distance to the outline (negative inside) and the outward direction.
#[derive(Debug, Clone, Copy)]
pub struct Boundary {
    /// Signed distance, negative inside.
    pub distance: f32,
    /// Unit vector outwards at the nearest boundary point.
    pub outward: [f32; 2],
}

impl Outline {
    /// The boundary as seen from `(x, y)`.
    ///
    /// Exact for a square with round corners; the bows, the shear and the
    /// taper are small enough for the distance to stay within a few percent.
    pub fn boundary(&self, x: f32, y: f32) -> Boundary {
        let x = x - self.shear * y;
        let (right, below) = (usize::from(x > 0.0), usize::from(y > 0.0));
        let (along_x, along_y) = (x / HALF_SIDE, y / HALF_SIDE);
        let half_x = self.half[0]
            + self.taper[0] * along_y
            + self.bow[right] * (1.0 - along_y * along_y)
            + 0.8 * (self.waves.at(y * 0.025, right as f32 * 7.0) - 0.5);
        let half_y = self.half[1]
            + self.taper[1] * along_x
            + self.bow[2 + below] * (1.0 - along_x * along_x)
            + 0.8 * (self.waves.at(x * 0.025, 20.0 + below as f32 * 7.0) - 0.5);
        let radius = self.radius[below * 2 + right];
        let (qx, qy) = (x.abs() - half_x + radius, y.abs() - half_y + radius);
        let (sign_x, sign_y) = (x.signum(), y.signum());
        if qx > 0.0 && qy > 0.0 {
            let length = (qx * qx + qy * qy).sqrt();
            Boundary {
                distance: length - radius,
                outward: [sign_x * qx / length, sign_y * qy / length],
            }
        } else if qx > qy {
            Boundary {
                distance: qx - radius,
                outward: [sign_x, 0.0],
            }
        } else {
            Boundary {
                distance: qy - radius,
                outward: [0.0, sign_y],
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distance_is_measured_from_sides_and_from_round_corners() {
        let outline = Outline {
            half: [10.0, 10.0],
            radius: [2.0; 4],
            bow: [0.0; 4],
            shear: 0.0,
            taper: [0.0; 2],
            waves: Noise::new(0),
        };
        let side = outline.boundary(13.0, 0.0);
        assert!((side.distance - 3.0).abs() < 0.5, "{side:?}"); // waves are below 0.4
        assert_eq!(side.outward, [1.0, 0.0]);
        // The corner's circle has its centre at (8, 8): 5 units off along (3, 4).
        let corner = outline.boundary(11.0, 12.0);
        assert!((corner.distance - 3.0).abs() < 0.7, "{corner:?}");
        assert!(outline.boundary(0.0, 0.0).distance < -9.0);
    }
}
