//! Pipelines, made once for each variant, and the cache that drivers keep them in on disk.

use std::collections::HashMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use wgpu::{
    BindGroupLayout, BindGroupLayoutEntry, BindingType, BufferBindingType, ComputePipeline, Device,
    PipelineCache, ShaderStages,
};

use super::errors::Failures;
use super::shader::Shaders;
use super::variant::{Def, Variant};
use crate::engine::error::Result;
use crate::engine::recording::{Access, Kernel};

/// A compiled variant and the layout of its one bind group.
pub struct Pipeline {
    pub pipeline: ComputePipeline,
    pub layout: BindGroupLayout,
}

type Key = (&'static str, Vec<(&'static str, Def)>);

/// The pipelines of one device.
pub struct Pipelines {
    checked: bool,
    shaders: Mutex<Shaders>,
    made: Mutex<HashMap<Key, Arc<Pipeline>>>,
    cache: Option<DiskCache>,
}

struct DiskCache {
    cache: PipelineCache,
    path: PathBuf,
}

impl Pipelines {
    /// `cache` is where the driver's own cache is kept; `checked` keeps bounds checks in shaders.
    pub fn new(
        device: &Device,
        failures: &Failures,
        cache: Option<PathBuf>,
        checked: bool,
    ) -> Result<Pipelines> {
        let shaders = Shaders::new().map_err(|detail| failures.shader("shared", detail))?;
        Ok(Pipelines {
            checked,
            shaders: Mutex::new(shaders),
            made: Mutex::default(),
            cache: cache.and_then(|path| DiskCache::open(device, failures, path)),
        })
    }

    /// The pipeline of a variant of `kernel`, made at its first use.
    pub fn get(
        &self,
        device: &Device,
        failures: &Failures,
        kernel: &Kernel,
        variant: &Variant,
    ) -> Result<Arc<Pipeline>> {
        let key = (variant.shader, variant.defs.clone());
        let mut made = self.made.lock().unwrap_or_else(|e| e.into_inner());
        if let Some(pipeline) = made.get(&key) {
            return Ok(pipeline.clone());
        }
        let pipeline = Arc::new(self.make(device, failures, kernel, variant)?);
        made.insert(key, pipeline.clone());
        Ok(pipeline)
    }

    fn make(
        &self,
        device: &Device,
        failures: &Failures,
        kernel: &Kernel,
        variant: &Variant,
    ) -> Result<Pipeline> {
        let name = format!("{} {:?}", variant.shader, variant.defs);
        let module = self
            .shaders
            .lock()
            .unwrap_or_else(|e| e.into_inner())
            .compose(variant)
            .map_err(|detail| failures.shader(&name, detail))?;
        let cache = self.cache.as_ref().map(|c| &c.cache);
        let (made, error) = failures.scoped(device, || {
            let source = wgpu::ShaderModuleDescriptor {
                label: Some(variant.shader),
                source: wgpu::ShaderSource::Naga(std::borrow::Cow::Owned(module)),
            };
            compile(device, kernel, source, self.checked, cache)
        });
        match error {
            None => Ok(made),
            Some(error) => Err(failures.shader(&name, error.to_string())),
        }
    }

    /// Writes the driver's cache to disk; a failure only costs time at the next start.
    pub fn save(&self) {
        if let Some(cache) = &self.cache {
            cache.save();
        }
    }
}

fn compile(
    device: &Device,
    kernel: &Kernel,
    source: wgpu::ShaderModuleDescriptor<'_>,
    checked: bool,
    cache: Option<&PipelineCache>,
) -> Pipeline {
    let checks = if checked {
        wgpu::ShaderRuntimeChecks::checked()
    } else {
        wgpu::ShaderRuntimeChecks::unchecked()
    };
    // SAFETY: the shaders are this crate's own; tests run every variant with its checks on and
    // hold it against its twin at odd shapes.
    let module = unsafe { device.create_shader_module_trusted(source, checks) };
    let layout = bind_group_layout(device, kernel);
    let pipeline_layout = device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
        label: Some(kernel.name),
        bind_group_layouts: &[Some(&layout)],
        immediate_size: 0,
    });
    let pipeline = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
        label: Some(kernel.name),
        layout: Some(&pipeline_layout),
        module: &module,
        entry_point: Some("main"),
        compilation_options: wgpu::PipelineCompilationOptions {
            constants: &[],
            zero_initialize_workgroup_memory: false,
        },
        cache,
    });
    Pipeline { pipeline, layout }
}

/// Binding 0 is the uniform block, binding `i + 1` the kernel's binding `i`.
fn bind_group_layout(device: &Device, kernel: &Kernel) -> BindGroupLayout {
    let entry = |binding, ty, has_dynamic_offset| BindGroupLayoutEntry {
        binding,
        visibility: ShaderStages::COMPUTE,
        ty: BindingType::Buffer {
            ty,
            has_dynamic_offset,
            min_binding_size: None,
        },
        count: None,
    };
    let mut entries = vec![entry(0, BufferBindingType::Uniform, true)];
    for (i, binding) in kernel.bindings.iter().enumerate() {
        let storage = BufferBindingType::Storage {
            read_only: binding.access == Access::Read,
        };
        entries.push(entry(i as u32 + 1, storage, false));
    }
    device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor {
        label: Some(kernel.name),
        entries: &entries,
    })
}

impl DiskCache {
    fn open(device: &Device, failures: &Failures, path: PathBuf) -> Option<DiskCache> {
        let data = std::fs::read(&path).ok();
        let make = |data: Option<&[u8]>| {
            failures.scoped(device, || {
                // SAFETY: the file was written by `save` from `get_data`; wgpu and the driver
                // check its header, and `fallback` makes them start empty where it does not fit.
                unsafe {
                    device.create_pipeline_cache(&wgpu::PipelineCacheDescriptor {
                        label: Some("inscribe"),
                        data,
                        fallback: true,
                    })
                }
            })
        };
        let (mut cache, mut error) = make(data.as_deref());
        if error.is_some() && data.is_some() {
            (cache, error) = make(None);
        }
        error.is_none().then_some(DiskCache { cache, path })
    }

    fn save(&self) {
        if let Some(data) = self.cache.get_data() {
            // Nobody waits for this file: the next start compiles again without it.
            let _ = write_beside(&self.path, &data);
        }
    }
}

/// Writes a file under another name in its folder, then renames it into place.
fn write_beside(path: &Path, data: &[u8]) -> std::io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder)?;
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(data)?;
    file.persist(path)?;
    Ok(())
}
