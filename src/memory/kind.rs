//! Kinds of memory: how the numbers that a run left are kept in a folder, and read back.
//!
//! A kind is a type that implements [`Kind`], and a [`Loader`] by which the store finds it again.
//! The kinds of this crate are in [`OWN`]; another program adds its own with [`add`].

use std::any::Any;
use std::fmt;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::ops::Deref;
use std::path::Path;
use std::sync::{Arc, RwLock};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::disk::Disk;
use super::error::MemoryError;
use super::fingerprint::hex;
use super::{lora, prefix, rows};
use crate::model::ModelError;
use crate::model::config::ModelConfig;
use crate::model::mapping::map_file;
use crate::model::session::Session;

type Result<T, E = MemoryError> = std::result::Result<T, E>;

/// Numbers of one kind, for one model.
pub trait Kind: Any + fmt::Debug + Send + Sync {
    /// The kind's name, as its [`Loader`] has it.
    fn kind(&self) -> &'static str;

    /// What is wrong with these numbers for `model`: sizes of another one, values that are not
    /// numbers.
    fn fault(&self, model: &ModelConfig) -> Option<String>;

    /// Writes them into a segment's folder.
    fn save(&self, folder: &mut Folder<'_>, model: &ModelConfig) -> Result<()>;

    /// Adds them to what `session` has read, or puts them beside its weights. What stands for a
    /// document is entered first, into a session that has read nothing.
    fn enter(&self, session: &mut Session) -> Result<(), ModelError>;

    /// Positions of the context that they take.
    fn positions(&self) -> usize {
        0
    }

    /// Number of tokens of a document that need not be read because of them; `None` for numbers
    /// that do not replace the reading.
    fn document_tokens(&self) -> Option<usize> {
        None
    }

    /// Whether `other` is of this kind and holds the same numbers.
    fn equals(&self, other: &dyn Kind) -> bool;
}

/// Finds the numbers of a kind in a folder.
#[derive(Clone, Copy)]
pub struct Loader {
    pub kind: &'static str,
    /// Names of the files that [`Kind::save`] may write.
    pub files: &'static [&'static str],
    /// Whether the numbers can be made again, so that a memory is complete without them.
    pub derived: bool,
    pub load: fn(&Path, &ModelConfig) -> Result<Content>,
}

/// The kinds of this crate.
pub const OWN: [Loader; 3] = [lora::LOADER, prefix::LOADER, rows::LOADER];

static ADDED: RwLock<Vec<Loader>> = RwLock::new(Vec::new());

/// Adds a kind, in place of one of its name that was added before. The names of this crate's own kinds
/// stay theirs.
pub fn add(loader: Loader) {
    let mut added = ADDED.write().unwrap_or_else(|e| e.into_inner());
    added.retain(|known| known.kind != loader.kind);
    added.push(loader);
}

/// All kinds that are known.
pub fn all() -> Vec<Loader> {
    let added = ADDED.read().unwrap_or_else(|e| e.into_inner());
    OWN.iter().chain(added.iter()).copied().collect()
}

/// Whether a memory is whole without what is of this kind.
pub fn is_derived(kind: &str) -> bool {
    all()
        .iter()
        .any(|loader| loader.kind == kind && loader.derived)
}

/// Something of a memory, of whichever kind. Clones share it.
#[derive(Clone, Debug)]
pub struct Content(Arc<dyn Kind>);

impl Content {
    pub fn new(numbers: impl Kind) -> Content {
        Content(Arc::new(numbers))
    }

    /// The numbers, if they are of this kind.
    pub fn get<K: Kind>(&self) -> Option<&K> {
        (&*self.0 as &dyn Any).downcast_ref()
    }

    /// Writes it into a folder, and says which files it took; nothing is written of numbers that no
    /// file should hold.
    pub(crate) fn save(
        &self,
        disk: &Disk,
        folder: &Path,
        model: &ModelConfig,
        model_name: &str,
    ) -> Result<Vec<StoredFile>> {
        if let Some(detail) = self.fault(model) {
            return Err(MemoryError::file(folder, format!("not written: {detail}")));
        }
        let mut into = Folder {
            disk,
            path: folder,
            model_name,
            files: Vec::new(),
        };
        self.0.save(&mut into, model)?;
        Ok(into.files)
    }
}

impl<K: Kind> From<K> for Content {
    fn from(numbers: K) -> Content {
        Content::new(numbers)
    }
}

impl Deref for Content {
    type Target = dyn Kind;

    fn deref(&self) -> &Self::Target {
        &*self.0
    }
}

impl PartialEq for Content {
    fn eq(&self, other: &Content) -> bool {
        self.equals(&**other)
    }
}

/// The first of these kinds among some contents.
pub fn find<K: Kind>(contents: &[Content]) -> Option<&K> {
    contents.iter().find_map(Content::get)
}

/// A folder that a kind writes its files into.
pub struct Folder<'a> {
    disk: &'a Disk,
    path: &'a Path,
    model_name: &'a str,
    files: Vec<StoredFile>,
}

impl Folder<'_> {
    /// Where the folder is, for error messages.
    pub fn path(&self) -> &Path {
        self.path
    }

    /// The name of the model that the memory is for.
    pub fn model_name(&self) -> &str {
        self.model_name
    }

    /// Writes a file whole.
    pub fn write(&mut self, name: &str, bytes: &[u8]) -> Result<()> {
        self.write_with(name, |out| out.write_all(bytes))
    }

    /// Writes a file whole, piece by piece.
    pub fn write_with(
        &mut self,
        name: &str,
        write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
    ) -> Result<()> {
        self.disk.create_folder(self.path)?;
        let (mut hash, mut bytes) = (Sha256::new(), 0);
        self.disk.write_with(&self.path.join(name), |out| {
            let mut hashed = Hashed {
                out: BufWriter::with_capacity(BUFFER, out),
                hash: &mut hash,
                bytes: &mut bytes,
            };
            write(&mut hashed)?;
            hashed.out.flush()
        })?;
        self.files.push(StoredFile {
            name: name.to_owned(),
            bytes,
            sha256: hex(&hash.finalize()),
        });
        Ok(())
    }
}

const BUFFER: usize = 1 << 20;

/// Hashes and counts what it passes on.
struct Hashed<'a, W> {
    out: W,
    hash: &'a mut Sha256,
    bytes: &'a mut u64,
}

impl<W: Write> Write for Hashed<'_, W> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let written = self.out.write(buffer)?;
        self.hash.update(&buffer[..written]);
        *self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// A file of a memory, as it was written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredFile {
    pub name: String,
    pub bytes: u64,
    /// SHA-256 of the file's bytes, in hexadecimal.
    pub sha256: String,
}

/// Something of a segment's memory, as `memory.json` lists it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredPart {
    pub kind: String,
    pub files: Vec<StoredFile>,
}

impl StoredPart {
    fn loader(&self) -> Option<Loader> {
        all().into_iter().find(|known| known.kind == self.kind)
    }

    /// Whether the memory is whole without it.
    pub fn is_derived(&self) -> bool {
        is_derived(&self.kind)
    }

    /// Bytes of its files.
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.bytes).sum()
    }

    /// Loads it from its segment's folder, if its files are as they were written.
    pub(crate) fn load(&self, folder: &Path, model: &ModelConfig) -> Result<Content> {
        let Some(loader) = self.loader() else {
            let kind = &self.kind;
            let detail = format!("is of the kind '{kind}', which this program does not know");
            return Err(MemoryError::file(folder, detail));
        };
        for file in &self.files {
            file.check(folder)?;
        }
        (loader.load)(folder, model)
    }
}

impl StoredFile {
    /// Refuses a file that is missing or of another length.
    pub fn check_length(&self, folder: &Path) -> Result<()> {
        let path = folder.join(&self.name);
        match std::fs::metadata(&path) {
            Ok(meta) if meta.is_file() && meta.len() == self.bytes => Ok(()),
            Ok(_) => Err(changed(&path)),
            Err(error) => Err(MemoryError::file(&path, format!("is missing: {error}"))),
        }
    }

    /// Refuses a file that is missing or was changed.
    pub fn check(&self, folder: &Path) -> Result<()> {
        self.check_length(folder)?;
        let path = folder.join(&self.name);
        if self.bytes == 0 {
            // Nothing is no file's map.
            return Ok(());
        }
        let map = map_file(&path)?;
        self.check_bytes(&path, &map)
    }

    /// Refuses what a file holds if it is not what was written.
    pub(crate) fn check_bytes(&self, path: &Path, bytes: &[u8]) -> Result<()> {
        if hex(&Sha256::digest(bytes)) == self.sha256 {
            Ok(())
        } else {
            Err(changed(path))
        }
    }

    /// A file as it is now.
    pub(crate) fn of(folder: &Path, name: &str) -> Result<StoredFile> {
        let path = folder.join(name);
        let failed = |e| MemoryError::io(&path, "read", e);
        let (mut hash, mut file) = (Sha256::new(), File::open(&path).map_err(failed)?);
        let mut counted = Hashed {
            out: io::sink(),
            hash: &mut hash,
            bytes: &mut 0,
        };
        let bytes = io::copy(&mut file, &mut counted).map_err(failed)?;
        Ok(StoredFile {
            name: name.to_owned(),
            bytes,
            sha256: hex(&hash.finalize()),
        })
    }
}

fn changed(path: &Path) -> MemoryError {
    MemoryError::file(path, "is damaged, or was changed since it was written")
}
