//! The memory itself: a row for each vector, a cell for each number.

use eframe::egui::{
    Align2, Color32, Mesh, Pos2, Rect, Role, Sense, Shape, TextStyle, Ui, WidgetInfo, pos2, vec2,
};
use inscribe::train::bench::Stage;
use inscribe::words;

use super::scale;
use crate::state::bench::Written;
use crate::theme::{ColourScale, Map, Theme, legend, right_row, section, segmented, text};

/// Which numbers are shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Numbers {
    Values,
    /// How far they are from where they began.
    #[default]
    Changes,
}

/// Room for the numbers of rows.
const NAMES: f32 = 18.0;
const ROW: f32 = 13.0;

pub fn show(ui: &mut Ui, chosen: &mut Numbers, written: &Written, stage: &Stage, first: &Stage) {
    let explanation = match chosen {
        Numbers::Values => "A row for each vector, a cell for each of its numbers",
        Numbers::Changes => "How far each number has moved from where it began: what was written",
    };
    section(ui, "The memory", explanation);
    let most = most(written, first, *chosen);
    let colours = ColourScale {
        title: match chosen {
            Numbers::Values => "Value",
            Numbers::Changes => "Change",
        },
        unit: "of a number",
        low: -most,
        high: most,
        map: Map::Diverging,
    };
    ui.horizontal(|ui| {
        legend(ui, &colours);
        right_row(ui, "numbers of the memory", |ui| {
            let choices = [(Numbers::Changes, "Changes"), (Numbers::Values, "Values")];
            segmented(ui, chosen, &choices);
        });
    });
    let rows = written.of.memory_rows.max(1);
    let shown = Shown {
        stage,
        first,
        rows,
        width: (stage.memory.len() / rows).max(1),
        numbers: *chosen,
    };
    map(ui, &shown, &colours);
}

struct Shown<'a> {
    stage: &'a Stage,
    first: &'a Stage,
    rows: usize,
    width: usize,
    numbers: Numbers,
}

impl Shown<'_> {
    fn value(&self, at: usize) -> f64 {
        shown(self.stage, self.first, self.numbers, at)
    }
}

fn shown(stage: &Stage, first: &Stage, numbers: Numbers, at: usize) -> f64 {
    let of = |stage: &Stage| stage.memory.get(at).copied().map_or(0.0, f64::from);
    match numbers {
        Numbers::Values => of(stage),
        Numbers::Changes => of(stage) - of(first),
    }
}

/// The end of the colours, the same for every step: three times the deviation where that is
/// largest.
fn most(written: &Written, first: &Stage, numbers: Numbers) -> f64 {
    let deviation = written.stages.iter().map(|stage| {
        let count = stage.memory.len();
        let squares = (0..count).map(|at| shown(stage, first, numbers, at).powi(2));
        (squares.sum::<f64>() / count.max(1) as f64).sqrt()
    });
    3.0 * deviation.filter(|d| d.is_finite()).fold(1e-6, f64::max)
}

fn map(ui: &mut Ui, shown: &Shown<'_>, colours: &ColourScale<'_>) {
    let theme = Theme::of(ui);
    let tall = ROW * scale(ui);
    let size = vec2(ui.available_width(), tall * shown.rows as f32);
    let (rect, response) = ui.allocate_exact_size(size, Sense::hover());
    let cells = rect.with_min_x(rect.left() + NAMES);
    let each = cells.width() / shown.width as f32;
    let mut mesh = Mesh::default();
    for at in 0..shown.rows * shown.width {
        let (row, column) = (at / shown.width, at % shown.width);
        let corner = cells.min + vec2(each * column as f32, tall * row as f32);
        let cell = Rect::from_min_size(corner, vec2(each, tall - 1.0));
        let colour: Color32 =
            colours.colour(theme, shown.value(at).clamp(colours.low, colours.high));
        mesh.add_colored_rect(cell, colour);
    }
    ui.painter().add(Shape::mesh(mesh));
    let font = TextStyle::Small.resolve(ui.style());
    for row in 0..shown.rows {
        let place = pos2(rect.left(), cells.top() + tall * (row as f32 + 0.5));
        let number = (row + 1).to_string();
        let ink = theme.palette.muted;
        ui.painter()
            .text(place, Align2::LEFT_CENTER, number, font.clone(), ink);
    }
    let label = format!(
        "The memory after {}: {} of {} numbers",
        words::counted(shown.stage.step, "step"),
        words::counted(shown.rows, "vector"),
        shown.width
    );
    response.widget_info(|| WidgetInfo::labeled(Role::Image, true, label.as_str()));
    let under = |pos: Pos2| {
        let (x, y) = ((pos.x - cells.left()) / each, (pos.y - cells.top()) / tall);
        let inside = x >= 0.0 && y >= 0.0 && x < shown.width as f32 && y < shown.rows as f32;
        inside.then(|| y as usize * shown.width + x as usize)
    };
    if let Some(at) = response.hover_pos().and_then(under) {
        response.on_hover_ui_at_pointer(|ui| {
            let (row, column) = (at / shown.width + 1, at % shown.width + 1);
            ui.label(text::strong(format!("Vector {row}, number {column}")));
            let first = super::memory::shown(shown.first, shown.first, Numbers::Values, at);
            let now = super::memory::shown(shown.stage, shown.first, Numbers::Values, at);
            ui.label(format!(
                "{first:.3} at first, {now:.3} now ({:+.3})",
                now - first
            ));
        });
    }
}
