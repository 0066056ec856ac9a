//! What belongs to the whole run: losses by step, time by phase, figures.

use crate::write::event::Phase;
use crate::write::record::{RunRecord, Status};

use super::colour::{self, Rgb};
use super::legend::{Heading, Key, LABEL_SIZE};
use super::svg::{Anchor, Area, Canvas, Type};
use super::text;
use super::view::View;
use crate::words;
use crate::write::chart::{self, padded, part};

pub const CURVE_HEIGHT: f64 = 240.0;
const GUTTER: f64 = 46.0;
const PHASE_ROW: f64 = 26.0;
const FACT_ROW: f64 = 27.0;

fn curve_heading(view: &View<'_>) -> Heading {
    let dots = [0.1, 0.5, 0.9].map(colour::sequential);
    let dots = match view.utility {
        Some(_) => Key::Dots(dots, "a step, coloured as its chunk".to_owned()),
        None => Key::Ring(view.palette.muted, "a step".to_owned()),
    };
    let line = Key::Line(view.palette.accent, "smoothed".to_owned());
    let title = match view.run.changes() {
        Some(_) => "Loss by step, less that before any step",
        None => "Loss by step",
    };
    Heading::new(title, vec![dots, line])
}

/// What the curve shows of each step: its own value and the smoothed one. Losses of different
/// chunks lie far apart, so they are shown by how much they changed wherever that is known.
fn curve_values(run: &RunRecord) -> (Vec<(f64, f64)>, bool) {
    match run.changes() {
        Some(changes) => {
            let values = changes.iter().map(|c| (c.change, c.smoothed));
            (values.collect(), true)
        }
        None => {
            let values = run.steps.iter().map(|s| (s.step.loss, s.smoothed));
            (values.collect(), false)
        }
    }
}

pub fn curve(canvas: &mut Canvas, view: &View<'_>, area: Area) {
    canvas.open_part("curve");
    let heading = curve_heading(view);
    heading.draw(canvas, view, area);
    let top = heading.height(area.w) + 6.0;
    let plot = Area::new(
        area.x + GUTTER,
        area.y + top,
        area.w - GUTTER - 6.0,
        area.h - top - 26.0,
    );
    let steps = &view.run.steps;
    let (values, relative) = curve_values(view.run);
    let zero = relative.then_some(0.0);
    // The first steps change next to nothing, and are to look so.
    let least = relative.then_some(-0.1);
    let (low, high) = padded(values.iter().map(|v| v.0).chain(zero).chain(least));
    let last = view.run.steps_to_take().max(2) as f64;
    let x_of = |step: usize| plot.x + 6.0 + part(step as f64, 1.0, last) * (plot.w - 6.0);
    let y_of = |loss: f64| plot.bottom() - part(loss, low, high) * plot.h;
    let label = if relative { words::nats } else { words::number };
    let small = Type::new(13.0, view.palette.muted);
    for tick in chart::ticks(low, high, 5) {
        let y = y_of(tick);
        let ink = if zero == Some(tick) {
            view.palette.muted
        } else {
            view.palette.grid
        };
        canvas.line((plot.x, y), (plot.right(), y), ink, 1.0);
        canvas.text(
            (plot.x - 8.0, y + 4.5),
            &label(tick),
            small.anchor(Anchor::End),
        );
    }
    step_ticks(canvas, view, plot, &x_of);
    let radius = (1600.0 / steps.len().max(1) as f64).sqrt().clamp(1.6, 4.5);
    let drawn = steps.iter().zip(&values);
    for (record, &(value, _)) in drawn.clone().filter(|(_, v)| v.0.is_finite()) {
        let step = &record.step;
        let cell = step.chunk.and_then(|chunk| view.cell(step.segment, chunk));
        let colour = cell.map_or(view.palette.neutral, |cell| cell.colour);
        let mut tip = format!("Step {} · loss {}", step.step, words::number(step.loss));
        if relative {
            tip += &format!(" ({})", words::signed(value));
        }
        if let Some(cell) = cell {
            tip += &format!(" · chunk {}", cell.number);
        }
        canvas.open(&tip);
        let at = (x_of(step.step), y_of(value));
        canvas.circle(at, radius, &colour.hex(), view.palette.muted, radius * 0.16);
        canvas.close();
    }
    let line = drawn.filter(|(_, v)| v.1.is_finite());
    let line: Vec<(f64, f64)> = line
        .map(|(s, v)| (x_of(s.step.step), y_of(v.1.clamp(low, high))))
        .collect();
    if line.len() > 1 {
        canvas.polyline(&line, view.palette.background, 5.0);
        canvas.polyline(&line, view.palette.accent, 2.5);
    }
    canvas.close();
}

fn step_ticks(canvas: &mut Canvas, view: &View<'_>, plot: Area, x_of: &dyn Fn(usize) -> f64) {
    let kind = Type::new(13.0, view.palette.muted).anchor(Anchor::Middle);
    let baseline = plot.bottom() + 20.0;
    canvas.text((plot.x - 8.0, baseline), "step", kind.anchor(Anchor::End));
    let last = view.run.steps_to_take().max(1);
    let room = (plot.w / 70.0) as usize;
    let mut ticks: Vec<usize> = chart::whole_ticks(0, last, room.clamp(2, 8));
    ticks.retain(|&t| t > 0);
    if ticks
        .first()
        .is_none_or(|&first| x_of(first) - x_of(1) > 30.0)
    {
        ticks.insert(0, 1);
    }
    let mut free = plot.x - 4.0;
    for tick in ticks {
        let label = words::count(tick);
        let half = kind.width(&label) / 2.0;
        let x = x_of(tick).min(plot.right() + 6.0 - half);
        if x - half > free {
            canvas.text((x, baseline), &label, kind);
            free = x + half + 4.0;
        }
    }
}

/// Phases that took time, with their seconds.
pub fn phase_rows(run: &RunRecord) -> Vec<(&'static str, f64)> {
    let seconds = run.seconds();
    let rows = Phase::ALL.map(|phase| (phase.name(), seconds.of(phase)));
    rows.into_iter().filter(|(_, secs)| *secs > 0.0).collect()
}

fn phase_heading(view: &View<'_>) -> Heading {
    let total = words::duration(view.run.seconds().total());
    Heading::new("Time by phase", vec![Key::Note(format!("{total} in all"))])
}

pub fn phases_height(view: &View<'_>, width: f64) -> f64 {
    phase_heading(view).height(width) + PHASE_ROW * phase_rows(view.run).len() as f64
}

pub fn phases(canvas: &mut Canvas, view: &View<'_>, area: Area) {
    canvas.open_part("phases");
    let heading = phase_heading(view);
    heading.draw(canvas, view, area);
    let rows = phase_rows(view.run);
    let total: f64 = rows.iter().map(|r| r.1).sum();
    let most = rows.iter().map(|r| r.1).fold(0.0, f64::max);
    let name = Type::new(LABEL_SIZE, view.palette.ink);
    let value = Type::new(LABEL_SIZE, view.palette.muted).anchor(Anchor::End);
    let left = rows.iter().map(|r| name.width(r.0)).fold(0.0, f64::max) + 12.0;
    let label = |secs: f64| format!("{} · {:.0} %", words::duration(secs), 100.0 * secs / total);
    let right = rows
        .iter()
        .map(|r| value.width(&label(r.1)))
        .fold(0.0, f64::max)
        + 12.0;
    let room = (area.w - left - right).max(0.0);
    let top = area.y + heading.height(area.w);
    for (at, (phase, secs)) in rows.iter().enumerate() {
        let y = top + PHASE_ROW * at as f64;
        canvas.text((area.x, y + 17.0), phase, name);
        let trough = Area::new(area.x + left, y + 5.0, room, 15.0);
        canvas.round_rect(trough, view.palette.trough, 2.0);
        let bar = Area {
            w: (room * secs / most).max(1.0),
            ..trough
        };
        canvas.round_rect(bar, view.palette.accent, 2.0);
        canvas.text((area.right(), y + 17.0), &label(*secs), value);
    }
    canvas.close();
}

/// The run in figures: what, and how much.
pub fn facts(run: &RunRecord) -> Vec<(&'static str, String)> {
    let mut facts = Vec::new();
    let tokens = words::counted(run.tokens(), "token");
    let chunks = words::counted(run.chunks().count(), "chunk");
    let parts = match run.segments.len() {
        0 | 1 => format!("{tokens} in {chunks}"),
        segments => format!("{tokens}, {chunks}, {segments} segments"),
    };
    facts.push(("Document", parts));
    let (taken, to_take) = (run.steps.len(), run.steps_to_take());
    facts.push((
        "Steps",
        if taken < to_take {
            format!("{taken} of {to_take}")
        } else {
            taken.to_string()
        },
    ));
    match run.loss_before().zip(run.loss_after()) {
        Some((before, after)) => facts.push(("Mean loss", change(before, after))),
        None => {
            let before = run.loss_before().map(words::number);
            facts.extend(before.map(|before| ("Mean loss before", before)));
        }
    }
    if let Some((before, after)) = run.held_out_before().zip(run.held_out_after()) {
        facts.push(("Loss held out", change(before, after)));
    }
    if let Some((low, high)) = run.utility_range().filter(|(low, high)| low < high) {
        let range = format!("{} to {}", words::number(low), words::number(high));
        facts.push(("Utility", range));
    }
    let tokens = run.steps.iter().map(|s| s.step.tokens);
    let learned = tokens.fold(0, usize::saturating_add);
    if learned > 0 {
        facts.push(("Learned from", words::counted(learned, "token")));
    }
    let speed = |rate: f64| format!("{} tokens/s", words::count(rate.round() as usize));
    if let Some(rate) = run.prefill_rate() {
        facts.push(("Reading", speed(rate)));
    }
    if let Some(rate) = run.mean_step_rate() {
        facts.push(("Learning", speed(rate)));
    }
    if let Some(peak) = run.peak_bytes {
        facts.push((
            "Memory with weights",
            format!("at most {}", words::bytes(peak)),
        ));
    }
    facts
}

fn change(before: f64, after: f64) -> String {
    let percent = format!("{:+.1}", 100.0 * (after - before) / before).replace('-', "−");
    let (before, after) = (words::number(before), words::number(after));
    format!("{before} to {after} ({percent} %)")
}

pub fn facts_height(view: &View<'_>, width: f64) -> f64 {
    let heading = Heading::new("In figures", Vec::new());
    heading.height(width) + FACT_ROW * facts(view.run).len() as f64
}

pub fn facts_table(canvas: &mut Canvas, view: &View<'_>, area: Area) {
    canvas.open_part("facts");
    let heading = Heading::new("In figures", Vec::new());
    heading.draw(canvas, view, area);
    let name = Type::new(LABEL_SIZE, view.palette.muted);
    let value = Type::new(LABEL_SIZE, view.palette.ink)
        .bold()
        .anchor(Anchor::End);
    let top = area.y + heading.height(area.w) - 4.0;
    for (at, (what, much)) in facts(view.run).iter().enumerate() {
        let y = top + FACT_ROW * at as f64;
        canvas.text((area.x, y + 18.0), what, name);
        let room = area.w - name.width(what) - 16.0;
        let much = text::fit(much, value.size, value.weight, room);
        canvas.text((area.right(), y + 18.0), &much, value);
        canvas.line(
            (area.x, y + FACT_ROW),
            (area.right(), y + FACT_ROW),
            view.palette.grid,
            1.0,
        );
    }
    canvas.close();
}

/// The line under the document's name.
pub fn subtitle(run: &RunRecord) -> String {
    use crate::write::settings::Allocate;
    let mut parts = Vec::new();
    if let Some(settings) = &run.settings {
        parts.push(settings.method.title().to_owned());
        let how = match settings.allocate {
            Allocate::Utility => "by utility",
            Allocate::Signed => "by signed utility",
            Allocate::Uniform => "spread evenly",
            Allocate::Random => "at random",
            Allocate::Topk => "to the highest utilities",
            Allocate::Whole => "from the whole document",
        };
        let steps = words::counted(settings.budget, "step");
        parts.push(format!("{steps} {how}"));
    }
    if let Some(model) = &run.model {
        parts.push(model.name.clone());
    }
    if !run.device.is_empty() {
        parts.push(run.device.clone());
    }
    parts.join(" · ")
}

/// The state of a run that did not reach its end.
pub fn unfinished(run: &RunRecord) -> Option<String> {
    let (taken, to_take) = (run.steps.len(), run.steps_to_take());
    match run.status {
        Status::Done => None,
        Status::Paused => Some(format!("paused after step {taken} of {to_take}")),
        Status::Waiting | Status::Running => Some(format!("so far: step {taken} of {to_take}")),
    }
}

/// The colour of a chunk's utility in the figures of a run of this scale.
pub fn utility_colour(utility: f64, scale: f64) -> Rgb {
    colour::sequential(utility / scale)
}
