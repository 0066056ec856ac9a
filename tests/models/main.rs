//! Models against what transformers, PyTorch and others say about them: tiny random ones of every
//! architecture here, from both kinds of file, on both executors.

mod adapters;
#[path = "../common/mod.rs"]
mod common;
mod devices;
mod golden;
mod smollm2;
mod text;
mod train;

use common::{cpu, load, open, tiny};
use devices::on_every_device;
use golden::{Golden, MODELS};
use inscribe::engine::gpu::{OpenOptions, TierCap};
use inscribe::engine::{Device, EngineError};
use inscribe::model::error::ModelError;
use inscribe::model::sample::argmax;
use inscribe::model::session::{Session, SessionOptions};
use inscribe::model::transformer::Transformer;
use inscribe::model::weights::WeightFile;

/// Logits reach 16 here; f32 sums in another order differ by a few 1e-5.
const TOLERANCE: f32 = 2e-4;
/// Lengths of the pieces the sequence is read in: one token, odd ones, one longer than a window.
const PIECES: [usize; 4] = [1, 7, 19, 13];

#[test]
fn loading_ends_where_its_progress_says_so() {
    let file = WeightFile::open(&tiny("llama")).expect("a model");
    let config = file.config().expect("a config");
    let mut heard = 0;
    let ended = Transformer::load(cpu(), &file, config, &mut |_| {
        heard += 1;
        if heard < 3 {
            Ok(())
        } else {
            Err(EngineError::Cancelled)
        }
    });
    assert!(matches!(
        ended,
        Err(ModelError::Engine(EngineError::Cancelled))
    ));
    assert_eq!(heard, 3);
}

fn session(device: &Device, model: &Transformer) -> Session {
    Session::new(device, model, 64, SessionOptions::default()).expect("memory")
}

fn assert_logits(what: &str, found: &[f32], expected: &[f32]) {
    assert_eq!(found.len(), expected.len(), "{what}");
    let off = |(a, b): (&f32, &f32)| (a - b).abs();
    // NaN is not within the tolerance: hence not `off > TOLERANCE`.
    let wrong = found
        .iter()
        .zip(expected)
        .position(|pair| off(pair).is_nan() || off(pair) > TOLERANCE);
    if let Some(i) = wrong {
        panic!("{what}: logit {i} is {} and not {}", found[i], expected[i]);
    }
}

fn assert_logprobs(what: &str, found: impl Iterator<Item = f64>, expected: &[f64]) {
    let found: Vec<f64> = found.collect();
    assert_eq!(found.len(), expected.len(), "{what}");
    for (i, (a, b)) in found.iter().zip(expected).enumerate() {
        let near = (a - b).abs() <= f64::from(TOLERANCE);
        assert!(near, "{what}: score {i} is {a} and not {b}");
    }
}

/// Every token's logits, read one token at a time.
fn check_single_tokens(device: &Device, name: &str) {
    let golden = Golden::load(name);
    let model = load(device, name);
    let mut session = session(device, &model);
    for (i, &token) in golden.ids.iter().enumerate() {
        let found = session.prefill(&[token], &mut |_, _| {}).expect("logits");
        assert_logits(&format!("{name}, token {i}"), &found, golden.logits(i));
    }
}

/// The last logits of pieces of several lengths, then the continuation one token at a time.
fn check_pieces_and_greedy(device: &Device, name: &str) {
    let golden = Golden::load(name);
    let model = load(device, name);
    let mut session = session(device, &model);
    let mut logits = Vec::new();
    let mut end = 0;
    for len in PIECES {
        let piece = &golden.ids[end..end + len];
        end += len;
        logits = session.prefill(piece, &mut |_, _| {}).expect("logits");
        let what = format!("{name}, {len} tokens up to {end}");
        assert_logits(&what, &logits, golden.logits(end - 1));
    }
    assert_eq!(end, golden.ids.len());
    let mut greedy = Vec::new();
    while greedy.len() < golden.greedy.len() {
        let (id, _) = argmax(&logits).expect("numbers");
        greedy.push(id);
        logits = session.prefill(&[id], &mut |_, _| {}).expect("logits");
    }
    assert_eq!(greedy, golden.greedy, "{name}");
}

/// Scores of the whole sequence, and given only a local context.
fn check_scores(device: &Device, name: &str) {
    let golden = Golden::load(name);
    let model = load(device, name);
    let mut session = session(device, &model);
    let full = session
        .score(&golden.ids, &mut |_, _| {})
        .expect("scores of the whole");
    assert_logprobs(name, full.iter().map(|s| s.logprob), &golden.logprobs);
    for (i, score) in full.iter().enumerate() {
        let (top, largest) = argmax(golden.logits(i)).expect("numbers");
        let chosen = golden.logits(i)[score.top as usize];
        assert!(
            largest - chosen <= 2.0 * TOLERANCE,
            "{name}, score {i}: {top} is likelier than {}",
            score.top
        );
    }
    session.truncate(0);
    let local = session
        .score_local(&golden.ids, 0, golden.window, &mut |_, _| {})
        .expect("local scores");
    let what = format!("{name}, local");
    assert_logprobs(
        &what,
        local.iter().map(|s| s.logprob),
        &golden.local_logprobs,
    );
}

fn of_every_model(check: fn(&Device, &str)) -> impl Fn(&Device) {
    move |device| MODELS.iter().for_each(|name| check(device, name))
}

#[test]
fn single_tokens_on_the_cpu() {
    of_every_model(check_single_tokens)(cpu());
}

on_every_device! {
    pieces_and_greedy_text: of_every_model(check_pieces_and_greedy);
    scores: of_every_model(check_scores);
}

/// As where a binding is too small for a weight, or for all heads of a layer's keys.
#[test]
fn parts_give_what_the_whole_gives() {
    let device = open(OpenOptions {
        cap: TierCap::Subgroups,
        max_binding_bytes: Some(2 << 10),
        ..OpenOptions::default()
    });
    let mut parts = Vec::new();
    for name in MODELS {
        check_pieces_and_greedy(&device, name);
        let model = load(&device, name);
        let heads = model.config.kv_heads;
        parts.push((session(&device, &model).cache().parts(), heads));
    }
    assert!(
        parts.iter().all(|(parts, heads)| parts == heads),
        "{parts:?}"
    );
    assert!(parts.iter().any(|(parts, _)| *parts > 1), "{parts:?}");
}

/// A `config.json` says the same in the words of transformers 4 and of transformers 5.
#[test]
fn older_and_newer_config_files_mean_the_same() {
    for name in ["llama3", "qwen3", "gemma3"] {
        let folder = tempfile::tempdir().expect("a folder");
        for entry in std::fs::read_dir(tiny(name)).expect("a folder") {
            let entry = entry.expect("an entry");
            std::fs::copy(entry.path(), folder.path().join(entry.file_name())).expect("a copy");
        }
        let newer = folder.path().join("config.v5.json");
        std::fs::rename(newer, folder.path().join("config.json")).expect("a newer config");
        let config = |path| WeightFile::open(path).and_then(|file| file.config());
        assert_eq!(
            config(folder.path()).expect("the newer"),
            config(&tiny(name)).expect("the older"),
            "{name}"
        );
    }
}
