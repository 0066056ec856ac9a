//! Fetching models: from the Hugging Face hub, and from Python packages where that cannot be
//! reached; kept in a cache, resumed after an interruption, checked before use.
//!
//! Nothing here prints: what happens is reported as [`PullEvent`]s. Without the cargo feature `hub`
//! nothing is fetched, and what is in the cache is found.

mod cache;
mod error;
#[cfg(feature = "hub")]
mod fetch;
#[cfg(feature = "hub")]
mod http;
#[cfg(feature = "hub")]
mod packages;
mod registry;
mod repo;

use std::ffi::OsString;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sha2::{Digest, Sha256};

pub use cache::{CACHE_VARIABLE, CachedModel, ModelCache};
pub use error::PullError;
pub use registry::{
    DEFAULT, HubFile, KNOWN, KnownModel, Origin, Packages, PinnedFile, bytes_of_writing,
    default_model, known,
};
pub use repo::HubId;
pub(super) use repo::{fitting, is_safe_path as safe_path};

use super::elsewhere;
use error::Result;

/// What happens while a model is fetched.
#[derive(Debug)]
pub enum PullEvent<'a> {
    /// A source is tried.
    Source { name: &'a str },
    /// A source failed, and the next one is tried.
    SourceFailed { error: &'a PullError, next: &'a str },
    /// A piece of work begins, `done` bytes of which are there already.
    Begin {
        label: &'a str,
        done: u64,
        total: Option<u64>,
    },
    /// The piece of work has come to `done` bytes.
    Advance { done: u64 },
    /// The connection failed and is tried again.
    Retry {
        error: &'a PullError,
        wait: Duration,
    },
    /// Another program fetches the same model.
    WaitingForOther,
    /// The file in the cache is no longer what was fetched, and is fetched again.
    Damaged { label: &'a str },
}

/// Which source to use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Source {
    /// The hub, then the packages.
    #[default]
    Auto,
    Hub,
    Packages,
}

/// Where things are fetched from and with what.
#[derive(Debug, Clone)]
pub struct Setup {
    pub endpoint: String,
    pub token: Option<String>,
    /// Whether the hub must not be asked.
    pub offline: bool,
    /// Programs to try as Python, in this order.
    pub pythons: Vec<OsString>,
    /// The cache of the hub's own tools: what is there is used and not fetched again.
    pub shared_cache: Option<PathBuf>,
}

impl Setup {
    /// `HF_ENDPOINT`, `HF_TOKEN` (or the token file), `HF_HUB_OFFLINE`, `HF_HUB_CACHE` or `HF_HOME`,
    /// `INSCRIBE_PYTHON`.
    pub fn from_env() -> Self {
        let text = |name: &str| std::env::var(name).ok().filter(|v| !v.trim().is_empty());
        let endpoint = text("HF_ENDPOINT").unwrap_or_else(|| "https://huggingface.co".into());
        let offline = text("HF_HUB_OFFLINE").is_some_and(|v| v != "0" && v != "false");
        let pythons = match std::env::var_os("INSCRIBE_PYTHON").filter(|v| !v.is_empty()) {
            Some(python) => vec![python],
            None => ["python3", "python", "py"].map(OsString::from).to_vec(),
        };
        Self {
            endpoint: endpoint.trim().trim_end_matches('/').to_owned(),
            token: text("HF_TOKEN")
                .or_else(token_from_file)
                .map(|t| t.trim().to_owned()),
            offline,
            pythons,
            shared_cache: elsewhere::hugging_face_cache(),
        }
    }
}

/// The token that the hub's own tools leave after a login.
fn token_from_file() -> Option<String> {
    let path = match (
        std::env::var_os("HF_TOKEN_PATH"),
        std::env::var_os("HF_HOME"),
    ) {
        (Some(path), _) => PathBuf::from(path),
        (None, Some(home)) => PathBuf::from(home).join("token"),
        (None, None) => etcetera::home_dir().ok()?.join(".cache/huggingface/token"),
    };
    let token = std::fs::read_to_string(path).ok()?;
    (!token.trim().is_empty()).then_some(token)
}

/// The caller's side of a fetch: it receives the progress and may ask for an end.
pub struct Watch<'a> {
    cancel: &'a AtomicBool,
    report: &'a mut dyn FnMut(&PullEvent<'_>),
}

impl<'a> Watch<'a> {
    pub fn new(cancel: &'a AtomicBool, report: &'a mut dyn FnMut(&PullEvent<'_>)) -> Self {
        Self { cancel, report }
    }

    fn tell(&mut self, event: PullEvent<'_>) {
        (self.report)(&event);
    }

    fn check(&self) -> Result<()> {
        if self.cancel.load(Ordering::Relaxed) {
            Err(PullError::Cancelled)
        } else {
            Ok(())
        }
    }

    /// Sleeps, unless asked to end.
    #[cfg(feature = "hub")]
    fn pause(&self, time: Duration) -> Result<()> {
        let until = std::time::Instant::now() + time;
        while std::time::Instant::now() < until {
            self.check()?;
            std::thread::sleep(Duration::from_millis(50).min(time));
        }
        self.check()
    }
}

/// Where a model is not that has no packages, in an error.
const AMONG_PACKAGES: &str = "among the packages";

/// Fetches models into a cache.
#[derive(Debug, Clone)]
pub struct Puller {
    pub cache: ModelCache,
    pub setup: Setup,
    pub source: Source,
    /// Fetch again what is there already.
    pub force: bool,
}

impl Puller {
    pub fn from_env() -> Result<Self> {
        Ok(Self {
            cache: ModelCache::open()?,
            setup: Setup::from_env(),
            source: Source::Auto,
            force: false,
        })
    }

    /// The path of a known model, fetched if it is not in the cache.
    pub fn known(&self, model: &KnownModel, watch: &mut Watch<'_>) -> Result<PathBuf> {
        match &model.origin {
            Origin::Pinned(pinned) => self.pinned(model, pinned, watch),
            Origin::Listed { .. } => self.listed(model, watch),
        }
    }

    fn pinned(
        &self,
        model: &KnownModel,
        pinned: &PinnedFile,
        watch: &mut Watch<'_>,
    ) -> Result<PathBuf> {
        if !self.force
            && let Some(path) = self.cache.find_vouched(model, pinned)
        {
            return Ok(path);
        }
        let _lock = self.cache.lock(model.name, watch)?;
        if !self.force
            && let Some(path) = self.check_pinned(model, pinned, watch)?
        {
            return Ok(path);
        }
        let path = self.fetch_pinned(model, pinned, watch)?;
        self.cache.vouch(model, pinned);
        Ok(path)
    }

    /// A model that the hub's listing names the file of.
    fn listed(&self, model: &KnownModel, watch: &mut Watch<'_>) -> Result<PathBuf> {
        if !self.force
            && let Some(path) = self.cache.find_known(model)
        {
            return Ok(path);
        }
        let no_package = || PullError::NoSuchSource {
            name: model.name.to_owned(),
            wanted: AMONG_PACKAGES,
        };
        match model.hub_id() {
            Some(id) if self.source != Source::Packages => self.hub(&id, watch),
            _ => Err(no_package()),
        }
    }

    /// The pinned file if it is in the cache and right: hashed where that is not known.
    fn check_pinned(
        &self,
        model: &KnownModel,
        pinned: &PinnedFile,
        watch: &mut Watch<'_>,
    ) -> Result<Option<PathBuf>> {
        if let Some(path) = self.cache.find_vouched(model, pinned) {
            return Ok(Some(path));
        }
        let Some(path) = self.cache.find_known(model) else {
            return Ok(None);
        };
        match check_sha256(&path, pinned.file, pinned.sha256, watch) {
            Ok(()) => {
                self.cache.vouch(model, pinned);
                Ok(Some(path))
            }
            Err(PullError::WrongHash { .. }) => {
                watch.tell(PullEvent::Damaged { label: pinned.file });
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// The path of a hub model: a `.gguf` file or a folder, fetched if it is not in the cache.
    pub fn hub(&self, id: &HubId, watch: &mut Watch<'_>) -> Result<PathBuf> {
        if !self.force
            && let Some(path) = self.find_hub(id)
        {
            return Ok(path);
        }
        if self.source == Source::Packages {
            return Err(PullError::NoSuchSource {
                name: id.to_string(),
                wanted: AMONG_PACKAGES,
            });
        }
        let _lock = self.cache.lock(&id.repo_key(), watch)?;
        if !self.force
            && let Some(path) = repo::find(&self.cache, id)
        {
            return Ok(path);
        }
        self.fetch_hub(id, watch)
    }
}

impl Puller {
    /// A hub model that is here already, fetched by this program or by the hub's own tools.
    fn find_hub(&self, id: &HubId) -> Option<PathBuf> {
        let theirs = self.setup.shared_cache.as_deref();
        repo::find(&self.cache, id).or_else(|| elsewhere::find_in_hugging_face_cache(theirs?, id))
    }
}

/// The known model if it is here, in the cache or in that of the hub's own tools (`shared`).
pub fn find_known(
    cache: &ModelCache,
    shared: Option<&Path>,
    model: &KnownModel,
) -> Option<PathBuf> {
    let theirs = || elsewhere::find_in_hugging_face_cache(shared?, &model.hub_id()?);
    cache.find_known(model).or_else(theirs)
}

/// Without the cargo feature `hub` only what is in the cache already is found.
#[cfg(not(feature = "hub"))]
impl Puller {
    fn fetch_pinned(
        &self,
        model: &KnownModel,
        _: &PinnedFile,
        _: &mut Watch<'_>,
    ) -> Result<PathBuf> {
        Err(PullError::NotBuilt {
            name: model.name.to_owned(),
        })
    }

    fn fetch_hub(&self, id: &HubId, _: &mut Watch<'_>) -> Result<PathBuf> {
        Err(PullError::NotBuilt {
            name: id.to_string(),
        })
    }
}

/// Reads the file once to see that it is what was promised.
fn check_sha256(path: &Path, label: &str, expected: &str, watch: &mut Watch<'_>) -> Result<()> {
    let mut file = File::open(path).map_err(|e| PullError::io(path, e))?;
    let total = file.metadata().map_err(|e| PullError::io(path, e))?.len();
    watch.tell(PullEvent::Begin {
        label: "checking",
        done: 0,
        total: Some(total),
    });
    let mut hash = Sha256::new();
    let mut buffer = vec![0u8; 1 << 20];
    let mut done = 0;
    loop {
        watch.check()?;
        let count = file.read(&mut buffer).map_err(|e| PullError::io(path, e))?;
        if count == 0 {
            break;
        }
        hash.update(&buffer[..count]);
        done += count as u64;
        watch.tell(PullEvent::Advance { done });
    }
    let actual: String = hash
        .finalize()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    if actual.eq_ignore_ascii_case(expected) {
        return Ok(());
    }
    Err(PullError::WrongHash {
        what: label.to_owned(),
        expected: expected.to_owned(),
        actual,
    })
}
