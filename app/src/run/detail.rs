//! One chunk by itself: its name, its numbers, its steps.

use eframe::egui::{
    Align, Align2, Button, Color32, Grid, Layout, Rect, Role, Sense, Shape, Stroke, TextStyle, Ui,
    WidgetInfo, pos2, vec2,
};
use inscribe::words;
use inscribe::write::chart;
use inscribe::write::event::StepKind;
use inscribe::write::record::RunRecord;

use super::figures::{Cell, Figures, tick_labels};
use crate::theme::{Icon, Mark, Theme, draw_mark, icon_button, space, text};
use crate::vocabulary::Selection;

pub fn show(ui: &mut Ui, figures: &Figures, record: &RunRecord, selection: &mut Selection) {
    let place = figures.selected(selection);
    let Some((place, cell)) = place.and_then(|at| Some((at, figures.cells.get(at)?))) else {
        nothing(ui, figures, selection);
        return;
    };
    ui.horizontal(|ui| {
        ui.label(text::heading(cell.name.as_str()));
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
            neighbours(ui, figures, place, selection);
        });
    });
    let title = cell.record.title.as_deref().unwrap_or("No heading");
    ui.add(eframe::egui::Label::new(text::muted(title)).truncate());
    ui.add_space(space::XS);
    numbers(ui, cell, figures.rule);
    // A curve lower than this is not read.
    if ui.available_height() > 104.0 {
        ui.add_space(space::S);
        curve(ui, figures, record, place);
    }
}

fn neighbours(ui: &mut Ui, figures: &Figures, place: usize, selection: &mut Selection) {
    let mut to = None;
    let last = figures.cells.len().saturating_sub(1);
    for (label, icon, target, on) in [
        ("Next chunk", Icon::Right, place + 1, place < last),
        (
            "Previous chunk",
            Icon::Left,
            place.saturating_sub(1),
            place > 0,
        ),
    ] {
        let response = icon_button(ui, icon, on, label, label);
        if response.clicked() {
            to = figures.cells.get(target);
        }
    }
    if let Some(cell) = to {
        *selection = Selection::chunk(cell.segment, cell.chunk);
    }
}

/// Before a chunk is chosen: how to choose one, and the ones that need far context most.
fn nothing(ui: &mut Ui, figures: &Figures, selection: &mut Selection) {
    ui.label(text::heading("A chunk by itself"));
    ui.label(text::muted("Click a chunk, or press an arrow key."));
    let mut best: Vec<&Cell> = figures
        .cells
        .iter()
        .filter(|c| c.record.utility.is_some())
        .collect();
    if best.is_empty() {
        return;
    }
    best.sort_by(|a, b| {
        b.record
            .utility
            .unwrap_or(0.0)
            .total_cmp(&a.record.utility.unwrap_or(0.0))
    });
    ui.add_space(space::S);
    ui.label(text::strong_small("Where far text matters most"));
    let fitting = (ui.available_height() / 36.0) as usize;
    for cell in best.into_iter().take(fitting.clamp(4, 12)) {
        let utility = words::nats(cell.record.utility.unwrap_or(0.0));
        let title = cell.record.title.as_deref().unwrap_or("no heading");
        let words = format!("{}  ·  {utility}  ·  {title}", cell.name);
        let button = Button::new(words)
            .truncate()
            .min_size(vec2(ui.available_width(), 28.0));
        if ui.add(button).clicked() {
            *selection = Selection::chunk(cell.segment, cell.chunk);
        }
    }
}

fn numbers(ui: &mut Ui, cell: &Cell, rule: Option<&str>) {
    ui.spacing_mut().interact_size.y = 16.0;
    let chunk = &cell.record;
    let value = |v: Option<f64>| v.map_or("–".to_owned(), words::nats);
    let change = |before: Option<f64>, after: Option<f64>| match (before, after) {
        (Some(before), Some(after)) => words::nats_change(before, after),
        _ => "–".to_owned(),
    };
    Grid::new("chunk numbers")
        .num_columns(4)
        .min_col_width(24.0)
        .spacing([space::M, 3.0])
        .show(ui, |ui| {
            let mut row = |name: &str, values: [String; 3]| {
                ui.label(text::caption(name));
                for value in values {
                    ui.label(eframe::egui::RichText::new(value).text_style(TextStyle::Small));
                }
                ui.end_row();
            };
            let none = String::new;
            let range = format!("{}–{}", words::count(cell.from), words::count(cell.to));
            row("Tokens", [range, none(), none()]);
            let signed = chunk.signed.map_or("–".to_owned(), words::nats_signed);
            row("Utility, which way", [value(chunk.utility), signed, none()]);
            let (planned, taken) = (chunk.planned, chunk.taken);
            let of = |taken: u32, planned: u32| format!("{taken} of {planned}");
            row(
                "Coverage steps",
                [of(taken.coverage, planned.coverage), none(), none()],
            );
            row(
                &format!("Steps {}", rule.unwrap_or("by utility")),
                [of(taken.utility, planned.utility), none(), none()],
            );
            row(
                "Loss, before, after",
                [
                    value(chunk.loss_before),
                    value(chunk.loss_after),
                    change(chunk.loss_before, chunk.loss_after),
                ],
            );
            if chunk.held_out_before.or(chunk.held_out_after).is_some() {
                row(
                    "Held out",
                    [
                        value(chunk.held_out_before),
                        value(chunk.held_out_after),
                        change(chunk.held_out_before, chunk.held_out_after),
                    ],
                );
            }
        });
}

/// The losses of the chunk's own steps, in the order they were taken.
fn curve(ui: &mut Ui, figures: &Figures, record: &RunRecord, place: usize) {
    let p = Theme::of(ui).palette;
    let steps = figures.steps_of.get(place).map_or(&[][..], Vec::as_slice);
    let steps: Vec<_> = steps
        .iter()
        .filter_map(|&at| Some((&record.steps.get(at)?.step, figures.value(at))))
        .collect();
    ui.label(text::strong_small(match figures.relative {
        true => "Its steps, against before any step",
        false => "Loss of its steps, nats a token",
    }));
    let height = ui.available_height().clamp(72.0, 120.0);
    let (area, response) =
        ui.allocate_exact_size(vec2(ui.available_width(), height), Sense::hover());
    let label = format!("Loss curve of {}", words::counted(steps.len(), "step"));
    response.widget_info(|| WidgetInfo::labeled(Role::Image, true, label.as_str()));
    let font = TextStyle::Small.resolve(ui.style());
    let painter = ui.painter();
    let losses = || steps.iter().map(|s| s.1);
    let zero = (figures.relative && !steps.is_empty()).then_some(0.0);
    let Some((low, high)) = chart::range(losses().chain(zero)) else {
        painter.text(
            area.center(),
            Align2::CENTER_CENTER,
            "No step taken yet",
            font,
            p.muted,
        );
        return;
    };
    let margin = ((high - low) * 0.15).max(0.05);
    let (low, high) = (low - margin, high + margin);
    let plot = Rect::from_min_max(area.min + vec2(36.0, 4.0), area.max - vec2(8.0, 18.0));
    let y = |loss: f64| plot.bottom() - plot.height() * ((loss - low) / (high - low)) as f32;
    let x = |at: usize| match steps.len() {
        1 => plot.center().x,
        n => plot.left() + 6.0 + (plot.width() - 12.0) * at as f32 / (n - 1) as f32,
    };
    for (tick, label) in tick_labels(low, high, 3) {
        let ink = match zero {
            Some(_) if tick.abs() < 1e-9 => p.muted,
            _ => p.grid,
        };
        painter.hline(plot.x_range(), y(tick), Stroke::new(1.0, ink));
        let at = pos2(plot.left() - 6.0, y(tick));
        painter.text(at, Align2::RIGHT_CENTER, label, font.clone(), p.muted);
    }
    let line = losses()
        .enumerate()
        .map(|(at, loss)| pos2(x(at), y(loss)))
        .collect();
    painter.add(Shape::line(line, Stroke::new(1.0, p.faint)));
    let reach = if steps.len() > 60 { 2.0 } else { 3.5 };
    for (at, (step, value)) in steps.iter().enumerate() {
        let (mark, colour): (Mark, Color32) = match step.kind {
            StepKind::Coverage => (Mark::Diamond, p.coverage),
            StepKind::Utility => (Mark::Dot, p.utility),
        };
        draw_mark(painter, mark, pos2(x(at), y(*value)), reach, colour);
    }
    let steps_at = |at: usize| format!("step {}", steps.get(at).map_or(0, |(step, _)| step.step));
    let foot = area.bottom() - 8.0;
    painter.text(
        pos2(x(0).min(plot.center().x), foot),
        Align2::LEFT_CENTER,
        steps_at(0),
        font.clone(),
        p.muted,
    );
    if steps.len() > 1 {
        let last = steps.len() - 1;
        painter.text(
            pos2(x(last) + 4.0, foot),
            Align2::RIGHT_CENTER,
            steps_at(last),
            font,
            p.muted,
        );
    }
}
