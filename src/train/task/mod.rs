//! What nets are trained on.

pub mod kv;

use rand_pcg::Pcg64Mcg;

use super::episode::Sample;

/// Source of samples for training and for tests.
pub trait Task: Send + Sync {
    /// Its name on the command line.
    fn name(&self) -> &'static str;

    /// Number of token ids.
    fn vocab(&self) -> usize;

    /// A sample of a difficulty (pairs of a context, say) with so many questions, or as many as it
    /// has.
    fn sample(&self, random: &mut Pcg64Mcg, level: usize, questions: usize) -> Sample;

    /// Refuses a difficulty that there is not, with what there is.
    fn check_level(&self, level: usize) -> Result<(), String>;

    /// `tokenizer.json` of a model that is trained on it from nothing.
    fn tokenizer(&self) -> String;

    /// The `tokenizer_config.json` that goes with it.
    fn tokenizer_config(&self) -> String;
}

/// The task of a name.
pub fn named(name: &str) -> Option<Box<dyn Task>> {
    match name {
        "kv" => Some(Box::new(kv::KeyValue)),
        _ => None,
    }
}
