//! The WGSL sources and their composition into modules.

use std::collections::HashMap;

use naga::valid::Capabilities;
use naga_oil::compose::{
    ComposableModuleDescriptor, Composer, ComposerError, NagaModuleDescriptor, ShaderDefValue,
};

use super::variant::{Def, Needs, Variant};

macro_rules! sources {
    ($($name:literal),* $(,)?) => {
        &[$(($name, include_str!(concat!("../../../shaders/", $name, ".wgsl")))),*]
    };
}

/// Pieces that shaders import, each after those it imports itself.
const SHARED: &[(&str, &str)] = sources!["shared/view", "shared/weight", "shared/reduce"];

/// A file for each kernel family.
const SHADERS: &[(&str, &str)] = sources![
    "attention",
    "attention_row",
    "attention_tile",
    "cross_entropy",
    "embed",
    "gated",
    "matmul",
    "matmul_lanes",
    "matvec",
    "rms_norm",
    "rope",
    "scatter_rows",
];

/// Turns variants into naga modules.
pub struct Shaders {
    composer: Composer,
}

impl Shaders {
    pub fn new() -> Result<Shaders, String> {
        let needs = Needs {
            subgroups: true,
            f16: true,
            cooperative_matrix: true,
        };
        // Each finished module is validated on its own, with the capabilities of its variant.
        let mut composer = Composer::non_validating().with_capabilities(capabilities(needs));
        for (name, source) in SHARED {
            let added = composer.add_composable_module(ComposableModuleDescriptor {
                source,
                file_path: name,
                ..Default::default()
            });
            if let Err(error) = added {
                return Err(error.emit_to_string(&composer));
            }
        }
        Ok(Shaders { composer })
    }

    /// The module of one variant. Its entry point is `main`.
    pub fn compose(&mut self, variant: &Variant) -> Result<naga::Module, String> {
        let (_, source) = SHADERS
            .iter()
            .find(|(name, _)| *name == variant.shader)
            .ok_or_else(|| format!("there is no shader '{}'", variant.shader))?;
        let composed: Result<_, ComposerError> =
            self.composer.make_naga_module(NagaModuleDescriptor {
                source,
                file_path: variant.shader,
                shader_defs: definitions(variant),
                ..Default::default()
            });
        composed.map_err(|error| error.emit_to_string(&self.composer))
    }
}

/// What naga must allow for a variant's module to be valid.
pub fn capabilities(needs: Needs) -> Capabilities {
    // For `unpack2x16float`, which every backend used here has.
    let mut capabilities = Capabilities::SHADER_FLOAT16_IN_FLOAT32;
    if needs.subgroups {
        capabilities |= Capabilities::SUBGROUP;
    }
    if needs.f16 {
        capabilities |= Capabilities::SHADER_FLOAT16;
    }
    if needs.cooperative_matrix {
        capabilities |= Capabilities::COOPERATIVE_MATRIX;
    }
    capabilities
}

fn definitions(variant: &Variant) -> HashMap<String, ShaderDefValue> {
    variant
        .defs
        .iter()
        .map(|(name, def)| {
            let value = match def {
                Def::Flag => ShaderDefValue::Bool(true),
                Def::U32(value) => ShaderDefValue::UInt(*value),
            };
            ((*name).to_owned(), value)
        })
        .collect()
}
