//! What colours and marks mean: colour bars with their units, and keys.

use std::sync::Arc;

use eframe::egui::{
    Align2, Color32, CornerRadius, FontId, Galley, Mesh, Painter, Pos2, Rect, Response, Role,
    Sense, Shape, Stroke, TextStyle, Ui, WidgetInfo, pos2, vec2,
};

use inscribe::words;

use super::{Theme, space};

/// Which map a legend shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Map {
    Sequential,
    /// From a negative to a positive colour, with zero in the middle.
    Diverging,
}

/// What the colours of a map mean.
#[derive(Clone, Copy, Debug)]
pub struct ColourScale<'a> {
    pub title: &'a str,
    pub unit: &'a str,
    pub low: f64,
    pub high: f64,
    pub map: Map,
}

impl ColourScale<'_> {
    /// The values at both ends of the bar.
    fn ends(&self) -> (f64, f64) {
        match self.map {
            Map::Sequential => (self.low, self.high),
            Map::Diverging => {
                let most = self.low.abs().max(self.high.abs());
                (-most, most)
            }
        }
    }

    /// The colour of a value.
    pub fn colour(&self, theme: Theme, value: f64) -> Color32 {
        match self.map {
            Map::Sequential => {
                let width = self.high - self.low;
                // One value alone is neither low nor high.
                let part = if width > 0.0 {
                    (value - self.low) / width
                } else {
                    0.5
                };
                theme.sequential(part)
            }
            Map::Diverging => {
                let most = self.low.abs().max(self.high.abs());
                theme.diverging(if most > 0.0 { value / most } else { 0.0 })
            }
        }
    }
}

const BAR: f32 = 96.0;

/// The words of a legend, laid out: its title, the low end and the high end.
fn laid_out(ui: &Ui, scale: &ColourScale<'_>) -> [Arc<Galley>; 3] {
    let font = TextStyle::Small.resolve(ui.style());
    let muted = Theme::of(ui).palette.muted;
    let (low, high) = scale.ends();
    let title = match scale.title {
        "" => scale.unit.to_owned(),
        title => format!("{title} ({})", scale.unit),
    };
    [title, short(low), short(high)]
        .map(|text| ui.painter().layout_no_wrap(text, font.clone(), muted))
}

/// How wide a legend is.
pub fn legend_width(ui: &Ui, scale: &ColourScale<'_>) -> f32 {
    let words: f32 = laid_out(ui, scale).iter().map(|text| text.size().x).sum();
    words + BAR + 3.0 * space::S
}

/// A colour bar with its title, both ends and the unit, on one line.
pub fn legend(ui: &mut Ui, scale: &ColourScale<'_>) -> Response {
    let theme = Theme::of(ui);
    let muted = theme.palette.muted;
    let (low, high) = scale.ends();
    let [title, low_text, high_text] = laid_out(ui, scale);
    let (gap, width) = (space::S, legend_width(ui, scale));
    let (rect, response) = ui.allocate_exact_size(vec2(width, 18.0), Sense::hover());
    let painter = ui.painter();
    let mut x = rect.left();
    let middle = rect.center().y;
    for (text, gap_after) in [(title, gap), (low_text, gap)] {
        let at = pos2(x, middle - text.size().y / 2.0);
        x += text.size().x + gap_after;
        painter.galley(at, text, muted);
    }
    let bar = Rect::from_min_size(pos2(x, middle - 4.0), vec2(BAR, 8.0));
    gradient(painter, bar, |part| {
        scale.colour(theme, low + (high - low) * part)
    });
    let at = pos2(bar.right() + gap, middle - high_text.size().y / 2.0);
    painter.galley(at, high_text, muted);
    response.widget_info(|| {
        let label = format!(
            "{}: colours from {} to {} {}",
            scale.title,
            short(low),
            short(high),
            scale.unit
        );
        WidgetInfo::labeled(Role::Label, true, label)
    });
    response
}

/// Two decimals for small values, as beside the marks; fewer for large ones.
fn short(value: f64) -> String {
    if value.abs() < 10.0 {
        words::nats(value)
    } else {
        words::number(value)
    }
}

fn gradient(painter: &Painter, rect: Rect, colour: impl Fn(f64) -> Color32) {
    const PARTS: usize = 32;
    let mut mesh = Mesh::default();
    for i in 0..=PARTS {
        let part = i as f64 / PARTS as f64;
        let x = rect.left() + rect.width() * part as f32;
        mesh.colored_vertex(pos2(x, rect.top()), colour(part));
        mesh.colored_vertex(pos2(x, rect.bottom()), colour(part));
    }
    for i in 0..PARTS as u32 {
        mesh.add_triangle(2 * i, 2 * i + 1, 2 * i + 2);
        mesh.add_triangle(2 * i + 1, 2 * i + 2, 2 * i + 3);
    }
    painter.add(Shape::mesh(mesh));
}

/// A mark that differs in its shape as well as in its colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// A filled circle.
    Dot,
    /// An open circle.
    Ring,
    /// An open diamond.
    Diamond,
    /// A short line.
    Line,
    Dashes,
    /// A filled square.
    Fill,
    /// A square of slanting lines.
    Hatch,
    /// An open square.
    Frame,
}

/// Draws a mark around a point; `reach` is half its width.
pub fn draw_mark(painter: &Painter, mark: Mark, at: Pos2, reach: f32, colour: Color32) {
    let stroke = Stroke::new(1.6, colour);
    let square = Rect::from_center_size(at, vec2(2.0 * reach, 2.0 * reach));
    match mark {
        Mark::Dot => {
            painter.circle_filled(at, reach, colour);
        }
        Mark::Ring => {
            painter.circle_stroke(at, reach - 0.5, stroke);
        }
        Mark::Diamond => {
            let [l, r] = [-reach, reach].map(|d| at + vec2(d, 0.0));
            let [t, b] = [-reach, reach].map(|d| at + vec2(0.0, d));
            painter.add(Shape::closed_line(vec![l, t, r, b], stroke));
        }
        Mark::Line => {
            let ends = [at - vec2(reach + 3.0, 0.0), at + vec2(reach + 3.0, 0.0)];
            painter.line_segment(ends, Stroke::new(2.0, colour));
        }
        Mark::Dashes => {
            let ends = [at - vec2(reach + 3.0, 0.0), at + vec2(reach + 3.0, 0.0)];
            painter.extend(Shape::dashed_line(&ends, stroke, 4.0, 3.0));
        }
        Mark::Fill => {
            painter.rect_filled(square, CornerRadius::same(2), colour);
        }
        Mark::Hatch => hatch(painter, square, colour),
        Mark::Frame => {
            let inner = square.shrink(0.8);
            painter.rect_stroke(
                inner,
                CornerRadius::same(1),
                stroke,
                eframe::egui::StrokeKind::Middle,
            );
        }
    }
}

/// Slanting lines on a tint, for areas that must differ without colour.
pub fn hatch(painter: &Painter, area: Rect, colour: Color32) {
    painter.rect_filled(area, CornerRadius::ZERO, colour.gamma_multiply(0.35));
    if area.width() < 3.0 || area.height() < 1.0 {
        return;
    }
    let inner = painter.with_clip_rect(painter.clip_rect().intersect(area));
    let tall = area.height();
    let mut x = area.left() - tall;
    while x < area.right() {
        let ends = [pos2(x, area.bottom()), pos2(x + tall, area.top())];
        inner.line_segment(ends, Stroke::new(1.1, colour));
        x += 4.0;
    }
}

/// Height of a line of keys.
const KEY: f32 = 18.0;

/// Marks with their meaning, in a row that wraps.
pub fn keys(ui: &mut Ui, entries: &[(Mark, Color32, &str)]) {
    ui.scope(|ui| {
        ui.spacing_mut().interact_size.y = KEY;
        ui.spacing_mut().item_spacing = vec2(space::L, space::XS);
        ui.horizontal_wrapped(|ui| {
            for entry in entries {
                let width = key_width(ui, entry.2);
                let (rect, response) = ui.allocate_exact_size(vec2(width, KEY), Sense::hover());
                key(ui, rect, *entry, &response);
            }
        });
    });
}

/// Marks with their meaning on one line that ends at a point; returns its width.
pub fn keys_at(ui: &Ui, right_middle: Pos2, entries: &[(Mark, Color32, &str)]) -> f32 {
    let widths: Vec<f32> = entries
        .iter()
        .map(|(.., label)| key_width(ui, label))
        .collect();
    let gaps = space::L * entries.len().saturating_sub(1) as f32;
    let all = widths.iter().sum::<f32>() + gaps;
    let mut left = right_middle.x - all;
    for (entry, width) in entries.iter().zip(widths) {
        let middle = pos2(left + width / 2.0, right_middle.y);
        let rect = Rect::from_center_size(middle, vec2(width, KEY));
        let id = ui
            .scope_id()
            .with(("key", entry.2, left as i32, middle.y as i32));
        let response = ui.interact(rect, id, Sense::hover());
        key(ui, rect, *entry, &response);
        left += width + space::L;
    }
    all
}

fn key_width(ui: &Ui, label: &str) -> f32 {
    let font: FontId = TextStyle::Small.resolve(ui.style());
    let muted = Theme::of(ui).palette.muted;
    let text = ui.painter().layout_no_wrap(label.to_owned(), font, muted);
    18.0 + text.size().x
}

fn key(ui: &Ui, rect: Rect, (mark, colour, label): (Mark, Color32, &str), response: &Response) {
    let muted = Theme::of(ui).palette.muted;
    let font: FontId = TextStyle::Small.resolve(ui.style());
    let at = pos2(rect.left() + 6.0, rect.center().y);
    draw_mark(ui.painter(), mark, at, 4.5, colour);
    let text = pos2(rect.left() + 18.0, rect.center().y);
    ui.painter()
        .text(text, Align2::LEFT_CENTER, label, font, muted);
    response.widget_info(|| WidgetInfo::labeled(Role::Label, true, label));
}
