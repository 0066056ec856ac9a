//! The sample from opening to saving, as a person goes through it, with the default model. The
//! pictures stay in the target folder.

#[path = "window/desk.rs"]
mod desk;

use std::cell::Cell;
use std::path::Path;
use std::time::Instant;

use inscribe::model::hub;
use inscribe::model::transformer::Cache;
use inscribe::write::record::Status;
use inscribe_app::state::Prefs;

use desk::{Desk, Setup};

/// Few steps: this is about the way, and two cores without a graphics card walk it.
const STEPS: usize = 3;

fn prefs() -> Prefs {
    let mut prefs = Prefs {
        device: "cpu".to_owned(),
        max_tokens: 16,
        ..Prefs::default()
    };
    prefs.settings.budget = STEPS;
    prefs.settings.evaluate = false;
    prefs
}

#[test]
fn the_sample_is_opened_written_asked_and_saved_with_the_default_model() {
    let mut desk = Desk::set_up(Setup {
        prefs: prefs(),
        real_models: true,
        ..Setup::default()
    });
    desk.shots = Some(Path::new(env!("CARGO_TARGET_TMPDIR")).join("story"));
    desk.shot("1-welcome");
    desk.click("Try the sample");
    desk.wait("the sample", |state| state.document.is_some());
    desk.shot("2-opened");
    desk.click("Write into memory");
    desk.wait("the model", |state| state.model.ready().is_some());
    let model = desk.state().model.ready().expect("a model");
    let known = hub::known(hub::DEFAULT).expect("a known model");
    let (sizes, published) = (&model.config, (known.config)());
    assert_eq!(sizes.parameters(), published.parameters());
    assert_eq!(Cache::bytes(sizes, 1), Cache::bytes(&published, 1));
    assert_eq!(sizes.context, published.context);
    desk.wait("the first step", |state| !state.run.record.steps.is_empty());
    desk.shot("3-writing");
    desk.wait("the memory", Desk::is_idle);
    let state = desk.state();
    assert!(state.memory_written, "{:?}", state.troubles);
    assert_eq!(state.run.record.status, Status::Done);
    assert_eq!(state.run.record.steps.len(), STEPS);
    assert!(state.run.record.tokens() > 4000, "the whole sample");
    desk.shot("4-written");
    desk.click("Ask about it");
    desk.write_in(
        "Question",
        "What was the profession of the founder of the house?",
    );
    desk.click_button("Ask");
    let (read, asked) = (Cell::new(false), Instant::now());
    desk.wait("the first words", |state| {
        read.set(read.get() || state.ask.reading.is_some());
        let turn = state.ask.turns.first();
        turn.is_some_and(|turn| turn.answers.len() == 1 && turn.streaming.is_some())
    });
    println!(
        "the first answer after {:.1} s",
        asked.elapsed().as_secs_f32()
    );
    desk.wait("the answers", |state| {
        read.set(read.get() || state.ask.reading.is_some());
        Desk::is_idle(state) && state.ask.turns.iter().any(|turn| turn.ended)
    });
    println!("all answers after {:.1} s", asked.elapsed().as_secs_f32());
    assert!(!read.get(), "the document is read once, when it is written");
    let state = desk.state();
    let answer = state.ask.turns[0].answers.first();
    let answer = answer.unwrap_or_else(|| panic!("{:?}", state.troubles));
    assert!(!answer.text.trim().is_empty());
    assert_eq!(answer.ids.len(), answer.logprobs.len());
    desk.shot("5-asked");
    let copy = desk.place("kept.memory");
    desk.will_pick(&copy);
    desk.click("File");
    desk.click("Save the memory as…");
    desk.wait("the copy", |state| {
        state.memory.as_deref() == Some(copy.as_path())
    });
    for file in ["memory.json", "events.jsonl", "history.jsonl"] {
        assert!(copy.join(file).is_file(), "{file}");
    }
    assert!(
        desk.state().troubles.is_empty(),
        "{:?}",
        desk.state().troubles
    );
}
