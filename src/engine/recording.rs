//! Recordings: plain lists of work that either executor runs.

use std::fmt::Debug;

use bytemuck::Pod;

use super::cpu::{CpuCall, Team};
use super::gpu::Variant;
use super::tensor::{Place, TempId, Tensor};
use super::{DType, Tier};

/// What a kernel does with a binding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Read only.
    Read,
    /// Read and written in place, or written in part only.
    ReadWrite,
    /// Every element of the view is written and none read.
    Write,
}

/// One argument of a kernel, in binding order.
#[derive(Clone, Copy, Debug)]
pub struct Binding {
    /// Name of the binding in the shader, and in error messages.
    pub name: &'static str,
    /// What the kernel does with it.
    pub access: Access,
}

/// Launches that follow one of a kernel and can run together with it.
#[derive(Clone, Copy)]
pub enum Joins {
    /// None: every launch runs alone.
    Nothing,
    /// Launches of the same kernel, where they do not depend on each other.
    Alike,
    /// One launch of another kernel with the same parameters and the same views by the same names.
    /// It may read what the first writes; such a view is absent from its call.
    Then(&'static Kernel),
}

/// A kernel: one operation, known to both executors.
///
/// The uniform block its shader reads is laid out as `base: vec4<u32>` (first workgroup of this
/// slice), then one `View` per binding, then the kernel's own parameters.
pub struct Kernel {
    /// Name in profiles and in error messages.
    pub name: &'static str,
    /// The arguments, in the order of the shader's bindings.
    pub bindings: &'static [Binding],
    /// Name and byte offset (within the kernel's own parameters) of each parameter.
    pub params: &'static [(&'static str, usize)],
    /// The CPU twin.
    pub cpu: fn(&Team, CpuCall<'_>),
    /// Which launches the twin takes together with this one: its call then carries the others (see
    /// [`CpuCall::take_others`]).
    pub cpu_joins: Joins,
    /// Chooses the shader variant and its grid for one dispatch.
    pub gpu: fn(&Dispatch, &Tier) -> Variant,
    /// Every shader variant the kernel can choose, for validation.
    pub variants: fn() -> Vec<Variant>,
}

/// One launch of a kernel.
#[derive(Clone)]
pub struct Dispatch {
    /// What is launched.
    pub kernel: &'static Kernel,
    /// Views to bind, one per binding; `None` where an optional argument is absent. Only
    /// [`Recording::dispatch`], which checks them, makes them.
    pub(crate) views: Vec<Option<Tensor>>,
    /// The kernel's own parameters, a multiple of 4 bytes.
    pub(crate) params: Vec<u8>,
    /// Floating-point operations, for profiles and for cutting work into slices.
    pub flops: u64,
    /// Bytes that have to move at least once.
    pub bytes: u64,
}

impl Dispatch {
    /// The view bound at `index`, which the kernel's launch function always binds.
    pub fn view(&self, index: usize) -> &Tensor {
        self.views[index]
            .as_ref()
            .expect("a required binding is always bound")
    }

    /// The views it writes.
    pub fn written(&self) -> impl Iterator<Item = &Tensor> {
        let bound = self.kernel.bindings.iter().zip(&self.views);
        bound.filter_map(|(binding, view)| view.as_ref().filter(|_| binding.access != Access::Read))
    }

    /// Whether the CPU executor may run it together with the one right before it, as `Joins::Then`
    /// says.
    pub(super) fn follows(&self, before: &Dispatch) -> bool {
        let follower = match before.kernel.cpu_joins {
            Joins::Then(kernel) => std::ptr::eq(kernel, self.kernel),
            _ => false,
        };
        follower && before.params == self.params
    }

    /// The view bound by a name.
    pub(super) fn named(&self, name: &str) -> Option<&Tensor> {
        let mut bound = self.kernel.bindings.iter().zip(&self.views);
        bound.find(|(binding, _)| binding.name == name)?.1.as_ref()
    }

    /// The kernel's own parameters.
    pub fn params<P: Pod>(&self) -> P {
        bytemuck::pod_read_unaligned(&self.params)
    }

    /// What profiles call it: the kernel, and the type of the weight it reads.
    pub fn label(&self) -> String {
        let quantised = self.views.iter().flatten().find(|v| !v.dtype.is_plain());
        match quantised {
            Some(view) => format!("{} {}", self.kernel.name, view.dtype),
            None => self.kernel.name.to_owned(),
        }
    }
}

/// One entry of a recording.
#[derive(Clone)]
pub enum Op {
    /// A launch.
    Dispatch(Dispatch),
    /// Copies a dense view onto another of the same type and size.
    Copy {
        /// What is read.
        src: Tensor,
        /// What is written, all of it.
        dst: Tensor,
    },
    /// A named point, for profiles: what follows belongs to this part.
    Mark(String),
}

/// A list of work on tensors, with the temporaries it needs.
#[derive(Clone, Default)]
pub struct Recording {
    /// What the executors run without checking it again, so that nothing else may change it.
    pub(crate) ops: Vec<Op>,
    /// Bytes of each temporary.
    pub(crate) temps: Vec<u64>,
}

impl Recording {
    /// A recording of no work.
    pub fn new() -> Self {
        Self::default()
    }

    /// A dense temporary. It holds nothing before it is first written.
    pub fn temp(&mut self, dtype: DType, rows: usize, cols: usize) -> Tensor {
        assert!(dtype.is_plain(), "temporaries hold plain elements");
        let id = TempId(self.temps.len() as u32);
        self.temps.push((rows * cols * dtype.block_bytes()) as u64);
        Tensor::dense(Place::Temp(id), dtype, rows, cols)
    }

    /// Appends one launch of `kernel`. Launches whose outputs are empty are dropped.
    pub fn dispatch<P: Pod + Debug>(
        &mut self,
        kernel: &'static Kernel,
        views: Vec<Option<Tensor>>,
        params: P,
        flops: u64,
        bytes: u64,
    ) {
        assert_eq!(
            views.len(),
            kernel.bindings.len(),
            "{}: wrong number of views",
            kernel.name
        );
        check_aliasing(kernel, &views);
        let writes_nothing = kernel
            .bindings
            .iter()
            .zip(&views)
            .filter(|(b, _)| b.access != Access::Read)
            .all(|(_, v)| v.as_ref().is_none_or(Tensor::is_empty));
        if writes_nothing {
            return;
        }
        let params = bytemuck::bytes_of(&params).to_vec();
        self.ops.push(Op::Dispatch(Dispatch {
            kernel,
            views,
            params,
            flops,
            bytes,
        }));
    }

    /// Appends a copy of one dense view onto another.
    pub fn copy(&mut self, src: &Tensor, dst: &Tensor) {
        assert_eq!(
            (src.dtype, src.rows * src.cols),
            (dst.dtype, dst.rows * dst.cols)
        );
        assert!(!src.same_place(dst), "a copy needs two different buffers");
        if !src.is_empty() {
            self.ops.push(Op::Copy {
                src: src.clone(),
                dst: dst.clone(),
            });
        }
    }

    /// Drops the work whose results nothing reads: what it writes lies in temporaries that no
    /// later operation that stays reads.
    pub fn prune(&mut self) {
        let mut wanted = vec![false; self.temps.len()];
        let mut stays = vec![true; self.ops.len()];
        for (op, stays) in self.ops.iter().zip(&mut stays).rev() {
            let mut is_wanted = |tensor: &Tensor| match tensor.place {
                Place::Temp(id) => wanted[id.0 as usize],
                Place::Buffer(_) => true,
            };
            *stays = match op {
                Op::Mark(_) => true,
                Op::Copy { dst, .. } => is_wanted(dst),
                Op::Dispatch(dispatch) => dispatch.written().any(&mut is_wanted),
            };
            if !*stays {
                continue;
            }
            let mut want = |tensor: &Tensor| {
                if let Place::Temp(id) = tensor.place {
                    wanted[id.0 as usize] = true;
                }
            };
            match op {
                Op::Mark(_) => {}
                Op::Copy { src, .. } => want(src),
                Op::Dispatch(dispatch) => dispatch.views.iter().flatten().for_each(want),
            }
        }
        let mut stays = stays.into_iter();
        self.ops.retain(|_| stays.next().unwrap_or(true));
    }

    /// The work, in the order in which it is run.
    pub fn ops(&self) -> &[Op] {
        &self.ops
    }

    /// Names the part of the work that follows.
    pub fn mark(&mut self, name: impl Into<String>) {
        self.ops.push(Op::Mark(name.into()));
    }
}

/// A written view is an exclusive slice on the CPU and a writable binding on the GPU, where a
/// buffer cannot be bound both read-only and writable: it shares its place with no other view.
fn check_aliasing(kernel: &Kernel, views: &[Option<Tensor>]) {
    for (i, a) in views.iter().enumerate() {
        for (j, b) in views.iter().enumerate().skip(i + 1) {
            let written = kernel.bindings[i].access != Access::Read
                || kernel.bindings[j].access != Access::Read;
            if let (true, Some(a), Some(b)) = (written, a, b) {
                assert!(
                    !a.same_place(b),
                    "{}: '{}' and '{}' share their memory",
                    kernel.name,
                    kernel.bindings[i].name,
                    kernel.bindings[j].name
                );
            }
        }
    }
}

/// Declares a kernel's own parameters: a `Pod` struct and the names and offsets of its fields.
#[macro_export]
macro_rules! kernel_params {
    ($(#[$meta:meta])* $vis:vis struct $name:ident { $($field:ident : $ty:ty),* $(,)? }) => {
        $(#[$meta])*
        #[repr(C)]
        #[derive(Clone, Copy, Debug, bytemuck::Pod, bytemuck::Zeroable)]
        $vis struct $name { $(pub $field: $ty),* }
        impl $name {
            /// Name and byte offset of each field, held against the shader's struct by a test.
            pub const FIELDS: &'static [(&'static str, usize)] =
                &[$((stringify!($field), std::mem::offset_of!($name, $field))),*];
        }
    };
}

/// A kernel for tests of the executor itself: adds one.
#[cfg(test)]
pub(crate) mod test_kernel {
    use super::*;

    pub static COUNT: Kernel = Kernel {
        name: "count",
        bindings: &[Binding {
            name: "x",
            access: Access::ReadWrite,
        }],
        params: &[],
        cpu: |_, mut call| call.mat_mut(0).row_mut(0)[0] += 1.0,
        cpu_joins: Joins::Nothing,
        gpu: |_, _| Variant::portable("count", [1; 3]),
        variants: Vec::new,
    };

    const fn binding(name: &'static str, access: Access) -> Binding {
        Binding { name, access }
    }

    /// Writes 1, also into what a launch of `AFTER` that it takes along would write.
    pub static BEFORE: Kernel = Kernel {
        name: "before",
        bindings: &[
            binding("own", Access::Read),
            binding("both", Access::Read),
            binding("between", Access::Write),
        ],
        params: &[],
        cpu: |_, mut call| {
            call.mat_mut(2).row_mut(0)[0] = 1.0;
            for mut other in call.take_others() {
                assert!(other.take(1).is_none(), "what the first writes is its own");
                other.mat_mut(2).row_mut(0)[0] = 1.0;
            }
        },
        cpu_joins: Joins::Then(&AFTER),
        gpu: |_, _| Variant::portable("before", [1; 3]),
        variants: Vec::new,
    };

    /// Writes 2.
    pub static AFTER: Kernel = Kernel {
        name: "after",
        bindings: &[
            binding("both", Access::Read),
            binding("between", Access::Read),
            binding("result", Access::Write),
        ],
        params: &[],
        cpu: |_, mut call| call.mat_mut(2).row_mut(0)[0] = 2.0,
        cpu_joins: Joins::Nothing,
        gpu: |_, _| Variant::portable("after", [1; 3]),
        variants: Vec::new,
    };
}

#[cfg(test)]
mod tests {
    use super::test_kernel::COUNT;
    use super::*;
    use crate::engine::{Arena, Device};

    #[test]
    fn pruning_keeps_only_what_reaches_a_buffer() {
        let device = Device::cpu(1);
        let out = device.tensor(DType::F32, 1, 1, "out").unwrap();
        let mut rec = Recording::new();
        let (used, unused) = (rec.temp(DType::F32, 1, 1), rec.temp(DType::F32, 1, 1));
        let count = |rec: &mut Recording, x: &Tensor| {
            rec.dispatch(&COUNT, vec![Some(x.clone())], [0u32; 0], 0, 0);
        };
        rec.copy(&out, &used);
        rec.copy(&used, &unused);
        count(&mut rec, &used);
        count(&mut rec, &unused);
        rec.copy(&used, &out);
        // After its last reader nothing is wanted of it.
        count(&mut rec, &used);
        rec.prune();
        assert_eq!(rec.ops.len(), 3);
        let program = device.prepare(rec, &mut Arena::new()).unwrap();
        device.run(&program, &Default::default()).unwrap();
        assert_eq!(device.read::<f32>(&out).unwrap(), [1.0]);
    }
}
