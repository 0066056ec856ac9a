//! What the rows of the strips show.

use eframe::egui::{
    Align2, Color32, CornerRadius, FontId, Rect, Shape, Stroke, StrokeKind, TextStyle, Ui, pos2,
    text::LayoutJob, text::TextWrapping, vec2,
};
use inscribe::words;
use inscribe::write::chart;
use inscribe::write::event::ChunkSteps;

use super::rows::{signed_colours, utility_colours};
use super::{Axis, Scales, outline};
use crate::run::Preview;
use crate::run::figures::{Cell, Figures, tick_labels};
use crate::theme::{Mark, Theme, draw_mark, hatch, space, text};

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
/// Heights within the row of utilities: the cells, what is between, and the line below them.
const CELLS: f32 = 38.0;
const BETWEEN: f32 = 2.0;
const LINE: f32 = 6.0;
pub const UTILITY: f32 = CELLS + BETWEEN + LINE;

impl Drawn<'_> {
    fn column(&self, cell: &Cell) -> Rect {
        self.axis.column(cell, self.body.top(), self.body.bottom())
    }

    fn preview_of(&self, cell: &Cell) -> Option<ChunkSteps> {
        self.preview?.get(cell.segment)?.get(cell.chunk).copied()
    }

    /// Steps that a chunk is to get: those of the run, and before its first step those that the
    /// settings give now.
    fn plan_of(&self, cell: &Cell) -> ChunkSteps {
        let preview = self.preview_of(cell).filter(|_| !self.figures.begun);
        preview.unwrap_or(cell.record.planned)
    }

    /// Steps of another plan than the one that the bars show, to be marked over them.
    fn other_plan_of(&self, cell: &Cell) -> Option<u32> {
        let preview = self.preview_of(cell)?;
        let other = match self.figures.begun {
            true => preview,
            false => cell.record.planned,
        };
        (other != self.plan_of(cell)).then_some(other.total())
    }
}

/// The mean change of each chunk in the colours of the map with its value, and below it which way.
pub fn utility(ui: &Ui, drawn: &Drawn<'_>) {
    let theme = Theme::of(ui);
    let (scale, signs) = (utility_colours(drawn), signed_colours(drawn));
    let cells = drawn.body.with_max_y(drawn.body.top() + CELLS);
    let line = drawn.body.with_min_y(drawn.body.bottom() - LINE);
    let painter = ui.painter();
    painter.rect_filled(cells, CornerRadius::same(3), theme.palette.trough);
    let small = TextStyle::Small.resolve(ui.style());
    if !drawn.figures.cells.is_empty() && drawn.figures.utility.is_none() {
        // Beside another run that was measured.
        let words = "not measured: this rule needs no utility";
        let (centre, ink) = (cells.center(), theme.palette.muted);
        painter.text(centre, Align2::CENTER_CENTER, words, small, ink);
        return;
    }
    for cell in &drawn.figures.cells {
        let column = drawn.column(cell);
        let gap = if column.width() > 5.0 { 0.75 } else { 0.0 };
        let within = |row: Rect| Rect::from_x_y_ranges(column.x_range(), row.y_range());
        let filled = |row: Rect, fill: Color32| {
            let rect = within(row).shrink2(vec2(gap, 0.0));
            painter.rect_filled(rect, CornerRadius::same(2), fill);
        };
        if let Some(value) = cell.record.utility.filter(|v| v.is_finite()) {
            let fill = scale.colour(theme, value);
            filled(cells, fill);
            name(ui, within(cells), cell, value, theme.ink_on(fill));
        }
        if let Some(value) = cell.record.signed.filter(|v| v.is_finite()) {
            filled(line, signs.colour(theme, value));
        }
    }
    if let Some(cell) = drawn.selected.and_then(|at| drawn.figures.cells.get(at)) {
        let column = drawn.axis.column(cell, cells.top(), cells.bottom());
        outline(ui, column);
    }
}

/// The chunk's utility and number, and its title below them, as far as there is room.
fn name(ui: &Ui, rect: Rect, cell: &Cell, utility: f64, ink: Color32) {
    const ROOM_FOR_TITLE: f32 = 76.0;
    let small = TextStyle::Small.resolve(ui.style());
    let strong = text::strong_small_style().resolve(ui.style());
    let painter = ui.painter();
    let value = painter.layout_no_wrap(words::nats(utility), strong, ink);
    let number = (cell.chunk + 1).to_string();
    let number = painter.layout_no_wrap(number, small.clone(), ink);
    let title = cell.record.title.as_deref();
    let title = title.filter(|_| rect.width() >= ROOM_FOR_TITLE);
    let (inner, top) = match title {
        Some(_) => (rect.shrink2(vec2(6.0, 0.0)), rect.top() + 4.0),
        None => (rect, rect.center().y - value.size().y / 2.0),
    };
    let both = value.size().x + number.size().x + space::M;
    if both <= inner.width() - 4.0 {
        let left = if title.is_some() {
            inner.left()
        } else {
            inner.center().x - both / 2.0
        };
        let right = if title.is_some() {
            inner.right() - value.size().x
        } else {
            inner.center().x + both / 2.0 - value.size().x
        };
        painter.galley(pos2(left, top), number, ink);
        painter.galley(pos2(right, top), value, ink);
    } else if value.size().x <= rect.width() - 2.0 {
        painter.galley(
            pos2(rect.center().x - value.size().x / 2.0, top),
            value,
            ink,
        );
    } else if number.size().x <= rect.width() - 2.0 {
        painter.galley(
            pos2(rect.center().x - number.size().x / 2.0, top),
            number,
            ink,
        );
    }
    if let Some(title) = title {
        let mut job = LayoutJob::simple_singleline(title.to_owned(), small, ink);
        job.wrap = TextWrapping::truncate_at_width(inner.width());
        let galley = painter.layout_job(job);
        painter.galley(pos2(inner.left(), rect.top() + 20.0), galley, ink);
    }
}

/// Bars from the bottom: what was planned as a frame, what was taken filling it, coverage below.
/// Before the first step the bars are the plan.
pub fn steps(ui: &Ui, drawn: &Drawn<'_>) {
    let p = Theme::of(ui).palette;
    let figures = drawn.figures;
    let planned = figures.cells.iter().filter_map(|c| drawn.preview_of(c));
    let most = planned
        .map(ChunkSteps::total)
        .max()
        .unwrap_or(0)
        .max(drawn.scales.most_steps)
        .max(1);
    let body = drawn.body;
    // Room for the number over the highest bar.
    let y = |steps: u32| body.bottom() - (body.height() - 15.0) * steps as f32 / most as f32;
    let fitting = if body.height() < 70.0 { 2 } else { 3 };
    let ticks = chart::whole_ticks(0, most as usize, fitting);
    gutter(
        ui,
        body,
        ticks.into_iter().map(|t| (y(t as u32), words::count(t))),
    );
    for cell in &figures.cells {
        let column = drawn.column(cell);
        let gap = (column.width() * 0.12).clamp(0.0, 8.0);
        let bar = |from: u32, to: u32| {
            let (left, right) = (column.left() + gap, column.right() - gap);
            Rect::from_min_max(pos2(left, y(to)), pos2(right.max(left + 1.0), y(from)))
        };
        let (planned, taken) = (drawn.plan_of(cell), cell.record.taken);
        let painter = ui.painter();
        let done = if figures.begun { taken } else { planned };
        if done.coverage > 0 {
            hatch(painter, bar(0, done.coverage), p.coverage);
        }
        if done.utility > 0 {
            // Bars of utility steps begin above the room for coverage, whether its steps are taken
            // or not.
            let base = planned.coverage.max(done.coverage);
            let fill = if figures.begun {
                p.utility
            } else {
                p.utility.gamma_multiply(0.55)
            };
            let bar = bar(base, base + done.utility);
            painter.rect_filled(bar, CornerRadius::same(1), fill);
        }
        if planned.total() > 0 && column.width() > 3.0 {
            let frame = bar(0, planned.total());
            let stroke = Stroke::new(1.0, p.faint);
            painter.rect_stroke(frame, CornerRadius::same(2), stroke, StrokeKind::Middle);
            if planned.coverage > 0 && planned.utility > 0 {
                painter.hline(frame.x_range(), y(planned.coverage), stroke);
            }
        }
        let other = drawn.other_plan_of(cell);
        if let Some(other) = other {
            let (ends, at) = (column.x_range().shrink(gap / 2.0), y(other));
            if figures.begun {
                painter.hline(ends, at, Stroke::new(2.5, p.ink));
            } else {
                let ends = [pos2(ends.min, at), pos2(ends.max, at)];
                let stroke = Stroke::new(1.5, p.faint);
                painter.extend(Shape::dashed_line(&ends, stroke, 4.0, 3.0));
            }
        }
        let shown = planned.total().max(taken.total());
        let mut top = y(shown);
        // Over a line that would strike it through.
        if let Some(line) = other.map(y).filter(|line| (top - 17.0..top).contains(line)) {
            top = line;
        }
        if figures.begun {
            top = top.min(y(other.unwrap_or(0)));
        }
        let label = match other.filter(|_| figures.begun) {
            // The line as it is set now would strike through the number of the bar.
            Some(other) => format!("{shown} → {other}"),
            None if 0 < taken.total() && taken.total() < planned.total() => {
                format!("{}/{}", taken.total(), planned.total())
            }
            None if shown == 0 && other.is_none() => continue,
            None => shown.to_string(),
        };
        count(ui, column, top, label);
    }
}

/// The number of steps over its bar, where there is room.
fn count(ui: &Ui, column: Rect, top: f32, label: String) {
    if column.width() < 10.0 + 7.0 * label.len() as f32 {
        return;
    }
    let p = Theme::of(ui).palette;
    let font = TextStyle::Small.resolve(ui.style());
    let at = pos2(column.center().x, (top - 2.0).max(column.top() + 11.0));
    ui.painter()
        .text(at, Align2::CENTER_BOTTOM, label, font, p.muted);
}

/// The loss of each chunk before and after, and of what was held out.
pub fn losses(ui: &Ui, drawn: &Drawn<'_>) {
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
    let font: FontId = TextStyle::Small.resolve(ui.style());
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

#[cfg(test)]
mod tests {
    use super::*;
    use inscribe::write::event::Event;
    use inscribe::write::record::RunRecord;
    use inscribe::write::synthetic::{Invented, events};

    #[test]
    fn before_the_first_step_the_bars_are_the_plan() {
        let all = events(&Invented::default());
        let first = all.iter().position(|e| matches!(e, Event::Step(_)));
        let first = first.expect("steps");
        let steps = |coverage| ChunkSteps {
            coverage,
            utility: 0,
        };
        for (end, begun) in [(first, false), (first + 1, true)] {
            let figures = Figures::of(&RunRecord::from_events(&all[..end]));
            let preview = vec![vec![steps(1); figures.cells.len()]];
            let axis = Axis {
                left: 0.0,
                width: 100.0,
                tokens: figures.tokens,
            };
            let drawn = Drawn {
                scales: Scales::of(&figures),
                figures: &figures,
                axis,
                body: Rect::NOTHING,
                preview: Some(&preview),
                selected: None,
            };
            let cell = figures.cells.iter().find(|c| c.record.planned.total() > 1);
            let cell = cell.expect("more than one step");
            let (set, planned) = (steps(1), cell.record.planned);
            let (shown, other) = if begun {
                (planned, set)
            } else {
                (set, planned)
            };
            assert_eq!(drawn.plan_of(cell), shown);
            assert_eq!(drawn.other_plan_of(cell), Some(other.total()));
        }
    }
}
