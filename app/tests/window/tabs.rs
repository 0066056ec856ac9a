//! The window's other screens by their labels, what it remembers, and its looks.

use std::collections::HashMap;

use eframe::App as _;
use eframe::egui::{self, Key, Modifiers};
use egui_kittest::kittest::Queryable;
use inscribe_app::state::Prefs;
use inscribe_app::state::prefs::ThemeChoice;
use inscribe_app::vocabulary::{Screen, Selection};

use crate::desk::{Desk, prefs};

/// A memory of a short document: its window and its folder.
fn written() -> Desk {
    let mut small = prefs();
    small.settings.budget = 6;
    let mut desk = Desk::with(small, [1280.0, 800.0].into());
    desk.open_text(150);
    desk.click("Write into memory");
    desk.wait("the memory", |state| state.memory_written);
    desk
}

#[test]
fn a_saved_run_is_played_at_any_speed_from_any_moment() {
    let mut desk = written();
    let memory = desk.state().memory.clone().expect("a folder");
    desk.click("Replay");
    desk.will_pick(&memory);
    desk.click("Open a saved run…");
    desk.wait_for("the run", |app| app.views.replay.player.is_some());
    desk.click_now("128×");
    let player = |desk: &Desk| {
        let views = &desk.window.state().views;
        let player = views.replay.player.as_ref().expect("a run");
        (
            player.clock() / player.length(),
            player.record().steps.len(),
            player.speed(),
        )
    };
    assert_eq!(player(&desk).2, 128.0);
    desk.click_now("Back to the start");
    if desk.sees("Pause") {
        desk.click_now("Pause");
    }
    desk.click_now("Back to the start");
    assert_eq!(player(&desk).1, 0);
    desk.click_now("Moment of the run, seconds");
    assert!((player(&desk).0 - 0.5).abs() < 0.05, "{:?}", player(&desk));
    desk.click_now("Back to the start");
    let mut steps = player(&desk).1;
    while steps < 6 {
        desk.click_now("Step on");
        assert_eq!(player(&desk).1, steps + 1);
        steps += 1;
    }
    desk.click_now("Step back");
    assert_eq!(player(&desk).1, 5);
}

#[test]
fn the_run_at_hand_is_compared_with_a_saved_one() {
    let mut desk = written();
    let memory = desk.state().memory.clone().expect("a folder");
    desk.click("Compare");
    desk.will_pick(&memory);
    desk.click("Compare this run with…");
    assert!(desk.sees("Memory: notes"), "own runs need no dialog");
    desk.click("From a file…");
    desk.wait_until_seen("B, Chunk 1");
    desk.get_labels("A, Chunk 1");
    assert!(desk.sees("Mean loss after"));
    desk.shot("compare-own");
}

#[test]
fn the_lesson_takes_the_numbers_of_the_run_at_hand() {
    let mut desk = written();
    desk.click("Learn");
    assert!(desk.sees("With the numbers of notes.md"));
    desk.click("Next");
    desk.window.key_press(Key::PageDown);
    desk.window.run_ok();
    assert!(desk.sees("3.  Utility"));
}

#[test]
fn a_chunk_that_is_clicked_is_shown_in_the_text_and_by_itself() {
    let mut desk = written();
    let chunks = desk.state().run.record.segments[0].chunks.len();
    assert!(chunks > 1);
    let role = egui::accesskit::Role::ListBoxOption;
    let nodes = desk.window.query_all_by_role(role);
    nodes.into_iter().nth(1).expect("a chunk").click();
    desk.window.run_ok();
    assert_eq!(desk.state().selection, Selection::chunk(0, 1));
    desk.window
        .query_all_by_label_contains("Chunk 2")
        .next()
        .expect("its numbers");
    // Back by the keyboard, and to no chunk at all.
    desk.window.key_press(Key::ArrowLeft);
    desk.window.run_ok();
    assert_eq!(desk.state().selection.chunk, Some(0));
    desk.window.key_press(Key::Escape);
    desk.window.run_ok();
    assert_eq!(desk.state().selection, Selection::default());
}

#[test]
fn the_minimap_takes_one_anywhere_in_the_text() {
    let mut desk = Desk::new();
    let lines: Vec<String> = (0..400).map(|n| format!("Paragraph {n}.")).collect();
    desk.open("long.md", lines.join("\n\n").as_bytes());
    assert!(desk.sees("Paragraph 0.") && !desk.sees("Paragraph 200."));
    desk.click("Minimap");
    assert!(desk.sees("Paragraph 200.") && !desk.sees("Paragraph 0."));
    let map = desk.window.get_by_label("Minimap").rect();
    desk.window.drag_at(map.center());
    desk.window.hover_at(map.center_bottom());
    desk.window.run_ok();
    desk.window.drop_at(map.center_bottom());
    desk.window.run_ok();
    assert!(desk.sees("Paragraph 399.") && !desk.sees("Paragraph 200."));
}

#[test]
fn a_token_under_the_pointer_tells_both_surprisals() {
    let mut desk = Desk::new();
    let sentence = "The mill burnt down in winter, and nobody knew why. ";
    desk.open("mill.md", sentence.repeat(12).as_bytes());
    desk.click("Read and measure");
    desk.wait("the measuring", Desk::is_idle);
    let place = {
        let words = desk.window.query_all_by_label_contains("burnt down").nth(1);
        words.expect("a row of the text").rect()
    };
    desk.window
        .hover_at(egui::pos2(place.left() + 60.0, place.center().y));
    desk.window.run_ok();
    assert!(desk.sees("Surprisal after all that comes before"));
    assert!(desk.sees("after the nearest 16 tokens"));
    desk.shot("token-hovered");
    // Signed on request.
    desk.click("Signed");
    assert!(desk.state().prefs.signed && desk.state().prefs.shading);
    desk.click("Plain");
    assert!(!desk.state().prefs.shading);
}

/// What eframe keeps for the next start.
#[derive(Default)]
struct Kept(HashMap<String, String>);

impl eframe::Storage for Kept {
    fn get_string(&self, key: &str) -> Option<String> {
        self.0.get(key).cloned()
    }

    fn set_string(&mut self, key: &str, value: String) {
        self.0.insert(key.to_owned(), value);
    }

    fn remove_string(&mut self, key: &str) {
        self.0.remove(key);
    }

    fn flush(&mut self) {}
}

#[test]
fn looks_settings_and_recent_files_are_there_the_next_time() {
    let mut desk = Desk::new();
    desk.open_text(100);
    for (entry, dark) in [("Dark", true), ("Light", false), ("Dark", true)] {
        desk.click("View");
        desk.click(entry);
        desk.window.key_press(Key::Escape);
        desk.window.run_ok();
        assert_eq!(
            desk.window.ctx.global_style().visuals.dark_mode,
            dark,
            "{entry}"
        );
    }
    desk.click("View");
    desk.click("150 %");
    desk.window.key_press(Key::Escape);
    desk.window.run_ok();
    desk.window.run_ok();
    assert_eq!(desk.window.ctx.zoom_factor(), 1.5);
    desk.slide("Budget K", 20.0);
    let mut kept = Kept::default();
    desk.window.state_mut().save(&mut kept);
    let text = kept.0.values().next().expect("something is kept").clone();
    let Desk { window, folder, .. } = desk;
    drop(window);
    let mut desk = Desk::at(folder, Prefs::from_text(&text));
    let prefs = &desk.state().prefs;
    assert_eq!((prefs.theme, prefs.zoom), (ThemeChoice::Dark, 1.5));
    assert_eq!(prefs.settings.budget, 20);
    desk.click("notes.md");
    desk.wait("the recent file", |state| state.document.is_some());
    assert_eq!(desk.state().screen, Screen::Write);
    desk.click("Home");
    desk.click("Forget notes.md");
    assert!(desk.state().prefs.recent.is_empty());
    assert!(!desk.sees("Recent"));
}

#[test]
fn keys_open_and_pause() {
    let mut desk = Desk::new();
    let path = desk.place("by-key.txt");
    std::fs::write(&path, crate::desk::text(200)).expect("room");
    desk.will_pick(&path);
    desk.window.key_press_modifiers(Modifiers::COMMAND, Key::O);
    desk.window.run_ok();
    desk.wait("the document", |state| state.document.is_some());
    desk.window.state_mut().state.prefs.settings.budget = 2000;
    desk.click("Write into memory");
    desk.wait("some steps", |state| state.run.record.steps.len() > 2);
    desk.window.key_press(Key::Space);
    desk.wait("the pause", |state| {
        state.run.record.status == inscribe::write::record::Status::Paused
    });
    desk.window.key_press(Key::Space);
    let steps = desk.state().run.record.steps.len();
    desk.wait("more steps", |state| state.run.record.steps.len() > steps);
    desk.click("Cancel");
    desk.wait("the end", Desk::is_idle);
}
