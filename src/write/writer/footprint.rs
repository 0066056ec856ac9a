//! What a write takes of a device, planned from the model's sizes before anything is loaded.

use super::parts::{room, segments};
use crate::engine::share;
use crate::model::config::ModelConfig;
use crate::model::session::reading_bytes;
use crate::model::train::{BatchKind, PlannedPass, Trainer};
use crate::model::transformer::Cache;
use crate::write::method::EVALUATION_ROWS;
use crate::write::reader::kept_cache_bytes;
use crate::write::settings::WriteSettings;

/// Rows of a step beyond which no device has room, and planning takes long.
const MOST_ROWS: usize = 1 << 16;

/// The memory that a write takes, and in how many parts it is done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Footprint {
    /// Number of parts that the document is written in.
    pub segments: usize,
    /// Number of parts whose keys and values are kept from their reading to their steps.
    pub kept_segments: usize,
    /// Most bytes of device memory held at once, without the weights.
    pub peak_bytes: u64,
}

/// Plans a write of `tokens` tokens, which `lead` tokens of the prompt stand before, on a device with
/// `free` bytes beside the weights, where that is known. Steps are taken to be as large as the
/// settings allow, and a model that was trained to be written to as any other.
pub fn footprint(
    config: &ModelConfig,
    settings: &WriteSettings,
    (lead, tokens): (usize, usize),
    free: Option<u64>,
) -> Footprint {
    let room = room(config.context, lead, settings).max(1);
    let segments = segments(tokens, room);
    let longest = segments.iter().map(|s| s.len()).max().unwrap_or(0).max(1);
    let cache = Cache::bytes(config, lead + longest);
    let reading = reading_bytes(config, lead + longest);
    let utility = settings.allocate.needs_utility();
    let local = if utility {
        let near = (lead + 2 * settings.window).min(lead + longest);
        cache + reading_bytes(config, near.min(config.context))
    } else {
        0
    };
    let frozen = settings.method.reads_document();
    // Parts whose keys and values wait for the steps of others.
    let kept = kept_cache_bytes(free);
    let waiting = if frozen && utility {
        let others = cache * (segments.len() as u64 - 1);
        others.min(kept)
    } else {
        0
    };
    let kept_segments = usize::try_from(kept / cache.max(1)).unwrap_or(usize::MAX);
    let held = waiting + if frozen { cache } else { 0 };
    let left = free.map(|free| free.saturating_sub(held));
    let learning = learning_bytes(config, settings, (lead, longest), left);
    Footprint {
        segments: segments.len(),
        kept_segments: kept_segments.clamp(1, segments.len()),
        peak_bytes: (waiting + reading.max(local)).max(held + learning),
    }
}

/// Bytes of the memory that is trained, its optimiser and the passes of its steps and evaluations,
/// for a segment of so many tokens.
fn learning_bytes(
    config: &ModelConfig,
    settings: &WriteSettings,
    (lead, segment): (usize, usize),
    free: Option<u64>,
) -> u64 {
    let trained = settings.method.trained(config, settings);
    let chunk = settings.chunk.clamp(1, segment);
    let passes = if settings.method.reads_document() {
        let pass = |tokens, learn| PlannedPass {
            tokens,
            kind: BatchKind::Frozen,
            keys: lead + segment,
            learn,
        };
        let spans = settings.batch.saturating_mul(settings.span.min(chunk));
        [
            pass(spans.clamp(1, MOST_ROWS), true),
            pass(chunk.min(EVALUATION_ROWS), false),
        ]
    } else {
        let pass = |tokens, learn| PlannedPass {
            tokens: lead + tokens,
            kind: BatchKind::Sequence,
            keys: 0,
            learn,
        };
        let drawn = settings.batch.saturating_mul(settings.span);
        // Evaluated before the first step in any case.
        [pass(chunk, false), pass(drawn.clamp(1, chunk), true)]
    };
    let evaluated = settings.evaluate || !settings.method.reads_document();
    // In the order of the write: programs leave each other buffers of the sizes that come first.
    let mut buffers = Vec::new();
    for pass in passes.iter().filter(|pass| pass.learn || evaluated) {
        let plan = pass.plan(config, &trained, settings.recompute.asked(), free);
        share(&mut buffers, &plan.slots);
    }
    buffers.iter().sum::<u64>() + Trainer::state_bytes(trained.len(config.hidden))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::hub::KNOWN;
    use crate::model::shapes;
    use crate::write::method::Method;
    use crate::write::settings::{Allocate, RecomputeWhen};

    fn peak(change: impl FnOnce(&mut WriteSettings), tokens: usize, free: Option<u64>) -> u64 {
        let mut settings = WriteSettings::default();
        change(&mut settings);
        footprint(&shapes::smollm2_135m(), &settings, (1, tokens), free).peak_bytes
    }

    #[test]
    fn more_tokens_rows_and_ranks_take_more() {
        let default = peak(|_| {}, 4000, None);
        assert!(peak(|_| {}, 6000, None) > default);
        assert!(peak(|s| s.batch = 128, 4000, None) > default);
        assert!(peak(|s| s.lora.rank = 64, 4000, None) > default);
        // Without frozen keys and values a step over as many rows takes less.
        let lora = |s: &mut WriteSettings| s.method = Method::LORA;
        assert!(peak(lora, 4000, None) < default);
    }

    #[test]
    fn layers_are_run_again_where_their_activations_would_not_fit() {
        let many = |s: &mut WriteSettings| s.batch = 256;
        let kept = peak(many, 4000, None);
        let asked = |s: &mut WriteSettings| (s.batch, s.recompute) = (256, RecomputeWhen::On);
        let again = peak(asked, 4000, None);
        assert!(again < kept, "{again} {kept}");
        assert_eq!(peak(many, 4000, Some(kept)), again);
        assert_eq!(peak(many, 4000, Some(4 * kept)), kept);
    }

    #[test]
    fn parts_wait_for_each_other_only_where_steps_are_shared_out_by_utility() {
        let config = shapes::smollm2_135m();
        let of = |allocate| {
            let settings = WriteSettings {
                allocate,
                ..WriteSettings::default()
            };
            footprint(&config, &settings, (1, 20_000), None)
        };
        let (utility, evenly) = (of(Allocate::Utility), of(Allocate::Uniform));
        assert_eq!((utility.segments, evenly.segments), (3, 3));
        assert!(utility.peak_bytes > evenly.peak_bytes);
    }

    #[test]
    fn what_a_known_model_is_said_to_take_is_enough_for_a_write() {
        let settings = WriteSettings::default();
        for model in KNOWN {
            let said = model.memory_bytes() - model.bytes;
            let config = (model.config)();
            let takes = footprint(&config, &settings, (24, 7_500), Some(said)).peak_bytes;
            let enough = takes..takes * 5 / 2;
            assert!(enough.contains(&said), "{}: {takes} {said}", model.name);
        }
    }
}
