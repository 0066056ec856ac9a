//! Measuring, writing and exporting.

use inscribe::memory::gguf_adapter::{self, Precision};
use inscribe::memory::store::{DocumentInfo, MemoryWriter, Plan, Resumed, StoredModel};
use inscribe::memory::{Content, Memory, peft};
use inscribe::write::document::Document;
use inscribe::write::error::WriteError;
use inscribe::write::event::Event;
use inscribe::write::keep;
use inscribe::write::learn::Segment;
use inscribe::write::writer;
use inscribe::write::writer::{Checkpoint, Job, Keeper, Known, Tokens};

use super::Outbox;
use super::control::Control;
use super::load::{Loaded, Pace};
use super::message::{End, ExportRequest, Report, WriteRequest};
use crate::trouble::Failure;
use crate::vocabulary::ExportFormat;

pub fn measure(
    request: &WriteRequest,
    loaded: &Loaded,
    known: &mut Known,
    out: &Outbox,
    control: &Control,
) -> Result<End, Failure> {
    let mut keeper = WindowKeeper::new(out, control, None);
    let tokens = tokens_of(&request.document, loaded, control)?;
    let job = job(request, loaded, &tokens);
    writer::plan_again(&job, &mut keeper, control.token(), known)?;
    Ok(End::Done)
}

pub fn write(
    request: &WriteRequest,
    loaded: &Loaded,
    known: &mut Known,
    out: &Outbox,
    control: &Control,
) -> Result<End, Failure> {
    let (document, config) = (&request.document, &loaded.model.config);
    let model = stored_model(loaded);
    let tokens = tokens_of(document, loaded, control)?;
    let info = DocumentInfo::new(&document.name, &document.text, tokens.ids.len());
    let plan = Plan {
        model: &model,
        config,
        document: &info,
        text: &document.text,
        tokens: &tokens.ids,
        settings: &request.settings,
    };
    let mut resume = None;
    let store = match request.resume {
        false => MemoryWriter::create(&request.folder, &plan)?,
        true => match MemoryWriter::resume(&request.folder, &plan)? {
            Resumed::Finished(memory) => return Ok(End::Written(memory.path().to_owned())),
            Resumed::GoesOn(store, None) => *store,
            Resumed::GoesOn(store, Some(stored)) => {
                resume = Some(keep::going_on(&store, stored)?);
                *store
            }
        },
    };
    let mut keeper = WindowKeeper::new(out, control, Some(store));
    let (job, cancel) = (job(request, loaded, &tokens), control.token());
    let done = match resume {
        None => writer::write_again(&job, &mut keeper, cancel, known),
        Some(resume) => writer::write(&job, &mut keeper, cancel, Some(resume)),
    };
    done?;
    if let Some(store) = keeper.store {
        store.finish()?;
    }
    Ok(End::Written(request.folder.clone()))
}

pub fn export(request: &ExportRequest, loaded: &Loaded) -> Result<End, Failure> {
    let memory = Memory::open(&request.memory)?;
    memory.check_model(&stored_model(loaded))?;
    let (config, out) = (&loaded.model.config, &request.out);
    let content = memory.load(request.segment, config)?;
    match (request.format, &content) {
        (ExportFormat::Peft, content) => peft::save(out, content, config, &loaded.model.name)?,
        (ExportFormat::Gguf, Content::Lora(lora)) => {
            let name = &memory.file.document.name;
            gguf_adapter::save(out, lora, config, name, Precision::F32)?;
        }
        (ExportFormat::Gguf, Content::Prefix(_)) => {
            return Err(Failure::Refused(
                "Memory tokens cannot be a GGUF adapter, which adds to weights only. Export them \
                 for PEFT instead."
                    .to_owned(),
            ));
        }
    }
    Ok(End::Exported(out.clone()))
}

pub fn stored_model(loaded: &Loaded) -> StoredModel {
    let print = &loaded.info.fingerprint;
    StoredModel::new(&loaded.model.name, print, &loaded.model.config)
}

pub fn tokens_of(
    document: &Document,
    loaded: &Loaded,
    control: &Control,
) -> Result<Tokens, Failure> {
    let cancel = control.token();
    Ok(Tokens::of(
        &loaded.model,
        &document.text,
        cancel,
        &mut |_| {},
    )?)
}

fn job<'a>(request: &'a WriteRequest, loaded: &'a Loaded, tokens: &'a Tokens) -> Job<'a> {
    Job {
        model: &loaded.model,
        transformer: &loaded.transformer,
        device: &loaded.device,
        fingerprint: &loaded.info.fingerprint,
        document: &request.document,
        tokens,
        settings: &request.settings,
    }
}

/// Shows a run in the window and keeps it on disk, where it is to be kept.
struct WindowKeeper<'a> {
    out: &'a Outbox,
    control: &'a Control,
    store: Option<MemoryWriter>,
    pace: Pace,
}

impl<'a> WindowKeeper<'a> {
    fn new(out: &'a Outbox, control: &'a Control, store: Option<MemoryWriter>) -> Self {
        WindowKeeper {
            out,
            control,
            store,
            pace: Pace::default(),
        }
    }
}

impl Keeper for WindowKeeper<'_> {
    fn event(&mut self, event: &Event) -> Result<(), WriteError> {
        if let Some(store) = &mut self.store {
            keep::keep_event(store, event)?;
        }
        let is_progress = matches!(event, Event::Progress { done, total, .. } if done < total);
        if !is_progress || self.pace.is_due() {
            self.out.tell(Report::Event(Box::new(event.clone())));
        }
        Ok(())
    }

    fn checkpoint(&mut self, checkpoint: &Checkpoint) -> Result<(), WriteError> {
        match &mut self.store {
            Some(store) => keep::keep_checkpoint(store, checkpoint),
            None => Ok(()),
        }
    }

    fn memory(&mut self, segment: &Segment, memory: &Content) -> Result<(), WriteError> {
        match &mut self.store {
            Some(store) => keep::keep_memory(store, segment, memory),
            None => Ok(()),
        }
    }

    fn paused(&self) -> bool {
        self.control.paused()
    }
}
