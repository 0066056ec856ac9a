//! The default model against transformers on both executors. Fetches the model where the cache
//! does not hold it yet.

use inscribe::engine::gpu::TierCap;
use inscribe::engine::{CancelToken, Device, EngineError};
use inscribe::model::ModelError;
use inscribe::model::session::{Score, Session, SessionOptions};
use inscribe::model::transformer::Transformer;
use serde_json::Value;

use crate::common::{gpu, load_at, smollm2};

/// What transformers says of the first tokens of a text; see `tests/oracle`.
struct Golden {
    ids: Vec<u32>,
    /// Of each token but the first.
    logprobs: Vec<f64>,
    top: Vec<u32>,
    margin: Vec<f64>,
}

fn golden() -> Golden {
    let text = include_str!("../golden/smollm2-256.json");
    let value: Value = serde_json::from_str(text).expect("JSON");
    let numbers = |key: &str| -> Vec<f64> {
        value[key]
            .as_array()
            .expect("a list")
            .iter()
            .filter_map(Value::as_f64)
            .collect()
    };
    let ids = |key: &str| numbers(key).into_iter().map(|v| v as u32).collect();
    Golden {
        ids: ids("ids"),
        logprobs: numbers("logprobs"),
        top: ids("top"),
        margin: numbers("margin"),
    }
}

fn load(device: &Device) -> Transformer {
    load_at(device, smollm2())
}

fn assert_scores(scores: &[Score], golden: &Golden, tolerance: f64) {
    for (i, score) in scores.iter().enumerate() {
        let off = (score.logprob - golden.logprobs[i]).abs();
        assert!(
            off < tolerance,
            "token {}: {} is off by {off}",
            i + 1,
            score.logprob
        );
        if golden.margin[i] > 1e-2 {
            assert_eq!(score.top, golden.top[i], "the most likely token {}", i + 1);
        }
    }
}

#[test]
fn log_probabilities_agree_on_the_cpu() {
    let (device, golden) = (Device::cpu(0), golden());
    let model = load(&device);
    let mut session =
        Session::new(&device, &model, 256, SessionOptions::default()).expect("memory");
    let scores = session.score(&golden.ids, &mut |_, _| {}).expect("scores");
    assert_eq!(scores.len(), 255);
    assert_scores(&scores, &golden, 2e-3);
}

#[test]
fn log_probabilities_agree_on_a_gpu() {
    let device = gpu(TierCap::Full);
    let model = load(device);
    let mut session = Session::new(device, &model, 64, SessionOptions::default()).expect("memory");
    let golden = golden();
    let scores = session
        .score(&golden.ids[..64], &mut |_, _| {})
        .expect("scores");
    assert_eq!(scores.len(), 63);
    assert_scores(&scores, &golden, 5e-3);
}

#[test]
fn a_window_as_long_as_the_text_changes_nothing_and_a_short_one_does() {
    let (device, golden) = (Device::cpu(0), golden());
    let model = load(&device);
    let ids = &golden.ids[..96];
    let mut session = Session::new(&device, &model, 96, SessionOptions::default()).expect("memory");
    let wide = session
        .score_local(ids, 0, 96, &mut |_, _| {})
        .expect("scores");
    assert_eq!(wide.len(), 95);
    assert_scores(&wide, &golden, 2e-3);
    let local = session
        .score_local(ids, 0, 16, &mut |_, _| {})
        .expect("scores");
    assert_eq!(local.len(), 95);
    // Tokens of the first two blocks still see everything before them.
    assert_scores(&local[..31], &golden, 2e-3);
    let off = |i: usize| (local[i].logprob - golden.logprobs[i]).abs();
    assert!(
        (32..95).map(off).fold(0.0, f64::max) > 0.1,
        "later tokens miss their context"
    );
    // Token 50 lies in the block from 48 on, which is read after the block from 32 on.
    let mut alone = Session::new(&device, &model, 32, SessionOptions::default()).expect("memory");
    let direct = alone.score(&ids[32..64], &mut |_, _| {}).expect("scores");
    for i in 48..64 {
        assert!(
            (direct[i - 33].logprob - local[i - 1].logprob).abs() < 1e-3,
            "token {i}"
        );
    }
}

#[test]
fn what_does_not_fit_and_what_is_cancelled_say_so() {
    let device = Device::cpu(0);
    let model = load(&device);
    let too_long = Session::new(&device, &model, 8193, SessionOptions::default()).err();
    assert!(matches!(
        too_long,
        Some(ModelError::ContextExceeded {
            tokens: 8193,
            context: 8192
        })
    ));
    let cancel = CancelToken::new();
    let options = SessionOptions {
        cancel: Some(cancel.clone()),
        profile: None,
    };
    let mut session = Session::new(&device, &model, 600, options).expect("memory");
    let tokens = vec![5; 600];
    let stopped = session.score(&tokens, &mut |done, _| {
        assert!(done < 600, "it went on after the cancel");
        cancel.cancel();
    });
    assert!(matches!(
        stopped,
        Err(ModelError::Engine(EngineError::Cancelled))
    ));
    let unknown = Session::new(&device, &model, 8, SessionOptions::default())
        .expect("memory")
        .prefill(&[50_000], &mut |_, _| {});
    assert!(matches!(
        unknown,
        Err(ModelError::TokenOutOfRange { id: 50_000, .. })
    ));
}
