//! The few statistics that results are reported with.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

/// A summary of repeated measurements.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// Number of values.
    pub count: usize,
    /// Mean of the values.
    pub mean: f64,
    /// Standard deviation of the sample (`n - 1`); 0 for a single value.
    pub deviation: f64,
    /// Half the width of the 95 % interval of the mean, by Student's t; `None` for a single value.
    pub half_interval: Option<f64>,
}

impl Summary {
    /// The summary of these values; `None` where there are none.
    pub fn of(values: &[f64]) -> Option<Summary> {
        let mean = mean(values)?;
        let deviation = deviation(values).unwrap_or(0.0);
        let count = values.len();
        let half_interval =
            (count > 1).then(|| t_quantile(count - 1) * deviation / (count as f64).sqrt());
        Some(Summary {
            count,
            mean,
            deviation,
            half_interval,
        })
    }

    /// The summary of `a - b`, pair by pair: two methods over the same seeds.
    pub fn of_differences(a: &[f64], b: &[f64]) -> Option<Summary> {
        if a.len() != b.len() {
            return None;
        }
        let differences: Vec<f64> = a.iter().zip(b).map(|(a, b)| a - b).collect();
        Summary::of(&differences)
    }
}

/// The mean of the values; `None` where there are none.
pub fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

/// The sample's standard deviation; `None` below two values.
pub fn deviation(values: &[f64]) -> Option<f64> {
    if values.len() < 2 {
        return None;
    }
    let mean = mean(values)?;
    let squares: f64 = values.iter().map(|v| (v - mean).powi(2)).sum();
    Some((squares / (values.len() - 1) as f64).sqrt())
}

/// The 97.5 % point of Student's t.
fn t_quantile(freedom: usize) -> f64 {
    const EXACT: [f64; 30] = [
        12.7062047, 4.3026527, 3.1824463, 2.7764451, 2.5705818, 2.4469119, 2.3646243, 2.3060041,
        2.2621572, 2.2281389, 2.2009852, 2.1788128, 2.1603687, 2.1447867, 2.1314495, 2.1199053,
        2.1098156, 2.1009220, 2.0930241, 2.0859634, 2.0796138, 2.0738731, 2.0686576, 2.0638986,
        2.0595386, 2.0555294, 2.0518305, 2.0484071, 2.0452296, 2.0422725,
    ];
    if let Some(&exact) = freedom.checked_sub(1).and_then(|at| EXACT.get(at)) {
        return exact;
    }
    // Abramowitz and Stegun 26.7.5, about the normal distribution's point.
    let (z, n) = (1.959_963_984_540_054_f64, freedom as f64);
    let g1 = (z.powi(3) + z) / 4.0;
    let g2 = (5.0 * z.powi(5) + 16.0 * z.powi(3) + 3.0 * z) / 96.0;
    let g3 = (3.0 * z.powi(7) + 19.0 * z.powi(5) + 17.0 * z.powi(3) - 15.0 * z) / 384.0;
    z + g1 / n + g2 / n.powi(2) + g3 / n.powi(3)
}

/// Spearman's rank correlation, equal values sharing their mean rank. `None` below two pairs, or
/// where one side is constant or not a number.
pub fn spearman(a: &[f64], b: &[f64]) -> Option<f64> {
    let broken = |values: &[f64]| values.iter().any(|v| v.is_nan());
    if a.len() != b.len() || a.len() < 2 || broken(a) || broken(b) {
        return None;
    }
    pearson(&ranks(a), &ranks(b))
}

/// Pearson's correlation; `None` where one side is constant.
fn pearson(a: &[f64], b: &[f64]) -> Option<f64> {
    let (mean_a, mean_b) = (mean(a)?, mean(b)?);
    let (mut ab, mut aa, mut bb) = (0.0, 0.0, 0.0);
    for (a, b) in a.iter().zip(b) {
        let (a, b) = (a - mean_a, b - mean_b);
        ab += a * b;
        aa += a * a;
        bb += b * b;
    }
    (aa > 0.0 && bb > 0.0).then(|| (ab / (aa * bb).sqrt()).clamp(-1.0, 1.0))
}

/// From 1 upwards; equal values share the mean of their places.
fn ranks(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|&a, &b| values[a].total_cmp(&values[b]));
    let mut ranks = vec![0.0; values.len()];
    let mut lower = 0;
    for equal in order.chunk_by(|&a, &b| values[a] == values[b]) {
        for &index in equal {
            ranks[index] = lower as f64 + (equal.len() as f64 + 1.0) / 2.0;
        }
        lower += equal.len();
    }
    ranks
}

/// Whether an answer is one of the right ones, by the normalisation of SQuAD v1.1's script.
pub fn exact_match(answer: &str, right: &[String]) -> bool {
    let answer = normalised(answer);
    right.iter().any(|right| normalised(right) == answer)
}

/// Whether an answer holds the words of the right one, one after the other, by the same normalisation:
/// a small model rarely says them alone.
pub fn holds_answer(answer: &str, right: &str) -> bool {
    let (answer, right) = (normalised(answer), normalised(right));
    let (answer, right): (Vec<&str>, Vec<&str>) = (
        answer.split_whitespace().collect(),
        right.split_whitespace().collect(),
    );
    !right.is_empty() && answer.windows(right.len()).any(|words| words == right)
}

/// SQuAD v1.1's F1 over words, against the nearest of the right answers.
pub fn token_f1(answer: &str, right: &[String]) -> f64 {
    let answer = normalised(answer);
    let score = |right: &String| f1(&answer, &normalised(right));
    right.iter().map(score).fold(0.0, f64::max)
}

fn f1(answer: &str, right: &str) -> f64 {
    let mut counts: HashMap<&str, usize> = HashMap::new();
    for word in right.split_whitespace() {
        *counts.entry(word).or_default() += 1;
    }
    let (answered, wanted) = (
        answer.split_whitespace().count(),
        counts.values().sum::<usize>(),
    );
    let mut common = 0;
    for word in answer.split_whitespace() {
        if let Some(left) = counts.get_mut(word).filter(|left| **left > 0) {
            *left -= 1;
            common += 1;
        }
    }
    if common == 0 {
        return 0.0;
    }
    let precision = common as f64 / answered as f64;
    let recall = common as f64 / wanted as f64;
    2.0 * precision * recall / (precision + recall)
}

/// Lower case without ASCII punctuation, articles and surplus white space, in the order of
/// `evaluate-v1.1.py`.
fn normalised(text: &str) -> String {
    let lower = text.to_lowercase();
    let bare: String = lower
        .chars()
        .filter(|c| !c.is_ascii_punctuation())
        .collect();
    let mut out = String::with_capacity(bare.len());
    // Words as `\b` of a regular expression sees them.
    let mut rest = bare.as_str();
    while let Some(first) = rest.chars().next() {
        let is_word = first.is_alphanumeric();
        let end = rest.find(|c: char| c.is_alphanumeric() != is_word);
        let (run, after) = rest.split_at(end.unwrap_or(rest.len()));
        out.push_str(if is_word && matches!(run, "a" | "an" | "the") {
            " "
        } else {
            run
        });
        rest = after;
    }
    out.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(a: f64, b: f64) {
        assert!((a - b).abs() <= 1e-6 * b.abs().max(1.0), "{a} against {b}");
    }

    /// `scipy.stats.t.ppf(0.975, df)`, here by mpmath's incomplete beta function to 12 digits.
    #[test]
    fn points_of_student_s_t() {
        for (freedom, point) in [
            (1, 12.7062047362),
            (2, 4.30265272975),
            (9, 2.2621571628),
            (30, 2.0422724563),
            (31, 2.0395134464),
            (40, 2.02107539031),
            (100, 1.98397151852),
            (1000, 1.96233908083),
        ] {
            close(t_quantile(freedom), point);
        }
    }

    #[test]
    fn a_summary_of_known_values() {
        // NumPy: mean 5, std(ddof=1) 2.13808993529939; interval by t(7) = 2.36462425159.
        let summary = Summary::of(&[2.0, 4.0, 4.0, 4.0, 5.0, 5.0, 7.0, 9.0]).unwrap();
        close(summary.mean, 5.0);
        close(summary.deviation, 2.138_089_935_299_39);
        close(summary.half_interval.unwrap(), 1.787_487_9);
        let single = Summary::of(&[3.0]).unwrap();
        assert_eq!((single.deviation, single.half_interval), (0.0, None));
        assert_eq!(Summary::of(&[]), None);
        let paired = Summary::of_differences(&[1.0, 2.0, 3.0], &[0.0, 1.0, 2.0]).unwrap();
        assert_eq!((paired.mean, paired.half_interval), (1.0, Some(0.0)));
        assert_eq!(Summary::of_differences(&[1.0], &[]), None);
    }

    #[test]
    fn rank_correlation_of_known_values() {
        // scipy.stats.spearmanr's documented examples, and one with ties worked by hand:
        // ranks 1, 2.5, 2.5, 4 against 1, 2, 3, 4.
        let a = [1.0, 2.0, 3.0, 4.0, 5.0];
        close(
            spearman(&a, &[5.0, 6.0, 7.0, 8.0, 7.0]).unwrap(),
            0.820_782_681_668_123_3,
        );
        let tied = spearman(&[1.0, 2.0, 2.0, 9.0], &[1.0, 2.0, 3.0, 4.0]).unwrap();
        close(tied, 4.5 / (4.5f64 * 5.0).sqrt());
        close(spearman(&a, &a.map(|v| -v.exp())).unwrap(), -1.0);
        assert_eq!(spearman(&a, &[1.0; 5]), None);
        assert_eq!(spearman(&a, &a[1..]), None);
        assert_eq!(spearman(&[1.0, f64::NAN], &[1.0, 2.0]), None);
    }

    fn right(answers: &[&str]) -> Vec<String> {
        answers.iter().map(|a| (*a).to_owned()).collect()
    }

    /// Values of SQuAD's `evaluate-v1.1.py`.
    #[test]
    fn answers_are_compared_as_squad_does() {
        assert!(exact_match("The  Cat!", &right(&["dog", "cat"])));
        assert!(exact_match("“the” cat", &right(&["“ ” cat"])));
        assert!(exact_match("U.S.A.", &right(&["usa"])));
        assert!(!exact_match("theatre", &right(&["atre"])));
        assert!(!exact_match("cat", &[]));
        assert!(exact_match("", &right(&["the"])));
        close(
            token_f1("the cat sat", &right(&["a cat", "dog"])),
            2.0 / 3.0,
        );
        close(token_f1("cat cat", &right(&["cat"])), 2.0 / 3.0);
        close(token_f1("1,000 people", &right(&["1000 people"])), 1.0);
        close(token_f1("", &right(&["the"])), 0.0);
        close(token_f1("dog", &[]), 0.0);
    }
}
