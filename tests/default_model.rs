//! The default model against transformers on both executors. Fetches the model where the cache
//! does not hold it yet.

use std::io::Write;
use std::process::Command;
use std::sync::atomic::AtomicBool;

use inscribe::engine::cpu::CpuDevice;
use inscribe::engine::gpu::{Choice, OpenOptions};
use inscribe::engine::{CancelToken, Device, EngineError};
use inscribe::model::ModelError;
use inscribe::model::hub::{PullEvent, Puller, Watch, default_model};
use inscribe::model::session::{Score, Session, SessionOptions};
use inscribe::model::transformer::Transformer;
use inscribe::model::weights::WeightFile;
use serde_json::Value;

/// What transformers says of the first tokens of a text; see `tests/oracle`.
struct Golden {
    ids: Vec<u32>,
    /// Of each token but the first.
    logprobs: Vec<f64>,
    top: Vec<u32>,
    margin: Vec<f64>,
}

fn golden() -> Golden {
    let text = include_str!("golden/smollm2-256.json");
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

fn open() -> WeightFile {
    let never = AtomicBool::new(false);
    let mut silent = |_: &PullEvent<'_>| {};
    let puller = Puller::from_env().expect("a cache folder");
    let path = puller.known(default_model(), &mut Watch::new(&never, &mut silent));
    WeightFile::open(&path.expect("the default model, from the cache or the network"))
        .expect("a model")
}

fn load(device: &Device) -> Transformer {
    let file = open();
    let config = file.config().expect("a config");
    Transformer::load(device, &file, config, &mut |_| Ok(())).expect("weights")
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
    let (device, golden) = (Device::Cpu(CpuDevice::new(0)), golden());
    let model = load(&device);
    let mut session =
        Session::new(&device, &model, 256, SessionOptions::default()).expect("memory");
    let scores = session.score(&golden.ids, &mut |_, _| {}).expect("scores");
    assert_eq!(scores.len(), 255);
    assert_scores(&scores, &golden, 2e-3);
}

#[test]
fn log_probabilities_agree_on_a_gpu() {
    let choice = match std::env::var("INSCRIBE_TEST_ADAPTER") {
        Ok(name) => name
            .parse()
            .map_or_else(|_| Choice::Name(name.clone()), Choice::Index),
        Err(_) => Choice::Index(0),
    };
    let options = OpenOptions {
        choice,
        ..OpenOptions::default()
    };
    let device = Device::open_gpu(&options).expect("an adapter, if only llvmpipe");
    let model = load(&device);
    let mut session = Session::new(&device, &model, 64, SessionOptions::default()).expect("memory");
    let golden = golden();
    let scores = session
        .score(&golden.ids[..64], &mut |_, _| {})
        .expect("scores");
    assert_eq!(scores.len(), 63);
    assert_scores(&scores, &golden, 5e-3);
}

#[test]
fn a_window_as_long_as_the_text_changes_nothing_and_a_short_one_does() {
    let (device, golden) = (Device::Cpu(CpuDevice::new(0)), golden());
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
    let device = Device::Cpu(CpuDevice::new(0));
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
        cancel: Some(&cancel),
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

/// At a quarter of the local pass's cost, the chunks of the sample's beginning rank as with all of it.
#[test]
fn a_sampled_utility_ranks_chunks_as_the_whole_does() {
    drop(open());
    let whole = utilities("1");
    let sampled = utilities("0.25");
    assert_eq!((whole.len(), sampled.len()), (13, 13));
    assert_ne!(whole, sampled);
    let off = whole.iter().zip(&sampled).map(|(a, b)| (a - b).abs());
    let (off, sum) = (off.sum::<f64>(), whole.iter().sum::<f64>());
    assert!(off < 0.25 * sum, "{whole:?} {sampled:?}");
    let found = rank_correlation(&whole, &sampled);
    assert!(found > 0.9, "{found}: {whole:?} {sampled:?}");
}

/// Of each chunk of 256 tokens of the sample's beginning: all of it would take twice as long.
fn utilities(part: &str) -> Vec<f64> {
    let sample = include_str!("../assets/sample.md");
    let mut begun = tempfile::NamedTempFile::with_suffix(".md").expect("a file");
    let beginning = &sample.as_bytes()[..12_000];
    begun.write_all(beginning).expect("room");
    let args = ["--device", "cpu", "--chunk", "256", "--format", "jsonl"];
    let out = Command::new(env!("CARGO_BIN_EXE_inscribe"))
        .arg("utility")
        .arg(begun.path())
        .args(args)
        .args(["--utility-sample", part])
        .output()
        .expect("the program");
    let errors = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "{errors}");
    let lines = String::from_utf8(out.stdout).expect("text");
    let utility =
        |line: &str| serde_json::from_str::<Value>(line).expect("JSON")["utility"].as_f64();
    lines.lines().filter_map(utility).collect()
}

/// Spearman's, of values no two of which are alike.
fn rank_correlation(a: &[f64], b: &[f64]) -> f64 {
    let rank = |values: &[f64], of: f64| values.iter().filter(|v| **v < of).count() as f64;
    let squares = a
        .iter()
        .zip(b)
        .map(|(x, y)| (rank(a, *x) - rank(b, *y)).powi(2));
    let n = a.len() as f64;
    1.0 - 6.0 * squares.sum::<f64>() / (n * (n * n - 1.0))
}
