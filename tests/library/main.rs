//! The library as other programs take it, and what its own house must keep to.

mod examples;
mod language_model;
mod layers;
mod own_method;
mod remembered;
mod training;

use std::path::PathBuf;

use inscribe::engine::select::{DeviceChoice, SelectOptions};
use inscribe::{Inscriber, WriteSettings};

fn golden(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden")
        .join(name)
}

fn document() -> String {
    golden("document.txt").display().to_string()
}

/// A tiny model on the processor.
fn tiny(name: &str) -> Inscriber {
    let model = golden("tiny").join(name).display().to_string();
    let device = SelectOptions {
        choice: DeviceChoice::Cpu,
        threads: 2,
        ..SelectOptions::default()
    };
    let opening = Inscriber::opening(&model).device(device);
    opening.run(&mut |_| {}).expect("a tiny model")
}

/// Few and small steps.
fn small(settings: WriteSettings) -> WriteSettings {
    WriteSettings {
        budget: 4,
        chunk: 64,
        window: 16,
        batch: 2,
        span: 8,
        ..settings
    }
}
