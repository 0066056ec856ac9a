//! The GPU executor on wgpu: its own device, never a window's.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use wgpu::{Features, Limits};

mod adapter;
mod errors;
mod memory;
mod pace;
mod parts;
mod pipeline;
mod program;
pub mod shader;
mod submit;
mod tier;
mod timing;
mod variant;

pub use adapter::{AdapterKind, AdapterReport, Choice, list_adapters};
pub use memory::GpuBuffer;
pub use program::GpuProgram;
pub use tier::{COOPERATIVE_BYTES, Matrices, Precision, Tier, TierCap};
pub use variant::{Def, Needs, PORTABLE_WORKGROUP_BYTES, Variant};

use super::device::Device;
use super::error::Result;
use errors::Failures;
use pipeline::Pipelines;

/// Says of a device's fast products what is wrong with them, if anything is.
pub type SelfTest = fn(&Device) -> std::result::Result<(), String>;

/// How to open a GPU.
#[derive(Clone, Debug, Default)]
pub struct OpenOptions {
    /// Which adapter to open.
    pub choice: Choice,
    /// Whether products may round their factors to 16 bits.
    pub precision: Precision,
    /// Test that cooperative matrices have to pass before any product uses them; without one, none
    /// does.
    pub self_test: Option<SelfTest>,
    /// The most of the device's capabilities to use.
    pub cap: TierCap,
    /// Keeps bounds checks in shaders and asks the driver for validation: for tests.
    pub checked: bool,
    /// Bytes of one binding at most, if less than the device allows: for tests of shards.
    pub max_binding_bytes: Option<u64>,
    /// Bytes to give out at most, if less than the device has: for tests of running out.
    pub max_memory_bytes: Option<u64>,
    /// Seconds one submission aims at, if not 50 ms: for tests of slices.
    pub slice_secs: Option<f64>,
    /// Where compiled pipelines are kept between starts; nowhere if `None`.
    pub cache_dir: Option<PathBuf>,
}

/// An open GPU.
pub struct GpuDevice {
    device: wgpu::Device,
    queue: wgpu::Queue,
    features: Features,
    limits: Limits,
    tier: Tier,
    matrices: Option<Matrices>,
    memory_bytes: Option<u64>,
    /// Whether the device uses the machine's own memory.
    shares_memory: bool,
    /// Bytes of the buffers that are in use.
    given: Arc<memory::Given>,
    max_binding_bytes: u64,
    slice_secs: f64,
    failures: Failures,
    pipelines: Pipelines,
    staging: memory::Staging,
    /// A buffer that is bound in place of absent arguments.
    dummy: wgpu::Buffer,
    queued: Mutex<submit::Queued>,
}

impl GpuDevice {
    /// Opens an adapter, and fails where none fits the choice or the driver refuses.
    pub fn open(options: &OpenOptions) -> Result<GpuDevice> {
        let adapter = adapter::find(&options.choice, options.checked)?;
        let info = adapter.get_info();
        let features = adapter::features(&adapter, options.cap);
        let limits = adapter::limits(&adapter, options.cap);
        let (device, queue) = adapter::open(&adapter, features, &limits)?;
        let failures = Failures::watch(&device, &adapter::full_name(&info));
        let cache = options
            .cache_dir
            .as_ref()
            .filter(|_| features.contains(Features::PIPELINE_CACHE))
            .zip(wgpu::util::pipeline_cache_key(&info))
            .map(|(folder, key)| folder.join(key));
        let pipelines = Pipelines::new(&device, &failures, cache, options.checked)?;
        let (tier, matrices) =
            Tier::new(&adapter, features, &limits, options.precision, options.cap);
        let dummy = device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("absent"),
            size: 16,
            usage: wgpu::BufferUsages::STORAGE,
            mapped_at_creation: false,
        });
        let most = limits
            .max_storage_buffer_binding_size
            .min(limits.max_buffer_size);
        let memory = [adapter::memory_bytes(&adapter), options.max_memory_bytes];
        Ok(GpuDevice {
            queued: Mutex::new(submit::Queued::new(tier::is_software(&info))),
            memory_bytes: memory.into_iter().flatten().min(),
            shares_memory: adapter::shares_memory(&info),
            given: Arc::default(),
            max_binding_bytes: options.max_binding_bytes.map_or(most, |b| b.min(most)),
            slice_secs: options.slice_secs.unwrap_or(submit::SLICE_SECS),
            staging: memory::Staging::default(),
            device,
            queue,
            features,
            limits,
            tier,
            matrices,
            failures,
            pipelines,
            dummy,
        })
    }

    /// The adapter's name and backend.
    pub fn name(&self) -> &str {
        self.failures.device()
    }

    /// What the device can do, and how precisely it is asked to.
    pub fn tier(&self) -> &Tier {
        &self.tier
    }

    /// The cooperative matrices it has, and why they are not used where they are not.
    pub fn matrices(&self) -> Option<&Matrices> {
        self.matrices.as_ref()
    }

    /// Keeps products from using cooperative matrices from now on.
    pub(super) fn refuse_matrices(&mut self, obstacle: String) {
        self.tier.cooperative_matrix = None;
        if let Some(matrices) = &mut self.matrices {
            matrices.obstacle = Some(obstacle);
        }
    }

    /// Bytes of the device's own memory, where the driver says.
    pub fn memory_bytes(&self) -> Option<u64> {
        self.memory_bytes
    }

    /// Bytes one shard of a weight has at most.
    pub fn max_binding_bytes(&self) -> u64 {
        self.max_binding_bytes
    }

    /// Gives the device up: every later call fails with `DeviceLost`.
    pub fn destroy(&self) {
        self.device.destroy();
        // The callback that notes the loss runs while polling.
        let _ = self.device.poll(wgpu::PollType::Poll);
    }
}

impl Drop for GpuDevice {
    fn drop(&mut self) {
        self.pipelines.save();
    }
}
