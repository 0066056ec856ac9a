//! The threads that work for the window: the engine, with a model on a device of its own, and a
//! thread for files. Work goes in, reports come out; nothing of it waits in a drawing function.

mod ask;
mod bench;
mod control;
pub(crate) mod documents;
mod files;
mod load;
mod message;
mod survey;
mod train;
mod worker;
mod write;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use inscribe::model::hub::Setup;

pub use control::{Control, JobId};
pub use message::*;

/// Hands reports to the window and wakes it.
#[derive(Clone)]
pub struct Outbox {
    reports: Sender<Report>,
    wake: Arc<dyn Fn() + Send + Sync>,
}

impl Outbox {
    pub fn tell(&self, report: Report) {
        // A window that is gone needs no report.
        let _ = self.reports.send(report);
        (self.wake)();
    }
}

/// The longest that closing waits for what is being kept on disk: a memory may be large.
const SAVING: Duration = Duration::from_secs(60);
/// The longest that closing waits for a job to end, with what it keeps before that.
const STOPPING: Duration = Duration::from_secs(8);

/// The window's end of the threads.
pub struct Engine {
    /// Sends work to the engine; `None` once the window is closed.
    commands: Option<Sender<Command>>,
    worker: JoinHandle<()>,
    files: Sender<FileWork>,
    /// Number of saves to disk that are asked for and not done.
    saves: Arc<AtomicUsize>,
    reports: Receiver<Report>,
    outbox: Outbox,
    pub control: Control,
    last_job: JobId,
}

impl Engine {
    /// Starts the threads; models are fetched from `hub`, and `wake` is called with every report.
    pub fn start(hub: Setup, wake: impl Fn() + Send + Sync + 'static) -> std::io::Result<Engine> {
        let (commands, inbox) = mpsc::channel();
        let (files, file_inbox) = mpsc::channel();
        let (sender, reports) = mpsc::channel();
        let outbox = Outbox {
            reports: sender,
            wake: Arc::new(wake),
        };
        let control = Control::default();
        let (theirs, controlled) = (outbox.clone(), control.clone());
        let worker = thread::Builder::new()
            .name("engine".to_owned())
            .spawn(move || worker::run(&inbox, &theirs, &controlled, &hub))?;
        let saves = Arc::new(AtomicUsize::new(0));
        let (theirs, counted) = (outbox.clone(), Arc::clone(&saves));
        thread::Builder::new()
            .name("files".to_owned())
            .spawn(move || files::run(&file_inbox, &theirs, &counted))?;
        Ok(Engine {
            commands: Some(commands),
            worker,
            files,
            saves,
            reports,
            outbox,
            control,
            last_job: 0,
        })
    }

    /// Queues work and gives it a number.
    pub fn send(&mut self, work: Work) -> JobId {
        self.last_job += 1;
        let job = self.last_job;
        // The engine's thread ends only with the window.
        if let Some(commands) = &self.commands {
            let _ = commands.send(Command { job, work });
        }
        job
    }

    pub fn send_file(&self, work: FileWork) {
        let keeps = usize::from(work.keeps());
        self.saves.fetch_add(keeps, Ordering::Relaxed);
        if self.files.send(work).is_err() {
            self.saves.fetch_sub(keeps, Ordering::Relaxed);
        }
    }

    /// Waits until nothing is left half written; all jobs have been cancelled.
    pub fn close(&mut self) {
        self.commands = None;
        wait_until(STOPPING, || self.worker.is_finished());
        wait_until(SAVING, || self.saves.load(Ordering::Relaxed) == 0);
    }

    pub fn next_report(&self) -> Option<Report> {
        self.reports.try_recv().ok()
    }

    /// For other threads that report, such as one that waits for a dialog.
    pub fn outbox(&self) -> Outbox {
        self.outbox.clone()
    }
}

fn wait_until(most: Duration, is_so: impl Fn() -> bool) {
    let started = Instant::now();
    while !is_so() && started.elapsed() < most {
        thread::sleep(Duration::from_millis(10));
    }
}
