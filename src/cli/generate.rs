//! `inscribe generate`: continue a prompt.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Result, bail};
use serde_json::json;

use inscribe::engine::Profile;
use inscribe::model::chat::Message;
use inscribe::model::generate::{Ended, GenerateOptions, Generated, generate};
use inscribe::model::sample::SampleOptions;
use inscribe::model::session::Session;
use inscribe::words;

use super::Context;
use super::numbers;
use super::out::outln;
use super::setup::{self, Loaded, ModelArg};

/// Answer a prompt, streaming
///
/// The prompt goes through the model's chat template; --raw continues the text as it is.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  inscribe generate --prompt \"What is a tide pool?\"
  inscribe generate --raw --prompt \"Once upon a time\" --temperature 0.8 --top-p 0.95 --seed 7
  inscribe generate --prompt-file assets/sample.md --system \"Summarise in three lines.\"")]
pub struct Args {
    #[command(flatten)]
    model: ModelArg,
    /// What to answer
    #[arg(
        long,
        short,
        required_unless_present = "prompt_file",
        conflicts_with = "prompt_file"
    )]
    prompt: Option<String>,
    /// Read the prompt from a file; - reads standard input
    #[arg(long, value_name = "FILE")]
    prompt_file: Option<PathBuf>,
    /// Instructions that come before the prompt
    #[arg(long, value_name = "TEXT", conflicts_with = "raw")]
    system: Option<String>,
    /// Continue the prompt itself, without the chat template
    #[arg(long)]
    raw: bool,
    /// An adapter to answer with: a PEFT folder or a GGUF file (see `inscribe export`)
    #[arg(long, value_name = "PATH")]
    adapter: Option<PathBuf>,
    /// Tokens to write at most
    #[arg(long, default_value_t = 512, value_name = "N", value_parser = numbers::whole::<usize>)]
    max_tokens: usize,
    /// 0 always takes the most likely token
    #[arg(long, default_value_t = 0.0, value_parser = numbers::number::<f32>)]
    temperature: f32,
    /// Choose among the K most likely tokens; 0 for all
    #[arg(long, default_value_t = 0, value_name = "K", value_parser = numbers::whole::<usize>)]
    top_k: usize,
    /// Choose among the most likely tokens that together have this probability
    #[arg(long, default_value_t = 1.0, value_name = "P", value_parser = numbers::number::<f32>)]
    top_p: f32,
    /// Choose among tokens at least this likely relative to the best
    #[arg(long, default_value_t = 0.0, value_name = "P", value_parser = numbers::number::<f32>)]
    min_p: f32,
    /// Above 1 makes tokens of the last 64 less likely to come again
    #[arg(long, default_value_t = 1.0, value_name = "R", value_parser = numbers::number::<f32>)]
    repetition_penalty: f32,
    /// The same seed gives the same text
    #[arg(long, default_value_t = 0, value_parser = numbers::whole::<u64>)]
    seed: u64,
    /// Stop where this text appears; may be given several times
    #[arg(long, value_name = "TEXT")]
    stop: Vec<String>,
    /// Print one JSON object at the end instead of streaming text
    #[arg(long)]
    json: bool,
    /// Print the time each kernel took to standard error
    #[arg(long)]
    profile: bool,
}

pub fn run(args: &Args, app: &Context) -> Result<()> {
    check(args)?;
    let text = match (&args.prompt, &args.prompt_file) {
        (Some(prompt), _) => prompt.clone(),
        (None, Some(path)) => setup::read_utf8(path)?,
        (None, None) => String::new(),
    };
    if text.is_empty() {
        bail!("the prompt is empty; give some text with --prompt or --prompt-file");
    }
    let loaded = setup::load_silently(&args.model.name, app)?;
    let prompt = prompt_tokens(args, app, &loaded, &text)?;
    let made = answer(args, app, &loaded, &prompt)?;
    if args.json {
        print_json(&loaded, &prompt, &made)?;
    } else {
        outln!("");
    }
    report(app, &prompt, &made);
    Ok(())
}

fn check(args: &Args) -> Result<()> {
    let fraction = |name: &str, value: f32| {
        if (0.0..=1.0).contains(&value) {
            Ok(())
        } else {
            bail!("{name} must lie between 0 and 1, not {value}")
        }
    };
    fraction("--top-p", args.top_p)?;
    fraction("--min-p", args.min_p)?;
    if !(args.temperature >= 0.0 && args.temperature.is_finite()) {
        bail!("--temperature must be 0 or more, not {}", args.temperature);
    }
    if !(args.repetition_penalty > 0.0 && args.repetition_penalty.is_finite()) {
        bail!(
            "--repetition-penalty must be above 0, not {}",
            args.repetition_penalty
        );
    }
    Ok(())
}

fn prompt_tokens(args: &Args, app: &Context, loaded: &Loaded, text: &str) -> Result<Vec<u32>> {
    let model = &loaded.model;
    let tokens = match &model.chat {
        Some(template) if !args.raw => {
            let mut messages = Vec::new();
            if let Some(system) = &args.system {
                messages.push(Message::new("system", system));
            }
            messages.push(Message::new("user", text));
            let rendered = template.render(&messages, true)?;
            model.tokenizer.encode(&rendered, false, true)?
        }
        template => {
            if template.is_none() && !args.raw {
                app.note("this model has no chat template: the prompt is continued as it is");
            }
            model.tokenizer.encode(text, true, false)?
        }
    };
    let context = model.config.context;
    if tokens.is_empty() {
        bail!("the prompt has no tokens; give some text");
    }
    if tokens.len() >= context {
        bail!(
            "the prompt has {} and the model's context is {}; shorten the prompt or choose a model \
             with a longer context",
            words::counted(tokens.len(), "token"),
            words::count(context)
        );
    }
    Ok(tokens)
}

fn answer(args: &Args, app: &Context, loaded: &Loaded, prompt: &[u32]) -> Result<Generated> {
    let context = loaded.model.config.context;
    let capacity = prompt.len().saturating_add(args.max_tokens).min(context);
    let profile = args.profile.then(|| Arc::new(Profile::default()));
    let options = setup::session_options(app, profile.as_ref());
    let memory = args.adapter.as_ref();
    let memory = memory
        .map(|path| super::export::load(path, &loaded.model))
        .transpose()?;
    let rows = memory.as_ref().map_or(0, |memory| memory.positions());
    let capacity = capacity.saturating_add(rows).min(context);
    let mut session = Session::new(&loaded.device, &loaded.transformer, capacity, options)?;
    if let Some(memory) = &memory {
        memory.enter(&mut session)?;
    }
    let generate_options = GenerateOptions {
        sample: SampleOptions {
            temperature: args.temperature,
            top_k: args.top_k,
            top_p: args.top_p,
            min_p: args.min_p,
            repetition_penalty: args.repetition_penalty,
            seed: args.seed,
            ..SampleOptions::default()
        },
        max_tokens: args.max_tokens,
        stop: args.stop.clone(),
        cut_loops: false,
    };
    let bar = app.counter("reading", prompt.len() as u64, "tokens");
    let made = generate(
        &mut session,
        &loaded.model.tokenizer,
        prompt,
        &generate_options,
        &mut |done, total| {
            bar.set_position(done as u64);
            if done == total {
                bar.finish_and_clear();
            }
        },
        &mut |piece| {
            if !args.json {
                setup::print_piece(piece);
            }
        },
    )?;
    if let Some(profile) = profile {
        super::out::remark(format_args!("{}", profile.table()));
    }
    Ok(made)
}

fn print_json(loaded: &Loaded, prompt: &[u32], made: &Generated) -> Result<()> {
    let object = json!({
        "text": made.text,
        "ids": made.ids,
        "prompt_ids": prompt,
        "ended": made.ended,
        "prompt_tokens": prompt.len(),
        "tokens": made.ids.len(),
        "prefill_secs": made.prefill_secs,
        "decode_secs": made.decode_secs,
        "device": loaded.device.name(),
    });
    outln!("{object}");
    Ok(())
}

/// Says on standard error how fast it went and what ended it, where that was not the text itself.
pub fn report(app: &Context, prompt: &[u32], made: &Generated) {
    let rate = |tokens: usize, secs: f64| tokens as f64 / secs.max(1e-9);
    let told = |rate: f64| {
        if rate < 100.0 {
            format!("{rate:.1}")
        } else {
            words::count(rate.round() as usize)
        }
    };
    app.note(&format!(
        "read {} at {} tokens/s, wrote {} at {} tokens/s",
        words::counted(prompt.len(), "token"),
        told(rate(prompt.len(), made.prefill_secs)),
        words::count(made.ids.len()),
        told(rate(made.ids.len(), made.decode_secs))
    ));
    match made.ended {
        Ended::Context => app.note("stopped: the model's context is full"),
        Ended::MaxTokens => app.note("stopped at --max-tokens"),
        Ended::EndOfText | Ended::StopText | Ended::Loop => {}
    }
}
