//! How long work is going to take.

use super::program::Step;

/// Estimates how long work takes: a fixed guess, scaled by what was measured.
pub(super) struct Pace {
    flops_a_sec: f64,
    bytes_a_sec: f64,
    secs_a_launch: f64,
    /// Measured seconds for each guessed one.
    pub scale: f64,
}

impl Pace {
    /// Guesses are low: a slice that is too short costs little, one that is too long a reset.
    pub fn new(software: bool) -> Pace {
        let (flops_a_sec, bytes_a_sec, secs_a_launch) = if software {
            (4e9, 2e9, 5e-5)
        } else {
            (1e11, 2e10, 5e-6)
        };
        Pace {
            flops_a_sec,
            bytes_a_sec,
            secs_a_launch,
            scale: 1.0,
        }
    }

    pub fn guess(&self, step: &Step) -> f64 {
        let (flops, bytes) = match step {
            Step::Dispatch(d) => (d.flops, d.bytes),
            Step::Copy(c) => (0, 2 * c.bytes),
        };
        self.secs_a_launch + (flops as f64 / self.flops_a_sec).max(bytes as f64 / self.bytes_a_sec)
    }

    /// Learns at once that work is slow, and slowly that it is fast.
    pub fn learn(&mut self, guessed: f64, measured: f64) {
        if guessed < 1e-4 {
            return;
        }
        let scale = measured / guessed;
        self.scale = if scale > self.scale {
            scale
        } else {
            (0.5 * (self.scale + scale)).max(self.scale / 4.0)
        }
        .clamp(1e-3, 1e3);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pace_follows_slow_work_at_once_and_fast_work_slowly() {
        let mut pace = Pace::new(false);
        pace.learn(0.01, 0.08);
        assert_eq!(pace.scale, 8.0);
        pace.learn(0.01, 0.01);
        assert_eq!(pace.scale, 4.5);
        pace.learn(0.01, 0.0);
        assert_eq!(pace.scale, 2.25);
        // Too little work to tell anything.
        pace.learn(1e-6, 1.0);
        assert_eq!(pace.scale, 2.25);
    }
}
