//! What the screen of the open document shows at each moment, without scrolling.

use std::sync::Arc;

use eframe::egui::accesskit::Role;
use egui_kittest::kittest::Queryable;
use inscribe::write::event::Event;
use inscribe::write::synthetic::{Invented, events};
use inscribe_app::state::{Run, Task};
use inscribe_app::vocabulary::Screen;

use crate::desk::{Desk, invented, prefs, text};

/// A document with an invented run whose first `quiet` tokens read the same in both passes.
fn with_run(quiet: usize) -> Desk {
    let mut desk = Desk::new();
    let run = Invented {
        tokens: 5000,
        chunk: 512,
        ..Invented::default()
    };
    let mut events = events(&run);
    let whole = events.iter().find_map(|event| match event {
        Event::Prefilled { surprisal, .. } => Some(surprisal.clone()),
        _ => None,
    });
    let whole = whole.expect("it was read");
    for event in &mut events {
        if let Event::LocallyRead { surprisal, .. } = event {
            surprisal[..quiet].clone_from_slice(&whole[..quiet]);
        }
    }
    let state = &mut desk.window.state_mut().state;
    state.opened += 1;
    state.document = Some(invented(&run, 4500));
    state.run = Run::of_events(Arc::new(events));
    // The text of the document has other places for its tokens than the invented run.
    state.run.tokens = None;
    state.screen = Screen::Write;
    desk.window.run_ok();
    desk.window.run_ok();
    desk
}

#[test]
fn what_moves_while_it_is_written_is_in_sight() {
    let mut desk = Desk::in_a_long_write();
    desk.window.step();
    let curve = desk.window.get_by_label_contains("Curve of").rect();
    let bars = desk.window.query_all_by_role(Role::ProgressIndicator);
    let bars: Vec<_> = bars.map(|bar| bar.rect()).collect();
    assert_eq!(bars.len(), 1, "one bar says how far it is");
    assert!(curve.height() > 80.0, "{curve:?}");
    assert!(curve.bottom() < bars[0].top(), "{curve:?} {bars:?}");
    let strips = desk.window.get_by_label("Chunks along the document").rect();
    assert!(strips.top() > 0.0 && strips.bottom() < curve.top());
    assert!(desk.sees("Step "), "the line says which step");
    desk.click_now("Cancel");
    desk.wait("the end", Desk::is_idle);
}

#[test]
fn the_text_opens_where_distant_context_matters_most() {
    let desk = with_run(512);
    let text = &desk.window.state().views.text;
    assert_eq!(
        text.shades().quiet,
        vec![0..512],
        "nothing is distant there"
    );
    let hottest = text.hottest().expect("a place");
    assert!(hottest.seen && hottest.byte > 0, "{hottest:?}");
    desk.get_labels("Here the far text matters most");
}

#[test]
fn a_text_shorter_than_the_window_says_so_and_helps() {
    let mut wide = prefs();
    wide.settings.window = 128;
    let mut desk = Desk::with(wide, [1280.0, 800.0].into());
    desk.open("short.md", text(40).as_bytes());
    desk.click("Read and measure");
    desk.wait("the measuring", Desk::is_idle);
    desk.get_labels("nothing in it is. Use a longer text, or a smaller window");
    let button = desk.window.get_by_label_contains("Use a window of ");
    button.click();
    desk.window.run_ok();
    desk.wait("the measuring", Desk::is_idle);
    let state = desk.state();
    assert!(state.settings().window < 128);
    assert!(state.run.is_measured(), "{:?}", state.troubles);
    let record = &state.run.record;
    assert!(record.utility_range().is_some_and(|(_, high)| high > 0.0));
    assert!(!desk.sees("nothing in it is. Use a longer text"));
}

#[test]
fn a_memory_that_is_opened_again_is_shaded_without_its_model() {
    let mut desk = Desk::new();
    let memory = desk.written("mill.md");
    let Desk { window, folder, .. } = desk;
    drop(window);
    let mut desk = Desk::at(folder, prefs());
    desk.drop_file(&memory);
    desk.wait("the memory", |state| state.memory_written);
    desk.window.run_ok();
    let state = desk.state();
    assert!(state.model.ready().is_none() && !state.is_busy_with(Task::Load));
    let tokens = state.token_bytes().expect("the memory tells");
    let length = state
        .document
        .as_ref()
        .expect("its document")
        .document
        .text
        .len();
    assert_eq!(tokens.last().map(|last| last.end), Some(length));
    let shades = desk.window.state().views.text.shades();
    assert!(shades.is_known());
    assert_eq!(shades.values.len(), tokens.len());
    desk.get_labels("Shading: ");
}

#[test]
fn the_plan_follows_the_settings_until_the_first_step() {
    let mut desk = Desk::new();
    desk.open_text(400);
    desk.click("Read and measure");
    desk.wait("the measuring", Desk::is_idle);
    desk.get_labels("Plan: 12 steps");
    desk.slide("Budget K", 7.0);
    desk.get_labels("Plan: 7 steps");
    assert!(desk.sees("Write 7 steps") && !desk.sees("12 steps"));
}
