//! The menus of the bar at the top.

use eframe::egui::{Button, ScrollArea, Ui};
use inscribe::write::figure::FigureKind;
use inscribe::write::setting::Setting;

use super::super::keys;
use crate::action::Action;
use crate::state::State;
use crate::state::prefs::ThemeChoice;
use crate::theme::text;
use crate::vocabulary::{Dialog, ExportFormat, Purpose};

pub fn file(ui: &mut Ui, state: &State, actions: &mut Vec<Action>) {
    let open = ui.ctx().format_shortcut(&keys::OPEN);
    menu(ui, "File", 250.0, |ui| {
        let mut entry = |ui: &mut Ui, name: &str, enabled: bool, action: Action| {
            let button = Button::new(name);
            let button = match action {
                Action::Pick(Purpose::OpenDocument) => button.shortcut_text(open.as_str()),
                _ => button,
            };
            if ui.add_enabled(enabled, button).clicked() {
                actions.push(action);
                ui.close();
            }
        };
        let pick = Action::Pick;
        entry(ui, "Open a document…", true, pick(Purpose::OpenDocument));
        entry(ui, "Open a memory…", true, pick(Purpose::OpenMemory));
        entry(ui, "Paste text…", true, Action::Dialog(Dialog::Paste));
        ui.separator();
        entry(ui, "Choose a model…", true, Action::Dialog(Dialog::Model));
        entry(ui, "Choose a device…", true, Action::Dialog(Dialog::Device));
        ui.separator();
        let written = state.memory_written;
        let of_run = state.run.record.settings.as_ref();
        let lora = of_run.is_none_or(|s| s.method.uses(Setting::Rank));
        entry(
            ui,
            "Save the memory as…",
            written,
            pick(Purpose::SaveMemoryAs),
        );
        let peft = pick(Purpose::Export(ExportFormat::Peft));
        entry(ui, "Export for PEFT…", written, peft);
        let gguf = pick(Purpose::Export(ExportFormat::Gguf));
        entry(ui, "Export as GGUF adapter…", written && lora, gguf);
        ui.separator();
        let drawn = !state.run.record.is_empty();
        for (name, kind) in [
            ("Save the figure as SVG…", FigureKind::Svg),
            ("Save the figure as PNG…", FigureKind::Png),
            ("Save a report (HTML)…", FigureKind::Html),
        ] {
            entry(ui, name, drawn, pick(Purpose::Figure(kind)));
        }
        let events = !state.run.events.is_empty();
        let jsonl = pick(Purpose::Events { csv: false });
        entry(ui, "Save the events (JSONL)…", events, jsonl);
        let csv = pick(Purpose::Events { csv: true });
        entry(ui, "Save the steps (CSV)…", events, csv);
    });
}

pub fn look(ui: &mut Ui, state: &State, actions: &mut Vec<Action>) {
    menu(ui, "View", 220.0, |ui| {
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
        ui.label(text::caption("Size  ·  Ctrl and +, - or 0"));
        for percent in sizes(state.prefs.zoom) {
            let zoom = f32::from(percent) / 100.0;
            let on = (state.prefs.zoom - zoom).abs() < 0.005;
            if ui.radio(on, format!("{percent} %")).clicked() {
                actions.push(Action::Zoom(zoom));
            }
        }
        ui.separator();
        ui.label(text::caption("Screens"));
        for (shortcut, screen, name) in keys::SCREENS {
            let button = Button::new(name).shortcut_text(ui.ctx().format_shortcut(&shortcut));
            if ui.add_enabled(state.can_show(screen), button).clicked() {
                actions.push(Action::Show(screen));
                ui.close();
            }
        }
    });
}

/// A menu of this width, which scrolls where the window is too low for it.
fn menu(ui: &mut Ui, name: &str, width: f32, add: impl FnOnce(&mut Ui)) {
    ui.menu_button(name, |ui| {
        ui.set_min_width(width);
        let most = (ui.ctx().content_rect().height() - 80.0).max(120.0);
        // A menu is given less room than there is.
        let scroll = ScrollArea::vertical().max_height(most);
        scroll.min_scrolled_height(most).show(ui, |ui| {
            ui.set_min_width(width);
            add(ui);
        });
    });
}

/// The sizes to choose from, in percent; the one in use is among them, also where keys made it.
fn sizes(zoom: f32) -> Vec<u16> {
    let mut sizes = vec![100, 125, 150, 175, 200];
    let now = (zoom * 100.0).round() as u16;
    if !sizes.contains(&now) {
        sizes.push(now);
        sizes.sort_unstable();
    }
    sizes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_size_in_use_is_always_among_those_to_choose_from() {
        assert_eq!(sizes(1.25), [100, 125, 150, 175, 200]);
        assert_eq!(sizes(1.1), [100, 110, 125, 150, 175, 200]);
        assert_eq!(sizes(0.8)[0], 80);
    }
}
