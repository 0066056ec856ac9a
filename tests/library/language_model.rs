//! Ordinary language models from nothing: they learn, stop and go on, and are read again.

use std::path::Path;
use std::time::Duration;

use inscribe::Inscriber;
use inscribe::engine::{CancelToken, Device};
use inscribe::model::tokenizer::TokenizerFiles;
use inscribe::train::corpus::Corpus;
use inscribe::train::error::TrainError;
use inscribe::train::lm::{LmEvent, LmFolder, LmKeeper, LmSettings, LmTrainer};
use inscribe::train::run::{End, Limits};
use inscribe::train::settings::Data;
use inscribe::train::store::RunFolder;

/// A folder that stops the run after some of its steps, and the losses that it heard of.
struct Stopping<'a> {
    folder: LmFolder,
    after: u64,
    cancel: &'a CancelToken,
    losses: Vec<f64>,
    tested: Vec<f64>,
}

impl LmKeeper for Stopping<'_> {
    fn event(&mut self, event: &LmEvent) -> Result<(), TrainError> {
        match event {
            LmEvent::Step(step) => {
                self.losses.push(step.loss);
                if step.step == self.after {
                    self.cancel.cancel();
                }
            }
            LmEvent::Tested { loss, .. } => self.tested.push(*loss),
            _ => {}
        }
        self.folder.event(event)
    }

    fn checkpoint(&mut self, trainer: &LmTrainer) -> Result<(), TrainError> {
        self.folder.checkpoint(trainer)
    }
}

fn settings(data: Data) -> LmSettings {
    LmSettings {
        layers: 1,
        hidden: 32,
        heads: 2,
        ffn: 64,
        window: 24,
        batch: 4,
        accumulate: 2,
        lr: 1e-2,
        warmup: 3,
        steps: Some(12),
        test_every: 5,
        data,
        ..LmSettings::default()
    }
}

/// Runs to the end, or until it is stopped after so many steps; gives the losses of its steps and
/// tests.
fn run(folder: &Path, after: u64, change: impl Fn(&mut LmSettings)) -> (Vec<f64>, Vec<f64>) {
    let document = [crate::golden("document.txt")];
    let (cancel, device) = (CancelToken::new(), Device::cpu(2));
    let resumed = LmFolder::resume(folder).ok();
    let tokenizer = match &resumed {
        Some(_) => TokenizerFiles::open(folder),
        None => TokenizerFiles::open(&crate::golden("tiny/llama")),
    };
    let tokenizer = tokenizer.expect("a tokenizer");
    let corpus = Corpus::read(&document, &tokenizer.tokenizer, 1).expect("texts");
    let new = |settings: LmSettings| {
        let corpus = corpus.clone();
        LmTrainer::new(&device, settings, &tokenizer.tokenizer, corpus, &cancel).expect("a run")
    };
    let (folder, mut trainer) = match resumed {
        Some((folder, stopped)) => {
            let mut trainer = new(stopped.settings);
            let restored = trainer.restore(&stopped.state, stopped.progress);
            restored.expect("a state");
            (folder, trainer)
        }
        None => {
            let mut settings = settings(corpus.data.clone());
            change(&mut settings);
            let folder = LmFolder::create(folder, &tokenizer).expect("a folder");
            (folder, new(settings))
        }
    };
    let mut keeper = Stopping {
        folder,
        after,
        cancel: &cancel,
        losses: Vec::new(),
        tested: Vec::new(),
    };
    let limits = Limits::default();
    let end = trainer.run(limits, Duration::from_secs(600), &mut keeper);
    let expected = if after > 0 { End::Cancelled } else { End::Done };
    assert_eq!(end.expect("steps"), expected);
    (keeper.losses, keeper.tested)
}

fn weights(folder: &Path) -> Vec<u8> {
    std::fs::read(folder.join("model.safetensors")).expect("a model")
}

#[test]
fn a_model_learns_stops_goes_on_and_is_read_again() {
    let place = tempfile::tempdir().expect("a folder");
    let at = |name: &str| place.path().join(name);
    let (losses, tested) = run(&at("whole"), 0, |_| {});
    assert_eq!((losses.len(), tested.len()), (12, 3));
    assert!(losses[11] < losses[0] - 0.5, "{losses:?}");
    assert!(tested[2] < tested[0], "{tested:?}");
    let (first, _) = run(&at("stopped"), 7, |_| {});
    let (rest, _) = run(&at("stopped"), 0, |_| {});
    assert_eq!([first, rest].concat(), losses);
    assert!(weights(&at("whole")) == weights(&at("stopped")));
    // Its folder is a model like any other.
    let whole = at("whole").display().to_string();
    let opened = Inscriber::opening(&whole)
        .run(&mut |_| {})
        .expect("a model");
    assert_eq!(opened.loaded().config().context, 24);
    // It is no run of the other kind.
    let said = RunFolder::resume(&at("whole")).err().expect("a refusal");
    assert!(said.to_string().contains("of another kind"), "{said}");
}

/// Two passes of a half make the same step as one over all, but for rounding; decay changes it.
#[test]
fn passes_of_a_step_add_up_and_weights_decay() {
    let place = tempfile::tempdir().expect("a folder");
    let last = |name: &str, change: &dyn Fn(&mut LmSettings)| {
        let (losses, _) = run(&place.path().join(name), 0, change);
        losses[losses.len() - 1]
    };
    let halves = last("halves", &|_| {});
    let whole = last("whole", &|settings| {
        (settings.batch, settings.accumulate) = (8, 1);
    });
    assert!((halves - whole).abs() < 1e-3, "{halves} is not {whole}");
    let undecayed = last("undecayed", &|settings| settings.weight_decay = 0.0);
    assert!((halves - undecayed).abs() > 1e-6);
    let sum = |name: &str, tensor: &str| {
        let bytes = weights(&place.path().join(name));
        let file = safetensors::SafeTensors::deserialize(&bytes).expect("tensors");
        let view = file.tensor(tensor).expect(tensor);
        let values: Vec<f32> = bytemuck::pod_collect_to_vec(view.data());
        values.iter().map(|v| f64::from(v.abs())).sum::<f64>()
    };
    let weight = "model.layers.0.self_attn.q_proj.weight";
    assert!(sum("halves", weight) < sum("undecayed", weight));
}

#[test]
fn what_cannot_be_trained_is_refused() {
    let tokenizer = TokenizerFiles::open(&crate::golden("tiny/llama")).expect("a tokenizer");
    let corpus = Corpus::read(&[crate::golden("document.txt")], &tokenizer.tokenizer, 1);
    let corpus = corpus.expect("texts");
    let refused = |change: &dyn Fn(&mut LmSettings)| {
        let mut settings = settings(corpus.data.clone());
        change(&mut settings);
        let (device, cancel) = (Device::cpu(1), CancelToken::new());
        let corpus = corpus.clone();
        let trainer = LmTrainer::new(&device, settings, &tokenizer.tokenizer, corpus, &cancel);
        trainer.err().expect("a refusal").to_string()
    };
    assert!(refused(&|s| s.window = 16_000).contains("smaller window"));
    assert!(refused(&|s| s.window = 1).contains("window: is 1"));
    assert!(refused(&|s| s.weight_decay = 2.0).contains("between 0 and 1"));
    assert!(refused(&|s| s.heads = 5).contains("even share"));
    assert!(refused(&|s| s.data.sha256.clear()).contains("put it back"));
}
