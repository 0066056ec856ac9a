//! Training runs as another program takes them: stopped and gone on with, beside a model that
//! stays as it is.

use std::path::Path;
use std::time::Duration;

use inscribe::engine::CancelToken;
use inscribe::model::loaded::Loaded;
use inscribe::train::base::{Base, Beside, write_lora};
use inscribe::train::error::TrainError;
use inscribe::train::event::Event;
use inscribe::train::meta::{self, Inner};
use inscribe::train::run::{End, Keeper, Limits, Trainer};
use inscribe::train::settings::{NetShape, Stage, TrainSettings};
use inscribe::train::store::RunFolder;
use inscribe::train::task;

/// A folder that stops the run after some of its steps, as a person would.
struct Stopping<'a> {
    folder: RunFolder,
    after: u64,
    cancel: &'a CancelToken,
}

impl Keeper for Stopping<'_> {
    fn event(&mut self, event: &Event) -> Result<(), TrainError> {
        if let Event::Step(step) = event
            && step.step == self.after
        {
            self.cancel.cancel();
        }
        self.folder.event(event)
    }

    fn checkpoint(&mut self, trainer: &Trainer) -> Result<(), TrainError> {
        self.folder.checkpoint(trainer)
    }
}

fn settings(loaded: &Loaded) -> TrainSettings {
    let shape = NetShape {
        memory: 2,
        projection: true,
        learned_rate: true,
        ..NetShape::default()
    };
    let lora = Some(write_lora(8, 16.0));
    TrainSettings {
        net: shape.sized(loaded.config()),
        stages: vec![Stage {
            level: 2,
            inner_steps: 1,
        }],
        batch: 2,
        questions: 2,
        lr: 1e-2,
        warmup: 2,
        steps: Some(6),
        base: Some(Base::new(loaded, "a tiny model", lora).expect("a base")),
        ..TrainSettings::default()
    }
}

fn trainer(loaded: &Loaded, settings: TrainSettings, cancel: &CancelToken) -> Trainer {
    let task = task::on_base("kv", &loaded.model, None, settings.seed).expect("a task");
    Trainer::on_base(loaded, settings, task, cancel).expect("a run")
}

/// Runs to the end, or until it is stopped after so many steps.
fn run(loaded: &Loaded, folder: &Path, after: u64) -> End {
    let cancel = CancelToken::new();
    let (folder, mut trainer) = match RunFolder::resume(folder) {
        Ok((folder, stopped)) => {
            let mut trainer = trainer(loaded, stopped.settings, &cancel);
            trainer
                .restore(&stopped.state, stopped.progress)
                .expect("a state");
            (folder, trainer)
        }
        Err(_) => {
            let folder = RunFolder::create(folder).expect("a folder");
            (folder, trainer(loaded, settings(loaded), &cancel))
        }
    };
    let mut keeper = Stopping {
        folder,
        after,
        cancel: &cancel,
    };
    let every = Duration::from_secs(600);
    trainer
        .run(Limits::default(), every, &mut keeper)
        .expect("steps")
}

#[test]
fn a_run_beside_a_model_goes_on_to_the_same_numbers() {
    let inscriber = crate::tiny("llama");
    let loaded = inscriber.loaded();
    let place = tempfile::tempdir().expect("a folder");
    let (whole, stopped) = (place.path().join("whole"), place.path().join("stopped"));
    assert_eq!(run(loaded, &whole, 0), End::Done);
    assert_eq!(run(loaded, &stopped, 2), End::Cancelled);
    assert_eq!(run(loaded, &stopped, 0), End::Done);
    for name in ["gradmem.safetensors", "adapter_model.safetensors"] {
        let read = |folder: &Path| std::fs::read(folder.join(name)).expect(name);
        assert!(read(&whole) == read(&stopped), "{name} differs");
    }
    let kept = Beside::open(&whole, loaded).expect("what was trained");
    let lora = kept.lora.as_ref().expect("an adapter");
    assert!(lora.matrices.iter().any(|m| m.b.iter().any(|b| *b != 0.0)));
    assert!(kept.inner.alpha > 0.0 && kept.inner.alpha != Inner::default().alpha);
    // As it was when the run ended: the same losses of writing.
    let (_, state) = RunFolder::resume(&whole).expect("the run");
    let mut trainer = trainer(loaded, state.settings, &CancelToken::new());
    trainer
        .restore(&state.state, state.progress)
        .expect("a state");
    let task = task::on_base("kv", &loaded.model, None, 1).expect("a task");
    let samples = [task.sample(&mut inscribe::model::draws::generator(1, 0), 2, 1)];
    let mut net = kept.net(loaded).expect("room");
    let options = inscribe::engine::RunOptions::default();
    let [own, read] = [&mut trainer.net, &mut net].map(|net| {
        let written = meta::write(net, &kept.inner, &samples, &options);
        written.expect("a memory").memories
    });
    assert_eq!(own, read);
}

#[test]
fn tests_hold_memory_against_the_model_alone() {
    let inscriber = crate::tiny("llama");
    let loaded = inscriber.loaded();
    let mut trainer = trainer(loaded, settings(loaded), &CancelToken::new());
    let stage = trainer.stage();
    let tested = trainer.test(stage, 5, &[0, 1]).expect("a test");
    let plain = tested.no_memory.expect("without memory");
    let whole = tested.whole_context.expect("with all of the context");
    assert!(plain.loss.is_finite() && whole.loss.is_finite() && plain.loss != whole.loss);
    assert_eq!(tested.rows.len(), 2);
    assert!(tested.rows.iter().all(|row| row.loss != plain.loss));
    // A context that fits by itself and not with its question has no such row.
    for (level, fits) in [(30, true), (36, false)] {
        let stage = Stage { level, ..stage };
        let tested = trainer.test(stage, 2, &[0]).expect("a test");
        assert_eq!(tested.whole_context.is_some(), fits, "{level} pairs");
    }
    let stage = Stage { level: 40, ..stage };
    let said = trainer
        .test(stage, 2, &[0])
        .expect_err("a refusal")
        .to_string();
    assert!(said.contains("do not fit the context"), "{said}");
}

#[test]
fn what_belongs_to_another_model_is_refused() {
    let (llama, qwen) = (crate::tiny("llama"), crate::tiny("qwen3"));
    let settings = settings(llama.loaded());
    let task = task::on_base("kv", &llama.loaded().model, None, 1).expect("a task");
    let refused = Trainer::on_base(qwen.loaded(), settings, task, &CancelToken::new());
    let said = refused.err().expect("a refusal").to_string();
    assert!(said.contains("belongs to 'llama'"), "{said}");
    let place = tempfile::tempdir().expect("a folder");
    run(llama.loaded(), place.path(), 1);
    let said = Beside::open(place.path(), qwen.loaded());
    assert!(said.expect_err("a refusal").to_string().contains("'llama'"));
    let path = place.path().join("gradmem.safetensors");
    std::fs::write(&path, "x").expect("room");
    let said = Beside::open(place.path(), llama.loaded());
    assert!(said.expect_err("a refusal").to_string().contains("damaged"));
}
