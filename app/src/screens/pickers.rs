//! Choosing a model and a device, with what each would take for the open document.

use eframe::egui::{
    self, Button, CornerRadius, Frame, Margin, Response, RichText, Role, ScrollArea, Stroke,
    TextEdit, Ui, WidgetInfo,
};

use crate::action::Action;
use crate::engine::{DeviceInfo, ModelEntry};
use crate::state::State;
use crate::state::estimate::{self, Estimate};
use crate::theme::{Theme, space, text};
use inscribe::words;

use crate::vocabulary::{PendingOpen, Purpose};

use super::frame::model_label;

/// Width of the column that says what a choice takes.
const COSTS: f32 = 150.0;

/// A picker's title and what it is for; nothing in it can be chosen while a run goes on.
fn opening(ui: &mut Ui, state: &State, title: &str, about: &str, add: impl FnOnce(&mut Ui)) {
    ui.label(text::title(title));
    ui.label(text::muted(about));
    ui.add_space(space::S);
    let busy = state.is_running();
    if busy {
        ui.label(text::caption(
            "Another one can be chosen when the run has ended.",
        ));
    }
    ui.add_enabled_ui(!busy, add);
}

/// The list of models; `typed` holds what is written into its field.
pub fn models(ui: &mut Ui, state: &State, typed: &mut String, actions: &mut Vec<Action>) {
    let about = "A memory can only be read by the model it was written for.";
    opening(ui, state, "Model", about, |ui| {
        let entries = state.survey.as_ref().map_or(&[][..], |s| &s.models);
        ScrollArea::vertical().max_height(400.0).show(ui, |ui| {
            for entry in entries {
                let on = state.prefs.model == entry.name;
                if model(ui, state, entry, on).clicked() {
                    let model = PendingOpen::Model(entry.name.clone());
                    actions.push(Action::Open(model));
                }
                ui.add_space(space::XS);
            }
        });
        ui.separator();
        ui.horizontal(|ui| {
            let width = ui.available_width() - 220.0;
            let label = ui.label(text::caption("Hub id or path"));
            let field = TextEdit::singleline(typed)
                .hint_text("org/name:Q4_K_M")
                .desired_width(width.max(120.0) - 90.0);
            let field = ui.add(field).labelled_by(label.id);
            let entered = field.lost_focus() && ui.input(|i| i.key_pressed(egui::Key::Enter));
            let use_it = ui.add_enabled(!typed.trim().is_empty(), Button::new("Use it"));
            if (use_it.clicked() || entered) && !typed.trim().is_empty() {
                let model = PendingOpen::Model(typed.trim().to_owned());
                actions.push(Action::Open(model));
            }
            if ui.button("Choose a file…").clicked() {
                actions.push(Action::Pick(Purpose::ModelFile));
            }
        });
    });
}

fn model(ui: &mut Ui, state: &State, entry: &ModelEntry, on: bool) -> Response {
    let place = if entry.here {
        "on this computer".to_owned()
    } else {
        format!("{} to fetch", words::bytes(entry.bytes))
    };
    let mut facts = vec![place];
    facts.extend(entry.licence.map(|licence| format!("licence: {licence}")));
    let estimate = estimate::estimate(state, Some(entry), None);
    row(
        ui,
        &model_label(&entry.name),
        &entry.description,
        &facts.join("  ·  "),
        estimate.as_ref(),
        on,
    )
}

pub fn devices(ui: &mut Ui, state: &State, actions: &mut Vec<Action>) {
    let about = "Where the model computes. The window itself never computes there.";
    opening(ui, state, "Device", about, |ui| {
        let choice = state.prefs.device_choice();
        let auto = state
            .survey
            .as_ref()
            .and_then(|s| s.devices.iter().find(|d| d.automatic));
        let words = match auto {
            Some(device) => format!("Takes {} now", device.name),
            None => "The best there is".to_owned(),
        };
        let is_auto = state.prefs.device == "auto";
        if row(ui, "Automatic", &words, "", None, is_auto).clicked() {
            actions.push(Action::PickDevice(Default::default()));
        }
        for device in state.survey.iter().flat_map(|s| &s.devices) {
            ui.add_space(space::XS);
            let estimate = estimate::estimate(state, None, Some(device));
            let facts = facts(device);
            let on = !is_auto && device.choice == choice;
            if row(
                ui,
                &device.name,
                &device.kind,
                &facts,
                estimate.as_ref(),
                on,
            )
            .clicked()
            {
                actions.push(Action::PickDevice(device.choice.clone()));
            }
        }
    });
}

fn facts(device: &DeviceInfo) -> String {
    match (device.memory_bytes, device.is_software) {
        (_, true) => "slow: it imitates a graphics card on the processor".to_owned(),
        (Some(bytes), _) => format!("{} of its own memory", words::bytes(bytes)),
        (None, _) if device.is_gpu => "its memory is not known".to_owned(),
        _ => "uses the computer’s memory".to_owned(),
    }
}

fn row(
    ui: &mut Ui,
    name: &str,
    words: &str,
    facts: &str,
    estimate: Option<&Estimate>,
    on: bool,
) -> Response {
    let p = Theme::of(ui).palette;
    let frame = Frame::new()
        .fill(if on { p.selected } else { p.raised })
        .stroke(Stroke::new(1.0, if on { p.accent } else { p.border }))
        .corner_radius(CornerRadius::same(space::S as u8))
        .inner_margin(Margin::symmetric(space::M as i8, space::S as i8));
    let shown = frame.show(ui, |ui| {
        ui.set_width(ui.available_width());
        // What it takes is in a column of its own, the same for all rows.
        let costs_width = if estimate.is_some() {
            COSTS + space::L
        } else {
            0.0
        };
        let words_width = ui.available_width() - costs_width;
        ui.horizontal_top(|ui| {
            ui.spacing_mut().item_spacing.x = 0.0;
            ui.vertical(|ui| {
                ui.spacing_mut().item_spacing.y = 2.0;
                ui.set_width(words_width);
                ui.label(text::strong(name));
                for line in [words, facts] {
                    if !line.is_empty() {
                        ui.label(text::caption(line));
                    }
                }
            });
            if let Some(estimate) = estimate {
                ui.add_space(space::L);
                costs(ui, estimate);
            }
        });
    });
    let response = ui.interact(
        shown.response.rect,
        ui.scope_id().with((name, facts)),
        egui::Sense::click(),
    );
    response.widget_info(|| WidgetInfo::selected(Role::RadioButton, true, on, name));
    if response.hovered() {
        let stroke = Stroke::new(1.0, p.faint);
        let round = CornerRadius::same(space::S as u8);
        ui.painter()
            .rect_stroke(shown.response.rect, round, stroke, egui::StrokeKind::Inside);
    }
    response
}

/// For the document that is open.
fn costs(ui: &mut Ui, estimate: &Estimate) {
    let p = Theme::of(ui).palette;
    ui.vertical(|ui| {
        ui.spacing_mut().item_spacing.y = 2.0;
        ui.set_width(COSTS);
        let about = if estimate.timed { "" } else { "about " };
        let read = format!(
            "reading {about}{}",
            words::rough_duration(estimate.read_secs)
        );
        let steps = format!(
            "steps {about}{}",
            words::rough_duration(estimate.steps_secs)
        );
        ui.label(text::caption(read));
        ui.label(text::caption(steps));
        if let Some(bytes) = estimate.memory_bytes {
            let words = RichText::new(format!("{} of memory", words::bytes(bytes)))
                .text_style(egui::TextStyle::Small);
            let colour = if estimate.fits() { p.muted } else { p.danger };
            ui.label(words.color(colour));
        }
    });
}
