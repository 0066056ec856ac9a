//! Fast weights alone: the document is dropped when the memory is read.

use std::ops::Range;

use super::batches::Text;
use super::{Start, Started, WriteMethod};
use crate::memory::{Content, Lora};
use crate::model::adapter::AdapterLayout;
use crate::model::config::ModelConfig;
use crate::model::train::{Batch, Trained};
use crate::write::error::WriteError;
use crate::write::setting::Setting;
use crate::write::settings::WriteSettings;

pub struct Alone;

impl WriteMethod for Alone {
    fn name(&self) -> &'static str {
        "lora"
    }

    fn title(&self) -> &'static str {
        "LoRA"
    }

    fn explanation(&self) -> &'static str {
        "Fast weights alone: the document is dropped when reading."
    }

    fn memory_words(&self) -> &'static str {
        "a pair of thin matrices A and B beside the model's own weights W"
    }

    fn reads_document(&self) -> bool {
        false
    }

    fn uses(&self, setting: Setting) -> bool {
        !matches!(setting, Setting::Prefix | Setting::Init | Setting::KeepRows)
    }

    fn trained(&self, config: &ModelConfig, settings: &WriteSettings) -> Trained {
        adapter(config, settings)
    }

    fn start(&self, from: &Start<'_>) -> Result<Started, WriteError> {
        Ok(fresh(from))
    }

    fn batch(&self, text: &Text<'_>, step: usize, range: Range<usize>) -> Batch {
        text.sequence(step, range)
    }

    fn evaluation(&self, text: &Text<'_>, range: Range<usize>) -> Vec<Batch> {
        vec![text.whole(range)]
    }
}

/// An adapter by its settings.
pub fn adapter(config: &ModelConfig, settings: &WriteSettings) -> Trained {
    let lora = &settings.lora;
    Trained::Adapter {
        layout: AdapterLayout::new(config, lora.rank, &lora.targets),
        scale: lora.scale(),
    }
}

/// An adapter that adds nothing yet.
pub fn fresh(from: &Start<'_>) -> Started {
    let (settings, config) = (from.settings, from.loaded.config());
    // Segments of one document start from different matrices.
    let seed = settings
        .seed
        .wrapping_add((from.segment.index as u64) << 32);
    let lora = Lora::new(config, settings.lora.clone(), seed);
    let layout = lora.layout(config);
    let trained = Trained::Adapter {
        layout: layout.clone(),
        scale: lora.config.scale(),
    };
    Started {
        trained,
        initial: lora.pack(&layout),
        finish: Box::new(move |values| {
            let lora = Lora::unpack(lora.config.clone(), &layout, &values);
            Ok(Content::new(lora))
        }),
    }
}
