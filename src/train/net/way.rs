//! How the memory rows of a pass enter the model, and how their gradient comes back.

use super::pass::Lists;
use super::{Learn, Net, Shape, Use, names};
use crate::engine::{DType, Recording, Tensor, Weight};
use crate::kernels::column_sums::column_sums;
use crate::kernels::embed::embed;
use crate::kernels::matmul::{Onto, matmul};
use crate::kernels::matmul_back::matmul_back;
use crate::kernels::outer::outer;
use crate::kernels::rope::scatter_rows;
use crate::model::flat::FlatEntry;

/// The way of one pass.
pub struct Way<'a> {
    pub net: &'a Net,
    pub shape: Shape,
    pub lists: &'a Lists,
}

impl Way<'_> {
    /// Control rows before and after the memory.
    fn around(&self) -> [Option<&FlatEntry>; 2] {
        names::AROUND[self.shape.of as usize].map(|name| self.net.layout.entry(name))
    }

    fn projection(&self) -> Option<(&FlatEntry, &FlatEntry)> {
        if self.shape.of == Use::Read && !self.net.reads_projected {
            return None;
        }
        let layout = &self.net.layout;
        let weight = layout.entry(names::PROJECTION)?;
        Some((weight, layout.entry(names::PROJECTION_BIAS)?))
    }

    /// Rows seen as one row for each sequence.
    fn each(&self, rows: &Tensor) -> Tensor {
        let count = self.shape.sequences;
        rows.reshape(count, rows.rows * rows.cols / count)
    }

    /// Appends what stands before the tokens for memory rows.
    pub fn enter(&self, rec: &mut Recording, memory: &Tensor) -> Tensor {
        let params = &self.net.params;
        let projected = self.projection().map(|(weight, bias)| {
            let out = rec.temp(DType::F32, memory.rows, memory.cols);
            let (weight, bias) = (Weight::of(weight.of(params)), bias.of(params));
            matmul(rec, memory, &weight, Some(&bias), &out, Onto::Replace);
            out
        });
        let memory = projected.as_ref().unwrap_or(memory);
        let around = self.around();
        if around.iter().all(Option::is_none) {
            return memory.clone();
        }
        let rows = self.shape.sequences * self.net.rows_before(self.shape.of);
        let all = rec.temp(DType::F32, rows, memory.cols);
        let (each, memory) = (self.each(&all), self.each(memory));
        let first = around[0].map_or(0, |entry| entry.range.len());
        let last = first + memory.cols;
        let ends = [0..first, last..each.cols];
        for (entry, cols) in around.into_iter().zip(ends) {
            if let Some(entry) = entry {
                let row = entry.of(params).reshape(1, entry.range.len());
                let place = each.col_range(cols);
                embed(rec, &self.lists.zeros, &Weight::of(row), 1.0, &place);
            }
        }
        scatter_rows(
            rec,
            &memory,
            &self.lists.numbers,
            &each.col_range(first..last),
        );
        all
    }

    /// Appends the gradient of the memory rows from that of what stands before the tokens, and adds
    /// to those of what is trained on the way.
    pub fn back(&self, rec: &mut Recording, d_prefix: &Tensor, memory: &Tensor, d_memory: &Tensor) {
        let (grads, learn) = (&self.net.grads, self.shape.learn == Learn::All);
        let around = self.around();
        let mut d_entered = d_prefix.clone();
        if around.iter().any(Option::is_some) {
            let each = self.each(d_prefix);
            let first = around[0].map_or(0, |entry| entry.range.len());
            let last = first + memory.rows * memory.cols / self.shape.sequences;
            let ends = [0..first, last..each.cols];
            for (entry, cols) in around.into_iter().zip(ends) {
                if let Some(entry) = entry.filter(|_| learn) {
                    let sum = entry.of(grads).reshape(1, entry.range.len());
                    column_sums(rec, &each.col_range(cols), &sum);
                }
            }
            let own = rec.temp(DType::F32, memory.rows, memory.cols);
            let to = self.each(&own);
            scatter_rows(rec, &each.col_range(first..last), &self.lists.numbers, &to);
            d_entered = own;
        }
        let Some((weight, bias)) = self.projection() else {
            rec.copy(&d_entered, d_memory);
            return;
        };
        if learn {
            outer(rec, &d_entered, memory, &weight.of(grads), Onto::Add);
            column_sums(rec, &d_entered, &bias.of(grads));
        }
        let weight = Weight::of(weight.of(&self.net.params));
        matmul_back(rec, &d_entered, &weight, d_memory, Onto::Replace);
    }
}
