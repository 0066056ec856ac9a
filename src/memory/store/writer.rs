//! Writes a memory's folder next to its place, so that a run that is killed can go on.

use std::fs::{self, File, OpenOptions};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::checkpoint::{StoredState, decode, encode};
use super::places::{CHECKPOINT, DOCUMENT, EVENTS, Lock, MEMORY, Places, RUN, TOKENS};
use super::seal::sealed;
use super::{
    DocumentInfo, MEMORY_VERSION, Memory, MemoryFile, Result, StoredModel, StoredSegment, json,
};
use crate::memory::disk::{Disk, partial};
use crate::memory::error::{MemoryError, shown};
use crate::memory::kind::{self, Content, StoredFile, StoredPart};
use crate::model::config::ModelConfig;

/// What a run is going to write.
pub struct NewRun<'a, S> {
    pub model: &'a StoredModel,
    pub config: &'a ModelConfig,
    pub document: &'a DocumentInfo,
    pub text: &'a str,
    pub tokens: &'a [u32],
    /// Settings of the run; usually `write::settings::WriteSettings`.
    pub settings: &'a S,
}

/// A memory being written.
pub struct MemoryWriter {
    disk: Disk,
    places: Places,
    config: ModelConfig,
    /// What `memory.json` will say; `run.json` says it meanwhile.
    file: MemoryFile,
    events: File,
    events_path: PathBuf,
    /// Why something that can be made again was not kept, if it was not.
    left_out: Option<MemoryError>,
    /// Declared last, so that the lock is released last.
    _lock: Lock,
}

/// What became of a run that was stopped.
pub enum Resumed {
    /// The run goes on from the checkpoint, or from the start where none was reached.
    GoesOn(Box<MemoryWriter>, Option<StoredState>),
    /// The run had reached its end.
    Finished(Box<Memory>),
}

/// Settings that a stopped run may go on with other values of: they say how far a step goes or how
/// it is computed, not which steps are taken, or what is kept beside the memory.
const MAY_CHANGE: [&str; 5] = ["clip", "keep_rows", "lr", "recompute", "weight_decay"];

impl MemoryWriter {
    /// Starts a run whose memory will be in `folder`.
    pub fn create<S: Serialize>(folder: &Path, plan: &NewRun<'_, S>) -> Result<MemoryWriter> {
        MemoryWriter::create_on(Disk::default(), folder, plan)
    }

    /// As [`MemoryWriter::create`], in the place of a run that was stopped.
    pub fn replace<S: Serialize>(folder: &Path, plan: &NewRun<'_, S>) -> Result<MemoryWriter> {
        MemoryWriter::start(Disk::default(), folder, plan, true)
    }

    pub(super) fn create_on<S: Serialize>(
        disk: Disk,
        folder: &Path,
        plan: &NewRun<'_, S>,
    ) -> Result<MemoryWriter> {
        MemoryWriter::start(disk, folder, plan, false)
    }

    fn start<S: Serialize>(
        disk: Disk,
        folder: &Path,
        plan: &NewRun<'_, S>,
        replace: bool,
    ) -> Result<MemoryWriter> {
        let (places, lock) = lock(&disk, folder)?;
        places.recover(&disk)?;
        places.check_target()?;
        let writing = &places.writing;
        if !replace && let Some((checkpoint, _)) = read_checkpoint(&places)? {
            return Err(MemoryError::Unfinished {
                path: shown(writing),
                step: checkpoint.step,
            });
        }
        places.clear_writing(&disk)?;
        disk.create_folder(writing)?;
        disk.write(&writing.join(DOCUMENT), plan.text.as_bytes())?;
        disk.write(&writing.join(TOKENS), &token_bytes(plan.tokens))?;
        let events_path = writing.join(EVENTS);
        disk.write(&events_path, b"")?;
        let file = plan.file()?;
        let run = writing.join(RUN);
        disk.write(&run, &json::pretty(&run, &file)?)?;
        let events = open_events(&events_path)?;
        Ok(MemoryWriter {
            disk,
            config: plan.config.clone(),
            file,
            events,
            events_path,
            left_out: None,
            places,
            _lock: lock,
        })
    }

    /// Goes on with a run that was stopped, if it is the same one.
    pub fn resume<S>(folder: &Path, plan: &NewRun<'_, S>) -> Result<Resumed>
    where
        S: Serialize + DeserializeOwned,
    {
        MemoryWriter::resume_on(Disk::default(), folder, plan)
    }

    pub(super) fn resume_on<S>(disk: Disk, folder: &Path, plan: &NewRun<'_, S>) -> Result<Resumed>
    where
        S: Serialize + DeserializeOwned,
    {
        let (places, lock) = lock(&disk, folder)?;
        places.recover(&disk)?;
        let run = places.writing.join(RUN);
        if !run.is_file() {
            return finished(&places, plan);
        }
        let mut file: MemoryFile = json::read(&run)?;
        plan.check(&run, &file)?;
        plan.check_files(&places)?;
        file.settings = plan.file()?.settings;
        let events_path = places.writing.join(EVENTS);
        let events = open_events(&events_path)?;
        let saved = read_checkpoint(&places)?;
        let kept = saved.as_ref().map_or(0, |(_, header)| header.events_bytes);
        let length = events.metadata().map(|m| m.len());
        match length.and_then(|l| events.set_len(kept).map(|()| l)) {
            Ok(length) if length >= kept => {}
            Ok(_) => {
                let detail = "is damaged: events are missing; delete its folder to start again";
                return Err(MemoryError::file(&events_path, detail));
            }
            Err(e) => return Err(MemoryError::io(&events_path, "shortened", e)),
        }
        let checkpoint = saved.map(|(checkpoint, header)| {
            file.segments = header.segments;
            checkpoint
        });
        let writer = MemoryWriter {
            disk,
            config: plan.config.clone(),
            file,
            events,
            events_path,
            left_out: None,
            places,
            _lock: lock,
        };
        Ok(Resumed::GoesOn(Box::new(writer), checkpoint))
    }

    /// Notes where the model is, as a hint for those who ask the memory later.
    pub fn note_model_path(&mut self, path: &Path) {
        self.file.model_path = Some(path.to_owned());
    }

    /// The folder that the memory will be in.
    pub fn path(&self) -> &Path {
        &self.places.folder
    }

    /// Keeps an event, as one line. What is written is safe from the program's end at once, and
    /// from the machine's with the next checkpoint.
    pub fn append(&mut self, event: &impl Serialize) -> Result<()> {
        let line = json::line(&self.events_path, event)?;
        self.disk.append(&mut self.events, &self.events_path, &line)
    }

    /// The events kept so far: after [`MemoryWriter::resume`], those up to the checkpoint.
    pub fn events<E: DeserializeOwned>(&self) -> Result<Vec<E>> {
        json::read_lines(&self.events_path)
    }

    /// Keeps the run's state in place of the one before.
    pub fn checkpoint(&mut self, checkpoint: &StoredState) -> Result<()> {
        self.disk.sync(&self.events, &self.events_path)?;
        let meta = self.events.metadata();
        let meta = meta.map_err(|e| MemoryError::io(&self.events_path, "read", e))?;
        let path = self.places.writing.join(CHECKPOINT);
        let bytes = encode(&path, checkpoint, meta.len(), &self.file.segments)?;
        self.disk.write(&path, &bytes)
    }

    /// Keeps what the writing of a segment left: the one after the last, or one of those before,
    /// again.
    pub fn segment(
        &mut self,
        index: usize,
        tokens: Range<usize>,
        contents: &[Content],
    ) -> Result<()> {
        self.file.segments.truncate(index);
        if self.file.segments.len() != index {
            let detail = format!("segment {index} is written before those before it");
            return Err(MemoryError::file(&self.places.writing, detail));
        }
        let mut segment = StoredSegment::new(index, tokens);
        let folder = self.places.writing.join(&segment.folder);
        let model_name = &self.file.model.info.name;
        self.clear(&folder)?;
        for content in contents {
            let saved = content.save(&self.disk, &folder, &self.config, model_name);
            let files = match saved {
                Ok(files) => files,
                // The memory is whole without it.
                Err(error) if kind::is_derived(content.kind()) => {
                    self.left_out.get_or_insert(error);
                    continue;
                }
                Err(error) => return Err(error),
            };
            segment.parts.push(StoredPart {
                kind: content.kind().to_owned(),
                files,
            });
        }
        self.disk.sync_folder(folder.parent())?;
        self.file.segments.push(segment);
        Ok(())
    }

    /// Why something that can be made again was not kept, if it was not.
    pub fn left_out(&self) -> Option<&MemoryError> {
        self.left_out.as_ref()
    }

    /// Removes what a run that was stopped left in a segment's folder.
    fn clear(&self, folder: &Path) -> Result<()> {
        for name in kind::all().iter().flat_map(|loader| loader.files) {
            let path = folder.join(name);
            self.disk.remove_file(&partial(&path))?;
            self.disk.remove_file(&path)?;
        }
        Ok(())
    }

    /// Ends the run: the memory is put in its place, and the one that was there is removed.
    pub fn finish(mut self) -> Result<Memory> {
        let path = self.places.writing.join(MEMORY);
        if let Some(detail) = self.file.fault() {
            return Err(MemoryError::file(&path, format!("not written: {detail}")));
        }
        // Segments may have been written by a run that was stopped long ago.
        for segment in &self.file.segments {
            segment.load_own(&self.places.writing, &self.config)?;
        }
        self.disk.sync(&self.events, &self.events_path)?;
        let files = [TOKENS, EVENTS].map(|name| StoredFile::of(&self.places.writing, name));
        self.file.files = files.into_iter().collect::<Result<_>>()?;
        self.disk.write(&path, &sealed(&path, &self.file)?)?;
        // Some systems do not rename a folder that holds an open file.
        drop(self.events);
        self.places.publish(&self.disk)?;
        Memory::read(self.places.folder)
    }
}

fn lock(disk: &Disk, folder: &Path) -> Result<(Places, Lock)> {
    let places = Places::of(folder)?;
    if let Some(parent) = places.folder.parent()
        && !parent.as_os_str().is_empty()
        && !parent.exists()
    {
        disk.create_folder(parent)?;
    }
    let lock = Lock::take(&places)?;
    Ok((places, lock))
}

/// A run that ended before it could say so.
fn finished<S>(places: &Places, plan: &NewRun<'_, S>) -> Result<Resumed>
where
    S: Serialize + DeserializeOwned,
{
    let nothing = || MemoryError::NothingToResume {
        path: shown(&places.folder),
    };
    if !places.is_memory() {
        return Err(nothing());
    }
    let memory = Memory::read(places.folder.clone())?.unless_changed()?;
    match plan.check(&places.folder, &memory.file) {
        Ok(()) => Ok(Resumed::Finished(Box::new(memory))),
        Err(_) => Err(nothing()),
    }
}

fn open_events(path: &Path) -> Result<File> {
    let file = OpenOptions::new().append(true).read(true).open(path);
    file.map_err(|e| MemoryError::io(path, "opened", e))
}

fn read_checkpoint(places: &Places) -> Result<Option<(StoredState, super::checkpoint::Header)>> {
    let path = places.writing.join(CHECKPOINT);
    if !path.exists() {
        return Ok(None);
    }
    let bytes = fs::read(&path).map_err(|e| MemoryError::io(&path, "read", e))?;
    decode(&path, &bytes).map(Some)
}

fn token_bytes(tokens: &[u32]) -> Vec<u8> {
    tokens.iter().flat_map(|t| t.to_le_bytes()).collect()
}

impl<S: Serialize> NewRun<'_, S> {
    fn file(&self) -> Result<MemoryFile> {
        let settings = serde_json::to_value(self.settings);
        let settings = settings.map_err(|e| {
            MemoryError::file(Path::new(MEMORY), format!("settings cannot be kept: {e}"))
        })?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        Ok(MemoryFile {
            version: MEMORY_VERSION,
            program: concat!("inscribe ", env!("CARGO_PKG_VERSION")).into(),
            unix_secs: now.map_or(0, |d| d.as_secs()),
            model: self.model.clone(),
            document: self.document.clone(),
            settings,
            segments: Vec::new(),
            model_path: None,
            files: Vec::new(),
        })
    }

    /// Refuses a stored run that is not this one, and says what differs.
    fn check(&self, path: &Path, stored: &MemoryFile) -> Result<()>
    where
        S: DeserializeOwned,
    {
        let mut differences = Vec::new();
        if stored.model.info.fingerprint != self.model.info.fingerprint {
            differences.push(format!(
                "its model is {} and not {}",
                stored.model, self.model
            ));
        }
        let (old, new) = (&stored.document, self.document);
        if old.sha256 != new.sha256 {
            differences.push(format!(
                "its document is '{}' ({} bytes) and not '{}' ({} bytes) or was changed",
                old.name, old.bytes, new.name, new.bytes
            ));
        } else if old.tokens != new.tokens {
            differences.push("its document was cut into other tokens".into());
        }
        let mut settings = json::completed::<S>(path, &stored.settings)?;
        let mut given = json::round_trip(path, self.settings)?;
        for name in MAY_CHANGE {
            for side in [&mut settings, &mut given] {
                side.as_object_mut().map(|fields| fields.remove(name));
            }
        }
        differences.extend(json::differences(&settings, &given));
        if differences.is_empty() {
            return Ok(());
        }
        Err(MemoryError::Differs {
            path: shown(path.parent().unwrap_or(path)),
            differences: differences.join("; "),
        })
    }

    /// Refuses a run whose copies of text and tokens are not these.
    fn check_files(&self, places: &Places) -> Result<()> {
        let files = [
            (DOCUMENT, self.text.as_bytes().to_vec()),
            (TOKENS, token_bytes(self.tokens)),
        ];
        for (name, expected) in files {
            let path = places.writing.join(name);
            let found = fs::read(&path).map_err(|e| MemoryError::io(&path, "read", e))?;
            if found != expected {
                let detail = "is not what the run was started with; delete its folder to start \
                              again";
                return Err(MemoryError::file(&path, detail));
            }
        }
        Ok(())
    }
}
