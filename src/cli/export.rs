//! `inscribe export`: a memory for other tools.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use clap::ValueEnum;

use inscribe::WriteSettings;
use inscribe::memory::gguf_adapter::{self, Precision};
use inscribe::memory::store::StoredModel;
use inscribe::memory::{Content, Memory, export, fingerprint, peft};
use inscribe::model::model_file::Model;

use super::Context;
use super::numbers;
use super::out::outln;
use super::{output_file, setup};

const EXAMPLES: &str = "\
Examples:
  inscribe write assets/sample.md --out alone.memory --method lora
  inscribe export alone.memory --to peft --out alone.peft
  inscribe export alone.memory --to gguf --out alone.gguf     for llama.cpp's --lora
  inscribe generate --adapter alone.gguf --prompt \"...\"";

/// Save a memory as PEFT or llama.cpp load it
///
/// A lora memory works alone wherever it is loaded. A gdwm memory was written to be read after its
/// document, so put the document before the question there, too.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The memory's folder
    #[arg(value_name = "DIR")]
    memory: PathBuf,
    /// Which tool is to load it
    #[arg(long, value_enum)]
    to: Format,
    /// The folder (peft) or file (gguf) to write
    #[arg(long, short, value_name = "PATH")]
    out: PathBuf,
    /// The model it was written for, where it is not found by itself: a known name, a .gguf file,
    /// a model folder or a hub id
    #[arg(long, short)]
    model: Option<String>,
    /// The part of a document that was written in several, counted from 1
    #[arg(long, value_name = "N", value_parser = numbers::whole::<usize>)]
    part: Option<usize>,
    /// Halve the file by storing f16 (gguf)
    #[arg(long)]
    f16: bool,
    /// Replace what is there
    #[arg(long)]
    replace: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// adapter_config.json and adapter_model.safetensors, for Hugging Face PEFT
    Peft,
    /// One file, for llama.cpp and what is built on it
    Gguf,
}

pub fn run(args: &Args, app: &Context) -> Result<()> {
    if args.f16 && args.to == Format::Peft {
        bail!("--f16 is for --to gguf; a PEFT folder keeps f32, as PEFT trains it");
    }
    check_target(args)?;
    let memory = Memory::open(&args.memory)?;
    let model = setup::model_of(&memory, args.model.as_deref())?;
    let model = Model::open(&app.model_path(&model)?)?;
    let print = fingerprint(&model.file)?;
    memory.check_model(&StoredModel::new(&model.name, &print, &model.config))?;
    let segment = part(args, memory.file.segments.len())?;
    let contents = memory.load(segment, &model.config)?;
    let format = match (args.to, args.f16) {
        (Format::Peft, _) => export::Format::Peft,
        (Format::Gguf, true) => export::Format::Gguf(Precision::F16),
        (Format::Gguf, false) => export::Format::Gguf(Precision::F32),
    };
    let name = &memory.file.document.name;
    export::export(
        &contents,
        format,
        &args.out,
        &model.config,
        &model.name,
        name,
    )?;
    outln!("{}", args.out.display());
    let settings: WriteSettings = memory.settings()?;
    if settings.method.reads_document() {
        app.note(
            "note: it was written to be read after its document's keys and values: put the document \
             before the question wherever it is used",
        );
    }
    Ok(())
}

/// Refuses a place where something else than an older export would be lost.
fn check_target(args: &Args) -> Result<()> {
    let out = &args.out;
    let shown = out.display();
    if output_file::lies_within(out, &args.memory) {
        bail!("{shown}: lies in the memory itself; choose another --out");
    }
    if args.to == Format::Gguf {
        if out.is_dir() {
            bail!("{shown}: is a folder, and a GGUF adapter is a file; choose another --out");
        }
        output_file::check_file(out, args.replace)?;
        if out.exists() && !output_file::starts_with(out, b"GGUF") {
            bail!("{shown}: is no GGUF file, and would be lost; choose another --out");
        }
        return Ok(());
    }
    if !out.exists() {
        return output_file::check_above(out);
    }
    if !out.is_dir() {
        bail!("{shown}: is a file, and a PEFT adapter is a folder; choose another --out");
    }
    if !args.replace {
        bail!("{shown}: is there already; --replace it, or choose another --out");
    }
    Ok(())
}

/// Which of a memory's parts is meant, counted from 0.
fn part(args: &Args, parts: usize) -> Result<usize> {
    match args.part {
        Some(part) if (1..=parts).contains(&part) => Ok(part - 1),
        Some(part) => bail!("--part {part}: the memory has {parts} part(s)"),
        None if parts == 1 => Ok(0),
        None => bail!(
            "the document was written in {parts} parts, each with an adapter of its own; choose \
             one with --part"
        ),
    }
}

/// Reads a PEFT folder or a GGUF adapter, whichever `path` is.
pub fn load(path: &Path, model: &Model) -> Result<Content> {
    if path.join("memory.json").is_file() {
        bail!(
            "{}: is a memory and no adapter; ask it with `inscribe ask --memory`, or make an adapter \
             of it with `inscribe export`",
            path.display()
        );
    }
    if path.is_dir()
        && !path.join("adapter_config.json").is_file()
        && let Some(memory) = output_file::memory_above(path)
    {
        bail!(
            "{}: lies in a memory and is no adapter: each part's is a folder such as {}; or ask the memory \
             with `inscribe ask --memory {}`",
            path.display(),
            memory.join("segments/0000").display(),
            memory.display()
        );
    }
    Ok(if path.is_dir() {
        peft::load(path, &model.config)?
    } else {
        Content::new(gguf_adapter::load(path, &model.config)?)
    })
}
