//! GradMem (arXiv 2603.13875): memory tokens that take the document's place.

use std::ops::Range;
use std::sync::Arc;

use super::batches::Text;
use super::{Start, Started, WriteMethod};
use crate::memory::{Content, Prefix};
use crate::model::ModelError;
use crate::model::config::ModelConfig;
use crate::model::gradmem::GradMem;
use crate::model::model_file::Model;
use crate::model::train::{Batch, Trained};
use crate::write::error::WriteError;
use crate::write::prefix;
use crate::write::setting::Setting;
use crate::write::settings::{Allocate, MOST, OptimizerName, PrefixInit, WriteSettings};

pub struct MemoryTokens;

impl WriteMethod for MemoryTokens {
    fn name(&self) -> &'static str {
        "gradmem"
    }

    fn title(&self) -> &'static str {
        "GradMem"
    }

    fn explanation(&self) -> &'static str {
        "Memory tokens alone: the document is dropped when reading."
    }

    fn memory_words(&self) -> &'static str {
        "a row of memory tokens that stand before every question"
    }

    fn suit(&self, settings: &mut WriteSettings) {
        settings.lr = 0.05;
        settings.weight_decay = 0.0;
    }

    /// A model that was trained to be written to brings its own M_0, steps and rate, and each step
    /// reads all of the text.
    fn suit_model(&self, settings: &mut WriteSettings, model: &Model) -> Result<(), ModelError> {
        let Some(trained) = GradMem::of(&model.file, &model.config)? else {
            return Ok(());
        };
        *settings = WriteSettings {
            budget: trained.steps,
            allocate: Allocate::Uniform,
            chunk: MOST,
            batch: 1,
            span: MOST,
            prefix: trained.rows,
            init: PrefixInit::Learned,
            optimizer: if trained.adam {
                OptimizerName::Adamw
            } else {
                OptimizerName::Sgd
            },
            lr: trained.lr,
            clip: trained.clip,
            ..settings.clone()
        };
        Ok(())
    }

    fn reads_document(&self) -> bool {
        false
    }

    fn uses(&self, setting: Setting) -> bool {
        !matches!(
            setting,
            Setting::Rank | Setting::Alpha | Setting::Targets | Setting::KeepRows
        )
    }

    fn positions(&self, settings: &WriteSettings) -> usize {
        settings.prefix
    }

    fn trained(&self, _config: &ModelConfig, settings: &WriteSettings) -> Trained {
        Trained::prefix(settings.prefix)
    }

    fn start(&self, from: &Start<'_>) -> Result<Started, WriteError> {
        let (model, device) = (&from.loaded.model, from.loaded.device.clone());
        let learned = GradMem::of(&model.file, &model.config)?;
        let prefix = prefix::start(from, learned.as_ref())?;
        let way = learned.as_ref().map(|l| l.writing(&device)).transpose()?;
        let trained = Trained::Prefix {
            rows: prefix.rows,
            way: way.map(Arc::new),
        };
        let hidden = prefix.hidden;
        Ok(Started {
            trained,
            initial: prefix.values,
            finish: Box::new(move |values| {
                let values = match &learned {
                    Some(learned) => learned.read(&device, &values)?,
                    None => values,
                };
                Ok(Content::new(Prefix {
                    rows: values.len() / hidden,
                    hidden,
                    values,
                }))
            }),
        })
    }

    fn batch(&self, text: &Text<'_>, step: usize, range: Range<usize>) -> Batch {
        text.sequence(step, range)
    }

    fn evaluation(&self, text: &Text<'_>, range: Range<usize>) -> Vec<Batch> {
        vec![text.whole(range)]
    }
}
