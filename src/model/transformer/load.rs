//! Putting a model's weights on a device.

use std::collections::{HashMap, HashSet};

use super::Transformer;
use super::assemble::Brings;
use crate::engine::{DType, Device, EngineError, Tensor, Weight, mib};
use crate::kernels::quant::dequantize_row;
use crate::kernels::random::random_weight;
use crate::model::config::ModelConfig;
use crate::model::error::ModelError;
use crate::model::names::Role;
use crate::model::weights::WeightFile;

impl Transformer {
    /// Puts every weight on the device. `progress` hears how many of the file's bytes are done, and
    /// ends the loading with its error.
    pub fn load(
        device: &Device,
        file: &WeightFile,
        config: ModelConfig,
        progress: &mut dyn FnMut(u64) -> Result<(), EngineError>,
    ) -> Result<Transformer, ModelError> {
        let (needed, available) = (file.total_bytes(), device.available_bytes());
        if let Some(available) = available.filter(|available| *available < needed) {
            return Err(ModelError::Engine(EngineError::WillNotFit {
                device: device.name().to_owned(),
                what: "the model's weights".to_owned(),
                needed_mib: mib(needed),
                available_mib: mib(available),
                remedy: "choose a smaller model or another device".to_owned(),
                advice: None,
            }));
        }
        let mut loader = Loader {
            device,
            file,
            config: &config,
            done: 0,
            used: HashSet::new(),
            progress,
        };
        let model = Transformer::assemble(config.clone(), &mut loader)?;
        loader.refuse_unused()?;
        Ok(model)
    }

    /// A model of this shape with random weights, for benchmarks. Layers share their weights'
    /// values, not their memory. `progress` hears of every weight, and ends it with its error.
    pub fn random(
        device: &Device,
        config: ModelConfig,
        dtype: DType,
        progress: &dyn Fn() -> Result<(), EngineError>,
    ) -> Result<Transformer, ModelError> {
        let mut random = Random {
            device,
            dtype,
            known: HashMap::new(),
            progress,
        };
        Transformer::assemble(config, &mut random)
    }
}

struct Random<'a> {
    device: &'a Device,
    dtype: DType,
    /// The values of weights of each shape.
    known: HashMap<(usize, usize), Vec<u8>>,
    progress: &'a dyn Fn() -> Result<(), EngineError>,
}

impl Brings<ModelError> for Random<'_> {
    fn matrix(&mut self, _: Role, rows: usize, cols: usize) -> Result<Weight, ModelError> {
        (self.progress)()?;
        // The embedding's width may not be whole blocks of the large types.
        let whole = cols.is_multiple_of(self.dtype.block_len());
        let dtype = if whole { self.dtype } else { DType::Q8_0 };
        let bytes = self
            .known
            .entry((rows, cols))
            .or_insert_with(|| random_weight(dtype, rows, cols, (rows + cols) as u64));
        let weight = self
            .device
            .weight_of(bytes, dtype, rows, cols, "random weights")?;
        Ok(weight)
    }

    fn vector(&mut self, role: Role, cols: usize) -> Result<Tensor, ModelError> {
        let value = if role.is_bias() { 0f32 } else { 1.0 };
        let what = "a random vector";
        Ok(self
            .device
            .tensor_of(DType::F32, &vec![value; cols], what)?)
    }
}

struct Loader<'a> {
    device: &'a Device,
    file: &'a WeightFile,
    config: &'a ModelConfig,
    done: u64,
    /// Names of the tensors that were loaded.
    used: HashSet<String>,
    progress: &'a mut dyn FnMut(u64) -> Result<(), EngineError>,
}

impl Brings<ModelError> for Loader<'_> {
    fn matrix(&mut self, role: Role, rows: usize, cols: usize) -> Result<Weight, ModelError> {
        let tensor = self.file.role(role, rows, cols)?;
        let size = tensor.range.len() as u64;
        let weight = self.device.weight(
            &tensor.map,
            tensor.range,
            tensor.dtype,
            rows,
            cols,
            &tensor.name,
        )?;
        self.used.insert(tensor.name);
        self.done += size;
        (self.progress)(self.done)?;
        Ok(weight)
    }

    /// Kept as f32.
    fn vector(&mut self, role: Role, cols: usize) -> Result<Tensor, ModelError> {
        let tensor = self.file.role(role, 1, cols)?;
        let mut values = vec![0f32; cols];
        dequantize_row(tensor.dtype, &tensor.map[tensor.range.clone()], &mut values);
        if self.config.norm_weight_plus_one && !role.is_bias() {
            values.iter_mut().for_each(|v| *v += 1.0);
        }
        let vector = self.device.tensor_of(DType::F32, &values, &tensor.name)?;
        self.used.insert(tensor.name);
        Ok(vector)
    }
}

impl Loader<'_> {
    /// Refuses tensors of a layer that nothing here uses: leaving them out would make every number
    /// wrong without a word.
    fn refuse_unused(&self) -> Result<(), ModelError> {
        let unused = self.file.tensors().find(|tensor| {
            let name = tensor.name.as_str();
            // Angles that old checkpoints carry along: the config gives them.
            let known = name.ends_with(".rotary_emb.inv_freq");
            let of_a_layer = name.starts_with("blk.") || name.starts_with("model.layers.");
            of_a_layer && !known && !self.used.contains(name)
        });
        let Some(tensor) = unused else { return Ok(()) };
        let field = format!("tensor '{}'", tensor.name);
        let detail = "plays no part in this architecture as it is run here, so that leaving it out \
                      would give wrong numbers; use another model";
        Err(ModelError::field(self.file.path(), field, detail))
    }
}
