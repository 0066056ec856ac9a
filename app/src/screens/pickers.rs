//! Choosing a model and a device, with what each would take for the open document.

use eframe::egui::{
    self, Align, Button, CornerRadius, Frame, Layout, Margin, Response, RichText, Role, ScrollArea,
    Sense, Stroke, TextEdit, Ui, WidgetInfo,
};
use inscribe::model::elsewhere::Program;

use crate::action::Action;
use crate::engine::{DeviceInfo, ModelEntry};
use crate::state::State;
use crate::state::estimate::{self, Estimate};
use crate::theme::{Icon, Theme, icon_button, space, text};
use inscribe::words;

use crate::vocabulary::{Dialog, PendingOpen, Purpose};

use super::frame::model_label;

/// Width of the column that says what a choice takes.
const COSTS: f32 = 150.0;

/// Models that are listed of those on this computer; any other can be named.
const MOST: usize = 120;

/// What a picker has besides its list, about: title, field and margins.
const AROUND: f32 = 300.0;

/// A picker's title and what it is for; nothing in it can be chosen while a run goes on.
fn opening(
    ui: &mut Ui,
    state: &State,
    (title, about): (&str, &str),
    actions: &mut Vec<Action>,
    add: impl FnOnce(&mut Ui, &mut Vec<Action>),
) {
    ui.horizontal(|ui| {
        ui.label(text::title(title));
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
            if icon_button(ui, Icon::Close, true, "Close", "Close").clicked() {
                actions.push(Action::Dialog(Dialog::None));
            }
        });
    });
    ui.label(text::muted(about));
    ui.add_space(space::S);
    let busy = state.is_running();
    if busy {
        ui.label(text::caption(
            "Another one can be chosen when the run has ended.",
        ));
    }
    ui.add_enabled_ui(!busy, |ui| add(ui, actions));
}

/// The list of models; `typed` holds what is written into its field.
pub fn models(ui: &mut Ui, state: &State, typed: &mut String, actions: &mut Vec<Action>) {
    let about = "A memory can only be read by the model it was written for.";
    opening(ui, state, ("Model", about), actions, |ui, actions| {
        let entries = state.survey.as_ref().map_or(&[][..], |s| &s.models);
        let height = (ui.ctx().content_rect().height() - AROUND).clamp(160.0, 460.0);
        // As high at once as it will be: a dialog that grew would move away under a click.
        let list = ScrollArea::vertical()
            .min_scrolled_height(height)
            .max_height(height);
        list.show(ui, |ui| {
            // What can be opened first; the order is otherwise that of the list.
            let mut here: Vec<&ModelEntry> = entries.iter().filter(|m| m.here).collect();
            here.sort_by_key(|entry| entry.fault.is_some());
            section(ui, state, "Already on this computer", &here, actions);
            let to_fetch: Vec<&ModelEntry> = entries.iter().filter(|m| !m.here).collect();
            section(ui, state, "To fetch", &to_fetch, actions);
            for note in state.survey.iter().flat_map(|s| &s.notes) {
                ui.label(text::caption(note));
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

/// Models under a heading, where there are any.
fn section(
    ui: &mut Ui,
    state: &State,
    heading: &str,
    entries: &[&ModelEntry],
    actions: &mut Vec<Action>,
) {
    if entries.is_empty() {
        return;
    }
    ui.label(text::strong(heading));
    for entry in entries.iter().take(MOST) {
        let on = state.prefs.model == entry.name;
        if model(ui, state, entry, on).clicked() && entry.fault.is_none() {
            let model = PendingOpen::Model(entry.name.clone());
            actions.push(Action::Open(model));
        }
        ui.add_space(space::XS);
    }
    let left_out = entries.len().saturating_sub(MOST);
    if left_out > 0 {
        let words = format!(
            "and {}, which can be named below",
            words::counted(left_out, "model")
        );
        ui.label(text::caption(words));
    }
    ui.add_space(space::S);
}

fn model(ui: &mut Ui, state: &State, entry: &ModelEntry, on: bool) -> Response {
    let (label, place) = match entry.program {
        Some(program) => of_program(entry, program),
        None => (model_label(&entry.name), String::new()),
    };
    let size = match (entry.here, entry.bytes) {
        (_, 0) => String::new(),
        (true, bytes) => words::bytes(bytes),
        (false, bytes) => format!("{} to fetch", words::bytes(bytes)),
    };
    let licence = entry.licence.map(|licence| format!("licence: {licence}"));
    let facts = [place, entry.kind.clone(), size, licence.unwrap_or_default()];
    let facts: Vec<String> = facts.into_iter().filter(|fact| !fact.is_empty()).collect();
    // Plans cost time: none is made for what is scrolled out of sight below, or cannot be opened.
    let seen = ui.cursor().top() < ui.clip_rect().bottom() && entry.fault.is_none();
    let estimate = seen.then(|| estimate::estimate(state, Some(entry), None));
    row(
        ui,
        &Row {
            id: &entry.name,
            name: &label,
            words: &entry.description,
            facts: &facts.join("  ·  "),
            fault: entry.fault.as_deref(),
            estimate: estimate.flatten(),
            on,
        },
    )
}

/// What a model of another program is called in the list, and where it is.
fn of_program(entry: &ModelEntry, program: Program) -> (String, String) {
    let name = entry
        .name
        .strip_prefix(program.prefix())
        .unwrap_or(&entry.name);
    match name.rsplit_once('/') {
        Some((folder, file)) if program == Program::LmStudio => {
            (file.to_owned(), format!("{}, {folder}", program.name()))
        }
        _ => (name.to_owned(), program.name().to_owned()),
    }
}

pub fn devices(ui: &mut Ui, state: &State, actions: &mut Vec<Action>) {
    let about = "Where the model computes. The window itself never computes there.";
    opening(ui, state, ("Device", about), actions, |ui, actions| {
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
        let automatic = Row {
            id: "auto",
            name: "Automatic",
            words: &words,
            on: is_auto,
            ..Row::default()
        };
        if row(ui, &automatic).clicked() {
            actions.push(Action::PickDevice(Default::default()));
        }
        for device in state.survey.iter().flat_map(|s| &s.devices) {
            ui.add_space(space::XS);
            let estimate = estimate::estimate(state, None, Some(device));
            let facts = facts(device);
            let entry = Row {
                id: &format!("{:?}", device.choice),
                name: &device.name,
                words: &device.kind,
                facts: &facts,
                fault: None,
                estimate,
                on: !is_auto && device.choice == choice,
            };
            if row(ui, &entry).clicked() {
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

/// One thing to choose.
#[derive(Default)]
struct Row<'a> {
    id: &'a str,
    name: &'a str,
    words: &'a str,
    facts: &'a str,
    /// Why it cannot be chosen.
    fault: Option<&'a str>,
    estimate: Option<Estimate>,
    on: bool,
}

fn row(ui: &mut Ui, entry: &Row<'_>) -> Response {
    let p = Theme::of(ui).palette;
    let on = entry.on;
    let fill = match (on, entry.fault) {
        (true, _) => p.selected,
        (_, Some(_)) => p.background,
        _ => p.raised,
    };
    let frame = Frame::new()
        .fill(fill)
        .stroke(Stroke::new(1.0, if on { p.accent } else { p.border }))
        .corner_radius(CornerRadius::same(space::S as u8))
        .inner_margin(Margin::symmetric(space::M as i8, space::S as i8));
    let shown = frame.show(ui, |ui| {
        ui.set_width(ui.available_width());
        // What it takes is in a column of its own, the same for all rows.
        let costs_width = if entry.estimate.is_some() {
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
                let name = text::strong(entry.name);
                ui.label(match entry.fault {
                    Some(_) => name.color(p.faint),
                    None => name,
                });
                for line in [entry.words, entry.facts] {
                    if !line.is_empty() {
                        ui.label(text::caption(line));
                    }
                }
                if let Some(fault) = entry.fault {
                    ui.label(text::caption(format!("Cannot be opened: {fault}")));
                }
            });
            if let Some(estimate) = &entry.estimate {
                ui.add_space(space::L);
                costs(ui, estimate);
            }
        });
    });
    let can_choose = entry.fault.is_none();
    let sense = if can_choose {
        Sense::click()
    } else {
        Sense::hover()
    };
    let id = ui.scope_id().with(entry.id);
    let response = ui.interact(shown.response.rect, id, sense);
    response.widget_info(|| WidgetInfo::selected(Role::RadioButton, can_choose, on, entry.name));
    if response.hovered() && can_choose {
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
        let takes = |what: &str, secs: f64| {
            let time = words::rough_duration(secs);
            let exact = estimate.timed || !time.starts_with(|c: char| c.is_ascii_digit());
            let about = if exact { "" } else { "about " };
            format!("{what} {about}{time}")
        };
        let read = takes("reading", estimate.read_secs);
        let steps = takes("steps", estimate.steps_secs);
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
