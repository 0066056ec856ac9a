//! Tokenizers from what a GGUF file carries.

use std::collections::HashMap;

use tokenizers::models::bpe::{BPE, Vocab};
use tokenizers::{AddedToken, Tokenizer as HfTokenizer};

use super::added::AddedTokens;
use super::bytes::{Notation, Pieces, SPACE_MARK, byte_token};
use super::pipeline::Pipeline;
use super::pretokenize::Rules;
use super::spm::{Piece, Spm};
use super::{Backend, Roles, Tokenizer, TokenizerError};
use crate::model::error::{ModelError, printable};
use crate::model::gguf::{Gguf, Value};

const TOKENS: &str = "tokenizer.ggml.tokens";
const SCORES: &str = "tokenizer.ggml.scores";
const TYPES: &str = "tokenizer.ggml.token_type";
const MERGES: &str = "tokenizer.ggml.merges";

/// What GGUF and SentencePiece call a token's type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenType {
    Normal,
    Unknown,
    Control,
    UserDefined,
    Unused,
    Byte,
}

impl TokenType {
    /// Types are numbered alike in GGUF and SentencePiece; what is none is a normal token.
    pub fn from_number(number: i64) -> Self {
        match number {
            2 => TokenType::Unknown,
            3 => TokenType::Control,
            4 => TokenType::UserDefined,
            5 => TokenType::Unused,
            6 => TokenType::Byte,
            _ => TokenType::Normal,
        }
    }

    /// Whether such a token is not part of any text.
    fn is_special(self) -> bool {
        matches!(self, TokenType::Control | TokenType::Unknown)
    }
}

/// A vocabulary as GGUF metadata describes it; the fields are named as the keys.
#[derive(Clone, Debug, Default)]
pub struct GgufVocab {
    /// "gpt2" (byte-level merges) or "llama" (SentencePiece).
    pub model: String,
    pub pre: Option<String>,
    pub tokens: Vec<String>,
    pub scores: Vec<f32>,
    pub types: Vec<TokenType>,
    pub merges: Vec<String>,
    pub bos: Option<u32>,
    pub eos: Option<u32>,
    pub eot: Option<u32>,
    pub eom: Option<u32>,
    pub unknown: Option<u32>,
    pub padding: Option<u32>,
    pub add_bos: Option<bool>,
    pub add_eos: Option<bool>,
    pub add_space_prefix: Option<bool>,
    pub remove_extra_whitespaces: Option<bool>,
}

impl Tokenizer {
    pub fn from_gguf(gguf: &Gguf) -> Result<Tokenizer, ModelError> {
        let vocab = GgufVocab::read(gguf)?;
        vocab.into_tokenizer().map_err(|error| match error {
            TokenizerError::Field { field, detail } => gguf.field_error(&field, detail),
            other => gguf.field_error("tokenizer.ggml", other.to_string()),
        })
    }
}

/// Whether a tokenizer of this kind, which cuts words in this way, can be made; in words, why not.
pub(crate) fn readable_in_gguf(model: Option<&str>, pre: Option<&str>) -> Result<(), String> {
    match model {
        None => Err("it has no tokenizer".to_owned()),
        Some("llama") => Ok(()),
        Some("gpt2") => Rules::named(pre).map(drop).map_err(|_| {
            let rules = printable(pre.unwrap_or_default());
            format!("its tokenizer cuts words in a way that is not known here ({rules})")
        }),
        Some(other) => Err(format!(
            "its tokenizer is of a kind that cannot be used ({})",
            printable(other)
        )),
    }
}

impl GgufVocab {
    pub fn read(gguf: &Gguf) -> Result<GgufVocab, ModelError> {
        let number = |key: &str| gguf.get_u64(&format!("tokenizer.ggml.{key}"));
        let id = |key: &str| -> Result<Option<u32>, ModelError> {
            // Some files say "none" with a number no vocabulary has.
            Ok(number(key)?
                .filter(|id| *id != u64::from(u32::MAX))
                .map(clamp_id))
        };
        let flag = |key: &str| gguf.get_bool(&format!("tokenizer.ggml.{key}"));
        let text = |key: &str| gguf.get_str(key).map(|found| found.map(str::to_owned));
        let model = text("tokenizer.ggml.model")?.ok_or_else(|| {
            gguf.field_error(
                "tokenizer.ggml.model",
                "is missing; the file has no tokenizer",
            )
        })?;
        let owned = |v| match v {
            Value::String(text) => Some(text),
            _ => None,
        };
        let texts = |key| array(gguf, key, "texts", owned);
        let signed = |v: &Value| match v {
            Value::Signed(n) => Some(*n),
            other => other.as_u64().and_then(|n| i64::try_from(n).ok()),
        };
        let kind = |v: Value| signed(&v).map(TokenType::from_number);
        Ok(GgufVocab {
            model,
            pre: text("tokenizer.ggml.pre")?,
            tokens: texts(TOKENS)?,
            scores: array(gguf, SCORES, "numbers", |v| v.as_f64().map(|s| s as f32))?,
            types: array(gguf, TYPES, "whole numbers", kind)?,
            merges: texts(MERGES)?,
            bos: id("bos_token_id")?,
            eos: id("eos_token_id")?,
            eot: id("eot_token_id")?,
            eom: id("eom_token_id")?,
            unknown: id("unknown_token_id")?,
            padding: id("padding_token_id")?,
            add_bos: flag("add_bos_token")?,
            add_eos: flag("add_eos_token")?,
            add_space_prefix: flag("add_space_prefix")?,
            remove_extra_whitespaces: flag("remove_extra_whitespaces")?,
        })
    }

    pub fn into_tokenizer(self) -> Result<Tokenizer, TokenizerError> {
        self.check()?;
        match self.model.as_str() {
            "gpt2" => self.byte_level(),
            "llama" => self.sentencepiece(),
            other => Err(TokenizerError::field(
                "tokenizer.ggml.model",
                format!("'{other}' is not supported; 'gpt2' and 'llama' are"),
            )),
        }
    }

    fn check(&self) -> Result<(), TokenizerError> {
        let count = self.tokens.len();
        if count == 0 {
            return Err(TokenizerError::field(TOKENS, "is missing or empty"));
        }
        if u32::try_from(count).is_err() {
            return Err(TokenizerError::field(
                TOKENS,
                format!("has {count} tokens, too many"),
            ));
        }
        for (key, len) in [(SCORES, self.scores.len()), (TYPES, self.types.len())] {
            if len != 0 && len != count {
                let detail = format!("has {len} entries for {count} tokens");
                return Err(TokenizerError::field(key, detail));
            }
        }
        if let Some(at) = self.scores.iter().position(|score| score.is_nan()) {
            return Err(TokenizerError::field(
                format!("{SCORES}[{at}]"),
                "is not a number",
            ));
        }
        let ids = [
            ("bos", self.bos),
            ("eos", self.eos),
            ("eot", self.eot),
            ("eom", self.eom),
            ("unknown", self.unknown),
            ("padding", self.padding),
        ];
        for (name, id) in ids {
            if let Some(id) = id.filter(|id| *id as usize >= count) {
                let field = format!("tokenizer.ggml.{name}_token_id");
                let detail = format!("{id} is outside the vocabulary of {count}");
                return Err(TokenizerError::field(field, detail));
            }
        }
        Ok(())
    }

    fn kind(&self, id: usize) -> TokenType {
        self.types.get(id).copied().unwrap_or(TokenType::Normal)
    }

    fn roles(&self, add_bos: bool) -> Roles {
        let around = |add: Option<bool>, default: bool, id: Option<u32>| -> Vec<u32> {
            id.filter(|_| add.unwrap_or(default)).into_iter().collect()
        };
        Roles {
            bos: self.bos,
            ends: [self.eos, self.eot, self.eom]
                .into_iter()
                .flatten()
                .collect(),
            unknown: self.unknown,
            padding: self.padding,
            before: around(self.add_bos, add_bos, self.bos),
            after: around(self.add_eos, false, self.eos),
        }
    }

    fn byte_level(self) -> Result<Tokenizer, TokenizerError> {
        let rules = Rules::named(self.pre.as_deref())?;
        let mut vocab = Vocab::default();
        let mut pieces = Pieces::default();
        let mut added = Vec::new();
        for (id, token) in self.tokens.iter().enumerate() {
            let kind = self.kind(id);
            let by_name = kind.is_special() || kind == TokenType::UserDefined;
            let notation = if by_name {
                Notation::Plain
            } else {
                Notation::ByteLevel
            };
            pieces.push(kind.is_special(), |out| notation.push_bytes(token, out));
            if token.is_empty() {
                continue;
            }
            if let Some(first) = vocab.insert(token.clone(), id as u32) {
                return Err(repeats(id, first));
            }
            if by_name {
                let token = AddedToken::from(token.clone(), kind.is_special());
                added.push(token.normalized(false));
            }
        }
        let merges = merge_pairs(&self.merges, &vocab)?;
        let roles = self.roles(rules.add_bos);
        let refused = |error: tokenizers::Error| TokenizerError::field(MERGES, error.to_string());
        let bpe = BPE::builder()
            .vocab_and_merges(vocab, merges)
            .ignore_merges(rules.ignore_merges)
            .build()
            .map_err(refused)?;
        let mut inner = HfTokenizer::new(bpe);
        inner.with_pre_tokenizer(Some(rules.pre_tokenizer()?));
        inner.add_tokens(added).map_err(refused)?;
        let backend = Backend::Pipeline(Box::new(Pipeline::new(inner)));
        Ok(Tokenizer::assemble(backend, pieces, roles, false))
    }

    pub(super) fn sentencepiece(self) -> Result<Tokenizer, TokenizerError> {
        if self.scores.is_empty() {
            return Err(TokenizerError::field(SCORES, "is missing"));
        }
        let roles = self.roles(true);
        let count = self.tokens.len();
        let mut pieces = Pieces::default();
        let mut spm = Spm {
            pieces: HashMap::with_capacity(count),
            names: HashMap::new(),
            byte_ids: Box::new([None; 256]),
            unknown: self.unknown,
            user_defined: AddedTokens::default(),
            special: AddedTokens::default(),
            space_prefix: self.add_space_prefix.unwrap_or(true),
            squeeze_spaces: self.remove_extra_whitespaces.unwrap_or(false),
        };
        let (mut user_defined, mut special) = (Vec::new(), Vec::new());
        for (id, token) in self.tokens.iter().enumerate() {
            let kind = self.kind(id);
            let id32 = id as u32;
            // Only byte tokens are one byte: "<0x0A>" may also be written out.
            let notation = match (kind, byte_token(token)) {
                (TokenType::Byte, _) | (_, None) => Notation::SentencePiece,
                _ => Notation::Plain,
            };
            pieces.push(kind.is_special(), |out| notation.push_bytes(token, out));
            if token.is_empty() {
                continue;
            }
            let first = match kind {
                TokenType::Normal | TokenType::UserDefined | TokenType::Unused => {
                    let score = self.scores.get(id).copied().unwrap_or(0.0);
                    let piece = Piece { id: id32, score };
                    let before = spm.pieces.insert(token.as_str().into(), piece);
                    before.map(|piece| piece.id)
                }
                _ => spm.names.insert(token.as_str().into(), id32),
            };
            if let Some(first) = first {
                return Err(repeats(id, first));
            }
            match kind {
                TokenType::Byte => {
                    let byte = byte_token(token).ok_or_else(|| {
                        let detail = format!("'{token}' is a byte token without a byte");
                        TokenizerError::field(format!("{TOKENS}[{id}]"), detail)
                    })?;
                    spm.byte_ids[byte as usize] = Some(id32);
                }
                TokenType::UserDefined => {
                    user_defined.push((token.replace(SPACE_MARK, " "), id32));
                }
                TokenType::Control | TokenType::Unknown => special.push((token.clone(), id32)),
                TokenType::Normal | TokenType::Unused => {}
            }
        }
        special.extend(user_defined.iter().cloned());
        spm.user_defined = AddedTokens::new(user_defined);
        spm.special = AddedTokens::new(special);
        let space_prefix = spm.space_prefix;
        Ok(Tokenizer::assemble(
            Backend::Spm(Box::new(spm)),
            pieces,
            roles,
            space_prefix,
        ))
    }
}

fn clamp_id(id: u64) -> u32 {
    // Out of range either way; the check names the field.
    u32::try_from(id).unwrap_or(u32::MAX)
}

fn repeats(id: usize, first: u32) -> TokenizerError {
    let detail = format!("repeats the text of token {first}; the vocabulary is damaged");
    TokenizerError::field(format!("{TOKENS}[{id}]"), detail)
}

/// Reads an array; a missing one is empty.
fn array<T>(
    gguf: &Gguf,
    key: &str,
    of: &str,
    read: impl Fn(Value) -> Option<T>,
) -> Result<Vec<T>, ModelError> {
    let Some(value) = gguf.metadata.get(key) else {
        return Ok(Vec::new());
    };
    let wrong = || gguf.field_error(key, format!("is not an array of {of}"));
    let array = value.as_array().ok_or_else(wrong)?;
    array.iter().map(|v| read(v).ok_or_else(wrong)).collect()
}

/// Splits "left right" and makes sure that both and their union are tokens.
fn merge_pairs(merges: &[String], vocab: &Vocab) -> Result<Vec<(String, String)>, TokenizerError> {
    let mut union = String::new();
    let mut pair = |(at, merge): (usize, &String)| {
        let wrong = |detail: String| TokenizerError::field(format!("{MERGES}[{at}]"), detail);
        // The left part may itself begin with a space in vocabularies that are not byte-level.
        let space = merge.bytes().skip(1).position(|b| b == b' ').map(|i| i + 1);
        let halves = space.and_then(|at| Some((merge.get(..at)?, merge.get(at + 1..)?)));
        let Some((left, right)) = halves else {
            return Err(wrong(format!("'{merge}' is not two tokens")));
        };
        union.clear();
        union.push_str(left);
        union.push_str(right);
        for part in [left, right, &union] {
            if !vocab.contains_key(part) {
                return Err(wrong(format!("'{part}' is not a token")));
            }
        }
        Ok((left.to_owned(), right.to_owned()))
    };
    merges.iter().enumerate().map(&mut pair).collect()
}
