//! Finding adapters and opening one.

use wgpu::{Adapter, AdapterInfo, Backend, Backends, DeviceType, Features, Limits};

use super::tier::{Matrices, Precision, Tier, TierCap, is_software};
use super::variant::PORTABLE_WORKGROUP_BYTES;
use super::{OpenOptions, SelfTest};
use crate::engine::device::Device;
use crate::engine::error::{EngineError, Result};
use crate::engine::system::memory_in_all;

/// Features used where they are there.
const WANTED: Features = Features::SUBGROUP
    .union(Features::SHADER_F16)
    .union(Features::TIMESTAMP_QUERY)
    .union(Features::PIPELINE_CACHE)
    .union(Features::EXPERIMENTAL_COOPERATIVE_MATRIX);

/// Which adapter to open.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Choice {
    /// A discrete GPU, else an integrated one. Never a software rasteriser.
    #[default]
    Auto,
    /// The adapter at this place of [`list_adapters`].
    Index(usize),
    /// The first adapter whose name contains this, in any case.
    Name(String),
}

/// What kind of machine an adapter is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AdapterKind {
    /// A card with memory of its own.
    Discrete,
    /// A GPU that shares the processor's memory.
    Integrated,
    /// A GPU that a virtual machine passes on.
    Virtual,
    /// A rasteriser on the processor, such as llvmpipe.
    Software,
    /// The driver does not say.
    Unknown,
}

impl AdapterKind {
    /// The kind in words, such as `discrete GPU`.
    pub fn name(self) -> &'static str {
        match self {
            AdapterKind::Discrete => "discrete GPU",
            AdapterKind::Integrated => "integrated GPU",
            AdapterKind::Virtual => "virtual GPU",
            AdapterKind::Software => "software rasteriser",
            AdapterKind::Unknown => "unknown",
        }
    }

    fn of(info: &AdapterInfo) -> AdapterKind {
        match info.device_type {
            _ if is_software(info) => AdapterKind::Software,
            DeviceType::DiscreteGpu => AdapterKind::Discrete,
            DeviceType::IntegratedGpu => AdapterKind::Integrated,
            DeviceType::VirtualGpu => AdapterKind::Virtual,
            _ => AdapterKind::Unknown,
        }
    }
}

/// An adapter of this machine, as `inscribe devices` shows it.
#[derive(Clone, Debug)]
pub struct AdapterReport {
    /// Place in [`list_adapters`], from 0; what [`Choice::Index`] takes.
    pub index: usize,
    /// Name that the driver gives the adapter.
    pub name: String,
    /// `vulkan`, `metal` or `dx12`.
    pub backend: String,
    /// Name and version of the driver, as far as it gives them.
    pub driver: String,
    /// What kind of machine the adapter is.
    pub kind: AdapterKind,
    /// Capabilities that kernels can use on the adapter.
    pub tier: Tier,
    /// Cooperative matrices, which fast products use where nothing keeps them from it.
    pub matrices: Option<Matrices>,
    /// Whether kernels can be timed one by one.
    pub timestamps: bool,
    /// Bytes one binding may have; larger weights are split.
    pub max_binding_bytes: u64,
    /// Bytes one buffer may have.
    pub max_buffer_bytes: u64,
    /// Bytes of its memory, where that can be known.
    pub memory_bytes: Option<u64>,
    /// Whether [`Choice::Auto`] takes it.
    pub automatic: bool,
}

impl AdapterReport {
    /// The same report after opening the adapter and testing its cooperative matrices.
    pub fn tested(mut self, self_test: SelfTest) -> AdapterReport {
        let Some(matrices) = self.matrices.as_mut().filter(|m| m.obstacle.is_none()) else {
            return self;
        };
        let opened = Device::open_gpu(&OpenOptions {
            choice: Choice::Index(self.index),
            precision: Precision::Fast,
            self_test: Some(self_test),
            cap: TierCap::from_env(),
            ..OpenOptions::default()
        });
        matrices.obstacle = match opened {
            Ok(Device::Gpu(gpu)) => gpu.matrices().and_then(|m| m.obstacle.clone()),
            Ok(Device::Cpu(_)) => None,
            Err(error) => Some(error.to_string()),
        };
        if matrices.obstacle.is_some() {
            self.tier.cooperative_matrix = None;
        }
        self
    }
}

/// Every adapter of this machine, with what it would run at `precision`.
pub fn list_adapters(precision: Precision) -> Vec<AdapterReport> {
    let adapters = enumerate(&instance(false));
    let (automatic, cap) = (automatic(&adapters), TierCap::from_env());
    adapters
        .iter()
        .enumerate()
        .map(|(index, adapter)| {
            let (info, limits) = (adapter.get_info(), limits(adapter, cap));
            let features = features(adapter, cap);
            let (tier, matrices) = Tier::new(adapter, features, &limits, precision, cap);
            AdapterReport {
                index,
                name: info.name.clone(),
                backend: info.backend.to_str().to_owned(),
                driver: driver(&info),
                kind: AdapterKind::of(&info),
                tier,
                matrices,
                timestamps: adapter.features().contains(Features::TIMESTAMP_QUERY),
                max_binding_bytes: limits.max_storage_buffer_binding_size,
                max_buffer_bytes: limits.max_buffer_size,
                memory_bytes: memory_bytes(adapter),
                automatic: Some(index) == automatic,
            }
        })
        .collect()
}

/// The adapter a choice names.
pub(super) fn find(choice: &Choice, checked: bool) -> Result<Adapter> {
    let mut adapters = enumerate(&instance(checked));
    let index = match choice {
        Choice::Auto => automatic(&adapters).ok_or_else(|| EngineError::NoAdapter {
            detail: match adapters.as_slice() {
                [] => "no driver answered".to_owned(),
                _ => format!(
                    "none of these is a discrete or an integrated GPU, and software is only used \
                     when its number or name is given: {}",
                    names(&adapters)
                ),
            },
        })?,
        Choice::Index(index) => *index,
        Choice::Name(name) => {
            let name = name.to_lowercase();
            adapters
                .iter()
                .position(|a| full_name(&a.get_info()).to_lowercase().contains(&name))
                .unwrap_or(usize::MAX)
        }
    };
    if index < adapters.len() {
        return Ok(adapters.swap_remove(index));
    }
    Err(EngineError::UnknownDevice {
        wanted: match choice {
            Choice::Auto => "auto".to_owned(),
            Choice::Index(index) => index.to_string(),
            Choice::Name(name) => name.clone(),
        },
        available: if adapters.is_empty() {
            "cpu".to_owned()
        } else {
            format!("cpu, {}", names(&adapters))
        },
    })
}

/// What an adapter is called in messages.
pub(super) fn full_name(info: &AdapterInfo) -> String {
    format!("{} ({})", info.name.trim(), info.backend.to_str())
}

/// The features to open an adapter with.
pub(super) fn features(adapter: &Adapter, cap: TierCap) -> Features {
    let mut features = adapter.features() & WANTED;
    if cap < TierCap::Full {
        features =
            features.difference(Features::SHADER_F16 | Features::EXPERIMENTAL_COOPERATIVE_MATRIX);
    }
    if cap < TierCap::Subgroups {
        features = features.difference(Features::SUBGROUP);
    }
    features
}

/// The limits to open an adapter with: its own, as far as the cap allows.
pub(super) fn limits(adapter: &Adapter, cap: TierCap) -> Limits {
    let mut limits = adapter.limits();
    if cap < TierCap::Subgroups {
        limits.max_compute_workgroup_storage_size = PORTABLE_WORKGROUP_BYTES;
    }
    limits
}

/// Opens an adapter.
pub(super) fn open(
    adapter: &Adapter,
    features: Features,
    limits: &Limits,
) -> Result<(wgpu::Device, wgpu::Queue)> {
    // SAFETY: the only experimental feature asked for is cooperative matrices, whose shaders here
    // load and store inside their arrays only.
    let experimental = unsafe { wgpu::ExperimentalFeatures::enabled() };
    pollster::block_on(adapter.request_device(&wgpu::DeviceDescriptor {
        label: Some("inscribe"),
        required_features: features,
        required_limits: limits.clone(),
        experimental_features: experimental,
        memory_hints: wgpu::MemoryHints::MemoryUsage,
        trace: wgpu::Trace::Off,
    }))
    .map_err(|error| EngineError::Gpu {
        device: full_name(&adapter.get_info()),
        detail: format!("cannot be opened: {error}; update its driver"),
    })
}

fn instance(checked: bool) -> wgpu::Instance {
    let mut descriptor = wgpu::InstanceDescriptor::new_without_display_handle();
    descriptor.backends = Backends::PRIMARY.with_env();
    descriptor.flags = if checked {
        wgpu::InstanceFlags::VALIDATION
    } else {
        wgpu::InstanceFlags::empty()
    };
    wgpu::Instance::new(descriptor)
}

fn enumerate(instance: &wgpu::Instance) -> Vec<Adapter> {
    pollster::block_on(instance.enumerate_adapters(Backends::all()))
}

fn automatic(adapters: &[Adapter]) -> Option<usize> {
    [DeviceType::DiscreteGpu, DeviceType::IntegratedGpu]
        .iter()
        .find_map(|kind| {
            adapters
                .iter()
                .position(|a| a.get_info().device_type == *kind)
        })
}

fn names(adapters: &[Adapter]) -> String {
    let names: Vec<String> = adapters
        .iter()
        .enumerate()
        .map(|(i, a)| format!("{i}: {}", full_name(&a.get_info())))
        .collect();
    names.join(", ")
}

fn driver(info: &AdapterInfo) -> String {
    format!("{} {}", info.driver, info.driver_info)
        .trim()
        .to_owned()
}

/// The largest device-local heap, on Vulkan; elsewhere what an adapter that has the machine's
/// memory may use of it.
pub(super) fn memory_bytes(adapter: &Adapter) -> Option<u64> {
    let info = adapter.get_info();
    if info.backend == Backend::Vulkan {
        return vulkan_memory_bytes(adapter);
    }
    // macOS recommends a working set of two thirds of a small machine's memory to three quarters of
    // a large one's, and Windows lends half of the memory to integrated adapters.
    let (part, of) = if info.backend == Backend::Metal {
        (2, 3)
    } else {
        (1, 2)
    };
    shares_memory(&info).then(|| memory_in_all() / of * part)
}

/// Whether what the adapter holds comes out of the machine's own memory.
pub(super) fn shares_memory(info: &AdapterInfo) -> bool {
    let kind = AdapterKind::of(info);
    matches!(kind, AdapterKind::Integrated | AdapterKind::Software)
}

#[cfg(not(target_vendor = "apple"))]
fn vulkan_memory_bytes(adapter: &Adapter) -> Option<u64> {
    const DEVICE_LOCAL: u32 = 1;
    // SAFETY: the handles are only used for a query while the adapter lives.
    let properties = unsafe {
        let vulkan = adapter.as_hal::<wgpu::hal::api::Vulkan>()?;
        vulkan
            .shared_instance()
            .raw_instance()
            .get_physical_device_memory_properties(vulkan.raw_physical_device())
    };
    properties
        .memory_heaps
        .iter()
        .take(properties.memory_heap_count as usize)
        .filter(|heap| heap.flags.as_raw() & DEVICE_LOCAL != 0)
        .map(|heap| heap.size)
        .max()
}

#[cfg(target_vendor = "apple")]
fn vulkan_memory_bytes(_: &Adapter) -> Option<u64> {
    None
}
