//! Matrix products through the `gemm` crate, with the bounds checked.

use gemm::Parallelism;

/// A matrix within a slice, with a stride for each direction.
#[derive(Clone, Copy)]
pub(in crate::nn) struct Matrix<'a> {
    data: &'a [f32],
    rows: usize,
    columns: usize,
    row_stride: usize,
    column_stride: usize,
}

impl<'a> Matrix<'a> {
    /// Element (i, j) is `data[i * row_stride + j * column_stride]`.
    pub(super) fn new(
        data: &'a [f32],
        (rows, columns): (usize, usize),
        (row_stride, column_stride): (usize, usize),
    ) -> Self {
        assert!(rows > 0 && columns > 0);
        assert!((rows - 1) * row_stride + (columns - 1) * column_stride < data.len());
        Self {
            data,
            rows,
            columns,
            row_stride,
            column_stride,
        }
    }

    /// A matrix whose rows lie one after the other.
    pub(in crate::nn) fn row_major(data: &'a [f32], rows: usize, columns: usize) -> Self {
        Self::new(data, (rows, columns), (columns, 1))
    }

    /// The transposed matrix, without moving anything.
    pub(in crate::nn) fn transposed(self) -> Self {
        Self {
            rows: self.columns,
            columns: self.rows,
            row_stride: self.column_stride,
            column_stride: self.row_stride,
            ..self
        }
    }
}

/// `a b` into rows of `destination` that lie `row_stride` apart, added to
/// what is there if `accumulate`. One thread: callers cut the work themselves.
///
/// # Safety
/// For every row i of `a` and column j of `b`, `destination + i * row_stride
/// + j` must be writable by this thread alone, and hold a value already if
/// `accumulate`.
pub(super) unsafe fn multiply(
    destination: *mut f32,
    row_stride: usize,
    accumulate: bool,
    a: Matrix,
    b: Matrix,
) {
    assert_eq!(a.columns, b.rows);
    // SAFETY: both factors lie within their slices (asserted when they were
    // made), the destination is the caller's promise; without `accumulate`
    // it is not read. Strides are far below isize::MAX, being within slices.
    unsafe {
        gemm::gemm(
            a.rows,
            b.columns,
            a.columns,
            destination,
            1,
            row_stride as isize,
            accumulate,
            a.data.as_ptr(),
            a.column_stride as isize,
            a.row_stride as isize,
            b.data.as_ptr(),
            b.column_stride as isize,
            b.row_stride as isize,
            1.0,
            1.0,
            false,
            false,
            false,
            Parallelism::None,
        );
    }
}

/// `a b` into the rows of `out`, added to what is there if `accumulate`. One
/// thread.
pub(in crate::nn) fn product(out: &mut [f32], accumulate: bool, a: Matrix, b: Matrix) {
    assert_eq!(out.len(), a.rows * b.columns);
    // SAFETY: the product has as many values as `out`, which is ours alone and
    // holds values.
    unsafe { multiply(out.as_mut_ptr(), b.columns, accumulate, a, b) };
}

/// `count` products of two matrices `[side, side]`, side by side: work to
/// measure this machine by.
pub(in crate::nn) fn square_products(count: usize, a: &[f32], b: &[f32], side: usize) {
    use rayon::prelude::*;
    (0..count).into_par_iter().for_each(|_| {
        let mut product = vec![0.0f32; side * side];
        let (a, b) = (
            Matrix::row_major(a, side, side),
            Matrix::row_major(b, side, side),
        );
        // SAFETY: the product has `side` rows of `side` values of its own.
        unsafe { multiply(product.as_mut_ptr(), side, false, a, b) };
        std::hint::black_box(product);
    });
}
