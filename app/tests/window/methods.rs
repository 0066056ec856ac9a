//! Every method and every rule of sharing out, chosen by label, written and asked.

use inscribe::write::method::Method;
use inscribe::write::settings::Allocate;

use crate::desk::{Desk, prefs};

fn desk() -> Desk {
    let mut small = prefs();
    small.settings.budget = 4;
    let mut desk = Desk::with(small, [1280.0, 900.0].into());
    desk.open_text(60);
    desk
}

/// From the first write of a document, or after another.
fn write(desk: &mut Desk) {
    let again = desk.sees("Write again");
    desk.click(if again {
        "Write again"
    } else {
        "Write into memory"
    });
    desk.wait("the write", |state| {
        Desk::is_idle(state) && state.memory_written
    });
    assert!(
        desk.state().troubles.is_empty(),
        "{:?}",
        desk.state().troubles
    );
}

#[test]
fn every_method_writes_a_memory_that_answers() {
    let mut desk = desk();
    for (label, method) in [
        ("LoRA", Method::LORA),
        ("GradMem", Method::GRADMEM),
        ("GDWM", Method::GDWM),
    ] {
        desk.choose(label);
        write(&mut desk);
        let settings = desk.state().run.record.settings.clone();
        assert_eq!(settings.map(|s| s.method), Some(method));
        desk.click("Ask about it");
        desk.write_in("Question", "What burnt down?");
        desk.click_button("Ask");
        desk.wait("the answer", |state| {
            Desk::is_idle(state) && state.ask.turns.last().is_some_and(|turn| turn.ended)
        });
        assert_eq!(desk.state().ask.turns[0].answers.len(), 3, "{label}");
        desk.click("Write");
    }
}

#[test]
fn every_rule_shares_out_the_budget() {
    let mut desk = desk();
    let rules = [
        ("By signed utility", Allocate::Signed),
        ("Uniform", Allocate::Uniform),
        ("Random", Allocate::Random),
        ("Top quarter", Allocate::Topk),
        ("Whole document (qTTT)", Allocate::Whole),
        ("By utility", Allocate::Utility),
    ];
    let mut now = "By utility";
    for (label, rule) in rules {
        desk.click(&format!("Allocation: {now}"));
        desk.click(label);
        assert_eq!(desk.state().settings().allocate, rule);
        write(&mut desk);
        assert_eq!(desk.state().run.record.steps.len(), 4, "{label}");
        now = label;
    }
}

#[test]
fn a_memory_is_written_where_one_wishes_and_opened_from_the_menu() {
    let mut desk = desk();
    let place = desk.place("of my own.memory");
    desk.will_pick(&place);
    desk.click("Write to…");
    desk.wait("the memory", |state| state.memory_written);
    assert!(place.join("memory.json").is_file());
    desk.click("Home");
    desk.open("other.md", b"Another text altogether, with other words.");
    assert!(!desk.state().memory_written);
    desk.will_pick(&place);
    desk.click("File");
    desk.click("Open a memory…");
    desk.wait("the memory", |state| state.memory_written);
    assert_eq!(desk.state().memory.as_deref(), Some(place.as_path()));
}
