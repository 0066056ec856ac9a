//! What the keyboard acts on is marked, whatever it is.

use eframe::egui::{Context, CornerRadius, Stroke, StrokeKind};

use crate::theme::Theme;

/// Draws a ring around what has the focus. Nothing gets it by a click but fields for text, which
/// show it themselves.
pub fn ring(ctx: &Context) {
    if ctx.text_edit_focused() {
        return;
    }
    let focused = ctx.memory(|memory| memory.focused());
    let Some(response) = focused.and_then(|id| ctx.read_response(id)) else {
        return;
    };
    let seen = response.interact_rect;
    if !seen.is_positive() {
        return;
    }
    let p = Theme::from_dark(ctx.global_style().visuals.dark_mode).palette;
    let painter = ctx.layer_painter(response.layer_id);
    painter.rect_stroke(
        seen.expand(2.0),
        CornerRadius::same(7),
        Stroke::new(2.0, p.accent),
        StrokeKind::Outside,
    );
}
