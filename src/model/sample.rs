//! Choosing the next token from logits.

/// How to choose. The default is greedy.
#[derive(Clone, Debug, PartialEq)]
pub struct SampleOptions {
    /// Divisor of the logits; 0 takes the most likely token.
    pub temperature: f32,
    /// Keep only the `k` most likely tokens; 0 keeps all.
    pub top_k: usize,
    /// Keep the most likely tokens that together reach this probability.
    pub top_p: f32,
    /// Keep tokens at least this likely relative to the most likely one.
    pub min_p: f32,
    /// Divides positive logits (multiplies negative ones) of tokens seen lately; 1 changes nothing.
    pub repetition_penalty: f32,
    /// Number of latest tokens that the penalty looks at.
    pub penalty_window: usize,
    pub seed: u64,
}

impl Default for SampleOptions {
    fn default() -> Self {
        SampleOptions {
            temperature: 0.0,
            top_k: 0,
            top_p: 1.0,
            min_p: 0.0,
            repetition_penalty: 1.0,
            penalty_window: 64,
            seed: 0,
        }
    }
}

/// Chooses tokens; the same seed and logits give the same tokens.
pub struct Sampler {
    options: SampleOptions,
    state: u64,
    candidates: Vec<(u32, f32)>,
}

impl Sampler {
    pub fn new(options: SampleOptions) -> Self {
        // The golden ratio keeps a zero seed from giving a zero state.
        let state = options.seed ^ 0x9e37_79b9_7f4a_7c15;
        Sampler {
            options,
            state,
            candidates: Vec::new(),
        }
    }

    /// The next token, or `None` where no logit is a number.
    pub fn choose(&mut self, logits: &mut [f32], recent: &[u32]) -> Option<u32> {
        self.penalise(logits, recent);
        let (best, largest) = argmax(logits)?;
        if self.options.temperature <= 0.0 {
            return Some(best);
        }
        let temperature = self.options.temperature;
        self.candidates.clear();
        self.candidates
            .extend(logits.iter().enumerate().filter_map(|(id, &logit)| {
                let weight = ((logit - largest) / temperature).exp();
                (weight >= self.options.min_p && weight > 0.0).then_some((id as u32, weight))
            }));
        self.candidates
            .sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        if self.options.top_k > 0 {
            self.candidates.truncate(self.options.top_k);
        }
        self.keep_top_p();
        let total: f64 = self.candidates.iter().map(|c| f64::from(c.1)).sum();
        let mut left = self.uniform() * total;
        for &(id, weight) in &self.candidates {
            left -= f64::from(weight);
            if left <= 0.0 {
                return Some(id);
            }
        }
        self.candidates.last().map(|c| c.0).or(Some(best))
    }

    fn penalise(&self, logits: &mut [f32], recent: &[u32]) {
        let penalty = self.options.repetition_penalty;
        if penalty == 1.0 {
            return;
        }
        let start = recent.len().saturating_sub(self.options.penalty_window);
        let mut seen = recent[start..].to_vec();
        seen.sort_unstable();
        seen.dedup();
        for id in seen {
            if let Some(logit) = logits.get_mut(id as usize) {
                *logit = if *logit > 0.0 {
                    *logit / penalty
                } else {
                    *logit * penalty
                };
            }
        }
    }

    fn keep_top_p(&mut self) {
        if self.options.top_p >= 1.0 {
            return;
        }
        let total: f32 = self.candidates.iter().map(|c| c.1).sum();
        let mut reached = 0.0;
        let kept = self
            .candidates
            .iter()
            .position(|c| {
                reached += c.1;
                reached >= self.options.top_p * total
            })
            .map_or(self.candidates.len(), |i| i + 1);
        self.candidates.truncate(kept);
    }

    /// SplitMix64 (Steele, Lea, Flood 2014), as a number in [0, 1).
    fn uniform(&mut self) -> f64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^= z >> 31;
        (z >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// The first largest logit that is a number.
pub fn argmax(logits: &[f32]) -> Option<(u32, f32)> {
    let mut best: Option<(u32, f32)> = None;
    for (id, &logit) in logits.iter().enumerate() {
        if !logit.is_nan() && best.is_none_or(|(_, largest)| logit > largest) {
            best = Some((id as u32, logit));
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(options: SampleOptions, logits: &[f32], draws: usize) -> Vec<f64> {
        let mut sampler = Sampler::new(options);
        let mut counts = vec![0.0; logits.len()];
        for _ in 0..draws {
            let id = sampler
                .choose(&mut logits.to_vec(), &[])
                .expect("finite logits");
            counts[id as usize] += 1.0 / draws as f64;
        }
        counts
    }

    #[test]
    fn frequencies_follow_the_softmax() {
        let logits = [1.0f32, 2.0, 0.0, -1.0];
        let options = SampleOptions {
            temperature: 0.7,
            ..SampleOptions::default()
        };
        let found = counts(options, &logits, 40_000);
        let weights: Vec<f64> = logits.iter().map(|l| (f64::from(*l) / 0.7).exp()).collect();
        let total: f64 = weights.iter().sum();
        for (found, weight) in found.iter().zip(weights) {
            assert!(
                (found - weight / total).abs() < 0.01,
                "{found} against {}",
                weight / total
            );
        }
    }

    #[test]
    fn cuts_keep_only_what_they_say() {
        let logits = [0.1f32.ln(), 0.5f32.ln(), 0.25f32.ln(), 0.15f32.ln()];
        let base = SampleOptions {
            temperature: 1.0,
            ..SampleOptions::default()
        };
        let kept = |options| {
            let counts = counts(options, &logits, 2000);
            (0..4).filter(|&i| counts[i] > 0.0).collect::<Vec<_>>()
        };
        assert_eq!(
            kept(SampleOptions {
                top_k: 1,
                ..base.clone()
            }),
            [1]
        );
        assert_eq!(
            kept(SampleOptions {
                top_k: 2,
                ..base.clone()
            }),
            [1, 2]
        );
        assert_eq!(
            kept(SampleOptions {
                top_p: 0.74,
                ..base.clone()
            }),
            [1, 2]
        );
        assert_eq!(
            kept(SampleOptions {
                min_p: 0.29,
                ..base.clone()
            }),
            [1, 2, 3]
        );
        assert_eq!(kept(base), [0, 1, 2, 3]);
    }

    #[test]
    fn greedy_penalty_seed_and_nan() {
        let mut greedy = Sampler::new(SampleOptions::default());
        assert_eq!(greedy.choose(&mut [0.0, 3.0, 3.0, f32::NAN], &[]), Some(1));
        assert_eq!(greedy.choose(&mut [f32::NAN], &[]), None);
        let options = SampleOptions {
            repetition_penalty: 2.0,
            ..SampleOptions::default()
        };
        let mut penalised = Sampler::new(options);
        assert_eq!(penalised.choose(&mut [2.0, 3.0, -1.0], &[1, 1]), Some(0));
        let draw = |seed| {
            let options = SampleOptions {
                temperature: 1.0,
                seed,
                ..SampleOptions::default()
            };
            let mut sampler = Sampler::new(options);
            (0..20)
                .map(|_| sampler.choose(&mut [0.0; 50], &[]))
                .collect::<Vec<_>>()
        };
        assert_eq!(draw(7), draw(7));
        assert_ne!(draw(7), draw(8));
    }
}
