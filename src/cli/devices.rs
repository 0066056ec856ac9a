//! `inscribe devices`: what there is to run on.

use anyhow::Result;
use serde_json::{Value, json};

use inscribe::engine::cpu::CpuDevice;
use inscribe::engine::gpu::{AdapterReport, Def, Matrices, list_adapters};
use inscribe::engine::select::DeviceChoice;
use inscribe::engine::{DType, Op, Recording, Shard, Tensor, Weight, select};
use inscribe::kernels::attention::{AttentionShape, attention};
use inscribe::kernels::cross_entropy::{STATE_COLS, cross_entropy};
use inscribe::kernels::embed::embed;
use inscribe::kernels::gated::{Activation, gated};
use inscribe::kernels::matmul::{Onto, matmul};
use inscribe::kernels::norm::rms_norm;
use inscribe::kernels::rope::{RopeShape, rope};
use inscribe::kernels::self_test::fast_products;

use inscribe::words;

use super::out::outln;
use super::{Context, setup};

/// List every device, what it can do and which one `auto` takes
#[derive(clap::Args)]
pub struct Args {
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    /// Also list the kernel variants each GPU would run
    #[arg(long)]
    variants: bool,
}

pub fn run(args: &Args, app: &Context) -> Result<()> {
    let adapters = list_adapters(app.precision()).into_iter();
    let adapters: Vec<_> = adapters.map(|a| a.tested(fast_products)).collect();
    let cpu = CpuDevice::new(app.threads());
    let asked: DeviceChoice = setup::device_choice(app)?;
    let unknown = match &asked {
        DeviceChoice::Auto | DeviceChoice::Cpu => false,
        DeviceChoice::Gpu => adapters.is_empty(),
        DeviceChoice::Index(index) => !adapters.iter().any(|a| a.index == *index),
        DeviceChoice::Named(name) => {
            let name = name.to_lowercase();
            !adapters
                .iter()
                .any(|a| a.name.to_lowercase().contains(&name))
        }
    };
    if unknown {
        app.note(&format!(
            "note: --device {}: none of these",
            app.global.device
        ));
    }
    let (index, why) = select::automatic(&adapters);
    let chosen = index.and_then(|i| adapters.iter().find(|a| a.index == i));
    let chosen = chosen.map_or("the CPU", |a| a.name.as_str());
    if args.json {
        let gpus: Vec<_> = adapters
            .iter()
            .map(|a| adapter_json(a, args.variants))
            .collect();
        return super::print_json(&json!({
            "cpu": {
                "name": cpu.name,
                "threads": cpu.threads(),
                "available_bytes": cpu.available_bytes(),
            },
            "gpus": gpus,
            "auto": { "index": index, "device": chosen, "why": why },
        }));
    }
    for adapter in &adapters {
        print_adapter(adapter, args.variants);
    }
    if adapters.is_empty() {
        outln!("no GPU adapter found; install a Vulkan, Metal or DX12 driver to use a GPU\n");
    }
    outln!("cpu  {}", cpu.name);
    outln!(
        "     memory     {} free",
        words::bytes(cpu.available_bytes())
    );
    outln!("\nauto takes {chosen}: {why}");
    outln!("choose another with --device cpu, gpu, a number above, or a part of a name");
    Ok(())
}

fn print_adapter(adapter: &AdapterReport, variants: bool) {
    let tier = &adapter.tier;
    outln!(
        "{:<4} {} ({}, {})",
        adapter.index,
        adapter.name,
        adapter.kind.name(),
        adapter.backend
    );
    outln!("     driver     {}", adapter.driver);
    outln!("     tier       {}", tier.name());
    if tier.subgroups {
        let (least, most) = tier.subgroup_size;
        outln!("     subgroups  {least} to {most} lanes");
    }
    if let Some(Matrices { edge, obstacle }) = &adapter.matrices {
        let use_of_them = match obstacle {
            None => "used with --fast".to_owned(),
            Some(obstacle) => format!("not used: {obstacle}"),
        };
        outln!("     matrices   {edge} x {edge}, f16 to f32, {use_of_them}");
    }
    outln!(
        "     workgroup  {} invocations, {} KiB",
        tier.workgroup_invocations,
        tier.workgroup_bytes >> 10
    );
    outln!(
        "     limits     {} a binding, {} a buffer",
        words::bytes(adapter.max_binding_bytes),
        words::bytes(adapter.max_buffer_bytes)
    );
    outln!(
        "     memory     {}",
        adapter.memory_bytes.map_or("unknown".into(), words::bytes)
    );
    outln!(
        "     timing     {}",
        if adapter.timestamps {
            "by kernel"
        } else {
            "by submission"
        }
    );
    if variants {
        for line in variant_names(adapter) {
            outln!("     variant    {line}");
        }
    }
    outln!("");
}

fn adapter_json(adapter: &AdapterReport, variants: bool) -> Value {
    let tier = &adapter.tier;
    let mut object = json!({
        "index": adapter.index,
        "name": adapter.name,
        "backend": adapter.backend,
        "driver": adapter.driver,
        "kind": adapter.kind.name(),
        "tier": tier.name(),
        "subgroup_size": tier.subgroups.then_some(tier.subgroup_size),
        "f16": tier.f16,
        "cooperative_matrix": adapter.matrices.as_ref().map(|matrices| json!({
            "edge": matrices.edge,
            "obstacle": matrices.obstacle,
        })),
        "workgroup_invocations": tier.workgroup_invocations,
        "workgroup_bytes": tier.workgroup_bytes,
        "max_binding_bytes": adapter.max_binding_bytes,
        "max_buffer_bytes": adapter.max_buffer_bytes,
        "memory_bytes": adapter.memory_bytes,
        "timestamps": adapter.timestamps,
        "automatic": adapter.automatic,
    });
    if variants {
        object["variants"] = json!(variant_names(adapter));
    }
    object
}

/// What each kernel would run on this adapter when a document is read and when a token is
/// written, with weights of the default model's types.
fn variant_names(adapter: &AdapterReport) -> Vec<String> {
    let mut names = Vec::new();
    for (what, rows) in [("reading", 512), ("writing", 1)] {
        let pass = sample_pass(rows);
        for op in pass.ops() {
            let Op::Dispatch(dispatch) = op else { continue };
            let variant = (dispatch.kernel.gpu)(dispatch, &adapter.tier);
            let defs = variant.defs.iter().map(|(name, def)| match def {
                Def::Flag => (*name).to_owned(),
                Def::U32(value) => format!("{name}={value}"),
            });
            let defs = defs.collect::<Vec<_>>().join(" ");
            names.push(format!(
                "{what} {}: {}.wgsl {defs}",
                dispatch.label(),
                variant.shader
            ));
        }
    }
    names
}

/// One launch of each kernel on tensors that have no memory: enough to choose variants by.
fn sample_pass(rows: usize) -> Recording {
    let (heads, kv_heads, head_dim, ffn, keys) = (9, 3, 64, 1536, 1024);
    let (width, kv_width) = (heads * head_dim, kv_heads * head_dim);
    let mut rec = Recording::new();
    let rec = &mut rec;
    let x = rec.temp(DType::F32, rows, width);
    let h = rec.temp(DType::F32, rows, width);
    let weight = |rec: &mut Recording, dtype: DType, rows: usize, cols: usize| {
        let dense = rec.temp(DType::F32, rows, cols);
        let shards = vec![Shard {
            first_row: 0,
            tensor: Tensor { dtype, ..dense },
        }];
        Weight {
            dtype,
            rows,
            cols,
            shards,
        }
    };
    let ids = rec.temp(DType::U32, 1, rows);
    let norm = rec.temp(DType::F32, 1, width);
    let table = weight(rec, DType::Q8_0, 4096, width);
    embed(rec, &ids, &table, 1.0, &x);
    rms_norm(rec, &x, &norm, 1e-5, &h, false);
    let (gate, up) = (
        rec.temp(DType::F32, rows, ffn),
        rec.temp(DType::F32, rows, ffn),
    );
    for dtype in DType::WEIGHTS {
        let cols = width.next_multiple_of(dtype.block_len());
        let (input, projection) = (
            rec.temp(DType::F32, rows, cols),
            weight(rec, dtype, ffn, cols),
        );
        matmul(rec, &input, &projection, None, &gate, Onto::Replace);
    }
    gated(rec, &gate, &up, Activation::Silu);
    let angles = rec.temp(DType::F32, keys, head_dim);
    let turn = RopeShape {
        heads,
        head_dim,
        interleaved: true,
        eps: 1e-5,
    };
    rope(rec, &x, None, &angles, &ids, &h, turn, false);
    let (k, v) = (
        rec.temp(DType::F32, keys, kv_width),
        rec.temp(DType::F32, keys, kv_width),
    );
    let shape = AttentionShape {
        heads,
        kv_heads,
        head_dim,
        window: None,
        sequence: None,
        scale: 0.125,
    };
    attention(rec, &x, &k, &v, &ids, &h, shape, keys);
    let (logits, state) = (
        rec.temp(DType::F32, rows, 4096),
        rec.temp(DType::F32, rows, STATE_COLS),
    );
    cross_entropy(rec, &logits, &ids, &state, 0, true);
    std::mem::take(rec)
}
