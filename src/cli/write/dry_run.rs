//! What a write would take, before any of it is done.

use std::time::Instant;

use anyhow::Result;
use serde_json::json;

use inscribe::model::session::Session;
use inscribe::words;
use inscribe::write::forecast::{Extent, Forecast, Speeds};
use inscribe::write::prompt::Prompt;
use inscribe::write::settings::WriteSettings;
use inscribe::write::writer::{Footprint, Job, Tokens, chunks_of_parts, footprint};

use crate::cli::out::outln;
use crate::cli::setup::{self, Loaded};
use crate::cli::{Context, print_json};

/// Tokens that are read to see how fast that goes.
const PROBE: usize = 512;

/// How a document would be written: its parts, and the memory they take.
pub fn extent(
    loaded: &Loaded,
    tokens: &Tokens,
    settings: &WriteSettings,
) -> Result<(Extent, Footprint)> {
    let lead = Prompt::new(&loaded.model)?.lead.len();
    let count = tokens.ids.len();
    let free = loaded.device.available_bytes();
    let planned = footprint(loaded.config(), settings, (lead, count), free);
    let extent = Extent {
        tokens: count,
        parts: planned.segments,
        kept_parts: planned.kept_segments,
    };
    Ok((extent, planned))
}

/// Prints what the run would take, and gives the speeds that it is reckoned from.
pub fn run(job: &Job<'_>, loaded: &Loaded, as_json: bool, app: &Context) -> Result<Speeds> {
    let (tokens, settings) = (job.tokens, job.settings);
    let (extent, planned) = extent(loaded, tokens, settings)?;
    let chunks: usize = chunks_of_parts(job)?.iter().sum();
    let (probed, rate) = probe(loaded, tokens, app)?;
    let speeds = Speeds::from_reading(rate);
    let time = Forecast::of(settings, extent, speeds);
    let weights = loaded.transformer.weight_bytes();
    let free = loaded.device.available_bytes();
    let bytes = weights + planned.peak_bytes;
    if as_json {
        print_json(&json!({
            "document": job.document.name,
            "tokens": extent.tokens,
            "parts": extent.parts,
            "chunks": chunks,
            "steps": settings.budget,
            "bytes_at_most": bytes,
            "bytes_free": free.map(|free| free + weights),
            "tokens_read_to_measure": probed,
            "tokens_a_second": rate,
            "seconds": {
                "read": time.read,
                "utility": time.local,
                "read_again": time.again,
                "steps": time.steps,
                "measure": time.evaluate,
                "total": time.total(),
            },
        }))?;
        return Ok(speeds);
    }
    let parts = words::counted(extent.parts, "part");
    outln!(
        "document  {}: {}, {parts}, {}",
        job.document.name,
        words::counted(extent.tokens, "token"),
        words::counted(chunks, "chunk")
    );
    outln!("steps     {}", words::count(settings.budget));
    let room = free.map_or(String::new(), |free| {
        let room = if planned.peak_bytes <= free {
            "there are"
        } else {
            "more than there is:"
        };
        format!(" ({room} {})", words::bytes(free + weights))
    });
    outln!(
        "memory    {} at most, with the weights{room}",
        words::bytes(bytes)
    );
    let phases = [
        ("reading", time.read),
        ("utility", time.local),
        ("reading again", time.again),
        ("steps", time.steps),
        ("measuring", time.evaluate),
    ];
    let phases = phases.iter().filter(|(_, secs)| *secs > 0.0);
    let phases: Vec<String> = phases
        .map(|(name, secs)| format!("{name} {}", words::rough_duration(*secs)))
        .collect();
    outln!(
        "time      {}, roughly: {}",
        words::rough_duration(time.total()),
        phases.join(", ")
    );
    outln!(
        "          from {} of it read here at {} a second; the rest is reckoned from that",
        words::counted(probed, "token"),
        words::count(rate.round() as usize)
    );
    outln!("nothing was written");
    Ok(speeds)
}

/// Reads the beginning of the document, and says how much and how many tokens a second.
fn probe(loaded: &Loaded, tokens: &Tokens, app: &Context) -> Result<(usize, f64)> {
    let context = loaded.config().context;
    let begin = &tokens.ids[..tokens.ids.len().min(PROBE).min(context)];
    let options = setup::session_options(app, None);
    let mut session = Session::new(&loaded.device, &loaded.transformer, begin.len(), options)?;
    let spinner = app.spinner("reading a little of it to see how fast that goes".to_owned());
    let mut read = || {
        session.truncate(0);
        let started = Instant::now();
        session.score(begin, &mut |_, _| {})?;
        anyhow::Ok(started.elapsed().as_secs_f64())
    };
    // The first pass prepares the programs, which on a GPU takes longer than running them.
    let mut secs = read()?;
    if loaded.device.is_gpu() {
        secs = read()?;
    }
    spinner.finish_and_clear();
    Ok((begin.len(), begin.len() as f64 / secs.max(1e-9)))
}
