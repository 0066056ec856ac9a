//! The small model that comes with the program, trained to have key-value pairs written into it.

use std::path::Path;

use super::error::TrainError;
use super::saved::Saved;

const CONFIG: &str = include_str!("../../assets/kv/config.json");
const MODEL: &[u8] = include_bytes!("../../assets/kv/model.safetensors");
/// Its `tokenizer.json`.
pub const TOKENIZER: &str = include_str!("../../assets/kv/tokenizer.json");

/// The most pairs that it was trained on, and the seed of its training.
pub const PAIRS: usize = 16;
pub const SEED: u64 = 1;

/// The model, ready to be written to.
pub fn model() -> Result<Saved, TrainError> {
    Saved::of_bytes(Path::new("the model of this program"), CONFIG, MODEL)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Device;
    use crate::train::bench::{Bench, draw};
    use crate::train::task::{Task as _, kv::KeyValue};

    #[test]
    fn its_tokenizer_is_the_one_of_the_task() {
        let value = |text: &str| -> serde_json::Value { serde_json::from_str(text).unwrap() };
        let own = KeyValue.tokenizer().expect("a tokenizer of its own");
        assert_eq!(value(TOKENIZER), value(&own.tokenizer));
    }

    #[test]
    fn it_answers_from_what_is_written() {
        let mut bench = Bench::new(model().unwrap(), Device::cpu(2));
        let mut right = [0.0; 2];
        for seed in 0..4 {
            let before = bench.write(&draw(4, seed), bench.most_rows()).unwrap();
            let after = bench.step().and_then(|_| bench.step()).unwrap();
            for (sum, stage) in right.iter_mut().zip([before, after]) {
                let said = stage.answers.iter().flat_map(|answer| &answer.said);
                *sum += said.map(|said| f64::from(said.right_part)).sum::<f64>() / 32.0;
            }
        }
        let [before, after] = right;
        assert!(before < 0.05, "nothing is known before: {before}");
        assert!(after > 5.0 * before, "{before} to {after}");
    }
}
