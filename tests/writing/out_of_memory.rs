//! A device whose memory runs out while steps are taken.

use inscribe::engine::gpu::{Choice, OpenOptions};
use inscribe::engine::{Buffer, CancelToken, Device, EngineError};
use inscribe::memory::store::{DocumentInfo, Plan, StoredModel};
use inscribe::memory::{Content, MemoryWriter, fingerprint};
use inscribe::model::ModelError;
use inscribe::model::bundle::Model;
use inscribe::model::transformer::Transformer;
use inscribe::write::document::{Document, ReadOptions};
use inscribe::write::error::WriteError;
use inscribe::write::event::Event;
use inscribe::write::keep::{keep_checkpoint, keep_event, keep_memory};
use inscribe::write::learn::Segment;
use inscribe::write::settings::WriteSettings;
use inscribe::write::writer::{Checkpoint, Job, Keeper, Tokens, write};

use super::on_a_gpu::{SHORT, adapter};
use super::*;

/// More than the tiny model, its keys and values and its steps need.
const MEMORY: u64 = 64 << 20;
/// After this step nothing of it is left.
const LAST_STEP: usize = 2;

/// Keeps a run as `inscribe write` does, on a device of which another takes all that is free.
struct Crowded<'d> {
    store: MemoryWriter,
    device: &'d Device,
    taken: Option<Buffer>,
    steps: usize,
}

impl Crowded<'_> {
    fn take_the_rest(&mut self) {
        let Device::Gpu(gpu) = self.device else {
            unreachable!("only a GPU's memory is limited")
        };
        let rest = gpu.memory_bytes().expect("a limit") - gpu.given_bytes();
        // Buffers are multiples of 16 bytes.
        let rest = self.device.alloc(rest / 16 * 16, "another program");
        self.taken = Some(rest.expect("free memory"));
    }
}

impl Keeper for Crowded<'_> {
    fn event(&mut self, event: &Event) -> Result<(), WriteError> {
        if let Event::Step(step) = event {
            self.steps = step.step;
            if step.step == LAST_STEP {
                self.take_the_rest();
            }
        }
        keep_event(&mut self.store, event)
    }

    fn checkpoint(&mut self, checkpoint: &Checkpoint) -> Result<(), WriteError> {
        keep_checkpoint(&mut self.store, checkpoint)
    }

    fn memory(&mut self, segment: &Segment, memory: &Content) -> Result<(), WriteError> {
        keep_memory(&mut self.store, segment, memory)
    }
}

fn limited_device() -> Device {
    let choice = match adapter().parse() {
        Ok(index) => Choice::Index(index),
        Err(_) => Choice::Name(adapter()),
    };
    let options = OpenOptions {
        choice,
        max_memory_bytes: Some(MEMORY),
        ..OpenOptions::default()
    };
    Device::open_gpu(&options).expect("an adapter")
}

/// Writes until the memory has run out; gives what that is told as, and the steps taken until then.
fn write_until_full(
    desk: &Desk,
    out: &str,
    model: &str,
    settings: &WriteSettings,
) -> (String, u64) {
    let (device, cancel) = (limited_device(), CancelToken::new());
    let model = Model::open(Path::new(model)).expect("a model");
    let config = &model.config;
    let transformer = Transformer::load(&device, &model.file, config.clone(), &mut |_| Ok(()));
    let fingerprint = fingerprint(&model.file).expect("a model");
    let document = Document::read(Path::new(&desk.document), &ReadOptions::default());
    let document = document.expect("a document");
    let tokens = Tokens::of(&model, &document.text, &cancel, &mut |_| {}).expect("tokens");
    let plan = Plan {
        model: &StoredModel::new(&model.name, &fingerprint, config),
        config,
        document: &DocumentInfo::new(&document.name, &document.text, tokens.ids.len()),
        text: &document.text,
        tokens: &tokens.ids,
        settings,
    };
    let mut keeper = Crowded {
        store: MemoryWriter::create(Path::new(out), &plan).expect("room"),
        device: &device,
        taken: None,
        steps: 0,
    };
    let job = Job {
        model: &model,
        transformer: &transformer.expect("weights"),
        device: &device,
        fingerprint: &fingerprint,
        document: &document,
        tokens: &tokens,
        settings,
    };
    match write(&job, &mut keeper, &cancel, None) {
        Err(WriteError::Model(ModelError::Engine(error @ EngineError::OutOfMemory { .. }))) => {
            (error.to_string(), keeper.steps as u64)
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_run_that_memory_ran_out_for_goes_on_where_there_is_enough() {
    let desk = Desk::new(SHORT);
    let (model, adapter) = (tiny("llama"), adapter());
    let (undisturbed, stopped) = (desk.place("undisturbed"), desk.place("stopped"));
    // One span of a whole chunk: chunks of other lengths need memory of their own.
    let more = ["--budget", "30", "--batch", "1", "--span", "64"];
    let settings = WriteSettings {
        budget: 30,
        chunk: 64,
        window: 16,
        batch: 1,
        span: 64,
        checkpoint: 1,
        ..WriteSettings::default()
    };
    let (told, taken) = write_until_full(&desk, &stopped, &model, &settings);
    assert!(
        told.contains("shorter text") && told.contains("--device cpu"),
        "{told}"
    );
    assert!((LAST_STEP as u64..30).contains(&taken), "{taken}");
    assert!(!Path::new(&stopped).exists());
    let refused = fails(&desk.write(&stopped, &model, &more));
    assert!(
        refused.contains("--resume") && refused.contains(&format!("step {taken}")),
        "{refused}"
    );
    let more = [&more[..], &["--device", &adapter]].concat();
    succeeds(&desk.write(&stopped, &model, &[&more[..], &["--resume"]].concat()));
    let events = events(&stopped);
    assert_eq!(resumed_at(&events), taken);
    assert_eq!(steps(&events), (1..=30).collect::<Vec<_>>());
    succeeds(&desk.write(&undisturbed, &model, &more));
    assert_eq!(adapters(&stopped), adapters(&undisturbed));
}
