//! Published experiments, done again.

use std::path::Path;
use std::time::{Duration, Instant};

use serde::Serialize;

use super::error::TrainError;
use super::event::{Event, Tested};
use super::run::{End, Keeper, Limits, Trainer, test};
use super::saved::Saved;
use super::settings::{NetShape, Stage, TrainSettings, Writer, doubling};
use super::store::RunFolder;
use super::task::kv::KeyValue;
use crate::engine::{CancelToken, Device};

/// One line of what an experiment came to. Shares are in percent.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    pub setting: String,
    pub value: f64,
    /// What the authors report.
    pub published: Option<f64>,
    /// What is held here: at least this, or at most where the setting says so.
    pub bar: Option<f64>,
    pub holds: Option<bool>,
}

/// What an experiment came to.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Reproduced {
    pub name: String,
    pub seeds: Vec<u64>,
    pub rows: Vec<Row>,
    /// Whether every bar holds.
    pub holds: bool,
    pub seconds: f64,
}

impl Row {
    fn new(setting: impl Into<String>, value: f64, published: Option<f64>) -> Row {
        Row {
            setting: setting.into(),
            value,
            published,
            bar: None,
            holds: None,
        }
    }

    fn at_least(self, bar: f64) -> Row {
        Row {
            holds: Some(self.value >= bar),
            bar: Some(bar),
            ..self
        }
    }

    fn at_most(self, bar: f64) -> Row {
        Row {
            holds: Some(self.value <= bar),
            bar: Some(bar),
            ..self
        }
    }
}

impl Reproduced {
    pub fn new(name: &str, seeds: Vec<u64>, rows: Vec<Row>, started: Instant) -> Reproduced {
        Reproduced {
            name: name.to_owned(),
            seeds,
            holds: rows.iter().all(|row| row.holds != Some(false)),
            rows,
            seconds: started.elapsed().as_secs_f64(),
        }
    }
}

/// Exact match of GradMem by the number of pairs, in percent: K = 1, 2 and 5 (arXiv 2603.13875v1,
/// table 1).
const PUBLISHED: [(usize, [f64; 3]); 6] = [
    (4, [100.0, 100.0, 100.0]),
    (8, [99.7, 100.0, 100.0]),
    (16, [96.3, 99.6, 100.0]),
    (32, [86.9, 98.3, 99.9]),
    (64, [58.6, 72.8, 99.1]),
    (96, [32.6, 34.2, 88.4]),
];
/// The baseline that writes by one forward pass, and GradMem without second derivatives at K = 2.
const PUBLISHED_RMT: [(usize, f64); 6] = [
    (4, 100.0),
    (8, 100.0),
    (16, 45.5),
    (32, 44.3),
    (64, 19.3),
    (96, 12.9),
];
const PUBLISHED_FIRST_ORDER: [(usize, f64); 2] = [(8, 46.7), (16, 4.2)];

fn published(pairs: usize, inner_steps: usize) -> Option<f64> {
    let column = [1, 2, 5].iter().position(|k| *k == inner_steps)?;
    let row = PUBLISHED.iter().find(|(known, _)| *known == pairs)?;
    Some(row.1[column])
}

fn of(table: &[(usize, f64)], pairs: usize) -> Option<f64> {
    table
        .iter()
        .find(|(known, _)| *known == pairs)
        .map(|(_, share)| *share)
}

/// What is told while an experiment goes on.
pub type Tell<'a> = &'a mut dyn FnMut(&str);

/// Key-value retrieval with a trained model: by pairs, and by steps on the memory. `hardest` is the
/// most pairs that the model was trained on.
pub fn kv_retrieval(
    device: &Device,
    model: &Saved,
    hardest: usize,
    samples: usize,
    tell: Tell<'_>,
) -> Result<Vec<Row>, TrainError> {
    let mut net = model.net(device)?;
    let trained = model.inner.steps;
    let mut rows = Vec::new();
    let mut tested = |level: usize, steps: &[usize], tell: Tell<'_>| {
        tell(&format!("{level} pairs"));
        let stage = Stage {
            level,
            inner_steps: trained,
        };
        let (writer, seed) = (Writer::Gradmem, TEST_SEED);
        test(
            &mut net,
            &KeyValue,
            writer,
            &model.inner,
            stage,
            (seed, samples),
            steps,
        )
    };
    for stage in doubling(hardest, trained) {
        let found = tested(stage.level, &[trained], tell)?;
        let setting = format!("{} pairs, K={trained}", stage.level);
        let row = Row::new(setting, percent(&found, 0), published(stage.level, trained));
        rows.push(row.at_least(if stage.level <= 16 { 99.0 } else { 90.0 }));
    }
    let others = [0, 1, 3, 4, 5, 8, 10];
    let found = tested(hardest, &others, tell)?;
    let as_trained = rows.last().map_or(0.0, |row| row.value);
    for (i, steps) in others.into_iter().enumerate() {
        let setting = format!("{hardest} pairs, K={steps} at test");
        let row = Row::new(setting, percent(&found, i), None);
        rows.push(match steps {
            // Chance is a pair of 3,844.
            0 => row.at_most(1.0),
            1 => row.at_most(as_trained),
            _ => row,
        });
    }
    Ok(rows)
}

/// Seed of test samples: apart from those of training runs.
const TEST_SEED: u64 = 0x7e57;

fn percent(tested: &Tested, row: usize) -> f64 {
    tested
        .rows
        .get(row)
        .map_or(0.0, |row| (1000.0 * row.exact).round() / 10.0)
}

/// Trainings of an experiment.
pub struct Plan<'a> {
    /// Where the runs are kept; those that were stopped go on.
    pub folder: &'a Path,
    pub seeds: &'a [u64],
    /// Minutes of each run.
    pub minutes: f64,
    /// The most pairs.
    pub pairs: usize,
    pub samples: usize,
}

/// One training of the experiment.
struct Arm {
    name: String,
    settings: TrainSettings,
    /// Published shares and bars of what it is tested on.
    tests: Vec<(Stage, Option<f64>, Bar)>,
}

#[derive(Clone, Copy)]
enum Bar {
    None,
    AtLeast(f64),
    AtMost(f64),
}

/// Key-value retrieval with models that are trained for it here: GradMem, GradMem without second
/// derivatives, the baseline at equal time, and one or two memory rows.
pub fn kv_training(
    device: &Device,
    plan: &Plan<'_>,
    cancel: &CancelToken,
    tell: Tell<'_>,
) -> Result<Option<Vec<Row>>, TrainError> {
    let mut rows = Vec::new();
    for &seed in plan.seeds {
        for arm in arms(plan.pairs, seed) {
            tell(&format!("seed {seed}: {}", arm.name));
            let folder = plan
                .folder
                .join(format!("{}-s{seed}", arm.name.replace(' ', "-")));
            let Some(mut trainer) = trained(device, &arm, &folder, plan.minutes, cancel, tell)?
            else {
                return Ok(None);
            };
            for (stage, published, bar) in &arm.tests {
                let tested = trainer.test(*stage, plan.samples, &[stage.inner_steps])?;
                let setting = format!(
                    "seed {seed}, {}: {} pairs, K={}",
                    arm.name, stage.level, stage.inner_steps
                );
                let row = Row::new(setting, percent(&tested, 0), *published);
                rows.push(match *bar {
                    Bar::None => row,
                    Bar::AtLeast(bar) => row.at_least(bar),
                    Bar::AtMost(bar) => row.at_most(bar),
                });
            }
        }
    }
    Ok(Some(rows))
}

fn arms(pairs: usize, seed: u64) -> Vec<Arm> {
    let base = TrainSettings {
        seed,
        ..TrainSettings::default()
    };
    let by_pairs =
        |name: &str, settings: TrainSettings, of: &dyn Fn(usize) -> (Option<f64>, Bar)| {
            let tests = settings.stages.iter().map(|stage| {
                let (published, bar) = of(stage.level);
                (*stage, published, bar)
            });
            Arm {
                name: name.to_owned(),
                tests: tests.collect(),
                settings: settings.clone(),
            }
        };
    let full = TrainSettings {
        stages: doubling(pairs, 2),
        ..base.clone()
    };
    let mut first_order = full.clone();
    first_order.inner.second_order = false;
    let rmt = TrainSettings {
        writer: Writer::Rmt,
        stages: doubling(pairs, 1),
        lr: 1e-4,
        warmup: 500,
        net: NetShape {
            projection: true,
            ..NetShape::default()
        },
        ..base.clone()
    };
    let mut all = vec![
        by_pairs("gradmem", full, &|level| {
            let bar = if level <= 16 {
                Bar::AtLeast(99.0)
            } else {
                Bar::None
            };
            (published(level, 2), bar)
        }),
        by_pairs("first order", first_order, &|level| {
            let bar = if level == 8 {
                Bar::AtMost(50.0)
            } else {
                Bar::None
            };
            (of(&PUBLISHED_FIRST_ORDER, level), bar)
        }),
        by_pairs("rmt", rmt, &|level| (of(&PUBLISHED_RMT, level), Bar::None)),
    ];
    for (memory, inner_steps) in [(1, 1), (1, 2), (2, 1), (2, 2)] {
        let mut settings = TrainSettings {
            stages: doubling(8, inner_steps),
            ..base.clone()
        };
        settings.net.memory = memory;
        let name = format!("{memory} memory rows K={inner_steps}");
        all.push(by_pairs(&name, settings, &|_| (None, Bar::None)));
    }
    all
}

/// Trains an arm, or goes on training it; `None` where that was cancelled.
fn trained(
    device: &Device,
    arm: &Arm,
    folder: &Path,
    minutes: f64,
    cancel: &CancelToken,
    tell: Tell<'_>,
) -> Result<Option<Trainer>, TrainError> {
    let task = Box::new(KeyValue);
    let mut trainer = Trainer::new(device, arm.settings.clone(), task, cancel)?;
    let goes_on = folder.join("training.safetensors").exists();
    let mut own = if goes_on {
        let (own, stopped) = RunFolder::resume(folder)?;
        trainer.restore(&stopped.state, stopped.progress)?;
        own
    } else {
        RunFolder::create(folder)?
    };
    if !goes_on {
        own.event(&trainer.started())?;
    }
    let mut telling = Telling {
        folder: own,
        tell,
        name: &arm.name,
        told: Instant::now(),
    };
    let limits = Limits {
        seconds: Some(60.0 * minutes),
    };
    let end = trainer.run(limits, Duration::from_secs(30), &mut telling)?;
    Ok((end == End::Done).then_some(trainer))
}

struct Telling<'a> {
    folder: RunFolder,
    tell: Tell<'a>,
    name: &'a str,
    told: Instant,
}

impl Keeper for Telling<'_> {
    fn event(&mut self, event: &Event) -> Result<(), TrainError> {
        if let Event::Step(step) = event
            && self.told.elapsed() > Duration::from_secs(2)
        {
            self.told = Instant::now();
            (self.tell)(&format!(
                "{}: step {}, stage {}, loss {:.3}, running {:.1} % exact",
                self.name,
                step.step,
                step.stage + 1,
                step.loss,
                100.0 * step.running
            ));
        }
        self.folder.event(event)
    }

    fn checkpoint(&mut self, trainer: &Trainer) -> Result<(), TrainError> {
        self.folder.checkpoint(trainer)
    }
}
