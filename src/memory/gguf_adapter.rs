//! LoRA adapters as llama.cpp loads them: a GGUF file of `<tensor>.lora_a` and `<tensor>.lora_b`.
//!
//! Their rows are in the order of the model's GGUF file: llama.cpp's `convert_lora_to_gguf.py`
//! sends B through the model's own conversion, which for llama reorders queries and keys. An
//! adapter of a model that was itself read from GGUF goes in as it is.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::Path;

use half::f16;

use super::disk::Disk;
use super::error::MemoryError;
use super::kind::Kind;
use super::lora::{Lora, LoraConfig, LoraMatrix};
use super::peft::{read_tensor, tensor_error};
use super::row_order::{RowOrder, reorder};
use crate::engine::DType;
use crate::model::adapter::Projection;
use crate::model::config::ModelConfig;
use crate::model::gguf::Gguf;
use crate::model::gguf::writer::{GgufWriter, Meta, WriteError};
use crate::model::weights::TensorBytes;

type Result<T, E = MemoryError> = std::result::Result<T, E>;

/// How an adapter's numbers are stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Precision {
    #[default]
    F32,
    F16,
}

/// Writes an adapter, replacing what is at `path`.
pub fn save(
    path: &Path,
    lora: &Lora,
    model: &ModelConfig,
    name: &str,
    precision: Precision,
) -> Result<()> {
    if let Some(detail) = lora.fault(model) {
        return Err(MemoryError::file(path, format!("not written: {detail}")));
    }
    if lora.config.alpha == 0.0 {
        // llama.cpp takes 0 for "not set", and adds the matrices unscaled.
        let detail = "not written: with an alpha of 0 it adds nothing, which GGUF cannot say";
        return Err(MemoryError::file(path, detail));
    }
    let bytes = serialize(lora, model, name, precision)
        .map_err(|e| MemoryError::file(path, format!("not written: {e}")))?;
    Disk::default().write(path, &bytes)
}

fn serialize(
    lora: &Lora,
    model: &ModelConfig,
    name: &str,
    precision: Precision,
) -> Result<Vec<u8>, WriteError> {
    let mut writer = GgufWriter::new();
    writer.set("general.architecture", model.arch.name().into())?;
    writer.set("general.type", "adapter".into())?;
    writer.set("general.name", name.into())?;
    writer.set("adapter.type", "lora".into())?;
    writer.set("adapter.lora.alpha", Meta::F32(lora.config.alpha))?;
    let (rank, dtype) = (lora.config.rank, precision.dtype());
    for m in &lora.matrices {
        let name = tensor_name(m.layer, m.projection);
        writer.announce(&format!("{name}.lora_a"), dtype, &[rank, m.inputs])?;
        writer.announce(&format!("{name}.lora_b"), dtype, &[m.outputs, rank])?;
    }
    let mut data = writer.begin(Vec::new())?;
    for m in &lora.matrices {
        let (from, to) = (RowOrder::of_model(model), RowOrder::of_gguf(model));
        let b = reorder(&m.b, rank, model.head_dim, m.projection, from, to);
        data.tensor(&precision.bytes(&m.a))?;
        data.tensor(&precision.bytes(&b))?;
    }
    data.finish()
}

impl Precision {
    fn dtype(self) -> DType {
        match self {
            Precision::F32 => DType::F32,
            Precision::F16 => DType::F16,
        }
    }

    fn bytes(self, values: &[f32]) -> Vec<u8> {
        match self {
            Precision::F32 => values.iter().flat_map(|v| v.to_le_bytes()).collect(),
            Precision::F16 => {
                let halves = values.iter().map(|&v| f16::from_f32(v));
                halves.flat_map(f16::to_le_bytes).collect()
            }
        }
    }
}

fn tensor_name(layer: usize, projection: Projection) -> String {
    format!("blk.{layer}.{}.weight", projection.gguf())
}

/// Reads an adapter, for this model.
pub fn load(path: &Path, model: &ModelConfig) -> Result<Lora> {
    from_gguf(&Gguf::open(path)?, model)
}

fn from_gguf(file: &Gguf, model: &ModelConfig) -> Result<Lora> {
    let path = file.path();
    let alpha = check_metadata(file, model)?;
    let mut pairs: BTreeMap<(usize, Projection), [Option<&TensorBytes>; 2]> = BTreeMap::new();
    for tensor in file.tensors() {
        let Some((layer, projection, part)) = parse_name(&tensor.name) else {
            let detail = "is no LoRA matrix of a projection that Inscribe adapts";
            return Err(tensor_error(path, &tensor.name, detail));
        };
        if layer >= model.layers {
            let detail = format!("is for another model: this one has {} layers", model.layers);
            return Err(tensor_error(path, &tensor.name, &detail));
        }
        pairs.entry((layer, projection)).or_default()[part] = Some(tensor);
    }
    let first = pairs
        .values()
        .flatten()
        .flatten()
        .find(|t| t.name.ends_with("a"));
    let Some(rank) = first.map(|a| a.rows).filter(|&rank| rank > 0) else {
        return Err(MemoryError::file(path, "holds no LoRA matrix"));
    };
    let mut targets: Vec<_> = pairs.keys().map(|(_, projection)| *projection).collect();
    targets.sort();
    targets.dedup();
    let matrices = pairs
        .into_iter()
        .map(|(key, pair)| read_matrix(path, key, pair, rank, model))
        .collect::<Result<_>>()?;
    // llama.cpp takes 0 for "unscaled".
    let alpha = if alpha == 0.0 { rank as f32 } else { alpha };
    Ok(Lora {
        config: LoraConfig {
            rank,
            alpha,
            targets,
        },
        matrices,
    })
}

/// The adapter's alpha, if this is an adapter for this model.
fn check_metadata(file: &Gguf, model: &ModelConfig) -> Result<f32> {
    let path = file.path();
    let err = |detail: String| Err(MemoryError::file(path, detail));
    match (file.get_str("general.type")?, file.get_str("adapter.type")?) {
        (Some("adapter"), Some("lora")) => {}
        (Some("adapter"), other) => {
            let other = other.unwrap_or("unknown");
            return err(format!(
                "is an adapter of type '{other}'; only LoRA is supported"
            ));
        }
        _ => return err("is no adapter: general.type does not say so".into()),
    }
    let arch = file.get_str("general.architecture")?.unwrap_or_default();
    if arch != model.arch.name() {
        return err(format!(
            "is for a model of architecture '{arch}', and this one is '{}'",
            model.arch.name()
        ));
    }
    if file
        .metadata
        .contains_key("adapter.alora.invocation_tokens")
    {
        return err("is an aLoRA adapter, which is not supported".into());
    }
    match file.get_f64("adapter.lora.alpha")?.map(|a| a as f32) {
        Some(alpha) if alpha.is_finite() => Ok(alpha),
        _ => err("adapter.lora.alpha must be a number".into()),
    }
}

fn read_matrix(
    path: &Path,
    (layer, projection): (usize, Projection),
    pair: [Option<&TensorBytes>; 2],
    rank: usize,
    model: &ModelConfig,
) -> Result<LoraMatrix> {
    let [Some(a), Some(b)] = pair else {
        let found = pair.iter().flatten().next().map_or("", |t| &t.name);
        return Err(tensor_error(
            path,
            found,
            "has no partner: lora_a and lora_b go together",
        ));
    };
    let (outputs, inputs) = projection.shape(model);
    let (from, to) = (RowOrder::of_gguf(model), RowOrder::of_model(model));
    let b_values = read_tensor(path, b, outputs, rank)?;
    Ok(LoraMatrix {
        layer,
        projection,
        outputs,
        inputs,
        a: read_tensor(path, a, rank, inputs)?,
        b: reorder(&b_values, rank, model.head_dim, projection, from, to),
    })
}

/// Layer, projection, and 0 for A or 1 for B.
fn parse_name(name: &str) -> Option<(usize, Projection, usize)> {
    let (layer, rest) = name.strip_prefix("blk.")?.split_once('.')?;
    let (tensor, part) = rest.split_once(".weight.lora_")?;
    let part = match part {
        "a" => 0,
        "b" => 1,
        _ => return None,
    };
    let projection = Projection::ALL.into_iter().find(|p| p.gguf() == tensor)?;
    let number: usize = layer.parse().ok()?;
    // One name for one layer: not "01", not "+1".
    (number.to_string() == layer).then_some((number, projection, part))
}
