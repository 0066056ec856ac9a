//! What a device can do, worked out once when it opens.

/// The capabilities kernels choose their variants by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tier {
    pub subgroups: bool,
    /// Smallest and largest number of lanes a subgroup may have.
    pub subgroup_size: (u32, u32),
    pub f16: bool,
    /// Edge lengths (m, n, k) of the f16 x f16 -> f32 matrices the device multiplies at once.
    pub cooperative_matrix: Option<(u32, u32, u32)>,
    /// A rasteriser on the CPU, such as llvmpipe.
    pub software: bool,
    /// Bytes of workgroup memory.
    pub workgroup_bytes: u32,
    /// Invocations a workgroup may have.
    pub workgroup_invocations: u32,
}
