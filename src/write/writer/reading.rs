//! The two passes over a segment: as a whole, and block by block with nearby context only.

use std::collections::HashMap;
use std::time::Instant;

use super::{Keeper, Writer};
use crate::model::session::Score;
use crate::model::transformer::Cache;
use crate::write::error::WriteError;
use crate::write::event::{Event, Phase};
use crate::write::learner::Segment;

/// What was found out about a document before, so that runs that differ in their steps alone need
/// not read it again. Their events report the times that it took then.
#[derive(Default)]
pub struct ReadBefore {
    whole: HashMap<usize, Whole>,
    /// The local pass by segment and window.
    local: HashMap<(usize, usize), Timed<Surprisals>>,
}

/// `-log P` of each token, where it is known.
pub(super) type Surprisals = Vec<Option<f32>>;

#[derive(Clone)]
struct Whole {
    cache: Cache,
    surprisal: Timed<Surprisals>,
}

/// What the pass over a whole segment leaves.
pub(super) struct ReadWhole {
    pub cache: Cache,
    pub surprisal: Surprisals,
}

#[derive(Clone)]
struct Timed<T> {
    value: T,
    seconds: f64,
}

impl Writer<'_, '_> {
    /// One pass over everything, scored: the segment's keys and values, and the surprisals of its
    /// tokens.
    pub(super) fn read(&mut self, segment: &Segment) -> Result<ReadWhole, WriteError> {
        let known = self.known.as_ref();
        let whole = match known.and_then(|k| k.whole.get(&segment.index)) {
            Some(whole) => whole.clone(),
            None => self.score_whole(segment)?,
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
        Ok(ReadWhole {
            cache: whole.cache,
            surprisal: value,
        })
    }

    fn score_whole(&mut self, segment: &Segment) -> Result<Whole, WriteError> {
        let started = Instant::now();
        let ids = &segment.ids;
        let mut session = self.session(ids.len())?;
        let scores = session.score(ids, &mut whole_progress(self.keeper, segment.lead))?;
        let mut value = vec![None; usize::from(segment.lead == 0)];
        let skipped = segment.lead.saturating_sub(1);
        value.extend(scores[skipped..].iter().map(surprisal_of));
        let cache = session.cache().clone();
        self.note_peak(self.cache_bytes(segment) + session.activation_bytes());
        let seconds = started.elapsed().as_secs_f64();
        Ok(Whole {
            cache,
            surprisal: Timed { value, seconds },
        })
    }

    /// The keys and values alone, for a run that goes on or that had no room to keep them.
    pub(super) fn read_again(&mut self, segment: &Segment) -> Result<Cache, WriteError> {
        let known = self.known.as_ref();
        if let Some(whole) = known.and_then(|known| known.whole.get(&segment.index)) {
            return Ok(whole.cache.clone());
        }
        let started = Instant::now();
        let ids = &segment.ids;
        let mut session = self.session(ids.len())?;
        // Scored, as the first time: the same work gives the same bits.
        session.score(ids, &mut whole_progress(self.keeper, segment.lead))?;
        self.seconds.prefill += started.elapsed().as_secs_f64();
        Ok(session.cache().clone())
    }

    /// The surprisals with nearby context only. The first two windows see all that the first pass
    /// saw: theirs are those of the first pass.
    pub(super) fn read_locally(
        &mut self,
        segment: &Segment,
        whole: &ReadWhole,
    ) -> Result<Surprisals, WriteError> {
        let window = self.job.settings.window;
        let key = (segment.index, window);
        let known = self.known.as_ref().and_then(|k| k.local.get(&key).cloned());
        let local = match known {
            Some(local) => local,
            None => self.score_locally(segment, whole)?,
        };
        if let Some(known) = &mut self.known {
            known.local.insert(key, local.clone());
        }
        let Timed { value, seconds } = local;
        self.seconds.local += seconds;
        self.tell(&Event::LocallyRead {
            segment: segment.index,
            window,
            seconds,
            surprisal: value.clone(),
        })?;
        Ok(value)
    }

    fn score_locally(
        &mut self,
        segment: &Segment,
        whole: &ReadWhole,
    ) -> Result<Timed<Surprisals>, WriteError> {
        let (job, window) = (self.job, self.job.settings.window);
        let started = Instant::now();
        let capacity = (segment.lead + 2 * window).min(job.loaded.config().context);
        let mut session = self.session(capacity)?;
        let seen = window.saturating_mul(2).min(segment.len());
        let mut progress = progress_to(self.keeper, Phase::Local);
        let (ids, lead) = (&segment.ids, segment.lead);
        let scores = session.score_local_from(seen, ids, lead, window, &mut progress)?;
        let mut value = whole.surprisal[..seen].to_vec();
        value.extend(scores.iter().map(surprisal_of));
        let seconds = started.elapsed().as_secs_f64();
        Ok(Timed { value, seconds })
    }
}

/// Reports the progress of a pass.
fn progress_to(keeper: &mut dyn Keeper, phase: Phase) -> impl FnMut(usize, usize) {
    move |done, total| {
        // A keeper that cannot show progress fails at the next event that matters.
        let _ = keeper.event(&Event::Progress { phase, done, total });
    }
}

/// The progress of the first pass, in tokens of the document.
fn whole_progress(keeper: &mut dyn Keeper, lead: usize) -> impl FnMut(usize, usize) {
    let mut tell = progress_to(keeper, Phase::Prefill);
    move |done, total| tell(done.saturating_sub(lead), total.saturating_sub(lead))
}

fn surprisal_of(score: &Score) -> Option<f32> {
    Some(-score.logprob as f32)
}
