//! `inscribe train model`.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use inscribe::model::tokenizer::TokenizerFiles;
use inscribe::train::corpus::Corpus;
use inscribe::train::error::TrainError;
use inscribe::train::lm::{LmEvent, LmFolder, LmKeeper, LmSettings, LmStep, LmTrainer};
use inscribe::train::run::{End, Limits};
use inscribe::words;

use super::lines::{Lines, left};
use super::options::{ScheduleName, open_events};
use crate::cli::errors::GoesOn;
use crate::cli::out::outln;
use crate::cli::{Context, numbers, setup};

#[derive(clap::Args)]
#[command(allow_negative_numbers = true)]
pub struct Args {
    /// Texts to learn from: files, or folders of .txt and .md files
    #[arg(long, value_name = "PATH", num_args = 1.., required_unless_present = "resume")]
    data: Vec<PathBuf>,
    /// Whose tokens the model reads: a tokenizer.json, a SentencePiece .model, or a model
    #[arg(long, value_name = "FILE|MODEL", required_unless_present = "resume")]
    tokenizer: Option<String>,
    /// The folder of the model and of the run
    #[arg(long, short, value_name = "DIR")]
    out: PathBuf,
    /// Go on with a run that was stopped, with the settings it was started with
    #[arg(long)]
    resume: bool,
    /// End after so many steps of training
    #[arg(long, value_name = "N", value_parser = numbers::positive::<u64>)]
    steps: Option<u64>,
    /// End after so many minutes of training, over all sittings
    #[arg(long, value_name = "MIN", value_parser = numbers::number::<f64>)]
    minutes: Option<f64>,
    /// Keep the run's events in this file, too: one JSON object a line
    #[arg(long, value_name = "FILE")]
    events: Option<PathBuf>,
    /// Seconds between checkpoints
    #[arg(long, value_name = "SECS", default_value_t = 30, value_parser = numbers::whole::<u64>)]
    checkpoint: u64,
    /// Steps between tests on texts that are kept from training
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = numbers::positive::<u64>)]
    test_every: u64,
    #[command(flatten)]
    net: NetArgs,
    #[command(flatten)]
    learning: Learning,
}

#[derive(clap::Args)]
#[command(next_help_heading = "The model")]
struct NetArgs {
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = numbers::positive::<usize>)]
    layers: usize,
    /// Width of the model
    #[arg(long, value_name = "N", default_value_t = 128, value_parser = numbers::positive::<usize>)]
    hidden: usize,
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = numbers::positive::<usize>)]
    heads: usize,
    /// Width of its MLP [default: four times the model's]
    #[arg(long, value_name = "N", value_parser = numbers::positive::<usize>)]
    ffn: Option<usize>,
    /// Tokens of a window, which become the model's context
    #[arg(long, value_name = "N", default_value_t = 128, value_parser = numbers::positive::<usize>)]
    window: usize,
}

#[derive(clap::Args)]
#[command(next_help_heading = "Learning")]
struct Learning {
    /// Windows of a pass
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = numbers::positive::<usize>)]
    batch: usize,
    /// Passes of a step: as many windows as a batch so many times as large, in the memory of one
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = numbers::positive::<usize>)]
    accumulate: usize,
    /// Rate of AdamW
    #[arg(long, value_name = "RATE", default_value_t = 1e-3)]
    lr: f32,
    /// Steps over which it rises
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = numbers::whole::<u64>)]
    warmup: u64,
    /// How it goes on; cosine needs --steps
    #[arg(long, value_enum, default_value_t = ScheduleName::Cosine)]
    schedule: ScheduleName,
    /// Part of each weight, times the rate, that a step takes off; gains are spared
    #[arg(long, value_name = "PART", default_value_t = 0.1)]
    weight_decay: f32,
    /// Norm that gradients are scaled down to
    #[arg(long, value_name = "NORM", default_value_t = 1.0)]
    clip: f32,
    #[arg(long, default_value_t = 1, value_parser = numbers::whole::<u64>)]
    seed: u64,
}

impl Args {
    /// The settings of a new run, which a corpus completes.
    fn settings(&self) -> LmSettings {
        let (net, learning) = (&self.net, &self.learning);
        LmSettings {
            layers: net.layers,
            hidden: net.hidden,
            heads: net.heads,
            ffn: net.ffn.unwrap_or(4 * net.hidden),
            window: net.window,
            batch: learning.batch,
            accumulate: learning.accumulate,
            lr: learning.lr,
            warmup: learning.warmup,
            schedule: learning.schedule.into(),
            weight_decay: learning.weight_decay,
            clip: learning.clip,
            seed: learning.seed,
            steps: self.steps,
            test_every: self.test_every,
            ..LmSettings::default()
        }
    }

    /// The tokenizer of a new run.
    fn tokenizer(&self, app: &Context) -> Result<TokenizerFiles> {
        let name = self.tokenizer.as_deref().unwrap_or(setup::DEFAULT_MODEL);
        let file = Path::new(name);
        let is_file = |ending: &str| file.extension().is_some_and(|e| e == ending);
        let is_tokenizer = is_file("json") || is_file("model") || file.is_dir();
        let path = if is_tokenizer {
            file.to_owned()
        } else {
            app.model_path(name)?
        };
        Ok(TokenizerFiles::open(&path)?)
    }

    fn limits(&self) -> Limits {
        Limits {
            seconds: self.minutes.map(|minutes| 60.0 * minutes),
        }
    }
}

pub fn run(args: &Args, app: &Context) -> Result<()> {
    let (resumed, stopped) = if args.resume {
        let (folder, stopped) = LmFolder::resume(&args.out)?;
        (Some(folder), Some(stopped))
    } else {
        (None, None)
    };
    let earlier = stopped.as_ref().map(|stopped| &stopped.settings);
    let mut settings = match earlier {
        // How long it goes on may be said anew; everything else is as the run was started.
        Some(earlier) => LmSettings {
            steps: args.steps.or(earlier.steps),
            ..earlier.clone()
        },
        None => args.settings(),
    };
    settings.check()?;
    let tokenizer = match earlier {
        Some(_) => TokenizerFiles::open(&args.out)?,
        None => args.tokenizer(app)?,
    };
    let data = earlier.map_or(&args.data, |earlier| &earlier.data.paths);
    let bar = app.spinner("reading texts".to_owned());
    let corpus = Corpus::read(data, &tokenizer.tokenizer, settings.seed);
    bar.finish_and_clear();
    let corpus = corpus?;
    if earlier.is_none() {
        settings.data = corpus.data.clone();
    }
    let copy = args.events.as_deref().map(open_events).transpose()?;
    let device = setup::open_device(app)?;
    let cancel = &app.cancel;
    let mut trainer = LmTrainer::new(&device, settings, &tokenizer.tokenizer, corpus, cancel)?;
    let folder = resumed.map_or_else(|| LmFolder::create(&args.out, &tokenizer), Ok)?;
    let first = match stopped {
        Some(stopped) => {
            trainer.restore(&stopped.state, stopped.progress)?;
            LmEvent::Resumed {
                step: trainer.progress.step,
            }
        }
        None => trainer.started(),
    };
    let mut keeper = Kept {
        folder,
        copy,
        shown: Shown::new(app, &trainer, args.limits()),
    };
    keeper.event(&first)?;
    let every = Duration::from_secs(args.checkpoint);
    let end = trainer.run(args.limits(), every, &mut keeper);
    keeper.shown.end();
    match end.with_context(|| GoesOn)? {
        End::Done => finish(args, app, &trainer, &keeper),
        End::Cancelled => {
            let steps = usize::try_from(trainer.progress.step).unwrap_or(0);
            app.note(&format!(
                "stopped after {}; everything is in {}, and the same call with --resume goes on",
                words::counted(steps, "step"),
                args.out.display()
            ));
            bail!(inscribe::engine::EngineError::Cancelled)
        }
    }
}

fn finish(args: &Args, app: &Context, trainer: &LmTrainer, keeper: &Kept) -> Result<()> {
    if let Some(loss) = keeper.shown.tested {
        outln!(
            "loss on texts kept from training: {} nats a token",
            words::number(loss)
        );
    }
    let out = args.out.display();
    app.note(&format!(
        "{} steps in {}; the model is in {out}: inscribe generate --raw --model {out} --prompt ...",
        trainer.progress.step,
        words::duration(trainer.progress.seconds),
    ));
    Ok(())
}

/// The run's folder, a second file of events, and what is on the screen.
struct Kept {
    folder: LmFolder,
    copy: Option<File>,
    shown: Shown,
}

impl LmKeeper for Kept {
    fn event(&mut self, event: &LmEvent) -> Result<(), TrainError> {
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

    fn checkpoint(&mut self, trainer: &LmTrainer) -> Result<(), TrainError> {
        self.folder.checkpoint(trainer)
    }
}

/// What is shown of a run.
struct Shown {
    lines: Lines,
    limits: Limits,
    steps: Option<u64>,
    /// Steps and seconds at the beginning of this sitting.
    from: (u64, f64),
    last: Option<LmStep>,
    /// The newest loss on texts that are kept from training.
    tested: Option<f64>,
}

impl Shown {
    fn new(app: &Context, trainer: &LmTrainer, limits: Limits) -> Shown {
        let mut lines = Lines::new(app);
        lines.begin(&format!(
            "training {} on {} of text",
            words::counted(trainer.parameters(), "parameter"),
            words::counted(trainer.tokens(), "token")
        ));
        Shown {
            lines,
            limits,
            steps: trainer.settings.steps,
            from: (trainer.progress.step, trainer.progress.seconds),
            last: None,
            tested: None,
        }
    }

    fn event(&mut self, event: &LmEvent) {
        match event {
            LmEvent::Step(step) => {
                let more = || {
                    self.tested.map_or_else(String::new, |loss| {
                        format!("loss on texts kept from training {}", words::number(loss))
                    })
                };
                self.lines.tell(|| (self.summary(step), more()));
                self.last = Some(step.clone());
            }
            LmEvent::Tested { step, loss, .. } => {
                self.tested = Some(*loss);
                let loss = words::number(*loss);
                let text = format!("step {step}: loss on texts kept from training {loss}");
                self.lines.line(&text);
            }
            LmEvent::Resumed { step } => {
                self.lines.line(&format!("going on after step {step}"));
            }
            _ => {}
        }
    }

    fn end(&mut self) {
        let last = self.last.take().map(|step| self.summary(&step));
        self.lines.end(last);
    }

    fn summary(&self, step: &LmStep) -> String {
        let (steps, seconds) = (step.step - self.from.0, step.seconds - self.from.1);
        let pace = seconds / steps.max(1) as f64;
        format!(
            "step {}  loss {:.3}  norm {:.2}  rate {:.1e}  {:.2} s a step  {}{}",
            step.step,
            step.loss,
            step.norm,
            step.lr,
            pace,
            words::duration(step.seconds),
            left(
                self.steps,
                self.limits.seconds,
                step.step,
                step.seconds,
                pace
            )
        )
    }
}
