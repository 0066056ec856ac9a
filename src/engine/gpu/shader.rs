//! The WGSL sources and their composition into modules.

use std::collections::HashMap;

use naga::valid::{Capabilities, ValidationFlags, Validator};
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
const SHARED: &[(&str, &str)] = sources![
    "shared/view",
    "shared/sequence",
    "shared/weight",
    "shared/reduce",
    "shared/columns",
    "shared/hyper",
    "shared/matmul_io",
    "shared/outer_io",
];

/// A file for each kernel family.
const SHADERS: &[(&str, &str)] = sources![
    "adamw",
    "add",
    "attention",
    "attention_back_kv",
    "attention_back_kv_tile",
    "attention_back_q",
    "attention_back_q_tile",
    "attention_lanes",
    "attention_row",
    "attention_tile",
    "column_sums",
    "cross_entropy",
    "cross_entropy_back",
    "embed",
    "embed_back",
    "gated",
    "gated_back",
    "matmul",
    "matmul_back_lanes",
    "matmul_cooperative",
    "matmul_lanes",
    "matmul_wide",
    "matvec",
    "outer",
    "outer_lanes",
    "outer_narrow",
    "rms_norm",
    "rms_norm_back",
    "rms_norm_gain_back",
    "rms_scales",
    "rope",
    "rope_back",
    "rope_gain_back",
    "scale",
    "scatter_rows",
    "sgd",
    "sort_ids",
    "sum_squares",
];

/// Parts that only cooperative matrices are used in, by the shader they complete.
const COOPERATIVE: &[(&str, &str)] = sources!["matmul_cooperative_main"];

/// Turns variants into naga modules.
pub struct Shaders {
    composer: Composer,
}

impl Shaders {
    /// Composes the modules that shaders share. Fails only where their source is wrong.
    pub fn new() -> Result<Shaders, String> {
        let needs = Needs {
            subgroups: true,
            f16: true,
            cooperative_matrix: true,
            workgroup_bytes: 0,
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
        let module = composed.map_err(|error| error.emit_to_string(&self.composer))?;
        if variant.needs.cooperative_matrix {
            return complete(module, variant);
        }
        Ok(module)
    }
}

/// Appends the cooperative part of a shader to the rest of it. naga_oil 0.23 loses the operands of
/// cooperative loads and stores when it copies a module, so this part goes past it, as text.
fn complete(module: naga::Module, variant: &Variant) -> Result<naga::Module, String> {
    let name = format!("{}_main", variant.shader);
    let (_, part) = COOPERATIVE
        .iter()
        .find(|(part, _)| *part == name)
        .ok_or_else(|| format!("there is no shader '{name}'"))?;
    let info = Validator::new(ValidationFlags::all(), capabilities(variant.needs))
        .validate(&module)
        .map_err(|error| error.emit_to_string_with_path("", variant.shader))?;
    let rest =
        naga::back::wgsl::write_string(&module, &info, naga::back::wgsl::WriterFlags::empty())
            .map_err(|error| error.to_string())?;
    let mut text = format!("enable wgpu_cooperative_matrix;\n{rest}\n{part}");
    for (def, value) in &variant.defs {
        if let Def::U32(value) = value {
            text = text.replace(&format!("#{{{def}}}"), &value.to_string());
        }
    }
    let mut module = naga::front::wgsl::parse_str(&text)
        .map_err(|error| error.emit_to_string_with_path(&text, &name))?;
    module.entry_points.retain(|entry| entry.name == "main");
    Ok(module)
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
