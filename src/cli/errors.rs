//! How an error leaves the program: one line that says what happened, one that says what to do.
//! The library names neither flags nor verbs; their names are given here.

use std::error::Error;
use std::fmt;
use std::io;
use std::process::ExitCode;

use inscribe::advice::Advice;
use inscribe::engine::EngineError;
use inscribe::memory::MemoryError;
use inscribe::model::ModelError;
use inscribe::model::hub::PullError;
use inscribe::model::locate::LocateError;
use inscribe::train::error::TrainError;
use inscribe::words::spelled_out;
use inscribe::write::document::DocumentError;
use inscribe::write::error::WriteError;
use inscribe::write::setting::Setting;
use inscribe::write::setting_error::SettingError;

use super::out::errln;

/// Beside an error: what was done is kept, and the same call goes on from there.
#[derive(Clone, Copy, Debug)]
pub struct GoesOn;

impl fmt::Display for GoesOn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the same call with --resume goes on from there")
    }
}

/// Prints the error and gives the exit code for it.
pub fn report(error: &anyhow::Error) -> ExitCode {
    if is_broken_pipe(error) {
        // The reader (`| head`) has seen enough.
        return ExitCode::SUCCESS;
    }
    super::out::end_line();
    errln!("error: {}", one_line(error));
    if let Some(hint) = hint(error) {
        errln!("hint: {}", spelled_out(&hint));
    }
    ExitCode::from(if is_cancelled(error) { 130 } else { 1 })
}

/// The error and its causes, each once.
fn one_line(error: &anyhow::Error) -> String {
    let mut line = String::new();
    // What stands beside an error is its hint.
    let beside = usize::from(error.is::<GoesOn>());
    for cause in causes(error).skip(beside) {
        let text = text_of(cause);
        if line.contains(&text) {
            continue;
        }
        if !line.is_empty() {
            line.push_str(": ");
        }
        line.push_str(&text);
        if matches!(cause.downcast_ref(), Some(MemoryError::Io { .. })) {
            // It says in its own words what the system said.
            break;
        }
    }
    spelled_out(&line.replace(['\n', '\r', '\t'], " "))
}

/// The error and its causes, each as the error of its own layer.
fn causes(error: &anyhow::Error) -> impl Iterator<Item = &(dyn Error + 'static)> {
    error.chain().map(of_its_layer)
}

fn of_its_layer<'e>(cause: &'e (dyn Error + 'static)) -> &'e (dyn Error + 'static) {
    match cause.downcast_ref() {
        Some(inscribe::Error::Locate(error)) => error,
        Some(inscribe::Error::Pull(error)) => error,
        Some(inscribe::Error::Engine(error)) => error,
        Some(inscribe::Error::Model(error)) => error,
        Some(inscribe::Error::Document(error)) => error,
        Some(inscribe::Error::Memory(error)) => error,
        Some(inscribe::Error::Write(error)) => error,
        _ => cause,
    }
}

/// The text of one cause, in which settings have the names of their flags.
fn text_of(cause: &(dyn Error + 'static)) -> String {
    let setting = cause.downcast_ref::<SettingError>();
    let of_a_run = || cause.downcast_ref().and_then(WriteError::setting);
    match setting.or_else(of_a_run) {
        Some(error) => error.named(flag),
        None => cause.to_string(),
    }
}

/// What to do about the error: in the words of the library, and by means of the command line.
fn hint(error: &anyhow::Error) -> Option<String> {
    let of_causes = causes(error).find_map(|cause| {
        let said = said_of(cause);
        let means = advice_of(cause).map(means);
        match (said, means) {
            (Some(said), Some(means)) if said.ends_with('?') => Some(format!("{said} {means}")),
            (Some(said), Some(means)) => Some(format!("{said}; {means}")),
            (said, means) => said.or_else(|| means.map(str::to_owned)),
        }
    });
    of_causes.or_else(|| Some(error.downcast_ref::<GoesOn>()?.to_string()))
}

fn said_of(cause: &(dyn Error + 'static)) -> Option<String> {
    let pull = cause.downcast_ref().and_then(PullError::hint);
    pull.or_else(|| cause.downcast_ref().and_then(LocateError::hint))
        .or_else(|| cause.downcast_ref().and_then(of_training))
}

fn of_training(error: &TrainError) -> Option<String> {
    let taken = matches!(error, TrainError::Taken { .. });
    taken.then(|| "--resume goes on with it".to_owned())
}

fn advice_of(cause: &(dyn Error + 'static)) -> Option<Advice> {
    let advice = cause.downcast_ref().and_then(WriteError::advice);
    advice
        .or_else(|| cause.downcast_ref().and_then(MemoryError::advice))
        .or_else(|| cause.downcast_ref().and_then(ModelError::advice))
        .or_else(|| cause.downcast_ref().and_then(EngineError::advice))
        .or_else(|| cause.downcast_ref().and_then(DocumentError::advice))
        .or_else(|| cause.downcast_ref().and_then(PullError::advice))
        .or_else(|| cause.downcast_ref().and_then(LocateError::advice))
}

/// How the command line takes a way out.
pub fn means(advice: Advice) -> &'static str {
    match advice {
        Advice::UseCpu => "--device cpu computes on the CPU",
        Advice::Report => "please report this with the output of `inscribe devices`",
        Advice::SmallerSteps => "a smaller --batch, --span or --chunk makes smaller steps",
        Advice::FewerMemoryTokens => "use a smaller --prefix",
        Advice::SmallerRate => "try a smaller --lr or --alpha",
        Advice::GoOnSlowerOrEnd => {
            "--resume with a smaller --lr goes on from there, --resume --finish makes a memory of \
             it as it is"
        }
        Advice::GoOn => "go on with `inscribe write --resume`",
        Advice::GoOnOrStartAgain => "go on with --resume, or start again with --replace",
        Advice::StartNew => {
            "start one with another --out, or with --replace in the place of --resume"
        }
        Advice::StartAgain => "start again with --replace",
        Advice::FetchModel => "`inscribe pull` fetches models too",
        Advice::ListModels => "`inscribe models` lists the known names",
        Advice::FetchFromHub => "use --source hub",
        Advice::FetchElsewhere => "use another --source",
        Advice::FetchAnywhere => "leave --source out to use what there is",
        Advice::NameEncoding => {
            "name its encoding with --encoding (such as windows-1252, iso-8859-2, shift_jis)"
        }
        Advice::GiveAsModel => "name it with --model",
    }
}

/// The flag of a setting.
fn flag(setting: Setting) -> &'static str {
    match setting {
        Setting::Method => "--method",
        Setting::Budget => "--budget",
        Setting::KMin => "--k-min",
        Setting::Coverage => "--no-coverage",
        Setting::Tau => "--tau",
        Setting::Scale => "--scale",
        Setting::Allocate => "--allocate",
        Setting::Chunking => "--chunking",
        Setting::Chunk => "--chunk",
        Setting::Window => "--window",
        Setting::Rank => "--rank",
        Setting::Alpha => "--alpha",
        Setting::Targets => "--targets",
        Setting::Prefix => "--prefix",
        Setting::Init => "--init",
        Setting::Optimizer => "--optimizer",
        Setting::Lr => "--lr",
        Setting::WeightDecay => "--weight-decay",
        Setting::Clip => "--clip",
        Setting::Batch => "--batch",
        Setting::Span => "--span",
        Setting::Seed => "--seed",
        Setting::HeldOut => "--held-out",
        Setting::Evaluate => "--no-evaluation",
        Setting::Checkpoint => "--checkpoint",
        Setting::Recompute => "--recompute",
        Setting::KeepRows => "--keep-rows",
    }
}

fn is_cancelled(error: &anyhow::Error) -> bool {
    causes(error).any(|cause| {
        matches!(cause.downcast_ref(), Some(PullError::Cancelled))
            || matches!(cause.downcast_ref(), Some(EngineError::Cancelled))
            || cause.downcast_ref().is_some_and(WriteError::is_cancelled)
    })
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        let io = cause.downcast_ref::<io::Error>().map(io::Error::kind);
        let json = cause
            .downcast_ref::<serde_json::Error>()
            .and_then(serde_json::Error::io_error_kind);
        io.or(json) == Some(io::ErrorKind::BrokenPipe)
    })
}

#[cfg(test)]
mod tests {
    use anyhow::Context;
    use clap::CommandFactory;
    use inscribe::write::method::Method;
    use inscribe::write::settings::{Allocate, WriteSettings};

    use super::*;

    #[test]
    fn causes_are_joined_and_said_once() {
        let error = anyhow::anyhow!("no space\nleft")
            .context("cannot write x")
            .context("saving");
        assert_eq!(one_line(&error), "saving: cannot write x: no space left");
        let hostile = anyhow::anyhow!("was written for 'evil\u{1b}[31m\u{202e}'");
        let spelled = "was written for 'evil\\u{1b}[31m\\u{202e}'";
        assert_eq!(one_line(&hostile), spelled);
        let inner: Result<(), _> = Err(PullError::NoHome);
        let error = inner.context("pulling").unwrap_err();
        assert!(hint(&error).unwrap().contains("INSCRIBE_CACHE"));
        assert!(is_cancelled(&PullError::Cancelled.into()));
        assert!(!is_cancelled(&error));
    }

    #[test]
    fn settings_have_the_names_of_their_flags() {
        let settings = WriteSettings {
            method: Method::LORA,
            allocate: Allocate::Whole,
            ..WriteSettings::default()
        };
        let error = settings.check().unwrap_err();
        let said = "--allocate whole needs --method gdwm";
        assert_eq!(one_line(&error.clone().into()), said);
        let of_a_run = anyhow::Error::from(WriteError::from(error)).context("the arm 'whole'");
        assert_eq!(one_line(&of_a_run), format!("the arm 'whole': {said}"));
        let write = crate::cli::Cli::command();
        let write = write.find_subcommand("write").unwrap();
        for setting in Setting::ALL {
            let named = |arg: &clap::Arg| arg.get_long() == flag(setting).strip_prefix("--");
            assert!(write.get_arguments().any(named), "{setting}");
        }
    }

    #[test]
    fn hints_say_how_the_command_line_does_it() {
        let of = |error: anyhow::Error| hint(&error).unwrap_or_default();
        let lost = |device: &str| EngineError::DeviceLost {
            device: device.to_owned(),
            detail: "reset".to_owned(),
        };
        let device = "--device cpu computes on the CPU";
        assert_eq!(of(lost("Big GPU").into()), device);
        assert_eq!(of(lost("CPU, 2 threads").into()), "");
        let model = ModelError::from(lost("Big GPU"));
        assert_eq!(of(WriteError::from(model).into()), device);
        assert_eq!(of(inscribe::Error::from(lost("Big GPU")).into()), device);
        let unfinished = MemoryError::Unfinished {
            path: "notes".to_owned(),
            step: 3,
        };
        let kept = WriteError::Keep(Box::new(unfinished));
        let resume = "go on with --resume, or start again with --replace";
        assert_eq!(of(anyhow::Error::from(kept).context("writing")), resume);
        let unknown = |near: &[&str]| LocateError::UnknownName {
            name: "smol".to_owned(),
            near: near.iter().map(|&name| name.to_owned()).collect(),
        };
        let hint = of(unknown(&["smollm2"]).into());
        let asked = "did you mean smollm2? `inscribe models` lists the known names";
        assert_eq!(hint, asked);
        let hint = of(unknown(&[]).into());
        assert!(hint.ends_with("works too; `inscribe models` lists the known names"));
    }
}
