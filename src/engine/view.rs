//! The slices that CPU twins work on.

use std::marker::PhantomData;
use std::ops::Range;

use super::DType;
use super::copies::Source;

/// A read-only matrix of plain elements.
#[derive(Clone, Copy)]
pub struct Mat<'a, T = f32> {
    /// Elements from the first of the first row on; rows begin `stride` apart.
    pub data: &'a [T],
    /// Number of rows.
    pub rows: usize,
    /// Elements of a row.
    pub cols: usize,
    /// Elements from the beginning of one row to that of the next.
    pub stride: usize,
}

impl<'a, T> Mat<'a, T> {
    /// The elements of row `r`.
    pub fn row(&self, r: usize) -> &'a [T] {
        &self.data[r * self.stride..][..self.cols]
    }

    /// Some of the rows.
    pub fn range(&self, rows: Range<usize>) -> Mat<'a, T> {
        assert!(rows.start <= rows.end && rows.end <= self.rows);
        let first = (rows.start * self.stride).min(self.data.len());
        Mat {
            data: &self.data[first..],
            rows: rows.len(),
            ..*self
        }
    }
}

/// Rows of a weight as files hold them.
#[derive(Clone, Copy)]
pub struct Rows<'a> {
    /// How the elements are stored.
    pub dtype: DType,
    /// The bytes of all rows, one after the other.
    pub data: &'a [u8],
    /// Number of rows.
    pub rows: usize,
    /// Elements of a row, whatever the bytes that they take.
    pub cols: usize,
    /// Bytes of a row.
    pub row_bytes: usize,
    /// How to find or make the weight's second copy, where it may have one.
    pub copy: Option<Source<'a>>,
}

impl<'a> Rows<'a> {
    /// The bytes of row `r`.
    pub fn row(&self, r: usize) -> &'a [u8] {
        &self.data[r * self.row_bytes..][..self.row_bytes]
    }
}

/// A writable matrix of `f32`.
pub struct MatMut<'a> {
    data: *mut f32,
    len: usize,
    /// Number of rows.
    pub rows: usize,
    /// Elements of a row.
    pub cols: usize,
    /// Elements from the beginning of one row to that of the next.
    pub stride: usize,
    lives: PhantomData<&'a mut [f32]>,
}

impl<'a> MatMut<'a> {
    /// A view of `data`, which must reach to the last row's end.
    pub fn new(data: &'a mut [f32], rows: usize, cols: usize, stride: usize) -> Self {
        let span = if rows == 0 || cols == 0 {
            0
        } else {
            (rows - 1) * stride + cols
        };
        assert!(
            span <= data.len() && (rows <= 1 || cols <= stride),
            "view outside its memory"
        );
        MatMut {
            data: data.as_mut_ptr(),
            len: data.len(),
            rows,
            cols,
            stride,
            lives: PhantomData,
        }
    }

    /// The elements of row `r`.
    pub fn row(&self, r: usize) -> &[f32] {
        assert!(r < self.rows);
        // SAFETY: `new` checked that every row lies in the slice, which `self` borrows.
        unsafe { std::slice::from_raw_parts(self.data.add(r * self.stride), self.cols) }
    }

    /// The elements of row `r`, to write.
    pub fn row_mut(&mut self, r: usize) -> &mut [f32] {
        assert!(r < self.rows);
        // SAFETY: as in `row`; `&mut self` makes it the only reference.
        unsafe { std::slice::from_raw_parts_mut(self.data.add(r * self.stride), self.cols) }
    }

    /// The same elements to be read.
    pub fn as_mat(&self) -> Mat<'_> {
        Mat {
            // SAFETY: pointer and length come from the slice given to `new`, which `self` borrows.
            data: unsafe { std::slice::from_raw_parts(self.data, self.len) },
            rows: self.rows,
            cols: self.cols,
            stride: self.stride,
        }
    }

    /// The whole memory under the view, gaps included.
    pub fn data_mut(&mut self) -> &mut [f32] {
        // SAFETY: pointer and length come from the slice given to `new`.
        unsafe { std::slice::from_raw_parts_mut(self.data, self.len) }
    }

    /// A handle whose parts can be given to different threads.
    pub fn parts(&mut self) -> Parts<'_> {
        Parts {
            data: self.data,
            rows: self.rows,
            cols: self.cols,
            stride: self.stride,
            lives: PhantomData,
        }
    }
}

/// A matrix whose parts several threads write, each its own.
#[derive(Clone, Copy)]
pub struct Parts<'a> {
    data: *mut f32,
    rows: usize,
    cols: usize,
    stride: usize,
    lives: PhantomData<&'a mut [f32]>,
}

// SAFETY: `Parts` only hands out memory through unsafe methods whose callers promise that no two
// threads take the same part.
unsafe impl Sync for Parts<'_> {}
// SAFETY: as for `Sync`.
unsafe impl Send for Parts<'_> {}

impl<'a> Parts<'a> {
    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Elements of a row.
    pub fn cols(&self) -> usize {
        self.cols
    }

    /// Elements from the beginning of one row to that of the next.
    pub fn stride(&self) -> usize {
        self.stride
    }

    /// One row.
    ///
    /// # Safety
    /// No other reference to any element of the row may exist while the result lives.
    #[allow(clippy::mut_from_ref)]
    pub unsafe fn row_mut(&self, r: usize) -> &'a mut [f32] {
        assert!(r < self.rows);
        // SAFETY: inside the matrix by the assertion; exclusive by the caller's promise.
        unsafe { std::slice::from_raw_parts_mut(self.data.add(r * self.stride), self.cols) }
    }

    /// Some of the rows, as a matrix of their own.
    ///
    /// # Safety
    /// No other reference to any element of these rows, or to what lies between them, may exist
    /// while the result lives.
    pub unsafe fn range(&self, rows: Range<usize>) -> MatMut<'a> {
        assert!(rows.start <= rows.end && rows.end <= self.rows);
        let empty = rows.is_empty() || self.cols == 0;
        let first = if empty { 0 } else { rows.start * self.stride };
        MatMut {
            // SAFETY: a row of the matrix, by the assertion, or its beginning.
            data: unsafe { self.data.add(first) },
            len: if empty {
                0
            } else {
                (rows.len() - 1) * self.stride + self.cols
            },
            rows: rows.len(),
            cols: self.cols,
            stride: self.stride,
            lives: PhantomData,
        }
    }

    /// Some columns of one row.
    ///
    /// # Safety
    /// No other reference to any of these elements may exist while the result lives.
    #[allow(clippy::mut_from_ref)]
    pub unsafe fn cols_mut(&self, r: usize, cols: Range<usize>) -> &'a mut [f32] {
        assert!(r < self.rows && cols.start <= cols.end && cols.end <= self.cols);
        // SAFETY: inside the matrix by the assertion; exclusive by the caller's promise.
        unsafe {
            std::slice::from_raw_parts_mut(self.data.add(r * self.stride + cols.start), cols.len())
        }
    }

    /// A pointer to an element, for kernels that write a block with raw stores.
    ///
    /// # Safety
    /// The element must lie in the matrix; writes through the pointer must stay in the caller's
    /// own part.
    pub unsafe fn at(&self, r: usize, c: usize) -> *mut f32 {
        debug_assert!(r < self.rows && c < self.cols);
        // SAFETY: inside the matrix by the caller's promise.
        unsafe { self.data.add(r * self.stride + c) }
    }
}
