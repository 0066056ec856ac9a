//! Running a model over tokens: chunks of a document, scores, and one token at a time.

use std::collections::HashMap;
use std::sync::Arc;

use crate::engine::{
    Arena, CancelToken, DType, Device, EngineError, Plan, Profile, Program, Recording, RunOptions,
    Tensor, mib,
};
use crate::kernels::cross_entropy::{STATE_COLS, finish};
use crate::model::adapter::Adapter;
use crate::model::config::ModelConfig;
use crate::model::error::ModelError;
use crate::model::transformer::{Attend, Cache, Inputs, Transformer};

/// What a pass over a chunk gives besides filling the cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Output {
    Nothing,
    /// Logits of the last token.
    Logits,
    /// Scores of the chunk's tokens from `first` on.
    Scores {
        first: usize,
    },
}

/// A prepared pass over `rows` tokens and the tensors it reads and writes.
struct Pass {
    program: Program,
    ids: Tensor,
    positions: Tensor,
    targets: Tensor,
    result: Option<Tensor>,
}

/// How well a token was predicted.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Score {
    /// Log-probability of the token, in nats.
    pub logprob: f64,
    /// Id of the most likely token at this place.
    pub top: u32,
}

/// Settings of a session.
#[derive(Clone, Default)]
pub struct SessionOptions {
    pub cancel: Option<CancelToken>,
    pub profile: Option<Arc<Profile>>,
}

impl SessionOptions {
    /// Options of work that `cancel` stops.
    pub fn stopped_by(cancel: &CancelToken) -> SessionOptions {
        SessionOptions {
            cancel: Some(cancel.clone()),
            profile: None,
        }
    }

    pub fn run(&self) -> RunOptions<'_> {
        RunOptions {
            cancel: self.cancel.as_ref(),
            profile: self.profile.as_deref(),
        }
    }
}

/// Called after each chunk with the tokens done and the tokens in all.
pub type OnProgress<'a> = &'a mut dyn FnMut(usize, usize);

/// A model with a cache, ready to read tokens.
pub struct Session {
    device: Device,
    model: Transformer,
    cache: Cache,
    arena: Arena,
    passes: HashMap<(usize, Output), Pass>,
    adapter: Option<Adapter>,
    options: SessionOptions,
    /// Number of tokens in the cache.
    len: usize,
}

impl Session {
    /// A session with room for `capacity` tokens.
    pub fn new(
        device: &Device,
        model: &Transformer,
        capacity: usize,
        options: SessionOptions,
    ) -> Result<Self, ModelError> {
        let context = model.config.context;
        if capacity > context {
            return Err(ModelError::ContextExceeded {
                tokens: capacity,
                context,
            });
        }
        let capacity = capacity.max(1);
        check_fit(device, &model.config, capacity)?;
        Ok(Session {
            device: device.clone(),
            model: model.clone(),
            cache: Cache::new(device, &model.config, capacity)?,
            arena: Arena::new(),
            passes: HashMap::new(),
            adapter: None,
            options,
            len: 0,
        })
    }

    pub fn device(&self) -> &Device {
        &self.device
    }

    pub fn config(&self) -> &ModelConfig {
        &self.model.config
    }

    /// Tokens read so far.
    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub fn capacity(&self) -> usize {
        self.cache.capacity
    }

    /// The keys and values read so far; a clone shares their memory.
    pub fn cache(&self) -> &Cache {
        &self.cache
    }

    /// Reads what follows with an adapter's additions, or without. What was read before stays as
    /// it was read.
    pub fn set_adapter(&mut self, adapter: Option<Adapter>) {
        if adapter.is_some() || self.adapter.is_some() {
            self.passes.clear();
        }
        self.adapter = adapter;
    }

    /// Reads embeddings as if they were tokens' (`rows * hidden` numbers).
    pub fn prefill_embeddings(&mut self, embeddings: &[f32]) -> Result<(), ModelError> {
        let hidden = self.model.config.hidden;
        let rows = embeddings.len() / hidden;
        self.check_room(rows)?;
        if rows == 0 {
            return Ok(());
        }
        let device = &self.device;
        let prefix = device.tensor(DType::F32, rows, hidden, "the prefix")?;
        device.write(&prefix, &embeddings[..rows * hidden])?;
        let positions: Vec<u32> = (self.len as u32..(self.len + rows) as u32).collect();
        let positions = device.tensor_of(DType::U32, &positions, "positions")?;
        let ids = device.tensor(DType::U32, 1, 0, "token ids")?;
        let mut rec = Recording::new();
        let inputs = Inputs {
            prefix: Some(&prefix),
            sequences: None,
            suffix: None,
            ..self.inputs(&ids, &positions)
        };
        self.model.forward(&mut rec, &inputs);
        let program = device.prepare(rec, &mut self.arena)?;
        device.run(&program, &self.options.run())?;
        self.len += rows;
        Ok(())
    }

    fn inputs<'a>(&'a self, ids: &'a Tensor, positions: &'a Tensor) -> Inputs<'a> {
        let rows = positions.cols;
        let half = self.cache.capacity / 2;
        Inputs {
            ids,
            prefix: None,
            sequences: None,
            suffix: None,
            positions,
            attend: Attend::Cache(&self.cache),
            adapter: self.adapter.as_ref(),
            expected_keys: if rows == 1 { half } else { rows.max(half) },
        }
    }

    /// Refuses `tokens` more than the cache has room for.
    fn check_room(&self, tokens: usize) -> Result<(), ModelError> {
        let (tokens, context) = (self.len + tokens, self.cache.capacity);
        if tokens > context {
            return Err(ModelError::ContextExceeded { tokens, context });
        }
        Ok(())
    }

    /// Bytes of activations held.
    pub fn activation_bytes(&self) -> u64 {
        self.arena.bytes()
    }

    /// Forgets all but the first `len` tokens.
    pub fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
    }

    /// Takes the keys and values of `rows` positions, a layer at a time, as if they had just been
    /// read from the beginning.
    pub(crate) fn restore(
        &mut self,
        rows: usize,
        layer: &mut dyn FnMut(usize) -> Result<[Vec<f32>; 2], ModelError>,
    ) -> Result<(), ModelError> {
        self.len = 0;
        self.check_room(rows)?;
        for index in 0..self.cache.layers() {
            self.cache.write_rows(&self.device, index, &layer(index)?)?;
        }
        self.len = rows;
        Ok(())
    }

    /// Reads `tokens` and gives the logits after the last.
    pub fn prefill(
        &mut self,
        tokens: &[u32],
        progress: OnProgress<'_>,
    ) -> Result<Vec<f32>, ModelError> {
        let mut logits = Vec::new();
        let mut done = 0;
        for chunk in tokens.chunks(CHUNK_ROWS) {
            let last = done + chunk.len() == tokens.len();
            let output = if last {
                Output::Logits
            } else {
                Output::Nothing
            };
            let result = self.pass(chunk, &[], output)?;
            if last {
                logits = result;
            }
            done += chunk.len();
            progress(done, tokens.len());
        }
        Ok(logits)
    }

    /// Reads `tokens` and scores each but the first, which nothing came before: one score fewer
    /// than tokens.
    pub fn score(
        &mut self,
        tokens: &[u32],
        progress: OnProgress<'_>,
    ) -> Result<Vec<Score>, ModelError> {
        let mut scores = Vec::with_capacity(tokens.len());
        for (i, chunk) in tokens.chunks(CHUNK_ROWS).enumerate() {
            let start = i * CHUNK_ROWS;
            let targets =
                &tokens[(start + 1).min(tokens.len())..tokens.len().min(start + chunk.len() + 1)];
            let states = self.pass(chunk, targets, Output::Scores { first: 0 })?;
            add_scores(&mut scores, &states, targets.len())?;
            progress(start + chunk.len(), tokens.len());
        }
        Ok(scores)
    }

    /// Scores each token but the first given only the `window` to `2 * window` tokens before it:
    /// blocks of `window` tokens, each read after the block before it. `lead` tokens (such as a
    /// beginning-of-sequence mark) open every block's context and are not scored.
    pub fn score_local(
        &mut self,
        tokens: &[u32],
        lead: usize,
        window: usize,
        progress: OnProgress<'_>,
    ) -> Result<Vec<Score>, ModelError> {
        self.score_local_from(0, tokens, lead, window, progress)
    }

    /// As [`Session::score_local`], leaving out the blocks that start before token `first`.
    pub fn score_local_from(
        &mut self,
        first: usize,
        tokens: &[u32],
        lead: usize,
        window: usize,
        progress: OnProgress<'_>,
    ) -> Result<Vec<Score>, ModelError> {
        let (lead, body) = tokens.split_at(lead.min(tokens.len()));
        let mut scores = Vec::with_capacity(body.len().saturating_sub(first));
        for start in (first..body.len()).step_by(window.max(1)) {
            scores.extend(self.score_local_block(lead, body, window, start)?);
            progress(body.len().min(start + window), body.len());
        }
        Ok(scores)
    }

    /// One block of [`Session::score_local`], which starts at `start`. Empties the cache.
    fn score_local_block(
        &mut self,
        lead: &[u32],
        body: &[u32],
        window: usize,
        start: usize,
    ) -> Result<Vec<Score>, ModelError> {
        let end = body.len().min(start + window);
        let mut context = lead.to_vec();
        context.extend(&body[start.saturating_sub(window)..end]);
        // Row i predicts token i + 1, so the block's first target is predicted by the last row of
        // its context. The document's very first token has nothing before it.
        let first_scored = context.len() - (end - start);
        let first = first_scored.saturating_sub(1);
        let targets = context[first + 1..].to_vec();
        self.truncate(0);
        let rows = &context[..context.len() - 1];
        let scores = if rows.is_empty() {
            Vec::new()
        } else {
            self.score_block(rows, first, &targets)?
        };
        self.truncate(0);
        Ok(scores)
    }

    /// Scores what follows `before`, which has at least one token; neither is kept. The last token
    /// only has to be predicted and takes no place in the context.
    pub fn score_after(&mut self, before: &[u32], what: &[u32]) -> Result<Vec<Score>, ModelError> {
        let (Some(first), Some(read)) = (before.len().checked_sub(1), what.len().checked_sub(1))
        else {
            return Ok(Vec::new());
        };
        let kept = self.len;
        let scores = self.score_block(&[before, &what[..read]].concat(), first, what);
        self.truncate(kept);
        scores
    }

    /// Reads `rows` and scores those from `first` on.
    fn score_block(
        &mut self,
        rows: &[u32],
        first: usize,
        targets: &[u32],
    ) -> Result<Vec<Score>, ModelError> {
        let mut scores = Vec::with_capacity(targets.len());
        for (i, chunk) in rows.chunks(CHUNK_ROWS).enumerate() {
            let start = i * CHUNK_ROWS;
            let skip = first.saturating_sub(start);
            if skip >= chunk.len() {
                self.pass(chunk, &[], Output::Nothing)?;
                continue;
            }
            let from = start + skip - first;
            let targets = &targets[from..from + chunk.len() - skip];
            let states = self.pass(chunk, targets, Output::Scores { first: skip })?;
            add_scores(&mut scores, &states, targets.len())?;
        }
        Ok(scores)
    }

    /// Reads one chunk; gives the last logits or the states of the scores.
    fn pass(
        &mut self,
        chunk: &[u32],
        targets: &[u32],
        output: Output,
    ) -> Result<Vec<f32>, ModelError> {
        self.check_room(chunk.len())?;
        let end = self.len + chunk.len();
        if let Some(&id) = chunk
            .iter()
            .find(|&&id| id as usize >= self.model.config.vocab)
        {
            return Err(ModelError::TokenOutOfRange {
                id,
                vocab: self.model.config.vocab,
            });
        }
        let key = (chunk.len(), output);
        if !self.passes.contains_key(&key) {
            let pass = self.prepare(chunk.len(), output)?;
            self.passes.insert(key, pass);
        }
        let pass = &self.passes[&key];
        let positions: Vec<u32> = (self.len as u32..end as u32).collect();
        self.device.write(&pass.ids, chunk)?;
        self.device.write(&pass.positions, &positions)?;
        if !targets.is_empty() {
            self.device.write(&pass.targets, targets)?;
        }
        self.device.run(&pass.program, &self.options.run())?;
        self.len = end;
        match &pass.result {
            Some(result) => Ok(self.device.read(result)?),
            None => Ok(Vec::new()),
        }
    }

    fn prepare(&mut self, rows: usize, output: Output) -> Result<Pass, ModelError> {
        let device = self.device.clone();
        let ids = device.tensor(DType::U32, 1, rows, "token ids")?;
        let positions = device.tensor(DType::U32, 1, rows, "positions")?;
        let scored = match output {
            Output::Scores { first } => rows - first,
            _ => 0,
        };
        let targets = device.tensor(DType::U32, 1, scored.max(1), "targets")?;
        let mut rec = Recording::new();
        let inputs = self.inputs(&ids, &positions);
        let x = self.model.forward(&mut rec, &inputs);
        let result = match output {
            Output::Nothing => None,
            Output::Logits => {
                let logits = device.tensor(DType::F32, 1, self.model.config.vocab, "logits")?;
                self.model
                    .logits(&mut rec, &x.row_range(rows - 1..rows), &logits);
                Some(logits)
            }
            Output::Scores { first } => {
                let state = device.tensor(DType::F32, scored, STATE_COLS, "scores")?;
                self.model
                    .score(&mut rec, &x.row_range(first..rows), &targets, &state);
                Some(state)
            }
        };
        let program = device.prepare(rec, &mut self.arena)?;
        Ok(Pass {
            program,
            ids,
            positions,
            targets,
            result,
        })
    }
}

/// Bytes of activations the largest pass over `rows` tokens will hold.
pub(crate) fn planned_activations(config: &ModelConfig, capacity: usize, rows: usize) -> u64 {
    let model = Transformer::planned(config);
    let cache = Cache::planned(config, capacity);
    let mut rec = Recording::new();
    let ids = rec.temp(DType::U32, 1, rows);
    let positions = rec.temp(DType::U32, 1, rows);
    let targets = rec.temp(DType::U32, 1, rows);
    let state = rec.temp(DType::F32, rows, STATE_COLS);
    let inputs = Inputs {
        ids: &ids,
        prefix: None,
        sequences: None,
        suffix: None,
        positions: &positions,
        attend: Attend::Cache(&cache),
        adapter: None,
        expected_keys: capacity,
    };
    let x = model.forward(&mut rec, &inputs);
    model.score(&mut rec, &x, &targets, &state);
    Plan::new(&rec).bytes()
}

/// Bytes that reading `capacity` tokens takes beside the weights: known before anything is loaded.
pub fn reading_bytes(config: &ModelConfig, capacity: usize) -> u64 {
    let capacity = capacity.max(1);
    Cache::bytes(config, capacity) + planned_activations(config, capacity, CHUNK_ROWS.min(capacity))
}

/// Refuses a session that would not fit, and says how many tokens would.
fn check_fit(device: &Device, config: &ModelConfig, capacity: usize) -> Result<(), ModelError> {
    let Some(available) = device.available_bytes() else {
        return Ok(());
    };
    let activations = planned_activations(config, capacity, CHUNK_ROWS.min(capacity));
    let needed = Cache::bytes(config, capacity) + activations;
    if needed <= available {
        return Ok(());
    }
    let per_token = Cache::bytes(config, 1).max(1);
    let fits = available.saturating_sub(activations) / per_token;
    let remedy = if fits == 0 {
        "choose a smaller model or close other programs".to_owned()
    } else {
        format!("{fits} tokens would fit: shorten the text or choose a smaller model")
    };
    Err(ModelError::Engine(EngineError::WillNotFit {
        device: device.name().to_owned(),
        what: format!("the cache and activations of {capacity} tokens"),
        needed_mib: mib(needed),
        available_mib: mib(available),
        remedy,
        advice: None,
    }))
}

/// Appends the scores of the first `count` states.
fn add_scores(scores: &mut Vec<Score>, states: &[f32], count: usize) -> Result<(), ModelError> {
    for state in states.chunks_exact(STATE_COLS).take(count) {
        let (logprob, top) = finish(state);
        if logprob.is_nan() {
            return Err(ModelError::NotANumber);
        }
        scores.push(Score { logprob, top });
    }
    Ok(())
}

/// Tokens read at a time: enough rows to keep the device busy, few enough that their activations
/// stay small and a cancel is heard.
const CHUNK_ROWS: usize = 512;
