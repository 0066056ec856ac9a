//! `inscribe models`: the models known by name and those in the cache.

use clap::Subcommand;
use inscribe::model::hub::{CachedModel, DEFAULT, KNOWN, ModelCache, known};
use inscribe::model::locate;
use serde::Serialize;

use super::out::outln;
use super::{Context, print_json, progress::size};

/// List the models known by name and those that are here, or remove one
#[derive(clap::Args)]
#[command(after_help = EXAMPLES, args_conflicts_with_subcommands = true)]
pub struct Args {
    /// Print the list as JSON
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
  inscribe models --json | jq '.models[] | select(.path) | .name'
  inscribe models remove gemma3-270m";

pub fn run(args: Args, context: &Context) -> anyhow::Result<()> {
    let cache = ModelCache::open()?;
    match args.action {
        Some(Action::Remove { name }) => remove(&cache, &name, context),
        None if args.json => print_json(&Listing {
            cache: cache.root().display().to_string(),
            models: rows(&cache),
        }),
        None => print_table(&cache),
    }
}

#[derive(Serialize)]
struct Listing {
    cache: String,
    models: Vec<Row>,
}

/// One model; `path` is there if the model is.
#[derive(Serialize)]
struct Row {
    name: String,
    bytes: u64,
    default: bool,
    path: Option<String>,
    description: Option<&'static str>,
    licence: Option<&'static str>,
    licence_url: Option<&'static str>,
    sha256: Option<&'static str>,
}

fn rows(cache: &ModelCache) -> Vec<Row> {
    let known = KNOWN.iter().map(|model| Row {
        name: model.name.to_owned(),
        bytes: model.bytes,
        default: model.name == DEFAULT,
        path: cache.find_known(model).map(|p| p.display().to_string()),
        description: Some(model.description),
        licence: Some(model.licence),
        licence_url: Some(model.licence_url),
        sha256: Some(model.sha256),
    });
    let others = cache
        .list()
        .into_iter()
        .filter(|model| model.known.is_none())
        .map(|model| Row {
            name: model.name,
            bytes: model.bytes,
            default: false,
            path: Some(model.path.display().to_string()),
            description: None,
            licence: None,
            licence_url: None,
            sha256: None,
        });
    known.chain(others).collect()
}

fn print_table(cache: &ModelCache) -> anyhow::Result<()> {
    let rows = rows(cache);
    let width = rows.iter().map(|row| row.name.len()).max().unwrap_or(0);
    for row in &rows {
        let state = if row.path.is_some() {
            "here"
        } else {
            "to pull"
        };
        let mark = if row.default { "  (default)" } else { "" };
        let licence = row.licence.unwrap_or("see its hub page");
        let size = size(row.bytes);
        outln!("{:width$}  {state:7}  {size:>8}  {licence}{mark}", row.name);
        if let Some(description) = row.description {
            outln!("    {description}");
        }
        if let Some(path) = &row.path {
            outln!("    {path}");
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
    Ok(())
}

fn remove(cache: &ModelCache, name: &str, context: &Context) -> anyhow::Result<()> {
    let here = cache.list();
    let wanted = known(name).map_or(name, |model| model.name);
    let Some(model) = here.iter().find(|model| model.name == wanted) else {
        return Err(not_here(wanted, &here));
    };
    cache.remove(model)?;
    context
        .progress()
        .note(&format!("Removed {} ({})", model.name, size(model.bytes)));
    Ok(())
}

fn not_here(name: &str, here: &[CachedModel]) -> anyhow::Error {
    if known(name).is_some() {
        return anyhow::anyhow!("{name} is not in the cache");
    }
    // What is deleted cannot be got back: a name that only resembles this one is no suggestion.
    let near = locate::alike(name, here.iter().map(|model| model.name.as_str()));
    let meant = match near.first() {
        Some(near) => format!("did you mean {near}? "),
        None => String::new(),
    };
    anyhow::anyhow!(
        "no model '{name}' is in the cache; {meant}`inscribe models` lists those that are here"
    )
}
