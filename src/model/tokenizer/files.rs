//! A tokenizer with the files by which this program and others read it again.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use super::folder::{from_json_file, read_json, sentencepiece_file};
use super::{Backend, Tokenizer, TokenizerError};
use crate::model::error::ModelError;
use crate::model::model_file::Model;

const JSON: &str = "tokenizer.json";
const CONFIG: &str = "tokenizer_config.json";
const SPECIAL: &str = "special_tokens_map.json";
const SENTENCEPIECE: &str = "tokenizer.model";

/// A tokenizer, and files that hold it beside a model of one's own.
pub struct TokenizerFiles {
    pub tokenizer: Tokenizer,
    /// Their names and contents.
    pub files: Vec<(String, Vec<u8>)>,
}

impl TokenizerFiles {
    /// That of a model folder or `.gguf` file, or of a `tokenizer.json` or SentencePiece `.model`.
    pub fn open(path: &Path) -> Result<TokenizerFiles, ModelError> {
        let ending = path.extension().and_then(|e| e.to_str()).unwrap_or("");
        match ending {
            _ if path.is_dir() && !holds_gguf_alone(path) => of_folder(path),
            "json" => of_json(path),
            "model" => of_sentencepiece(path, None),
            _ => of_gguf(path),
        }
    }
}

fn holds_gguf_alone(folder: &Path) -> bool {
    !folder.join(JSON).is_file()
        && sentencepiece_file(folder).is_none()
        && folder.join("config.json").metadata().is_err()
}

fn bytes_of(path: &Path) -> Result<Vec<u8>, ModelError> {
    fs::read(path).map_err(|e| ModelError::open(path, &e))
}

fn of_folder(folder: &Path) -> Result<TokenizerFiles, ModelError> {
    let json = folder.join(JSON);
    if json.is_file() {
        return of_json(&json);
    }
    let tokenizer = Tokenizer::from_folder(folder)?;
    match sentencepiece_file(folder) {
        Some(path) => of_sentencepiece(&path, Some(tokenizer)),
        None => Err(TokenizerError::field("tokenizer", "was not found").into()),
    }
}

/// A `tokenizer.json` with what stands beside it.
fn of_json(path: &Path) -> Result<TokenizerFiles, ModelError> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let tokenizer = from_json_file(path)?;
    let mut files = vec![(JSON.to_owned(), bytes_of(path)?)];
    match read_json(&folder.join(CONFIG))? {
        Some(mut config) => {
            // A new model has not learned to chat.
            if let Some(fields) = config.as_object_mut() {
                fields.remove("chat_template");
            }
            files.push((CONFIG.to_owned(), config.to_string().into_bytes()));
        }
        None => files.push(described(&tokenizer, "PreTrainedTokenizerFast")),
    }
    let special = folder.join(SPECIAL);
    if special.is_file() {
        files.push((SPECIAL.to_owned(), bytes_of(&special)?));
    }
    Ok(TokenizerFiles { tokenizer, files })
}

fn of_sentencepiece(
    path: &Path,
    tokenizer: Option<Tokenizer>,
) -> Result<TokenizerFiles, ModelError> {
    let tokenizer = match tokenizer {
        Some(tokenizer) => tokenizer,
        None => Tokenizer::from_sentencepiece(path)?,
    };
    let files = vec![
        (SENTENCEPIECE.to_owned(), bytes_of(path)?),
        described(&tokenizer, "LlamaTokenizer"),
    ];
    Ok(TokenizerFiles { tokenizer, files })
}

fn of_gguf(path: &Path) -> Result<TokenizerFiles, ModelError> {
    let tokenizer = Model::open(path)?.tokenizer;
    let Some(text) = tokenizer.to_json()? else {
        let detail = "has a SentencePiece tokenizer, which cannot be taken out of a .gguf file; \
                      name a folder with its tokenizer.json or tokenizer.model";
        return Err(ModelError::file(path, detail));
    };
    let files = vec![
        (JSON.to_owned(), text.into_bytes()),
        described(&tokenizer, "PreTrainedTokenizerFast"),
    ];
    Ok(TokenizerFiles { tokenizer, files })
}

/// A `tokenizer_config.json`.
fn described(tokenizer: &Tokenizer, class: &str) -> (String, Vec<u8>) {
    let name = |id: Option<u32>| match tokenizer.name(id) {
        name if name.is_empty() => Value::Null,
        name => name.into(),
    };
    let config = json!({
        "tokenizer_class": class,
        "bos_token": name(tokenizer.bos()),
        "eos_token": name(tokenizer.eos()),
        "unk_token": name(tokenizer.unknown()),
        "pad_token": name(tokenizer.padding()),
        "add_bos_token": tokenizer.add_bos(),
        "clean_up_tokenization_spaces": false,
    });
    (CONFIG.to_owned(), config.to_string().into_bytes())
}

impl Tokenizer {
    /// A `tokenizer.json` that says the same; `None` for SentencePiece's.
    fn to_json(&self) -> Result<Option<String>, TokenizerError> {
        let Backend::Pipeline(pipeline) = &self.backend else {
            return Ok(None);
        };
        let mut value = pipeline.to_json()?;
        if let Some(fields) = value.as_object_mut()
            && fields.get("decoder").is_none_or(Value::is_null)
        {
            // What comes from a GGUF file is in bytes.
            let decoder = json!({"type": "ByteLevel", "add_prefix_space": true,
                                 "trim_offsets": true, "use_regex": true});
            fields.insert("decoder".to_owned(), decoder);
        }
        Ok(Some(value.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "The house's boat, 12 \u{00e9}t\u{00e9}s: \u{4e2d}\n\n  Yes!";

    /// Every way a tokenizer is kept gives one that cuts a text alike and puts it together again.
    #[test]
    fn what_is_kept_is_read_again() {
        let tiny = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/tiny");
        for name in ["llama", "llama.gguf", "llama/tokenizer.json", "qwen2.gguf"] {
            let Ok(own) = TokenizerFiles::open(&tiny.join(name)) else {
                // A tokenizer of SentencePiece's kind cannot be taken out of such a file.
                assert!(name.ends_with("gguf"), "{name}");
                continue;
            };
            let folder = tempfile::tempdir().unwrap();
            for (name, bytes) in &own.files {
                fs::write(folder.path().join(name), bytes).unwrap();
            }
            let read = Tokenizer::from_folder(folder.path()).unwrap();
            let ids = own.tokenizer.encode(TEXT, true, false).unwrap();
            assert_eq!(read.encode(TEXT, true, false).unwrap(), ids, "{name}");
            assert_eq!(read.decode_text(&ids), own.tokenizer.decode_text(&ids));
            assert_eq!(read.eos(), own.tokenizer.eos(), "{name}");
            assert_eq!(read.bos(), own.tokenizer.bos(), "{name}");
        }
        let config = TokenizerFiles::open(&tiny.join("qwen2.gguf"));
        assert!(config.is_ok(), "byte-level tokenizers can be taken out");
        assert!(TokenizerFiles::open(&tiny.join("none.json")).is_err());
    }
}
