//! `Placement`: where the pieces of a run lie beside those that the model knows.

use crate::data::offset::Offset;

/// Sums over pieces whose offset is known, in bounded memory.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Placement {
    pieces: u64,
    down: i64,
    right: i64,
    farthest: f64,
}

impl Placement {
    /// Takes one piece's offset.
    pub fn add(&mut self, offset: Offset) {
        self.pieces += 1;
        self.down += i64::from(offset.down);
        self.right += i64::from(offset.right);
        self.farthest = self.farthest.max(offset.length());
    }

    /// What a person should know; `None` if no piece's offset is known.
    #[must_use]
    pub fn sentence(&self) -> Option<String> {
        if self.pieces == 0 {
            return None;
        }
        let mean = |sum: i64| sum as f64 / self.pieces as f64;
        let along = |by: f64, forth: &str, back: &str| {
            format!("{:.1} {}", by.abs(), if by < 0.0 { back } else { forth })
        };
        Some(format!(
            "Pieces lie {} and {} the model's usual place (pixels, mean of {}; the farthest {:.0}); \
             each was moved there to be inspected.",
            along(mean(self.down), "below", "above"),
            along(mean(self.right), "to the right of", "to the left of"),
            self.pieces,
            self.farthest,
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mean_place_and_the_farthest_piece_are_told() {
        let mut placement = Placement::default();
        assert_eq!(placement.sentence(), None);
        for (down, right) in [(3, -4), (0, -1)] {
            placement.add(Offset { down, right });
        }
        let sentence = placement.sentence().unwrap();
        assert!(
            sentence.starts_with("Pieces lie 1.5 below and 2.5 to the left of"),
            "{sentence}"
        );
        assert!(sentence.contains("mean of 2; the farthest 5"), "{sentence}");
    }
}
