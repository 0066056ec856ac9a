//! `inscribe reproduce`: published experiments, done again.

use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context as _, Result, bail};
use clap::ValueEnum;
use serde_json::json;

use inscribe::train::reproduce::{self, Plan, Reproduced};
use inscribe::train::saved::Saved;
use inscribe::train::shipped;
use inscribe::words;

use super::out::outln;
use super::{Context, compare, numbers, print_json, setup};

const EXAMPLES: &str = "\
Examples:
  inscribe reproduce                              the list
  inscribe reproduce kv-retrieval                 with the model that comes with the program
  inscribe reproduce kv-retrieval --train --minutes 20 --seeds 2 --out runs
  inscribe reproduce gdwm-allocation              utility against uniform and other rules";

/// Do a published experiment again, or list those that there are
///
/// Each line of a result is held against what the authors report, where they do, and against a bar
/// of this program's own. The exit code is 1 where a bar does not hold.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The experiment; without one, the list
    name: Option<String>,
    /// How many seeds
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = numbers::positive::<u64>)]
    seeds: u64,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    /// Train the models anew
    #[arg(long)]
    train: bool,
    /// With --train: minutes of each training
    #[arg(long, value_name = "MIN", default_value_t = 20.0, requires = "train")]
    minutes: f64,
    /// The most pairs of a context
    #[arg(long, value_name = "N", default_value_t = shipped::PAIRS,
          value_parser = numbers::positive::<usize>)]
    pairs: usize,
    /// Test the model in this folder of `inscribe train` instead of the program's own
    #[arg(long, value_name = "DIR", conflicts_with = "train")]
    trained: Option<PathBuf>,
    /// With --train: the folder of the runs; those that were stopped go on
    #[arg(
        long,
        value_name = "DIR",
        default_value = "reproduce",
        requires = "train"
    )]
    out: PathBuf,
    /// New contexts that each figure is the share of
    #[arg(long, value_name = "N", default_value_t = 500, value_parser = numbers::positive::<usize>)]
    samples: usize,
}

/// An experiment of the list.
struct Known {
    name: &'static str,
    shows: &'static str,
    cost: &'static str,
    published: &'static str,
}

const KV: &str = "kv-retrieval";

/// Those of `inscribe compare`, over the sample, by what they begin with.
const GDWM: &str = "gdwm-";

fn known() -> Vec<Known> {
    let mut all = vec![Known {
        name: KV,
        shows: "pairs that five or fewer gradient steps put into eight vectors, by pairs and steps",
        cost: "2 min; --train: hours",
        published: "100, 100, 99.6, 98.3 % at 4, 8, 16, 32 pairs, K=2",
    }];
    let of_gdwm = compare::Experiment::value_variants().iter();
    let of_gdwm = of_gdwm.filter(|experiment| **experiment != compare::Experiment::Arms);
    all.extend(of_gdwm.filter_map(|experiment| {
        let value = experiment.to_possible_value()?;
        Some(Known {
            name: String::leak(format!("{GDWM}{}", value.get_name())),
            shows: String::leak(
                value
                    .get_help()
                    .map(|help| help.to_string())
                    .unwrap_or_default(),
            ),
            cost: "10 min to 1 h",
            published: "no figures of its own for this text",
        })
    }));
    all
}

pub fn run(args: &Args, app: &Context) -> Result<()> {
    let Some(name) = &args.name else {
        return list(args);
    };
    if name == KV {
        return kv(args, app);
    }
    let known = known();
    match name.strip_prefix(GDWM) {
        Some(experiment) if known.iter().any(|known| known.name == name) => {
            compare::on_the_sample(experiment, args.seeds, args.json, name, app)
        }
        _ => {
            let names: Vec<&str> = known.iter().map(|known| known.name).collect();
            bail!(
                "there is no experiment '{name}'; there are {}",
                names.join(", ")
            )
        }
    }
}

fn list(args: &Args) -> Result<()> {
    if args.json {
        let all = known().into_iter().map(|known| {
            json!({"name": known.name, "shows": known.shows, "cost": known.cost,
                   "published": known.published})
        });
        return print_json(&all.collect::<Vec<_>>());
    }
    for known in known() {
        outln!("{:<18} {}", known.name, known.shows);
        outln!(
            "{:<18}   cost: {}; published: {}",
            "",
            known.cost,
            known.published
        );
    }
    Ok(())
}

fn kv(args: &Args, app: &Context) -> Result<()> {
    let device = setup::open_device(app)?;
    let started = Instant::now();
    let bar = app.spinner(KV.to_owned());
    let mut tell = |text: &str| bar.set_message(text.to_owned());
    let (seeds, rows) = if args.train {
        let seeds: Vec<u64> = (1..=args.seeds).collect();
        let plan = Plan {
            folder: &args.out,
            seeds: &seeds,
            minutes: args.minutes,
            pairs: args.pairs,
            samples: args.samples,
        };
        let rows = reproduce::kv_training(&device, &plan, &app.cancel, &mut tell)?;
        let rows = rows.ok_or(inscribe::engine::EngineError::Cancelled);
        let going_on = || format!("the same call goes on from {}", args.out.display());
        (seeds, rows.with_context(going_on)?)
    } else {
        let model = match &args.trained {
            Some(folder) => Saved::open(folder)?,
            None => shipped::model()?,
        };
        let (pairs, samples) = (args.pairs, args.samples);
        let rows = reproduce::kv_retrieval(&device, &model, pairs, samples, &mut tell)?;
        (vec![shipped::SEED], rows)
    };
    bar.finish_and_clear();
    let result = Reproduced::new(KV, seeds, rows, started);
    show(&result, args.json)
}

/// Prints a result; one whose bars do not all hold is an error.
pub fn show(result: &Reproduced, as_json: bool) -> Result<()> {
    if as_json {
        print_json(result)?;
    } else {
        outln!(
            "{:<44} {:>8} {:>10} {:>8}",
            "",
            "here, %",
            "published",
            "bar"
        );
        for row in &result.rows {
            let cell = |value: Option<f64>| value.map_or(String::new(), |v| format!("{v:.1}"));
            let mark = match row.holds {
                Some(true) => "holds",
                Some(false) => "DOES NOT HOLD",
                None => "",
            };
            outln!(
                "{:<44} {:>8.1} {:>10} {:>8} {mark}",
                row.setting,
                row.value,
                cell(row.published),
                cell(row.bar)
            );
        }
        outln!("{}", words::duration(result.seconds));
    }
    if !result.holds {
        bail!("not every bar holds");
    }
    Ok(())
}
