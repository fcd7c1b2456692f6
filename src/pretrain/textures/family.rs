//! The texture families: what a surface is called and which rule draws it.
//!
//! A family fixes the rule and its scale; direction, position, contrast and
//! the exact scale (within 15%) are drawn anew for each picture, so a network
//! that tells families apart has learnt scale, regularity, directedness and
//! shape rather than one pattern.

use super::print::Print;

/// One class of surfaces.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Family {
    /// The rule and its scale, as in `cells-border-12`.
    pub name: &'static str,
    pub(super) surface: Surface,
}

/// The rules. Lengths are in pixels.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Surface {
    /// Waves of one length within an angle (radians) of one direction.
    Band { wavelength: f32, spread: f32 },
    /// Octaves of gradient noise.
    Fractal {
        wavelength: f32,
        persistence: f32,
        form: FractalForm,
    },
    /// Noise drawn out along one direction, as brushed or rolled metal.
    Brushed { width: f32, length: f32 },
    /// Worley's cells.
    Cells { size: f32, form: CellForm },
    /// Parallel waves of one profile.
    Grating { period: f32, profile: Profile },
    /// A pattern that repeats in two directions.
    Lattice { pitch: f32, form: LatticeForm },
    /// Separate small marks.
    Marks {
        size: f32,
        /// Marks for every 1,000 pixels.
        density: f32,
        form: MarkForm,
    },
    /// Noise cut into levels.
    Blobs { size: f32, levels: u32 },
    /// Long fine scratches all over.
    Scratched { per_side: f32, parallel: bool },
    /// Fine grain on a plain ground.
    Grain { size: f32, share: f32 },
    /// Slow shading alone.
    Smooth,
    /// One edge between two greys.
    Step { soft: f32 },
    /// Overlapping plain rectangles.
    Panels { count: u32 },
    /// Concentric turning marks.
    Turned { period: f32 },
    /// Spokes about a point.
    Spokes { count: f32 },
    /// Something printed on a plain ground.
    Printed(Print),
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum FractalForm {
    /// The plain sum.
    Plain,
    /// Sharp crests: 1 - |noise|.
    Ridged,
    /// Sharp valleys: |noise|.
    Billowed,
    /// Positions displaced by another noise, as marble.
    Warped,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum CellForm {
    /// Distance to the nearest point.
    Bump,
    /// Thin lines between cells.
    Border,
    /// Each cell of one grey, as crystal grains.
    Flat,
    /// Borders made crooked, as dried mud.
    Crazed,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Profile {
    Sine,
    Square,
    Saw,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum LatticeForm {
    Checks,
    Weave,
    Grid,
    Hexagons,
    Bricks,
    Dots,
    Rings,
    /// Dots whose size follows a slow tone, as halftone print.
    Halftone,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum MarkForm {
    Discs,
    Rings,
    Squares,
    /// Straight strokes of one direction.
    Combed,
    /// Straight strokes of all directions.
    Tossed,
    /// Strokes of two directions at right angles.
    Crossed,
    /// Bent fibres.
    Fibres,
    /// Little bumps, bright on one side and dark on the other.
    Pits,
}

macro_rules! families {
    ($($name:literal => $surface:expr),* $(,)?) => {
        &[$(Family { name: $name, surface: $surface }),*]
    };
}

use CellForm::{Border, Bump, Crazed, Flat};
use FractalForm::{Billowed, Plain, Ridged, Warped};
use MarkForm::{Combed, Crossed, Discs, Fibres, Pits, Squares, Tossed};
use Surface::*;

/// Waves all around, within a sector, in one direction.
const ROUND: f32 = std::f32::consts::FRAC_PI_2;
const SECTOR: f32 = 0.45;
const LINE: f32 = 0.06;

/// All families; the index in this list is the class.
pub const FAMILIES: &[Family] = families! {
    "band-3" => Band { wavelength: 3.0, spread: ROUND },
    "band-5" => Band { wavelength: 5.0, spread: ROUND },
    "band-8" => Band { wavelength: 8.0, spread: ROUND },
    "band-13" => Band { wavelength: 13.0, spread: ROUND },
    "band-21" => Band { wavelength: 21.0, spread: ROUND },
    "band-sector-3" => Band { wavelength: 3.0, spread: SECTOR },
    "band-sector-5" => Band { wavelength: 5.0, spread: SECTOR },
    "band-sector-8" => Band { wavelength: 8.0, spread: SECTOR },
    "band-sector-13" => Band { wavelength: 13.0, spread: SECTOR },
    "band-sector-21" => Band { wavelength: 21.0, spread: SECTOR },
    "band-line-3" => Band { wavelength: 3.0, spread: LINE },
    "band-line-5" => Band { wavelength: 5.0, spread: LINE },
    "band-line-8" => Band { wavelength: 8.0, spread: LINE },
    "band-line-13" => Band { wavelength: 13.0, spread: LINE },
    "band-line-21" => Band { wavelength: 21.0, spread: LINE },
    "fractal-smooth" => Fractal { wavelength: 40.0, persistence: 0.4, form: Plain },
    "fractal-even" => Fractal { wavelength: 40.0, persistence: 0.6, form: Plain },
    "fractal-rough" => Fractal { wavelength: 40.0, persistence: 0.85, form: Plain },
    "fractal-fine-smooth" => Fractal { wavelength: 12.0, persistence: 0.4, form: Plain },
    "fractal-fine-rough" => Fractal { wavelength: 12.0, persistence: 0.8, form: Plain },
    "ridged-32" => Fractal { wavelength: 32.0, persistence: 0.55, form: Ridged },
    "ridged-12" => Fractal { wavelength: 12.0, persistence: 0.55, form: Ridged },
    "billowed-32" => Fractal { wavelength: 32.0, persistence: 0.55, form: Billowed },
    "billowed-12" => Fractal { wavelength: 12.0, persistence: 0.55, form: Billowed },
    "marble-40" => Fractal { wavelength: 40.0, persistence: 0.5, form: Warped },
    "marble-16" => Fractal { wavelength: 16.0, persistence: 0.5, form: Warped },
    "brushed-1-20" => Brushed { width: 1.2, length: 20.0 },
    "brushed-1-80" => Brushed { width: 1.2, length: 80.0 },
    "brushed-3-20" => Brushed { width: 3.0, length: 20.0 },
    "brushed-3-80" => Brushed { width: 3.0, length: 80.0 },
    "brushed-6-50" => Brushed { width: 6.0, length: 50.0 },
    "brushed-12-200" => Brushed { width: 12.0, length: 200.0 },
    "cells-bump-6" => Cells { size: 6.0, form: Bump },
    "cells-bump-11" => Cells { size: 11.0, form: Bump },
    "cells-bump-20" => Cells { size: 20.0, form: Bump },
    "cells-border-7" => Cells { size: 7.0, form: Border },
    "cells-border-12" => Cells { size: 12.0, form: Border },
    "cells-border-22" => Cells { size: 22.0, form: Border },
    "cells-flat-5" => Cells { size: 5.0, form: Flat },
    "cells-flat-9" => Cells { size: 9.0, form: Flat },
    "cells-flat-18" => Cells { size: 18.0, form: Flat },
    "crazed-12" => Cells { size: 12.0, form: Crazed },
    "crazed-24" => Cells { size: 24.0, form: Crazed },
    "sine-4" => Grating { period: 4.0, profile: Profile::Sine },
    "sine-8" => Grating { period: 8.0, profile: Profile::Sine },
    "sine-16" => Grating { period: 16.0, profile: Profile::Sine },
    "stripes-5" => Grating { period: 5.0, profile: Profile::Square },
    "stripes-10" => Grating { period: 10.0, profile: Profile::Square },
    "stripes-20" => Grating { period: 20.0, profile: Profile::Square },
    "saw-7" => Grating { period: 7.0, profile: Profile::Saw },
    "saw-16" => Grating { period: 16.0, profile: Profile::Saw },
    "checks-6" => Lattice { pitch: 6.0, form: LatticeForm::Checks },
    "checks-12" => Lattice { pitch: 12.0, form: LatticeForm::Checks },
    "checks-22" => Lattice { pitch: 22.0, form: LatticeForm::Checks },
    "weave-6" => Lattice { pitch: 6.0, form: LatticeForm::Weave },
    "weave-12" => Lattice { pitch: 12.0, form: LatticeForm::Weave },
    "grid-6" => Lattice { pitch: 6.0, form: LatticeForm::Grid },
    "grid-12" => Lattice { pitch: 12.0, form: LatticeForm::Grid },
    "grid-24" => Lattice { pitch: 24.0, form: LatticeForm::Grid },
    "hexagons-8" => Lattice { pitch: 8.0, form: LatticeForm::Hexagons },
    "hexagons-16" => Lattice { pitch: 16.0, form: LatticeForm::Hexagons },
    "bricks-8" => Lattice { pitch: 8.0, form: LatticeForm::Bricks },
    "bricks-15" => Lattice { pitch: 15.0, form: LatticeForm::Bricks },
    "dots-5" => Lattice { pitch: 5.0, form: LatticeForm::Dots },
    "dots-9" => Lattice { pitch: 9.0, form: LatticeForm::Dots },
    "dots-17" => Lattice { pitch: 17.0, form: LatticeForm::Dots },
    "rings-9" => Lattice { pitch: 9.0, form: LatticeForm::Rings },
    "rings-17" => Lattice { pitch: 17.0, form: LatticeForm::Rings },
    "halftone-4" => Lattice { pitch: 4.0, form: LatticeForm::Halftone },
    "halftone-8" => Lattice { pitch: 8.0, form: LatticeForm::Halftone },
    "discs-2" => Marks { size: 2.0, density: 14.0, form: Discs },
    "discs-4" => Marks { size: 4.0, density: 6.0, form: Discs },
    "discs-8" => Marks { size: 8.0, density: 1.8, form: Discs },
    "loops-8" => Marks { size: 8.0, density: 3.0, form: MarkForm::Rings },
    "loops-16" => Marks { size: 16.0, density: 1.2, form: MarkForm::Rings },
    "squares-5" => Marks { size: 5.0, density: 5.0, form: Squares },
    "squares-11" => Marks { size: 11.0, density: 1.8, form: Squares },
    "combed-8" => Marks { size: 8.0, density: 9.0, form: Combed },
    "combed-18" => Marks { size: 18.0, density: 4.0, form: Combed },
    "tossed-8" => Marks { size: 8.0, density: 9.0, form: Tossed },
    "tossed-18" => Marks { size: 18.0, density: 4.0, form: Tossed },
    "crossed-8" => Marks { size: 8.0, density: 9.0, form: Crossed },
    "crossed-18" => Marks { size: 18.0, density: 4.0, form: Crossed },
    "fibres-24" => Marks { size: 24.0, density: 2.2, form: Fibres },
    "fibres-48" => Marks { size: 48.0, density: 1.2, form: Fibres },
    "pits-3" => Marks { size: 3.0, density: 7.0, form: Pits },
    "pits-7" => Marks { size: 7.0, density: 2.5, form: Pits },
    "blobs-8" => Blobs { size: 8.0, levels: 2 },
    "blobs-16" => Blobs { size: 16.0, levels: 2 },
    "blobs-32" => Blobs { size: 32.0, levels: 2 },
    "camouflage-12" => Blobs { size: 12.0, levels: 4 },
    "camouflage-28" => Blobs { size: 28.0, levels: 4 },
    "scratched-parallel" => Scratched { per_side: 12.0, parallel: true },
    "scratched-all-ways" => Scratched { per_side: 12.0, parallel: false },
    "grain-1" => Grain { size: 1.0, share: 0.06 },
    "grain-2" => Grain { size: 2.0, share: 0.04 },
    "smooth" => Smooth,
    "step-sharp" => Step { soft: 1.0 },
    "step-soft" => Step { soft: 14.0 },
    "panels-3" => Panels { count: 3 },
    "panels-12" => Panels { count: 12 },
    "turned-4" => Turned { period: 4.0 },
    "turned-10" => Turned { period: 10.0 },
    "spokes" => Spokes { count: 18.0 },
    "text-small" => Printed(Print::Lines { height: 6.0 }),
    "text-large" => Printed(Print::Lines { height: 13.0 }),
    "character" => Printed(Print::Character),
    "outlined-character" => Printed(Print::Outlined),
    "wordmark" => Printed(Print::Wordmark),
    "digits" => Printed(Print::Digits),
    "logo" => Printed(Print::Logo),
    "bars" => Printed(Print::Bars),
    "matrix-code" => Printed(Print::Matrix),
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_families_share_a_name_or_a_rule() {
        for (i, a) in FAMILIES.iter().enumerate() {
            for b in &FAMILIES[i + 1..] {
                assert_ne!(a.name, b.name);
                assert_ne!(a.surface, b.surface, "{} and {}", a.name, b.name);
            }
        }
        assert!(FAMILIES.len() >= 100);
    }
}
