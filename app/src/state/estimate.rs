//! What a run will take, before anything starts: time, memory, what is fetched. Where a model was
//! not timed on a device yet, times are a first guess and are called one.

use inscribe::engine::select::DeviceChoice;
use inscribe::write::run::RunRecord;
use inscribe::write::settings::{Allocate, Method, WriteSettings};

use super::State;
use super::prefs::Speeds;
use super::presets::needs_utility;
use crate::engine::{DeviceInfo, ModelEntry, Shape};

/// Bytes of text that a token stands for in English prose, about.
const BYTES_PER_TOKEN: f64 = 4.4;
/// Of a processor's thread, on the matrices of small models.
const FLOPS_PER_THREAD: f64 = 60e9;
const FLOPS_INTEGRATED: f64 = 600e9;
const FLOPS_DISCRETE: f64 = 5e12;
const FLOPS_SOFTWARE: f64 = 8e9;
/// Of the default model's kind, in its file.
const BYTES_PER_PARAMETER: f64 = 0.73;
/// Rows that are read at once, and how wide what is alive beside them is, in the sizes of the model.
const READ_AT_ONCE: usize = 1024;
const READING_HIDDEN: usize = 6;
const READING_FFN: usize = 2;
/// Positions that are kept for the question and its answer.
const READER_ROOM: usize = 512;

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Estimate {
    pub tokens: usize,
    /// Whether a tokenizer has counted them.
    pub tokens_exact: bool,
    /// Parts the document is written in; 0 where the model's context is not known.
    pub segments: usize,
    pub read_secs: f64,
    pub steps_secs: f64,
    /// Whether times come from this model on this device.
    pub timed: bool,
    /// Weights, and everything beside them.
    pub memory_bytes: Option<u64>,
    pub available_bytes: Option<u64>,
    /// To be downloaded first.
    pub fetch_bytes: Option<u64>,
}

impl Estimate {
    pub fn fits(&self) -> bool {
        match (self.memory_bytes, self.available_bytes) {
            (Some(needed), Some(there)) => needed <= there,
            _ => true,
        }
    }
}

/// The name that speeds are kept under.
pub fn speed_key(model: &str, device: &str) -> String {
    format!("{model} | {device}")
}

/// The speeds that a run has shown.
pub fn measured(record: &RunRecord) -> Option<Speeds> {
    let read: f64 = record.segments.iter().map(|s| s.prefill_secs).sum();
    let local: f64 = record.segments.iter().map(|s| s.local_secs).sum();
    let tokens = record.tokens() as f64;
    if read <= 0.0 || tokens <= 0.0 {
        return None;
    }
    let (step_tokens, step_secs) = record.steps.iter().fold((0, 0.0), |(t, s), step| {
        (t + step.step.tokens, s + step.step.seconds)
    });
    let rate = |amount: f64, secs: f64| if secs > 0.0 { amount / secs } else { 0.0 };
    Some(Speeds {
        prefill: tokens / read,
        local: rate(tokens, local),
        step: rate(step_tokens as f64, step_secs),
        peak_bytes: record.peak_bytes.unwrap_or(0),
    })
}

/// What the next run will take, with what is chosen now or with another model or device.
pub fn estimate(
    state: &State,
    model: Option<&ModelEntry>,
    device: Option<&DeviceInfo>,
) -> Option<Estimate> {
    let open = state.document.as_ref()?;
    let settings = state.settings();
    let loaded = state.model.ready().filter(|loaded| {
        model.is_none_or(|m| m.name == loaded.request.model)
            && device.is_none_or(|d| d.choice == loaded.request.device)
            && loaded.request.model == state.prefs.model
    });
    let name = model.map_or(&state.prefs.model, |m| &m.name);
    let entry = model.or_else(|| {
        state
            .survey
            .as_ref()?
            .models
            .iter()
            .find(|m| &m.name == name)
    });
    let device = device.or_else(|| chosen_device(state));
    let exact = open.tokens.as_ref().filter(|_| model.is_none());
    let tokens = match exact {
        Some(tokens) => tokens.len(),
        None => (open.document.text.len() as f64 / BYTES_PER_TOKEN).ceil() as usize,
    };
    let device_name = match (loaded, device) {
        (Some(loaded), _) => loaded.device.clone(),
        (None, Some(device)) => device.name.clone(),
        (None, None) => String::new(),
    };
    let known = find_speeds(state, name, &device_name, device);
    let shape = match loaded {
        Some(loaded) => Some(loaded.shape),
        None => entry.and_then(|m| m.shape),
    };
    let parameters = match shape {
        Some(shape) => shape.parameters as f64,
        None => entry.map_or(0.0, |m| m.bytes as f64 / BYTES_PER_PARAMETER),
    };
    let threads = state.survey.as_ref().map_or(1, |s| s.processor_threads);
    let guessed = guess(parameters, device, threads);
    let speeds = match known {
        Some(known) => Speeds {
            local: if known.local > 0.0 {
                known.local
            } else {
                known.prefill / 2.0
            },
            step: if known.step > 0.0 {
                known.step
            } else {
                known.prefill / 3.0
            },
            ..known
        },
        None => guessed,
    };
    let segments = shape.map_or(0, |Shape { context, .. }| {
        tokens
            .div_ceil(context.saturating_sub(READER_ROOM.min(context / 4)).max(1))
            .max(1)
    });
    let weights = match loaded {
        Some(loaded) => Some(loaded.weight_bytes),
        None => entry.map(|m| m.bytes).filter(|&bytes| bytes > 0),
    };
    let of_part = tokens.div_ceil(segments.max(1));
    // Without the model's sizes its weights are all that is known.
    let beside = shape.map_or(0, |shape| {
        let reading = loaded.map(|l| l.activation_bytes);
        let measured = speeds.peak_bytes.saturating_sub(weights.unwrap_or(0));
        beside_weights(settings, shape, reading, of_part, measured)
    });
    let (read_secs, steps_secs) = times(settings, tokens, &speeds);
    Some(Estimate {
        tokens,
        tokens_exact: exact.is_some(),
        segments,
        read_secs,
        steps_secs,
        timed: known.is_some(),
        memory_bytes: weights.map(|weights| weights + beside),
        available_bytes: available(state, device),
        fetch_bytes: entry.filter(|m| !m.here).map(|m| m.bytes),
    })
}

fn times(settings: &WriteSettings, tokens: usize, speeds: &Speeds) -> (f64, f64) {
    let tokens = tokens as f64;
    let mut read = tokens / speeds.prefill;
    if needs_utility(settings.allocate) {
        read += tokens / speeds.local;
    }
    let drawn = match settings.allocate {
        // One span of 128 tokens, as qTTT draws them.
        Allocate::Whole => 128.min(settings.batch * settings.span),
        _ => settings.batch * settings.span,
    };
    let mut steps = settings.budget as f64 * drawn as f64 / speeds.step;
    if settings.evaluate {
        steps += tokens / speeds.prefill;
    }
    if settings.method != Method::Gdwm {
        steps += tokens / speeds.prefill;
    }
    (read, steps)
}

/// From the multiplications of a pass: twice the parameters a token forwards, as many again for
/// each of the two ways back.
fn guess(parameters: f64, device: Option<&DeviceInfo>, threads: usize) -> Speeds {
    let flops = match device {
        Some(d) if d.is_software => FLOPS_SOFTWARE,
        Some(d) if d.kind.starts_with("discrete") => FLOPS_DISCRETE,
        Some(d) if d.is_gpu => FLOPS_INTEGRATED,
        _ => FLOPS_PER_THREAD * threads as f64,
    };
    let prefill = match parameters > 0.0 {
        true => flops / (2.0 * parameters),
        // Nothing is known of a model that was named by its path.
        false => f64::NAN,
    };
    Speeds {
        prefill,
        local: prefill / 2.0,
        step: prefill / 3.0,
        peak_bytes: 0,
    }
}

fn find_speeds(
    state: &State,
    model: &str,
    device_name: &str,
    device: Option<&DeviceInfo>,
) -> Option<Speeds> {
    let by_name = |name: &str| state.prefs.speeds.get(&speed_key(model, name)).copied();
    let found = by_name(device_name);
    // A processor is called by its threads once it is open.
    found.or_else(|| {
        let device = device.filter(|d| !d.is_gpu)?;
        by_name(&device.name)
    })
}

/// The device that would be opened.
pub fn chosen_device(state: &State) -> Option<&DeviceInfo> {
    let devices = &state.survey.as_ref()?.devices;
    let choice = state.prefs.device_choice();
    let exactly = devices.iter().find(|d| d.choice == choice);
    exactly.or_else(|| match choice {
        DeviceChoice::Auto => devices.iter().find(|d| d.automatic),
        _ => None,
    })
}

/// Keys and values of the longest part, and what reading and learning need beside them; a run before
/// has `measured` it.
fn beside_weights(
    settings: &WriteSettings,
    shape: Shape,
    reading: Option<u64>,
    tokens: usize,
    measured: u64,
) -> u64 {
    let cache = shape.cache_bytes_per_token * (tokens + READER_ROOM) as u64;
    let reading = reading.unwrap_or_else(|| {
        let row = READING_HIDDEN * shape.hidden + READING_FFN * shape.ffn;
        (READ_AT_ONCE * row * size_of::<f32>()) as u64
    });
    let row = ((12 * shape.hidden + 3 * shape.ffn) * size_of::<f32>()) as u64;
    let learning = (settings.batch * settings.span) as u64 * row * shape.layers as u64 / 2;
    let beside = cache + reading.max(learning);
    beside.max(measured.min(4 * beside))
}

fn available(state: &State, device: Option<&DeviceInfo>) -> Option<u64> {
    match device {
        Some(device) if device.is_gpu => device.memory_bytes,
        _ => state.survey.as_ref()?.processor_bytes,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use inscribe::write::synthetic::{Invented, events};

    #[test]
    fn a_run_tells_its_speeds_and_they_tell_its_time() {
        let record = RunRecord::from_events(&events(&Invented::default()));
        let speeds = measured(&record).expect("a whole run");
        assert!(speeds.prefill > 0.0 && speeds.local > 0.0 && speeds.step > 0.0);
        let settings = record.settings.clone().expect("started");
        let (read, steps) = times(&settings, record.tokens(), &speeds);
        let told: f64 = record
            .segments
            .iter()
            .map(|s| s.prefill_secs + s.local_secs)
            .sum();
        assert!((read / told - 1.0).abs() < 0.01, "{read} {told}");
        assert!(steps > 0.0);
    }
}
