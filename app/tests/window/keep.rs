//! Memories saved, exported and opened again; figures and events saved.

use inscribe_app::vocabulary::Screen;
use std::path::Path;

use egui_kittest::kittest::{NodeT, Queryable};

use crate::desk::{Desk, prefs, text};

fn through_the_menu(desk: &mut Desk, entry: &str, to: &Path) {
    // One that stands may fade, and the next may come before it is looked at.
    desk.window.state_mut().state.note = None;
    desk.will_pick(to);
    desk.click("File");
    desk.click(entry);
    desk.wait(entry, |state| {
        Desk::is_idle(state) && (state.note.is_some() || !state.troubles.is_empty())
    });
    assert!(
        desk.state().troubles.is_empty(),
        "{entry}: {:?}",
        desk.state().troubles
    );
}

#[test]
fn what_was_written_is_saved_exported_and_opened_again() {
    let mut small = prefs();
    small.settings.budget = 6;
    let mut desk = Desk::with(small.clone(), [1280.0, 800.0].into());
    // One part: it fits the tiny context.
    desk.open("short.md", text(40).as_bytes());
    desk.click("Write into memory");
    desk.wait("the memory", |state| state.memory_written);
    let copy = desk.place("copy.memory");
    through_the_menu(&mut desk, "Save the memory as…", &copy);
    assert!(copy.join("memory.json").is_file());
    let peft = desk.place("for-peft");
    through_the_menu(&mut desk, "Export for PEFT…", &peft);
    assert!(peft.join("adapter_model.safetensors").is_file());
    let gguf = desk.place("adapter.gguf");
    through_the_menu(&mut desk, "Export as GGUF adapter…", &gguf);
    assert_eq!(&std::fs::read(&gguf).expect("an adapter")[..4], b"GGUF");
    for (entry, name, start) in [
        ("Save the figure as SVG…", "figure.svg", "<svg"),
        (
            "Save the events (JSONL)…",
            "events.jsonl",
            "{\"event\":\"started\"",
        ),
        ("Save the steps (CSV)…", "steps.csv", "step,of,"),
        ("Save a report (HTML)…", "report.html", "<!"),
    ] {
        let path = desk.place(name);
        through_the_menu(&mut desk, entry, &path);
        let written = std::fs::read_to_string(&path).expect("a file");
        assert!(
            written.starts_with(start),
            "{name}: {}",
            &written[..60.min(written.len())]
        );
    }
    let png = desk.place("figure.png");
    through_the_menu(&mut desk, "Save the figure as PNG…", &png);
    assert_eq!(&std::fs::read(&png).expect("a picture")[1..4], b"PNG");
    ask(&mut desk, "What burnt down?");
    let answered = desk.state().ask.turns[0].answers[0].clone();
    // Another window opens what this one wrote.
    let memory = desk.state().memory.clone().expect("a place");
    let Desk { window, folder, .. } = desk;
    drop(window);
    let mut desk = Desk::at(folder, small);
    desk.drop_file(&memory);
    desk.wait("the memory", |state| state.memory_written);
    assert!(desk.state().run.is_done());
    assert_eq!(desk.state().run.record.steps.len(), 6);
    desk.window.state_mut().state.screen = Screen::Ask;
    desk.window.run_ok();
    assert_eq!(memory, copy, "the copy is the one at hand");
    assert!(desk.sees("asked before"));
    ask(&mut desk, "What burnt down?");
    let again = &desk.state().ask.turns[0].answers[0];
    assert_eq!(again.ids, answered.ids, "the memory answers the same");
    assert_eq!(again.logprobs, answered.logprobs);
}

/// Asks the memory alone.
fn ask(desk: &mut Desk, question: &str) {
    desk.window.state_mut().state.screen = Screen::Ask;
    desk.window.run_ok();
    desk.choose("Memory");
    desk.write_in("Question", question);
    desk.click_button("Ask");
    desk.wait("the answer", |state| {
        Desk::is_idle(state)
            && state
                .ask
                .turns
                .last()
                .is_some_and(|t| !t.answers.is_empty())
    });
}

#[test]
fn tokens_of_an_answer_are_weighed_in_every_view() {
    let mut small = prefs();
    small.settings.budget = 2;
    let mut desk = Desk::with(small, [1280.0, 800.0].into());
    desk.open("short.md", text(40).as_bytes());
    desk.click("Write into memory");
    desk.wait("the memory", |state| state.memory_written);
    ask(&mut desk, "What burnt down?");
    let label = token_of_the_memory(&desk).expect("an answer with tokens");
    let token = desk.window.query_all_by_label(&label).next();
    token.expect("a token").click();
    desk.window.run_ok();
    desk.wait("the weighing", |state| {
        Desk::is_idle(state) && !state.ask.turns[0].scores.is_empty()
    });
    let turn = &desk.state().ask.turns[0];
    let scores = &turn.scores[&0];
    assert_eq!(scores.len(), 3);
    assert!(
        scores
            .iter()
            .all(|(_, s)| s.len() == turn.answers[0].ids.len())
    );
    desk.shot("token");
}

/// What the first token that is shown of the memory's answer is called.
fn token_of_the_memory(desk: &Desk) -> Option<String> {
    let tokens = desk.window.query_all_by_label_contains("nats");
    let mut labels = tokens.filter_map(|node| node.accesskit_node().label());
    labels.find(|label| label.starts_with("Memory: "))
}
