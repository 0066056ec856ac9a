//! What the files beside a tokenizer say about its special tokens.

use std::fs;

use inscribe::model::tokenizer::Tokenizer;
use serde_json::json;

use crate::golden;
use crate::goldens::{folder_with, write_json};

#[test]
fn end_tokens_come_from_every_file() {
    let folder = folder_with("qwen2");
    let open = || Tokenizer::from_folder(folder.path()).expect("tokenizer");
    let tokenizer = open();
    assert_eq!((tokenizer.bos(), tokenizer.add_bos()), (None, false));
    // By their names alone.
    assert_eq!(tokenizer.ends(), [4, 2, 0]);
    let config = json!({"bos_token": "<|begin_of_text|>", "eos_token": {"content": "<|im_end|>"},
        "pad_token": "<|endoftext|>", "unk_token": null, "add_bos_token": true});
    write_json(folder.path(), "tokenizer_config.json", &config);
    write_json(
        folder.path(),
        "generation_config.json",
        &json!({"eos_token_id": [2, 300]}),
    );
    let tokenizer = open();
    assert_eq!(tokenizer.ends(), [2, 300, 4, 0]);
    assert_eq!(tokenizer.eos(), Some(2));
    assert_eq!(tokenizer.padding(), Some(0));
    assert_eq!(tokenizer.unknown(), None);
    assert_eq!(tokenizer.bos(), Some(3));
    assert!(tokenizer.add_bos());
    let ids = tokenizer.encode("a", true, false).expect("ids");
    assert_eq!(ids.first(), Some(&3));
    assert_eq!(tokenizer.encode("a", false, false).expect("ids"), ids[1..]);
}

#[test]
fn the_post_processor_says_what_goes_around_a_text() {
    let tokenizer = Tokenizer::from_folder(&golden("tiny/llama3")).expect("tokenizer");
    let bos = tokenizer.bos().expect("bos");
    assert!(tokenizer.add_bos());
    assert_eq!(tokenizer.encode("", true, false).expect("ids"), [bos]);
    let spans = tokenizer
        .encode_with_offsets("é", true, false)
        .expect("spans");
    assert_eq!((spans[0].id, spans[0].bytes.clone()), (bos, 0..0));
    assert!(
        spans[1..].iter().all(|span| span.bytes == (0..2)),
        "{spans:?}"
    );
}

#[test]
fn a_folder_without_a_tokenizer_says_what_to_do() {
    let folder = tempfile::tempdir().expect("folder");
    let error = || {
        Tokenizer::from_folder(folder.path())
            .err()
            .expect("error")
            .to_string()
    };
    assert!(
        error().contains("neither a tokenizer.json nor a tokenizer.model"),
        "{}",
        error()
    );
    fs::copy(
        golden("text/spm-prefix.model"),
        folder.path().join("any.model"),
    )
    .expect("copied");
    let tokenizer = Tokenizer::from_folder(folder.path()).expect("tokenizer");
    assert_eq!(
        tokenizer.decode(&tokenizer.encode("the", true, false).expect("ids")),
        "<s> the"
    );
    fs::write(folder.path().join("tokenizer.json"), "{").expect("written");
    assert!(error().contains("tokenizer.json: is not"), "{}", error());
    let deep = "[".repeat(100_000);
    fs::write(folder.path().join("tokenizer_config.json"), deep).expect("written");
    assert!(
        error().contains("tokenizer_config.json: is not JSON"),
        "{}",
        error()
    );
}

#[test]
fn parts_of_a_tokenizer_that_do_not_fit_each_other_are_refused() {
    let whole = fs::read(golden("tiny/llama/tokenizer.json")).expect("a tokenizer");
    let whole: serde_json::Value = serde_json::from_slice(&whole).expect("JSON");
    assert!(whole["model"]["merges"].is_array());
    let refused = |change: &dyn Fn(&mut serde_json::Value)| {
        let folder = tempfile::tempdir().expect("folder");
        let mut json = whole.clone();
        change(&mut json);
        fs::write(folder.path().join("tokenizer.json"), json.to_string()).expect("written");
        let error = Tokenizer::from_folder(folder.path()).err();
        error.expect("a refusal").to_string()
    };
    let marked = refused(&|json| {
        json["model"]["continuing_subword_prefix"] = "##############".into();
    });
    assert!(marked.contains("begin with a mark"), "{marked}");
    // Two tokens that together are longer than any.
    let long = refused(&|json| {
        let model = &mut json["model"];
        let vocab = model["vocab"].as_object().expect("a vocabulary");
        let longest = vocab
            .keys()
            .max_by_key(|key| key.len())
            .expect("a token")
            .clone();
        let merges = model["merges"].as_array_mut().expect("merges");
        merges.push(serde_json::json!([longest, longest]));
    });
    assert!(long.contains("vocabulary and merges"), "{long}");
    let around = refused(&|json| {
        json["post_processor"] = serde_json::json!({
            "type": "TemplateProcessing",
            "single": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 0}}],
            "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 0}}],
            "special_tokens": {},
        });
    });
    assert!(around.contains("around a text"), "{around}");
}
