//! What several test crates share: adapters, tiny models and calls of the program.

#![allow(dead_code, reason = "each crate uses a part of it")]

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::AtomicBool;

use inscribe::engine::Device;
use inscribe::engine::gpu::{Choice, OpenOptions, TierCap};
use inscribe::model::hub::{PullEvent, Puller, Watch, default_model};
use inscribe::model::transformer::Transformer;
use inscribe::model::weights::WeightFile;

pub fn cpu() -> &'static Device {
    static CPU: OnceLock<Device> = OnceLock::new();
    CPU.get_or_init(|| Device::cpu(2))
}

/// The adapter under test, as `--device` takes it: that which `INSCRIBE_TEST_ADAPTER` names (a
/// number or a part of its name), else the first, software rasterisers included.
pub fn adapter() -> String {
    std::env::var("INSCRIBE_TEST_ADAPTER").unwrap_or_else(|_| "0".to_owned())
}

pub fn choice() -> Choice {
    let name = adapter();
    name.parse().map_or(Choice::Name(name), Choice::Index)
}

/// The adapter under test with checks in its shaders. Tests fail where there is none.
pub fn open(options: OpenOptions) -> Device {
    let options = OpenOptions {
        choice: choice(),
        checked: true,
        ..options
    };
    Device::open_gpu(&options).unwrap_or_else(|e| {
        panic!("these tests need an adapter, if only llvmpipe (Debian: mesa-vulkan-drivers): {e}")
    })
}

/// The adapter under test with the shaders that a GPU of a tier runs.
pub fn gpu(cap: TierCap) -> &'static Device {
    static GPUS: [OnceLock<Device>; 3] = [const { OnceLock::new() }; 3];
    GPUS[cap as usize].get_or_init(|| {
        open(OpenOptions {
            cap,
            ..OpenOptions::default()
        })
    })
}

pub fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden")
        .join(name)
}

/// The file or folder of a tiny model.
pub fn tiny(name: &str) -> PathBuf {
    golden("tiny").join(name)
}

/// The weights of a tiny model.
pub fn load(device: &Device, name: &str) -> Transformer {
    load_at(device, &tiny(name))
}

pub fn load_at(device: &Device, path: &Path) -> Transformer {
    let file = WeightFile::open(path).expect("a model");
    let config = file.config().expect("a config");
    Transformer::load(device, &file, config, &mut |_| Ok(())).expect("weights")
}

/// The default model's file, fetched where the cache does not hold it yet.
pub fn smollm2() -> &'static Path {
    static FILE: OnceLock<PathBuf> = OnceLock::new();
    FILE.get_or_init(|| {
        let never = AtomicBool::new(false);
        let mut silent = |_: &PullEvent<'_>| {};
        let puller = Puller::from_env().expect("a cache folder");
        let path = puller.known(default_model(), &mut Watch::new(&never, &mut silent));
        path.expect("the default model, from the cache or the network")
    })
}

/// A call of the program that reads nothing from the test's own input.
pub fn program(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_inscribe"));
    command.args(args).stdin(Stdio::null());
    command
}
