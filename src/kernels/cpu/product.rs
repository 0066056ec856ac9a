//! Small products of matrices that lie in scratch memory, register-blocked for each level of
//! instructions.

use super::simd::{Floats, Simd};

/// Columns that every row of `b` and `c` has room for a whole number of.
pub const COLS: usize = 32;

/// `c = a * b`, or `c += a * b`.
pub struct Product<'a> {
    pub rows: usize,
    pub depth: usize,
    /// A multiple of `COLS`.
    pub cols: usize,
    pub a: &'a [f32],
    /// How the elements of `a` lie.
    pub order: Order,
    pub b: &'a [f32],
    /// Floats from one row of `b` to the next.
    pub b_stride: usize,
    pub c: &'a mut [f32],
    pub c_stride: usize,
    /// Add to what `c` holds instead of replacing it.
    pub keep: bool,
}

/// Where element (row, depth) of `a` is.
#[derive(Clone, Copy, Debug)]
pub enum Order {
    /// `row * stride + depth`
    ByRow(usize),
    /// `depth * stride + row`: `a` is the transpose of what lies there.
    ByDepth(usize),
}

impl Product<'_> {
    pub fn run(self, simd: Simd) {
        if self.rows == 0 || self.cols == 0 {
            return;
        }
        let reach = |outer: usize, stride: usize, inner: usize| (outer - 1) * stride + inner;
        // What the unsafe code relies on.
        assert!(self.cols.is_multiple_of(COLS));
        assert!(reach(self.rows, self.c_stride, self.cols) <= self.c.len());
        if self.depth > 0 {
            assert!(reach(self.depth, self.b_stride, self.cols) <= self.b.len());
            let a = match self.order {
                Order::ByRow(stride) => reach(self.rows, stride, self.depth),
                Order::ByDepth(stride) => reach(self.depth, stride, self.rows),
            };
            assert!(a <= self.a.len());
        }
        match simd.floats() {
            #[cfg(target_arch = "x86_64")]
            // SAFETY: the extents are checked; the level says what the processor has.
            Floats::Avx512 => unsafe { wide::run(self) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: as above.
            Floats::Avx2 => unsafe { narrow::run(self) },
            #[cfg(target_arch = "aarch64")]
            // SAFETY: as above.
            Floats::Neon => unsafe { neon::run(self) },
            // SAFETY: the extents are checked.
            _ => unsafe { portable::run(self) },
        }
    }
}

/// Walks the tiles of a product and, for each, calls the function made for its number of rows and
/// the order of `a`.
macro_rules! tiles {
    ($rows:literal x $cols:expr, $($n:literal)*) => {
        /// # Safety
        /// `Product::run` checked the extents; the processor must have what `tile` needs.
        pub unsafe fn run(product: super::Product<'_>) {
            let super::Product { rows, depth, cols, a, order, b, b_stride, c, c_stride, keep } =
                product;
            let (a_row, a_step, by_depth) = match order {
                super::Order::ByRow(stride) => (stride, 1, false),
                super::Order::ByDepth(stride) => (1, stride, true),
            };
            let (a, b, c) = (a.as_ptr(), b.as_ptr(), c.as_mut_ptr());
            for col in (0..cols).step_by($cols) {
                for row in (0..rows).step_by($rows) {
                    let a = a.wrapping_add(row * a_row);
                    let b = b.wrapping_add(col);
                    let c = c.wrapping_add(row * c_stride + col);
                    // SAFETY: the caller's; tiles stay inside the product.
                    unsafe {
                        match ((rows - row).min($rows), by_depth) {
                            $(
                                ($n, false) =>
                                    tile::<$n, false>(depth, a, a_row, b, b_stride, c, c_stride, keep),
                                ($n, true) =>
                                    tile::<$n, true>(depth, a, a_step, b, b_stride, c, c_stride, keep),
                            )*
                            _ => unreachable!("a tile has at least one row"),
                        }
                    }
                }
            }
        }
    };
}

/// Tiles of 12 x 32 in AVX-512's 32 registers.
#[cfg(target_arch = "x86_64")]
mod wide {
    use std::arch::x86_64::*;

    tiles!(12 x 32, 1 2 3 4 5 6 7 8 9 10 11 12);

    #[target_feature(enable = "avx512f,fma")]
    unsafe fn tile<const M: usize, const BY_DEPTH: bool>(
        depth: usize,
        a: *const f32,
        a_stride: usize,
        b: *const f32,
        b_stride: usize,
        c: *mut f32,
        c_stride: usize,
        keep: bool,
    ) {
        let mut sums = [[_mm512_setzero_ps(); 2]; M];
        // SAFETY: the caller's.
        unsafe {
            for i in 0..depth {
                let b = b.add(i * b_stride);
                let b = [_mm512_loadu_ps(b), _mm512_loadu_ps(b.add(16))];
                for (r, sums) in sums.iter_mut().enumerate() {
                    let at = if BY_DEPTH {
                        i * a_stride + r
                    } else {
                        r * a_stride + i
                    };
                    let a = _mm512_set1_ps(*a.add(at));
                    sums[0] = _mm512_fmadd_ps(a, b[0], sums[0]);
                    sums[1] = _mm512_fmadd_ps(a, b[1], sums[1]);
                }
            }
            for (r, sums) in sums.iter().enumerate() {
                for (v, &sum) in sums.iter().enumerate() {
                    let c = c.add(r * c_stride + 16 * v);
                    let sum = if keep {
                        _mm512_add_ps(sum, _mm512_loadu_ps(c))
                    } else {
                        sum
                    };
                    _mm512_storeu_ps(c, sum);
                }
            }
        }
    }
}

/// Tiles of 6 x 16 by the functions that multiplications have for them.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
macro_rules! tiles_of_16 {
    ($features:literal, $products:ident, $store:ident) => {
        use crate::kernels::cpu::tile::{$products, $store, Operands, Target};

        tiles!(6 x 16, 1 2 3 4 5 6);

        #[target_feature(enable = $features)]
        unsafe fn tile<const M: usize, const BY_DEPTH: bool>(
            depth: usize,
            a: *const f32,
            a_stride: usize,
            b: *const f32,
            b_stride: usize,
            c: *mut f32,
            c_stride: usize,
            keep: bool,
        ) {
            let operands = Operands { k: depth, a, a_stride, b, b_stride };
            let bias = std::ptr::null();
            let target = Target { c, stride: c_stride, cols: 16, keep, bias };
            // SAFETY: the caller's.
            unsafe { $store(&$products::<M, BY_DEPTH>(operands), target) }
        }
    };
}

/// In AVX2's 16 registers.
#[cfg(target_arch = "x86_64")]
mod narrow {
    tiles_of_16!("avx2,fma", products_avx2, store_avx2);
}

/// In NEON's 32 registers.
#[cfg(target_arch = "aarch64")]
mod neon {
    tiles_of_16!("neon", products_neon, store_neon);
}

/// Tiles of 4 x 8, which the compiler turns into the vectors every processor has.
mod portable {
    const VECTOR: usize = 8;

    tiles!(4 x VECTOR, 1 2 3 4);

    unsafe fn tile<const M: usize, const BY_DEPTH: bool>(
        depth: usize,
        a: *const f32,
        a_stride: usize,
        b: *const f32,
        b_stride: usize,
        c: *mut f32,
        c_stride: usize,
        keep: bool,
    ) {
        let mut sums = [[0f32; VECTOR]; M];
        for i in 0..depth {
            // SAFETY: the caller's.
            let b: [f32; VECTOR] = unsafe { b.add(i * b_stride).cast::<[f32; VECTOR]>().read() };
            for (r, sums) in sums.iter_mut().enumerate() {
                let at = if BY_DEPTH {
                    i * a_stride + r
                } else {
                    r * a_stride + i
                };
                // SAFETY: the caller's.
                let a = unsafe { *a.add(at) };
                for (sum, b) in sums.iter_mut().zip(b) {
                    *sum += a * b;
                }
            }
        }
        for (r, sums) in sums.iter().enumerate() {
            // SAFETY: the caller's.
            let c = unsafe { std::slice::from_raw_parts_mut(c.add(r * c_stride), VECTOR) };
            for (c, sum) in c.iter_mut().zip(sums) {
                *c = if keep { *c + sum } else { *sum };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::cpu::matmul::tests::Random;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn products_agree_with_64_bits(
            rows in 0usize..30, depth in 0usize..40, panels in 0usize..4,
            by_depth: bool, keep: bool, pad in 0usize..9, seed: u64,
        ) {
            let cols = panels * COLS;
            let mut random = Random(seed);
            let stride = pad + if by_depth { rows } else { depth };
            let a = random.floats(stride * rows.max(depth));
            let b = random.floats((cols + pad) * depth);
            let before = random.floats((cols + pad) * rows);
            for simd in Simd::supported() {
                let mut c = before.clone();
                let order = if by_depth { Order::ByDepth(stride) } else { Order::ByRow(stride) };
                Product {
                    rows, depth, cols, a: &a, order, b: &b, b_stride: cols + pad,
                    c: &mut c, c_stride: cols + pad, keep,
                }
                .run(simd);
                for (i, (&got, &before)) in c.iter().zip(&before).enumerate() {
                    let (r, col) = (i / (cols + pad), i % (cols + pad));
                    if col >= cols {
                        prop_assert_eq!(got, before);
                        continue;
                    }
                    let mut want = if keep { f64::from(before) } else { 0.0 };
                    for d in 0..depth {
                        let a = if by_depth { a[d * stride + r] } else { a[r * stride + d] };
                        want += f64::from(a) * f64::from(b[d * (cols + pad) + col]);
                    }
                    prop_assert!((f64::from(got) - want).abs() < 1e-5, "{simd:?} {r} {col}");
                }
            }
        }
    }
}
