//! Memories: their description, events, adapters, tokens, prefixes, and kept keys and values.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::LazyLock;

use inscribe::engine::Device;
use inscribe::engine::select::{DeviceChoice, SelectOptions};
use inscribe::memory::store::{DocumentInfo, MemoryWriter, NewRun, StoredModel, StoredState};
use inscribe::memory::{Content, Lora, LoraConfig, Memory, Prefix, Rows};
use inscribe::model::generate::GenerateOptions;
use inscribe::model::transformer::Cache;
use inscribe::write::event::Event;
use inscribe::write::figure::{FigureOptions, svg};
use inscribe::write::reader::View;
use inscribe::write::record::{RunRecord, read_run};
use inscribe::write::synthetic::{Invented, events};
use inscribe::{Inscriber, WriteSettings};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tempfile::TempDir;

use crate::models::golden;
use crate::mutate::{self, Random};
use crate::{Kind, Outcome};

/// What a folder holds, by the paths in it.
pub type Files = BTreeMap<String, Vec<u8>>;

const TOKENS: usize = 48;
const WORDS: [&str; 8] = [
    "gdwm", "lora", "gradmem", "rows", "prefix", "utility", "before", "chunk",
];

/// A tiny model on the processor.
pub static MODEL: LazyLock<Inscriber> = LazyLock::new(|| {
    let model = golden("tiny/llama.gguf").display().to_string();
    let device = SelectOptions {
        choice: DeviceChoice::Cpu,
        threads: 1,
        ..SelectOptions::default()
    };
    let opening = Inscriber::opening(&model).device(device);
    opening.run(&mut |_| {}).expect("a tiny model")
});

/// What a run writes.
pub struct Plan {
    model: StoredModel,
    document: DocumentInfo,
    text: String,
    tokens: Vec<u32>,
    settings: WriteSettings,
}

impl Plan {
    pub fn new() -> Plan {
        let text = "The mill burnt down in 1871.\nNobody knew why.\n".repeat(4);
        Plan {
            model: MODEL.stored_model(),
            document: DocumentInfo::new("mill.txt", &text, TOKENS),
            tokens: (0..TOKENS as u32).map(|id| id % 40).collect(),
            settings: WriteSettings::default(),
            text,
        }
    }

    pub fn run(&self) -> NewRun<'_, WriteSettings> {
        NewRun {
            model: &self.model,
            config: MODEL.loaded().config(),
            document: &self.document,
            text: &self.text,
            tokens: &self.tokens,
            settings: &self.settings,
        }
    }
}

fn contents() -> Vec<Vec<Content>> {
    let config = MODEL.loaded().config();
    let lora = LoraConfig {
        rank: 2,
        ..LoraConfig::default()
    };
    let adapter = Content::new(Lora::new(config, lora, 7));
    let prefix = Content::new(Prefix {
        rows: 3,
        hidden: config.hidden,
        values: (0..3 * config.hidden).map(|i| (i as f32).sin()).collect(),
    });
    let device = Device::cpu(1);
    let cache = Cache::new(&device, config, TOKENS).expect("memory");
    let rows = Rows::of(&device, &cache, TOKENS / 2, inscribe::engine::DType::Q8_0);
    vec![vec![adapter, Content::new(rows)], vec![prefix]]
}

/// A run that has kept all but its end.
pub fn begin(folder: &Path, plan: &Plan) -> MemoryWriter {
    let mut writer = MemoryWriter::create(folder, &plan.run()).expect("a run");
    let invented = Invented {
        tokens: TOKENS,
        chunk: 8,
        context: TOKENS,
        budget: 9,
        ..Invented::default()
    };
    for event in events(&invented) {
        writer.append(&event).expect("an event");
    }
    for (index, contents) in contents().iter().enumerate() {
        let half = TOKENS / 2;
        writer
            .segment(index, index * half..(index + 1) * half, contents)
            .expect("a segment");
    }
    let state = StoredState {
        segment: 1,
        step: 9,
        steps: 9,
        params: vec![0.5; 40],
        m: vec![0.25; 40],
        v: vec![0.125; 40],
    };
    writer.checkpoint(&state).expect("a checkpoint");
    writer
}

/// The files of a folder, with the times that differ from run to run made the same, and without the hash of
/// a description, as earlier versions wrote it: any change would be found by that one alone.
pub fn files_of(folder: &Path) -> Files {
    let mut files = Files::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(inner) = folders.pop() {
        for entry in fs::read_dir(&inner).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let name = path
                .strip_prefix(folder)
                .expect("within")
                .display()
                .to_string();
            let mut bytes = fs::read(&path).expect("a file");
            if let Some(mut value) = described(&bytes) {
                value["unix_secs"] = json!(1_700_000_000);
                value.as_object_mut().map(|fields| fields.remove("seal"));
                bytes = value.to_string().into_bytes();
            }
            files.insert(name, bytes);
        }
    }
    files
}

fn described(bytes: &[u8]) -> Option<Value> {
    let value: Value = serde_json::from_slice(bytes).ok()?;
    value.get("unix_secs").is_some().then_some(value)
}

pub fn write_all(folder: &Path, files: &Files) {
    for (name, bytes) in files {
        let path = folder.join(name);
        fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
        fs::write(path, bytes).expect("a file");
    }
}

fn memory() -> Files {
    let folder = tempfile::tempdir().expect("a folder");
    let place = folder.path().join("mill.memory");
    let writer = begin(&place, &Plan::new());
    writer.finish().expect("a memory");
    let mut files = files_of(&place);
    let asked =
        json!({"question": "Why?", "answer": "Nobody knew.", "seconds": 1.0, "unix_secs": 1});
    files.insert(
        "history.jsonl".to_owned(),
        format!("{asked}\n{asked}\n").into_bytes(),
    );
    files
}

pub fn kinds() -> Vec<Kind> {
    let json: Change = |random, bytes| *bytes = mutate::json_text(random, bytes, &WORDS);
    let lines: Change = |random, bytes| *bytes = lines_changed(random, bytes);
    let front: Change = |random, bytes| mutate::bytes(random, bytes, 1500, &["rows", "GGUF"]);
    let any: Change = |random, bytes| mutate::bytes(random, bytes, usize::MAX, &[]);
    vec![
        of_file("memory.json", &[("memory.json", json)]),
        of_file(
            "events.jsonl",
            &[("events.jsonl", lines), ("history.jsonl", lines)],
        ),
        of_file(
            "adapter",
            &[
                ("segments/0000/adapter_model.safetensors", front),
                ("segments/0000/adapter_config.json", json),
            ],
        ),
        of_file(
            "prefix",
            &[
                ("segments/0001/adapter_model.safetensors", front),
                ("segments/0001/adapter_config.json", json),
            ],
        ),
        of_file("tokens", &[("tokens.bin", any), ("document.txt", any)]),
        of_file("kept rows", &[("segments/0000/rows.gguf", front)]),
    ]
}

pub type Change = fn(&mut Random, &mut Vec<u8>);

/// Lines of JSON of which some are changed, lost, repeated or exchanged.
pub fn lines_changed(random: &mut Random, bytes: &[u8]) -> Vec<u8> {
    let mut lines: Vec<Vec<u8>> = bytes.split(|&b| b == b'\n').map(<[u8]>::to_vec).collect();
    for _ in 0..1 + random.below(3) {
        let (at, other) = (random.below(lines.len()), random.below(lines.len()));
        match random.below(12) {
            0 if lines.len() > 1 => drop(lines.remove(at)),
            1 => lines.push(lines[at].clone()),
            2 => lines.swap(at, other),
            3 => mutate::bytes(random, &mut lines[at], usize::MAX, &WORDS),
            _ => lines[at] = mutate::json_text(random, &lines[at], &WORDS),
        }
    }
    lines.join(&b'\n')
}

/// Memories in which one of these files is changed; half of them say so of themselves, so that it is
/// not the hash that finds it.
fn of_file(name: &'static str, changes: &[(&'static str, Change)]) -> Kind {
    let changes = changes.to_vec();
    let whole = memory();
    for (file, _) in &changes {
        assert!(whole.contains_key(*file), "{file}: {:?}", whole.keys());
    }
    let folder: TempDir = tempfile::tempdir().expect("a folder");
    Kind {
        name,
        share: 3,
        run: Box::new(move |random| {
            let mut files = whole.clone();
            let (file, change) = changes[random.below(changes.len())];
            let mut bytes = files[file].clone();
            change(random, &mut bytes);
            if file != "memory.json" && random.one_in(2) {
                let description = files["memory.json"].clone();
                files.insert("memory.json".to_owned(), hashed(&description, file, &bytes));
            }
            files.insert(file.to_owned(), bytes);
            let place = folder.path().join("mill.memory");
            write_all(&place, &files);
            open(random, &place)
        }),
    }
}

/// A memory's description with the hash of a file as it is now.
fn hashed(description: &[u8], file: &str, bytes: &[u8]) -> Vec<u8> {
    let mut value: Value = serde_json::from_slice(description).expect("a description");
    let digest: String = Sha256::digest(bytes)
        .iter()
        .map(|b| format!("{b:02x}"))
        .collect();
    let name = file.rsplit('/').next().unwrap_or(file);
    let segment = file
        .strip_prefix("segments/")
        .and_then(|rest| rest.get(..4)?.parse::<usize>().ok());
    let of = match segment {
        Some(segment) => &mut value["segments"][segment],
        None => &mut value["files"],
    };
    update(of, name, bytes.len(), &digest);
    if file == "document.txt" {
        value["document"]["sha256"] = json!(digest);
        value["document"]["bytes"] = json!(bytes.len());
    }
    if file == "tokens.bin" {
        value["document"]["tokens"] = json!(bytes.len() / 4);
    }
    value.to_string().into_bytes()
}

fn update(value: &mut Value, name: &str, bytes: usize, digest: &str) {
    match value {
        Value::Object(fields) if fields.get("name") == Some(&json!(name)) => {
            fields["bytes"] = json!(bytes);
            fields.insert("sha256".to_owned(), json!(digest));
        }
        Value::Object(fields) => {
            fields
                .values_mut()
                .for_each(|inner| update(inner, name, bytes, digest));
        }
        Value::Array(items) => {
            items
                .iter_mut()
                .for_each(|inner| update(inner, name, bytes, digest));
        }
        _ => {}
    }
}

/// Opens a memory, takes all of it, draws its run, and now and then asks it.
fn open(random: &mut Random, place: &Path) -> Outcome {
    let opened = || -> Result<(), Box<dyn std::error::Error>> {
        let memory = Memory::open(place)?;
        memory.settings::<WriteSettings>()?;
        memory.check_model(&MODEL.stored_model())?;
        memory.tokens()?;
        let _ = (memory.missing(), memory.changed(), memory.derived_bytes());
        for segment in 0..memory.file.segments.len().min(8) {
            memory.load_own(segment, MODEL.loaded().config())?;
            let (_, damaged) = memory.load_derived(segment, MODEL.loaded().config());
            damaged.into_iter().next().map_or(Ok(()), Err)?;
        }
        memory.document()?;
        memory.history()?;
        Ok(())
    };
    let mut outcome = opened();
    let record = read_run(place).map(|record| look_at(&record));
    if let Ok(events) = Memory::open(place).and_then(|memory| memory.events::<Event>()) {
        // As the window does, which does not refuse them.
        look_at(&RunRecord::from_events(&events));
    }
    outcome = outcome.and(record.map_err(Into::into));
    if random.one_in(6) {
        let asked = || -> Result<(), Box<dyn std::error::Error>> {
            let memory = MODEL.remembered(place)?;
            let asking = memory.asking("Why?").view(View::Memory);
            asking.options(GenerateOptions::greedy(2)).run()?;
            Ok(())
        };
        outcome = outcome.and(asked());
    }
    if let Err(error) = &outcome {
        let text = error.to_string();
        assert!(!text.contains('\u{202e}'), "{text}");
    }
    Outcome::of(outcome)
}

/// What views ask of a run.
pub fn look_at(record: &RunRecord) {
    let _ = (
        record.tokens(),
        record.steps_to_take(),
        record.seconds(),
        record.seconds_left(),
    );
    let _ = (
        record.loss_before(),
        record.loss_after(),
        record.utility_range(),
        record.remarks(),
    );
    let _ = (
        record.prefill_rate(),
        record.step_rate(),
        record.mean_step_rate(),
    );
    let _ = svg(record, FigureOptions::default());
}
