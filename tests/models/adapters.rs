//! Adapters that Inscribe saves, against what PEFT and llama.cpp say once they have loaded them
//! (tests/oracle/adapter_goldens.py).

use std::fs;
use std::path::PathBuf;

use inscribe::engine::Device;
use inscribe::memory::gguf_adapter::{self, Precision};
use inscribe::memory::{Content, Lora, peft};
use inscribe::model::config::ModelConfig;
use inscribe::model::session::{Session, SessionOptions};
use serde::Deserialize;

use crate::common::{self, cpu, load};
use crate::devices::on_every_device;

/// The mean loss, and any token's log-probability.
const LOSS_TOLERANCE: f64 = 1e-3;
const TOKEN_TOLERANCE: f64 = 2e-3;
/// Adapters that changed nothing would agree, too.
const LEAST_CHANGE: f64 = 0.5;

#[derive(Deserialize)]
struct Golden {
    ids: Vec<u32>,
    peft: Scores,
    #[serde(rename = "llama.cpp")]
    llama_cpp: Scores,
}

/// Log-probabilities of every token but the first.
#[derive(Deserialize)]
struct Scores {
    base: Vec<f64>,
    lora: Vec<f64>,
    #[serde(default)]
    prefix: Vec<f64>,
}

fn folder() -> PathBuf {
    common::golden("adapters")
}

fn golden() -> Golden {
    let text = fs::read_to_string(folder().join("golden.json")).expect("the golden file");
    serde_json::from_str(&text).expect("JSON")
}

fn loaded(model: &ModelConfig) -> [Content; 3] {
    let lora = gguf_adapter::load(&folder().join("lora.gguf"), model).expect("an adapter");
    [
        peft::load(&folder().join("lora"), model).expect("an adapter"),
        peft::load(&folder().join("prefix"), model).expect("a prefix"),
        Content::new(lora),
    ]
}

fn scores(device: &Device, ids: &[u32], content: Option<&Content>) -> Vec<f64> {
    let model = load(device, "llama.gguf");
    let options = SessionOptions::default();
    let mut session = Session::new(device, &model, ids.len() + 8, options).expect("memory");
    if let Some(content) = content {
        content.enter(&mut session).expect("memory");
    }
    let scores = session.score(ids, &mut |_, _| {}).expect("a pass");
    scores.iter().map(|score| score.logprob).collect()
}

fn loss(logprobs: &[f64]) -> f64 {
    -logprobs.iter().sum::<f64>() / logprobs.len() as f64
}

fn assert_same(what: &str, own: &[f64], theirs: &[f64]) {
    assert_eq!(own.len(), theirs.len(), "{what}");
    let apart = (loss(own) - loss(theirs)).abs();
    assert!(apart < LOSS_TOLERANCE, "{what}: the loss is {apart} apart");
    let tokens = own.iter().zip(theirs).map(|(a, b)| (a - b).abs());
    let worst = tokens.fold(0.0, f64::max);
    assert!(worst < TOKEN_TOLERANCE, "{what}: a token is {worst} apart");
}

fn change(with: &[f64], without: &[f64]) -> Vec<f64> {
    with.iter().zip(without).map(|(a, b)| a - b).collect()
}

fn check(device: &Device) {
    let golden = golden();
    let config = load(device, "llama.gguf").config;
    let [lora, prefix, gguf] = loaded(&config);
    let base = scores(device, &golden.ids, None);
    assert_same("no adapter", &base, &golden.peft.base);
    let with_lora = scores(device, &golden.ids, Some(&lora));
    assert_same("the LoRA in PEFT", &with_lora, &golden.peft.lora);
    let with_prefix = scores(device, &golden.ids, Some(&prefix));
    assert_same("the prefix in PEFT", &with_prefix, &golden.peft.prefix);
    let with_gguf = scores(device, &golden.ids, Some(&gguf));
    let own = change(&with_gguf, &base);
    let theirs = change(&golden.llama_cpp.lora, &golden.llama_cpp.base);
    assert_same("the change by the LoRA in llama.cpp", &own, &theirs);
    for changed in [own, change(&with_prefix, &base)] {
        assert!(changed.iter().any(|c| c.abs() > LEAST_CHANGE));
    }
}

on_every_device! {
    other_programs_read_saved_adapters_alike: check;
}

/// What the others were given is what is saved today, byte for byte.
#[test]
fn adapters_are_saved_as_the_others_read_them() {
    let config = load(cpu(), "llama.gguf").config;
    let [lora, prefix, gguf] = loaded(&config);
    let again = tempfile::tempdir().expect("a temporary folder");
    let out = |name: &str| again.path().join(name);
    peft::save(&out("lora"), &lora, &config, "llama.gguf").expect("room");
    peft::save(&out("prefix"), &prefix, &config, "llama.gguf").expect("room");
    let matrices = gguf.get::<Lora>().expect("a LoRA");
    let saved = gguf_adapter::save(
        &out("lora.gguf"),
        matrices,
        &config,
        "llama.gguf",
        Precision::F32,
    );
    saved.expect("room");
    for file in [
        "lora/adapter_config.json",
        "lora/adapter_model.safetensors",
        "prefix/adapter_config.json",
        "prefix/adapter_model.safetensors",
        "lora.gguf",
    ] {
        let [then, now] = [folder(), again.path().to_owned()].map(|f| fs::read(f.join(file)));
        assert!(
            then.expect("a file") == now.expect("a file"),
            "{file} differs"
        );
    }
}
