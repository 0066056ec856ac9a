use std::fs;

use super::*;
use crate::write::event::EVENTS_VERSION;
use crate::write::settings::Allocate;
use crate::write::synthetic::{Invented, events, lines};

fn record(run: &Invented) -> RunRecord {
    RunRecord::from_events(&events(run))
}

#[test]
fn a_whole_run_is_all_there() {
    let run = record(&Invented::default());
    assert_eq!(run.status, Status::Done);
    assert_eq!((run.segments.len(), run.chunks().count()), (1, 13));
    assert_eq!(run.tokens(), 12_700);
    assert_eq!((run.steps.len(), run.steps_to_take()), (48, 48));
    for (_, chunk) in run.chunks() {
        assert_eq!(chunk.taken, chunk.planned);
        assert!(chunk.done && chunk.utility.is_some() && chunk.loss_after.is_some());
    }
    assert!(run.loss_after().unwrap() < run.loss_before().unwrap());
    assert!((run.prefill_rate().unwrap() - 410.0).abs() < 1e-6);
    assert_eq!(run.seconds_left(), Some(0.0));
    assert_eq!(Some(run.seconds()), run.measured);
    let json = serde_json::to_string(&run).unwrap();
    assert!(serde_json::from_str::<RunRecord>(&json).unwrap() == run);
}

#[test]
fn segments_keep_their_own_chunks() {
    let invented = Invented {
        tokens: 9_000,
        context: 4_096,
        chunk: 512,
        ..Invented::default()
    };
    let run = record(&invented);
    let chunks: Vec<usize> = run.segments.iter().map(|s| s.chunks.len()).collect();
    assert_eq!(chunks, [8, 8, 2]);
    assert!(run.segments.iter().all(|s| s.prefill_secs > 0.0));
    let taken: u32 = run.chunks().map(|(_, c)| c.taken.total()).sum();
    assert_eq!(taken, 48);
}

#[test]
fn a_resumed_run_ends_as_an_undisturbed_one() {
    let whole = events(&Invented::default());
    let is_step = |event: &Event, n| matches!(event, Event::Step(step) if step.step == n);
    let at = |n| whole.iter().position(|e| is_step(e, n)).unwrap();
    // Killed after step 20, resumed from a checkpoint at 16.
    let mut told: Vec<Event> = whole[..=at(20)].to_vec();
    told.push(Event::Resumed { step: 16 });
    assert_eq!(RunRecord::from_events(&told).steps.len(), 16);
    told.extend_from_slice(&whole[at(17)..]);
    assert!(RunRecord::from_events(&told) == RunRecord::from_events(&whole));
    // Resumed by reading the document again, as a new process does.
    let mut told: Vec<Event> = whole[..=at(20)].to_vec();
    let first_step = at(1);
    told.extend_from_slice(&whole[..first_step]);
    told.push(Event::Resumed { step: 16 });
    told.extend_from_slice(&whole[at(17)..]);
    assert!(RunRecord::from_events(&told) == RunRecord::from_events(&whole));
    // Another document in the same file is another run.
    let other = events(&Invented {
        name: "other.md".to_owned(),
        ..Invented::default()
    });
    let both = whole.iter().chain(&other);
    assert!(RunRecord::from_events(both) == RunRecord::from_events(&other));
}

#[test]
fn the_time_left_shrinks_to_nothing() {
    let whole = events(&Invented::default());
    let mut run = RunRecord::default();
    let mut last = f64::INFINITY;
    for event in &whole {
        run.fold(event);
        if matches!(event, Event::Step(_)) {
            let left = run.seconds_left().unwrap();
            assert!(left < last + 0.5 && left > 0.0, "{left} after {last}");
            last = left;
        }
    }
    assert_eq!(run.seconds_left(), Some(0.0));
    assert_eq!(RunRecord::default().seconds_left(), None);
}

/// A run that does not measure its losses ends with its last step.
#[test]
fn what_is_not_measured_takes_no_time() {
    let mut whole = events(&Invented::default());
    if let Event::Started(started) = &mut whole[0] {
        started.settings.evaluate = false;
    }
    let of_steps = |event: &&Event| matches!(event, Event::Step(_));
    let steps = whole.iter().filter(of_steps).count();
    let last = whole.iter().rposition(|e| of_steps(&e)).unwrap();
    assert!(steps > 1);
    let run = RunRecord::from_events(&whole[..=last]);
    assert_eq!(run.seconds_left(), Some(0.0));
}

#[test]
fn smoothing_starts_at_the_first_loss_and_follows() {
    let run = record(&Invented::default());
    assert_eq!(run.steps[0].smoothed, run.steps[0].step.loss);
    let spread = |of: fn(&StepRecord) -> f64| {
        let pairs = run.steps.windows(2).map(|p| (of(&p[1]) - of(&p[0])).abs());
        pairs.sum::<f64>()
    };
    assert!(spread(|s| s.smoothed) < 0.5 * spread(|s| s.step.loss));
    let constant = RunRecord::from_events(
        &(1..9)
            .map(|step| {
                Event::Step(Step {
                    segment: 0,
                    chunk: None,
                    step,
                    of: 8,
                    kind: StepKind::Utility,
                    loss: 2.5,
                    before: None,
                    grad_norm: 1.0,
                    tokens: 8,
                    seconds: 1.0,
                })
            })
            .collect::<Vec<_>>(),
    );
    assert!(
        constant
            .steps
            .iter()
            .all(|s| (s.smoothed - 2.5).abs() < 1e-12)
    );
}

#[test]
fn steps_of_the_whole_document_belong_to_no_chunk() {
    let run = record(&Invented {
        allocate: Allocate::Whole,
        ..Invented::default()
    });
    assert_eq!(run.steps.len(), 48);
    assert!(run.chunks().all(|(_, c)| c.taken.total() == 0));
}

struct File(tempfile::TempDir);

impl File {
    fn holding(text: impl AsRef<[u8]>) -> File {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("events.jsonl"), text).unwrap();
        File(folder)
    }

    fn read(&self) -> Result<EventsFile, RunError> {
        read_events(self.0.path())
    }
}

#[test]
fn files_give_back_the_run() {
    let invented = Invented::default();
    let text = lines(&events(&invented));
    let file = File::holding(&text);
    let read = read_run(file.0.path()).unwrap();
    assert!(read == record(&invented));
    let by_name = read_run(&file.0.path().join("events.jsonl")).unwrap();
    assert!(by_name == read);
    // Cut in the middle of the last line, anywhere.
    let end = text.trim_end().rfind('\n').unwrap() + 1;
    for cut in [end + 1, end + 20, text.len() - 2] {
        let read = File::holding(&text[..cut]).read().unwrap();
        assert_eq!(read.cut_lines, 1, "cut at {cut}");
        assert_eq!(read.events.len(), text.lines().count() - 1);
    }
    // Cut, and gone on with: a new line, or the rest of the run.
    let resumed = format!(
        "{}\n{{\"event\":\"resumed\",\"step\":48}}\n",
        &text[..end + 9]
    );
    let read = File::holding(&resumed).read().unwrap();
    assert_eq!(
        (read.cut_lines, read.events.len()),
        (1, text.lines().count())
    );
}

#[test]
fn what_is_wrong_with_a_file_is_said() {
    let text = lines(&events(&Invented::default()));
    let all: Vec<&str> = text.lines().collect();
    let broken = |line: &str| {
        let mut lines = all.clone();
        lines[3] = line;
        File::holding(lines.join("\n") + "\n")
            .read()
            .unwrap_err()
            .to_string()
    };
    let error = broken("{\"event\":\"step\"");
    assert!(error.contains("line 4 is not an event"), "{error}");
    let error = broken("{\"event\":\"danced\"}");
    assert!(
        error.contains("line 4") && error.contains("danced"),
        "{error}"
    );
    // A last line that is whole but wrong was not cut.
    let error = File::holding(format!("{text}{{\"event\":\"danced\"}}\n"))
        .read()
        .unwrap_err();
    assert!(
        error
            .to_string()
            .contains(&format!("line {}", all.len() + 1))
    );
    let newer = text.replacen(
        &format!("\"version\":{EVENTS_VERSION}"),
        &format!("\"version\":{}", EVENTS_VERSION + 1),
        1,
    );
    let error = File::holding(newer).read().unwrap_err();
    assert!(matches!(error, RunError::TooNew { .. }), "{error}");
    assert!(matches!(
        File::holding("").read(),
        Err(RunError::Empty { .. })
    ));
    assert!(matches!(
        File::holding("\n{\"ev").read(),
        Err(RunError::Empty { .. })
    ));
    let latin = File::holding(b"\xff\xfe\n".as_slice()).read().unwrap_err();
    assert!(latin.to_string().contains("line 1 is not UTF-8"), "{latin}");
    let folder = tempfile::tempdir().unwrap();
    assert!(matches!(
        read_events(folder.path()),
        Err(RunError::NoEvents { .. })
    ));
    let nowhere = folder.path().join("nowhere");
    assert!(matches!(
        read_events(&nowhere),
        Err(RunError::Missing { .. })
    ));
}

/// The lines of a run, of which the first with this mark was changed.
fn changed(mark: &str, change: impl Fn(&mut serde_json::Value)) -> String {
    let text = lines(&events(&Invented::default()));
    let mut all: Vec<String> = text.lines().map(str::to_owned).collect();
    let line = all.iter_mut().find(|line| line.contains(mark)).unwrap();
    let mut value = serde_json::from_str(line).unwrap();
    change(&mut value);
    *line = value.to_string();
    all.join("\n") + "\n"
}

#[test]
fn numbers_that_no_run_tells_are_refused() {
    let absurd = 4_000_000_000_u64;
    let run = record(&Invented::default());
    let chunks = run.segments[0].chunks.len();
    let (segments, tokens) = (run.segments.len(), run.tokens());
    for (mark, field, told) in [
        (
            "\"event\":\"step\"",
            "chunk",
            format!("chunk {absurd} of {chunks}"),
        ),
        (
            "\"event\":\"chunk_done\"",
            "chunk",
            format!("chunk {absurd} of {chunks}"),
        ),
        (
            "\"event\":\"step\"",
            "segment",
            format!("segment {absurd} of {segments}"),
        ),
        (
            "\"event\":\"utility\"",
            "segment",
            format!("segment {absurd} of {segments}"),
        ),
        (
            "\"event\":\"allocated\"",
            "segment",
            format!("segment {absurd} of {segments}"),
        ),
        (
            "\"event\":\"evaluated\"",
            "segment",
            format!("segment {absurd} of {segments}"),
        ),
        (
            "\"event\":\"started\"",
            "segments",
            format!("{absurd} segments of a document of {tokens} tokens"),
        ),
        (
            "\"event\":\"prefilled\"",
            "tokens",
            format!("a segment of {absurd} tokens in a document of {tokens}"),
        ),
    ] {
        let text = changed(mark, |event| event[field] = absurd.into());
        let error = File::holding(&text).read().unwrap_err().to_string();
        assert!(
            error.contains(" is not an event: ") && error.ends_with(&told),
            "{error}"
        );
        // Whoever folds such events all the same is not made to give room to them.
        let told = text.lines().map(|line| serde_json::from_str(line).unwrap());
        let told: Vec<Event> = told.collect();
        let folded = RunRecord::from_events(&told);
        assert!(folded.segments.len() <= segments, "{mark}");
        assert!(
            folded.segments.iter().all(|s| s.chunks.len() <= chunks),
            "{mark}"
        );
    }
    let unannounced = Event::ChunkDone {
        segment: usize::MAX,
        chunk: usize::MAX,
    };
    assert!(RunRecord::from_events(&[unannounced]).segments.is_empty());
    for (mark, field, value, told) in [
        (
            "\"event\":\"allocated\"",
            "/steps/0/utility",
            u64::from(u32::MAX),
            "4294967295 steps of a chunk",
        ),
        (
            "\"event\":\"step\"",
            "/tokens",
            u64::MAX,
            "over 18446744073709551615 tokens",
        ),
        (
            "\"event\":\"step\"",
            "/of",
            u64::MAX,
            "step 1 of 18446744073709551615",
        ),
    ] {
        let text = changed(mark, |event| {
            *event.pointer_mut(field).unwrap() = value.into()
        });
        let error = File::holding(&text).read().unwrap_err().to_string();
        assert!(error.contains(told), "{error}");
    }
}

#[test]
fn headings_and_names_of_a_file_are_no_orders() {
    let text = changed("\"event\":\"started\"", |event| {
        event["document"]["name"] = "a\u{1b}]0;x\u{7}.md".into();
        event["device"] = "b\u{9b}".into();
    });
    let mut named = false;
    let renamed = |line: &str| {
        let mut event: serde_json::Value = serde_json::from_str(line).unwrap();
        if event["event"] == "utility" {
            event["chunks"][0]["title"] = "RED\u{1b}[31m \u{202e}gnp.exe".into();
            named = true;
        }
        event.to_string() + "\n"
    };
    let text: String = text.lines().map(renamed).collect();
    assert!(named);
    let run = RunRecord::from_events(&File::holding(text).read().unwrap().events);
    assert_eq!(run.document.unwrap().name, "a]0;x.md");
    assert_eq!(run.device, "b");
    assert_eq!(
        run.segments[0].chunks[0].title.as_deref(),
        Some("RED[31m gnp.exe")
    );
}
