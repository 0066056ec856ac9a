//! The tokenizers and chat templates of the tiny models against what the `tokenizers` library and
//! transformers say, from `tokenizer.json` and from the GGUF's own vocabulary.

use inscribe::model::chat::Message;
use inscribe::model::model_file::Model;
use serde_json::Value;

use crate::common::tiny;
use crate::golden::MODELS;

fn golden(name: &str) -> Value {
    let stem = name.strip_suffix(".gguf").unwrap_or(name);
    let text = std::fs::read_to_string(tiny(&format!("{stem}.golden.json"))).expect("golden");
    serde_json::from_str(&text).expect("JSON")
}

fn ids(value: &Value) -> Vec<u32> {
    let array = value.as_array().expect("an array");
    array
        .iter()
        .map(|id| id.as_u64().expect("an id") as u32)
        .collect()
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().expect("a text")
}

#[test]
fn texts_become_the_reference_ids_and_back() {
    for name in MODELS {
        let tokenizer = Model::open(&tiny(name)).expect("a model").tokenizer;
        let golden = golden(name);
        let cases = golden["tokenizer"].as_array().expect("cases");
        assert!(cases.len() > 10);
        for case in cases {
            let written = text(case, "text");
            let plain = tokenizer.encode(written, false, true).expect("ids");
            // A GGUF does not say that Qwen normalises to NFC; llama.cpp does not either.
            if name.ends_with(".gguf") && !case["gguf_ids"].is_null() {
                assert_eq!(plain, ids(&case["gguf_ids"]), "{name}: {written:?}");
                continue;
            }
            assert_eq!(plain, ids(&case["ids"]), "{name}: {written:?}");
            let whole = tokenizer.encode(written, true, true).expect("ids");
            assert_eq!(whole, ids(&case["ids_with_bos"]), "{name}: {written:?}");
            assert_eq!(
                tokenizer.decode(&plain),
                text(case, "decoded"),
                "{name}: {written:?}"
            );
        }
    }
}

#[test]
fn conversations_are_rendered_as_transformers_does() {
    for name in MODELS {
        let model = Model::open(&tiny(name)).expect("a model");
        let golden = golden(name);
        let case = &golden["chat"];
        let messages: Vec<Message> = case["messages"]
            .as_array()
            .expect("messages")
            .iter()
            .map(|m| Message::new(text(m, "role"), text(m, "content")))
            .collect();
        let template = model.chat.expect("a chat template");
        let rendered = template.render(&messages, true).expect("a conversation");
        assert_eq!(rendered, text(case, "text"), "{name}");
        let found = model.tokenizer.encode(&rendered, false, true).expect("ids");
        assert_eq!(found, ids(&case["ids"]), "{name}");
    }
}
