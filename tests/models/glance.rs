//! Glances at blocks without distant context against transformers, which reads the text again with
//! an attention of its own (`tests/oracle/glance_goldens.py`).

use super::golden::{Golden, MODELS};
use super::{assert_logprobs, cpu, gpu, gpu_with, load};
use inscribe::engine::{Arena, Device};
use inscribe::model::glance::{Glances, Traces};
use inscribe::model::session::{Session, SessionOptions};
use serde_json::Value;

const GOLDEN: &str = include_str!("../golden/glance.json");

fn check(device: &Device, name: &str) {
    let golden: Value = serde_json::from_str(GOLDEN).expect("JSON");
    let number = |key: &str| golden[key].as_u64().expect("a number") as usize;
    let (lead, window) = (number("lead"), number("window"));
    let stem = name.strip_suffix(".gguf").unwrap_or(name);
    let expected = golden["changes"][stem].as_array().expect("changes");
    let expected: Vec<f64> = expected.iter().filter_map(Value::as_f64).collect();

    let Golden { ids, logprobs, .. } = Golden::load(name);
    let model = load(device, name);
    let options = SessionOptions::default();
    let traces = Traces::new(device, &model, &ids).expect("traces");
    let traces = traces.expect("a device that binds them");
    let mut session = Session::new(device, &model, ids.len(), options).expect("memory");
    session.trace(traces.clone());
    let scores = session.score(&ids, &mut |_, _| {}).expect("scores");
    let traced = scores.iter().map(|score| score.logprob);
    assert_logprobs(&format!("{name}, traced"), traced, &logprobs);
    let near = Session::new(device, &model, lead + 2 * window, options).expect("memory");
    let mut glances = Glances {
        device,
        model: &model,
        traces: &traces,
        whole: session.cache(),
        near: near.cache(),
        arena: Arena::new(),
        options: options.run(),
    };
    let body = ids.len() - lead;
    let mut found = Vec::new();
    for start in (window..body).step_by(window) {
        let block = start..body.min(start + window);
        found.extend(glances.at(lead, window, block).expect("a glance"));
    }
    let largest = expected.iter().fold(0.0f64, |most, c| most.max(c.abs()));
    assert!(largest > 1.0, "{name}: what is near says it all");
    // The first of these blocks has nothing distant before it.
    assert_logprobs(
        &format!("{name}, all near"),
        found[..window].iter().copied(),
        &[0.0; 6],
    );
    assert_logprobs(name, found.into_iter(), &expected);
    let too_early = glances.at(lead, window, 0..window).expect("nothing");
    assert!(too_early.is_empty(), "{name}");
}

#[test]
fn glances_on_the_cpu() {
    MODELS
        .iter()
        .filter(|name| **name != "llama-mixed.gguf")
        .for_each(|name| check(&cpu(), name));
}

#[test]
fn glances_on_the_gpu() {
    let device = gpu();
    MODELS
        .iter()
        .filter(|name| **name != "llama-mixed.gguf")
        .for_each(|name| check(&device, name));
}

/// Keys and values may lie in several parts; traces do not, and are left out where they would have to.
#[test]
fn traces_larger_than_a_binding_are_left_out() {
    let device = gpu_with(Some(2 << 10));
    let model = load(&device, "llama");
    let long = vec![1; 200];
    let traces = Traces::new(&device, &model, &long).expect("no trouble");
    assert!(traces.is_none());
}
