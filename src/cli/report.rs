//! `inscribe report`: the figures of a run.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use clap::ValueEnum;

use inscribe::memory::Memory;
use inscribe::write::figure::{FigureKind, FigureOptions, Theme};
use inscribe::write::record::{self, RunRecord};

use super::numbers;
use super::{Context, live, output_file, reading_input};

/// Draw a run: where the document needs distant context, where the steps went, what they did
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// A memory's folder, or an events file (.jsonl)
    #[arg(value_name = "DIR|EVENTS")]
    run: PathBuf,
    /// The file to write: .html (a page), .svg or .png (one figure); without it, the run is shown
    /// here
    #[arg(long, short, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Replace the file that is there
    #[arg(long, requires = "out")]
    replace: bool,
    /// Colours for paper and bright rooms, or for dark ones
    #[arg(long, value_enum, default_value = "light", requires = "out")]
    theme: ThemeName,
    /// Pixels from side to side [default: 1920 for .png, 1280 for .svg, 1080 for .html]
    #[arg(long, value_name = "N", requires = "out", value_parser = numbers::whole::<u32>)]
    width: Option<u32>,
    /// Show the run again as it went, this many times as fast
    #[arg(
        long,
        value_name = "SPEED",
        num_args = 0..=1,
        default_missing_value = "10",
        conflicts_with = "out", value_parser = numbers::number::<f64>)]
    replay: Option<f64>,
}

const EXAMPLES: &str = "\
Examples:
  inscribe report sample.memory                       the run in this terminal
  inscribe report sample.memory --replay              the run as it went, ten times as fast
  inscribe report sample.memory -o report.html        a page with figures and tables
  inscribe report sample.memory -o slide.png --theme dark --width 2560
  inscribe report events.jsonl -o figure.svg --width 720      one column";

#[derive(Clone, Copy, ValueEnum)]
enum ThemeName {
    Light,
    Dark,
}

pub fn run(args: &Args, app: &Context) -> Result<()> {
    let Some(out) = &args.out else {
        return show(args, app);
    };
    let kind = kind_of(out)?;
    output_file::check_file(out, args.replace)?;
    let record = read(&args.run, app)?;
    let options = FigureOptions {
        theme: match args.theme {
            ThemeName::Light => Theme::Light,
            ThemeName::Dark => Theme::Dark,
        },
        width: args.width,
    };
    let bytes = kind
        .draw(&record, options)
        .with_context(|| args.run.display().to_string())?;
    output_file::write_whole(out, &bytes)?;
    app.note(&format!("{} written", out.display()));
    Ok(())
}

fn kind_of(out: &Path) -> Result<FigureKind> {
    let ending = out.extension().and_then(|e| e.to_str()).unwrap_or_default();
    match FigureKind::of_ending(ending) {
        Some(kind) => Ok(kind),
        None if ending.is_empty() => bail!(
            "{}: no ending says what to draw; name it .html, .svg or .png",
            out.display()
        ),
        None => bail!(
            "{}: .{ending} files cannot be drawn; name it .html, .svg or .png",
            out.display()
        ),
    }
}

/// Where the events lie: of a memory that is still being written, beside its place.
fn place(path: &Path) -> PathBuf {
    let mut writing = path.as_os_str().to_owned();
    writing.push(".writing");
    match path.exists() {
        false if Path::new(&writing).is_dir() => writing.into(),
        _ => path.to_owned(),
    }
}

fn read(path: &Path, app: &Context) -> Result<RunRecord> {
    let file = reading_input(|| record::read_events(&place(path)))?;
    if file.cut_lines > 0 {
        app.note(&format!(
            "{}: left out {} that a run ended in the middle of",
            file.path.display(),
            match file.cut_lines {
                1 => "a line".to_owned(),
                lines => format!("{lines} lines"),
            }
        ));
    }
    if let Ok(memory) = Memory::open(path) {
        let notes = memory.changed();
        notes
            .iter()
            .for_each(|note| app.note(&format!("note: {note}")));
    }
    Ok(RunRecord::from_events(&file.events))
}

fn show(args: &Args, app: &Context) -> Result<()> {
    match args.replay {
        None => live::print_record(&read(&args.run, app)?),
        Some(speed) if speed > 0.0 && speed.is_finite() => {
            let file = reading_input(|| record::read_events(&place(&args.run)))?;
            live::replay(&file.events, speed, app)
        }
        Some(speed) => bail!("--replay {speed}: a speed is a number above 0"),
    }
}
