//! `inscribe info`: what a memory is, and whether its files are whole.

use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Result, bail};
use serde_json::{Value, json};

use inscribe::WriteSettings;
use inscribe::memory::Memory;
use inscribe::memory::store::{Asked, CheckedFile, FileState};
use inscribe::words;
use inscribe::write::record;

use super::out::outln;
use super::progress::size;
use super::{Context, print_json, setup};

const EXAMPLES: &str = "\
Examples:
  inscribe info sample.memory
  inscribe info sample.memory --json | jq .files";

/// The file that a memory is described by, and that of the questions asked of it.
const DESCRIPTION: &str = "memory.json";
const HISTORY: &str = "history.jsonl";
/// Questions that are shown to people.
const SHOWN_QUESTIONS: usize = 5;

/// Say what a memory is, and check that its files are as they were written
///
/// Its document, model, method and settings, its size, what it was asked. Ends with an error where a file
/// is missing, damaged or changed.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The memory's folder
    #[arg(value_name = "DIR")]
    memory: PathBuf,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

pub fn run(args: &Args, app: &Context) -> Result<()> {
    let memory = Memory::open_as_it_is(&args.memory)?;
    let spinner = app.spinner("checking its files".to_owned());
    let files = memory.verify();
    spinner.finish_and_clear();
    if args.json {
        print_json(&as_json(&memory, &files)?)?;
    } else {
        print(args, &memory, &files)?;
    }
    let bad = files.iter().filter(|file| file.state.is_bad());
    let told: Vec<String> = bad
        .map(|file| match file.state {
            FileState::Missing => format!("{} is missing", file.name),
            _ if file.name == DESCRIPTION => format!("{} was changed", file.name),
            _ => format!("{} is damaged, or was changed", file.name),
        })
        .collect();
    if told.is_empty() {
        return Ok(());
    }
    bail!(
        "{}: {}; put back what is wrong from a copy, or write the document again",
        args.memory.display(),
        told.join(", ")
    )
}

fn print(args: &Args, memory: &Memory, files: &[CheckedFile]) -> Result<()> {
    let file = &memory.file;
    let settings: WriteSettings = memory.settings()?;
    let (document, model) = (&file.document, &file.model);
    let parts = match file.segments.len() {
        1 => String::new(),
        parts => format!(", in {parts} parts"),
    };
    let pages = document.pages.as_ref();
    let pages = pages.map_or(String::new(), |pages| format!(" (pages {pages})"));
    outln!("memory    {}", args.memory.display());
    outln!(
        "document  {}{pages}: {}, {} of text{parts}",
        document.name,
        words::counted(document.tokens, "token"),
        size(document.bytes as u64)
    );
    outln!(
        "model     {} ({}, {} million parameters)",
        model.info.name,
        model.arch,
        words::number(model.info.parameters as f64 / 1e6)
    );
    match setup::model_of(memory, None) {
        Ok(found) => outln!("          here as {found}"),
        Err(_) => outln!("          not among the models here: name it with --model"),
    }
    outln!(
        "method    {}: {}",
        settings.method.name(),
        settings.method.explanation()
    );
    outln!("settings  {}", unusual(&settings)?);
    outln!("written   {} by {}", when(file.unix_secs), file.program);
    if let Some(run) = what_the_run_did(memory) {
        outln!("run       {run}");
    }
    print_history(&memory.history().unwrap_or_default());
    let all: u64 = files.iter().map(|file| file.bytes).sum();
    outln!("size      {}", size(all));
    let width = files.iter().map(|file| file.name.len()).max().unwrap_or(0);
    for file in files {
        outln!(
            "  {:width$}  {:>9}  {}",
            file.name,
            size(file.bytes),
            state(file)
        );
    }
    Ok(())
}

fn state(file: &CheckedFile) -> String {
    let is_description = file.name == DESCRIPTION;
    match &file.state {
        FileState::Whole if is_description => "whole: its own hash holds".to_owned(),
        FileState::Whole => "whole".to_owned(),
        FileState::Unrecorded if file.name == HISTORY => {
            "readable; it grows, so no hash of it is recorded".to_owned()
        }
        FileState::Unrecorded => {
            "readable; no hash recorded (written by an older version)".to_owned()
        }
        FileState::MadeAgain(why) => format!("made again when needed: {why}"),
        FileState::Missing => "MISSING".to_owned(),
        FileState::Damaged(why) if is_description => format!("CHANGED: {why}"),
        FileState::Damaged(why) => format!("DAMAGED: {why}"),
    }
}

/// How often it was asked, and the questions asked last, the newest first.
fn print_history(asked: &[Asked]) {
    let Some(last) = asked.last() else {
        return;
    };
    outln!(
        "asked     {}, last {}",
        words::counted(asked.len(), "question"),
        when(last.unix_secs)
    );
    for question in asked.iter().rev().take(SHOWN_QUESTIONS) {
        outln!("          {}", words_of(&question.question));
    }
    let more = asked.len().saturating_sub(SHOWN_QUESTIONS);
    if more > 0 {
        outln!("          and {more} before; --json tells all, with the answers");
    }
}

/// A question in one line, cut where it is long.
fn words_of(question: &str) -> String {
    const MOST: usize = 100;
    let plain = |c: char| if c.is_control() { ' ' } else { c };
    let told: String = question.chars().take(MOST).map(plain).collect();
    if question.chars().nth(MOST).is_some() {
        told + "…"
    } else {
        told
    }
}

fn what_the_run_did(memory: &Memory) -> Option<String> {
    let run = record::read_run(memory.path()).ok()?;
    let mut told = format!(
        "{} in {}",
        words::counted(run.steps.len(), "step"),
        words::duration(run.seconds().total())
    );
    if let Some((before, after)) = run.loss_before().zip(run.loss_after()) {
        told += &format!(
            ", mean loss {} to {}: each token {}",
            words::number(before),
            words::number(after),
            words::likelier(before, after)
        );
    }
    Some(told)
}

/// The settings that are not as they are where nothing is chosen, as a run's events name them.
fn unusual(settings: &WriteSettings) -> Result<String> {
    let given = serde_json::to_value(settings)?;
    let usual = serde_json::to_value(WriteSettings::for_method(settings.method))?;
    let mut told = vec![format!("budget {}", words::count(settings.budget))];
    let fields = given.as_object().into_iter().flatten();
    for (name, value) in fields.filter(|(name, value)| usual.get(name.as_str()) != Some(value)) {
        if name != "budget" {
            let value = match value.as_f64().filter(|_| value.is_f64()) {
                // The shortest that is read as the same setting, which has 32 bits.
                Some(number) => (number as f32).to_string(),
                None => value.to_string().replace('"', ""),
            };
            told.push(format!("{name} {value}"));
        }
    }
    if told.len() == 1 {
        told.push("all else as usual".to_owned());
    }
    Ok(told.join(", "))
}

fn as_json(memory: &Memory, files: &[CheckedFile]) -> Result<Value> {
    let file = &memory.file;
    let of_file = |file: &CheckedFile| {
        let (state, why) = match &file.state {
            FileState::Whole => ("whole", None),
            FileState::Unrecorded => ("unrecorded", None),
            FileState::MadeAgain(why) => ("made again", Some(why)),
            FileState::Missing => ("missing", None),
            FileState::Damaged(why) if file.name == DESCRIPTION => ("changed", Some(why)),
            FileState::Damaged(why) => ("damaged", Some(why)),
        };
        json!({"name": file.name, "bytes": file.bytes, "state": state, "why": why})
    };
    let run = record::read_run(memory.path()).ok();
    let history = memory.history().unwrap_or_default();
    Ok(json!({
        "memory": memory.path(),
        "program": file.program,
        "written_unix_secs": file.unix_secs,
        "document": file.document,
        "model": file.model,
        "found_model": setup::model_of(memory, None).ok(),
        "settings": file.settings,
        "parts": file.segments.len(),
        "steps": run.as_ref().map(|run| run.steps.len()),
        "loss_before": run.as_ref().and_then(|run| run.loss_before()),
        "loss_after": run.as_ref().and_then(|run| run.loss_after()),
        "questions": history.len(),
        "history": history,
        "bytes": files.iter().map(|file| file.bytes).sum::<u64>(),
        "whole": !files.iter().any(|file| file.state.is_bad()),
        "files": files.iter().map(of_file).collect::<Vec<_>>(),
    }))
}

/// `2 h ago`.
fn when(unix_secs: u64) -> String {
    let then = UNIX_EPOCH.checked_add(Duration::from_secs(unix_secs));
    let passed = then.and_then(|then| SystemTime::now().duration_since(then).ok());
    ago(passed.map_or(0, |passed| passed.as_secs()))
}

fn ago(secs: u64) -> String {
    let (count, unit) = match secs {
        0..60 => return "just now".to_owned(),
        60..3600 => (secs / 60, "minute"),
        3600..86_400 => (secs / 3600, "hour"),
        _ => (secs / 86_400, "day"),
    };
    let count = usize::try_from(count).unwrap_or(usize::MAX);
    format!("{} ago", words::counted(count, unit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_told_in_the_largest_unit() {
        for (secs, told) in [
            (0, "just now"),
            (60, "1 minute ago"),
            (7300, "2 hours ago"),
            (86_400 * 400, "400 days ago"),
        ] {
            assert_eq!(ago(secs), told);
        }
    }

    #[test]
    fn settings_are_told_where_they_were_chosen() {
        let usual = WriteSettings::default();
        assert_eq!(unusual(&usual).unwrap(), "budget 32, all else as usual");
        let own = WriteSettings {
            chunk: 64,
            evaluate: false,
            lr: 3e-4,
            ..usual
        };
        assert_eq!(
            unusual(&own).unwrap(),
            "budget 32, chunk 64, lr 0.0003, evaluate false"
        );
    }
}
