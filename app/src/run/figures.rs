//! What the views of a run draw, worked out of its record once per change.

use super::learning;
use crate::vocabulary::Selection;
use egui_plot::PlotPoint;
use inscribe::words;
use inscribe::write::chart;
use inscribe::write::event::{ChunkSteps, StepKind};
use inscribe::write::record::{ChunkRecord, RunRecord, SegmentRecord};

/// More steps than a plot has pixels are drawn by the lowest and the highest of each part.
const MOST_POINTS: usize = 4096;

/// A chunk on the axis of the whole document.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Cell {
    pub segment: usize,
    /// Index of the chunk within its segment.
    pub chunk: usize,
    /// First token, and one past the last, counted over the whole document.
    pub from: usize,
    pub to: usize,
    pub record: ChunkRecord,
    /// Name in the text of the views: `Chunk 3`.
    pub name: String,
    /// Everything about the chunk in a sentence, for screen readers and tests.
    pub label: String,
}

impl Cell {
    pub fn tokens(&self) -> usize {
        self.to - self.from
    }

    /// How much the chunk's loss fell, in nats; negative where it rose.
    pub fn gain(&self) -> Option<f64> {
        Some(self.record.loss_before? - self.record.loss_after?)
    }
}

/// Steps of one kind as points, and which steps they are.
#[derive(Clone, Debug, Default)]
pub struct StepPoints {
    pub points: Vec<PlotPoint>,
    pub steps: Vec<usize>,
}

#[derive(Clone, Debug, Default)]
pub struct Figures {
    pub cells: Vec<Cell>,
    pub tokens: usize,
    /// Number of each segment's first token.
    pub segment_starts: Vec<usize>,
    /// The rule by which the steps beyond coverage were shared out, in words.
    pub rule: Option<&'static str>,
    /// The utility of the strongest colour, where utilities were measured.
    pub utility: Option<f64>,
    /// Whether any step was taken.
    pub begun: bool,
    /// The chunk of the latest step while steps go on.
    pub now: Option<usize>,
    /// Whether steps are shown by how much their loss differs from that before any step.
    pub relative: bool,
    /// What the plot shows of each step, and the same smoothed.
    values: Vec<(f64, f64)>,
    /// The most steps that any chunk was planned or got.
    pub most_steps: u32,
    /// Lowest and highest loss of a chunk, before or after.
    pub losses: Option<(f64, f64)>,
    /// Whether any chunk keeps tokens out of its steps.
    pub held_out: bool,
    pub coverage: StepPoints,
    pub by_utility: StepPoints,
    pub smoothed: Vec<PlotPoint>,
    /// Steps of each cell in order, as indices of the record's list.
    pub steps_of: Vec<Vec<usize>>,
}

impl Figures {
    pub fn of(record: &RunRecord) -> Figures {
        let mut figures = Figures {
            cells: cells(record),
            rule: record
                .settings
                .as_ref()
                .map(|s| super::header::rule(s.allocate)),
            ..Figures::default()
        };
        let mut start = 0;
        for segment in &record.segments {
            figures.segment_starts.push(start);
            start += document_tokens(segment);
        }
        figures.tokens = if record.segments.iter().all(|s| !s.chunks.is_empty()) {
            start
        } else {
            record.tokens().max(start)
        };
        figures.ranges(record);
        figures.step_points(record);
        figures
    }

    /// The place of the chosen chunk among the cells.
    pub fn selected(&self, selection: &Selection) -> Option<usize> {
        self.place(selection.segment, selection.chunk?)
    }

    /// The place of a chunk among the cells, which are in the order of the document.
    pub fn place(&self, segment: usize, chunk: usize) -> Option<usize> {
        let key = |cell: &Cell| (cell.segment, cell.chunk);
        self.cells.binary_search_by_key(&(segment, chunk), key).ok()
    }

    fn ranges(&mut self, record: &RunRecord) {
        let chunks = || self.cells.iter().map(|cell| &cell.record);
        let measured = chunks().any(|c| c.utility.is_some());
        self.utility = record.utility_scale().filter(|_| measured);
        let steps = chunks().map(|c| c.planned.total().max(c.taken.total()));
        self.most_steps = steps.max().unwrap_or(0);
        self.held_out = chunks().any(|c| c.held_out_before.or(c.held_out_after).is_some());
        let all = chunks().flat_map(|c| {
            [
                c.loss_before,
                c.loss_after,
                c.held_out_before,
                c.held_out_after,
            ]
        });
        // The losses before say nothing of learning while there is none after.
        let learned = chunks().any(|c| c.loss_after.is_some());
        self.losses = chart::range(all.flatten()).filter(|_| learned);
        self.begun = !record.steps.is_empty();
    }

    /// The lowest value of the plot.
    pub fn lowest(&self) -> f64 {
        let range = chart::range(self.values.iter().map(|v| v.0));
        range.map_or(0.0, |(low, _)| low)
    }

    /// What the plot shows of a step.
    pub fn value(&self, step: usize) -> f64 {
        self.values.get(step).map_or(f64::NAN, |v| v.0)
    }

    fn step_points(&mut self, record: &RunRecord) {
        let changes = record.changes();
        self.relative = changes.is_some();
        self.values = match changes {
            Some(changes) => changes.iter().map(|c| (c.change, c.smoothed)).collect(),
            None => {
                let steps = record.steps.iter();
                steps.map(|s| (s.step.loss, s.smoothed)).collect()
            }
        };
        self.now =
            learning::chunk_now(record).and_then(|(segment, chunk)| self.place(segment, chunk));
        self.steps_of = vec![Vec::new(); self.cells.len()];
        let mut kinds = [Vec::new(), Vec::new()];
        for (at, step) in record.steps.iter().enumerate() {
            let step = &step.step;
            let place = step.chunk.and_then(|chunk| self.place(step.segment, chunk));
            if let Some(steps) = place.and_then(|place| self.steps_of.get_mut(place)) {
                steps.push(at);
            }
            kinds[usize::from(step.kind == StepKind::Utility)].push(at);
        }
        let values = &self.values;
        let loss = |at: usize| values[at].0;
        let point = |at: usize, y: f64| PlotPoint::new(record.steps[at].step.step as f64, y);
        let points = |steps: Vec<usize>| {
            let steps = thinned(steps, loss);
            StepPoints {
                points: steps.iter().map(|&at| point(at, loss(at))).collect(),
                steps,
            }
        };
        let [coverage, by_utility] = kinds;
        let (coverage, by_utility) = (points(coverage), points(by_utility));
        let smooth = |at: usize| values[at].1;
        let line = thinned((0..record.steps.len()).collect(), smooth);
        self.smoothed = line.into_iter().map(|at| point(at, smooth(at))).collect();
        (self.coverage, self.by_utility) = (coverage, by_utility);
    }
}

/// Tokens of the document in a segment: its own count also has what opens and closes the document
/// for the model.
fn document_tokens(segment: &SegmentRecord) -> usize {
    let ends = segment.chunks.iter().map(|chunk| chunk.tokens.end);
    ends.max().filter(|&end| end > 0).unwrap_or(segment.tokens)
}

/// Round values from `low` to `high` with their labels, all with as many decimals.
pub fn tick_labels(low: f64, high: f64, most: usize) -> Vec<(f64, String)> {
    let ticks = chart::ticks(low, high, most);
    let step = match ticks.as_slice() {
        [a, b, ..] => b - a,
        _ => 0.1,
    };
    let label = |value: f64| tick_label(value, step);
    ticks.iter().map(|&value| (value, label(value))).collect()
}

/// A value with as many decimals as a step between ticks needs.
pub fn tick_label(value: f64, step: f64) -> String {
    let decimals = (0..4).find(|&d| {
        let scaled = step * 10f64.powi(d);
        (scaled - scaled.round()).abs() < 1e-6 * scaled.abs().max(1e-9)
    });
    let decimals = decimals.unwrap_or(4) as usize;
    let text = format!("{value:.decimals$}");
    match text.strip_prefix('-') {
        Some(rest) if rest.chars().all(|c| matches!(c, '0' | '.')) => rest.to_owned(),
        Some(rest) => format!("−{rest}"),
        None => text,
    }
}

/// All steps, or of each part the lowest and the highest, in order.
fn thinned(steps: Vec<usize>, value: impl Fn(usize) -> f64) -> Vec<usize> {
    if steps.len() <= MOST_POINTS {
        return steps;
    }
    let part = (2 * steps.len()).div_ceil(MOST_POINTS);
    let mut kept = Vec::with_capacity(MOST_POINTS + 2);
    for part in steps.chunks(part) {
        let by_value = |a: &&usize, b: &&usize| value(**a).total_cmp(&value(**b));
        let low = part.iter().min_by(by_value).copied();
        let high = part.iter().max_by(by_value).copied();
        let mut both: Vec<usize> = low.into_iter().chain(high).collect();
        both.sort_unstable();
        both.dedup();
        kept.extend(both);
    }
    kept
}

fn cells(record: &RunRecord) -> Vec<Cell> {
    let mut cells = Vec::new();
    let several = record.segments.len() > 1;
    let size = record.settings.as_ref().map_or(1024, |s| s.chunk.max(1));
    let mut start = 0;
    for (segment, part) in record.segments.iter().enumerate() {
        // Without a local pass the reported utilities are zeros that nobody measured.
        let measured = part.local_surprisal.iter().any(Option::is_some);
        for (chunk, own) in part.chunks.iter().enumerate() {
            let mut own = own.clone();
            if !measured {
                (own.utility, own.signed) = (None, None);
            }
            let tokens = match own.tokens.is_empty() {
                false => own.tokens.clone(),
                // Not known yet: chunks of the size that the settings name.
                true => {
                    let from = chunk.saturating_mul(size).min(part.tokens);
                    from..from.saturating_add(size).min(part.tokens)
                }
            };
            let name = if several {
                format!("Chunk {} of part {}", chunk + 1, segment + 1)
            } else {
                format!("Chunk {}", chunk + 1)
            };
            cells.push(Cell {
                segment,
                chunk,
                from: start + tokens.start,
                to: start + tokens.end.max(tokens.start),
                label: label(&name, &own),
                record: own,
                name,
            });
        }
        start += document_tokens(part);
    }
    cells
}

fn label(name: &str, chunk: &ChunkRecord) -> String {
    let mut parts = vec![match &chunk.title {
        Some(title) => format!("{name}: {title}"),
        None => name.to_owned(),
    }];
    if let Some(utility) = chunk.utility {
        parts.push(format!("utility {}", words::nats(utility)));
    }
    if chunk.planned.total() > 0 {
        parts.push(steps_in_words(chunk.taken, chunk.planned));
    }
    if let (Some(before), Some(after)) = (chunk.loss_before, chunk.loss_after) {
        let (before, after) = (words::nats(before), words::nats(after));
        parts.push(format!("loss {before} to {after}"));
    }
    parts.join(", ")
}

/// `3 of 5 steps`.
pub fn steps_in_words(taken: ChunkSteps, planned: ChunkSteps) -> String {
    let planned = words::counted(planned.total() as usize, "step");
    format!("{} of {planned}", taken.total())
}

#[cfg(test)]
mod tests {
    use super::*;
    use inscribe::write::synthetic::{Invented, events};

    fn invented(run: Invented) -> Figures {
        Figures::of(&RunRecord::from_events(&events(&run)))
    }

    #[test]
    fn cells_stand_end_to_end_over_all_segments() {
        let figures = invented(Invented {
            tokens: 9000,
            context: 4000,
            ..Invented::default()
        });
        assert_eq!(figures.segment_starts, [0, 4000, 8000]);
        let mut at = 0;
        for cell in &figures.cells {
            assert_eq!(cell.from, at);
            at = cell.to;
        }
        assert_eq!((at, figures.tokens), (9000, 9000));
        let last = figures.cells.last().unwrap();
        assert_eq!(
            figures.place(last.segment, last.chunk),
            Some(figures.cells.len() - 1)
        );
        assert_eq!(figures.place(0, 99), None);
    }

    #[test]
    fn every_step_is_a_point_of_its_kind_and_chunk() {
        let figures = invented(Invented::default());
        let (coverage, utility) = (&figures.coverage, &figures.by_utility);
        assert_eq!(coverage.points.len() + utility.points.len(), 48);
        assert_eq!(coverage.points.len(), figures.cells.len());
        for (cell, steps) in figures.cells.iter().zip(&figures.steps_of) {
            assert_eq!(cell.record.taken.total() as usize, steps.len());
        }
    }

    /// Chunks whose losses lie far apart are no rise and no fall of the curve.
    #[test]
    fn steps_are_drawn_by_what_was_learned() {
        let figures = invented(Invented::default());
        assert!(figures.relative);
        let first = |at: usize| {
            figures.steps_of[at]
                .first()
                .map(|&step| figures.value(step))
        };
        for chunk in 0..figures.cells.len() {
            assert!(
                first(chunk).is_some_and(|value| value.abs() < 1e-9),
                "{chunk}"
            );
        }
        let (start, end) = (figures.smoothed.first(), figures.smoothed.last());
        assert!(end.expect("steps").y < start.expect("steps").y - 0.1);
    }

    #[test]
    fn ticks_have_as_many_decimals_as_they_need() {
        let labels = |low, high| -> Vec<String> {
            tick_labels(low, high, 4)
                .into_iter()
                .map(|(_, label)| label)
                .collect()
        };
        assert_eq!(labels(0.0, 10.0), ["0.0", "2.5", "5.0", "7.5", "10.0"]);
        assert_eq!(labels(0.0, 4.0), ["0", "1", "2", "3", "4"]);
        assert_eq!(labels(-0.2, 0.2), ["−0.2", "−0.1", "0.0", "0.1", "0.2"]);
    }

    #[test]
    fn many_steps_keep_their_extremes() {
        let value = |at: usize| if at == 77_777 { 9.0 } else { (at % 7) as f64 };
        let kept = thinned((0..100_000).collect(), value);
        assert!(kept.len() <= MOST_POINTS + 2, "{}", kept.len());
        assert!(kept.contains(&77_777));
        assert!(kept.windows(2).all(|w| w[0] < w[1]));
    }
}
