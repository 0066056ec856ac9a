//! Pairs written into the small model that comes with the program, with no other model at hand.

use eframe::egui::{Key, Modifiers};
use egui_kittest::kittest::Queryable as _;
use inscribe_app::state::bench::MOST_STEPS;
use inscribe_app::state::prefs::ThemeChoice;
use inscribe_app::state::{ModelState, State};

use crate::desk::{Desk, prefs};

fn open(mut desk: Desk) -> Desk {
    desk.click("Learn");
    desk.choose("Writing bench");
    desk.wait("all steps", is_written);
    desk
}

/// Everything that stands in the fields is written.
fn is_written(state: &State) -> bool {
    let bench = &state.bench;
    let written = bench.written.as_ref();
    let all = written.is_some_and(|w| w.stages.len() == MOST_STEPS + 1);
    all && bench.asked.as_ref() == written.map(|w| &w.of) && !bench.is_fresh()
}

fn type_anew(desk: &mut Desk, field: &str, words: &str) {
    desk.window.get_by_label(field).focus();
    desk.window.run_ok();
    desk.window.key_press_modifiers(Modifiers::COMMAND, Key::A);
    desk.window.run_ok();
    desk.write_in(field, words);
}

#[test]
fn pairs_are_written_step_by_step_with_no_model_loaded() {
    let mut desk = open(Desk::new());
    assert!(matches!(desk.state().model, ModelState::None));
    assert!(desk.sees("No step yet: the memory is the same"));
    desk.get_labels("K = 0: 0 of 8 right");
    desk.slide("Gradient steps K", 2.0);
    assert_eq!(desk.state().bench.step, 2);
    assert!(desk.sees("2 gradient steps"));
    desk.get_labels("The text after 2 steps");
    desk.get_labels("The memory after 2 steps: 8 vectors of 128 numbers");
    desk.click("A step on");
    desk.click("A step back");
    desk.window.key_press(Key::ArrowRight);
    desk.window.run_ok();
    assert_eq!(desk.state().bench.step, 3);
    let label = desk.label_of("K = 5: ");
    desk.click(&label);
    assert_eq!(desk.state().bench.step, 5);
    desk.click("Back to no step");
    assert_eq!(desk.state().bench.step, 0);
    desk.click_now("Play the steps");
    desk.wait("the last step", |state| {
        state.bench.step == MOST_STEPS && state.bench.playing.is_none()
    });
    let written = desk.state().bench.written.as_ref().expect("written");
    println!("seconds of each step, 8 pairs: {:.4?}", written.seconds);
    assert!(desk.state().troubles.is_empty());
}

#[test]
fn pairs_are_typed_drawn_added_and_taken_away() {
    let mut desk = open(Desk::new());
    type_anew(&mut desk, "Key 1", "q");
    assert!(desk.sees("Pair 1: the key 'q' is not two letters or digits"));
    desk.window.get_by_label("Key 1").type_text("7");
    desk.window.run_ok();
    desk.wait("the typed pair", is_written);
    let shown = |desk: &Desk| desk.state().bench.written.clone().expect("written").of;
    assert_eq!(shown(&desk).pairs[0].key, "q7");
    type_anew(&mut desk, "Key 2", "q7");
    assert!(desk.sees("Pairs 1 and 2 have the same key"));
    desk.click("Remove pair 2");
    desk.wait("seven pairs", is_written);
    assert_eq!(shown(&desk).pairs.len(), 7);
    desk.click("Add a pair");
    desk.wait("eight pairs", is_written);
    assert_eq!(shown(&desk).pairs[0].key, "q7");
    desk.click("Draw other pairs");
    desk.wait("other pairs", is_written);
    assert_ne!(shown(&desk).pairs[0].key, "q7");
    desk.slide("Pairs", 32.0);
    desk.slide("Memory rows", 1.0);
    desk.wait("many pairs", is_written);
    let written = desk.state().bench.written.clone().expect("written");
    let stage = &written.stages[MOST_STEPS];
    assert_eq!((stage.context.len(), stage.answers.len()), (225, 32));
    assert_eq!(stage.memory.len(), 128);
    println!("seconds of each step, 32 pairs: {:.4?}", written.seconds);
}

#[test]
fn the_bench_waits_for_a_write_and_comes_after_it() {
    let mut desk = Desk::in_a_long_write();
    desk.click_now("Learn");
    desk.window
        .get_by_role_and_label(eframe::egui::Role::RadioButton, "Writing bench")
        .click();
    desk.window.run_steps(3);
    assert!(desk.sees("The engine does something else at present"));
    desk.click_now("Write");
    desk.click_now("Cancel");
    desk.wait("the end", Desk::is_idle);
    let desk = open(desk);
    assert!(
        desk.state().troubles.is_empty(),
        "{:?}",
        desk.state().troubles
    );
}

#[test]
fn the_bench_is_there_at_every_size_in_both_themes() {
    let sizes = [
        (960, 640),
        (1024, 700),
        (1280, 800),
        (2560, 1440),
        (3840, 2160),
    ];
    for (width, height) in sizes {
        for theme in [ThemeChoice::Light, ThemeChoice::Dark] {
            let prefs = inscribe_app::state::Prefs { theme, ..prefs() };
            let size = [width as f32, height as f32].into();
            let mut desk = open(Desk::with(prefs, size));
            let name = format!("bench-{width}x{height}-{theme:?}").to_lowercase();
            desk.shot(&format!("{name}-k0"));
            desk.slide("Gradient steps K", 2.0);
            desk.shot(&format!("{name}-k2"));
            let map = desk
                .window
                .get_by_label_contains("The memory after 2 steps");
            let (map, all) = (map.rect(), desk.window.ctx.content_rect());
            assert!(
                map.left() > 0.0 && map.right() < all.right(),
                "{map:?} in {all:?}"
            );
        }
    }
}
