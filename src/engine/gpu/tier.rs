//! What a device can do, worked out once when it opens.

use wgpu::{AdapterInfo, Backend, CooperativeScalarType, DeviceType, Features, Limits};

/// How exact products have to be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Precision {
    /// Every product in f32.
    #[default]
    Exact,
    /// Factors may be rounded to f16 where that is faster, but for those of weights in f32; sums
    /// stay in f32.
    Fast,
}

/// The most a device may use of what it has. Below `Full` a software rasteriser passes for
/// hardware: tests force every variant with this.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TierCap {
    /// No subgroups, f16 or cooperative matrices, and no more workgroup memory than every device
    /// has.
    Portable,
    /// Subgroups, and nothing more.
    Subgroups,
    /// Everything the device has.
    #[default]
    Full,
}

impl TierCap {
    /// What `INSCRIBE_TIER` allows: `portable`, `subgroups`, or everything.
    pub fn from_env() -> TierCap {
        match std::env::var("INSCRIBE_TIER").as_deref() {
            Ok("portable") => TierCap::Portable,
            Ok("subgroups") => TierCap::Subgroups,
            _ => TierCap::Full,
        }
    }
}

/// Bytes of workgroup memory that products of cooperative matrices take, rounded up.
pub const COOPERATIVE_BYTES: u32 = 28 << 10;

/// The f16 matrices with f32 sums that an adapter multiplies at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Matrices {
    /// Rows, columns and inner length.
    pub edge: u32,
    /// Why no product uses them, not even a fast one.
    pub obstacle: Option<String>,
}

/// The capabilities by which kernels choose their variants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tier {
    /// Whether the lanes of a subgroup can exchange values.
    pub subgroups: bool,
    /// Smallest and largest number of lanes a subgroup may have.
    pub subgroup_size: (u32, u32),
    /// Whether shaders can compute with 16-bit floats.
    pub f16: bool,
    /// Edge of the f16 matrices with f32 sums that products use whose factors may be rounded;
    /// `None` where no product uses such matrices.
    pub cooperative_matrix: Option<u32>,
    /// Whether the device is a rasteriser on the CPU, such as llvmpipe.
    pub software: bool,
    /// Whether products may round their factors to 16 bits.
    pub precision: Precision,
    /// Bytes of workgroup memory that one workgroup may use.
    pub workgroup_bytes: u32,
    /// Invocations a workgroup may have.
    pub workgroup_invocations: u32,
}

impl Tier {
    /// The tier of an adapter whose `features` are used, with the matrices it has.
    pub(super) fn new(
        adapter: &wgpu::Adapter,
        features: Features,
        limits: &Limits,
        precision: Precision,
        cap: TierCap,
    ) -> (Tier, Option<Matrices>) {
        let info = adapter.get_info();
        let mut tier = Tier {
            // The shaders keep one partial result a subgroup and have room for those of 4 lanes.
            subgroups: features.contains(Features::SUBGROUP) && info.subgroup_min_size >= 4,
            subgroup_size: subgroup_size(&info, features),
            f16: features.contains(Features::SHADER_F16),
            cooperative_matrix: None,
            software: cap == TierCap::Full && is_software(&info),
            precision,
            workgroup_bytes: limits.max_compute_workgroup_storage_size,
            workgroup_invocations: limits.max_compute_invocations_per_workgroup,
        };
        let needed = Features::EXPERIMENTAL_COOPERATIVE_MATRIX | Features::SHADER_F16;
        let edge = features.contains(needed).then(|| half_matrix(adapter));
        let matrices = edge.flatten().map(|edge| Matrices {
            edge,
            obstacle: tier.obstacle(),
        });
        let usable = matrices.iter().filter(|m| m.obstacle.is_none());
        if precision == Precision::Fast {
            tier.cooperative_matrix = usable.map(|m| m.edge).next();
        }
        (tier, matrices)
    }

    /// What keeps the shader from cooperative matrices: it counts on subgroups of 32 lanes.
    fn obstacle(&self) -> Option<String> {
        let (least, most) = self.subgroup_size;
        if !self.subgroups {
            Some("it has no subgroups".to_owned())
        } else if (least, most) != (32, 32) {
            Some(format!(
                "its subgroups have {least} to {most} lanes, not 32"
            ))
        } else if self.workgroup_bytes < COOPERATIVE_BYTES {
            Some(format!(
                "it has {} KiB of workgroup memory, not {}",
                self.workgroup_bytes >> 10,
                COOPERATIVE_BYTES >> 10
            ))
        } else {
            None
        }
    }

    /// Whether this is a rasteriser on the CPU whose subgroups are one 256-bit vector: the shaders
    /// named `lanes` are made for it.
    pub fn suits_lanes(&self) -> bool {
        self.software && self.subgroups && self.subgroup_size == (8, 8)
    }

    /// The tier in a word or two, for people.
    pub fn name(&self) -> &'static str {
        match (self.subgroups, self.f16, self.cooperative_matrix) {
            (_, true, Some(_)) => "cooperative matrix",
            (true, true, None) => "subgroups, f16",
            (true, false, _) => "subgroups",
            (false, true, None) => "f16",
            (false, false, _) => "portable",
        }
    }
}

/// Metal only promises 4 to 64 lanes, but GPUs of Apple's own, the only ones that have cooperative
/// matrices there, always have 32.
fn subgroup_size(info: &AdapterInfo, features: Features) -> (u32, u32) {
    let apple = info.backend == Backend::Metal
        && features.contains(Features::EXPERIMENTAL_COOPERATIVE_MATRIX);
    if apple {
        (32, 32)
    } else {
        (info.subgroup_min_size, info.subgroup_max_size)
    }
}

/// Whether an adapter computes on the CPU.
pub(super) fn is_software(info: &AdapterInfo) -> bool {
    info.device_type == DeviceType::Cpu
}

/// The edge of the largest square f16 matrices with f32 sums that an adapter multiplies: WGSL knows
/// edges 8 and 16.
fn half_matrix(adapter: &wgpu::Adapter) -> Option<u32> {
    adapter
        .cooperative_matrix_properties()
        .iter()
        .filter(|p| {
            p.ab_type == CooperativeScalarType::F16
                && p.cr_type == CooperativeScalarType::F32
                && p.m_size == p.n_size
                && p.n_size == p.k_size
                && (p.m_size == 8 || p.m_size == 16)
        })
        .map(|p| p.m_size)
        .max()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_keeps_a_device_from_cooperative_matrices_is_named() {
        let tier = Tier {
            subgroups: true,
            subgroup_size: (32, 32),
            f16: true,
            cooperative_matrix: None,
            software: false,
            precision: Precision::Fast,
            workgroup_bytes: 32 << 10,
            workgroup_invocations: 256,
        };
        assert_eq!(tier.obstacle(), None);
        let of = |tier: Tier| tier.obstacle().unwrap_or_default();
        let wide = Tier {
            subgroup_size: (32, 64),
            ..tier.clone()
        };
        assert!(of(wide).contains("32 to 64 lanes"));
        let small = Tier {
            workgroup_bytes: 16 << 10,
            ..tier.clone()
        };
        assert!(of(small).contains("16 KiB of workgroup memory, not 28"));
        let bare = Tier {
            subgroups: false,
            ..tier
        };
        assert!(of(bare).contains("no subgroups"));
    }
}
