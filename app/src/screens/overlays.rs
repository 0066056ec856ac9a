//! What is drawn over the window: choices, questions before something is lost, pasted text.

use eframe::egui::{
    self, Area, CornerRadius, Frame, Id, Label, Margin, Modal, Order, ScrollArea, Stroke,
    StrokeKind, TextEdit, Ui,
};

use crate::action::Action;
use crate::state::State;
use crate::theme::{Theme, primary_button, space, text};
use crate::vocabulary::{Dialog, PendingOpen, Screen};

use super::frame::{of_run, shortened};
use super::pickers;

pub fn show(ui: &mut Ui, state: &mut State, actions: &mut Vec<Action>) {
    // The first screen has a place of its own for it.
    if state.drop_hover && state.screen != Screen::Welcome {
        drop_target(ui);
    }
    let dialog = std::mem::take(&mut state.dialog);
    match &dialog {
        Dialog::None => {}
        Dialog::Model => {
            let id = Id::unique("typed model");
            let mut typed = ui.data_mut(|data| data.get_temp::<String>(id).unwrap_or_default());
            modal(ui, 620.0, actions, |ui, actions| {
                pickers::models(ui, state, &mut typed, actions);
            });
            ui.data_mut(|data| data.insert_temp(id, typed));
        }
        Dialog::Device => modal(ui, 620.0, actions, |ui, actions| {
            pickers::devices(ui, state, actions);
        }),
        Dialog::Quit => modal(ui, 460.0, actions, |ui, actions| quit(ui, state, actions)),
        Dialog::Paste => modal(ui, 640.0, actions, |ui, actions| {
            paste(ui, &mut state.draft, actions);
        }),
        Dialog::Replace(pending) => modal(ui, 460.0, actions, |ui, actions| {
            replace(ui, state, pending, actions);
        }),
    }
    state.dialog = dialog;
}

fn modal(
    ui: &Ui,
    width: f32,
    actions: &mut Vec<Action>,
    add: impl FnOnce(&mut Ui, &mut Vec<Action>),
) {
    let frame = Frame::window(ui.style()).inner_margin(Margin::same(space::XL as i8));
    let modal = Modal::new(Id::unique("dialog")).frame(frame);
    let shown = modal.show(ui.ctx(), |ui| {
        ui.set_width(width.min(ui.ctx().content_rect().width() - 112.0));
        ui.spacing_mut().item_spacing.y = space::S;
        add(ui, actions);
    });
    if shown.should_close() {
        actions.push(Action::Dialog(Dialog::None));
    }
}

/// Over everything while a file hovers.
fn drop_target(ui: &Ui) {
    let p = Theme::of(ui).palette;
    let whole = ui.ctx().content_rect();
    let area = Area::new(Id::unique("drop target"))
        .order(Order::Foreground)
        .interactable(false)
        .fixed_pos(whole.min);
    area.show(ui.ctx(), |ui| {
        let painter = ui.painter();
        painter.rect_filled(whole, CornerRadius::ZERO, p.background.gamma_multiply(0.8));
        painter.rect(
            whole.shrink(space::L),
            CornerRadius::same(14),
            p.selected.gamma_multiply(0.6),
            Stroke::new(2.0, p.accent),
            StrokeKind::Inside,
        );
        ui.put(whole, Label::new(text::title("Let go to open it")));
    });
}

fn quit(ui: &mut Ui, state: &State, actions: &mut Vec<Action>) {
    ui.label(text::title("A document is being written"));
    let (document, how_far) = match &state.document {
        Some(open) if state.is_running() => {
            let (.., how_far) = of_run(state);
            let name = format!("“{}”", shortened(&open.document.name, 60));
            (name, format!(" ({})", how_far.to_lowercase()))
        }
        _ => ("It".to_owned(), String::new()),
    };
    ui.label(format!(
        "{document} is not finished{how_far}. What was learned so far is kept, and the write can \
         go on the next time."
    ));
    ui.add_space(space::S);
    ui.horizontal(|ui| {
        if primary_button(ui, "Keep writing").clicked() {
            actions.push(Action::Dialog(Dialog::None));
        }
        if ui.button("Stop and quit").clicked() {
            actions.push(Action::StopAndQuit);
        }
    });
}

fn replace(ui: &mut Ui, state: &State, pending: &PendingOpen, actions: &mut Vec<Action>) {
    let model = matches!(pending, PendingOpen::Model(_));
    let title = if model {
        "Use another model?"
    } else {
        "Open another document?"
    };
    ui.label(text::title(title));
    let document = match &state.document {
        Some(open) => format!("“{}”", shortened(&open.document.name, 60)),
        None => "The document".to_owned(),
    };
    let next = shortened(&pending.name(), 60);
    let (about, agree) = if !state.is_running() {
        (format!("{document} is done meanwhile."), "Open it")
    } else if state.is_writing() {
        let (.., how_far) = of_run(state);
        let words = format!(
            "{document} is being written ({}). To go to “{next}” it is stopped; what was learned \
             so far is kept, and it can go on later.",
            how_far.to_lowercase()
        );
        (words, "Stop and open")
    } else {
        let words = format!("{document} is being read. To go to “{next}” that is stopped.");
        (words, "Stop and open")
    };
    let agree = if model { "Stop and use it" } else { agree };
    ui.label(about);
    ui.add_space(space::S);
    ui.horizontal(|ui| {
        if primary_button(ui, agree).clicked() {
            actions.push(Action::StopAndOpen(pending.clone()));
        }
        if ui.button("Stay").clicked() {
            actions.push(Action::Dialog(Dialog::None));
        }
    });
}

fn paste(ui: &mut Ui, pasted: &mut String, actions: &mut Vec<Action>) {
    ui.label(text::title("Paste text"));
    ScrollArea::vertical().max_height(320.0).show(ui, |ui| {
        let field = TextEdit::multiline(pasted)
            .hint_text("Paste or type a text here")
            .desired_rows(12)
            .desired_width(f32::INFINITY);
        let field = ui.add(field);
        field.widget_info(|| {
            let mut info = egui::WidgetInfo::new(egui::Role::MultilineTextInput);
            info.label = Some("Text".to_owned());
            info.current_text_value = Some(pasted.clone());
            info
        });
        // Also where the text was pasted before the dialog came.
        let now = ui.ctx().cumulative_frame_nr();
        let opened = ui.data_mut(|data| {
            let last = data.get_temp_mut_or_default::<u64>(field.id);
            std::mem::replace(last, now) + 1 < now
        });
        if opened || pasted.is_empty() {
            field.request_focus();
        }
    });
    ui.horizontal(|ui| {
        ui.add_enabled_ui(!pasted.trim().is_empty(), |ui| {
            if primary_button(ui, "Open this text").clicked() {
                actions.push(Action::Open(PendingOpen::Bytes {
                    name: "pasted.md".to_owned(),
                    bytes: pasted.clone().into_bytes(),
                }));
            }
        });
        if ui.button("Cancel").clicked() {
            pasted.clear();
            actions.push(Action::Dialog(Dialog::None));
        }
    });
}
