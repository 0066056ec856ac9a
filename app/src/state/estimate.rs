//! What a run will take, before anything starts: time, memory, what is fetched. Where a model was
//! not timed on a device yet, times are a first guess and are called one.

use std::cell::RefCell;

use inscribe::engine::select::DeviceChoice;
use inscribe::model::config::ModelConfig;
use inscribe::write::forecast::{Extent, Forecast, Speeds};
use inscribe::write::record::RunRecord;
use inscribe::write::settings::WriteSettings;
use inscribe::write::writer::{Footprint, footprint};

use super::State;
use crate::engine::{DeviceInfo, ModelEntry};

/// Bytes of English prose for each token, about.
const BYTES_PER_TOKEN: f64 = 4.4;
/// Tokens that a chat template puts before a document, about.
const LEAD: usize = 24;
/// Operations a second of one thread of a processor, on the matrices of small models.
const FLOPS_PER_THREAD: f64 = 60e9;
const FLOPS_INTEGRATED: f64 = 600e9;
const FLOPS_DISCRETE: f64 = 5e12;
const FLOPS_SOFTWARE: f64 = 8e9;
/// Bytes of the default model's file to each of its parameters.
const BYTES_PER_PARAMETER: f64 = 0.73;

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Estimate {
    pub tokens: usize,
    /// Whether a tokenizer has counted the tokens.
    pub tokens_exact: bool,
    /// Number of parts that the document is written in; 0 where the model's sizes are not known.
    pub segments: usize,
    pub read_secs: f64,
    pub steps_secs: f64,
    /// Whether the times were measured with this model on this device.
    pub timed: bool,
    /// Most bytes of device memory, the weights included.
    pub memory_bytes: Option<u64>,
    pub available_bytes: Option<u64>,
    /// Bytes to download first.
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

/// What writes take, planned once for each model, document and choice of settings: a plan costs
/// some milliseconds, and estimates are drawn in every frame.
#[derive(Default)]
pub struct Footprints {
    known: RefCell<Vec<(Case, Footprint)>>,
}

#[derive(PartialEq)]
struct Case {
    config: ModelConfig,
    settings: WriteSettings,
    tokens: usize,
    free: Option<u64>,
}

impl Footprints {
    /// Plans that are kept: more than the models and devices that are listed at once.
    const KEPT: usize = 64;

    fn of(
        &self,
        config: &ModelConfig,
        settings: &WriteSettings,
        tokens: usize,
        free: Option<u64>,
    ) -> Footprint {
        let case = Case {
            config: config.clone(),
            settings: settings.clone(),
            tokens,
            free,
        };
        let mut known = self.known.borrow_mut();
        if let Some((_, footprint)) = known.iter().find(|(other, _)| *other == case) {
            return *footprint;
        }
        let planned = footprint(config, settings, (LEAD, tokens), free);
        if known.len() == Self::KEPT {
            known.remove(0);
        }
        known.push((case, planned));
        planned
    }
}

/// The name that speeds are kept under.
pub fn speed_key(model: &str, device: &str) -> String {
    format!("{model} | {device}")
}

/// Fewer tokens than this tell no speed: what a pass takes before its first token and after its
/// last would be most of it.
const TELLING: usize = 500;

/// The speeds that a run has shown, where it was long enough to show any.
pub fn measured(record: &RunRecord) -> Option<Speeds> {
    let read = record.segments.iter().filter(|s| s.prefill_secs > 0.0);
    let locally = read.clone().filter(|s| s.local_secs > 0.0);
    let tokens: usize = read.clone().map(|s| s.tokens).sum();
    if tokens < TELLING {
        return None;
    }
    let (step_tokens, step_secs) = record.steps.iter().fold((0, 0.0), |(t, s), step| {
        (t + step.step.tokens, s + step.step.seconds)
    });
    let rate = |amount: f64, secs: f64| if secs > 0.0 { amount / secs } else { 0.0 };
    let step = match step_tokens {
        TELLING.. => rate(step_tokens as f64, step_secs),
        _ => 0.0,
    };
    Some(Speeds {
        prefill: rate(tokens as f64, read.map(|s| s.prefill_secs).sum()),
        local: rate(
            locally.clone().map(|s| s.tokens as f64).sum(),
            locally.map(|s| s.local_secs).sum(),
        ),
        step,
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
    let exact = open.tokens.as_ref().filter(|_| open.tokens_of == *name);
    let tokens = match exact {
        Some(tokens) => tokens.len(),
        None => (open.document.text.len() as f64 / BYTES_PER_TOKEN).ceil() as usize,
    };
    let config = match loaded {
        Some(loaded) => Some(&loaded.config),
        None => entry.and_then(|m| m.config.as_ref()),
    };
    let parameters = match config {
        Some(config) => config.parameters() as f64,
        None => entry.map_or(0.0, |m| m.bytes as f64 / BYTES_PER_PARAMETER),
    };
    let device_name = match loaded {
        Some(loaded) => Some(&loaded.device),
        None => device.map(|device| &device.name),
    };
    let known = find_speeds(state, name, device_name, device);
    let speeds = known.unwrap_or_else(|| {
        let threads = state.survey.as_ref().map_or(1, |s| s.processor_threads);
        guess(parameters, device, threads)
    });
    let weights = match loaded {
        Some(loaded) => Some(loaded.weight_bytes),
        None => entry.map(|m| m.bytes).filter(|&bytes| bytes > 0),
    };
    let available = available(state, device);
    let free = available.map(|bytes| bytes.saturating_sub(weights.unwrap_or(0)));
    // Without the model's sizes its weights are all that is known.
    let config = config.filter(|_| settings.check().is_ok());
    let footprint = config.map_or(Footprint::default(), |config| {
        state.footprints.of(config, settings, tokens, free)
    });
    let extent = Extent {
        tokens,
        parts: footprint.segments,
        kept_parts: footprint.kept_segments,
    };
    let (read_secs, steps_secs) = times(settings, extent, speeds);
    Some(Estimate {
        tokens,
        tokens_exact: exact.is_some(),
        segments: footprint.segments,
        read_secs,
        steps_secs,
        timed: known.is_some(),
        memory_bytes: weights.map(|weights| weights + footprint.peak_bytes),
        available_bytes: available,
        fetch_bytes: entry.filter(|m| !m.here).map(|m| m.bytes),
    })
}

/// Seconds of reading, and of steps with what is measured after them.
fn times(settings: &WriteSettings, extent: Extent, speeds: Speeds) -> (f64, f64) {
    let time = Forecast::of(settings, extent, speeds);
    (
        time.read + time.local + time.again,
        time.steps + time.evaluate,
    )
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
    let prefill = if parameters > 0.0 {
        flops / (2.0 * parameters)
    } else {
        // Nothing is known of a model that was named by its path.
        f64::NAN
    };
    Speeds::from_reading(prefill)
}

/// The speeds that were measured, where reading was.
fn find_speeds(
    state: &State,
    model: &str,
    device_name: Option<&String>,
    device: Option<&DeviceInfo>,
) -> Option<Speeds> {
    let by_name = |name: &String| state.prefs.speeds.get(&speed_key(model, name)).copied();
    // A processor is called by its threads once it is open.
    let processor = device.filter(|d| !d.is_gpu).map(|d| &d.name);
    let found = device_name
        .and_then(by_name)
        .or_else(|| processor.and_then(by_name))?;
    let guessed = Speeds::from_reading(found.prefill);
    let or = |measured: f64, guess: f64| if measured > 0.0 { measured } else { guess };
    Some(Speeds {
        prefill: found.prefill,
        local: or(found.local, guessed.local),
        step: or(found.step, guessed.step),
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
        let parts = record.segments.len();
        let extent = Extent {
            tokens: record.tokens(),
            parts,
            kept_parts: parts,
        };
        let (read, steps) = times(&settings, extent, speeds);
        let told: f64 = record
            .segments
            .iter()
            .map(|s| s.prefill_secs + s.local_secs)
            .sum();
        assert!((read / told - 1.0).abs() < 0.01, "{read} {told}");
        assert!(steps > 0.0);
    }

    /// Three tokens that take half a second say nothing of 5,000.
    #[test]
    fn a_tiny_run_tells_no_speeds() {
        let run = Invented {
            tokens: 3,
            budget: 1,
            ..Invented::default()
        };
        assert_eq!(measured(&RunRecord::from_events(&events(&run))), None);
        let short = Invented {
            tokens: 600,
            budget: 1,
            ..Invented::default()
        };
        let speeds = measured(&RunRecord::from_events(&events(&short))).expect("long enough");
        assert!(speeds.prefill > 0.0);
        assert_eq!(speeds.step, 0.0, "a step of 256 tokens is too little");
    }
}
