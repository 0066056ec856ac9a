//! The two passes over a segment: as a whole, and block by block with nearby context only.

use std::collections::HashMap;
use std::ops::Range;
use std::time::Instant;

use super::{Writer, needs_utility};
use crate::model::glance::{Glances, Nearby, Traces};
use crate::model::session::{Score, Session, SessionOptions};
use crate::model::transformer::Cache;
use crate::write::chunk::Chunk;
use crate::write::error::WriteError;
use crate::write::estimate::{Local, sight};
use crate::write::event::{Event, Phase};
use crate::write::learn::Segment;
use crate::write::settings::{Chunking, WriteSettings};
use crate::write::utility::{self, Spending};
use crate::write::writer::Keeper;

/// What was found out about a document before, so that runs that differ in their steps alone need
/// not read it again. Their events tell the times it took then.
#[derive(Default)]
pub struct Known {
    whole: HashMap<usize, Whole>,
    local: HashMap<LocalKey, Timed<Local>>,
}

/// `-log P` of each token, where it is known.
type Surprisals = Vec<Option<f32>>;

/// What a local pass depends on: segment and window, and where it is sampled the part (its bits), the
/// seed and the chunks.
type LocalKey = (usize, usize, Option<(u64, u64, usize, Chunking)>);

#[derive(Clone)]
struct Whole {
    cache: Cache,
    surprisal: Timed<Surprisals>,
    /// Where a run wanted them.
    traces: Option<Traces>,
}

/// What the pass over a whole segment leaves.
pub(super) struct ReadWhole {
    pub cache: Cache,
    pub surprisal: Surprisals,
    traces: Option<Traces>,
}

/// What is known before blocks are read anew.
struct Found {
    /// Blocks that were glanced at.
    glanced: usize,
    anew: Vec<Range<usize>>,
    /// Rough factors will do for them.
    roughly: bool,
}

impl Found {
    fn exactly(anew: Vec<Range<usize>>) -> Found {
        Found {
            glanced: 0,
            anew,
            roughly: false,
        }
    }
}

#[derive(Clone)]
struct Timed<T> {
    value: T,
    seconds: f64,
}

impl<'a> Writer<'a, '_> {
    /// One pass over everything, scored: the segment's keys and values, the surprisals of its
    /// tokens, and what a sampled local pass needs.
    pub(super) fn read(
        &mut self,
        segment: &Segment,
        options: SessionOptions<'a>,
    ) -> Result<ReadWhole, WriteError> {
        let s = self.job.settings;
        let glances = needs_utility(s.allocate) && s.utility_sample < 1.0;
        let glances = glances.then(|| {
            let blocks = utility::blocks(&[], segment.len(), s.window, 1.0, s.seed).len();
            let of_model = (self.job.device, self.job.transformer);
            nearby(segment, s).first_layer(of_model, &segment.ids, blocks, s.utility_sample)
        });
        let known = self
            .known
            .as_ref()
            .and_then(|k| k.whole.get(&segment.index).cloned())
            .filter(|whole| {
                let traced = whole.traces.as_ref().map(Traces::layer);
                glances.is_none() || traced == glances
            });
        let whole = match known {
            Some(whole) => whole,
            None => {
                // Two readings of a long segment may not fit beside each other.
                if let Some(known) = &mut self.known {
                    known.whole.remove(&segment.index);
                }
                self.score_whole(segment, options, glances)?
            }
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
            traces: whole.traces,
        })
    }

    fn score_whole(
        &mut self,
        segment: &Segment,
        options: SessionOptions<'a>,
        glances: Option<usize>,
    ) -> Result<Whole, WriteError> {
        let started = Instant::now();
        let (job, ids) = (self.job, &segment.ids);
        let mut session = Session::new(job.device, job.transformer, ids.len(), options)?;
        let traces = match glances {
            Some(layer) => Traces::new(job.device, job.transformer, ids, layer)?,
            None => None,
        };
        if let Some(traces) = &traces {
            session.trace(traces.clone());
        }
        let scores = session.score(ids, &mut progress_to(self.keeper))?;
        let mut value = vec![None; usize::from(segment.lead == 0)];
        let skipped = segment.lead.saturating_sub(1);
        value.extend(scores[skipped..].iter().map(surprisal_of));
        let cache = session.cache().clone();
        let traced = traces.as_ref().map_or(0, Traces::bytes);
        let held = Cache::bytes(&job.model.config, ids.len()) + traced;
        self.note_peak(held + session.activation_bytes());
        let seconds = started.elapsed().as_secs_f64();
        Ok(Whole {
            cache,
            surprisal: Timed { value, seconds },
            traces,
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
        whole: &ReadWhole,
        options: SessionOptions<'a>,
    ) -> Result<Local, WriteError> {
        let s = self.job.settings;
        let part = s.utility_sample;
        let sampled = (part < 1.0).then(|| (part.to_bits(), s.seed, s.chunk, s.chunking));
        let key = (segment.index, s.window, sampled);
        let known = self.known.as_ref().and_then(|k| k.local.get(&key).cloned());
        let local = match known {
            Some(local) => local,
            None => self.score_locally(segment, chunks, whole, options)?,
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
            surprisal: value.told(&whole.surprisal),
        })?;
        Ok(value)
    }

    fn score_locally(
        &mut self,
        segment: &Segment,
        chunks: &[Chunk],
        whole: &ReadWhole,
        options: SessionOptions<'a>,
    ) -> Result<Timed<Local>, WriteError> {
        let (job, s) = (self.job, self.job.settings);
        let started = Instant::now();
        let (lead, body) = segment.ids.split_at(segment.lead);
        let capacity = (lead.len() + 2 * s.window).min(job.model.config.context);
        let mut session = Session::new(job.device, job.transformer, capacity, options)?;
        let mut local = Local::nothing(body.len());
        let same = sight(s.window).min(body.len());
        local.surprisal[..same].copy_from_slice(&whole.surprisal[..same]);
        let found = self.blocks_to_read(segment, chunks, (whole, options), &mut local)?;
        let (mut done, anew) = (found.glanced, found.anew);
        if found.roughly {
            session = session.roughly();
        }
        let total = done + anew.len();
        for block in anew {
            let scores = session.score_local_block(lead, body, s.window, block.start)?;
            let first = block.end - scores.len();
            for (to, score) in local.surprisal[first..block.end].iter_mut().zip(&scores) {
                *to = surprisal_of(score);
            }
            done += 1;
            self.tell_local(done, total)?;
        }
        let seconds = started.elapsed().as_secs_f64();
        Ok(Timed {
            value: local,
            seconds,
        })
    }

    /// Glances at blocks where that is worth it, and says which are to be read anew.
    fn blocks_to_read(
        &mut self,
        segment: &Segment,
        chunks: &[Chunk],
        (whole, options): (&ReadWhole, SessionOptions<'a>),
        local: &mut Local,
    ) -> Result<Found, WriteError> {
        let (job, s) = (self.job, self.job.settings);
        let blocks = |part| utility::blocks(chunks, segment.len(), s.window, part, s.seed);
        let all = blocks(1.0);
        // An earlier run of other settings may have left traces.
        let traces = whole.traces.as_ref().filter(|_| s.utility_sample < 1.0);
        let Some(traces) = traces.filter(|_| !all.is_empty()) else {
            return Ok(Found::exactly(blocks(s.utility_sample)));
        };
        let (nearby, model) = (nearby(segment, s), (job.device, job.transformer));
        let (glance, read) = (traces.cost(model, nearby), nearby.rough_reading(model));
        let spending = Spending::of(s.utility_sample, all.len(), glance, read);
        // Little is left to save in a short text, and nothing to glance at where all are read anew.
        if spending.cost >= 1.0 || spending.read == all.len() {
            return Ok(Found {
                roughly: read <= s.utility_sample,
                ..Found::exactly(all)
            });
        }
        let glanced = blocks(spending.glanced);
        let read = (traces, &whole.cache);
        let look = Glances::new(model, read, (nearby, glanced.len()), options.run())?;
        let Some(mut look) = look else {
            return Ok(Found::exactly(blocks(s.utility_sample)));
        };
        let anew = self.glance(&mut look, &glanced, spending.read, local)?;
        let held = Cache::bytes(&job.model.config, segment.ids.len()) + traces.bytes();
        self.note_peak(held + look.bytes());
        // Beside glances, which are estimates, more readings tell more than exact ones.
        Ok(Found {
            glanced: glanced.len(),
            anew,
            roughly: true,
        })
    }

    /// Glances at blocks, and the `count` of them that are worth reading anew.
    fn glance(
        &mut self,
        look: &mut Glances<'_>,
        blocks: &[Range<usize>],
        count: usize,
        local: &mut Local,
    ) -> Result<Vec<Range<usize>>, WriteError> {
        let mut done = 0;
        let total = blocks.len() + count.min(blocks.len());
        // Evenly, so that a short last block does not go alone.
        let passes = blocks.len().div_ceil(look.together());
        let pass = |i: usize| i * blocks.len() / passes..(i + 1) * blocks.len() / passes;
        for together in (0..passes).map(|i| &blocks[pass(i)]) {
            let changes = look.at(together)?;
            let tokens = together.iter().cloned().flatten();
            for (token, change) in tokens.zip(changes) {
                local.glanced[token] = Some(change as f32);
            }
            done += together.len();
            self.tell_local(done, total)?;
        }
        Ok(utility::most_changed(&local.glanced, blocks, count))
    }

    fn tell_local(&mut self, done: usize, total: usize) -> Result<(), WriteError> {
        let phase = Phase::Local;
        self.tell(&Event::Progress { phase, done, total })
    }
}

fn nearby(segment: &Segment, settings: &WriteSettings) -> Nearby {
    Nearby {
        lead: segment.lead,
        window: settings.window,
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
