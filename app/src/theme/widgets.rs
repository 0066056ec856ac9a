//! Small things that every screen shares.

use eframe::egui::{
    self, Align, Button, CornerRadius, Frame, InnerResponse, Label, Layout, Margin, Response,
    RichText, Role, Stroke, TextStyle, TextWrapMode, Ui, WidgetInfo, WidgetText,
};

use super::{Theme, space, text};

/// A card: a calm ground with room around what is on it.
pub fn card<R>(ui: &mut Ui, add: impl FnOnce(&mut Ui) -> R) -> InnerResponse<R> {
    let p = Theme::of(ui).palette;
    Frame::new()
        .fill(p.surface)
        .stroke(Stroke::new(1.0, p.border))
        .corner_radius(CornerRadius::same(space::RADIUS as u8))
        .inner_margin(Margin::same(space::L as i8))
        .show(ui, |ui| {
            ui.set_width(ui.available_width());
            add(ui)
        })
}

/// A column in the middle, no wider than this.
pub fn column(ui: &mut Ui, most: f32, add: impl FnOnce(&mut Ui)) {
    let width = most.min(ui.available_width());
    let side = (ui.available_width() - width) / 2.0;
    ui.horizontal_top(|ui| {
        ui.spacing_mut().item_spacing.x = 0.0;
        ui.add_space(side);
        ui.allocate_ui_with_layout(egui::vec2(width, 0.0), Layout::top_down(Align::Min), |ui| {
            ui.set_width(width);
            ui.spacing_mut().item_spacing = egui::vec2(space::S, space::S);
            add(ui);
        });
    });
}

/// A row in the middle, as wide as what it holds was in the frame before.
pub fn centred_row(ui: &mut Ui, name: &str, add: impl FnOnce(&mut Ui)) {
    let id = ui.scope_id().with(("centred row", name));
    let before: f32 = ui.data(|data| data.get_temp(id)).unwrap_or(0.0);
    ui.horizontal(|ui| {
        ui.add_space(((ui.available_width() - before) / 2.0).max(0.0));
        let width = ui.horizontal(add).response.rect.width();
        if (width - before).abs() > 0.5 {
            ui.data_mut(|data| data.insert_temp(id, width));
            ui.ctx().request_discard("a row is centred by its width");
        }
    });
}

/// A row at the right end of this one, as wide as what it holds was in the frame before; what is
/// added first stands left, and comes first for the keyboard.
pub fn right_row(ui: &mut Ui, name: &str, add: impl FnOnce(&mut Ui)) {
    let id = ui.scope_id().with(("right row", name));
    let before: f32 = ui.data(|data| data.get_temp(id)).unwrap_or(0.0);
    ui.add_space((ui.available_width() - before).max(0.0));
    let width = ui.horizontal(add).response.rect.width();
    if (width - before).abs() > 0.5 {
        ui.data_mut(|data| data.insert_temp(id, width));
        ui.ctx().request_discard("a row is placed by its width");
    }
}

/// The heading of a card with one line that says what it shows.
pub fn section(ui: &mut Ui, heading: &str, explanation: &str) {
    ui.spacing_mut().item_spacing.y = 2.0;
    ui.label(text::heading(heading));
    if !explanation.is_empty() {
        ui.label(text::caption(explanation));
    }
    ui.spacing_mut().item_spacing.y = space::S;
    ui.add_space(space::XS);
}

/// The room of a figure over what it counts: as wide as its words, so that a row of numbers breaks
/// between them and not within one.
fn number_size(ui: &Ui, value: &str, label: &str) -> egui::Vec2 {
    let size = |words: RichText| {
        let unbroken = Some(TextWrapMode::Extend);
        let words = WidgetText::from(words);
        let galley = words.into_galley(ui, unbroken, f32::INFINITY, TextStyle::Body);
        galley.size()
    };
    let (above, below) = (size(text::number(value)), size(text::caption(label)));
    egui::vec2(above.x.max(below.x).ceil(), above.y + below.y)
}

/// How wide a figure over what it counts is.
pub fn number_width(ui: &Ui, value: &str, label: &str) -> f32 {
    number_size(ui, value, label).x
}

/// A figure over what it counts.
pub fn number(ui: &mut Ui, value: &str, label: &str) -> Response {
    let room = number_size(ui, value, label);
    let (value, label) = (text::number(value), text::caption(label));
    let layout = Layout::top_down(Align::Min);
    let inner = ui.allocate_ui_with_layout(room, layout, |ui| {
        ui.spacing_mut().item_spacing.y = 0.0;
        ui.add(Label::new(value).extend());
        ui.add(Label::new(label).extend());
    });
    inner.response
}

/// The one thing that a screen asks for.
pub fn primary_button(ui: &mut Ui, label: &str) -> Response {
    let p = Theme::of(ui).palette;
    let words = RichText::new(label)
        .text_style(text::strong_style())
        .color(p.on_accent);
    ui.scope(|ui| {
        let padding = &mut ui.spacing_mut().button_padding;
        *padding = egui::vec2(space::L, space::S);
        let widgets = &mut ui.visuals_mut().widgets;
        for state in [&mut widgets.hovered, &mut widgets.active] {
            state.bg_stroke = Stroke::new(2.0, p.ink);
        }
        ui.add(Button::new(words).fill(p.accent))
    })
    .inner
}

/// One of a few choices, side by side. Returns whether another was chosen.
pub fn segmented<T: PartialEq + Copy>(ui: &mut Ui, chosen: &mut T, choices: &[(T, &str)]) -> bool {
    let choices: Vec<_> = choices
        .iter()
        .map(|&(choice, label)| (choice, label, ""))
        .collect();
    segmented_explained(ui, chosen, &choices)
}

/// As [`segmented`], each choice with a line that says what it is.
pub fn segmented_explained<T: PartialEq + Copy>(
    ui: &mut Ui,
    chosen: &mut T,
    choices: &[(T, &str, &str)],
) -> bool {
    let p = Theme::of(ui).palette;
    let before = *chosen;
    Frame::new()
        .fill(p.trough)
        .corner_radius(CornerRadius::same(space::S as u8))
        .inner_margin(Margin::same(3))
        .show(ui, |ui| {
            ui.horizontal(|ui| {
                ui.spacing_mut().item_spacing.x = 2.0;
                ui.spacing_mut().interact_size.y = 24.0;
                ui.spacing_mut().button_padding = egui::vec2(space::M, 4.0);
                for (choice, label, explanation) in choices {
                    let on = *choice == before;
                    let words = if on {
                        RichText::new(*label).color(p.ink)
                    } else {
                        RichText::new(*label).color(p.muted)
                    };
                    let fill = if on { p.surface } else { p.trough };
                    let edge = if on { p.border } else { p.trough };
                    let button = Button::new(words)
                        .fill(fill)
                        .stroke(Stroke::new(1.0, edge))
                        .corner_radius(CornerRadius::same(space::RADIUS_S as u8));
                    let response = ui.add(button);
                    response
                        .widget_info(|| WidgetInfo::selected(Role::RadioButton, true, on, *label));
                    if response.clicked() {
                        *chosen = *choice;
                    }
                    if !explanation.is_empty() {
                        response.on_hover_text(*explanation);
                    }
                }
            });
        });
    *chosen != before
}

/// What is shown where there is nothing else to show yet.
pub fn empty(ui: &mut Ui, heading: &str, what_to_do: &str) {
    ui.vertical_centered(|ui| {
        ui.add_space(space::XXL);
        ui.label(text::heading(heading));
        ui.label(text::muted(what_to_do));
        ui.add_space(space::XXL);
    });
}
