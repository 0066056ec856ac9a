//! Tokenizers of model folders: `tokenizer.json` or a SentencePiece model, with the files beside
//! it that say which tokens begin and end a text.

use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;
use tokenizers::{Encoding, PostProcessor, Tokenizer as HfTokenizer};

use super::bytes::{Notation, Pieces};
use super::pipeline::Pipeline;
use super::{Backend, Roles, Tokenizer, TokenizerError};
use crate::model::error::printable;
use crate::quiet::quietly;

impl Tokenizer {
    /// Reads the tokenizer of a model folder.
    pub fn from_folder(folder: &Path) -> Result<Tokenizer, TokenizerError> {
        let json = folder.join("tokenizer.json");
        let config = Config::read(folder)?;
        if json.is_file() {
            return from_json(&json, &config);
        }
        let Some(model) = sentencepiece_file(folder) else {
            let detail = "has neither a tokenizer.json nor a tokenizer.model; put one there";
            return Err(file_error(folder, detail));
        };
        let mut tokenizer = Tokenizer::from_sentencepiece(&model)?;
        let ends = config.ends(&tokenizer);
        tokenizer.roles.ends.extend(ends);
        Ok(tokenizer)
    }
}

/// Reads a `tokenizer.json`, whatever it is called, with what its folder says beside it.
pub(super) fn from_json_file(path: &Path) -> Result<Tokenizer, TokenizerError> {
    let folder = path.parent().unwrap_or(Path::new("."));
    from_json(path, &Config::read(folder)?)
}

fn file_error(path: &Path, detail: impl Into<String>) -> TokenizerError {
    TokenizerError::File {
        path: path.display().to_string(),
        detail: printable(&detail.into()),
    }
}

/// `tokenizer.model`, or the only `*.model` of a folder.
pub(super) fn sentencepiece_file(folder: &Path) -> Option<PathBuf> {
    let usual = folder.join("tokenizer.model");
    if usual.is_file() {
        return Some(usual);
    }
    let entries = fs::read_dir(folder).ok()?;
    let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
    let mut models = paths.filter(|path| path.extension().is_some_and(|e| e == "model"));
    let only = models.next()?;
    models.next().is_none().then_some(only)
}

/// A JSON file that may be missing.
pub(crate) fn read_json(path: &Path) -> Result<Option<Value>, TokenizerError> {
    if !path.is_file() {
        return Ok(None);
    }
    let bytes = fs::read(path).map_err(|e| file_error(path, format!("cannot be read: {e}")))?;
    let value = serde_json::from_slice(&bytes);
    value
        .map(Some)
        .map_err(|e| file_error(path, format!("is not JSON: {e}")))
}

/// What the files beside the tokenizer say.
struct Config {
    tokenizer: Value,
    special: Value,
    generation: Value,
    model: Value,
}

impl Config {
    fn read(folder: &Path) -> Result<Config, TokenizerError> {
        let read = |name: &str| Ok(read_json(&folder.join(name))?.unwrap_or(Value::Null));
        Ok(Config {
            tokenizer: read("tokenizer_config.json")?,
            special: read("special_tokens_map.json")?,
            generation: read("generation_config.json")?,
            model: read("config.json")?,
        })
    }

    /// A special token's text: written plainly, or as an object with its content.
    fn text(&self, key: &str) -> Option<&str> {
        let text = |v: &'_ Value| -> bool { v.is_string() || v.get("content").is_some() };
        let found = [&self.tokenizer, &self.special]
            .into_iter()
            .find_map(|file| {
                let value = file.get(key)?;
                text(value).then_some(value)
            })?;
        found.as_str().or_else(|| found.get("content")?.as_str())
    }

    fn id(&self, tokenizer: &Tokenizer, key: &str) -> Option<u32> {
        let by_text = self.text(&format!("{key}_token"));
        by_text.and_then(|text| tokenizer.token_id(text))
    }

    /// The tokenizer's own end token, then those the model's settings add.
    fn ends(&self, tokenizer: &Tokenizer) -> Vec<u32> {
        let mut ends: Vec<u32> = self.id(tokenizer, "eos").into_iter().collect();
        for file in [&self.generation, &self.model] {
            match file.get("eos_token_id") {
                Some(Value::Array(ids)) => ends.extend(ids.iter().filter_map(as_id)),
                Some(id) => ends.extend(as_id(id)),
                None => {}
            }
        }
        ends
    }
}

fn as_id(value: &Value) -> Option<u32> {
    value.as_u64().and_then(|id| u32::try_from(id).ok())
}

/// Refuses merges of tokens within words that begin with a mark: no model that is supported has them,
/// and their reader takes the mark for granted.
fn check_prefix(path: &Path, bytes: &[u8]) -> Result<(), TokenizerError> {
    #[derive(Deserialize)]
    struct Model {
        #[serde(default)]
        merges: Option<IgnoredAny>,
        #[serde(default)]
        continuing_subword_prefix: Option<String>,
    }
    #[derive(Deserialize)]
    struct File {
        model: Model,
    }
    // What does not have this shape is refused by the reader itself.
    let marked = |file: &File| {
        let prefix = file.model.continuing_subword_prefix.as_deref();
        file.model.merges.is_some() && prefix.is_some_and(|prefix| !prefix.is_empty())
    };
    if serde_json::from_slice(bytes).is_ok_and(|file| marked(&file)) {
        let detail = "its tokens within words begin with a mark, which is not supported";
        return Err(file_error(path, detail));
    }
    Ok(())
}

fn from_json(path: &Path, config: &Config) -> Result<Tokenizer, TokenizerError> {
    let bytes = fs::read(path).map_err(|e| file_error(path, format!("cannot be read: {e}")))?;
    check_prefix(path, &bytes)?;
    let damaged = |detail: &str| file_error(path, format!("is not a tokenizer.json: {detail}"));
    // Merges that do not fit its vocabulary make the reader panic.
    let inner = quietly(|| HfTokenizer::from_bytes(&bytes))
        .map_err(|()| damaged("its vocabulary and merges do not fit each other"))?
        .map_err(|e| damaged(&e.to_string()))?;
    drop(bytes);
    let writing = Writing::of(&inner).map_err(|e| file_error(path, e.to_string()))?;
    let pieces = pieces(&inner, writing.notation);
    // So does a post-processor that speaks of a second text or of tokens it does not list.
    let (mut before, after) = quietly(|| around(&inner))
        .map_err(|()| damaged("what it puts around a text does not fit together"))?
        .map_err(|e| file_error(path, e.to_string()))?;
    let pipeline = Backend::Pipeline(Box::new(Pipeline::new(inner)));
    let space_prefix = writing.strips_first_space;
    let mut tokenizer = Tokenizer::assemble(pipeline, pieces, Roles::default(), space_prefix);
    let bos = config.id(&tokenizer, "bos");
    let asked = config
        .tokenizer
        .get("add_bos_token")
        .and_then(Value::as_bool);
    if before.is_empty() && after.is_empty() && asked == Some(true) {
        before.extend(bos);
    }
    let mut ends = config.ends(&tokenizer);
    ends.append(&mut tokenizer.roles.ends);
    let mut seen = std::collections::HashSet::new();
    ends.retain(|id| seen.insert(*id));
    tokenizer.roles = Roles {
        bos: bos.or_else(|| before.first().copied()),
        ends,
        unknown: config.id(&tokenizer, "unk"),
        padding: config.id(&tokenizer, "pad"),
        before,
        after,
    };
    Ok(tokenizer)
}

/// How a tokenizer's decoder reads its tokens.
struct Writing {
    notation: Notation,
    strips_first_space: bool,
}

impl Writing {
    fn of(inner: &HfTokenizer) -> Result<Writing, serde_json::Error> {
        let decoder = serde_json::to_value(inner.get_decoder())?;
        let steps = match decoder.get("decoders").and_then(Value::as_array) {
            Some(steps) => steps.clone(),
            None => vec![decoder],
        };
        let mut writing = Writing {
            notation: Notation::Plain,
            strips_first_space: false,
        };
        for step in &steps {
            let text = |key: &str| step.get(key).and_then(Value::as_str);
            match text("type") {
                Some("ByteLevel") => writing.notation = Notation::ByteLevel,
                Some("ByteFallback" | "Replace") => writing.notation = Notation::SentencePiece,
                Some("Metaspace") => {
                    writing.notation = Notation::SentencePiece;
                    writing.strips_first_space = text("prepend_scheme") != Some("never");
                }
                Some("Strip") => {
                    let start = step.get("start").and_then(Value::as_u64);
                    writing.strips_first_space |= start.is_some_and(|n| n > 0);
                }
                _ => {}
            }
        }
        Ok(writing)
    }
}

fn pieces(inner: &HfTokenizer, notation: Notation) -> Pieces {
    let vocab = inner.get_vocab(true);
    let mut by_id: Vec<(u32, String)> = vocab.into_iter().map(|(text, id)| (id, text)).collect();
    by_id.sort_unstable();
    let added = inner.get_added_tokens_decoder();
    let mut pieces = Pieces::default();
    for (id, text) in by_id {
        let Ok(ahead) = usize::try_from(id) else {
            break;
        };
        // A hole in the numbering costs a byte a token; no tokenizer has a large one.
        if ahead > pieces.len() + MAX_HOLE {
            break;
        }
        while pieces.len() < ahead {
            pieces.push(false, |_| {});
        }
        if pieces.len() > ahead {
            continue;
        }
        let token = added.get(&id);
        let special = token.is_some_and(|token| token.special);
        let notation = if token.is_some() {
            Notation::Plain
        } else {
            notation
        };
        pieces.push(special, |out| notation.push_bytes(&text, out));
    }
    pieces
}

const MAX_HOLE: usize = 1 << 20;

/// The ids that the post-processor puts before and after a text.
fn around(inner: &HfTokenizer) -> Result<(Vec<u32>, Vec<u32>), tokenizers::Error> {
    let Some(processor) = inner.get_post_processor() else {
        return Ok(Default::default());
    };
    const TEXT: u32 = u32::MAX;
    let text: Encoding = [(TEXT, String::new(), (0, 0), None, 0)]
        .into_iter()
        .collect();
    let processed = processor.process(text, None, true)?;
    let mut halves = processed.get_ids().split(|&id| id == TEXT);
    let mut half = || halves.next().unwrap_or_default().to_vec();
    Ok((half(), half()))
}
