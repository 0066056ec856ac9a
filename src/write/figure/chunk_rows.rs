//! What belongs to chunks, each row under the last on one axis: utility, its sign, steps, losses.

use crate::write::settings::Allocate;

use super::colour::{self, Rgb};
use super::legend::{Heading, Key, LABEL_SIZE, triangle};
use super::svg::{Anchor, Area, Canvas, Type};
use super::text::{self, Weight};
use super::view::{ChunkCell, View};
use crate::words;
use crate::write::chart::{self, padded, part};

/// Room left of the axis for the rows' own scales.
const GUTTER: f64 = 46.0;
const BETWEEN_ROWS: f64 = 16.0;
const AXIS: f64 = 24.0;
const TITLES: f64 = 20.0;
const SEGMENTS: f64 = 22.0;
/// A chunk as wide as this has room for its title.
const TITLE_ROOM: f64 = 86.0;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Strip {
    Utility,
    Signed,
    Steps,
    Losses,
}

/// The rows there is something for.
fn rows(view: &View<'_>) -> Vec<Strip> {
    let any = |has: fn(&ChunkCell<'_>) -> bool| view.cells.iter().any(has);
    let mut rows = Vec::new();
    if view.utility.is_some() {
        rows.push(Strip::Utility);
    }
    if any(|c| c.chunk.signed.is_some_and(f64::is_finite)) {
        rows.push(Strip::Signed);
    }
    let whole = view
        .run
        .settings
        .as_ref()
        .is_some_and(|s| s.allocate == Allocate::Whole);
    if !whole && any(|c| c.chunk.planned.total() + c.chunk.taken.total() > 0) {
        rows.push(Strip::Steps);
    }
    if any(|c| c.chunk.loss_before.or(c.chunk.loss_after).is_some()) {
        rows.push(Strip::Losses);
    }
    rows
}

pub fn has_rows(view: &View<'_>) -> bool {
    !rows(view).is_empty()
}

/// The least height that shows all rows well.
pub fn height(view: &View<'_>, width: f64) -> f64 {
    let rows = rows(view);
    let bodies: f64 = rows.iter().map(|row| body_height(*row, view, width)).sum();
    let headings: f64 = rows
        .iter()
        .map(|row| heading(*row, view).height(width))
        .sum();
    let between = BETWEEN_ROWS * rows.len().saturating_sub(1) as f64;
    bodies + headings + between + AXIS + segments_height(view)
}

fn body_height(row: Strip, view: &View<'_>, width: f64) -> f64 {
    match row {
        Strip::Utility if titles_fit(view, width) => 46.0 + TITLES,
        Strip::Utility => 46.0,
        Strip::Signed => 20.0,
        Strip::Steps => 116.0,
        Strip::Losses => 104.0,
    }
}

fn segments_height(view: &View<'_>) -> f64 {
    if view.run.segments.len() > 1 {
        SEGMENTS
    } else {
        0.0
    }
}

fn titles_fit(view: &View<'_>, width: f64) -> bool {
    let axis = width - GUTTER;
    let roomy = |c: &&ChunkCell<'_>| (c.to - c.from) * axis >= TITLE_ROOM;
    let shown = view.cells.iter().filter(roomy);
    let mut titled = shown.filter(|c| c.chunk.title.is_some());
    titled.next().is_some()
}

/// Draws all rows; room beyond [`height`] goes to steps and losses.
pub fn draw(canvas: &mut Canvas, view: &View<'_>, area: Area) {
    let rows = rows(view);
    let spare = (area.h - height(view, area.w)).max(0.0);
    let tall = |row: &Strip| matches!(row, Strip::Steps | Strip::Losses);
    let share = spare / rows.iter().filter(|r| tall(r)).count().max(1) as f64;
    let mut y = area.y;
    for (at, row) in rows.iter().enumerate() {
        if at > 0 {
            y += BETWEEN_ROWS;
        }
        let heading = heading(*row, view);
        let top = Area { y, ..area };
        canvas.open_part(match row {
            Strip::Utility => "utility",
            Strip::Signed => "signed",
            Strip::Steps => "steps",
            Strip::Losses => "losses",
        });
        heading.draw(canvas, view, top);
        y += heading.height(area.w);
        if at == 0 && segments_height(view) > 0.0 {
            segments(canvas, view, axis(area, y, SEGMENTS));
            y += SEGMENTS;
        }
        let more = if tall(row) { share } else { 0.0 };
        let body = axis(area, y, body_height(*row, view, area.w) + more);
        match row {
            Strip::Utility => utility(canvas, view, body, area.w),
            Strip::Signed => signed(canvas, view, body),
            Strip::Steps => steps(canvas, view, body),
            Strip::Losses => losses(canvas, view, body),
        }
        canvas.close();
        y = body.bottom();
    }
    canvas.open_part("chunks");
    numbers(canvas, view, axis(area, y, AXIS));
    canvas.close();
}

fn axis(area: Area, y: f64, h: f64) -> Area {
    Area::new(area.x + GUTTER, y, area.w - GUTTER, h)
}

fn heading(row: Strip, view: &View<'_>) -> Heading {
    let palette = view.palette;
    match row {
        Strip::Utility => {
            let high = view.utility.unwrap_or_default();
            let keys = vec![Key::Ramp {
                id: "utility-map",
                low: words::number(0.0),
                high: format!("{} nats a token", words::number(high)),
                colour: Box::new(colour::sequential),
            }];
            Heading::new("Utility of each chunk", keys)
        }
        Strip::Signed => {
            let (middle, scale) = (palette.neutral, view.utility.unwrap_or_default());
            let keys = vec![Key::Ramp {
                id: "signed-map",
                low: words::signed(-scale),
                high: words::signed(scale),
                colour: Box::new(move |at| colour::diverging(2.0 * at - 1.0, middle)),
            }];
            Heading::new("Distant context hinders or helps", keys)
        }
        Strip::Steps => {
            let cells = || view.cells.iter().map(|c| c.chunk);
            let mut keys = Vec::new();
            if cells().any(|c| c.planned.coverage + c.taken.coverage > 0) {
                keys.push(Key::Swatch(palette.coverage, "coverage".to_owned()));
            }
            if cells().any(|c| c.planned.utility + c.taken.utility > 0) {
                keys.push(Key::Swatch(palette.utility, by_what(view)));
            }
            if cells().any(|c| c.taken.total() < c.planned.total()) {
                keys.push(Key::Hollow(palette.muted, "planned".to_owned()));
            }
            Heading::new("Gradient steps", keys)
        }
        Strip::Losses => {
            let afters = || {
                view.cells
                    .iter()
                    .filter_map(|c| c.chunk.loss_before.zip(c.chunk.loss_after))
            };
            let mut keys = vec![Key::Ring(palette.muted, "before".to_owned())];
            if afters().any(|(before, after)| after <= before) {
                keys.push(Key::Down(palette.better, "after, lower".to_owned()));
            }
            if afters().any(|(before, after)| after > before) {
                keys.push(Key::Up(palette.worse, "after, higher".to_owned()));
            }
            Heading::new("Loss, nats a token", keys)
        }
    }
}

/// What the steps beyond coverage were given by.
fn by_what(view: &View<'_>) -> String {
    let allocate = view.run.settings.as_ref().map(|s| s.allocate);
    match allocate {
        Some(Allocate::Signed) => "signed utility",
        Some(Allocate::Uniform) => "evenly",
        Some(Allocate::Random) => "at random",
        Some(Allocate::Topk) => "highest utility",
        Some(Allocate::Utility | Allocate::Whole) | None => "utility",
    }
    .to_owned()
}

fn segments(canvas: &mut Canvas, view: &View<'_>, area: Area) {
    let kind = Type::new(13.0, view.palette.muted).anchor(Anchor::Middle);
    let every = labelled_every(view, area.w, |label| kind.width(label));
    for (segment, from, to) in view.segments() {
        let (x0, x1) = (area.x + from * area.w, area.x + to * area.w);
        let y = area.bottom() - 5.0;
        canvas.line((x0, y), (x1, y), view.palette.muted, 1.5);
        let long = format!("segment {}", segment + 1);
        let short = (segment + 1).to_string();
        let fits = every == 1 && kind.width(&long) + 6.0 <= x1 - x0;
        let label = if fits { long } else { short };
        if (segment + 1).is_multiple_of(every) {
            canvas.text(((x0 + x1) / 2.0, y - 5.0), &label, kind);
        }
    }
}

/// Every so many segments' numbers have room beside each other.
fn labelled_every(view: &View<'_>, width: f64, measure: impl Fn(&str) -> f64) -> usize {
    let segments = view.segments();
    let widest = measure(&segments.len().to_string()) + 6.0;
    let narrowest = segments.iter().map(|(_, from, to)| (to - from) * width);
    let narrowest = narrowest.fold(f64::INFINITY, f64::min).max(1e-3);
    let round = [1, 2, 5, 10, 20, 50, 100, 200, 500];
    let enough = |every: &usize| *every as f64 * narrowest >= widest;
    round.into_iter().find(enough).unwrap_or(1000)
}

/// Where a cell lies in a row, a hair apart from the next where that does not cost it much.
fn cell_area(cell: &ChunkCell<'_>, area: Area) -> Area {
    let (x0, x1) = (area.x + cell.from * area.w, area.x + cell.to * area.w);
    let gap = if x1 - x0 >= 6.0 { 1.5 } else { 0.0 };
    Area::new(x0, area.y, x1 - x0 - gap, area.h)
}

fn utility(canvas: &mut Canvas, view: &View<'_>, area: Area, width: f64) {
    let titles = titles_fit(view, width);
    let strip = Area {
        h: area.h - if titles { TITLES } else { 0.0 },
        ..area
    };
    strip_of(canvas, view, strip, |cell| cell.colour);
    for cell in &view.cells {
        let place = cell_area(cell, strip);
        let Some(utility) = cell.chunk.utility else {
            continue;
        };
        let ink = cell.colour.ink();
        let kind = Type::new(LABEL_SIZE, ink).anchor(Anchor::Middle);
        let label = words::number(utility);
        let centre = place.x + place.w / 2.0;
        if kind.width(&label) + 6.0 <= place.w {
            canvas.text((centre, place.y + place.h / 2.0 + 5.0), &label, kind);
        }
        if let Some(title) = cell
            .chunk
            .title
            .as_ref()
            .filter(|_| titles && place.w >= TITLE_ROOM)
        {
            let kind = Type::new(13.0, view.palette.muted).anchor(Anchor::Middle);
            let title = text::fit(title, kind.size, Weight::Regular, place.w - 8.0);
            canvas.text((centre, strip.bottom() + 16.0), &title, kind);
        }
    }
}

fn signed(canvas: &mut Canvas, view: &View<'_>, area: Area) {
    let middle = view.palette.neutral;
    let scale = view.utility.unwrap_or(1.0);
    strip_of(canvas, view, area, |cell| {
        cell.chunk
            .signed
            .map_or(middle, |s| colour::diverging(s / scale, middle))
    });
}

fn strip_of(
    canvas: &mut Canvas,
    view: &View<'_>,
    area: Area,
    colour: impl Fn(&ChunkCell<'_>) -> Rgb,
) {
    canvas.open_crisp();
    for cell in &view.cells {
        canvas.open(&view.tooltip(cell));
        canvas.rect(cell_area(cell, area), &colour(cell).hex());
        canvas.close();
    }
    canvas.close();
}

fn steps(canvas: &mut Canvas, view: &View<'_>, area: Area) {
    let height = |cell: &ChunkCell<'_>| {
        let tall = blocks(cell, view).into_iter().map(|b| b.0.max(b.1));
        tall.fold(0, u32::saturating_add)
    };
    let most = view.cells.iter().map(height).max().unwrap_or(0).max(1) as usize;
    // Room above the highest bar for its label.
    let plot = Area::new(area.x, area.y + 16.0, area.w, area.h - 16.0);
    let unit = plot.h / most as f64;
    let ticks = chart::whole_ticks(0, most, 5);
    for tick in ticks {
        let y = plot.bottom() - tick as f64 * unit;
        scale_line(canvas, view, plot, y, &tick.to_string());
    }
    // All bars have their number, or none: short last chunks aside.
    let kind = Type::new(13.0, view.palette.muted);
    let widest = view
        .cells
        .iter()
        .map(|c| kind.width(&steps_label(c)))
        .fold(0.0, f64::max);
    let broadest = view
        .cells
        .iter()
        .map(|c| cell_area(c, plot).w)
        .fold(0.0, f64::max);
    let labels = widest + 3.0 <= broadest;
    for cell in &view.cells {
        let place = cell_area(cell, plot);
        let w = (place.w * 0.76).min(54.0).max(place.w.min(1.0));
        let x = place.x + (place.w - w) / 2.0;
        canvas.open(&view.tooltip(cell));
        let mut y = plot.bottom();
        for (planned, taken, fill) in blocks(cell, view) {
            let full = f64::from(planned.max(taken)) * unit;
            let done = f64::from(taken) * unit;
            if taken > 0 {
                canvas.rect(Area::new(x, y - done, w, done), fill);
            }
            if taken < planned {
                let thickness = if w >= 6.0 { 1.5 } else { 0.6 };
                canvas.frame(Area::new(x, y - full, w, full), fill, thickness);
            }
            y -= full;
        }
        canvas.close();
        if labels {
            let kind = Type::new(13.0, view.palette.muted).anchor(Anchor::Middle);
            let label = steps_label(cell);
            if kind.width(&label) + 3.0 <= place.w {
                canvas.text((place.x + place.w / 2.0, y - 4.0), &label, kind);
            }
        }
    }
    canvas.line(
        (plot.x, plot.bottom()),
        (plot.right(), plot.bottom()),
        view.palette.muted,
        1.0,
    );
}

/// `3/4` of a chunk under way, else the steps it has or will have.
fn steps_label(cell: &ChunkCell<'_>) -> String {
    let (taken, planned) = (cell.chunk.taken.total(), cell.chunk.planned.total());
    if 0 < taken && taken < planned {
        format!("{taken}/{planned}")
    } else {
        planned.max(taken).to_string()
    }
}

/// Planned steps, taken steps and colour, from the lowest block up.
fn blocks(cell: &ChunkCell<'_>, view: &View<'_>) -> [(u32, u32, &'static str); 2] {
    let (planned, taken) = (cell.chunk.planned, cell.chunk.taken);
    [
        (planned.coverage, taken.coverage, view.palette.coverage),
        (planned.utility, taken.utility, view.palette.utility),
    ]
}

fn scale_line(canvas: &mut Canvas, view: &View<'_>, plot: Area, y: f64, label: &str) {
    let kind = Type::new(13.0, view.palette.muted).anchor(Anchor::End);
    canvas.line((plot.x, y), (plot.right(), y), view.palette.grid, 1.0);
    canvas.text((plot.x - 8.0, y + 4.5), label, kind);
}

fn losses(canvas: &mut Canvas, view: &View<'_>, area: Area) {
    let known = view
        .cells
        .iter()
        .flat_map(|c| [c.chunk.loss_before, c.chunk.loss_after]);
    let (low, high) = padded(known.flatten());
    let plot = Area::new(area.x, area.y + 6.0, area.w, area.h - 10.0);
    let y_of = |loss: f64| plot.bottom() - part(loss, low, high) * plot.h;
    for tick in chart::ticks(low, high, 5) {
        scale_line(canvas, view, plot, y_of(tick), &words::number(tick));
    }
    for cell in &view.cells {
        let place = cell_area(cell, plot);
        let x = place.x + place.w / 2.0;
        let radius = (place.w * 0.22).clamp(1.6, 5.5);
        let (before, after) = (cell.chunk.loss_before, cell.chunk.loss_after);
        canvas.open(&view.tooltip(cell));
        let better = before
            .zip(after)
            .is_none_or(|(before, after)| after <= before);
        let colour = if better {
            view.palette.better
        } else {
            view.palette.worse
        };
        if let (Some(before), Some(after)) = (before, after) {
            let thickness = (radius * 0.5).clamp(1.0, 2.5);
            canvas.line((x, y_of(before)), (x, y_of(after)), colour, thickness);
        }
        if let Some(before) = before {
            let fill = view.palette.background;
            canvas.circle(
                (x, y_of(before)),
                radius * 0.85,
                fill,
                view.palette.muted,
                (radius * 0.35).max(0.8),
            );
        }
        if let Some(after) = after {
            canvas.polygon(&triangle((x, y_of(after)), radius, better), colour);
        }
        canvas.close();
    }
}

/// The chunks' numbers, as many as have room.
fn numbers(canvas: &mut Canvas, view: &View<'_>, area: Area) {
    let kind = Type::new(13.0, view.palette.muted).anchor(Anchor::Middle);
    let baseline = area.y + 18.0;
    canvas.text((area.x - 8.0, baseline), "chunk", kind.anchor(Anchor::End));
    let count = view.cells.len();
    let widest = kind.width(&count.to_string()) + 10.0;
    let each = area.w / count.max(1) as f64;
    let steps = [1usize, 2, 5, 10, 20, 25, 50, 100, 200, 250, 500, 1000];
    let step = steps
        .into_iter()
        .find(|s| *s as f64 * each >= widest)
        .unwrap_or(count.max(1));
    let mut free = area.x - 4.0;
    for cell in &view.cells {
        let label = cell.number.to_string();
        let half = kind.width(&label) / 2.0;
        let x = area.x + (cell.from + cell.to) / 2.0 * area.w;
        let wanted = cell.number.is_multiple_of(step) || cell.number == 1;
        if wanted && x - half > free && x + half <= area.right() + GUTTER / 4.0 {
            canvas.text((x, baseline), &label, kind);
            free = x + half + 4.0;
        }
    }
}
