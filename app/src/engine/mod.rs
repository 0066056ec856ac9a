//! The engine's thread: commands go in, reports come out. It has a device of its own, never the
//! window's, and nothing of it ever waits in a drawing function.

use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::JoinHandle;

use inscribe::write::event::Event;

/// What the engine is asked to do.
#[derive(Debug)]
pub enum Command {}

/// What it tells.
#[derive(Debug)]
pub enum Report {
    /// Of the run that goes on.
    Event(Box<Event>),
}

/// The window's end of the thread.
pub struct Engine {
    _commands: Sender<Command>,
    reports: Receiver<Report>,
    _thread: Option<JoinHandle<()>>,
}

impl Engine {
    /// Starts the thread; `wake` is called with every report.
    pub fn start(wake: impl Fn() + Send + 'static) -> Engine {
        let (commands, inbox) = mpsc::channel::<Command>();
        let (outbox, reports) = mpsc::channel();
        let thread = std::thread::Builder::new().name("engine".to_owned());
        let thread = thread.spawn(move || {
            let _outbox: Sender<Report> = outbox;
            let _wake = wake;
            while let Ok(command) = inbox.recv() {
                match command {}
            }
        });
        Engine {
            _commands: commands,
            reports,
            _thread: thread.ok(),
        }
    }

    pub fn next_report(&self) -> Option<Report> {
        self.reports.try_recv().ok()
    }
}
