//! What a net answers of samples that it was not trained on.

use super::{Trainer, longest};
use crate::engine::{CancelToken, RunOptions};
use crate::model::draws::generator;
use crate::model::error::ModelError;
use crate::train::base;
use crate::train::episode::Sample;
use crate::train::error::TrainError;
use crate::train::event::{TestRow, Tested};
use crate::train::meta::{self, Inner};
use crate::train::net::Net;
use crate::train::rmt;
use crate::train::settings::{Stage, TESTS, Writer};
use crate::train::task::Task;

/// Samples of a test that are written at once.
const TESTED_AT_ONCE: usize = 64;

impl Trainer {
    /// Tests the net on `count` samples of a stage that it was not trained on, one question each,
    /// with each number of steps on the memory.
    pub fn test(
        &mut self,
        stage: Stage,
        count: usize,
        inner_steps: &[usize],
    ) -> Result<Tested, TrainError> {
        let mut samples = self.samples(stage, TESTS, count)?;
        samples
            .iter_mut()
            .for_each(|sample| sample.questions.truncate(1));
        let (writer, inner) = (self.settings.writer, self.settings.inner_at(&stage));
        let (at_once, cancel) = (self.tested_at_once(), self.cancel.clone());
        let rows = inner_steps.iter().map(|&steps| {
            let inner = Inner { steps, ..inner };
            tested(
                &mut self.net,
                Some((writer, &inner)),
                &samples,
                at_once,
                &cancel,
            )
        });
        let rows = rows.collect::<Result<_, ModelError>>()?;
        Ok(Tested {
            step: self.progress.step,
            stage,
            samples: count,
            rows,
            no_memory: self.test_plain(&samples, false)?,
            whole_context: self.test_plain(&samples, true)?,
        })
    }

    fn tested_at_once(&self) -> usize {
        match self.base {
            Some(_) => self.settings.batch.min(TESTED_AT_ONCE),
            None => TESTED_AT_ONCE,
        }
    }

    /// Tests the base model alone, with nothing or with all of a sample's context in front of its
    /// question.
    fn test_plain(
        &mut self,
        samples: &[Sample],
        with_context: bool,
    ) -> Result<Option<TestRow>, TrainError> {
        let Some(base) = &self.base else {
            return Ok(None);
        };
        let lead = self.task.lead();
        let asked: Vec<Sample> = samples
            .iter()
            .map(|sample| sample.asked_after(lead, with_context))
            .collect();
        if asked.iter().map(longest).max() > Some(base.config().context) {
            return Ok(None);
        }
        let at_once = self.tested_at_once();
        let plain = match &mut self.plain {
            Some(plain) => plain,
            none => none.insert(base::plain(base)?),
        };
        Ok(Some(tested(plain, None, &asked, at_once, &self.cancel)?))
    }
}

/// Tests a net on samples that no training run draws: so many by a seed, one question each, with
/// each number of steps on the memory.
pub fn test(
    net: &mut Net,
    task: &dyn Task,
    writer: Writer,
    inner: &Inner,
    stage: Stage,
    (seed, count): (u64, usize),
    inner_steps: &[usize],
) -> Result<Tested, TrainError> {
    let mut random = generator(seed, TESTS);
    let samples = (0..count).map(|_| task.sample(&mut random, stage.level, 1));
    let samples: Vec<Sample> = samples.collect();
    let rows = inner_steps.iter().map(|&steps| {
        let inner = Inner { steps, ..*inner };
        let written = Some((writer, &inner));
        tested(net, written, &samples, TESTED_AT_ONCE, &CancelToken::new())
    });
    Ok(Tested {
        step: 0,
        stage,
        samples: count,
        rows: rows.collect::<Result<_, ModelError>>()?,
        no_memory: None,
        whole_context: None,
    })
}

/// Answers from memories written as asked, or from no memory.
fn tested(
    net: &mut Net,
    written: Option<(Writer, &Inner)>,
    samples: &[Sample],
    at_once: usize,
    cancel: &CancelToken,
) -> Result<TestRow, ModelError> {
    let mut row = TestRow {
        inner_steps: written.map_or(0, |(_, inner)| inner.steps),
        ..TestRow::default()
    };
    let options = RunOptions {
        cancel: Some(cancel),
        profile: None,
    };
    let mut places: Vec<(f64, usize)> = Vec::new();
    for some in samples.chunks(at_once) {
        let memories = match written {
            Some((Writer::Gradmem, inner)) => meta::write(net, inner, some, &options)?.memories,
            Some((Writer::Rmt, inner)) => rmt::write(net, inner.steps, some, &options)?,
            None => Vec::new(),
        };
        let memory = memories.last().map_or(&[][..], |memory| memory);
        let answers = meta::read(net, memory, some, &options)?;
        let share = some.len() as f64 / samples.len() as f64;
        row.exact += share * answers.exact;
        row.loss += share * answers.loss;
        places.resize(places.len().max(answers.by_place.len()), (0.0, 0));
        let own = answers.by_place.iter().zip(&answers.of_place);
        for (sum, (hits, &of)) in places.iter_mut().zip(own) {
            *sum = (sum.0 + hits * of as f64, sum.1 + of);
        }
    }
    let share = |&(hits, of): &(f64, usize)| hits / of.max(1) as f64;
    row.by_place = places.iter().map(share).collect();
    Ok(row)
}
