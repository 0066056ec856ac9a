//! Messages of what went wrong, in place, with what to do about it; and short notes of what went
//! well.

use eframe::egui::{
    Align2, Area, CornerRadius, Frame, Id, Margin, Order, Panel, RichText, Role, ScrollArea,
    Stroke, Ui, WidgetInfo, vec2,
};

use crate::action::Action;
use crate::state::State;
use crate::theme::{Icon, Theme, icon_button, primary_button, right_row, space, text};
use crate::trouble::{Remedy, Trouble};

pub fn show(ui: &mut Ui, state: &State, actions: &mut Vec<Action>) {
    notes(ui, state, actions);
    let Some((newest, earlier)) = state.troubles.split_last() else {
        return;
    };
    let ground = Theme::of(ui).palette.background;
    let frame = Frame::new().fill(ground).inner_margin(Margin {
        left: space::L as i8,
        right: space::L as i8,
        top: space::S as i8,
        bottom: space::XS as i8,
    });
    Panel::top("troubles")
        .frame(frame)
        .show_separator_line(false)
        .show(ui, |ui| bar(ui, newest, earlier, actions));
}

/// The newest message, and under it on request those before it.
fn bar(ui: &mut Ui, newest: &Trouble, earlier: &[Trouble], actions: &mut Vec<Action>) {
    let p = Theme::of(ui).palette;
    let id = Id::unique("earlier troubles");
    let mut open = !earlier.is_empty() && ui.data(|data| data.get_temp(id)).unwrap_or(false);
    let frame = Frame::new()
        .fill(p.danger_soft)
        .stroke(Stroke::new(1.0, p.danger))
        .corner_radius(CornerRadius::same(space::RADIUS as u8))
        .inner_margin(Margin::symmetric(space::L as i8, space::M as i8));
    frame.show(ui, |ui| {
        ui.set_width(ui.available_width());
        let last = earlier.len();
        ui.horizontal_top(|ui| {
            words(ui, newest, 300.0);
            right_row(ui, "ways on", |ui| {
                remedy(ui, last, newest, actions);
                if !earlier.is_empty() {
                    let more = format!("and {} more", earlier.len());
                    let shown = if open { "Fewer" } else { more.as_str() };
                    open ^= ui.button(shown).clicked();
                }
                if icon_button(ui, Icon::Close, true, "Dismiss", "Dismiss (Escape)").clicked() {
                    actions.push(Action::DismissAll);
                }
            });
        });
        if open {
            let scroll = ScrollArea::vertical().max_height(180.0);
            scroll.show(ui, |ui| {
                for (index, trouble) in earlier.iter().enumerate().rev() {
                    ui.separator();
                    ui.horizontal_top(|ui| {
                        words(ui, trouble, 240.0);
                        right_row(ui, &format!("way on {index}"), |ui| {
                            remedy(ui, index, trouble, actions);
                        });
                    });
                }
            });
        }
    });
    ui.data_mut(|data| data.insert_temp(id, open));
}

/// What happened and what to do, leaving so much room at the right.
fn words(ui: &mut Ui, trouble: &Trouble, beside: f32) {
    let p = Theme::of(ui).palette;
    let width = (ui.available_width() - beside).max(200.0);
    let shown = ui.allocate_ui(vec2(width, 0.0), |ui| {
        ui.set_max_width(width.min(space::PROSE + 120.0));
        ui.vertical(|ui| {
            ui.spacing_mut().item_spacing.y = 3.0;
            let title = RichText::new(&trouble.title).text_style(text::strong_style());
            ui.label(title.color(p.danger));
            ui.label(&trouble.detail);
            if !trouble.advice.is_empty() {
                ui.label(text::muted(&trouble.advice));
            }
        });
    });
    let label = format!("{}: {}", trouble.title, trouble.detail);
    shown
        .response
        .widget_info(|| WidgetInfo::labeled(Role::Alert, true, &label));
}

fn remedy(ui: &mut Ui, index: usize, trouble: &Trouble, actions: &mut Vec<Action>) {
    if let Some(remedy) = trouble.remedy
        && primary_button(ui, remedy_name(remedy)).clicked()
    {
        actions.push(Action::Dismiss(index));
        actions.push(Action::Remedy(remedy));
    }
}

fn remedy_name(remedy: Remedy) -> &'static str {
    match remedy {
        Remedy::UseProcessor => "Use the processor",
        Remedy::ChooseModel => "Choose a model",
        Remedy::FetchAgain => "Try again",
        Remedy::GoOn => "Go on",
        Remedy::OpenAnother => "Open another",
        Remedy::Settings => "Show settings",
    }
}

/// What went well, and what can be taken back, over the lower edge of the window.
fn notes(ui: &Ui, state: &State, actions: &mut Vec<Action>) {
    if state.note.is_none() && state.undo.is_none() {
        return;
    }
    let area = Area::new(Id::unique("note"))
        .order(Order::Foreground)
        .interactable(state.undo.is_some())
        .anchor(Align2::CENTER_BOTTOM, vec2(0.0, -88.0));
    area.show(ui.ctx(), |ui| {
        ui.spacing_mut().item_spacing.y = space::S;
        if let Some((note, _)) = &state.note {
            on_dark(ui, |ui, ink| {
                ui.set_max_width(640.0);
                ui.label(RichText::new(note).color(ink));
            });
        }
        if let Some(undo) = &state.undo {
            on_dark(ui, |ui, ink| {
                ui.horizontal(|ui| {
                    let folder = undo.discarded.folder.file_stem().unwrap_or_default();
                    let name = super::frame::shortened(&folder.to_string_lossy(), 40);
                    let words = format!("What was written of “{name}” is discarded.");
                    ui.label(RichText::new(words).color(ink));
                    let kept = format!("It stays for 30 days in {}", undo.discarded.kept.display());
                    if ui.button("Undo").on_hover_text(kept).clicked() {
                        actions.push(Action::Restore);
                    }
                });
            });
        }
    });
}

fn on_dark(ui: &mut Ui, add: impl FnOnce(&mut Ui, eframe::egui::Color32)) {
    let p = Theme::of(ui).palette;
    Frame::new()
        .fill(p.ink)
        .corner_radius(CornerRadius::same(space::RADIUS as u8))
        .inner_margin(Margin::symmetric(space::L as i8, space::S as i8))
        .show(ui, |ui| add(ui, p.surface));
}
