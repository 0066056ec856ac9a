//! What the beginning of a model's file says of it, and whether the model can be opened.

use std::fs;
use std::path::Path;

use super::walk::plainly;
use crate::model::chat::template_of_folder;
use crate::model::config::{Architecture, ModelConfig};
use crate::model::error::{ModelError, printable};
use crate::model::gguf::{Gguf, Value, part_of};
use crate::model::names::{LayerRole, Role};
use crate::model::safetensors::read_json_text;
use crate::model::tokenizer::readable_in_gguf;
use crate::model::weights::{TensorBytes, WeightFile, files_with};

/// What was seen of a model without its weights being read.
#[derive(Clone, Debug, Default)]
pub struct Look {
    pub bytes: u64,
    pub architecture: Option<String>,
    pub quantisation: Option<String>,
    pub config: Option<ModelConfig>,
    pub answers_at_once: bool,
    /// Why it cannot be opened, in words.
    pub fault: Option<String>,
}

impl Look {
    pub fn failed(fault: String) -> Look {
        Look {
            fault: Some(fault),
            ..Look::default()
        }
    }
}

/// Looks at a file or a model folder.
pub fn look(path: &Path) -> Look {
    let meta = match fs::metadata(path) {
        Ok(meta) => meta,
        Err(error) => {
            let is_link = fs::symlink_metadata(path).is_ok_and(|meta| meta.is_symlink());
            let fault = match error.kind() {
                std::io::ErrorKind::NotFound if is_link => {
                    "its file is missing: the link leads to nothing".to_owned()
                }
                std::io::ErrorKind::NotFound => "its file is missing".to_owned(),
                _ => format!("its file cannot be read: {}", plainly(&error)),
            };
            return Look::failed(fault);
        }
    };
    if meta.is_dir() {
        return look_at_folder(path);
    }
    let mut look = Look {
        bytes: meta.len(),
        ..Look::default()
    };
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    look.fault = match part_of(&name) {
        Some((_, parts)) => {
            look_at_gguf(path, &mut look);
            Some(in_parts(u64::from(parts)))
        }
        None => look_at_gguf(path, &mut look),
    };
    look
}

/// Fills in what the file says, and gives what is wrong with it.
fn look_at_gguf(path: &Path, look: &mut Look) -> Option<String> {
    let (gguf, fault) = match Gguf::peek(path) {
        Ok(seen) => seen,
        Err(error) => return Some(damaged(&error)),
    };
    let text = |key: &str| gguf.metadata.get(key).and_then(Value::as_str);
    let number = |key: &str| gguf.metadata.get(key).and_then(Value::as_u64);
    let arch = text("general.architecture").map(printable);
    look.quantisation = number("general.file_type")
        .and_then(file_type)
        .map(str::to_owned)
        .or_else(|| most_bytes(gguf.tensors()));
    look.architecture = arch.clone();
    look.answers_at_once = text("tokenizer.chat_template").is_some_and(answers_at_once);
    if let Some(parts) = number("split.count").filter(|parts| *parts > 1) {
        return Some(in_parts(parts));
    }
    if let Some(kind) = text("general.type").filter(|kind| *kind != "model") {
        return Some(format!("it is not a model by itself ({})", printable(kind)));
    }
    let Some(arch) = arch else {
        return Some("it does not say which architecture it has: it is no whole model".to_owned());
    };
    if !runs(&arch) {
        return Some(unknown_architecture(&arch));
    }
    if number(&format!("{arch}.pooling_type")).is_some_and(|kind| kind != 0) {
        return Some("it was made to compare texts, not to write them".to_owned());
    }
    if let Some(fault) = fault {
        return Some(damaged(&fault));
    }
    let tokenizer = text("tokenizer.ggml.model");
    if let Err(fault) = readable_in_gguf(tokenizer, text("tokenizer.ggml.pre")) {
        return Some(fault);
    }
    match ModelConfig::from_gguf(&gguf) {
        Err(error) => Some(error.without_path()),
        Ok(config) => {
            let fault = missing(&WeightFile::Gguf(gguf), &config);
            look.config = Some(config);
            fault
        }
    }
}

fn look_at_folder(path: &Path) -> Look {
    let mut look = Look {
        architecture: architecture_of_folder(path),
        bytes: weights_of_folder(path),
        answers_at_once: template_of_folder(path).is_some_and(|text| answers_at_once(&text)),
        ..Look::default()
    };
    let opened = WeightFile::open(path).and_then(|file| Ok((file.config()?, file)));
    let unknown = look.architecture.clone().filter(|arch| !runs(arch));
    look.fault = match (opened, unknown) {
        (Err(_), Some(arch)) => Some(unknown_architecture(&arch)),
        (Err(error), None) => Some(error.without_path()),
        (Ok((config, file)), _) => {
            look.quantisation = most_bytes(file.tensors());
            let fault = missing(&file, &config).or_else(|| no_tokenizer(path));
            look.config = Some(config);
            fault
        }
    };
    look
}

/// Templates of models that think name the mark that their thoughts begin or end with.
fn answers_at_once(template: &str) -> bool {
    !template.contains("think>")
}

/// The `model_type` of a folder's config; a config of text and pictures has that of its text.
fn architecture_of_folder(path: &Path) -> Option<String> {
    let text = read_json_text(&path.join("config.json")).ok()?;
    let config: serde_json::Value = serde_json::from_str(&text).ok()?;
    let own = config.get("model_type")?.as_str()?;
    // As the config's own reader calls it.
    Some(printable(own.strip_suffix("_text").unwrap_or(own)))
}

fn weights_of_folder(path: &Path) -> u64 {
    let files = files_with(path, "safetensors").unwrap_or_default();
    let sizes = files.iter().filter_map(|file| fs::metadata(file).ok());
    sizes.map(|meta| meta.len()).sum()
}

fn no_tokenizer(path: &Path) -> Option<String> {
    let there = ["tokenizer.json", "tokenizer.model"];
    let any = there.iter().any(|name| path.join(name).is_file());
    (!any).then(|| "its tokenizer is missing: only a part of it was fetched".to_owned())
}

/// A weight that every model has and this one lacks.
fn missing(file: &WeightFile, config: &ModelConfig) -> Option<String> {
    let last = config.layers.saturating_sub(1);
    let roles = [
        Role::Embedding,
        Role::OutputNorm,
        Role::Layer(0, LayerRole::AttnNorm),
        Role::Layer(last, LayerRole::Down),
    ];
    let mut names = roles.into_iter().map(|role| file.name_of(role));
    let name = names.find(|name| file.tensor(name).is_none())?;
    Some(format!(
        "it has no weights called {name}: it is no whole model"
    ))
}

/// Why a header could not be read to its end.
fn damaged(error: &ModelError) -> String {
    match error {
        ModelError::Field { field, .. } => {
            format!("the file is damaged or cut short (at {field}); fetch it again")
        }
        other => other.without_path(),
    }
}

fn runs(arch: &str) -> bool {
    Architecture::named(arch).is_some()
}

fn unknown_architecture(arch: &str) -> String {
    match arch {
        "clip" => "it is the part of another model that sees pictures".to_owned(),
        _ if arch.ends_with("bert") || arch == "t5encoder" => {
            format!("it was made to compare texts, not to write them ({arch})")
        }
        _ => format!("models of the architecture {arch} cannot be run"),
    }
}

fn in_parts(parts: u64) -> String {
    format!("it is in {parts} parts; only whole files can be opened")
}

/// The type that most bytes of the tensors are in.
fn most_bytes<'a>(tensors: impl Iterator<Item = &'a TensorBytes>) -> Option<String> {
    let mut kinds: Vec<(&'static str, usize)> = Vec::new();
    for tensor in tensors {
        let (name, bytes) = (tensor.dtype.name(), tensor.range.len());
        match kinds.iter_mut().find(|(known, _)| *known == name) {
            Some((_, sum)) => *sum += bytes,
            None => kinds.push((name, bytes)),
        }
    }
    let most = kinds.into_iter().max_by_key(|(_, bytes)| *bytes);
    most.map(|(name, _)| name.to_owned())
}

/// The mixes of types by the numbers that llama.cpp writes into a file (`llama_ftype`).
fn file_type(number: u64) -> Option<&'static str> {
    Some(match number {
        0 => "F32",
        1 => "F16",
        2 => "Q4_0",
        3 => "Q4_1",
        7 => "Q8_0",
        8 => "Q5_0",
        9 => "Q5_1",
        10 => "Q2_K",
        11 => "Q3_K_S",
        12 => "Q3_K_M",
        13 => "Q3_K_L",
        14 => "Q4_K_S",
        15 => "Q4_K_M",
        16 => "Q5_K_S",
        17 => "Q5_K_M",
        18 => "Q6_K",
        19 => "IQ2_XXS",
        20 => "IQ2_XS",
        21 => "Q2_K_S",
        22 => "IQ3_XS",
        23 => "IQ3_XXS",
        24 => "IQ1_S",
        25 => "IQ4_NL",
        26 => "IQ3_S",
        27 => "IQ3_M",
        28 => "IQ2_S",
        29 => "IQ2_M",
        30 => "IQ4_XS",
        31 => "IQ1_M",
        32 => "BF16",
        36 => "TQ1_0",
        37 => "TQ2_0",
        38 => "MXFP4",
        _ => return None,
    })
}
