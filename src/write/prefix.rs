//! Memory tokens before the first step.

use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;

use super::method::Start;
use super::settings::PrefixInit;
use crate::engine::Device;
use crate::memory::Prefix;
use crate::model::ModelError;
use crate::model::gradmem::GradMem;
use crate::model::transformer::Transformer;

/// Embeddings read at a time when all of them are averaged.
const TOKENS_AT_ONCE: usize = 4096;
/// Standard deviation of the noise on the mean embedding, as a part of the embeddings' own.
const NOISE: f64 = 0.1;

/// Memory tokens before the first step; `learned` is what the model was trained to start from,
/// where it was.
pub fn start(from: &Start<'_>, learned: Option<&GradMem>) -> Result<Prefix, ModelError> {
    let (device, model) = (&from.loaded.device, &from.loaded.transformer);
    let settings = from.settings;
    let hidden = model.config.hidden;
    if let (PrefixInit::Learned, Some(learned)) = (settings.init, learned) {
        return Ok(Prefix {
            rows: learned.rows,
            hidden,
            values: learned.initial.clone(),
        });
    }
    let rows = settings.prefix;
    let mut random = Pcg64Mcg::seed_from_u64(settings.seed);
    let body = from.segment.body();
    let ids: Vec<u32> = match settings.init {
        PrefixInit::Mean => {
            let values = around_the_mean(device, model, rows, &mut random)?;
            return Ok(Prefix {
                rows,
                hidden,
                values,
            });
        }
        PrefixInit::Random => {
            let vocab = model.config.vocab as u32;
            (0..rows).map(|_| random.random_range(0..vocab)).collect()
        }
        PrefixInit::First => (0..rows).map(|i| body[i % body.len()]).collect(),
        PrefixInit::Surprising => most_surprising(body, from.surprisal, rows),
        PrefixInit::Spread | PrefixInit::Learned => spread(body, rows),
    };
    Ok(Prefix {
        rows,
        hidden,
        values: model.embeddings(device, &ids)?,
    })
}

/// Tokens at even distances.
fn spread(body: &[u32], rows: usize) -> Vec<u32> {
    (0..rows).map(|i| body[i * body.len() / rows]).collect()
}

/// The tokens that were hardest to predict, in the order of the text, each token once.
fn most_surprising(body: &[u32], surprisal: &[Option<f32>], rows: usize) -> Vec<u32> {
    let mut order: Vec<usize> = (0..body.len().min(surprisal.len())).collect();
    let of = |place: usize| surprisal[place].unwrap_or(0.0);
    order.sort_by(|&a, &b| of(b).total_cmp(&of(a)));
    let mut places: Vec<usize> = Vec::with_capacity(rows);
    for place in order {
        if places.len() == rows {
            break;
        }
        if places.iter().all(|&p| body[p] != body[place]) {
            places.push(place);
        }
    }
    if places.is_empty() {
        return spread(body, rows);
    }
    places.sort_unstable();
    (0..rows).map(|i| body[places[i % places.len()]]).collect()
}

/// The mean of all tokens' embeddings with noise.
fn around_the_mean(
    device: &Device,
    model: &Transformer,
    rows: usize,
    random: &mut Pcg64Mcg,
) -> Result<Vec<f32>, ModelError> {
    let (hidden, vocab) = (model.config.hidden, model.config.vocab);
    let (mut sums, mut squares) = (vec![0.0f64; hidden], vec![0.0f64; hidden]);
    let ids: Vec<u32> = (0..vocab as u32).collect();
    for some in ids.chunks(TOKENS_AT_ONCE) {
        for row in model.embeddings(device, some)?.chunks_exact(hidden) {
            for ((sum, square), &value) in sums.iter_mut().zip(&mut squares).zip(row) {
                *sum += f64::from(value);
                *square += f64::from(value).powi(2);
            }
        }
    }
    let mut values = Vec::with_capacity(rows * hidden);
    for _ in 0..rows {
        for (sum, square) in sums.iter().zip(&squares) {
            let mean = sum / vocab as f64;
            let deviation = (square / vocab as f64 - mean * mean).max(0.0).sqrt();
            // Twelve even numbers add up to nearly normal ones (Irwin and Hall).
            let normal: f64 = (0..12).map(|_| random.random_range(-0.5..0.5)).sum();
            values.push((mean + NOISE * deviation * normal) as f32);
        }
    }
    Ok(values)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_surprising_tokens_come_in_the_order_of_the_text() {
        let body = [7, 8, 9, 7, 6];
        let surprisal = [None, Some(3.0), Some(1.0), Some(5.0), Some(4.0)];
        assert_eq!(most_surprising(&body, &surprisal, 3), [8, 7, 6]);
        assert_eq!(most_surprising(&body, &surprisal, 1), [7]);
        // More rows than different tokens: they come again.
        assert_eq!(most_surprising(&body, &surprisal, 6), [8, 9, 7, 6, 8, 9]);
        assert_eq!(most_surprising(&body, &[], 2), [7, 9]);
    }
}
