//! Writing and asking as a person does them, on a tiny model whose context of 256 tokens makes
//! most documents come in parts.

mod careful;
mod events_page;
mod footprint;
mod keeping;
mod on_a_gpu;
mod out_of_memory;
mod strangers;
mod telling;

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::common;

/// Enough for several parts.
const DOCUMENT: &str = include_str!("../../golden/document.txt");

fn tiny(name: &str) -> String {
    common::tiny(name).display().to_string()
}

/// Where the program runs.
struct Machine {
    /// As `--device` takes it.
    device: String,
    /// The most that a GPU uses of what it has, as `INSCRIBE_TIER` takes it.
    tier: &'static str,
}

impl Machine {
    fn cpu() -> Machine {
        Machine {
            device: "cpu".to_owned(),
            tier: "full",
        }
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = common::program(&["--device", &self.device, "--threads", "2"]);
        command.args(args).env("INSCRIBE_TIER", self.tier);
        command
    }

    fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().expect("the program starts")
    }

    /// The output of a call that must succeed.
    fn succeeds(&self, args: &[&str]) -> String {
        let output = self.run(args);
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{args:?}: {error}");
        String::from_utf8(output.stdout).expect("UTF-8")
    }

    /// What a call that must fail says.
    fn fails(&self, args: &[&str]) -> String {
        let output = self.run(args);
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{args:?}: {error}");
        error
    }

    /// Starts a write and kills it once it has kept a step.
    fn kill_at_a_checkpoint(&self, args: &[&str], out: &str) {
        let mut running = self.command(args);
        let quiet = running.stdout(Stdio::null()).stderr(Stdio::null());
        let mut running = quiet.spawn().expect("the program starts");
        let events = PathBuf::from(format!("{out}.writing/events.jsonl"));
        // The first checkpoint of a document in parts holds no step yet.
        let kept_a_step = || {
            let told = std::fs::read_to_string(&events).unwrap_or_default();
            told.matches("\"checkpointed\"").count() > 1
        };
        let (mut told, mut heard) = (0, Instant::now());
        while !kept_a_step() {
            let now = std::fs::metadata(&events).map_or(0, |file| file.len());
            if now != told {
                (told, heard) = (now, Instant::now());
            }
            assert!(heard.elapsed() < Duration::from_secs(300), "it hangs");
            std::thread::sleep(Duration::from_millis(2));
        }
        running.kill().expect("a running program");
        running.wait().expect("an ended program");
    }
}

fn command(args: &[&str]) -> Command {
    Machine::cpu().command(args)
}

fn inscribe(args: &[&str]) -> Output {
    Machine::cpu().run(args)
}

fn succeeds(args: &[&str]) -> String {
    Machine::cpu().succeeds(args)
}

fn fails(args: &[&str]) -> String {
    Machine::cpu().fails(args)
}

fn kill_at_a_checkpoint(args: &[&str], out: &str) {
    Machine::cpu().kill_at_a_checkpoint(args, out);
}

struct Desk {
    folder: tempfile::TempDir,
    document: String,
}

impl Desk {
    fn new(text: &str) -> Desk {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("document.txt");
        std::fs::write(&path, text).expect("room");
        Desk {
            document: path.display().to_string(),
            folder,
        }
    }

    fn place(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    /// A call of `write` with settings for tiny documents.
    fn write<'a>(&'a self, out: &'a str, model: &'a str, more: &[&'a str]) -> Vec<&'a str> {
        let mut args = vec!["write", &self.document, "--out", out, "--model", model];
        for (name, value) in [
            ("--chunk", "64"),
            ("--window", "16"),
            ("--batch", "4"),
            ("--checkpoint", "1"),
        ] {
            if !more.contains(&name) {
                args.extend([name, value]);
            }
        }
        args.extend(more);
        args
    }
}

fn adapters(memory: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files = Vec::new();
    let segments = Path::new(memory).join("segments");
    for entry in std::fs::read_dir(segments).expect("segments") {
        let path = entry
            .expect("an entry")
            .path()
            .join("adapter_model.safetensors");
        let bytes = std::fs::read(&path).expect("an adapter");
        files.push((path.strip_prefix(memory).expect("within").to_owned(), bytes));
    }
    files.sort();
    assert!(!files.is_empty());
    files
}

fn events(memory: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(Path::new(memory).join("events.jsonl")).expect("events");
    text.lines()
        .map(|l| serde_json::from_str(l).expect("JSON"))
        .collect()
}

fn steps(events: &[Value]) -> Vec<u64> {
    let of = events.iter().filter(|e| e["event"] == "step");
    of.map(|e| e["step"].as_u64().expect("a number")).collect()
}

/// The step that a stopped run went on from.
fn resumed_at(events: &[Value]) -> u64 {
    let resumed = events.iter().find(|e| e["event"] == "resumed");
    resumed.expect("a stop")["step"].as_u64().expect("a number")
}

/// Every method, on models of every architecture: written in parts, asked, reported.
#[test]
fn every_method_writes_a_memory_that_answers() {
    let desk = Desk::new(DOCUMENT);
    let cases = [
        ("llama", "gdwm"),
        ("gemma3.gguf", "gdwm"),
        ("qwen3", "lora"),
        ("qwen2.gguf", "gradmem"),
    ];
    for (model, method) in cases {
        let (model, out) = (tiny(model), desk.place(method));
        let _ = std::fs::remove_dir_all(&out);
        let args = desk.write(&out, &model, &["--method", method, "--budget", "37"]);
        let told = succeeds(&args);
        let suggested = format!("ask --memory {out} ");
        assert!(told.contains(&suggested), "{told}");
        let events = events(&out);
        assert_eq!(steps(&events), (1..=37).collect::<Vec<_>>(), "{method}");
        assert!(adapters(&out).len() > 1, "{method}: not in parts");
        assert_eq!(events.last().expect("an end")["event"], "done");
        let ask = [
            "ask",
            "--memory",
            &out,
            "--model",
            &model,
            "--json",
            "--compare",
        ];
        let ask = [&ask[..], &["--max-tokens", "4", "What is this?"]].concat();
        let told: Value = serde_json::from_str(&succeeds(&ask)).expect("JSON");
        let answers = told["answers"].as_array().expect("answers");
        assert_eq!(answers.len(), 3, "{method}");
        assert!(
            answers
                .iter()
                .all(|a| a["logprob"].as_f64().is_some_and(|l| l <= 0.0))
        );
        let page = desk.place("report.html");
        succeeds(&["report", &out, "-o", &page, "--replace"]);
        assert!(
            std::fs::read_to_string(&page)
                .expect("a page")
                .contains("<svg")
        );
    }
}

/// A model that carries M_0, projections, a head and steps of its own is written as it was trained
/// to be, and read through its other projection.
#[test]
fn a_model_trained_for_it_is_written_its_own_way() {
    let desk = Desk::new(&DOCUMENT[..300]);
    let model = desk.place("model");
    std::fs::create_dir(&model).expect("a folder");
    for file in [
        "gradmem/config.json",
        "gradmem/model.safetensors",
        "tiny/llama/tokenizer.json",
    ] {
        let from = common::golden(file);
        let to = Path::new(&model).join(from.file_name().expect("a name"));
        std::fs::copy(from, to).expect("room");
    }
    let (own, other) = (desk.place("own"), desk.place("other"));
    let args = ["write", &desk.document, "--model", &model, "--out"];
    let method = ["--method", "gradmem"];
    succeeds(&[&args[..], &[&own], &method].concat());
    let told = events(&own);
    assert_eq!(steps(&told), [1, 2, 3, 4, 5]);
    let settings = &told[0]["settings"];
    assert_eq!(settings["init"], "learned");
    assert_eq!(settings["optimizer"], "sgd");
    let losses = |told: &[Value], when: &str| {
        let found = told
            .iter()
            .find(|e| e["event"] == "evaluated" && e["when"] == when);
        found.expect(when)["losses"][0].as_f64().expect("a loss")
    };
    assert!(losses(&told, "after") < losses(&told, "before"));
    let config = std::fs::read(Path::new(&own).join("segments/0000/adapter_config.json"));
    let config: Value = serde_json::from_slice(&config.expect("a config")).expect("JSON");
    assert_eq!(config["num_virtual_tokens"], 2 + 5 + 2);
    let ask = [
        "ask",
        "--model",
        &model,
        "--max-tokens",
        "3",
        "--json",
        "--memory",
    ];
    succeeds(&[&ask[..], &[&own, "What is this?"]].concat());
    // What is asked for counts more than what the model says.
    let more = ["--budget", "2", "--init", "mean", "--prefix", "3"];
    succeeds(&[&args[..], &[&other], &method, &more].concat());
    assert_eq!(steps(&events(&other)), [1, 2]);
}

/// A run that is killed and goes on ends in the same memory as one that nothing disturbs.
fn assert_a_killed_run_goes_on(on: &Machine, document: &str, budget: usize) {
    let desk = Desk::new(document);
    let (model, steps_in_all) = (tiny("llama"), budget.to_string());
    for method in ["gdwm", "gradmem"] {
        let (undisturbed, killed) = (desk.place("undisturbed"), desk.place("killed"));
        let _ = std::fs::remove_dir_all(&undisturbed);
        let _ = std::fs::remove_dir_all(&killed);
        let more = ["--method", method, "--budget", &steps_in_all];
        on.succeeds(&desk.write(&undisturbed, &model, &more));
        on.kill_at_a_checkpoint(&desk.write(&killed, &model, &more), &killed);
        assert!(
            !Path::new(&killed).exists(),
            "half a memory stands in its place"
        );
        let again = on.fails(&desk.write(&killed, &model, &more));
        assert!(again.contains("--resume"), "{again}");
        on.succeeds(&desk.write(&killed, &model, &[&more[..], &["--resume"]].concat()));
        assert_eq!(adapters(&killed), adapters(&undisturbed), "{method}");
        let events = events(&killed);
        assert!(resumed_at(&events) > 0, "{method}: no step was kept");
        assert_eq!(steps(&events), (1..=budget as u64).collect::<Vec<_>>());
    }
}

#[test]
fn a_killed_run_goes_on_to_the_same_memory() {
    assert_a_killed_run_goes_on(&Machine::cpu(), DOCUMENT, 120);
}

#[test]
fn the_utility_table_shares_out_the_budget() {
    let desk = Desk::new(DOCUMENT);
    let model = tiny("llama");
    for more in [&["--allocate", "topk"][..], &["--no-coverage"]] {
        let args = [
            "utility",
            &desk.document,
            "--model",
            &model,
            "--format",
            "jsonl",
            "--chunk",
        ];
        let args = [&args[..], &["64", "--window", "16", "--budget", "50"], more].concat();
        let lines = succeeds(&args);
        let sum = |line: &str| {
            let line: Value = serde_json::from_str(line).expect("JSON");
            let number = |key: &str| line[key].as_u64().expect("a number");
            number("coverage_steps") + number("utility_steps")
        };
        assert_eq!(lines.lines().map(sum).sum::<u64>(), 50, "{more:?}");
    }
}

/// Documents and settings at their ends.
#[test]
fn odd_documents_and_settings_are_written_or_refused_plainly() {
    let model = tiny("llama");
    let desk = Desk::new("one two three four five six seven eight nine ten");
    for more in [
        &["--budget", "0"][..],
        &["--budget", "1", "--k-min", "3"],
        &["--budget", "3", "--span", "1000"],
        &["--budget", "3", "--chunk", "1"],
        &[
            "--budget",
            "3",
            "--rank",
            "3",
            "--targets",
            "q,k,v,o,gate,up,down",
        ],
        &["--budget", "3", "--allocate", "whole"],
        &["--budget", "3", "--held-out", "0.9"],
    ] {
        let out = desk.place("memory");
        let _ = std::fs::remove_dir_all(&out);
        succeeds(&desk.write(&out, &model, more));
    }
    let out = desk.place("refused");
    for (more, says) in [
        (&["--batch", "0"][..], "--batch"),
        (&["--tau", "NaN"], "--tau"),
        (&["--lr", "-1"], "--lr"),
        (&["--method", "lora", "--allocate", "whole"], "whole"),
        (&["--method", "gradmem", "--prefix", "0"], "--prefix"),
    ] {
        let error = fails(&desk.write(&out, &model, more));
        assert!(error.contains(says), "{more:?}: {error}");
        assert!(!Path::new(&out).exists());
    }
    for text in ["", "a"] {
        let desk = Desk::new(text);
        let out = desk.place("memory");
        fails(&desk.write(&out, &model, &[]));
        assert!(!Path::new(&out).exists());
    }
}

/// A loss that is no number stops the run, and the last good memory is kept.
#[test]
fn a_loss_that_is_no_number_stops_the_run() {
    let desk = Desk::new(&DOCUMENT[..150]);
    let (model, out) = (tiny("llama"), desk.place("memory"));
    let error = fails(&desk.write(&out, &model, &["--lr", "1e38", "--budget", "20"]));
    assert!(
        error.contains("not a number") && error.contains("--lr"),
        "{error}"
    );
    assert!(!Path::new(&out).exists());
    assert!(
        Path::new(&format!("{out}.writing")).is_dir(),
        "nothing was kept"
    );
}

#[test]
fn a_memory_is_refused_on_another_model_and_where_one_stands() {
    let desk = Desk::new(DOCUMENT);
    let (model, other, out) = (tiny("llama"), tiny("qwen2"), desk.place("memory"));
    succeeds(&desk.write(&out, &model, &["--budget", "4"]));
    let error = fails(&["ask", "--memory", &out, "--model", &other, "What?"]);
    assert!(error.contains("model"), "{error}");
    let error = fails(&desk.write(&out, &model, &["--budget", "4"]));
    assert!(error.contains("--replace"), "{error}");
    succeeds(&desk.write(&out, &model, &["--budget", "4", "--replace"]));
    let error = fails(&[
        "ask",
        "--memory",
        &desk.place("nowhere"),
        "--model",
        &model,
        "What?",
    ]);
    assert!(error.contains("nowhere"), "{error}");
}

/// Both forms of an exported adapter answer alike, and unlike the bare model.
#[test]
fn exported_adapters_are_loaded_back() {
    let desk = Desk::new(&DOCUMENT[..150]);
    let (model, out) = (tiny("llama.gguf"), desk.place("memory"));
    let more = ["--method", "lora", "--budget", "30", "--lr", "0.05"];
    succeeds(&desk.write(&out, &model, &more));
    let generate = [
        "generate",
        "--model",
        &model,
        "--raw",
        "--json",
        "--max-tokens",
        "12",
    ];
    let generate = [&generate[..], &["--prompt", "Writing and asking"]].concat();
    let ids = |more: &[&str]| -> Value {
        let told = succeeds(&[&generate[..], more].concat());
        serde_json::from_str::<Value>(&told).expect("JSON")["ids"].clone()
    };
    let bare = ids(&[]);
    let (peft, gguf) = (desk.place("peft"), desk.place("adapter.gguf"));
    for (form, place) in [("peft", &peft), ("gguf", &gguf)] {
        succeeds(&[
            "export", &out, "--model", &model, "--to", form, "--out", place,
        ]);
        let error = fails(&[
            "export", &out, "--model", &model, "--to", form, "--out", place,
        ]);
        assert!(error.contains("--replace"), "{error}");
    }
    assert_eq!(ids(&["--adapter", &peft]), ids(&["--adapter", &gguf]));
    assert_ne!(ids(&["--adapter", &peft]), bare);
}

#[test]
fn arms_are_compared_over_seeds() {
    let desk = Desk::new(&DOCUMENT[..180]);
    let questions = desk.place("questions.jsonl");
    std::fs::write(
        &questions,
        "{\"question\": \"What?\", \"answer\": \"That\"}\n",
    )
    .expect("room");
    let model = tiny("qwen3.gguf");
    let args = [
        "compare",
        &desk.document,
        "--model",
        &model,
        "--questions",
        &questions,
    ];
    let more = [
        "--chunk", "32", "--window", "8", "--batch", "2", "--budget", "6", "--json",
    ];
    let args = [&args[..], &more, &["--seeds", "2", "--held-out", "0.3"]].concat();
    let told: Value = serde_json::from_str(&succeeds(&args)).expect("JSON");
    let outcomes = told["outcomes"].as_array().expect("outcomes");
    assert_eq!(outcomes.len(), 2 * 5);
    for outcome in outcomes {
        let times = if outcome["arm"] == "uniform, 4 K" {
            4
        } else {
            1
        };
        assert_eq!(outcome["steps"], 6 * times);
        assert!(
            outcome["answers"]["logprob"]
                .as_f64()
                .is_some_and(|l| l < 0.0)
        );
        assert!(
            outcome["held_out_after"]
                .as_f64()
                .is_some_and(f64::is_finite)
        );
    }
    // An arm may have settings of its own.
    let arms = "gradmem:init=surprising:prefix=3:lr=0.1,uniform@2:lora.rank=2";
    let own = [
        &args[..4],
        &more,
        &["--seeds", "1", "--experiment", "arms", "--arms", arms],
    ]
    .concat();
    let told: Value = serde_json::from_str(&succeeds(&own)).expect("JSON");
    let taken: Vec<_> = told["outcomes"]
        .as_array()
        .expect("outcomes")
        .iter()
        .map(|o| o["steps"].clone())
        .collect();
    assert_eq!(taken, [6, 12]);
    for (arm, says) in [
        ("gradmem:colour=1", "colour"),
        ("gradmem:init=best", "init"),
        ("gradmem:lr", "lr"),
        ("gradmem:prefix=0", "--prefix"),
    ] {
        let wrong = [&args[..4], &["--experiment", "arms", "--arms", arm]].concat();
        let error = fails(&wrong);
        assert!(error.contains(says), "{arm}: {error}");
    }
    // A document that does not fit beside its questions is refused, not cut.
    let long = Desk::new(DOCUMENT);
    let error = fails(&["compare", &long.document, "--model", &model]);
    assert!(error.contains("context"), "{error}");
}
