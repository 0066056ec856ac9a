//! Where questions are asked: the field, questions to begin with, and which views answer.

use std::sync::OnceLock;

use eframe::egui::{
    self, Align, Button, CornerRadius, Layout, Margin, Mesh, Rect, Response, RichText, Role, Sense,
    Stroke, TextEdit, TextStyle, Ui, WidgetInfo, vec2,
};
use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::tokens::{FULL_NATS, heat};
use crate::action::Action;
use crate::app::SAMPLE;
use crate::state::{State, Task};
use crate::theme::{Theme, card, primary_button, right_row, segmented, space, text};

/// Questions to any document.
const ANY: [&str; 1] = ["What is this document about?"];
/// Questions about the document that comes with the program, and their answers.
const OF_SAMPLE: &str = include_str!("../../../../assets/sample-questions.jsonl");

pub fn show(ui: &mut Ui, state: &mut State, actions: &mut Vec<Action>) {
    let busy = state.is_busy_with(Task::Ask) || state.is_running();
    suggestions(ui, state, !busy, actions);
    card(ui, |ui| {
        let row = vec2(ui.available_width(), 38.0);
        let layout = Layout::right_to_left(Align::Center);
        ui.allocate_ui_with_layout(row, layout, |ui| {
            let ready = !busy && !state.ask.question.trim().is_empty();
            let button = ui.add_enabled_ui(ready, |ui| primary_button(ui, "Ask"));
            let field = field(ui, state);
            if std::mem::take(&mut state.ask.wants_focus) {
                field.request_focus();
            }
            let entered = field.lost_focus() && ui.input(|i| i.key_pressed(egui::Key::Enter));
            if ready && (button.inner.clicked() || entered) {
                actions.push(Action::Ask(state.ask.question.clone()));
                field.request_focus();
            }
        });
        ui.horizontal(|ui| {
            let choices = [(true, "Side by side"), (false, "Memory")];
            segmented(ui, &mut state.ask.side_by_side, &choices);
            let words = if state.ask.side_by_side {
                "Answers with no document, with the memory, and with the full document."
            } else {
                "Answers with the memory."
            };
            if ui.available_width() > 640.0 {
                ui.label(text::caption(words));
            }
            right_row(ui, "shading", |ui| {
                if !state.ask.turns.is_empty() {
                    shading(ui);
                }
                if state.is_busy_with(Task::Ask) && ui.button("Stop").clicked() {
                    actions.push(Action::Cancel);
                }
            });
        });
    });
}

fn field(ui: &mut Ui, state: &mut State) -> Response {
    let hint = match state.document.as_ref() {
        Some(open) => format!("Ask about {}", open.document.name),
        None => "Ask about it".to_owned(),
    };
    let field = TextEdit::singleline(&mut state.ask.question)
        .hint_text(hint)
        .margin(Margin::symmetric(12, 9))
        .desired_width(ui.available_width());
    let field = ui.add(field);
    field.widget_info(|| {
        let mut info = WidgetInfo::new(Role::TextInput);
        info.label = Some("Question".to_owned());
        info.current_text_value = Some(state.ask.question.clone());
        info
    });
    field
}

/// Questions to begin with, one under the other, where nothing was asked yet.
pub fn first(ui: &mut Ui, state: &State, actions: &mut Vec<Action>) {
    const MOST: usize = 5;
    let enabled = !state.is_running();
    ui.vertical_centered(|ui| {
        for question in questions(state).into_iter().take(MOST) {
            if ui.add_enabled(enabled, chip(ui, question)).clicked() {
                actions.push(Action::Ask(question.to_owned()));
            }
        }
    });
}

fn chip(ui: &Ui, question: &str) -> Button<'static> {
    let p = Theme::of(ui).palette;
    Button::new(RichText::new(question).color(p.accent))
        .fill(p.surface)
        .stroke(Stroke::new(1.0, p.border))
        .corner_radius(CornerRadius::same(15))
}

/// More questions, as far as a row has room for them.
fn suggestions(ui: &mut Ui, state: &State, enabled: bool, actions: &mut Vec<Action>) {
    let questions = questions(state);
    if questions.is_empty() || state.ask.is_empty() {
        return;
    }
    let p = Theme::of(ui).palette;
    ui.horizontal(|ui| {
        ui.add_space(space::XS);
        ui.label(text::caption("Try"));
        for question in questions {
            let font = TextStyle::Body.resolve(ui.style());
            let words = ui
                .painter()
                .layout_no_wrap(question.to_owned(), font, p.ink);
            if words.size().x + 2.0 * space::M + space::XS > ui.available_width() {
                break;
            }
            if ui.add_enabled(enabled, chip(ui, question)).clicked() {
                actions.push(Action::Ask(question.to_owned()));
            }
        }
    });
    ui.add_space(space::XS);
}

/// Those that were not asked yet.
fn questions(state: &State) -> Vec<&'static str> {
    let Some(open) = &state.document else {
        return Vec::new();
    };
    let all: Vec<&str> = if open.document.sha256 == sample_sha256() {
        of_sample().iter().map(String::as_str).collect()
    } else {
        ANY.to_vec()
    };
    let ask = &state.ask;
    let asked = |question: &&str| {
        let turns = ask.turns.iter().any(|turn| turn.question == *question);
        turns || ask.history.iter().any(|asked| asked.question == *question)
    };
    all.into_iter().filter(|q| !asked(q)).collect()
}

fn of_sample() -> &'static [String] {
    static QUESTIONS: OnceLock<Vec<String>> = OnceLock::new();
    #[derive(Deserialize)]
    struct Known {
        question: String,
    }
    QUESTIONS.get_or_init(|| {
        let known = OF_SAMPLE.lines().map(serde_json::from_str::<Known>);
        known.flatten().map(|known| known.question).collect()
    })
}

fn sample_sha256() -> &'static str {
    static HASH: OnceLock<String> = OnceLock::new();
    HASH.get_or_init(|| {
        let digest = Sha256::digest(SAMPLE);
        digest.iter().map(|byte| format!("{byte:02x}")).collect()
    })
}

/// What the ground of an answer's words means.
fn shading(ui: &mut Ui) {
    const BAR: f32 = 72.0;
    ui.spacing_mut().item_spacing.x = space::XS;
    let hint = format!(
        "The ground of each word says how surprising it was to the model when it was written: \
         none where the model was sure, full from {FULL_NATS} nats on. Click a word to see it in \
         every view."
    );
    ui.label(text::caption("Words: sure"));
    let (rect, response) = ui.allocate_exact_size(vec2(BAR, 10.0), Sense::hover());
    response.widget_info(|| WidgetInfo::labeled(Role::Image, true, "Shading of the answers"));
    let theme = Theme::of(ui);
    let mut mesh = Mesh::default();
    const STEPS: usize = 24;
    for at in 0..STEPS {
        let x = |at: usize| rect.left() + rect.width() * at as f32 / STEPS as f32;
        let step = Rect::from_x_y_ranges(x(at)..=x(at + 1), rect.y_range());
        let nats = FULL_NATS * (at as f64 + 0.5) / STEPS as f64;
        mesh.add_colored_rect(step, heat(theme, nats));
    }
    ui.painter().add(mesh);
    let edge = Stroke::new(1.0, theme.palette.border);
    let inside = egui::StrokeKind::Outside;
    ui.painter()
        .rect_stroke(rect, CornerRadius::same(2), edge, inside);
    response.on_hover_text(hint);
    ui.label(text::caption("guessed"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sample_is_known_by_its_text_and_has_questions() {
        use inscribe::write::document::{Document, ReadOptions};
        let read = Document::from_bytes("sample.md", SAMPLE, &ReadOptions::default());
        assert_eq!(read.expect("a text").sha256, sample_sha256());
        assert!(of_sample().len() >= 5);
        assert!(of_sample().iter().all(|question| question.ends_with('?')));
    }
}
