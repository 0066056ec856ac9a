//! What there is on this machine: devices, models, stopped writes.

use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use inscribe::engine::Device;
use inscribe::engine::gpu::{AdapterKind, Precision, list_adapters};
use inscribe::engine::select::DeviceChoice;
use inscribe::memory::store::{Unfinished, empty_trash};
use inscribe::model::elsewhere::{Found, Limits, Looks, Places};
use inscribe::model::hub::{KNOWN, ModelCache, find_known};
use inscribe::model::locate::{self, ModelSpec};
use inscribe::model::weights::WeightFile;
use inscribe::write::event::Event;

use super::message::{DeviceInfo, ModelEntry, Survey, UnfinishedInfo};

/// Discarded writes are kept for so long.
const KEPT: Duration = Duration::from_secs(30 * 24 * 3600);

/// How long other programs' folders are looked at: documents wait to be opened meanwhile.
const ELSEWHERE: Limits = Limits {
    time: Duration::from_secs(2),
    entries: 20_000,
};

pub fn survey(
    memories: &Path,
    cache: Option<&Path>,
    model: &str,
    (places, looks): (&Places, &mut Looks),
) -> Survey {
    let cache = match cache {
        Some(root) => Some(ModelCache::at(root)),
        None => ModelCache::open().ok(),
    };
    let threads = thread::available_parallelism().map_or(1, usize::from);
    empty_trash(memories, KEPT);
    let elsewhere = places.survey(ELSEWHERE, looks);
    let found = elsewhere.found.into_iter().map(of_another_program);
    let shared = places.hugging_face.first().map(PathBuf::as_path);
    let mut models = models(cache.as_ref(), shared);
    models.extend(found);
    add_chosen(&mut models, cache.as_ref(), model);
    Survey {
        devices: devices(threads),
        models,
        notes: elsewhere.notes,
        unfinished: unfinished(memories),
        processor_threads: threads,
        processor_bytes: Device::cpu(1).available_bytes(),
    }
}

fn devices(threads: usize) -> Vec<DeviceInfo> {
    let adapters = list_adapters(Precision::Exact);
    let any = adapters.iter().any(|a| a.automatic);
    let gpus = adapters.into_iter().map(|adapter| DeviceInfo {
        choice: DeviceChoice::Index(adapter.index),
        name: adapter.name,
        kind: adapter.kind.name().to_owned(),
        memory_bytes: adapter.memory_bytes,
        automatic: adapter.automatic,
        is_gpu: true,
        is_software: adapter.kind == AdapterKind::Software,
    });
    let processor = DeviceInfo {
        choice: DeviceChoice::Cpu,
        name: "Processor".to_owned(),
        kind: match threads {
            1 => "1 thread".to_owned(),
            threads => format!("{threads} threads"),
        },
        memory_bytes: None,
        automatic: !any,
        is_gpu: false,
        is_software: false,
    };
    gpus.chain([processor]).collect()
}

fn models(cache: Option<&ModelCache>, shared: Option<&Path>) -> Vec<ModelEntry> {
    let known = KNOWN.iter().map(|model| {
        let path = cache.and_then(|cache| find_known(cache, shared, model));
        ModelEntry {
            name: model.name.to_owned(),
            description: model.description.to_owned(),
            licence: Some(model.licence),
            licence_url: Some(model.licence_url),
            bytes: model.bytes,
            here: path.is_some(),
            config: Some((model.config)()),
            program: None,
            kind: model.quantisation.to_owned(),
            fault: None,
        }
    });
    let listed = cache.map(ModelCache::list).unwrap_or_default();
    let others = listed.into_iter().filter(|model| model.known.is_none());
    let others = others.map(|model| on_disk(model.name, &model.path));
    known.chain(others).collect()
}

/// The model in use, where it is a file or folder that no list has.
fn add_chosen(models: &mut Vec<ModelEntry>, cache: Option<&ModelCache>, chosen: &str) {
    if models.iter().any(|entry| entry.name == chosen) {
        return;
    }
    if let Ok(ModelSpec::Gguf(path) | ModelSpec::Folder(path)) = locate::resolve(chosen, cache) {
        models.push(on_disk(chosen.to_owned(), &path));
    }
}

fn of_another_program(found: Found) -> ModelEntry {
    let kind = [found.architecture, found.quantisation];
    let kind: Vec<String> = kind.into_iter().flatten().collect();
    ModelEntry {
        name: found.name,
        description: String::new(),
        licence: None,
        licence_url: None,
        bytes: found.bytes,
        here: true,
        config: found.config,
        program: Some(found.program),
        kind: kind.join(" "),
        fault: found.fault,
    }
}

/// A model that is on this computer: its sizes are at the beginning of its file.
fn on_disk(name: String, path: &Path) -> ModelEntry {
    let file = WeightFile::open(path).ok();
    ModelEntry {
        name,
        description: String::new(),
        licence: None,
        licence_url: None,
        bytes: file.as_ref().map_or(0, WeightFile::total_bytes),
        here: true,
        config: file.and_then(|file| file.config().ok()),
        program: None,
        kind: String::new(),
        fault: None,
    }
}

fn unfinished(memories: &Path) -> Vec<UnfinishedInfo> {
    let runs = Unfinished::list(memories).into_iter();
    let infos = runs.filter_map(|run| {
        let events: Vec<Event> = run.events().ok()?;
        let kept = events.iter().rev().find_map(|event| match event {
            Event::Checkpointed { step } => Some(*step),
            _ => None,
        });
        let of = run.file.settings.get("budget").and_then(|b| b.as_u64());
        // One that nothing was learned in yet is started again as easily.
        Some(UnfinishedInfo {
            step: kept?,
            of: of.unwrap_or(0) as usize,
            document: run.file.document.name,
            model: run.file.model.info.name,
            folder: run.folder,
        })
    });
    infos.collect()
}
