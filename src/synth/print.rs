//! The print: where the plate put each character, and the ink it left.

use super::glyphs::{Glyph, NUMBER, RING, WORD};
use super::noise::{Noise, smoothstep};
use super::surface::Surface;

/// Angle of the wordmark above the horizontal, in degrees.
const SLANT: f32 = 38.7;

/// How the plate hit this eraser.
#[derive(Debug, Clone)]
pub struct Print {
    /// Shift in eraser units.
    pub shift: [f32; 2],
    /// Turn in radians.
    pub turn: f32,
    /// Size, about 1.
    pub size: f32,
    /// How far ink spread beyond the drawn outline, in eraser units.
    pub gain: f32,
    /// Density of full ink, about 0.95.
    pub density: f32,
    /// Density lost towards this direction, for each eraser unit.
    pub slope: [f32; 2],
    /// How speckled the ink is: 0 even, 1 worn.
    pub wear: f32,
    /// Speckles and rough edges.
    pub texture: Noise,
}

/// One character where it was printed.
#[derive(Debug, Clone, Copy)]
pub struct Character {
    glyph: &'static Glyph,
    /// Left end of the baseline, in eraser units.
    origin: [f32; 2],
    /// Direction of the baseline.
    along: [f32; 2],
    /// Eraser units for one glyph unit.
    unit: f32,
}

impl Character {
    /// Signed distance to the character's outline, in eraser units.
    pub fn distance(&self, point: [f32; 2]) -> f32 {
        let [x, y] = self.to_glyph(point);
        self.glyph.distance(x, y) * self.unit
    }

    /// A point in glyph units.
    pub fn to_glyph(self, point: [f32; 2]) -> [f32; 2] {
        let (dx, dy) = (point[0] - self.origin[0], point[1] - self.origin[1]);
        let [c, s] = self.along;
        [(dx * c + dy * s) / self.unit, (dx * s - dy * c) / self.unit]
    }

    /// Middle of the character's box.
    pub fn centre(&self) -> [f32; 2] {
        let (x, y) = (0.5 * self.glyph.width * self.unit, 50.0 * self.unit);
        let [c, s] = self.along;
        [
            self.origin[0] + x * c + y * s,
            self.origin[1] + x * s - y * c,
        ]
    }

    /// Half the diagonal of the character's box, in eraser units.
    pub fn radius(&self) -> f32 {
        let (w, h) = (self.glyph.width * 0.5, 50.0);
        (w * w + h * h).sqrt() * self.unit
    }
}

impl Print {
    /// The characters where this plate put them: four letters, three figures,
    /// the ring.
    pub fn characters(&self) -> Vec<Character> {
        let (sin, cos) = SLANT.to_radians().sin_cos();
        let slanted = [cos, -sin];
        let mut characters = Vec::with_capacity(8);
        self.line(
            &mut characters,
            WORD.iter(),
            [-79.0, 77.0],
            slanted,
            0.472,
            9.0,
        );
        self.line(
            &mut characters,
            NUMBER.iter(),
            [7.0, 77.0],
            [1.0, 0.0],
            0.345,
            9.0,
        );
        self.line(
            &mut characters,
            [&*RING].into_iter(),
            [46.0, -77.5],
            [1.0, 0.0],
            0.145,
            0.0,
        );
        characters
    }

    /// Sets one line of characters.
    fn line(
        &self,
        characters: &mut Vec<Character>,
        glyphs: impl Iterator<Item = &'static Glyph>,
        start: [f32; 2],
        along: [f32; 2],
        unit: f32,
        space: f32,
    ) {
        let (sin, cos) = self.turn.sin_cos();
        let turn = |[x, y]: [f32; 2]| [x * cos - y * sin, x * sin + y * cos];
        let mut advance = 0.0;
        for glyph in glyphs {
            let origin = turn([
                (start[0] + along[0] * advance) * self.size,
                (start[1] + along[1] * advance) * self.size,
            ]);
            characters.push(Character {
                glyph,
                origin: [origin[0] + self.shift[0], origin[1] + self.shift[1]],
                along: turn(along),
                unit: unit * self.size,
            });
            advance += (glyph.width + space) * unit;
        }
    }

    /// Lays the ink onto a surface.
    pub fn apply(&self, surface: &mut Surface) {
        let mut ink = std::mem::take(&mut surface.ink);
        let soft = 0.5 + 0.35 / surface.placement.scale;
        for character in self.characters() {
            surface.near(character.centre(), character.radius() + 3.0, |at, point| {
                let [x, y] = point;
                let rough = self.texture.at(x * 0.45, y * 0.45) - 0.5;
                let edge = character.distance(point) - self.gain + 1.1 * rough;
                if edge < soft {
                    let full = smoothstep(soft, -soft, edge);
                    let density = self.density_at(point);
                    ink[at] = ink[at].max(full * density);
                }
            });
        }
        surface.ink = ink;
    }

    /// Density of full ink at a point: the slope, mottling, and speckles where
    /// the plate left too little.
    fn density_at(&self, [x, y]: [f32; 2]) -> f32 {
        let mottle = self.texture.octaves(x * 0.06 + 40.0, y * 0.06, 2) - 0.5;
        let speck = self.texture.at(x * 0.38 + 9.0, y * 0.38 - 70.0);
        let patch = self.texture.at(x * 0.045 - 30.0, y * 0.045 + 11.0);
        let bare = smoothstep(0.74 - 0.10 * self.wear, 0.95, speck) * smoothstep(0.35, 0.9, patch);
        let density = self.density + self.slope[0] * x + self.slope[1] * y + 0.05 * mottle;
        (density * (1.0 - 0.55 * self.wear * bare)).clamp(0.0, 1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_word_rises_to_the_right_and_the_number_lies_below_it() {
        let print = Print {
            shift: [0.0; 2],
            turn: 0.0,
            size: 1.0,
            gain: 0.0,
            density: 1.0,
            slope: [0.0; 2],
            wear: 0.0,
            texture: Noise::new(1),
        };
        let centres: Vec<[f32; 2]> = print.characters().iter().map(Character::centre).collect();
        assert_eq!(centres.len(), 8);
        for pair in centres[..4].windows(2) {
            assert!(pair[1][0] > pair[0][0] + 20.0 && pair[1][1] < pair[0][1] - 15.0);
        }
        assert!(centres[4..7].iter().all(|c| c[1] > 50.0 && c[0] > 10.0));
        assert!(
            centres
                .iter()
                .all(|c| c[0].abs() < 100.0 && c[1].abs() < 100.0)
        );
    }
}
