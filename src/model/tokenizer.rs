//! Text to tokens and back.
use crate::model::error::ModelError;
use crate::model::gguf::Gguf;
use std::path::Path;
use tokenizers::{
    AddedToken, SplitDelimiterBehavior,
    models::bpe::BPE,
    pre_tokenizers::{
        PreTokenizerWrapper,
        byte_level::ByteLevel,
        digits::Digits,
        sequence::Sequence,
        split::{Split, SplitPattern},
    },
};

pub struct Tokenizer {
    inner: tokenizers::Tokenizer,
    add_bos: bool,
    bos: Option<u32>,
    ends: Vec<u32>,
}
pub struct DecodeStream<'a> {
    t: &'a Tokenizer,
    ids: Vec<u32>,
    shown: usize,
}
impl DecodeStream<'_> {
    pub fn push(&mut self, id: u32) -> String {
        self.ids.push(id);
        let s = self.t.inner.decode(&self.ids, false).unwrap_or_default();
        if s.ends_with('\u{fffd}') {
            return String::new();
        }
        let out = s.get(self.shown..).unwrap_or("").to_owned();
        self.shown = s.len();
        out
    }
    pub fn finish(&mut self) -> String {
        String::new()
    }
}
impl Tokenizer {
    pub fn from_file(path: &Path) -> Result<Self, ModelError> {
        let inner = tokenizers::Tokenizer::from_file(path)
            .map_err(|e| ModelError::file(path, e.to_string()))?;
        Ok(Tokenizer {
            inner,
            add_bos: false,
            bos: None,
            ends: vec![],
        })
    }
    pub fn from_gguf(g: &Gguf) -> Result<Self, ModelError> {
        let strs = |k: &str| -> Vec<String> {
            g.metadata
                .get(k)
                .and_then(|v| v.as_array())
                .unwrap_or(&[])
                .iter()
                .filter_map(|v| v.as_str().map(str::to_owned))
                .collect()
        };
        let tokens = strs("tokenizer.ggml.tokens");
        let merges: Vec<(String, String)> = strs("tokenizer.ggml.merges")
            .iter()
            .filter_map(|m| m.split_once(' ').map(|(a, b)| (a.to_owned(), b.to_owned())))
            .collect();
        let types: Vec<u64> = g
            .metadata
            .get("tokenizer.ggml.token_type")
            .and_then(|v| v.as_array())
            .unwrap_or(&[])
            .iter()
            .filter_map(|v| v.as_u64())
            .collect();
        let vocab = tokens
            .iter()
            .enumerate()
            .map(|(i, t)| (t.clone(), i as u32))
            .collect::<std::collections::HashMap<_, _>>();
        let bpe = BPE::builder()
            .vocab_and_merges(
                vocab
                    .into_iter()
                    .collect::<tokenizers::models::bpe::Vocab>(),
                merges,
            )
            .ignore_merges(false)
            .build()
            .map_err(|e| g.field_error("tokenizer", e.to_string()))?;
        let mut inner = tokenizers::Tokenizer::new(bpe);
        let pre = g.get_str("tokenizer.ggml.pre")?.unwrap_or("");
        let bl = ByteLevel::new(false, true, pre != "qwen2" && pre != "llama-bpe");
        let list: Vec<PreTokenizerWrapper> = match pre {
            "smollm" => vec![Digits::new(true).into(), bl.into()],
            "qwen2" => vec![Split::new(SplitPattern::Regex(r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+".into()), SplitDelimiterBehavior::Isolated, false).expect("re").into(), bl.into()],
            _ => vec![bl.into()],
        };
        inner.with_pre_tokenizer(Some(Sequence::new(list)));
        inner.with_decoder(Some(ByteLevel::new(false, true, true)));
        let special: Vec<AddedToken> = types
            .iter()
            .enumerate()
            .filter(|(_, t)| **t == 3 || **t == 4)
            .map(|(i, _)| AddedToken::from(tokens[i].clone(), true))
            .collect();
        let _ = inner.add_special_tokens(special);
        let eos = g.get_u64("tokenizer.ggml.eos_token_id")?.map(|v| v as u32);
        Ok(Tokenizer {
            inner,
            add_bos: false,
            bos: g.get_u64("tokenizer.ggml.bos_token_id")?.map(|v| v as u32),
            ends: eos.into_iter().collect(),
        })
    }
    pub fn encode(&self, text: &str, _s: bool, _p: bool) -> Result<Vec<u32>, ModelError> {
        Ok(self
            .inner
            .encode(text, false)
            .map_err(|_| ModelError::NotANumber)?
            .get_ids()
            .to_vec())
    }
    pub fn decode_stream(&self, _prompt: &[u32]) -> DecodeStream<'_> {
        DecodeStream {
            t: self,
            ids: vec![],
            shown: 0,
        }
    }
    pub fn is_end(&self, id: u32) -> bool {
        self.ends.contains(&id)
    }
    pub fn add_bos(&self) -> bool {
        self.add_bos
    }
    pub fn bos(&self) -> Option<u32> {
        self.bos
    }
    pub fn token_bytes(&self, id: u32) -> Vec<u8> {
        self.inner
            .decode(&[id], false)
            .unwrap_or_default()
            .into_bytes()
    }
}
