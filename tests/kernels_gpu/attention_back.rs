//! Gradients of attention in every shape of heads, windows, positions and caches.

use inscribe::engine::{DType, Recording, Tensor};
use inscribe::kernels::attention::{AttentionShape, attention};
use inscribe::kernels::attention_back::{attention_back_kv, attention_back_q};
use proptest::prelude::*;

use crate::rig::{Input, compare};

fn config() -> ProptestConfig {
    ProptestConfig {
        cases: 30,
        failure_persistence: None,
        max_shrink_iters: 30,
        ..ProptestConfig::default()
    }
}

#[derive(Clone, Debug)]
struct Case {
    positions: Vec<u32>,
    /// How many sequences are at these positions: more than one have caches without room.
    sequences: usize,
    /// Rows of the cache beyond the last that is seen. They hold NaN.
    room: usize,
    kv_heads: usize,
    group: usize,
    head_dim: usize,
    window: Option<usize>,
    scale: f32,
    offset: usize,
    gap: usize,
    seed: u64,
}

impl Case {
    fn seen(&self) -> usize {
        self.positions.iter().max().map_or(0, |&p| p as usize + 1)
    }

    fn rows(&self) -> usize {
        self.sequences * self.positions.len()
    }

    /// Rows of the cache.
    fn keys(&self) -> usize {
        self.sequences * self.seen() + self.room
    }

    fn shape(&self) -> AttentionShape {
        AttentionShape {
            heads: self.kv_heads * self.group,
            kv_heads: self.kv_heads,
            head_dim: self.head_dim,
            window: self.window,
            sequence: (self.sequences > 1).then_some(self.positions.len()),
            scale: self.scale,
        }
    }

    fn noise(&self, seed: u64, rows: usize, cols: usize) -> Input {
        Input::noise(self.seed ^ seed, rows, cols, self.offset, self.gap)
    }

    fn cache(&self, seed: u64) -> Input {
        let rows = self.keys();
        let mut cache = self.noise(seed, rows, self.kv_heads * self.head_dim);
        let end = cache.offset + (rows - self.room) * cache.stride;
        cache.bits[end..].fill(f32::NAN.to_bits());
        cache
    }

    /// Queries, keys, values, positions and the gradient of the output.
    fn read(&self) -> Vec<Input> {
        let width = self.kv_heads * self.group * self.head_dim;
        let rows = self.rows();
        let positions = self.positions.repeat(self.sequences);
        vec![
            self.noise(1, rows, width),
            self.cache(2),
            self.cache(3),
            Input::ids(&positions, self.gap),
            self.noise(4, rows, width),
        ]
    }

    /// The forward pass and the gradient of the queries, which leaves `stats`.
    fn back_q(&self, rec: &mut Recording, t: &[Tensor], stats: &Tensor, dq: &Tensor) {
        let out = rec.temp(DType::F32, t[0].rows, t[0].cols);
        let (shape, seen) = (self.shape(), self.seen());
        attention(rec, &t[0], &t[1], &t[2], &t[3], &out, shape, seen);
        attention_back_q(
            rec, &t[0], &t[1], &t[2], &t[3], &out, &t[4], stats, dq, shape, seen,
        );
    }

    fn back_kv(&self, rec: &mut Recording, t: &[Tensor], dk: &Tensor, dv: &Tensor) {
        let stats = rec.temp(DType::F32, t[0].rows, 2 * self.shape().heads);
        let dq = rec.temp(DType::F32, t[0].rows, t[0].cols);
        self.back_q(rec, t, &stats, &dq);
        let shape = self.shape();
        attention_back_kv(
            rec, &t[0], &t[1], &t[2], &t[3], &t[4], &stats, dk, dv, shape,
        );
    }

    fn check_queries(&self) -> Result<(), String> {
        let rows = self.rows();
        let shape = self.shape();
        let stats = self.noise(6, rows, 2 * shape.heads);
        let dq = self.noise(7, rows, shape.heads * shape.head_dim);
        let mut inputs = self.read();
        inputs.extend([stats, dq]);
        compare(&inputs, &[], 4e-5, |rec, t, _| {
            self.back_q(rec, t, &t[5], &t[6])
        })
        .map_err(|e| format!("dq: {e}"))?;
        inputs.swap(5, 6);
        compare(&inputs, &[], 4e-5, |rec, t, _| {
            self.back_q(rec, t, &t[6], &t[5])
        })
        .map_err(|e| format!("stats: {e}"))
    }

    fn check_keys(&self) -> Result<(), String> {
        let rows = self.keys();
        let width = self.kv_heads * self.head_dim;
        let mut inputs = self.read();
        inputs.extend([self.noise(8, rows, width), self.noise(9, rows, width)]);
        compare(&inputs, &[], 4e-5, |rec, t, _| {
            self.back_kv(rec, t, &t[5], &t[6])
        })
        .map_err(|e| format!("dv: {e}"))?;
        compare(&inputs, &[], 4e-5, |rec, t, _| {
            self.back_kv(rec, t, &t[6], &t[5])
        })
        .map_err(|e| format!("dk: {e}"))
    }
}

fn head_dims() -> impl Strategy<Value = usize> {
    prop::sample::select(vec![1usize, 4, 6, 8, 20, 32, 64, 80, 96, 128, 256])
}

fn windows() -> impl Strategy<Value = Option<usize>> {
    prop_oneof![
        Just(None),
        (1usize..5).prop_map(Some),
        (30usize..140).prop_map(Some)
    ]
}

proptest! {
    #![proptest_config(config())]

    /// Spans anywhere in a document, in any order.
    #[test]
    fn gradients_of_queries_agree(
        spans in prop::collection::vec((0u32..300, 1u32..20), 1..7),
        kv_heads in 1usize..3, group in 1usize..4, head_dim in head_dims(), window in windows(),
        aligned: bool, offset in 0usize..5, gap in 0usize..6, room in 0usize..5, seed: u64,
    ) {
        let (offset, gap) = if aligned { (offset / 4 * 4, gap / 4 * 4) } else { (offset, gap) };
        let positions = spans.into_iter().flat_map(|(at, len)| at..at + len).collect();
        let scale = 2.0 / (head_dim as f32).sqrt();
        let case = Case {
            positions, sequences: 1, room, kv_heads, group, head_dim, window, scale, offset, gap, seed,
        };
        case.check_queries().map_err(TestCaseError::fail)?;
    }

    /// Whole sequences.
    #[test]
    fn gradients_of_keys_and_values_agree(
        rows in prop_oneof![0u32..4, 15u32..18, 30u32..36, 63u32..150],
        kv_heads in 1usize..3, group in 1usize..4, head_dim in head_dims(), window in windows(),
        aligned: bool, offset in 0usize..5, gap in 0usize..6, room in 0usize..5, seed: u64,
    ) {
        let (offset, gap) = if aligned { (offset / 4 * 4, gap / 4 * 4) } else { (offset, gap) };
        let scale = 2.0 / (head_dim as f32).sqrt();
        let case = Case {
            positions: (0..rows).collect(),
            sequences: 1, room, kv_heads, group, head_dim, window, scale, offset, gap, seed,
        };
        case.check_keys().map_err(TestCaseError::fail)?;
    }

    /// Several sequences, whose tiles end where they do.
    #[test]
    fn gradients_of_sequences_agree(
        rows in prop_oneof![1u32..20, 30u32..36, 63u32..70], sequences in 2usize..5,
        kv_heads in 1usize..3, group in 1usize..4, head_dim in head_dims(), window in windows(),
        aligned: bool, offset in 0usize..5, gap in 0usize..6, seed: u64,
    ) {
        let (offset, gap) = if aligned { (offset / 4 * 4, gap / 4 * 4) } else { (offset, gap) };
        let scale = 2.0 / (head_dim as f32).sqrt();
        let case = Case {
            positions: (0..rows).collect(),
            sequences, room: 0, kv_heads, group, head_dim, window, scale, offset, gap, seed,
        };
        case.check_queries().map_err(TestCaseError::fail)?;
        case.check_keys().map_err(TestCaseError::fail)?;
    }
}

/// Without rows there is nothing to write of queries, and zeros to write of keys.
#[test]
fn no_rows_leave_zeros() {
    let case = Case {
        positions: Vec::new(),
        sequences: 1,
        room: 3,
        kv_heads: 1,
        group: 2,
        head_dim: 8,
        window: None,
        scale: 1.0,
        offset: 1,
        gap: 1,
        seed: 5,
    };
    case.check_queries().unwrap_or_else(|e| panic!("{e}"));
    case.check_keys().unwrap_or_else(|e| panic!("{e}"));
}
