//! The text that is written, and under each of its characters how badly it is predicted.

use eframe::egui::{
    self, Align2, CornerRadius, FontFamily, FontId, Rect, Role, Sense, Ui, WidgetInfo, pos2, vec2,
};
use inscribe::train::bench::{Read, Stage};
use inscribe::words;

use super::{percent, scale};
use crate::theme::{ColourScale, Map, Theme, legend, section, space, text};

/// Characters of a pair: `!ab:X7!`.
const OF_A_PAIR: usize = 7;
/// Nats at which a bar is full. One of 70 characters guessed costs 4.25.
const FULL: f64 = 10.0;
const BAR: f32 = 20.0;

const COLOURS: ColourScale<'static> = ColourScale {
    title: "Loss of a character",
    unit: "nats",
    low: 0.0,
    high: FULL,
    map: Map::Sequential,
};

pub fn show(ui: &mut Ui, stage: &Stage) {
    section(
        ui,
        "The text, and how badly each character is predicted",
        &told(stage),
    );
    legend(ui, &COLOURS);
    let places = Places::of(ui, stage.context.len());
    let (rect, response) = ui.allocate_exact_size(places.size, Sense::hover());
    let theme = Theme::of(ui);
    let p = theme.palette;
    let font = FontId::new(places.each * 1.2, FontFamily::Monospace);
    let painter = ui.painter();
    for (at, read) in stage.context.iter().enumerate() {
        let cell = places.cell(at).translate(rect.min.to_vec2());
        let is_sign = !read.character.is_ascii_alphanumeric();
        let ink = if is_sign { p.muted } else { p.ink };
        let place = pos2(cell.center().x, cell.top());
        painter.text(place, Align2::CENTER_TOP, read.character, font.clone(), ink);
        let trough = cell.with_min_y(cell.bottom() - places.bar);
        let trough = trough.shrink2(vec2(0.75, 0.0));
        painter.rect_filled(trough, CornerRadius::same(1), p.trough);
        let loss = f64::from(read.loss).clamp(0.0, FULL);
        let tall = (places.bar * (loss / FULL) as f32).max(2.0);
        let bar = trough.with_min_y(trough.bottom() - tall);
        painter.rect_filled(bar, CornerRadius::same(1), COLOURS.colour(theme, loss));
    }
    let label = format!(
        "The text after {}: mean loss {} nats a character",
        words::counted(stage.step, "step"),
        words::nats(stage.loss)
    );
    response.widget_info(|| WidgetInfo::labeled(Role::Image, true, label.as_str()));
    let pointer = response.hover_pos().map(|pos| pos - rect.min.to_vec2());
    let at =
        pointer.and_then(|pos| (0..stage.context.len()).find(|&at| places.cell(at).contains(pos)));
    if let Some(read) = at.and_then(|at| stage.context.get(at)) {
        tell(response, read);
    }
}

fn told(stage: &Stage) -> String {
    let [keys, values] = [[1, 2], [4, 5]].map(|places| mean(stage, places));
    let costs = format!(
        "A blind guess costs 4.25 nats. Here a value’s character costs {}, a key’s {}",
        words::nats(values),
        words::nats(keys)
    );
    // Of a model that was trained enough to tell what it will be asked for.
    if stage.step > 0 && keys > 2.0 * values + 1.0 {
        return format!("{costs}: what is not asked for need not be kept");
    }
    costs
}

/// The mean loss of the characters at some places of each pair.
fn mean(stage: &Stage, places: [usize; 2]) -> f64 {
    let read = stage.context.iter().enumerate();
    let of = read.filter(|(at, _)| places.contains(&(at % OF_A_PAIR)));
    let (sum, count) = of.fold((0.0, 0u32), |(sum, count), (_, read)| {
        (sum + f64::from(read.loss), count + 1)
    });
    sum / f64::from(count.max(1))
}

fn tell(response: egui::Response, read: &Read) {
    response.on_hover_ui_at_pointer(|ui| {
        ui.label(text::strong(format!("“{}”", read.character)));
        let loss = words::nats(f64::from(read.loss));
        ui.label(format!(
            "{loss} nats: probability {}",
            percent((-read.loss).exp())
        ));
    });
}

/// Where characters stand: pairs stay together.
struct Places {
    each: f32,
    bar: f32,
    tall: f32,
    /// Pairs of a line.
    across: usize,
    size: egui::Vec2,
}

impl Places {
    fn of(ui: &Ui, characters: usize) -> Places {
        let s = scale(ui);
        let width = ui.available_width();
        let each = (width / 66.0).clamp(10.0, 11.0 * s);
        let bar = BAR * s;
        let tall = each * 1.6 + bar + space::S;
        // The bar at the end belongs to the last pair.
        let one = each * OF_A_PAIR as f32 + space::S;
        let across = (((width - each) / one) as usize).max(1);
        let lines = (characters / OF_A_PAIR).div_ceil(across).max(1);
        Places {
            each,
            bar,
            tall,
            across,
            size: vec2(width, lines as f32 * tall),
        }
    }

    fn cell(&self, at: usize) -> Rect {
        let pair = at / OF_A_PAIR;
        let (line, column, within) = (pair / self.across, pair % self.across, at % OF_A_PAIR);
        let one = self.each * OF_A_PAIR as f32 + space::S;
        let mut corner = pos2(
            one * column as f32 + self.each * within as f32,
            self.tall * line as f32,
        );
        if column == 0 && within == 0 && at > 0 && line >= (self.size.y / self.tall) as usize {
            // The end mark alone never opens a line.
            corner = pos2(
                one * self.across as f32 - space::S,
                self.tall * (line - 1) as f32,
            );
        }
        Rect::from_min_size(corner, vec2(self.each, self.tall - space::S))
    }
}
