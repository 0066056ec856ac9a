//! Messages of what went wrong, in place, with what to do about it; and short notes of what went
//! well.

use eframe::egui::{
    Align, Align2, Area, CornerRadius, Frame, Id, Layout, Margin, Order, Panel, RichText, Role,
    Stroke, Ui, WidgetInfo, vec2,
};

use crate::action::Action;
use crate::state::State;
use crate::theme::{Icon, Theme, icon_button, primary_button, space, text};
use crate::trouble::{Remedy, Trouble};

/// More than these are one too many to read.
const SHOWN: usize = 3;

pub fn show(ui: &mut Ui, state: &State, actions: &mut Vec<Action>) {
    note(ui, state);
    if state.troubles.is_empty() {
        return;
    }
    let ground = Theme::of(ui).palette.background;
    let frame = Frame::new().fill(ground).inner_margin(Margin {
        left: space::L as i8,
        right: space::L as i8,
        top: space::S as i8,
        bottom: 0,
    });
    Panel::top("troubles")
        .frame(frame)
        .show_separator_line(false)
        .show(ui, |ui| {
            for (index, trouble) in state.troubles.iter().enumerate().rev().take(SHOWN) {
                message(ui, index, trouble, actions);
            }
        });
}

fn message(ui: &mut Ui, index: usize, trouble: &Trouble, actions: &mut Vec<Action>) {
    let p = Theme::of(ui).palette;
    let frame = Frame::new()
        .fill(p.danger_soft)
        .stroke(Stroke::new(1.0, p.danger))
        .corner_radius(CornerRadius::same(space::RADIUS as u8))
        .inner_margin(Margin::symmetric(space::L as i8, space::M as i8));
    let shown = frame.show(ui, |ui| {
        ui.set_width(ui.available_width());
        ui.horizontal_top(|ui| {
            let buttons = 190.0;
            let words = (ui.available_width() - buttons).max(200.0);
            ui.allocate_ui(vec2(words, 0.0), |ui| {
                ui.set_max_width(words.min(space::PROSE + 120.0));
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
            ui.with_layout(Layout::right_to_left(Align::Min), |ui| {
                if icon_button(ui, Icon::Close, true, "Dismiss", "Dismiss").clicked() {
                    actions.push(Action::Dismiss(index));
                }
                if let Some(remedy) = trouble.remedy
                    && primary_button(ui, remedy_name(remedy)).clicked()
                {
                    actions.push(Action::Dismiss(index));
                    actions.push(Action::Remedy(remedy));
                }
            });
        });
    });
    let label = format!("{}: {}", trouble.title, trouble.detail);
    shown
        .response
        .widget_info(|| WidgetInfo::labeled(Role::Alert, true, &label));
    ui.add_space(space::XS);
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

fn note(ui: &Ui, state: &State) {
    let Some((note, _)) = &state.note else {
        return;
    };
    let p = Theme::of(ui).palette;
    let area = Area::new(Id::unique("note"))
        .order(Order::Foreground)
        .interactable(false)
        .anchor(Align2::CENTER_BOTTOM, vec2(0.0, -88.0));
    area.show(ui.ctx(), |ui| {
        Frame::new()
            .fill(p.ink)
            .corner_radius(CornerRadius::same(space::RADIUS as u8))
            .inner_margin(Margin::symmetric(space::L as i8, space::S as i8))
            .show(ui, |ui| {
                ui.set_max_width(640.0);
                ui.label(RichText::new(note).color(p.surface));
            });
    });
}
