//! A run as the panels need it: every chunk with its place and its colour.

use crate::write::record::{ChunkRecord, RunRecord};

use super::colour::{self, Palette, Rgb, Theme};
use crate::words;

/// A chunk on the common axis.
#[derive(Debug)]
pub struct ChunkCell<'a> {
    /// Number of the chunk, from 1 over all segments.
    pub number: usize,
    pub segment: usize,
    pub chunk: &'a ChunkRecord,
    /// Start and end of the chunk, as parts of the axis.
    pub from: f64,
    pub to: f64,
    pub colour: Rgb,
}

#[derive(Debug)]
pub struct View<'a> {
    pub run: &'a RunRecord,
    pub palette: &'static Palette,
    pub cells: Vec<ChunkCell<'a>>,
    /// The end of the scale of utilities, which begins at zero, and of signed ones.
    pub utility: Option<f64>,
}

/// Parts of the axis between two segments, and between all of them at the most.
const GAP: f64 = 0.012;
const ALL_GAPS: f64 = 0.12;

impl<'a> View<'a> {
    pub fn new(run: &'a RunRecord, theme: Theme) -> View<'a> {
        let palette = theme.palette();
        let utility = run.utility_scale();
        View {
            run,
            palette,
            cells: cells(run, palette, utility),
            utility,
        }
    }

    /// The cell of a step.
    pub fn cell(&self, segment: usize, chunk: usize) -> Option<&ChunkCell<'a>> {
        let first = self.cells.partition_point(|c| c.segment < segment);
        let cell = self.cells.get(first.checked_add(chunk)?)?;
        (cell.segment == segment).then_some(cell)
    }

    /// From where to where each segment with chunks goes on the axis.
    pub fn segments(&self) -> Vec<(usize, f64, f64)> {
        let parts = self.cells.chunk_by(|a, b| a.segment == b.segment);
        let ends = parts.filter_map(|part| Some((part.first()?, part.last()?)));
        ends.map(|(first, last)| (first.segment, first.from, last.to))
            .collect()
    }

    /// The text that is shown while the pointer is on a chunk.
    pub fn tooltip(&self, cell: &ChunkCell<'_>) -> String {
        let chunk = cell.chunk;
        let mut text = format!("Chunk {}", cell.number);
        if let Some(title) = &chunk.title {
            text += &format!(": {title}");
        }
        if !chunk.tokens.is_empty() {
            text += &format!(
                " · tokens {} to {}",
                chunk.tokens.start,
                chunk.tokens.end - 1
            );
        }
        if let Some(utility) = chunk.utility {
            text += &format!(" · utility {}", words::number(utility));
        }
        if let Some(signed) = chunk.signed {
            text += &format!(" ({} signed)", words::signed(signed));
        }
        let (taken, planned) = (chunk.taken.total(), chunk.planned.total());
        if planned > 0 || taken > 0 {
            text += &format!(" · {taken} of {}", words::counted(planned as usize, "step"));
        }
        if let (Some(before), Some(after)) = (chunk.loss_before, chunk.loss_after) {
            let (before, after) = (words::number(before), words::number(after));
            text += &format!(" · loss {before} to {after}");
        }
        text
    }
}

fn cells<'a>(
    run: &'a RunRecord,
    palette: &'static Palette,
    scale: Option<f64>,
) -> Vec<ChunkCell<'a>> {
    let with_chunks = run.segments.iter().filter(|s| !s.chunks.is_empty()).count();
    let gaps = with_chunks.saturating_sub(1) as f64;
    let gap = if gaps > 0.0 {
        GAP.min(ALL_GAPS / gaps)
    } else {
        0.0
    };
    // Chunks of unknown length are taken to be as long as any other.
    let known = run
        .chunks()
        .map(|(_, c)| c.tokens.len())
        .max()
        .unwrap_or(0)
        .max(1);
    let length = |chunk: &ChunkRecord| match chunk.tokens.len() {
        0 => known as f64,
        tokens => tokens as f64,
    };
    let total: f64 = run.chunks().map(|(_, c)| length(c)).sum();
    let each = (1.0 - gap * gaps) / total.max(1.0);
    let (mut at, mut last_segment) = (0.0, None);
    let chunks = run.chunks().enumerate().map(|(index, (segment, chunk))| {
        if last_segment.is_some_and(|last| last != segment) {
            at += gap;
        }
        last_segment = Some(segment);
        let from = at;
        at += length(chunk) * each;
        ChunkCell {
            number: index + 1,
            segment,
            chunk,
            from,
            to: at,
            colour: cell_colour(chunk, palette, scale),
        }
    });
    chunks.collect()
}

fn cell_colour(chunk: &ChunkRecord, palette: &Palette, scale: Option<f64>) -> Rgb {
    match (chunk.utility, scale) {
        (Some(utility), Some(scale)) if utility.is_finite() => colour::sequential(utility / scale),
        _ => palette.neutral,
    }
}
