//! What is answered for each key, how sure of it the model is, and whether it is right.

use eframe::egui::{
    Align2, Color32, CornerRadius, FontFamily, FontId, Painter, Pos2, Rect, Role, Sense, Stroke,
    TextStyle, Ui, WidgetInfo, pos2, vec2,
};
use inscribe::train::bench::{Answer, Pair, Said, Stage};

use super::{percent, scale};
use crate::theme::{Theme, space, text};

/// Least width of an answer.
const NARROW: f32 = 100.0;
const TALL: f32 = 44.0;

pub fn show(ui: &mut Ui, pairs: &[Pair], stage: &Stage) {
    let s = scale(ui);
    let gap = space::S;
    let width = ui.available_width();
    let columns = ((width + gap) / (NARROW * s + gap)).floor().max(1.0);
    let each = (width - gap * (columns - 1.0)) / columns;
    let rows = stage.answers.len().div_ceil(columns as usize);
    let height = rows as f32 * (TALL * s + gap) - gap;
    let (rect, _) = ui.allocate_exact_size(vec2(width, height.max(0.0)), Sense::hover());
    for (at, (pair, answer)) in pairs.iter().zip(&stage.answers).enumerate() {
        let (row, column) = (at / columns as usize, at % columns as usize);
        let corner = vec2(column as f32 * (each + gap), row as f32 * (TALL * s + gap));
        let cell = Rect::from_min_size(rect.min + corner, vec2(each, TALL * s));
        one(ui, at, pair, answer, cell, s);
    }
}

fn one(ui: &Ui, at: usize, pair: &Pair, answer: &Answer, cell: Rect, s: f32) {
    let p = Theme::of(ui).palette;
    let painter = ui.painter();
    let right = answer.is_right();
    painter.rect_filled(cell, CornerRadius::same(space::RADIUS_S as u8), p.raised);
    let inner = cell.shrink2(vec2(space::S, 6.0));
    let mono = FontId::new(14.0 * s, FontFamily::Monospace);
    let mut pen = inner.left_top();
    let mut write = |words: &str, ink: Color32| {
        let galley = painter.layout_no_wrap(words.to_owned(), mono.clone(), ink);
        let width = galley.size().x;
        painter.galley(pen, galley, ink);
        pen.x += width;
    };
    write(&pair.key, p.muted);
    write(" → ", p.muted);
    for said in answer.said {
        write(&said.character.to_string(), p.ink);
    }
    mark(
        painter,
        pos2(pen.x + 12.0 * s, inner.top() + 8.0 * s),
        right,
        s,
        &p,
    );
    let small = FontId::new(12.0 * s, TextStyle::Small.resolve(ui.style()).family);
    let part = answer.right_part();
    let sure = if right {
        percent(part)
    } else {
        format!("{}: {}", pair.value, percent(part))
    };
    let place = inner.right_bottom();
    let number = painter.text(place, Align2::RIGHT_BOTTOM, sure, small, p.muted);
    let middle = number.center().y;
    let bar = Rect::from_min_max(
        pos2(inner.left(), middle - 2.5),
        pos2(
            number.left().min(inner.right() - 36.0 * s) - 6.0,
            middle + 2.5,
        ),
    );
    painter.rect_filled(bar, CornerRadius::same(2), p.border);
    let colour = if right { p.good } else { p.warning };
    let full = bar.with_max_x(bar.left() + bar.width() * part.clamp(0.0, 1.0));
    painter.rect_filled(full, CornerRadius::same(2), colour);
    let response = ui.interact(cell, ui.scope_id().with(("answer", at)), Sense::hover());
    let label = format!(
        "{}: {}, {}, {} sure of the right one",
        pair.key,
        answer.text(),
        if right { "right" } else { "wrong" },
        percent(part)
    );
    response.widget_info(|| WidgetInfo::labeled(Role::Label, true, label.as_str()));
    response.on_hover_ui(|ui| {
        let [first, second] = &answer.said;
        ui.label(text::strong(format!("{} → {}", pair.key, pair.value)));
        ui.label(said("First character", first));
        ui.label(said("Second, after the right first", second));
    });
}

fn said(which: &str, said: &Said) -> String {
    let (character, part) = (said.character, percent(said.part));
    if said.is_right() {
        return format!("{which}: {character} with {part}, right");
    }
    let right = format!("{} has {}", said.right, percent(said.right_part));
    format!("{which}: {character} with {part}; the right {right}")
}

/// A tick or a cross: told apart by their shape as well.
fn mark(painter: &Painter, at: Pos2, right: bool, s: f32, p: &crate::theme::Palette) {
    let line = |ends: [(f32, f32); 2], colour: Color32| {
        let ends = ends.map(|(x, y)| at + s * vec2(x, y));
        painter.line_segment(ends, Stroke::new(2.0 * s, colour));
    };
    if right {
        line([(-5.0, 0.5), (-1.5, 4.0)], p.good);
        line([(-1.5, 4.0), (5.0, -4.0)], p.good);
    } else {
        line([(-4.0, -4.0), (4.0, 4.0)], p.danger);
        line([(-4.0, 4.0), (4.0, -4.0)], p.danger);
    }
}
