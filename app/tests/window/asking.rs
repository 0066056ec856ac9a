//! Questions: where they are typed, where they are clicked, and how answers end.

use std::cell::Cell;

use eframe::egui::Event;
use egui_kittest::kittest::Queryable;
use inscribe_app::state::State;

use crate::desk::{Desk, prefs, text};

fn is_answered(state: &State) -> bool {
    Desk::is_idle(state) && state.ask.turns.last().is_some_and(|turn| turn.ended)
}

#[test]
fn a_question_is_typed_on_arrival_or_clicked_and_a_cut_is_seen() {
    let mut desk = Desk::with(prefs(), [1280.0, 800.0].into());
    desk.written("short.md");
    desk.click("Ask about it");
    assert!(
        desk.state().ask.side_by_side,
        "what a memory does is seen beside others"
    );
    desk.window.event(Event::Text("Why?".to_owned()));
    desk.window.run_ok();
    assert_eq!(
        desk.state().ask.question,
        "Why?",
        "the field has the keyboard"
    );
    desk.click_button("Ask");
    desk.wait("the answers", is_answered);
    let turn = &desk.state().ask.turns[0];
    assert_eq!(turn.answers.len(), 3);
    let cut = turn.answers.iter().find(|answer| answer.is_cut());
    let tokens = cut.expect("six tokens are too few").ids.len();
    assert!(desk.sees(&format!("Cut at {tokens} tokens")));
    assert!(desk.sees("Shading of the answers"));
    let chip = "What is this document about?";
    desk.click(chip);
    desk.wait("the answers", |state| {
        state.ask.turns.len() == 2 && is_answered(state)
    });
    assert_eq!(desk.state().ask.turns[1].question, chip);
    let button = eframe::egui::accesskit::Role::Button;
    let again = desk.window.query_by_role_and_label(button, chip);
    assert!(again.is_none(), "it was asked");
    desk.shot("asked");
}

#[test]
fn the_sample_has_questions_of_its_own() {
    let mut desk = Desk::new();
    desk.click("Try the sample");
    desk.wait("the sample", |state| state.document.is_some());
    let place = desk.place("sample.memory");
    let state = &mut desk.window.state_mut().state;
    (state.memory, state.memory_written) = (Some(place), true);
    desk.click("Ask");
    assert!(desk.sees("In which year was the Tide House founded?"));
    desk.shot("sample-questions");
}

#[test]
fn what_was_just_read_is_not_read_again_for_the_first_question() {
    let mut small = prefs();
    small.settings.budget = 2;
    let mut desk = Desk::with(small, [1280.0, 800.0].into());
    // One part: it fits the tiny context.
    desk.open("short.md", text(60).as_bytes());
    desk.click("Write into memory");
    desk.wait("the memory", |state| {
        state.memory_written && Desk::is_idle(state)
    });
    desk.click("Ask about it");
    desk.write_in("Question", "What burnt down?");
    desk.click_button("Ask");
    let read = Cell::new(false);
    desk.wait("the answers", |state| {
        read.set(read.get() || state.ask.reading.is_some());
        is_answered(state)
    });
    assert!(!read.get(), "its keys and values were kept");
    assert!(desk.state().troubles.is_empty());
}
