//! One transformer, described by its config: weights on a device and the forward pass.

use crate::engine::{DType, Device, EngineError, Recording, Tensor, Weight, mib};
use crate::kernels::attention::{AttentionShape, attention};
use crate::kernels::cross_entropy::{STATE_COLS, cross_entropy};
use crate::kernels::embed::embed;
use crate::kernels::gated::gated;
use crate::kernels::matmul::{Into, matmul, matmul_rows};
use crate::kernels::norm::rms_norm;
use crate::kernels::quant::dequantize_row;
use crate::kernels::random::random_weight;
use crate::kernels::rope::{RopeShape, rope, scatter_rows};
use crate::model::config::ModelConfig;
use crate::model::error::ModelError;
use crate::model::names::{LayerRole, Role};
use crate::model::weights::WeightFile;

/// Tokens of the vocabulary scored at a time: `rows x 4096` logits exist at once, never
/// `rows x vocabulary`.
const VOCABULARY_TILE: usize = 4096;

/// A model's weights on a device.
pub struct Transformer {
    pub config: ModelConfig,
    embedding: Weight,
    output_norm: Tensor,
    /// Absent where the embedding serves as output.
    output: Option<Weight>,
    layers: Vec<Layer>,
}

struct Layer {
    attn_norm: Tensor,
    q: Linear,
    k: Linear,
    v: Linear,
    o: Linear,
    q_norm: Option<Tensor>,
    k_norm: Option<Tensor>,
    /// Normalises what attention adds (sandwich norms).
    post_attn_norm: Option<Tensor>,
    ffn_norm: Tensor,
    gate: Linear,
    up: Linear,
    down: Linear,
    post_ffn_norm: Option<Tensor>,
}

struct Linear {
    weight: Weight,
    bias: Option<Tensor>,
}

/// Keys and values of every layer, `capacity` rows each, and the angles of their positions.
pub struct Cache {
    pub capacity: usize,
    keys: Vec<Tensor>,
    values: Vec<Tensor>,
    /// One table for each kind of layer, indexed by `angles_of`.
    angles: Vec<Tensor>,
    angles_of: Vec<usize>,
}

impl Cache {
    /// Zeroed keys and values for `capacity` positions.
    pub fn new(device: &Device, config: &ModelConfig, capacity: usize) -> Result<Self, ModelError> {
        let width = config.kv_heads * config.head_dim;
        let tensor = |what| device.tensor(DType::F32, capacity, width, what);
        let mut cache = Cache {
            capacity,
            keys: Vec::with_capacity(config.layers),
            values: Vec::with_capacity(config.layers),
            angles: Vec::new(),
            angles_of: Vec::with_capacity(config.layers),
        };
        let mut tables: Vec<Vec<f32>> = Vec::new();
        for layer in 0..config.layers {
            cache.keys.push(tensor("cached keys")?);
            cache.values.push(tensor("cached values")?);
            let inverse = config.rope_inv_freqs(layer);
            let known = tables.iter().position(|t| *t == inverse);
            cache.angles_of.push(known.unwrap_or(tables.len()));
            if known.is_none() {
                let table = device.tensor(DType::F32, capacity, config.head_dim, "angles")?;
                device.write(&table, &angle_table(&inverse, capacity))?;
                cache.angles.push(table);
                tables.push(inverse);
            }
        }
        Ok(cache)
    }

    /// A cache that takes no memory, for planning a pass before anything is allocated.
    pub(crate) fn planned(rec: &mut Recording, config: &ModelConfig, capacity: usize) -> Self {
        let width = config.kv_heads * config.head_dim;
        let first = rec.temps.len();
        let cache = Cache {
            capacity,
            keys: (0..config.layers)
                .map(|_| rec.temp(DType::F32, capacity, width))
                .collect(),
            values: (0..config.layers)
                .map(|_| rec.temp(DType::F32, capacity, width))
                .collect(),
            angles: vec![rec.temp(DType::F32, capacity, config.head_dim)],
            angles_of: vec![0; config.layers],
        };
        rec.temps[first..].fill(0);
        cache
    }

    /// Bytes a cache of `capacity` positions takes.
    pub fn bytes(config: &ModelConfig, capacity: usize) -> u64 {
        let row = 2 * config.layers * config.kv_heads * config.head_dim + 2 * config.head_dim;
        (capacity * row * size_of::<f32>()) as u64
    }
}

/// For each position the cosines of its angles and then their sines. Angles are rounded to f32
/// before the cosine is taken, as transformers does.
fn angle_table(inverse: &[f32], positions: usize) -> Vec<f32> {
    let mut table = Vec::with_capacity(positions * inverse.len() * 2);
    for position in 0..positions {
        let angle = |f: &f32| f64::from(position as f32 * f);
        table.extend(inverse.iter().map(|f| angle(f).cos() as f32));
        table.extend(inverse.iter().map(|f| angle(f).sin() as f32));
    }
    table
}

/// What a recorded forward pass reads: one chunk of tokens.
pub struct Inputs<'a> {
    /// Token ids, `1 x rows`.
    pub ids: &'a Tensor,
    /// Their positions, which are also their rows in the cache.
    pub positions: &'a Tensor,
    /// Keys a token will see on average, for estimates of the work.
    pub expected_keys: usize,
}

impl Transformer {
    /// Puts every weight on the device. `progress` hears how many of the file's bytes are done.
    pub fn load(
        device: &Device,
        file: &WeightFile,
        config: ModelConfig,
        progress: &mut dyn FnMut(u64),
    ) -> Result<Transformer, ModelError> {
        let (needed, available) = (file.total_bytes(), device.available_bytes());
        if let Some(available) = available.filter(|available| *available < needed) {
            return Err(ModelError::Engine(EngineError::WillNotFit {
                device: device.name().to_owned(),
                what: "the model's weights".to_owned(),
                needed_mib: mib(needed),
                available_mib: mib(available),
                advice: "choose a smaller model or another device".to_owned(),
            }));
        }
        let mut loader = Loader {
            device,
            file,
            config: &config,
            done: 0,
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
        Ok(Transformer {
            embedding,
            output_norm,
            output,
            layers,
            config,
        })
    }

    /// A model of this shape with random weights, for benchmarks. Layers share their weights'
    /// values, not their memory.
    pub fn random(
        device: &Device,
        config: ModelConfig,
        dtype: DType,
    ) -> Result<Transformer, ModelError> {
        let c = &config;
        let weight = |rows: usize, cols: usize| {
            // The embedding's width may not be whole blocks of the large types.
            let whole = cols.is_multiple_of(dtype.block_len());
            let dtype = if whole { dtype } else { DType::Q8_0 };
            let bytes = random_weight(dtype, rows, cols, (rows + cols) as u64);
            device.weight_of(&bytes, dtype, rows, cols, "random weights")
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

    /// Appends the forward pass of one chunk through every layer: fills the chunk's rows of the
    /// cache and gives the hidden states after the last layer, before the output norm.
    pub fn forward(&self, rec: &mut Recording, cache: &Cache, inputs: &Inputs<'_>) -> Tensor {
        let config = &self.config;
        let rows = inputs.ids.cols;
        let x = rec.temp(DType::F32, rows, config.hidden);
        embed(rec, inputs.ids, &self.embedding, config.embedding_scale, &x);
        for (index, layer) in self.layers.iter().enumerate() {
            self.attention_block(rec, cache, inputs, index, layer, &x);
            self.ffn_block(rec, layer, &x);
        }
        x
    }

    fn attention_block(
        &self,
        rec: &mut Recording,
        cache: &Cache,
        inputs: &Inputs<'_>,
        index: usize,
        layer: &Layer,
        x: &Tensor,
    ) {
        let c = &self.config;
        let rows = x.rows;
        let (q_width, kv_width) = (c.heads * c.head_dim, c.kv_heads * c.head_dim);
        let h = rec.temp(DType::F32, rows, c.hidden);
        rms_norm(rec, x, &layer.attn_norm, c.norm_eps, &h, false);
        let q = rec.temp(DType::F32, rows, q_width);
        let k = rec.temp(DType::F32, rows, kv_width);
        let v = rec.temp(DType::F32, rows, kv_width);
        layer.q.record(rec, &h, &q, Into::Replace);
        layer.k.record(rec, &h, &k, Into::Replace);
        layer.v.record(rec, &h, &v, Into::Replace);
        let angles = &cache.angles[cache.angles_of[index]];
        let shape = |heads| RopeShape {
            heads,
            head_dim: c.head_dim,
            interleaved: c.rope_interleaved,
            eps: c.norm_eps,
        };
        let rotated = rec.temp(DType::F32, rows, q_width);
        let (keys, values) = (&cache.keys[index], &cache.values[index]);
        let at = inputs.positions;
        rope(
            rec,
            &q,
            layer.q_norm.as_ref(),
            angles,
            at,
            &rotated,
            shape(c.heads),
            false,
        );
        rope(
            rec,
            &k,
            layer.k_norm.as_ref(),
            angles,
            at,
            keys,
            shape(c.kv_heads),
            true,
        );
        scatter_rows(rec, &v, at, values);
        let attended = rec.temp(DType::F32, rows, q_width);
        let shape = AttentionShape {
            heads: c.heads,
            kv_heads: c.kv_heads,
            head_dim: c.head_dim,
            window: c.window_of(index),
            scale: c.attention_scale,
        };
        attention(
            rec,
            &rotated,
            keys,
            values,
            at,
            &attended,
            shape,
            inputs.expected_keys,
        );
        self.add_to_stream(rec, &layer.o, layer.post_attn_norm.as_ref(), &attended, x);
    }

    fn ffn_block(&self, rec: &mut Recording, layer: &Layer, x: &Tensor) {
        let c = &self.config;
        let h = rec.temp(DType::F32, x.rows, c.hidden);
        rms_norm(rec, x, &layer.ffn_norm, c.norm_eps, &h, false);
        let gate = rec.temp(DType::F32, x.rows, c.ffn);
        let up = rec.temp(DType::F32, x.rows, c.ffn);
        layer.gate.record(rec, &h, &gate, Into::Replace);
        layer.up.record(rec, &h, &up, Into::Replace);
        gated(rec, &gate, &up, c.activation);
        self.add_to_stream(rec, &layer.down, layer.post_ffn_norm.as_ref(), &gate, x);
    }

    /// `x += post_norm(linear(h))`; without a norm the product is added as it is made.
    fn add_to_stream(
        &self,
        rec: &mut Recording,
        linear: &Linear,
        post_norm: Option<&Tensor>,
        h: &Tensor,
        x: &Tensor,
    ) {
        match post_norm {
            None => linear.record(rec, h, x, Into::Add),
            Some(norm) => {
                let out = rec.temp(DType::F32, x.rows, x.cols);
                linear.record(rec, h, &out, Into::Replace);
                rms_norm(rec, &out, norm, self.config.norm_eps, x, true);
            }
        }
    }

    /// Appends the logits of some hidden states, `x.rows x vocabulary`.
    pub fn logits(&self, rec: &mut Recording, x: &Tensor, logits: &Tensor) {
        let normed = self.output_normed(rec, x);
        matmul(rec, &normed, self.head(), None, logits, Into::Replace);
    }

    /// Appends the score of each row's target: `state` is filled for
    /// [`crate::kernels::cross_entropy::finish`].
    pub fn score(&self, rec: &mut Recording, x: &Tensor, targets: &Tensor, state: &Tensor) {
        assert_eq!(state.cols, STATE_COLS);
        let normed = self.output_normed(rec, x);
        let head = self.head();
        for first in (0..head.rows).step_by(VOCABULARY_TILE) {
            let rows = first..head.rows.min(first + VOCABULARY_TILE);
            let logits = rec.temp(DType::F32, x.rows, rows.len());
            matmul_rows(rec, &normed, head, rows, None, &logits, Into::Replace);
            cross_entropy(rec, &logits, targets, state, first, first == 0);
        }
    }

    fn output_normed(&self, rec: &mut Recording, x: &Tensor) -> Tensor {
        let normed = rec.temp(DType::F32, x.rows, x.cols);
        rms_norm(
            rec,
            x,
            &self.output_norm,
            self.config.norm_eps,
            &normed,
            false,
        );
        normed
    }

    fn head(&self) -> &Weight {
        self.output.as_ref().unwrap_or(&self.embedding)
    }

    /// Bytes of all weights as files hold them.
    pub fn weight_bytes(&self) -> u64 {
        let layers = self.layers.iter().flat_map(|l| {
            [&l.q, &l.k, &l.v, &l.o, &l.gate, &l.up, &l.down].map(|linear| linear.weight.bytes())
        });
        let ends = [Some(&self.embedding), self.output.as_ref()];
        (layers.sum::<usize>() + ends.iter().flatten().map(|w| w.bytes()).sum::<usize>()) as u64
    }
}

impl Linear {
    fn record(&self, rec: &mut Recording, x: &Tensor, out: &Tensor, into: Into) {
        matmul(rec, x, &self.weight, self.bias.as_ref(), out, into);
    }
}

struct Loader<'a> {
    device: &'a Device,
    file: &'a WeightFile,
    config: &'a ModelConfig,
    done: u64,
    progress: &'a mut dyn FnMut(u64),
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
        self.done += size;
        (self.progress)(self.done);
        Ok(weight)
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
        Ok(self.device.tensor_of(DType::F32, &values, &tensor.name)?)
    }
}
