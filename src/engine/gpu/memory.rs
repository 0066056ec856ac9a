//! Buffers: making, filling and reading them, and laying out weights.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use wgpu::{BufferDescriptor, BufferUsages};

use super::GpuDevice;
use crate::engine::DType;
use crate::engine::error::{EngineError, Result, mib};
use crate::engine::system::{LARGE_BYTES, memory_available};
use crate::engine::tensor::{Buffer, Place, Shard, Tensor, Weight};

/// Device memory. Its size is a multiple of 16 bytes, so that whole vectors can be bound.
pub struct GpuBuffer {
    pub(super) buffer: wgpu::Buffer,
    bytes: u64,
    given: Arc<Given>,
}

/// Bytes a device has given out.
#[derive(Default)]
pub(super) struct Given {
    now: AtomicU64,
    most: AtomicU64,
}

impl Given {
    fn add(&self, bytes: u64) {
        let now = self.now.fetch_add(bytes, Ordering::Relaxed) + bytes;
        self.most.fetch_max(now, Ordering::Relaxed);
    }
}

impl Drop for GpuBuffer {
    fn drop(&mut self) {
        let size = self.buffer.size();
        self.given.now.fetch_sub(size, Ordering::Relaxed);
    }
}

impl GpuBuffer {
    /// Bytes as asked for.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }
}

/// Bytes uploaded before the device is given time to take them.
const UPLOAD_BYTES: usize = 16 << 20;

/// Staging buffers up to this size are kept for the next read.
const POOLED_BYTES: u64 = 1 << 20;

/// Staging buffers for reads.
#[derive(Default)]
pub(super) struct Staging {
    free: Mutex<Vec<wgpu::Buffer>>,
}

impl Staging {
    fn take(&self, device: &GpuDevice, bytes: u64) -> Result<wgpu::Buffer> {
        let mut free = self.free.lock().unwrap_or_else(|e| e.into_inner());
        let fitting = (0..free.len())
            .filter(|&i| free[i].size() >= bytes)
            .min_by_key(|&i| free[i].size());
        match fitting {
            Some(i) => Ok(free.swap_remove(i)),
            None => device.make_buffer(
                bytes.next_power_of_two().max(1024),
                BufferUsages::MAP_READ | BufferUsages::COPY_DST,
                "reading results",
            ),
        }
    }

    fn give_back(&self, buffer: wgpu::Buffer) {
        let mut free = self.free.lock().unwrap_or_else(|e| e.into_inner());
        if buffer.size() <= POOLED_BYTES && free.len() < 8 {
            free.push(buffer);
        }
    }
}

impl GpuDevice {
    /// The device's memory less what it has given out, where its size is known, and no more than
    /// the machine has free where it has none of its own. Other programs may hold some of it.
    pub fn available_bytes(&self) -> Option<u64> {
        let rest = self.not_given()?;
        Some(if self.shares_memory {
            rest.min(memory_available())
        } else {
            rest
        })
    }

    fn not_given(&self) -> Option<u64> {
        let given = self.given_bytes();
        self.memory_bytes.map(|all| all.saturating_sub(given))
    }

    /// Bytes of the buffers in use.
    pub fn given_bytes(&self) -> u64 {
        self.given.now.load(Ordering::Relaxed)
    }

    /// The most bytes that buffers in use ever had.
    pub fn most_given_bytes(&self) -> u64 {
        self.given.most.load(Ordering::Relaxed)
    }

    /// Zeroed memory; `what` names it if there is not enough.
    pub fn alloc(&self, bytes: u64, what: &str) -> Result<Buffer> {
        self.failures.check()?;
        let out_of_memory = || EngineError::OutOfMemory {
            device: self.name().to_owned(),
            what: what.to_owned(),
            wanted_mib: mib(bytes),
        };
        let size = bytes
            .max(16)
            .checked_next_multiple_of(16)
            .ok_or_else(out_of_memory)?;
        let most = if size > LARGE_BYTES {
            self.available_bytes()
        } else {
            self.not_given()
        };
        if most.is_some_and(|most| size > most) {
            return Err(out_of_memory());
        }
        if size > self.limits.max_buffer_size {
            return Err(EngineError::WillNotFit {
                device: self.name().to_owned(),
                what: what.to_owned(),
                needed_mib: mib(size),
                available_mib: self.limits.max_buffer_size >> 20,
                remedy: "that is the largest buffer this device allows: use a shorter text"
                    .to_owned(),
                advice: None,
            });
        }
        let usage = BufferUsages::STORAGE | BufferUsages::COPY_SRC | BufferUsages::COPY_DST;
        let buffer = self.make_buffer(size, usage, what)?;
        self.given.add(size);
        Ok(Buffer::Gpu(Arc::new(GpuBuffer {
            buffer,
            bytes,
            given: self.given.clone(),
        })))
    }

    pub(super) fn make_buffer(
        &self,
        size: u64,
        usage: BufferUsages,
        what: &str,
    ) -> Result<wgpu::Buffer> {
        let (buffer, error) = self.failures.scoped(&self.device, || {
            self.device.create_buffer(&BufferDescriptor {
                label: Some(what),
                size,
                usage,
                mapped_at_creation: false,
            })
        });
        self.failures.check()?;
        match error {
            None => Ok(buffer),
            Some(wgpu::Error::OutOfMemory { .. }) => Err(EngineError::OutOfMemory {
                device: self.name().to_owned(),
                what: what.to_owned(),
                wanted_mib: mib(size),
            }),
            Some(error) => Err(self.failures.typed(error, what)),
        }
    }

    /// Replaces bytes of a buffer, after the work submitted so far and before what follows.
    pub fn write(&self, buffer: &Buffer, offset: u64, bytes: &[u8]) -> Result<()> {
        self.failures.check()?;
        let gpu = own(buffer);
        assert!(
            offset + bytes.len() as u64 <= gpu.buffer.size(),
            "write outside the buffer"
        );
        let mut at = offset;
        for part in bytes.chunks(UPLOAD_BYTES) {
            // Copies are whole words; elements of two bytes are only ever uploaded as weights.
            self.queue.write_buffer(&gpu.buffer, at, part);
            at += part.len() as u64;
            if bytes.len() > UPLOAD_BYTES {
                self.flush_uploads()?;
            }
        }
        self.failures.check()
    }

    /// Bytes of a buffer, after all work submitted so far.
    pub fn read(&self, buffer: &Buffer, range: Range<u64>) -> Result<Vec<u8>> {
        self.failures.check()?;
        let gpu = own(buffer);
        assert!(
            range.start <= range.end && range.end <= gpu.buffer.size(),
            "read outside the buffer"
        );
        let mut bytes = Vec::with_capacity((range.end - range.start) as usize);
        let mut start = range.start;
        while start < range.end {
            let end = range.end.min(start + UPLOAD_BYTES as u64);
            self.read_part(gpu, start..end, &mut bytes)?;
            start = end;
        }
        Ok(bytes)
    }

    fn read_part(&self, gpu: &GpuBuffer, range: Range<u64>, out: &mut Vec<u8>) -> Result<()> {
        // Copies start and end on words.
        let first = range.start / 4 * 4;
        let len = (range.end - first).next_multiple_of(4);
        let staging = self.staging.take(self, len)?;
        let mut encoder = self.device.create_command_encoder(&Default::default());
        encoder.copy_buffer_to_buffer(&gpu.buffer, first, &staging, 0, len);
        let submission = self.queue.submit([encoder.finish()]);
        staging.map_async(wgpu::MapMode::Read, 0..len, |_| {});
        self.wait_for(&submission)?;
        self.failures.check()?;
        {
            let mapped = staging.get_mapped_range(0..len).map_err(|error| {
                self.failures.check().err().unwrap_or(EngineError::Gpu {
                    device: self.name().to_owned(),
                    detail: format!("reading back failed: {error}"),
                })
            })?;
            let skip = (range.start - first) as usize;
            out.extend_from_slice(&mapped[skip..skip + (range.end - range.start) as usize]);
        }
        staging.unmap();
        self.staging.give_back(staging);
        Ok(())
    }

    /// Uploads a weight's rows, in as many shards as bindings need.
    pub fn weight(
        &self,
        bytes: &[u8],
        dtype: DType,
        rows: usize,
        cols: usize,
        what: &str,
    ) -> Result<Weight> {
        let layout = RowLayout::new(dtype, cols);
        let rows_a_shard = (self.max_binding_bytes as usize / layout.gpu_bytes.max(1)).max(1);
        let mut shards = Vec::new();
        let mut first_row = 0;
        while first_row < rows || shards.is_empty() {
            let count = rows_a_shard.min(rows - first_row);
            let buffer = self.alloc((count * layout.gpu_bytes) as u64, what)?;
            let data = &bytes[first_row * layout.file_bytes..][..count * layout.file_bytes];
            self.upload_rows(&buffer, data, &layout)?;
            shards.push(Shard {
                first_row,
                tensor: Tensor {
                    place: Place::Buffer(buffer),
                    dtype,
                    rows: count,
                    cols,
                    stride: layout.stride,
                    offset: 0,
                },
            });
            first_row += count.max(1);
        }
        Ok(Weight {
            dtype,
            rows,
            cols,
            shards,
        })
    }

    fn upload_rows(&self, buffer: &Buffer, data: &[u8], layout: &RowLayout) -> Result<()> {
        let gpu = own(buffer);
        let rows_at_once = (UPLOAD_BYTES / layout.gpu_bytes.max(1)).max(1);
        let mut packed = Vec::new();
        let mut at = 0u64;
        for rows in data.chunks((rows_at_once * layout.file_bytes).max(1)) {
            packed.clear();
            for row in rows.chunks_exact(layout.file_bytes) {
                layout.pack(row, &mut packed);
            }
            self.queue.write_buffer(&gpu.buffer, at, &packed);
            at += packed.len() as u64;
            self.flush_uploads()?;
        }
        self.failures.check()
    }

    /// Hands waiting uploads to the device, so that their staging memory is freed.
    fn flush_uploads(&self) -> Result<()> {
        let submission = self.queue.submit([]);
        self.wait_for(&submission)
    }
}

/// How a weight's rows are laid out in files and on the device.
struct RowLayout {
    dtype: DType,
    file_bytes: usize,
    gpu_bytes: usize,
    /// Elements from one row to the next on the device.
    stride: usize,
}

impl RowLayout {
    fn new(dtype: DType, cols: usize) -> RowLayout {
        let gpu_bytes = 4 * dtype.gpu_row_words(cols);
        RowLayout {
            dtype,
            file_bytes: dtype.row_bytes(cols).unwrap_or(0),
            gpu_bytes,
            stride: if dtype.is_plain() {
                gpu_bytes / dtype.block_bytes()
            } else {
                cols
            },
        }
    }

    /// Appends one row. Blocks that are not whole words get two bytes after their first scale
    /// (Q8_0, Q4_0, Q5_0), or at their end (Q6_K, whose scale comes last), so that what follows
    /// starts on a word; plain rows are padded at their end.
    fn pack(&self, row: &[u8], out: &mut Vec<u8>) {
        let end = out.len() + self.gpu_bytes;
        let block = self.dtype.block_bytes();
        if self.dtype.is_plain() || block.is_multiple_of(4) {
            out.extend_from_slice(row);
        } else {
            let scale = if self.dtype == DType::Q6_K { block } else { 2 };
            for block in row.chunks_exact(block) {
                out.extend_from_slice(&block[..scale]);
                out.extend_from_slice(&[0; 2]);
                out.extend_from_slice(&block[scale..]);
            }
        }
        out.resize(end, 0);
    }
}

pub(super) fn own(buffer: &Buffer) -> &Arc<GpuBuffer> {
    match buffer {
        Buffer::Gpu(buffer) => buffer,
        Buffer::Cpu(_) => unreachable!("a CPU buffer was given to the GPU executor"),
    }
}
