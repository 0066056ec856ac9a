//! What a layer does to rows, and what becomes of gradients on the way back.

use super::scalar::Scalar;

/// Rows of numbers.
#[derive(Clone, Debug)]
pub struct Mat<S> {
    pub cols: usize,
    pub data: Vec<S>,
}

impl<S: Scalar> Mat<S> {
    pub fn new(cols: usize, data: &[S]) -> Mat<S> {
        let data = data.to_vec();
        Mat { cols, data }
    }

    pub fn zeros(rows: usize, cols: usize) -> Mat<S> {
        let data = vec![S::of(0.0); rows * cols];
        Mat { cols, data }
    }

    pub fn rows(&self) -> usize {
        self.data.len() / self.cols
    }

    pub fn row(&self, row: usize) -> &[S] {
        &self.data[row * self.cols..(row + 1) * self.cols]
    }

    pub fn row_mut(&mut self, row: usize) -> &mut [S] {
        &mut self.data[row * self.cols..(row + 1) * self.cols]
    }

    pub fn add(&mut self, other: &Mat<S>) {
        add_scaled(&mut self.data, S::of(1.0), &other.data);
    }
}

pub fn dot<S: Scalar>(a: &[S], b: &[S]) -> S {
    let mut sum = S::of(0.0);
    for (&a, &b) in a.iter().zip(b) {
        sum += a * b;
    }
    sum
}

pub fn add_scaled<S: Scalar>(sum: &mut [S], factor: S, more: &[S]) {
    for (sum, &more) in sum.iter_mut().zip(more) {
        *sum += factor * more;
    }
}

/// `y = x W^T`.
pub fn linear<S: Scalar>(x: &Mat<S>, w: &[S]) -> Mat<S> {
    let mut y = Mat::zeros(x.rows(), w.len() / x.cols);
    for r in 0..x.rows() {
        for (y, w) in y.row_mut(r).iter_mut().zip(w.chunks_exact(x.cols)) {
            *y = dot(x.row(r), w);
        }
    }
    y
}

/// `dx = dy W`, `dW += dy^T x`.
pub fn linear_back<S: Scalar>(dy: &Mat<S>, x: &Mat<S>, w: &[S], dw: &mut [S]) -> Mat<S> {
    let mut dx = Mat::zeros(x.rows(), x.cols);
    for r in 0..x.rows() {
        let weights = w.chunks_exact(x.cols).zip(dw.chunks_exact_mut(x.cols));
        for (&dy, (w, dw)) in dy.row(r).iter().zip(weights) {
            add_scaled(dx.row_mut(r), dy, w);
            add_scaled(dw, dy, x.row(r));
        }
    }
    dx
}

/// `1 / sqrt(mean(x^2) + eps)`.
fn inverse_size<S: Scalar>(x: &[S], eps: f64) -> S {
    S::of(1.0) / (dot(x, x) / S::of(x.len() as f64) + S::of(eps)).sqrt()
}

/// `y = gain x r`, `r = 1 / sqrt(mean(x^2) + eps)`, of each stretch of a row that is as long as the
/// gain: of whole rows, or of each head.
pub fn rms_norm<S: Scalar>(x: &Mat<S>, gain: &[S], eps: f64) -> Mat<S> {
    let mut y = x.clone();
    for y in y.data.chunks_exact_mut(gain.len()) {
        let r = inverse_size(y, eps);
        for (y, &gain) in y.iter_mut().zip(gain) {
            *y = gain * *y * r;
        }
    }
    y
}

/// With `s = gain dy` and `c = mean(s x)`: `dx = r s - r^3 c x`, `dgain += dy x r`.
pub fn rms_norm_back<S: Scalar>(
    dy: &Mat<S>,
    x: &Mat<S>,
    gain: &[S],
    eps: f64,
    d_gain: &mut [S],
) -> Mat<S> {
    let len = gain.len();
    let mut dx = x.clone();
    let stretches = x.data.chunks_exact(len).zip(dy.data.chunks_exact(len));
    for (dx, (x, dy)) in dx.data.chunks_exact_mut(len).zip(stretches) {
        let r = inverse_size(x, eps);
        let mut c = S::of(0.0);
        for i in 0..len {
            c += gain[i] * dy[i] * x[i];
            d_gain[i] += dy[i] * x[i] * r;
        }
        let along = c / S::of(len as f64) * r * r * r;
        for i in 0..len {
            dx[i] = gain[i] * dy[i] * r - x[i] * along;
        }
    }
    dx
}

/// Turns the pairs `(i, i + half)` of every head by the row's number times the pair's frequency,
/// in radians; `way` is -1 for the way back, which is the turn's inverse.
pub fn rotate<S: Scalar>(x: &mut Mat<S>, frequencies: &[f32], way: f64) {
    let half = frequencies.len();
    for r in 0..x.rows() {
        for head in x.row_mut(r).chunks_exact_mut(2 * half) {
            for (i, frequency) in frequencies.iter().enumerate() {
                // Angles are given numbers, which models round to 32 bits.
                let angle = f64::from(r as f32 * frequency);
                let (cos, sin) = (S::of(angle.cos()), S::of(way * angle.sin()));
                let (a, b) = (head[i], head[i + half]);
                head[i] = a * cos - b * sin;
                head[i + half] = b * cos + a * sin;
            }
        }
    }
}

/// How attention's heads lie in a row.
#[derive(Clone, Copy, Debug)]
pub struct Heads {
    pub queries: usize,
    /// Keys and values, each for as many heads of queries.
    pub keys: usize,
    pub dim: usize,
    pub scale: f64,
}

impl Heads {
    /// A head of queries in a row, and the keys and values that it sees.
    fn places(&self, head: usize) -> [std::ops::Range<usize>; 2] {
        let of_key = head / (self.queries / self.keys);
        [head, of_key].map(|at| at * self.dim..(at + 1) * self.dim)
    }
}

fn softmax<S: Scalar>(scores: &[S]) -> Vec<S> {
    let largest = largest(scores);
    let mut all: Vec<S> = scores.iter().map(|&s| (s - largest).exp()).collect();
    let mut total = S::of(0.0);
    all.iter().for_each(|&e| total += e);
    all.iter_mut().for_each(|e| *e = *e / total);
    all
}

/// The largest, as a constant: what is taken off all scores changes nothing.
fn largest<S: Scalar>(scores: &[S]) -> S {
    let values = scores.iter().map(|s| s.value());
    S::of(values.fold(f64::NEG_INFINITY, f64::max))
}

/// `P = softmax(scale q k^T)` of one head and row, over the keys up to the row's own.
fn shares<S: Scalar>(
    q: &[S],
    k: &Mat<S>,
    row: usize,
    keys: std::ops::Range<usize>,
    by: S,
) -> Vec<S> {
    let scores: Vec<S> = (0..=row)
        .map(|j| dot(q, &k.row(j)[keys.clone()]) * by)
        .collect();
    softmax(&scores)
}

/// Causal attention: `O = P v`.
pub fn attention<S: Scalar>(q: &Mat<S>, k: &Mat<S>, v: &Mat<S>, heads: Heads) -> Mat<S> {
    let mut out = Mat::zeros(q.rows(), q.cols);
    for row in 0..q.rows() {
        for head in 0..heads.queries {
            let [own, keys] = heads.places(head);
            let by = S::of(heads.scale);
            let shares = shares(&q.row(row)[own.clone()], k, row, keys.clone(), by);
            for (j, &p) in shares.iter().enumerate() {
                add_scaled(
                    &mut out.row_mut(row)[own.clone()],
                    p,
                    &v.row(j)[keys.clone()],
                );
            }
        }
    }
    out
}

/// With `dP = dO v^T`, `D = sum(P dP)` and `dS = P (dP - D)`: `dq = scale dS k`,
/// `dk = scale dS^T q`, `dv = P^T dO`.
pub fn attention_back<S: Scalar>(
    d_out: &Mat<S>,
    q: &Mat<S>,
    k: &Mat<S>,
    v: &Mat<S>,
    heads: Heads,
) -> [Mat<S>; 3] {
    let mut dq = Mat::zeros(q.rows(), q.cols);
    let mut dk = Mat::zeros(k.rows(), k.cols);
    let mut dv = dk.clone();
    let by = S::of(heads.scale);
    for row in 0..q.rows() {
        for head in 0..heads.queries {
            let [own, keys] = heads.places(head);
            let (q, d_out) = (&q.row(row)[own.clone()], &d_out.row(row)[own.clone()]);
            let shares = shares(q, k, row, keys.clone(), by);
            let d_shares: Vec<S> = (0..=row)
                .map(|j| dot(d_out, &v.row(j)[keys.clone()]))
                .collect();
            let mean = dot(&shares, &d_shares);
            for (j, (&p, &dp)) in shares.iter().zip(&d_shares).enumerate() {
                let ds = p * (dp - mean) * by;
                add_scaled(
                    &mut dq.row_mut(row)[own.clone()],
                    ds,
                    &k.row(j)[keys.clone()],
                );
                add_scaled(&mut dk.row_mut(j)[keys.clone()], ds, q);
                add_scaled(&mut dv.row_mut(j)[keys.clone()], p, d_out);
            }
        }
    }
    [dq, dk, dv]
}

fn sigmoid<S: Scalar>(p: S) -> S {
    S::of(1.0) / (S::of(1.0) + (-p).exp())
}

/// `h = silu(gate) up`, `silu(p) = p sigmoid(p)`.
pub fn gated<S: Scalar>(gate: &Mat<S>, up: &Mat<S>) -> Mat<S> {
    let mut h = up.clone();
    for (h, &p) in h.data.iter_mut().zip(&gate.data) {
        *h = p * sigmoid(p) * *h;
    }
    h
}

/// With `t = sigmoid(gate)`: `dgate = dh up t (1 + gate (1 - t))`, `dup = dh silu(gate)`.
pub fn gated_back<S: Scalar>(dh: &Mat<S>, gate: &Mat<S>, up: &Mat<S>) -> [Mat<S>; 2] {
    let (mut d_gate, mut d_up) = (dh.clone(), dh.clone());
    let one = S::of(1.0);
    for i in 0..dh.data.len() {
        let (p, t) = (gate.data[i], sigmoid(gate.data[i]));
        d_gate.data[i] = dh.data[i] * up.data[i] * t * (one + p * (one - t));
        d_up.data[i] = dh.data[i] * p * t;
    }
    [d_gate, d_up]
}

/// `-log P(target)`, and its gradient `P - 1(target)`.
pub fn cross_entropy<S: Scalar>(logits: &[S], target: usize) -> (S, Vec<S>) {
    let largest = largest(logits);
    let mut total = S::of(0.0);
    logits.iter().for_each(|&z| total += (z - largest).exp());
    let loss = total.ln() + largest - logits[target];
    let mut d = softmax(logits);
    d[target] = d[target] - S::of(1.0);
    (loss, d)
}
