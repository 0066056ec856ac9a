//! Scales of charts: ranges of values and round numbers on them, whatever paints the chart.

/// Lowest and highest of what is finite.
pub fn range(values: impl Iterator<Item = f64>) -> Option<(f64, f64)> {
    values.filter(|v| v.is_finite()).fold(None, |range, v| {
        let (low, high) = range.unwrap_or((v, v));
        Some((v.min(low), v.max(high)))
    })
}

/// The range of `values` with some room around it.
pub fn padded(values: impl Iterator<Item = f64>) -> (f64, f64) {
    let (low, high) = range(values).unwrap_or((0.0, 1.0));
    let room = if high > low {
        (high - low) * 0.1
    } else {
        (low.abs() * 0.1).max(0.05)
    };
    (low - room, high + room)
}

/// Where `value` lies between `low` and `high`; in the middle where they are the same.
pub fn part(value: f64, low: f64, high: f64) -> f64 {
    if high > low {
        (value - low) / (high - low)
    } else {
        0.5
    }
}

/// Evenly spaced round numbers from about `low` to about `high`, `most` of them at the most.
pub fn ticks(low: f64, high: f64, most: usize) -> Vec<f64> {
    let span = (high - low).abs();
    if !span.is_finite() || span <= 0.0 {
        return vec![low];
    }
    let rough = span / most.max(1) as f64;
    let unit = 10f64.powf(rough.log10().floor());
    let steps = [1.0, 2.0, 2.5, 5.0, 10.0];
    let step = steps
        .map(|s| s * unit)
        .into_iter()
        .find(|s| *s >= rough * 0.999);
    let step = step.unwrap_or(10.0 * unit);
    let first = (low / step - 1e-9).ceil() as i64;
    let last = (high / step + 1e-9).floor() as i64;
    (first..=last).map(|i| i as f64 * step).collect()
}

/// As [`ticks`], whole numbers only.
pub fn whole_ticks(low: usize, high: usize, most: usize) -> Vec<usize> {
    let rough = high.saturating_sub(low).div_ceil(most.max(1)).max(1);
    let unit = 10usize.saturating_pow(rough.ilog10());
    let step = [1, 2, 5, 10].map(|s| unit.saturating_mul(s));
    let step = step.into_iter().find(|s| *s >= rough).unwrap_or(rough);
    (low.div_ceil(step)..=high / step)
        .map(|i| i * step)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_inside() {
        assert_eq!(ticks(0.0, 10.0, 5), [0.0, 2.0, 4.0, 6.0, 8.0, 10.0]);
        assert_eq!(ticks(3.0, 3.0, 4), [3.0]);
        for (low, high) in [(2.31, 3.9), (0.0, 0.03), (-4.0, 900.0)] {
            let ticks = ticks(low, high, 4);
            assert!((2..=6).contains(&ticks.len()), "{ticks:?}");
            assert!(ticks.iter().all(|t| (low..=high).contains(t)));
        }
        assert_eq!(whole_ticks(0, 3, 4), [0, 1, 2, 3]);
        assert_eq!(whole_ticks(0, 1, 4), [0, 1]);
        assert_eq!(whole_ticks(0, 9, 5), [0, 2, 4, 6, 8]);
        assert_eq!(whole_ticks(0, 0, 5), [0]);
    }
}
