//! Learn: a walk through how documents are written, and a bench where a small model is written to
//! step by step, and where one is trained.

mod answers;
mod bench;
mod context;
mod course;
mod memory;
mod pairs;
mod train;

use eframe::egui::Ui;

use super::{Views, current};
use crate::action::Action;
use crate::state::State;
use crate::teach::Words;
use crate::theme::{segmented_explained, space};
use crate::vocabulary::Lesson;

pub use memory::Numbers;

const LESSONS: [(Lesson, &str, &str); 3] = [
    (
        Lesson::Walk,
        "The method",
        "How a document is written into memory, page by page",
    ),
    (
        Lesson::Bench,
        "Writing bench",
        "Write pairs into a small model, one gradient step at a time",
    ),
    (
        Lesson::Train,
        "Training",
        "Train such a model, and watch how it learns to be written to",
    ),
];

pub fn show(ui: &mut Ui, state: &mut State, views: &mut Views, actions: &mut Vec<Action>) {
    segmented_explained(ui, &mut state.lesson, &LESSONS);
    ui.add_space(space::XS);
    match state.lesson {
        Lesson::Walk => walk(ui, state, views),
        Lesson::Bench => bench::show(ui, state, &mut views.numbers, actions),
        Lesson::Train => train::show(ui, state, actions),
    }
}

fn walk(ui: &mut Ui, state: &State, views: &mut Views) {
    let run = current(state).filter(|_| state.run.is_measured());
    let words = state.document.as_ref().and_then(|open| {
        let tokens = open.tokens.as_deref()?;
        Some(Words {
            text: &open.document.text,
            tokens,
        })
    });
    views.teach.show(ui, run, words, &state.selection);
}

/// How much larger than in a small window pictures are, so that they are seen from the back of a
/// class.
fn scale(ui: &Ui) -> f32 {
    (ui.ctx().content_rect().height() / 800.0).clamp(1.0, 2.0)
}

/// A part of 1 in percent.
fn percent(part: f32) -> String {
    match 100.0 * part {
        p if p > 0.0 && p < 1.0 => "<1 %".to_owned(),
        p if p > 99.0 && p < 100.0 => ">99 %".to_owned(),
        p => format!("{p:.0} %"),
    }
}

#[cfg(test)]
mod tests {
    use super::percent;

    #[test]
    fn nothing_is_rounded_to_certainty() {
        let told = [0.0, 0.004, 0.5, 0.987, 0.996, 1.0].map(percent);
        assert_eq!(told, ["0 %", "<1 %", "50 %", "99 %", ">99 %", "100 %"]);
    }
}
