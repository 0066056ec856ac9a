//! What is kept of a run, replaced, exported and found again.

use std::io::{BufRead as _, BufReader};

use super::*;

#[test]
fn an_unfinished_run_is_replaced_when_asked_to() {
    let desk = Desk::new(DOCUMENT);
    let (model, out) = (tiny("llama"), desk.place("memory"));
    kill_at_a_checkpoint(&desk.write(&out, &model, &["--budget", "2000"]), &out);
    let error = fails(&desk.write(&out, &model, &["--budget", "2"]));
    assert!(
        error.contains("--replace") && error.contains("--resume"),
        "{error}"
    );
    succeeds(&desk.write(&out, &model, &["--budget", "2", "--replace"]));
    assert!(Path::new(&out).is_dir());
    assert!(!Path::new(&format!("{out}.writing")).exists());
}

#[test]
fn an_events_file_that_cannot_be_written_is_known_before_anything_begins() {
    let desk = Desk::new(&DOCUMENT[..150]);
    let (model, out) = (tiny("llama"), desk.place("memory"));
    let nowhere = desk.place("no/such/folder/events.jsonl");
    let error = fails(&desk.write(&out, &model, &["--budget", "2", "--events", &nowhere]));
    assert!(error.contains("events.jsonl"), "{error}");
    assert!(!Path::new(&format!("{out}.writing")).exists());
    // What a refused run would have written over stays.
    let events = desk.place("events.jsonl");
    let run = ["--budget", "2", "--events", events.as_str()];
    succeeds(&desk.write(&out, &model, &run));
    let first = std::fs::read(&events).expect("events");
    fails(&desk.write(&out, &model, &run));
    assert_eq!(std::fs::read(&events).expect("events"), first);
    succeeds(&desk.write(&out, &model, &[&run[..], &["--replace"]].concat()));
    let lines = std::fs::read_to_string(&events).expect("events");
    let starts = lines.lines().filter(|l| l.contains("\"started\"")).count();
    assert_eq!(starts, 1, "{lines}");
}

#[test]
fn exports_that_cannot_be_are_refused_and_leave_nothing() {
    let desk = Desk::new(&DOCUMENT[..150]);
    let (model, out) = (tiny("llama.gguf"), desk.place("memory"));
    succeeds(&desk.write(&out, &model, &["--budget", "2"]));
    let export = |to: &str, place: &str, more: &[&str]| {
        let args = [
            "export", &out, "--model", &model, "--to", to, "--out", place,
        ];
        fails(&[&args[..], more].concat())
    };
    let place = desk.place("adapter");
    let error = export("peft", &place, &["--f16"]);
    assert!(error.contains("--f16"), "{error}");
    std::fs::create_dir(&place).expect("a folder");
    std::fs::write(Path::new(&place).join("mine.txt"), "mine").expect("room");
    let error = export("gguf", &place, &["--replace"]);
    assert!(error.contains("folder"), "{error}");
    let error = export("peft", &place, &["--replace"]);
    assert!(error.contains("mine.txt"), "{error}");
    let here = std::fs::read_dir(desk.folder.path())
        .expect("a folder")
        .flatten();
    let partial = here.filter(|e| e.file_name().to_string_lossy().contains(".partial"));
    assert_eq!(partial.count(), 0);
}

#[test]
fn the_model_of_a_memory_is_found_by_itself() {
    let desk = Desk::new(DOCUMENT);
    let (model, out) = (desk.place("llama.gguf"), desk.place("memory"));
    std::fs::copy(tiny("llama.gguf"), &model).expect("room");
    succeeds(&desk.write(&out, &model, &["--budget", "3"]));
    // It is no longer where it was then.
    let moved = desk.place("moved");
    std::fs::rename(&model, &moved).expect("a file");
    let cache = desk.place("cache");
    let ask = |more: &[&str]| {
        let args = ["ask", "--memory", &out, "--max-tokens", "3", "--json"];
        let mut call = command(&[&args[..], more, &["What is this?"]].concat());
        call.env("INSCRIBE_CACHE", &cache)
            .output()
            .expect("it starts")
    };
    let said = |output: &Output| String::from_utf8_lossy(&output.stderr).into_owned();
    let missing = ask(&[]);
    assert_eq!(missing.status.code(), Some(1));
    let error = said(&missing);
    assert!(
        error.contains("llama.gguf") && error.contains("--model"),
        "{error}"
    );
    let folder = Path::new(&cache).join("hub/some/name/gguf");
    std::fs::create_dir_all(&folder).expect("a folder");
    // Under another name: what is in it counts.
    std::fs::copy(tiny("qwen2.gguf"), folder.join("llama.gguf")).expect("room");
    std::fs::copy(&moved, folder.join("renamed.gguf")).expect("room");
    let found = ask(&[]);
    assert!(found.status.success(), "{}", said(&found));
    let told: Value = serde_json::from_slice(&found.stdout).expect("JSON");
    let part = told["answers"][0]["part"].as_u64().expect("a part");
    assert!((1..=200).contains(&part), "{part}");
    let error = said(&ask(&["--temperature", "-1"]));
    assert!(error.contains("--temperature must be 0 or more"), "{error}");
}

#[test]
fn surprisal_reads_the_encodings_that_documents_may_have() {
    let desk = Desk::new("");
    let path = desk.place("latin.txt");
    std::fs::write(&path, b"caf\xe9 au lait, d\xe9j\xe0 vu").expect("room");
    let model = tiny("llama");
    let args = [
        "surprisal",
        "--model",
        &model,
        "--text-file",
        &path,
        "--format",
        "jsonl",
    ];
    let text = |output: String| {
        let lines = output
            .lines()
            .map(|l| serde_json::from_str::<Value>(l).expect("JSON"));
        lines.map(|l| l["id"].as_u64()).collect::<Vec<_>>()
    };
    let named = text(succeeds(
        &[&args[..], &["--encoding", "windows-1252"]].concat(),
    ));
    let other = text(succeeds(
        &[&args[..], &["--encoding", "windows-1251"]].concat(),
    ));
    assert_ne!(named, other);
    let error = fails(&[&args[..], &["--encoding", "klingon"]].concat());
    assert!(error.contains("klingon"), "{error}");
}

/// The parts of a document share the budget by utility, not by their lengths.
#[test]
fn the_only_step_goes_to_the_best_chunk_of_all_parts() {
    let desk = Desk::new(DOCUMENT);
    let model = tiny("llama");
    let args = [
        "utility",
        &desk.document,
        "--model",
        &model,
        "--format",
        "jsonl",
    ];
    let told = succeeds(
        &[
            &args[..],
            &["--chunk", "64", "--window", "16", "--budget", "1"],
        ]
        .concat(),
    );
    let lines: Vec<Value> = told
        .lines()
        .map(|l| serde_json::from_str(l).expect("JSON"))
        .collect();
    let utility = |line: &Value| line["utility"].as_f64().expect("a number");
    let best = lines.iter().map(utility).fold(0.0, f64::max);
    let steps = |line: &Value| line["coverage_steps"].as_u64().unwrap_or(0);
    let chosen: Vec<&Value> = lines.iter().filter(|line| steps(line) > 0).collect();
    assert_eq!(chosen.len(), 1, "{told}");
    assert_eq!(utility(chosen[0]), best, "{told}");
    // Parts without steps have memories, too, and answer as the model does.
    let out = desk.place("memory");
    succeeds(&desk.write(&out, &model, &["--budget", "1"]));
    let events = events(&out);
    assert_eq!(super::steps(&events), [1]);
    let of = |kind: &str| events.iter().filter(|e| e["event"] == kind).count();
    let parts = adapters(&out).len();
    assert!(parts > 2, "{parts}");
    assert_eq!(
        (of("prefilled"), of("allocated"), of("evaluated")),
        (parts, parts, parts)
    );
    let after_steps = events.iter().skip_while(|e| e["event"] != "step");
    assert!(after_steps.clone().all(|e| e["event"] != "prefilled"));
    succeeds(&[
        "ask",
        "--memory",
        &out,
        "--model",
        &model,
        "--max-tokens",
        "2",
        "What?",
    ]);
}

/// A long text is cut into tokens for many seconds: Ctrl-C and SIGTERM end that at once.
#[cfg(unix)]
#[test]
fn cutting_a_long_text_into_tokens_is_stopped_by_a_signal() {
    let desk = Desk::new(&"A long text of words and of numbers such as 4711. ".repeat(1_200_000));
    let (model, out) = (tiny("llama"), desk.place("memory"));
    for signal in ["-INT", "-TERM"] {
        let mut running = command(&desk.write(&out, &model, &["--budget", "2"]));
        let watched = running.stdout(Stdio::null()).stderr(Stdio::piped());
        let mut running = watched.spawn().expect("the program starts");
        // It tells that it cuts so long a text.
        let mut told = BufReader::new(running.stderr.take().expect("piped"));
        told.read_line(&mut String::new()).expect("UTF-8");
        std::thread::sleep(Duration::from_millis(500));
        assert!(
            running.try_wait().expect("a state").is_none(),
            "ended by itself"
        );
        let id = running.id().to_string();
        let kill = format!("kill {signal} {id}");
        let sent = Command::new("sh").args(["-c", &kill]).status();
        assert!(sent.expect("kill").success());
        let sent = Instant::now();
        let ended = loop {
            if let Some(ended) = running.try_wait().expect("a state") {
                break ended;
            }
            // The text alone would be read for hours.
            if sent.elapsed() > Duration::from_secs(300) {
                running.kill().expect("a running program");
                panic!("it goes on after {signal}");
            }
            std::thread::sleep(Duration::from_millis(20));
        };
        assert_eq!(ended.code(), Some(130), "{signal}");
        assert!(!Path::new(&format!("{out}.writing")).exists());
    }
}
