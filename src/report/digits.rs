//! Numbers drawn into pictures, from a 5 x 7 bitmap of our own: a picture's
//! legend must not depend on the fonts of the machine.

use image::{Rgb, RgbImage};

/// Height of a digit at scale 1, in pixels.
pub const HEIGHT: u32 = 7;
const GAP: u32 = 1;

/// Rows from top to bottom, the leftmost pixel in the highest of 5 bits.
const DIGITS: [[u8; 7]; 10] = [
    [0x0e, 0x11, 0x13, 0x15, 0x19, 0x11, 0x0e],
    [0x04, 0x0c, 0x04, 0x04, 0x04, 0x04, 0x0e],
    [0x0e, 0x11, 0x01, 0x02, 0x04, 0x08, 0x1f],
    [0x1f, 0x02, 0x04, 0x02, 0x01, 0x11, 0x0e],
    [0x02, 0x06, 0x0a, 0x12, 0x1f, 0x02, 0x02],
    [0x1f, 0x10, 0x1e, 0x01, 0x01, 0x11, 0x0e],
    [0x06, 0x08, 0x10, 0x1e, 0x11, 0x11, 0x0e],
    [0x1f, 0x01, 0x02, 0x04, 0x08, 0x08, 0x08],
    [0x0e, 0x11, 0x11, 0x0e, 0x11, 0x11, 0x0e],
    [0x0e, 0x11, 0x11, 0x0f, 0x01, 0x02, 0x0c],
];
const DOT: [u8; 7] = [0, 0, 0, 0, 0, 0, 1];

/// A character's width and rows; what is neither digit nor dot is a blank.
fn glyph(c: char) -> (u32, [u8; 7]) {
    match c.to_digit(10) {
        Some(d) => (5, DIGITS[d as usize]),
        None if c == '.' => (1, DOT),
        None => (2, [0; 7]),
    }
}

/// Width of `text` at this scale, in pixels.
#[must_use]
pub fn width(text: &str, scale: u32) -> u32 {
    let advance: u32 = text.chars().map(|c| glyph(c).0 + GAP).sum();
    advance.saturating_sub(GAP) * scale
}

/// Draws `text` with its top left corner at (`x`, `y`); what lies outside the
/// picture is left out.
pub fn draw(picture: &mut RgbImage, text: &str, x: u32, y: u32, scale: u32, colour: Rgb<u8>) {
    let mut left = x;
    for c in text.chars() {
        let (columns, rows) = glyph(c);
        for (row, bits) in rows.iter().enumerate() {
            for column in (0..columns).filter(|c| bits >> (columns - 1 - c) & 1 == 1) {
                for dy in 0..scale {
                    for dx in 0..scale {
                        let (px, py) = (left + column * scale + dx, y + row as u32 * scale + dy);
                        if px < picture.width() && py < picture.height() {
                            picture.put_pixel(px, py, colour);
                        }
                    }
                }
            }
        }
        left += (columns + GAP) * scale;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_one_is_drawn_as_a_stroke_on_a_foot() {
        let mut picture = RgbImage::new(5, 7);
        draw(&mut picture, "1", 0, 0, 1, Rgb([255; 3]));
        let rows: Vec<String> = (0..7)
            .map(|y| {
                (0..5)
                    .map(|x| {
                        if picture.get_pixel(x, y)[0] > 0 {
                            '#'
                        } else {
                            '.'
                        }
                    })
                    .collect()
            })
            .collect();
        assert_eq!(
            rows,
            [
                "..#..", ".##..", "..#..", "..#..", "..#..", "..#..", ".###."
            ]
        );
    }

    #[test]
    fn width_counts_gaps_between_but_not_after() {
        assert_eq!(width("0.5", 1), 5 + 1 + 1 + 1 + 5);
        assert_eq!(width("0.5", 3), 39);
        assert_eq!(width("", 2), 0);
    }
}
