//! Every path against the formulas in 64-bit floats, and those against finite differences of the
//! forward pass.

use proptest::prelude::*;

use super::*;
use crate::kernels::cpu::matmul::tests::Random;

#[derive(Clone, Debug)]
struct Case {
    positions: Vec<u32>,
    cache: usize,
    kv_heads: usize,
    group: usize,
    head_dim: usize,
    window: u32,
    /// Rows of each sequence, where there are several.
    sequence: usize,
    threads: usize,
    scale: f32,
    seed: u64,
    /// Whether all gradients are made at once, where that is to be held.
    together: Option<bool>,
}

impl Case {
    /// Whether positions rise in each sequence.
    fn rise(&self) -> bool {
        let each = match self.sequence {
            0 => self.positions.len().max(1),
            rows => rows,
        };
        self.positions.chunks(each).all(|own| own.is_sorted())
    }
}

/// A matrix with gaps that hold NaN, so that reading one shows.
struct Table {
    data: Vec<f32>,
    rows: usize,
    cols: usize,
    stride: usize,
}

impl Table {
    fn random(random: &mut Random, rows: usize, cols: usize, gap: usize) -> Table {
        let stride = cols + gap;
        let mut data = vec![f32::NAN; rows * stride];
        for row in data.chunks_mut(stride.max(1)) {
            row[..cols].copy_from_slice(&random.floats(cols));
        }
        Table {
            data,
            rows,
            cols,
            stride,
        }
    }

    fn mat(&self) -> Mat<'_, f32> {
        Mat {
            data: &self.data,
            rows: self.rows,
            cols: self.cols,
            stride: self.stride,
        }
    }

    fn mat_mut(&mut self) -> MatMut<'_> {
        MatMut::new(&mut self.data, self.rows, self.cols, self.stride)
    }

    fn wide(&self) -> Wide {
        (0..self.rows)
            .map(|r| self.mat().row(r).iter().map(|&v| f64::from(v)).collect())
            .collect()
    }
}

type Wide = Vec<Vec<f64>>;

/// The problem in 64-bit floats.
struct Exact<'a> {
    case: &'a Case,
    q: Wide,
    keys: Wide,
    values: Wide,
    d_out: Wide,
}

#[derive(Debug)]
struct Gradients {
    out: Wide,
    stats: Wide,
    dq: Wide,
    dk: Wide,
    dv: Wide,
}

impl Exact<'_> {
    fn visible(&self, r: usize) -> Range<usize> {
        let begin = match self.case.sequence {
            0 => 0,
            rows => r / rows * rows,
        };
        let end = self.case.positions[r] as usize + 1;
        let start = match self.case.window {
            0 => 0,
            window => end.saturating_sub(window as usize),
        };
        begin + start..begin + end
    }

    /// Shares of the visible keys, and the logarithm of the sum of their exponentials.
    fn shares(&self, r: usize, head: usize) -> (Vec<f64>, f64) {
        let (dim, group) = (self.case.head_dim, self.case.group);
        let query = &self.q[r][head * dim..][..dim];
        let scores: Vec<f64> = self
            .visible(r)
            .map(|j| {
                f64::from(self.case.scale) * dot(query, &self.keys[j][head / group * dim..][..dim])
            })
            .collect();
        let most = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let lse = most + scores.iter().map(|s| (s - most).exp()).sum::<f64>().ln();
        (scores.iter().map(|s| (s - lse).exp()).collect(), lse)
    }

    /// The sum of `d_out * out`: what all gradients are of.
    fn loss(&self) -> f64 {
        let out = self.output();
        out.iter().zip(&self.d_out).map(|(a, b)| dot(a, b)).sum()
    }

    fn output(&self) -> Wide {
        let Case {
            kv_heads,
            group,
            head_dim: dim,
            ..
        } = *self.case;
        let row = |r: usize| {
            let mut out = vec![0.0; kv_heads * group * dim];
            for head in 0..kv_heads * group {
                for (j, share) in self.visible(r).zip(self.shares(r, head).0) {
                    for d in 0..dim {
                        out[head * dim + d] += share * self.values[j][head / group * dim + d];
                    }
                }
            }
            out
        };
        (0..self.q.len()).map(row).collect()
    }

    fn gradients(&self) -> Gradients {
        let (dim, group, scale) = (
            self.case.head_dim,
            self.case.group,
            f64::from(self.case.scale),
        );
        let heads = self.case.kv_heads * group;
        let zeros = |like: &Wide| -> Wide { like.iter().map(|row| vec![0.0; row.len()]).collect() };
        let mut found = Gradients {
            out: self.output(),
            stats: vec![vec![0.0; 2 * heads]; self.q.len()],
            dq: zeros(&self.q),
            dk: zeros(&self.keys),
            dv: zeros(&self.values),
        };
        for r in 0..self.q.len() {
            for head in 0..heads {
                let (own, kv) = (head * dim, head / group * dim);
                let d_out = &self.d_out[r][own..][..dim];
                let delta = dot(d_out, &found.out[r][own..][..dim]);
                let (shares, lse) = self.shares(r, head);
                found.stats[r][2 * head..][..2].copy_from_slice(&[lse, delta]);
                for (j, share) in self.visible(r).zip(shares) {
                    let d_share = dot(d_out, &self.values[j][kv..][..dim]);
                    let d_score = share * (d_share - delta) * scale;
                    for (d, slope) in d_out.iter().enumerate() {
                        found.dq[r][own + d] += d_score * self.keys[j][kv + d];
                        found.dk[j][kv + d] += d_score * self.q[r][own + d];
                        found.dv[j][kv + d] += share * slope;
                    }
                }
            }
        }
        found
    }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn narrow(table: &Wide, cols: usize, gap: usize) -> Table {
    let rows = table.len();
    let stride = cols + gap;
    let mut data = vec![f32::NAN; rows * stride];
    for (to, from) in data.chunks_mut(stride.max(1)).zip(table) {
        to.iter_mut().zip(from).for_each(|(to, &v)| *to = v as f32);
    }
    Table {
        data,
        rows,
        cols,
        stride,
    }
}

/// All of `found` near `want`, with its gaps as they were.
fn near(what: &str, found: &Table, want: &Wide, tolerance: f64, note: &str) {
    let largest = want
        .iter()
        .flatten()
        .fold(1f64, |most, v| most.max(v.abs()));
    for (r, (found, want)) in found.data.chunks(found.stride.max(1)).zip(want).enumerate() {
        for (c, (&f, &w)) in found.iter().zip(want).enumerate() {
            assert!(
                (f64::from(f) - w).abs() <= tolerance * largest,
                "{what}: row {r} column {c} is {f} instead of {w}: {note}"
            );
        }
        assert!(found[want.len()..].iter().all(|v| v.is_nan()), "{what}");
    }
}

fn check(case: &Case) {
    let mut random = Random(case.seed);
    let heads = case.kv_heads * case.group;
    let (width, kv_width) = (heads * case.head_dim, case.kv_heads * case.head_dim);
    let rows = case.positions.len();
    let q = Table::random(&mut random, rows, width, 5);
    let keys = Table::random(&mut random, case.cache, kv_width, 3);
    let values = Table::random(&mut random, case.cache, kv_width, 1);
    let d_out = Table::random(&mut random, rows, width, 2);
    let exact = Exact {
        case,
        q: q.wide(),
        keys: keys.wide(),
        values: values.wide(),
        d_out: d_out.wide(),
    };
    let want = exact.gradients();
    let out = narrow(&want.out, width, 4);
    let forward = Attention {
        q: q.mat(),
        keys: keys.mat(),
        values: values.mat(),
        positions: &case.positions,
        heads,
        kv_heads: case.kv_heads,
        head_dim: case.head_dim,
        window: case.window,
        sequence: case.sequence,
        scale: case.scale,
    };
    let team = Team::new(case.threads);
    if let Some(together) = case.together {
        assert_eq!(
            Division::of(&forward, &team).is_some(),
            together,
            "{case:?}"
        );
    }
    let tolerance = 4e-6 * (1.0 + f64::from(case.scale));
    for simd in Simd::supported() {
        let note = format!("{simd:?} {case:?}");
        let mut stats = Table::random(&mut random, rows, 2 * heads, 1);
        let mut dq = Table::random(&mut random, rows, width, 6);
        BackQ {
            forward,
            out: out.mat(),
            d_out: d_out.mat(),
        }
        .run(&team, simd, &mut stats.mat_mut(), &mut dq.mat_mut());
        near("stats", &stats, &want.stats, tolerance, &note);
        near("dq", &dq, &want.dq, tolerance, &note);
        if !case.rise() {
            continue;
        }
        let mut dk = Table::random(&mut random, case.cache, kv_width, 7);
        let mut dv = Table::random(&mut random, case.cache, kv_width, 2);
        BackKv {
            forward,
            d_out: d_out.mat(),
            stats: stats.mat(),
        }
        .run(&team, simd, &mut dk.mat_mut(), &mut dv.mat_mut());
        near("dk", &dk, &want.dk, tolerance, &note);
        near("dv", &dv, &want.dv, tolerance, &note);
        let mut table = |rows, cols, gap| Table::random(&mut random, rows, cols, gap);
        let (mut stats, mut dq) = (table(rows, 2 * heads, 2), table(rows, width, 3));
        let (mut dk, mut dv) = (
            table(case.cache, kv_width, 1),
            table(case.cache, kv_width, 4),
        );
        let to = Targets {
            stats: &mut stats.mat_mut(),
            dq: &mut dq.mat_mut(),
            dk: &mut dk.mat_mut(),
            dv: &mut dv.mat_mut(),
        };
        BackQ {
            forward,
            out: out.mat(),
            d_out: d_out.mat(),
        }
        .run_with_kv(&team, simd, to);
        for (what, found, want) in [
            ("stats together", stats, &want.stats),
            ("dq together", dq, &want.dq),
            ("dk together", dk, &want.dk),
            ("dv together", dv, &want.dv),
        ] {
            near(what, &found, want, tolerance, &note);
        }
    }
}

/// The formulas, held against central differences of the forward pass.
#[test]
fn formulas_agree_with_finite_differences() {
    compare_with_differences(vec![3, 4, 9, 0, 6], 10, 0);
    // Two sequences.
    compare_with_differences((0..7).chain(0..7).collect(), 14, 7);
}

fn compare_with_differences(positions: Vec<u32>, cache: usize, sequence: usize) {
    let rows = positions.len();
    let case = Case {
        positions,
        cache,
        kv_heads: 2,
        group: 2,
        head_dim: 3,
        window: 5,
        sequence,
        threads: 1,
        scale: 0.9,
        seed: 7,
        together: None,
    };
    let mut random = Random(case.seed);
    let mut table = |rows, cols| Table::random(&mut random, rows, cols, 0).wide();
    let mut exact = Exact {
        case: &case,
        q: table(rows, 12),
        keys: table(cache, 6),
        values: table(cache, 6),
        d_out: table(rows, 12),
    };
    type Pick = for<'a> fn(&'a mut Exact<'_>) -> &'a mut Wide;
    let found = exact.gradients();
    let inputs: [(Pick, &Wide); 3] = [
        (|e| &mut e.q, &found.dq),
        (|e| &mut e.keys, &found.dk),
        (|e| &mut e.values, &found.dv),
    ];
    const STEP: f64 = 1e-5;
    for (pick, gradient) in inputs {
        for (r, row) in gradient.iter().enumerate() {
            for (c, &analytic) in row.iter().enumerate() {
                let mut at = |shift: f64| {
                    let before = pick(&mut exact)[r][c];
                    pick(&mut exact)[r][c] = before + shift;
                    let loss = exact.loss();
                    pick(&mut exact)[r][c] = before;
                    loss
                };
                let numeric = (at(STEP) - at(-STEP)) / (2.0 * STEP);
                assert!(
                    (numeric - analytic).abs() < 1e-8,
                    "row {r} column {c}: {analytic}, but differences give {numeric}"
                );
            }
        }
    }
}

/// Consecutive rows at the end of the cache, rising ones with gaps, or spans anywhere.
fn positions() -> impl Strategy<Value = (Vec<u32>, usize)> {
    let consecutive = (0usize..70, 0usize..200)
        .prop_map(|(rows, before)| ((before as u32..(before + rows) as u32).collect(), 0));
    let rising = prop::collection::vec(0u32..6, 0..50).prop_map(|gaps| {
        let sum = gaps.into_iter().scan(0, |at, gap| {
            *at += gap;
            Some(*at)
        });
        (sum.collect(), 0)
    });
    let spans = prop::collection::vec((0u32..600, 1u32..10), 1..8).prop_map(|spans| {
        let all = spans.into_iter().flat_map(|(at, len)| at..at + len);
        (all.collect(), 0)
    });
    (prop_oneof![consecutive, rising, spans], 1usize..5).prop_map(|((positions, _), more)| {
        let positions: Vec<u32> = positions;
        let seen = positions.iter().max().map_or(0, |&p| p as usize + 1);
        (positions, seen + more)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn every_path_agrees_with_the_formulas(
        (positions, cache) in positions(),
        kv_heads in 1usize..4,
        group in 1usize..5,
        head_dim in prop_oneof![Just(64usize), 1usize..100],
        window in prop_oneof![Just(0u32), 1u32..200],
        threads in 1usize..4,
        scale in prop_oneof![Just(0.125f32), Just(2.0f32)],
        seed: u64,
    ) {
        let together = None;
        check(&Case {
            positions, cache, kv_heads, group, head_dim, window, sequence: 0, threads, scale, seed,
            together,
        });
    }

    #[test]
    fn sequences_agree_with_the_formulas(
        sequence in prop_oneof![1usize..20, 20usize..150],
        count in 0usize..7,
        kv_heads in 1usize..4,
        group in 1usize..4,
        head_dim in prop_oneof![Just(32usize), Just(64), 1usize..70],
        window in prop_oneof![Just(0u32), 1u32..100],
        threads in 1usize..4,
        scale in prop_oneof![Just(0.125f32), Just(2.0f32)],
        seed: u64,
    ) {
        let positions = (0..count).flat_map(|_| 0..sequence as u32).collect();
        let (cache, together) = (count * sequence, None);
        check(&Case {
            positions, cache, kv_heads, group, head_dim, window, sequence, threads, scale, seed,
            together,
        });
    }
}

#[test]
fn long_sequences_and_wide_heads_agree() {
    let shapes = [
        (300, 1, 64),
        (150, 4, 256),
        (60, 9, 80),
        (64, 5, 48),
        (1, 9, 80),
        (1, 1, 1),
    ];
    for (rows, group, head_dim) in shapes {
        check(&Case {
            positions: (700..700 + rows).collect(),
            cache: 1000,
            kv_heads: 1,
            group,
            head_dim,
            window: 0,
            sequence: 0,
            threads: 3,
            scale: 0.1,
            seed: 1,
            // One row has no work for three threads.
            together: Some(rows > 1),
        });
    }
}
