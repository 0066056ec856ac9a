//! A quick look at what distant context does to each token.
//!
//! While a text is read as a whole, the rows that enter a middle layer and those that leave the last are
//! kept. A glance at a block sends its rows through the upper layers again, attending only to the
//! lead, to what stands near before the block, with the keys and values of the first reading, and to itself.
//! Both ends are scored among the tokens that the text is made of. Reading the block anew with nothing
//! distant goes through all layers, through the context's rows as well as its own, and scores against
//! the whole vocabulary: a glance is several times cheaper, and tells a change that is smaller but
//! falls on the same tokens.

use std::ops::Range;

use crate::engine::{
    Arena, DType, Device, EngineError, Recording, RunOptions, Tensor, Weight, mib,
};
use crate::kernels::cross_entropy::{STATE_COLS, finish};
use crate::kernels::embed::embed;
use crate::kernels::rope::scatter_rows;
use crate::model::error::ModelError;
use crate::model::transformer::{Attend, Cache, Inputs, Transformer};

/// What a reading of a text leaves for glances at it. A clone shares its memory.
#[derive(Clone)]
pub struct Traces {
    /// The first layer that a glance goes through.
    layer: usize,
    /// The rows that enter that layer, and those that leave the last.
    middle: Tensor,
    last: Tensor,
    /// The output's rows of the tokens that the text has.
    head: Weight,
    /// Each token of the text by its row in `head`.
    places: Vec<u32>,
}

impl Traces {
    /// Room for the traces of `ids`; `None` where one tensor of them is more than the device binds.
    pub fn new(
        device: &Device,
        model: &Transformer,
        ids: &[u32],
    ) -> Result<Option<Traces>, ModelError> {
        let (c, whole_head) = (&model.config, model.head());
        let vocab = c.vocab;
        if let Some(&id) = ids.iter().find(|&&id| id as usize >= vocab) {
            return Err(ModelError::TokenOutOfRange { id, vocab });
        }
        let mut own = ids.to_vec();
        own.sort_unstable();
        own.dedup();
        let row_bytes = (c.hidden * size_of::<f32>()) as u64;
        let rows = ids.len().max(1) as u64;
        if rows * row_bytes > device.max_binding_bytes() {
            return Ok(None);
        }
        check_fit(device, (2 * rows + own.len() as u64) * row_bytes)?;
        let room = |rows: usize, what| device.tensor(DType::F32, rows.max(1), c.hidden, what);
        let head = room(own.len(), "the text's own vocabulary")?;
        if !own.is_empty() {
            let of_head = device.tensor_of(DType::U32, &own, "token ids")?;
            let mut rec = Recording::new();
            embed(&mut rec, &of_head, whole_head, 1.0, &head);
            device.run_once(rec)?;
        }
        let place = |id| own.binary_search(id).unwrap_or_default() as u32;
        Ok(Some(Traces {
            layer: first_layer(c.layers),
            middle: room(ids.len(), "the middle layer's rows")?,
            last: room(ids.len(), "the last layer's rows")?,
            head: Weight::of(head),
            places: ids.iter().map(place).collect(),
        }))
    }

    pub fn bytes(&self) -> u64 {
        let rows = self.middle.rows + self.last.rows + self.head.rows;
        (rows * self.head.cols * size_of::<f32>()) as u64
    }

    /// Appends the forward pass of a reading, which leaves its rows here.
    pub(super) fn forward(
        &self,
        model: &Transformer,
        rec: &mut Recording,
        inputs: &Inputs<'_>,
    ) -> Tensor {
        let x = model.embedded(rec, inputs);
        model.layers(rec, inputs, 0..self.layer, &x);
        scatter_rows(rec, &x, inputs.positions, &self.middle);
        model.layers(rec, inputs, self.layer..model.config.layers, &x);
        scatter_rows(rec, &x, inputs.positions, &self.last);
        x
    }

    /// What a glance at a block costs of reading it anew after `window` tokens and the lead: the
    /// ratio of their multiplications by weights.
    pub fn cost(&self, model: &Transformer, lead: usize, window: usize) -> f64 {
        let per_layer = model.layer_products() as f64;
        let (layers, head) = (model.config.layers, model.head());
        let (window, anew) = (window as f64, (lead + 2 * window) as f64);
        let upper = (layers - self.layer) as f64 * per_layer;
        let own = (self.head.rows * self.head.cols) as f64;
        let whole = (head.rows * head.cols) as f64;
        window * (upper + 2.0 * own) / (anew * layers as f64 * per_layer + window * whole)
    }
}

/// Where glances begin, of `layers`. Beginning later is cheaper. In SmolLM2, of 30 layers, tokens' changes
/// seen from layer 17 correlate with the true ones as those seen from layer 10 do, and from layer 19
/// on much less; there is a text that changes in lower layers, too (docs/results.md).
fn first_layer(layers: usize) -> usize {
    layers * 4 / 7
}

/// Refuses traces that would not fit beside what is there.
fn check_fit(device: &Device, needed: u64) -> Result<(), ModelError> {
    match device.available_bytes() {
        Some(available) if needed > available => Err(ModelError::Engine(EngineError::WillNotFit {
            device: device.name().to_owned(),
            what: "the traces of the text for a sampled utility".into(),
            needed_mib: mib(needed),
            available_mib: mib(available),
            advice: "set --utility-sample 1, which keeps none, or choose a smaller model".into(),
        })),
        _ => Ok(()),
    }
}

/// Glances at the blocks of a text that was read whole.
pub struct Glances<'a> {
    pub device: &'a Device,
    pub model: &'a Transformer,
    pub traces: &'a Traces,
    /// The keys and values of the whole reading.
    pub whole: &'a Cache,
    /// Room for the lead and two windows; overwritten.
    pub near: &'a Cache,
    pub arena: Arena,
    pub options: RunOptions<'a>,
}

impl Glances<'_> {
    /// `log Q_whole - log Q_near` of each token of a block, where Q are the probabilities among the
    /// text's own tokens. `lead` rows open the text and every context; `block` counts from after
    /// them and has at least `window` tokens before it.
    pub fn at(
        &mut self,
        lead: usize,
        window: usize,
        block: Range<usize>,
    ) -> Result<Vec<f64>, ModelError> {
        let device = self.device;
        let count = block.len();
        let Some(context) = window.checked_sub(1).filter(|_| block.start >= window) else {
            return Ok(Vec::new());
        };
        // Row i predicts token i + 1: a block's rows begin one before it.
        let rows = lead + block.start - 1..lead + block.end - 1;
        let first = rows.start - context;
        let place = lead + context;
        let positions: Vec<u32> = (place as u32..(place + count) as u32).collect();
        let positions = device.tensor_of(DType::U32, &positions, "positions")?;
        let targets = &self.traces.places[rows.start + 1..rows.end + 1];
        let targets = device.tensor_of(DType::U32, targets, "targets")?;
        let ids = device.tensor(DType::U32, 1, 0, "token ids")?;
        let states = device.tensor(DType::F32, 2 * count, STATE_COLS, "scores")?;

        let upper = self.traces.layer..self.model.config.layers;
        let near = self.near.turned_to(self.whole, first - lead);
        let mut rec = Recording::new();
        near.copy_rows(&mut rec, self.whole, upper.clone(), 0..lead, 0);
        near.copy_rows(&mut rec, self.whole, upper.clone(), first..rows.start, lead);
        let x = rec.temp(DType::F32, count, self.model.config.hidden);
        rec.copy(&self.traces.middle.row_range(rows.clone()), &x);
        let inputs = Inputs {
            ids: &ids,
            prefix: None,
            positions: &positions,
            attend: Attend::Cache(&near),
            adapter: None,
            expected_keys: place + count / 2,
        };
        self.model.layers(&mut rec, &inputs, upper, &x);
        let head = &self.traces.head;
        let ends = [self.traces.last.row_range(rows), x];
        for (i, end) in ends.iter().enumerate() {
            let state = states.row_range(i * count..(i + 1) * count);
            self.model.score_by(&mut rec, end, head, &targets, &state);
        }
        let program = device.prepare(rec, &mut self.arena)?;
        device.run(&program, &self.options)?;
        let states: Vec<f32> = device.read(&states)?;
        let (whole, near) = states.split_at(count * STATE_COLS);
        let logprobs = |states: &[f32]| -> Vec<f64> {
            states
                .chunks_exact(STATE_COLS)
                .map(|s| finish(s).0)
                .collect()
        };
        let pairs = logprobs(whole).into_iter().zip(logprobs(near));
        let changes: Vec<f64> = pairs.map(|(whole, near)| whole - near).collect();
        match changes.iter().any(|change| change.is_nan()) {
            true => Err(ModelError::NotANumber),
            false => Ok(changes),
        }
    }
}
