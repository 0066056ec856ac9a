//! Tokenizers that the `tokenizers` crate runs: a `tokenizer.json`, or byte-level merges.

use tokenizers::{
    AddedVocabulary, Model, OffsetType, PreTokenizedString, PreTokenizer, Tokenizer as HfTokenizer,
};

use super::{TokenSpan, TokenizerError};

pub struct Pipeline {
    inner: HfTokenizer,
    /// Added tokens for texts in which names of special tokens are plain text.
    plain: AddedVocabulary,
}

impl Pipeline {
    pub fn new(inner: HfTokenizer) -> Self {
        let mut plain = inner.get_added_vocabulary().clone();
        plain.set_encode_special_tokens(true);
        Pipeline { inner, plain }
    }

    /// What a `tokenizer.json` of it holds.
    pub fn to_json(&self) -> Result<serde_json::Value, TokenizerError> {
        let failed = |e: serde_json::Error| TokenizerError::Encode(e.to_string());
        let text = self
            .inner
            .to_string(false)
            .map_err(|e| TokenizerError::Encode(e.to_string()))?;
        serde_json::from_str(&text).map_err(failed)
    }

    pub fn token_id(&self, text: &str) -> Option<u32> {
        self.inner.token_to_id(text)
    }

    pub fn encode(&self, text: &str, parse_special: bool) -> Result<Vec<u32>, TokenizerError> {
        let encoding = self
            .tokenize(text, parse_special)
            .and_then(|split| split.into_encoding(None, 0, OffsetType::None))
            .map_err(failed)?;
        Ok(encoding.get_ids().to_vec())
    }

    pub fn encode_spans(
        &self,
        text: &str,
        parse_special: bool,
    ) -> Result<Vec<TokenSpan>, TokenizerError> {
        let encoding = self
            .tokenize(text, parse_special)
            .and_then(|split| split.into_encoding(None, 0, OffsetType::Byte))
            .map_err(failed)?;
        let span = |(&id, &(start, end)): (&u32, &(usize, usize))| TokenSpan {
            id,
            bytes: start..end,
        };
        Ok(encoding
            .get_ids()
            .iter()
            .zip(encoding.get_offsets())
            .map(span)
            .collect())
    }

    /// The crate's own steps, but for the ones around the text: its post-processors would trim
    /// the offsets.
    fn tokenize(&self, text: &str, parse_special: bool) -> tokenizers::Result<PreTokenizedString> {
        let added = if parse_special {
            self.inner.get_added_vocabulary()
        } else {
            &self.plain
        };
        let mut split = added.extract_and_normalize(self.inner.get_normalizer(), text);
        if let Some(pre_tokenizer) = self.inner.get_pre_tokenizer() {
            pre_tokenizer.pre_tokenize(&mut split)?;
        }
        let model = self.inner.get_model();
        split.tokenize(|piece| model.tokenize(piece.get()))?;
        Ok(split)
    }
}

fn failed(error: tokenizers::Error) -> TokenizerError {
    TokenizerError::Encode(error.to_string())
}
