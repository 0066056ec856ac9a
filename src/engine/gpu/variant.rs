//! Which shader a dispatch runs, with what definitions, over how many workgroups.

/// The value of a shader definition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Def {
    /// Defined or not, for `#ifdef`.
    Flag,
    /// A number, substituted for `#{NAME}` and compared by `#if`.
    U32(u32),
}

/// Bytes of workgroup memory that every device has.
pub const PORTABLE_WORKGROUP_BYTES: u32 = 16 << 10;

/// What a variant asks of a device beyond the portable tier.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Needs {
    /// Whether the shader exchanges values between the lanes of a subgroup.
    pub subgroups: bool,
    /// Whether the shader computes with 16-bit floats.
    pub f16: bool,
    /// Whether the shader multiplies with cooperative matrices.
    pub cooperative_matrix: bool,
    /// Bytes of workgroup memory, where they are more than [`PORTABLE_WORKGROUP_BYTES`]; else 0.
    pub workgroup_bytes: u32,
}

/// One way to run a kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Variant {
    /// File name in `shaders/`, without its ending.
    pub shader: &'static str,
    /// Names and values that its source is compiled with.
    pub defs: Vec<(&'static str, Def)>,
    /// What the variant needs beyond the portable tier.
    pub needs: Needs,
    /// Workgroups along each axis. Long grids may be run in several slices.
    pub groups: [u32; 3],
}

impl Variant {
    /// A variant of the portable tier.
    pub fn portable(shader: &'static str, groups: [u32; 3]) -> Self {
        Variant {
            shader,
            defs: Vec::new(),
            needs: Needs::default(),
            groups,
        }
    }

    /// The same with `name` defined, without a value.
    pub fn flag(mut self, name: &'static str) -> Self {
        self.defs.push((name, Def::Flag));
        self
    }

    /// The same with `name` defined as a number.
    pub fn value(mut self, name: &'static str, value: u32) -> Self {
        self.defs.push((name, Def::U32(value)));
        self
    }

    /// The same with what it needs of a device.
    pub fn needing(mut self, needs: Needs) -> Self {
        self.needs = needs;
        self
    }

    /// With more workgroup memory than every device has.
    pub fn needing_bytes(mut self, workgroup_bytes: u32) -> Self {
        self.needs.workgroup_bytes = workgroup_bytes;
        self
    }
}
