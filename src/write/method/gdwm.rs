//! GDWM (arXiv 2601.12906): fast weights beside the document's frozen keys and values.
//!
//! A step learns from spans anywhere in its chunk, each of which sees all of the document before
//! it.

use std::ops::Range;

use super::batches::Text;
use super::lora;
use super::{Start, Started, WriteMethod};
use crate::model::config::ModelConfig;
use crate::model::train::{Batch, Trained};
use crate::write::error::WriteError;
use crate::write::setting::Setting;
use crate::write::settings::WriteSettings;

pub struct Gdwm;

/// Rows that an evaluation reads at a time.
pub const EVALUATION_ROWS: usize = 512;

impl WriteMethod for Gdwm {
    fn name(&self) -> &'static str {
        "gdwm"
    }

    fn title(&self) -> &'static str {
        "GDWM"
    }

    fn explanation(&self) -> &'static str {
        "Fast weights, read together with the document’s own keys and values."
    }

    fn memory_words(&self) -> &'static str {
        "a pair of thin matrices A and B beside the model's own weights W"
    }

    fn reads_document(&self) -> bool {
        true
    }

    fn uses(&self, setting: Setting) -> bool {
        !matches!(setting, Setting::Prefix | Setting::Init)
    }

    fn trained(&self, config: &ModelConfig, settings: &WriteSettings) -> Trained {
        lora::adapter(config, settings)
    }

    fn start(&self, from: &Start<'_>) -> Result<Started, WriteError> {
        Ok(lora::fresh(from))
    }

    fn batch(&self, text: &Text<'_>, step: usize, range: Range<usize>) -> Batch {
        text.spans(step, range)
    }

    fn evaluation(&self, text: &Text<'_>, range: Range<usize>) -> Vec<Batch> {
        let first = range.start.max(text.segment.first_predicted());
        let targets: Vec<usize> = (first..range.end).collect();
        let batches = targets.chunks(EVALUATION_ROWS);
        batches.map(|targets| text.frozen(targets)).collect()
    }
}
