//! `inscribe models`: the models known by name, those in the cache and those of other programs.

use std::path::PathBuf;

use anyhow::bail;
use clap::Subcommand;
use inscribe::model::elsewhere::{
    Found, Limits, Looks, Places, Program, Survey, hugging_face_cache,
};
use inscribe::model::hub::{
    CachedModel, DEFAULT, KNOWN, KnownModel, ModelCache, find_known, known,
};
use inscribe::model::locate;
use inscribe::words;
use serde::Serialize;

use super::out::{errln, outln, stranger};
use super::{Context, progress::size};

/// List the models known by name and those that are here, or remove one
///
/// Besides the models known by name and those fetched, the list has what other programs have put on
/// this computer: the Hugging Face tools, LM Studio, llama.cpp and Ollama. Their folders are only
/// read. Any name of the list can be given to --model.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES, args_conflicts_with_subcommands = true)]
pub struct Args {
    /// Print each model as a line of JSON
    #[arg(long)]
    json: bool,
    #[command(subcommand)]
    action: Option<Action>,
}

#[derive(Subcommand)]
enum Action {
    /// Delete a model from the cache
    Remove {
        /// The name that `inscribe models` lists it by
        name: String,
    },
}

const EXAMPLES: &str = "\
Examples:
  inscribe models
  inscribe models --json | jq -r 'select(.path and .can_open) | .name'
  inscribe write report.md --model ollama:llama3.2:1b
  inscribe models remove qwen3-0.6b";

pub fn run(args: Args, context: &Context) -> anyhow::Result<()> {
    let cache = ModelCache::open()?;
    if let Some(Action::Remove { name }) = args.action {
        return remove(&cache, &name, context);
    }
    let spinner = context.spinner("looking for models".to_owned());
    let survey = Places::from_env().survey(Limits::default(), &mut Looks::default());
    spinner.finish_and_clear();
    if args.json {
        print_lines(&cache, &survey)?;
    } else {
        print_table(&cache, &survey);
    }
    if !context.global.quiet {
        for note in &survey.notes {
            errln!("note: {}", words::shown_line(note));
        }
    }
    Ok(())
}

/// One model; `path` is there if the model is.
#[derive(Serialize, Default)]
struct Row<'a> {
    name: &'a str,
    /// Whose it is: `inscribe`, or the program's name.
    program: &'a str,
    bytes: u64,
    memory_bytes: Option<u64>,
    default: bool,
    path: Option<String>,
    can_open: bool,
    why_not: Option<&'a str>,
    architecture: Option<&'a str>,
    quantisation: Option<&'a str>,
    description: Option<&'a str>,
    licence: Option<&'a str>,
    licence_url: Option<&'a str>,
    repository: Option<&'a str>,
    gated: Option<bool>,
    sha256: Option<&'a str>,
}

const OURS: &str = "inscribe";

fn known_row<'a>(model: &'a KnownModel, cache: &ModelCache) -> Row<'a> {
    Row {
        name: model.name,
        program: OURS,
        bytes: model.bytes,
        memory_bytes: Some(model.memory_bytes()),
        default: model.name == DEFAULT,
        path: here(model, cache).map(|p| p.display().to_string()),
        can_open: true,
        architecture: Some((model.config)().arch.name()),
        quantisation: Some(model.quantisation),
        description: Some(model.description),
        licence: Some(model.licence),
        licence_url: Some(model.licence_url),
        repository: Some(model.repo()),
        gated: Some(model.gated),
        sha256: model.pinned().map(|pinned| pinned.sha256),
        ..Row::default()
    }
}

fn cached_row(model: &CachedModel) -> Row<'_> {
    Row {
        name: &model.name,
        program: OURS,
        bytes: model.bytes,
        path: Some(model.path.display().to_string()),
        can_open: true,
        ..Row::default()
    }
}

fn found_row(model: &Found) -> Row<'_> {
    Row {
        name: &model.name,
        program: model.program.name(),
        bytes: model.bytes,
        path: Some(model.path.display().to_string()),
        can_open: model.fault.is_none(),
        why_not: model.fault.as_deref(),
        architecture: model.architecture.as_deref(),
        quantisation: model.quantisation.as_deref(),
        ..Row::default()
    }
}

/// The model if it is in the cache, or in that of the hub's own tools.
fn here(model: &KnownModel, cache: &ModelCache) -> Option<PathBuf> {
    find_known(cache, hugging_face_cache().as_deref(), model)
}

/// What was fetched by a hub id.
fn fetched(cache: &ModelCache) -> Vec<CachedModel> {
    let mut cached = cache.list();
    cached.retain(|model| model.known.is_none());
    cached
}

fn print_lines(cache: &ModelCache, survey: &Survey) -> anyhow::Result<()> {
    let fetched = fetched(cache);
    let rows = KNOWN.iter().map(|model| known_row(model, cache));
    let rows = rows
        .chain(fetched.iter().map(cached_row))
        .chain(survey.found.iter().map(found_row));
    for row in rows {
        outln!("{}", serde_json::to_string(&row)?);
    }
    Ok(())
}

fn print_table(cache: &ModelCache, survey: &Survey) {
    print_known(cache);
    let fetched = fetched(cache);
    if !fetched.is_empty() {
        outln!("\nFetched from the hub by id:");
        print_found(fetched.iter().map(cached_row).collect());
    }
    for program in Program::ALL {
        let of = survey.found.iter().filter(|found| found.program == program);
        let rows: Vec<Row<'_>> = of.map(found_row).collect();
        if !rows.is_empty() {
            outln!("\nAlready on this computer, {}’s:", program.name());
            print_found(rows);
        }
    }
    outln!("\nThe cache is {}", cache.root().display());
    let unfinished = cache.partial_bytes();
    if unfinished > 0 {
        let (size, folder) = (size(unfinished), cache.partial());
        outln!(
            "Unfinished pulls hold {size} in {} (safe to delete)",
            folder.display()
        );
    }
}

fn print_known(cache: &ModelCache) {
    let width = KNOWN.iter().map(|m| m.name.len()).max().unwrap_or(0);
    let licences = KNOWN.iter().map(|m| m.licence.len()).max().unwrap_or(0);
    outln!("Known by name (`inscribe pull NAME` fetches one):");
    for model in KNOWN {
        let path = here(model, cache);
        let state = if path.is_some() { "here" } else { "to pull" };
        let mark = match (model.name == DEFAULT, model.gated) {
            (true, _) => "  (default)",
            (_, true) => "  (gated: accept its terms on its page first)",
            _ => "",
        };
        outln!(
            "  {:width$}  {:>8}  needs {:>8}  {:licences$}  {state}{mark}",
            model.name,
            size(model.bytes),
            size(model.memory_bytes()),
            model.licence,
        );
        outln!("      {}, {}", model.description, model.quantisation);
        if let Some(path) = path {
            outln!("      {}", path.display());
        }
    }
}

/// Rows of what is here: name, size and kind, and under them why one cannot be opened.
fn print_found(rows: Vec<Row<'_>>) {
    /// Longer names push their own row's columns only.
    const WIDEST: usize = 52;
    let width = |text: fn(&Row<'_>) -> usize| rows.iter().map(text).max().unwrap_or(0);
    let names = width(|row| row.name.chars().count()).min(WIDEST);
    let archs = width(|row| row.architecture.map_or(0, str::len)).min(WIDEST);
    for row in &rows {
        let size = match row.bytes {
            0 => String::new(),
            bytes => size(bytes),
        };
        let line = format!(
            "  {:names$}  {size:>8}  {:archs$}  {}",
            row.name,
            row.architecture.unwrap_or_default(),
            row.quantisation.unwrap_or_default()
        );
        outln!("{}", stranger(line.trim_end()));
        if let Some(why_not) = row.why_not {
            outln!("      cannot be opened: {}", stranger(why_not));
        }
    }
}

fn remove(cache: &ModelCache, name: &str, context: &Context) -> anyhow::Result<()> {
    let here = cache.list();
    let wanted = known(name).map_or(name, |model| model.name);
    let Some(model) = here.iter().find(|model| model.name == wanted) else {
        return not_here(wanted, cache);
    };
    cache.remove(model)?;
    context
        .progress()
        .note(&format!("Removed {} ({})", model.name, size(model.bytes)));
    Ok(())
}

fn not_here(name: &str, cache: &ModelCache) -> anyhow::Result<()> {
    if known(name).is_some() {
        bail!("{name} is not in the cache");
    }
    let of = Program::ALL.iter().find(|program| {
        let prefix = program.prefix();
        !prefix.is_empty() && name.starts_with(prefix)
    });
    if let Some(program) = of {
        bail!(
            "{name} is {program}’s and only read here; remove it with {program}",
            program = program.name()
        );
    }
    // What is deleted cannot be got back: a name that only resembles this one is no suggestion.
    let here = cache.list();
    let near = locate::alike(name, here.iter().map(|model| model.name.as_str()));
    let meant = match near.first() {
        Some(near) => format!("did you mean {near}? "),
        None => String::new(),
    };
    bail!("no model '{name}' is in the cache; {meant}`inscribe models` lists those that are here")
}
