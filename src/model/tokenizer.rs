//! Text to tokens and back, from a `tokenizer.json`, a SentencePiece model or a GGUF's metadata.

mod added;
mod bytes;
mod files;
mod folder;
mod gguf;
mod pieces;
mod pipeline;
mod pretokenize;
mod sentencepiece;
mod spm;
mod stream;

use std::ops::Range;

use thiserror::Error;

use bytes::Pieces;
pub use files::TokenizerFiles;
pub(crate) use folder::read_json;
pub(crate) use gguf::readable_in_gguf;
pub use gguf::{GgufVocab, TokenType};
use pipeline::Pipeline;
use spm::Spm;
pub use stream::DecodeStream;

#[derive(Debug, Error)]
pub enum TokenizerError {
    /// Something a vocabulary says of itself cannot be.
    #[error("{field}: {detail}")]
    Field { field: String, detail: String },
    #[error("{path}: {detail}")]
    File { path: String, detail: String },
    #[error("the text cannot be turned into tokens: {0}")]
    Encode(String),
}

impl TokenizerError {
    fn field(field: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::Field {
            field: field.into(),
            detail: detail.into(),
        }
    }
}

/// A token and the bytes of the text that it covers. Tokens that share one character (its UTF-8
/// bytes in several tokens) each have the whole character's range; a token added around the text
/// has an empty range.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenSpan {
    pub id: u32,
    pub bytes: Range<usize>,
}

/// The tokens with a meaning of their own.
#[derive(Clone, Debug, Default)]
struct Roles {
    bos: Option<u32>,
    /// Any of these ends the model's text; the first is the tokenizer's own end token.
    ends: Vec<u32>,
    unknown: Option<u32>,
    padding: Option<u32>,
    /// Tokens put before and after the text where special tokens are asked for.
    before: Vec<u32>,
    after: Vec<u32>,
}

enum Backend {
    Pipeline(Box<Pipeline>),
    Spm(Box<Spm>),
}

pub struct Tokenizer {
    backend: Backend,
    pieces: Pieces,
    roles: Roles,
    /// Whether the tokenizer itself puts a space before the first word.
    space_prefix: bool,
}

/// Texts of tokens that end a turn or a text, whatever the metadata calls the end token.
const END_TEXTS: [&str; 18] = [
    "<|eot_id|>",
    "<|im_end|>",
    "<|end|>",
    "<|return|>",
    "<|call|>",
    "<end_of_turn>",
    "<|endoftext|>",
    "<|end_of_text|>",
    "<|eom_id|>",
    "<EOT>",
    "_<EOT>",
    "[EOT]",
    "[EOS]",
    "</s>",
    "<eos>",
    "<end_of_utterance>",
    "<|end_of_turn|>",
    "<\u{ff5c}end\u{2581}of\u{2581}sentence\u{ff5c}>",
];

impl Tokenizer {
    fn assemble(
        backend: Backend,
        pieces: Pieces,
        mut roles: Roles,
        space_prefix: bool,
    ) -> Tokenizer {
        let mut tokenizer = Tokenizer {
            backend,
            pieces,
            roles: Roles::default(),
            space_prefix,
        };
        for text in END_TEXTS {
            if let Some(id) = tokenizer.token_id(text)
                && tokenizer.is_special(id)
            {
                roles.ends.push(id);
            }
        }
        let mut seen = std::collections::HashSet::new();
        roles.ends.retain(|id| seen.insert(*id));
        tokenizer.roles = roles;
        tokenizer
    }

    /// The tokens of a text. `add_special` puts the tokenizer's own begin and end tokens around
    /// it; `parse_special` reads the names of control tokens in the text as these tokens (for
    /// text from a chat template, never for a person's document).
    pub fn encode(
        &self,
        text: &str,
        add_special: bool,
        parse_special: bool,
    ) -> Result<Vec<u32>, TokenizerError> {
        check_length(text)?;
        let spans = match &self.backend {
            Backend::Pipeline(pipeline) if !add_special => {
                return pipeline.encode(text, parse_special);
            }
            Backend::Pipeline(pipeline) => pipeline.encode_spans(text, parse_special)?,
            Backend::Spm(spm) => spm.encode(text, parse_special),
        };
        let ids = spans.iter().map(|span| span.id);
        if !add_special {
            return Ok(ids.collect());
        }
        let (before, after) = (self.roles.before.iter(), self.roles.after.iter());
        Ok(before.copied().chain(ids).chain(after.copied()).collect())
    }

    /// Like [`Tokenizer::encode`], with the place of each token in the text.
    pub fn encode_with_offsets(
        &self,
        text: &str,
        add_special: bool,
        parse_special: bool,
    ) -> Result<Vec<TokenSpan>, TokenizerError> {
        check_length(text)?;
        let spans = match &self.backend {
            Backend::Pipeline(pipeline) => pipeline.encode_spans(text, parse_special)?,
            Backend::Spm(spm) => spm.encode(text, parse_special),
        };
        if !add_special {
            return Ok(spans);
        }
        let around = |ids: &[u32], at: usize| -> Vec<TokenSpan> {
            let span = |&id| TokenSpan { id, bytes: at..at };
            ids.iter().map(span).collect()
        };
        let mut all = around(&self.roles.before, 0);
        all.extend(spans);
        all.extend(around(&self.roles.after, text.len()));
        Ok(all)
    }

    /// The text of tokens, with the names of special tokens in it. Bytes that are no UTF-8 become
    /// U+FFFD.
    pub fn decode(&self, ids: &[u32]) -> String {
        self.decode_with(DecodeStream::new(self, true), ids)
    }

    /// The text of tokens without special tokens.
    pub fn decode_text(&self, ids: &[u32]) -> String {
        self.decode_with(DecodeStream::new(self, true).without_special(), ids)
    }

    fn decode_with(&self, mut stream: DecodeStream<'_>, ids: &[u32]) -> String {
        let mut text = String::new();
        for &id in ids {
            text.push_str(&stream.push(id));
        }
        text.push_str(&stream.finish());
        text
    }

    /// Text from tokens that come one at a time, after those of `prompt`.
    pub fn decode_stream(&self, prompt: &[u32]) -> DecodeStream<'_> {
        let at_start = prompt.iter().all(|&id| self.is_special(id));
        DecodeStream::new(self, at_start)
    }

    /// The bytes of a token's text; the name of a special token. Empty where there is no such
    /// token.
    pub fn token_bytes(&self, id: u32) -> Vec<u8> {
        self.piece(id).to_vec()
    }

    fn piece(&self, id: u32) -> &[u8] {
        self.pieces.get(id)
    }

    /// The id of a token by its own text (in the vocabulary's notation) or name.
    pub fn token_id(&self, text: &str) -> Option<u32> {
        match &self.backend {
            Backend::Pipeline(pipeline) => pipeline.token_id(text),
            Backend::Spm(spm) => spm.token_id(text),
        }
    }

    /// One more than the greatest id. A model may have more rows than that.
    pub fn vocab_size(&self) -> usize {
        self.pieces.len()
    }

    /// Whether a token is a control token, which is not part of any text.
    pub fn is_special(&self, id: u32) -> bool {
        self.pieces.is_special(id)
    }

    /// Whether a token ends the model's text or turn.
    pub fn is_end(&self, id: u32) -> bool {
        self.roles.ends.contains(&id)
    }

    pub fn bos(&self) -> Option<u32> {
        self.roles.bos
    }

    /// Every token that ends a text or a turn; the first is the tokenizer's own end token.
    pub fn ends(&self) -> &[u32] {
        &self.roles.ends
    }

    pub fn eos(&self) -> Option<u32> {
        self.roles.ends.first().copied()
    }

    pub fn unknown(&self) -> Option<u32> {
        self.roles.unknown
    }

    pub fn padding(&self) -> Option<u32> {
        self.roles.padding
    }

    /// Whether the model was trained with its begin token before a text.
    pub fn add_bos(&self) -> bool {
        let bos = self.roles.bos;
        bos.is_some() && self.roles.before.first().copied() == bos
    }

    /// The name of a token, as a chat template wants it.
    pub(crate) fn name(&self, id: Option<u32>) -> String {
        let bytes = id.map_or(&[][..], |id| self.piece(id));
        String::from_utf8_lossy(bytes).into_owned()
    }
}

/// Longer texts would not fit the positions that merging counts in.
const MAX_TEXT: usize = 1 << 30;

fn check_length(text: &str) -> Result<(), TokenizerError> {
    if text.len() <= MAX_TEXT {
        return Ok(());
    }
    let detail = format!("it is {} bytes long; 1 GiB is the most", text.len());
    Err(TokenizerError::Encode(detail))
}
