//! The system's dialogs. They wait on threads of their own, and what was chosen comes back as a
//! report.

use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::thread;

use inscribe::write::figure::FigureKind;
use rfd::{AsyncFileDialog, FileHandle};

use crate::engine::{Outbox, Report};
use crate::vocabulary::{ExportFormat, Purpose};

/// Answers in place of the system's dialogs.
pub type Picker = Arc<dyn Fn(Purpose) -> Option<PathBuf> + Send + Sync>;

/// Endings of the files that can be read as documents.
pub const DOCUMENTS: [&str; 12] = [
    "txt", "md", "markdown", "html", "htm", "xhtml", "pdf", "docx", "epub", "rst", "tex", "log",
];

/// A question for a path.
#[derive(Clone, Debug)]
pub struct Question {
    pub purpose: Purpose,
    /// Proposed name of a new file.
    pub name: String,
    /// Number of documents opened so far.
    pub opened: u64,
}

/// Asks for a path.
pub fn pick(question: Question, picker: Option<&Picker>, out: &Outbox) {
    let (purpose, name) = (question.purpose, question.name.clone());
    if let Some(picker) = picker {
        let picker = Arc::clone(picker);
        return wait(question, Box::pin(async move { picker(purpose) }), out);
    }
    let dialog = AsyncFileDialog::new();
    let chosen = match purpose {
        Purpose::OpenDocument => {
            let dialog = dialog
                .set_title("Open a document")
                .add_filter("Documents", &DOCUMENTS)
                .add_filter("All files", &["*"]);
            path_of(dialog.pick_file())
        }
        Purpose::OpenMemory => {
            let dialog = dialog.set_title("Open a memory (its folder)");
            path_of(dialog.pick_folder())
        }
        Purpose::TrainInto => {
            let dialog = dialog.set_title("Train into a new folder");
            path_of(dialog.set_file_name(name).save_file())
        }
        Purpose::GoOnTraining => {
            let dialog = dialog.set_title("Go on with a training run (its folder)");
            path_of(dialog.pick_folder())
        }
        Purpose::ReplayRun | Purpose::CompareRun(_) => {
            let dialog = dialog
                .set_title("Open a run (events.jsonl, also in a memory's folder)")
                .add_filter("Events", &["jsonl"]);
            path_of(dialog.pick_file())
        }
        Purpose::ModelFile => {
            let dialog = dialog
                .set_title("Choose a model file")
                .add_filter("GGUF models", &["gguf"]);
            path_of(dialog.pick_file())
        }
        Purpose::WriteTo | Purpose::SaveMemoryAs => {
            let dialog = dialog.set_title("Save the memory as a folder");
            path_of(dialog.set_file_name(name).save_file())
        }
        Purpose::Export(format) => {
            let dialog = match format {
                ExportFormat::Peft => dialog.set_title("Export as a PEFT folder"),
                ExportFormat::Gguf => dialog
                    .set_title("Export as a GGUF adapter")
                    .add_filter("GGUF adapter", &["gguf"]),
            };
            path_of(dialog.set_file_name(name).save_file())
        }
        Purpose::Figure(kind) => {
            let (label, ending) = match kind {
                FigureKind::Svg => ("SVG picture", "svg"),
                FigureKind::Png => ("PNG picture", "png"),
                FigureKind::Html => ("Web page", "html"),
            };
            let dialog = dialog
                .set_title("Save the figure")
                .add_filter(label, &[ending]);
            path_of(dialog.set_file_name(name).save_file())
        }
        Purpose::Events { csv } => {
            let (label, ending) = if csv {
                ("Table of steps", "csv")
            } else {
                ("Events", "jsonl")
            };
            let dialog = dialog
                .set_title("Save the events")
                .add_filter(label, &[ending]);
            path_of(dialog.set_file_name(name).save_file())
        }
    };
    wait(question, chosen, out);
}

type Chosen = Pin<Box<dyn Future<Output = Option<PathBuf>> + Send>>;

fn path_of(chosen: impl Future<Output = Option<FileHandle>> + Send + 'static) -> Chosen {
    Box::pin(async { Some(chosen.await?.path().to_owned()) })
}

fn wait(question: Question, chosen: Chosen, out: &Outbox) {
    let out = out.clone();
    let wait = move || {
        if let Some(path) = pollster::block_on(chosen) {
            let Question {
                purpose, opened, ..
            } = question;
            out.tell(Report::Picked {
                purpose,
                path,
                opened,
            });
        }
    };
    // Without a thread to wait on there is no dialog; files can still be dropped.
    let _ = thread::Builder::new().name("dialog".to_owned()).spawn(wait);
}

/// A new file's name for this purpose.
pub fn suggested_name(purpose: Purpose, document: &str) -> String {
    let stem = std::path::Path::new(document).file_stem();
    let stem = stem.map_or_else(
        || "document".to_owned(),
        |s| s.to_string_lossy().into_owned(),
    );
    match purpose {
        Purpose::Export(ExportFormat::Peft) => format!("{stem}-peft"),
        Purpose::Export(ExportFormat::Gguf) => format!("{stem}.gguf"),
        Purpose::Figure(FigureKind::Svg) => format!("{stem}.svg"),
        Purpose::Figure(FigureKind::Png) => format!("{stem}.png"),
        Purpose::Figure(FigureKind::Html) => format!("{stem}.html"),
        Purpose::TrainInto => "pairs-model".to_owned(),
        Purpose::Events { csv: true } => format!("{stem}-steps.csv"),
        Purpose::Events { csv: false } => format!("{stem}-events.jsonl"),
        _ => format!("{stem}.memory"),
    }
}
