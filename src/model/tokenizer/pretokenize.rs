//! How byte-level vocabularies cut a text into words before they merge, by the names GGUF files
//! give it.

use tokenizers::SplitDelimiterBehavior::Isolated;
use tokenizers::pre_tokenizers::PreTokenizerWrapper;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::sequence::Sequence;
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};

use super::TokenizerError;

const GPT2: &str = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+";
const LLAMA3: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const QWEN2: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const QWEN35: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const DIGIT: &str = r"\p{N}";

/// The rules that a pre-tokenizer's name means.
pub struct Rules {
    /// Patterns that cut the text; each cuts the pieces that the one before it left.
    patterns: &'static [&'static str],
    /// Whether a word that is a token stays that token, whatever the merges would make of it.
    pub ignore_merges: bool,
    /// Whether a text begins with the begin token where the file does not say.
    pub add_bos: bool,
}

impl Rules {
    /// The rules of a `tokenizer.ggml.pre`, with the names and aliases that llama.cpp knows.
    pub fn named(pre: Option<&str>) -> Result<Rules, TokenizerError> {
        let (patterns, llama3): (&'static [&'static str], bool) = match pre.unwrap_or("default") {
            "gpt-2" | "default-gpt2" | "phi-2" | "jina-es" | "jina-de" | "jina-v2-es"
            | "jina-v2-de" | "gigachat" | "a.x-4.0" | "mellum" | "modern-bert" | "mpt" | "olmo"
            | "jais" | "exaone4" | "trillion" | "granite-docling" => (&[GPT2], false),
            "smollm" | "starcoder" | "refact" | "command-r" | "codeshell" | "exaone"
            | "minerva-7b" | "mellum2" => (&[DIGIT, GPT2], false),
            "llama-bpe" | "llama3" | "llama-v3" | "falcon3" | "falcon-h1" | "pixtral"
            | "midm-2.0" | "lfm2" => (&[LLAMA3], true),
            "dbrx" | "smaug-bpe" | "glm4" | "chatglm-bpe" => (&[LLAMA3], false),
            "qwen2" | "deepseek-r1-qwen" | "kormo" | "f2llmv2" | "megrez" | "stablelm2"
            | "hunyuan" | "solar-open" | "grok-2" => (&[QWEN2], false),
            "qwen35" => (&[QWEN35], false),
            // What llama.cpp does for files from before the key was there.
            "default" => {
                const PUNCTUATION: &str = r"[\p{P}\$\+<=>\^~\|]+";
                let patterns = &[PUNCTUATION, GPT2, r"\p{N}+", "[0-9][0-9][0-9]"];
                (patterns, false)
            }
            other => {
                let known = "the ones of SmolLM, Qwen, Llama 3 and GPT-2 are known";
                let detail = format!("'{other}' is not a pre-tokenizer of this program; {known}");
                return Err(TokenizerError::field("tokenizer.ggml.pre", detail));
            }
        };
        Ok(Rules {
            patterns,
            ignore_merges: llama3,
            add_bos: llama3,
        })
    }

    pub fn pre_tokenizer(&self) -> Result<PreTokenizerWrapper, TokenizerError> {
        let split = |pattern: &&str| {
            let regex = SplitPattern::Regex((*pattern).to_owned());
            let split = Split::new(regex, Isolated, false);
            split
                .map(PreTokenizerWrapper::Split)
                .map_err(|error| TokenizerError::field("tokenizer.ggml.pre", error.to_string()))
        };
        let mut steps = self
            .patterns
            .iter()
            .map(split)
            .collect::<Result<Vec<_>, _>>()?;
        let bytes = ByteLevel::new(false, false, false);
        steps.push(PreTokenizerWrapper::ByteLevel(bytes));
        Ok(PreTokenizerWrapper::Sequence(Sequence::new(steps)))
    }
}
