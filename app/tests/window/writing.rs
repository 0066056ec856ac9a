//! Measuring, writing, pausing, stopping and going on.

use eframe::egui::Key;
use inscribe::write::record::Status;
use inscribe_app::state::Task;

use crate::desk::{Desk, prefs};

#[test]
fn a_document_is_measured_written_and_asked() {
    let mut desk = Desk::new();
    desk.open_text(400);
    desk.shot("opened");
    desk.click("Read and measure");
    desk.wait("the measuring", Desk::is_idle);
    assert!(
        desk.state().run.is_measured(),
        "{:?}",
        desk.state().troubles
    );
    assert_eq!(desk.state().preview.total(), 12);
    assert!(desk.sees("12 steps over"));
    desk.window.key_press(Key::ArrowRight);
    desk.window.run_ok();
    assert_eq!(
        desk.state().selection.chunk,
        Some(0),
        "the arrow chooses a chunk"
    );
    desk.shot("measured");
    desk.click("Write 12 steps");
    desk.wait("the write", Desk::is_idle);
    let state = desk.state();
    assert!(state.memory_written, "{:?}", state.troubles);
    assert_eq!(state.run.record.status, Status::Done);
    assert_eq!(state.run.record.steps.len(), 12);
    let memory = state.memory.clone().expect("a place");
    assert!(memory.join("memory.json").is_file());
    desk.shot("written");
    desk.click("Ask about it");
    desk.write_in("Question", "What burnt down?");
    desk.click("Side by side");
    desk.click_button("Ask");
    desk.wait("the answers", |state| {
        !state.ask.turns.is_empty() && Desk::is_idle(state)
    });
    let turn = &desk.state().ask.turns[0];
    assert_eq!(turn.answers.len(), 3, "{:?}", desk.state().troubles);
    assert!(turn.answers.iter().all(|a| a.logprobs.len() == a.ids.len()));
    desk.shot("asked");
}

#[test]
fn a_write_is_paused_stopped_and_gone_on_with_by_another_window() {
    let mut slow = prefs();
    slow.settings.budget = 400;
    let mut desk = Desk::with(slow.clone(), [1280.0, 800.0].into());
    desk.open_text(300);
    desk.click("Write into memory");
    desk.wait("some steps", |state| state.run.record.steps.len() > 3);
    desk.click("Pause");
    desk.wait("the pause", |state| {
        state.run.record.status == Status::Paused
    });
    let steps = desk.state().run.record.steps.len();
    std::thread::sleep(std::time::Duration::from_millis(100));
    desk.window.step();
    assert_eq!(desk.state().run.record.steps.len(), steps, "it went on");
    desk.shot("paused");
    desk.click("Go on");
    desk.wait("more steps", |state| {
        state.run.record.steps.len() > steps + 3
    });
    desk.click("Cancel");
    desk.wait("the end", Desk::is_idle);
    assert!(!desk.state().memory_written);
    let steps = desk.state().run.record.steps.len();
    assert!(steps < 400);
    let Desk { window, folder, .. } = desk;
    drop(window);
    let mut desk = Desk::at(folder, slow);
    desk.wait("the stopped run", |state| {
        state
            .survey
            .as_ref()
            .is_some_and(|s| !s.unfinished.is_empty())
    });
    assert!(desk.sees("notes.md is not written to its end"));
    desk.shot("unfinished");
    desk.click("Go on");
    desk.wait("it to go on", |state| state.is_busy_with(Task::Write));
    desk.wait("its end", Desk::is_idle);
    assert!(desk.state().memory_written, "{:?}", desk.state().troubles);
    let taken: Vec<usize> = desk
        .state()
        .run
        .record
        .steps
        .iter()
        .map(|s| s.step.step)
        .collect();
    assert_eq!(
        (taken.len(), taken.first(), taken.last()),
        (400, Some(&1), Some(&400))
    );
    assert!(taken.is_sorted());
}
