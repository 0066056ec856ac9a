//! A word on larger models, for those who took the default one.

use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Duration;

use inscribe::WriteSettings;
use inscribe::model::config::ModelConfig;
use inscribe::model::elsewhere::{Found, Limits, Looks, Places, Survey, hugging_face_cache};
use inscribe::model::hub::{
    DEFAULT, KNOWN, ModelCache, bytes_of_writing, default_model, find_known,
};
use inscribe::words;
use inscribe::write::forecast::{Extent, Forecast, Speeds};
use inscribe::write::prompt::Prompt;
use inscribe::write::record::RunRecord;
use inscribe::write::writer::footprint;

use super::Context;
use super::progress::size;
use super::setup::Loaded;

/// More times slower than the default model is more than somebody who tries it out would wait.
const MOST_TIMES: u64 = 16;
/// Fewer tokens than this tell no speed.
const TELLING: usize = 500;
/// What is not seen by the time it is wanted is waited for so long.
const WAITED: Duration = Duration::from_millis(80);

/// A write whose time a larger model's is reckoned from.
pub struct Written {
    pub settings: WriteSettings,
    pub tokens: usize,
    /// Of the default model, on the device at hand.
    pub speeds: Speeds,
}

impl Written {
    /// What a run has shown, if it was long enough to show anything.
    pub fn of(run: &RunRecord) -> Option<Written> {
        Some(Written {
            settings: run.settings.clone()?,
            tokens: run.tokens(),
            speeds: Speeds::from_reading(run.prefill_rate()?).corrected(run),
        })
    }
}

/// A look for larger models, which goes on beside other work.
pub struct Larger {
    /// What other programs have; nothing where no word is wanted.
    elsewhere: Option<Receiver<Survey>>,
}

impl Larger {
    /// Begins to look, if it was the default model that was named.
    pub fn look(name: &str, app: &Context) -> Larger {
        let wanted = name == DEFAULT && !app.global.quiet;
        Larger {
            elsewhere: wanted.then(|| {
                let (sender, receiver) = mpsc::channel();
                thread::spawn(move || {
                    let survey =
                        Places::from_env().survey(Limits::default(), &mut Looks::default());
                    // Nobody may want it any more.
                    let _ = sender.send(survey);
                });
                receiver
            }),
        }
    }

    /// Says which larger model would run here, and how long the write would take with it.
    pub fn tell(self, loaded: &Loaded, written: Option<Written>, app: &Context) {
        let Some(elsewhere) = self.elsewhere else {
            return;
        };
        let free = loaded.device.available_bytes();
        let survey = elsewhere.recv_timeout(WAITED).unwrap_or_default();
        let Some((model, times)) = free.and_then(|free| larger(free, all(&survey))) else {
            return;
        };
        let fetch = match model.fetch_bytes {
            Some(bytes) => format!("{} to fetch", size(bytes)),
            None => "it is here".to_owned(),
        };
        let lead = Prompt::new(&loaded.model).map_or(0, |prompt| prompt.lead.len());
        let seconds = written.and_then(|written| model.seconds(&written, lead, free));
        let time = match seconds {
            Some(seconds) => format!(
                "about {} for this document, {times} times as long",
                words::rough_duration(seconds)
            ),
            None => format!("about {times} times as long"),
        };
        app.note(&format!(
            "larger models answer better: --model {} would fit this machine ({fetch}; {time})",
            model.name
        ));
    }
}

/// A model that may be better than the default one.
struct Candidate {
    name: String,
    /// Bytes to fetch first, where it is not here.
    fetch_bytes: Option<u64>,
    /// Bytes of its weights.
    bytes: u64,
    config: ModelConfig,
}

impl Candidate {
    /// As many times slower than the default model as it is larger: all work is products with weights.
    fn slower(&self) -> f64 {
        let own = (default_model().config)().parameters().max(1);
        self.config.parameters() as f64 / own as f64
    }

    /// Seconds that it takes to write what was written, planned for its own context and memory.
    fn seconds(&self, written: &Written, lead: usize, free: Option<u64>) -> Option<f64> {
        if written.tokens < TELLING {
            return None;
        }
        let free = free.map(|free| free.saturating_sub(self.bytes));
        let size = (lead, written.tokens);
        let planned = footprint(&self.config, &written.settings, size, free);
        let extent = Extent {
            tokens: written.tokens,
            parts: planned.segments,
            kept_parts: planned.kept_segments,
        };
        let slower = self.slower();
        let speeds = Speeds {
            prefill: written.speeds.prefill / slower,
            local: written.speeds.local / slower,
            step: written.speeds.step / slower,
        };
        let seconds = Forecast::of(&written.settings, extent, speeds).total();
        seconds.is_finite().then_some(seconds)
    }
}

/// The models of other programs, and those that are known by name.
fn all(survey: &Survey) -> Vec<Candidate> {
    let (cache, theirs) = (ModelCache::open().ok(), hugging_face_cache());
    let known = KNOWN.iter().filter(|model| model.suggested).map(|model| {
        let found = |cache| find_known(cache, theirs.as_deref(), model).is_some();
        let here = cache.as_ref().is_some_and(found);
        Candidate {
            name: model.name.to_owned(),
            fetch_bytes: (!here).then_some(model.bytes),
            bytes: model.bytes,
            config: (model.config)(),
        }
    });
    // Of two that are alike the last one is taken, which is the one with the shorter name.
    survey
        .found
        .iter()
        .filter_map(of_another)
        .chain(known)
        .collect()
}

/// One that another program has, if it can be asked about any document.
fn of_another(found: &Found) -> Option<Candidate> {
    let for_code = found.name.to_ascii_lowercase().contains("code");
    let fits = found.fault.is_none() && found.answers_at_once && !for_code;
    Some(Candidate {
        name: found.name.clone(),
        fetch_bytes: None,
        bytes: found.bytes,
        config: found.config.clone().filter(|_| fits)?,
    })
}

/// The largest model for which there is room, of those that are here if there are any, and how many
/// times as long it takes as the default one.
fn larger(free: u64, models: Vec<Candidate>) -> Option<(Candidate, u64)> {
    let fits = |model: &Candidate| bytes_of_writing(&model.config, model.bytes) <= free;
    let timed = models.into_iter().filter(fits).map(|model| {
        let times = model.slower().round() as u64;
        (model, times)
    });
    let slower = timed.filter(|(_, times)| (2..=MOST_TIMES).contains(times));
    slower.max_by_key(|(model, times)| (model.fetch_bytes.is_none(), *times))
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use inscribe::model::elsewhere::Program;
    use inscribe::model::hub::known;

    use super::*;

    fn to_fetch() -> Vec<Candidate> {
        let mut models = all(&Survey::default());
        for model in &mut models {
            model.fetch_bytes = Some(model.bytes);
        }
        models
    }

    #[test]
    fn a_larger_model_is_named_where_it_fits() {
        assert!(larger(1 << 28, to_fetch()).is_none());
        let (model, times) = larger(64 << 30, to_fetch()).expect("one that fits");
        assert!(
            times >= 2 && model.name != DEFAULT,
            "{} {times}",
            model.name
        );
        let room = bytes_of_writing(&model.config, model.bytes);
        let (smaller, fewer) = larger(room - 1, to_fetch()).unwrap_or((model, times));
        assert!(fewer <= times, "{}", smaller.name);
        let mut models = to_fetch();
        for model in &mut models {
            if model.name == "smollm2-360m-instruct" {
                model.fetch_bytes = None;
            }
        }
        let (here, _) = larger(64 << 30, models).expect("one that fits");
        assert_eq!(here.name, "smollm2-360m-instruct", "it need not be fetched");
    }

    #[test]
    fn a_model_that_another_program_has_is_named_if_it_answers_at_once() {
        let found = |name: &str, answers_at_once| Found {
            name: name.to_owned(),
            program: Program::Ollama,
            path: PathBuf::from("blob"),
            bytes: 700 << 20,
            architecture: None,
            quantisation: None,
            config: Some((known("llama-3.2-1b-instruct").expect("known").config)()),
            answers_at_once,
            fault: None,
        };
        let taken = |found: Vec<Found>| {
            let survey = Survey {
                found,
                notes: Vec::new(),
            };
            let mut models = to_fetch();
            models.extend(survey.found.iter().filter_map(of_another));
            larger(64 << 30, models).expect("one that fits").0
        };
        let model = taken(vec![found("ollama:llama3.2:1b", true)]);
        assert_eq!(model.name, "ollama:llama3.2:1b");
        for others in [
            found("ollama:base:1b", false),
            found("ollama:some-coder:1b", true),
            Found {
                fault: Some("it is cut short".to_owned()),
                ..found("ollama:cut:1b", true)
            },
        ] {
            assert!(taken(vec![others]).fetch_bytes.is_some());
        }
        let written = Written {
            settings: WriteSettings::default(),
            tokens: 5000,
            speeds: Speeds::from_reading(1000.0),
        };
        let own = Candidate {
            name: DEFAULT.to_owned(),
            fetch_bytes: None,
            bytes: default_model().bytes,
            config: (default_model().config)(),
        };
        let seconds = |model: &Candidate| model.seconds(&written, 24, None).expect("a time");
        let times = seconds(&model) / seconds(&own);
        assert!((times / model.slower() - 1.0).abs() < 0.2, "{times}");
        let short = Written {
            tokens: 100,
            ..written
        };
        assert_eq!(model.seconds(&short, 24, None), None, "it shows no speed");
    }
}
