//! One drawing of a run: lines of text for a terminal of a given size.

use std::time::{Duration, Instant};

use console::measure_text_width;
use inscribe::words;
use inscribe::write::chart;
use inscribe::write::event::{Event, Phase};
use inscribe::write::figure::utility_colour;
use inscribe::write::record::{ChunkRecord, PhaseProgress, RunRecord, Status};

use crate::cli::terminal::{self, Look};

/// Columns of the labels on the left.
const GUTTER: usize = 9;
/// Columns of the scale on the right, where there is room for one.
const SCALE: usize = 16;
/// Wider than this a view is harder to read, not easier.
const MOST_COLUMNS: usize = 112;
const MOST_CELL: usize = 6;
const BAR_ROWS: usize = 4;

/// When the run and its present phase began, for times that no event reports.
pub struct Clock {
    began: Instant,
    phase: Option<(Phase, usize, Instant)>,
    stopped: Option<Duration>,
    /// Seconds that the whole run is expected to take.
    pub expected: Option<f64>,
}

impl Clock {
    pub fn new(now: Instant) -> Clock {
        Clock {
            began: now,
            phase: None,
            stopped: None,
            expected: None,
        }
    }

    pub fn event(&mut self, event: &Event, now: Instant) {
        match event {
            Event::Progress { phase, done, .. } => match self.phase {
                Some((same, from, _)) if same == *phase && from <= *done => {}
                _ => self.phase = Some((*phase, *done, now)),
            },
            Event::Done(_) => self.stopped = Some(now - self.began),
            _ => {}
        }
    }

    /// Stops the clock, so that no time passes any more.
    pub fn stop(&mut self) {
        self.stopped = Some(Duration::ZERO);
    }

    /// How many a second of what `progress` counts are done, and the seconds left for the rest.
    fn pace(&self, progress: &PhaseProgress) -> Option<(f64, f64)> {
        let (phase, from, at) = self.phase?;
        let done = progress.done.checked_sub(from).filter(|&d| d > 0)?;
        let secs = at.elapsed().as_secs_f64();
        if phase != progress.phase || self.stopped.is_some() || secs < 0.3 {
            return None;
        }
        let rate = done as f64 / secs;
        Some((
            rate,
            progress.total.saturating_sub(progress.done) as f64 / rate,
        ))
    }
}

/// The run so far in at most `rows` lines, none wider than the terminal.
pub fn lines(run: &RunRecord, clock: &Clock, look: &Look, rows: usize) -> Vec<String> {
    let look = &Look {
        columns: look.columns.min(MOST_COLUMNS),
        ..*look
    };
    let mut lines = vec![title(run, look)];
    lines.push(status(run, look));
    let scale = if look.columns >= 60 { SCALE } else { 0 };
    let room = look.columns.saturating_sub(GUTTER + scale).max(1);
    let columns = columns(run, room);
    let mut sections: Vec<Vec<String>> = Vec::new();
    if !columns.is_empty() {
        sections.push(vec![strip(run, &columns, look)]);
        sections.push(bars(&columns, look));
        sections.push(marks(run, &columns, look));
    }
    if run.steps.len() > 1 {
        sections.push(vec![losses(run, room, look)]);
    }
    sections.push(vec![figures(run, clock, look)]);
    // On a low terminal what says least about the present goes first.
    let dispensable = [2, 3, 1];
    let count = |sections: &[Vec<String>]| sections.iter().map(Vec::len).sum::<usize>();
    for at in dispensable {
        if lines.len() + count(&sections) > rows && at + 1 < sections.len() {
            sections[at].clear();
        }
    }
    lines.extend(sections.into_iter().flatten());
    let lines = lines.into_iter().filter(|line| !line.is_empty());
    let fitted = lines.map(|line| look.fit(&line, look.columns).into_owned());
    fitted.take(rows.max(1)).collect()
}

fn title(run: &RunRecord, look: &Look) -> String {
    let Some(document) = &run.document else {
        return "Waiting for the run to start".to_owned();
    };
    let mut rest = format!(" {} {}", look.dot(), words::counted(run.tokens(), "token"));
    let model = run.model.as_ref().map_or("", |m| m.name.as_str());
    for part in [model, run.device.as_str()] {
        let part = look.plain(part);
        let more = format!(" {} {part}", look.dot());
        let used = measure_text_width(&rest) + measure_text_width(&more);
        if !part.is_empty() && used + 24 <= look.columns {
            rest += &more;
        }
    }
    let room = look.columns.saturating_sub(measure_text_width(&rest));
    let name: String = document
        .name
        .chars()
        .map(|c| if words::is_order(c) { ' ' } else { c })
        .collect();
    let name = look.plain(&name).into_owned();
    let name = look.fit(&name, room);
    format!("{}{}", look.bold(&name), look.paint(&rest, terminal::MUTED))
}

/// What goes on now, how far it is, and how long it will take.
fn status(run: &RunRecord, look: &Look) -> String {
    let (word, done, total) = match (run.status, &run.progress) {
        (Status::Waiting, _) => return String::new(),
        (Status::Done, _) => ("Done", run.steps.len(), run.steps_to_take()),
        (Status::Paused, _) => ("Paused", run.steps.len(), run.steps_to_take()),
        (Status::Running, Some(now)) => (now.phase.name(), now.done, now.total),
        (Status::Running, None) => ("Starting", 0, 0),
    };
    let mut parts = Vec::new();
    if run.segments.len() > 1 && run.status == Status::Running {
        let segment = run.progress.map_or(0, |p| p.segment) + 1;
        parts.push(format!("part {segment} of {}", run.segments.len()));
    }
    if total > 0 {
        parts.push(format!("{} of {}", words::count(done), words::count(total)));
    }
    let numbers = parts.join(", ");
    let share = done as f64 / total.max(1) as f64;
    let head = format!("{word:<8} ");
    let tail = format!(" {:>3.0} %  {numbers}", 100.0 * share);
    let room = look.columns.saturating_sub(head.len() + tail.len());
    let bar = match room {
        _ if total == 0 => return format!("{head}{numbers}"),
        0..4 => String::new(),
        room => {
            let columns = room.min(32);
            let (fill, empty) = if look.unicode {
                ("━", "─")
            } else {
                ("=", "-")
            };
            let filled = (share * columns as f64).round() as usize;
            let filled = filled.min(columns);
            format!(
                "{}{}",
                look.paint(&fill.repeat(filled), terminal::UTILITY),
                look.paint(&empty.repeat(columns - filled), terminal::MUTED)
            )
        }
    };
    format!("{head}{bar}{tail}")
}

/// Chunks that share a column of the view, or the columns that a chunk has to itself.
struct Column<'a> {
    chunks: Vec<(usize, usize, &'a ChunkRecord)>,
    width: usize,
    /// Whether a blank column follows: a gap between chunks or segments.
    gap: bool,
}

impl Column<'_> {
    fn most(&self, of: impl Fn(&ChunkRecord) -> Option<f64>) -> Option<f64> {
        let known = self.chunks.iter().filter_map(|(_, _, chunk)| of(chunk));
        known.filter(|v| v.is_finite()).reduce(f64::max)
    }
}

fn columns(run: &RunRecord, room: usize) -> Vec<Column<'_>> {
    let mut all = Vec::new();
    for (segment, part) in run.segments.iter().enumerate() {
        let chunks = part.chunks.iter().enumerate();
        all.extend(chunks.map(|(index, chunk)| (segment, index, chunk)));
    }
    if all.is_empty() {
        return Vec::new();
    }
    let count = all.len();
    if count <= room {
        let each = (room / count).min(MOST_CELL + 1);
        let gap = each > 1;
        let width = if gap { each - 1 } else { 1 };
        let column = |chunk| Column {
            chunks: vec![chunk],
            width,
            gap,
        };
        return all.into_iter().map(column).collect();
    }
    let column = |at: usize| Column {
        chunks: all[at * count / room..(at + 1) * count / room].to_vec(),
        width: 1,
        gap: false,
    };
    (0..room).map(column).collect()
}

fn label(text: &str, look: &Look) -> String {
    look.paint(&format!("{text:<GUTTER$}"), terminal::MUTED)
        .into_owned()
}

fn gap(column: &Column<'_>) -> &'static str {
    if column.gap { " " } else { "" }
}

/// A cell a chunk, in the colours of the figures; without colours as high as its utility.
fn strip(run: &RunRecord, columns: &[Column<'_>], look: &Look) -> String {
    let Some(scale) = run.utility_scale() else {
        return String::new();
    };
    let mut line = label("utility", look);
    for column in columns {
        let utility = column.most(|c| c.utility);
        let cell = match utility {
            None => look
                .paint(
                    &(if look.unicode { "░" } else { " " }).repeat(column.width),
                    terminal::MUTED,
                )
                .into_owned(),
            Some(utility) if look.colours == terminal::Colours::None => {
                let part = (utility / scale).clamp(0.0, 1.0);
                look.level(part).to_string().repeat(column.width)
            }
            // Heights as well, for eyes and terminals that do not tell the colours apart.
            Some(utility) => {
                let part = (utility / scale).clamp(0.0, 1.0);
                let level = look.level(part).to_string().repeat(column.width);
                let colour = utility_colour(utility, scale);
                look.paint(&level, colour).into_owned()
            }
        };
        line += &cell;
        line += gap(column);
    }
    let (low, high) = ("0", words::number(scale));
    let scale = if look.unicode {
        format!(" {low}–{high} nats")
    } else {
        format!(" {low}-{high} nats")
    };
    if measure_text_width(&line) + measure_text_width(&scale) <= look.columns {
        line += &look.paint(&scale, terminal::MUTED);
    }
    line
}

/// Steps of each chunk, upwards: coverage, utility, and what is planned but not taken.
fn bars(columns: &[Column<'_>], look: &Look) -> Vec<String> {
    let counts: Vec<[f64; 3]> = columns.iter().map(counts).collect();
    let most = counts.iter().map(|c| c[2]).fold(0.0, f64::max);
    if most == 0.0 {
        return Vec::new();
    }
    let heading = label(&format!("steps {most:.0}"), look);
    let rows = (0..BAR_ROWS).rev().map(|row| {
        let mut line = label("", look);
        for (column, count) in columns.iter().zip(&counts) {
            let heights = count.map(|c| c / most * BAR_ROWS as f64 - row as f64);
            line += &bar_cell(heights, column.width, look);
            line += gap(column);
        }
        line
    });
    // A bar of full height means as many steps as the label says.
    std::iter::once(heading).chain(rows).collect()
}

/// Coverage taken, coverage and utility taken, and all that is planned.
fn counts(column: &Column<'_>) -> [f64; 3] {
    let chunks = || column.chunks.iter().map(|(_, _, chunk)| *chunk);
    let most = |of: fn(&ChunkRecord) -> u32| f64::from(chunks().map(of).max().unwrap_or(0));
    let coverage = most(|c| c.taken.coverage);
    let taken = most(|c| c.taken.total()).max(coverage);
    let planned = most(|c| c.planned.total()).max(taken);
    [coverage, taken, planned]
}

/// One row of a bar: `heights` count from the foot of the row, in rows. Two colours at most meet in
/// a cell, the lower in front of the upper.
fn bar_cell(heights: [f64; 3], width: usize, look: &Look) -> String {
    let colours = [terminal::COVERAGE, terminal::UTILITY, terminal::MUTED];
    let marks = ["o", "#", "."];
    let Some(lower) = (0..3).find(|&i| heights[i] > 0.06) else {
        return " ".repeat(width);
    };
    let full = heights[lower] >= 0.94;
    if !look.unicode {
        let mark = marks[lower].repeat(width);
        return look.paint(&mark, colours[lower]).into_owned();
    }
    if look.colours == terminal::Colours::None && lower < 2 {
        // Without colours nothing distinguishes coverage from the rest.
        let taken = heights[1];
        let block = if taken >= 0.94 {
            '█'
        } else {
            look.level(taken - 0.06)
        };
        return block.to_string().repeat(width);
    }
    if lower == 2 {
        let mark = if full { '░' } else { '·' };
        return look
            .paint(&mark.to_string().repeat(width), terminal::MUTED)
            .into_owned();
    }
    let block = if full {
        '█'
    } else {
        look.level(heights[lower] - 0.06)
    };
    let block = block.to_string().repeat(width);
    let above = (lower + 1..2).find(|&i| heights[i] > heights[lower] + 0.06);
    match above.filter(|_| !full) {
        Some(upper) => look
            .paint_on(&block, colours[lower], colours[upper])
            .into_owned(),
        None => look.paint(&block, colours[lower]).into_owned(),
    }
}

/// Which chunk is being learned now, by its number.
fn marks(run: &RunRecord, columns: &[Column<'_>], look: &Look) -> Vec<String> {
    let Some(step) = run.steps.last().filter(|_| run.status != Status::Done) else {
        return Vec::new();
    };
    let Some(chunk) = step.step.chunk else {
        return Vec::new();
    };
    let here = |c: &&Column<'_>| {
        c.chunks
            .iter()
            .any(|(s, i, _)| (*s, *i) == (step.step.segment, chunk))
    };
    let before: usize = columns
        .iter()
        .take_while(|c| !here(c))
        .map(|c| c.width + usize::from(c.gap))
        .sum();
    let earlier = run.segments.iter().take(step.step.segment);
    let number = earlier.map(|s| s.chunks.len()).sum::<usize>() + chunk + 1;
    let title = run
        .segments
        .get(step.step.segment)
        .and_then(|s| s.chunks.get(chunk)?.title.clone());
    let title: String = title
        .unwrap_or_default()
        .chars()
        .filter(|&c| !words::is_order(c))
        .collect();
    let arrow = if look.unicode { "▲" } else { "^" };
    let text = if title.is_empty() {
        format!("{arrow} chunk {number}")
    } else {
        format!("{arrow} chunk {number}: {}", look.plain(&title))
    };
    // The words go where there is more room.
    let left = GUTTER + before;
    let right = look.columns.saturating_sub(left);
    let line = if measure_text_width(&text) <= right || right > left {
        format!("{}{}", " ".repeat(left), look.fit(&text, right))
    } else {
        let words = text.trim_start_matches(arrow).trim_start();
        let words = look.fit(words, left.saturating_sub(1));
        let spaces = left.saturating_sub(measure_text_width(&words) + 1);
        format!("{}{words} {arrow}", " ".repeat(spaces))
    };
    vec![look.paint(&line, terminal::MUTED).into_owned()]
}

/// The losses of the steps, the means of neighbours where there are more than columns.
fn losses(run: &RunRecord, room: usize, look: &Look) -> String {
    let smoothed = |s: &inscribe::write::record::StepRecord| s.smoothed;
    let first = run.steps.first().map_or(f64::NAN, smoothed);
    let last = run.steps.last().map_or(f64::NAN, smoothed);
    let text = format!(
        " {} {} {}",
        words::number(first),
        look.arrow(),
        words::number(last)
    );
    let text = look.plain(&text).into_owned();
    let columns = room
        .saturating_sub(measure_text_width(&text))
        .min(run.steps.len())
        .max(1);
    let count = run.steps.len();
    let mean = |at: usize| {
        let part = &run.steps[at * count / columns..(at + 1) * count / columns];
        part.iter().map(|s| s.step.loss).sum::<f64>() / part.len().max(1) as f64
    };
    let means: Vec<f64> = (0..columns).map(mean).collect();
    let (low, high) = chart::range(means.iter().copied()).unwrap_or((0.0, 0.0));
    let level = |m: &f64| look.level(chart::part(*m, low, high));
    let line: String = means.iter().map(level).collect();
    format!(
        "{}{}{text}",
        label("loss", look),
        look.paint(&line, terminal::COVERAGE)
    )
}

/// Speeds and times.
fn figures(run: &RunRecord, clock: &Clock, look: &Look) -> String {
    let mut parts: Vec<String> = Vec::new();
    let stepping = run.progress.filter(|p| p.phase != Phase::Steps);
    let pace = stepping.and_then(|now| Some((now, clock.pace(&now)?)));
    // What goes on after the last step is all that is left.
    let last_phase = !run.steps.is_empty() && run.steps.len() == run.steps_to_take();
    match (pace, run.step_rate()) {
        (Some((now, (rate, left))), _) => {
            if matches!(now.phase, Phase::Prefill | Phase::Local) {
                parts.push(format!("{} tokens/s", words::count(rate.round() as usize)));
            }
            let what = if last_phase { "left" } else { "left of this" };
            parts.push(format!("{} {what}", words::duration(left)));
        }
        (None, Some(rate)) => {
            let rate = match run.status {
                Status::Done => run.mean_step_rate().unwrap_or(rate),
                _ => rate,
            };
            parts.push(format!("{} tokens/s", words::count(rate.round() as usize)));
        }
        (None, None) => {}
    }
    if run.status == Status::Done {
        parts.push(format!("{} in all", words::duration(run.seconds().total())));
        if let Some((before, after)) = run.loss_before().zip(run.loss_after()) {
            let (before, after) = (words::number(before), words::number(after));
            parts.push(format!("mean loss {before} {} {after}", look.arrow()));
        }
        if let Some(peak) = run.peak_bytes {
            parts.push(format!("{} at most with weights", words::bytes(peak)));
        }
        if let Some((before, after)) = run.loss_before().zip(run.loss_after()) {
            parts.push(format!("each token {}", words::likelier(before, after)));
        }
    } else {
        let measured = pace.is_some() && last_phase;
        if let Some(left) = run.seconds_left().filter(|_| !measured) {
            parts.push(format!("{} left", words::duration(left)));
        } else if let Some(all) = clock.expected.filter(|_| run.steps.is_empty()) {
            parts.push(format!("about {} in all", words::rough_duration(all)));
        }
        if clock.stopped.is_none() {
            parts.push(format!(
                "{} so far",
                words::duration(clock.began.elapsed().as_secs_f64())
            ));
        }
    }
    let mut line = label("", look);
    let mut used = GUTTER;
    for (at, part) in parts.iter().enumerate() {
        let part = if at > 0 {
            format!("  {}  {part}", look.dot())
        } else {
            part.clone()
        };
        used += measure_text_width(&part);
        if used > look.columns {
            break;
        }
        line += &look.plain(&part);
    }
    line
}
