//! What `inscribe compare` sets side by side.

use anyhow::{Context as _, Result, bail};
use clap::ValueEnum;
use serde_json::Value;

use inscribe::write::experiment::Arm;
use inscribe::write::method::{self, Method};
use inscribe::write::settings::{Allocate, Chunking, UtilityScale, WriteSettings};

use crate::cli::write_args::AllocateName;

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Experiment {
    /// Utility against uniform, random and top-k allocation, and uniform at four times the budget
    Allocation,
    /// Chunks of 256, 512, 1024 and 2048 tokens
    ChunkSize,
    /// Fixed chunks against chunks along headings and paragraphs
    Chunking,
    /// With and without a first step for every chunk
    Coverage,
    /// |U| against signed utility
    Signed,
    /// Utilities as measured against their z-scores
    Scale,
    /// Chunk-restricted steps against steps from the whole document (qTTT)
    Whole,
    /// gdwm, lora and gradmem
    Methods,
    /// Where the time goes: all of the local pass, a quarter of it, and none
    Overhead,
    /// How much of a step's gradient noise lies within chunks, and how much between them
    Variance,
    /// The arms named by --arms
    Arms,
}

impl Experiment {
    /// Whether its arms differ in how steps are shared out over chunks.
    pub fn is_about_shares(self) -> bool {
        matches!(
            self,
            Experiment::Allocation
                | Experiment::Coverage
                | Experiment::Signed
                | Experiment::Scale
                | Experiment::Variance
        )
    }
}

/// What the command line asks of a method.
pub type Asked<'a> = &'a dyn Fn(Method) -> Result<WriteSettings>;

/// The arms of an experiment; `named` are those of [`Experiment::Arms`].
pub fn arms(
    experiment: Experiment,
    named: &[String],
    base: &WriteSettings,
    asked: Asked<'_>,
) -> Result<Vec<Arm>> {
    let with = |name: &str, change: &dyn Fn(&mut WriteSettings)| {
        let mut settings = base.clone();
        change(&mut settings);
        Arm {
            name: name.to_owned(),
            settings,
        }
    };
    let allocate = |rule: Allocate| move |s: &mut WriteSettings| s.allocate = rule;
    let arms = match experiment {
        Experiment::Allocation => vec![
            with("utility", &allocate(Allocate::Utility)),
            with("uniform", &allocate(Allocate::Uniform)),
            with("random", &allocate(Allocate::Random)),
            with("top-k", &allocate(Allocate::Topk)),
            with("uniform, 4 K", &|s| {
                s.allocate = Allocate::Uniform;
                s.budget = s.budget.saturating_mul(4);
            }),
        ],
        Experiment::ChunkSize => [256, 512, 1024, 2048]
            .map(|size| with(&format!("chunks of {size}"), &|s| s.chunk = size))
            .to_vec(),
        Experiment::Chunking => vec![
            with("fixed", &|s| s.chunking = Chunking::Fixed),
            with("structure", &|s| s.chunking = Chunking::Structure),
        ],
        Experiment::Coverage => vec![
            with("coverage", &|s| s.coverage = true),
            with("no coverage", &|s| s.coverage = false),
        ],
        Experiment::Signed => vec![
            with("|U|", &allocate(Allocate::Utility)),
            with("signed U", &allocate(Allocate::Signed)),
        ],
        Experiment::Scale => vec![
            with("raw U", &|s| s.scale = UtilityScale::Raw),
            with("z-scored U", &|s| s.scale = UtilityScale::Zscore),
        ],
        Experiment::Whole => vec![
            with("within chunks", &allocate(Allocate::Utility)),
            with("whole document", &allocate(Allocate::Whole)),
        ],
        Experiment::Methods => {
            let arm = |method: Method| {
                Ok(Arm {
                    name: method.name().to_owned(),
                    settings: asked(method)?,
                })
            };
            method::all().into_iter().map(arm).collect::<Result<_>>()?
        }
        Experiment::Overhead => vec![
            with("utility", &allocate(Allocate::Utility)),
            with("uniform", &allocate(Allocate::Uniform)),
        ],
        Experiment::Variance => Vec::new(),
        Experiment::Arms => {
            if named.is_empty() {
                bail!("--experiment arms needs --arms, such as --arms utility,uniform@4");
            }
            let named = named.iter().map(|name| named_arm(name, base, asked));
            named.collect::<Result<_>>()?
        }
    };
    for (i, arm) in arms.iter().enumerate() {
        if arms[..i].iter().any(|other| other.name == arm.name) {
            bail!("the arm '{}' is named twice", arm.name);
        }
    }
    Ok(arms)
}

/// An arm by its name: a rule of allocation or a method, `@N` for N times the budget, and settings
/// of its own after colons, named as a run's events name them: `utility@4:tau=0.5:scale=zscore`.
fn named_arm(name: &str, base: &WriteSettings, asked: Asked<'_>) -> Result<Arm> {
    let mut parts = name.split(':');
    let head = parts.next().unwrap_or_default();
    let (rule, times) = head.split_once('@').unwrap_or((head, "1"));
    let times: usize = times
        .parse()
        .ok()
        .filter(|times| *times > 0)
        .with_context(|| format!("'{name}': what follows @ must be a whole number from 1"))?;
    let mut settings = base.clone();
    if let Ok(rule) = AllocateName::from_str(rule, true) {
        settings.allocate = rule.into();
    } else if let Some(method) = Method::named(&rule.to_lowercase()) {
        settings = asked(method)?;
    } else {
        let methods: Vec<&str> = method::all().iter().map(|m| m.name()).collect();
        bail!(
            "'{rule}' is no arm; use utility, signed, uniform, random, topk, whole or a method: {}",
            methods.join(", ")
        );
    }
    settings.budget = settings.budget.saturating_mul(times);
    for part in parts {
        settings = changed(&settings, part).with_context(|| format!("the arm '{name}'"))?;
    }
    let checked = settings.check();
    checked.with_context(|| format!("the arm '{name}'"))?;
    Ok(Arm {
        name: name.to_owned(),
        settings,
    })
}

/// The settings with one of them changed, as `tau=0.5`.
fn changed(settings: &WriteSettings, change: &str) -> Result<WriteSettings> {
    let (name, value) = change
        .split_once('=')
        .with_context(|| format!("'{change}' must be a setting and its value, such as tau=0.5"))?;
    let mut all = serde_json::to_value(settings)?;
    let names: Vec<String> = match &all {
        Value::Object(map) => map.keys().cloned().collect(),
        _ => Vec::new(),
    };
    let place = all
        .pointer_mut(&format!("/{}", name.replace('.', "/")))
        .with_context(|| {
            format!(
                "there is no setting '{name}'; there are {}",
                names.join(", ")
            )
        })?;
    *place = serde_json::from_str(value).unwrap_or_else(|_| Value::String(value.to_owned()));
    serde_json::from_value(all).with_context(|| format!("'{value}' is no value for {name}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(method: Method) -> Result<WriteSettings> {
        Ok(WriteSettings {
            span: 5,
            ..WriteSettings::for_method(method)
        })
    }

    #[test]
    fn methods_are_written_as_asked() {
        let base = asked(Method::GDWM).unwrap();
        let arm = |name| named_arm(name, &base, &asked).unwrap().settings;
        assert_eq!(arm("gdwm"), arm("utility"));
        let methods = arms(Experiment::Methods, &[], &base, &asked).unwrap();
        assert!(methods.iter().all(|arm| arm.settings.span == 5));
    }

    #[test]
    fn an_arm_may_have_settings_of_its_own() {
        let base = WriteSettings::default();
        let arm = named_arm(
            "uniform@4:lr=2.5e-4:scale=zscore:lora.rank=4",
            &base,
            &asked,
        )
        .unwrap();
        assert_eq!(arm.settings.allocate, Allocate::Uniform);
        assert_eq!(arm.settings.budget, 4 * base.budget);
        assert_eq!(arm.settings.lr, 2.5e-4);
        assert_eq!(arm.settings.scale, UtilityScale::Zscore);
        assert_eq!(arm.settings.lora.rank, 4);
    }

    #[test]
    fn what_is_wrong_with_an_arm_is_said() {
        let base = WriteSettings::default();
        for (name, said) in [
            ("uniform@0", "whole number"),
            ("best", "no arm"),
            ("utility:tau", "such as tau=0.5"),
            ("utility:heat=2", "there is no setting 'heat'"),
            ("utility:tau=warm", "no value for tau"),
            ("utility:tau=-1", "the arm"),
        ] {
            let error = format!("{:#}", named_arm(name, &base, &asked).unwrap_err());
            assert!(error.contains(said), "{name}: {error}");
        }
    }
}
