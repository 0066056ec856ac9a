//! What a model carries that was trained to be written to by gradient steps (GradMem, arXiv
//! 2603.13875).
//!
//! Names are those of the authors' code (github.com/yurakuratov/gradmem, class `GradMemGPT`): the
//! base model's tensors have names that begin with `model.`, and next to them are
//!
//! - `mem` (tokens x hidden): what memory tokens start from, M_0;
//! - `mem_proj.weight`, `.bias`: `W m + b` enters the model instead of a memory token `m`, also
//!   when it is read, unless `read_mem_proj` is there for that;
//! - `write_head.weight`: scores the text in place of the model's own head while it is written;
//! - `write_st`, `write_end`, `read_st`, `read_end`: embeddings around the memory tokens.
//!
//! `config.json` says `"model_type": "grad_memgpt"`, the base model's own config under
//! `base_config`, the steps as `K`, their rate as `lr`, and `inner_clip_norm`. A base model's own
//! `config.json` is fine too: then the authors' defaults hold, two steps at 0.01.

use std::fmt;
use std::path::Path;

use serde_json::{Map, Value};

use crate::engine::{DType, Device, EngineError, Recording, Tensor, Weight};
use crate::kernels::matmul::{Onto, matmul};
use crate::kernels::matmul_back::matmul_back;
use crate::kernels::optimizer::add;
use crate::kernels::quant::dequantize_row;
use crate::model::config::ModelConfig;
use crate::model::error::ModelError;
use crate::model::safetensors::read_json_text;
use crate::model::transformer::Head;
use crate::model::weights::{TensorBytes, WeightFile};

/// `model_type` of the authors' checkpoints.
pub const MODEL_TYPE: &str = "grad_memgpt";
/// The authors' defaults.
const STEPS: usize = 2;
const RATE: f32 = 0.01;
const MOST_STEPS: u64 = 1 << 16;

/// What files hold of how memory tokens enter the model.
#[derive(Clone, Default)]
struct Entry {
    before: Option<TensorBytes>,
    projection: Option<(TensorBytes, TensorBytes)>,
    after: Option<TensorBytes>,
}

/// What a model carries for its memory.
#[derive(Clone)]
pub struct GradMem {
    /// Number of memory tokens.
    pub rows: usize,
    pub hidden: usize,
    /// Memory tokens before the first step (M_0), `rows x hidden`, row by row.
    pub initial: Vec<f32>,
    /// Number of steps that the model was trained to be written with (K).
    pub steps: usize,
    pub lr: f32,
    /// Norm that gradients are scaled down to; 0 where none is.
    pub clip: f32,
    pub adam: bool,
    write: Entry,
    read: Entry,
    head: Option<TensorBytes>,
}

impl GradMem {
    /// What the model in `file` carries; `None` for one that was not trained so.
    pub fn of(file: &WeightFile, config: &ModelConfig) -> Result<Option<GradMem>, ModelError> {
        let WeightFile::Safetensors(_) = file else {
            return Ok(None);
        };
        let Some(memory) = file.tensor("mem") else {
            return Ok(None);
        };
        let (rows, hidden) = (memory.rows, config.hidden);
        let tensors = Tensors { file, hidden };
        let initial = numbers(tensors.shaped("mem", rows, hidden)?.as_ref());
        if rows == 0 {
            return Err(tensors.wrong("mem", "is empty"));
        }
        let path = file.path().join("config.json");
        let value: Value = serde_json::from_str(&read_json_text(&path)?)
            .map_err(|e| ModelError::file(&path, format!("not valid JSON: {e}; fetch it again")))?;
        let none = Map::new();
        let fields = TrainedFields {
            path: &path,
            map: value.as_object().unwrap_or(&none),
        };
        fields.refuse_what_cannot_be_written()?;
        let projection = tensors.linear("mem_proj")?;
        let read_projection = tensors.linear("read_mem_proj")?;
        Ok(Some(GradMem {
            rows,
            hidden,
            initial,
            steps: fields.count("K", STEPS)?,
            lr: fields.number("lr")?.unwrap_or(RATE),
            clip: fields.number("inner_clip_norm")?.unwrap_or(0.0),
            adam: fields.is("use_adam"),
            write: Entry {
                before: tensors.rows("write_st")?,
                projection: projection.clone(),
                after: tensors.rows("write_end")?,
            },
            read: Entry {
                before: tensors.rows("read_st")?,
                projection: read_projection.or(projection),
                after: tensors.rows("read_end")?,
            },
            head: tensors.shaped("write_head.weight", config.vocab, hidden)?,
        }))
    }

    /// How memory tokens enter the model while they are written.
    pub fn writing(&self, device: &Device) -> Result<MemoryPath, ModelError> {
        MemoryPath::new(device, &self.write, self.head.as_ref(), self.hidden)
    }

    /// What comes before a question for written memory tokens: rows of `hidden` numbers.
    pub fn read(&self, device: &Device, memory: &[f32]) -> Result<Vec<f32>, ModelError> {
        let way = MemoryPath::new(device, &self.read, None, self.hidden)?;
        let memory = device.tensor_of(DType::F32, memory, "the memory")?;
        let memory = memory.reshape(memory.cols / self.hidden, self.hidden);
        let out = device.tensor(
            DType::F32,
            way.rows(memory.rows),
            self.hidden,
            "what is read",
        )?;
        let mut rec = Recording::new();
        let entered = way.enter(&mut rec, &memory);
        rec.copy(&entered, &out);
        device.run_once(rec)?;
        Ok(device.read(&out)?)
    }
}

/// How memory tokens enter the model, on a device.
pub struct MemoryPath {
    before: Option<Tensor>,
    projection: Option<(Weight, Tensor)>,
    after: Option<Tensor>,
    /// Weights that score the text in place of the model's own head, if any.
    pub head: Option<Head>,
}

impl fmt::Debug for MemoryPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryPath")
            .field("rows_around", &self.rows(0))
            .field("projection", &self.projection.is_some())
            .field("head", &self.head.is_some())
            .finish()
    }
}

impl MemoryPath {
    fn new(
        device: &Device,
        entry: &Entry,
        head: Option<&TensorBytes>,
        hidden: usize,
    ) -> Result<MemoryPath, ModelError> {
        let vector = |tensor: &TensorBytes| -> Result<Tensor, EngineError> {
            device.tensor_of(DType::F32, &numbers(Some(tensor)), &tensor.name)
        };
        let around = |tensor: &Option<TensorBytes>| -> Result<Option<Tensor>, EngineError> {
            let Some(tensor) = tensor else {
                return Ok(None);
            };
            Ok(Some(vector(tensor)?.reshape(tensor.rows, hidden)))
        };
        let projection = match &entry.projection {
            Some((weight, bias)) => Some((on_device(device, weight)?, vector(bias)?)),
            None => None,
        };
        Ok(MemoryPath {
            before: around(&entry.before)?,
            projection,
            after: around(&entry.after)?,
            head: match head {
                Some(head) => Some(Head {
                    weight: on_device(device, head)?,
                    grads: None,
                }),
                None => None,
            },
        })
    }

    /// Rows that enter the model for so many memory tokens.
    pub fn rows(&self, memory: usize) -> usize {
        let of = |t: &Option<Tensor>| t.as_ref().map_or(0, |t| t.rows);
        of(&self.before) + memory + of(&self.after)
    }

    /// Appends what enters the model for memory tokens: `before, W m + b, after`.
    pub fn enter(&self, rec: &mut Recording, memory: &Tensor) -> Tensor {
        let rows = rec.temp(DType::F32, self.rows(memory.rows), memory.cols);
        let place = self.place(memory.rows);
        if let Some(before) = &self.before {
            rec.copy(before, &rows.row_range(0..place.start));
        }
        let own = rows.row_range(place.clone());
        match &self.projection {
            Some((weight, bias)) => matmul(rec, memory, weight, Some(bias), &own, Onto::Replace),
            None => rec.copy(memory, &own),
        }
        if let Some(after) = &self.after {
            rec.copy(after, &rows.row_range(place.end..rows.rows));
        }
        rows
    }

    /// Adds to `d_memory` what the gradient of the rows that [`MemoryPath::enter`] made comes to.
    pub fn back(&self, rec: &mut Recording, d_rows: &Tensor, d_memory: &Tensor) {
        let own = d_rows.row_range(self.place(d_memory.rows));
        match &self.projection {
            Some((weight, _)) => matmul_back(rec, &own, weight, d_memory, Onto::Add),
            None => add(rec, d_memory, &own),
        }
    }

    fn place(&self, memory: usize) -> std::ops::Range<usize> {
        let start = self.before.as_ref().map_or(0, |before| before.rows);
        start..start + memory
    }
}

fn on_device(device: &Device, tensor: &TensorBytes) -> Result<Weight, EngineError> {
    let TensorBytes {
        dtype, rows, cols, ..
    } = *tensor;
    device.weight(
        &tensor.map,
        tensor.range.clone(),
        dtype,
        rows,
        cols,
        &tensor.name,
    )
}

fn numbers(tensor: Option<&TensorBytes>) -> Vec<f32> {
    let Some(tensor) = tensor else {
        return Vec::new();
    };
    let mut values = vec![0.0; tensor.rows * tensor.cols];
    dequantize_row(tensor.dtype, tensor.bytes(), &mut values);
    values
}

/// Tensors of a checkpoint that are there or not, but not of another shape.
struct Tensors<'a> {
    file: &'a WeightFile,
    hidden: usize,
}

impl Tensors<'_> {
    fn wrong(&self, name: &str, detail: &str) -> ModelError {
        ModelError::field(self.file.path(), format!("tensor '{name}'"), detail)
    }

    fn shaped(
        &self,
        name: &str,
        rows: usize,
        cols: usize,
    ) -> Result<Option<TensorBytes>, ModelError> {
        let Some(tensor) = self.file.tensor(name) else {
            return Ok(None);
        };
        if (tensor.rows, tensor.cols) != (rows, cols) {
            let detail = format!(
                "is {} x {} and the config asks for {rows} x {cols}: they do not belong together",
                tensor.rows, tensor.cols
            );
            return Err(self.wrong(name, &detail));
        }
        Ok(Some(tensor.clone()))
    }

    /// Embeddings, however many.
    fn rows(&self, name: &str) -> Result<Option<TensorBytes>, ModelError> {
        let rows = self.file.tensor(name).map_or(0, |t| t.rows);
        self.shaped(name, rows, self.hidden)
    }

    fn linear(&self, name: &str) -> Result<Option<(TensorBytes, TensorBytes)>, ModelError> {
        let weight = self.shaped(&format!("{name}.weight"), self.hidden, self.hidden)?;
        let bias = self.shaped(&format!("{name}.bias"), 1, self.hidden)?;
        match (weight, bias) {
            (Some(weight), Some(bias)) => Ok(Some((weight, bias))),
            (None, None) => Ok(None),
            _ => Err(self.wrong(name, "has a weight or a bias and not the other")),
        }
    }
}

/// `config.json` where it is about memory.
struct TrainedFields<'a> {
    path: &'a Path,
    map: &'a Map<String, Value>,
}

impl TrainedFields<'_> {
    fn is(&self, name: &str) -> bool {
        self.map.get(name).and_then(Value::as_bool) == Some(true)
    }

    fn err(&self, name: &str, detail: &str) -> ModelError {
        ModelError::field(self.path, name, detail)
    }

    fn number(&self, name: &str) -> Result<Option<f32>, ModelError> {
        match self.map.get(name).filter(|v| !v.is_null()) {
            None => Ok(None),
            Some(value) => match value.as_f64().map(|v| v as f32) {
                Some(number) if number.is_finite() && number >= 0.0 => Ok(Some(number)),
                _ => Err(self.err(name, "must be a number of at least 0")),
            },
        }
    }

    fn count(&self, name: &str, default: usize) -> Result<usize, ModelError> {
        match self.map.get(name).filter(|v| !v.is_null()) {
            None => Ok(default),
            Some(value) => match value.as_u64().filter(|&n| n <= MOST_STEPS) {
                Some(count) => Ok(count as usize),
                None => Err(self.err(name, &format!("must be a whole number up to {MOST_STEPS}"))),
            },
        }
    }

    /// Kinds of memory that are not written as this program writes them.
    fn refuse_what_cannot_be_written(&self) -> Result<(), ModelError> {
        for name in ["use_write_lora", "use_hopfield_memory"] {
            if self.is(name) {
                return Err(self.err(name, "is true; such memories cannot be written"));
            }
        }
        for (name, good) in [
            ("mem_proj_mode", &["none", "proj", "proj_rw"][..]),
            ("memory_update", &["gradient"]),
            ("memory_backend", &["prefix"]),
        ] {
            let given = self.map.get(name).and_then(Value::as_str);
            if let Some(other) = given.filter(|given| !good.contains(given)) {
                let detail = format!("is '{other}'; only {} can be written", good.join(", "));
                return Err(self.err(name, &detail));
            }
        }
        if self.number("inner_clip_value")?.is_some() {
            let detail = "is set; only inner_clip_norm is supported";
            return Err(self.err("inner_clip_value", detail));
        }
        Ok(())
    }
}
