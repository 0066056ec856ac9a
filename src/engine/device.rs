//! One interface to both executors.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytemuck::Pod;
use memmap2::Mmap;

use super::DType;
use super::cpu::CpuDevice;
use super::error::{EngineError, Result};
use super::gpu::{GpuDevice, GpuProgram, OpenOptions};
use super::plan::{Plan, share};
use super::profile::Profile;
use super::recording::Recording;
use super::tensor::{Buffer, Place, TempId, Tensor, Weight};

/// Asks running work to stop. Clones share the request.
#[derive(Clone, Debug, Default)]
pub struct CancelToken(Arc<AtomicBool>);

impl CancelToken {
    /// A token that nothing has cancelled yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Asks whatever work checks this token or a clone of it to stop.
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Clears the request, so that work can go on after a stop.
    pub fn reset(&self) {
        self.0.store(false, Ordering::Relaxed);
    }

    /// Whether a stop was asked for and not reset since.
    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// An error if a stop was asked for.
    pub fn check(&self) -> Result<()> {
        if self.is_cancelled() {
            return Err(EngineError::Cancelled);
        }
        Ok(())
    }

    /// The flag itself, for code that knows nothing of the engine.
    pub fn flag(&self) -> &Arc<AtomicBool> {
        &self.0
    }
}

/// What a run of a program may be given besides the program.
#[derive(Clone, Copy, Default)]
pub struct RunOptions<'a> {
    /// What can stop the run before its end; `None` for a run that cannot be stopped.
    pub cancel: Option<&'a CancelToken>,
    /// Collects the time of each kernel, where it is measured; measuring slows the run down.
    pub profile: Option<&'a Profile>,
}

impl RunOptions<'_> {
    /// An error if the run was asked to stop.
    pub fn check_cancelled(&self) -> Result<()> {
        self.cancel.map_or(Ok(()), CancelToken::check)
    }
}

/// A recording with memory for its temporaries, ready to run any number of times.
pub struct Program {
    // Hidden, since executors trust that slots which are alive together are apart.
    pub(crate) recording: Recording,
    pub(crate) plan: Plan,
    pub(crate) slots: Vec<Buffer>,
    pub(crate) gpu: Option<GpuProgram>,
}

impl Program {
    /// The memory of a temporary.
    pub fn slot(&self, id: TempId) -> &Buffer {
        let slot = self.plan.slot_of[id.0 as usize].expect("a used temporary has a slot");
        &self.slots[slot]
    }
}

/// Memory that the programs of one job share: they never run at the same time.
#[derive(Default)]
pub struct Arena {
    buffers: Vec<Buffer>,
}

impl Arena {
    /// Without memory until a program needs some.
    pub fn new() -> Self {
        Self::default()
    }

    /// Bytes held so far.
    pub fn bytes(&self) -> u64 {
        self.buffers.iter().map(Buffer::bytes).sum()
    }

    /// A buffer for each size, from those held where one is big enough.
    fn slots(&mut self, device: &Device, sizes: &[u64]) -> Result<Vec<Buffer>> {
        let mut held: Vec<u64> = self.buffers.iter().map(Buffer::bytes).collect();
        let chosen = share(&mut held, sizes);
        for &size in &held[self.buffers.len()..] {
            self.buffers.push(device.alloc(size, "activations")?);
        }
        Ok(chosen
            .into_iter()
            .map(|b| self.buffers[b].clone())
            .collect())
    }
}

/// The machine a job runs on. Clones share it.
#[derive(Clone)]
pub enum Device {
    /// The processor.
    Cpu(Arc<CpuDevice>),
    /// A GPU, or a software rasteriser that wgpu shows as one.
    Gpu(Arc<GpuDevice>),
}

impl Device {
    /// The processor with `threads` threads, or one for each core where 0.
    pub fn cpu(threads: usize) -> Device {
        Device::Cpu(Arc::new(CpuDevice::new(threads)))
    }

    /// Opens a GPU. It uses cooperative matrices once they have passed the self-test.
    pub fn open_gpu(options: &OpenOptions) -> Result<Device> {
        let mut gpu = Arc::new(GpuDevice::open(options)?);
        if gpu.tier().cooperative_matrix.is_some() {
            let tested = match options.self_test {
                Some(self_test) => self_test(&Device::Gpu(gpu.clone())),
                None => Err("they were not tested".to_owned()),
            };
            if let Err(obstacle) = tested {
                let kept = || EngineError::Recording("the self-test kept the device".into());
                let own = Arc::get_mut(&mut gpu).ok_or_else(kept)?;
                own.refuse_matrices(obstacle);
            }
        }
        Ok(Device::Gpu(gpu))
    }

    /// The name to use in messages.
    pub fn name(&self) -> &str {
        match self {
            Device::Cpu(device) => &device.name,
            Device::Gpu(device) => device.name(),
        }
    }

    /// Whether recordings run through wgpu. True of software rasterisers too.
    pub fn is_gpu(&self) -> bool {
        matches!(self, Device::Gpu(_))
    }

    /// Whether this is a rasteriser on the processor, such as llvmpipe.
    pub fn is_software(&self) -> bool {
        matches!(self, Device::Gpu(device) if device.tier().software)
    }

    /// Bytes that can still be allocated, where that can be known.
    pub fn available_bytes(&self) -> Option<u64> {
        match self {
            Device::Cpu(device) => Some(device.available_bytes()),
            Device::Gpu(device) => device.available_bytes(),
        }
    }

    /// Bytes that one binding may have: larger tensors lie in several.
    pub fn max_binding_bytes(&self) -> u64 {
        match self {
            Device::Cpu(_) => u64::MAX,
            Device::Gpu(device) => device.max_binding_bytes(),
        }
    }

    /// Zeroed memory; `what` names it if there is not enough.
    pub fn alloc(&self, bytes: u64, what: &str) -> Result<Buffer> {
        match self {
            Device::Cpu(device) => device.alloc(bytes, what),
            Device::Gpu(device) => device.alloc(bytes, what),
        }
    }

    /// A zeroed dense tensor of plain elements.
    pub fn tensor(&self, dtype: DType, rows: usize, cols: usize, what: &str) -> Result<Tensor> {
        let bytes = (rows * cols * dtype.block_bytes()) as u64;
        let buffer = self.alloc(bytes, what)?;
        Ok(Tensor::dense(Place::Buffer(buffer), dtype, rows, cols))
    }

    /// A dense tensor holding `data`, one row.
    pub fn tensor_of<T: Pod>(&self, dtype: DType, data: &[T], what: &str) -> Result<Tensor> {
        assert_eq!(size_of::<T>(), dtype.block_bytes());
        let tensor = self.tensor(dtype, 1, data.len(), what)?;
        self.write(&tensor, data)?;
        Ok(tensor)
    }

    /// Replaces the elements of a dense tensor, which must be in a buffer, from its start on.
    pub fn write<T: Pod>(&self, tensor: &Tensor, data: &[T]) -> Result<()> {
        assert!(
            data.len() <= tensor.rows * tensor.cols,
            "more data than the tensor holds"
        );
        assert!(
            tensor.stride == tensor.cols || tensor.rows <= 1,
            "only dense tensors are written"
        );
        let Place::Buffer(buffer) = &tensor.place else {
            return Err(EngineError::Recording(
                "a temporary cannot be written from outside".into(),
            ));
        };
        let offset = (tensor.offset * tensor.dtype.block_bytes()) as u64;
        let bytes = bytemuck::cast_slice(data);
        match self {
            Device::Cpu(device) => {
                device.write(buffer, offset, bytes);
                Ok(())
            }
            Device::Gpu(device) => device.write(buffer, offset, bytes),
        }
    }

    /// The elements of a dense tensor, which must be in a buffer.
    pub fn read<T: Pod>(&self, tensor: &Tensor) -> Result<Vec<T>> {
        assert_eq!(size_of::<T>(), tensor.dtype.block_bytes());
        assert!(
            tensor.stride == tensor.cols || tensor.rows <= 1,
            "only dense tensors are read"
        );
        let Place::Buffer(buffer) = &tensor.place else {
            return Err(EngineError::Recording(
                "a temporary cannot be read from outside".into(),
            ));
        };
        let size = tensor.dtype.block_bytes();
        let start = (tensor.offset * size) as u64;
        let range = start..start + (tensor.span() * size) as u64;
        let bytes = match self {
            Device::Cpu(device) => device.read(buffer, range),
            Device::Gpu(device) => device.read(buffer, range)?,
        };
        Ok(bytemuck::pod_collect_to_vec(&bytes))
    }

    /// Puts a weight's rows on the device: mapped in place on the CPU, uploaded in the layout of
    /// [`DType::gpu_row_words`] on a GPU, in as many shards as its bindings need.
    pub fn weight(
        &self,
        map: &Arc<Mmap>,
        range: Range<usize>,
        dtype: DType,
        rows: usize,
        cols: usize,
        what: &str,
    ) -> Result<Weight> {
        let bytes = map.get(range.clone()).unwrap_or_default();
        check_bytes(bytes, dtype, rows, cols, what)?;
        match self {
            Device::Cpu(device) => {
                let buffer = device.map(map, range, dtype)?;
                Ok(Weight::whole(buffer, dtype, rows, cols))
            }
            Device::Gpu(device) => device.weight(bytes, dtype, rows, cols, what),
        }
    }

    /// As [`Device::weight`], for bytes that are not in a file.
    pub fn weight_of(
        &self,
        bytes: &[u8],
        dtype: DType,
        rows: usize,
        cols: usize,
        what: &str,
    ) -> Result<Weight> {
        check_bytes(bytes, dtype, rows, cols, what)?;
        match self {
            Device::Cpu(device) => {
                let buffer = device.alloc(bytes.len() as u64, what)?;
                device.write(&buffer, 0, bytes);
                Ok(Weight::whole(buffer, dtype, rows, cols))
            }
            Device::Gpu(device) => device.weight(bytes, dtype, rows, cols, what),
        }
    }

    /// Plans a recording's memory and, on a GPU, compiles its pipelines and binds its buffers.
    pub fn prepare(&self, recording: Recording, arena: &mut Arena) -> Result<Program> {
        let plan = Plan::new(&recording);
        let slots = arena.slots(self, &plan.slots)?;
        match self {
            Device::Cpu(device) => device.prepare(recording, plan, slots),
            Device::Gpu(device) => device.prepare(recording, plan, slots),
        }
    }

    /// Runs a prepared recording to its end.
    pub fn run(&self, program: &Program, options: &RunOptions<'_>) -> Result<()> {
        match self {
            Device::Cpu(device) => device.run(program, options),
            Device::Gpu(device) => device.run(program, options),
        }
    }

    /// Waits until all work has run: a GPU's `run` returns while its last slices still do.
    pub fn wait(&self) -> Result<()> {
        match self {
            Device::Cpu(_) => Ok(()),
            Device::Gpu(device) => device.wait(),
        }
    }

    /// Prepares and runs a recording once.
    pub fn run_once(&self, recording: Recording) -> Result<()> {
        let program = self.prepare(recording, &mut Arena::new())?;
        self.run(&program, &RunOptions::default())
    }
}

fn check_bytes(bytes: &[u8], dtype: DType, rows: usize, cols: usize, what: &str) -> Result<()> {
    let expected = dtype.row_bytes(cols).and_then(|b| b.checked_mul(rows));
    if expected == Some(bytes.len()) {
        return Ok(());
    }
    let detail = format!("{what}: its bytes do not match its shape");
    Err(EngineError::Recording(detail))
}
