//! A small model that is trained to be written to.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use inscribe::engine::select::{self, SelectOptions};
use inscribe::engine::{CancelToken, Device};
use inscribe::kernels::self_test;
use inscribe::train::bench::{Bench, draw};
use inscribe::train::error::TrainError;
use inscribe::train::event::Event;
use inscribe::train::run::{self, Keeper, Limits, Trainer};
use inscribe::train::saved::Saved;
use inscribe::train::store::RunFolder;
use inscribe::train::task;

use super::message::{End, Report, Sample, TrainBegin, TrainReport, TrainRequest};
use super::{Control, Outbox};
use crate::trouble::Failure;

/// Time between two checkpoints, at which answers are shown, too.
const CHECKPOINT: Duration = Duration::from_secs(10);
const EVENTS: &str = "events.jsonl";
/// What the pairs of shown answers are drawn by.
const SAMPLES: u64 = 1 << 60;
/// The most pairs of shown answers.
const SHOWN: usize = 8;

pub fn train(request: &TrainRequest, out: &Outbox, control: &Control) -> Result<End, Failure> {
    if control.token().is_cancelled() {
        return Err(Failure::Cancelled);
    }
    let (mut folder, stopped, settings) = match &request.begin {
        TrainBegin::New(settings) => {
            let task = named(&settings.task)?;
            settings.check(task.as_ref())?;
            let folder = RunFolder::create(&request.folder)?;
            (folder, None, settings.as_ref().clone())
        }
        TrainBegin::GoOn => {
            let (folder, stopped) = RunFolder::resume(&request.folder)?;
            let settings = stopped.settings.clone();
            (folder, Some(stopped), settings)
        }
    };
    let opened = select::open(&SelectOptions {
        choice: request.device.clone(),
        threads: request.threads,
        self_test: Some(self_test::fast_products),
        ..SelectOptions::default()
    })?;
    let task = named(&settings.task)?;
    let mut trainer = Trainer::new(&opened.device, settings, task, control.token())?;
    let tell = |report| out.tell(Report::Training(Box::new(report)));
    let first = match stopped {
        Some(stopped) => {
            trainer.restore(&stopped.state, stopped.progress)?;
            past(&request.folder)
                .into_iter()
                .for_each(|event| tell(TrainReport::Event(event)));
            Event::Resumed {
                step: trainer.progress.step,
            }
        }
        None => trainer.started(),
    };
    let mut kept = Kept {
        folder: &mut folder,
        out,
        pause: &request.pause,
        cancel: control.token(),
        processor: Device::cpu(request.threads),
    };
    kept.event(&first)?;
    let limits = Limits {
        seconds: request.minutes.map(|m| trainer.progress.seconds + 60.0 * m),
    };
    match trainer.run(limits, CHECKPOINT, &mut kept)? {
        run::End::Cancelled => Err(Failure::Cancelled),
        run::End::Done => {
            let (step, seconds) = (trainer.progress.step, trainer.progress.seconds);
            kept.event(&Event::Done { step, seconds })?;
            Ok(End::Trained(request.folder.clone()))
        }
    }
}

fn named(name: &str) -> Result<Box<dyn task::Task>, Failure> {
    let unknown = || Failure::Refused(format!("This program does not know the task '{name}'."));
    task::named(name).ok_or_else(unknown)
}

/// What the run told before it was stopped. Lines that cannot be read are left out: a run goes on
/// without them.
fn past(folder: &Path) -> Vec<Event> {
    let text = fs::read_to_string(folder.join(EVENTS)).unwrap_or_default();
    let events = text.lines().map(serde_json::from_str);
    events.filter_map(Result::ok).collect()
}

struct Kept<'a> {
    folder: &'a mut RunFolder,
    out: &'a Outbox,
    pause: &'a AtomicBool,
    cancel: &'a CancelToken,
    /// What shown answers are worked out on.
    processor: Device,
}

impl Kept<'_> {
    fn tell(&self, report: TrainReport) {
        self.out.tell(Report::Training(Box::new(report)));
    }

    fn wait_while_paused(&self) {
        let mut told = false;
        while self.pause.load(Ordering::Relaxed) && !self.cancel.is_cancelled() {
            if !told {
                self.tell(TrainReport::Paused);
                told = true;
            }
            std::thread::sleep(Duration::from_millis(30));
        }
    }

    /// What the model answers now, for pairs that it was not trained on.
    fn sample(&self, trainer: &Trainer) -> Result<Sample, TrainError> {
        let (stage, step) = (trainer.stage(), trainer.progress.step);
        let saved = Saved {
            config: trainer.net.config.clone(),
            layout: trainer.net.layout.clone(),
            numbers: trainer.net.parameters()?,
            inner: trainer.settings.inner_at(&stage),
        };
        let pairs = draw(stage.level.min(SHOWN), SAMPLES + step);
        let mut bench = Bench::new(saved, self.processor.clone());
        let mut seen = bench.write(&pairs, bench.most_rows())?;
        for _ in 0..stage.inner_steps {
            seen = bench.step()?;
        }
        Ok(Sample {
            step,
            pairs,
            stage: seen,
        })
    }
}

impl Keeper for Kept<'_> {
    fn event(&mut self, event: &Event) -> Result<(), TrainError> {
        self.folder.event(event)?;
        self.tell(TrainReport::Event(event.clone()));
        if matches!(event, Event::Step(_)) {
            self.wait_while_paused();
        }
        Ok(())
    }

    fn checkpoint(&mut self, trainer: &Trainer) -> Result<(), TrainError> {
        self.folder.checkpoint(trainer)?;
        let sample = self.sample(trainer)?;
        self.tell(TrainReport::Sample(sample));
        Ok(())
    }
}
