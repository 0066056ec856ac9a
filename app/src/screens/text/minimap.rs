//! The whole document at a glance, beside its text.

use std::ops::Range;

use eframe::egui::{
    Color32, CornerRadius, Mesh, Rect, Role, Sense, Shape, Stroke, StrokeKind, Ui, WidgetInfo, pos2,
};

use super::lines::{Row, row_of};
use super::shades::{Shades, ground};
use crate::theme::Theme;

/// What the overview shows.
pub struct Marks<'a> {
    pub rows: &'a [Row],
    /// Range of bytes of each token.
    pub tokens: &'a [Range<usize>],
    pub shades: &'a Shades,
    pub version: (u64, u64, usize),
    pub signed: bool,
    /// The part of the text that is seen, from 0 to 1.
    pub seen: Range<f32>,
    pub selected: Option<Range<usize>>,
    /// The part that is being learned.
    pub now: Option<Range<usize>>,
}

/// Lines drawn, and what they were drawn of.
#[derive(Default)]
pub struct Minimap {
    lines: Vec<Line>,
    made_of: Option<((u64, u64, usize), usize, bool)>,
}

/// One or more rows of the text.
#[derive(Clone, Copy)]
struct Line {
    /// How far the text goes to the right, from 0 to 1.
    width: f32,
    /// Strength of the shade, as a part of the full one.
    part: f32,
}

/// Points of a line and its distance to the next.
const LINE: f32 = 2.0;
/// Means are far below the largest values; this brings them up.
const LIFT: f32 = 2.2;

impl Minimap {
    /// Draws it; the part of the text that was clicked, if one was.
    pub fn show(&mut self, ui: &mut Ui, area: Rect, marks: &Marks<'_>) -> Option<f32> {
        let theme = Theme::of(ui);
        let response = ui.interact(area, ui.scope_id().with("minimap"), Sense::click_and_drag());
        response.widget_info(|| WidgetInfo::labeled(Role::ScrollBar, true, "Minimap"));
        let fitting = (area.height() / LINE).floor().max(1.0) as usize;
        let lines = fitting.min(marks.rows.len());
        let key = (marks.version, lines, marks.signed);
        if self.made_of != Some(key) {
            let longest = marks.rows.iter().map(|row| row.end - row.start).max();
            let full = longest.unwrap_or(0).clamp(20, 140) as f32;
            self.lines = (0..lines)
                .map(|line| of_rows(marks, line, lines, full))
                .collect();
            self.made_of = Some(key);
        }
        let used = lines as f32 * LINE;
        let top = area.min.y;
        self.draw(ui, theme, area, marks.signed);
        let y = |part: f32| top + part.clamp(0.0, 1.0) * used;
        let bar = |bytes: &Range<usize>, x: std::ops::RangeInclusive<f32>, colour: Color32| {
            let rows = marks.rows.len().max(1) as f32;
            let from = row_of(marks.rows, bytes.start) as f32 / rows;
            let to = (row_of(marks.rows, bytes.end.saturating_sub(1)) + 1) as f32 / rows;
            let bar = Rect::from_x_y_ranges(x, y(from)..=y(to).max(y(from) + 3.0));
            ui.painter().rect_filled(bar, CornerRadius::same(1), colour);
        };
        if let Some(selected) = &marks.selected {
            let x = area.min.x - 5.0..=area.min.x - 2.0;
            bar(selected, x, theme.palette.accent);
        }
        if let Some(now) = &marks.now {
            bar(now, area.max.x - 4.0..=area.max.x, theme.palette.utility);
        }
        let window = Rect::from_x_y_ranges(
            area.x_range(),
            y(marks.seen.start)..=y(marks.seen.end).max(y(marks.seen.start) + 6.0),
        );
        let strength = if response.hovered() || response.dragged() {
            0.16
        } else {
            0.09
        };
        ui.painter().rect(
            window,
            CornerRadius::same(3),
            theme.palette.ink.gamma_multiply(strength),
            Stroke::new(1.0, theme.palette.faint),
            StrokeKind::Inside,
        );
        let pointed = response.clicked() || response.dragged();
        let pos = response.interact_pointer_pos().filter(|_| pointed)?;
        Some(((pos.y - top) / used.max(1.0)).clamp(0.0, 1.0))
    }

    fn draw(&self, ui: &Ui, theme: Theme, area: Rect, signed: bool) {
        let mut mesh = Mesh::default();
        let plain = theme.palette.faint.gamma_multiply(0.55);
        for (at, line) in self.lines.iter().enumerate() {
            if line.width <= 0.0 {
                continue;
            }
            let y = area.min.y + at as f32 * LINE;
            let right = area.min.x + 4.0 + line.width * (area.width() - 8.0);
            let rect = Rect::from_min_max(pos2(area.min.x + 4.0, y), pos2(right, y + LINE - 0.6));
            let shaded = ground(theme, line.part, signed);
            mesh.add_colored_rect(
                rect,
                plain.gamma_multiply(if shaded.is_some() { 0.5 } else { 1.0 }),
            );
            if let Some(colour) = shaded {
                mesh.add_colored_rect(rect, strong(colour));
            }
        }
        ui.painter().add(Shape::mesh(mesh));
    }
}

/// Thin lines need more of a colour than the ground behind words.
fn strong(colour: Color32) -> Color32 {
    let [r, g, b, a] = colour.to_srgba_unmultiplied();
    Color32::from_rgba_unmultiplied(r, g, b, (f32::from(a) * 1.5).min(255.0) as u8)
}

/// The rows that a line shows, taken together; `full` is the length of a full row.
fn of_rows(marks: &Marks<'_>, line: usize, lines: usize, full: f32) -> Line {
    let count = marks.rows.len();
    let (first, last) = (
        line * count / lines,
        ((line + 1) * count / lines).min(count),
    );
    let rows = &marks.rows[first..last];
    let bytes: usize = rows.iter().map(|row| row.end - row.start).sum();
    let width = bytes as f32 / rows.len().max(1) as f32 / full;
    let (start, end) = (
        rows.first().map_or(0, |r| r.start),
        rows.last().map_or(0, |r| r.end),
    );
    let from = marks.tokens.partition_point(|token| token.end <= start);
    let to = marks.tokens.partition_point(|token| token.start < end);
    let part = marks.shades.mean_part(from..to.max(from), marks.signed);
    Line {
        width: width.min(1.0),
        part: (part * LIFT).clamp(-1.0, 1.0),
    }
}
