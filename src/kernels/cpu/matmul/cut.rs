//! Products cut into blocks of rows and columns.

use std::ops::Range;

use crate::engine::cpu::Team;
use crate::engine::view::MatMut;

/// How the output of one product is cut.
pub struct Cut {
    rows: usize,
    cols: usize,
    /// Rows and columns of a task.
    grain: (usize, usize),
}

impl Cut {
    pub fn new(out: &MatMut<'_>, grain: (usize, usize)) -> Cut {
        let (rows, cols) = (out.rows, out.cols);
        Cut { rows, cols, grain }
    }

    fn tasks(&self) -> usize {
        self.rows.div_ceil(self.grain.0) * self.cols.div_ceil(self.grain.1)
    }

    /// Rows and columns of a task: all rows of some columns follow one another.
    fn block(&self, task: usize) -> (Range<usize>, Range<usize>) {
        let parts = self.rows.div_ceil(self.grain.0);
        let (row, col) = (task % parts * self.grain.0, task / parts * self.grain.1);
        let rows = row..self.rows.min(row + self.grain.0);
        (rows, col..self.cols.min(col + self.grain.1))
    }
}

/// Calls `task` with the number of a product and a block of its output until all are covered, each
/// once.
pub fn run_cuts(
    team: &Team,
    cuts: &[Cut],
    task: impl Fn(usize, Range<usize>, Range<usize>) + Sync,
) {
    team.run(cuts.iter().map(Cut::tasks).sum(), |mut number| {
        for (i, cut) in cuts.iter().enumerate() {
            if number < cut.tasks() {
                let (rows, cols) = cut.block(number);
                return task(i, rows, cols);
            }
            number -= cut.tasks();
        }
    });
}
