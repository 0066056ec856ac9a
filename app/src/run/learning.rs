//! Where a run learns at the moment.

use std::ops::Range;

use inscribe::write::record::{RunRecord, Status};
use inscribe::write::sampling::SpanSampler;

/// The chunk of the latest step while steps go on.
pub fn chunk_now(record: &RunRecord) -> Option<(usize, usize)> {
    let step = &record.steps.last()?.step;
    let goes_on = record.status == Status::Running && record.steps.len() < record.steps_to_take();
    goes_on.then_some((step.segment, step.chunk?))
}

/// The tokens that the latest step learned from, counted within its segment, while steps go on.
/// A draw depends on the run's seed and the step's number alone, so that it is made again here;
/// empty for methods that draw otherwise.
pub fn tokens_now(record: &RunRecord) -> Vec<Range<usize>> {
    let Some((segment, chunk)) = chunk_now(record) else {
        return Vec::new();
    };
    let (Some(settings), Some(last)) = (&record.settings, record.steps.last()) else {
        return Vec::new();
    };
    if !settings.method.reads_document() || settings.held_out > 0.0 {
        return Vec::new();
    }
    let chunks = record.segments.get(segment).map(|s| &s.chunks);
    let Some(chunk) = chunks.and_then(|chunks| chunks.get(chunk)) else {
        return Vec::new();
    };
    let sampler = SpanSampler::new(settings.seed, settings.batch, settings.span);
    let drawn = sampler.draw(last.step.step as u64 - 1, chunk.tokens.clone());
    let spans = drawn.iter().flat_map(|spans| spans.targets());
    spans.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use inscribe::write::event::Event;
    use inscribe::write::synthetic::{Invented, events};

    #[test]
    fn the_latest_step_is_where_it_learns() {
        let all = events(&Invented::default());
        let whole = RunRecord::from_events(&all);
        assert_eq!(chunk_now(&whole), None, "it is done");
        assert!(tokens_now(&whole).is_empty());
        let end = all
            .iter()
            .position(|e| matches!(e, Event::Step(s) if s.step == 20));
        let record = RunRecord::from_events(&all[..=end.expect("a step")]);
        let (segment, chunk) = chunk_now(&record).expect("it goes on");
        let of = &record.segments[segment].chunks[chunk].tokens;
        let drawn = tokens_now(&record);
        assert_eq!(drawn.len(), 32);
        assert!(drawn.iter().all(|s| of.start <= s.start && s.end <= of.end));
    }
}
