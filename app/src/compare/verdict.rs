//! What two runs say together, in one sentence.

use inscribe::write::record::RunRecord;

use crate::run::header::rule;

/// Differences below this part of what was learned say nothing: another seed moves as much.
const SMALL_PART: f64 = 0.1;
/// The same in nats a token.
const SMALL_NATS: f64 = 0.01;

/// How the two runs did; nothing where either has no end to compare.
pub fn verdict(a: &RunRecord, b: &RunRecord) -> Option<String> {
    let hash = |run: &RunRecord| run.document.as_ref().map(|d| d.sha256.clone());
    if hash(a) != hash(b) {
        return Some(
            "These are runs of different documents: their losses cannot be set against each other."
                .to_owned(),
        );
    }
    let held_out = a.held_out_after().zip(b.held_out_after());
    let (of, a_end, b_end) = match (held_out, a.loss_after().zip(b.loss_after())) {
        (Some((a, b)), _) => ("the loss of held-out tokens", a, b),
        (None, Some((a, b))) => ("the mean loss", a, b),
        (None, None) => return None,
    };
    let (names_a, names_b) = (named("A", a), named("B", b));
    let numbers = format!("{of} came to {a_end:.3} in {names_a} and to {b_end:.3} in {names_b}");
    let apart = (b_end - a_end).abs();
    let learned = [a, b].into_iter().filter_map(learned).fold(0.0, f64::max);
    if apart < SMALL_NATS.max(SMALL_PART * learned) {
        return Some(format!(
            "Both did about as well: {numbers} nats a token. {apart:.3} apart is little beside the \
             {learned:.3} by which the document's loss fell; another seed may turn it round."
        ));
    }
    let better = if b_end < a_end { names_b } else { names_a };
    Some(format!(
        "{better} did better: {numbers} nats a token, {apart:.3} apart, where the document's loss \
         fell by {learned:.3}."
    ))
}

/// How far a run brought the loss of the whole document down, in nats a token.
fn learned(run: &RunRecord) -> Option<f64> {
    Some(run.loss_before()? - run.loss_after()?)
}

/// `A (steps by utility)`.
fn named(side: &str, run: &RunRecord) -> String {
    match &run.settings {
        Some(settings) => format!(
            "{side} ({} steps {})",
            run.steps.len(),
            rule(settings.allocate)
        ),
        None => side.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::replay::load::{Source, read};

    fn run(source: Source) -> RunRecord {
        RunRecord::from_events(&read(&source).expect("a shipped run").events)
    }

    #[test]
    fn the_sample_runs_get_a_sentence_and_other_documents_none_that_compares() {
        let (a, b) = (run(Source::Sample), run(Source::SampleEvenly));
        let words = verdict(&a, &b).expect("both have an end");
        assert!(words.starts_with("Both did about as well"), "{words}");
        assert!(
            words.contains("held-out") && words.contains("evenly"),
            "{words}"
        );
        let mut other = b.clone();
        if let Some(document) = &mut other.document {
            document.sha256 = "0".repeat(64);
        }
        let words = verdict(&a, &other).expect("a sentence");
        assert!(words.contains("different documents"), "{words}");
    }

    #[test]
    fn what_is_far_apart_is_called_better() {
        let (a, mut b) = (run(Source::Sample), run(Source::SampleEvenly));
        for segment in &mut b.segments {
            for chunk in &mut segment.chunks {
                chunk.held_out_after = chunk.held_out_after.map(|loss| loss - 0.5);
            }
        }
        let words = verdict(&a, &b).expect("both have an end");
        assert!(
            words.starts_with("B (48 steps evenly) did better"),
            "{words}"
        );
    }
}
