//! What a model says of a text with a random adapter and a random prefix, and both as files, for
//! the scripts beside this one to hold against PEFT and llama.cpp.
//!
//! ```text
//! adapter_losses MODEL.gguf TEXT.txt TOKENS write FOLDER     FOLDER/{lora,prefix,lora.gguf}
//! adapter_losses MODEL.gguf TEXT.txt TOKENS read ADAPTER     a PEFT folder or a GGUF adapter
//! ```
//!
//! Prints one JSON object: the ids, and the log-probability of each but the first.

use std::path::Path;

use anyhow::{Result, bail};
use inscribe::engine::Device;
use inscribe::engine::select::{self, SelectOptions};
use inscribe::memory::kind::Kind;
use inscribe::memory::{Content, Lora, LoraConfig, Prefix, gguf_adapter, peft};
use inscribe::model::adapter::Projection;
use inscribe::model::model_file::Model;
use inscribe::model::session::{Session, SessionOptions};
use inscribe::model::transformer::Transformer;
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;
use serde_json::{Value, json};

const SEED: u64 = 11;
const PREFIX_ROWS: usize = 8;
/// Large enough to move the text's loss by tenths of a nat.
const B_BOUND: f32 = 0.1;
const PREFIX_BOUND: f32 = 0.2;

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [model, text, tokens, verb, place] = args.as_slice() else {
        bail!("usage: adapter_losses MODEL TEXT TOKENS write|read PLACE");
    };
    let model = Model::open(Path::new(model))?;
    let text = std::fs::read_to_string(text)?;
    let mut ids = model.tokenizer.encode(&text, true, false)?;
    ids.truncate(tokens.parse()?);
    let rig = Rig::new(model, ids)?;
    let place = Path::new(place);
    let found = match verb.as_str() {
        "write" => rig.write(place)?,
        "read" => rig.read(place)?,
        other => bail!("'{other}' is neither write nor read"),
    };
    println!("{found}");
    Ok(())
}

struct Rig {
    model: Model,
    device: Device,
    transformer: Transformer,
    ids: Vec<u32>,
}

impl Rig {
    fn new(model: Model, ids: Vec<u32>) -> Result<Rig> {
        let options = SelectOptions {
            choice: "cpu".parse().map_err(anyhow::Error::msg)?,
            ..SelectOptions::default()
        };
        let device = select::open(&options)?.device;
        let config = model.config.clone();
        let transformer = Transformer::load(&device, &model.file, config, &mut |_| Ok(()))?;
        Ok(Rig {
            model,
            device,
            transformer,
            ids,
        })
    }

    fn write(&self, folder: &Path) -> Result<Value> {
        let (config, name) = (&self.model.config, &self.model.name);
        let (lora, prefix) = (self.random_lora(), self.random_prefix());
        std::fs::create_dir_all(folder)?;
        let gguf = folder.join("lora.gguf");
        gguf_adapter::save(&gguf, &lora, config, name, Default::default())?;
        let [base, with_lora, with_prefix] = [
            self.score(None)?,
            self.score(Some(&lora))?,
            self.score(Some(&prefix))?,
        ];
        peft::save(&folder.join("lora"), &Content::new(lora), config, name)?;
        peft::save(&folder.join("prefix"), &Content::new(prefix), config, name)?;
        Ok(json!({"ids": self.ids, "base": base, "lora": with_lora, "prefix": with_prefix}))
    }

    fn read(&self, place: &Path) -> Result<Value> {
        let content = if place.is_dir() {
            peft::load(place, &self.model.config)?
        } else {
            Content::new(gguf_adapter::load(place, &self.model.config)?)
        };
        let scores = self.score(Some(&*content))?;
        Ok(json!({"ids": self.ids, "adapter": scores}))
    }

    fn score(&self, memory: Option<&dyn Kind>) -> Result<Vec<f64>> {
        let room = self.ids.len() + memory.map_or(0, Kind::positions);
        let options = SessionOptions::default();
        let mut session = Session::new(&self.device, &self.transformer, room, options)?;
        if let Some(memory) = memory {
            memory.enter(&mut session)?;
        }
        let scores = session.score(&self.ids, &mut |_, _| {})?;
        Ok(scores.iter().map(|s| s.logprob).collect())
    }

    /// On every projection, with a B that is not zero.
    fn random_lora(&self) -> Lora {
        let config = LoraConfig {
            rank: 6,
            alpha: 9.0,
            targets: Projection::ALL.to_vec(),
        };
        let mut lora = Lora::new(&self.model.config, config, SEED);
        let mut random = Pcg64Mcg::seed_from_u64(SEED);
        for value in lora.matrices.iter_mut().flat_map(|m| &mut m.b) {
            *value = random.random_range(-B_BOUND..B_BOUND);
        }
        lora
    }

    fn random_prefix(&self) -> Prefix {
        let mut random = Pcg64Mcg::seed_from_u64(SEED);
        let hidden = self.model.config.hidden;
        let values =
            (0..PREFIX_ROWS * hidden).map(|_| random.random_range(-PREFIX_BOUND..PREFIX_BOUND));
        Prefix {
            rows: PREFIX_ROWS,
            hidden,
            values: values.collect(),
        }
    }
}
