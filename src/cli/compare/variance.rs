//! How much of a step's gradient noise lies within chunks, and how much between them.

use std::ops::Range;

use anyhow::Result;
use serde_json::{Value, json};

use inscribe::write::experiment::Study;
use inscribe::write::statistics::Summary;
use inscribe::write::variance::GradientVariance;

use super::tables::pm_share;
use super::{stopped, together};
use crate::cli::out::outln;
use crate::cli::{Context, print_json};

/// Batches drawn from each chunk.
const DRAWS: usize = 8;

/// Measures it with each seed; `about` is what a JSON object says beside it.
pub fn run(
    study: &mut Study<'_>,
    seeds: Range<u64>,
    app: &Context,
    about: Option<Value>,
) -> Result<()> {
    let bar = app.counter("comparing", seeds.end - seeds.start, "seeds");
    let mut found = Vec::new();
    for seed in seeds {
        found.push((seed, study.variance(DRAWS, seed).map_err(stopped)?));
        bar.inc(1);
    }
    bar.finish_and_clear();
    if let Some(about) = about {
        let seeds = found.iter().map(|(seed, of_seed)| {
            let values = serde_json::to_value(of_seed)?;
            let share = of_seed.share_between();
            Ok(together(
                json!({"seed": seed, "share_between": share}),
                values,
            ))
        });
        let seeds = seeds.collect::<Result<Vec<Value>>>()?;
        return print_json(&together(about, json!({"variance": seeds})));
    }
    let of = |value: fn(&GradientVariance) -> f64| {
        let values: Vec<f64> = found.iter().map(|(_, v)| value(v)).collect();
        Summary::of(&values).map_or_else(String::new, |summary| pm_share(&summary))
    };
    outln!(
        "variance of a step's gradient, before any step, {DRAWS} batches a chunk; mean and 95 % \
         interval over the seeds\n\
         within chunks       {}\n\
         between chunks      {}\n\
         between, of both    {}\n\
         the same by chance  {}\n\
         |mean gradient|^2   {}",
        of(|v| v.within),
        of(|v| v.between),
        of(GradientVariance::share_between),
        of(|v| v.between_by_chance),
        of(|v| v.mean_squared),
    );
    Ok(())
}
