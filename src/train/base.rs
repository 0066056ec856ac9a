//! Training beside a model that stays as it is: the memory that writing starts from and how it
//! enters the model, and an adapter (LoRA) that writing alone goes through. Questions are read by
//! the plain model.

use std::collections::BTreeMap;
use std::path::Path;

use rand_pcg::Pcg64Mcg;
use safetensors::SafeTensors;
use safetensors::tensor::Dtype;
use serde::{Deserialize, Serialize};

use super::error::TrainError;
use super::meta::Inner;
use super::net::{Net, names};
use super::settings::{NetShape, START, TrainSettings};
use super::store::model_bytes;
use crate::memory::disk::Disk;
use crate::memory::lora::{Lora, LoraConfig};
use crate::memory::store::StoredModel;
use crate::memory::{Content, fingerprint, peft};
use crate::model::adapter::{AdapterLayout, Projection};
use crate::model::config::ModelConfig;
use crate::model::draws::{below, generator};
use crate::model::error::ModelError;
use crate::model::flat::{FlatEntry, FlatLayout};
use crate::model::loaded::Loaded;

/// Says what a folder holds and which model it belongs to.
pub const DESCRIPTION: &str = "gradmem.json";
/// The memory that writing starts from, and how it enters the model.
pub const NUMBERS: &str = "gradmem.safetensors";
const VERSION: u32 = 1;

/// The model beside which a run trains.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Base {
    pub model: StoredModel,
    /// What it was opened by: a name or a path.
    pub opened_by: String,
    /// The adapter that writing goes through, if any.
    pub lora: Option<LoraConfig>,
}

/// The adapter of the published experiments with frozen models (rank 8, alpha 16), on every
/// projection: it is kept once for a model and not once for a memory, so that its size matters
/// little, and writing has to turn the model's errors at the text into a memory that another
/// reading understands, for which the MLPs are as much needed as attention is.
pub fn write_lora(rank: usize, alpha: f32) -> LoraConfig {
    LoraConfig {
        rank,
        alpha,
        targets: Projection::ALL.to_vec(),
    }
}

impl Base {
    pub fn new(
        loaded: &Loaded,
        opened_by: &str,
        lora: Option<LoraConfig>,
    ) -> Result<Base, TrainError> {
        Ok(Base {
            model: described(loaded)?,
            opened_by: opened_by.to_owned(),
            lora,
        })
    }

    /// Refuses another model than the one that this speaks of.
    pub fn check(&self, loaded: &Loaded) -> Result<(), TrainError> {
        is_same(&self.model, loaded)
            .map_err(|detail| TrainError::setting("base", format!("{detail}; open that one")))
    }

    fn adapter(&self, config: &ModelConfig) -> Option<(AdapterLayout, f32)> {
        let lora = self.lora.as_ref()?;
        let layout = AdapterLayout::new(config, lora.rank, &lora.targets);
        Some((layout, lora.scale()))
    }

    /// What is trained, as it is before the first step: memory and control rows are embeddings of
    /// random tokens, the projection changes nothing, nor does the adapter.
    pub fn net(&self, loaded: &Loaded, settings: &TrainSettings) -> Result<Net, TrainError> {
        let config = loaded.config();
        let adapter = self.adapter(config);
        let layout = settings.net.layout_beside(config, adapter.as_ref());
        let mut random = generator(settings.seed, START);
        let mut flat = vec![0f32; layout.len];
        for entry in &layout.entries {
            let own = &mut flat[entry.range.clone()];
            match entry.name.as_str() {
                names::PROJECTION => own
                    .iter_mut()
                    .step_by(entry.cols + 1)
                    .for_each(|diagonal| *diagonal = 1.0),
                names::PROJECTION_BIAS => {}
                names::LOG_ALPHA => own.fill(settings.inner.alpha.ln()),
                names::WRITE_LORA => {
                    if let (Some(lora), Some((layout, _))) = (&self.lora, &adapter) {
                        let lora = Lora::new(config, lora.clone(), settings.seed);
                        own.copy_from_slice(&lora.pack(layout));
                    }
                }
                _ => own.copy_from_slice(&embeddings(loaded, entry.rows, &mut random)?),
            }
        }
        let model = &loaded.transformer;
        Ok(Net::frozen(&loaded.device, model, adapter, layout, &flat)?)
    }
}

/// The embeddings of so many random tokens.
fn embeddings(loaded: &Loaded, rows: usize, random: &mut Pcg64Mcg) -> Result<Vec<f32>, ModelError> {
    let vocab = loaded.config().vocab as u64;
    let ids: Vec<u32> = (0..rows).map(|_| below(random, vocab) as u32).collect();
    loaded.transformer.embeddings(&loaded.device, &ids)
}

/// The model alone, as it reads without a memory.
pub fn plain(loaded: &Loaded) -> Result<Net, ModelError> {
    let mut layout = FlatLayout::default();
    // No pass reads it; an optimiser of nothing cannot be made.
    layout.push(names::LOG_ALPHA, 1, 1);
    let initial = vec![0.0; layout.len];
    Net::frozen(&loaded.device, &loaded.transformer, None, layout, &initial)
}

fn described(loaded: &Loaded) -> Result<StoredModel, TrainError> {
    let hash = fingerprint(&loaded.model.file)?;
    Ok(StoredModel::new(&loaded.model.name, &hash, loaded.config()))
}

fn is_same(wanted: &StoredModel, loaded: &Loaded) -> Result<(), String> {
    let found = described(loaded).map_err(|e| e.to_string())?;
    if found.info.fingerprint == wanted.info.fingerprint {
        return Ok(());
    }
    Err(format!("belongs to {wanted}, and this is {found}"))
}

impl NetShape {
    /// The sizes of a model that is there already.
    pub fn sized(self, config: &ModelConfig) -> NetShape {
        NetShape {
            layers: config.layers,
            hidden: config.hidden,
            heads: config.heads,
            ffn: config.ffn,
            ..self
        }
    }

    /// Where what is trained beside a frozen model lies.
    fn layout_beside(
        &self,
        config: &ModelConfig,
        adapter: Option<&(AdapterLayout, f32)>,
    ) -> FlatLayout {
        let mut layout = FlatLayout::default();
        self.push_beside(&mut layout, config);
        if let Some((adapter, _)) = adapter {
            layout.push(names::WRITE_LORA, 1, adapter.len);
        }
        layout
    }
}

/// The contents of [`DESCRIPTION`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Description {
    version: u32,
    /// Name and version of the program that trained it.
    program: String,
    model: StoredModel,
    memory_rows: usize,
    /// Gradient steps on the memory, their rate, and the norm that each gradient is scaled down to.
    #[serde(rename = "K")]
    steps: usize,
    lr: f32,
    inner_clip_norm: Option<f32>,
    /// Whether an adapter lies beside it, in PEFT's form.
    lora: bool,
}

/// What was trained beside a model, read back.
#[derive(Clone, Debug, PartialEq)]
pub struct Beside {
    pub model: StoredModel,
    pub layout: FlatLayout,
    pub numbers: Vec<f32>,
    pub lora: Option<Lora>,
    pub inner: Inner,
}

impl Beside {
    /// What a net on `base` holds, of which `params` are the numbers. `inner` is how memories are
    /// written with it, its rate included.
    pub fn of(base: &Base, net: &Net, params: &[f32], inner: Inner) -> Beside {
        let adapter = net.layout.entry(names::WRITE_LORA);
        let lora = base.lora.as_ref().zip(adapter).map(|(lora, entry)| {
            let layout = AdapterLayout::new(&net.config, lora.rank, &lora.targets);
            Lora::unpack(lora.clone(), &layout, entry.numbers(params))
        });
        let mut layout = FlatLayout::default();
        let mut numbers = Vec::new();
        let rest = net.layout.entries.iter();
        for entry in rest.filter(|entry| entry.name != names::WRITE_LORA) {
            layout.push(&entry.name, entry.rows, entry.cols);
            let start = layout.entries.last().map_or(0, |own| own.range.start);
            numbers.resize(start, 0.0);
            numbers.extend(entry.numbers(params));
        }
        numbers.resize(layout.len, 0.0);
        Beside {
            model: base.model.clone(),
            layout,
            numbers,
            lora,
            inner,
        }
    }

    /// Writes it into a folder, in the place of what is there.
    pub(super) fn save(
        &self,
        disk: &Disk,
        folder: &Path,
        config: &ModelConfig,
    ) -> Result<(), TrainError> {
        let numbers = folder.join(NUMBERS);
        let bytes = model_bytes(&self.layout, config, &self.numbers)
            .map_err(|detail| TrainError::file(&numbers, detail))?;
        disk.write(&numbers, &bytes)?;
        if let Some(lora) = &self.lora {
            Content::new(lora.clone()).save(disk, folder, config, &self.model.info.name)?;
        }
        let memory = self.layout.entry(names::MEMORY);
        let description = Description {
            version: VERSION,
            program: format!("inscribe {}", env!("CARGO_PKG_VERSION")),
            model: self.model.clone(),
            memory_rows: memory.map_or(0, |memory| memory.rows),
            steps: self.inner.steps,
            lr: self.inner.alpha,
            inner_clip_norm: self.inner.clip,
            lora: self.lora.is_some(),
        };
        let path = folder.join(DESCRIPTION);
        let text = serde_json::to_string_pretty(&description)
            .map_err(|e| TrainError::file(&path, e.to_string()))?;
        Ok(disk.write(&path, format!("{text}\n").as_bytes())?)
    }

    /// What a folder holds for this model.
    pub fn open(folder: &Path, loaded: &Loaded) -> Result<Beside, TrainError> {
        let path = folder.join(DESCRIPTION);
        let text = std::fs::read_to_string(&path).map_err(|e| ModelError::open(&path, &e))?;
        let said: Description = serde_json::from_str(&text)
            .map_err(|e| TrainError::file(&path, format!("is damaged: {e}")))?;
        if said.version > VERSION {
            let detail = "was made by a newer version of this program; use that one";
            return Err(TrainError::file(&path, detail));
        }
        is_same(&said.model, loaded).map_err(|detail| TrainError::file(&path, detail))?;
        let (layout, numbers) = read_numbers(&folder.join(NUMBERS))?;
        let hidden = loaded.config().hidden;
        let memory = layout.entry(names::MEMORY);
        let fits = memory.is_some_and(|memory| memory.rows == said.memory_rows)
            && layout.entries.iter().all(|entry| has_size(entry, hidden));
        if !fits {
            let detail = "does not hold a memory of the size that is described beside it";
            return Err(TrainError::file(&folder.join(NUMBERS), detail));
        }
        let lora = if said.lora {
            let content = peft::load(folder, loaded.config())?;
            let lora = content.get::<Lora>().cloned();
            let err = || TrainError::file(folder, "holds an adapter of another kind");
            Some(lora.ok_or_else(err)?)
        } else {
            None
        };
        Ok(Beside {
            model: said.model,
            layout,
            numbers,
            lora,
            inner: Inner {
                steps: said.steps,
                alpha: said.lr,
                clip: said.inner_clip_norm,
                ..Inner::default()
            },
        })
    }

    /// It and its model, to be written to.
    pub fn net(&self, loaded: &Loaded) -> Result<Net, ModelError> {
        let (mut layout, mut numbers) = (self.layout.clone(), self.numbers.clone());
        let adapter = self.lora.as_ref().map(|lora| {
            let adapter = lora.layout(loaded.config());
            layout.push(names::WRITE_LORA, 1, adapter.len);
            numbers.extend(lora.pack(&adapter));
            numbers.resize(layout.len, 0.0);
            (adapter, lora.config.scale())
        });
        let model = &loaded.transformer;
        Net::frozen(&loaded.device, model, adapter, layout, &numbers)
    }
}

/// Whether something trained beside a model of this width is as wide as it must be.
fn has_size(entry: &FlatEntry, hidden: usize) -> bool {
    let size = (entry.rows, entry.cols);
    match entry.name.as_str() {
        names::LOG_ALPHA => size == (1, 1),
        names::PROJECTION => size == (hidden, hidden),
        names::PROJECTION_BIAS => size == (1, hidden),
        names::WRITE_HEAD | names::WRITE_LORA => false,
        _ => entry.cols == hidden,
    }
}

fn read_numbers(path: &Path) -> Result<(FlatLayout, Vec<f32>), TrainError> {
    let bytes = std::fs::read(path).map_err(|e| ModelError::open(path, &e))?;
    let file = SafeTensors::deserialize(&bytes)
        .map_err(|e| TrainError::file(path, format!("is damaged: {e}")))?;
    let mut found = BTreeMap::new();
    for (name, view) in file.tensors() {
        if view.dtype() != Dtype::F32 {
            let detail = format!("tensor '{name}' is not in 32-bit floats");
            return Err(TrainError::file(path, detail));
        }
        let cols = view.shape().last().copied().unwrap_or(1);
        let own: Vec<f32> = bytemuck::pod_collect_to_vec(view.data());
        found.insert(name, (cols, own));
    }
    let (mut layout, mut numbers) = (FlatLayout::default(), Vec::new());
    for name in names::all() {
        let Some((cols, own)) = found.get(name).filter(|(cols, _)| *cols > 0) else {
            continue;
        };
        layout.push(name, own.len() / cols, *cols);
        numbers.extend(own);
        numbers.resize(layout.len, 0.0);
    }
    Ok((layout, numbers))
}
