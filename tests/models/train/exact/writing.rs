//! The loss after writing by gradient steps, and its gradients through them.

use inscribe::train::Sample;
use inscribe::train::meta::Inner;
use inscribe::train::net::names;

use super::net::{Exact, Text};
use super::rows::{add_scaled, dot};
use super::scalar::{Dual, Scalar};

/// What a length is divided by is that much longer.
const CLIP_EPS: f64 = 1e-6;

/// How samples are written and asked.
#[derive(Clone, Copy)]
pub struct Writing<'a> {
    pub net: Exact<'a>,
    pub inner: Inner,
    pub samples: &'a [Sample],
}

/// Gradients through the steps.
pub struct Through {
    /// Of all trained numbers.
    pub params: Vec<f64>,
    /// What each step of each sample adds to that of the learned rate: parts that may cancel.
    pub rate: Vec<f64>,
}

/// A sample's way through the steps.
struct Way {
    /// M_0 to M_K.
    memories: Vec<Vec<f64>>,
    /// At M_0 to M_{K-1}, not clipped.
    gradients: Vec<Vec<f64>>,
}

impl Writing<'_> {
    /// What training makes small: the answers' mean loss and, with its weight, the last writing
    /// loss.
    pub fn loss(&self, params: &[f64]) -> f64 {
        let (mut answers, mut added) = (0.0, 0.0);
        for sample in self.samples {
            let memories = self.write(params, sample).memories;
            let [.., before, last] = &memories[..] else {
                panic!("at least one step");
            };
            for question in &sample.questions {
                answers += self.net.loss(params, last, &Text::question(question));
            }
            if self.inner.add_inner > 0.0 {
                added += self.net.loss(params, before, &Text::context(sample));
            }
        }
        answers / self.questions() + self.added() * added
    }

    /// The gradients of that loss.
    pub fn gradients(&self, params: &[f64]) -> Through {
        let mut sum = Through {
            params: vec![0.0; params.len()],
            rate: Vec::new(),
        };
        for sample in self.samples {
            let way = self.write(params, sample);
            let last = &way.memories[self.inner.steps];
            let mut v = vec![0.0; last.len()];
            for question in &sample.questions {
                let text = Text::question(question);
                let found = self.net.gradients(params, last, &text);
                add_scaled(&mut v, 1.0 / self.questions(), &found.memory);
                add_scaled(&mut sum.params, 1.0 / self.questions(), &found.params);
            }
            for k in (0..self.inner.steps).rev() {
                self.back(k, params, sample, &way, &mut v, &mut sum);
            }
            let memory = self.net.layout.entry(names::MEMORY).expect("a memory");
            add_scaled(&mut sum.params[memory.range.clone()], 1.0, &v);
        }
        sum
    }

    /// Lengths of the gradients that steps are taken along.
    pub fn sizes(&self, params: &[f64]) -> Vec<f64> {
        let ways = self.samples.iter().map(|s| self.write(params, s));
        ways.flat_map(|way| way.gradients)
            .map(|g| dot(&g, &g).sqrt())
            .collect()
    }

    fn questions(&self) -> f64 {
        self.samples
            .iter()
            .map(|s| s.questions.len())
            .sum::<usize>() as f64
    }

    /// Weight of one sample's last writing loss.
    fn added(&self) -> f64 {
        f64::from(self.inner.add_inner) / self.samples.len() as f64
    }

    fn rate(&self, params: &[f64]) -> f64 {
        let log = self.net.layout.entry(names::LOG_ALPHA);
        log.map_or(f64::from(self.inner.alpha), |log| {
            params[log.range.start].exp()
        })
    }

    /// `M_{k+1} = M_k - alpha clip(g(M_k))`.
    fn write(&self, params: &[f64], sample: &Sample) -> Way {
        let start = self.net.layout.entry(names::MEMORY).expect("a memory");
        let mut memory = params[start.range.clone()].to_vec();
        let (mut memories, mut gradients) = (Vec::new(), Vec::new());
        let text = Text::context(sample);
        for _ in 0..self.inner.steps {
            let g = self.net.gradients(params, &memory, &text).memory;
            memories.push(memory.clone());
            add_scaled(&mut memory, -self.rate(params), &self.clipped(&g));
            gradients.push(g);
        }
        memories.push(memory);
        Way {
            memories,
            gradients,
        }
    }

    /// Takes `v` from `M_{k+1}` back to `M_k`, and adds to the gradients of everything trained.
    fn back(
        &self,
        k: usize,
        params: &[f64],
        sample: &Sample,
        way: &Way,
        v: &mut [f64],
        sum: &mut Through,
    ) {
        let alpha = self.rate(params);
        // The derivative of clipping is symmetric: along v it is also what v is multiplied by.
        let step = self.clipped(&Dual::along(&way.gradients[k], v));
        let through = Dual::tangents(&step);
        if let Some(log) = self.net.layout.entry(names::LOG_ALPHA) {
            let part = -alpha * dot(&Dual::values(&step), v);
            sum.rate.push(part);
            sum.params[log.range.start] += part;
        }
        let found = self
            .net
            .along(params, &way.memories[k], &through, &Text::context(sample));
        add_scaled(v, -alpha, &Dual::tangents(&found.memory));
        add_scaled(&mut sum.params, -alpha, &Dual::tangents(&found.params));
        if k + 1 == self.inner.steps {
            add_scaled(v, self.added(), &Dual::values(&found.memory));
            add_scaled(&mut sum.params, self.added(), &Dual::values(&found.params));
        }
    }

    /// A gradient, scaled down where it is longer than it may be.
    fn clipped<S: Scalar>(&self, g: &[S]) -> Vec<S> {
        let size = dot(g, g).sqrt();
        let clip = self.inner.clip.map(f64::from);
        let Some(most) = clip.filter(|most| size.value() > *most) else {
            return g.to_vec();
        };
        let scale = S::of(most) / (size + S::of(CLIP_EPS));
        g.iter().map(|&g| g * scale).collect()
    }
}
