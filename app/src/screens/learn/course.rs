//! How many answers are right after each number of steps.

use eframe::egui::{
    Align2, CornerRadius, CursorIcon, Rect, Role, Sense, Stroke, StrokeKind, TextStyle, Ui,
    WidgetInfo, pos2, vec2,
};
use inscribe::words;

use super::scale;
use crate::state::bench::{MOST_STEPS, Written};
use crate::theme::{Theme, text};

/// A bar for each step; gives the one that was clicked.
pub fn show(ui: &mut Ui, written: &Written, at: usize) -> Option<usize> {
    ui.label(text::caption("Right answers after each number of steps"));
    let tall = 44.0 * scale(ui);
    let size = vec2(ui.available_width(), tall + 18.0);
    let (rect, _) = ui.allocate_exact_size(size, Sense::hover());
    let each = rect.width() / (MOST_STEPS + 1) as f32;
    let mut chosen = None;
    for step in 0..=MOST_STEPS {
        let left = rect.left() + each * step as f32;
        let whole = Rect::from_min_size(pos2(left, rect.top()), vec2(each, rect.height()));
        if column(ui, written, step, whole, tall, step == at) {
            chosen = Some(step);
        }
    }
    chosen
}

fn column(ui: &Ui, written: &Written, step: usize, whole: Rect, tall: f32, is_shown: bool) -> bool {
    let theme = Theme::of(ui);
    let p = theme.palette;
    let response = ui.interact(whole, ui.scope_id().with(("step", step)), Sense::click());
    let painter = ui.painter();
    let trough = Rect::from_min_size(whole.min, vec2(whole.width(), tall)).shrink2(vec2(2.0, 1.0));
    painter.rect_filled(trough, CornerRadius::same(3), p.trough);
    let label = match written.stages.get(step) {
        Some(stage) => {
            let right = stage.answers.iter().filter(|answer| answer.is_right());
            let (right, of) = (right.count(), stage.answers.len());
            let part = right as f32 / of.max(1) as f32;
            let bar = trough.with_min_y(trough.bottom() - trough.height() * part);
            painter.rect_filled(bar, CornerRadius::same(3), p.better);
            let font = TextStyle::Small.resolve(ui.style());
            let galley = painter.layout_no_wrap(right.to_string(), font, p.ink);
            // Above its bar where there is room, else in it.
            let above = bar.top() - galley.size().y;
            let (y, ink) = if above >= trough.top() {
                (above, p.ink)
            } else {
                (bar.top() + 1.0, theme.ink_on(p.better))
            };
            let x = trough.center().x - galley.size().x / 2.0;
            painter.galley_with_override_text_color(pos2(x, y), galley, ink);
            let loss = words::nats(stage.loss);
            format!("K = {step}: {right} of {of} right, mean loss {loss}")
        }
        None => format!("K = {step}: not there yet"),
    };
    if is_shown {
        let stroke = Stroke::new(2.0, p.ink);
        painter.rect_stroke(trough, CornerRadius::same(4), stroke, StrokeKind::Outside);
    }
    let (style, ink) = if is_shown {
        (text::strong_small_style(), p.ink)
    } else {
        (TextStyle::Small, p.muted)
    };
    let place = pos2(whole.center().x, whole.bottom());
    let name = if step == 0 {
        "K = 0".to_owned()
    } else {
        step.to_string()
    };
    painter.text(
        place,
        Align2::CENTER_BOTTOM,
        name,
        style.resolve(ui.style()),
        ink,
    );
    response.widget_info(|| WidgetInfo::selected(Role::RadioButton, true, is_shown, &label));
    let response = response.on_hover_cursor(CursorIcon::PointingHand);
    response.on_hover_text(label).clicked()
}
