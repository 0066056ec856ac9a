//! The rows of the strips.

use eframe::egui::{
    Align, Align2, Color32, CornerRadius, FontId, Layout, Rect, Shape, Stroke, StrokeKind,
    TextStyle, Ui, UiBuilder, pos2, text::LayoutJob, text::TextWrapping, vec2,
};
use inscribe::words;
use inscribe::write::chart;
use inscribe::write::event::ChunkSteps;

use super::{Axis, Scales, outline};
use crate::run::Preview;
use crate::run::figures::{Cell, Figures, tick_labels};
use crate::theme::{
    ColourScale, Map, Mark, Theme, draw_mark, hatch, keys_at, legend, legend_width, space, text,
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Row {
    Utility,
    Signed,
    Steps,
    Losses,
}

pub struct Drawn<'a> {
    pub figures: &'a Figures,
    pub scales: Scales,
    pub axis: Axis,
    pub body: Rect,
    pub preview: Option<&'a Preview>,
    pub selected: Option<usize>,
}

/// A column narrower than this has no room for marks.
const MARKS: f32 = 14.0;

impl Row {
    /// The rows there is something for, in this run or in the one it shares its scales with.
    pub fn shown(scales: &Scales) -> Vec<Row> {
        let mut rows = Vec::new();
        if scales.utility.is_some() {
            rows.push(Row::Utility);
        }
        if scales.signed.is_some() {
            rows.push(Row::Signed);
        }
        if scales.most_steps > 0 {
            rows.push(Row::Steps);
        }
        if scales.losses.is_some() {
            rows.push(Row::Losses);
        }
        rows
    }

    pub fn height(self) -> f32 {
        match self {
            Row::Utility => 30.0,
            Row::Signed => 12.0,
            Row::Steps => 84.0,
            Row::Losses => 84.0,
        }
    }

    /// Whether the row takes room that is left over.
    pub fn grows(self) -> bool {
        matches!(self, Row::Steps | Row::Losses)
    }

    fn title(self) -> &'static str {
        match self {
            Row::Utility => "Utility",
            Row::Signed => "Signed utility",
            Row::Steps => "Gradient steps",
            Row::Losses => "Loss",
        }
    }

    fn explanation(self) -> &'static str {
        match self {
            Row::Utility => "how much far context changes what is predicted",
            Row::Signed => "which way",
            Row::Steps => "where they go",
            Row::Losses => "nats a token, lower is better",
        }
    }

    pub fn heading(self, ui: &mut Ui, area: Rect, drawn: &Drawn<'_>) {
        let p = Theme::of(ui).palette;
        let font = text::strong_style().resolve(ui.style());
        let small = TextStyle::Small.resolve(ui.style());
        let title = ui
            .painter()
            .layout_no_wrap(self.title().to_owned(), font, p.ink);
        let middle = area.top() + 9.0;
        let at = pos2(area.left(), middle - title.size().y / 2.0);
        let title_end = at.x + title.size().x + space::S;
        ui.painter().galley(at, title, p.ink);
        let key_width = self.key(ui, area.with_min_x(title_end), drawn);
        let words = ui
            .painter()
            .layout_no_wrap(self.explanation().to_owned(), small, p.muted);
        // The explanation gives way to the key where both do not fit.
        if title_end + words.size().x + space::L < area.right() - key_width {
            let at = pos2(title_end, middle - words.size().y / 2.0 + 0.5);
            ui.painter().galley(at, words, p.muted);
        }
    }

    /// What the row's colours and marks mean, at the right end; returns its width.
    fn key(self, ui: &mut Ui, area: Rect, drawn: &Drawn<'_>) -> f32 {
        let p = Theme::of(ui).palette;
        let end = pos2(area.right(), area.top() + 9.0);
        match self {
            Row::Utility | Row::Signed => {
                let area = Rect::from_min_max(area.min, pos2(end.x, area.top() + 18.0));
                let layout = Layout::right_to_left(Align::Center);
                let id = ("key", self.title());
                let mut child =
                    ui.new_child(UiBuilder::new().id_salt(id).max_rect(area).layout(layout));
                let mut colours = self.colours(drawn);
                if legend_width(&child, &colours) > area.width() {
                    // The tooltip of each chunk says what it is as well.
                    colours.title = "";
                }
                legend(&mut child, &colours).rect.width()
            }
            Row::Steps => {
                let mut entries = vec![
                    (Mark::Hatch, p.coverage, "coverage"),
                    (
                        Mark::Fill,
                        p.utility,
                        drawn.figures.rule.unwrap_or("by utility"),
                    ),
                    (Mark::Frame, p.faint, "planned"),
                ];
                if drawn.preview.is_some() {
                    entries.push((Mark::Line, p.ink, "with these settings"));
                }
                keys_at(ui, end, &entries)
            }
            Row::Losses => {
                let mut entries = vec![
                    (Mark::Ring, p.muted, "before"),
                    (Mark::Dot, p.better, "after"),
                ];
                if drawn.figures.held_out {
                    entries.push((Mark::Diamond, p.utility, "held out, after"));
                }
                keys_at(ui, end, &entries)
            }
        }
    }

    fn colours(self, drawn: &Drawn<'_>) -> ColourScale<'static> {
        match self {
            Row::Signed => {
                let most = drawn.scales.signed.unwrap_or(0.0);
                ColourScale {
                    title: "− misleads, + helps",
                    unit: "nats a token",
                    low: -most,
                    high: most,
                    map: Map::Diverging,
                }
            }
            _ => {
                let (low, high) = drawn.scales.utility.unwrap_or((0.0, 0.0));
                ColourScale {
                    title: "mean |Δ log P|",
                    unit: "nats a token",
                    low,
                    high,
                    map: Map::Sequential,
                }
            }
        }
    }

    pub fn draw(self, ui: &Ui, drawn: &Drawn<'_>) {
        match self {
            Row::Utility | Row::Signed => self.heat(ui, drawn),
            Row::Steps => steps(ui, drawn),
            Row::Losses => losses(ui, drawn),
        }
    }

    fn heat(self, ui: &Ui, drawn: &Drawn<'_>) {
        let theme = Theme::of(ui);
        let scale = self.colours(drawn);
        let painter = ui.painter();
        painter.rect_filled(drawn.body, CornerRadius::same(3), theme.palette.trough);
        let small = TextStyle::Small.resolve(ui.style());
        if !drawn.figures.cells.is_empty() && drawn.figures.utility.is_none() {
            // Beside another run that was measured.
            let words = match self {
                Row::Utility => "not measured: this rule needs no utility",
                _ => "",
            };
            let (centre, ink) = (drawn.body.center(), theme.palette.muted);
            painter.text(centre, Align2::CENTER_CENTER, words, small, ink);
            return;
        }
        for cell in &drawn.figures.cells {
            let value = match self {
                Row::Signed => cell.record.signed,
                _ => cell.record.utility,
            };
            let Some(value) = value.filter(|v| v.is_finite()) else {
                continue;
            };
            let rect = drawn.column(cell);
            let fill = scale.colour(theme, value);
            let gap = if rect.width() > 5.0 { 0.75 } else { 0.0 };
            painter.rect_filled(rect.shrink2(vec2(gap, 0.0)), CornerRadius::same(2), fill);
            if self == Row::Utility {
                name(ui, rect, cell, &small, theme.ink_on(fill));
            }
        }
        if let Some(cell) = drawn.selected.and_then(|at| drawn.figures.cells.get(at)) {
            outline(ui, drawn.column(cell));
        }
    }
}

impl Drawn<'_> {
    fn column(&self, cell: &Cell) -> Rect {
        self.axis.column(cell, self.body.top(), self.body.bottom())
    }

    fn preview_of(&self, cell: &Cell) -> Option<ChunkSteps> {
        self.preview?.get(cell.segment)?.get(cell.chunk).copied()
    }
}

/// The chunk's number, and its title where there is room.
fn name(ui: &Ui, rect: Rect, cell: &Cell, font: &FontId, ink: Color32) {
    let number = (cell.chunk + 1).to_string();
    let room = rect.width() - 10.0;
    let title = cell.record.title.as_deref().filter(|_| room > 72.0);
    let words = match title {
        Some(title) => format!("{number}  {title}"),
        None => number,
    };
    let mut job = LayoutJob::simple_singleline(words, font.clone(), ink);
    job.wrap = TextWrapping::truncate_at_width(match title {
        Some(_) => room,
        None => f32::INFINITY,
    });
    let galley = ui.painter().layout_job(job);
    if galley.size().x > rect.width() - 2.0 {
        return;
    }
    let left = match title {
        Some(_) => rect.left() + 5.0,
        None => rect.center().x - galley.size().x / 2.0,
    };
    let at = pos2(left, rect.center().y - galley.size().y / 2.0);
    ui.painter().galley(at, galley, ink);
}

/// Bars from the bottom: what was planned as a frame, what was taken filling it, coverage below.
fn steps(ui: &Ui, drawn: &Drawn<'_>) {
    let p = Theme::of(ui).palette;
    let previewed = drawn
        .figures
        .cells
        .iter()
        .filter_map(|c| drawn.preview_of(c));
    let most = previewed
        .map(ChunkSteps::total)
        .max()
        .unwrap_or(0)
        .max(drawn.scales.most_steps)
        .max(1);
    let body = drawn.body;
    // Room for the number over the highest bar.
    let y = |steps: u32| body.bottom() - (body.height() - 14.0) * steps as f32 / most as f32;
    let ticks = chart::whole_ticks(0, most as usize, 3);
    gutter(
        ui,
        body,
        ticks.into_iter().map(|t| (y(t as u32), words::count(t))),
    );
    for cell in &drawn.figures.cells {
        let column = drawn.column(cell);
        let gap = (column.width() * 0.12).clamp(0.0, 8.0);
        let bar = |from: u32, to: u32| {
            let (left, right) = (column.left() + gap, column.right() - gap);
            Rect::from_min_max(pos2(left, y(to)), pos2(right.max(left + 1.0), y(from)))
        };
        let (planned, taken) = (cell.record.planned, cell.record.taken);
        let painter = ui.painter();
        if taken.coverage > 0 {
            hatch(painter, bar(0, taken.coverage), p.coverage);
        }
        if taken.utility > 0 {
            // Bars of utility steps begin above the room for coverage, whether its steps are taken
            // or not.
            let base = planned.coverage.max(taken.coverage);
            painter.rect_filled(
                bar(base, base + taken.utility),
                CornerRadius::same(1),
                p.utility,
            );
        }
        if planned.total() > 0 && column.width() > 3.0 {
            let frame = bar(0, planned.total());
            painter.rect_stroke(
                frame,
                CornerRadius::same(2),
                Stroke::new(1.0, p.faint),
                StrokeKind::Middle,
            );
            if planned.coverage > 0 && planned.utility > 0 {
                let at = y(planned.coverage);
                painter.hline(frame.x_range(), at, Stroke::new(1.0, p.faint));
            }
        }
        if let Some(steps) = drawn.preview_of(cell) {
            let at = y(steps.total());
            painter.hline(
                column.x_range().shrink(gap / 2.0),
                at,
                Stroke::new(2.5, p.ink),
            );
        }
        count(
            ui,
            column,
            y(planned.total().max(taken.total())),
            taken.total().max(planned.total()),
        );
    }
}

/// The number of steps over its bar, where there is room.
fn count(ui: &Ui, column: Rect, top: f32, steps: u32) {
    let text = steps.to_string();
    if steps == 0 || column.width() < 10.0 + 7.0 * text.len() as f32 {
        return;
    }
    let p = Theme::of(ui).palette;
    let font = TextStyle::Small.resolve(ui.style());
    let at = pos2(column.center().x, (top - 1.0).max(column.top() + 10.0));
    ui.painter()
        .text(at, Align2::CENTER_BOTTOM, text, font, p.muted);
}

/// The loss of each chunk before and after, and of what was held out.
fn losses(ui: &Ui, drawn: &Drawn<'_>) {
    let p = Theme::of(ui).palette;
    let Some((low, high)) = drawn.scales.losses else {
        return;
    };
    let margin = ((high - low) * 0.12).max(0.02);
    let (low, high) = (low - margin, high + margin);
    let body = drawn.body;
    let y = |loss: f64| body.bottom() - body.height() * ((loss - low) / (high - low)) as f32;
    gutter(
        ui,
        body,
        tick_labels(low, high, 3)
            .into_iter()
            .map(|(t, label)| (y(t), label)),
    );
    let painter = ui.painter();
    for cell in &drawn.figures.cells {
        let column = drawn.column(cell);
        let (before, after) = (cell.record.loss_before, cell.record.loss_after);
        let level = |loss: f64, colour: Color32, width: f32| {
            painter.hline(column.x_range(), y(loss), Stroke::new(width, colour));
        };
        let colour = match cell.gain() {
            Some(gain) if gain < 0.0 => p.worse,
            _ => p.better,
        };
        if column.width() < MARKS {
            before.inspect(|&loss| level(loss, p.faint, 1.5));
            after.inspect(|&loss| level(loss, colour, 2.0));
            continue;
        }
        let held_out = cell
            .record
            .held_out_after
            .filter(|_| column.width() > 2.0 * MARKS);
        let aside = if held_out.is_some() {
            column.width().min(60.0) * 0.16
        } else {
            0.0
        };
        let x = column.center().x - aside;
        if let (Some(before), Some(after)) = (before, after) {
            let ends = [pos2(x, y(before)), pos2(x, y(after))];
            painter.add(Shape::line_segment(ends, Stroke::new(2.0, colour)));
        }
        if let Some(before) = before {
            draw_mark(painter, Mark::Ring, pos2(x, y(before)), 4.5, p.muted);
        }
        if let Some(after) = after {
            draw_mark(painter, Mark::Dot, pos2(x, y(after)), 4.0, colour);
        }
        if let Some(held_out) = held_out {
            let x = column.center().x + aside;
            if let Some(before) = cell.record.held_out_before {
                let ends = [pos2(x, y(before)), pos2(x, y(held_out))];
                painter.add(Shape::line_segment(ends, Stroke::new(1.0, p.faint)));
            }
            draw_mark(painter, Mark::Diamond, pos2(x, y(held_out)), 4.5, p.utility);
        }
    }
}

/// Grid lines with their numbers left of the axis.
fn gutter(ui: &Ui, body: Rect, ticks: impl Iterator<Item = (f32, String)>) {
    let p = Theme::of(ui).palette;
    let font = TextStyle::Small.resolve(ui.style());
    for (y, label) in ticks {
        if y < body.top() - 1.0 || y > body.bottom() + 1.0 {
            continue;
        }
        ui.painter()
            .hline(body.x_range(), y, Stroke::new(1.0, p.grid));
        let at = pos2(body.left() - space::S, y);
        ui.painter()
            .text(at, Align2::RIGHT_CENTER, label, font.clone(), p.muted);
    }
}
