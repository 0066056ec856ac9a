//! Between a run and the folder that keeps it.

use super::error::WriteError;
use super::event::Event;
use super::learn::Segment;
use super::writer::{Checkpoint, Resume};
use crate::memory::store::{Checkpoint as Stored, MemoryWriter};
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

pub fn keep_checkpoint(
    store: &mut MemoryWriter,
    checkpoint: &Checkpoint,
) -> Result<(), WriteError> {
    let state = checkpoint.state.clone();
    let stored = Stored {
        segment: checkpoint.segment,
        step: checkpoint.step,
        steps: state.steps,
        params: state.params,
        m: state.m,
        v: state.v,
    };
    store.checkpoint(&stored).map_err(kept)
}

pub fn keep_memory(
    store: &mut MemoryWriter,
    segment: &Segment,
    memory: &Content,
) -> Result<(), WriteError> {
    let tokens = segment.tokens.clone();
    store.segment(segment.index, tokens, memory).map_err(kept)
}

/// The state of a stopped run, with what its events say of the segment it was in.
pub fn going_on(store: &MemoryWriter, stored: Stored) -> Result<Resume, WriteError> {
    let events: Vec<Event> = store.events().map_err(kept)?;
    let mut found = (None, None);
    for event in events {
        match event {
            Event::Utility { segment, chunks } if segment == stored.segment => {
                found.0 = Some(chunks);
            }
            Event::Allocated { segment, steps } if segment == stored.segment => {
                found.1 = Some(steps);
            }
            _ => {}
        }
    }
    let (Some(chunks), Some(steps)) = found else {
        let what = "the run's events are damaged: delete its folder and start again";
        return Err(WriteError::Keep(what.into()));
    };
    Ok(Resume {
        checkpoint: Checkpoint {
            segment: stored.segment,
            step: stored.step,
            state: TrainerState {
                params: stored.params,
                m: stored.m,
                v: stored.v,
                steps: stored.steps,
            },
        },
        chunks,
        steps,
    })
}
