//! Models that were trained to be written to, read back.

use std::collections::BTreeMap;
use std::path::Path;

use safetensors::SafeTensors;
use safetensors::tensor::Dtype;
use serde_json::Value;

use super::error::TrainError;
use super::meta::Inner;
use super::net::{Net, names};
use crate::engine::Device;
use crate::model::config::ModelConfig;
use crate::model::error::ModelError;
use crate::model::flat::FlatLayout;

/// A trained model's numbers, and how it is written to.
#[derive(Clone)]
pub struct Saved {
    pub config: ModelConfig,
    pub layout: FlatLayout,
    pub numbers: Vec<f32>,
    pub inner: Inner,
}

impl Saved {
    /// The model in the folder of a training run.
    pub fn open(folder: &Path) -> Result<Saved, TrainError> {
        let read = |name: &str| {
            let path = folder.join(name);
            std::fs::read(&path).map_err(|e| TrainError::from(ModelError::open(&path, &e)))
        };
        let config = String::from_utf8_lossy(&read("config.json")?).into_owned();
        Saved::of_bytes(folder, &config, &read("model.safetensors")?)
    }

    /// A model by the contents of its `config.json` and `model.safetensors`; `named` is what
    /// errors call it.
    pub fn of_bytes(named: &Path, config: &str, model: &[u8]) -> Result<Saved, TrainError> {
        let err = |detail: String| TrainError::file(named, detail);
        let fields: Value = serde_json::from_str(config)
            .map_err(|e| err(format!("its config.json is not valid JSON: {e}")))?;
        let parsed = ModelConfig::from_json(&named.join("config.json"), config)?;
        let file = SafeTensors::deserialize(model)
            .map_err(|e| err(format!("its model.safetensors is damaged: {e}")))?;
        let mut tensors = BTreeMap::new();
        for (name, view) in file.tensors() {
            if view.dtype() != Dtype::F32 {
                return Err(err(format!("tensor '{name}' is not in 32-bit floats")));
            }
            let cols = view.shape().last().copied().unwrap_or(1);
            let rows = view.shape().iter().product::<usize>() / cols.max(1);
            tensors.insert(name, (rows, cols, view.data().to_vec()));
        }
        let mut layout = FlatLayout::of_model(&parsed);
        for name in names::all() {
            if let Some((rows, cols, _)) = tensors.get(name) {
                layout.push(name, *rows, *cols);
            }
        }
        if layout.entry(names::MEMORY).is_none() {
            return Err(err(
                "was not trained to be written to: it has no memory".to_owned()
            ));
        }
        let mut numbers = vec![0f32; layout.len];
        for entry in &layout.entries {
            let found = tensors.get(&entry.name);
            let found = found.filter(|(rows, cols, _)| (*rows, *cols) == (entry.rows, entry.cols));
            let Some((_, _, bytes)) = found else {
                return Err(err(format!(
                    "tensor '{}' is missing or of another shape",
                    entry.name
                )));
            };
            let own: Vec<f32> = bytemuck::pod_collect_to_vec(bytes);
            layout.take_over(entry, &parsed, &own, &mut numbers);
        }
        let number = |name: &str| fields.get(name).and_then(Value::as_f64);
        let default = Inner::default();
        Ok(Saved {
            inner: Inner {
                steps: number("K").map_or(default.steps, |k| k as usize),
                alpha: number("lr").map_or(default.alpha, |lr| lr as f32),
                clip: number("inner_clip_norm").map(|clip| clip as f32),
                ..default
            },
            config: parsed,
            layout,
            numbers,
        })
    }

    /// The same model with only the first so many memory rows, or all where there are fewer.
    pub fn with_memory(&self, rows: usize) -> Saved {
        let mut layout = FlatLayout::of_model(&self.config);
        let extra = self
            .layout
            .entries
            .iter()
            .filter(|entry| entry.role.is_none());
        for entry in extra {
            let kept = if entry.name == names::MEMORY {
                entry.rows.min(rows)
            } else {
                entry.rows
            };
            layout.push(&entry.name, kept, entry.cols);
        }
        let mut numbers = vec![0f32; layout.len];
        for (to, from) in layout.entries.iter().zip(&self.layout.entries) {
            let len = to.range.len();
            numbers[to.range.clone()].copy_from_slice(&from.numbers(&self.numbers)[..len]);
        }
        Saved {
            layout,
            numbers,
            ..self.clone()
        }
    }

    /// The model on a device, to be written to or trained on.
    pub fn net(&self, device: &Device) -> Result<Net, ModelError> {
        Net::new(device, &self.config, self.layout.clone(), &self.numbers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::settings::NetShape;
    use crate::train::store::model_bytes;

    fn small() -> (NetShape, ModelConfig) {
        let shape = NetShape {
            layers: 1,
            hidden: 16,
            heads: 2,
            ffn: 32,
            memory: 4,
            projection: true,
            control: 1,
            ..NetShape::default()
        };
        let config = shape.config(70);
        (shape, config)
    }

    #[test]
    fn a_kept_model_is_read_back_bit_by_bit() {
        let (shape, config) = small();
        let layout = shape.layout(&config);
        let numbers = shape.initial(&layout, &Inner::default(), 7);
        let bytes = model_bytes(&layout, &config, &numbers).unwrap();
        let mut fields = config.to_json();
        fields.insert("K".to_owned(), 3.into());
        let text = Value::from(fields).to_string();
        let saved = Saved::of_bytes(Path::new("x"), &text, &bytes).unwrap();
        assert_eq!((saved.numbers, saved.inner.steps), (numbers, 3));
        assert_eq!(saved.layout, layout);
    }

    #[test]
    fn memory_can_be_cut_to_fewer_rows() {
        let (shape, config) = small();
        let layout = shape.layout(&config);
        let numbers = shape.initial(&layout, &Inner::default(), 7);
        let bytes = model_bytes(&layout, &config, &numbers).unwrap();
        let text = Value::from(config.to_json()).to_string();
        let saved = Saved::of_bytes(Path::new("x"), &text, &bytes).unwrap();
        let cut = saved.with_memory(2);
        let of = |saved: &Saved, name: &str| {
            let entry = saved.layout.entry(name).unwrap();
            entry.numbers(&saved.numbers).to_vec()
        };
        assert_eq!(of(&cut, names::MEMORY), of(&saved, names::MEMORY)[..32]);
        assert_eq!(of(&cut, names::PROJECTION), of(&saved, names::PROJECTION));
        assert!(Saved::of_bytes(Path::new("x"), &text, &bytes[..100]).is_err());
    }
}
