//! Running programs in slices short enough for any watchdog and for a quick cancel.

use std::collections::VecDeque;
use std::ops::Range;
use std::time::{Duration, Instant};

use wgpu::{CommandEncoder, ComputePassDescriptor, SubmissionIndex};

use super::GpuDevice;
use super::pace::Pace;
use super::parts::Parts;
use super::program::{DispatchStep, GpuProgram, Step};
use super::timing::add_to_profile;
use crate::engine::device::{Program, RunOptions};
use crate::engine::error::{EngineError, Result};

/// Seconds a slice aims at.
pub(super) const SLICE_SECS: f64 = 0.05;
/// Submissions that may be pending on the device when the next is made.
const IN_FLIGHT: usize = 2;
/// Operations in a run's first slice at most: the device starts on them while the rest is encoded.
/// Each slice may have twice as many as the one before, up to `SLICE_STEPS`.
const FIRST_STEPS: usize = 32;
const SLICE_STEPS: usize = 256;

/// What the device is doing, and how fast it has been.
pub(super) struct Queued {
    in_flight: VecDeque<Submitted>,
    /// When the device was last known to have finished something.
    idle_since: Instant,
    pace: Pace,
}

struct Submitted {
    index: SubmissionIndex,
    at: Instant,
    /// Seconds by the unscaled estimate.
    estimate: f64,
}

impl Queued {
    pub fn new(software: bool) -> Queued {
        Queued {
            in_flight: VecDeque::new(),
            idle_since: Instant::now(),
            pace: Pace::new(software),
        }
    }
}

/// One submission: whole steps, or some workgroups of one.
#[derive(Clone, Debug, PartialEq)]
enum Slice {
    Steps(Range<usize>),
    Part {
        step: usize,
        base: [u32; 3],
        groups: [u32; 3],
    },
}

impl GpuDevice {
    /// Submits a prepared recording. Returns once all of it is submitted and at most two slices
    /// are still running; a read waits for them. With a profile, all of it has run.
    pub fn run(&self, program: &Program, options: &RunOptions<'_>) -> Result<()> {
        self.failures.check()?;
        let gpu = program.gpu.as_ref().ok_or_else(|| {
            EngineError::Recording("this program was prepared for another device".into())
        })?;
        let mut run = Run {
            device: self,
            program,
            gpu,
            options,
            timed: Vec::new(),
        };
        let outcome = run.all();
        if let Some(profile) = options.profile {
            add_to_profile(program, profile, &run.timed);
        }
        outcome?;
        self.failures.check()
    }

    /// Waits until everything submitted has run.
    pub fn wait(&self) -> Result<()> {
        let submission = self.queue.submit([]);
        self.wait_for(&submission)?;
        self.failures.check()
    }

    /// Waits for a submission and all before it.
    pub(super) fn wait_for(&self, submission: &SubmissionIndex) -> Result<()> {
        self.poll_until(submission)?;
        let mut queued = self.queued.lock().unwrap_or_else(|e| e.into_inner());
        let now = Instant::now();
        if let Some(first) = queued.in_flight.front() {
            let busy = now.duration_since(first.at.max(queued.idle_since));
            let guessed = queued.in_flight.iter().map(|s| s.estimate).sum();
            queued.pace.learn(guessed, busy.as_secs_f64());
        }
        queued.in_flight.clear();
        queued.idle_since = now;
        Ok(())
    }

    fn poll_until(&self, submission: &SubmissionIndex) -> Result<()> {
        loop {
            self.failures.check()?;
            let waited = self.device.poll(wgpu::PollType::Wait {
                submission_index: Some(submission.clone()),
                timeout: Some(Duration::from_millis(500)),
            });
            match waited {
                Ok(_) => return Ok(()),
                Err(wgpu::PollError::Timeout) => {}
                Err(error) => {
                    self.failures.check()?;
                    return Err(EngineError::Gpu {
                        device: self.name().to_owned(),
                        detail: error.to_string(),
                    });
                }
            }
        }
    }

    /// Waits for the oldest submission and learns from the time it took.
    fn retire_oldest(&self) -> Result<()> {
        let oldest = {
            let mut queued = self.queued.lock().unwrap_or_else(|e| e.into_inner());
            queued.in_flight.pop_front()
        };
        let Some(oldest) = oldest else { return Ok(()) };
        let asked = Instant::now();
        self.poll_until(&oldest.index)?;
        let now = Instant::now();
        let mut queued = self.queued.lock().unwrap_or_else(|e| e.into_inner());
        let busy = now
            .duration_since(oldest.at.max(queued.idle_since))
            .as_secs_f64();
        // A submission that had long finished shows only that it took no longer than this.
        let seen = now.duration_since(asked) > Duration::from_micros(200);
        if seen || busy < oldest.estimate * queued.pace.scale {
            queued.pace.learn(oldest.estimate, busy);
        }
        queued.idle_since = now;
        Ok(())
    }
}

struct Run<'a> {
    device: &'a GpuDevice,
    program: &'a Program,
    gpu: &'a GpuProgram,
    options: &'a RunOptions<'a>,
    /// Operations run so far and the seconds that each took; filled only with a profile.
    timed: Vec<(usize, f64)>,
}

impl Run<'_> {
    fn all(&mut self) -> Result<()> {
        let steps = &self.gpu.steps;
        let (mut first, mut guessed, mut most) = (0, 0.0, FIRST_STEPS);
        for (index, step) in steps.iter().enumerate() {
            let (guess, scale) = self.guess(index);
            let limit = self.device.slice_secs / scale;
            let cut = match step {
                Step::Dispatch(d) => guess > 1.5 * limit || self.too_long(d),
                Step::Copy(_) => false,
            };
            let full = guessed + guess > limit || index - first >= most;
            if (cut || full) && first < index {
                self.submit(Slice::Steps(first..index), guessed)?;
                (first, guessed, most) = (index, 0.0, SLICE_STEPS.min(2 * most));
            }
            if cut {
                self.in_parts(index, guess)?;
                first = index + 1;
            } else {
                guessed += guess;
            }
        }
        if first < steps.len() {
            self.submit(Slice::Steps(first..steps.len()), guessed)?;
        }
        Ok(())
    }

    /// Guessed seconds of a step, and what they are to be scaled by.
    fn guess(&self, index: usize) -> (f64, f64) {
        let queued = self.device.queued.lock().unwrap_or_else(|e| e.into_inner());
        (queued.pace.guess(&self.gpu.steps[index]), queued.pace.scale)
    }

    fn too_long(&self, step: &DispatchStep) -> bool {
        let most = self.device.limits.max_compute_workgroups_per_dimension;
        step.groups.iter().any(|&groups| groups > most)
    }

    /// Runs one dispatch a box of workgroups at a time.
    fn in_parts(&mut self, index: usize, guess: f64) -> Result<()> {
        let Step::Dispatch(step) = &self.gpu.steps[index] else {
            return Ok(());
        };
        let total: f64 = step.groups.iter().map(|&g| f64::from(g)).product();
        let mut done = Parts::new(step.groups);
        while !done.finished() {
            let scale = self.guess(index).1;
            let share = self.device.slice_secs / (guess * scale).max(1e-9);
            let count = (total * share).clamp(1.0, 4e9) as u32;
            let (base, groups) = done.next(
                count,
                self.device.limits.max_compute_workgroups_per_dimension,
            );
            let part: f64 = groups.iter().map(|&g| f64::from(g)).product();
            let slice = Slice::Part {
                step: index,
                base,
                groups,
            };
            self.submit(slice, guess * part / total)?;
        }
        Ok(())
    }

    fn submit(&mut self, slice: Slice, estimate: f64) -> Result<()> {
        self.options.check_cancelled()?;
        self.set_bases(&slice);
        if self.options.profile.is_some() {
            let timed = self
                .device
                .time_slice(self.program, |timer| self.encode(&slice, Some(timer)))?;
            let secs = timed.iter().map(|(_, secs)| secs).sum();
            let mut queued = self.device.queued.lock().unwrap_or_else(|e| e.into_inner());
            queued.pace.learn(estimate, secs);
            self.timed.extend(timed);
            return Ok(());
        }
        let commands = self.encode(&slice, None);
        let at = Instant::now();
        let index = self.device.queue.submit([commands]);
        self.device.failures.check()?;
        let full = {
            let mut queued = self.device.queued.lock().unwrap_or_else(|e| e.into_inner());
            queued.in_flight.push_back(Submitted {
                index,
                at,
                estimate,
            });
            queued.in_flight.len() > IN_FLIGHT
        };
        if full {
            self.device.retire_oldest()?;
        }
        Ok(())
    }

    /// Puts the first workgroup of a cut dispatch into its uniform block, and takes it out of
    /// those that run whole again.
    fn set_bases(&self, slice: &Slice) {
        let mut moved = self.gpu.moved.lock().unwrap_or_else(|e| e.into_inner());
        let write = |step: usize, base: [u32; 3]| {
            if let Step::Dispatch(step) = &self.gpu.steps[step] {
                let offset = u64::from(step.uniform_offset);
                let bytes = bytemuck::bytes_of(&base);
                self.device
                    .queue
                    .write_buffer(&self.gpu.uniforms, offset, bytes);
            }
        };
        match slice {
            Slice::Part { step, base, .. } => {
                write(*step, *base);
                moved.insert(*step);
            }
            Slice::Steps(range) => {
                let back: Vec<usize> = moved.range(range.clone()).copied().collect();
                for step in back {
                    write(step, [0; 3]);
                    moved.remove(&step);
                }
            }
        }
    }

    fn encode(
        &self,
        slice: &Slice,
        mut timer: Option<&mut super::timing::Timer>,
    ) -> wgpu::CommandBuffer {
        let mut encoder = self
            .device
            .device
            .create_command_encoder(&Default::default());
        match slice {
            Slice::Part { step, groups, .. } => {
                if let Step::Dispatch(step) = &self.gpu.steps[*step] {
                    one_pass(&mut encoder, step, *groups, &mut timer);
                }
            }
            Slice::Steps(range) if timer.is_some() => {
                for step in &self.gpu.steps[range.clone()] {
                    match step {
                        Step::Dispatch(step) => {
                            one_pass(&mut encoder, step, step.groups, &mut timer)
                        }
                        Step::Copy(copy) => copy.encode(&mut encoder),
                    }
                }
            }
            Slice::Steps(range) => encode_steps(&mut encoder, &self.gpu.steps[range.clone()]),
        }
        if let Some(timer) = timer {
            timer.resolve(&mut encoder);
        }
        encoder.finish()
    }
}

/// As few passes as the copies between dispatches allow.
fn encode_steps(encoder: &mut CommandEncoder, steps: &[Step]) {
    let mut rest = steps;
    while let Some(first) = rest.first() {
        match first {
            Step::Copy(copy) => {
                copy.encode(encoder);
                rest = &rest[1..];
            }
            Step::Dispatch(_) => {
                let mut pass = encoder.begin_compute_pass(&ComputePassDescriptor::default());
                let mut last = None;
                while let Some(Step::Dispatch(step)) = rest.first() {
                    let pipeline = std::sync::Arc::as_ptr(&step.pipeline);
                    if last != Some(pipeline) {
                        pass.set_pipeline(&step.pipeline.pipeline);
                        last = Some(pipeline);
                    }
                    step.launch(&mut pass, step.groups);
                    rest = &rest[1..];
                }
            }
        }
    }
}

/// One dispatch in a pass of its own, timed.
fn one_pass(
    encoder: &mut CommandEncoder,
    step: &DispatchStep,
    groups: [u32; 3],
    timer: &mut Option<&mut super::timing::Timer>,
) {
    let timestamp_writes = timer.as_mut().and_then(|timer| timer.start(step.op));
    let mut pass = encoder.begin_compute_pass(&ComputePassDescriptor {
        label: None,
        timestamp_writes,
    });
    pass.set_pipeline(&step.pipeline.pipeline);
    step.launch(&mut pass, groups);
}

impl DispatchStep {
    fn launch(&self, pass: &mut wgpu::ComputePass<'_>, [x, y, z]: [u32; 3]) {
        pass.set_bind_group(0, &self.bind_group, &[self.uniform_offset]);
        pass.dispatch_workgroups(x, y, z);
    }
}

impl super::program::CopyStep {
    fn encode(&self, encoder: &mut CommandEncoder) {
        encoder.copy_buffer_to_buffer(
            &self.src,
            self.src_offset,
            &self.dst,
            self.dst_offset,
            self.bytes,
        );
    }
}
