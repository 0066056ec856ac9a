//! `inscribe bench`: speed of the kernels and of whole models.

mod kernels;
mod step;

use std::time::Instant;

use anyhow::{Result, bail};
use clap::ValueEnum;
use serde::Serialize;

use inscribe::engine::{CancelToken, DType, Device, RunOptions};
use inscribe::model::config::ModelConfig;
use inscribe::model::session::{Session, SessionOptions};
use inscribe::model::shapes;
use inscribe::model::transformer::Transformer;
use inscribe::words;

use super::Context;
use super::numbers;
use super::out::outln;
use super::setup;
use kernels::{Ceilings, Effort, KernelBench, Measured};
use step::{KernelTime, Kind};

/// Measure kernels against the device's ceilings, and the speed of prefill, decoding and a LoRA
/// step
///
/// GFLOP/s and GB/s stand beside the best plain matmul and the best copy measured on the same
/// device in the same run.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  inscribe bench
  inscribe bench --only prefill,decode --prefill 1024 --decode 64 --json
  inscribe bench --shape qwen3-4b --weights q4_0 --device gpu")]
pub struct Args {
    /// A model: a known name, a .gguf file, a model folder or a hub id
    #[arg(long, short, default_value = setup::DEFAULT_MODEL)]
    model: String,
    /// Measure random weights of a known shape instead of a model
    #[arg(long, value_enum, conflicts_with = "model")]
    shape: Option<Shape>,
    /// The type of random weights: f32, f16, bf16, q8_0, q4_0, q4_1, q5_0, q5_1, q4_k, q5_k, q6_k
    #[arg(long, default_value = "q4_0", requires = "shape", value_parser = weight_type)]
    weights: DType,
    /// What to measure
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = [Timed::Kernels, Timed::Prefill, Timed::Decode, Timed::Step])]
    only: Vec<Timed>,
    /// Tokens to read
    #[arg(long, default_value_t = 512, value_name = "N", value_parser = numbers::whole::<usize>)]
    prefill: usize,
    /// Tokens to write after them
    #[arg(long, default_value_t = 32, value_name = "N", value_parser = numbers::whole::<usize>)]
    decode: usize,
    /// Tokens of a LoRA step
    #[arg(long, default_value_t = 256, value_name = "N", value_parser = numbers::whole::<usize>)]
    step: usize,
    /// Repeat everything this often and take medians
    #[arg(long, default_value_t = 3, value_name = "N", value_parser = numbers::whole::<usize>)]
    rounds: usize,
    /// Prefill as scoring does, with the log-probability of every token
    #[arg(long)]
    score: bool,
    /// Edge of the square matmul that sets the ceiling
    #[arg(long, value_name = "N", value_parser = numbers::whole::<usize>)]
    edge: Option<usize>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Timed {
    Kernels,
    Prefill,
    Decode,
    /// LoRA steps, whole and against a frozen cache, and the time each kernel takes in them
    Step,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Shape {
    #[value(name = "smollm2-135m")]
    Smollm2,
    #[value(name = "qwen3-4b")]
    Qwen3,
}

#[derive(Serialize, Default)]
struct Report {
    device: String,
    model: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    ceilings: Option<Ceilings>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    kernels: Vec<Measured>,
    #[serde(skip_serializing_if = "Option::is_none")]
    prefill: Option<Speed>,
    #[serde(skip_serializing_if = "Option::is_none")]
    decode: Option<Speed>,
    #[serde(skip_serializing_if = "Option::is_none")]
    step: Option<Speed>,
    #[serde(skip_serializing_if = "Option::is_none")]
    step_gflop: Option<f64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    step_kernels: Vec<KernelTime>,
    /// Speed of a step over spans, against the keys and values of as many tokens.
    #[serde(skip_serializing_if = "Option::is_none")]
    frozen_step: Option<Speed>,
    #[serde(skip_serializing_if = "Option::is_none")]
    frozen_step_gflop: Option<f64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    frozen_step_kernels: Vec<KernelTime>,
    /// Tables of both kinds of step, for people.
    #[serde(skip)]
    step_tables: String,
    weight_bytes: u64,
    cache_bytes: u64,
    activation_bytes: u64,
    /// Most memory that the process held, in bytes, where the system reports it.
    peak_rss_bytes: Option<u64>,
    /// Most memory that buffers on a GPU took, in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    peak_device_bytes: Option<u64>,
}

/// Tokens and the seconds each round took over them.
#[derive(Serialize)]
struct Speed {
    tokens: usize,
    seconds: Vec<f64>,
    tokens_per_second: f64,
}

impl Speed {
    fn new(tokens: usize, seconds: Vec<f64>) -> Speed {
        let mut sorted = seconds.clone();
        sorted.sort_by(f64::total_cmp);
        let median = sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN);
        Speed {
            tokens,
            seconds,
            tokens_per_second: tokens as f64 / median,
        }
    }
}

pub fn run(args: &Args, app: &Context) -> Result<()> {
    let counts = [args.prefill, args.decode, args.step, args.rounds];
    if counts.iter().any(|count| !(1..=1 << 24).contains(count)) {
        bail!(
            "--prefill, --decode, --step and --rounds must lie between 1 and {}",
            1 << 24
        );
    }
    if args.edge.is_some_and(|edge| !(64..=16_384).contains(&edge)) {
        bail!("--edge must lie between 64 and 16384");
    }
    let mut report = Report::default();
    let whole = args.only.iter().any(|part| *part != Timed::Kernels);
    if whole {
        bench_model(args, app, &mut report)?;
    }
    if args.only.contains(&Timed::Kernels) {
        let device = setup::open_device(app)?;
        bench_kernels(args, app, &device, &mut report)?;
    }
    report.peak_rss_bytes = peak_rss();
    if args.json {
        outln!("{}", serde_json::to_string(&report)?);
    } else {
        print_summary(&report, whole);
    }
    Ok(())
}

fn bench_kernels(args: &Args, app: &Context, device: &Device, report: &mut Report) -> Result<()> {
    let edge = args.edge.unwrap_or(if device.is_software() {
        512
    } else if device.is_gpu() {
        4096
    } else {
        1024
    });
    let effort = Effort {
        edge,
        rounds: args.rounds,
        round_secs: 0.1,
    };
    let options = RunOptions {
        cancel: Some(&app.cancel),
        profile: None,
    };
    let bench = KernelBench {
        device,
        effort,
        options,
    };
    let ceilings = bench.ceilings()?;
    if !args.json {
        outln!(
            "{}\nceilings: f32 matmul {edge}^3 {:.1} GFLOP/s, copy {:.1} GB/s\n",
            device.name(),
            ceilings.matmul_gflops,
            ceilings.copy_gbytes
        );
        outln!(
            "{:<16} {:<24} {:>10} {:>9} {:>6} {:>8} {:>6}",
            "kernel",
            "shape",
            "us",
            "GFLOP/s",
            "of",
            "GB/s",
            "of"
        );
    }
    let measured = bench.all(ceilings, |m| {
        if !args.json {
            outln!(
                "{:<16} {:<24} {:>10.1} {:>9.1} {:>5.0}% {:>8.1} {:>5.0}%",
                m.kernel,
                m.shape,
                m.secs * 1e6,
                m.gflops,
                100.0 * m.of_matmul_ceiling,
                m.gbytes,
                100.0 * m.of_copy_ceiling
            );
        }
    })?;
    report.device = device.name().to_owned();
    report.ceilings = Some(ceilings);
    report.kernels = measured;
    Ok(())
}

fn bench_model(args: &Args, app: &Context, report: &mut Report) -> Result<()> {
    match args.shape {
        None => {
            let loaded = setup::load(&args.model, app)?;
            report.model = loaded.model.name.clone();
            time_model(args, app, &loaded.device, &loaded.transformer, report)
        }
        Some(shape) => {
            let (name, config): (_, ModelConfig) = match shape {
                Shape::Smollm2 => ("SmolLM2-135M shape", shapes::smollm2_135m()),
                Shape::Qwen3 => ("Qwen3-4B shape", shapes::qwen3_4b()),
            };
            let device = setup::open_device(app)?;
            // The embedding and seven of each layer.
            let bar = app.counter("making weights", 7 * config.layers as u64 + 1, "weights");
            let transformer = Transformer::random(&device, config, args.weights, &|| {
                bar.inc(1);
                app.cancel.check()
            })?;
            bar.finish_and_clear();
            report.model = format!("{name}, random {}", args.weights);
            time_model(args, app, &device, &transformer, report)
        }
    }
}

fn time_model(
    args: &Args,
    app: &Context,
    device: &Device,
    model: &Transformer,
    report: &mut Report,
) -> Result<()> {
    report.device = device.name().to_owned();
    report.weight_bytes = model.weight_bytes();
    if args.only.contains(&Timed::Prefill) || args.only.contains(&Timed::Decode) {
        time_reading(args, app, device, model, report)?;
    }
    if args.only.contains(&Timed::Step) {
        time_steps(args, app, device, model, report)?;
    }
    if let Device::Gpu(gpu) = device {
        report.peak_device_bytes = Some(gpu.most_given_bytes());
    }
    Ok(())
}

fn time_steps(
    args: &Args,
    app: &Context,
    device: &Device,
    model: &Transformer,
    report: &mut Report,
) -> Result<()> {
    let of = |kind| step::measure(kind, device, model, args.step, args.rounds, &app.cancel);
    let whole = of(Kind::Whole)?;
    report.step = Some(Speed::new(whole.tokens, whole.seconds));
    report.step_gflop = Some(whole.gflop);
    report.step_kernels = whole.kernels;
    let frozen = of(Kind::Frozen)?;
    report.frozen_step = Some(Speed::new(frozen.tokens, frozen.seconds));
    report.frozen_step_gflop = Some(frozen.gflop);
    report.frozen_step_kernels = frozen.kernels;
    report.step_tables = format!(
        "in one LoRA step over {} tokens, {:.0} GFLOP\n{}\n\n\
         in one over {} of them against their frozen keys and values, {:.0} GFLOP\n{}",
        whole.tokens,
        whole.gflop,
        whole.table.trim_end(),
        frozen.tokens,
        frozen.gflop,
        frozen.table.trim_end()
    );
    Ok(())
}

fn time_reading(
    args: &Args,
    app: &Context,
    device: &Device,
    model: &Transformer,
    report: &mut Report,
) -> Result<()> {
    let capacity = args.prefill + args.decode + 1;
    let context = model.config.context;
    if capacity > context {
        bail!(
            "--prefill {} and --decode {} do not fit the model's context of {context} tokens; ask \
             for less",
            args.prefill,
            args.decode
        );
    }
    let options = SessionOptions::stopped_by(&app.cancel);
    let mut session = Session::new(device, model, capacity, options)?;
    let vocab = model.config.vocab;
    let tokens: Vec<u32> = (0..args.prefill)
        .map(|i| (i * 7919 % vocab) as u32)
        .collect();
    let (mut prefill, mut decode) = (Vec::new(), Vec::new());
    let bar = app.counter("rounds", args.rounds as u64 + 1, "rounds");
    // The first round compiles and warms up; it is not counted.
    for round in 0..=args.rounds {
        session.truncate(0);
        let secs = time(&app.cancel, || {
            if args.score {
                session.score(&tokens, &mut |_, _| {}).map(|_| ())
            } else {
                session.prefill(&tokens, &mut |_, _| {}).map(|_| ())
            }
        })?;
        if round > 0 {
            prefill.push(secs);
        }
        if args.only.contains(&Timed::Decode) {
            // One token before the clock starts, as the first token comes from the prefill.
            session.prefill(&tokens[..1], &mut |_, _| {})?;
            let secs = time(&app.cancel, || {
                for i in 0..args.decode {
                    session.prefill(&[(i * 31 % vocab) as u32], &mut |_, _| {})?;
                }
                Ok(())
            })?;
            if round > 0 {
                decode.push(secs);
            }
        }
        bar.set_position(round as u64 + 1);
    }
    bar.finish_and_clear();
    let asked = |part| args.only.contains(&part);
    report.prefill = asked(Timed::Prefill).then(|| Speed::new(args.prefill, prefill));
    report.decode = asked(Timed::Decode).then(|| Speed::new(args.decode, decode));
    report.cache_bytes =
        inscribe::model::transformer::Cache::bytes(&model.config, session.capacity());
    report.activation_bytes = session.activation_bytes();
    Ok(())
}

fn time(
    cancel: &CancelToken,
    work: impl FnOnce() -> Result<(), inscribe::model::ModelError>,
) -> Result<f64> {
    if cancel.is_cancelled() {
        bail!(inscribe::engine::EngineError::Cancelled);
    }
    let started = Instant::now();
    work()?;
    Ok(started.elapsed().as_secs_f64())
}

fn print_summary(report: &Report, whole: bool) {
    if whole {
        outln!("{} on {}", report.model, report.device);
    }
    let speeds = [
        ("prefill", &report.prefill),
        ("decode", &report.decode),
        ("step", &report.step),
        ("frozen", &report.frozen_step),
    ];
    for (name, speed) in speeds {
        if let Some(speed) = speed {
            outln!(
                "{name:<8} {:>6} tokens  {:>10.1} tokens/s",
                speed.tokens,
                speed.tokens_per_second
            );
        }
    }
    if whole {
        outln!(
            "memory   weights {}, cache {}, activations {}",
            words::bytes(report.weight_bytes),
            words::bytes(report.cache_bytes),
            words::bytes(report.activation_bytes)
        );
    }
    if !report.step_tables.is_empty() {
        outln!("\n{}", report.step_tables);
    }
    if let Some(peak) = report.peak_device_bytes {
        outln!("peak     {} on the device", words::bytes(peak));
    }
    if let Some(peak) = report.peak_rss_bytes {
        outln!("peak     {} resident", words::bytes(peak));
    }
}

fn weight_type(name: &str) -> Result<DType, String> {
    let wanted = name.to_uppercase();
    DType::WEIGHTS
        .into_iter()
        .find(|d| d.name() == wanted)
        .ok_or_else(|| {
            let names = DType::WEIGHTS.map(|d| d.name().to_lowercase());
            format!("the types are {}", names.join(", "))
        })
}

/// The most memory this process has held, as Linux reports it.
fn peak_rss() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}
