//! The chunks along the document: utility, steps planned and taken, losses before and after, each
//! row under the other on one axis of tokens.

mod bodies;
mod rows;

use eframe::egui::{
    self, CornerRadius, EventFilter, Id, Rect, Role, Sense, Stroke, StrokeKind, Ui, WidgetInfo,
    pos2, vec2,
};
use inscribe::words;
use inscribe::write::chart;

use super::figures::{Cell, Figures, steps_in_words};
use super::{Preview, move_selection};
use crate::theme::{Theme, space, text};
use crate::vocabulary::Selection;
use rows::Row;

/// Room left of the axis for the rows' own scales, in points.
const GUTTER: f32 = 44.0;
const HEADING: f32 = 24.0;
const BETWEEN: f32 = 14.0;
const AXIS: f32 = 22.0;

/// What the rows are measured against; shared where runs are compared.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Scales {
    /// The utility of the strongest colour.
    pub utility: Option<f64>,
    pub most_steps: u32,
    pub losses: Option<(f64, f64)>,
}

impl Scales {
    pub fn of(figures: &Figures) -> Scales {
        Scales {
            utility: figures.utility,
            most_steps: figures.most_steps,
            losses: figures.losses,
        }
    }

    /// Wide enough for both.
    pub fn join(self, other: Scales) -> Scales {
        let wider = |a: Option<(f64, f64)>, b: Option<(f64, f64)>| match (a, b) {
            (Some(a), Some(b)) => Some((a.0.min(b.0), a.1.max(b.1))),
            (a, b) => a.or(b),
        };
        let utility = [self.utility, other.utility];
        Scales {
            utility: utility.into_iter().flatten().reduce(f64::max),
            most_steps: self.most_steps.max(other.most_steps),
            losses: wider(self.losses, other.losses),
        }
    }
}

pub struct Strips<'a> {
    id: Id,
    preview: Option<&'a Preview>,
    scales: Option<Scales>,
    run: Option<&'a str>,
}

/// Where the document's tokens lie on the screen.
#[derive(Clone, Copy, Debug)]
struct Axis {
    left: f32,
    width: f32,
    tokens: usize,
}

impl Axis {
    fn x(self, token: usize) -> f32 {
        self.left + self.width * (token as f64 / self.tokens.max(1) as f64) as f32
    }

    fn column(self, cell: &Cell, top: f32, bottom: f32) -> Rect {
        Rect::from_min_max(pos2(self.x(cell.from), top), pos2(self.x(cell.to), bottom))
    }
}

impl<'a> Strips<'a> {
    pub fn new(id: impl std::hash::Hash + std::fmt::Debug) -> Strips<'a> {
        Strips {
            id: Id::unique(("strips", id)),
            preview: None,
            scales: None,
            run: None,
        }
    }

    /// What the run is called where there are several: it goes before the labels of its chunks.
    pub fn of_run(mut self, name: &'a str) -> Self {
        self.run = Some(name);
        self
    }

    /// Steps under other settings, drawn as lines over the bars.
    pub fn preview(mut self, preview: Option<&'a Preview>) -> Self {
        self.preview = preview;
        self
    }

    /// Scales shared with another run.
    pub fn scales(mut self, scales: Scales) -> Self {
        self.scales = Some(scales);
        self
    }

    /// The height that shows all rows well.
    pub fn height(scales: &Scales) -> f32 {
        Self::height_by(scales, Row::height)
    }

    /// The height below which rows are not read any more.
    pub fn least_height(scales: &Scales) -> f32 {
        Self::height_by(scales, Row::least)
    }

    fn height_by(scales: &Scales, of: fn(Row) -> f32) -> f32 {
        let rows = Row::shown(scales);
        let bodies: f32 = rows.iter().map(|&row| of(row) + HEADING).sum();
        let between = BETWEEN * rows.len().saturating_sub(1) as f32;
        if rows.is_empty() {
            96.0
        } else {
            bodies + between + AXIS
        }
    }

    pub fn show(self, ui: &mut Ui, figures: &Figures, height: f32, selection: &mut Selection) {
        let scales = self.scales.unwrap_or(Scales::of(figures));
        let rows = Row::shown(&scales);
        if rows.is_empty() {
            ui.label(text::heading("Along the document"));
            ui.label(text::muted(
                "Utility, steps and losses of each chunk stand here once the document has been read.",
            ));
            return;
        }
        let size = vec2(ui.available_width(), height);
        let (area, _) = ui.allocate_exact_size(size, Sense::hover());
        let axis = Axis {
            left: area.left() + GUTTER,
            width: (area.width() - GUTTER).max(1.0),
            tokens: figures.tokens,
        };
        let body_top = area.top() + HEADING;
        let body_bottom = area.bottom() - AXIS;
        let hovered = self.take_input(ui, figures, axis, body_top..body_bottom, selection);
        let selected = figures.selected(selection);
        self.bands(
            ui,
            figures,
            axis,
            [hovered, selected],
            body_top,
            body_bottom,
        );
        let rest = height - Self::height(&scales);
        let growing = rows.iter().filter(|row| row.grows()).count().max(1) as f32;
        let mut top = area.top();
        for row in &rows {
            let more = if row.grows() { rest / growing } else { 0.0 };
            let bottom = top + HEADING + (row.height() + more).max(row.least());
            let heading =
                Rect::from_min_max(pos2(area.left(), top), pos2(area.right(), top + HEADING));
            let body = Rect::from_min_max(
                pos2(axis.left, top + HEADING),
                pos2(axis.left + axis.width, bottom),
            );
            let drawn = bodies::Drawn {
                figures,
                scales,
                axis,
                body,
                preview: self.preview,
                selected,
            };
            row.heading(ui, heading, &drawn);
            row.draw(ui, &drawn);
            top = bottom + BETWEEN;
        }
        self.token_axis(ui, figures, axis, body_bottom);
    }

    /// Clicks, hovers and keys; returns the hovered cell.
    fn take_input(
        &self,
        ui: &mut Ui,
        figures: &Figures,
        axis: Axis,
        rows: std::ops::Range<f32>,
        selection: &mut Selection,
    ) -> Option<usize> {
        let whole = Rect::from_min_max(
            pos2(axis.left, rows.start),
            pos2(axis.left + axis.width, rows.end),
        );
        let list = ui.interact(whole, self.id, Sense::focusable_noninteractive());
        list.widget_info(|| WidgetInfo::labeled(Role::ListBox, true, "Chunks along the document"));
        let mut hovered = None;
        let click = Sense::CLICK | Sense::HOVER;
        for (at, cell) in figures.cells.iter().enumerate() {
            let column = axis.column(cell, rows.start, rows.end);
            let response = ui.interact(column, self.id.with(at), click);
            let chosen = selection.segment == cell.segment && selection.chunk == Some(cell.chunk);
            response.widget_info(|| {
                let option =
                    |label: &str| WidgetInfo::selected(Role::ListBoxOption, true, chosen, label);
                match self.run {
                    Some(run) => option(&format!("{run}, {}", cell.label)),
                    None => option(&cell.label),
                }
            });
            if response.clicked() {
                *selection = Selection::chunk(cell.segment, cell.chunk);
                ui.memory_mut(|memory| memory.request_focus(self.id));
            }
            if response.hovered() {
                hovered = Some(at);
                response.on_hover_ui_at_pointer(|ui| tooltip(ui, cell));
            }
        }
        let focus = ui.memory(|memory| memory.focused());
        if focus == Some(self.id) {
            ui.memory_mut(|memory| {
                let filter = EventFilter {
                    horizontal_arrows: true,
                    escape: true,
                    ..EventFilter::default()
                };
                memory.set_focus_lock_filter(self.id, filter);
            });
        }
        if focus.is_none() || focus == Some(self.id) {
            move_selection(ui, figures, selection);
        }
        hovered
    }

    /// Bands behind the hovered and the chosen column, and where parts of the document meet.
    fn bands(
        &self,
        ui: &Ui,
        figures: &Figures,
        axis: Axis,
        [hovered, selected]: [Option<usize>; 2],
        top: f32,
        bottom: f32,
    ) {
        let p = Theme::of(ui).palette;
        let painter = ui.painter();
        // Where it learns at the moment.
        let now = p.utility.gamma_multiply(0.16);
        for (at, fill) in [
            (hovered, p.trough),
            (selected, p.selected),
            (figures.now.filter(|_| figures.now != selected), now),
        ] {
            if let Some(cell) = at.and_then(|at| figures.cells.get(at)) {
                let column = axis.column(cell, top - 4.0, bottom + 4.0);
                let width = column.width().max(3.0);
                let column = Rect::from_center_size(column.center(), vec2(width, column.height()));
                painter.rect_filled(column, CornerRadius::same(4), fill);
            }
        }
        for start in figures.segment_starts.iter().skip(1) {
            let x = axis.x(*start);
            painter.vline(x, top - 4.0..=bottom + 4.0, Stroke::new(1.0, p.faint));
        }
    }

    fn token_axis(&self, ui: &Ui, figures: &Figures, axis: Axis, top: f32) {
        let p = Theme::of(ui).palette;
        let painter = ui.painter();
        let font = egui::TextStyle::Small.resolve(ui.style());
        painter.hline(
            axis.left..=axis.left + axis.width,
            top + 3.5,
            Stroke::new(1.0, p.border),
        );
        if let Some(cell) = figures.now.and_then(|at| figures.cells.get(at)) {
            let ends = axis.x(cell.from)..=axis.x(cell.to);
            painter.hline(ends, top + 3.5, Stroke::new(3.0, p.utility));
        }
        let most = (axis.width / 110.0).max(2.0) as usize;
        let unit = "tokens";
        let unit_width = 44.0;
        let ticks = chart::whole_ticks(0, figures.tokens, most);
        for tick in ticks {
            let x = axis.x(tick);
            let label = words::count(tick);
            let galley = painter.layout_no_wrap(label, font.clone(), p.muted);
            let half = galley.size().x / 2.0;
            let left = (x - half).max(axis.left - GUTTER / 2.0);
            if left + 2.0 * half < axis.left + axis.width - unit_width {
                painter.vline(x, top + 3.0..=top + 7.0, Stroke::new(1.0, p.faint));
                painter.galley(pos2(left, top + 8.0), galley, p.muted);
            }
        }
        let right = pos2(axis.left + axis.width, top + 8.0);
        painter.text(right, egui::Align2::RIGHT_TOP, unit, font, p.muted);
    }
}

/// Outlines the chosen chunk within a row.
fn outline(ui: &Ui, rect: Rect) {
    let p = Theme::of(ui).palette;
    let wide = rect.expand2(vec2(0.5, 1.5));
    ui.painter().rect_stroke(
        wide,
        CornerRadius::same(3),
        Stroke::new(2.0, p.ink),
        StrokeKind::Middle,
    );
}

fn tooltip(ui: &mut Ui, cell: &Cell) {
    ui.set_max_width(300.0);
    ui.spacing_mut().item_spacing.y = 2.0;
    ui.label(text::strong(cell.name.as_str()));
    if let Some(title) = &cell.record.title {
        ui.label(title.as_str());
    }
    ui.add_space(space::XS);
    let chunk = &cell.record;
    let range = (words::count(cell.from), words::count(cell.to));
    let mut lines = vec![format!("Tokens {} to {}", range.0, range.1)];
    if let Some(utility) = chunk.utility {
        lines.push(format!("Utility {} nats a token", words::nats(utility)));
    }
    if let Some(signed) = chunk.signed {
        lines.push(format!(
            "Far text helps by {} nats a token",
            words::nats_signed(signed)
        ));
    }
    if chunk.planned.total() + chunk.taken.total() > 0 {
        lines.push(steps_in_words(chunk.taken, chunk.planned));
    }
    if let Some(before) = chunk.loss_before {
        lines.push(match chunk.loss_after {
            Some(after) => format!(
                "Loss {} → {} ({})",
                words::nats(before),
                words::nats(after),
                words::nats_change(before, after)
            ),
            None => format!("Loss {} before any step", words::nats(before)),
        });
    }
    for line in lines {
        ui.label(text::caption(line));
    }
}
