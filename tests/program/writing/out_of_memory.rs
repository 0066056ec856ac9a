//! A device whose memory runs out while steps are taken.

use inscribe::advice::Advice;
use inscribe::engine::gpu::{OpenOptions, TierCap};
use inscribe::engine::{Buffer, Device, EngineError};
use inscribe::inscriber::Watcher;
use inscribe::model::ModelError;
use inscribe::model::loaded::Loaded;
use inscribe::model::model_file::Model;
use inscribe::write::error::WriteError;
use inscribe::write::event::Event;
use inscribe::{Document, Error, Inscriber, WriteSettings};

use super::on_a_gpu::{SHORT, with_subgroups};
use super::*;

/// More than the tiny model, its keys and values and its steps need.
const MEMORY: u64 = 64 << 20;
/// After this step nothing of it is left.
const LAST_STEP: usize = 2;

/// Watches a run on a device of which another takes all that is free.
struct Crowded {
    device: Device,
    taken: Option<Buffer>,
    steps: usize,
}

impl Crowded {
    fn take_the_rest(&mut self) {
        let Device::Gpu(gpu) = &self.device else {
            unreachable!("only a GPU's memory is limited")
        };
        let rest = gpu.memory_bytes().expect("a limit") - gpu.given_bytes();
        // Buffers are multiples of 16 bytes.
        let rest = self.device.alloc(rest / 16 * 16, "another program");
        self.taken = Some(rest.expect("free memory"));
    }
}

impl Watcher for Crowded {
    fn event(&mut self, event: &Event) -> Result<(), WriteError> {
        if let Event::Step(step) = event {
            self.steps = step.step;
            if step.step == LAST_STEP {
                self.take_the_rest();
            }
        }
        Ok(())
    }
}

fn limited_device() -> Device {
    let options = OpenOptions {
        choice: common::choice(),
        cap: TierCap::Subgroups,
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
    let model = Model::open(Path::new(model)).expect("a model");
    let loaded = Loaded::new(model, limited_device(), &mut |_| Ok(())).expect("weights");
    let mut watcher = Crowded {
        device: loaded.device.clone(),
        taken: None,
        steps: 0,
    };
    let inscriber = Inscriber::of(loaded).expect("a model");
    let document = Document::open(&desk.document).expect("a document");
    let writing = inscriber.write(&document, settings.clone()).keep_at(out);
    match writing.watched(&mut watcher).err() {
        Some(Error::Write(WriteError::Model(ModelError::Engine(
            error @ EngineError::OutOfMemory { .. },
        )))) => {
            assert_eq!(error.advice(), Some(Advice::UseCpu));
            (error.to_string(), watcher.steps as u64)
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_run_that_memory_ran_out_for_goes_on_where_there_is_enough() {
    let desk = Desk::new(SHORT);
    let (model, gpu) = (tiny("llama"), with_subgroups());
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
    assert!(told.contains("shorter text"), "{told}");
    assert!((LAST_STEP as u64..30).contains(&taken), "{taken}");
    assert!(!Path::new(&stopped).exists());
    let refused = fails(&desk.write(&stopped, &model, &more));
    assert!(
        refused.contains("--resume") && refused.contains(&format!("step {taken}")),
        "{refused}"
    );
    gpu.succeeds(&desk.write(&stopped, &model, &[&more[..], &["--resume"]].concat()));
    let events = events(&stopped);
    assert_eq!(resumed_at(&events), taken);
    assert_eq!(steps(&events), (1..=30).collect::<Vec<_>>());
    gpu.succeeds(&desk.write(&undisturbed, &model, &more));
    assert_eq!(adapters(&stopped), adapters(&undisturbed));
}
