//! Speed of each kernel beside the device's own ceilings.

use std::time::Instant;

use anyhow::Result;
use serde::Serialize;

use inscribe::engine::{Arena, DType, Device, Recording, RunOptions, Tensor, Weight};
use inscribe::kernels::attention::{AttentionShape, attention};
use inscribe::kernels::cross_entropy::{STATE_COLS, cross_entropy};
use inscribe::kernels::embed::embed;
use inscribe::kernels::gated::{Activation, gated};
use inscribe::kernels::matmul::{Onto, matmul};
use inscribe::kernels::norm::rms_norm;
use inscribe::kernels::random::random_weight;
use inscribe::kernels::rope::{RopeShape, rope};

/// One measured kernel.
#[derive(Clone, Debug, Serialize)]
pub struct Measured {
    pub kernel: String,
    pub shape: String,
    /// Median seconds of one launch.
    pub secs: f64,
    pub gflops: f64,
    pub gbytes: f64,
    /// Share of the device's best measured plain matmul.
    pub of_matmul_ceiling: f64,
    /// Share of the device's best measured copy.
    pub of_copy_ceiling: f64,
}

/// What the device reaches at best.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Ceilings {
    /// GFLOP/s of f32 matmul on dense weights.
    pub matmul_gflops: f64,
    /// GB/s read plus written by a plain copy.
    pub copy_gbytes: f64,
}

/// How much to measure.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    /// Edge of the square matmul that is the ceiling.
    pub edge: usize,
    pub rounds: usize,
    /// Seconds one round should take at least.
    pub round_secs: f64,
}

/// Runs every kernel at the shapes of a small model.
pub struct KernelBench<'a> {
    pub device: &'a Device,
    pub effort: Effort,
    pub options: RunOptions<'a>,
}

type Record<'r> = &'r dyn Fn(&mut Recording);

impl KernelBench<'_> {
    pub fn ceilings(&self) -> Result<Ceilings> {
        let n = self.effort.edge;
        let (x, out) = (self.random(n, n)?, self.random(n, n)?);
        let weight = self.weight(DType::F32, n, n)?;
        let secs = self.time(&|rec| matmul(rec, &x, &weight, None, &out, Onto::Replace))?;
        let elements = n * n;
        let copy = self.time(&|rec| rec.copy(&x, &out))?;
        Ok(Ceilings {
            matmul_gflops: 2.0 * (n * n * n) as f64 / secs / 1e9,
            copy_gbytes: 8.0 * elements as f64 / copy / 1e9,
        })
    }

    pub fn all(
        &self,
        ceilings: Ceilings,
        mut each: impl FnMut(&Measured),
    ) -> Result<Vec<Measured>> {
        let mut found = Vec::new();
        let mut add = |name: &str, shape: String, record: Record<'_>| -> Result<()> {
            let (flops, bytes) = work(record);
            let secs = self.time(record)?;
            let (gflops, gbytes) = (flops as f64 / secs / 1e9, bytes as f64 / secs / 1e9);
            let measured = Measured {
                kernel: name.to_owned(),
                shape,
                secs,
                gflops,
                gbytes,
                of_matmul_ceiling: gflops / ceilings.matmul_gflops,
                of_copy_ceiling: gbytes / ceilings.copy_gbytes,
            };
            each(&measured);
            found.push(measured);
            Ok(())
        };
        self.matmuls(&mut add)?;
        self.others(&mut add)?;
        Ok(found)
    }

    fn matmuls(&self, add: &mut dyn FnMut(&str, String, Record<'_>) -> Result<()>) -> Result<()> {
        let (n, k) = (1536, 768);
        for rows in [256, 1] {
            let (x, out) = (self.random(rows, k)?, self.random(rows, n)?);
            for dtype in DType::WEIGHTS {
                let weight = self.weight(dtype, n, k)?;
                let record =
                    |rec: &mut Recording| matmul(rec, &x, &weight, None, &out, Onto::Replace);
                add(
                    &format!("matmul {dtype}"),
                    format!("{rows} x {k} x {n}"),
                    &record,
                )?;
            }
        }
        Ok(())
    }

    fn others(&self, add: &mut dyn FnMut(&str, String, Record<'_>) -> Result<()>) -> Result<()> {
        let (rows, width, ffn, vocab) = (256, 768, 1536, 4096);
        let (x, out) = (self.random(rows, width)?, self.random(rows, width)?);
        let (gate, up) = (self.random(rows, ffn)?, self.random(rows, ffn)?);
        let norm = self.random(1, width)?;
        let shape = format!("{rows} x {width}");
        add("rms_norm", shape.clone(), &|rec| {
            rms_norm(rec, &x, &norm, 1e-5, &out, false)
        })?;
        add("gated", format!("{rows} x {ffn}"), &|rec| {
            gated(rec, &gate, &up, Activation::Silu)
        })?;

        let (heads, kv_heads, head_dim, keys) = (12, 4, 64, 1024);
        let angles = self.random(keys, head_dim)?;
        let first = (keys - rows) as u32;
        let positions = self.ids((first..keys as u32).collect())?;
        let turn = RopeShape {
            heads,
            head_dim,
            interleaved: false,
            eps: 1e-5,
        };
        add("rope", shape.clone(), &|rec| {
            rope(rec, &x, None, &angles, &positions, &out, turn, false);
        })?;
        let (k, v) = (
            self.random(keys, kv_heads * head_dim)?,
            self.random(keys, kv_heads * head_dim)?,
        );
        let attend = AttentionShape {
            heads,
            kv_heads,
            head_dim,
            window: None,
            sequence: None,
            scale: 0.125,
        };
        add(
            "attention",
            format!("{rows} queries, {keys} keys"),
            &|rec| {
                attention(rec, &x, &k, &v, &positions, &out, attend, keys - rows / 2);
            },
        )?;
        let (q1, out1) = (x.row_range(0..1), out.row_range(0..1));
        let last = self.ids(vec![keys as u32 - 1])?;
        add("attention", format!("1 query, {keys} keys"), &|rec| {
            attention(rec, &q1, &k, &v, &last, &out1, attend, keys);
        })?;

        let table = self.weight(DType::Q8_0, vocab, width)?;
        let ids = self.ids((0..rows as u32).map(|i| i * 7 % vocab as u32).collect())?;
        add("embed Q8_0", shape, &|rec| {
            embed(rec, &ids, &table, 1.0, &out)
        })?;
        let (logits, state) = (self.random(rows, vocab)?, self.random(rows, STATE_COLS)?);
        add("cross_entropy", format!("{rows} x {vocab}"), &|rec| {
            cross_entropy(rec, &logits, &ids, &state, 0, true);
        })
    }

    /// Median seconds of one launch: rounds of as many launches as fill `round_secs`.
    fn time(&self, record: Record<'_>) -> Result<f64> {
        let mut arena = Arena::new();
        let mut program = |launches: usize| {
            let mut rec = Recording::new();
            (0..launches).for_each(|_| record(&mut rec));
            self.device.prepare(rec, &mut arena)
        };
        let once = program(1)?;
        self.run(&once)?;
        let first = self.run(&once)?.max(1e-7);
        let launches = ((self.effort.round_secs / first) as usize).clamp(1, 2000);
        let many = program(launches)?;
        self.run(&many)?;
        let mut rounds = Vec::with_capacity(self.effort.rounds);
        for _ in 0..self.effort.rounds.max(1) {
            rounds.push(self.run(&many)? / launches as f64);
        }
        rounds.sort_by(f64::total_cmp);
        Ok(rounds[rounds.len() / 2])
    }

    fn run(&self, program: &inscribe::engine::Program) -> Result<f64> {
        let started = Instant::now();
        self.device.run(program, &self.options)?;
        self.device.wait()?;
        Ok(started.elapsed().as_secs_f64())
    }

    fn random(&self, rows: usize, cols: usize) -> Result<Tensor> {
        let tensor = self
            .device
            .tensor(DType::F32, rows, cols, "benchmark data")?;
        let data: Vec<f32> = (0..rows * cols)
            .map(|i| ((i * 2_654_435_761) % 1024) as f32 / 512.0 - 1.0)
            .collect();
        self.device.write(&tensor, &data)?;
        Ok(tensor)
    }

    fn ids(&self, ids: Vec<u32>) -> Result<Tensor> {
        Ok(self.device.tensor_of(DType::U32, &ids, "benchmark data")?)
    }

    fn weight(&self, dtype: DType, rows: usize, cols: usize) -> Result<Weight> {
        let bytes = random_weight(dtype, rows, cols, 1);
        Ok(self
            .device
            .weight_of(&bytes, dtype, rows, cols, "a benchmark weight")?)
    }
}

/// Operations and bytes of one launch, as the kernels themselves count them.
fn work(record: Record<'_>) -> (u64, u64) {
    let mut rec = Recording::new();
    record(&mut rec);
    rec.ops()
        .iter()
        .fold((0, 0), |(flops, bytes), op| match op {
            inscribe::engine::Op::Dispatch(d) => (flops + d.flops, bytes + d.bytes),
            _ => (flops, bytes),
        })
}
