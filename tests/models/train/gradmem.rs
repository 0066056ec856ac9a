//! Writing to a model that was trained for it, against PyTorch; see
//! tests/oracle/gradmem_goldens.py.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use inscribe::engine::Device;
use inscribe::model::gradmem::GradMem;
use inscribe::model::train::{Optimizer, OptimizerKind, Trained};
use inscribe::model::weights::WeightFile;
use safetensors::SafeTensors;
use serde_json::Value;

use super::steps::{after_prefix, assert_losses, assert_near, learn, loss, trainer};
use crate::common::{self, load_at};
use crate::devices::on_every_device;

fn folder() -> PathBuf {
    common::golden("gradmem")
}

struct Golden {
    ids: Vec<u32>,
    tensors: HashMap<String, Vec<f32>>,
}

impl Golden {
    fn load() -> Golden {
        let bytes = std::fs::read(folder().join("golden.safetensors")).expect("golden");
        let file = SafeTensors::deserialize(&bytes).expect("safetensors");
        let ids = file.tensor("ids").expect("ids").data();
        let floats = file.tensors().into_iter().filter(|(name, _)| name != "ids");
        Golden {
            ids: bytemuck::pod_collect_to_vec(ids),
            tensors: floats
                .map(|(name, view)| (name, bytemuck::pod_collect_to_vec(view.data())))
                .collect(),
        }
    }

    fn of(&self, kind: &str, name: &str) -> &[f32] {
        &self.tensors[&format!("{kind}.{name}")]
    }
}

/// A model with the tensors that `keep` says, and a config made from the whole one's.
fn cut(into: &Path, keep: impl Fn(&str) -> bool, config: impl Fn(Value) -> Value) {
    let read = |name: &str| std::fs::read(folder().join(name)).expect(name);
    let bytes = read("model.safetensors");
    let file = SafeTensors::deserialize(&bytes).expect("safetensors");
    let kept = file.tensors().into_iter().filter(|(name, _)| keep(name));
    let bytes = safetensors::serialize(kept, None).expect("safetensors");
    std::fs::write(into.join("model.safetensors"), bytes).expect("room");
    let whole: Value = serde_json::from_slice(&read("config.json")).expect("JSON");
    std::fs::write(into.join("config.json"), config(whole).to_string()).expect("room");
}

fn base_config(whole: Value) -> Value {
    whole["base_config"].clone()
}

fn check_kind(device: &Device, folder: &Path, kind: &str, clip: f32, lr: f32) {
    let golden = Golden::load();
    let file = WeightFile::open(folder).expect("a model");
    let config = file.config().expect("a config");
    let gradmem = GradMem::of(&file, &config)
        .expect("its parts")
        .expect("M_0");
    let model = load_at(device, folder);
    let trained = Trained::Prefix {
        rows: gradmem.rows,
        way: Some(Arc::new(gradmem.writing(device).expect("room"))),
    };
    let batch = after_prefix(&golden.ids, trained.rows_before());
    let mut trainer = trainer(device, &model, trained, &gradmem.initial, None, None);
    let (_, grads) = learn(&mut trainer, &batch);
    assert_near(&format!("{kind}: M"), &grads, golden.of(kind, "grad"));
    let sgd = Optimizer {
        kind: OptimizerKind::Sgd,
        lr,
        clip: Some(clip),
    };
    let (last, steps) = golden.of(kind, "losses").split_last().expect("losses");
    assert_losses(kind, &mut trainer, &batch, &sgd, steps);
    assert_losses(
        kind,
        &mut trainer,
        &batch,
        &Optimizer { lr: 0.0, ..sgd },
        &[*last],
    );
    let memory = trainer.parameters().expect("the memory");
    assert_near(
        &format!("{kind}: after"),
        &memory,
        golden.of(kind, "memory"),
    );
    let read = gradmem.read(device, &memory).expect("what is read");
    assert_near(&format!("{kind}: read"), &read, golden.of(kind, "read"));

    let rows = read.len() / gradmem.hidden;
    let trained = Trained::prefix(rows);
    let mut reader = super::steps::trainer(device, &model, trained, &read, None, None);
    let batch = after_prefix(&golden.ids, rows);
    let found = loss(&batch, &reader.evaluate(&batch).expect("scores"));
    let expected = f64::from(golden.of(kind, "read_loss")[0]);
    assert!(
        (found - expected).abs() < 1e-3,
        "{kind}: {found}, not {expected}"
    );
}

fn check(device: &Device) {
    let file = WeightFile::open(&folder()).expect("a model");
    let whole = GradMem::of(&file, &file.config().expect("a config"));
    let whole = whole.expect("its parts").expect("M_0");
    assert_eq!((whole.rows, whole.steps, whole.adam), (5, 5, false));
    check_kind(device, &folder(), "full", whole.clip, whole.lr);
    // The same with few parts, in a folder whose config is the base model's own.
    let few = tempfile::tempdir().expect("a temporary folder");
    let keep =
        |name: &str| name.starts_with("model.") || name == "mem" || name.starts_with("mem_proj.");
    cut(few.path(), keep, base_config);
    check_kind(device, few.path(), "proj", whole.clip, whole.lr);
}

on_every_device! {
    writing_agrees: check;
}

/// What cannot be written is refused by the name of what is wrong.
#[test]
fn other_kinds_of_memory_are_refused() {
    let all = |_: &str| true;
    let with = |field: &'static str, value: Value| {
        move |mut whole: Value| {
            whole[field] = value.clone();
            whole
        }
    };
    let refused = |config: &dyn Fn(Value) -> Value, keep: &dyn Fn(&str) -> bool, says: &str| {
        let folder = tempfile::tempdir().expect("a temporary folder");
        cut(folder.path(), keep, config);
        let file = WeightFile::open(folder.path()).expect("a model");
        let found = file
            .config()
            .and_then(|config| GradMem::of(&file, &config).map(|found| found.is_some()));
        let error = found.expect_err(says).to_string();
        assert!(error.contains(says), "{error}");
    };
    refused(
        &with("mem_proj_mode", "per_sample".into()),
        &all,
        "mem_proj_mode",
    );
    refused(&with("use_write_lora", true.into()), &all, "use_write_lora");
    refused(
        &with("inner_clip_value", 1.0.into()),
        &all,
        "inner_clip_value",
    );
    refused(&with("K", (-1).into()), &all, "K");
    refused(&with("lr", "fast".into()), &all, "lr");
    refused(&with("base_config", Value::Null), &all, "base_config");
    refused(&|whole| whole, &|name| name != "mem_proj.bias", "mem_proj");
    // Parts of another width.
    let other = |whole: Value| {
        let mut base = base_config(whole);
        base["hidden_size"] = 64.into();
        base
    };
    refused(&other, &all, "mem");
    // A model without them is any model.
    let folder = tempfile::tempdir().expect("a temporary folder");
    cut(
        folder.path(),
        |name| name.starts_with("model."),
        base_config,
    );
    let file = WeightFile::open(folder.path()).expect("a model");
    let found = GradMem::of(&file, &file.config().expect("a config")).expect("nothing wrong");
    assert!(found.is_none());
}
