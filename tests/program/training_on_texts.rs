//! `inscribe train` on texts and beside a model that is there already.

use std::path::Path;
use std::process::Output;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::common;

/// A folder for runs, and texts to learn from.
struct Desk(tempfile::TempDir);

impl Desk {
    fn new() -> Desk {
        Desk(tempfile::tempdir().expect("a folder"))
    }

    fn place(&self, name: &str) -> String {
        self.0.path().join(name).display().to_string()
    }

    fn text(&self, name: &str, text: &str) -> String {
        let place = self.place(name);
        std::fs::write(&place, text).expect("room");
        place
    }
}

fn tiny() -> String {
    common::tiny("llama").display().to_string()
}

fn inscribe(args: &[&str]) -> Output {
    let mut command = common::program(&["--device", "cpu", "--threads", "2", "--quiet"]);
    command.args(args).output().expect("the program starts")
}

fn succeeds(args: &[&str]) -> String {
    let output = inscribe(args);
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{args:?}: {error}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn fails(args: &[&str]) -> String {
    let output = inscribe(args);
    assert!(!output.status.success(), "{args:?}");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn bytes(folder: &str, name: &str) -> Vec<u8> {
    std::fs::read(Path::new(folder).join(name)).expect(name)
}

fn events(folder: &str, name: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(Path::new(folder).join("events.jsonl")).expect("events");
    let all = text
        .lines()
        .map(|l| serde_json::from_str::<Value>(l).expect("JSON"));
    all.filter(|event| event["event"] == name).collect()
}

/// Starts a run and kills it once it has kept some of its steps.
fn kill(args: &[&str], folder: &str) {
    let mut command = common::program(&["--device", "cpu", "--threads", "2", "--quiet"]);
    let mut run = command.args(args).spawn().expect("the program starts");
    let (state, begun) = (Path::new(folder).join("model.safetensors"), Instant::now());
    while !state.exists() && begun.elapsed() < Duration::from_secs(60) {
        std::thread::sleep(Duration::from_millis(5));
    }
    run.kill().expect("a running program");
    run.wait().expect("its end");
}

#[test]
fn a_language_model_is_trained_killed_gone_on_with_and_generates() {
    let desk = Desk::new();
    let text = std::fs::read_to_string(common::golden("document.txt")).expect("a text");
    let data = desk.text("text.txt", &text);
    let (whole, killed) = (desk.place("whole"), desk.place("killed"));
    let args = |out: &str, more: &[&str]| -> Vec<String> {
        let model = tiny();
        let args = [
            "train",
            "model",
            "--data",
            &data,
            "--tokenizer",
            &model,
            "--steps",
            "60",
            "--layers",
            "1",
            "--hidden",
            "32",
            "--heads",
            "2",
            "--window",
            "24",
            "--batch",
            "4",
            "--accumulate",
            "2",
            "--checkpoint",
            "0",
            "--out",
            out,
        ];
        args.iter()
            .chain(more)
            .map(|arg| (*arg).to_owned())
            .collect()
    };
    let call = |out: &str, more: &[&str]| {
        let all = args(out, more);
        succeeds(&all.iter().map(String::as_str).collect::<Vec<_>>())
    };
    let said = call(&whole, &[]);
    assert!(said.contains("kept from training"), "{said}");
    let own = args(&killed, &[]);
    kill(&own.iter().map(String::as_str).collect::<Vec<_>>(), &killed);
    assert!(events(&killed, "step").len() < 60, "it was killed too late");
    succeeds(&["train", "model", "--resume", "--out", &killed]);
    assert!(bytes(&whole, "model.safetensors") == bytes(&killed, "model.safetensors"));
    assert!(!events(&killed, "resumed").is_empty());
    let steps = events(&killed, "step");
    let numbers = steps
        .iter()
        .map(|step| step["step"].as_u64().expect("a number"));
    assert_eq!(numbers.collect::<Vec<_>>(), (1..=60).collect::<Vec<u64>>());
    let generate = [
        "generate",
        "--model",
        &whole,
        "--raw",
        "--max-tokens",
        "5",
        "--prompt",
        "The",
        "--json",
    ];
    // So small a model may say nothing but spaces: its tokens are counted.
    let said: Value = serde_json::from_str(&succeeds(&generate)).expect("JSON");
    assert!(!said["ids"].as_array().expect("ids").is_empty(), "{said}");
    let again = fails(&["train", "gradmem", "--resume", "--out", &whole]);
    assert!(again.contains("of another kind"), "{again}");
}

#[test]
fn a_memory_is_trained_beside_a_model_on_stories() {
    let desk = Desk::new();
    let story = "1 Mary moved to the bathroom.\n2 Where is Mary? \tbathroom\t1\n\
                 3 Mary went to the park.\n4 Where is Mary? \tpark\t3\n";
    desk.text("qa1_x_train.txt", &story.repeat(4));
    desk.text("qa1_x_test.txt", story);
    let (model, out, data) = (tiny(), desk.place("run"), desk.place(""));
    let base = [
        "train", "gradmem", "--base", &model, "--lora", "4", "--out", &out,
    ];
    let few = [
        "--batch",
        "2",
        "--steps",
        "2",
        "--memory",
        "2",
        "--queries",
        "1",
    ];
    let babi = ["--task", "babi", "--data", &data];
    let call = |more: &[&'static str]| [&base[..], &few, &babi, more].concat();
    let none = fails(&call(&["--level", "2"]));
    assert!(none.contains("has qa1"), "{none}");
    let said = succeeds(&call(&[]));
    assert!(said.contains("no memory") && said.contains("qa1"), "{said}");
    let tested = &events(&out, "tested")[0];
    assert!(tested["no_memory"]["exact"].is_number() && tested["whole_context"].is_object());
    let text = String::from_utf8(bytes(&out, "gradmem.json")).expect("text");
    let described: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(described["model"]["name"], "llama");
    assert_eq!(
        described["model"]["fingerprint"].as_str().map(str::len),
        Some(64)
    );
    for name in [
        "adapter_config.json",
        "adapter_model.safetensors",
        "gradmem.safetensors",
    ] {
        assert!(!bytes(&out, name).is_empty());
    }
    // The same call goes on; with stories that were changed it does not.
    succeeds(&[
        "train", "gradmem", "--out", &out, "--resume", "--steps", "3",
    ]);
    desk.text("qa1_x_test.txt", &story.replace("park", "hall"));
    let changed = fails(&[
        "train", "gradmem", "--out", &out, "--resume", "--steps", "4",
    ]);
    assert!(changed.contains("put it back"), "{changed}");
    let alone = [
        "train",
        "gradmem",
        "--task",
        "text",
        "--out",
        &desk.place("alone"),
    ];
    assert!(fails(&alone).contains("--base"));
    let nowhere = desk.place("nowhere");
    let missing = [&base[..7], &[&nowhere[..], "--task", "text"]].concat();
    let missing = fails(&missing);
    assert!(missing.contains("data: is needed"), "{missing}");
    assert!(!Path::new(&nowhere).exists());
}
