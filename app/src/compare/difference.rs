//! Where two runs of one document differ, chunk by chunk.

use eframe::egui::{
    Align2, Color32, CornerRadius, Rect, Role, Sense, Stroke, TextStyle, Ui, WidgetInfo, pos2, vec2,
};
use inscribe::words;

use crate::run::{Cell, Figures};
use crate::theme::{Mark, Theme, keys, section, space, text};
use crate::vocabulary::Selection;

const GUTTER: f32 = 44.0;
const ROW: f32 = 84.0;

pub fn show(ui: &mut Ui, a: &Figures, b: &Figures, selection: &mut Selection) {
    section(
        ui,
        "B − A, chunk by chunk",
        "Where B took more steps than A, and where its loss ended higher.",
    );
    if !same_chunks(a, b) {
        ui.label(text::muted(
            "These runs cut their documents into other chunks, so there is no difference to draw.",
        ));
        return;
    }
    let p = Theme::of(ui).palette;
    let steps = |cell: &Cell| {
        let (taken, planned) = (cell.record.taken.total(), cell.record.planned.total());
        f64::from(if taken > 0 { taken } else { planned })
    };
    let differences = |of: &dyn Fn(&Cell) -> Option<f64>| -> Vec<Option<f64>> {
        let pairs = a.cells.iter().zip(&b.cells);
        pairs.map(|(a, b)| Some(of(b)? - of(a)?)).collect()
    };
    keys(
        ui,
        &[
            (Mark::Fill, p.utility, "B is higher"),
            (Mark::Fill, p.better, "B is lower"),
        ],
    );
    let by_steps = differences(&|cell| Some(steps(cell)));
    row(ui, "Steps", &by_steps, a, selection);
    let losses = differences(&|cell| cell.record.loss_after);
    if losses.iter().any(Option::is_some) {
        row(ui, "Loss after, nats a token", &losses, a, selection);
    }
    let held_out = differences(&|cell| cell.record.held_out_after);
    if held_out.iter().any(Option::is_some) {
        row(
            ui,
            "Loss of held-out tokens after, nats a token",
            &held_out,
            a,
            selection,
        );
    }
}

/// Whether both runs have the same chunks at the same places.
pub fn same_chunks(a: &Figures, b: &Figures) -> bool {
    let place = |cell: &Cell| (cell.segment, cell.chunk, cell.from, cell.to);
    !a.cells.is_empty() && a.cells.iter().map(place).eq(b.cells.iter().map(place))
}

fn row(
    ui: &mut Ui,
    name: &str,
    differences: &[Option<f64>],
    figures: &Figures,
    selection: &mut Selection,
) {
    let p = Theme::of(ui).palette;
    ui.add_space(space::XS);
    ui.label(text::strong_small(name));
    let (area, _) = ui.allocate_exact_size(vec2(ui.available_width(), ROW), Sense::hover());
    let body = Rect::from_min_max(area.min + vec2(GUTTER, 4.0), area.max - vec2(0.0, 4.0));
    let most = differences
        .iter()
        .flatten()
        .fold(0.0f64, |most, d| most.max(d.abs()));
    let most = if most > 0.0 { most } else { 1.0 };
    let y = |value: f64| body.center().y - 0.5 * body.height() * (value / most) as f32;
    let small = TextStyle::Small.resolve(ui.style());
    let painter = ui.painter().clone();
    for value in [most, 0.0, -most] {
        let colour = if value == 0.0 { p.faint } else { p.grid };
        painter.hline(body.x_range(), y(value), Stroke::new(1.0, colour));
        let label = match value {
            0.0 => "0".to_owned(),
            value => words::signed(value),
        };
        let at = pos2(body.left() - space::S, y(value));
        painter.text(at, Align2::RIGHT_CENTER, label, small.clone(), p.muted);
    }
    let tokens = figures.tokens.max(1) as f32;
    for (cell, difference) in figures.cells.iter().zip(differences) {
        let x = |token: usize| body.left() + body.width() * token as f32 / tokens;
        let column = Rect::from_min_max(
            pos2(x(cell.from), body.top()),
            pos2(x(cell.to), body.bottom()),
        );
        if selection.segment == cell.segment && selection.chunk == Some(cell.chunk) {
            painter.rect_filled(
                column,
                CornerRadius::same(3),
                p.selected.gamma_multiply(0.6),
            );
        }
        let Some(difference) = *difference else {
            continue;
        };
        let gap = (column.width() * 0.14).min(8.0);
        let (top, bottom) = (y(difference.max(0.0)), y(difference.min(0.0)));
        let bar = Rect::from_min_max(
            pos2(column.left() + gap, top),
            pos2(column.right() - gap, bottom),
        );
        let colour: Color32 = if difference > 0.0 {
            p.utility
        } else {
            p.better
        };
        painter.rect_filled(bar, CornerRadius::same(1), colour);
        let id = ui.scope_id().with((name, cell.segment, cell.chunk));
        let response = ui.interact(column, id, Sense::CLICK | Sense::HOVER);
        let label = format!("{name}, {}: {}", cell.name, words::signed(difference));
        response.widget_info(|| WidgetInfo::labeled(Role::Button, true, label.as_str()));
        if response.clicked() {
            *selection = Selection::chunk(cell.segment, cell.chunk);
        }
        response.on_hover_text_at_pointer(label);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use inscribe::write::record::RunRecord;
    use inscribe::write::synthetic::{Invented, events};

    #[test]
    fn only_the_same_chunks_are_compared() {
        let figures = |run: Invented| Figures::of(&RunRecord::from_events(&events(&run)));
        let whole = figures(Invented::default());
        let other = figures(Invented {
            budget: 96,
            seed: 4,
            ..Invented::default()
        });
        assert!(same_chunks(&whole, &other));
        let finer = figures(Invented {
            chunk: 512,
            ..Invented::default()
        });
        assert!(!same_chunks(&whole, &finer));
        assert!(!same_chunks(&Figures::default(), &Figures::default()));
    }
}
