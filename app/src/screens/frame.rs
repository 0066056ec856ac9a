//! The bar at the top: where one is, which model and device are in use, how the window looks.

use eframe::egui::{
    self, Align, Button, CornerRadius, Frame, Layout, Margin, Panel, Response, RichText, Role,
    Stroke, Ui, WidgetInfo, vec2,
};
use inscribe::engine::select::DeviceChoice;
use inscribe::write::figure::FigureKind;

use crate::action::Action;
use crate::state::prefs::ThemeChoice;
use crate::state::{ModelState, State, estimate};
use crate::theme::{Theme, space, text};
use crate::vocabulary::{Dialog, ExportFormat, Purpose, Screen};

pub fn top_bar(ui: &mut Ui, state: &State, actions: &mut Vec<Action>) {
    let p = Theme::of(ui).palette;
    let frame = Frame::new()
        .fill(p.surface)
        .stroke(Stroke::new(1.0, p.border))
        .inner_margin(Margin::symmetric(space::L as i8, space::S as i8));
    Panel::top("top bar")
        .frame(frame)
        .show_separator_line(false)
        .show(ui, |ui| {
            ui.horizontal(|ui| {
                ui.set_min_height(34.0);
                brand(ui, state, actions);
                ui.add_space(space::M);
                tabs(ui, state, actions);
                ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
                    ui.spacing_mut().item_spacing.x = space::S;
                    look_menu(ui, state, actions);
                    file_menu(ui, state, actions);
                    chips(ui, state, actions);
                });
            });
        });
}

fn brand(ui: &mut Ui, state: &State, actions: &mut Vec<Action>) {
    let p = Theme::of(ui).palette;
    let name = RichText::new("Inscribe")
        .text_style(text::strong_style())
        .size(17.0)
        .color(p.ink);
    let button = ui.add(Button::new(name).frame(false));
    button.widget_info(|| WidgetInfo::labeled(Role::Button, true, "Home"));
    if button.on_hover_text("Open another document").clicked() && state.screen != Screen::Welcome {
        actions.push(Action::Show(Screen::Welcome));
    }
}

fn tabs(ui: &mut Ui, state: &State, actions: &mut Vec<Action>) {
    let tabs = [
        (Screen::Write, "Write", state.document.is_some()),
        (Screen::Ask, "Ask", state.document.is_some()),
        (Screen::Compare, "Compare", true),
        (Screen::Learn, "Learn", true),
        (Screen::Replay, "Replay", true),
    ];
    ui.spacing_mut().item_spacing.x = 2.0;
    for (screen, name, enabled) in tabs {
        let on = state.screen == screen;
        if tab(ui, name, on, enabled).clicked() {
            actions.push(Action::Show(screen));
        }
    }
}

fn tab(ui: &mut Ui, name: &str, on: bool, enabled: bool) -> Response {
    let p = Theme::of(ui).palette;
    let (colour, style) = if on {
        (p.accent, text::strong_style())
    } else {
        (p.muted, egui::TextStyle::Button)
    };
    let words = RichText::new(name).text_style(style).color(colour);
    let button = Button::new(words)
        .fill(if on {
            p.selected
        } else {
            egui::Color32::TRANSPARENT
        })
        .stroke(Stroke::NONE)
        .corner_radius(CornerRadius::same(space::RADIUS_S as u8))
        .min_size(vec2(0.0, 30.0));
    let response = ui.add_enabled(enabled, button);
    response.widget_info(|| WidgetInfo::selected(Role::Tab, enabled, on, name));
    if enabled {
        response
    } else {
        response.on_disabled_hover_text("Open a document first")
    }
}

/// Which model and which device: what they are and how they do, and the way to others.
fn chips(ui: &mut Ui, state: &State, actions: &mut Vec<Action>) {
    let of_choice = |device: &DeviceChoice| *device == state.prefs.device_choice();
    let ready = state.model.ready();
    let device = match ready.filter(|model| of_choice(&model.request.device)) {
        Some(model) => model.device.clone(),
        None => match (state.prefs.device.as_str(), estimate::chosen_device(state)) {
            (_, Some(device)) => device.name.clone(),
            (other, None) => other.to_owned(),
        },
    };
    let narrow = ui.available_width() < 420.0;
    let short = |text: &str, most: usize| shortened(text, if narrow { most / 2 } else { most });
    let name = short(device_label(&device), 26);
    if chip(ui, &format!("Device: {device}"), &name, None).clicked() {
        actions.push(Action::Dialog(Dialog::Device));
    }
    let p = Theme::of(ui).palette;
    let dot = match &state.model {
        ModelState::Ready(model) if model.request.model == state.prefs.model => p.good,
        ModelState::Ready(_) | ModelState::None => p.faint,
        _ => p.warning,
    };
    let model = model_label(&state.prefs.model);
    if chip(
        ui,
        &format!("Model: {model}"),
        &short(&model, 30),
        Some(dot),
    )
    .clicked()
    {
        actions.push(Action::Dialog(Dialog::Model));
    }
}

/// A device's name without what follows in brackets, such as its driver or a count of threads.
fn device_label(device: &str) -> &str {
    match device.split(" (").next() {
        None | Some("CPU") => "Processor",
        Some(name) => name,
    }
}

/// A model's name: of a path its last part.
pub fn model_label(model: &str) -> String {
    let path = std::path::Path::new(model);
    let is_path = path.is_absolute() || model.starts_with('.') || model.ends_with(".gguf");
    match path.file_name() {
        Some(name) if is_path => name.to_string_lossy().into_owned(),
        _ => model.to_owned(),
    }
}

pub fn shortened(text: &str, most: usize) -> String {
    if text.chars().count() > most {
        text.chars()
            .take(most.saturating_sub(1))
            .chain(['…'])
            .collect()
    } else {
        text.to_owned()
    }
}

fn chip(ui: &mut Ui, label: &str, shown: &str, dot: Option<egui::Color32>) -> Response {
    let p = Theme::of(ui).palette;
    let indent = if dot.is_some() { "    " } else { "" };
    let words = RichText::new(format!("{indent}{shown}"))
        .color(p.ink)
        .size(13.0);
    let button = Button::new(words)
        .fill(p.raised)
        .stroke(Stroke::new(1.0, p.border))
        .corner_radius(CornerRadius::same(15))
        .min_size(vec2(0.0, 28.0));
    let response = ui.add(button);
    response.widget_info(|| WidgetInfo::labeled(Role::Button, true, label));
    if let Some(colour) = dot {
        let at = response.rect.left_center() + vec2(14.0, 0.0);
        ui.painter().circle_filled(at, 4.0, colour);
    }
    response.on_hover_text(label)
}

fn file_menu(ui: &mut Ui, state: &State, actions: &mut Vec<Action>) {
    ui.menu_button("File", |ui| {
        ui.set_min_width(230.0);
        let mut entry = |ui: &mut Ui, name: &str, enabled: bool, action: Action| {
            if ui.add_enabled(enabled, Button::new(name)).clicked() {
                actions.push(action);
                ui.close();
            }
        };
        entry(
            ui,
            "Open a document…",
            true,
            Action::Pick(Purpose::OpenDocument),
        );
        entry(
            ui,
            "Open a memory…",
            true,
            Action::Pick(Purpose::OpenMemory),
        );
        entry(ui, "Paste text…", true, Action::Dialog(Dialog::Paste));
        ui.separator();
        let written = state.memory_written;
        let lora = state
            .run
            .record
            .settings
            .as_ref()
            .is_none_or(|s| s.method.uses(inscribe::write::setting::Setting::Rank));
        entry(
            ui,
            "Save the memory as…",
            written,
            Action::Pick(Purpose::SaveMemoryAs),
        );
        entry(
            ui,
            "Export for PEFT…",
            written,
            Action::Pick(Purpose::Export(ExportFormat::Peft)),
        );
        let gguf = Action::Pick(Purpose::Export(ExportFormat::Gguf));
        entry(ui, "Export as GGUF adapter…", written && lora, gguf);
        ui.separator();
        let drawn = !state.run.record.is_empty();
        for (name, kind) in [
            ("Save the figure as SVG…", FigureKind::Svg),
            ("Save the figure as PNG…", FigureKind::Png),
            ("Save a report (HTML)…", FigureKind::Html),
        ] {
            entry(ui, name, drawn, Action::Pick(Purpose::Figure(kind)));
        }
        let events = !state.run.events.is_empty();
        let jsonl = Action::Pick(Purpose::Events { csv: false });
        entry(ui, "Save the events (JSONL)…", events, jsonl);
        let csv = Action::Pick(Purpose::Events { csv: true });
        entry(ui, "Save the steps (CSV)…", events, csv);
    });
}

fn look_menu(ui: &mut Ui, state: &State, actions: &mut Vec<Action>) {
    let menu = ui.menu_button("View", |ui| {
        ui.set_min_width(180.0);
        ui.label(text::caption("Colours"));
        for (name, choice) in [
            ("As the desktop", ThemeChoice::System),
            ("Light", ThemeChoice::Light),
            ("Dark", ThemeChoice::Dark),
        ] {
            if ui.radio(state.prefs.theme == choice, name).clicked() {
                actions.push(Action::Theme(choice));
            }
        }
        ui.separator();
        ui.label(text::caption("Size"));
        for percent in [100u16, 125, 150, 175, 200] {
            let zoom = f32::from(percent) / 100.0;
            let on = (state.prefs.zoom - zoom).abs() < 0.01;
            if ui.radio(on, format!("{percent} %")).clicked() {
                actions.push(Action::Zoom(zoom));
            }
        }
    });
    menu.response.on_hover_text("Colours and size");
}
