//! Times dispatches one by one for a profile.

use wgpu::{ComputePassTimestampWrites, QuerySet, QueryType};

use super::GpuDevice;
use crate::engine::device::Program;
use crate::engine::error::{EngineError, Result};
use crate::engine::profile::Profile;
use crate::engine::recording::{Dispatch, Op};

/// Dispatches one query set can time.
const TIMED: u32 = wgpu::QUERY_SET_MAX_QUERIES / 2;

/// Timestamps around the dispatches of one slice.
pub(super) struct Timer {
    /// `None` where the device has no timestamps.
    queries: Option<Queries>,
    /// The operation each pair of timestamps belongs to.
    ops: Vec<usize>,
}

struct Queries {
    set: QuerySet,
    resolved: wgpu::Buffer,
    readable: wgpu::Buffer,
}

impl Timer {
    fn new(device: &GpuDevice) -> Timer {
        let queries = device
            .features
            .contains(wgpu::Features::TIMESTAMP_QUERY)
            .then(|| Queries::new(&device.device));
        Timer {
            queries,
            ops: Vec::new(),
        }
    }

    /// Where the next dispatch's pass writes its times.
    pub fn start(&mut self, op: usize) -> Option<ComputePassTimestampWrites<'_>> {
        let index = self.ops.len() as u32;
        self.ops.push(op);
        let queries = self.queries.as_ref().filter(|_| index < TIMED)?;
        Some(ComputePassTimestampWrites {
            query_set: &queries.set,
            beginning_of_pass_write_index: Some(2 * index),
            end_of_pass_write_index: Some(2 * index + 1),
        })
    }

    /// Makes the times readable.
    pub fn resolve(&self, encoder: &mut wgpu::CommandEncoder) {
        let count = (self.ops.len() as u32).min(TIMED);
        if let (Some(queries), true) = (&self.queries, count > 0) {
            encoder.resolve_query_set(&queries.set, 0..2 * count, &queries.resolved, 0);
            let bytes = u64::from(count) * 16;
            encoder.copy_buffer_to_buffer(&queries.resolved, 0, &queries.readable, 0, bytes);
        }
    }
}

impl Queries {
    fn new(device: &wgpu::Device) -> Queries {
        let buffer = |usage| {
            device.create_buffer(&wgpu::BufferDescriptor {
                label: Some("timestamps"),
                size: u64::from(TIMED) * 16,
                usage,
                mapped_at_creation: false,
            })
        };
        Queries {
            set: device.create_query_set(&wgpu::QuerySetDescriptor {
                label: Some("timestamps"),
                ty: QueryType::Timestamp,
                count: 2 * TIMED,
            }),
            resolved: buffer(wgpu::BufferUsages::QUERY_RESOLVE | wgpu::BufferUsages::COPY_SRC),
            readable: buffer(wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST),
        }
    }
}

impl GpuDevice {
    /// Runs one slice to its end. Returns its dispatches (as indices of operations) with the
    /// seconds they took: by timestamps, or by sharing out the slice's time where there are none.
    pub(super) fn time_slice(
        &self,
        program: &Program,
        encode: impl FnOnce(&mut Timer) -> wgpu::CommandBuffer,
    ) -> Result<Vec<(usize, f64)>> {
        self.wait()?;
        let mut timer = Timer::new(self);
        let commands = encode(&mut timer);
        let started = std::time::Instant::now();
        let submission = self.queue.submit([commands]);
        self.wait_for(&submission)?;
        let elapsed = started.elapsed().as_secs_f64();
        let secs = match &timer.queries {
            Some(queries) => self.pass_secs(queries, timer.ops.len())?,
            None => shares(program, &timer.ops, elapsed),
        };
        Ok(timer.ops.into_iter().zip(secs).collect())
    }

    fn pass_secs(&self, queries: &Queries, count: usize) -> Result<Vec<f64>> {
        let bytes = count.min(TIMED as usize) as u64 * 16;
        if bytes == 0 {
            return Ok(Vec::new());
        }
        queries
            .readable
            .map_async(wgpu::MapMode::Read, 0..bytes, |_| {});
        self.wait()?;
        let mapped = queries
            .readable
            .get_mapped_range(0..bytes)
            .map_err(|error| EngineError::Gpu {
                device: self.name().to_owned(),
                detail: format!("reading timestamps failed: {error}"),
            })?;
        let stamps: Vec<u64> = bytemuck::pod_collect_to_vec(&mapped);
        let period = f64::from(self.queue.get_timestamp_period()) * 1e-9;
        Ok(stamps
            .chunks_exact(2)
            .map(|pair| pair[1].saturating_sub(pair[0]) as f64 * period)
            .collect())
    }
}

/// Adds timed dispatches to a profile, each once however many parts it ran in.
pub(super) fn add_to_profile(program: &Program, profile: &Profile, timed: &[(usize, f64)]) {
    for same in timed.chunk_by(|a, b| a.0 == b.0) {
        let secs = same.iter().map(|(_, secs)| secs).sum();
        if let Some(dispatch) = dispatch(program, same[0].0) {
            profile.add(part(program, same[0].0), dispatch, secs);
        }
    }
}

/// Splits a slice's time by what its dispatches have to do.
fn shares(program: &Program, ops: &[usize], elapsed: f64) -> Vec<f64> {
    let weight = |op: &usize| {
        dispatch(program, *op).map_or(0.0, |d| 1e4 + (d.flops as f64).max(4.0 * d.bytes as f64))
    };
    let total: f64 = ops.iter().map(weight).sum();
    ops.iter()
        .map(|op| elapsed * weight(op) / total.max(1.0))
        .collect()
}

fn dispatch(program: &Program, op: usize) -> Option<&Dispatch> {
    match program.recording.ops.get(op) {
        Some(Op::Dispatch(dispatch)) => Some(dispatch),
        _ => None,
    }
}

/// The latest mark before an operation.
fn part(program: &Program, op: usize) -> &str {
    program.recording.ops[..op]
        .iter()
        .rev()
        .find_map(|op| match op {
            Op::Mark(name) => Some(name.as_str()),
            _ => None,
        })
        .unwrap_or("")
}
