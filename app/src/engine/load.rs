//! A model: found or fetched, opened, put on a device.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use inscribe::engine::Device;
use inscribe::engine::gpu::Precision;
use inscribe::engine::select::{self, SelectOptions};
use inscribe::memory::fingerprint;
use inscribe::model::bundle::Model;
use inscribe::model::hub::{Cache, PullError, PullEvent, Puller, Setup, Source, Watch};
use inscribe::model::locate;
use inscribe::model::transformer::Transformer;

use super::Outbox;
use super::control::Control;
use super::message::{Fetch, LoadRequest, LoadedModel, Report};
use crate::trouble::Failure;

/// A model on a device.
pub struct Loaded {
    pub info: LoadedModel,
    pub model: Model,
    pub device: Device,
    pub transformer: Transformer,
}

pub fn load(
    request: &LoadRequest,
    hub: &Setup,
    out: &Outbox,
    control: &Control,
) -> Result<Loaded, Failure> {
    let cache = cache_of(request)?;
    let path = obtain(request, &cache, hub, out, control)?;
    let model = Model::open(&path)?;
    let print = fingerprint(&model.file)?;
    let opened = select::open(&SelectOptions {
        choice: request.device.clone(),
        threads: request.threads,
        precision: Precision::Exact,
        cache_dir: Some(cache.root().join("pipelines")),
    })?;
    let device = opened.device;
    let total = model.file.total_bytes();
    let mut pace = Pace::default();
    let transformer = Transformer::load(&device, &model.file, model.config.clone(), &mut |done| {
        if pace.is_due() {
            out.tell(Report::Loading { done, total });
        }
        control.token().check()
    })?;
    let info = LoadedModel {
        request: request.clone(),
        name: model.name.clone(),
        path,
        fingerprint: print,
        weight_bytes: total,
        config: model.config.clone(),
        device: device.name().to_owned(),
        is_gpu: device.is_gpu(),
        why: opened.why,
        available_bytes: device.available_bytes(),
    };
    Ok(Loaded {
        info,
        model,
        device,
        transformer,
    })
}

fn cache_of(request: &LoadRequest) -> Result<Cache, PullError> {
    match &request.cache {
        Some(root) => Ok(Cache::at(root)),
        None => Cache::open(),
    }
}

fn obtain(
    request: &LoadRequest,
    cache: &Cache,
    hub: &Setup,
    out: &Outbox,
    control: &Control,
) -> Result<PathBuf, Failure> {
    let spec = locate::resolve(&request.model, Some(cache))?;
    let puller = Puller {
        cache: cache.clone(),
        setup: hub.clone(),
        source: Source::Auto,
        force: false,
    };
    let mut progress = Progress::new(out);
    let mut report = |event: &PullEvent<'_>| progress.event(event);
    let mut watch = Watch::new(control.token().flag(), &mut report);
    Ok(spec.obtain(&puller, &mut watch)?)
}

/// Lets through ten reports a second.
#[derive(Default)]
pub struct Pace {
    last: Option<Instant>,
}

impl Pace {
    pub fn is_due(&mut self) -> bool {
        let due = self
            .last
            .is_none_or(|last| last.elapsed() >= Duration::from_millis(100));
        if due {
            self.last = Some(Instant::now());
        }
        due
    }
}

/// Speeds are taken over this time.
const SPEED_OVER: Duration = Duration::from_secs(5);

struct Progress<'a> {
    out: &'a Outbox,
    fetch: Fetch,
    pace: Pace,
    /// When how many bytes were there.
    marks: VecDeque<(Instant, u64)>,
}

impl<'a> Progress<'a> {
    fn new(out: &'a Outbox) -> Progress<'a> {
        Progress {
            out,
            fetch: Fetch::default(),
            pace: Pace::default(),
            marks: VecDeque::new(),
        }
    }

    fn event(&mut self, event: &PullEvent<'_>) {
        let fetch = &mut self.fetch;
        match event {
            PullEvent::Source { name } => fetch.source = (*name).to_owned(),
            PullEvent::SourceFailed { error, next } => {
                fetch.note = Some(format!("{error}; trying {next} instead"));
            }
            PullEvent::Begin { label, done, total } => {
                fetch.label = (*label).to_owned();
                (fetch.done, fetch.total, fetch.speed) = (*done, *total, None);
                self.marks.clear();
            }
            PullEvent::Advance { done } => {
                fetch.done = *done;
                self.mark(*done);
                if !self.pace.is_due() {
                    return;
                }
            }
            PullEvent::Retry { error, wait } => {
                fetch.note = Some(format!(
                    "{error}; trying again in {} s",
                    wait.as_secs().max(1)
                ));
            }
            PullEvent::Damaged { label } => {
                fetch.note = Some(format!("{label} has changed since it was fetched"));
            }
            PullEvent::WaitingForOther => {
                fetch.note = Some("Another program fetches the same model; waiting for it".into());
            }
        }
        self.out.tell(Report::Fetch(self.fetch.clone()));
    }

    fn mark(&mut self, done: u64) {
        let now = Instant::now();
        self.marks.push_back((now, done));
        while self.marks.len() > 2
            && self
                .marks
                .front()
                .is_some_and(|(at, _)| now - *at > SPEED_OVER)
        {
            self.marks.pop_front();
        }
        let Some(&(first, from)) = self.marks.front() else {
            return;
        };
        let seconds = (now - first).as_secs_f64();
        if seconds > 0.2 {
            self.fetch.speed = Some(done.saturating_sub(from) as f64 / seconds);
            self.fetch.note = None;
        }
    }
}
