//! The bar at the top, the keyboard, the messages, and names of any length.

use eframe::egui::{self, Key, Modifiers, vec2};
use egui_kittest::kittest::Queryable;
use inscribe_app::engine::UnfinishedInfo;
use inscribe_app::vocabulary::Screen;

use crate::desk::{Desk, prefs, text};

#[test]
fn names_of_any_length_stay_in_the_window() {
    let long = format!("{}.md", "a very long name indeed ".repeat(9));
    for size in [vec2(1280.0, 800.0), vec2(960.0, 640.0)] {
        let mut desk = Desk::with(prefs(), size);
        desk.open(&long, text(60).as_bytes());
        desk.open("short.md", text(60).as_bytes());
        let stopped = UnfinishedInfo {
            folder: desk.place("long.memory"),
            document: long.clone(),
            model: "model ".repeat(30),
            step: 3,
            of: 8,
        };
        if let Some(survey) = &mut desk.window.state_mut().state.survey {
            survey.unfinished.push(stopped);
        }
        desk.click("Home");
        desk.shot("long-names");
        let mut seen = 0;
        for label in [
            "a very long name",
            "Forget ",
            "short",
            "Discard",
            "Go on",
            "New to this",
        ] {
            for node in desk.window.query_all_by_label_contains(label) {
                let rect = node.rect();
                assert!(
                    rect.left() >= 0.0 && rect.right() <= size.x,
                    "{label}: {rect:?}"
                );
                seen += 1;
            }
        }
        assert!(seen >= 8, "{seen}");
        let button = desk.window.get_by_label("Open a document").rect();
        let sample = desk.window.get_by_label("Paste text").rect();
        let middle = (button.left() + sample.right()) / 2.0;
        assert!(
            (middle - size.x / 2.0).abs() < 8.0,
            "the page stays in the middle"
        );
    }
}

#[test]
fn the_tabs_keep_clear_of_what_is_right_of_them_at_every_size() {
    let mut named = prefs();
    named.model = "/models/SmolLM2-135M-Instruct-with-a-long-name.Q4_1.gguf".to_owned();
    // The least window at sizes of 100, 125 and 150 percent.
    for (width, height) in [(960.0, 640.0), (768.0, 512.0), (640.0, 427.0)] {
        let mut desk = Desk::with(named.clone(), vec2(width, height));
        desk.window.run_ok();
        let replay = desk.window.get_by_label("Replay").rect();
        let model = desk.window.query_all_by_label_contains("Model: ").next();
        let model = model.expect("the chip").rect();
        let view = desk.window.get_by_label("View").rect();
        desk.shot("tabs");
        assert!(
            replay.right() <= model.left(),
            "{width}: {replay:?} {model:?}"
        );
        assert!(view.right() <= width, "{width}: {view:?}");
    }
}

#[test]
fn the_size_that_keys_choose_is_the_one_that_is_kept() {
    let mut desk = Desk::new();
    let sizes = |desk: &Desk| (desk.window.ctx.zoom_factor(), desk.state().prefs.zoom);
    for (key, expected) in [(Key::Plus, 1.1), (Key::Plus, 1.2), (Key::Num0, 1.0)] {
        desk.window.key_press_modifiers(Modifiers::COMMAND, key);
        desk.window.run_ok();
        desk.window.run_ok();
        assert_eq!(sizes(&desk), (expected, expected), "{key:?}");
    }
    desk.click("View");
    desk.click("125 %");
    desk.window.run_ok();
    assert_eq!(sizes(&desk), (1.25, 1.25));
}

#[test]
fn the_keyboard_goes_through_the_bar_from_left_to_right() {
    let mut desk = Desk::new();
    desk.open_text(60);
    let mut last = -1.0;
    let mut stops = 0;
    for _ in 0..10 {
        desk.window.key_press(Key::Tab);
        desk.window.run_ok();
        let ctx = desk.window.ctx.clone();
        let focused = ctx.memory(|memory| memory.focused());
        let response = focused.and_then(|id| ctx.read_response(id));
        let rect = response.expect("something has the keyboard").rect;
        assert!(rect.left() > last, "{rect:?} after {last}");
        assert!(rect.bottom() < 60.0, "in the bar");
        last = rect.left();
        stops += 1;
    }
    assert_eq!(stops, 10, "home, five tabs, model, device and two menus");
}

#[test]
fn keys_go_to_the_screens() {
    let mut desk = Desk::new();
    let press = |desk: &mut Desk, key| {
        desk.window.key_press_modifiers(Modifiers::COMMAND, key);
        desk.window.run_ok();
        desk.state().screen
    };
    assert_eq!(
        press(&mut desk, Key::Num1),
        Screen::Welcome,
        "nothing is open"
    );
    desk.open_text(60);
    for (key, screen) in [
        (Key::Num3, Screen::Compare),
        (Key::Num2, Screen::Ask),
        (Key::Num4, Screen::Learn),
        (Key::Num5, Screen::Replay),
        (Key::Num1, Screen::Write),
    ] {
        assert_eq!(press(&mut desk, key), screen);
    }
}

#[test]
fn messages_take_one_bar_and_go_with_what_goes_well() {
    let mut desk = Desk::new();
    let alerts = |desk: &Desk| {
        let role = egui::accesskit::Role::Alert;
        desk.window.query_all_by_role(role).count()
    };
    let fail = |desk: &mut Desk| {
        for at in 0..5 {
            desk.open(
                &format!("broken {at}.txt"),
                &[0x05, 0x00, 0xff, 0xfe, 0x01, at],
            );
        }
    };
    fail(&mut desk);
    assert_eq!((desk.state().troubles.len(), alerts(&desk)), (5, 1));
    assert!(desk.sees("broken 4.txt") && desk.sees("and 4 more"));
    assert!(!desk.sees("0x"), "no bytes for a person with a broken file");
    desk.shot("messages");
    desk.click("and 4 more");
    assert!(desk.sees("broken 0.txt") && desk.sees("Fewer"));
    desk.shot("messages-all");
    desk.window.key_press(Key::Escape);
    desk.window.run_ok();
    assert!(desk.state().troubles.is_empty());
    fail(&mut desk);
    desk.open_text(60);
    assert!(desk.state().troubles.is_empty(), "the next one went well");
}
