//! What a person has is not lost by a slip, and what a run learned can always be used.

use std::path::Path;

use serde_json::Value;

use super::{DOCUMENT, Desk, events, fails, inscribe, kill_at_a_checkpoint, steps, succeeds, tiny};

/// A finished memory of a short text.
fn written(desk: &Desk, out: &str) {
    succeeds(&desk.write(out, &tiny("llama.gguf"), &["--budget", "2"]));
}

fn read(path: &str) -> String {
    std::fs::read_to_string(path).expect("a file")
}

#[test]
fn files_are_not_written_over_by_a_slip() {
    let desk = Desk::new(&DOCUMENT[..150]);
    let (model, out) = (tiny("llama.gguf"), desk.place("memory"));
    let text = read(&desk.document);
    let budget = ["--budget", "2", "--events"];
    let error = fails(&desk.write(&out, &model, &[&budget[..], &[&desk.document]].concat()));
    assert!(error.contains("the document itself"), "{error}");
    let notes = desk.place("notes.txt");
    std::fs::write(&notes, "my notes").expect("room");
    let error = fails(&desk.write(&out, &model, &[&budget[..], &[&notes]].concat()));
    assert!(error.contains("something else"), "{error}");
    written(&desk, &out);
    let page = desk.place("page.html");
    std::fs::write(&page, "<p>mine</p>").expect("room");
    let error = fails(&["report", &out, "-o", &page]);
    assert!(error.contains("--replace"), "{error}");
    let export = |to: &str, place: &str| {
        let args = ["export", &out, "--model", &model, "--to", to, "--out"];
        fails(&[&args[..], &[place, "--replace"]].concat())
    };
    let error = export("gguf", &notes);
    assert!(error.contains("no GGUF file"), "{error}");
    let error = export("peft", &notes);
    assert!(error.contains("is a file"), "{error}");
    let within = format!("{out}/memory.json");
    let error = export("gguf", &within);
    assert!(error.contains("in the memory itself"), "{error}");
    assert_eq!(read(&desk.document), text);
    assert_eq!(read(&notes), "my notes");
    assert_eq!(read(&page), "<p>mine</p>");
    assert!(read(&within).contains("fingerprint"));
    succeeds(&["report", &out, "-o", &page, "--replace"]);
    assert!(read(&page).starts_with("<!doctype html>"));
}

/// A run that was killed after some of its many steps.
fn killed(desk: &Desk, out: &str, model: &str) {
    kill_at_a_checkpoint(&desk.write(out, model, &["--budget", "400"]), out);
}

#[test]
fn events_that_are_first_asked_for_at_a_resume_tell_the_whole_run() {
    let desk = Desk::new(&DOCUMENT[..150]);
    let (model, out) = (tiny("llama.gguf"), desk.place("memory"));
    killed(&desk, &out, &model);
    let file = desk.place("events.jsonl");
    let more = ["--budget", "400", "--resume", "--events", &file];
    succeeds(&desk.write(&out, &model, &more));
    let lines = read(&file);
    let told: Vec<Value> = lines
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    assert_eq!(told[0]["event"], "started");
    assert_eq!(told.last().expect("events")["event"], "done");
    assert_eq!(steps(&told), steps(&events(&out)));
}

#[test]
fn a_run_is_finished_as_it_stands() {
    let finish = ["--budget", "400", "--resume", "--finish"];
    let model = tiny("llama.gguf");
    // Several parts are kept as soon as all are read.
    let long = Desk::new(DOCUMENT);
    let out = long.place("memory");
    assert!(fails(&long.write(&out, &model, &finish)).contains("no unfinished run"));
    killed(&long, &out, &model);
    let before_any_step = inscribe(&long.write(&out, &model, &finish));
    if !before_any_step.status.success() {
        let error = String::from_utf8_lossy(&before_any_step.stderr);
        assert!(error.contains("nothing was learned yet"), "{error}");
    }
    let desk = Desk::new(&DOCUMENT[..150]);
    let out = desk.place("memory");
    killed(&desk, &out, &model);
    // Of a run that is not finished, too, there is something to see.
    let seen = inscribe(&["report", &out]);
    assert!(seen.status.success(), "{seen:?}");
    succeeds(&desk.write(&out, &model, &finish));
    let events = events(&out);
    let taken = steps(&events);
    assert!(!taken.is_empty() && taken.len() < 400, "{}", taken.len());
    assert!(events.iter().any(|e| e["event"] == "evaluated"));
    let question = "What is it about?";
    let answer = inscribe(&["ask", "--memory", &out, "--model", &model, question]);
    assert!(answer.status.success(), "{answer:?}");
}

#[test]
fn a_question_may_be_as_long_as_the_context_allows() {
    let desk = Desk::new(&DOCUMENT[..150]);
    let model = desk.place("model");
    std::fs::create_dir(&model).expect("a folder");
    for file in std::fs::read_dir(tiny("llama")).expect("the tiny model") {
        let file = file.expect("an entry");
        let to = Path::new(&model).join(file.file_name());
        std::fs::copy(file.path(), to).expect("room");
    }
    let config = format!("{model}/config.json");
    let mut wide: Value = serde_json::from_str(&read(&config)).expect("JSON");
    wide["max_position_embeddings"] = 2048.into();
    std::fs::write(&config, wide.to_string()).expect("room");
    let out = desk.place("memory");
    succeeds(&desk.write(&out, &model, &["--budget", "2", "--method", "lora"]));
    let ask = |question: &str| {
        inscribe(&[
            "ask",
            "--memory",
            &out,
            "--model",
            &model,
            "--max-tokens",
            "4",
            question,
        ])
    };
    let long = ask(&"why ".repeat(250));
    assert!(long.status.success(), "{long:?}");
    let longer = ask(&"why ".repeat(1200));
    let error = String::from_utf8_lossy(&longer.stderr);
    assert!(error.contains("the question has 3,6"), "{error}");
    assert!(error.contains("context of 2,048"), "{error}");
}

#[test]
fn comparisons_that_would_mislead_are_refused() {
    let desk = Desk::new(&DOCUMENT[..150]);
    let model = tiny("llama.gguf");
    let questions = desk.place("questions.jsonl");
    std::fs::write(&questions, "{\"question\": \"Why?\", \"answer\": \" \"}\n").expect("room");
    let compare = |more: &[&str]| {
        let args = ["compare", &desk.document, "--model", &model, "--batch", "4"];
        let sizes = ["--chunk", "64", "--window", "16"];
        fails(&[&args[..], &sizes[..], more].concat())
    };
    for (more, part) in [
        (&["--questions", &questions[..]][..], "line 1"),
        (&["--arms", "utility,utility"], "named twice"),
        (&["--seed", "18446744073709551615"], "leaves no room"),
        (&["--rank", "65537"], "65536 is the most"),
        (&["--budget", "4000000000"], "1048576 is the most"),
    ] {
        let error = compare(more);
        assert!(error.contains(part), "{more:?}: {error}");
    }
}

/// Then nothing is distant and nothing is read twice.
#[test]
fn a_window_longer_than_the_document_needs_no_more_memory() {
    let desk = Desk::new(&DOCUMENT[..200]);
    let model = tiny("llama");
    let table = succeeds(&[
        "utility",
        &desk.document,
        "--model",
        &model,
        "--chunk",
        "32",
        "--format",
        "jsonl",
        "--window",
        "1000000",
    ]);
    assert!(!table.is_empty());
    for line in table.lines() {
        let line: Value = serde_json::from_str(line).expect("JSON");
        assert_eq!(line["utility"].as_f64(), Some(0.0), "{line}");
    }
}
