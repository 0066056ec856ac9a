//! Putting a model's weights on a device.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};

use super::{Layer, Linear, Transformer};
use crate::engine::{DType, Device, EngineError, Tensor, Weight, mib};
use crate::kernels::quant::dequantize_row;
use crate::kernels::random::random_weight;
use crate::model::config::ModelConfig;
use crate::model::error::ModelError;
use crate::model::names::{LayerRole, Role};
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
        let layers = (0..config.layers)
            .map(|i| loader.layer(i))
            .collect::<Result<_, _>>()?;
        let embedding = loader.weight(Role::Embedding, config.vocab, config.hidden)?;
        let output_norm = loader.norm(Role::OutputNorm, config.hidden)?;
        let output = if config.tied_embeddings {
            None
        } else {
            Some(loader.weight(Role::Output, config.vocab, config.hidden)?)
        };
        loader.refuse_unused()?;
        Ok(Transformer {
            embedding,
            output_norm,
            output,
            layers,
            config,
        })
    }

    /// A model of this shape with random weights, for benchmarks. Layers share their weights'
    /// values, not their memory. `progress` hears of every weight, and ends it with its error.
    pub fn random(
        device: &Device,
        config: ModelConfig,
        dtype: DType,
        progress: &dyn Fn() -> Result<(), EngineError>,
    ) -> Result<Transformer, ModelError> {
        let c = &config;
        let known: RefCell<HashMap<(usize, usize), Vec<u8>>> = RefCell::default();
        let weight = |rows: usize, cols: usize| {
            progress()?;
            // The embedding's width may not be whole blocks of the large types.
            let whole = cols.is_multiple_of(dtype.block_len());
            let dtype = if whole { dtype } else { DType::Q8_0 };
            let mut known = known.borrow_mut();
            let bytes = known
                .entry((rows, cols))
                .or_insert_with(|| random_weight(dtype, rows, cols, (rows + cols) as u64));
            device.weight_of(bytes, dtype, rows, cols, "random weights")
        };
        let norm = |cols: usize| device.tensor_of(DType::F32, &vec![1f32; cols], "a random norm");
        let linear = |rows, cols| weight(rows, cols).map(|weight| Linear { weight, bias: None });
        let (q_width, kv_width) = (c.heads * c.head_dim, c.kv_heads * c.head_dim);
        let qk_norm = || c.qk_norm.then(|| norm(c.head_dim)).transpose();
        let layer = |_| -> Result<Layer, ModelError> {
            Ok(Layer {
                attn_norm: norm(c.hidden)?,
                q: linear(q_width, c.hidden)?,
                k: linear(kv_width, c.hidden)?,
                v: linear(kv_width, c.hidden)?,
                o: linear(c.hidden, q_width)?,
                q_norm: qk_norm()?,
                k_norm: qk_norm()?,
                post_attn_norm: None,
                ffn_norm: norm(c.hidden)?,
                gate: linear(c.ffn, c.hidden)?,
                up: linear(c.ffn, c.hidden)?,
                down: linear(c.hidden, c.ffn)?,
                post_ffn_norm: None,
            })
        };
        Ok(Transformer {
            embedding: weight(c.vocab, c.hidden)?,
            output_norm: norm(c.hidden)?,
            output: None,
            layers: (0..c.layers).map(layer).collect::<Result<_, _>>()?,
            config,
        })
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

impl Loader<'_> {
    fn layer(&mut self, i: usize) -> Result<Layer, ModelError> {
        let c = self.config;
        let (hidden, ffn) = (c.hidden, c.ffn);
        let (q_width, kv_width) = (c.heads * c.head_dim, c.kv_heads * c.head_dim);
        use LayerRole::*;
        let bias = c.qkv_bias;
        Ok(Layer {
            attn_norm: self.norm(Role::Layer(i, AttnNorm), hidden)?,
            q: self.linear(i, Q, bias.then_some(QBias), q_width, hidden)?,
            k: self.linear(i, K, bias.then_some(KBias), kv_width, hidden)?,
            v: self.linear(i, V, bias.then_some(VBias), kv_width, hidden)?,
            o: self.linear(i, O, None, hidden, q_width)?,
            q_norm: self.norm_if(c.qk_norm, Role::Layer(i, QNorm), c.head_dim)?,
            k_norm: self.norm_if(c.qk_norm, Role::Layer(i, KNorm), c.head_dim)?,
            post_attn_norm: self.norm_if(c.sandwich_norms, Role::Layer(i, PostAttnNorm), hidden)?,
            ffn_norm: self.norm(Role::Layer(i, FfnNorm), hidden)?,
            gate: self.linear(i, Gate, None, ffn, hidden)?,
            up: self.linear(i, Up, None, ffn, hidden)?,
            down: self.linear(i, Down, None, hidden, ffn)?,
            post_ffn_norm: self.norm_if(c.sandwich_norms, Role::Layer(i, PostFfnNorm), hidden)?,
        })
    }

    fn linear(
        &mut self,
        layer: usize,
        role: LayerRole,
        bias: Option<LayerRole>,
        rows: usize,
        cols: usize,
    ) -> Result<Linear, ModelError> {
        let weight = self.weight(Role::Layer(layer, role), rows, cols)?;
        let bias = bias
            .map(|b| self.vector(Role::Layer(layer, b), rows, 0.0))
            .transpose()?;
        Ok(Linear { weight, bias })
    }

    fn weight(&mut self, role: Role, rows: usize, cols: usize) -> Result<Weight, ModelError> {
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

    fn norm(&mut self, role: Role, cols: usize) -> Result<Tensor, ModelError> {
        let shift = if self.config.norm_weight_plus_one {
            1.0
        } else {
            0.0
        };
        self.vector(role, cols, shift)
    }

    fn norm_if(
        &mut self,
        has: bool,
        role: Role,
        cols: usize,
    ) -> Result<Option<Tensor>, ModelError> {
        has.then(|| self.norm(role, cols)).transpose()
    }

    /// A small vector, kept as f32.
    fn vector(&mut self, role: Role, cols: usize, shift: f32) -> Result<Tensor, ModelError> {
        let tensor = self.file.role(role, 1, cols)?;
        let mut values = vec![0f32; cols];
        dequantize_row(tensor.dtype, &tensor.map[tensor.range.clone()], &mut values);
        values.iter_mut().for_each(|v| *v += shift);
        let vector = self.device.tensor_of(DType::F32, &values, &tensor.name)?;
        self.used.insert(tensor.name);
        Ok(vector)
    }
}
