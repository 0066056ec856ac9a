//! What goes wrong is said in place, and the window lives on.

use std::io::ErrorKind;
use std::path::Path;

use eframe::egui::{ViewportEvent, ViewportId};
use inscribe::engine::EngineError;
use inscribe_app::engine::{End, Report};
use inscribe_app::state::{Job, Task};
use inscribe_app::trouble::{Failure, Trouble};
use inscribe_app::vocabulary::{Dialog, Screen};

use crate::desk::{Desk, prefs, tiny_model};

#[test]
fn a_bad_model_is_named_and_another_can_be_chosen() {
    let mut wrong = prefs();
    wrong.model = "/nowhere/model.gguf".to_owned();
    let mut desk = Desk::with(wrong, [1280.0, 800.0].into());
    desk.open_text(100);
    desk.click("Write into memory");
    desk.wait("the message", |state| {
        !state.troubles.is_empty() && Desk::is_idle(state)
    });
    assert!(desk.sees("There is no such model"));
    desk.shot("no-model");
    // One that is damaged.
    let path = desk.place("damaged.gguf");
    std::fs::write(&path, b"GGUF\x03\0\0\0 and nothing that follows").expect("room");
    desk.drop_file(&path);
    desk.click("Write into memory");
    desk.wait("the message", |state| {
        state.troubles.len() > 1 && Desk::is_idle(state)
    });
    assert!(desk.sees("The model cannot be used"));
    // And a good one after them.
    desk.window.state_mut().state.prefs.model = tiny_model();
    desk.click("Write into memory");
    desk.wait("the memory", |state| state.memory_written);
}

#[test]
fn a_folder_that_cannot_be_written_is_said_in_place() {
    let mut desk = Desk::new();
    std::fs::write(desk.place("memories"), "a file where the folder should be").expect("room");
    desk.open_text(100);
    desk.click("Write into memory");
    desk.wait("the message", |state| {
        !state.troubles.is_empty() && Desk::is_idle(state)
    });
    assert!(!desk.state().memory_written);
    // The figure of what was read is refused as well where there is no folder.
    desk.window.state_mut().state.troubles.clear();
    desk.click("Read and measure");
    desk.wait("the measuring", Desk::is_idle);
    desk.will_pick(desk.place("no folder/here/figure.svg"));
    desk.click("File");
    desk.shot("menu");
    desk.click("Save the figure as SVG…");
    desk.wait("the refusal", |state| !state.troubles.is_empty());
    assert!(desk.sees("figure.svg") || desk.sees("no folder"));
    assert!(!desk.sees("Go on"), "no write is to go on");
}

#[test]
fn settings_that_make_no_sense_are_refused_before_anything_runs() {
    let mut odd = prefs();
    odd.settings.lora.targets.clear();
    let mut desk = Desk::with(odd, [1280.0, 800.0].into());
    desk.open_text(100);
    assert!(desk.sees("The list of projections names no projection"));
    desk.click("Write into memory");
    assert!(desk.state().jobs.is_empty());
}

#[test]
fn quitting_during_a_write_asks() {
    let mut desk = Desk::in_a_long_write();
    close(&mut desk);
    assert_eq!(desk.state().dialog, Dialog::Quit);
    desk.shot("quit");
    desk.click("Keep writing");
    assert!(desk.state().is_busy_with(Task::Write));
    let steps = desk.state().run.record.steps.len();
    desk.wait("more steps", |state| state.run.record.steps.len() > steps);
    close(&mut desk);
    desk.click("Stop and quit");
    desk.wait("the end", |state| state.may_quit && Desk::is_idle(state));
    let steps = desk.state().run.record.steps.len();
    // The next start goes on where it stopped.
    let Desk { window, folder, .. } = desk;
    drop(window);
    let mut desk = Desk::at(folder, prefs());
    desk.wait("the stopped run", |state| {
        let survey = state.survey.as_ref();
        survey.is_some_and(|survey| !survey.unfinished.is_empty())
    });
    desk.click("Go on");
    desk.wait("it to go on", |state| {
        state.is_busy_with(Task::Write) && state.run.record.steps.len() > steps
    });
    desk.click("Cancel");
    desk.wait("the end", Desk::is_idle);
}

/// As the engine would report it: no device can be made to fail at will.
fn fails(desk: &mut Desk, failure: Failure) {
    const JOB: u64 = 4242;
    let place = desk.place("failed.memory");
    let app = desk.window.state_mut();
    app.state.jobs.insert(JOB, Job::new(Task::Write));
    app.state.memory = Some(place);
    let end = End::Failed(Trouble::of(&failure));
    app.outbox().tell(Report::Ended { job: JOB, end });
    desk.wait("the message", |state| {
        !state.troubles.is_empty() && Desk::is_idle(state)
    });
}

#[test]
fn what_fails_on_the_way_is_said_in_place_with_a_way_on() {
    let device = || "Big GPU".to_owned();
    let full = std::io::Error::from(ErrorKind::StorageFull);
    let cases = [
        (
            Failure::from(EngineError::DeviceLost {
                device: device(),
                detail: "the driver was reset".to_owned(),
            }),
            "The graphics device stopped answering",
            "up to the last checkpoint is safe",
            "Use the processor",
        ),
        (
            Failure::from(EngineError::OutOfMemory {
                device: device(),
                what: "keys and values".to_owned(),
                wanted_mib: 900,
            }),
            "There is not enough memory",
            "Choose a smaller model",
            "Use the processor",
        ),
        (
            Failure::file(Path::new("notes.memory"), full),
            "The disk is full",
            "Free some space and go on",
            "Go on",
        ),
    ];
    let mut desk = Desk::new();
    desk.open_text(150);
    for (failure, title, advice, remedy) in cases {
        fails(&mut desk, failure);
        assert!(desk.sees(title), "{title}");
        assert!(desk.sees(advice), "{title}");
        desk.shot("failed");
        desk.click(remedy);
        desk.wait("the remedy", Desk::is_idle);
        let left = &desk.state().troubles;
        assert!(
            left.iter().all(|trouble| trouble.title != title),
            "{left:?}"
        );
        desk.window.state_mut().state.troubles.clear();
    }
    // The window works as before.
    desk.click("Write into memory");
    desk.wait("the memory", |state| state.memory_written);
}

#[test]
fn a_failed_write_offers_to_go_on_only_while_its_document_is_open() {
    let full = || Failure::file(Path::new("notes.memory"), ErrorKind::StorageFull.into());
    let mut desk = Desk::new();
    desk.open_text(100);
    fails(&mut desk, full());
    assert!(desk.sees("Go on"));
    desk.open("other.md", b"Another text altogether, with other words.");
    desk.window.run_ok();
    assert!(desk.sees("The disk is full") && !desk.sees("Go on"));
}

#[test]
fn a_write_that_cannot_be_kept_does_not_close_the_window() {
    let full = Failure::file(Path::new("notes.memory"), ErrorKind::StorageFull.into());
    let mut desk = Desk::new();
    desk.open_text(100);
    desk.window.state_mut().state.quit_when_stopped = true;
    fails(&mut desk, full);
    assert!(desk.sees("The disk is full"));
    assert!(!desk.state().may_quit && !desk.state().quit_when_stopped);
}

fn close(desk: &mut Desk) {
    let viewports = &mut desk.window.input_mut().viewports;
    let root = viewports.entry(ViewportId::ROOT).or_default();
    root.events.push(ViewportEvent::Close);
    desk.window.step();
    let viewports = &mut desk.window.input_mut().viewports;
    viewports
        .entry(ViewportId::ROOT)
        .or_default()
        .events
        .clear();
    desk.window.run_ok();
}

#[test]
fn opening_another_document_during_a_write_asks() {
    let mut desk = Desk::in_a_long_write();
    let other = desk.place("other.txt");
    std::fs::write(&other, "Another text, for something else.").expect("room");
    desk.drop_file(&other);
    desk.window.run_ok();
    assert!(desk.sees("Open another document?"));
    desk.click("Stay");
    assert!(desk.state().is_busy_with(Task::Write));
    desk.drop_file(&other);
    desk.window.run_ok();
    desk.click("Stop and open");
    desk.wait("the other one", |state| {
        Desk::is_idle(state)
            && state
                .document
                .as_ref()
                .is_some_and(|d| d.document.name == "other.txt")
    });
    assert_eq!(desk.state().screen, Screen::Write);
    assert!(
        desk.state().run.record.steps.is_empty(),
        "the old run is shown"
    );
}
