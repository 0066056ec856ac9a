//! Which device a job runs on: a discrete GPU, else an integrated one, else the processor. A
//! software rasteriser only when it is named.

use std::path::PathBuf;

use super::device::Device;
use super::error::Result;
use super::gpu::{AdapterReport, Choice, OpenOptions, Precision, SelfTest, TierCap, list_adapters};

/// What a user asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum DeviceChoice {
    /// A discrete GPU, else an integrated one, else the processor.
    #[default]
    Auto,
    /// The processor.
    Cpu,
    /// The best GPU; an error where there is none.
    Gpu,
    /// The adapter at this place of the list.
    Index(usize),
    /// The first adapter whose name contains this.
    Named(String),
}

impl std::str::FromStr for DeviceChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Ok(match text.trim() {
            "" => return Err("name a device: auto, cpu, gpu, a number or a part of a name".into()),
            "auto" => DeviceChoice::Auto,
            "cpu" => DeviceChoice::Cpu,
            "gpu" => DeviceChoice::Gpu,
            other => match other.parse() {
                Ok(index) => DeviceChoice::Index(index),
                Err(_) => DeviceChoice::Named(other.to_owned()),
            },
        })
    }
}

/// How to open a device.
#[derive(Clone, Debug, Default)]
pub struct SelectOptions {
    /// Which device to open.
    pub choice: DeviceChoice,
    /// Threads of the processor's team; one for each core where 0.
    pub threads: usize,
    /// Whether products on a GPU may round their factors to 16 bits.
    pub precision: Precision,
    /// Test that cooperative matrices have to pass before they are used; without one they are not.
    pub self_test: Option<SelfTest>,
    /// Where compiled GPU pipelines are kept between starts.
    pub cache_dir: Option<PathBuf>,
}

/// A device and the reason it was taken.
pub struct Opened {
    /// The device, ready to use.
    pub device: Device,
    /// Why this device was taken, in words for people.
    pub why: String,
}

/// Opens a device. `auto` falls back to the processor where a GPU will not open.
pub fn open(options: &SelectOptions) -> Result<Opened> {
    let cpu = |why: String| Opened {
        device: Device::cpu(options.threads),
        why,
    };
    let gpu = |choice: Choice, why: String| {
        let open = OpenOptions {
            choice,
            precision: options.precision,
            self_test: options.self_test,
            cap: TierCap::from_env(),
            cache_dir: options.cache_dir.clone(),
            ..OpenOptions::default()
        };
        Device::open_gpu(&open).map(|device| Opened { device, why })
    };
    match &options.choice {
        DeviceChoice::Cpu => Ok(cpu("asked for".into())),
        DeviceChoice::Gpu => gpu(Choice::Auto, "asked for the best GPU".into()),
        DeviceChoice::Index(i) => gpu(Choice::Index(*i), "asked for by number".into()),
        DeviceChoice::Named(name) => {
            gpu(Choice::Name(name.clone()), format!("asked for as '{name}'"))
        }
        DeviceChoice::Auto => match automatic(&list_adapters(options.precision)) {
            (Some(index), why) => gpu(Choice::Index(index), why)
                .or_else(|error| Ok(cpu(format!("the GPU would not open: {error}")))),
            (None, why) => Ok(cpu(why)),
        },
    }
}

/// The adapter `auto` takes, if any, and why.
pub fn automatic(adapters: &[AdapterReport]) -> (Option<usize>, String) {
    match adapters.iter().find(|a| a.automatic) {
        Some(adapter) => {
            let others = adapters.iter().filter(|a| a.index != adapter.index).count();
            let kind = adapter.kind.name();
            let why = if others == 0 {
                format!("the {kind}")
            } else {
                format!("the best {kind}")
            };
            (Some(adapter.index), why)
        }
        None if adapters.is_empty() => (None, "no GPU adapter was found".into()),
        None => {
            let names: Vec<_> = adapters.iter().map(|a| a.name.as_str()).collect();
            (
                None,
                format!(
                    "none of these is a discrete or an integrated GPU: {}",
                    names.join(", ")
                ),
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_devices_are_read() {
        let read = |text: &str| text.parse::<DeviceChoice>();
        assert_eq!(read("auto"), Ok(DeviceChoice::Auto));
        assert_eq!(read("cpu"), Ok(DeviceChoice::Cpu));
        assert_eq!(read("gpu"), Ok(DeviceChoice::Gpu));
        assert_eq!(read("1"), Ok(DeviceChoice::Index(1)));
        assert_eq!(read("llvmpipe"), Ok(DeviceChoice::Named("llvmpipe".into())));
        assert!(read(" ").is_err());
    }

    #[test]
    fn the_processor_is_always_there() {
        let options = SelectOptions {
            choice: DeviceChoice::Cpu,
            ..SelectOptions::default()
        };
        let opened = open(&options).expect("no driver is needed");
        assert!(!opened.device.is_gpu());
        assert_eq!(automatic(&[]).0, None);
    }
}
