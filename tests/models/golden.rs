//! The tiny models of `tests/golden/tiny` and what transformers says about them.

use safetensors::SafeTensors;
use serde_json::Value;

use crate::common::tiny;

/// Every tiny model, in each form it is stored in.
pub const MODELS: [&str; 11] = [
    "llama",
    "llama.gguf",
    "llama3",
    "llama3.gguf",
    "qwen2",
    "qwen2.gguf",
    "qwen3",
    "qwen3.gguf",
    "gemma3",
    "gemma3.gguf",
    "llama-mixed.gguf",
];

/// What transformers says about one sequence, in float32 over the weights as stored.
pub struct Golden {
    pub ids: Vec<u32>,
    /// Of the second token and those after it.
    pub logprobs: Vec<f64>,
    /// The same given only the last `window` to `2 * window` tokens.
    pub local_logprobs: Vec<f64>,
    pub window: usize,
    /// What follows `ids` when the most likely token is taken each time.
    pub greedy: Vec<u32>,
    /// [tokens, vocabulary]
    logits: Vec<f32>,
}

impl Golden {
    /// The golden numbers of a model named as in [`MODELS`].
    pub fn load(name: &str) -> Golden {
        let stem = name.strip_suffix(".gguf").unwrap_or(name);
        let text = std::fs::read_to_string(tiny(&format!("{stem}.golden.json"))).expect("golden");
        let golden: Value = serde_json::from_str(&text).expect("JSON");
        let bytes = std::fs::read(tiny(&format!("{stem}.logits.safetensors"))).expect("golden");
        let tensors = SafeTensors::deserialize(&bytes).expect("safetensors");
        Golden {
            ids: ids(&golden["ids"]),
            logprobs: logprobs(&golden["logprobs"]),
            local_logprobs: logprobs(&golden["local_logprobs"]),
            window: golden["window"].as_u64().expect("a window") as usize,
            greedy: ids(&golden["greedy"]),
            logits: bytemuck::pod_collect_to_vec(tensors.tensor("logits").expect("logits").data()),
        }
    }

    pub fn vocab(&self) -> usize {
        self.logits.len() / self.ids.len()
    }

    /// Logits after the token at `position`.
    pub fn logits(&self, position: usize) -> &[f32] {
        let vocab = self.vocab();
        &self.logits[position * vocab..][..vocab]
    }
}

fn ids(value: &Value) -> Vec<u32> {
    let array = value.as_array().expect("an array");
    array
        .iter()
        .map(|id| id.as_u64().expect("an id") as u32)
        .collect()
}

/// All but the first, which nothing came before.
fn logprobs(value: &Value) -> Vec<f64> {
    let array = value.as_array().expect("an array");
    assert!(array[0].is_null());
    array[1..]
        .iter()
        .map(|v| v.as_f64().expect("a number"))
        .collect()
}
