//! The options that say how a memory is written, shared by every verb that writes one.

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use clap::{Args, ValueEnum};
use inscribe::memory::LoraConfig;
use inscribe::model::adapter::Projection;
use inscribe::model::model_file::Model;
use inscribe::write::document::{Pages, ReadOptions};
use inscribe::write::method::{self, Method};
use inscribe::write::setting::Setting;
use inscribe::write::settings::{
    Allocate, Chunking, KeepRows, OptimizerName, PrefixInit, RecomputeWhen, UtilityScale,
    WriteSettings,
};

use super::Context;
use super::numbers;

/// What a verb does with the options.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Idle {
    /// Takes steps, so that only options of other choices are idle.
    Steps,
    /// Takes no steps, so that options that say how one is taken are idle, too.
    NoSteps,
}

/// How to write.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "How to write")]
pub struct WritingArgs {
    /// What is written: fast weights beside the document's keys and values (gdwm), fast weights
    /// alone (lora), or memory tokens (gradmem)
    #[arg(long, value_parser = methods(), default_value = Method::default().name())]
    pub method: Method,
    /// Gradient steps in all [default: 32]
    #[arg(long, value_name = "K", value_parser = numbers::whole::<usize>)]
    pub budget: Option<usize>,
    /// Steps that every chunk gets before utility decides [default: 1]
    #[arg(long, value_name = "N", value_parser = numbers::whole::<usize>)]
    pub k_min: Option<usize>,
    /// Give no chunk a step for its own sake: utility alone decides
    #[arg(long)]
    pub no_coverage: bool,
    /// Temperature of the softmax over utilities: small gives all to the highest, large to
    /// all [default: 1]
    #[arg(long, value_name = "T", value_parser = numbers::number::<f64>)]
    pub tau: Option<f64>,
    /// Utilities as they are, or brought to mean 0 and deviation 1 before the softmax
    /// [default: raw]
    #[arg(long, value_enum, value_name = "SCALE")]
    pub scale: Option<ScaleName>,
    /// Which chunks get the steps; all but utility are baselines [default: utility]
    #[arg(long, value_enum, value_name = "RULE")]
    pub allocate: Option<AllocateName>,
    /// Tokens of a chunk [default: 1024]
    #[arg(long, value_name = "N", value_parser = numbers::whole::<usize>)]
    pub chunk: Option<usize>,
    /// Cut every N tokens, or at headings and paragraphs [default: fixed]
    #[arg(long, value_enum, value_name = "WHERE")]
    pub chunking: Option<ChunkingName>,
    /// Tokens of local context that utility is measured against [default: 256]
    #[arg(long, value_name = "N", value_parser = numbers::whole::<usize>)]
    pub window: Option<usize>,
    /// Rank of the fast weights [default: 16]
    #[arg(long, value_name = "R", value_parser = numbers::whole::<usize>)]
    pub rank: Option<usize>,
    /// Fast weights count alpha / rank times [default: 32]
    #[arg(long, value_name = "A", value_parser = numbers::number::<f32>)]
    pub alpha: Option<f32>,
    /// Projections that get fast weights, of q,k,v,o,gate,up,down [default: q,o]
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    pub targets: Option<Vec<Projection>>,
    /// Memory tokens (gradmem) [default: 16]
    #[arg(long, value_name = "N", value_parser = numbers::whole::<usize>)]
    pub prefix: Option<usize>,
    /// What memory tokens start from (gradmem)
    #[arg(long, value_enum, value_name = "FROM")]
    pub init: Option<InitName>,
    /// Which way a step follows the gradients [default: adamw]
    #[arg(long, value_enum, value_name = "NAME")]
    pub optimizer: Option<OptimizerArg>,
    /// Learning rate [default: 0.001; gradmem has its own]
    #[arg(long, value_name = "RATE", value_parser = numbers::number::<f32>)]
    pub lr: Option<f32>,
    /// Weight decay of AdamW [default: 0.01; gradmem: 0]
    #[arg(long, value_name = "D", value_parser = numbers::number::<f32>)]
    pub weight_decay: Option<f32>,
    /// Scale gradients down to this norm; 0 leaves them [default: 1]
    #[arg(long, value_name = "NORM", value_parser = numbers::number::<f32>)]
    pub clip: Option<f32>,
    /// Spans of a step [default: 32]
    #[arg(long, value_name = "N", value_parser = numbers::whole::<usize>)]
    pub batch: Option<usize>,
    /// Tokens of a span [default: 8]
    #[arg(long, value_name = "N", value_parser = numbers::whole::<usize>)]
    pub span: Option<usize>,
    /// The same seed on the same device writes the same memory [default: 0]
    #[arg(long, value_name = "N", value_parser = numbers::whole::<u64>)]
    pub seed: Option<u64>,
    /// The encoding of a text that is no UTF-8, such as windows-1252
    #[arg(long, value_name = "LABEL", help_heading = "What to read")]
    pub encoding: Option<String>,
    /// Of a PDF, read these pages only: 5, 3-20, 3- (to the end) or 1-3,8
    #[arg(long, value_name = "PAGES", help_heading = "What to read")]
    pub pages: Option<Pages>,
    /// Compute each layer's activations again on the way back instead of keeping them: slower, in a
    /// fraction of the memory [default: auto, where they would not fit]
    #[arg(long, value_enum, value_name = "WHEN")]
    pub recompute: Option<RecomputeName>,
    /// Keep this part of the tokens out of every step and report their loss [default: 0, none]
    #[arg(long, value_name = "PART", value_parser = numbers::number::<f64>)]
    pub held_out: Option<f64>,
}

impl WritingArgs {
    /// How the document is to be read.
    pub fn read_options(&self) -> ReadOptions {
        ReadOptions {
            encoding: self.encoding.clone(),
            pages: self.pages.clone(),
        }
    }

    /// The settings asked for, over those that suit the method.
    pub fn settings(&self) -> anyhow::Result<WriteSettings> {
        self.over(WriteSettings::for_method(self.method))
    }

    /// As [`WritingArgs::settings`], for a method of one's choice on a model that may carry
    /// settings of its own.
    pub fn settings_of(&self, method: Method, model: &Model) -> anyhow::Result<WriteSettings> {
        self.over(WriteSettings::for_method_on(method, model)?)
    }

    /// As [`WritingArgs::settings_of`], for the method asked for.
    pub fn settings_on(&self, model: &Model) -> anyhow::Result<WriteSettings> {
        self.settings_of(self.method, model)
    }

    /// Says which of the options given have no effect with what was chosen.
    pub fn tell_idle(&self, settings: &WriteSettings, idle: Idle, app: &Context) {
        for (name, beside) in self.idle(settings, idle) {
            app.note(&format!("{name} plays no part {beside}"));
        }
    }

    /// The options given that have no effect, and because of what choice.
    fn idle(&self, settings: &WriteSettings, idle: Idle) -> Vec<(&'static str, &'static str)> {
        let unused = |setting| !settings.method.uses(setting);
        let by_softmax = matches!(settings.allocate, Allocate::Utility | Allocate::Signed);
        let measured = by_softmax || settings.allocate == Allocate::Topk;
        let no_steps = idle == Idle::NoSteps;
        let unmeasured = !measured && !no_steps;
        let sgd = settings.optimizer == OptimizerName::Sgd;
        let method = "with this --method";
        let rule = "with this --allocate";
        let given = [
            ("--rank", self.rank.is_some(), unused(Setting::Rank), method),
            (
                "--alpha",
                self.alpha.is_some(),
                unused(Setting::Alpha),
                method,
            ),
            (
                "--targets",
                self.targets.is_some(),
                unused(Setting::Targets),
                method,
            ),
            (
                "--prefix",
                self.prefix.is_some(),
                unused(Setting::Prefix),
                method,
            ),
            ("--init", self.init.is_some(), unused(Setting::Init), method),
            ("--tau", self.tau.is_some(), !by_softmax, rule),
            ("--scale", self.scale.is_some(), !by_softmax, rule),
            ("--window", self.window.is_some(), unmeasured, rule),
            (
                "--k-min",
                self.k_min.is_some(),
                self.no_coverage,
                "with --no-coverage",
            ),
            (
                "--weight-decay",
                self.weight_decay.is_some(),
                sgd,
                "in --optimizer sgd",
            ),
        ];
        let where_no_step = [
            ("--rank", self.rank.is_some()),
            ("--alpha", self.alpha.is_some()),
            ("--targets", self.targets.is_some()),
            ("--init", self.init.is_some()),
            ("--optimizer", self.optimizer.is_some()),
            ("--lr", self.lr.is_some()),
            ("--weight-decay", self.weight_decay.is_some()),
            ("--clip", self.clip.is_some()),
            ("--batch", self.batch.is_some()),
            ("--span", self.span.is_some()),
            ("--recompute", self.recompute.is_some()),
        ];
        let mut found: Vec<_> = given
            .into_iter()
            .filter(|(_, given, idle, _)| *given && *idle)
            .map(|(name, _, _, beside)| (name, beside))
            .collect();
        if no_steps {
            let idle = where_no_step.into_iter().filter(|(_, given)| *given);
            found.extend(idle.map(|(name, _)| (name, "where no step is taken")));
            found.sort_unstable();
            found.dedup_by_key(|(name, _)| *name);
        }
        found
    }

    fn over(&self, base: WriteSettings) -> anyhow::Result<WriteSettings> {
        let lora = LoraConfig {
            rank: self.rank.unwrap_or(base.lora.rank),
            alpha: self.alpha.unwrap_or(base.lora.alpha),
            targets: self.targets.clone().unwrap_or(base.lora.targets),
        };
        let settings = WriteSettings {
            method: base.method,
            budget: self.budget.unwrap_or(base.budget),
            k_min: self.k_min.unwrap_or(base.k_min),
            coverage: !self.no_coverage,
            tau: self.tau.unwrap_or(base.tau),
            scale: self.scale.map_or(base.scale, Into::into),
            allocate: self.allocate.map_or(base.allocate, Into::into),
            chunking: self.chunking.map_or(base.chunking, Into::into),
            chunk: self.chunk.unwrap_or(base.chunk),
            window: self.window.unwrap_or(base.window),
            lora,
            prefix: self.prefix.unwrap_or(base.prefix),
            init: self.init.map_or(base.init, Into::into),
            optimizer: self.optimizer.map_or(base.optimizer, Into::into),
            lr: self.lr.unwrap_or(base.lr),
            weight_decay: self.weight_decay.unwrap_or(base.weight_decay),
            clip: self.clip.unwrap_or(base.clip),
            batch: self.batch.unwrap_or(base.batch),
            span: self.span.unwrap_or(base.span),
            seed: self.seed.unwrap_or(base.seed),
            held_out: self.held_out.unwrap_or(base.held_out),
            evaluate: base.evaluate,
            checkpoint: base.checkpoint,
            recompute: self.recompute.map_or(base.recompute, Into::into),
            keep_rows: base.keep_rows,
        };
        settings.check()?;
        Ok(settings)
    }
}

/// The methods by their names.
fn methods() -> impl TypedValueParser<Value = Method> {
    let known = method::all().into_iter();
    let names = known.map(|m| PossibleValue::new(m.name()).help(m.explanation()));
    PossibleValuesParser::new(names).try_map(|name| Method::named(&name).ok_or("no such method"))
}

/// Declares the command line's names of a library enum.
macro_rules! names {
    ($name:ident for $target:ident { $($(#[$doc:meta])* $variant:ident),* $(,)? }) => {
        #[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
        pub enum $name { $($(#[$doc])* $variant),* }
        impl From<$name> for $target {
            fn from(name: $name) -> $target {
                match name { $($name::$variant => $target::$variant),* }
            }
        }
    };
}

names!(KeepName for KeepRows {
    /// As q8 where that takes at most 1 GiB, else not at all
    Auto,
    /// Values in 8 bits, keys in 16
    Q8,
    /// Both in 16 bits
    F16,
    /// Not at all: the document is read again before the first question
    No,
});
names!(AllocateName for Allocate {
    /// By contextual utility
    Utility,
    /// By utility without its absolute value
    Signed,
    /// The same for every chunk
    Uniform,
    /// Each step to a random chunk
    Random,
    /// All to the chunks of highest utility
    Topk,
    /// No chunks: each step draws from the whole document (qTTT)
    Whole,
});
names!(ChunkingName for Chunking {
    /// Every --chunk tokens
    Fixed,
    /// At headings and paragraphs, about --chunk tokens each
    Structure,
});
names!(ScaleName for UtilityScale {
    /// As measured
    Raw,
    /// Mean 0, deviation 1 over the chunks
    Zscore,
});
names!(InitName for PrefixInit {
    /// Tokens of the document at even distances
    Spread,
    /// The document's first tokens
    First,
    /// The document's tokens that were hardest to predict
    Surprising,
    /// Any tokens
    Random,
    /// The mean of all tokens, and some noise
    Mean,
    /// What the model was trained to start from, where it was
    Learned,
});
names!(RecomputeName for RecomputeWhen {
    /// Where they would not fit the memory that is free
    Auto,
    /// Always
    On,
    /// Never
    Off,
});
names!(OptimizerArg for OptimizerName {
    /// AdamW
    Adamw,
    /// Plain gradient descent
    Sgd,
});

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[derive(clap::Parser)]
    struct Cli {
        #[command(flatten)]
        writing: WritingArgs,
    }

    #[test]
    fn the_help_tells_the_true_defaults() {
        let settings = WriteSettings::default();
        let expected = [
            ("budget", settings.budget.to_string()),
            ("k_min", settings.k_min.to_string()),
            ("tau", settings.tau.to_string()),
            ("chunk", settings.chunk.to_string()),
            ("window", settings.window.to_string()),
            ("rank", settings.lora.rank.to_string()),
            ("alpha", settings.lora.alpha.to_string()),
            ("prefix", settings.prefix.to_string()),
            ("lr", settings.lr.to_string()),
            ("weight_decay", settings.weight_decay.to_string()),
            ("clip", settings.clip.to_string()),
            ("batch", settings.batch.to_string()),
            ("span", settings.span.to_string()),
            ("seed", settings.seed.to_string()),
            ("held_out", settings.held_out.to_string()),
        ];
        let command = Cli::command();
        for (name, value) in expected {
            let arg = command.get_arguments().find(|a| a.get_id() == name);
            let arg = arg.unwrap_or_else(|| panic!("no option {name}"));
            let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
            let told = help.split("[default: ").nth(1).unwrap_or_default();
            let told = told.trim_end_matches(']').split([';', ',']).next();
            assert_eq!(told, Some(&value[..]), "{name}: {help}");
        }
    }
}
