//! AVX-512, where one side is narrow: reads both factors once, in order.
//!
//! The wider factor is copied into panels of 32 columns, some rows at a time; the narrower one is
//! broadcast. Sums stay in a buffer of the narrow side by the task's columns of the wide one, and
//! are turned over on the way out where `dy` is the wide one.

use std::arch::x86_64::*;
use std::ops::Range;

use super::Outer;
use crate::engine::cpu::Team;
use crate::engine::view::{Mat, MatMut, Parts};
use crate::kernels::cpu::scratch::with_scratch;

/// Rows of the factors that are worked on at once.
const DEPTH: usize = 128;
/// Columns of a panel: two vectors.
const PANEL: usize = 32;
/// Sums of a tile are in at most twelve rows of two vectors.
const TILE_ROWS: usize = 12;
/// Columns of a task: what keeps panels and sums in the second-level cache.
const MOST_COLS: usize = 512;

pub fn run(job: &Outer<'_>, team: &Team, out: &mut MatMut<'_>) {
    let turned = job.dy.cols > job.x.cols;
    let (narrow, wide) = if turned {
        (job.x, job.dy)
    } else {
        (job.dy, job.x)
    };
    let even = wide.cols.div_ceil(team.threads());
    let grain = even.next_multiple_of(PANEL).min(MOST_COLS);
    let parts = out.parts();
    team.ranges(wide.cols, grain, |cols| {
        let task = Task {
            narrow,
            wide,
            cols,
            turned,
            accumulate: job.accumulate,
        };
        task.run(parts);
    });
}

/// Some columns of the wider factor.
struct Task<'a> {
    narrow: Mat<'a>,
    wide: Mat<'a>,
    cols: Range<usize>,
    turned: bool,
    accumulate: bool,
}

impl Task<'_> {
    fn run(&self, out: Parts<'_>) {
        let width = self.cols.len().next_multiple_of(PANEL);
        with_scratch(width * (DEPTH + self.narrow.cols), |scratch| {
            let (packed, sums) = scratch.split_at_mut(width * DEPTH);
            sums.fill(0.0);
            for start in (0..self.wide.rows).step_by(DEPTH) {
                let rows = start..self.wide.rows.min(start + DEPTH);
                self.pack(&rows, packed);
                for at in (0..width).step_by(PANEL) {
                    let panel = &packed[at * DEPTH..][..PANEL * DEPTH];
                    self.multiply(&rows, panel, &mut sums[at..], width);
                }
            }
            if self.turned {
                self.write_turned(sums, width, out);
            } else {
                self.write(sums, width, out);
            }
        });
    }

    /// Copies the task's columns into panels, with zeros beyond the last.
    fn pack(&self, rows: &Range<usize>, packed: &mut [f32]) {
        for (i, row) in rows.clone().enumerate() {
            let row = &self.wide.row(row)[self.cols.clone()];
            let panels = packed.chunks_exact_mut(PANEL * DEPTH);
            for (panel, values) in panels.zip(row.chunks(PANEL)) {
                let to = &mut panel[i * PANEL..][..PANEL];
                // A length known beforehand makes this a few moves instead of a call.
                if let Ok(values) = <&[f32; PANEL]>::try_from(values) {
                    to.copy_from_slice(values);
                } else {
                    let (there, beyond) = to.split_at_mut(values.len());
                    there.copy_from_slice(values);
                    beyond.fill(0.0);
                }
            }
        }
    }

    /// Adds the products of all narrow columns with one panel to `sums`, `stride` apart.
    fn multiply(&self, rows: &Range<usize>, panel: &[f32], sums: &mut [f32], stride: usize) {
        let count = self.narrow.cols;
        // Tiles of nearly the same height.
        let tiles = count.div_ceil(TILE_ROWS);
        for i in 0..tiles {
            let (first, end) = (i * count / tiles, (i + 1) * count / tiles);
            let tile = Tile {
                depth: rows.len(),
                narrow: self.narrow.row(rows.start)[first..].as_ptr(),
                narrow_stride: self.narrow.stride,
                panel: panel.as_ptr(),
                sums: sums[first * stride..].as_mut_ptr(),
                stride,
            };
            assert!(sums.len() >= (end - 1) * stride + PANEL && panel.len() >= PANEL * rows.len());
            // SAFETY: `end - first` narrow columns of `depth` rows by `Outer::run`; the sums and
            // the panel by the assertion; chosen on AVX-512.
            unsafe { tile.add(end - first) }
        }
    }

    fn write(&self, sums: &[f32], stride: usize, out: Parts<'_>) {
        for (r, sums) in sums.chunks_exact(stride).enumerate() {
            // SAFETY: each column belongs to one task.
            let out = unsafe { out.cols_mut(r, self.cols.clone()) };
            self.put(out, sums.iter().copied());
        }
    }

    fn write_turned(&self, sums: &[f32], stride: usize, out: Parts<'_>) {
        for (i, row) in self.cols.clone().enumerate() {
            // SAFETY: each row belongs to one task.
            let out = unsafe { out.row_mut(row) };
            self.put(out, sums[i..].iter().step_by(stride).copied());
        }
    }

    fn put(&self, out: &mut [f32], sums: impl Iterator<Item = f32>) {
        if self.accumulate {
            out.iter_mut().zip(sums).for_each(|(out, sum)| *out += sum);
        } else {
            out.iter_mut().zip(sums).for_each(|(out, sum)| *out = sum);
        }
    }
}

/// Where one tile finds its factors and sums.
struct Tile {
    depth: usize,
    narrow: *const f32,
    narrow_stride: usize,
    panel: *const f32,
    sums: *mut f32,
    stride: usize,
}

impl Tile {
    /// Adds the products of `rows` narrow columns.
    ///
    /// # Safety
    /// All of that must be there, and the processor must have AVX-512 F.
    unsafe fn add(&self, rows: usize) {
        macro_rules! by_rows {
            ($($n:literal)*) => {
                match rows {
                    // SAFETY: the caller's.
                    $($n => unsafe { self.add_fixed::<$n>() },)*
                    _ => unreachable!("a tile has 1 to 12 rows"),
                }
            };
        }
        by_rows!(1 2 3 4 5 6 7 8 9 10 11 12)
    }

    #[target_feature(enable = "avx512f,fma")]
    unsafe fn add_fixed<const M: usize>(&self) {
        // SAFETY: the caller's.
        unsafe {
            let at = |r: usize, v: usize| self.sums.add(r * self.stride + 16 * v);
            let mut sums: [[__m512; 2]; M] =
                std::array::from_fn(|r| [_mm512_loadu_ps(at(r, 0)), _mm512_loadu_ps(at(r, 1))]);
            for t in 0..self.depth {
                let wide = self.panel.add(t * PANEL);
                let wide = [_mm512_loadu_ps(wide), _mm512_loadu_ps(wide.add(16))];
                let narrow = self.narrow.add(t * self.narrow_stride);
                for (r, sums) in sums.iter_mut().enumerate() {
                    let narrow = _mm512_set1_ps(*narrow.add(r));
                    sums[0] = _mm512_fmadd_ps(narrow, wide[0], sums[0]);
                    sums[1] = _mm512_fmadd_ps(narrow, wide[1], sums[1]);
                }
            }
            for (r, sums) in sums.iter().enumerate() {
                _mm512_storeu_ps(at(r, 0), sums[0]);
                _mm512_storeu_ps(at(r, 1), sums[1]);
            }
        }
    }
}
