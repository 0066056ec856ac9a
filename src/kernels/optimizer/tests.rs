//! Optimiser steps against 64-bit floats.

use super::*;
use crate::kernels::finite::{F32, assert_near, noise, on_twin};

const HYPER: Hyper = Hyper {
    lr: 0.03,
    beta1: 0.9,
    beta2: 0.999,
    eps: 1e-8,
    weight_decay: 0.1,
    max_norm: 1.0,
};

fn wide(values: &[f32]) -> Vec<f64> {
    values.iter().map(|&v| f64::from(v)).collect()
}

fn clip(grads: &[f32], max_norm: f64) -> f64 {
    let norm = wide(grads).iter().map(|g| g * g).sum::<f64>().sqrt();
    if max_norm == 0.0 {
        1.0
    } else {
        (max_norm / (norm + 1e-6)).min(1.0)
    }
}

#[test]
fn adamw_agrees_with_64_bits_over_ten_steps() {
    for (len, size, max_norm) in [
        (1, 1.0, 1.0),
        (37, 4.0, 1.0),
        (40_000, 1e-3, 1.0),
        (5, 9.0, 0.0),
    ] {
        let hyper = Hyper { max_norm, ..HYPER };
        let mut found = [noise(7, len), vec![0.0; len], vec![0.0; len]];
        let mut expected = [wide(&found[0]), vec![0.0; len], vec![0.0; len]];
        for t in 1..=10u64 {
            let grads: Vec<f32> = noise(t, len).iter().map(|g| size * g).collect();
            let rates = hyper.at_step(t);
            let inputs = [
                F32(&found[0], 1),
                F32(&found[1], 1),
                F32(&found[2], 1),
                F32(&grads, 1),
                F32(&[f32::NAN], 1),
                F32(&rates, 1),
            ];
            let after = on_twin(&inputs, |rec, x| {
                sum_squares(rec, &x[3], &x[4]);
                adamw(rec, &x[0], &x[3], &x[1], &x[2], &x[4], &x[5]);
            });
            found.clone_from_slice(&after[..3]);
            let clip = clip(&grads, max_norm.into());
            let [p, m, v] = &mut expected;
            for i in 0..len {
                let g = f64::from(grads[i]) * clip;
                m[i] = 0.9 * m[i] + 0.1 * g;
                v[i] = 0.999 * v[i] + 0.001 * g * g;
                p[i] *= 1.0 - 0.03 * 0.1;
                let m_hat = m[i] / (1.0 - 0.9f64.powi(t as i32));
                let v_hat = v[i] / (1.0 - 0.999f64.powi(t as i32));
                p[i] -= 0.03 * m_hat / (v_hat.sqrt() + 1e-8);
            }
        }
        assert_near(&found[0], &expected[0], 2e-6);
        assert_near(&found[1], &expected[1], 2e-6);
        // 0.001 has only some 14 bits left as `1 - 0.999f32`; the correction takes it back out.
        assert_near(&found[2], &expected[2], 1e-4);
    }
}

#[test]
fn sgd_clips_then_decays() {
    for (rows, cols, max_norm) in [(1, 5, 0.0), (4, 33, 1.0), (4, 33, 1e6)] {
        let (params, grads) = (noise(1, rows * cols), noise(2, rows * cols));
        let hyper = Hyper { max_norm, ..HYPER };
        let inputs = [
            F32(&params, rows),
            F32(&grads, rows),
            F32(&[f32::NAN], 1),
            F32(&hyper.at_step(1), 1),
        ];
        let found = on_twin(&inputs, |rec, t| {
            sum_squares(rec, &t[1].reshape(1, rows * cols), &t[2]);
            sgd(rec, &t[0], &t[1], &t[2], &t[3]);
        });
        let clip = clip(&grads, max_norm.into());
        let pairs = wide(&params).into_iter().zip(wide(&grads));
        let expected: Vec<f64> = pairs
            .map(|(p, g)| p - 0.03 * (clip * g + 0.1 * p))
            .collect();
        assert_near(&found[0], &expected, 1e-6);
    }
}

#[test]
fn a_norm_that_is_no_number_shows() {
    for (grad, max_norm) in [(f32::NAN, 1.0), (f32::INFINITY, 1.0), (f32::NAN, 0.0)] {
        let rates = Hyper { max_norm, ..HYPER }.at_step(1);
        let inputs = [
            F32(&[1.0, 2.0], 1),
            F32(&[grad, 1.0], 1),
            F32(&[0.0], 1),
            F32(&rates, 1),
        ];
        let found = on_twin(&inputs, |rec, t| {
            sum_squares(rec, &t[1], &t[2]);
            sgd(rec, &t[0], &t[1], &t[2], &t[3]);
        });
        assert!(found[0][0].is_nan(), "{grad} clipped to {max_norm}");
    }
}

#[test]
fn sums_of_squares_are_accurate_at_every_length() {
    for len in [0, 1, 31, PARTIAL, PARTIAL + 1, 3_000_001] {
        let x = noise(3, len);
        let inputs = [F32(&x, 1), F32(&[f32::NAN], 1)];
        let found = on_twin(&inputs, |rec, t| sum_squares(rec, &t[0], &t[1]));
        let expected = wide(&x).iter().map(|v| v * v).sum::<f64>();
        assert_near(&found[1], &[expected], 1e-6);
        let again = on_twin(&inputs, |rec, t| sum_squares(rec, &t[0], &t[1]));
        assert_eq!(found[1], again[1]);
    }
}

#[test]
fn scaling_touches_the_view_only() {
    let x = noise(5, 40_000);
    let found = on_twin(&[F32(&x, 2)], |rec, t| {
        scale(rec, &t[0].col_range(1..19_999), 0.5)
    });
    for (i, (&found, &x)) in found[0].iter().zip(&x).enumerate() {
        let inside = (1..19_999).contains(&(i % 20_000));
        assert_eq!(found, if inside { 0.5 * x } else { x });
    }
}

#[test]
fn adding_touches_the_view_only() {
    for rows in [1, 2] {
        let (sum, x) = (noise(5, 40_000), noise(6, 40_000 - 2 * rows));
        let inputs = [F32(&sum, rows), F32(&x, rows)];
        let found = on_twin(&inputs, |rec, t| {
            add(rec, &t[0].col_range(1..40_000 / rows - 1), &t[1]);
        });
        let mut expected = sum.clone();
        let whole = expected.chunks_exact_mut(40_000 / rows);
        for (row, x) in whole.zip(x.chunks_exact(40_000 / rows - 2)) {
            row[1..].iter_mut().zip(x).for_each(|(sum, x)| *sum += x);
        }
        assert_eq!(found[0], expected);
    }
}
