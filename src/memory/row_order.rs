//! The order of the rows of llama's query and key projections.
//!
//! Hugging Face pairs elements half a head apart for rotary embedding. GGUF files pair neighbours,
//! and so llama.cpp's converters reorder the rows of these two projections (their `permute`), in
//! models and in the B matrices of adapters alike.

use crate::model::adapter::Projection;
use crate::model::config::{Architecture, ModelConfig};

/// How rotary embedding pairs the rows of a head, and so in which order a matrix has them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowOrder {
    /// Rows half a head apart: `(i, i + head_dim / 2)`.
    Halves,
    /// Neighbouring rows: `(2i, 2i + 1)`.
    Neighbours,
}

impl RowOrder {
    /// The order in a model as it was loaded.
    pub fn of_model(model: &ModelConfig) -> RowOrder {
        if model.rope_interleaved {
            RowOrder::Neighbours
        } else {
            RowOrder::Halves
        }
    }

    /// The order in GGUF files of the model's architecture.
    pub fn of_gguf(model: &ModelConfig) -> RowOrder {
        match model.arch {
            Architecture::Llama => RowOrder::Neighbours,
            Architecture::Qwen2 | Architecture::Qwen3 | Architecture::Gemma3 => RowOrder::Halves,
        }
    }
}

/// `b` (`outputs x rank`) with its rows in the order `to` where they are in the order `from`.
pub fn reorder(
    b: &[f32],
    rank: usize,
    head_dim: usize,
    projection: Projection,
    from: RowOrder,
    to: RowOrder,
) -> Vec<f32> {
    let rotated = matches!(projection, Projection::Q | Projection::K);
    if from == to || !rotated {
        return b.to_vec();
    }
    let half = head_dim / 2;
    // Where the row that lands on place `row` of its head comes from.
    let source = |row: usize| match to {
        RowOrder::Neighbours => row / 2 + row % 2 * half,
        RowOrder::Halves => row % half * 2 + row / half,
    };
    let heads = b.chunks_exact(head_dim * rank);
    heads
        .flat_map(|head| (0..head_dim).flat_map(move |row| &head[source(row) * rank..][..rank]))
        .copied()
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_are_the_two_halves_in_turn() {
        let b: Vec<f32> = (0..16).map(|i| i as f32).collect();
        let to = |b: &[f32], from, to| reorder(b, 1, 8, Projection::K, from, to);
        let paired = to(&b, RowOrder::Halves, RowOrder::Neighbours);
        let head = [0.0, 4.0, 1.0, 5.0, 2.0, 6.0, 3.0, 7.0];
        let both: Vec<f32> = head.iter().copied().chain(head.map(|r| r + 8.0)).collect();
        assert_eq!(paired, both);
        assert_eq!(to(&paired, RowOrder::Neighbours, RowOrder::Halves), b);
    }

    #[test]
    fn only_queries_and_keys_are_turned() {
        let b: Vec<f32> = (0..16).map(|i| i as f32).collect();
        for projection in Projection::ALL {
            let out = reorder(&b, 2, 4, projection, RowOrder::Halves, RowOrder::Neighbours);
            let turned = matches!(projection, Projection::Q | Projection::K);
            assert_eq!(out != b, turned, "{projection}");
        }
    }
}
