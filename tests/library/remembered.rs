//! Memories through the library's front door.

use std::fs;

use inscribe::engine::CancelToken;
use inscribe::memory::Rows;
use inscribe::memory::kind;
use inscribe::write::document::ReadOptions;
use inscribe::write::error::WriteError;
use inscribe::write::event::{Event, Phase};
use inscribe::write::reader::View;
use inscribe::write::settings::KeepRows;
use inscribe::{Document, Error, WriteSettings};

use super::{document, small, tiny};

const QUESTION: &str = "What was it?";

/// As much of the document as the tiny models take in one part.
fn beginning() -> Document {
    let text = fs::read(document()).expect("a document");
    let read = Document::from_bytes("beginning.txt", &text[..150], &ReadOptions::default());
    read.expect("a document")
}

fn written_with(keep_rows: KeepRows) -> WriteSettings {
    small(WriteSettings {
        keep_rows,
        lr: 0.05,
        ..WriteSettings::default()
    })
}

/// Kept keys and values spare the reading of the document and change next to nothing.
#[test]
fn kept_rows_answer_as_the_document_read_again() {
    let text = Document::open(document()).expect("a document");
    for name in ["llama.gguf", "qwen3.gguf", "gemma3.gguf"] {
        let model = tiny(name);
        let place = tempfile::tempdir().expect("a folder");
        let likelihood = |keep: KeepRows| {
            let folder = place.path().join(format!("{keep:?}.memory"));
            let writing = model.write(&text, written_with(keep)).keep_at(&folder);
            writing.run(|_| {}).expect("a memory");
            let memory = model.remembered(&folder).expect("a memory");
            let mut read = false;
            let mut on_read = |_, _| read = true;
            memory
                .asking(QUESTION)
                .on_read(&mut on_read)
                .run()
                .expect("an answer");
            assert_eq!(read, keep == KeepRows::No, "{name} {keep:?}");
            assert_eq!(memory.memory().derived_bytes() == 0, keep == KeepRows::No);
            let scores = memory.score_text(View::Memory, 0, QUESTION, "it was a long time ago");
            scores.expect("scores")
        };
        let exact = likelihood(KeepRows::No);
        for (keep, most) in [(KeepRows::Q8, 0.05), (KeepRows::F16, 0.005)] {
            for (kept, exact) in likelihood(keep).iter().zip(&exact) {
                assert!(
                    (kept - exact).abs() < most,
                    "{name} {keep:?}: {kept} {exact}"
                );
            }
        }
    }
}

/// They are made again where they are gone or damaged, and that is said.
#[test]
fn a_memory_is_whole_without_its_rows() {
    let (model, text) = (tiny("llama.gguf"), beginning());
    let place = tempfile::tempdir().expect("a folder");
    let folder = place.path().join("a.memory");
    let writing = model.write(&text, written_with(KeepRows::F16));
    let memory = writing.keep_at(&folder).run(|_| {}).expect("a memory");
    assert!(memory.notes().is_empty());
    let answer = memory.ask(QUESTION).expect("an answer");
    let contents = memory.memory().load(0, model.loaded().config());
    let contents = contents.expect("contents");
    assert!(kind::find::<Rows>(&contents).is_some());

    let rows = folder.join("segments/0000/rows.gguf");
    let mut bytes = fs::read(&rows).expect("rows");
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    fs::write(&rows, bytes).expect("room");
    let damaged = model.remembered(&folder).expect("a memory");
    assert!(damaged.notes().is_empty(), "nobody has read them yet");
    assert_eq!(damaged.ask(QUESTION).expect("an answer").ids, answer.ids);
    let notes = damaged.notes();
    assert!(
        notes.len() == 1 && notes[0].contains("rows.gguf"),
        "{notes:?}"
    );

    fs::remove_file(&rows).expect("rows");
    let bare = model.remembered(&folder).expect("a memory");
    assert_eq!(bare.notes().len(), 1);
    assert_eq!(bare.ask(QUESTION).expect("an answer").ids, answer.ids);
    assert_eq!(bare.notes().len(), 1);
    // And replaced as a whole one is.
    let writing = model.write(&text, written_with(KeepRows::F16)).replace();
    writing.keep_at(&folder).run(|_| {}).expect("a memory");
    assert!(rows.exists());
}

/// A memory without a folder of its own is gone with what held it.
#[test]
fn a_passing_memory_leaves_nothing() {
    let (model, text) = (
        tiny("llama.gguf"),
        Document::open(document()).expect("text"),
    );
    let memory = model.write(&text, written_with(KeepRows::Auto)).run(|_| {});
    let memory = memory.expect("a memory");
    let folder = memory.memory().path().to_owned();
    let second = memory.clone();
    drop(memory);
    assert!(folder.exists());
    second.ask(QUESTION).expect("an answer");
    drop(second);
    assert!(!folder.exists());
}

/// Wherever a run is stopped, it says up to which step it is kept.
#[test]
fn a_run_stopped_after_its_steps_says_what_is_kept() {
    let text = beginning();
    let cancel = CancelToken::new();
    let model = tiny("llama.gguf").stopped_by(&cancel);
    let place = tempfile::tempdir().expect("a folder");
    let writing = model.write(&text, written_with(KeepRows::No));
    let stopped = writing.keep_at(place.path().join("a.memory")).run(|event| {
        let measures = matches!(
            event,
            Event::Progress {
                phase: Phase::Evaluate,
                ..
            }
        );
        if measures {
            cancel.cancel();
        }
    });
    let stopped = stopped.err();
    assert!(
        matches!(
            stopped,
            Some(Error::Write(WriteError::Cancelled { step: 4 }))
        ),
        "{stopped:?}"
    );
}

/// Both passes count tokens of the document.
#[test]
fn progress_counts_the_tokens_of_the_document() {
    let (text, model) = (beginning(), tiny("llama.gguf"));
    let (mut totals, mut tokens) = (Vec::new(), 0);
    let settings = WriteSettings {
        window: 8,
        ..written_with(KeepRows::No)
    };
    let writing = model.write(&text, settings);
    writing
        .run(|event| match event {
            Event::SegmentStarted { tokens: of, .. } => tokens = *of,
            Event::Progress { phase, total, .. } => totals.push((*phase, *total)),
            _ => {}
        })
        .expect("a memory");
    for phase in [Phase::Prefill, Phase::Local] {
        let own: Vec<usize> = totals
            .iter()
            .filter(|(of, _)| *of == phase)
            .map(|(_, total)| *total)
            .collect();
        assert!(
            !own.is_empty() && own.iter().all(|total| *total == tokens),
            "{own:?}"
        );
    }
}

#[test]
fn a_stopped_run_goes_on_to_the_same_memory() {
    let text = beginning();
    let cancel = CancelToken::new();
    let model = tiny("llama.gguf").stopped_by(&cancel);
    let place = tempfile::tempdir().expect("a folder");
    let at = |name: &str| place.path().join(name);
    let write = |name: &str| {
        model
            .write(&text, written_with(KeepRows::Q8))
            .keep_at(at(name))
    };
    let stopped = write("stopped").run(|event| {
        if matches!(event, Event::Step(step) if step.step == 2) {
            cancel.cancel();
        }
    });
    let stopped = stopped.err();
    assert!(
        matches!(
            stopped,
            Some(Error::Write(WriteError::Cancelled { step: 2 }))
        ),
        "{stopped:?}"
    );
    cancel.reset();
    write("stopped").resume().run(|_| {}).expect("a memory");
    write("straight").run(|_| {}).expect("a memory");
    let adapter = |name: &str| {
        fs::read(at(name).join("segments/0000/adapter_model.safetensors")).expect("an adapter")
    };
    assert_eq!(adapter("stopped"), adapter("straight"));
    let rows = |name: &str| fs::read(at(name).join("segments/0000/rows.gguf")).expect("rows");
    assert_eq!(rows("stopped"), rows("straight"));
}

/// Asked from several threads at once: one question after the other, each with its own answer.
#[test]
fn clones_are_asked_from_several_threads() {
    let (model, text) = (
        tiny("llama.gguf"),
        Document::open(document()).expect("text"),
    );
    let memory = model.write(&text, written_with(KeepRows::Auto)).run(|_| {});
    let memory = memory.expect("a memory");
    let questions = ["What was it?", "Who came?", "Where is it now?"];
    let alone = questions.map(|q| memory.ask(q).expect("an answer").ids);
    let together = std::thread::scope(|scope| {
        let asked = questions.map(|q| {
            let memory = memory.clone();
            scope.spawn(move || memory.ask(q).expect("an answer").ids)
        });
        asked.map(|thread| thread.join().expect("no panic"))
    });
    assert_eq!(alone, together);
}
