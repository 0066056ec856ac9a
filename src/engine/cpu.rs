//! The CPU executor: runs each kernel's twin over slices.

use std::cell::UnsafeCell;
use std::ops::Range;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use bytemuck::Pod;
use memmap2::Mmap;

use super::DType;
use super::copies::{Copies, Slot, Source};
use super::device::{Program, RunOptions};
use super::error::{EngineError, Result, mib};
use super::joining::{joining, weight_in_time};
use super::plan::Plan;
use super::recording::{Access, Dispatch, Op, Recording};
use super::system::{LARGE_BYTES, memory_available, memory_in_all};
use super::tensor::{Buffer, Place, Tensor};
use super::view::{Mat, MatMut, Rows};

pub use super::team::Team;

/// The most threads of an executor: more than any machine has cores, and each costs memory.
const MOST_THREADS: usize = 1024;
/// Second copies of weights may take the machine's memory divided by this.
const COPIES_SHARE: u64 = 4;

/// Memory of the CPU executor: its own, or pages of a mapped model file.
pub enum CpuBuffer {
    /// Memory that the executor allocated.
    Owned(OwnedMemory),
    /// A weight read straight from a mapped model file.
    Mapped {
        /// The mapped file.
        map: Arc<Mmap>,
        /// The weight's bytes within the file.
        range: Range<usize>,
        /// Where the weight's second copy is kept, if a kernel makes one.
        copy: Slot,
    },
}

/// Zeroed memory on a 64-byte boundary.
pub struct OwnedMemory {
    lines: UnsafeCell<Vec<Line>>,
    bytes: usize,
    copy: Slot,
    /// The lock of the device that made it, without which nobody may touch it.
    exclusive: Arc<Mutex<()>>,
}

#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C, align(64))]
struct Line([u64; 8]);

// SAFETY: an executor reaches the memory only while it holds its `exclusive` lock, and only if that
// lock is this memory's.
unsafe impl Sync for OwnedMemory {}

impl OwnedMemory {
    fn new(bytes: usize, exclusive: &Arc<Mutex<()>>) -> Option<OwnedMemory> {
        let mut lines = Vec::new();
        lines.try_reserve_exact(bytes.div_ceil(64)).ok()?;
        lines.resize(bytes.div_ceil(64), Line([0; 8]));
        Some(OwnedMemory {
            lines: UnsafeCell::new(lines),
            bytes,
            copy: Slot::new(),
            exclusive: exclusive.clone(),
        })
    }

    fn pointer(&self) -> *mut u8 {
        // SAFETY: the vector is never resized, so reading its pointer races with nothing.
        unsafe { (*self.lines.get()).as_mut_ptr().cast() }
    }
}

impl CpuBuffer {
    /// No memory, of no device: for tensors that are planned and never touched.
    pub(super) fn none() -> CpuBuffer {
        CpuBuffer::Owned(OwnedMemory {
            lines: UnsafeCell::new(Vec::new()),
            bytes: 0,
            copy: Slot::new(),
            exclusive: Arc::default(),
        })
    }

    /// Size in bytes.
    pub fn bytes(&self) -> usize {
        match self {
            CpuBuffer::Owned(memory) => memory.bytes,
            CpuBuffer::Mapped { range, .. } => range.len(),
        }
    }

    /// Where its second copy is kept, if it holds a weight.
    fn copy(&self) -> &Slot {
        match self {
            CpuBuffer::Owned(memory) => &memory.copy,
            CpuBuffer::Mapped { copy, .. } => copy,
        }
    }

    /// Start of the memory. What it points to may be written only in an `Owned` buffer.
    fn pointer(&self) -> *mut u8 {
        match self {
            CpuBuffer::Owned(memory) => memory.pointer(),
            CpuBuffer::Mapped { map, range, .. } => map[range.clone()].as_ptr().cast_mut(),
        }
    }
}

/// One launch as a twin sees it.
pub struct CpuCall<'a> {
    views: Vec<Option<CpuView<'a>>>,
    params: &'a [u8],
    others: Vec<CpuCall<'a>>,
}

impl<'a> CpuCall<'a> {
    /// The kernel's own parameters.
    pub fn params<P: Pod>(&self) -> P {
        bytemuck::pod_read_unaligned(self.params)
    }

    /// Takes the launches that join this one, where the kernel asks for them.
    pub fn take_others(&mut self) -> Vec<CpuCall<'a>> {
        std::mem::take(&mut self.others)
    }

    /// Takes a binding's view; `None` where an optional one is absent.
    pub fn take(&mut self, index: usize) -> Option<CpuView<'a>> {
        self.views[index].take()
    }

    /// Takes a read binding of plain elements that is always bound.
    pub fn mat<T: Pod>(&mut self, index: usize) -> Mat<'a, T> {
        self.take(index)
            .expect("a required binding is always bound")
            .mat()
    }

    /// Takes a written binding that is always bound.
    pub fn mat_mut(&mut self, index: usize) -> MatMut<'a> {
        self.take(index)
            .expect("a required binding is always bound")
            .mat_mut()
    }

    /// Takes a weight.
    pub fn rows(&mut self, index: usize) -> Rows<'a> {
        self.take(index)
            .expect("a required binding is always bound")
            .rows()
    }
}

enum Bytes<'a> {
    Shared(&'a [u8]),
    Exclusive(&'a mut [u8]),
}

/// One binding of a launch as a twin sees it.
pub struct CpuView<'a> {
    dtype: DType,
    rows: usize,
    cols: usize,
    stride: usize,
    bytes: Bytes<'a>,
    copy: Option<Source<'a>>,
}

impl<'a> CpuView<'a> {
    /// The view as a read-only matrix. `T` has to be the view's element type.
    pub fn mat<T: Pod>(self) -> Mat<'a, T> {
        assert!(self.dtype.is_plain() && size_of::<T>() == self.dtype.block_bytes());
        let data: &'a [u8] = match self.bytes {
            Bytes::Shared(bytes) => bytes,
            Bytes::Exclusive(bytes) => bytes,
        };
        Mat {
            data: bytemuck::cast_slice(data),
            rows: self.rows,
            cols: self.cols,
            stride: self.stride,
        }
    }

    /// The view as a matrix of `f32` to write. The kernel must have declared that it writes the
    /// binding.
    pub fn mat_mut(self) -> MatMut<'a> {
        let (rows, cols, stride) = (self.rows, self.cols, self.stride);
        MatMut::new(self.slice_mut(), rows, cols, stride)
    }

    /// The memory under the view, gaps between rows included, to write. `T` has to be the view's
    /// element type.
    pub fn slice_mut<T: Pod>(self) -> &'a mut [T] {
        assert!(self.dtype.is_plain() && size_of::<T>() == self.dtype.block_bytes());
        match self.bytes {
            Bytes::Exclusive(bytes) => bytemuck::cast_slice_mut(bytes),
            Bytes::Shared(_) => unreachable!("a kernel writes a binding it declared read-only"),
        }
    }

    /// The view as rows of a weight, plain or quantised, as files hold them.
    pub fn rows(self) -> Rows<'a> {
        let row_bytes = self
            .dtype
            .row_bytes(self.stride)
            .expect("whole blocks, checked at upload");
        let data: &'a [u8] = match self.bytes {
            Bytes::Shared(bytes) => bytes,
            Bytes::Exclusive(bytes) => bytes,
        };
        Rows {
            dtype: self.dtype,
            data,
            rows: self.rows,
            cols: self.cols,
            row_bytes,
            copy: self.copy,
        }
    }
}

/// Runs recordings on the processor.
pub struct CpuDevice {
    /// The processor's name and the number of threads, for messages.
    pub name: String,
    team: Team,
    copies: Copies,
    /// Lock held by whoever touches owned buffers.
    exclusive: Arc<Mutex<()>>,
}

impl CpuDevice {
    /// An executor with `threads` threads, or one for each core where 0.
    pub fn new(threads: usize) -> CpuDevice {
        let cores = std::thread::available_parallelism().map_or(1, |n| n.get());
        let threads = if threads == 0 {
            cores
        } else {
            threads.min(MOST_THREADS)
        };
        let team = Team::new(threads);
        CpuDevice {
            name: cpu_name(team.threads()),
            team,
            copies: Copies::new(memory_in_all() / COPIES_SHARE),
            exclusive: Arc::default(),
        }
    }

    /// Threads that run kernels, the calling one included.
    pub fn threads(&self) -> usize {
        self.team.threads()
    }

    /// Bytes of memory that the system can still give.
    pub fn available_bytes(&self) -> u64 {
        memory_available()
    }

    /// Zeroed memory. `what` says in an error what it was for.
    pub fn alloc(&self, bytes: u64, what: &str) -> Result<Buffer> {
        // Large requests are held against what is free: a system that promises more than it has
        // would otherwise end the process when the memory is first touched.
        let refused = bytes > LARGE_BYTES && bytes > self.available_bytes();
        let size = usize::try_from(bytes).ok().filter(|_| !refused);
        let memory = size
            .and_then(|size| OwnedMemory::new(size, &self.exclusive))
            .ok_or_else(|| EngineError::OutOfMemory {
                device: self.name.clone(),
                what: what.to_owned(),
                wanted_mib: mib(bytes),
            })?;
        Ok(Buffer::Cpu(Arc::new(CpuBuffer::Owned(memory))))
    }

    /// Uses a mapped file's pages in place; copies them where their alignment does not allow it.
    pub fn map(&self, map: &Arc<Mmap>, range: Range<usize>, dtype: DType) -> Result<Buffer> {
        let align = if dtype.is_plain() {
            dtype.block_bytes()
        } else {
            1
        };
        let bytes = &map[range.clone()];
        if (bytes.as_ptr() as usize).is_multiple_of(align) {
            return Ok(Buffer::Cpu(Arc::new(CpuBuffer::Mapped {
                map: map.clone(),
                range,
                copy: Slot::new(),
            })));
        }
        let buffer = self.alloc(range.len() as u64, "a weight")?;
        self.write(&buffer, 0, bytes);
        Ok(buffer)
    }

    /// Copies `bytes` into a buffer, from byte `offset` on.
    pub fn write(&self, buffer: &Buffer, offset: u64, bytes: &[u8]) {
        let memory = self.own(buffer);
        let CpuBuffer::Owned(owned) = &**memory else {
            unreachable!("mapped weights are never written")
        };
        let offset = offset as usize;
        assert!(
            offset + bytes.len() <= owned.bytes,
            "write outside the buffer"
        );
        assert!(owned.copy.get().is_none(), "a weight in use is written");
        let _exclusive = self.exclusive.lock().unwrap_or_else(|e| e.into_inner());
        // SAFETY: in bounds by the assertion, exclusive by the lock.
        unsafe {
            let target = memory.pointer().add(offset);
            target.copy_from_nonoverlapping(bytes.as_ptr(), bytes.len());
        }
    }

    /// The bytes of a range of a buffer.
    pub fn read(&self, buffer: &Buffer, range: Range<u64>) -> Vec<u8> {
        let memory = self.own(buffer);
        let range = range.start as usize..range.end as usize;
        assert!(
            range.start <= range.end && range.end <= memory.bytes(),
            "read outside the buffer"
        );
        let _exclusive = self.exclusive.lock().unwrap_or_else(|e| e.into_inner());
        // SAFETY: in bounds by the assertion; nobody writes while the lock is held.
        unsafe {
            std::slice::from_raw_parts(memory.pointer().add(range.start), range.len()).to_vec()
        }
    }

    /// Runs a prepared recording; stops between kernels when cancelled.
    pub fn run(&self, program: &Program, options: &RunOptions<'_>) -> Result<()> {
        let _exclusive = self.exclusive.lock().unwrap_or_else(|e| e.into_inner());
        let mut part = "";
        let ops = &program.recording.ops;
        let mut next = 0;
        while let Some(op) = ops.get(next) {
            next += 1;
            options.check_cancelled()?;
            match op {
                Op::Mark(name) => part = name,
                Op::Copy { src, dst } => self.copy(program, src, dst),
                Op::Dispatch(dispatch) => {
                    let others = joining(program, dispatch, &ops[next..]);
                    next += others.len();
                    let started = options.profile.map(|_| Instant::now());
                    self.launch(program, dispatch, &others);
                    if let (Some(profile), Some(started)) = (options.profile, started) {
                        let secs = started.elapsed().as_secs_f64();
                        let all = || std::iter::once(dispatch).chain(others.iter().copied());
                        let whole: f64 = all().map(weight_in_time).sum();
                        for dispatch in all() {
                            let share = match others.len() {
                                0 => 1.0,
                                _ => weight_in_time(dispatch) / whole,
                            };
                            profile.add(part, dispatch, secs * share);
                        }
                    }
                }
            }
        }
        Ok(())
    }

    fn launch(&self, program: &Program, dispatch: &Dispatch, others: &[&Dispatch]) {
        let mut call = self.call(program, dispatch, None);
        call.others = others
            .iter()
            .map(|other| self.call(program, other, Some(dispatch)))
            .collect();
        (dispatch.kernel.cpu)(&self.team, call);
    }

    /// A launch as its twin sees it, without what the one that it joins writes.
    fn call<'a>(
        &'a self,
        program: &'a Program,
        dispatch: &'a Dispatch,
        joined: Option<&Dispatch>,
    ) -> CpuCall<'a> {
        let follows = joined.filter(|first| dispatch.follows(first));
        let written = |name| {
            follows.is_some_and(|first| {
                let mut bindings = first.kernel.bindings.iter();
                bindings.any(|own| own.name == name && own.access != Access::Read)
            })
        };
        let views = dispatch.views.iter().zip(dispatch.kernel.bindings);
        let views = views
            .map(|(view, binding)| {
                let view = view.as_ref().filter(|_| !written(binding.name));
                view.map(|tensor| {
                    // SAFETY: `run` holds the executor's lock, which `open` makes sure is the
                    // memory's; the recording has checked that a written view shares its place with
                    // no other view of this launch, and `joining` that it shares its memory with
                    // none of a launch that joins it, but for what is left out here.
                    unsafe { self.open(program, tensor, binding.access) }
                })
            })
            .collect();
        CpuCall {
            views,
            params: &dispatch.params,
            others: Vec::new(),
        }
    }

    /// # Safety
    /// No other reference to the view's memory may exist unless both are read-only.
    unsafe fn open<'a>(
        &'a self,
        program: &'a Program,
        tensor: &'a Tensor,
        access: Access,
    ) -> CpuView<'a> {
        let buffer = buffer_of(program, tensor);
        self.claim(buffer);
        let (start, len) = if tensor.dtype.is_plain() {
            let size = tensor.dtype.block_bytes();
            (
                tensor.offset.saturating_mul(size),
                tensor.span().saturating_mul(size),
            )
        } else {
            let row = tensor
                .dtype
                .row_bytes(tensor.stride)
                .expect("whole blocks, checked at upload");
            (
                (tensor.offset / tensor.stride.max(1)).saturating_mul(row),
                tensor.rows.saturating_mul(row),
            )
        };
        let inside = start.saturating_add(len) <= buffer.bytes();
        assert!(inside, "view outside its buffer");
        // SAFETY: in bounds by the assertion; exclusive where written by the caller's promise.
        // `Mapped` memory is never opened for writing: weights are only ever bound as `Read`.
        let bytes = unsafe {
            let first = buffer.pointer().add(start);
            match access {
                Access::Read => Bytes::Shared(std::slice::from_raw_parts(first, len)),
                Access::ReadWrite | Access::Write => {
                    assert!(
                        matches!(**buffer, CpuBuffer::Owned(_)),
                        "mapped weights are read-only"
                    );
                    Bytes::Exclusive(std::slice::from_raw_parts_mut(first, len))
                }
            }
        };
        let copy =
            (!tensor.dtype.is_plain() && matches!(tensor.place, Place::Buffer(_))).then(|| {
                Source {
                    copies: &self.copies,
                    slot: buffer.copy(),
                    // SAFETY: quantised weights are only ever bound as `Read`.
                    data: unsafe { std::slice::from_raw_parts(buffer.pointer(), buffer.bytes()) },
                    first_row: tensor.offset / tensor.stride.max(1),
                }
            });
        CpuView {
            dtype: tensor.dtype,
            rows: tensor.rows,
            cols: tensor.cols,
            stride: tensor.stride,
            bytes,
            copy,
        }
    }

    fn copy(&self, program: &Program, src: &Tensor, dst: &Tensor) {
        // SAFETY: `run` holds the lock and the recording checked that the two share no memory.
        let (src, dst) = unsafe {
            (
                self.open(program, src, Access::Read),
                self.open(program, dst, Access::Write),
            )
        };
        if let (Bytes::Shared(src), Bytes::Exclusive(dst)) = (src.bytes, dst.bytes) {
            dst.copy_from_slice(src);
        }
    }

    /// Panics for memory of another executor, which this one's lock does not guard.
    fn claim(&self, buffer: &CpuBuffer) {
        if let CpuBuffer::Owned(memory) = buffer {
            let own = Arc::ptr_eq(&memory.exclusive, &self.exclusive);
            assert!(own, "a tensor of another CPU device");
        }
    }

    fn own<'a>(&self, buffer: &'a Buffer) -> &'a Arc<CpuBuffer> {
        let memory = cpu_buffer(buffer);
        self.claim(memory);
        memory
    }

    /// Gives a recording's temporaries memory.
    pub fn prepare(&self, recording: Recording, plan: Plan, slots: Vec<Buffer>) -> Result<Program> {
        Ok(Program {
            recording,
            plan,
            slots,
            gpu: None,
        })
    }
}

fn cpu_buffer(buffer: &Buffer) -> &Arc<CpuBuffer> {
    match buffer {
        Buffer::Cpu(buffer) => buffer,
        Buffer::Gpu(_) => unreachable!("a GPU buffer was given to the CPU executor"),
    }
}

/// Where a tensor of a program lies.
pub(super) fn buffer_of<'a>(program: &'a Program, tensor: &'a Tensor) -> &'a Arc<CpuBuffer> {
    match &tensor.place {
        Place::Buffer(buffer) => cpu_buffer(buffer),
        Place::Temp(id) => cpu_buffer(program.slot(*id)),
    }
}

fn cpu_name(threads: usize) -> String {
    let system = sysinfo::System::new_with_specifics(
        sysinfo::RefreshKind::nothing().with_cpu(sysinfo::CpuRefreshKind::nothing()),
    );
    let brand = system
        .cpus()
        .first()
        .map(|cpu| cpu.brand().trim().to_owned())
        .unwrap_or_default();
    let brand = if brand.is_empty() {
        "processor".to_owned()
    } else {
        brand
    };
    format!(
        "CPU ({brand}, {threads} thread{})",
        if threads == 1 { "" } else { "s" }
    )
}
