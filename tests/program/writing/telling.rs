//! What the program tells of a run, a memory and an answer, to people and to other programs.

use std::io::Write as _;

use super::*;

/// A memory of a short text, on a model that is named by its path.
fn written(desk: &Desk, out: &str, more: &[&str]) -> String {
    let model = tiny("llama.gguf");
    let told = succeeds(&desk.write(out, &model, &[&["--budget", "3"], more].concat()));
    assert!(Path::new(out).join("memory.json").is_file());
    told
}

fn lines(output: &str) -> Vec<Value> {
    let lines = output.lines();
    lines
        .map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}")))
        .collect()
}

#[test]
fn a_dry_run_tells_and_writes_nothing() {
    let desk = Desk::new(DOCUMENT);
    let (model, out) = (tiny("llama.gguf"), desk.place("memory"));
    let dry = desk.write(&out, &model, &["--budget", "7", "--dry-run", "--json"]);
    let told = lines(&succeeds(&dry)).remove(0);
    assert!(!Path::new(&out).exists() && !Path::new(&format!("{out}.writing")).exists());
    for field in ["bytes_at_most", "tokens_a_second"] {
        assert!(told[field].as_f64().is_some_and(|v| v > 0.0), "{told}");
    }
    assert!(told["seconds"]["total"].as_f64().is_some_and(|s| s > 0.0));
    // What it tells is what is done.
    succeeds(&desk.write(&out, &model, &["--budget", "7"]));
    let events = events(&out);
    assert_eq!(told["steps"], 7);
    assert_eq!(told["tokens"], events[0]["document"]["tokens"]);
    assert_eq!(told["parts"], events[0]["segments"]);
    let chunks = events.iter().filter(|e| e["event"] == "utility");
    let chunks = chunks.map(|e| e["chunks"].as_array().map_or(0, Vec::len));
    assert_eq!(told["chunks"], chunks.sum::<usize>());
    // No place is needed, and people get words.
    let words = succeeds(&["write", &desk.document, "--model", &model, "--dry-run"]);
    assert!(words.contains(", roughly: reading "), "{words}");
    assert!(words.ends_with("nothing was written\n"), "{words}");
}

#[test]
fn a_memory_says_what_it_is_and_whether_it_is_whole() {
    let desk = Desk::new(&DOCUMENT[..150]);
    let out = desk.place("memory");
    written(&desk, &out, &[]);
    let told = succeeds(&["info", &out]);
    for part in ["document.txt:", "llama", "gdwm", "3 steps"] {
        assert!(told.contains(part), "{part}: {told}");
    }
    assert!(!told.contains("asked"), "{told}");
    let json = lines(&succeeds(&["info", &out, "--json"])).remove(0);
    assert_eq!((&json["whole"], &json["steps"]), (&true.into(), &3.into()));
    let adapter = format!("{out}/segments/0000/adapter_model.safetensors");
    let mut bytes = std::fs::read(&adapter).expect("an adapter");
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    std::fs::write(&adapter, bytes).expect("room");
    let damaged = inscribe(&["info", &out]);
    assert_eq!(damaged.status.code(), Some(1));
    let shown = String::from_utf8_lossy(&damaged.stdout);
    assert!(shown.contains("DAMAGED"), "{shown}");
    // What can be made again is not missed.
    let whole = desk.place("whole");
    written(&desk, &whole, &[]);
    std::fs::remove_file(format!("{whole}/segments/0000/rows.gguf")).expect("rows");
    let told = succeeds(&["info", &whole]);
    assert!(told.contains("made again when needed"), "{told}");
    let asked = |n: usize| {
        format!("{{\"question\":\"q{n}?\",\"answer\":\"a{n}\",\"seconds\":1,\"unix_secs\":1}}\n")
    };
    let history: String = (1..=7).map(asked).collect();
    std::fs::write(format!("{whole}/history.jsonl"), history).expect("room");
    let told = succeeds(&["info", &whole]);
    assert!(told.contains("asked     7 questions, last "), "{told}");
    assert!(told.contains("q7?\n          q6?"), "{told}");
    assert!(
        !told.contains("q2?") && told.contains("and 2 before"),
        "{told}"
    );
    let json = lines(&succeeds(&["info", &whole, "--json"])).remove(0);
    assert_eq!(json["history"][6]["answer"], "a7");
    // What cannot, is.
    std::fs::remove_file(format!("{whole}/tokens.bin")).expect("tokens");
    let missing = inscribe(&["info", &whole]);
    assert_eq!(missing.status.code(), Some(1));
    let shown = String::from_utf8_lossy(&missing.stdout);
    assert!(
        shown.contains("MISSING") && !shown.contains("DAMAGED"),
        "{shown}"
    );
}

/// A model named by its path is found again by it, as long as it is the same one.
#[test]
fn a_memory_remembers_where_its_model_was() {
    let desk = Desk::new(&DOCUMENT[..150]);
    let (model, out) = (desk.place("own.gguf"), desk.place("memory"));
    std::fs::copy(tiny("llama.gguf"), &model).expect("room");
    let told = succeeds(&desk.write(&out, &model, &["--budget", "2"]));
    let ask = ["ask", "--memory", &out, "--max-tokens", "3", "What?"];
    assert!(
        told.contains(&format!("ask --memory {out} \"...\"")),
        "{told}"
    );
    succeeds(&ask);
    std::fs::copy(tiny("qwen2.gguf"), &model).expect("room");
    assert!(fails(&ask).contains("--model"));
}

#[test]
fn quietly_the_place_of_the_memory_is_all_that_is_printed() {
    let desk = Desk::new(&DOCUMENT[..150]);
    let out = desk.place("memory");
    assert_eq!(written(&desk, &out, &["--quiet"]), format!("{out}\n"));
}

#[test]
fn answers_say_why_they_ended_and_stand_on_lines_of_their_own() {
    let desk = Desk::new(&DOCUMENT[..150]);
    let out = desk.place("memory");
    written(&desk, &out, &[]);
    let questions = desk.place("questions.jsonl");
    let text =
        "{\"question\": \"What?\", \"answer\": \"nothing at all\"}\n\n{\"question\": \"Who?\"}\n";
    std::fs::write(&questions, text).expect("room");
    let ask = ["ask", "--memory", &out, "--max-tokens", "4"];
    let json = [&ask[..], &["--json", "--questions", &questions]].concat();
    let told = lines(&succeeds(&json));
    assert_eq!(told.len(), 3, "{told:?}");
    assert_eq!(told[0]["answers"][0]["ended"], "max tokens");
    assert_eq!(told[0]["answers"][0]["right"], false);
    assert!(told[1]["answers"][0].get("right").is_none(), "{}", told[1]);
    assert_eq!(told[2]["asked"], 1);
    let words = succeeds(&[&ask[..], &["--questions", &questions]].concat());
    assert!(words.starts_with("? What?\n"), "{words}");
    assert!(words.contains("memory 0 of 1"), "{words}");
    // Texts that end an answer, and instructions before the question, are heard.
    let one = |more: &[&str]| {
        let told = lines(&succeeds(&[&ask[..], &["--json", "What?"], more].concat())).remove(0);
        told["answers"][0].clone()
    };
    let plain = one(&[]);
    let first = plain["answer"].as_str().expect("an answer");
    let first = first.chars().next().expect("a letter").to_string();
    let stopped = one(&["--stop", &first]);
    assert_eq!(
        (&stopped["ended"], &stopped["answer"]),
        (&"stop text".into(), &"".into())
    );
    let told = one(&["--system", "Answer in one word."]);
    assert_ne!(told["logprob"], plain["logprob"]);
}

#[test]
fn a_loop_is_cut_unless_it_is_to_stay() {
    let desk = Desk::new(&DOCUMENT[..150]);
    let out = desk.place("memory");
    written(&desk, &out, &["--method", "lora"]);
    let ask = |more: &[&str]| {
        let ask = ["ask", "--memory", &out, "--json", "--max-tokens", "100"];
        // Below 1 it makes tokens that were there likelier to come again.
        let loops = ["--repetition-penalty", "0.3", "Why?"];
        let told = lines(&succeeds(&[&ask[..], &loops, more].concat())).remove(0);
        told["answers"][0].clone()
    };
    let (cut, kept) = (ask(&[]), ask(&["--keep-loops"]));
    assert_eq!(cut["ended"], "loop");
    assert_eq!(kept["ended"], "max tokens");
    let (cut, kept) = (cut["answer"].as_str(), kept["answer"].as_str());
    let (cut, kept) = (cut.expect("an answer"), kept.expect("an answer"));
    assert!(
        kept.starts_with(cut) && cut.len() < kept.len(),
        "{cut}\n{kept}"
    );
}

#[test]
fn answers_to_a_pipe_can_be_told_apart() {
    let desk = Desk::new(&DOCUMENT[..150]);
    let out = desk.place("memory");
    written(&desk, &out, &[]);
    let mut asked = command(&["ask", "--memory", &out, "--max-tokens", "3"]);
    asked.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut asked = asked.spawn().expect("the program starts");
    let mut input = asked.stdin.take().expect("a pipe");
    input.write_all(b"What?\n\nWho?\n").expect("a reader");
    drop(input);
    let told = asked.wait_with_output().expect("an end").stdout;
    let told = String::from_utf8(told).expect("UTF-8");
    let questions: Vec<&str> = told.lines().filter(|line| line.starts_with("? ")).collect();
    assert_eq!(questions, ["? What?", "? Who?"], "{told}");
}

#[test]
fn numbers_that_cannot_be_are_refused_in_words() {
    let desk = Desk::new(&DOCUMENT[..150]);
    let model = tiny("llama.gguf");
    let (write, generate) = (
        ["write", &desk.document, "--out", "x", "--model", &model],
        ["generate", "-p", "hi", "--model", &model],
    );
    for (call, flag, value) in [
        (&write[..], "--budget", "-1"),
        (&write[..], "--threads", "0"),
        (&write[..], "--chunk", "many"),
        (&generate[..], "--temperature", "-1"),
        (&generate[..], "--top-p", "-1"),
        (&generate[..], "--max-tokens", "-5"),
    ] {
        let output = inscribe(&[call, &[flag, value]].concat());
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success());
        assert!(error.contains(flag) && error.contains(value), "{error}");
        assert!(error.contains("must "), "{error}");
        assert!(
            !error.contains("unexpected") && !error.contains("invalid digit"),
            "{error}"
        );
    }
}

#[test]
fn an_error_is_said_once() {
    for verb in [&["ask", "--memory"][..], &["report"], &["info"]] {
        let error = fails(&[verb, &["nowhere.memory"]].concat());
        assert_eq!(
            error,
            "error: nowhere.memory: does not exist; check the path\n"
        );
    }
}

#[test]
fn help_groups_what_holds_everywhere_and_hides_what_means_nothing() {
    let (write, pull) = (succeeds(&["write", "-h"]), succeeds(&["pull", "-h"]));
    let everywhere = write
        .split("Everywhere:")
        .nth(1)
        .expect("a heading of its own");
    for option in ["--device", "--threads", "--fast", "--quiet"] {
        assert!(everywhere.contains(option), "{everywhere}");
        assert_eq!(pull.contains(option), option == "--quiet", "{pull}");
    }
    // They are taken all the same.
    succeeds(&["models", "--device", "cpu"]);
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let script = succeeds(&["completions", shell]);
        assert!(script.contains("surprisal"), "{shell}");
    }
}
