//! Ids against Hugging Face's tokenizers and sentencepiece.

use std::fs;
use std::path::Path;

use inscribe::model::gguf::Gguf;
use inscribe::model::tokenizer::{GgufVocab, TokenType, Tokenizer};
use serde_json::{Value, json};

use crate::golden;

pub const TINY: [&str; 5] = ["llama", "llama3", "qwen2", "qwen3", "gemma3"];
pub const BYTE_LEVEL: [&str; 5] = ["gpt-2", "smollm", "llama-bpe", "qwen2", "qwen35"];

/// Texts and the ids of one tokenizer: `ids`, or those of them that are others as `kind`.
fn cases<'a>(file: &'a Value, tokenizer: &str, kind: &str) -> Vec<(&'a str, Vec<u32>)> {
    let rows = &file["tokenizers"][tokenizer];
    let texts = file["texts"].as_array().expect("texts");
    let text = |(i, text): (usize, &'a Value)| {
        let ids = match rows[kind].as_object() {
            Some(others) => others.get(&i.to_string()).unwrap_or(&rows["ids"][i]),
            None => &rows[kind][i],
        };
        let ids = ids.as_array().expect("ids").iter();
        let ids = ids.map(|id| id.as_u64().expect("id") as u32).collect();
        (text.as_str().expect("text"), ids)
    };
    texts.iter().enumerate().map(text).collect()
}

fn check(tokenizer: &Tokenizer, name: &str, kind: &str, parse_special: bool) {
    let file = crate::json("text/cases.json");
    for (text, expected) in cases(&file, name, kind) {
        let ids = tokenizer.encode(text, false, parse_special).expect(text);
        assert_eq!(ids, expected, "{name} {kind}: {text:?}");
        let spans = tokenizer
            .encode_with_offsets(text, false, parse_special)
            .expect(text);
        assert!(
            spans.iter().map(|span| span.id).eq(ids),
            "{name} {kind}: {text:?}"
        );
    }
}

/// A tokenizer.json of the vocabulary whose merges cross every boundary, in a folder.
pub fn folder_with(pre: &str) -> tempfile::TempDir {
    let mut state = crate::json("text/bytes.json");
    let rules = crate::json("text/cases.json")["pre"][pre].clone();
    state["pre_tokenizer"] = rules["pre_tokenizer"].clone();
    state["normalizer"] = rules["normalizer"].clone();
    state["model"]["ignore_merges"] = rules["ignore_merges"].clone();
    let folder = tempfile::tempdir().expect("folder");
    write_json(folder.path(), "tokenizer.json", &state);
    folder
}

pub fn write_json(folder: &Path, name: &str, value: &Value) {
    fs::write(folder.join(name), value.to_string()).expect(name);
}

/// The same vocabulary as a GGUF carries it.
pub fn vocab_with(pre: &str) -> GgufVocab {
    let state = crate::json("text/bytes.json");
    let entries = state["model"]["vocab"].as_object().expect("vocab");
    let mut tokens = vec![String::new(); entries.len()];
    for (text, id) in entries {
        tokens[id.as_u64().expect("id") as usize] = text.clone();
    }
    let mut types = vec![TokenType::Normal; tokens.len()];
    for token in state["added_tokens"].as_array().expect("added_tokens") {
        types[token["id"].as_u64().expect("id") as usize] = if token["special"] == true {
            TokenType::Control
        } else {
            TokenType::UserDefined
        };
    }
    let merge = |m: &Value| match m.as_str() {
        Some(pair) => pair.to_owned(),
        None => format!(
            "{} {}",
            m[0].as_str().expect("left"),
            m[1].as_str().expect("right")
        ),
    };
    let merges = state["model"]["merges"].as_array().expect("merges");
    GgufVocab {
        model: "gpt2".to_owned(),
        pre: Some(pre.to_owned()),
        tokens,
        types,
        merges: merges.iter().map(merge).collect(),
        bos: Some(3),
        eos: Some(2),
        ..GgufVocab::default()
    }
}

#[test]
fn tokenizer_json_of_every_family() {
    for name in TINY {
        let tokenizer = Tokenizer::from_folder(&golden(&format!("tiny/{name}"))).expect(name);
        check(&tokenizer, name, "ids", true);
        check(&tokenizer, name, "plain", false);
    }
}

#[test]
fn gguf_of_every_family() {
    for name in TINY {
        let gguf = Gguf::open(&golden(&format!("tiny/{name}.gguf"))).expect(name);
        let tokenizer = Tokenizer::from_gguf(&gguf).expect(name);
        check(&tokenizer, name, "raw", false);
    }
}

#[test]
fn every_pre_tokenizer_from_json_and_from_gguf() {
    for pre in BYTE_LEVEL {
        let folder = folder_with(pre);
        let name = format!("pre {pre}");
        let tokenizer = Tokenizer::from_folder(folder.path()).expect(pre);
        check(&tokenizer, &name, "ids", true);
        check(&tokenizer, &name, "plain", false);
        let tokenizer = vocab_with(pre).into_tokenizer().expect(pre);
        check(&tokenizer, &name, "raw", false);
    }
}

#[test]
fn special_tokens_by_name_from_gguf() {
    let tokenizer = vocab_with("gpt-2").into_tokenizer().expect("tokenizer");
    check(&tokenizer, "pre gpt-2", "ids", true);
}

#[test]
fn sentencepiece_models() {
    for name in ["spm-prefix", "spm-bare", "spm-squeeze"] {
        let path = golden(&format!("text/{name}.model"));
        let tokenizer = Tokenizer::from_sentencepiece(&path).expect(name);
        check(&tokenizer, name, "plain", false);
    }
}

#[test]
fn special_tokens_in_sentencepiece_texts() {
    let path = golden("text/spm-prefix.model");
    let tokenizer = Tokenizer::from_sentencepiece(&path).expect("model");
    let text = "<s>the</s> the";
    let spans = tokenizer.encode_with_offsets(text, true, true).expect(text);
    let shown: Vec<_> = spans
        .iter()
        .map(|s| (tokenizer.token_bytes(s.id), &text[s.bytes.clone()]))
        .collect();
    let shown: Vec<_> = shown
        .iter()
        .map(|(bytes, part)| (std::str::from_utf8(bytes).expect("text"), *part))
        .collect();
    // A space goes before what follows a special token, as in llama.cpp.
    assert_eq!(
        shown,
        [
            ("<s>", ""),
            ("<s>", "<s>"),
            (" the", "the"),
            ("</s>", "</s>"),
            (" ", ""),
            (" the", " the")
        ]
    );
    assert_eq!(json!(tokenizer.ends()), json!([2]));
    assert!(tokenizer.add_bos() && tokenizer.is_end(2) && !tokenizer.is_end(1));
}
