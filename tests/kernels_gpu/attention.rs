//! Attention in every shape of heads, windows and caches.

use inscribe::kernels::attention::{AttentionShape, attention};
use proptest::prelude::*;

use crate::rig::{Input, compare};

fn config() -> ProptestConfig {
    ProptestConfig {
        cases: 40,
        failure_persistence: None,
        max_shrink_iters: 30,
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn attention_agrees(
        rows in prop_oneof![0usize..4, 15usize..18, 30usize..36, 63usize..70],
        kv_heads in 1usize..3, group in 1usize..4,
        head_dim in prop::sample::select(vec![
            1usize, 6, 8, 20, 32, 64, 80, 96, 128, 256, 320, 512, 516,
        ]),
        before in prop_oneof![0usize..4, 60usize..70, 200usize..300],
        window in prop_oneof![Just(None), (1usize..5).prop_map(Some), (30usize..140).prop_map(Some)],
        aligned: bool, offset in 0usize..5, gap in 0usize..6, seed: u64,
    ) {
        let (offset, gap) = if aligned { (offset / 4 * 4, gap / 4 * 4) } else { (offset, gap) };
        let heads = kv_heads * group;
        // The cache has room that nobody may look at: it holds NaN.
        let seen = before + rows;
        let positions: Vec<u32> = (before as u32..seen as u32).collect();
        let cache = |seed| {
            let mut cache = Input::noise(seed, seen + 5, kv_heads * head_dim, offset, gap);
            let end = cache.offset + seen * cache.stride;
            cache.bits[end..].fill(f32::NAN.to_bits());
            cache
        };
        let inputs = [
            Input::noise(seed, rows, heads * head_dim, offset, gap),
            cache(seed ^ 1),
            cache(seed ^ 2),
            Input::ids(&positions, gap),
            Input::noise(seed ^ 3, rows, heads * head_dim, offset, gap),
        ];
        let shape = AttentionShape {
            heads, kv_heads, head_dim, window, sequence: None,
            scale: 2.0 / (head_dim as f32).sqrt(),
        };
        compare(&inputs, &[], 2e-5, |rec, t, _| {
            attention(rec, &t[0], &t[1], &t[2], &t[3], &t[4], shape, seen);
        }).map_err(TestCaseError::fail)?;
    }
}

/// Scores far apart: shares underflow, and the largest may come first or last.
#[test]
fn extreme_scores_agree() {
    for rows in [1, 40] {
        for scale in [1e-6, 40.0] {
            let (heads, head_dim, seen) = (2, 64, 150);
            let positions: Vec<u32> = (seen - rows as u32..seen).collect();
            let inputs = [
                Input::noise(1, rows, heads * head_dim, 0, 0),
                Input::noise(2, seen as usize, heads * head_dim, 0, 0),
                Input::noise(3, seen as usize, heads * head_dim, 0, 0),
                Input::ids(&positions, 0),
                Input::noise(4, rows, heads * head_dim, 0, 0),
            ];
            let shape = AttentionShape {
                heads,
                kv_heads: heads,
                head_dim,
                window: None,
                sequence: None,
                scale,
            };
            compare(&inputs, &[], 2e-4, |rec, t, _| {
                attention(rec, &t[0], &t[1], &t[2], &t[3], &t[4], shape, 150);
            })
            .unwrap_or_else(|e| panic!("{rows} rows, scale {scale}: {e}"));
        }
    }
}

/// Spans of a document in any order share a tile.
#[test]
fn rows_anywhere_agree() {
    let spans = [100u32..108, 900..908, 40..48, 0..3];
    let positions: Vec<u32> = spans.into_iter().flatten().collect();
    let (rows, seen, heads, kv_heads) = (positions.len(), 908, 4, 2);
    for (head_dim, window) in [(6, None), (64, None), (64, Some(30)), (128, Some(500))] {
        let inputs = [
            Input::noise(1, rows, heads * head_dim, 0, 0),
            Input::noise(2, seen, kv_heads * head_dim, 0, 0),
            Input::noise(3, seen, kv_heads * head_dim, 0, 0),
            Input::ids(&positions, 0),
            Input::noise(4, rows, heads * head_dim, 0, 0),
        ];
        let shape = AttentionShape {
            heads,
            kv_heads,
            head_dim,
            window,
            sequence: None,
            scale: 2.0 / (head_dim as f32).sqrt(),
        };
        compare(&inputs, &[], 2e-5, |rec, t, _| {
            attention(rec, &t[0], &t[1], &t[2], &t[3], &t[4], shape, seen);
        })
        .unwrap_or_else(|e| panic!("{head_dim}, {window:?}: {e}"));
    }
}

proptest! {
    #![proptest_config(config())]

    /// Rows of several sequences, whose tiles end where they do.
    #[test]
    fn sequences_agree(
        rows in prop_oneof![1usize..20, 30usize..36, 63usize..70], count in 1usize..5,
        kv_heads in 1usize..3, group in 1usize..4,
        head_dim in prop::sample::select(vec![1usize, 6, 8, 32, 64, 80, 128, 320, 516]),
        window in prop_oneof![Just(None), (1usize..5).prop_map(Some), (30usize..50).prop_map(Some)],
        aligned: bool, offset in 0usize..5, gap in 0usize..6, seed: u64,
    ) {
        let (offset, gap) = if aligned { (offset / 4 * 4, gap / 4 * 4) } else { (offset, gap) };
        let heads = kv_heads * group;
        let positions: Vec<u32> = (0..count).flat_map(|_| 0..rows as u32).collect();
        let noise = |seed, cols| Input::noise(seed, count * rows, cols, offset, gap);
        let inputs = [
            noise(seed, heads * head_dim),
            noise(seed ^ 1, kv_heads * head_dim),
            noise(seed ^ 2, kv_heads * head_dim),
            Input::ids(&positions, gap),
            noise(seed ^ 3, heads * head_dim),
        ];
        let shape = AttentionShape {
            heads, kv_heads, head_dim, window, sequence: Some(rows),
            scale: 2.0 / (head_dim as f32).sqrt(),
        };
        compare(&inputs, &[], 2e-5, |rec, t, _| {
            attention(rec, &t[0], &t[1], &t[2], &t[3], &t[4], shape, rows / 2);
        }).map_err(TestCaseError::fail)?;
    }
}
