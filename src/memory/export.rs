//! Memories for other programs.

use std::path::Path;

use super::error::MemoryError;
use super::gguf_adapter::{self, Precision};
use super::kind::{self, Content};
use super::lora::Lora;
use super::peft;
use crate::model::config::ModelConfig;

/// What a memory is written as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// A folder that PEFT reads.
    Peft,
    /// A GGUF adapter that llama.cpp reads.
    Gguf(Precision),
}

/// Writes a segment's memory for another program, replacing what is at `out`. `model_name` is the
/// model's, `name` the adapter's own.
pub fn export(
    contents: &[Content],
    format: Format,
    out: &Path,
    model: &ModelConfig,
    model_name: &str,
    name: &str,
) -> Result<(), MemoryError> {
    match format {
        Format::Peft => match contents.iter().find(|content| peft::holds(content)) {
            Some(content) => peft::save(out, content, model, model_name),
            None => Err(MemoryError::file(
                out,
                "not written: PEFT has no kind for this memory",
            )),
        },
        Format::Gguf(precision) => match kind::find::<Lora>(contents) {
            Some(lora) => gguf_adapter::save(out, lora, model, name, precision),
            None => Err(MemoryError::file(
                out,
                "not written: memory tokens cannot be a GGUF adapter, which adds to weights only; \
                 export them for PEFT instead",
            )),
        },
    }
}
