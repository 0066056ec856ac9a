//! A model: found or fetched, opened, put on a device.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use inscribe::Inscriber;
use inscribe::engine::select::SelectOptions;
use inscribe::inscriber::OpenEvent;
use inscribe::model::hub::{PullEvent, Setup};
use inscribe::model::loaded::Loaded as Model;

use super::Outbox;
use super::control::Control;
use super::message::{Fetch, LoadRequest, LoadedModel, Report};
use crate::trouble::Failure;

/// A model on a device, and what the window shows of it.
pub struct Loaded {
    pub info: LoadedModel,
    pub inscriber: Inscriber,
}

pub fn load(
    request: &LoadRequest,
    hub: &Setup,
    out: &Outbox,
    control: &Control,
) -> Result<Loaded, Failure> {
    let opening = Inscriber::opening(&request.model)
        .device(SelectOptions {
            choice: request.device.clone(),
            threads: request.threads,
            ..SelectOptions::default()
        })
        .hub(hub.clone())
        .stopped_by(control.token());
    let opening = match &request.cache {
        Some(folder) => opening.cache(folder),
        None => opening,
    };
    let (mut fetching, mut pace) = (Progress::new(out), Pace::default());
    let (mut path, mut chosen) = (PathBuf::new(), String::new());
    let inscriber = opening.run(&mut |event| match event {
        OpenEvent::Device { why, .. } => chosen = why.to_owned(),
        OpenEvent::Fetch(event) => fetching.event(event),
        OpenEvent::Found(found) => path = found.to_owned(),
        OpenEvent::Loading { done, total } => {
            if pace.is_due() {
                out.tell(Report::Loading { done, total });
            }
        }
    })?;
    let Model { model, device, .. } = inscriber.loaded();
    let info = LoadedModel {
        request: request.clone(),
        name: model.name.clone(),
        path,
        fingerprint: inscriber.fingerprint().to_owned(),
        weight_bytes: model.file.total_bytes(),
        config: model.config.clone(),
        device: device.name().to_owned(),
        is_gpu: device.is_gpu(),
        why: chosen,
        available_bytes: device.available_bytes(),
    };
    Ok(Loaded { info, inscriber })
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

/// Time over which speeds are averaged.
const SPEED_OVER: Duration = Duration::from_secs(5);

struct Progress<'a> {
    out: &'a Outbox,
    fetch: Fetch,
    pace: Pace,
    /// Times, and the bytes that were there by then.
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
            PullEvent::Source { name } if name.starts_with("Python") => {
                "a second source".clone_into(&mut fetch.source);
            }
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
