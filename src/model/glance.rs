//! A quick look at what distant context does to each token.
//!
//! While a text is read as a whole, the rows that enter a middle layer and those that leave the last are
//! kept. A glance at a block sends its rows through the upper layers again, attending only to the
//! lead, to what stands near before the block, with the keys and values of the first reading, and to itself.
//! Both ends are scored among the tokens that the text is made of. Reading the block anew with nothing
//! distant goes through all layers, through the context's rows as well as its own, and scores against
//! the whole vocabulary: a glance is several times cheaper, and tells a change that is smaller but
//! falls on the same tokens. What it tells is an estimate in any case, so it multiplies roughly where that
//! is faster.

use std::ops::Range;

use crate::engine::{
    Arena, DType, Device, EngineError, Recording, RunOptions, Tensor, Weight, mib,
};
use crate::kernels::cross_entropy::{STATE_COLS, finish};
use crate::kernels::embed::embed;
use crate::kernels::matmul::{Factors, rough_cost};
use crate::kernels::rope::scatter_rows;
use crate::model::error::ModelError;
use crate::model::session::planned_activations;
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
    /// Room for the traces of `ids`, for glances that go through the layers from `layer` on; `None` where
    /// one tensor of them is more than the device binds.
    pub fn new(
        device: &Device,
        model: &Transformer,
        ids: &[u32],
        layer: usize,
    ) -> Result<Option<Traces>, ModelError> {
        let (c, whole_head) = (&model.config, model.head());
        let vocab = c.vocab;
        if let Some(&id) = ids.iter().find(|&&id| id as usize >= vocab) {
            return Err(ModelError::TokenOutOfRange { id, vocab });
        }
        let own = vocabulary_of(ids);
        let row_bytes = (c.hidden * size_of::<f32>()) as u64;
        let rows = ids.len().max(1) as u64;
        if rows * row_bytes > device.max_binding_bytes() {
            return Ok(None);
        }
        let needed = (2 * rows + own.len() as u64) * row_bytes;
        check_fit(device, "the traces of the text", needed)?;
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
            layer,
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

    /// The first layer that a glance goes through.
    pub fn layer(&self) -> usize {
        self.layer
    }

    /// What a glance at a block costs of reading it exactly.
    pub fn cost(&self, of_model: (&Device, &Transformer), nearby: Nearby) -> f64 {
        nearby.cost(of_model, self.layer, self.head.rows)
    }
}

/// The tokens that a text has, in order.
fn vocabulary_of(ids: &[u32]) -> Vec<u32> {
    let mut own = ids.to_vec();
    own.sort_unstable();
    own.dedup();
    own
}

/// What stands before a block that is seen without distant context.
#[derive(Clone, Copy)]
pub struct Nearby {
    /// Rows that open the text and every context.
    pub lead: usize,
    /// Tokens before a block, and in it.
    pub window: usize,
}

impl Nearby {
    /// Where glances at the `blocks` blocks of a text begin. Beginning later is cheaper. Of SmolLM2's 30
    /// layers, the upper 13 see tokens' changes about as well as the upper 20 and better than
    /// the upper 11, but there is a text that changes in lower layers, too (docs/results.md). So
    /// glances begin low where `part` of the cost of reading all exactly pays for that, and for
    /// the one block that is read anew in any case, roughly.
    pub fn first_layer(
        self,
        of_model: (&Device, &Transformer),
        ids: &[u32],
        blocks: usize,
        part: f64,
    ) -> usize {
        let layers = of_model.1.config.layers;
        let (low, high) = (layers / 3, layers * 4 / 7);
        let (blocks, own) = (blocks as f64, vocabulary_of(ids).len());
        let one = self.rough_reading(of_model);
        match self.cost(of_model, low, own) * blocks + one <= part * blocks {
            true => low,
            false => high,
        }
    }

    /// What a glance from `layer` on costs of reading a block exactly: the ratio of their multiplications
    /// by weights, and of the times that these take. A text has `own` of the vocabulary's tokens.
    fn cost(self, (device, model): (&Device, &Transformer), layer: usize, own: usize) -> f64 {
        let (layers, head) = (model.config.layers, model.head());
        let upper = ((layers - layer) * model.layer_products()) as f64;
        let own = (own * head.cols) as f64;
        let glance = rough_cost(device) * self.window as f64 * (upper + 2.0 * own);
        let [inner, outer] = self.products(model);
        glance / (inner + outer)
    }

    /// What reading a block anew with rough factors costs of reading it exactly. Its scores are exact.
    pub fn rough_reading(self, (device, model): (&Device, &Transformer)) -> f64 {
        let [inner, outer] = self.products(model);
        (rough_cost(device) * inner + outer) / (inner + outer)
    }

    /// Multiplications by weights that reading a block takes, in the layers and for its scores.
    fn products(self, model: &Transformer) -> [f64; 2] {
        let (layers, head) = (model.config.layers, model.head());
        let rows = self.lead + 2 * self.window;
        [
            (rows * layers * model.layer_products()) as f64,
            (self.window * head.rows * head.cols) as f64,
        ]
    }

    /// Rows of a cache for one block.
    fn capacity(self) -> usize {
        self.lead + 2 * self.window
    }

    /// How many of `blocks` blocks go through a layer together.
    fn together(self, blocks: usize) -> usize {
        let rows = ROWS / self.window.max(1);
        rows.min(NEAR_ROWS / self.capacity().max(1))
            .clamp(1, blocks.max(1))
    }

    /// Where a block, counted from after the lead, stands in the whole reading; `None` where less
    /// than a window stands before it. Row i predicts token i + 1: a block's rows begin one before it.
    fn place(self, block: &Range<usize>) -> Option<Place> {
        let rows = (self.lead + block.start).checked_sub(1)?..self.lead + block.end - 1;
        let first = rows.start.checked_sub(self.window.checked_sub(1)?)?;
        (first >= self.lead).then_some(Place { rows, first })
    }
}

/// Where a block stands in the whole reading.
struct Place {
    /// The rows that predict its tokens.
    rows: Range<usize>,
    /// The first of the rows before them that it sees.
    first: usize,
}

/// Refuses what would not fit beside what is there.
fn check_fit(device: &Device, what: &str, needed: u64) -> Result<(), ModelError> {
    match device.available_bytes() {
        Some(available) if needed > available => Err(ModelError::Engine(EngineError::WillNotFit {
            device: device.name().to_owned(),
            what: format!("{what} for a sampled utility"),
            needed_mib: mib(needed),
            available_mib: mib(available),
            advice: "set --utility-sample 1, which needs less, or choose a smaller model".into(),
        })),
        _ => Ok(()),
    }
}

/// Rows that go through a layer together: enough that unpacking its weights is little beside multiplying
/// by them. Windows that are longer go alone.
const ROWS: usize = 1024;

/// Rows of the keys and values near them: short windows after a long lead need many.
const NEAR_ROWS: usize = 4 * ROWS;

/// Glances at the blocks of a text that was read whole.
pub struct Glances<'a> {
    device: &'a Device,
    model: &'a Transformer,
    traces: &'a Traces,
    /// The keys and values of the whole reading.
    whole: &'a Cache,
    /// For each block of one pass, room for the lead and two windows of the layer that it goes through.
    near: Cache,
    nearby: Nearby,
    together: usize,
    factors: Factors,
    arena: Arena,
    options: RunOptions<'a>,
}

impl<'a> Glances<'a> {
    /// Room to glance at `blocks` blocks; `None` where keys lie in more parts than those of `whole`, or
    /// fewer.
    pub fn new(
        (device, model): (&'a Device, &'a Transformer),
        (traces, whole): (&'a Traces, &'a Cache),
        (nearby, blocks): (Nearby, usize),
        options: RunOptions<'a>,
    ) -> Result<Option<Self>, ModelError> {
        let config = &model.config;
        let needed = |together: usize| {
            let capacity = together * nearby.capacity();
            let cached = Cache::bytes(config, capacity) / config.layers.max(1) as u64;
            planned_activations(model, capacity, together * nearby.window) + cached
        };
        let mut together = nearby.together(blocks);
        while together > 1
            && device
                .available_bytes()
                .is_some_and(|b| b < needed(together))
        {
            together /= 2;
        }
        check_fit(device, "the keys near blocks", needed(together))?;
        let capacity = together * nearby.capacity();
        let near = whole.one_layer_like(device, config, capacity)?;
        let alike = near.parts() == whole.parts();
        Ok(alike.then(|| Glances {
            device,
            model,
            traces,
            whole,
            near,
            nearby,
            together,
            factors: Factors::Rough,
            arena: Arena::new(),
            options,
        }))
    }

    /// Multiplies as exactly as readings do.
    pub fn exactly(self) -> Self {
        let factors = Factors::Exact;
        Glances { factors, ..self }
    }

    /// How many blocks one call of [`Glances::at`] takes.
    pub fn together(&self) -> usize {
        self.together
    }

    /// Bytes held beside the traces.
    pub fn bytes(&self) -> u64 {
        let layers = self.model.config.layers.max(1) as u64;
        Cache::bytes(&self.model.config, self.near.capacity) / layers + self.arena.bytes()
    }

    /// `log Q_whole - log Q_near` of each token of some blocks, where Q are the probabilities among the
    /// text's own tokens. Blocks count from after the lead; nothing where one of them has less
    /// than a window before it.
    pub fn at(&mut self, blocks: &[Range<usize>]) -> Result<Vec<f64>, ModelError> {
        assert!(
            blocks.len() <= self.together,
            "too many blocks for a glance"
        );
        let places = blocks.iter().map(|block| self.nearby.place(block));
        let Some(places) = places.collect() else {
            return Ok(Vec::new());
        };
        let states = self.states(places)?;
        let (whole, near) = states.split_at(states.len() / 2);
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

    /// The scores of all rows as the whole reading left them, and then as near ones leave them.
    fn states(&mut self, places: Vec<Place>) -> Result<Vec<f32>, ModelError> {
        let device = self.device;
        let starts = self.nearby.lead + self.nearby.window - 1;
        let positions = |p: &Place| starts as u32..(starts + p.rows.len()) as u32;
        let positions: Vec<u32> = places.iter().flat_map(positions).collect();
        let targets = |p: &Place| self.traces.places[p.rows.start + 1..p.rows.end + 1].iter();
        let targets: Vec<u32> = places.iter().flat_map(targets).copied().collect();
        let count = positions.len();
        let positions = device.tensor_of(DType::U32, &positions, "positions")?;
        let targets = device.tensor_of(DType::U32, &targets, "targets")?;
        let ids = device.tensor(DType::U32, 1, 0, "token ids")?;
        let states = device.tensor(DType::F32, 2 * count, STATE_COLS, "scores")?;

        let upper = self.traces.layer..self.model.config.layers;
        let mut rec = Recording::new();
        let blocks = self.near_blocks(&places);
        let x = self.gathered(&mut rec, &self.traces.middle, &places);
        let inputs = Inputs {
            ids: &ids,
            prefix: None,
            positions: &positions,
            attend: Attend::Blocks(&blocks),
            adapter: None,
            factors: self.factors,
            expected_keys: starts + self.nearby.window / 2,
        };
        for layer in upper {
            self.copy_near(&mut rec, layer, &places, &blocks);
            self.model.layers(&mut rec, &inputs, layer..layer + 1, &x);
        }
        let last = self.gathered(&mut rec, &self.traces.last, &places);
        for (i, end) in [last, x].iter().enumerate() {
            let state = states.row_range(i * count..(i + 1) * count);
            let head = (&self.traces.head, self.factors);
            self.model.score_by(&mut rec, end, head, &targets, &state);
        }
        let program = device.prepare(rec, &mut self.arena)?;
        device.run(&program, &self.options)?;
        Ok(device.read(&states)?)
    }

    /// For each block how many rows attend to which cache.
    fn near_blocks(&self, places: &[Place]) -> Vec<(usize, Cache)> {
        let (lead, each) = (self.nearby.lead, self.nearby.capacity());
        let near = |(at, place): (usize, &Place)| {
            let own = self.near.rows(at * each..(at + 1) * each);
            let near = own.turned_to(self.whole, place.first - lead);
            (place.rows.len(), near)
        };
        places.iter().enumerate().map(near).collect()
    }

    /// Appends a copy of the keys and values of one layer that are near each block.
    fn copy_near(
        &self,
        rec: &mut Recording,
        layer: usize,
        places: &[Place],
        blocks: &[(usize, Cache)],
    ) {
        let lead = self.nearby.lead;
        for (place, (_, near)) in places.iter().zip(blocks) {
            near.copy_rows(rec, self.whole, layer, 0..lead, 0);
            let before = place.first..place.rows.start;
            near.copy_rows(rec, self.whole, layer, before, lead);
        }
    }

    /// Appends a copy of the blocks' rows, one after the other.
    fn gathered(&self, rec: &mut Recording, from: &Tensor, places: &[Place]) -> Tensor {
        let count = places.iter().map(|place| place.rows.len()).sum();
        let to = rec.temp(DType::F32, count, from.cols);
        let mut at = 0;
        for Place { rows, .. } in places {
            let there = to.row_range(at..at + rows.len());
            rec.copy(&from.row_range(rows.clone()), &there);
            at += rows.len();
        }
        to
    }
}
