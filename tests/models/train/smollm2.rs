//! The default model. Fetches it where the cache does not hold it yet.

use inscribe::engine::Device;
use inscribe::engine::gpu::TierCap;
use inscribe::memory::lora::{Lora, LoraConfig};
use inscribe::model::adapter::Projection;
use inscribe::model::config::ModelConfig;
use inscribe::model::train::{Batch, Optimizer, OptimizerKind, Trained, Trainer};
use inscribe::model::transformer::Transformer;
use serde_json::Value;

use super::golden::{Order, lora_of, reorder};
use super::steps::{
    TOLERANCE, after_prefix, assert_losses, frozen, frozen_cache, learn, lora_trainer, sequence,
    trainer,
};
use crate::common::{gpu, load_at, smollm2};

/// SplitMix64, as tests/oracle/train_goldens.py has it.
fn bits(seed: u64) -> impl Iterator<Item = u64> {
    (1u64..).map(move |i| {
        let z = seed.wrapping_add(i.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    })
}

/// Between -1 and 1.
fn unit(bits: u64) -> f32 {
    (bits >> 40) as f32 / (1 << 23) as f32 - 1.0
}

/// The adapter that the oracle starts from.
fn seeded(model: &ModelConfig, config: LoraConfig) -> Lora {
    lora_of(model, config, |layer, projection, side, range| {
        let (_, inputs) = projection.shape(model);
        let seed = 1000 * layer + 10 * projection as usize + usize::from(side == "B");
        let size = if side == "A" {
            (1.0 / (inputs as f64).sqrt()) as f32
        } else {
            0.02
        };
        bits(seed as u64)
            .take(range.len())
            .map(|b| size * unit(b))
            .collect()
    })
}

/// How far a gradient is off, relative to its norm, by what the golden says of it.
///
/// The product with random signs of what it is off by has that vector's norm as its own standard
/// deviation: three of them give an estimate.
fn distance(found: &[f32], golden: &Value) -> f64 {
    let number = |value: &Value| value.as_f64().expect("a number");
    let wide = || found.iter().map(|&v| f64::from(v));
    let products = golden["signs"].as_array().expect("products");
    let off = (1..).zip(products).map(|(seed, product)| {
        let signed = wide()
            .zip(bits(seed))
            .map(|(v, b)| if b >> 63 == 0 { v } else { -v });
        signed.sum::<f64>() - number(product)
    });
    let estimate = (off.map(|d| d * d).sum::<f64>() / products.len() as f64).sqrt();
    let norm = number(&golden["norm"]);
    let mut worst = estimate.max((wide().map(|v| v * v).sum::<f64>().sqrt() - norm).abs());
    for entry in golden["entries"].as_array().expect("entries") {
        let place = entry[0].as_u64().expect("a place") as usize;
        worst = worst.max((f64::from(found[place]) - number(&entry[1])).abs());
    }
    worst / norm
}

/// The memory tokens that the oracle starts from: the first tokens' embeddings, and noise.
fn seeded_prefix(device: &Device, model: &Transformer, first: &[u32]) -> Vec<f32> {
    let mut start = model.embeddings(device, first).expect("embeddings");
    let noise = bits(PREFIX_SEED).map(|b| 0.05 * unit(b));
    start.iter_mut().zip(noise).for_each(|(v, n)| *v += n);
    start
}

const PREFIX_SEED: u64 = 9;

/// How far it is off, which must be less than is allowed.
fn assert_close(what: &str, found: &[f32], golden: &Value) -> f64 {
    let off = distance(found, golden);
    assert!(off < TOLERANCE, "{what} is off by {off:.1e} of its norm");
    off
}

struct Case<'d> {
    device: &'d Device,
    model: Transformer,
    golden: Value,
}

impl Case<'_> {
    fn new(device: &Device) -> Case<'_> {
        let golden = serde_json::from_str(include_str!("../../golden/train/smollm2.json"));
        Case {
            model: load_at(device, smollm2()),
            device,
            golden: golden.expect("JSON"),
        }
    }

    fn ids(&self, key: &str) -> Vec<u32> {
        let list = self.golden[key].as_array().expect("a list").iter();
        list.map(|v| v.as_u64().expect("an id") as u32).collect()
    }

    fn number(&self, key: &str) -> f32 {
        self.golden[key].as_f64().expect("a number") as f32
    }

    fn lora(&self) -> Lora {
        let config = LoraConfig {
            rank: self.number("rank") as usize,
            alpha: self.number("alpha"),
            targets: vec![Projection::Q, Projection::O],
        };
        seeded(&self.model.config, config)
    }

    /// Gradients, then the first `steps` of the ten steps' losses.
    fn check(&self, kind: &str, lora: &Lora, trainer: &mut Trainer, batch: &Batch, steps: usize) {
        let golden = &self.golden[kind];
        let (loss, grads) = learn(trainer, batch);
        let layout = lora.layout(&self.model.config);
        let grads = Lora::unpack(lora.config.clone(), &layout, &grads);
        let rank = lora.config.rank;
        let mut worst = 0.0f64;
        for m in &grads.matrices {
            let b = reorder(
                &self.model.config,
                m.projection,
                rank,
                &m.b,
                Order::FromModel,
            );
            for (side, found) in [("A", &m.a), ("B", &b)] {
                let name = format!("{}.{}.{side}", m.layer, m.projection.name());
                let off = assert_close(&format!("{kind}: {name}"), found, &golden["grads"][&name]);
                worst = worst.max(off);
            }
        }
        println!("SmolLM2, {kind}: gradients off by at most {worst:.1e} of their norm");
        let optimizer = Optimizer {
            kind: OptimizerKind::AdamW {
                beta1: 0.9,
                beta2: 0.999,
                eps: 1e-8,
                weight_decay: self.number("weight_decay"),
            },
            lr: self.number("lr"),
            clip: Some(self.number("max_norm")),
        };
        self.check_losses(kind, trainer, batch, &optimizer, loss, steps);
    }

    /// The loss whose gradients are accumulated, and that after each of the first `steps` steps.
    fn check_losses(
        &self,
        kind: &str,
        trainer: &mut Trainer,
        batch: &Batch,
        optimizer: &Optimizer,
        loss: f64,
        steps: usize,
    ) {
        let losses = self.golden[kind]["losses"].as_array().expect("losses");
        let known = losses.iter().map(|v| v.as_f64().expect("a loss"));
        let losses: Vec<f32> = known.take(steps + 1).map(|v| v as f32).collect();
        assert_eq!(losses.len(), steps + 1, "{kind}: fewer losses are known");
        let off = (loss - f64::from(losses[0])).abs();
        assert!(off < TOLERANCE, "{kind}: {loss}, not {}", losses[0]);
        trainer.apply(optimizer).expect("a step");
        let what = format!("SmolLM2, {kind}, after the first step");
        assert_losses(&what, trainer, batch, optimizer, &losses[1..]);
    }

    fn whole_sequence(&self, steps: usize) {
        let lora = self.lora();
        let mut trainer = lora_trainer(self.device, &self.model, &lora, None, None);
        let batch = sequence(&self.ids("ids"));
        self.check("qo", &lora, &mut trainer, &batch, steps);
    }

    fn frozen_cache(&self, steps: usize) {
        let lora = self.lora();
        let ids = self.ids("ids");
        let cache = frozen_cache(self.device, &self.model, &ids);
        let mut trainer = lora_trainer(self.device, &self.model, &lora, Some(cache), None);
        let batch = frozen(&ids, &self.ids("positions"));
        self.check("frozen", &lora, &mut trainer, &batch, steps);
    }

    /// Memory tokens before the sequence: their gradient, then steps of gradient descent.
    fn prefix(&self, steps: usize) {
        let (ids, rows) = (self.ids("ids"), self.number("prefix_tokens") as usize);
        let start = seeded_prefix(self.device, &self.model, &ids[..rows]);
        let trained = Trained::prefix(rows);
        let mut trainer = trainer(self.device, &self.model, trained, &start, None, None);
        let batch = after_prefix(&ids, rows);
        let (loss, grads) = learn(&mut trainer, &batch);
        let golden = &self.golden["prefix"]["grads"]["memory"];
        let off = assert_close("the prefix", &grads, golden);
        println!("SmolLM2, prefix: the gradient is off by {off:.1e} of its norm");
        let sgd = Optimizer {
            kind: OptimizerKind::Sgd,
            lr: self.number("prefix_lr"),
            clip: Some(self.number("max_norm")),
        };
        self.check_losses("prefix", &mut trainer, &batch, &sgd, loss, steps);
    }
}

#[test]
fn smollm2_on_the_cpu() {
    let device = Device::cpu(0);
    let case = Case::new(&device);
    case.whole_sequence(10);
    case.frozen_cache(10);
    case.prefix(5);
}

/// All ten steps only against a cache: on a software rasteriser one over the whole sequence takes
/// some ten seconds.
#[test]
fn smollm2_on_a_gpu() {
    let case = Case::new(gpu(TierCap::Full));
    case.whole_sequence(1);
    case.frozen_cache(10);
    case.prefix(1);
}
