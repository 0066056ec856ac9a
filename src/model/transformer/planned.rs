//! A model without memory: what its passes need is planned before anything is loaded.

use std::convert::Infallible;

use super::Transformer;
use super::assemble::Brings;
use crate::engine::{DType, Tensor, Weight};
use crate::model::config::ModelConfig;
use crate::model::names::Role;

struct Planned;

impl Brings<Infallible> for Planned {
    fn matrix(&mut self, _: Role, rows: usize, cols: usize) -> Result<Weight, Infallible> {
        Ok(Weight::of(Tensor::planned(DType::F32, rows, cols)))
    }

    fn vector(&mut self, _: Role, cols: usize) -> Result<Tensor, Infallible> {
        Ok(Tensor::planned(DType::F32, 1, cols))
    }
}

impl Transformer {
    /// A model of these sizes whose weights take no memory. Its passes can be recorded and planned,
    /// not run. What a pass needs beside the weights does not depend on their types.
    pub(crate) fn planned(config: &ModelConfig) -> Transformer {
        match Transformer::assemble(config.clone(), &mut Planned) {
            Ok(model) => model,
            Err(never) => match never {},
        }
    }
}
