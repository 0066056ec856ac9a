//! Memories as PEFT keeps them: a folder with `adapter_config.json` and
//! `adapter_model.safetensors`. Its matrices are in Hugging Face's order of rows.

mod config;
mod exchange;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::Path;

use safetensors::tensor::{Dtype, TensorView};
use serde_json::{Map, Value, json};

use super::disk::Disk;
use super::error::MemoryError;
use super::kind::{Content, Folder};
use super::lora::{Lora, LoraConfig, LoraMatrix};
use super::prefix::Prefix;
use super::row_order::{RowOrder, reorder};
use crate::kernels::quant::dequantize_row;
use crate::model::adapter::Projection;
use crate::model::config::ModelConfig;
use crate::model::safetensors::{read_json_text, tensors_of_file};
use crate::model::weights::TensorBytes;
use config::{Kind, LoraSettings};
use exchange::exchange;

pub const CONFIG: &str = "adapter_config.json";
pub const WEIGHTS: &str = "adapter_model.safetensors";
pub(super) const FILES: [&str; 2] = [CONFIG, WEIGHTS];
const PROMPT: &str = "prompt_embeddings";
/// Prefix of every module's path.
const ROOT: &str = "base_model.model.";
/// Ways to a text model's layers; the first is the usual one.
const LAYERS: [&str; 3] = [
    "model.layers.",
    "model.language_model.layers.",
    "language_model.model.layers.",
];
/// No adapter has a higher rank, or more memory tokens.
pub const MAX_ROWS: usize = 1 << 16;

type Result<T, E = MemoryError> = std::result::Result<T, E>;

/// Whether PEFT has a kind for this.
pub fn holds(content: &Content) -> bool {
    content.get::<Lora>().is_some() || content.get::<Prefix>().is_some()
}

/// Writes a memory into a folder, which is made where it is missing. `model_name` is what PEFT
/// looks for when nobody says which model to load.
///
/// The folder is written next to its place and renamed into it. One that is there already is
/// replaced if it holds an adapter and nothing else.
pub fn save(folder: &Path, content: &Content, model: &ModelConfig, model_name: &str) -> Result<()> {
    if !holds(content) {
        let detail = format!(
            "not written: PEFT has no memory of the kind '{}'",
            content.kind()
        );
        return Err(MemoryError::file(folder, detail));
    }
    exchange(&Disk::default(), folder, |disk, beside| {
        content.save(disk, beside, model, model_name).map(drop)
    })
}

pub(super) fn save_lora(folder: &mut Folder<'_>, lora: &Lora, model: &ModelConfig) -> Result<()> {
    write(folder, lora_config(lora, model), lora_tensors(lora, model))
}

pub(super) fn save_prefix(
    folder: &mut Folder<'_>,
    prefix: &Prefix,
    model: &ModelConfig,
) -> Result<()> {
    write(folder, prefix_config(prefix, model), prefix_tensors(prefix))
}

fn write(folder: &mut Folder<'_>, config: Value, tensors: Vec<NamedTensor>) -> Result<()> {
    let path = folder.path().join(WEIGHTS);
    let bytes = serialize(tensors).map_err(|detail| MemoryError::file(&path, detail))?;
    folder.write(WEIGHTS, &bytes)?;
    let text = format!("{:#}\n", with_model(config, folder.model_name()));
    folder.write(CONFIG, text.as_bytes())
}

/// Reads what a folder holds, for this model.
pub fn load(folder: &Path, model: &ModelConfig) -> Result<Content> {
    let path = folder.join(CONFIG);
    let kind = config::parse(&path, &read_json_text(&path)?)?;
    let weights = folder.join(WEIGHTS);
    let tensors = tensors_of_file(&weights)?;
    match kind {
        Kind::Lora(settings) => read_lora(&weights, &tensors, settings, model).map(Content::new),
        Kind::Prefix { rows, hidden } => {
            read_prefix(&weights, &tensors, rows, hidden, model).map(Content::new)
        }
    }
}

/// Reads a folder that must hold fast weights.
pub(super) fn load_lora(folder: &Path, model: &ModelConfig) -> Result<Lora> {
    let found = load(folder, model)?;
    found.get().cloned().ok_or_else(|| of_another_kind(folder))
}

/// Reads a folder that must hold memory tokens.
pub(super) fn load_prefix(folder: &Path, model: &ModelConfig) -> Result<Prefix> {
    let found = load(folder, model)?;
    found.get().cloned().ok_or_else(|| of_another_kind(folder))
}

fn of_another_kind(folder: &Path) -> MemoryError {
    let detail = "is damaged: it says another kind of memory than is listed";
    MemoryError::file(&folder.join(CONFIG), detail)
}

struct NamedTensor {
    name: String,
    shape: Vec<usize>,
    values: Vec<f32>,
}

fn serialize(tensors: Vec<NamedTensor>) -> Result<Vec<u8>, String> {
    let views = tensors.iter().map(|t| {
        let bytes = bytemuck::cast_slice(&t.values);
        let view = TensorView::new(Dtype::F32, t.shape.clone(), bytes);
        view.map(|view| (&t.name, view)).map_err(|e| e.to_string())
    });
    let views = views.collect::<Result<Vec<_>, _>>()?;
    let metadata = [("format".to_owned(), "pt".to_owned())];
    safetensors::serialize(views, Some(metadata.into())).map_err(|e| e.to_string())
}

fn with_model(mut config: Value, model_name: &str) -> Value {
    if let Some(fields) = config.as_object_mut() {
        fields.insert("base_model_name_or_path".into(), model_name.into());
        fields.insert("task_type".into(), "CAUSAL_LM".into());
        fields.insert("inference_mode".into(), true.into());
    }
    config
}

fn lora_config(lora: &Lora, model: &ModelConfig) -> Value {
    json!({
        "peft_type": "LORA",
        "r": lora.config.rank,
        "lora_alpha": number(lora.config.alpha),
        "lora_dropout": 0.0,
        "target_modules": target_modules(lora, model),
        "bias": "none",
        "fan_in_fan_out": false,
        "use_rslora": false,
        "use_dora": false,
        "modules_to_save": null,
        "init_lora_weights": true,
    })
}

/// An integer where the value is a whole number: PEFT's own configs say `32`, not `32.0`.
fn number(value: f32) -> Value {
    if value.fract() == 0.0 && value.abs() < 1e9 {
        (value as i64).into()
    } else {
        // Through its shortest text: 0.1 stays 0.1.
        value.to_string().parse::<f64>().unwrap_or_default().into()
    }
}

/// Short names where each covers every layer, whole paths where one does not.
fn target_modules(lora: &Lora, model: &ModelConfig) -> Vec<String> {
    let mut layers: BTreeMap<Projection, usize> = BTreeMap::new();
    for matrix in &lora.matrices {
        *layers.entry(matrix.projection).or_default() += 1;
    }
    if layers.values().all(|&count| count == model.layers) {
        let short = |p: Projection| p.module().rsplit('.').next().unwrap_or_default().to_owned();
        return layers.into_keys().map(short).collect();
    }
    let path = |m: &LoraMatrix| format!("{}{}.{}", LAYERS[0], m.layer, m.projection.module());
    lora.matrices.iter().map(path).collect()
}

fn lora_tensors(lora: &Lora, model: &ModelConfig) -> Vec<NamedTensor> {
    let rank = lora.config.rank;
    let tensors = lora.matrices.iter().flat_map(|m| {
        let path = format!("{ROOT}{}{}.{}", LAYERS[0], m.layer, m.projection.module());
        let from = RowOrder::of_model(model);
        let to = RowOrder::Halves;
        let b = reorder(&m.b, rank, model.head_dim, m.projection, from, to);
        [
            NamedTensor {
                name: format!("{path}.lora_A.weight"),
                shape: vec![rank, m.inputs],
                values: m.a.clone(),
            },
            NamedTensor {
                name: format!("{path}.lora_B.weight"),
                shape: vec![m.outputs, rank],
                values: b,
            },
        ]
    });
    tensors.collect()
}

fn prefix_config(prefix: &Prefix, model: &ModelConfig) -> Value {
    json!({
        "peft_type": "PROMPT_TUNING",
        "num_virtual_tokens": prefix.rows,
        "token_dim": prefix.hidden,
        "num_transformer_submodules": 1,
        "num_attention_heads": model.heads,
        "num_layers": model.layers,
        "prompt_tuning_init": "RANDOM",
        "prompt_tuning_init_text": null,
        "tokenizer_name_or_path": null,
    })
}

fn prefix_tensors(prefix: &Prefix) -> Vec<NamedTensor> {
    vec![NamedTensor {
        name: PROMPT.into(),
        shape: vec![prefix.rows, prefix.hidden],
        values: prefix.values.clone(),
    }]
}

/// A and B of one projection, of which either may be still to come.
type Pair<'a> = [Option<&'a TensorBytes>; 2];

fn read_lora(
    path: &Path,
    tensors: &[TensorBytes],
    settings: LoraSettings,
    model: &ModelConfig,
) -> Result<Lora> {
    let mut pairs: BTreeMap<(usize, Projection), Pair<'_>> = BTreeMap::new();
    for tensor in tensors {
        let Some((layer, projection, part)) = parse_name(&tensor.name) else {
            return Err(tensor_error(
                path,
                &tensor.name,
                "is no LoRA matrix of a projection that Inscribe adapts",
            ));
        };
        let place = &mut pairs.entry((layer, projection)).or_default()[part];
        if let Some(first) = place.replace(tensor) {
            let detail = format!("is the same matrix as '{}'", first.name);
            return Err(tensor_error(path, &tensor.name, &detail));
        }
    }
    if pairs.is_empty() {
        return Err(MemoryError::file(path, "holds no LoRA matrix"));
    }
    let mut targets: Vec<_> = pairs.keys().map(|(_, projection)| *projection).collect();
    targets.sort();
    targets.dedup();
    let matrices = pairs
        .into_iter()
        .map(|(key, pair)| read_matrix(path, key, pair, settings.rank, model))
        .collect::<Result<_>>()?;
    Ok(Lora {
        config: LoraConfig {
            rank: settings.rank,
            alpha: settings.alpha,
            targets,
        },
        matrices,
    })
}

fn read_matrix(
    path: &Path,
    (layer, projection): (usize, Projection),
    pair: Pair<'_>,
    rank: usize,
    model: &ModelConfig,
) -> Result<LoraMatrix> {
    let [Some(a), Some(b)] = pair else {
        let found = pair.iter().flatten().next().map_or("", |t| &t.name);
        return Err(tensor_error(
            path,
            found,
            "has no partner: A and B go together",
        ));
    };
    if layer >= model.layers {
        let detail = format!("is for another model: this one has {} layers", model.layers);
        return Err(tensor_error(path, &a.name, &detail));
    }
    let (outputs, inputs) = projection.shape(model);
    let b_values = read_tensor(path, b, outputs, rank)?;
    let (from, to) = (RowOrder::Halves, RowOrder::of_model(model));
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
    let path = name.strip_prefix(ROOT)?;
    let path = LAYERS.iter().find_map(|way| path.strip_prefix(way))?;
    let (layer, path) = path.split_once('.')?;
    let (module, part) = path.rsplit_once(".lora_")?;
    let part = match part {
        "A.weight" => 0,
        "B.weight" => 1,
        _ => return None,
    };
    let projection = Projection::ALL.into_iter().find(|p| p.module() == module)?;
    let number: usize = layer.parse().ok()?;
    // One name for one layer: not "01", not "+1".
    (number.to_string() == layer).then_some((number, projection, part))
}

fn read_prefix(
    path: &Path,
    tensors: &[TensorBytes],
    rows: usize,
    hidden: usize,
    model: &ModelConfig,
) -> Result<Prefix> {
    let [tensor] = tensors else {
        let detail = format!("holds {} tensors; prompt tuning has one", tensors.len());
        return Err(MemoryError::file(path, detail));
    };
    if tensor.name != PROMPT {
        let detail = format!("is not '{PROMPT}', which prompt tuning consists of");
        return Err(tensor_error(path, &tensor.name, &detail));
    }
    if hidden != model.hidden {
        let detail = format!(
            "is for another model: its tokens are {hidden} wide, this model's {}",
            model.hidden
        );
        return Err(tensor_error(path, PROMPT, &detail));
    }
    Ok(Prefix {
        rows,
        hidden,
        values: read_tensor(path, tensor, rows, hidden)?,
    })
}

/// A tensor's values, which must be numbers, `rows` by `cols` of them.
pub(super) fn read_tensor(
    path: &Path,
    tensor: &TensorBytes,
    rows: usize,
    cols: usize,
) -> Result<Vec<f32>> {
    if (tensor.rows, tensor.cols) != (rows, cols) {
        let detail = format!(
            "is {} x {} where this model and its settings ask for {rows} x {cols}",
            tensor.rows, tensor.cols
        );
        return Err(tensor_error(path, &tensor.name, &detail));
    }
    // As many as the file has been found to hold.
    let mut values = vec![0.0; rows * cols];
    dequantize_row(tensor.dtype, tensor.bytes(), &mut values);
    if !values.iter().all(|v| v.is_finite()) {
        let detail = "holds values that are not numbers; the file is damaged";
        return Err(tensor_error(path, &tensor.name, detail));
    }
    Ok(values)
}

pub(super) fn tensor_error(path: &Path, name: &str, detail: &str) -> MemoryError {
    MemoryError::file(path, format!("tensor '{name}' {detail}"))
}

/// A whole number of a config, within what is sensible.
fn count(path: &Path, fields: &Map<String, Value>, name: &str) -> Result<usize> {
    let found = fields.get(name).and_then(Value::as_u64);
    found
        .and_then(|n| usize::try_from(n).ok())
        .filter(|n| (1..=MAX_ROWS).contains(n))
        .ok_or_else(|| {
            let detail = format!("'{name}' must be a whole number from 1 to {MAX_ROWS}");
            MemoryError::file(path, detail)
        })
}
