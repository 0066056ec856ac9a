//! The thread for files: reading documents and memories, saving figures and tables. It works while
//! the engine is busy.

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::Receiver;

use inscribe::memory::Memory;
use inscribe::memory::store::Unfinished;
use inscribe::model::elsewhere::Looks;
use inscribe::write::document::{Document, ReadOptions};
use inscribe::write::event::Event;
use inscribe::write::figure::FigureOptions;

use super::message::{FileReport, FileWork, OpenedMemory, Report, UnfinishedWrite};
use super::{Outbox, documents, survey};
use crate::trouble::{Failure, Trouble};

/// `saves` counts what is still to be kept on disk.
pub fn run(inbox: &Receiver<FileWork>, out: &Outbox, saves: &AtomicUsize) {
    let mut looks = Looks::default();
    while let Ok(work) = inbox.recv() {
        let (opens, keeps) = (work.opens(), work.keeps());
        let done = catch_unwind(AssertUnwindSafe(|| one(work, &mut looks)))
            .unwrap_or_else(|_| Err(Failure::Broken("reading or writing a file".to_owned())));
        saves.fetch_sub(usize::from(keeps), Ordering::Relaxed);
        let report = done.unwrap_or_else(|failure| FileReport::Failed(Trouble::of(&failure)));
        out.tell(Report::File {
            report: Box::new(report),
            opens,
        });
    }
}

fn one(work: FileWork, looks: &mut Looks) -> Result<FileReport, Failure> {
    Ok(match work {
        FileWork::ReadDocument(path) => FileReport::Document {
            document: Arc::new(Document::read(&path, &ReadOptions::default())?),
            path: Some(path),
        },
        FileWork::DocumentOf { name, bytes } => FileReport::Document {
            document: Arc::new(Document::from_bytes(
                &name,
                &bytes,
                &ReadOptions::default(),
            )?),
            path: None,
        },
        FileWork::OpenMemory(folder) => FileReport::Memory(Box::new(open_memory(&folder)?)),
        FileWork::Survey {
            memories,
            cache,
            model,
            places,
        } => {
            let elsewhere = (&places, looks);
            let survey = survey::survey(&memories, cache.as_deref(), &model, elsewhere);
            FileReport::Survey(survey)
        }
        FileWork::Figure {
            run,
            kind,
            theme,
            out,
        } => {
            let bytes = kind.draw(&run, FigureOptions { theme, width: None })?;
            save(&out, &bytes)?;
            FileReport::Saved(out)
        }
        FileWork::Events { events, csv, out } => {
            let text = if csv {
                steps_table(&events)
            } else {
                lines(&events)
            };
            save(&out, text.as_bytes())?;
            FileReport::Saved(out)
        }
        FileWork::SaveMemory { from, to } => {
            copy_memory(&from, &to)?;
            FileReport::MemorySaved { from, to }
        }
        FileWork::OpenUnfinished {
            folder,
            source,
            finish,
        } => FileReport::Unfinished(Box::new(UnfinishedWrite {
            finish,
            ..open_unfinished(&folder, source.as_deref())?
        })),
        FileWork::Discard(folder) => match Unfinished::open(&folder)? {
            Some(run) => FileReport::Discarded(run.set_aside()?),
            None => return Err(no_unfinished(&folder)),
        },
        FileWork::Restore(discarded) => {
            discarded.restore()?;
            FileReport::Restored(discarded.folder)
        }
    })
}

fn open_memory(folder: &Path) -> Result<OpenedMemory, Failure> {
    let memory = Memory::open(folder)?;
    let text = memory.document()?;
    let name = &memory.file.document.name;
    Ok(OpenedMemory {
        folder: memory.path().to_owned(),
        document: Arc::new(documents::of_text(name, text)),
        model_name: memory.file.model.info.name.clone(),
        fingerprint: memory.file.model.info.fingerprint.clone(),
        settings: memory.settings()?,
        events: Arc::new(memory.events::<Event>()?),
        history: memory.history()?,
    })
}

/// `source` is the file the document was read from, where that is known: it has headings and
/// paragraphs that the kept text does not show.
fn open_unfinished(folder: &Path, source: Option<&Path>) -> Result<UnfinishedWrite, Failure> {
    let Some(run) = Unfinished::open(folder)? else {
        return Err(no_unfinished(folder));
    };
    let info = &run.file.document;
    let options = ReadOptions {
        pages: info.pages.as_ref().and_then(|pages| pages.parse().ok()),
        ..ReadOptions::default()
    };
    let read = source.and_then(|path| Document::read(path, &options).ok());
    let document = match read.filter(|d| d.sha256 == info.sha256 && d.name == info.name) {
        Some(document) => document,
        None => documents::of_text(&info.name, run.document()?),
    };
    let settings = serde_json::from_value(run.file.settings.clone())
        .map_err(|e| Failure::Refused(format!("The run's settings cannot be understood: {e}")))?;
    Ok(UnfinishedWrite {
        document: Arc::new(document),
        model_name: run.file.model.info.name.clone(),
        settings,
        events: Arc::new(run.events()?),
        folder: run.folder,
        finish: false,
    })
}

fn no_unfinished(folder: &Path) -> Failure {
    let folder = folder.display();
    Failure::Refused(format!("{folder}: there is no unfinished write there."))
}

/// A file that is there is replaced whole or left as it is.
fn save(out: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let failed = |e| Failure::file(out, e);
    let folder = match out.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let mut file = tempfile::NamedTempFile::new_in(folder).map_err(failed)?;
    file.write_all(bytes).map_err(failed)?;
    readable(file.as_file()).map_err(failed)?;
    file.persist(out).map_err(|e| failed(e.error))?;
    Ok(())
}

/// Temporary files are for their owner alone; what a person saves is not.
fn readable(file: &fs::File) -> std::io::Result<()> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        file.set_permissions(fs::Permissions::from_mode(0o644))?;
    }
    file.sync_all()
}

fn lines(events: &[Event]) -> String {
    let kept = events
        .iter()
        .filter(|event| !matches!(event, Event::Progress { .. }));
    let lines = kept.filter_map(|event| serde_json::to_string(event).ok());
    lines.map(|line| line + "\n").collect()
}

/// Every step as a row.
fn steps_table(events: &[Event]) -> String {
    let mut text = String::from("step,of,segment,chunk,kind,loss_nats,grad_norm,tokens,seconds\n");
    for event in events {
        let Event::Step(step) = event else { continue };
        let chunk = step.chunk.map(|c| c.to_string()).unwrap_or_default();
        let kind = format!("{:?}", step.kind).to_lowercase();
        // Writing to a string does not fail.
        let _ = writeln!(
            text,
            "{},{},{},{chunk},{kind},{},{},{},{}",
            step.step, step.of, step.segment, step.loss, step.grad_norm, step.tokens, step.seconds
        );
    }
    text
}

/// Copies beside the target first, so that half a memory is never in its place.
fn copy_memory(from: &Path, to: &Path) -> Result<(), Failure> {
    Memory::open(from)?;
    if to.exists() {
        let what = format!("{}: something is there already.", to.display());
        return Err(Failure::Refused(what));
    }
    if lies_in(to, from).map_err(|e| Failure::file(to, e))? {
        let what = format!("{}: a memory cannot be copied into itself.", to.display());
        return Err(Failure::Refused(what));
    }
    let mut partial = to.as_os_str().to_owned();
    partial.push(".partial");
    let partial = PathBuf::from(partial);
    let copied = copy_folder(from, &partial);
    let moved = copied.and_then(|()| fs::rename(&partial, to));
    moved.map_err(|e| {
        let _ = fs::remove_dir_all(&partial);
        Failure::file(to, e)
    })
}

/// Whether `path`, which is not there yet, would be somewhere in `folder`.
fn lies_in(path: &Path, folder: &Path) -> std::io::Result<bool> {
    let folder = folder.canonicalize()?;
    let mut above = path.ancestors().skip(1);
    let there = above.find_map(|parent| {
        if parent.as_os_str().is_empty() {
            Path::new(".").canonicalize().ok()
        } else {
            parent.canonicalize().ok()
        }
    });
    Ok(there.is_some_and(|there| there.starts_with(folder)))
}

fn copy_folder(from: &Path, to: &Path) -> std::io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_folder(&entry.path(), &target)?
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use inscribe::write::synthetic::{Invented, events};

    #[test]
    fn a_place_within_a_folder_is_told_from_one_beside_it() {
        let place = tempfile::tempdir().expect("a temporary folder");
        let folder = place.path().join("notes.memory");
        fs::create_dir(&folder).expect("room");
        for (path, within) in [
            ("notes.memory/copy", true),
            ("notes.memory/not/there/yet", true),
            ("copy.memory", false),
            ("notes.memory.copy", false),
        ] {
            let path = place.path().join(path);
            assert_eq!(
                lies_in(&path, &folder).expect("a folder"),
                within,
                "{path:?}"
            );
        }
    }

    #[test]
    fn every_step_is_a_row() {
        let events = events(&Invented::default());
        let table = steps_table(&events);
        let rows: Vec<&str> = table.lines().collect();
        assert_eq!(rows.len(), 49);
        let columns = rows[0].split(',').count();
        assert!(rows.iter().all(|row| row.split(',').count() == columns));
        assert!(rows[1].starts_with("1,48,0,"), "{}", rows[1]);
        assert!(table.contains(",coverage,") && table.contains(",utility,"));
    }

    #[test]
    fn kept_lines_are_the_events_but_for_progress() {
        let events = events(&Invented::default());
        let back: Vec<Event> = lines(&events)
            .lines()
            .map(|line| serde_json::from_str(line).expect("an event"))
            .collect();
        assert!(back.len() > 50);
        assert_eq!(back.first(), events.first());
        assert_eq!(back.last(), events.last());
    }
}
