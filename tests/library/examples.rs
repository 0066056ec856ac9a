//! The examples, on a tiny model.

use inscribe::WriteSettings;

use super::{document, small, tiny};

#[allow(dead_code, reason = "its `main` is for people")]
#[path = "../../examples/own_keeper.rs"]
mod own_keeper;
#[allow(dead_code, reason = "its `main` is for people")]
#[path = "../../examples/utility.rs"]
mod utility;
#[allow(dead_code, reason = "its `main` is for people")]
#[path = "../../examples/write_and_ask.rs"]
mod write_and_ask;

#[test]
fn a_document_is_written_and_asked() {
    let model = tiny("llama.gguf");
    let answer = write_and_ask::run(&model, &document(), "What was it?", 2).expect("an answer");
    // The model is random: that it speaks at all is what shows.
    assert!(!answer.is_empty());
    let again = write_and_ask::run(&model, &document(), "What was it?", 2).expect("an answer");
    assert_eq!(answer, again);
}

#[test]
fn chunks_are_weighed() {
    let model = tiny("qwen3.gguf");
    let settings = small(WriteSettings::default());
    let chunks = utility::run(&model, &document(), settings).expect("utilities");
    assert!(chunks.len() > 2, "{}", chunks.len());
    assert!(chunks.iter().skip(1).all(|chunk| chunk.utility > 0.0));
}

#[test]
fn a_keeper_of_ones_own_gets_what_is_learned() {
    let model = tiny("llama.gguf");
    let kept = own_keeper::run(&model, &document(), small(WriteSettings::default()));
    let kept = kept.expect("a run");
    assert_eq!(kept.losses.len(), 4);
    // A part of the document whose chunks gain nothing gets no step.
    let mut matrices = kept.adapters.iter().flat_map(|lora| &lora.matrices);
    assert!(matrices.any(|matrix| matrix.b.iter().any(|&b| b != 0.0)));
}
