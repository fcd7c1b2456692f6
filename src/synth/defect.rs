//! The defects: their kinds, what class each belongs to, how bad it is.

use super::eraser::Eraser;
use super::surface::Surface;
use super::{damage, misprint};
use rand::Rng;
use serde::{Deserialize, Serialize};

/// What went wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Ink lacking in a part of the print.
    MissingInk,
    /// Ink dragged along.
    Smear,
    /// The print twice, shifted.
    DoublePrint,
    /// A character cut through, or lacking in part or wholly.
    BrokenCharacter,
    /// Too little ink.
    FaintPrint,
    /// A crack in the rubber.
    Crack,
    /// A piece broken out of the edge.
    Chip,
    /// A corner broken off.
    BrokenCorner,
    /// Foreign matter pressed onto the eraser.
    Residue,
    /// A hollow, mostly seen in the lights that fall in flat.
    Dent,
    /// Dye or grease soaked in, mostly seen in some colours.
    Stain,
    /// The outline is not square.
    OutOfSquare,
}

impl Kind {
    /// The printing errors.
    pub const PRINT: [Self; 5] = [
        Self::MissingInk,
        Self::Smear,
        Self::DoublePrint,
        Self::BrokenCharacter,
        Self::FaintPrint,
    ];
    /// The physical defects.
    pub const PHYSICAL: [Self; 7] = [
        Self::Crack,
        Self::Chip,
        Self::BrokenCorner,
        Self::Residue,
        Self::Dent,
        Self::Stain,
        Self::OutOfSquare,
    ];

    /// `missing-ink`, `smear` ...
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::MissingInk => "missing-ink",
            Self::Smear => "smear",
            Self::DoublePrint => "double-print",
            Self::BrokenCharacter => "broken-character",
            Self::FaintPrint => "faint-print",
            Self::Crack => "crack",
            Self::Chip => "chip",
            Self::BrokenCorner => "broken-corner",
            Self::Residue => "residue",
            Self::Dent => "dent",
            Self::Stain => "stain",
            Self::OutOfSquare => "out-of-square",
        }
    }

    /// Whether it is a printing error; otherwise it is a physical defect.
    #[must_use]
    pub fn is_print(self) -> bool {
        Self::PRINT.contains(&self)
    }
}

/// One defect of a piece.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Defect {
    /// What went wrong.
    pub kind: Kind,
    /// How bad it is: above 0 (barely visible) to 1.
    pub severity: f32,
}

impl Defect {
    /// Puts the defect on a surface.
    pub(super) fn apply(self, eraser: &Eraser, surface: &mut Surface, rng: &mut impl Rng) {
        let s = self.severity;
        match self.kind {
            Kind::MissingInk => misprint::missing_ink(surface, &eraser.print, s, rng),
            Kind::Smear => misprint::smear(surface, &eraser.print, s, rng),
            Kind::DoublePrint => misprint::double_print(surface, s, rng),
            Kind::BrokenCharacter => misprint::broken_character(surface, &eraser.print, s, rng),
            Kind::FaintPrint => misprint::faint_print(surface, s, rng),
            Kind::Crack => damage::crack(surface, s, rng),
            Kind::Chip => damage::chip(surface, &eraser.outline, s, rng),
            Kind::BrokenCorner => damage::broken_corner(surface, s, rng),
            Kind::Residue => damage::residue(surface, eraser.colour, s, rng),
            Kind::Dent => damage::dent(surface, s, rng),
            Kind::Stain => damage::stain(surface, s, rng),
            Kind::OutOfSquare => damage::out_of_square(surface, &eraser.outline, s, rng),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_is_either_a_printing_error_or_physical_and_named_as_serialised() {
        assert_eq!(Kind::PRINT.len() + Kind::PHYSICAL.len(), 12);
        for kind in Kind::PRINT.into_iter().chain(Kind::PHYSICAL) {
            assert_eq!(kind.is_print(), !Kind::PHYSICAL.contains(&kind));
            let text = serde_json::to_string(&kind).unwrap();
            assert_eq!(text, format!("\"{}\"", kind.name()));
        }
    }
}
