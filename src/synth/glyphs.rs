//! The letter shapes of the print: GOMA, 526 and a ring mark, drawn for this
//! program as polygons, and their signed distance.
//!
//! Glyph units: the baseline at `y = 0`, capitals and figures 100 high, `y` up.

use std::f32::consts::PI;
use std::sync::LazyLock;

/// One character: closed contours, filled by the even-odd rule.
#[derive(Debug)]
pub struct Glyph {
    /// Closed polygons.
    pub contours: Vec<Vec<[f32; 2]>>,
    /// Advance width without the space to the next character.
    pub width: f32,
}

impl Glyph {
    /// Signed distance to the outline, negative in the ink.
    pub fn distance(&self, x: f32, y: f32) -> f32 {
        let mut nearest = f32::INFINITY;
        let mut inside = false;
        for contour in &self.contours {
            let mut a = contour[contour.len() - 1];
            for &b in contour {
                let (ex, ey) = (b[0] - a[0], b[1] - a[1]);
                let (px, py) = (x - a[0], y - a[1]);
                let along = ((px * ex + py * ey) / (ex * ex + ey * ey)).clamp(0.0, 1.0);
                let (dx, dy) = (px - ex * along, py - ey * along);
                nearest = nearest.min(dx * dx + dy * dy);
                if (a[1] > y) != (b[1] > y) && x < a[0] + ex * (y - a[1]) / ey {
                    inside = !inside;
                }
                a = b;
            }
        }
        let distance = nearest.sqrt();
        if inside { -distance } else { distance }
    }
}

/// The wordmark, letter by letter.
pub static WORD: LazyLock<[Glyph; 4]> =
    LazyLock::new(|| [letter_g(), letter_o(), letter_m(), letter_a()]);

/// The number under it, figure by figure.
pub static NUMBER: LazyLock<[Glyph; 3]> = LazyLock::new(|| [figure_5(), figure_2(), figure_6()]);

/// The small mark after the word: a ring with a tick in it.
pub static RING: LazyLock<Glyph> = LazyLock::new(|| {
    let circle = |r: f32| arc([50.0, 50.0], [r, r], 0.0, 345.0, 23);
    Glyph {
        contours: vec![
            circle(50.0),
            circle(39.0),
            vec![
                [30.0, 52.0],
                [45.0, 28.0],
                [74.0, 70.0],
                [65.0, 77.0],
                [46.0, 48.0],
                [39.0, 59.0],
            ],
        ],
        width: 100.0,
    }
});

fn letter_g() -> Glyph {
    Glyph {
        contours: vec![vec![
            [92.0, 69.0],
            [92.0, 78.0],
            [70.0, 100.0],
            [24.0, 100.0],
            [0.0, 76.0],
            [0.0, 24.0],
            [24.0, 0.0],
            [70.0, 0.0],
            [92.0, 22.0],
            [92.0, 56.0],
            [47.0, 56.0],
            [47.0, 37.0],
            [63.0, 37.0],
            [63.0, 33.0],
            [57.0, 27.0],
            [37.0, 27.0],
            [30.0, 34.0],
            [30.0, 66.0],
            [37.0, 73.0],
            [57.0, 73.0],
            [62.0, 69.0],
        ]],
        width: 92.0,
    }
}

fn letter_o() -> Glyph {
    Glyph {
        contours: vec![
            vec![
                [24.0, 0.0],
                [70.0, 0.0],
                [94.0, 24.0],
                [94.0, 76.0],
                [70.0, 100.0],
                [24.0, 100.0],
                [0.0, 76.0],
                [0.0, 24.0],
            ],
            vec![
                [37.0, 27.0],
                [57.0, 27.0],
                [64.0, 34.0],
                [64.0, 66.0],
                [57.0, 73.0],
                [37.0, 73.0],
                [30.0, 66.0],
                [30.0, 34.0],
            ],
        ],
        width: 94.0,
    }
}

fn letter_m() -> Glyph {
    Glyph {
        contours: vec![vec![
            [0.0, 0.0],
            [0.0, 100.0],
            [29.0, 100.0],
            [57.0, 62.0],
            [85.0, 100.0],
            [114.0, 100.0],
            [114.0, 0.0],
            [85.0, 0.0],
            [85.0, 54.0],
            [64.0, 25.0],
            [50.0, 25.0],
            [29.0, 54.0],
            [29.0, 0.0],
        ]],
        width: 114.0,
    }
}

fn letter_a() -> Glyph {
    Glyph {
        contours: vec![
            vec![
                [0.0, 0.0],
                [0.0, 68.0],
                [30.0, 100.0],
                [68.0, 100.0],
                [98.0, 68.0],
                [98.0, 0.0],
                [69.0, 0.0],
                [69.0, 23.0],
                [29.0, 23.0],
                [29.0, 0.0],
            ],
            vec![
                [29.0, 46.0],
                [29.0, 60.0],
                [42.0, 74.0],
                [56.0, 74.0],
                [69.0, 60.0],
                [69.0, 46.0],
            ],
        ],
        width: 98.0,
    }
}

fn figure_5() -> Glyph {
    let mut path = vec![
        [8.0, 100.0],
        [57.0, 100.0],
        [57.0, 78.0],
        [28.0, 78.0],
        [27.0, 65.0],
    ];
    path.extend(arc([30.0, 33.0], [33.0, 33.5], 85.0, -158.0, 14));
    path.extend(arc([30.0, 33.0], [9.5, 12.0], -158.0, 132.0, 12));
    path.push([3.0, 42.0]);
    Glyph {
        contours: vec![path],
        width: 63.0,
    }
}

fn figure_2() -> Glyph {
    let mut path = vec![[0.0, 64.0]];
    path.extend(arc([30.5, 68.0], [30.5, 33.0], 178.0, -38.0, 12));
    path.extend([
        [33.0, 23.0],
        [61.0, 23.0],
        [61.0, 0.0],
        [0.0, 0.0],
        [0.0, 18.0],
    ]);
    path.extend(arc([30.0, 68.0], [8.5, 11.0], -35.0, 178.0, 9));
    path.push([21.5, 64.0]);
    Glyph {
        contours: vec![path],
        width: 61.0,
    }
}

fn figure_6() -> Glyph {
    let mut path = arc([33.0, 67.0], [32.0, 34.0], 8.0, 180.0, 10);
    path.extend(arc([32.5, 33.0], [32.5, 33.5], 180.0, 472.0, 16));
    path.extend(arc([33.0, 68.0], [10.0, 12.0], 184.0, 20.0, 7));
    Glyph {
        contours: vec![path, arc([32.5, 32.5], [10.0, 12.5], 0.0, 336.0, 15)],
        width: 65.0,
    }
}

/// Points on an ellipse from angle `from` to `to` (degrees, anticlockwise).
fn arc(centre: [f32; 2], radii: [f32; 2], from: f32, to: f32, steps: usize) -> Vec<[f32; 2]> {
    (0..=steps)
        .map(|i| {
            let angle = (from + (to - from) * i as f32 / steps as f32) * PI / 180.0;
            [
                centre[0] + radii[0] * angle.cos(),
                centre[1] + radii[1] * angle.sin(),
            ]
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_counter_of_the_o_is_paper_and_its_stem_is_ink() {
        let o = &WORD[1];
        assert_eq!(o.distance(47.0, 50.0), 17.0); // to the stem at x = 30 and x = 64
        assert_eq!(o.distance(15.0, 50.0), -15.0);
        assert_eq!(o.distance(-10.0, 50.0), 10.0);
    }

    #[test]
    fn every_figure_has_ink_and_paper_in_its_box() {
        for glyph in WORD.iter().chain(NUMBER.iter()).chain([&*RING]) {
            let ink = (0..100)
                .flat_map(|y| (0..100).map(move |x| (x as f32 * 0.01, y as f32)))
                .filter(|&(x, y)| glyph.distance(x * glyph.width, y) < 0.0)
                .count();
            assert!((1500..9000).contains(&ink), "{ink} of 10000");
        }
    }
}
