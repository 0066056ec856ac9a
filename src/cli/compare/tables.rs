//! What came of the arms, as tables.

use inscribe::write::experiment::{Answers, Arm, Outcome};
use inscribe::write::method::Method;
use inscribe::write::statistics::{Summary, mean};

use crate::cli::out::{errln, outln};

/// A measure of an outcome, where it has it.
type Measure = fn(&Outcome) -> Option<f64>;

/// The document is read once for all arms and seeds: there is nothing to take an interval of.
const ONCE: [&str; 2] = ["seconds: prefill", "seconds: utility"];

const MEASURES: &[(&str, Measure)] = &[
    ("loss, all tokens", |o| Some(o.loss_after)),
    ("loss, held out", |o| o.held_out_after),
    ("held out, high utility", |o| o.high_after),
    ("answers, log P a token", |o| o.answers.map(|a| a.logprob)),
    ("answers, exact match", |o| o.answers.and_then(|a| a.exact)),
    ("answers, F1", |o| o.answers.and_then(|a| a.f1)),
    ("steps", |o| Some(o.steps as f64)),
    ("seconds: prefill", |o| Some(o.seconds.prefill)),
    ("seconds: utility", |o| Some(o.seconds.local)),
    ("seconds: steps", |o| Some(o.seconds.steps)),
    ("seconds: measuring", |o| Some(o.seconds.evaluate)),
    ("seconds: saving", |o| Some(o.seconds.save)),
    ("utility, share of the write", |o| {
        Some(o.seconds.local / o.seconds.total().max(1e-12))
    }),
    ("seconds: answers", |o| o.answers.map(|_| o.answer_seconds)),
];

pub fn print(arms: &[Arm], outcomes: &[Outcome], bounds: Option<(Answers, Answers)>) {
    print_before(arms, outcomes);
    if let Some((without, with)) = bounds {
        outln!(
            "answers, log P a token: {:.4} with no document, {:.4} with the document before them",
            without.logprob,
            with.logprob
        );
    }
    let mut seeds: Vec<u64> = outcomes.iter().map(|o| o.seed).collect();
    seeds.sort_unstable();
    seeds.dedup();
    match seeds.len() {
        0 | 1 => outln!("\none seed, so that there is no interval (--seeds 3 gives one)\n"),
        _ => outln!("\nmean and 95 % interval over the seeds\n"),
    }
    let width = arms
        .iter()
        .map(|a| a.name.chars().count())
        .max()
        .unwrap_or(0)
        .max(8);
    let of_arm = |arm: &Arm, measure: Measure| -> Vec<f64> {
        let own = outcomes.iter().filter(|o| o.arm == arm.name);
        own.filter_map(measure).collect()
    };
    for (name, measure) in MEASURES {
        let rows: Vec<(&Arm, Vec<f64>)> = arms
            .iter()
            .map(|arm| (arm, of_arm(arm, *measure)))
            .collect();
        if rows.iter().all(|(_, values)| values.is_empty()) {
            continue;
        }
        let once = ONCE.contains(name);
        let note = if once { ", measured once" } else { "" };
        outln!("{name}{note}");
        let first = rows
            .first()
            .map(|(_, values)| values.clone())
            .unwrap_or_default();
        for (i, (arm, values)) in rows.iter().enumerate() {
            let Some(summary) = Summary::of(values) else {
                continue;
            };
            if once {
                outln!("  {:<width$}  {:.5}", arm.name, summary.mean);
                continue;
            }
            let versus = Summary::of_differences(values, &first).filter(|_| i > 0);
            let versus = versus.map_or(String::new(), |d| {
                format!("   against the first row {}", pm(&d, true))
            });
            outln!("  {:<width$}  {}{versus}", arm.name, pm(&summary, false));
        }
    }
    if outcomes.is_empty() {
        errln!("nothing was run");
    }
}

/// The losses before any step, over the seeds, whose held-out tokens differ; once for each method,
/// since only one of them keeps the document.
fn print_before(arms: &[Arm], outcomes: &[Outcome]) {
    let mut told: Vec<Method> = Vec::new();
    for arm in arms {
        let method = arm.settings.method;
        let own: Vec<&Outcome> = outcomes.iter().filter(|o| o.arm == arm.name).collect();
        if told.contains(&method) || own.is_empty() {
            continue;
        }
        told.push(method);
        let of = |value: fn(&Outcome) -> Option<f64>| {
            mean(&own.iter().filter_map(|o| value(o)).collect::<Vec<f64>>())
        };
        let Some(all) = of(|o| Some(o.loss_before)) else {
            continue;
        };
        outln!(
            "before any step ({}): loss {all:.4}",
            format!("{method:?}").to_lowercase()
        );
        if let (Some(held), Some(high)) = (of(|o| o.held_out_before), of(|o| o.high_before)) {
            outln!("                 held out {held:.4}, of high utility {high:.4}");
        }
    }
}

/// A mean of any size with its interval.
pub fn pm_share(summary: &Summary) -> String {
    let half = summary.half_interval;
    let half = half.map_or(String::new(), |half| format!(" ± {}", short(half, 3)));
    short(summary.mean, 4) + &half
}

/// With at least so many digits; a power of ten only where a number would be hard to read without.
fn short(value: f64, digits: i32) -> String {
    if value == 0.0 {
        return "0".to_owned();
    }
    let size = value.abs().log10().floor() as i32;
    if !(-4..6).contains(&size) {
        return format!("{value:.*e}", digits as usize - 1);
    }
    format!("{value:.*}", (digits - 1 - size).max(0) as usize)
}

fn pm(summary: &Summary, signed: bool) -> String {
    let mean = if signed {
        format!("{:+.5}", summary.mean)
    } else {
        format!("{:.5}", summary.mean)
    };
    match summary.half_interval {
        Some(half) => format!("{mean} ± {half:.5}"),
        None => mean,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_told_in_digits_and_small_ones_by_powers() {
        let shown = [3.38951, 0.0123456, 56789.0, 0.0, 4.2e-9].map(|value| short(value, 4));
        assert_eq!(shown, ["3.390", "0.01235", "56789", "0", "4.200e-9"]);
    }
}
