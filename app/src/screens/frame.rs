//! The bar at the top: where one is, what goes on, which model and device are in use, how the
//! window looks.

mod life;
mod menus;

pub use life::of_run;

use eframe::egui::{
    self, Button, CornerRadius, Frame, Margin, Panel, Response, RichText, Role, Stroke, TextStyle,
    Ui, WidgetInfo, vec2,
};
use inscribe::engine::select::DeviceChoice;

use super::keys;
use crate::action::Action;
use crate::state::{ModelState, State, estimate};
use crate::theme::{Theme, right_row, space, text};
use crate::vocabulary::{Dialog, Screen};

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
                ui.add_space(space::S);
                tabs(ui, state, actions);
                life::show(ui, state, actions);
                let room = ui.available_width();
                right_row(ui, "model, device, menus", |ui| {
                    ui.spacing_mut().item_spacing.x = space::S;
                    chips(ui, state, room, actions);
                    menus::file(ui, state, actions);
                    menus::look(ui, state, actions);
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
    ui.spacing_mut().item_spacing.x = 2.0;
    for (shortcut, screen, name) in keys::SCREENS {
        let (on, enabled) = (state.screen == screen, state.can_show(screen));
        let tab = tab(ui, name, on, enabled);
        let keys = ui.ctx().format_shortcut(&shortcut);
        if tab.on_hover_text(keys).clicked() {
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
    ui.scope(|ui| {
        // Where there is little room, it is better taken from between the tabs than from names.
        if ui.ctx().content_rect().width() < 820.0 {
            ui.spacing_mut().button_padding.x = space::S;
        }
        let response = ui.add_enabled(enabled, button);
        response.widget_info(|| WidgetInfo::selected(Role::Tab, enabled, on, name));
        if enabled {
            response
        } else {
            response.on_disabled_hover_text("Open a document first")
        }
    })
    .inner
}

/// Which model and which device: what they are and how they do, and the way to others.
fn chips(ui: &mut Ui, state: &State, room: f32, actions: &mut Vec<Action>) {
    let device = device(state);
    let model = model_label(&state.prefs.model);
    let p = Theme::of(ui).palette;
    let dot = match &state.model {
        ModelState::Ready(model) if model.request.model == state.prefs.model => p.good,
        ModelState::Ready(_) | ModelState::None => p.faint,
        _ => p.warning,
    };
    let (of_model, of_device) = fitting(ui, room, &model, device_label(&device));
    let label = format!("Model: {model}");
    if chip(ui, &label, &of_model, Some(dot)).clicked() {
        actions.push(Action::Dialog(Dialog::Model));
    }
    // Where there is no room for it, the menu still leads there.
    if let Some(shown) = of_device
        && chip(ui, &format!("Device: {device}"), &shown, None).clicked()
    {
        actions.push(Action::Dialog(Dialog::Device));
    }
}

/// The device in use, or the one that will be.
fn device(state: &State) -> String {
    let of_choice = |device: &DeviceChoice| *device == state.prefs.device_choice();
    let ready = state.model.ready();
    match ready.filter(|model| of_choice(&model.request.device)) {
        Some(model) => model.device.clone(),
        None => match estimate::chosen_device(state) {
            Some(device) => device.name.clone(),
            None => state.prefs.device.clone(),
        },
    }
}

/// Both names as far as there is room for them beside the menus; the device's goes first.
fn fitting(ui: &Ui, room: f32, model: &str, device: &str) -> (String, Option<String>) {
    /// What stands around a name, and what the two menus take.
    const AROUND: f32 = 2.0 * space::M + space::S + 2.0;
    const DOT: f32 = 18.0;
    const MENUS: f32 = 128.0;
    const MOST: [(usize, usize); 6] = [(30, 26), (30, 14), (24, 9), (18, 9), (18, 0), (12, 0)];
    let width = |name: &str| {
        let font = egui::FontId::new(13.0, TextStyle::Body.resolve(ui.style()).family);
        let colour = egui::Color32::WHITE;
        let words = ui.painter().layout_no_wrap(name.to_owned(), font, colour);
        words.size().x + AROUND
    };
    let names = |(of_model, of_device): (usize, usize)| {
        let device = (of_device > 0).then(|| shortened(device, of_device));
        (shortened(model, of_model), device)
    };
    let fits = |(model, device): &(String, Option<String>)| {
        let device = device.as_deref().map_or(0.0, &width);
        width(model) + DOT + device + MENUS <= room
    };
    let mut choices = MOST.into_iter().map(names);
    choices
        .find(fits)
        .unwrap_or_else(|| (shortened(model, 7), None))
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
