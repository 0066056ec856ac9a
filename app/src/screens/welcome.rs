//! The first screen: one sentence, the ways to begin, and a recorded run for a newcomer.

mod demo;

use eframe::egui::{
    self, Align, Button, Color32, CornerRadius, Frame, Label, Layout, Margin, RichText, ScrollArea,
    Stroke, Ui, vec2,
};

use crate::action::Action;
use crate::engine::UnfinishedInfo;
use crate::state::State;
use crate::state::prefs::Recent;
use crate::theme::{Theme, card, centred_row, column, primary_button, right_row, space, text};
use crate::vocabulary::{Dialog, PendingOpen, Purpose, Screen};

use super::transport::as_it_is;
pub use demo::Demo;

const WIDTH: f32 = 720.0;

/// Draws it; whether the recorded run is to be played in full.
pub fn show(ui: &mut Ui, state: &State, demo: &mut Demo, actions: &mut Vec<Action>) -> bool {
    let mut play = false;
    ScrollArea::vertical()
        .auto_shrink([false, false])
        .show(ui, |ui| {
            ui.add_space((ui.available_height() * 0.09).clamp(space::M, 110.0));
            column(ui, WIDTH, |ui| {
                ways_to_begin(ui, state, actions);
                let is_new = state.prefs.recent.is_empty();
                if is_new && state.stopped_writes().next().is_none() {
                    ui.add_space(space::L);
                    play = demo.show(ui, state.still);
                }
            });
        });
    play
}

fn ways_to_begin(ui: &mut Ui, state: &State, actions: &mut Vec<Action>) {
    let p = Theme::of(ui).palette;
    ui.vertical_centered(|ui| {
        ui.label(text::display(
            "Write a document into a small model’s memory",
        ));
        ui.add_space(space::XS);
        let sentence = "Some words can only be guessed by someone who read the rest. See which \
                        they are, watch the model learn them, then ask.";
        ui.label(RichText::new(sentence).size(16.0).color(p.muted));
    });
    ui.add_space(space::XL);
    drop_zone(ui, state, actions);
    for run in state.stopped_writes().take(3) {
        ui.add_space(space::XS);
        unfinished(ui, run, actions);
    }
    if !state.prefs.recent.is_empty() {
        ui.add_space(space::L);
        recent(ui, &state.prefs.recent, actions);
    }
    ui.add_space(space::L);
    centred_row(ui, "other ways", |ui| {
        ui.label(text::muted("New to this?"));
        if ui.link("Learn how it works, step by step").clicked() {
            actions.push(Action::Show(Screen::Learn));
        }
        ui.label(text::muted("or"));
        if ui.link("replay a finished run").clicked() {
            actions.push(Action::Show(Screen::Replay));
        }
    });
}

fn drop_zone(ui: &mut Ui, state: &State, actions: &mut Vec<Action>) {
    let p = Theme::of(ui).palette;
    let fill = if state.drop_hover {
        p.selected
    } else {
        p.surface
    };
    let edge = if state.drop_hover { p.accent } else { p.faint };
    let frame = Frame::new()
        .fill(fill)
        .corner_radius(CornerRadius::same(14))
        .inner_margin(Margin::symmetric(24, 30));
    let zone = frame.show(ui, |ui| {
        ui.set_width(ui.available_width());
        ui.vertical_centered(|ui| {
            if state.opening > 0 {
                ui.spinner();
                ui.label("Reading the document…");
                return;
            }
            let words = if state.drop_hover {
                "Let go to open it"
            } else {
                "Drop a document here"
            };
            ui.label(text::title(words));
            ui.label(text::muted(
                "Text, Markdown, HTML, PDF, Word (.docx) or EPUB",
            ));
            ui.add_space(space::M);
            centred_row(ui, "ways to open", |ui| {
                if primary_button(ui, "Open a document").clicked() {
                    actions.push(Action::Pick(Purpose::OpenDocument));
                }
                if big_button(ui, "Try the sample").clicked() {
                    actions.push(Action::Open(PendingOpen::Sample));
                }
                if big_button(ui, "Paste text").clicked() {
                    actions.push(Action::Dialog(Dialog::Paste));
                }
            });
        });
    });
    dashed(ui, zone.response.rect, edge);
}

fn big_button(ui: &mut Ui, label: &str) -> egui::Response {
    ui.scope(|ui| {
        ui.spacing_mut().button_padding = vec2(space::L, space::S);
        ui.add(Button::new(label))
    })
    .inner
}

fn dashed(ui: &Ui, rect: egui::Rect, colour: Color32) {
    let rect = rect.shrink(0.5);
    let corners = [
        rect.left_top(),
        rect.right_top(),
        rect.right_bottom(),
        rect.left_bottom(),
        rect.left_top(),
    ];
    let stroke = Stroke::new(1.2, colour);
    for shape in egui::Shape::dashed_line(&corners, stroke, 6.0, 5.0) {
        ui.painter().add(shape);
    }
}

fn unfinished(ui: &mut Ui, run: &UnfinishedInfo, actions: &mut Vec<Action>) {
    card(ui, |ui| {
        ui.horizontal(|ui| {
            ui.vertical(|ui| {
                ui.set_max_width((ui.available_width() - 320.0).max(160.0));
                ui.spacing_mut().item_spacing.y = 2.0;
                let words = format!("{} is not written to its end", run.document);
                let name = Label::new(text::strong(words)).truncate();
                ui.add(name).on_hover_text(run.document.as_str());
                let words = format!("Step {} of {}, with {}", run.step, run.of, run.model);
                ui.add(Label::new(text::caption(words)).truncate());
            });
            right_row(ui, &run.folder.to_string_lossy(), |ui| {
                if ui.button("Discard").clicked() {
                    actions.push(Action::Discard(run.folder.clone()));
                }
                if run.step > 0 {
                    as_it_is(ui, run.folder.clone(), actions);
                }
                if primary_button(ui, "Go on").clicked() {
                    let run = PendingOpen::Unfinished(run.folder.clone());
                    actions.push(Action::Open(run));
                }
            });
        });
    });
}

fn recent(ui: &mut Ui, recent: &[Recent], actions: &mut Vec<Action>) {
    ui.label(text::heading("Recent"));
    for entry in recent.iter().take(6) {
        ui.horizontal(|ui| {
            let kind = if entry.is_memory {
                "memory"
            } else {
                "document"
            };
            let name = RichText::new(entry.name()).text_style(text::strong_style());
            let open = ui.scope(|ui| {
                ui.set_max_width(ui.available_width() * 0.6);
                ui.add(Button::new(name).frame(false).truncate())
            });
            let open = open.inner.on_hover_text(entry.path.display().to_string());
            if open.clicked() {
                let path = entry.path.clone();
                actions.push(Action::Open(if entry.is_memory {
                    PendingOpen::Memory(path)
                } else {
                    PendingOpen::Document(path)
                }));
            }
            ui.label(text::caption(kind));
            ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
                let forget = ui.add(Button::new(text::caption("×")).frame(false));
                let label = format!("Forget {}", entry.name());
                forget.widget_info(|| egui::WidgetInfo::labeled(egui::Role::Button, true, &label));
                if forget.on_hover_text("Take it off this list").clicked() {
                    actions.push(Action::ForgetRecent(entry.path.clone()));
                }
                let folder = entry.path.parent();
                let folder = folder.map(|f| f.display().to_string()).unwrap_or_default();
                ui.add(egui::Label::new(text::caption(folder)).truncate());
            });
        });
    }
}
