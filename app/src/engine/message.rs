//! The messages between the window and the threads that work for it.

use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use inscribe::engine::select::DeviceChoice;
use inscribe::memory::store::{Asked, Discarded};
use inscribe::model::config::ModelConfig;
use inscribe::model::elsewhere::{Places, Program};
use inscribe::model::generate::Ended;
use inscribe::train::bench::{Pair, Stage};
use inscribe::train::event::Event as TrainEvent;
use inscribe::train::settings::TrainSettings;
use inscribe::write::document::Document;
use inscribe::write::event::Event;
use inscribe::write::figure::{FigureKind, Theme};
use inscribe::write::reader::View;
use inscribe::write::record::RunRecord;
use inscribe::write::settings::WriteSettings;

use super::control::JobId;
use crate::trouble::Trouble;
use crate::vocabulary::{ExportFormat, Purpose};

/// A job for the engine.
#[derive(Debug)]
pub struct Command {
    pub job: JobId,
    pub work: Work,
}

#[derive(Debug)]
pub enum Work {
    /// Fetches a model unless it is on this computer, opens it and puts it on a device.
    Load(LoadRequest),
    /// Cuts a document into tokens.
    Tokenize(Arc<Document>),
    /// Reads a document in both passes and shares out the steps, taking none.
    Measure(WriteRequest),
    Write(WriteRequest),
    Ask(AskRequest),
    Score(ScoreRequest),
    Export(ExportRequest),
    /// Writes pairs into the small model that comes with the program.
    Bench(BenchRequest),
    /// Trains a model to be written to.
    Train(TrainRequest),
    /// Frees the model and its device.
    Unload,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoadRequest {
    /// The model: a known name, a path or a hub id.
    pub model: String,
    pub device: DeviceChoice,
    /// Threads of the processor; one for each core where 0.
    pub threads: usize,
    /// The folder of models; the platform's own where `None`.
    pub cache: Option<PathBuf>,
}

#[derive(Clone, Debug)]
pub struct WriteRequest {
    pub document: Arc<Document>,
    pub settings: WriteSettings,
    /// The folder of the memory; unused where nothing is written.
    pub folder: PathBuf,
    pub begin: Begin,
}

/// How a write begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begin {
    New,
    /// Goes on with the write that was stopped in the folder.
    GoOn,
    /// Takes no more steps of the write that was stopped there, and makes a memory of what it
    /// learned.
    Finish,
}

#[derive(Clone, Debug)]
pub struct AskRequest {
    pub memory: PathBuf,
    pub question: String,
    pub views: Vec<View>,
    pub max_tokens: usize,
    pub temperature: f32,
    pub seed: u64,
}

/// An answer's tokens, to be scored in every view.
#[derive(Clone, Debug)]
pub struct ScoreRequest {
    pub memory: PathBuf,
    pub question: String,
    pub ids: Vec<u32>,
    pub segment: usize,
    pub max_tokens: usize,
    /// Index of the turn; `answer` is that of the answer within the turn.
    pub turn: usize,
    pub answer: usize,
}

#[derive(Clone, Debug)]
pub struct ExportRequest {
    pub memory: PathBuf,
    pub format: ExportFormat,
    pub out: PathBuf,
    pub segment: usize,
}

/// A model that was trained here: the folder of its run, and a number that is another each time
/// that it is to be read anew.
pub type TrainedModel = (PathBuf, u64);

/// Pairs to be written step by step.
#[derive(Clone, Debug)]
pub struct BenchRequest {
    /// The model; the one that comes with the program where `None`.
    pub model: Option<TrainedModel>,
    /// What the stages are told by.
    pub number: u64,
    pub pairs: Vec<Pair>,
    pub memory_rows: usize,
    pub steps: usize,
    /// Threads of the processor; one for each core where 0.
    pub threads: usize,
}

/// A stage of writing pairs.
#[derive(Clone, Debug)]
pub struct Benched {
    /// The number of the request.
    pub request: u64,
    pub stage: Stage,
    /// What it took.
    pub seconds: f64,
}

#[derive(Clone, Debug)]
pub struct TrainRequest {
    /// The folder of the run.
    pub folder: PathBuf,
    pub begin: TrainBegin,
    /// Minutes of this sitting.
    pub minutes: Option<f64>,
    pub device: DeviceChoice,
    /// Threads of the processor; one for each core where 0.
    pub threads: usize,
    /// Whether the run is to wait.
    pub pause: Arc<AtomicBool>,
}

/// How a training run begins.
#[derive(Clone, Debug)]
pub enum TrainBegin {
    New(Box<TrainSettings>),
    /// Goes on with the one that was stopped in the folder.
    GoOn,
}

/// What a training run reports.
#[derive(Clone, Debug)]
pub enum TrainReport {
    Event(TrainEvent),
    Sample(Sample),
    /// The run waits.
    Paused,
}

/// What a model answers that is being trained.
#[derive(Clone, Debug)]
pub struct Sample {
    /// Steps of training taken so far.
    pub step: u64,
    pub pairs: Vec<Pair>,
    /// After as many steps on the memory as it is trained with.
    pub stage: Stage,
}

/// What the threads report.
#[derive(Debug)]
pub enum Report {
    Fetch(Fetch),
    /// Bytes of weights copied to the device.
    Loading {
        done: u64,
        total: u64,
    },
    Loaded(Box<LoadedModel>),
    Unloaded,
    Tokens {
        /// The hash of the document's text.
        sha256: String,
        /// The model that cut the text, as it was asked for.
        model: String,
        /// Bytes of the text that each token covers.
        bytes: Arc<Vec<Range<usize>>>,
    },
    /// An event of the run that goes on.
    Event(Box<Event>),
    /// Tokens of the document read before the first question.
    Reading {
        done: usize,
        total: usize,
    },
    /// An answer in this view begins.
    Answering(View),
    /// A piece of the answer that is being written.
    Text(String),
    Answered(Box<Answered>),
    Scored {
        turn: usize,
        answer: usize,
        scores: Vec<(View, Vec<f64>)>,
    },
    Benched(Box<Benched>),
    Training(Box<TrainReport>),
    /// A job's end.
    Ended {
        job: JobId,
        end: End,
    },
    File {
        report: Box<FileReport>,
        /// Whether the report answers work that opens something.
        opens: bool,
    },
    /// A person chose a path in a dialog.
    Picked {
        purpose: Purpose,
        path: PathBuf,
        /// Number of documents opened when the dialog was shown.
        opened: u64,
    },
}

/// How a job ended.
#[derive(Debug)]
pub enum End {
    Done,
    /// The folder of the memory that was written.
    Written {
        folder: PathBuf,
        /// Bytes of the document's keys and values beside the memory; 0 where none are kept.
        kept_bytes: u64,
        /// Why they are not kept, where they should have been.
        left_out: Option<String>,
    },
    Exported(PathBuf),
    /// The folder of a training run whose time is over.
    Trained(PathBuf),
    Cancelled,
    /// The model that the job needs has failed to load.
    NoModel,
    Failed(Trouble),
}

/// How far the fetching of a model is.
#[derive(Clone, Debug, Default)]
pub struct Fetch {
    pub source: String,
    pub label: String,
    pub done: u64,
    pub total: Option<u64>,
    /// Bytes a second, over the last seconds.
    pub speed: Option<f64>,
    /// What went wrong so far, and what is done about it.
    pub note: Option<String>,
}

/// A model that is ready.
#[derive(Clone, Debug)]
pub struct LoadedModel {
    pub request: LoadRequest,
    pub name: String,
    pub path: PathBuf,
    pub fingerprint: String,
    pub weight_bytes: u64,
    pub config: ModelConfig,
    pub device: String,
    pub is_gpu: bool,
    /// Why this device was taken, in words.
    pub why: String,
    pub available_bytes: Option<u64>,
}

#[derive(Clone, Debug)]
pub struct Answered {
    pub view: View,
    pub text: String,
    pub ids: Vec<u32>,
    /// Each token's text.
    pub pieces: Vec<String>,
    pub logprobs: Vec<f64>,
    pub seconds: f64,
    pub segment: usize,
    /// Why it ends where it does.
    pub ended: Ended,
}

impl Answered {
    /// Whether it breaks off where it was cut, and not where the model ended it.
    pub fn is_cut(&self) -> bool {
        !self.ended.is_natural()
    }
}

/// What the thread for files is asked to do.
#[derive(Debug)]
pub enum FileWork {
    ReadDocument(PathBuf),
    /// Reads a document from bytes that were dropped or pasted.
    DocumentOf {
        name: String,
        bytes: Vec<u8>,
    },
    OpenMemory(PathBuf),
    /// Looks for devices, models and unfinished writes.
    Survey {
        memories: PathBuf,
        cache: Option<PathBuf>,
        /// The model in use, which may be in any folder.
        model: String,
        /// Where other programs keep models.
        places: Places,
    },
    Figure {
        run: Box<RunRecord>,
        kind: FigureKind,
        theme: Theme,
        out: PathBuf,
    },
    Events {
        events: Arc<Vec<Event>>,
        csv: bool,
        out: PathBuf,
    },
    /// Copies a finished memory to another folder.
    SaveMemory {
        from: PathBuf,
        to: PathBuf,
    },
    /// Opens a stopped write; `source` is the file of its document.
    OpenUnfinished {
        folder: PathBuf,
        source: Option<PathBuf>,
        /// Whether it is to be used as it is, instead of going on.
        finish: bool,
    },
    /// Moves a stopped write out of the way.
    Discard(PathBuf),
    /// Puts it back.
    Restore(Discarded),
}

impl FileWork {
    /// Whether the work opens something in place of the open document.
    pub fn opens(&self) -> bool {
        match self {
            FileWork::ReadDocument(_)
            | FileWork::DocumentOf { .. }
            | FileWork::OpenMemory(_)
            | FileWork::OpenUnfinished { .. } => true,
            FileWork::Survey { .. }
            | FileWork::Figure { .. }
            | FileWork::Events { .. }
            | FileWork::SaveMemory { .. }
            | FileWork::Discard(_)
            | FileWork::Restore(_) => false,
        }
    }

    /// Whether the work changes something on disk that must not be left half done.
    pub fn keeps(&self) -> bool {
        match self {
            FileWork::Figure { .. }
            | FileWork::Events { .. }
            | FileWork::SaveMemory { .. }
            | FileWork::Discard(_)
            | FileWork::Restore(_) => true,
            FileWork::ReadDocument(_)
            | FileWork::DocumentOf { .. }
            | FileWork::OpenMemory(_)
            | FileWork::OpenUnfinished { .. }
            | FileWork::Survey { .. } => false,
        }
    }
}

#[derive(Debug)]
pub enum FileReport {
    Document {
        document: Arc<Document>,
        path: Option<PathBuf>,
    },
    Memory(Box<OpenedMemory>),
    Unfinished(Box<UnfinishedWrite>),
    Survey(Survey),
    Saved(PathBuf),
    MemorySaved {
        from: PathBuf,
        to: PathBuf,
    },
    Discarded(Discarded),
    Restored(PathBuf),
    Failed(Trouble),
}

/// A memory, with what the window shows of it.
#[derive(Clone, Debug)]
pub struct OpenedMemory {
    pub folder: PathBuf,
    pub document: Arc<Document>,
    pub model_name: String,
    pub fingerprint: String,
    pub settings: WriteSettings,
    pub events: Arc<Vec<Event>>,
    pub history: Vec<Asked>,
}

/// A write that was stopped and can go on.
#[derive(Clone, Debug)]
pub struct UnfinishedWrite {
    /// The folder of its memory.
    pub folder: PathBuf,
    pub document: Arc<Document>,
    pub model_name: String,
    pub settings: WriteSettings,
    pub events: Arc<Vec<Event>>,
    /// Whether it is to be used as it is, instead of going on.
    pub finish: bool,
}

/// A stopped write as a list shows it.
#[derive(Clone, Debug, PartialEq)]
pub struct UnfinishedInfo {
    pub folder: PathBuf,
    pub document: String,
    pub model: String,
    pub step: usize,
    pub of: usize,
}

/// The devices, models and stopped writes of this machine.
#[derive(Clone, Debug, Default)]
pub struct Survey {
    pub devices: Vec<DeviceInfo>,
    pub models: Vec<ModelEntry>,
    /// What could not be looked at, a line each.
    pub notes: Vec<String>,
    pub unfinished: Vec<UnfinishedInfo>,
    pub processor_threads: usize,
    pub processor_bytes: Option<u64>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct DeviceInfo {
    pub choice: DeviceChoice,
    pub name: String,
    /// The kind of device in words, such as "integrated GPU".
    pub kind: String,
    pub memory_bytes: Option<u64>,
    /// Whether the automatic choice takes this device.
    pub automatic: bool,
    pub is_gpu: bool,
    pub is_software: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub struct ModelEntry {
    /// The name that a load request takes.
    pub name: String,
    pub description: String,
    pub licence: Option<&'static str>,
    pub licence_url: Option<&'static str>,
    pub bytes: u64,
    pub here: bool,
    /// The model's sizes, where they are known before loading.
    pub config: Option<ModelConfig>,
    /// Another program whose model it is.
    pub program: Option<Program>,
    /// Its architecture and the type of its weights, as far as they are known.
    pub kind: String,
    /// Why it cannot be opened.
    pub fault: Option<String>,
}
