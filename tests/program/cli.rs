//! The command line as a newcomer uses it: right and wrong calls on a tiny model.

use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::common;

fn tiny(name: &str) -> String {
    common::tiny(name).display().to_string()
}

fn command(args: &[&str]) -> Command {
    let mut command = common::program(&["--device", "cpu", "--quiet"]);
    command.args(args);
    command
}

fn inscribe(args: &[&str]) -> Output {
    command(args).output().expect("the program starts")
}

/// The one line of a failure, which must name `what`.
fn fails(args: &[&str], what: &str) {
    let output = inscribe(args);
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{args:?}: {error}");
    let first = error.lines().next().unwrap_or_default();
    assert!(
        first.starts_with("error: ") && first.contains(what),
        "{args:?}: {error}"
    );
    assert!(
        error.lines().skip(1).all(|l| l.starts_with("hint: ")),
        "{args:?}: {error}"
    );
    assert!(
        output.stdout.is_empty(),
        "{args:?} printed results all the same"
    );
}

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Folder(tempfile::tempdir().expect("a temporary folder"))
    }

    fn file(&self, name: &str, bytes: &[u8]) -> String {
        let path: PathBuf = self.0.path().join(name);
        std::fs::write(&path, bytes).expect("room");
        path.display().to_string()
    }
}

#[test]
fn damaged_models_and_texts_are_named_in_one_line() {
    let folder = Folder::new();
    let text = folder.file("text.txt", b"a short text");
    let whole = std::fs::read(tiny("llama.gguf")).expect("the tiny model");
    let cases = [
        (
            "magic.gguf",
            b"nothing of the kind".to_vec(),
            "not a GGUF file",
        ),
        ("empty.gguf", Vec::new(), "empty.gguf"),
        ("header.gguf", whole[..200].to_vec(), "header.gguf"),
        ("short.gguf", whole[..whole.len() / 2].to_vec(), "truncated"),
    ];
    for (name, bytes, what) in cases {
        let model = folder.file(name, &bytes);
        fails(
            &["surprisal", "--model", &model, "--text-file", &text],
            what,
        );
    }
    let other = String::from_utf8_lossy(&whole).contains("general.architecture");
    assert!(other, "the tiny model names its architecture");
    let at = whole
        .windows(5)
        .position(|w| w == b"llama")
        .expect("its name");
    let mut unknown = whole.clone();
    unknown[at..at + 5].copy_from_slice(b"mamba");
    let model = folder.file("unknown.gguf", &unknown);
    fails(&["generate", "--model", &model, "--prompt", "hi"], "mamba");

    let mut broken = whole.clone();
    let end = broken.len();
    broken[end - 2560..]
        .as_chunks_mut::<4>()
        .0
        .fill(f32::NAN.to_le_bytes());
    let model = folder.file("broken.gguf", &broken);
    fails(
        &["surprisal", "--model", &model, "--text-file", &text],
        "not numbers",
    );

    let model = tiny("llama.gguf");
    let empty = folder.file("empty.txt", b"");
    fails(
        &["surprisal", "--model", &model, "--text-file", &empty],
        "empty",
    );
    let broken = folder.file(
        "broken.txt",
        b"\x83\x41\x81\xfe\x8d\x81\x90\xff\x8f\x82\x95",
    );
    fails(
        &["surprisal", "--model", &model, "--text-file", &broken],
        "not UTF-8",
    );
    let long = folder.file("long.txt", "word ".repeat(600).as_bytes());
    fails(
        &["surprisal", "--model", &model, "--text-file", &long],
        "context of 256",
    );
    fails(
        &["surprisal", "--model", &model, "--text-file", "nowhere.txt"],
        "nowhere.txt",
    );
    fails(
        &["generate", "--model", &model, "--prompt", ""],
        "prompt is empty",
    );
    fails(
        &["generate", "--model", &model, "--prompt-file", &long],
        "context is 256",
    );
    fails(
        &["generate", "--model", "smolm2", "--prompt", "hi"],
        "smolm2",
    );
    fails(
        &[
            "generate", "--model", &model, "--prompt", "hi", "--min-p", "2",
        ],
        "--min-p",
    );
}

#[test]
fn surprisal_prints_a_line_a_token() {
    let folder = Folder::new();
    let text = folder.file("text.txt", "The keeper wrote, then slept.\r\n".as_bytes());
    let call = |more: &[&str]| {
        let model = tiny("gemma3");
        let mut args = vec!["surprisal", "--model", &model, "--text-file", &text];
        args.extend(["--format", "jsonl"]);
        args.extend(more);
        let output = inscribe(&args);
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        let lines = String::from_utf8(output.stdout).expect("UTF-8");
        lines
            .lines()
            .map(|l| serde_json::from_str(l).expect("JSON"))
            .collect::<Vec<Value>>()
    };
    let lines = call(&["--top"]);
    assert_eq!(
        (&lines[0]["pos"], &lines[0]["id"]),
        (&0.into(), &2.into()),
        "the opening token"
    );
    assert!(lines[0]["logprob"].is_null() && lines[0]["top"].is_null());
    for (pos, line) in lines.iter().enumerate().skip(1) {
        assert_eq!(line["pos"], pos);
        assert!(line["logprob"].as_f64().expect("a number") < 0.0 && line["top"].is_u64());
    }
    let text: String = lines[1..]
        .iter()
        .filter_map(|l| l["text"].as_str())
        .collect();
    assert_eq!(text, "The keeper wrote, then slept.\r\n");
    let most = usize::MAX.to_string();
    assert_eq!(call(&["--top", "--max-tokens", &most]), lines);
    let bare = call(&["--bos", "off"]);
    assert_eq!(bare.len(), lines.len() - 1);
    assert!(bare[0]["logprob"].is_null() && bare[0].get("top").is_none());
    let local = call(&["--window", "2"]);
    assert_eq!(local.len(), lines.len());
    assert_ne!(local.last(), lines.last());
}

#[test]
fn generation_is_the_same_for_the_same_seed_and_stops_where_told() {
    let model = tiny("qwen3.gguf");
    let call = |more: &[&str]| -> Value {
        let mut args = vec![
            "generate",
            "--model",
            &model,
            "--prompt",
            "Who keeps the light?",
        ];
        args.extend(["--raw", "--json"]);
        args.extend(["--max-tokens", "8"]);
        args.extend(more);
        let output = inscribe(&args);
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        serde_json::from_slice(&output.stdout).expect("one JSON object")
    };
    let greedy = call(&[]);
    assert_eq!(greedy["tokens"], 8);
    assert_eq!(greedy["ended"], "max tokens");
    assert_eq!(greedy["ids"], call(&["--threads", "1"])["ids"]);
    let warm = ["--temperature", "1.5", "--seed", "3"];
    assert_eq!(call(&warm)["ids"], call(&warm)["ids"]);
    assert_ne!(
        call(&warm)["ids"],
        call(&["--temperature", "1.5", "--seed", "4"])["ids"]
    );
    let text = greedy["text"].as_str().expect("text");
    let stop: String = text.chars().skip(2).take(1).collect();
    let stopped = call(&["--stop", &stop]);
    assert_eq!(stopped["ended"], "stop text");
    assert!(!stopped["text"].as_str().expect("text").contains(&stop));
}

#[test]
fn a_reader_that_leaves_early_is_no_error() {
    let folder = Folder::new();
    let text = folder.file("text.txt", "tide ".repeat(50).as_bytes());
    let model = tiny("llama.gguf");
    for args in [
        vec!["surprisal", "--model", &model, "--text-file", &text],
        vec!["generate", "--model", &model, "--prompt", "tide", "--raw"],
        vec!["devices"],
    ] {
        let mut child = command(&args)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        drop(child.stdout.take());
        let output = child.wait_with_output().expect("it ends");
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success() && !error.contains("panicked"),
            "{args:?}: {error}"
        );
    }
}

#[test]
fn devices_are_listed_for_programs() {
    let output = inscribe(&["devices", "--json", "--variants"]);
    assert!(output.status.success());
    let value: Value = serde_json::from_slice(&output.stdout).expect("one JSON object");
    assert!(value["cpu"]["threads"].as_u64() >= Some(1));
    let gpus = value["gpus"].as_array().expect("a list");
    for gpu in gpus {
        assert!(
            gpu["variants"].as_array().is_some_and(|v| v.len() > 20),
            "{gpu}"
        );
    }
    let mut little = command(&["devices", "--json"]);
    let output = little.env("INSCRIBE_TIER", "portable").output();
    let output = output.expect("the program starts");
    let value: Value = serde_json::from_slice(&output.stdout).expect("one JSON object");
    let less = value["gpus"].as_array().expect("a list");
    assert_eq!(less.len(), gpus.len());
    for gpu in less {
        assert_eq!(gpu["tier"], "portable");
        assert_eq!(gpu["workgroup_bytes"], 16 << 10);
        assert!(gpu["subgroup_size"].is_null());
    }
}
