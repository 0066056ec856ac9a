//! Every variant of every shader, without a GPU: it composes, is valid, translates to what each
//! backend reads, and agrees with the Rust side on bindings and parameters.

use std::path::Path;

use inscribe::engine::gpu::shader::{Shaders, capabilities};
use inscribe::engine::gpu::{Needs, PORTABLE_WORKGROUP_BYTES, Variant};
use inscribe::engine::{Access, Kernel};
use inscribe::kernels;
use naga::valid::{ModuleInfo, ValidationFlags, Validator};
use naga::{AddressSpace, Module, StorageAccess, TypeInner};

/// Runs `check` on every variant's module.
fn for_each_variant(check: impl Fn(&Kernel, &Variant, &Module, &ModuleInfo)) {
    let mut shaders = Shaders::new().unwrap_or_else(|e| panic!("{e}"));
    let mut count = 0;
    for kernel in kernels::ALL {
        let variants = (kernel.variants)();
        assert!(!variants.is_empty(), "{} has no variants", kernel.name);
        for variant in variants {
            let module = shaders
                .compose(&variant)
                .unwrap_or_else(|e| panic!("{variant:?} does not compose:\n{e}"));
            let info = Validator::new(ValidationFlags::all(), capabilities(variant.needs))
                .validate(&module)
                .unwrap_or_else(|e| panic!("{variant:?} is not valid: {e:?}"));
            check(kernel, &variant, &module, &info);
            count += 1;
        }
    }
    assert!(count > 50, "only {count} variants");
}

#[test]
fn every_variant_translates_for_every_backend() {
    for_each_variant(|_, variant, module, info| {
        spirv(variant, module, info);
        msl(variant, module, info);
        // HLSL knows no cooperative matrices.
        if !variant.needs.cooperative_matrix {
            hlsl(variant, module, info);
        }
    });
}

fn spirv(variant: &Variant, module: &Module, info: &ModuleInfo) {
    let mut options = naga::back::spv::Options {
        lang_version: (1, 3),
        ..Default::default()
    };
    if variant.needs.cooperative_matrix {
        options.lang_version = (1, 6);
    }
    let words = naga::back::spv::write_vec(module, info, &options, None)
        .unwrap_or_else(|e| panic!("{variant:?} to SPIR-V: {e}"));
    assert!(words.len() > 100);
}

fn msl(variant: &Variant, module: &Module, info: &ModuleInfo) {
    let options = naga::back::msl::Options {
        lang_version: if variant.needs.cooperative_matrix {
            (2, 3)
        } else {
            (2, 1)
        },
        fake_missing_bindings: true,
        ..Default::default()
    };
    let pipeline = naga::back::msl::PipelineOptions::default();
    let (text, _) = naga::back::msl::write_string(module, info, &options, &pipeline)
        .unwrap_or_else(|e| panic!("{variant:?} to MSL: {e}"));
    assert!(text.contains("kernel void"), "{text}");
}

fn hlsl(variant: &Variant, module: &Module, info: &ModuleInfo) {
    let options = naga::back::hlsl::Options {
        shader_model: naga::back::hlsl::ShaderModel::V6_2,
        fake_missing_bindings: true,
        ..Default::default()
    };
    let pipeline = naga::back::hlsl::PipelineOptions::default();
    let mut text = String::new();
    naga::back::hlsl::Writer::new(&mut text, &options, &pipeline)
        .write(module, info, None)
        .unwrap_or_else(|e| panic!("{variant:?} to HLSL: {e}"));
    assert!(text.contains("numthreads"), "{text}");
}

/// A name as the shader wrote it, without what composing imports puts behind it.
fn plain(name: &str) -> &str {
    name.split("X_naga_oil").next().unwrap_or(name)
}

#[test]
fn bindings_agree_with_the_kernels() {
    for_each_variant(|kernel, variant, module, _| {
        assert_eq!(module.entry_points.len(), 1, "{variant:?}");
        assert_eq!(module.entry_points[0].name, "main", "{variant:?}");
        let mut bindings: Vec<_> = module
            .global_variables
            .iter()
            .filter_map(|(_, v)| v.binding.map(|b| (b.group, b.binding, v)))
            .collect();
        bindings.sort_by_key(|&(group, binding, _)| (group, binding));
        assert_eq!(bindings.len(), kernel.bindings.len() + 1, "{variant:?}");
        assert_eq!(bindings[0].2.space, AddressSpace::Uniform, "{variant:?}");
        for (i, binding) in kernel.bindings.iter().enumerate() {
            let (group, index, variable) = bindings[i + 1];
            let name = variable.name.as_deref().map(plain);
            assert_eq!(
                (group, index, name),
                (0, i as u32 + 1, Some(binding.name)),
                "{variant:?}"
            );
            let AddressSpace::Storage { access } = variable.space else {
                panic!("{variant:?}: '{}' is not a storage buffer", binding.name);
            };
            assert_eq!(
                access.contains(StorageAccess::STORE),
                binding.access != Access::Read,
                "{variant:?}: '{}'",
                binding.name
            );
        }
    });
}

#[test]
fn parameters_agree_with_the_kernels() {
    for_each_variant(|kernel, variant, module, _| {
        let (_, params) = module
            .global_variables
            .iter()
            .find(|(_, v)| v.space == AddressSpace::Uniform)
            .unwrap_or_else(|| panic!("{variant:?} has no parameters"));
        let TypeInner::Struct { members, span } = &module.types[params.ty].inner else {
            panic!("{variant:?}: the parameters are no struct");
        };
        let found: Vec<(&str, usize)> = members
            .iter()
            .map(|m| (m.name.as_deref().unwrap_or(""), m.offset as usize))
            .collect();
        let views = 16 * (1 + kernel.bindings.len());
        let mut expected = vec![("base", 0)];
        expected.extend(
            kernel
                .bindings
                .iter()
                .enumerate()
                .map(|(i, b)| (b.name, 16 * (i + 1))),
        );
        expected.extend(kernel.params.iter().map(|&(name, at)| (name, views + at)));
        assert_eq!(found, expected, "{variant:?}");
        let own = kernel.params.len() * 4;
        assert_eq!(
            *span as usize,
            (views + own).next_multiple_of(16),
            "{variant:?}"
        );
        for member in &members[1..=kernel.bindings.len()] {
            view_agrees(variant, module, member);
        }
        for member in &members[1 + kernel.bindings.len()..] {
            let size = module.types[member.ty].inner.size(module.to_ctx());
            assert_eq!(size, 4, "{variant:?}: '{:?}'", member.name);
        }
    });
}

fn view_agrees(variant: &Variant, module: &Module, member: &naga::StructMember) {
    let TypeInner::Struct { members, span } = &module.types[member.ty].inner else {
        panic!("{variant:?}: '{:?}' is no View", member.name);
    };
    let names: Vec<_> = members
        .iter()
        .map(|m| (m.name.as_deref().unwrap_or(""), m.offset))
        .collect();
    assert_eq!(
        (names.as_slice(), *span),
        (
            [("offset", 0), ("stride", 4), ("rows", 8), ("cols", 12)].as_slice(),
            16
        ),
        "{variant:?}"
    );
}

#[test]
fn what_a_variant_needs_is_what_its_module_uses() {
    for_each_variant(|_, variant, module, _| {
        let needless = Validator::new(ValidationFlags::all(), capabilities(Needs::default()))
            .validate(module)
            .is_ok();
        let needed = Needs {
            workgroup_bytes: 0,
            ..variant.needs
        };
        assert_eq!(
            needless,
            needed == Needs::default(),
            "{variant:?} states its needs wrongly"
        );
    });
}

/// Every device has 16 KiB: what takes more says so, to the next KiB.
#[test]
fn the_workgroup_memory_a_variant_needs_is_what_its_module_takes() {
    for_each_variant(|_, variant, module, _| {
        let shared = module.global_variables.iter().map(|(_, v)| v);
        let shared = shared.filter(|v| v.space == AddressSpace::WorkGroup);
        let bytes = |v: &naga::GlobalVariable| module.types[v.ty].inner.size(module.to_ctx());
        let taken: u32 = shared.map(bytes).sum();
        let needed = if taken > PORTABLE_WORKGROUP_BYTES {
            taken.next_multiple_of(1 << 10)
        } else {
            0
        };
        assert_eq!(
            variant.needs.workgroup_bytes, needed,
            "{variant:?} takes {taken} bytes"
        );
    });
}

/// WGSL promises zeros where a variable gets no value, but a reader should not have to know which
/// of them count on that.
#[test]
fn variables_of_functions_get_their_values_where_they_are_declared() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("shaders");
    let mut declared = 0;
    for folder in [root.clone(), root.join("shared")] {
        for entry in std::fs::read_dir(folder).expect("the shaders") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                continue;
            }
            let text = std::fs::read_to_string(&path).expect("a shader");
            let lines = text.lines().map(str::trim_start);
            for line in lines.filter(|line| line.starts_with("var ")) {
                assert!(line.contains('='), "{}: {line}", path.display());
                declared += 1;
            }
        }
    }
    assert!(declared > 100, "only {declared} variables");
}

#[test]
fn a_broken_variant_is_an_error_that_names_it() {
    let mut shaders = Shaders::new().unwrap_or_else(|e| panic!("{e}"));
    let absent = shaders.compose(&Variant::portable("no_such_shader", [1; 3]));
    assert!(absent.unwrap_err().contains("no_such_shader"));
    // Without a weight type the shared loader returns nothing.
    let untyped = shaders.compose(&Variant::portable("embed", [1; 3]));
    assert!(
        untyped.is_err() || {
            let module = untyped.expect("checked");
            Validator::new(ValidationFlags::all(), capabilities(Needs::default()))
                .validate(&module)
                .is_err()
        }
    );
}
