//! `inscribe demo`: the default model answers a question about the sample text.

use anyhow::{Context as _, Result, bail};

use inscribe::model::chat::Message;
use inscribe::model::generate::{GenerateOptions, generate};
use inscribe::model::session::Session;

use super::out::outln;
use super::setup;
use super::{Context, generate as generate_verb};

const SAMPLE: &str = include_str!("../../assets/sample.md");

/// Ask the default model about the sample text
///
/// Fetches the model on first use, says which device it took and why, reads the sample text and
/// streams an answer.
#[derive(clap::Args)]
pub struct Args {
    /// A model: a known name, a .gguf file, a model folder or a hub id
    #[arg(long, short, default_value = setup::DEFAULT_MODEL)]
    model: String,
    /// What to ask about the sample text
    #[arg(default_value = "Who founded the Tide House, and in which year?")]
    question: String,
    /// Tokens to write at most
    #[arg(long, default_value_t = 96, value_name = "N")]
    max_tokens: usize,
}

pub fn run(args: &Args, app: &Context) -> Result<()> {
    let loaded = setup::load(&args.model, app)?;
    let model = &loaded.model;
    let template = model
        .chat
        .as_ref()
        .context("this model has no chat template; choose another")?;
    let content = format!("{SAMPLE}\n\n{}", args.question);
    let rendered = template.render(&[Message::new("user", &content)], true)?;
    let prompt = model.tokenizer.encode(&rendered, false, true)?;
    outln!(
        "model    {} (loaded in {:.1} s)",
        model.name,
        loaded.load_secs
    );
    outln!("device   {}", loaded.device.name());
    outln!(
        "text     the sample report, {} tokens with the question",
        prompt.len()
    );
    outln!("question {}\n", args.question);
    let context = model.config.context;
    if prompt.len() >= context {
        bail!(
            "the sample text has {} tokens and this model's context is {context}; choose a model \
             with a longer context",
            prompt.len()
        );
    }
    let capacity = prompt.len().saturating_add(args.max_tokens).min(context);
    let options = loaded.session_options(app, None);
    let mut session = Session::new(&loaded.device, &loaded.transformer, capacity, options)?;
    let bar = app.counter("reading", prompt.len() as u64, "tokens");
    let options = GenerateOptions {
        max_tokens: args.max_tokens,
        ..GenerateOptions::default()
    };
    let made = generate(
        &mut session,
        &model.tokenizer,
        &prompt,
        &options,
        &mut |done, total| {
            bar.set_position(done as u64);
            if done == total {
                bar.finish_and_clear();
            }
        },
        &mut setup::print_piece,
    )?;
    outln!("\n");
    generate_verb::report(app, &prompt, &made);
    Ok(())
}
