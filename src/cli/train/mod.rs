//! `inscribe train`: models that learn to be written to, and models that learn from texts.

mod gradmem;
mod lines;
mod model;
mod options;
mod shown;

use anyhow::Result;

use inscribe::train::settings::Writer;

use super::Context;

const EXAMPLES: &str = "\
Examples:
  inscribe train gradmem --out kv8                         eight pairs into eight vectors
  inscribe train gradmem --pairs 16 --minutes 30 --out kv16
  inscribe train gradmem --pairs 16 --out kv16 --resume    go on after a stop
  inscribe train gradmem --pairs 8 --first-order --minutes 20 --out ablation
  inscribe train gradmem --base smollm2-135m-instruct --lora --task babi --data tasks/en \\
    --level 1 --queries 1 --batch 8 --minutes 30 --out qa1   beside a model that stays as it is
  inscribe train model --data texts --tokenizer smollm2-135m-instruct --steps 2000 --out small";

/// Train a small model, or what lets a model be written to by gradient steps
///
/// With gradmem, a model is trained from nothing on a task, or a memory and an adapter beside a
/// model that stays as it is: a context is written into a few memory rows by gradient steps, and
/// questions are answered from those rows alone. Training learns through the steps. Ctrl-C stops it
/// with everything so far kept; the same call with --resume goes on, also after a crash, and ends in
/// the same model.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    #[command(subcommand)]
    kind: Kind,
}

#[derive(clap::Subcommand)]
enum Kind {
    /// Through the gradient steps on the memory (GradMem, arXiv 2603.13875)
    Gradmem(Box<gradmem::Args>),
    /// Through forward passes alone: the baseline, with the same net, data and curriculum
    ///
    /// The memory stands before the context and after it; what the model makes of the rows after it
    /// is the new memory. --inner-steps is then how often the context is read.
    Rmt(Box<gradmem::Args>),
    /// An ordinary small language model from nothing, on texts
    ///
    /// The folder holds a model that this program and transformers load. A twentieth of the texts,
    /// by the seed, is kept from training and tested on.
    Model(Box<model::Args>),
}

pub fn run(args: &Args, app: &Context) -> Result<()> {
    match &args.kind {
        Kind::Gradmem(args) => gradmem::run(args, Writer::Gradmem, app),
        Kind::Rmt(args) => gradmem::run(args, Writer::Rmt, app),
        Kind::Model(args) => model::run(args, app),
    }
}
