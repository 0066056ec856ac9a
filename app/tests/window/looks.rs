//! The main screens as they looked when somebody last looked at them, in both themes.

use std::sync::Arc;

use egui_kittest::SnapshotOptions;
use inscribe::memory::store::Asked;
use inscribe::write::reader::View;
use inscribe::write::synthetic::{Invented, events};
use inscribe_app::engine::{Answered, Survey};
use inscribe_app::state::Run;
use inscribe_app::state::ask::{Turn, VIEWS};
use inscribe_app::state::prefs::ThemeChoice;
use inscribe_app::vocabulary::{Screen, Selection};

use crate::desk::{Desk, invented, prefs};

/// Made with Mesa's llvmpipe; edges of letters fall otherwise on other drivers.
fn options() -> SnapshotOptions {
    SnapshotOptions::new().threshold(1.2).max_failed_pixels(600)
}

fn desk(dark: bool) -> Desk {
    let mut prefs = prefs();
    prefs.theme = if dark {
        ThemeChoice::Dark
    } else {
        ThemeChoice::Light
    };
    prefs.model = "smollm2-135m-instruct".to_owned();
    let mut desk = Desk::with(prefs, [1024.0, 700.0].into());
    // Nothing of this machine is to be seen.
    desk.window.state_mut().state.survey = Some(Survey::default());
    desk.window.run_ok();
    desk
}

/// A document with an invented run.
fn with_run(desk: &mut Desk) {
    let run = Invented {
        tokens: 5000,
        budget: 24,
        chunk: 512,
        ..Invented::default()
    };
    let state = &mut desk.window.state_mut().state;
    state.run = Run::of_events(Arc::new(events(&run)));
    state.prefs.settings = state.run.record.settings.clone().expect("started");
    state.document = Some(invented(&run, 4500));
    state.memory_written = true;
    state.prefs.controls_open = false;
    state.selection = Selection::chunk(0, 3);
    state.screen = Screen::Write;
    desk.window.run_ok();
}

/// Answers of three lengths, in cards of one height.
fn answered() -> Turn {
    let answer = |view, words: &str| {
        let pieces: Vec<String> = words.split_inclusive(' ').map(str::to_owned).collect();
        Answered {
            view,
            text: words.to_owned(),
            ids: (0..pieces.len() as u32).collect(),
            logprobs: (0..pieces.len()).map(|at| -0.7 * (at % 6) as f64).collect(),
            pieces,
            seconds: 1.5,
            segment: 0,
            ended: inscribe::model::generate::Ended::EndOfText,
        }
    };
    let words = "The mill burnt down in winter, and nobody knew why it did so. ";
    Turn {
        question: "Why did it burn?".to_owned(),
        views: VIEWS.to_vec(),
        answers: vec![
            answer(View::Nothing, "Nobody knew."),
            answer(View::Memory, words),
            answer(View::Document, &words.repeat(3)),
        ],
        ended: true,
        ..Turn::default()
    }
}

#[test]
fn the_screens_look_as_they_did() {
    let mut failures = Vec::new();
    for (dark, theme) in [(false, "light"), (true, "dark")] {
        let mut desk = desk(dark);
        let mut shot = |desk: &mut Desk, name: &str| {
            let name = format!("{name}-{theme}");
            let result = desk.window.try_snapshot_options(&name, &options());
            failures.extend(result.err().map(|error| error.to_string()));
        };
        shot(&mut desk, "welcome");
        with_run(&mut desk);
        shot(&mut desk, "written");
        let state = &mut desk.window.state_mut().state;
        state.ask.turns = vec![answered()];
        state.ask.history = vec![Asked {
            question: "What burnt down?".to_owned(),
            answer: "The mill burnt down in winter, and nobody knew why.".to_owned(),
            log_prob: Some(-0.42),
            seconds: 1.5,
            unix_secs: 1_763_700_000,
            cut: false,
        }];
        state.screen = Screen::Ask;
        desk.window.run_ok();
        shot(&mut desk, "ask");
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}
