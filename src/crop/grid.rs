//! Rows and columns of a pack: which piece is which, and which place is empty.

use super::find::OrientedBox;
use super::{Pack, Piece};
use crate::metrics::bootstrap::median;
use std::collections::BTreeSet;

/// A row and a column, from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cell {
    /// From the top.
    pub row: usize,
    /// From the left.
    pub column: usize,
}

/// Numbers the pieces in reading order and says what is missing.
///
/// Rows and columns follow the pack if it lies turned. If no two pieces share a
/// cell and the grid has as many cells as pieces are expected, a piece's number
/// is that of its cell, so that a missing piece does not shift the others.
#[must_use]
pub fn numbered(mut places: Vec<OrientedBox>, expect: usize) -> Pack {
    let turn = median(places.iter().map(|p| p.angle).collect()).to_radians();
    let side = median(places.iter().map(OrientedBox::mean_side).collect());
    let (sin, cos) = turn.sin_cos();
    // As the pack would lie upright.
    let across = |p: &OrientedBox| p.centre[0] * cos + p.centre[1] * sin;
    let down = |p: &OrientedBox| p.centre[1] * cos - p.centre[0] * sin;
    let rows = bands(places.iter().map(down).collect(), side / 2.0);
    let columns = bands(places.iter().map(across).collect(), side / 2.0);
    let cell = |p: &OrientedBox| Cell {
        row: band(&rows, down(p)),
        column: band(&columns, across(p)),
    };
    places.sort_by(|a, b| {
        let key = |p: &OrientedBox| (cell(p).row, across(p));
        let (a, b) = (key(a), key(b));
        a.0.cmp(&b.0).then(a.1.total_cmp(&b.1))
    });
    let cells: BTreeSet<Cell> = places.iter().map(cell).collect();
    let is_grid = cells.len() == places.len();
    let is_whole = is_grid && rows.len() * columns.len() == expect;
    let problem = (places.len() != expect).then(|| {
        let found = format!("{} of {expect} pieces found", places.len());
        let empty = empty_cells(rows.len(), columns.len(), &cells);
        if is_whole {
            format!("{found}; none at {}", empty.join(", "))
        } else {
            found
        }
    });
    let pieces = places
        .iter()
        .enumerate()
        .map(|(i, place)| {
            let cell = cell(place);
            Piece {
                number: 1 + if is_whole {
                    cell.row * columns.len() + cell.column
                } else {
                    i
                },
                cell: is_grid.then_some(cell),
                place: *place,
            }
        })
        .collect();
    Pack { pieces, problem }
}

/// `row 2 column 3`, counted from 1.
fn empty_cells(rows: usize, columns: usize, taken: &BTreeSet<Cell>) -> Vec<String> {
    (0..rows)
        .flat_map(|row| (0..columns).map(move |column| Cell { row, column }))
        .filter(|cell| !taken.contains(cell))
        .map(|cell| format!("row {} column {}", cell.row + 1, cell.column + 1))
        .collect()
}

/// The ends of the runs of numbers without a gap above `gap`, ascending.
fn bands(mut values: Vec<f64>, gap: f64) -> Vec<f64> {
    values.sort_by(f64::total_cmp);
    let mut ends: Vec<f64> = values
        .windows(2)
        .filter(|pair| pair[1] - pair[0] > gap)
        .map(|pair| pair[0])
        .collect();
    ends.extend(values.last());
    ends
}

/// The band a number lies in.
fn band(ends: &[f64], value: f64) -> usize {
    ends.partition_point(|&end| end < value)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Three rows of five, 100 apart, the whole turned clockwise.
    fn pack(degrees: f64, without: &[usize]) -> Vec<OrientedBox> {
        let (sin, cos) = degrees.to_radians().sin_cos();
        (0..15)
            .rev()
            .filter(|i| !without.contains(i))
            .map(|i| {
                let (x, y) = ((i % 5) as f64 * 100.0, (i / 5) as f64 * 100.0);
                OrientedBox {
                    centre: [500.0 + x * cos - y * sin, 500.0 + x * sin + y * cos],
                    side: [95.0, 95.0],
                    angle: degrees,
                }
            })
            .collect()
    }

    #[test]
    fn pieces_are_numbered_in_reading_order_also_if_the_pack_lies_turned() {
        for degrees in [-20.0, 0.0, 12.0] {
            let found = numbered(pack(degrees, &[]), 15);
            assert_eq!(found.problem, None);
            let numbers: Vec<usize> = found.pieces.iter().map(|p| p.number).collect();
            assert_eq!(numbers, (1..=15).collect::<Vec<_>>());
            let cell = found.pieces[7].cell.unwrap();
            assert_eq!((cell.row, cell.column), (1, 2));
        }
    }

    #[test]
    fn a_missing_piece_is_named_and_leaves_its_number_out() {
        let found = numbered(pack(3.0, &[7]), 15);
        let problem = found.problem.unwrap();
        assert_eq!(problem, "14 of 15 pieces found; none at row 2 column 3");
        assert_eq!((found.pieces[6].number, found.pieces[7].number), (7, 9));
    }

    #[test]
    fn without_a_whole_grid_pieces_are_counted_through() {
        let found = numbered(pack(0.0, &[10, 11, 12, 13, 14]), 15);
        assert_eq!(found.problem.unwrap(), "10 of 15 pieces found");
        assert_eq!(found.pieces.last().unwrap().number, 10);
        assert_eq!(
            numbered(Vec::new(), 15).problem.unwrap(),
            "0 of 15 pieces found"
        );
    }
}
