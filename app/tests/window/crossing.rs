//! What is asked for while something else goes on: nothing is lost unasked, and nothing is done to
//! a document, a model or a memory that it was not asked for.

use std::sync::Arc;

use eframe::egui::Key;
use inscribe_app::engine::{End, Report};
use inscribe_app::state::ask::Turn;
use inscribe_app::state::{Job, Pause, State, Task};
use inscribe_app::vocabulary::{Dialog, Screen};

use crate::desk::{Desk, prefs, text, tiny_model};

fn goes_on(desk: &mut Desk) {
    let jobs = desk.state().jobs.values();
    let stopping: Vec<_> = jobs.filter(|job| job.cancelling).collect();
    assert!(stopping.is_empty(), "{stopping:?}");
    let steps = desk.state().run.record.steps.len();
    desk.wait("more steps", |state| state.run.record.steps.len() > steps);
}

fn stop(desk: &mut Desk) {
    desk.click("Cancel");
    desk.wait("the end", Desk::is_idle);
}

fn name_of(state: &State) -> &str {
    let open = state.document.as_ref();
    open.map_or("", |open| open.document.name.as_str())
}

#[test]
fn files_dropped_together_during_a_run_ask_once_and_stop_nothing() {
    let mut desk = Desk::in_a_long_write();
    let [first, second] = ["first.txt", "second.txt"].map(|name| desk.place(name));
    for path in [&first, &second] {
        std::fs::write(path, "Another text, for something else.").expect("room");
    }
    desk.drop_files(&[&first, &second]);
    desk.window.run_ok();
    assert!(desk.sees("Open another document?"));
    goes_on(&mut desk);
    // Another one while the question stands.
    desk.drop_file(&first);
    goes_on(&mut desk);
    desk.click("Stop and open");
    desk.wait("the other one", |state| {
        Desk::is_idle(state) && name_of(state) == "first.txt"
    });
}

#[test]
fn opening_a_memory_during_a_run_asks() {
    let mut desk = Desk::new();
    let memory = desk.written("short.md");
    desk.window.state_mut().state.prefs.settings.budget = 2000;
    desk.open_text(200);
    desk.click("Write into memory");
    desk.wait("some steps", |state| state.run.record.steps.len() > 2);
    desk.will_pick(&memory);
    desk.click("File");
    desk.click("Open a memory…");
    desk.wait("the question", |state| state.dialog != Dialog::None);
    assert!(desk.sees("Open another document?"));
    goes_on(&mut desk);
    desk.click("Stop and open");
    desk.wait("the memory", |state| {
        Desk::is_idle(state) && state.memory_written
    });
    assert_eq!(desk.state().memory.as_ref(), Some(&memory));
}

#[test]
fn no_run_begins_while_another_document_is_being_opened() {
    let mut desk = Desk::new();
    desk.open_text(100);
    // As with a large file: what it would take the place of is not begun.
    desk.window.state_mut().state.opening = 1;
    desk.click("Write into memory");
    assert!(desk.sees("Another document is being opened first."));
    assert!(desk.state().jobs.is_empty());
    desk.window.state_mut().state.opening = 0;
    desk.click("Write into memory");
    desk.wait("the memory", |state| state.memory_written);
}

#[test]
fn a_path_chosen_for_one_document_is_not_used_for_the_next() {
    let mut desk = Desk::new();
    let memory = desk.written("first.md");
    desk.written("second.md");
    let dialogs = Arc::clone(&desk.dialogs);
    let open = dialogs.lock().expect("no panic");
    let copy = desk.place("second copy.memory");
    desk.will_pick(&copy);
    desk.click("File");
    desk.click("Save the memory as…");
    desk.drop_file(&memory);
    desk.wait("the first one", |state| {
        state.opening == 0 && name_of(state) == "first.md"
    });
    desk.window.state_mut().state.note = None;
    drop(open);
    desk.wait("the answer", |state| state.note.is_some());
    assert!(desk.sees("nothing was saved"));
    assert!(!copy.exists());
}

#[test]
fn a_smaller_learning_rate_is_kept_where_a_write_goes_on() {
    let mut desk = Desk::in_a_long_write();
    stop(&mut desk);
    let lower = desk.state().settings().lr / 8.0;
    desk.window.state_mut().state.prefs.settings.lr = lower;
    let steps = desk.state().run.record.steps.len();
    desk.click("Go on");
    desk.wait("more steps", |state| {
        state.run.record.steps.len() > steps + 1
    });
    assert_eq!(desk.state().settings().lr, lower);
    assert!(desk.state().troubles.is_empty());
    stop(&mut desk);
}

#[test]
fn a_weighing_ends_its_own_turn_only() {
    const WEIGHING: u64 = 4242;
    const ASKING: u64 = 4243;
    let mut desk = Desk::new();
    desk.written("short.md");
    let app = desk.window.state_mut();
    let turn = |ended| Turn {
        question: "What burnt down?".to_owned(),
        scoring: Some(0),
        ended,
        ..Turn::default()
    };
    app.state.ask.turns = vec![turn(true), turn(false)];
    app.state.screen = Screen::Ask;
    for (id, task) in [(WEIGHING, Task::Score(0)), (ASKING, Task::Ask)] {
        app.state.jobs.insert(id, Job::new(task));
    }
    let end = |job| Report::Ended {
        job,
        end: End::Done,
    };
    app.outbox().tell(end(WEIGHING));
    desk.wait("the weighing", |state| !state.jobs.contains_key(&WEIGHING));
    let turns = &desk.state().ask.turns;
    assert_eq!((turns[0].scoring, turns[1].scoring), (None, Some(0)));
    assert!(!turns[1].ended, "its answer is still to come");
    desk.window.state().outbox().tell(end(ASKING));
    desk.wait("the answer", Desk::is_idle);
    let turns = &desk.state().ask.turns;
    assert!(turns[1].ended);
    assert_eq!(turns[1].scoring, Some(0), "it is still being weighed");
}

#[test]
fn a_measuring_that_was_cancelled_is_shaded_the_next_time() {
    let mut desk = Desk::new();
    desk.open_text(4000);
    desk.click("Read and measure");
    desk.wait("the model", |state| {
        state.model.ready().is_some() && state.is_busy_with(Task::Measure)
    });
    desk.click_now("Cancel");
    desk.wait("the end", Desk::is_idle);
    desk.click("Read and measure");
    desk.wait("the measuring", |state| {
        Desk::is_idle(state) && state.run.is_measured()
    });
    let open = desk.state().document.as_ref().expect("a document");
    assert!(open.tokens.is_some(), "nothing to shade");
}

#[test]
fn what_was_read_with_one_model_is_not_taken_for_another() {
    let mut desk = Desk::new();
    desk.open_text(150);
    desk.click("Read and measure");
    desk.wait("the measuring", Desk::is_idle);
    assert!(desk.sees("Write 12 steps"));
    let tokens_of = |desk: &Desk| {
        let open = desk.state().document.as_ref().expect("a document");
        open.tokens.as_ref().map(|_| open.tokens_of.clone())
    };
    assert_eq!(tokens_of(&desk), Some(tiny_model()));
    let other = tiny_model().replace("llama", "qwen2");
    desk.click("Model: llama");
    desk.will_pick(&other);
    desk.click("Choose a file…");
    desk.wait("the other model", |state| state.prefs.model == other);
    assert_eq!(tokens_of(&desk), None);
    assert!(!desk.sees("Write 12 steps") && desk.sees("Write into memory"));
    desk.click("Read and measure");
    desk.wait("the measuring", Desk::is_idle);
    assert_eq!(tokens_of(&desk), Some(other));
}

#[test]
fn a_write_that_never_begins_leaves_the_memory_at_hand() {
    let mut desk = Desk::new();
    let memory = desk.written("short.md");
    desk.window.state_mut().state.prefs.model = "/nowhere/model.gguf".to_owned();
    desk.click("Write again");
    desk.wait("the message", |state| {
        !state.troubles.is_empty() && Desk::is_idle(state)
    });
    assert!(desk.state().memory_written);
    assert_eq!(desk.state().memory.as_ref(), Some(&memory));
    desk.click("Ask about it");
    assert!(!desk.sees("There is no memory to ask yet"));
}

#[test]
fn a_run_that_is_discarded_cannot_be_gone_on_with() {
    let mut desk = Desk::in_a_long_write();
    desk.click("Home");
    desk.window.state().survey();
    desk.wait("a survey", |state| {
        let found = state.survey.as_ref();
        found.is_some_and(|survey| !survey.unfinished.is_empty())
    });
    assert!(
        !desk.sees("is not written to its end"),
        "it is being written"
    );
    desk.click("Write");
    stop(&mut desk);
    assert!(desk.sees("What was learned so far is kept"));
    desk.click("Home");
    desk.wait_until_seen("notes.md is not written to its end");
    desk.click("Discard");
    desk.wait("it to be gone", |state| state.memory.is_none());
    desk.click("Write");
    assert!(!desk.sees("Go on"));
    desk.get_labels("Write into memory");
}

#[test]
fn a_pause_before_the_first_step_shows_and_is_taken_back() {
    let mut desk = Desk::new();
    desk.window.state_mut().state.prefs.settings.budget = 2000;
    desk.open_text(4000);
    desk.click("Write into memory");
    desk.wait("the reading", |state| {
        state.is_busy_with(Task::Write) && !state.is_busy_with(Task::Load)
    });
    desk.click_now("Pause");
    assert_eq!(desk.state().pause, Pause::Asked);
    desk.get_labels("Pauses at the first step");
    desk.window.key_press(Key::Space);
    desk.window.run_steps(3);
    assert_eq!(desk.state().pause, Pause::No);
    desk.click_now("Pause");
    desk.wait("the pause", |state| state.pause == Pause::Reached);
    assert!(desk.state().run.record.steps.is_empty());
    desk.click_now("Go on");
    desk.wait("some steps", |state| state.run.record.steps.len() > 2);
    stop(&mut desk);
}

#[test]
fn text_that_was_typed_is_there_again_after_a_document_came_in_between() {
    let mut desk = Desk::with(prefs(), [1280.0, 800.0].into());
    desk.click("Paste text");
    desk.write_in("Text", "Typed words.");
    desk.open("other.md", text(30).as_bytes());
    assert_eq!(name_of(desk.state()), "other.md");
    desk.click("File");
    desk.click("Paste text…");
    desk.click("Open this text");
    desk.wait("the text", |state| {
        let open = state.document.as_ref();
        open.is_some_and(|open| open.document.text == "Typed words.")
    });
    assert!(desk.state().draft.is_empty());
}
