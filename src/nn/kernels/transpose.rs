//! Channels first to channels last and back: a matrix transposed in blocks of
//! 8 by 8, so that both sides are read and written by whole vectors.

use super::simd::Level;
#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::*;

/// Side of a block.
const BLOCK: usize = 8;

/// `to[j * to_row + i] = from[i * from_row + j]` for all `i < rows`, `j < columns`.
///
/// # Safety
/// The machine has the level; the addresses are good for all of these, and the
/// two do not overlap.
pub(super) unsafe fn transpose(
    level: Level,
    (from, from_row): (*const f32, usize),
    (to, to_row): (*mut f32, usize),
    (rows, columns): (usize, usize),
) {
    for i in (0..rows).step_by(BLOCK) {
        for j in (0..columns).step_by(BLOCK) {
            let (height, width) = (BLOCK.min(rows - i), BLOCK.min(columns - j));
            // SAFETY: the block lies within the matrix.
            unsafe {
                let from = from.add(i * from_row + j);
                let to = to.add(j * to_row + i);
                match level {
                    #[cfg(target_arch = "x86_64")]
                    Level::Avx512 | Level::Avx2 if (height, width) == (BLOCK, BLOCK) => {
                        whole_block((from, from_row), (to, to_row));
                    }
                    _ => part_of_block((from, from_row), (to, to_row), (height, width)),
                }
            }
        }
    }
}

/// # Safety
/// As for [`transpose`].
unsafe fn part_of_block(
    (from, from_row): (*const f32, usize),
    (to, to_row): (*mut f32, usize),
    (rows, columns): (usize, usize),
) {
    for j in 0..columns {
        for i in 0..rows {
            // SAFETY: the caller's promise.
            unsafe { *to.add(j * to_row + i) = *from.add(i * from_row + j) };
        }
    }
}

/// # Safety
/// As for [`transpose`], of 8 rows and columns.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
unsafe fn whole_block((from, from_row): (*const f32, usize), (to, to_row): (*mut f32, usize)) {
    // SAFETY: the caller's promise.
    unsafe {
        // Four rows, the upper or the lower ones, of one column, for columns j and j + 4.
        let mut quarters = [[_mm256_setzero_ps(); 4]; 2];
        for (half, columns) in quarters.iter_mut().enumerate() {
            let mut r = [_mm256_setzero_ps(); 4];
            for (i, r) in r.iter_mut().enumerate() {
                *r = _mm256_loadu_ps(from.add((4 * half + i) * from_row));
            }
            // Pairs of rows, interleaved: values 0 1 4 5, and 2 3 6 7.
            let (x, y) = (
                _mm256_unpacklo_ps(r[0], r[1]),
                _mm256_unpacklo_ps(r[2], r[3]),
            );
            columns[0] = _mm256_shuffle_ps::<0x44>(x, y);
            columns[1] = _mm256_shuffle_ps::<0xee>(x, y);
            let (x, y) = (
                _mm256_unpackhi_ps(r[0], r[1]),
                _mm256_unpackhi_ps(r[2], r[3]),
            );
            columns[2] = _mm256_shuffle_ps::<0x44>(x, y);
            columns[3] = _mm256_shuffle_ps::<0xee>(x, y);
        }
        let [upper, lower] = quarters;
        for j in 0..4 {
            let left = _mm256_permute2f128_ps::<0x20>(upper[j], lower[j]);
            let right = _mm256_permute2f128_ps::<0x31>(upper[j], lower[j]);
            _mm256_storeu_ps(to.add(j * to_row), left);
            _mm256_storeu_ps(to.add((j + 4) * to_row), right);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_changes_row_and_column() {
        for level in Level::available() {
            for (rows, columns) in [(1, 1), (8, 8), (3, 17), (16, 24), (9, 31)] {
                let (from_row, to_row) = (columns + 3, rows + 2);
                let from: Vec<f32> = (0..rows * from_row).map(|v| v as f32).collect();
                let mut to = vec![-1.0; columns * to_row];
                // SAFETY: `from` has `rows` rows, `to` has `columns`.
                unsafe {
                    let to = (to.as_mut_ptr(), to_row);
                    transpose(level, (from.as_ptr(), from_row), to, (rows, columns));
                }
                for (j, row) in to.chunks(to_row).enumerate() {
                    for (i, value) in row.iter().enumerate() {
                        let expected = if i < rows {
                            (i * from_row + j) as f32
                        } else {
                            -1.0
                        };
                        assert_eq!(*value, expected, "{level:?} {rows} {columns} at {i} {j}");
                    }
                }
            }
        }
    }
}
