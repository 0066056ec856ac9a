//! The folder of a training run: the model as it is at the last checkpoint, what the run goes on
//! from, and its events.
//!
//! `training.safetensors` alone decides what a run goes on from; it is replaced as a whole.

use std::fs::{self, File, OpenOptions};
use std::io::Read as _;
use std::path::{Path, PathBuf};

use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::base::Beside;
use super::error::TrainError;
use super::event::Event;
use super::meta::Inner;
use super::net::Net;
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
/// Keys of the file's metadata that hold [`Kept`] and the kind of run.
const KEPT: &str = "inscribe";
const KIND: &str = "kind";

/// Runs that learn to be written to; those kept before there were others say nothing of it.
const TO_BE_WRITTEN: &str = "to be written to";

/// What a checkpoint says beside its numbers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Kept<S, P> {
    settings: S,
    progress: P,
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
pub struct Stopped<S = TrainSettings, P = Progress> {
    pub settings: S,
    pub progress: P,
    pub state: TrainerState,
}

impl RunFolder {
    /// A new run's folder. Refuses one that holds anything.
    pub fn create(folder: &Path) -> Result<RunFolder, TrainError> {
        let taken = fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_some());
        if taken {
            return Err(TrainError::Taken {
                path: folder.display().to_string(),
            });
        }
        let disk = Disk::default();
        disk.create_folder(folder)?;
        RunFolder::open(folder, disk)
    }

    /// The folder of a run that was stopped, and what it goes on from.
    pub fn resume(folder: &Path) -> Result<(RunFolder, Stopped), TrainError> {
        RunFolder::resume_kind(TO_BE_WRITTEN, folder)
    }

    /// As [`RunFolder::resume`], of a kind of run.
    pub(super) fn resume_kind<S: DeserializeOwned, P: DeserializeOwned>(
        kind: &str,
        folder: &Path,
    ) -> Result<(RunFolder, Stopped<S, P>), TrainError> {
        let path = folder.join(STATE);
        let (kept, state): (Kept<S, P>, _) = read_state(kind, &path)?;
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

    /// Adds an event, as one line.
    pub(super) fn append(&mut self, event: &impl Serialize) -> Result<(), TrainError> {
        let path = self.folder.join(EVENTS);
        let line = serde_json::to_string(event)
            .map_err(|e| TrainError::file(&path, format!("an event cannot be written: {e}")))?;
        let bytes = format!("{line}\n");
        Ok(self
            .disk
            .append(&mut self.events, &path, bytes.as_bytes())?)
    }

    /// Replaces what the run goes on from.
    pub(super) fn keep_state<S: Serialize, P: Serialize>(
        &self,
        kind: &str,
        settings: S,
        progress: P,
        state: &TrainerState,
    ) -> Result<(), TrainError> {
        let path = self.folder.join(STATE);
        self.disk.sync(&self.events, &self.folder.join(EVENTS))?;
        let kept = Kept {
            settings,
            progress,
            optimizer_steps: state.steps,
            events_bytes: self.events.metadata().map_or(0, |meta| meta.len()),
        };
        let bytes =
            state_bytes(kind, &kept, state).map_err(|detail| TrainError::file(&path, detail))?;
        Ok(self.disk.write(&path, &bytes)?)
    }

    /// Replaces a model's weights and config.
    pub(super) fn keep_weights(
        &self,
        net: &Net,
        params: &[f32],
        config: Map<String, Value>,
    ) -> Result<(), TrainError> {
        let path = self.folder.join(MODEL);
        let bytes = model_bytes(&net.layout, &net.config, params)
            .map_err(|detail| TrainError::file(&path, detail))?;
        let text = format!("{:#}\n", Value::from(config));
        self.keep_file(CONFIG, text.as_bytes())?;
        Ok(self.disk.write(&path, &bytes)?)
    }

    /// Replaces a file.
    pub(super) fn keep_file(&self, name: &str, bytes: &[u8]) -> Result<(), TrainError> {
        Ok(self.disk.write(&self.folder.join(name), bytes)?)
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
        let mut config = net.config.to_json();
        config.insert("K".to_owned(), json!(inner.steps));
        config.insert("lr".to_owned(), short(rate));
        config.insert("inner_clip_norm".to_owned(), json!(inner.clip));
        if let Some(own) = trainer.task().tokenizer() {
            self.keep_file(TOKENIZER, own.tokenizer.as_bytes())?;
            self.keep_file(TOKENIZER_CONFIG, own.config.as_bytes())?;
        }
        self.keep_weights(net, params, config)
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
        self.append(event)
    }

    fn checkpoint(&mut self, trainer: &Trainer) -> Result<(), TrainError> {
        let state = trainer.net.state()?;
        let (settings, progress) = (&trainer.settings, &trainer.progress);
        self.keep_state(TO_BE_WRITTEN, settings, progress, &state)?;
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

fn state_bytes(
    kind: &str,
    kept: &Kept<impl Serialize, impl Serialize>,
    state: &TrainerState,
) -> Result<Vec<u8>, String> {
    let parts = [("params", &state.params), ("m", &state.m), ("v", &state.v)];
    let views = parts.into_iter().map(|(name, values)| {
        let bytes = bytemuck::cast_slice(values);
        let view = TensorView::new(Dtype::F32, vec![values.len()], bytes);
        view.map(|view| (name, view)).map_err(|e| e.to_string())
    });
    let views = views.collect::<Result<Vec<_>, _>>()?;
    let kept = serde_json::to_string(kept).map_err(|e| e.to_string())?;
    let metadata = [(KEPT.to_owned(), kept), (KIND.to_owned(), kind.to_owned())];
    safetensors::serialize(views, Some(metadata.into())).map_err(|e| e.to_string())
}

fn read_state<S: DeserializeOwned, P: DeserializeOwned>(
    kind: &str,
    path: &Path,
) -> Result<(Kept<S, P>, TrainerState), TrainError> {
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
    let said = |key: &str| metadata.metadata().as_ref().and_then(|all| all.get(key));
    let found = said(KIND).map_or(TO_BE_WRITTEN, |kind| kind);
    if found != kind {
        let detail = format!("belongs to a run of another kind: a model trained {found}");
        return Err(TrainError::file(path, detail));
    }
    let kept = said(KEPT).ok_or_else(|| damaged("it says nothing of a run"))?;
    let kept: Kept<S, P> = serde_json::from_str(kept).map_err(|e| damaged(&e.to_string()))?;
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
