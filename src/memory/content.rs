//! A memory's numbers, of whichever kind.

use std::path::Path;

use super::error::MemoryError;
use super::lora::Lora;
use super::prefix::Prefix;
use crate::model::config::ModelConfig;

/// What one segment's writing left.
#[derive(Clone, Debug, PartialEq)]
pub enum Content {
    Lora(Lora),
    Prefix(Prefix),
}

impl Content {
    /// Refuses what no file should hold: sizes that are not this model's, values that are not
    /// numbers. `path` is where it was going to.
    pub(super) fn check(&self, path: &Path, model: &ModelConfig) -> Result<(), MemoryError> {
        let fault = match self {
            Content::Lora(lora) => lora_fault(lora, model),
            Content::Prefix(prefix) => prefix_fault(prefix, model),
        };
        match fault {
            Some(detail) => Err(MemoryError::file(path, format!("not written: {detail}"))),
            None => Ok(()),
        }
    }
}

fn lora_fault(lora: &Lora, model: &ModelConfig) -> Option<String> {
    let rank = lora.config.rank;
    if rank == 0 || lora.matrices.is_empty() {
        return Some("the adapter has no matrices".into());
    }
    if !lora.config.alpha.is_finite() {
        return Some(format!("alpha is {}", lora.config.alpha));
    }
    lora.matrices.iter().find_map(|m| {
        let (outputs, inputs) = m.projection.shape(model);
        let fits = m.layer < model.layers
            && (m.outputs, m.inputs) == (outputs, inputs)
            && (m.a.len(), m.b.len()) == (rank * inputs, outputs * rank);
        let what = match (fits, numbers(&m.a) && numbers(&m.b)) {
            (false, _) => "is of another model's size",
            (true, false) => "holds values that are not numbers",
            (true, true) => return None,
        };
        Some(format!("{} of layer {} {what}", m.projection, m.layer))
    })
}

fn prefix_fault(prefix: &Prefix, model: &ModelConfig) -> Option<String> {
    let fits = prefix.rows > 0
        && prefix.hidden == model.hidden
        && prefix.rows.checked_mul(prefix.hidden) == Some(prefix.values.len());
    if !fits {
        return Some("the memory tokens are of another model's size".into());
    }
    (!numbers(&prefix.values)).then(|| "the memory tokens are not numbers".into())
}

fn numbers(values: &[f32]) -> bool {
    values.iter().all(|v| v.is_finite())
}
