//! The default model. Fetches it where the cache does not hold it yet.

use std::sync::atomic::AtomicBool;

use inscribe::engine::{Device, cpu::CpuDevice};
use inscribe::memory::lora::{Lora, LoraConfig};
use inscribe::model::adapter::Projection;
use inscribe::model::config::ModelConfig;
use inscribe::model::hub::{PullEvent, Puller, Watch, default_model};
use inscribe::model::train::{Batch, Optimizer, OptimizerKind, Trainer};
use inscribe::model::transformer::Transformer;
use inscribe::model::weights::WeightFile;
use serde_json::Value;

use crate::golden::{Order, lora_of, reorder};
use crate::rig::gpu;
use crate::steps::{TOLERANCE, assert_losses, frozen, frozen_cache, learn, lora_trainer, sequence};

/// SplitMix64, as tests/oracle/train_goldens.py has it.
fn bits(seed: u64) -> impl Iterator<Item = u64> {
    (1u64..).map(move |i| {
        let z = seed.wrapping_add(i.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    })
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
            .map(|b| size * ((b >> 40) as f32 / (1 << 23) as f32 - 1.0))
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

struct Case {
    device: Device,
    golden: Value,
}

impl Case {
    fn new(device: Device) -> Case {
        let golden = serde_json::from_str(include_str!("../golden/train/smollm2.json"));
        Case {
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

    fn load(&self) -> Transformer {
        let never = AtomicBool::new(false);
        let mut silent = |_: &PullEvent<'_>| {};
        let puller = Puller::from_env().expect("a cache folder");
        let path = puller.known(default_model(), &mut Watch::new(&never, &mut silent));
        let path = path.expect("the default model, from the cache or the network");
        let file = WeightFile::open(&path).expect("a model");
        let config = file.config().expect("a config");
        Transformer::load(&self.device, &file, config, &mut |_| Ok(())).expect("weights")
    }

    fn lora(&self, model: &ModelConfig) -> Lora {
        let config = LoraConfig {
            rank: self.number("rank") as usize,
            alpha: self.number("alpha"),
            targets: vec![Projection::Q, Projection::O],
        };
        seeded(model, config)
    }

    /// Gradients, then the first `steps` of the ten steps' losses.
    fn check(
        &self,
        kind: &str,
        model: &Transformer,
        lora: &Lora,
        trainer: &mut Trainer<'_>,
        batch: &Batch,
        steps: usize,
    ) {
        let golden = &self.golden[kind];
        let (_, grads) = learn(trainer, batch);
        let layout = lora.layout(&model.config);
        let grads = Lora::unpack(lora.config.clone(), &layout, &grads);
        let rank = lora.config.rank;
        let mut worst = 0.0f64;
        for m in &grads.matrices {
            let b = reorder(&model.config, m.projection, rank, &m.b, Order::FromModel);
            for (side, found) in [("A", &m.a), ("B", &b)] {
                let name = format!("{}.{}.{side}", m.layer, m.projection.name());
                let off = distance(found, &golden["grads"][&name]);
                assert!(
                    off < TOLERANCE,
                    "{kind}: {name} is off by {off:.1e} of its norm"
                );
                worst = worst.max(off);
            }
        }
        println!("SmolLM2, {kind}: gradients off by at most {worst:.1e} of their norm");
        let losses = golden["losses"].as_array().expect("losses").iter();
        let losses: Vec<f32> = losses.map(|v| v.as_f64().expect("a loss") as f32).collect();
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
        let steps = losses.len().min(steps + 1);
        assert_losses(
            &format!("SmolLM2, {kind}"),
            trainer,
            batch,
            &optimizer,
            &losses[..steps],
        );
    }

    fn whole_sequence(&self, steps: usize) {
        let model = self.load();
        let lora = self.lora(&model.config);
        let mut trainer = lora_trainer(&self.device, &model, &lora, None, None);
        let batch = sequence(&self.ids("ids"));
        self.check("qo", &model, &lora, &mut trainer, &batch, steps);
    }

    fn frozen_cache(&self, steps: usize) {
        let model = self.load();
        let lora = self.lora(&model.config);
        let ids = self.ids("ids");
        let cache = frozen_cache(&self.device, &model, &ids);
        let mut trainer = lora_trainer(&self.device, &model, &lora, Some(cache), None);
        let batch = frozen(&ids, &self.ids("positions"));
        self.check("frozen", &model, &lora, &mut trainer, &batch, steps);
    }
}

#[test]
fn smollm2_on_the_cpu() {
    let case = Case::new(Device::Cpu(CpuDevice::new(0)));
    case.whole_sequence(10);
    case.frozen_cache(10);
}

/// Few steps: on a software rasteriser each takes half a minute.
#[test]
fn smollm2_on_a_gpu() {
    let case = Case::new(gpu());
    case.whole_sequence(1);
    case.frozen_cache(2);
}
