//! Glances at blocks without distant context against transformers, which reads the text again with
//! an attention of its own (`tests/oracle/glance_goldens.py`).

use super::golden::{Golden, MODELS};
use super::{TOLERANCE, assert_logprobs, cpu, gpu, gpu_with, load};
use inscribe::engine::Device;
use inscribe::kernels::matmul::rough_cost;
use inscribe::model::glance::{Glances, Nearby, Traces};
use inscribe::model::session::{Session, SessionOptions};
use inscribe::model::transformer::Transformer;
use serde_json::Value;

const GOLDEN: &str = include_str!("../golden/glance.json");

fn check(device: &Device, name: &str) {
    let golden: Value = serde_json::from_str(GOLDEN).expect("JSON");
    let number = |key: &str| golden[key].as_u64().expect("a number") as usize;
    let (lead, window) = (number("lead"), number("window"));
    let nearby = Nearby { lead, window };
    let stem = name.strip_suffix(".gguf").unwrap_or(name);
    let changes = &golden["changes"][stem];
    let model = load(device, name);
    let layers = model.config.layers;
    let ids = Golden::load(name).ids;
    // With most of a local pass's cost to spend, and with little.
    for (part, key, layer) in [
        (0.99, "third", layers / 3),
        (0.05, "sevenths", layers * 4 / 7),
    ] {
        let expected = changes[key].as_array().expect("changes");
        let expected: Vec<f64> = expected.iter().filter_map(Value::as_f64).collect();
        // Of a text long enough that the one block that is read anew costs little.
        let first = |blocks, part| nearby.first_layer((device, &model), &ids, blocks, part);
        assert_eq!(first(1000, part), layer);
        assert_eq!(first(1, 0.25), layers * 4 / 7);
        check_from(device, (name, &model), nearby, layer, &expected);
    }
    let [roughly, exactly] = readings(device, &model, &ids, nearby);
    check_rough(name, &roughly, &exactly);
}

/// What a text's tokens get where nothing distant is seen, roughly and exactly.
fn readings(
    device: &Device,
    model: &Transformer,
    ids: &[u32],
    Nearby { lead, window }: Nearby,
) -> [Vec<f64>; 2] {
    let (open, body) = ids.split_at(lead);
    [true, false].map(|rough| {
        let options = SessionOptions::default();
        let session = Session::new(device, model, lead + 2 * window, options).expect("memory");
        let mut session = if rough { session.roughly() } else { session };
        let scores = session.score_local_block(open, body, window, window);
        let scores = scores.expect("scores");
        scores.iter().map(|score| score.logprob).collect()
    })
}

fn check_from(
    device: &Device,
    (name, model): (&str, &Transformer),
    nearby: Nearby,
    layer: usize,
    expected: &[f64],
) {
    let Nearby { lead, window } = nearby;
    let Golden { ids, logprobs, .. } = Golden::load(name);
    let name = format!("{name} from layer {layer}");
    let options = SessionOptions::default();
    let traces = Traces::new(device, model, &ids, layer).expect("traces");
    let traces = traces.expect("a device that binds them");
    let mut session = Session::new(device, model, ids.len(), options).expect("memory");
    session.trace(traces.clone());
    let scores = session.score(&ids, &mut |_, _| {}).expect("scores");
    let traced = scores.iter().map(|score| score.logprob);
    assert_logprobs(&format!("{name}, traced"), traced, &logprobs);
    let (of_model, read) = ((device, model), (&traces, session.cache()));
    let body = ids.len() - lead;
    let starts = (window..body).step_by(window);
    let blocks: Vec<_> = starts.map(|at| at..body.min(at + window)).collect();
    let glances = Glances::new(of_model, read, (nearby, blocks.len()), options.run());
    let mut glances = glances.expect("memory").expect("keys in as many parts");
    assert_eq!(glances.together(), blocks.len(), "{name}");
    let roughly = glances.at(&blocks).expect("glances");
    let mut glances = glances.exactly();
    let found = glances.at(&blocks).expect("glances");
    check_rough(&name, &roughly, &found);
    let largest = expected.iter().fold(0.0f64, |most, c| most.max(c.abs()));
    assert!(largest > 1.0, "{name}: what is near says it all");
    // The first of these blocks has nothing distant before it.
    assert_logprobs(
        &format!("{name}, all near"),
        found[..window].iter().copied(),
        &[0.0; 6],
    );
    assert_eq!(found.len(), expected.len(), "{name}");
    for (i, (a, b)) in found.iter().zip(expected).enumerate() {
        // Relative where changes are large: the goldens are of single precision, too.
        let near = (a - b).abs() <= f64::from(TOLERANCE) * b.abs().max(1.0);
        assert!(near, "{name}: change {i} is {a} and not {b}");
    }
    // Blocks do not see each other, in whatever order and company they come.
    for some in [&blocks[1..2], &[blocks[2].clone(), blocks[0].clone()]] {
        let again = glances.at(some).expect("glances").into_iter();
        let of_all = some.iter().cloned().flatten().map(|token| token - window);
        let before: Vec<f64> = of_all.map(|token| found[token]).collect();
        assert_logprobs(&format!("{name}, {some:?}"), again, &before);
    }
    let too_early = glances.at(&[0..window, blocks[0].clone()]);
    assert!(too_early.expect("nothing").is_empty(), "{name}");
}

/// Factors of 8 bits of mantissa move no change by much, and all of them by little.
fn check_rough(name: &str, roughly: &[f64], exactly: &[f64]) {
    let apart = |(rough, exact): (&f64, &f64)| (rough - exact).abs();
    let pairs = || roughly.iter().zip(exactly);
    let size: f64 = exactly.iter().map(|change| change.abs()).sum();
    let moved: f64 = pairs().map(apart).sum();
    let most = pairs().map(apart).fold(0.0, f64::max);
    assert_eq!(roughly.len(), exactly.len(), "{name}");
    assert!(
        moved < 0.05 * size && most < 0.5,
        "{name}: {moved} of {size}, {most} at most"
    );
}

#[test]
fn glances_on_the_cpu() {
    MODELS
        .iter()
        .filter(|name| **name != "llama-mixed.gguf")
        .for_each(|name| check(&cpu(), name));
}

/// Quantised weights and 26 rows are what every kind of rough product takes.
#[test]
fn rough_readings_round_where_that_is_faster() {
    let device = cpu();
    let name = "llama-mixed.gguf";
    let model = load(&device, name);
    let nearby = Nearby {
        lead: 2,
        window: 12,
    };
    let [roughly, exactly] = readings(&device, &model, &Golden::load(name).ids, nearby);
    assert_eq!(roughly != exactly, rough_cost(&device) < 1.0);
    check_rough(name, &roughly, &exactly);
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
    let traces = Traces::new(&device, &model, &long, 1).expect("no trouble");
    assert!(traces.is_none());
}
