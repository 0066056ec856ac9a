//! What distinguishes a model from others: a hash over its sizes, the names, shapes and types of
//! its tensors, and samples of each tensor's bytes. Reading gigabytes whole would take too long
//! each time a memory is opened, and training changes numbers everywhere.

use sha2::{Digest, Sha256};

use crate::model::ModelError;
use crate::model::config::{ModelConfig, Rope, RopeScaling};
use crate::model::weights::{TensorBytes, WeightFile};

/// Number of samples of a tensor, the first at its start and the last at its end.
const SAMPLES: usize = 8;
const SAMPLE_BYTES: usize = 4096;

/// The fingerprint of a model, in hexadecimal: the same for the same files wherever they lie.
pub fn fingerprint(file: &WeightFile) -> Result<String, ModelError> {
    Ok(fingerprint_of(&file.config()?, file.tensors()))
}

fn fingerprint_of<'a>(
    config: &ModelConfig,
    tensors: impl Iterator<Item = &'a TensorBytes>,
) -> String {
    let mut hash = Sha256::new();
    hash.update(describe(config));
    for tensor in tensors {
        let TensorBytes {
            name, rows, cols, ..
        } = tensor;
        hash.update(format!("{name:?} {} {rows} {cols}\n", tensor.dtype));
        for sample in samples(tensor.bytes()) {
            hash.update(sample);
        }
    }
    hex(&hash.finalize())
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// All of a small tensor, or parts of it at even distances.
fn samples(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    let whole = bytes.len() <= SAMPLES * SAMPLE_BYTES;
    let (count, length) = if whole {
        (1, bytes.len())
    } else {
        (SAMPLES, SAMPLE_BYTES)
    };
    let room = bytes.len() - length;
    (0..count).map(move |i| {
        let start = room / (SAMPLES - 1) * i + room % (SAMPLES - 1) * i / (SAMPLES - 1);
        &bytes[start..start + length]
    })
}

/// A config as text that no compiler and no later field changes. Floats are written as their bits.
fn describe(c: &ModelConfig) -> String {
    let flags = [
        c.rope_interleaved,
        c.qk_norm,
        c.qkv_bias,
        c.sandwich_norms,
        c.norm_weight_plus_one,
        c.tied_embeddings,
    ];
    let sliding: String = c
        .sliding
        .iter()
        .map(|&s| if s { 's' } else { 'g' })
        .collect();
    format!(
        "inscribe model 1\n{} {} {} {} {} {} {} {} {}\n{flags:?} {:?}\n{:08x} {:08x} {:08x}\n{:?} {sliding}\n{}\n{}\n",
        c.arch.name(),
        c.vocab,
        c.hidden,
        c.layers,
        c.heads,
        c.kv_heads,
        c.head_dim,
        c.ffn,
        c.context,
        c.activation,
        c.norm_eps.to_bits(),
        c.embedding_scale.to_bits(),
        c.attention_scale.to_bits(),
        c.sliding_window,
        rope(Some(&c.rope)),
        rope(c.rope_local.as_ref()),
    )
}

fn rope(rope: Option<&Rope>) -> String {
    let Some(rope) = rope else {
        return "none".into();
    };
    let scaling = match &rope.scaling {
        RopeScaling::None => vec![],
        RopeScaling::Linear(factor) => vec![*factor],
        RopeScaling::Llama3 {
            factor,
            low_freq_factor,
            high_freq_factor,
            original_context,
        } => vec![
            *factor,
            *low_freq_factor,
            *high_freq_factor,
            *original_context,
        ],
        RopeScaling::Factors(factors) => factors.clone(),
    };
    let numbers = [rope.theta].into_iter().chain(scaling);
    let numbers: Vec<_> = numbers.map(|n| format!("{:08x}", n.to_bits())).collect();
    numbers.join(" ")
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::engine::DType;
    use crate::model::mapping::map_of;
    use crate::model::shapes;

    fn tensor(name: &str, bytes: &[u8]) -> TensorBytes {
        TensorBytes {
            name: name.into(),
            dtype: DType::F32,
            rows: 1,
            cols: bytes.len() / 4,
            map: map_of(bytes),
            range: 0..bytes.len(),
        }
    }

    fn of(config: &ModelConfig, tensors: &[TensorBytes]) -> String {
        fingerprint_of(config, tensors.iter())
    }

    #[test]
    fn another_name_size_number_or_setting_is_another_model() {
        let config = shapes::smollm2_135m();
        let bytes = vec![7u8; 400_000];
        let first = of(&config, &[tensor("a", &bytes)]);
        assert_eq!(first, of(&config, &[tensor("a", &bytes)]));
        assert_eq!(first.len(), 64);
        let mut changed = bytes.clone();
        *changed.last_mut().unwrap() = 8;
        let mut others = vec![
            of(&config, &[tensor("b", &bytes)]),
            of(&config, &[tensor("a", &bytes[4..])]),
            of(&config, &[tensor("a", &changed)]),
            of(&config, &[]),
        ];
        let mut config = config;
        config.rope.theta += 1.0;
        others.push(of(&config, &[tensor("a", &bytes)]));
        config.rope.scaling = RopeScaling::Linear(2.0);
        others.push(of(&config, &[tensor("a", &bytes)]));
        config.sliding_window = Some(3);
        others.push(of(&config, &[tensor("a", &bytes)]));
        others.push(first);
        let count = others.len();
        others.sort();
        others.dedup();
        assert_eq!(others.len(), count);
    }

    #[test]
    fn samples_lie_inside_and_reach_both_ends() {
        for length in [0, 1, 4096, 32_768, 32_769, 40_000, 1_000_003] {
            let bytes: Vec<u8> = (0..length).map(|i| (i % 251) as u8).collect();
            let found: Vec<_> = samples(&bytes).collect();
            let range = bytes.as_ptr_range();
            assert_eq!(found[0].as_ptr_range().start, range.start);
            assert_eq!(found[found.len() - 1].as_ptr_range().end, range.end);
            for pair in found.windows(2) {
                assert!(pair[0].as_ptr_range().start < pair[1].as_ptr_range().start);
            }
        }
    }

    /// A fingerprint is kept in files: it must never change for a model.
    #[test]
    fn fingerprints_stay_what_they_are() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/tiny");
        let moved = tempfile::tempdir().unwrap();
        let name = "other-name.gguf";
        std::fs::copy(folder.join("llama.gguf"), moved.path().join(name)).unwrap();
        let of = |path: &Path| fingerprint(&WeightFile::open(path).unwrap()).unwrap();
        let gguf = of(&folder.join("llama.gguf"));
        assert_eq!(gguf, of(&moved.path().join(name)));
        assert_eq!(
            gguf,
            "f3edf06dfe04ed4d14f8827e3401cdce635768026958de4048dc8ec4ac0939cf"
        );
        assert_ne!(gguf, of(&folder.join("llama")));
    }
}
