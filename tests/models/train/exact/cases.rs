//! Tiny nets of the scale that trained ones have, what they are asked, and how gradients are held
//! against others.

use std::ops::Range;

use inscribe::model::config::{Architecture, ModelConfig, Rope, RopeScaling};
use inscribe::model::draws::{below, generator, normal};
use inscribe::model::flat::{FlatEntry, FlatLayout};
use inscribe::model::shapes::llama;
use inscribe::train::net::{Net, names};
use inscribe::train::{Question, Sample};

use super::net::Exact;
use crate::common::cpu;

pub const KINDS: [Architecture; 2] = [Architecture::Llama, Architecture::Qwen3];
pub const ALPHA: f32 = 0.4;
const VOCAB: usize = 24;
const HIDDEN: usize = 32;
const MEMORY_ROWS: usize = 3;
/// Tokens of each context.
const CONTEXTS: [usize; 3] = [9, 9, 6];

/// A net, and samples for it.
pub struct Case {
    pub config: ModelConfig,
    pub layout: FlatLayout,
    pub flat: Vec<f32>,
    pub samples: Vec<Sample>,
}

impl Case {
    /// A net with some of the parts that can stand beside a model and its memory.
    pub fn new(kind: Architecture, parts: &[&str]) -> Case {
        let config = config(kind);
        let mut layout = FlatLayout::of_model(&config);
        layout.push(names::MEMORY, MEMORY_ROWS, HIDDEN);
        for &part in parts {
            let (rows, cols) = match part {
                names::PROJECTION => (HIDDEN, HIDDEN),
                names::PROJECTION_BIAS => (1, HIDDEN),
                names::WRITE_HEAD => (VOCAB, HIDDEN),
                names::LOG_ALPHA => (1, 1),
                "write_end" | "read_st" => (2, HIDDEN),
                _ => (1, HIDDEN),
            };
            layout.push(part, rows, cols);
        }
        let mut random = generator(3, 0);
        let mut flat = vec![0.0; layout.len];
        for entry in &layout.entries {
            fill(entry, &mut flat[entry.range.clone()], || {
                normal(&mut random)
            });
        }
        let mut ids = |count: usize| -> Vec<u32> {
            (0..count)
                .map(|_| below(&mut random, VOCAB as u64) as u32)
                .collect()
        };
        let samples = CONTEXTS.iter().enumerate().map(|(i, &tokens)| Sample {
            context: ids(tokens),
            questions: (0..1 + i % 2)
                .map(|j| Question {
                    prompt: ids(3 - j),
                    answer: ids(2),
                    counted: 2,
                })
                .collect(),
        });
        let samples = samples.collect();
        Case {
            config,
            layout,
            flat,
            samples,
        }
    }

    pub fn exact(&self) -> Exact<'_> {
        Exact::new(&self.config, &self.layout)
    }

    pub fn net(&self) -> Net {
        let net = Net::new(cpu(), &self.config, self.layout.clone(), &self.flat).expect("room");
        net.zero_gradients().expect("zeros");
        net
    }

    /// The net's numbers.
    pub fn wide(&self) -> Vec<f64> {
        wide(&self.flat)
    }
}

pub fn wide(numbers: &[f32]) -> Vec<f64> {
    numbers.iter().copied().map(f64::from).collect()
}

/// Everything that can stand beside a model and its memory.
pub fn all_parts() -> Vec<&'static str> {
    let beside = [
        names::PROJECTION,
        names::PROJECTION_BIAS,
        names::WRITE_HEAD,
        names::LOG_ALPHA,
    ];
    let around = names::AROUND.into_iter().flatten();
    beside.into_iter().chain(around).collect()
}

fn config(kind: Architecture) -> ModelConfig {
    let qk_norm = kind == Architecture::Qwen3;
    // Heads may be wider together than the rows are.
    let head_dim = if qk_norm { 16 } else { 8 };
    ModelConfig {
        arch: kind,
        kv_heads: 2,
        head_dim,
        qk_norm,
        attention_scale: (head_dim as f32).sqrt().recip(),
        rope: Rope {
            theta: 10_000.0,
            scaling: RopeScaling::None,
        },
        ..llama(VOCAB, HIDDEN, 2, 4, 40)
    }
}

/// Numbers as they are in trained models: matrices keep the size of what they multiply.
fn fill(entry: &FlatEntry, own: &mut [f32], mut normal: impl FnMut() -> f32) {
    let matrix = (entry.cols as f32).sqrt().recip();
    let (start, deviation) = match entry.name.as_str() {
        names::LOG_ALPHA => (ALPHA.ln(), 0.0),
        names::WRITE_HEAD => (0.0, matrix),
        names::PROJECTION | names::PROJECTION_BIAS => (0.0, 0.1),
        _ if entry.role.is_none() => (0.0, 0.3),
        _ if entry.rows == 1 => (1.0, 0.1),
        _ => (0.0, matrix),
    };
    own.fill_with(|| start + deviation * normal());
    if entry.name == names::PROJECTION {
        let diagonal = own.iter_mut().step_by(entry.cols + 1);
        diagonal.for_each(|v| *v += 1.0);
    }
}

/// How far numbers are from what they should be, over the length of that.
pub fn error(found: &[f64], exact: &[f64]) -> f64 {
    assert_eq!(found.len(), exact.len());
    let off = found.iter().zip(exact);
    let off = off
        .map(|(found, exact)| (found - exact).powi(2))
        .sum::<f64>();
    let size = exact.iter().map(|exact| exact * exact).sum::<f64>();
    if off == 0.0 { 0.0 } else { (off / size).sqrt() }
}

/// Holds gradients against exact ones. An error of `most` leaves a cosine above `1 - most^2`.
pub fn hold(what: &str, tensors: Tensors, found: &[f32], exact: &[f64], most: f64) {
    for (name, range) in tensors {
        let error = error(&wide(&found[range.clone()]), &exact[range]);
        assert!(error <= most, "{what}, {name}: off by {error:.2e}");
    }
}

/// Holds gradients against the slopes of a loss along random directions, one of each tensor.
pub fn hold_slopes(
    what: &str,
    tensors: Tensors,
    at: &[f64],
    gradients: &[f64],
    most: f64,
    loss: impl Fn(&[f64]) -> f64,
) {
    let mut random = generator(7, 0);
    for (name, range) in tensors {
        let mut direction = vec![0.0; at.len()];
        direction[range].fill_with(|| f64::from(normal(&mut random)));
        let length = direction.iter().map(|d| d * d).sum::<f64>().sqrt();
        direction.iter_mut().for_each(|d| *d /= length);
        let measured = slope(|h| {
            let moved = at.iter().zip(&direction).map(|(at, d)| at + h * d);
            vec![loss(&moved.collect::<Vec<_>>())]
        });
        let parts = || gradients.iter().zip(&direction).map(|(g, d)| g * d);
        // Random directions make the parts cancel: the error is held against their size.
        let size = parts().map(|part| part * part).sum::<f64>().sqrt();
        let along = parts().sum::<f64>();
        let off = (measured[0] - along).abs();
        assert!(
            off <= most * size,
            "{what}, {name}: {} is not {along}",
            measured[0]
        );
    }
}

/// The slope of `f` at 0, by differences whose error is of fourth order.
pub fn slope(f: impl Fn(f64) -> Vec<f64>) -> Vec<f64> {
    const STEP: f64 = 1e-4;
    let [near, far] = [STEP, 2.0 * STEP].map(|h| {
        let sides = f(h).into_iter().zip(f(-h));
        sides.map(|(plus, minus)| plus - minus).collect::<Vec<_>>()
    });
    let pairs = near.into_iter().zip(far);
    pairs
        .map(|(near, far)| (8.0 * near - far) / (12.0 * STEP))
        .collect()
}

/// Some numbers of a list, and what they are called.
pub type Tensors = Vec<(String, Range<usize>)>;

/// All numbers together, and each tensor's.
pub fn tensors(layout: &FlatLayout) -> Tensors {
    let each = layout.entries.iter();
    let each = each.map(|entry| (entry.name.clone(), entry.range.clone()));
    [("all".to_owned(), 0..layout.len)]
        .into_iter()
        .chain(each)
        .collect()
}
