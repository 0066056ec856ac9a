//! The command line: one file for each verb.
//!
//! To add a verb: `mod verb;`, a variant of [`Verb`] holding `verb::Args`, and its arm in
//! [`Verb::run`].

mod answering;
mod ask;
mod bench;
mod chunks;
mod columns;
mod compare;
mod completions;
mod demo;
mod devices;
mod errors;
mod export;
mod generate;
mod info;
mod keys;
mod live;
mod models;
mod numbers;
mod out;
mod output_file;
mod progress;
mod pull;
mod report;
mod reproduce;
mod setup;
mod shell;
mod suggest;
mod surprisal;
mod table;
mod terminal;
mod train;
mod utility;
mod write;
mod write_args;

use std::io::{ErrorKind, Write as _};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};

use clap::{Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand};
use indicatif::ProgressBar;
use inscribe::engine::CancelToken;
use inscribe::engine::gpu::Precision;
use inscribe::model::hub::{ModelCache, PullEvent, Puller, Watch};
use inscribe::model::locate;
use inscribe::words;

use out::errln;
use progress::Progress;

/// Writes a long document into a small language model's memory, on any GPU or on the CPU.
#[derive(Parser)]
#[command(name = "inscribe", version, max_term_width = 100, after_help = EXAMPLES)]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    verb: Verb,
}

const EXAMPLES: &str = "\
Examples:
  inscribe demo                       the whole story on a sample report
  inscribe write assets/sample.md --out sample.memory
  inscribe ask --memory sample.memory \"What is the name of the house's boat?\"
  inscribe info sample.memory         what the memory is, and whether it is whole
  inscribe pull                       fetch the default model (98 MB)
  inscribe models                     which models are known and which are here
  inscribe pull org/name:Q4_K_M       fetch a model from the Hugging Face hub by its id

`inscribe VERB --help` says more about a verb, with examples.

Wherever a model is named, it may be a known name (`inscribe models` lists them), a .gguf file, a
folder with config.json and .safetensors files, a hub id (org/name, org/name:file.gguf,
org/name:Q4_K_M, org/name@revision), or another program's: ollama:NAME:TAG,
lmstudio:publisher/repo/file.gguf, llama.cpp:file.gguf.

Environment:
  INSCRIBE_MODEL    the model where --model names none
  INSCRIBE_DEVICE   the device where --device names none";

/// What holds for every verb.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Everywhere")]
pub struct Global {
    /// Where to compute: auto (a GPU if there is one), cpu, gpu, or a device's name or number
    #[arg(
        long,
        global = true,
        default_value = "auto",
        value_name = "DEVICE",
        env = "INSCRIBE_DEVICE",
        hide_env_values = true
    )]
    pub device: String,
    /// How many CPU threads to use [default: one for each core]
    #[arg(long, global = true, value_name = "N", value_parser = numbers::threads)]
    pub threads: Option<NonZeroUsize>,
    /// Let GPUs round factors to f16 where that is faster; sums stay in f32
    #[arg(long, global = true)]
    pub fast: bool,
    /// Print results only: no progress, no notes
    #[arg(long, short, global = true)]
    pub quiet: bool,
}

#[derive(Subcommand)]
enum Verb {
    Demo(demo::Args),
    Generate(generate::Args),
    Surprisal(surprisal::Args),
    Utility(Box<utility::Args>),
    Write(Box<write::Args>),
    Ask(ask::Args),
    Compare(Box<compare::Args>),
    Devices(devices::Args),
    Pull(pull::Args),
    Models(models::Args),
    Report(report::Args),
    Export(export::Args),
    Info(info::Args),
    Bench(bench::Args),
    Completions(completions::Args),
    Train(train::Args),
    Reproduce(reproduce::Args),
}

/// Verbs that compute nothing, and the options that mean nothing to them.
const IDLE_VERBS: [&str; 6] = ["pull", "models", "report", "export", "info", "completions"];
const OF_COMPUTING: [&str; 3] = ["device", "threads", "fast"];

/// The whole command line.
fn command() -> clap::Command {
    let command = Cli::command();
    let hidden = command
        .get_arguments()
        .filter(|arg| OF_COMPUTING.contains(&arg.get_id().as_str()));
    let hidden: Vec<clap::Arg> = hidden.map(|arg| arg.clone().hide(true)).collect();
    let takes_signs = command.allow_negative_numbers(true);
    let takes_signs = takes_signs.mut_subcommands(|verb| verb.allow_negative_numbers(true));
    IDLE_VERBS.iter().fold(takes_signs, |command, verb| {
        command.mut_subcommand(verb, |verb| verb.args(hidden.clone()))
    })
}

impl Verb {
    fn run(self, context: &Context) -> anyhow::Result<()> {
        match self {
            Verb::Demo(args) => demo::run(&args, context),
            Verb::Generate(args) => generate::run(&args, context),
            Verb::Surprisal(args) => surprisal::run(&args, context),
            Verb::Write(args) => write::run(&args, context),
            Verb::Ask(args) => ask::run(&args, context),
            Verb::Utility(args) => utility::run(&args, context),
            Verb::Compare(args) => compare::run(&args, context),
            Verb::Devices(args) => devices::run(&args, context),
            Verb::Export(args) => export::run(&args, context),
            Verb::Info(args) => info::run(&args, context),
            Verb::Completions(args) => completions::run(&args, context),
            Verb::Train(args) => train::run(&args, context),
            Verb::Reproduce(args) => reproduce::run(&args, context),
            Verb::Report(args) => report::run(&args, context),
            Verb::Bench(args) => bench::run(&args, context),
            Verb::Pull(args) => pull::run(args, context),
            Verb::Models(args) => models::run(args, context),
        }
    }
}

/// What every verb is given.
pub struct Context {
    pub global: Global,
    /// The token that Ctrl-C cancels; long work checks it and ends cleanly.
    pub cancel: CancelToken,
}

impl Context {
    /// Progress on stderr: bars on a terminal, plain lines elsewhere, nothing with `--quiet`.
    pub fn progress(&self) -> Progress {
        Progress::new(self.global.quiet)
    }

    /// A bar on stderr for counted work; invisible in a pipe and with `--quiet`.
    pub fn counter(&self, label: &'static str, total: u64, unit: &'static str) -> ProgressBar {
        progress::counter(self.global.quiet, label, total, unit)
    }

    /// A sign on stderr that something goes on whose length is not known; as [`Context::counter`].
    pub fn spinner(&self, label: String) -> ProgressBar {
        progress::spinner(self.global.quiet, label)
    }

    /// A line on stderr for the person.
    pub fn note(&self, text: &str) {
        if !self.global.quiet {
            out::note(&words::shown_text(text));
        }
    }

    /// Whether products may round their factors, on a GPU that is faster so.
    pub fn precision(&self) -> Precision {
        if self.global.fast {
            Precision::Fast
        } else {
            Precision::Exact
        }
    }

    /// Threads asked for; 0 for one a core.
    pub fn threads(&self) -> usize {
        self.global.threads.map_or(0, NonZeroUsize::get)
    }

    /// The `.gguf` file or model folder that `--model` names, fetched if it is not here yet.
    pub fn model_path(&self, model: &str) -> anyhow::Result<PathBuf> {
        let spec = locate::resolve(model, ModelCache::open().ok().as_ref())?;
        self.obtain(&spec, &Puller::from_env()?)
    }

    fn obtain(&self, spec: &locate::ModelSpec, puller: &Puller) -> anyhow::Result<PathBuf> {
        let mut progress = self.progress();
        let mut report = |event: &PullEvent<'_>| progress.pull_event(event);
        let mut watch = Watch::new(self.cancel.flag(), &mut report);
        let path = spec.obtain(puller, &mut watch);
        progress.finish();
        Ok(path?)
    }
}

/// Runs the command line; the exit code is 0, 1 for an error, 2 for a wrong call, 130 after Ctrl-C.
pub fn run() -> ExitCode {
    let parsed = command().try_get_matches();
    let cli = match parsed.and_then(|matches| Cli::from_arg_matches(&matches)) {
        Ok(cli) => cli,
        Err(error) => return refused(&error),
    };
    let context = Context {
        global: cli.global,
        cancel: CancelToken::new(),
    };
    if let Err(error) = catch_interrupts(context.cancel.clone()) {
        errln!("note: Ctrl-C will end the program at once ({error})");
    }
    match cli.verb.run(&context) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => errors::report(&error),
    }
}

/// Prints what a wrong call, or one for help, is answered with.
fn refused(error: &clap::Error) -> ExitCode {
    let printed = error.print().and_then(|()| std::io::stdout().flush());
    match printed {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            errln!("error: the output cannot be written: {error}");
            ExitCode::FAILURE
        }
        _ => ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2)),
    }
}

/// Whether the program waits for its input, and so has nothing yet that a Ctrl-C could lose.
static READS_INPUT: AtomicBool = AtomicBool::new(false);

/// Reads input that may never come: Ctrl-C ends the program at once meanwhile.
fn reading_input<T>(read: impl FnOnce() -> T) -> T {
    READS_INPUT.store(true, Ordering::Relaxed);
    let read = read();
    READS_INPUT.store(false, Ordering::Relaxed);
    read
}

/// The first Ctrl-C asks the work to stop, the second one ends the program.
fn catch_interrupts(cancel: CancelToken) -> Result<(), ctrlc::Error> {
    ctrlc::set_handler(move || {
        if cancel.is_cancelled() || READS_INPUT.load(Ordering::Relaxed) {
            keys::restore();
            std::process::exit(130);
        }
        cancel.cancel();
    })
}

/// Prints `value` as a line of JSON on stdout.
pub fn print_json(value: &impl serde::Serialize) -> anyhow::Result<()> {
    out::outln!("{}", serde_json::to_string(value)?);
    Ok(())
}
