use std::io;
use std::time::Duration;

use proptest::prelude::*;
use serde_json::json;
use tempfile::TempDir;

use super::*;
use crate::advice::Advice;
use crate::memory::testing::{lora_content, prefix, rows, tiny_model};
use crate::model::config::Architecture;

mod changed;
mod crash;

const TEXT: &str = "The mill burnt down in 1871.\nNobody knew why.";

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
struct Settings {
    budget: usize,
    tau: f64,
    lr: f32,
    lora: Rank,
    added_later: bool,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Rank {
    rank: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            budget: 32,
            tau: 0.1 + 0.2,
            lr: 1e-4,
            lora: Rank { rank: 4 },
            added_later: false,
        }
    }
}

type Change<T> = fn(&mut T);

/// A document, a model and settings; `seed` makes them others.
struct Case {
    config: ModelConfig,
    model: StoredModel,
    document: DocumentInfo,
    text: String,
    tokens: Vec<u32>,
    settings: Settings,
    seed: u64,
    /// Something that can be made again.
    rows: Content,
}

impl Case {
    fn new(seed: u64) -> Case {
        let config = tiny_model(Architecture::Llama, true);
        let text = format!("{TEXT} {seed}");
        let tokens: Vec<u32> = (0..20).map(|t| (t + seed as u32) % 50).collect();
        Case {
            model: StoredModel::new("tiny.gguf", "ab12cd34ef567890", &config),
            document: DocumentInfo::new("mill.txt", &text, tokens.len()),
            text,
            tokens,
            settings: Settings::default(),
            rows: rows(&config, 10),
            config,
            seed,
        }
    }

    fn plan(&self) -> NewRun<'_, Settings> {
        NewRun {
            model: &self.model,
            config: &self.config,
            document: &self.document,
            text: &self.text,
            tokens: &self.tokens,
            settings: &self.settings,
        }
    }

    fn content(&self, segment: usize) -> Content {
        lora_content(&self.config, self.seed * 10 + segment as u64)
    }

    fn checkpoint(&self, segment: usize, step: usize) -> StoredState {
        StoredState {
            segment,
            step,
            steps: step as u64,
            params: vec![step as f32; 3],
            m: vec![0.5; 3],
            v: vec![0.25; 3],
        }
    }

    /// Writes from where a run is: two segments of two steps each.
    fn go_on(&self, mut writer: MemoryWriter, from: Option<StoredState>) -> Result<Memory> {
        let from = from.unwrap_or_default();
        for step in from.step..4 {
            let segment = step / 2;
            writer.append(&json!({"event": "step", "step": step + 1}))?;
            if step % 2 == 1 {
                let tokens = segment * 10..segment * 10 + 10;
                let contents = [self.content(segment), self.rows.clone()];
                writer.segment(segment, tokens, &contents)?;
            }
            writer.checkpoint(&self.checkpoint(step.div_ceil(2), step + 1))?;
            writer.append(&json!({"event": "checkpointed"}))?;
        }
        writer.finish()
    }

    fn write(&self, folder: &Path) -> Memory {
        let writer = MemoryWriter::create(folder, &self.plan()).unwrap();
        let memory = self.go_on(writer, None).unwrap();
        for segment in 0..2 {
            let derived = memory.load_derived(segment, &self.config).0;
            assert_eq!(derived, std::slice::from_ref(&self.rows));
        }
        memory
    }

    fn check(&self, memory: &Memory) {
        assert_eq!(memory.document().unwrap(), self.text);
        assert_eq!(memory.tokens().unwrap(), self.tokens);
        for segment in 0..2 {
            let own = memory.load_own(segment, &self.config).unwrap();
            assert_eq!(own, [self.content(segment)]);
            // A full disk may have left them out; half of them is never there.
            let (derived, damaged) = memory.load_derived(segment, &self.config);
            assert!(damaged.is_empty(), "{damaged:?}");
            assert!(derived.iter().all(|rows| *rows == self.rows));
        }
        assert_eq!(memory.settings::<Settings>().unwrap(), self.settings);
        let steps = |e: &Value| e["step"].as_u64();
        let events = memory.events::<Value>().unwrap();
        let steps: Vec<_> = events.iter().filter_map(steps).collect();
        assert_eq!(steps, [1, 2, 3, 4]);
    }
}

fn place() -> (TempDir, PathBuf) {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("notes");
    (parent, folder)
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let name = |e: io::Result<fs::DirEntry>| e.unwrap().file_name().into_string().unwrap();
    let mut names: Vec<_> = entries.map(name).collect();
    names.sort();
    names
}

fn refusal<T>(result: Result<T>) -> String {
    let message = result.err().expect("a refusal").to_string();
    assert!(!message.contains(char::is_control), "{message:?}");
    message
}

#[test]
fn what_is_written_is_read() {
    let (parent, folder) = place();
    let case = Case::new(1);
    case.check(&case.write(&folder));
    let memory = Memory::open(&folder).unwrap();
    case.check(&memory);
    memory.check_model(&case.model).unwrap();
    assert_eq!(names(parent.path()), ["notes"]);
    let own = [DOCUMENT, EVENTS, MEMORY, places::SEGMENTS, TOKENS];
    assert_eq!(names(&folder), own);
    assert_eq!(memory.file.segments[1].tokens, 10..20);
    // A slash at the end names the same folder.
    let slashed = PathBuf::from(format!("{}/", folder.display()));
    case.check(&Memory::open(&slashed).unwrap());
}

#[test]
fn prefixes_are_kept_too() {
    let (_parent, folder) = place();
    let case = Case::new(1);
    let content = Content::new(prefix(&case.config, 3));
    let mut writer = MemoryWriter::create(&folder, &case.plan()).unwrap();
    writer
        .segment(0, 0..20, std::slice::from_ref(&content))
        .unwrap();
    let memory = writer.finish().unwrap();
    assert_eq!(memory.load(0, &case.config).unwrap(), [content]);
    assert!(refusal(memory.load(1, &case.config)).contains("no segment 1"));
}

#[test]
fn another_model_is_refused_and_both_are_named() {
    let (_parent, folder) = place();
    let memory = Case::new(1).write(&folder);
    let qwen = tiny_model(Architecture::Qwen2, false);
    let other = StoredModel::new("qwen.gguf", "99887766554433221100", &qwen);
    let message = refusal(memory.check_model(&other));
    for part in [
        "'tiny.gguf' (llama",
        "'qwen.gguf' (qwen2",
        "ab12cd34ef56",
        "998877665544",
    ] {
        assert!(message.contains(part), "{message}");
    }
}

#[test]
fn the_history_grows_and_survives_half_a_line() {
    let (_parent, folder) = place();
    let memory = Case::new(1).write(&folder);
    assert_eq!(memory.history().unwrap(), []);
    let asked = |question: &str| Asked {
        question: question.into(),
        answer: "In 1871.\n".into(),
        log_prob: Some(-1.5),
        seconds: 0.5,
        unix_secs: 7,
        cut: true,
    };
    memory.remember(&asked("When?")).unwrap();
    let path = folder.join(HISTORY);
    let mut text = fs::read(&path).unwrap();
    text.extend(b"{\"question\": \"half");
    fs::write(&path, text).unwrap();
    memory.remember(&asked("Why?")).unwrap();
    assert_eq!(memory.history().unwrap(), [asked("When?"), asked("Why?")]);
}

#[test]
fn a_run_that_differs_is_not_gone_on_with() {
    let (_parent, folder) = place();
    let case = Case::new(1);
    let mut writer = MemoryWriter::create(&folder, &case.plan()).unwrap();
    writer.checkpoint(&case.checkpoint(0, 1)).unwrap();
    drop(writer);
    let resume = |change: fn(&mut Case)| {
        let mut case = Case::new(1);
        change(&mut case);
        match MemoryWriter::resume(&folder, &case.plan()) {
            Ok(_) => String::new(),
            Err(error) => error.to_string(),
        }
    };
    let changes: [(Change<Case>, &str); 6] = [
        (|c| c.settings.lora.rank = 8, "its lora.rank is 4 and not 8"),
        (|c| c.settings.tau = 0.5, "its tau is 0.3"),
        (|c| c.settings.added_later = true, "added_later"),
        (
            |c| c.model.info.fingerprint = "77".into(),
            "its model is 'tiny.gguf'",
        ),
        (|c| *c = Case::new(2), "its document is 'mill.txt'"),
        (|c| c.tokens[3] += 1, "tokens.bin"),
    ];
    for (change, says) in changes {
        let message = resume(change);
        assert!(message.contains(says), "{message}");
    }
    // What the settings gained since is at its default in a run of before.
    let run = folder.with_file_name("notes.writing").join(places::RUN);
    let mut file: Value = serde_json::from_slice(&fs::read(&run).unwrap()).unwrap();
    file["settings"]
        .as_object_mut()
        .unwrap()
        .remove("added_later");
    fs::write(&run, file.to_string()).unwrap();
    // Another name for the same document and model does not matter.
    let renamed = |c: &mut Case| {
        c.document.name = "other.txt".into();
        c.model.info.name = "other.gguf".into();
    };
    assert_eq!(resume(renamed), "");
}

#[test]
fn events_after_the_checkpoint_are_dropped() {
    let (_parent, folder) = place();
    let case = Case::new(1);
    let mut writer = MemoryWriter::create(&folder, &case.plan()).unwrap();
    writer.append(&json!({"step": 1})).unwrap();
    writer.checkpoint(&case.checkpoint(0, 1)).unwrap();
    writer.append(&json!({"step": 2})).unwrap();
    drop(writer);
    let resumed = MemoryWriter::resume(&folder, &case.plan()).unwrap();
    let Resumed::GoesOn(writer, Some(checkpoint)) = resumed else {
        panic!("a run to go on with");
    };
    assert_eq!(checkpoint, case.checkpoint(0, 1));
    assert_eq!(writer.events::<Value>().unwrap(), [json!({"step": 1})]);
    case.check(&case.go_on(*writer, Some(checkpoint)).unwrap());
}

#[test]
fn a_run_worth_keeping_is_not_overwritten() {
    let (parent, folder) = place();
    let case = Case::new(1);
    let writer = MemoryWriter::create(&folder, &case.plan()).unwrap();
    let other = MemoryWriter::create(&folder, &case.plan());
    assert!(refusal(other).contains("another run"));
    drop(writer);
    assert_eq!(names(parent.path()), ["notes.writing"]);
    let unfinished = Memory::open(&folder).err();
    assert_eq!(unfinished.and_then(|e| e.advice()), Some(Advice::GoOn));
    // Nothing was learned yet: it may go.
    let mut writer = MemoryWriter::create(&folder, &case.plan()).unwrap();
    writer.checkpoint(&case.checkpoint(0, 3)).unwrap();
    drop(writer);
    let error = MemoryWriter::create(&folder, &case.plan()).err();
    let error = error.expect("a run is there");
    assert!(error.to_string().contains("step 3"), "{error}");
    assert_eq!(error.advice(), Some(Advice::GoOnOrStartAgain));
}

#[test]
fn there_must_be_something_to_go_on_with() {
    let (_parent, folder) = place();
    let case = Case::new(1);
    let resume = |case: &Case| MemoryWriter::resume(&folder, &case.plan());
    assert!(refusal(resume(&case)).contains("no unfinished run"));
    case.write(&folder);
    assert!(matches!(resume(&case), Ok(Resumed::Finished(_))));
    assert!(refusal(resume(&Case::new(2))).contains("no unfinished run"));
}

#[test]
fn a_memory_replaces_another_and_nothing_else() {
    let (parent, folder) = place();
    let (first, second) = (Case::new(1), Case::new(2));
    let create = |case: &Case| MemoryWriter::create(&folder, &case.plan());
    first.write(&folder);
    second.check(&second.write(&folder));
    assert_eq!(names(parent.path()), ["notes"]);
    // A user's own file in a memory, at three depths.
    for name in [
        "thesis.txt",
        "segments/readme",
        "segments/0000/backup.safetensors",
    ] {
        let own = folder.join(name);
        fs::write(&own, "mine").unwrap();
        assert!(refusal(create(&first)).contains(name));
        second.check(&Memory::open(&folder).unwrap());
        assert_eq!(fs::read(&own).unwrap(), b"mine");
        fs::remove_file(own).unwrap();
    }
    fs::remove_dir_all(&folder).unwrap();
    fs::write(&folder, "a file").unwrap();
    assert!(refusal(create(&first)).contains("a file of this name"));
    assert!(refusal(Memory::open(&folder)).contains("a memory is a folder"));
    fs::remove_file(&folder).unwrap();
    fs::create_dir(&folder).unwrap();
    assert!(refusal(Memory::open(&folder)).contains("no memory.json"));
    // An empty folder may become a memory, one with anything in it may not.
    first.check(&first.write(&folder));
    fs::remove_dir_all(&folder).unwrap();
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("photo.jpg"), "mine").unwrap();
    assert!(refusal(create(&first)).contains("photo.jpg"));
    assert_eq!(names(parent.path()), ["notes"]);
}

#[test]
fn folders_that_happen_to_lie_beside_are_left_alone() {
    let (_parent, folder) = place();
    let (first, second) = (Case::new(1), Case::new(2));
    first.write(&folder);
    for name in ["notes.replaced", "notes.writing"] {
        let beside = folder.with_file_name(name);
        fs::create_dir(&beside).unwrap();
        fs::write(beside.join("thesis.txt"), "mine").unwrap();
        let message = refusal(MemoryWriter::create(&folder, &second.plan()));
        assert!(message.contains("thesis.txt"), "{message}");
        first.check(&Memory::open(&folder).unwrap());
        fs::remove_dir_all(beside).unwrap();
    }
}

#[cfg(unix)]
#[test]
fn a_link_to_a_memory_stays_one() {
    let (parent, folder) = place();
    fs::create_dir(&folder).unwrap();
    let link = parent.path().join("link");
    std::os::unix::fs::symlink(&folder, &link).unwrap();
    let case = Case::new(1);
    case.write(&link);
    case.check(&Memory::open(&folder).unwrap());
    case.check(&Memory::open(&link).unwrap());
    assert!(link.is_symlink());
    assert_eq!(names(parent.path()), ["link", "notes"]);
}

#[test]
fn a_run_with_missing_pieces_is_not_finished() {
    let (_parent, folder) = place();
    let case = Case::new(1);
    let mut writer = MemoryWriter::create(&folder, &case.plan()).unwrap();
    assert!(refusal(writer.segment(1, 0..9, &[case.content(1)])).contains("segment 1"));
    assert!(refusal(writer.finish()).contains("no segments"));
    assert!(!folder.exists());
}

/// What a memory says of itself, as earlier versions wrote it: without a seal.
fn unsealed(folder: &Path) -> Value {
    let text = fs::read(folder.join(MEMORY)).unwrap();
    let mut description: Value = serde_json::from_slice(&text).unwrap();
    description.as_object_mut().unwrap().remove("seal");
    description
}

/// Either what was written, or an error that names the memory in one line.
fn right_or_refused<T: PartialEq + std::fmt::Debug>(folder: &Path, found: Result<T>, written: &T) {
    match found {
        Ok(found) => assert_eq!(found, *written),
        Err(error) => names_the_memory(folder, &error),
    }
}

fn names_the_memory(folder: &Path, error: &MemoryError) {
    let said = error.to_string();
    assert!(said.contains(&shown(folder)), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
}

proptest! {
    #[test]
    fn damaged_descriptions_do_no_harm(at in any::<prop::sample::Index>(), byte: u8, cut: bool) {
        let (_parent, folder) = place();
        let case = Case::new(1);
        case.write(&folder);
        let path = folder.join(MEMORY);
        // With a seal hardly any would be opened.
        let mut bytes = unsealed(&folder).to_string().into_bytes();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        if cut {
            bytes.truncate(at);
        }
        fs::write(&path, &bytes).unwrap();
        let before = names(&folder);
        match Memory::open(&folder) {
            Ok(memory) => {
                right_or_refused(&folder, memory.document(), &case.text);
                right_or_refused(&folder, memory.tokens(), &case.tokens);
                if let Err(error) = memory.settings::<Settings>() {
                    names_the_memory(&folder, &error);
                }
            }
            Err(error) => names_the_memory(&folder, &error),
        }
        assert_eq!(names(&folder), before);
        assert_eq!(fs::read(&path).unwrap(), bytes);
    }
}

#[test]
fn stopped_runs_are_listed_read_and_discarded() {
    let (folder, place) = place();
    let case = Case::new(3);
    assert!(Unfinished::open(&place).expect("nothing there").is_none());
    let mut writer = MemoryWriter::create(&place, &case.plan()).expect("a free place");
    writer.append(&json!({"step": 1})).expect("room");
    writer.checkpoint(&case.checkpoint(0, 1)).expect("room");
    let running = Unfinished::open(&place).expect("readable");
    let refused = refusal(running.expect("a run").discard());
    assert!(refused.contains("another run"), "{refused}");
    drop(writer);
    let mut found = Unfinished::list(folder.path());
    assert_eq!(found.len(), 1);
    let run = found.remove(0);
    assert_eq!(run.folder, place);
    assert_eq!(run.document().expect("a document"), case.text);
    let events: Vec<Value> = run.events().expect("events");
    assert_eq!(events, [json!({"step": 1})]);
    run.discard().expect("nobody writes it");
    assert!(Unfinished::list(folder.path()).is_empty());
}

#[test]
fn a_stopped_run_that_was_thrown_away_comes_back_whole_until_the_trash_is_emptied() {
    let (folder, place) = place();
    let case = Case::new(3);
    let mut writer = MemoryWriter::create(&place, &case.plan()).expect("a free place");
    writer.append(&json!({"step": 1})).expect("room");
    writer.checkpoint(&case.checkpoint(0, 1)).expect("room");
    let run = || Unfinished::open(&place).expect("readable");
    let refused = refusal(run().expect("a run").set_aside());
    assert!(refused.contains("another run"), "{refused}");
    drop(writer);
    let month = Duration::from_secs(30 * 24 * 3600);
    let gone = run().expect("a run").set_aside().expect("nobody writes it");
    assert!(Unfinished::list(folder.path()).is_empty());
    empty_trash(folder.path(), month);
    gone.restore().expect("it is kept");
    let back = run().expect("the run");
    assert!(back.has_checkpoint());
    assert_eq!(back.document().expect("a document"), case.text);
    let gone = back.set_aside().expect("nobody writes it");
    let newer = MemoryWriter::create(&place, &case.plan()).expect("a free place");
    drop(newer);
    let refused = refusal(gone.restore());
    assert!(refused.contains("newer run"), "{refused}");
    assert!(gone.kept.is_dir(), "what cannot come back is not lost");
    empty_trash(folder.path(), Duration::ZERO);
    assert!(!gone.kept.exists());
}
