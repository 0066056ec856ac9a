//! What two runs say together, in one sentence.

use inscribe::write::record::RunRecord;

use crate::run::header::rule;

/// Differences below this part of what was learned say nothing: another seed moves as much.
const SMALL_PART: f64 = 0.05;
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
    let held_out = (
        ends(a.held_out_before(), a.held_out_after()),
        ends(b.held_out_before(), b.held_out_after()),
    );
    let whole = (
        ends(a.loss_before(), a.loss_after()),
        ends(b.loss_before(), b.loss_after()),
    );
    let (of, a_ends, b_ends) = match (held_out, whole) {
        ((Some(a), Some(b)), _) => ("the loss of held-out tokens", a, b),
        (_, (Some(a), Some(b))) => ("the mean loss", a, b),
        _ => return None,
    };
    let (names_a, names_b) = (named("A", a), named("B", b));
    let learned = (a_ends.0 - a_ends.1).max(b_ends.0 - b_ends.1).max(0.0);
    let numbers = format!(
        "{of} came to {:.3} in {names_a} and to {:.3} in {names_b}",
        a_ends.1, b_ends.1
    );
    let apart = (b_ends.1 - a_ends.1).abs();
    if apart < SMALL_NATS.max(SMALL_PART * learned) {
        return Some(format!(
            "Both did as well: {numbers} nats a token. {apart:.3} apart is little beside the \
             {learned:.3} that was learned; another seed may turn it round."
        ));
    }
    let better = if b_ends.1 < a_ends.1 {
        names_b
    } else {
        names_a
    };
    Some(format!(
        "{} did better: {numbers} nats a token, {apart:.3} apart, where {learned:.3} was learned.",
        capital(&better)
    ))
}

fn ends(before: Option<f64>, after: Option<f64>) -> Option<(f64, f64)> {
    let after = after?;
    Some((before.unwrap_or(after), after))
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

fn capital(words: &str) -> String {
    crate::trouble::capital(words)
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
        assert!(words.starts_with("Both did as well"), "{words}");
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
