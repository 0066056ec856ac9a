//! Every path against softmax written out in 64-bit floats.

use proptest::prelude::*;

use super::*;
use crate::kernels::cpu::matmul::tests::Random;

fn reference(job: &Attention<'_>, r: usize, head: usize) -> Vec<f64> {
    let dim = job.head_dim;
    let query = &job.q.row(r)[head * dim..][..dim];
    let kv = head / job.group() * dim..(head / job.group() + 1) * dim;
    // The first row of its sequence.
    let begin = r.checked_div(job.sequence).unwrap_or(0) * job.sequence;
    let scores: Vec<f64> = job
        .visible(r)
        .map(|j| {
            let j = begin + j;
            let products = query.iter().zip(&job.keys.row(j)[kv.clone()]);
            let dot: f64 = products.map(|(&a, &b)| f64::from(a) * f64::from(b)).sum();
            dot * f64::from(job.scale)
        })
        .collect();
    let largest = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let shares: Vec<f64> = scores.iter().map(|s| (s - largest).exp()).collect();
    let total: f64 = shares.iter().sum();
    let mut out = vec![0f64; dim];
    for (j, share) in job.visible(r).zip(shares) {
        for (out, &v) in out.iter_mut().zip(&job.values.row(begin + j)[kv.clone()]) {
            *out += share / total * f64::from(v);
        }
    }
    out
}

#[derive(Clone, Copy, Debug)]
struct Case {
    rows: usize,
    cache: usize,
    kv_heads: usize,
    group: usize,
    head_dim: usize,
    window: u32,
    /// Rows of each sequence, where there are several.
    sequence: usize,
    /// Each row is at the position of its number.
    whole: bool,
    /// Whether the sequences are short, where that is to be held.
    short: Option<bool>,
    threads: usize,
    /// Scores this large leave one key nearly the whole share.
    scale: f32,
    seed: u64,
}

fn check(case: Case) {
    let mut random = Random(case.seed);
    let heads = case.kv_heads * case.group;
    let (width, kv_width) = (heads * case.head_dim, case.kv_heads * case.head_dim);
    let (q_stride, kv_stride) = (width + 5, kv_width + 3);
    let q = random.floats(case.rows * q_stride);
    let keys = random.floats(case.cache * kv_stride);
    let values = random.floats(case.cache * kv_stride);
    let seen = if case.sequence > 0 {
        case.sequence
    } else {
        case.cache
    };
    let positions: Vec<u32> = (0..case.rows)
        .map(|row| {
            if case.whole {
                (row % seen) as u32
            } else {
                (random.bits() % seen as u64) as u32
            }
        })
        .collect();
    let cache = |data| Mat {
        data,
        rows: case.cache,
        cols: kv_width,
        stride: kv_stride,
    };
    let job = Attention {
        q: Mat {
            data: &q,
            rows: case.rows,
            cols: width,
            stride: q_stride,
        },
        keys: cache(&keys),
        values: cache(&values),
        positions: &positions,
        heads,
        kv_heads: case.kv_heads,
        head_dim: case.head_dim,
        window: case.window,
        sequence: case.sequence,
        scale: case.scale,
    };
    if let Some(short) = case.short {
        assert_eq!(
            short::suits(&job, &Team::new(case.threads)),
            short,
            "{case:?}"
        );
    }
    let tolerance = 3e-6 * (1.0 + f64::from(case.scale));
    for simd in Simd::supported() {
        let mut out = vec![7f32; case.rows * (width + 2)];
        let mut view = MatMut::new(&mut out, case.rows, width, width + 2);
        job.run(&Team::new(case.threads), simd, &mut view);
        for r in 0..case.rows {
            for head in 0..heads {
                let expected = reference(&job, r, head);
                let got = &view.row(r)[head * case.head_dim..][..case.head_dim];
                for (&got, want) in got.iter().zip(expected) {
                    assert!(
                        (f64::from(got) - want).abs() < tolerance,
                        "{simd:?} {case:?} row {r} head {head}: {got} instead of {want}"
                    );
                }
            }
            assert_eq!(&out[r * (width + 2) + width..][..2], [7.0, 7.0]);
            view = MatMut::new(&mut out, case.rows, width, width + 2);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn every_path_agrees_with_plain_softmax(
        rows in prop_oneof![0usize..4, 4usize..60],
        cache in 1usize..400,
        kv_heads in 1usize..4,
        group in 1usize..5,
        head_dim in prop_oneof![Just(64usize), 1usize..100],
        window in prop_oneof![Just(0u32), 1u32..200],
        threads in 1usize..4,
        scale in prop_oneof![Just(0.125f32), Just(4.0f32)],
        seed: u64,
    ) {
        check(Case {
            rows, cache, kv_heads, group, head_dim, window, sequence: 0, whole: false, short: None, threads, scale,
            seed,
        });
    }

    #[test]
    fn sequences_see_their_own_keys(
        sequence in prop_oneof![1usize..20, 20usize..150],
        count in 0usize..9,
        whole: bool,
        kv_heads in 1usize..4,
        group in 1usize..5,
        head_dim in prop_oneof![Just(32usize), Just(64), 1usize..100],
        window in prop_oneof![Just(0u32), 1u32..100],
        threads in 1usize..4,
        scale in prop_oneof![Just(0.125f32), Just(4.0f32)],
        seed: u64,
    ) {
        let (rows, cache) = (count * sequence, count * sequence);
        check(Case {
            rows, cache, kv_heads, group, head_dim, window, sequence, whole, short: None, threads, scale,
            seed,
        });
    }
}

#[test]
fn a_long_cache_is_split_and_a_wide_head_fits() {
    for (rows, head_dim) in [(1, 64), (2, 256), (1, 80), (40, 256)] {
        let case = Case {
            rows,
            cache: 1500,
            kv_heads: 1,
            group: 4,
            head_dim,
            window: 0,
            sequence: 0,
            whole: false,
            short: None,
            threads: 3,
            scale: 0.1,
            seed: 1,
        };
        check(case);
    }
}

#[test]
fn short_sequences_are_those_that_are() {
    let all = Case {
        rows: 3 * 65,
        cache: 3 * 65,
        kv_heads: 2,
        group: 2,
        head_dim: 32,
        window: 0,
        sequence: 65,
        whole: true,
        short: Some(true),
        threads: 2,
        scale: 0.2,
        seed: 1,
    };
    check(all);
    let long = |rows| (rows, rows, rows / 2);
    for (short, (rows, cache, sequence)) in [(true, long(512)), (false, long(514))] {
        check(Case {
            rows,
            cache,
            sequence,
            short: Some(short),
            ..all
        });
    }
    let window = |window, short| Case {
        window,
        short: Some(short),
        ..all
    };
    check(window(65, true));
    check(window(64, false));
    let not = |case| Case {
        short: Some(false),
        ..case
    };
    check(not(Case {
        whole: false,
        ..all
    }));
    check(not(Case { scale: -0.2, ..all }));
    check(not(Case {
        head_dim: 48,
        ..all
    }));
    // Threads would be left without a task.
    check(not(Case { threads: 7, ..all }));
}
