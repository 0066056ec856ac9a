//! A run as plain lines: one for each phase, one every few steps.

use inscribe::words;
use inscribe::write::event::{Evaluated, Event, Step, When};
use inscribe::write::record::RunRecord;

/// The most lines about the steps, whatever their number.
const STEP_LINES: usize = 12;
/// Chunks whose steps are listed one by one.
const LISTED: usize = 24;

#[derive(Default)]
pub struct Lines {
    record: RunRecord,
    told: Option<usize>,
}

impl Lines {
    /// What to print now that `event` came.
    pub fn event(&mut self, event: &Event) -> Vec<String> {
        let resumed_at = self.record.steps.len();
        self.record.fold(event);
        let lines = match event {
            Event::Started(_) => vec![self.started()],
            Event::SegmentStarted {
                segment, tokens, ..
            } if self.record.segments.len() > 1 => {
                vec![format!(
                    "part {} of {}: {}",
                    segment + 1,
                    self.record.segments.len(),
                    words::counted(*tokens, "token")
                )]
            }
            Event::Prefilled {
                tokens, seconds, ..
            } => vec![format!(
                "read {} in {} ({} tokens/s)",
                words::counted(*tokens, "token"),
                words::duration(*seconds),
                rate_words(*tokens as f64 / seconds.max(1e-9))
            )],
            Event::LocallyRead {
                window, seconds, ..
            } => vec![format!(
                "read again with the nearest {window} tokens in {}",
                words::duration(*seconds)
            )],
            Event::Utility { segment, .. } => self.utility(*segment).into_iter().collect(),
            Event::Allocated { segment, steps } => {
                let part = match self.record.segments.len() {
                    0 | 1 => String::new(),
                    _ => format!("part {}: ", segment + 1),
                };
                let listed = steps.iter().take(LISTED).map(|s| s.total().to_string());
                let listed = listed.collect::<Vec<_>>().join(" ");
                let more = if steps.len() > LISTED { " ..." } else { "" };
                vec![format!("{part}steps for each chunk: {listed}{more}")]
            }
            Event::Evaluated(evaluated) => self.evaluated(evaluated).into_iter().collect(),
            Event::Step(step) => self.step(step).into_iter().collect(),
            Event::Paused => vec![format!("paused after step {}", self.record.steps.len())],
            Event::Resumed { step } => {
                let again = resumed_at.saturating_sub(*step);
                let again = match again {
                    0 => String::new(),
                    steps => format!(" ({steps} taken again)"),
                };
                vec![format!("resumed after step {step}{again}")]
            }
            Event::Done(_) => vec![self.done()],
            Event::SegmentStarted { .. }
            | Event::Progress { .. }
            | Event::ChunkDone { .. }
            | Event::Checkpointed { .. } => Vec::new(),
        };
        let one_line = |line: String| {
            line.chars()
                .map(|c| if words::is_order(c) { ' ' } else { c })
                .collect()
        };
        lines.into_iter().map(one_line).collect()
    }

    fn started(&self) -> String {
        let record = &self.record;
        let name = record.document.as_ref().map_or("", |d| d.name.as_str());
        let model = record.model.as_ref().map_or("", |m| m.name.as_str());
        format!(
            "{name}: {}, {}, {model} on {}",
            words::counted(record.tokens(), "token"),
            words::counted(record.steps_to_take(), "step"),
            record.device
        )
    }

    fn utility(&self, segment: usize) -> Option<String> {
        let chunks = &self.record.segments.get(segment)?.chunks;
        let known = chunks
            .iter()
            .enumerate()
            .filter_map(|(at, c)| Some((at, c.utility?)));
        let (at, high) = known.clone().max_by(|a, b| a.1.total_cmp(&b.1))?;
        let low = known.map(|k| k.1).fold(f64::INFINITY, f64::min);
        let title = chunks.get(at)?.title.as_ref();
        let title = title.map(|t| format!(" ({t})")).unwrap_or_default();
        Some(format!(
            "utility of {}: {low:.3} to {high:.3}, highest in chunk {}{title}",
            words::counted(chunks.len(), "chunk"),
            at + 1
        ))
    }

    fn evaluated(&self, evaluated: &Evaluated) -> Option<String> {
        let when = match evaluated.when {
            When::Before => "before",
            When::After => "after",
        };
        let chunks = &self.record.segments.get(evaluated.segment)?.chunks;
        let weights = chunks.iter().map(|chunk| chunk.tokens.len() as f64);
        let of_chunks = evaluated.losses.iter().zip(weights);
        let (sum, tokens) = of_chunks.fold((0.0, 0.0), |(sum, tokens), (loss, weight)| {
            (sum + loss * weight, tokens + weight)
        });
        let of_segment = match self.record.segments.len() {
            0 | 1 => String::new(),
            _ => format!(" of part {}", evaluated.segment + 1),
        };
        (tokens > 0.0).then(|| format!("mean loss{of_segment} {when}: {:.3}", sum / tokens))
    }

    fn step(&mut self, step: &Step) -> Option<String> {
        let every = step.of.div_ceil(STEP_LINES).max(1);
        let due = match self.told {
            Some(told) => step.step >= told.saturating_add(every) || step.step < told,
            None => true,
        };
        if !due && step.step != step.of {
            return None;
        }
        self.told = Some(step.step);
        let smoothed = self.record.steps.last().map_or(step.loss, |s| s.smoothed);
        let mut line = format!(
            "step {} of {}: loss {:.3}, smoothed {smoothed:.3}",
            step.step, step.of, step.loss
        );
        if let Some(rate) = self.record.step_rate() {
            line += &format!(", {} tokens/s", rate_words(rate));
        }
        if let Some(left) = self.record.seconds_left() {
            line += &format!(", {} left", words::duration(left));
        }
        Some(line)
    }

    fn done(&self) -> String {
        let record = &self.record;
        let total = words::duration(record.seconds().total());
        let mut line = format!(
            "done: {} in {total}",
            words::counted(record.steps.len(), "step")
        );
        if let Some((before, after)) = record.loss_before().zip(record.loss_after()) {
            line += &format!(
                ", mean loss {before:.3} to {after:.3}: each token {}",
                words::likelier(before, after)
            );
        }
        if let Some(peak) = record.peak_bytes {
            line += &format!(", {} at most with the weights", words::bytes(peak));
        }
        line
    }
}

fn rate_words(rate: f64) -> String {
    words::count(rate.round() as usize)
}
