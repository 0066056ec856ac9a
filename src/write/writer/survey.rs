//! What is known of the segments before any step: their chunks, utilities and shares of the steps.
//!
//! Shares are given over the chunks of all segments together, so that a chunk gets what its utility
//! is worth wherever the document was cut. For that all segments are read before the first step;
//! their keys and values are kept as far as there is room, and computed again for the others.

use std::collections::BTreeMap;
use std::ops::Range;

use super::{Surveyed, Writer};
use crate::model::transformer::Cache;
use crate::write::allocate::share_out;
use crate::write::chunk::{self, Chunk};
use crate::write::error::WriteError;
use crate::write::event::{ChunkSteps, ChunkUtility, Event};
use crate::write::learner::Segment;
use crate::write::reader::kept_cache_bytes;
use crate::write::settings::Chunking;
use crate::write::utility;

/// What is known from reading a segment.
pub(super) struct Reading {
    pub chunks: Vec<ChunkUtility>,
    /// `-log P` of each token, where it is known.
    pub surprisal: Vec<Option<f32>>,
    /// Keys and values of the segment, where the method needs them and there is room.
    pub cache: Option<Cache>,
}

/// A segment's share of the steps, and its reading where that was done.
pub(super) struct Share {
    pub steps: Vec<ChunkSteps>,
    pub reading: Option<Reading>,
}

impl Share {
    pub fn total(&self) -> usize {
        self.steps.iter().map(|s| s.total() as usize).sum()
    }
}

impl Writer<'_, '_> {
    /// Shares out the steps, after reading all segments where the shares depend on it.
    pub(super) fn survey(&mut self, segments: &[Range<usize>]) -> Result<Vec<Share>, WriteError> {
        let job = self.job;
        if segments.len() > 1 && !job.settings.allocate.needs_utility() {
            return self.shares_unread(segments);
        }
        let mut readings = Vec::with_capacity(segments.len());
        for (index, range) in segments.iter().enumerate() {
            let segment = self.begin(index, range)?;
            let mut reading = self.read_segment(&segment)?;
            let bytes = self.cache_bytes(&segment);
            let kept = kept_cache_bytes(job.loaded.device.available_bytes());
            if index > 0 && self.waiting_bytes + bytes > kept {
                reading.cache = None;
            }
            if reading.cache.is_some() {
                self.waiting_bytes += bytes;
            }
            readings.push(reading);
        }
        let chunks: Vec<&[ChunkUtility]> = readings.iter().map(|r| &r.chunks[..]).collect();
        let shares = share_out(job.settings, &chunks)?;
        let mut all = Vec::with_capacity(segments.len());
        for ((index, mut reading), steps) in readings.into_iter().enumerate().zip(shares) {
            self.tell(&Event::Allocated {
                segment: index,
                steps: steps.clone(),
            })?;
            let idle = steps.iter().all(|s| s.total() == 0) && self.kept_type().is_none();
            if idle && reading.cache.take().is_some() {
                self.waiting_bytes -=
                    Cache::bytes(job.loaded.config(), self.lead.len() + segments[index].len());
            }
            all.push(Share {
                steps,
                reading: Some(reading),
            });
        }
        Ok(all)
    }

    /// The shares of a run that goes on, from what it reported before it was stopped.
    pub(super) fn survey_again(
        &self,
        segments: &[Range<usize>],
        told: &mut BTreeMap<usize, Surveyed>,
    ) -> Result<Vec<Share>, WriteError> {
        let mut shares = if self.job.settings.allocate.needs_utility() {
            Vec::new()
        } else {
            self.shares_unread(segments)?
        };
        for index in 0..segments.len() {
            match (told.remove(&index), shares.get_mut(index)) {
                (Some(told), unread) => {
                    let reading = Some(Reading {
                        chunks: told.chunks,
                        surprisal: told.surprisal,
                        cache: None,
                    });
                    let steps = told.steps;
                    match unread {
                        Some(share) => *share = Share { steps, reading },
                        None => shares.push(Share { steps, reading }),
                    }
                }
                (None, Some(_)) => {}
                (None, None) => {
                    return Err(WriteError::DamagedEvents);
                }
            }
        }
        Ok(shares)
    }

    /// Shares that depend on how many chunks there are and on nothing else.
    fn shares_unread(&self, segments: &[Range<usize>]) -> Result<Vec<Share>, WriteError> {
        let unknown = |chunk: Chunk| ChunkUtility {
            tokens: chunk.tokens,
            text: 0..0,
            title: None,
            utility: 0.0,
            signed: 0.0,
            surprisal: 0.0,
        };
        let chunks: Vec<Vec<ChunkUtility>> = segments
            .iter()
            .map(|range| {
                let chunks = self.chunks(&self.tokens.bytes[range.clone()]);
                chunks.into_iter().map(unknown).collect()
            })
            .collect();
        let chunks: Vec<&[ChunkUtility]> = chunks.iter().map(Vec::as_slice).collect();
        let shares = share_out(self.job.settings, &chunks)?.into_iter();
        let unread = |steps| Share {
            steps,
            reading: None,
        };
        Ok(shares.map(unread).collect())
    }

    /// Reports that a segment is next.
    pub(super) fn begin(
        &mut self,
        index: usize,
        range: &Range<usize>,
    ) -> Result<Segment, WriteError> {
        let segment = self.segment(index, range.clone());
        let bytes = &self.tokens.bytes[segment.tokens.clone()];
        let from = bytes.first().map_or(0, |token| token.start);
        self.tell(&Event::SegmentStarted {
            segment: segment.index,
            tokens: segment.len(),
            from,
            lengths: lengths(from, bytes),
        })?;
        Ok(segment)
    }

    /// Reads a segment as a whole and, where the shares depend on it, locally, and weighs its
    /// chunks.
    pub(super) fn read_segment(&mut self, segment: &Segment) -> Result<Reading, WriteError> {
        let job = self.job;
        let bytes = &self.tokens.bytes[segment.tokens.clone()];
        let chunks = self.chunks(bytes);
        let whole = self.read(segment)?;
        let local = if job.settings.allocate.needs_utility() {
            self.read_locally(segment, &whole)?
        } else {
            vec![None; segment.len()]
        };
        let surprisal = whole.surprisal;
        let chunks = utility::of_chunks(&chunks, bytes, &surprisal, &local);
        self.tell(&Event::Utility {
            segment: segment.index,
            chunks: chunks.clone(),
        })?;
        Ok(Reading {
            chunks,
            surprisal,
            cache: job.settings.method.reads_document().then_some(whole.cache),
        })
    }

    pub(super) fn chunks(&self, bytes: &[Range<usize>]) -> Vec<Chunk> {
        let settings = self.job.settings;
        match settings.chunking {
            Chunking::Fixed => {
                let mut chunks = chunk::fixed(bytes.len(), settings.chunk);
                chunk::add_titles(&mut chunks, self.job.document, bytes);
                chunks
            }
            Chunking::Structure => chunk::structural(self.job.document, bytes, settings.chunk),
        }
    }

    pub(super) fn cache_bytes(&self, segment: &Segment) -> u64 {
        Cache::bytes(self.job.loaded.config(), segment.ids.len())
    }
}

/// Bytes from the end of each token to the end of the next.
fn lengths(from: usize, bytes: &[Range<usize>]) -> Vec<u32> {
    let mut at = from;
    let lengths = bytes.iter().map(|token| {
        let length = token.end.saturating_sub(at);
        at = at.max(token.end);
        u32::try_from(length).unwrap_or(u32::MAX)
    });
    lengths.collect()
}
