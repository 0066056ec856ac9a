//! What went wrong, in words for a person in front of a window, with what to do about it.

mod failure;

use std::io;

use inscribe::advice::Advice;
use inscribe::engine::EngineError;
use inscribe::memory::MemoryError;
use inscribe::model::hub::PullError;
use inscribe::train::error::TrainError;
use inscribe::words::spelled_out;
use inscribe::write::document::{DocumentError, DocumentProblem};
use inscribe::write::error::WriteError;

pub use failure::Failure;

/// What a button beside a message does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remedy {
    /// Load the model on the processor and go on.
    UseProcessor,
    ChooseModel,
    /// Fetch the model again: it goes on where it stopped.
    FetchAgain,
    /// Go on with the write from its last checkpoint.
    GoOn,
    OpenAnother,
    /// Show the settings.
    Settings,
}

/// What a message is about, so that it goes once the same has gone well.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum About {
    /// Opening a document or a memory.
    Opening,
    Model,
    /// Measuring or writing.
    Run,
    Asking,
    Training,
    /// Saving or exporting.
    Saving,
    #[default]
    Other,
}

/// A message that stays in the window until it is dismissed, or until the same has gone well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// What happened, in one sentence.
    pub title: String,
    /// The error in the words of whatever failed.
    pub detail: String,
    /// What to do about it, in sentences.
    pub advice: String,
    pub remedy: Option<Remedy>,
    pub about: About,
}

impl Trouble {
    pub fn about(self, about: About) -> Trouble {
        Trouble { about, ..self }
    }

    pub fn of(failure: &Failure) -> Trouble {
        let detail = failure.to_string();
        let advice = advised(None, failure.advice());
        if let Some(error) = failure.engine() {
            return of_engine(error, detail);
        }
        if let Some(trouble) = failure.io().and_then(|error| of_disk(error, &detail)) {
            return trouble;
        }
        match failure {
            Failure::Document(error) => of_document(error, detail, &advice),
            Failure::Pull(error) => of_pull(error, detail),
            Failure::Locate(error) => trouble(
                "There is no such model",
                detail,
                &advised(error.hint(), error.advice()),
                Some(Remedy::ChooseModel),
            ),
            Failure::Write(WriteError::Model(_)) => trouble(
                "The model cannot be used",
                detail,
                "Choose another model, or fetch this one again if its file is damaged.",
                Some(Remedy::ChooseModel),
            ),
            Failure::Write(WriteError::NotANumber { .. }) => {
                trouble("Learning ran away", detail, &advice, Some(Remedy::Settings))
            }
            Failure::Write(WriteError::NothingToLearn) => trouble(
                "There is too little text",
                detail,
                "Open a longer document.",
                Some(Remedy::OpenAnother),
            ),
            Failure::Write(WriteError::Setting(_) | WriteError::Allocation(_)) => trouble(
                "These settings do not work",
                capital(&detail),
                &advice,
                Some(Remedy::Settings),
            ),
            Failure::Write(WriteError::ContextTooShort { .. }) => trouble(
                "The model's context is too short",
                detail,
                &advice,
                Some(Remedy::Settings),
            ),
            Failure::Memory(MemoryError::WrongModel { .. }) => trouble(
                "This memory belongs to another model",
                detail,
                "Choose the model it was written for, or write the document again.",
                Some(Remedy::ChooseModel),
            ),
            Failure::Memory(MemoryError::Altered { .. }) => {
                trouble("This memory was changed", detail, &advice, None)
            }
            Failure::Train(error) => of_training(error, detail),
            Failure::Memory(_) | Failure::Run(_) => {
                trouble("This memory cannot be used", detail, &advice, None)
            }
            Failure::Broken(_) => trouble(
                "Something broke inside the program",
                detail,
                "What was written up to the last checkpoint is safe. The model is loaded again \
                 at the next use.",
                None,
            ),
            _ => trouble("That did not work", detail, &advice, None),
        }
    }
}

fn trouble(title: &str, detail: String, advice: &str, remedy: Option<Remedy>) -> Trouble {
    Trouble {
        title: title.to_owned(),
        detail: spelled_out(&detail.replace(['\n', '\r', '\t'], " ")),
        advice: spelled_out(advice),
        remedy,
        about: About::Other,
    }
}

fn of_training(error: &TrainError, detail: String) -> Trouble {
    let (title, advice) = match error {
        TrainError::Setting { .. } => ("These settings do not work", "Change them."),
        TrainError::Taken { .. } => (
            "Something stands in this folder already",
            "Choose a new folder, or go on with the run in this one.",
        ),
        TrainError::NotANumber { .. } => (
            "The training ran away",
            "Go on with it, or begin another one with fewer gradient steps.",
        ),
        TrainError::File { .. } | TrainError::Keep(_) => (
            "This training run cannot be used",
            "Choose another folder, or begin a new one.",
        ),
        TrainError::Model(_) => (
            "The small model cannot be used",
            "Choose another one, or begin a new one.",
        ),
    };
    trouble(title, capital(&detail), advice, None)
}

fn of_document(error: &DocumentError, detail: String, advice: &str) -> Trouble {
    let another = Some(Remedy::OpenAnother);
    let name = &error.name;
    match &error.problem {
        DocumentProblem::Model => {
            let title = "This is a model and not a document";
            trouble(title, detail, advice, another)
        }
        DocumentProblem::Empty => trouble(
            "There is nothing to read in it",
            format!("“{name}” holds no words."),
            "Open a document with some text in it.",
            another,
        ),
        DocumentProblem::Binary { .. } => trouble(
            "This document cannot be read",
            format!(
                "“{name}” is no text, or it is damaged: there are bytes in it that no text has."
            ),
            "If it should be a document, get it again or save it anew. Readable are text, \
             Markdown, HTML, PDF, Word (.docx) and EPUB.",
            another,
        ),
        DocumentProblem::Damaged { format, .. } => trouble(
            "This document is damaged",
            format!("“{name}” breaks the rules of a {format} file."),
            "Get it again, or save it anew with the program that made it.",
            another,
        ),
        _ => trouble("This document cannot be read", detail, advice, another),
    }
}

fn of_engine(error: &EngineError, detail: String) -> Trouble {
    match error {
        EngineError::DeviceLost { .. } | EngineError::Gpu { .. } => trouble(
            "The graphics device stopped answering",
            detail,
            "What was learned up to the last checkpoint is safe. Close other programs that use \
             the device and try again, or go on with the processor.",
            Some(Remedy::UseProcessor),
        ),
        EngineError::OutOfMemory { .. } | EngineError::WillNotFit { .. } => {
            let advice = "Choose a smaller model, open a shorter document, close other programs, \
                          or use the processor, which has the computer's whole memory.";
            let advice = match error.advice() {
                Some(smaller @ Advice::SmallerSteps) => format!("{} {advice}", means(smaller)),
                _ => advice.to_owned(),
            };
            trouble(
                "There is not enough memory",
                detail,
                &advice,
                Some(Remedy::UseProcessor),
            )
        }
        EngineError::NoAdapter { .. } | EngineError::UnknownDevice { .. } => trouble(
            "This device is not there",
            detail,
            "Choose another device.",
            Some(Remedy::UseProcessor),
        ),
        _ => trouble(
            "The device failed",
            detail,
            "Try again, or use the processor.",
            Some(Remedy::UseProcessor),
        ),
    }
}

fn of_disk(error: &io::Error, detail: &str) -> Option<Trouble> {
    let (title, advice) = match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
            (
                "The disk is full",
                "Free some space and go on: everything up to the last checkpoint is safe.",
            )
        }
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            ("This place may not be written to", "Choose another folder.")
        }
        io::ErrorKind::NotFound => ("It is not there any more", "Check the path."),
        _ => return None,
    };
    Some(trouble(
        title,
        detail.to_owned(),
        advice,
        Some(Remedy::GoOn),
    ))
}

fn of_pull(error: &PullError, detail: String) -> Trouble {
    let title = match error {
        PullError::DiskFull { .. } => "The disk is full",
        PullError::Unreachable { .. }
        | PullError::Dropped { .. }
        | PullError::AllSources { .. }
        | PullError::NoPython { .. }
        | PullError::Pip { .. } => "The model could not be fetched",
        _ => "The model could not be had",
    };
    let advice = format!(
        "{} A model file that is on this computer already can be chosen instead.",
        advised(error.hint(), error.advice())
    );
    trouble(title, detail, advice.trim(), Some(Remedy::FetchAgain))
}

/// What the library says to do about it, and what the window can do, in sentences.
fn advised(hint: Option<String>, advice: Option<Advice>) -> String {
    let hint = hint.map(|hint| {
        if hint.ends_with(['.', '?']) {
            capital(&hint)
        } else {
            format!("{}.", capital(&hint))
        }
    });
    let means = advice.map(|advice| means(advice).to_owned());
    hint.into_iter().chain(means).collect::<Vec<_>>().join(" ")
}

/// The library's messages begin without a capital letter, for a line that says more before them.
pub fn capital(text: &str) -> String {
    let mut chars = text.chars();
    match chars.next() {
        None => String::new(),
        Some(first) => format!("{}{}", first.to_uppercase(), chars.as_str()),
    }
}

/// How the window takes a way out.
fn means(advice: Advice) -> &'static str {
    match advice {
        Advice::UseCpu => "Use the processor.",
        Advice::Report => "Please report this, and use the processor meanwhile.",
        Advice::SmallerSteps => "Choose fewer or shorter spans of a step, or shorter chunks.",
        Advice::FewerMemoryTokens => "Choose fewer memory tokens.",
        Advice::SmallerRate => "Choose a smaller learning rate.",
        Advice::GoOnSlowerOrEnd => "Choose a smaller learning rate and go on.",
        Advice::GoOn | Advice::GoOnOrStartAgain => "Go on with it at the start of the program.",
        Advice::StartNew | Advice::StartAgain => "Write the document again.",
        Advice::FetchModel => "Choose another model, or have this one fetched.",
        Advice::ListModels => "The models known by name can be chosen from a list.",
        Advice::FetchFromHub | Advice::FetchAnywhere => "Try again later.",
        Advice::FetchElsewhere => "Then choose another model.",
        Advice::NameEncoding => "Save it as UTF-8.",
        Advice::GiveAsModel => "Choose it as the model.",
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use inscribe::model::locate::LocateError;

    use super::*;

    #[test]
    fn what_a_stranger_wrote_stays_within_its_line() {
        let refused = Failure::Refused("a\u{1b}[31m\u{202e}b\nc".to_owned());
        let detail = Trouble::of(&refused).detail;
        assert_eq!(detail, "a\\u{1b}[31m\\u{202e}b c");
    }

    #[test]
    fn a_full_disk_is_named_wherever_it_is_met() {
        let full = || io::Error::from(io::ErrorKind::StorageFull);
        let memory = MemoryError::Io {
            path: "notes.memory".to_owned(),
            doing: "written",
            advice: "no space is left; free some and try again".to_owned(),
            source: full(),
        };
        let kept = Failure::Write(WriteError::Keep(Box::new(memory)));
        for failure in [kept, Failure::file(Path::new("figure.svg"), full())] {
            let trouble = Trouble::of(&failure);
            assert_eq!(trouble.title, "The disk is full");
            assert!(trouble.advice.contains("checkpoint"), "{}", trouble.advice);
        }
    }

    #[test]
    fn devices_that_fail_are_replaced_and_no_option_of_the_command_line_is_named() {
        let lost = EngineError::DeviceLost {
            device: "Big GPU".to_owned(),
            detail: "reset".to_owned(),
        };
        let lost = Failure::from(lost);
        assert!(lost.needs_a_new_device());
        let full = Failure::from(EngineError::OutOfMemory {
            device: "Big GPU".to_owned(),
            what: "the cache".to_owned(),
            wanted_mib: 900,
        });
        assert!(!full.needs_a_new_device());
        for failure in [lost, full] {
            let trouble = Trouble::of(&failure);
            assert!(trouble.detail.contains("Big GPU"));
            assert_eq!(trouble.remedy, Some(Remedy::UseProcessor));
            assert!(!trouble.detail.contains("--"), "{}", trouble.detail);
        }
    }

    #[test]
    fn settings_that_do_not_work_are_named_in_words() {
        use inscribe::write::settings::WriteSettings;
        let settings = WriteSettings {
            lr: -1.0,
            ..WriteSettings::default()
        };
        let error = WriteError::from(settings.check().expect_err("a wrong rate"));
        let trouble = Trouble::of(&Failure::Write(error));
        assert!(
            trouble.detail.starts_with("The learning rate must"),
            "{}",
            trouble.detail
        );
    }

    #[test]
    fn ways_out_are_named_by_what_the_window_has() {
        let advice = |failure: Failure| Trouble::of(&failure).advice;
        let unfinished = MemoryError::Unfinished {
            path: "notes.memory".to_owned(),
            step: 3,
        };
        let words = advice(unfinished.into());
        assert!(words.contains("at the start of the program"), "{words}");
        let unknown = LocateError::UnknownName {
            name: "smol".to_owned(),
            near: vec!["smollm2".to_owned()],
        };
        let words = advice(unknown.into());
        assert!(words.starts_with("Did you mean smollm2? The"), "{words}");
        let changed = PullError::WrongSize {
            what: "model.gguf".to_owned(),
            expected: 2,
            actual: 1,
        };
        let words = advice(changed.into());
        let expected = "Try again; if it stays so, the published file has changed. Then choose \
                        another model. A model file";
        assert!(words.starts_with(expected), "{words}");
        let step = EngineError::WillNotFit {
            device: "Big GPU".to_owned(),
            what: "a gradient step".to_owned(),
            needed_mib: 900,
            available_mib: 90,
            remedy: "take smaller steps".to_owned(),
            advice: Some(Advice::SmallerSteps),
        };
        let words = advice(step.into());
        assert!(
            words.contains("spans") && words.contains("the processor"),
            "{words}"
        );
    }

    #[test]
    fn cancelling_is_no_trouble() {
        assert!(Failure::from(WriteError::Cancelled { step: 3 }).is_cancelled());
        assert!(Failure::from(EngineError::Cancelled).is_cancelled());
        assert!(Failure::from(PullError::Cancelled).is_cancelled());
    }
}
