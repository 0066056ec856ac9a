//! The folder of a training run: the model as it is at the last checkpoint, what the run goes on
//! from, and its events.
//!
//! `training.safetensors` alone decides what a run goes on from; it is replaced as a whole.

use std::fs::{self, File, OpenOptions};
use std::io::Read as _;
use std::path::{Path, PathBuf};

use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::base::Beside;
use super::error::TrainError;
use super::event::Event;
use super::meta::Inner;
use super::run::{Keeper, Progress, Trainer};
use super::settings::TrainSettings;
use crate::memory::disk::Disk;
use crate::model::config::ModelConfig;
use crate::model::flat::FlatLayout;
use crate::model::train::TrainerState;

const STATE: &str = "training.safetensors";
const EVENTS: &str = "events.jsonl";
const MODEL: &str = "model.safetensors";
const CONFIG: &str = "config.json";
const TOKENIZER: &str = "tokenizer.json";
const TOKENIZER_CONFIG: &str = "tokenizer_config.json";
/// Key of the file's metadata that holds [`Kept`].
const KEPT: &str = "inscribe";

/// What a checkpoint says beside its numbers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Kept {
    settings: TrainSettings,
    progress: Progress,
    /// Steps that the optimiser has counted.
    optimizer_steps: u64,
    /// Bytes of events that belong to it.
    events_bytes: u64,
}

/// The folder of a run.
pub struct RunFolder {
    folder: PathBuf,
    disk: Disk,
    events: File,
    /// Held as long as the run goes on.
    _lock: File,
}

/// What a run goes on from.
pub struct Stopped {
    pub settings: TrainSettings,
    pub progress: Progress,
    pub state: TrainerState,
}

impl RunFolder {
    /// A new run's folder. Refuses one that holds anything.
    pub fn create(folder: &Path) -> Result<RunFolder, TrainError> {
        let taken = fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_some());
        if taken {
            let detail = "holds something already; resume the run that stands there, or choose \
                          another folder";
            return Err(TrainError::file(folder, detail));
        }
        let disk = Disk::default();
        disk.create_folder(folder)?;
        RunFolder::open(folder, disk)
    }

    /// The folder of a run that was stopped, and what it goes on from.
    pub fn resume(folder: &Path) -> Result<(RunFolder, Stopped), TrainError> {
        let path = folder.join(STATE);
        let (kept, state) = read_state(&path)?;
        let own = RunFolder::open(folder, Disk::default())?;
        let events = folder.join(EVENTS);
        let length = own.events.metadata().map_or(0, |meta| meta.len());
        if length < kept.events_bytes {
            return Err(TrainError::file(
                &events,
                "is shorter than the run's state says: it was changed",
            ));
        }
        own.events
            .set_len(kept.events_bytes)
            .map_err(|e| TrainError::file(&events, format!("cannot be written: {e}")))?;
        let stopped = Stopped {
            settings: kept.settings,
            progress: kept.progress,
            state,
        };
        Ok((own, stopped))
    }

    fn open(folder: &Path, disk: Disk) -> Result<RunFolder, TrainError> {
        let open = |name: &str| {
            let path = folder.join(name);
            let file = OpenOptions::new().create(true).append(true).open(&path);
            file.map_err(|e| TrainError::file(&path, format!("cannot be written: {e}")))
        };
        let lock = open(".lock")?;
        if lock.try_lock().is_err() {
            let detail = "is being trained by another run of this program; wait for it or stop it";
            return Err(TrainError::file(folder, detail));
        }
        Ok(RunFolder {
            folder: folder.to_owned(),
            events: open(EVENTS)?,
            disk,
            _lock: lock,
        })
    }

    /// Replaces the model's files.
    fn keep_model(&self, trainer: &Trainer, params: &[f32]) -> Result<(), TrainError> {
        let (net, settings) = (&trainer.net, &trainer.settings);
        let inner = settings.inner_at(&trainer.stage());
        let rate = super::meta::rate(net, &inner)?;
        if let Some(base) = &settings.base {
            let inner = Inner {
                alpha: rate,
                ..inner
            };
            let beside = Beside::of(base, net, params, inner);
            return beside.save(&self.disk, &self.folder, &net.config);
        }
        let bytes = model_bytes(&net.layout, &net.config, params)
            .map_err(|detail| TrainError::file(&self.folder.join(MODEL), detail))?;
        let mut config = net.config.to_json();
        config.insert("K".to_owned(), json!(inner.steps));
        config.insert("lr".to_owned(), short(rate));
        config.insert("inner_clip_norm".to_owned(), json!(inner.clip));
        let config = Value::from(config);
        let own = trainer.task().tokenizer();
        let texts = own.map(|own| [(TOKENIZER, own.tokenizer), (TOKENIZER_CONFIG, own.config)]);
        let texts = texts.into_iter().flatten();
        for (name, text) in texts.chain([(CONFIG, format!("{config:#}\n"))]) {
            self.disk.write(&self.folder.join(name), text.as_bytes())?;
        }
        Ok(self.disk.write(&self.folder.join(MODEL), &bytes)?)
    }
}

/// A number of 32 bits by its own few digits.
fn short(value: f32) -> Value {
    value
        .to_string()
        .parse::<f64>()
        .map_or(Value::Null, |v| json!(v))
}

impl Keeper for RunFolder {
    fn event(&mut self, event: &Event) -> Result<(), TrainError> {
        let path = self.folder.join(EVENTS);
        let line = serde_json::to_string(event)
            .map_err(|e| TrainError::file(&path, format!("an event cannot be written: {e}")))?;
        let bytes = format!("{line}\n");
        Ok(self
            .disk
            .append(&mut self.events, &path, bytes.as_bytes())?)
    }

    fn checkpoint(&mut self, trainer: &Trainer) -> Result<(), TrainError> {
        let path = self.folder.join(STATE);
        let state = trainer.net.state()?;
        self.disk.sync(&self.events, &self.folder.join(EVENTS))?;
        let kept = Kept {
            settings: trainer.settings.clone(),
            progress: trainer.progress.clone(),
            optimizer_steps: state.steps,
            events_bytes: self.events.metadata().map_or(0, |meta| meta.len()),
        };
        let bytes = state_bytes(&kept, &state).map_err(|detail| TrainError::file(&path, detail))?;
        self.disk.write(&path, &bytes)?;
        self.keep_model(trainer, &state.params)
    }
}

/// A checkpoint of the model, and of what it carries for its memory.
pub fn model_bytes(
    layout: &FlatLayout,
    config: &ModelConfig,
    params: &[f32],
) -> Result<Vec<u8>, String> {
    let saved: Vec<_> = layout.saved(config, params).collect();
    let views = saved.iter().map(|(entry, values)| {
        // Vectors have one dimension, embeddings two even where there is but one.
        let is_vector = entry.rows == 1 && (entry.role.is_some() || entry.name.ends_with(".bias"));
        let shape = if is_vector {
            vec![entry.cols]
        } else {
            vec![entry.rows, entry.cols]
        };
        let view = TensorView::new(Dtype::F32, shape, bytemuck::cast_slice(values));
        view.map(|view| (entry.name.clone(), view))
            .map_err(|e| e.to_string())
    });
    let views = views.collect::<Result<Vec<_>, _>>()?;
    let metadata = [("format".to_owned(), "pt".to_owned())];
    safetensors::serialize(views, Some(metadata.into())).map_err(|e| e.to_string())
}

fn state_bytes(kept: &Kept, state: &TrainerState) -> Result<Vec<u8>, String> {
    let parts = [("params", &state.params), ("m", &state.m), ("v", &state.v)];
    let views = parts.into_iter().map(|(name, values)| {
        let bytes = bytemuck::cast_slice(values);
        let view = TensorView::new(Dtype::F32, vec![values.len()], bytes);
        view.map(|view| (name, view)).map_err(|e| e.to_string())
    });
    let views = views.collect::<Result<Vec<_>, _>>()?;
    let kept = serde_json::to_string(kept).map_err(|e| e.to_string())?;
    let metadata = [(KEPT.to_owned(), kept)];
    safetensors::serialize(views, Some(metadata.into())).map_err(|e| e.to_string())
}

fn read_state(path: &Path) -> Result<(Kept, TrainerState), TrainError> {
    let mut bytes = Vec::new();
    let opened = File::open(path).and_then(|mut file| file.read_to_end(&mut bytes));
    opened.map_err(|e| {
        let detail = match e.kind() {
            std::io::ErrorKind::NotFound => "is missing: no run was stopped here".to_owned(),
            _ => format!("cannot be read: {e}"),
        };
        TrainError::file(path, detail)
    })?;
    let damaged = |what: &str| {
        TrainError::file(
            path,
            format!("is damaged ({what}); delete its folder to start again"),
        )
    };
    let (_, metadata) = SafeTensors::read_metadata(&bytes).map_err(|e| damaged(&e.to_string()))?;
    let kept = metadata.metadata().as_ref().and_then(|all| all.get(KEPT));
    let kept = kept.ok_or_else(|| damaged("it says nothing of a run"))?;
    let kept: Kept = serde_json::from_str(kept).map_err(|e| damaged(&e.to_string()))?;
    let file = SafeTensors::deserialize(&bytes).map_err(|e| damaged(&e.to_string()))?;
    let numbers = |name: &str| -> Result<Vec<f32>, TrainError> {
        let view = file.tensor(name).map_err(|e| damaged(&e.to_string()))?;
        if view.dtype() != Dtype::F32 {
            return Err(damaged("its numbers are of another type"));
        }
        Ok(bytemuck::pod_collect_to_vec(view.data()))
    };
    let state = TrainerState {
        params: numbers("params")?,
        m: numbers("m")?,
        v: numbers("v")?,
        steps: kept.optimizer_steps,
    };
    Ok((kept, state))
}
