//! A recording made ready to run: pipelines, bind groups and uniform blocks for every dispatch.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use wgpu::{BindGroup, BindGroupEntry, BindingResource, BufferBinding};

use super::GpuDevice;
use super::memory::own;
use super::pipeline::Pipeline;
use super::variant::{Needs, Variant};
use crate::engine::DType;
use crate::engine::device::Program;
use crate::engine::error::{EngineError, Result, mib};
use crate::engine::plan::Plan;
use crate::engine::recording::{Dispatch, Op, Recording};
use crate::engine::tensor::{Buffer, Place, Tensor};

/// What the executor keeps of a prepared recording.
pub struct GpuProgram {
    pub(super) steps: Vec<Step>,
    pub(super) uniforms: wgpu::Buffer,
    /// Steps whose uniform block does not start at workgroup 0, since they were cut.
    pub(super) moved: Mutex<BTreeSet<usize>>,
}

/// One operation, ready to encode. Holds its index in the recording for profiles.
pub(super) enum Step {
    Dispatch(DispatchStep),
    Copy(CopyStep),
}

pub(super) struct DispatchStep {
    pub op: usize,
    pub pipeline: Arc<Pipeline>,
    pub bind_group: BindGroup,
    pub uniform_offset: u32,
    pub groups: [u32; 3],
    pub flops: u64,
    pub bytes: u64,
}

pub(super) struct CopyStep {
    pub src: wgpu::Buffer,
    pub src_offset: u64,
    pub dst: wgpu::Buffer,
    pub dst_offset: u64,
    pub bytes: u64,
}

/// A view as a shader binds it.
struct Bound {
    buffer: wgpu::Buffer,
    offset: u64,
    size: u64,
    /// Offset in the binding, stride, rows, cols; strides and offsets in words.
    view: [u32; 4],
}

impl GpuDevice {
    /// Gives a planned recording its pipelines and bindings.
    pub fn prepare(&self, recording: Recording, plan: Plan, slots: Vec<Buffer>) -> Result<Program> {
        self.failures.check()?;
        let mut program = Program {
            recording,
            plan,
            slots,
            gpu: None,
        };
        let gpu = self.bind(&program)?;
        self.failures.check()?;
        program.gpu = Some(gpu);
        Ok(program)
    }

    fn bind(&self, program: &Program) -> Result<GpuProgram> {
        let blocks = self.uniform_offsets(&program.recording);
        let uniforms = self.make_buffer(
            blocks.total.max(16),
            wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST,
            "parameters",
        )?;
        let mut contents = vec![0u8; blocks.total as usize];
        let mut steps = Vec::new();
        let mut offsets = blocks.offsets.into_iter();
        for (op_index, op) in program.recording.ops.iter().enumerate() {
            match op {
                Op::Mark(_) => {}
                Op::Copy { src, dst } => steps.push(Step::Copy(copy_step(program, src, dst))),
                Op::Dispatch(dispatch) => {
                    let offset = offsets.next().unwrap_or(0);
                    let step = self.dispatch_step(
                        program,
                        dispatch,
                        op_index,
                        &uniforms,
                        offset,
                        &mut contents,
                    )?;
                    steps.push(Step::Dispatch(step));
                }
            }
        }
        if !contents.is_empty() {
            self.queue.write_buffer(&uniforms, 0, &contents);
        }
        Ok(GpuProgram {
            steps,
            uniforms,
            moved: Mutex::default(),
        })
    }

    fn uniform_offsets(&self, recording: &Recording) -> Blocks {
        let align = u64::from(self.limits.min_uniform_buffer_offset_alignment);
        let mut blocks = Blocks::default();
        for op in &recording.ops {
            if let Op::Dispatch(dispatch) = op {
                blocks.offsets.push(blocks.total);
                blocks.total += uniform_bytes(dispatch).next_multiple_of(align);
            }
        }
        blocks
    }

    fn dispatch_step(
        &self,
        program: &Program,
        dispatch: &Dispatch,
        op: usize,
        uniforms: &wgpu::Buffer,
        uniform_offset: u64,
        contents: &mut [u8],
    ) -> Result<DispatchStep> {
        let kernel = dispatch.kernel;
        let variant = (kernel.gpu)(dispatch, &self.tier);
        debug_assert!(
            (kernel.variants)()
                .iter()
                .any(|v| (v.shader, &v.defs) == (variant.shader, &variant.defs)),
            "{}: a variant that is validated nowhere: {variant:?}",
            kernel.name
        );
        self.check_needs(&variant)?;
        let pipeline = self
            .pipelines
            .get(&self.device, &self.failures, kernel, &variant)?;
        let bound: Vec<Bound> = dispatch
            .views
            .iter()
            .zip(kernel.bindings)
            .map(|(view, binding)| match view {
                Some(tensor) => self.bound(program, tensor, kernel.name, binding.name),
                None => Ok(Bound {
                    buffer: self.dummy.clone(),
                    offset: 0,
                    size: 16,
                    view: [0; 4],
                }),
            })
            .collect::<Result<_>>()?;
        let block = &mut contents[uniform_offset as usize..][..uniform_bytes(dispatch) as usize];
        fill_uniforms(block, &bound, &dispatch.params);
        Ok(DispatchStep {
            op,
            bind_group: self.bind_group(
                &pipeline,
                kernel.name,
                uniforms,
                block.len() as u64,
                &bound,
            ),
            pipeline,
            uniform_offset: uniform_offset as u32,
            groups: variant.groups,
            flops: dispatch.flops,
            bytes: dispatch.bytes,
        })
    }

    fn check_needs(&self, variant: &Variant) -> Result<()> {
        let Needs {
            subgroups,
            f16,
            cooperative_matrix,
            workgroup_bytes,
        } = variant.needs;
        let tier = &self.tier;
        if subgroups && !tier.subgroups
            || f16 && !tier.f16
            || cooperative_matrix && tier.cooperative_matrix.is_none()
            || workgroup_bytes > tier.workgroup_bytes
        {
            return Err(self
                .failures
                .shader(variant.shader, "it needs more than this device has"));
        }
        Ok(())
    }

    fn bind_group(
        &self,
        pipeline: &Pipeline,
        label: &str,
        uniforms: &wgpu::Buffer,
        uniform_bytes: u64,
        bound: &[Bound],
    ) -> BindGroup {
        let range = |buffer, offset, size| {
            BindingResource::Buffer(BufferBinding {
                buffer,
                offset,
                size: wgpu::BufferSize::new(size),
            })
        };
        let mut entries = vec![BindGroupEntry {
            binding: 0,
            resource: range(uniforms, 0, uniform_bytes),
        }];
        entries.extend(bound.iter().enumerate().map(|(i, bound)| BindGroupEntry {
            binding: i as u32 + 1,
            resource: range(&bound.buffer, bound.offset, bound.size),
        }));
        self.device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: Some(label),
            layout: &pipeline.layout,
            entries: &entries,
        })
    }

    /// Where a view lies, from the last aligned byte before it to the end of its last vector.
    fn bound(
        &self,
        program: &Program,
        tensor: &Tensor,
        kernel: &str,
        binding: &str,
    ) -> Result<Bound> {
        let gpu = own(buffer_of(program, tensor));
        let words = Words::of(tensor);
        // Nothing is read of an empty view, which may lie past the buffer's last vector.
        let first = if words.span == 0 {
            0
        } else {
            words.offset as u64 * 4
        };
        let align = u64::from(self.limits.min_storage_buffer_offset_alignment).max(16);
        let start = first / align * align;
        let end = first + words.span as u64 * 4;
        assert!(end <= gpu.buffer.size(), "view outside its buffer");
        let size = (end - start).next_multiple_of(16).max(16);
        let most = self.limits.max_storage_buffer_binding_size;
        let too_far = u32::try_from(size / 4).is_err();
        if size > most || too_far {
            return Err(EngineError::WillNotFit {
                device: self.name().to_owned(),
                what: format!("'{binding}' of {kernel}"),
                needed_mib: mib(size),
                available_mib: most >> 20,
                remedy: "that is the most this device can bind at once: use a shorter text"
                    .to_owned(),
                advice: None,
            });
        }
        Ok(Bound {
            buffer: gpu.buffer.clone(),
            offset: start,
            size,
            view: [
                ((first - start) / 4) as u32,
                words.stride as u32,
                tensor.rows as u32,
                tensor.cols as u32,
            ],
        })
    }
}

#[derive(Default)]
struct Blocks {
    offsets: Vec<u64>,
    total: u64,
}

/// Bytes of a dispatch's uniform block: `base`, a `View` a binding, the kernel's own parameters.
fn uniform_bytes(dispatch: &Dispatch) -> u64 {
    ((1 + dispatch.views.len()) * 16 + dispatch.params.len().next_multiple_of(16)) as u64
}

fn fill_uniforms(block: &mut [u8], bound: &[Bound], params: &[u8]) {
    for (i, bound) in bound.iter().enumerate() {
        block[16 * (i + 1)..][..16].copy_from_slice(bytemuck::bytes_of(&bound.view));
    }
    block[16 * (bound.len() + 1)..][..params.len()].copy_from_slice(params);
}

/// A view's place in 32-bit words.
struct Words {
    offset: usize,
    stride: usize,
    span: usize,
}

impl Words {
    fn of(tensor: &Tensor) -> Words {
        match tensor.dtype {
            DType::F32 | DType::U32 => Words {
                offset: tensor.offset,
                stride: tensor.stride,
                span: tensor.span(),
            },
            // Rows of weights start on words.
            DType::F16 | DType::BF16 => Words {
                offset: tensor.offset / 2,
                stride: tensor.stride / 2,
                span: tensor.span().div_ceil(2),
            },
            quantised => {
                let row = quantised.gpu_row_words(tensor.stride);
                Words {
                    offset: tensor.offset / tensor.stride.max(1) * row,
                    stride: row,
                    span: tensor.rows * row,
                }
            }
        }
    }
}

fn buffer_of<'a>(program: &'a Program, tensor: &'a Tensor) -> &'a Buffer {
    match &tensor.place {
        Place::Buffer(buffer) => buffer,
        Place::Temp(id) => program.slot(*id),
    }
}

fn copy_step(program: &Program, src: &Tensor, dst: &Tensor) -> CopyStep {
    let (src_words, dst_words) = (Words::of(src), Words::of(dst));
    CopyStep {
        src: own(buffer_of(program, src)).buffer.clone(),
        src_offset: src_words.offset as u64 * 4,
        dst: own(buffer_of(program, dst)).buffer.clone(),
        dst_offset: dst_words.offset as u64 * 4,
        bytes: src_words.span as u64 * 4,
    }
}
