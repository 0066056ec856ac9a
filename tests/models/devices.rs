//! What whole models are tested on.

/// A test of each check on the processor, and on the adapter with the shaders of each tier that
/// GPUs have: software rasterisers have shaders of their own above these.
macro_rules! on_every_device {
    ($($name:ident: $check:expr;)*) => {
        mod on_the_cpu {
            use super::*;
            $(#[test] fn $name() {
                ($check)(crate::common::cpu());
            })*
        }
        mod on_the_portable_tier {
            use super::*;
            $(#[test] fn $name() {
                ($check)(crate::common::gpu(inscribe::engine::gpu::TierCap::Portable));
            })*
        }
        mod on_the_subgroup_tier {
            use super::*;
            $(#[test] fn $name() {
                ($check)(crate::common::gpu(inscribe::engine::gpu::TierCap::Subgroups));
            })*
        }
    };
}
pub(crate) use on_every_device;
