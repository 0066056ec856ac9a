//! Measuring, writing and exporting.

use inscribe::inscriber::Watcher;
use inscribe::memory::Memory;
use inscribe::memory::export::{self, Format};
use inscribe::memory::gguf_adapter::Precision;
use inscribe::write::error::WriteError;
use inscribe::write::event::Event;
use inscribe::write::writer::ReadBefore;

use super::Outbox;
use super::control::Control;
use super::load::{Loaded, Pace};
use super::message::{Begin, End, ExportRequest, Report, WriteRequest};
use crate::trouble::Failure;
use crate::vocabulary::ExportFormat;

pub fn measure(
    request: &WriteRequest,
    loaded: &Loaded,
    known: &mut ReadBefore,
    out: &Outbox,
) -> Result<End, Failure> {
    let mut shown = Shown::new(out);
    let (document, settings) = (&request.document, request.settings.clone());
    let writing = loaded.inscriber.write(document, settings).knowing(known);
    writing.measure(|event| shown.event(event))?;
    Ok(End::Done)
}

pub fn write(
    request: &WriteRequest,
    loaded: &Loaded,
    known: &mut ReadBefore,
    out: &Outbox,
    control: &Control,
) -> Result<End, Failure> {
    let (document, settings) = (&request.document, request.settings.clone());
    let writing = loaded.inscriber.write(document, settings);
    let writing = writing.keep_at(&request.folder).knowing(known);
    let writing = match request.begin {
        Begin::New => writing,
        Begin::GoOn => writing.resume(),
        Begin::Finish => writing.finish(),
    };
    let mut watched = Watched {
        shown: Shown::new(out),
        control,
    };
    let outcome = writing.watched(&mut watched)?;
    let memory = outcome.memory.memory();
    Ok(End::Written {
        folder: memory.path().to_owned(),
        kept_bytes: memory.derived_bytes(),
        left_out: outcome.left_out,
    })
}

pub fn export(request: &ExportRequest, loaded: &Loaded) -> Result<End, Failure> {
    let memory = Memory::open(&request.memory)?;
    memory.check_model(&loaded.inscriber.stored_model())?;
    let (model, out) = (&loaded.inscriber.loaded().model, &request.out);
    let contents = memory.load(request.segment, &model.config)?;
    let format = match request.format {
        ExportFormat::Peft => Format::Peft,
        ExportFormat::Gguf => Format::Gguf(Precision::F32),
    };
    let name = &memory.file.document.name;
    export::export(&contents, format, out, &model.config, &model.name, name)?;
    Ok(End::Exported(out.clone()))
}

/// Shows a run in the window.
struct Shown<'a> {
    out: &'a Outbox,
    pace: Pace,
}

impl<'a> Shown<'a> {
    fn new(out: &'a Outbox) -> Self {
        Shown {
            out,
            pace: Pace::default(),
        }
    }

    fn event(&mut self, event: &Event) {
        let is_progress = matches!(event, Event::Progress { done, total, .. } if done < total);
        if !is_progress || self.pace.is_due() {
            self.out.tell(Report::Event(Box::new(event.clone())));
        }
    }
}

/// Shows a run that the window can pause.
struct Watched<'a> {
    shown: Shown<'a>,
    control: &'a Control,
}

impl Watcher for Watched<'_> {
    fn event(&mut self, event: &Event) -> Result<(), WriteError> {
        self.shown.event(event);
        Ok(())
    }

    /// The window has read them from the folder.
    fn earlier(&mut self, _event: &Event) -> Result<(), WriteError> {
        Ok(())
    }

    fn paused(&self) -> bool {
        self.control.paused()
    }
}
