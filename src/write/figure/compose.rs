//! All panels in one figure: two columns where it is wide (a slide), one where it is narrow.

use crate::write::record::RunRecord;
use crate::write::settings::Allocate;

use super::chunk_rows;
use super::colour::Theme;
use super::panels;
use super::svg::{Area, Canvas, Type};
use super::text::{self, Weight};
use super::view::View;

/// Units of a figure with two columns, and the narrowest that has room for them.
const WIDE: f64 = 1280.0;
const WIDE_FROM: u32 = 1100;
/// Units of a figure with one column.
const NARROW: (f64, f64) = (440.0, 760.0);
const MARGIN: f64 = 36.0;
const COLUMN_GAP: f64 = 44.0;
const PANEL_GAP: f64 = 26.0;
/// The left column's part of a wide figure.
const LEFT: f64 = 0.62;

const EXPLANATION: &str = "Utility: mean of |log P(token | whole document) − log P(token | \
    nearest tokens only)| over a chunk's tokens.";
const BY_UTILITY: &str = " Steps go where it is high, after every chunk has had its share.";

/// Where a figure's font comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Font {
    /// The figure holds it.
    Inside,
    /// Whoever draws the figure has it.
    Outside,
}

/// The composed figure, `width` pixels wide.
pub fn figure(run: &RunRecord, theme: Theme, width: u32, font: Font) -> String {
    let view = View::new(run, theme);
    let mut canvas = Canvas::default();
    if font == Font::Inside {
        canvas.style(text::style_sheet());
    }
    let wide = width >= WIDE_FROM && chunk_rows::has_rows(&view);
    let units = if wide {
        WIDE
    } else {
        f64::from(width).clamp(NARROW.0, NARROW.1)
    };
    let margin = if wide { MARGIN } else { 24.0 };
    let inner = Area::new(margin, margin, units - 2.0 * margin, 0.0);
    let top = header(&mut canvas, &view, inner);
    let body = Area { y: top, ..inner };
    let bottom = if wide {
        two_columns(&mut canvas, &view, body)
    } else {
        one_column(&mut canvas, &view, body)
    };
    let below = Area {
        y: bottom + 18.0,
        ..inner
    };
    let end = footer(&mut canvas, &view, below);
    let label = format!("A run of Inscribe: {}", name(run));
    canvas.finish(
        (units, end + margin * 0.6),
        f64::from(width),
        &label,
        view.palette.background,
    )
}

pub fn name(run: &RunRecord) -> String {
    let name = run.document.as_ref().map_or("", |d| d.name.as_str());
    match text::one_line(name) {
        empty if empty.is_empty() => "Unnamed document".to_owned(),
        name => name,
    }
}

fn header(canvas: &mut Canvas, view: &View<'_>, area: Area) -> f64 {
    canvas.open_part("header");
    let title = Type::new(28.0, view.palette.ink).bold();
    let name = text::fit(&name(view.run), title.size, title.weight, area.w);
    canvas.text((area.x, area.y + 24.0), &name, title);
    let kind = Type::new(15.0, view.palette.muted);
    let mut y = area.y + 24.0;
    for line in text::wrap(&panels::subtitle(view.run), kind.size, kind.weight, area.w) {
        y += 24.0;
        canvas.text((area.x, y), &line, kind);
    }
    if let Some(status) = panels::unfinished(view.run) {
        let kind = Type::new(15.0, view.palette.worse).bold();
        y += 24.0;
        canvas.text((area.x, y), &status, kind);
    }
    canvas.close();
    y + 28.0
}

fn two_columns(canvas: &mut Canvas, view: &View<'_>, area: Area) -> f64 {
    let left = (area.w * LEFT).round();
    let right = area.w - left - COLUMN_GAP;
    let run_panels = RunPanels::of(view, right);
    let height = chunk_rows::height(view, left).max(run_panels.height());
    chunk_rows::draw(canvas, view, Area::new(area.x, area.y, left, height));
    let column = Area::new(area.x + left + COLUMN_GAP, area.y, right, height);
    run_panels.draw(canvas, view, column);
    area.y + height
}

fn one_column(canvas: &mut Canvas, view: &View<'_>, area: Area) -> f64 {
    let mut y = area.y;
    if chunk_rows::has_rows(view) {
        let height = chunk_rows::height(view, area.w);
        chunk_rows::draw(canvas, view, Area::new(area.x, y, area.w, height));
        y += height + PANEL_GAP;
    }
    let run_panels = RunPanels::of(view, area.w);
    let height = run_panels.height();
    run_panels.draw(canvas, view, Area::new(area.x, y, area.w, height));
    y + height
}

/// The panels of the whole run, one under the other.
struct RunPanels {
    curve: bool,
    phases: f64,
    facts: f64,
}

impl RunPanels {
    fn of(view: &View<'_>, width: f64) -> RunPanels {
        RunPanels {
            curve: !view.run.steps.is_empty(),
            phases: if panels::phase_rows(view.run).is_empty() {
                0.0
            } else {
                panels::phases_height(view, width)
            },
            facts: panels::facts_height(view, width),
        }
    }

    fn height(&self) -> f64 {
        let curve = if self.curve {
            panels::CURVE_HEIGHT + PANEL_GAP
        } else {
            0.0
        };
        let phases = if self.phases > 0.0 {
            self.phases + PANEL_GAP
        } else {
            0.0
        };
        curve + phases + self.facts
    }

    /// Room beyond [`Self::height`] goes to the curve.
    fn draw(&self, canvas: &mut Canvas, view: &View<'_>, area: Area) {
        let mut y = area.y;
        if self.curve {
            let height = panels::CURVE_HEIGHT + (area.h - self.height()).max(0.0);
            panels::curve(
                canvas,
                view,
                Area {
                    y,
                    h: height,
                    ..area
                },
            );
            y += height + PANEL_GAP;
        }
        if self.phases > 0.0 {
            panels::phases(
                canvas,
                view,
                Area {
                    y,
                    h: self.phases,
                    ..area
                },
            );
            y += self.phases + PANEL_GAP;
        }
        panels::facts_table(
            canvas,
            view,
            Area {
                y,
                h: self.facts,
                ..area
            },
        );
    }
}

fn footer(canvas: &mut Canvas, view: &View<'_>, area: Area) -> f64 {
    let kind = Type::new(13.0, view.palette.muted);
    let mut y = area.y;
    if view.utility.is_none() {
        return y;
    }
    canvas.open_part("footer");
    let settings = view.run.settings.as_ref();
    let by_utility = settings.is_some_and(|s| s.allocate == Allocate::Utility && s.coverage);
    let text = EXPLANATION.to_owned() + if by_utility { BY_UTILITY } else { "" };
    for line in text::wrap(&text, kind.size, Weight::Regular, area.w) {
        y += 18.0;
        canvas.text((area.x, y), &line, kind);
    }
    canvas.close();
    y
}

/// The margin of a panel alone.
const ALONE: f64 = 6.0;

fn alone(width: f64, height: f64) -> Area {
    Area::new(ALONE, ALONE, width - 2.0 * ALONE, height)
}

/// The rows of chunks alone.
pub fn chunks_figure(view: &View<'_>, width: f64) -> Option<String> {
    chunk_rows::has_rows(view).then(|| {
        let mut canvas = Canvas::default();
        let area = alone(width, chunk_rows::height(view, width - 2.0 * ALONE) + 40.0);
        chunk_rows::draw(&mut canvas, view, area);
        let height = area.h + 2.0 * ALONE;
        let label = "Utility, steps and losses of each chunk";
        canvas.finish((width, height), width, label, view.palette.background)
    })
}

/// The losses by step alone.
pub fn curve_figure(view: &View<'_>, width: f64) -> Option<String> {
    (!view.run.steps.is_empty()).then(|| {
        let mut canvas = Canvas::default();
        let area = alone(width, (width * 0.42).clamp(240.0, 420.0));
        panels::curve(&mut canvas, view, area);
        let height = area.h + 2.0 * ALONE;
        let label = "Loss by step";
        canvas.finish((width, height), width, label, view.palette.background)
    })
}

/// The time by phase alone.
pub fn phases_figure(view: &View<'_>, width: f64) -> Option<String> {
    (!panels::phase_rows(view.run).is_empty()).then(|| {
        let mut canvas = Canvas::default();
        let area = alone(width, panels::phases_height(view, width - 2.0 * ALONE));
        panels::phases(&mut canvas, view, area);
        let height = area.h + 2.0 * ALONE;
        let label = "Time by phase";
        canvas.finish((width, height), width, label, view.palette.background)
    })
}
