//! Between a run and the folder that keeps it.

use std::collections::BTreeMap;

use super::error::WriteError;
use super::event::Event;
use super::learner::Segment;
use super::writer::{Resume, RunState, Surveyed};
use crate::memory::store::{MemoryWriter, StoredState};
use crate::memory::{Content, MemoryError};
use crate::model::train::TrainerState;

fn kept(error: MemoryError) -> WriteError {
    WriteError::Keep(Box::new(error))
}

/// Keeps an event in the folder, but for those that are for progress bars only.
pub fn keep_event(store: &mut MemoryWriter, event: &Event) -> Result<(), WriteError> {
    match event {
        Event::Progress { .. } => Ok(()),
        event => store.append(event).map_err(kept),
    }
}

/// Makes a checkpoint safe in the folder.
pub fn keep_checkpoint(store: &mut MemoryWriter, checkpoint: &RunState) -> Result<(), WriteError> {
    let state = checkpoint.state.clone();
    let stored = StoredState {
        segment: checkpoint.segment,
        step: checkpoint.step,
        steps: state.steps,
        params: state.params,
        m: state.m,
        v: state.v,
    };
    store.checkpoint(&stored).map_err(kept)
}

/// Adds a finished memory to the folder, as that of the segment.
pub fn keep_memory(
    store: &mut MemoryWriter,
    segment: &Segment,
    memory: &[Content],
) -> Result<(), WriteError> {
    let tokens = segment.tokens.clone();
    store.segment(segment.index, tokens, memory).map_err(kept)
}

/// The state of a stopped run, with what its events say of its segments.
pub fn going_on(store: &MemoryWriter, stored: StoredState) -> Result<Resume, WriteError> {
    let events: Vec<Event> = store.events().map_err(kept)?;
    let (mut full, mut chunks_of) = (BTreeMap::new(), BTreeMap::new());
    let mut told = BTreeMap::new();
    for event in events {
        match event {
            Event::Prefilled {
                segment, surprisal, ..
            } => drop(full.insert(segment, surprisal)),
            Event::Utility { segment, chunks } => drop(chunks_of.insert(segment, chunks)),
            Event::Allocated { segment, steps } => {
                if let Some((chunks, surprisal)) =
                    chunks_of.remove(&segment).zip(full.remove(&segment))
                {
                    let all = Surveyed {
                        chunks,
                        steps,
                        surprisal,
                    };
                    told.insert(segment, all);
                }
            }
            _ => {}
        }
    }
    if !told.contains_key(&stored.segment) {
        return Err(WriteError::DamagedEvents);
    }
    Ok(Resume {
        checkpoint: RunState {
            segment: stored.segment,
            step: stored.step,
            state: TrainerState {
                params: stored.params,
                m: stored.m,
                v: stored.v,
                steps: stored.steps,
            },
        },
        told,
        finish: false,
    })
}
