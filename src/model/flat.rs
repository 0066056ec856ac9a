//! Numbers that are trained, in one flat tensor: an optimiser updates them with one launch, clips
//! their gradients by one norm, and a checkpoint is one copy.

use std::convert::Infallible;
use std::ops::Range;

use crate::engine::{DType, Tensor, Weight};
use crate::kernels::quant::dequantize_row;
use crate::model::config::{Architecture, ModelConfig};
use crate::model::error::ModelError;
use crate::model::names::Role;
use crate::model::transformer::{Brings, Transformer};
use crate::model::weights::WeightFile;

/// Elements that the start of every entry is a multiple of: bindings of shaders start on 64 bytes.
const ALIGN: usize = 16;

/// Where each matrix or vector lies in a flat tensor.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FlatLayout {
    pub entries: Vec<FlatEntry>,
    /// Number of elements of the flat tensor, gaps included.
    pub len: usize,
}

/// A matrix or vector of a flat tensor.
#[derive(Clone, Debug, PartialEq)]
pub struct FlatEntry {
    /// What checkpoints call it.
    pub name: String,
    /// Its part in the transformer; `None` where it has none.
    pub role: Option<Role>,
    pub rows: usize,
    pub cols: usize,
    pub range: Range<usize>,
}

impl FlatEntry {
    /// Its elements in a tensor of the layout.
    pub fn of(&self, flat: &Tensor) -> Tensor {
        flat.col_range(self.range.clone())
            .reshape(self.rows, self.cols)
    }

    /// Its elements among the numbers of the layout.
    pub fn numbers<'a>(&self, flat: &'a [f32]) -> &'a [f32] {
        &flat[self.range.clone()]
    }

    fn is_gain(&self) -> bool {
        let one = self.rows == 1;
        one && self.role.is_some_and(|role| !role.is_bias())
    }
}

impl FlatLayout {
    /// The layout of all weights of a model.
    pub fn of_model(config: &ModelConfig) -> FlatLayout {
        let mut layout = FlatLayout::default();
        let flat = Tensor::planned(DType::F32, 1, 0);
        let mut places = Places {
            layout: &mut layout,
            config,
            flat: &flat,
        };
        match Transformer::assemble(config.clone(), &mut places) {
            Ok(_) => layout,
            Err(never) => match never {},
        }
    }

    /// Adds a matrix, or a vector of one row.
    pub fn push(&mut self, name: &str, rows: usize, cols: usize) {
        self.place(name.to_owned(), None, rows, cols);
    }

    fn place(&mut self, name: String, role: Option<Role>, rows: usize, cols: usize) {
        let range = self.len..self.len + rows * cols;
        self.len = range.end.next_multiple_of(ALIGN);
        self.entries.push(FlatEntry {
            name,
            role,
            rows,
            cols,
            range,
        });
    }

    pub fn entry(&self, name: &str) -> Option<&FlatEntry> {
        self.entries.iter().find(|entry| entry.name == name)
    }

    /// Where gains and biases of the model lie, gaps after them included: they are not to decay.
    pub fn vectors(&self) -> Vec<Range<usize>> {
        let vectors = self
            .entries
            .iter()
            .filter(|e| e.rows == 1 && e.role.is_some());
        vectors
            .map(|e| e.range.start..e.range.end.next_multiple_of(ALIGN).min(self.len))
            .collect()
    }

    /// What scores hidden states.
    pub fn output(&self) -> Option<&FlatEntry> {
        let of = |role| self.entries.iter().find(|entry| entry.role == Some(role));
        of(Role::Output).or_else(|| of(Role::Embedding))
    }

    fn role(&self, role: Role) -> &FlatEntry {
        let found = self.entries.iter().find(|entry| entry.role == Some(role));
        found.expect("a layout of this model")
    }

    /// The model whose weights are these numbers, all of them views: it changes as they do.
    pub fn model(&self, config: &ModelConfig, flat: &Tensor) -> Transformer {
        match Transformer::assemble(config.clone(), &mut Views { layout: self, flat }) {
            Ok(model) => model,
            Err(never) => match never {},
        }
    }

    /// The numbers of a new model: matrices drawn from a normal distribution of deviation `std`,
    /// gains 1, everything else 0.
    pub fn initial(&self, std: f32, normal: &mut dyn FnMut() -> f32) -> Vec<f32> {
        let mut flat = vec![0.0; self.len];
        for entry in &self.entries {
            let own = &mut flat[entry.range.clone()];
            match entry.role {
                Some(role) if role.is_bias() => {}
                Some(_) if entry.is_gain() => own.fill(1.0),
                Some(_) => own.iter_mut().for_each(|v| *v = std * normal()),
                None => {}
            }
        }
        flat
    }

    /// Takes over the weights of a file that is laid out like this model, and what else of the
    /// layout it holds.
    pub fn read(
        &self,
        file: &WeightFile,
        config: &ModelConfig,
        flat: &mut [f32],
    ) -> Result<(), ModelError> {
        for entry in &self.entries {
            let shape = (entry.rows, entry.cols);
            let tensor = match entry.role {
                Some(role) => file.role(role, entry.rows, entry.cols)?,
                None => match file.tensor(&entry.name) {
                    Some(tensor) if (tensor.rows, tensor.cols) == shape => tensor.clone(),
                    Some(_) => {
                        let field = format!("tensor '{}'", entry.name);
                        let detail = "is of another shape; it belongs to another model";
                        return Err(ModelError::field(file.path(), field, detail));
                    }
                    None => continue,
                },
            };
            let mut own = vec![0f32; entry.range.len()];
            dequantize_row(tensor.dtype, tensor.bytes(), &mut own);
            self.take_over(entry, config, &own, flat);
        }
        Ok(())
    }

    /// Takes over an entry as a checkpoint holds it.
    pub fn take_over(
        &self,
        entry: &FlatEntry,
        config: &ModelConfig,
        own: &[f32],
        flat: &mut [f32],
    ) {
        let shift = if config.norm_weight_plus_one && entry.is_gain() {
            1.0
        } else {
            0.0
        };
        for (to, from) in flat[entry.range.clone()].iter_mut().zip(own) {
            *to = from + shift;
        }
    }

    /// Every entry as a checkpoint of this model holds it.
    pub fn saved<'a>(
        &'a self,
        config: &'a ModelConfig,
        flat: &'a [f32],
    ) -> impl Iterator<Item = (&'a FlatEntry, Vec<f32>)> {
        self.entries.iter().map(|entry| {
            let mut own = entry.numbers(flat).to_vec();
            if config.arch == Architecture::Gemma3 && entry.is_gain() {
                own.iter_mut().for_each(|v| *v -= 1.0);
            }
            (entry, own)
        })
    }
}

/// Adds an entry for each part of a model.
struct Places<'a> {
    layout: &'a mut FlatLayout,
    config: &'a ModelConfig,
    flat: &'a Tensor,
}

impl Places<'_> {
    fn place(&mut self, role: Role, rows: usize, cols: usize) {
        let name = role.hugging_face(self.config.sandwich_norms);
        self.layout.place(name, Some(role), rows, cols);
    }
}

impl Brings<Infallible> for Places<'_> {
    fn matrix(&mut self, role: Role, rows: usize, cols: usize) -> Result<Weight, Infallible> {
        self.place(role, rows, cols);
        Ok(Weight::of(self.flat.clone()))
    }

    fn vector(&mut self, role: Role, cols: usize) -> Result<Tensor, Infallible> {
        self.place(role, 1, cols);
        Ok(self.flat.clone())
    }
}

/// Gives the views of a flat tensor.
struct Views<'a> {
    layout: &'a FlatLayout,
    flat: &'a Tensor,
}

impl Brings<Infallible> for Views<'_> {
    fn matrix(&mut self, role: Role, _: usize, _: usize) -> Result<Weight, Infallible> {
        Ok(Weight::of(self.layout.role(role).of(self.flat)))
    }

    fn vector(&mut self, role: Role, _: usize) -> Result<Tensor, Infallible> {
        Ok(self.layout.role(role).of(self.flat))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::names::LayerRole;
    use crate::model::shapes::llama;

    #[test]
    fn every_weight_has_a_place_of_its_own() {
        let config = llama(70, 32, 2, 4, 64);
        let layout = FlatLayout::of_model(&config);
        let mut ends = 0;
        for entry in &layout.entries {
            assert!(entry.range.start >= ends && entry.range.start.is_multiple_of(ALIGN));
            ends = entry.range.end;
        }
        let weights: usize = layout
            .entries
            .iter()
            .filter(|entry| !entry.is_gain())
            .map(|entry| entry.range.len())
            .sum();
        assert_eq!(weights as u64, config.parameters());
        let gain = layout.role(Role::Layer(0, LayerRole::AttnNorm));
        let flat = layout.initial(0.02, &mut || 1.0);
        assert!(gain.numbers(&flat).iter().all(|&v| v == 1.0));
        let of_queries = layout.role(Role::Layer(1, LayerRole::Q));
        assert!(of_queries.numbers(&flat).iter().all(|&v| v == 0.02));
    }
}
