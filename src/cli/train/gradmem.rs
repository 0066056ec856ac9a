//! `inscribe train gradmem`.

use std::fs::File;
use std::io::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use clap::ValueEnum;

use inscribe::memory::LoraConfig;
use inscribe::model::adapter::Projection;
use inscribe::model::loaded::Loaded;
use inscribe::train::base::{Base, write_lora};
use inscribe::train::error::TrainError;
use inscribe::train::event::Event;
use inscribe::train::meta::Inner;
use inscribe::train::run::{End, Keeper, Limits, Trainer};
use inscribe::train::settings::{NetShape, Stage, TrainSettings, Writer};
use inscribe::train::store::RunFolder;
use inscribe::train::task::{self, Task};
use inscribe::words;

use super::options::{ScheduleName, open_events};
use super::shown::Shown;
use crate::cli::errors::GoesOn;
use crate::cli::out::outln;
use crate::cli::{Context, numbers, setup};

/// Numbers of steps on the memory that a trained model is tested with.
const TESTED: [usize; 8] = [0, 1, 2, 3, 4, 5, 8, 10];
/// New contexts of a test, and those beside a model that is there already, which is far larger.
const TESTS: usize = 500;
const TESTS_BESIDE: usize = 100;

/// What both writers are asked for.
#[derive(clap::Args)]
#[command(allow_negative_numbers = true)]
pub struct Args {
    /// What to train on
    #[arg(long, value_enum, default_value_t = TaskName::Kv)]
    task: TaskName,
    /// The folder of the model and of the run
    #[arg(long, short, value_name = "DIR")]
    out: PathBuf,
    /// Go on with a run that was stopped, with the settings it was started with
    #[arg(long)]
    resume: bool,
    /// What tasks other than kv are made of: a folder of bAbI's text files, a file in SQuAD's
    /// format, or a text file or folder of them
    #[arg(long, value_name = "PATH", requires = "base")]
    data: Option<PathBuf>,
    /// kv: pairs of a context at the end; training begins with 4 and doubles [default: 8]. babi:
    /// the task, 1 to 5. text: tokens of a window at the end [default: 32]
    #[arg(long, visible_alias = "level", value_name = "N", value_parser = numbers::positive::<usize>)]
    pairs: Option<usize>,
    /// Stages to go through instead, as LEVEL or LEVEL:STEPS, divided by commas
    #[arg(long, value_name = "STAGES", value_delimiter = ',', value_parser = stage)]
    curriculum: Vec<(usize, Option<usize>)>,
    /// Running share of right answers at which a stage ends
    #[arg(long, value_name = "SHARE", default_value_t = 0.9)]
    advance: f64,
    /// Running share of right answers at which training ends
    #[arg(long, value_name = "SHARE", default_value_t = 0.99)]
    goal: f64,
    /// End after so many steps of training
    #[arg(long, value_name = "N", value_parser = numbers::positive::<u64>)]
    steps: Option<u64>,
    /// End after so many minutes of training, over all sittings
    #[arg(long, value_name = "MIN", value_parser = numbers::number::<f64>)]
    minutes: Option<f64>,
    /// New contexts of the test at the end [default: 500; 100 with --base]
    #[arg(long, value_name = "N", value_parser = numbers::positive::<usize>)]
    tests: Option<usize>,
    /// Keep the run's events in this file, too: one JSON object a line
    #[arg(long, value_name = "FILE")]
    events: Option<PathBuf>,
    /// Seconds between checkpoints
    #[arg(long, value_name = "SECS", default_value_t = 30, value_parser = numbers::whole::<u64>)]
    checkpoint: u64,
    #[command(flatten)]
    beside: Beside,
    #[command(flatten)]
    writing: Writing,
    #[command(flatten)]
    net: NetArgs,
    #[command(flatten)]
    learning: Learning,
}

#[derive(clap::Args)]
#[command(next_help_heading = "A model that is there already")]
struct Beside {
    /// Train beside this model, which stays as it is: a known name, a .gguf file, a folder, a hub id
    #[arg(long, value_name = "MODEL")]
    base: Option<String>,
    /// Write through an adapter of this rank, which is trained, too; reading is the plain model's
    #[arg(long, value_name = "RANK", num_args = 0..=1, default_missing_value = "8",
          requires = "base", value_parser = numbers::positive::<usize>)]
    lora: Option<usize>,
    /// What the adapter adds is multiplied by this over its rank
    #[arg(long, value_name = "ALPHA", default_value_t = 16.0, requires = "lora")]
    lora_alpha: f32,
    /// The projections it adds to [default: all]
    #[arg(long, value_name = "NAMES", value_delimiter = ',', requires = "lora")]
    lora_targets: Vec<Projection>,
}

impl Beside {
    fn adapter(&self) -> Option<LoraConfig> {
        let mut adapter = write_lora(self.lora?, self.lora_alpha);
        if !self.lora_targets.is_empty() {
            adapter.targets.clone_from(&self.lora_targets);
        }
        Some(adapter)
    }
}

#[derive(clap::Args)]
#[command(next_help_heading = "Writing")]
struct Writing {
    /// Gradient steps on the memory
    #[arg(long, value_name = "K", default_value_t = 2, value_parser = numbers::whole::<usize>)]
    inner_steps: usize,
    /// Their rate
    #[arg(long, value_name = "RATE", default_value_t = 0.4)]
    alpha: f32,
    /// Learn the rate, too
    #[arg(long)]
    learn_alpha: bool,
    /// Scale each sample's gradient down to this norm
    #[arg(long, value_name = "NORM")]
    inner_clip: Option<f32>,
    /// Do not learn through the steps (an ablation)
    #[arg(long)]
    first_order: bool,
    /// Weight of the last writing loss beside that of the answers
    #[arg(long, value_name = "WEIGHT", default_value_t = 0.0)]
    add_inner: f32,
}

#[derive(clap::Args)]
#[command(next_help_heading = "The model")]
struct NetArgs {
    /// Memory rows
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = numbers::positive::<usize>)]
    memory: usize,
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = numbers::positive::<usize>)]
    layers: usize,
    /// Width of the model; its MLP is four times as wide
    #[arg(long, value_name = "N", default_value_t = 128, value_parser = numbers::positive::<usize>)]
    hidden: usize,
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = numbers::positive::<usize>)]
    heads: usize,
    /// A linear map between memory and model
    #[arg(long)]
    mem_proj: bool,
    /// A head of its own for writing
    #[arg(long)]
    write_head: bool,
    /// Control rows before and after the memory
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = numbers::whole::<usize>)]
    control: usize,
}

#[derive(clap::Args)]
#[command(next_help_heading = "Learning")]
struct Learning {
    /// Contexts of a step
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = numbers::positive::<usize>)]
    batch: usize,
    /// Questions about each
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = numbers::positive::<usize>)]
    queries: usize,
    /// Rate of AdamW
    #[arg(long, value_name = "RATE", default_value_t = 5e-4)]
    lr: f32,
    /// Steps over which it rises
    #[arg(long, value_name = "N", default_value_t = 300, value_parser = numbers::whole::<u64>)]
    warmup: u64,
    /// How it goes on
    #[arg(long, value_enum, default_value_t = ScheduleName::Constant)]
    schedule: ScheduleName,
    /// Norm that gradients are scaled down to
    #[arg(long, value_name = "NORM", default_value_t = 1.0)]
    clip: f32,
    #[arg(long, default_value_t = 1, value_parser = numbers::whole::<u64>)]
    seed: u64,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum TaskName {
    /// Key-value pairs of two characters each, as published
    Kv,
    /// The first five bAbI tasks: stories, and questions with one-word answers
    Babi,
    /// SQuAD with the sentence that holds the answer as context
    SquadShort,
    /// Windows of any texts, to be given back
    Text,
}

/// `16` or `16:2`.
fn stage(text: &str) -> Result<(usize, Option<usize>), String> {
    let (level, steps) = text
        .split_once(':')
        .map_or((text, None), |(l, s)| (l, Some(s)));
    let steps = steps.map(numbers::whole::<usize>).transpose()?;
    Ok((numbers::positive(level)?, steps))
}

impl Args {
    /// The settings of a new run.
    fn settings(
        &self,
        writer: Writer,
        task: &dyn Task,
        base: Option<&Loaded>,
    ) -> Result<TrainSettings> {
        let (writing, net, learning) = (&self.writing, &self.net, &self.learning);
        let asked = self.curriculum.iter().copied();
        let usual = task.levels(self.pairs).into_iter();
        let stages: Vec<_> = if self.curriculum.is_empty() {
            usual.map(|level| (level, None)).collect()
        } else {
            asked.collect()
        };
        let stages = stages.into_iter().map(|(level, steps)| Stage {
            level,
            inner_steps: steps.unwrap_or(writing.inner_steps),
        });
        let shape = NetShape {
            layers: net.layers,
            hidden: net.hidden,
            heads: net.heads,
            ffn: 4 * net.hidden,
            memory: net.memory,
            projection: net.mem_proj,
            write_head: net.write_head,
            control: net.control,
            learned_rate: writing.learn_alpha,
        };
        let beside = self.beside.base.as_deref().zip(base);
        let beside = beside.map(|(name, loaded)| Base::new(loaded, name, self.beside.adapter()));
        Ok(TrainSettings {
            task: self.task.name(),
            net: match base {
                Some(loaded) => shape.sized(loaded.config()),
                None => shape,
            },
            writer,
            inner: Inner {
                steps: writing.inner_steps,
                alpha: writing.alpha,
                clip: writing.inner_clip,
                second_order: !writing.first_order,
                add_inner: writing.add_inner,
                ..Inner::default()
            },
            stages: stages.collect(),
            advance: self.advance,
            goal: self.goal,
            batch: learning.batch,
            questions: learning.queries,
            lr: learning.lr,
            warmup: learning.warmup,
            schedule: learning.schedule.into(),
            clip: learning.clip,
            seed: learning.seed,
            steps: self.steps,
            base: beside.transpose()?,
            data: task.data().cloned(),
        })
    }

    /// What is trained on: as a run that was stopped says, or as is asked.
    fn task(
        &self,
        earlier: Option<&TrainSettings>,
        base: Option<&Loaded>,
    ) -> Result<Box<dyn Task>> {
        let name = earlier.map_or_else(|| self.task.name(), |earlier| earlier.task.clone());
        let Some(loaded) = base else {
            if task::needs_base(&name) {
                bail!(
                    "{name} is in the tokens of a model that is there already; name it with --base"
                );
            }
            return task::named(&name).with_context(|| format!("there is no task '{name}'"));
        };
        let (data, seed) = match earlier {
            Some(earlier) => {
                let data = earlier.data.as_ref();
                (data.and_then(|data| data.paths.first()), earlier.seed)
            }
            None => (self.data.as_ref(), self.learning.seed),
        };
        let data = data.map(PathBuf::as_path);
        Ok(task::on_base(&name, &loaded.model, data, seed)?)
    }

    fn limits(&self) -> Limits {
        Limits {
            seconds: self.minutes.map(|minutes| 60.0 * minutes),
        }
    }
}

impl TaskName {
    fn name(self) -> String {
        let value = self.to_possible_value();
        value.map_or(String::new(), |value| value.get_name().to_owned())
    }
}

pub fn run(args: &Args, writer: Writer, app: &Context) -> Result<()> {
    let (resumed, stopped) = if args.resume {
        let (folder, stopped) = RunFolder::resume(&args.out)?;
        (Some(folder), Some(stopped))
    } else {
        (None, None)
    };
    let earlier = stopped.as_ref().map(|stopped| &stopped.settings);
    let base = match earlier {
        Some(earlier) => earlier.base.as_ref().map(|base| base.opened_by.clone()),
        None => args.beside.base.clone(),
    };
    let base = base.map(|name| setup::load(&name, app)).transpose()?;
    let base = base.as_deref();
    let task = args.task(earlier, base)?;
    // How long it goes on may be said anew; everything else is as the run was started.
    let settings = match earlier {
        Some(earlier) => TrainSettings {
            steps: args.steps,
            goal: args.goal,
            ..earlier.clone()
        },
        None => args.settings(writer, task.as_ref(), base)?,
    };
    settings.check(task.as_ref())?;
    let copy = args.events.as_deref().map(open_events).transpose()?;
    let mut folder = resumed.map_or_else(|| RunFolder::create(&args.out), Ok)?;
    let mut trainer = match base {
        Some(loaded) => Trainer::on_base(loaded, settings, task, &app.cancel)?,
        None => Trainer::new(&setup::open_device(app)?, settings, task, &app.cancel)?,
    };
    let mut keeper = Kept {
        folder: &mut folder,
        copy,
        shown: Shown::new(app, args.limits()),
    };
    let first = match stopped {
        Some(stopped) => {
            trainer.restore(&stopped.state, stopped.progress)?;
            Event::Resumed {
                step: trainer.progress.step,
            }
        }
        None => trainer.started(),
    };
    keeper.shown.begin(&trainer);
    keeper.event(&first)?;
    let every = Duration::from_secs(args.checkpoint);
    let end = trainer.run(args.limits(), every, &mut keeper);
    keeper.shown.end();
    match end.with_context(|| GoesOn)? {
        End::Done => finish(args, app, &mut trainer, &mut keeper),
        End::Cancelled => {
            let steps = words::counted(usize::try_from(trainer.progress.step).unwrap_or(0), "step");
            app.note(&format!(
                "stopped after {steps}; everything is in {}, and the same call with --resume goes on",
                args.out.display()
            ));
            bail!(inscribe::engine::EngineError::Cancelled)
        }
    }
}

/// Tests the model at every stage it went through, and says what was learned.
fn finish(args: &Args, app: &Context, trainer: &mut Trainer, keeper: &mut Kept<'_>) -> Result<()> {
    let reached = trainer
        .settings
        .stages
        .len()
        .min(trainer.progress.stage + 1);
    let stages = trainer.settings.stages[..reached].to_vec();
    let beside = trainer.settings.base.is_some();
    let usual = if beside { TESTS_BESIDE } else { TESTS };
    let count = args.tests.unwrap_or(usual);
    let mut steps = TESTED.to_vec();
    if beside {
        steps = stages.iter().map(|stage| stage.inner_steps).collect();
        let most = steps.iter().max().map_or(0, |most| 2 * most);
        steps.extend([0, most]);
        steps.sort_unstable();
        steps.dedup();
    }
    let bar = app.spinner("testing".to_owned());
    let mut all = Vec::new();
    for stage in stages {
        let tested = trainer.test(stage, count, &steps)?;
        keeper.event(&Event::Tested(tested.clone()))?;
        all.push(tested);
    }
    bar.finish_and_clear();
    let done = Event::Done {
        step: trainer.progress.step,
        seconds: trainer.progress.seconds,
    };
    keeper.event(&done)?;
    for line in Shown::table(&all, trainer.task()) {
        outln!("{line}");
    }
    app.note(&format!(
        "{} steps in {}; the model is in {}",
        trainer.progress.step,
        words::duration(trainer.progress.seconds),
        args.out.display()
    ));
    Ok(())
}

/// The run's folder, a second file of events, and what is on the screen.
struct Kept<'a> {
    folder: &'a mut RunFolder,
    copy: Option<File>,
    shown: Shown,
}

impl Keeper for Kept<'_> {
    fn event(&mut self, event: &Event) -> Result<(), TrainError> {
        self.folder.event(event)?;
        self.shown.event(event);
        if let Some(copy) = &mut self.copy {
            let line = serde_json::to_string(event).unwrap_or_default();
            // A second file that cannot be written does not end a run that is safe.
            if writeln!(copy, "{line}").is_err() {
                self.copy = None;
            }
        }
        Ok(())
    }

    fn checkpoint(&mut self, trainer: &Trainer) -> Result<(), TrainError> {
        self.folder.checkpoint(trainer)
    }
}
