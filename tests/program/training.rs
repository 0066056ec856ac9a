//! `inscribe train`: what it leaves, and that a stop at any moment harms nothing.

use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::{Duration, Instant};

use inscribe::train::event::Event;

use crate::common::program;

/// A net small enough for a test. Every step is a checkpoint.
const SMALL: &str = "--layers 1 --hidden 16 --heads 2 --memory 2 --curriculum 2 --batch 2 \
                     --queries 2 --lr 1e-2 --warmup 4 --checkpoint 0 --device cpu --threads 1";

/// A call; what `more` says stands in place of what [`SMALL`] does.
fn arguments<'a>(kind: &'a str, out: &'a str, more: &'a str) -> Vec<&'a str> {
    let small: Vec<&str> = SMALL.split_whitespace().collect();
    let kept = small
        .chunks(2)
        .filter(|pair| !more.contains(pair[0]))
        .flatten()
        .copied();
    let own = ["train", kind, "--out", out].into_iter();
    own.chain(kept).chain(more.split_whitespace()).collect()
}

fn run(kind: &str, out: &Path, more: &str) -> Output {
    let out = out.display().to_string();
    program(&arguments(kind, &out, more))
        .output()
        .expect("the program starts")
}

fn trains(kind: &str, out: &Path, more: &str) -> String {
    let output = run(kind, out, more);
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{error}");
    String::from_utf8(output.stdout).expect("UTF-8")
}

fn events(folder: &Path) -> Vec<Event> {
    let text = std::fs::read_to_string(folder.join("events.jsonl")).expect("events");
    text.lines()
        .map(|line| serde_json::from_str(line).expect("an event"))
        .collect()
}

fn steps(events: &[Event]) -> Vec<u64> {
    let step = |event: &Event| match event {
        Event::Step(step) => Some(step.step),
        _ => None,
    };
    events.iter().filter_map(step).collect()
}

fn kill_after_some_steps(kind: &str, out: &Path, more: &str) {
    let name = out.display().to_string();
    let mut command = program(&arguments(kind, &name, more));
    let quiet = command.stdout(Stdio::null()).stderr(Stdio::null());
    let mut running = quiet.spawn().expect("the program starts");
    let told = || std::fs::read_to_string(out.join("events.jsonl")).unwrap_or_default();
    let (mut length, mut heard) = (0, Instant::now());
    while told().matches("\"checkpointed\"").count() < 4 {
        if told().len() != length {
            (length, heard) = (told().len(), Instant::now());
        }
        assert!(heard.elapsed() < Duration::from_secs(300), "it hangs");
        std::thread::sleep(Duration::from_millis(1));
    }
    running.kill().expect("a running program");
    running.wait().expect("an ended program");
}

fn same_model(one: &Path, other: &Path) -> bool {
    bytes(one, "model.safetensors") == bytes(other, "model.safetensors")
}

fn bytes(folder: &Path, name: &str) -> Vec<u8> {
    std::fs::read(folder.join(name)).expect(name)
}

#[test]
fn a_run_that_was_killed_ends_in_the_same_model() {
    let desk = tempfile::tempdir().expect("a temporary folder");
    let (whole, killed) = (desk.path().join("whole"), desk.path().join("killed"));
    for kind in ["gradmem", "rmt"] {
        let [whole, killed] = [&whole, &killed].map(|folder| folder.with_extension(kind));
        let table = trains(kind, &whole, "--steps 300");
        assert!(
            table.contains("K=10") && table.contains("as trained"),
            "{table}"
        );
        kill_after_some_steps(kind, &killed, "--steps 300");
        let unfinished = steps(&events(&killed)).len();
        assert!(
            (1..300).contains(&unfinished),
            "{unfinished} steps before the end"
        );
        trains(kind, &killed, "--steps 300 --resume");
        assert!(same_model(&whole, &killed), "{kind}");
        assert_eq!(steps(&events(&killed)), (1..=300).collect::<Vec<u64>>());
    }
}

#[test]
fn going_on_takes_the_run_s_own_settings_and_may_be_longer() {
    let desk = tempfile::tempdir().expect("a temporary folder");
    let [short, long] = ["short", "long"].map(|name| desk.path().join(name));
    trains("gradmem", &short, "--steps 5");
    let name = short.display().to_string();
    let call = [
        "train",
        "gradmem",
        "--out",
        &name,
        "--resume",
        "--steps",
        "9",
        "--device",
        "cpu",
        "--threads",
        "1",
    ];
    let output = program(&call).output().expect("the program starts");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    trains("gradmem", &long, "--steps 9");
    assert!(same_model(&short, &long));
}

#[test]
fn what_cannot_be_trained_is_refused_with_the_reason() {
    let desk = tempfile::tempdir().expect("a temporary folder");
    let out = desk.path().join("out");
    let refused = |more: &str, code: i32, part: &str| {
        let output = run("gradmem", &out, more);
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{more}: {error}");
        assert!(error.contains(part), "{more}: {error}");
    };
    refused("--heads 3 --steps 1", 1, "hidden");
    refused("--curriculum 9999 --steps 1", 1, "pairs");
    refused("--alpha nan --steps 1", 1, "alpha");
    refused("--resume", 1, "no run was stopped here");
    refused("--curriculum 4:x", 2, "whole number");
    assert!(!out.exists(), "nothing is made for a refused call");
    trains("gradmem", &out, "--steps 2");
    refused("--steps 2", 1, "--resume");
    let state = out.join("training.safetensors");
    let whole = std::fs::read(&state).expect("a state");
    for (damaged, part) in [
        (&whole[..whole.len() / 2], "damaged"),
        (&b"hello"[..], "damaged"),
    ] {
        std::fs::write(&state, damaged).expect("room");
        refused("--resume --steps 4", 1, part);
    }
}

#[test]
fn events_are_kept_in_a_second_file_too() {
    let desk = tempfile::tempdir().expect("a temporary folder");
    let (out, copy) = (desk.path().join("out"), desk.path().join("copy.jsonl"));
    trains(
        "gradmem",
        &out,
        &format!("--steps 3 --events {}", copy.display()),
    );
    assert_eq!(
        bytes(&out, "events.jsonl"),
        std::fs::read(copy).expect("the copy")
    );
    let told = events(&out);
    assert!(matches!(told.first(), Some(Event::Started { .. })));
    assert!(matches!(told.last(), Some(Event::Done { step: 3, .. })));
}

#[test]
fn a_run_ends_at_its_goal() {
    let desk = tempfile::tempdir().expect("a temporary folder");
    let out = desk.path().join("out");
    trains("gradmem", &out, "--goal 0");
    let told = events(&out);
    assert!(matches!(told.last(), Some(Event::Done { step: 1, .. })));
}

/// The kept model is one that `write` and `generate` open.
#[test]
fn a_trained_model_is_written_to_like_any_other() {
    let desk = tempfile::tempdir().expect("a temporary folder");
    let out = desk.path().join("model");
    trains("gradmem", &out, "--steps 2");
    let (text, memory) = (
        desk.path().join("pairs.txt"),
        desk.path().join("pairs.memory"),
    );
    std::fs::write(&text, "!ab:X7!!cd:Y8!|").expect("room");
    let call = |args: &[&str]| {
        let output = program(args).output().expect("the program starts");
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{args:?}: {error}");
    };
    let path = |path: &PathBuf| path.display().to_string();
    let (model, text, memory) = (path(&out), path(&text), path(&memory));
    let written = [
        "write", &text, "--out", &memory, "--model", &model, "--method", "gradmem", "--device",
        "cpu",
    ];
    call(&written);
    call(&["info", &memory]);
    call(&[
        "generate",
        "--model",
        &model,
        "--device",
        "cpu",
        "--max-tokens",
        "3",
        "--raw",
        "--prompt",
        "?!ab:",
    ]);
}

/// The experiments that are told of are those that can be run, and a result is one JSON object.
#[test]
fn experiments_are_listed_and_done_again() {
    let call = |args: &[&str]| {
        let args = [&["reproduce"], args].concat();
        let output = program(&args).output().expect("the program starts");
        let text = String::from_utf8(output.stdout).expect("UTF-8");
        (
            output.status.code(),
            text,
            String::from_utf8_lossy(&output.stderr).into_owned(),
        )
    };
    let (code, list, _) = call(&[]);
    assert_eq!(code, Some(0));
    assert!(
        list.contains("kv-retrieval") && list.contains("gdwm-allocation"),
        "{list}"
    );
    let (code, _, error) = call(&["something-else"]);
    assert!(code == Some(1) && error.contains("kv-retrieval"), "{error}");
    let (_, text, error) = call(&[
        "kv-retrieval",
        "--samples",
        "4",
        "--json",
        "--device",
        "cpu",
    ]);
    let result: serde_json::Value = serde_json::from_str(&text).expect(&error);
    assert_eq!(result["name"], "kv-retrieval");
    let rows = result["rows"].as_array().expect("rows");
    let untaught = rows
        .iter()
        .find(|row| row["setting"].to_string().contains("K=0"));
    assert_eq!(
        untaught.expect("a row without a step")["holds"],
        true,
        "{text}"
    );
    assert!(
        rows.iter()
            .all(|row| row["value"].is_number() && row.get("published").is_some())
    );
}
