//! What was written is lost by no click, and what was stopped is of use.

use inscribe_app::state::State;

use crate::desk::{Desk, prefs};

fn stopped() -> Desk {
    let mut desk = Desk::in_a_long_write();
    desk.click_now("Cancel");
    desk.wait("the end", Desk::is_idle);
    desk
}

fn unfinished(state: &State) -> usize {
    state.survey.as_ref().map_or(0, |s| s.unfinished.len())
}

#[test]
fn a_discarded_write_comes_back_by_one_click_and_is_kept_without_it() {
    let mut desk = stopped();
    desk.click("Home");
    desk.wait("the stopped write", |state| unfinished(state) == 1);
    desk.click("Discard");
    let kept_at = |state: &State| state.undo.as_ref().map(|undo| undo.discarded.kept.clone());
    desk.wait("it to go", |state| {
        state.undo.is_some() && unfinished(state) == 0
    });
    let kept = kept_at(desk.state()).expect("a place");
    assert!(kept.join("checkpoint.bin").is_file());
    desk.shot("discarded");
    desk.click("Undo");
    desk.wait("it to be back", |state| unfinished(state) == 1);
    assert!(!kept.exists() && desk.state().undo.is_none());
    // The window closes while it could still be undone.
    desk.click("Discard");
    desk.wait("it to go again", |state| state.undo.is_some());
    let kept = kept_at(desk.state()).expect("a place");
    let Desk { window, folder, .. } = desk;
    drop(window);
    let desk = Desk::at(folder, prefs());
    assert_eq!(unfinished(desk.state()), 0);
    assert!(kept.join("checkpoint.bin").is_file(), "it is not destroyed");
}

#[test]
fn a_stopped_write_is_used_as_it_is() {
    let mut desk = stopped();
    let steps = desk.state().run.record.steps.len();
    desk.click("Ask");
    assert!(desk.sees("The write was stopped after"));
    desk.shot("ask-stopped");
    desk.click("Use it as it is");
    desk.wait("the memory", |state| {
        Desk::is_idle(state) && (state.memory_written || !state.troubles.is_empty())
    });
    let state = desk.state();
    assert!(state.memory_written, "{:?}", state.troubles);
    let taken = state.run.record.steps.len();
    assert!(taken > 0 && taken <= steps, "{taken} of {steps}");
    desk.click("Ask");
    desk.write_in("Question", "What burnt down?");
    desk.click_button("Ask");
    desk.wait("the answers", |state| {
        Desk::is_idle(state) && state.ask.turns.iter().any(|turn| turn.ended)
    });
    assert_eq!(desk.state().ask.turns[0].answers.len(), 3);
    assert!(desk.state().troubles.is_empty());
}

#[test]
fn what_goes_on_is_seen_on_every_screen() {
    let mut desk = Desk::in_a_long_write();
    for tab in ["Ask", "Compare", "Learn", "Replay", "Home"] {
        desk.click_now(tab);
        assert!(desk.sees("Learning: step"), "{tab}");
        desk.shot(&format!("life-{tab}"));
        if tab == "Ask" {
            assert!(desk.sees("once it is written"));
        }
    }
    let ring = desk.label_of("Learning: step");
    desk.click_now(&ring);
    assert!(
        !desk.sees("Learning: step"),
        "its own screen shows it in full"
    );
    desk.click_now("Cancel");
    desk.wait("the end", Desk::is_idle);
}
