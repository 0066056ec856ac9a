//! Reading a saved run, away from the thread that draws.

use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, TryRecvError, channel};
use std::thread;

use inscribe::write::document::Document;
use inscribe::write::event::Event;
use inscribe::write::record::read_events;
use serde::Deserialize;

use crate::app::SAMPLE as SAMPLE_TEXT;
use crate::engine::documents;

/// The sample document written by utility, and with the same steps spread evenly.
const SAMPLE: &str = include_str!("../../../assets/sample-run.jsonl");
const SAMPLE_EVENLY: &str = include_str!("../../../assets/sample-run-uniform.jsonl");

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// The run that the program ships.
    Sample,
    /// The same document and budget, steps spread evenly.
    SampleEvenly,
    /// An events file or a memory's folder.
    Path(PathBuf),
}

/// A run read from its file.
#[derive(Clone, Debug)]
pub struct Loaded {
    pub name: String,
    pub events: Vec<Event>,
    /// The document that was written, where its text is at hand.
    pub text: Option<Text>,
}

/// A run's document.
#[derive(Clone, Debug)]
pub struct Text {
    pub document: Arc<Document>,
    /// Bytes of the text that each token covers, where the run tells.
    pub tokens: Option<Arc<Vec<Range<usize>>>>,
}

/// A run being read.
#[derive(Debug)]
pub struct Loading(Receiver<Result<Loaded, String>>);

impl Loading {
    /// The run, once it is there.
    pub fn ready(&self) -> Option<Result<Loaded, String>> {
        match self.0.try_recv() {
            Ok(loaded) => Some(loaded),
            Err(TryRecvError::Empty) => None,
            Err(TryRecvError::Disconnected) => Some(Err("reading the run was cut off".to_owned())),
        }
    }
}

/// Reads a run in the background; `wake` is called when it is there.
pub fn load(source: Source, wake: impl FnOnce() + Send + 'static) -> Loading {
    let (sender, receiver) = channel();
    thread::spawn(move || {
        // Nobody waits for it any more if this fails.
        let _ = sender.send(read(&source));
        wake();
    });
    Loading(receiver)
}

/// Reads a run; for the thread that draws, see [`load`].
pub fn read(source: &Source) -> Result<Loaded, String> {
    match source {
        Source::Sample => shipped("Sample: steps by utility", SAMPLE),
        Source::SampleEvenly => shipped("Sample: steps spread evenly", SAMPLE_EVENLY),
        Source::Path(path) => {
            let file =
                read_events(path).map_err(|error| match std::error::Error::source(&error) {
                    Some(cause) => format!("{error}: {cause}"),
                    None => error.to_string(),
                })?;
            let named = match file.path.parent().and_then(|p| p.file_name()) {
                // `events.jsonl` says less than the memory's folder does.
                Some(folder) if file.path.file_name().is_some_and(|n| n == "events.jsonl") => {
                    folder
                }
                _ => file.path.file_name().unwrap_or_default(),
            };
            let name = named.to_string_lossy().into_owned();
            Ok(Loaded {
                name,
                text: text_beside(&file.path, &file.events),
                events: file.events,
            })
        }
    }
}

fn shipped(name: &str, lines: &str) -> Result<Loaded, String> {
    let lines = || lines.lines().filter(|line| !line.trim().is_empty());
    let events: Result<Vec<Event>, _> = lines().map(serde_json::from_str).collect();
    let events = events.map_err(|error| error.to_string())?;
    let text = String::from_utf8_lossy(SAMPLE_TEXT).into_owned();
    let text = text_of(text, &events).map(|text| Text {
        tokens: lines().find_map(cut).map(Arc::new),
        ..text
    });
    Ok(Loaded {
        name: name.to_owned(),
        events,
        text,
    })
}

/// Where the tokens of a run of one part lie in the text, as its line of events tells.
fn cut(line: &str) -> Option<Vec<Range<usize>>> {
    #[derive(Deserialize)]
    struct Cut {
        from: usize,
        lengths: Vec<usize>,
    }
    let Cut { from, lengths } = serde_json::from_str(line).ok()?;
    let mut at = from;
    let tokens = lengths.into_iter().map(|length| {
        let start = at;
        at += length;
        start..at
    });
    Some(tokens.collect())
}

/// A memory keeps its document's text beside its events.
fn text_beside(events_file: &Path, events: &[Event]) -> Option<Text> {
    let text = fs::read_to_string(events_file.with_file_name("document.txt")).ok()?;
    text_of(text, events)
}

/// The text, where it is the one that was written.
fn text_of(text: String, events: &[Event]) -> Option<Text> {
    let written = events.iter().find_map(|event| match event {
        Event::Started(started) => Some(&started.document),
        _ => None,
    })?;
    let document = documents::of_text(&written.name, text);
    (document.sha256 == written.sha256).then(|| Text {
        document: Arc::new(document),
        tokens: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sample_runs_come_with_their_text_and_its_tokens() {
        for source in [Source::Sample, Source::SampleEvenly] {
            let run = read(&source).expect("a shipped run");
            let Text { document, tokens } = run.text.expect("the sample is the text");
            let tokens = tokens.expect("lengths of the tokens");
            let read = run.events.iter().find_map(|event| match event {
                Event::Prefilled { tokens, .. } => Some(*tokens),
                _ => None,
            });
            assert_eq!(Some(tokens.len()), read);
            assert_eq!(tokens.last().map(|t| t.end), Some(document.text.len()));
        }
    }

    #[test]
    fn a_text_that_is_not_the_one_that_was_written_is_left_out() {
        let run = read(&Source::Sample).expect("a shipped run");
        assert!(text_of("Another text".to_owned(), &run.events).is_none());
        assert!(text_of(String::new(), &[]).is_none());
    }
}
