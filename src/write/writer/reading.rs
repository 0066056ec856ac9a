//! The two passes over a segment: as a whole, and block by block with nearby context only.

use std::collections::HashMap;
use std::time::Instant;

use super::Writer;
use crate::model::session::{Score, Session, SessionOptions};
use crate::model::transformer::Cache;
use crate::write::chunk::Chunk;
use crate::write::error::WriteError;
use crate::write::estimate::sight;
use crate::write::event::{Event, Phase};
use crate::write::learn::Segment;
use crate::write::utility;
use crate::write::writer::Keeper;

/// What was found out about a document before, so that runs that differ in their steps alone need
/// not read it again. Their events tell the times it took then.
#[derive(Default)]
pub struct Known {
    whole: HashMap<usize, Whole>,
    local: HashMap<LocalKey, Timed<Surprisals>>,
}

/// `-log P` of each token, where it is known.
type Surprisals = Vec<Option<f32>>;

/// What a local pass depends on: segment, window, part of the blocks (its bits), seed.
type LocalKey = (usize, usize, u64, u64);

#[derive(Clone)]
struct Whole {
    cache: Cache,
    surprisal: Timed<Surprisals>,
}

#[derive(Clone)]
struct Timed<T> {
    value: T,
    seconds: f64,
}

impl<'a> Writer<'a, '_> {
    /// One pass over everything, scored: the segment's keys and values, and the surprisals of its
    /// tokens.
    pub(super) fn read(
        &mut self,
        segment: &Segment,
        options: SessionOptions<'a>,
    ) -> Result<(Cache, Vec<Option<f32>>), WriteError> {
        let known = self
            .known
            .as_ref()
            .and_then(|k| k.whole.get(&segment.index).cloned());
        let whole = match known {
            Some(whole) => whole,
            None => self.score_whole(segment, options)?,
        };
        if let Some(known) = &mut self.known {
            known.whole.insert(segment.index, whole.clone());
        }
        let Timed { value, seconds } = whole.surprisal;
        self.seconds.prefill += seconds;
        self.tell(&Event::Prefilled {
            segment: segment.index,
            tokens: segment.len(),
            seconds,
            surprisal: value.clone(),
        })?;
        Ok((whole.cache, value))
    }

    fn score_whole(
        &mut self,
        segment: &Segment,
        options: SessionOptions<'a>,
    ) -> Result<Whole, WriteError> {
        let started = Instant::now();
        let (job, ids) = (self.job, &segment.ids);
        let mut session = Session::new(job.device, job.transformer, ids.len(), options)?;
        let scores = session.score(ids, &mut progress_to(self.keeper))?;
        let mut value = vec![None; usize::from(segment.lead == 0)];
        let skipped = segment.lead.saturating_sub(1);
        value.extend(scores[skipped..].iter().map(surprisal_of));
        let cache = session.cache().clone();
        self.note_peak(Cache::bytes(&job.model.config, ids.len()) + session.activation_bytes());
        let seconds = started.elapsed().as_secs_f64();
        Ok(Whole {
            cache,
            surprisal: Timed { value, seconds },
        })
    }

    /// The keys and values alone, for a run that goes on or that had no room to keep them.
    pub(super) fn read_again(
        &mut self,
        segment: &Segment,
        options: SessionOptions<'a>,
    ) -> Result<Cache, WriteError> {
        let known = self.known.as_ref();
        if let Some(whole) = known.and_then(|known| known.whole.get(&segment.index)) {
            return Ok(whole.cache.clone());
        }
        let started = Instant::now();
        let (job, ids) = (self.job, &segment.ids);
        let mut session = Session::new(job.device, job.transformer, ids.len(), options)?;
        // Scored, as the first time: the same work gives the same bits.
        session.score(ids, &mut progress_to(self.keeper))?;
        self.seconds.prefill += started.elapsed().as_secs_f64();
        Ok(session.cache().clone())
    }

    pub(super) fn read_locally(
        &mut self,
        segment: &Segment,
        chunks: &[Chunk],
        full: &[Option<f32>],
        options: SessionOptions<'a>,
    ) -> Result<Vec<Option<f32>>, WriteError> {
        let s = self.job.settings;
        let sampled = s.utility_sample < 1.0;
        let seed = if sampled { s.seed } else { 0 };
        let key = (segment.index, s.window, s.utility_sample.to_bits(), seed);
        let known = self.known.as_ref().and_then(|k| k.local.get(&key).cloned());
        let local = match known {
            Some(local) => local,
            None => self.score_locally(segment, chunks, full, options)?,
        };
        if let Some(known) = &mut self.known {
            known.local.insert(key, local.clone());
        }
        let Timed { value, seconds } = local;
        self.seconds.local += seconds;
        self.tell(&Event::LocallyRead {
            segment: segment.index,
            window: s.window,
            seconds,
            surprisal: value.clone(),
        })?;
        Ok(value)
    }

    fn score_locally(
        &mut self,
        segment: &Segment,
        chunks: &[Chunk],
        full: &[Option<f32>],
        options: SessionOptions<'a>,
    ) -> Result<Timed<Surprisals>, WriteError> {
        let (job, s) = (self.job, self.job.settings);
        let started = Instant::now();
        let (lead, body) = segment.ids.split_at(segment.lead);
        let capacity = (lead.len() + 2 * s.window).min(job.model.config.context);
        let mut session = Session::new(job.device, job.transformer, capacity, options)?;
        let blocks = utility::blocks(chunks, body.len(), s.window, s.utility_sample, s.seed);
        let mut value = vec![None; body.len()];
        let same = sight(s.window).min(body.len());
        value[..same].copy_from_slice(&full[..same]);
        let total = blocks.len();
        for (i, start) in blocks.into_iter().enumerate() {
            let scores = session.score_local_block(lead, body, s.window, start)?;
            let end = body.len().min(start + s.window);
            let first = end - scores.len();
            for (to, score) in value[first..end].iter_mut().zip(&scores) {
                *to = surprisal_of(score);
            }
            self.tell(&Event::Progress {
                phase: Phase::Local,
                done: i + 1,
                total,
            })?;
        }
        let seconds = started.elapsed().as_secs_f64();
        Ok(Timed { value, seconds })
    }
}

/// Tells of the first pass's progress.
fn progress_to(keeper: &mut dyn Keeper) -> impl FnMut(usize, usize) {
    move |done, total| {
        let phase = Phase::Prefill;
        // A keeper that cannot show progress fails at the next event that matters.
        let _ = keeper.event(&Event::Progress { phase, done, total });
    }
}

fn surprisal_of(score: &Score) -> Option<f32> {
    Some(-score.logprob as f32)
}
