//! The program, run in a cache and a home of its own.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use sha2::{Digest, Sha256};
use tempfile::TempDir;

use super::server::{Answer, Request, Server};

/// A folder for one test, with the program's settings in it.
pub struct Bench {
    pub folder: TempDir,
    pub endpoint: String,
    pub variables: Vec<(String, String)>,
}

impl Bench {
    pub fn new(endpoint: impl Into<String>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self {
            folder,
            endpoint: endpoint.into(),
            variables: Vec::new(),
        }
    }

    /// With a hub that nobody answers for.
    pub fn unreachable() -> Self {
        Self::new(NOBODY)
    }

    pub fn set(mut self, name: &str, value: impl Into<String>) -> Self {
        self.variables.push((name.into(), value.into()));
        self
    }

    pub fn cache(&self) -> PathBuf {
        self.folder.path().join("cache")
    }

    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        for name in ["http_proxy", "https_proxy", "all_proxy"] {
            command.env_remove(name).env_remove(name.to_uppercase());
        }
        for name in ["HF_TOKEN", "HF_HOME", "HF_TOKEN_PATH", "HF_HUB_OFFLINE"] {
            command.env_remove(name);
        }
        for name in ["HF_HUB_CACHE", "XDG_CACHE_HOME", "LLAMA_CACHE"] {
            command.env_remove(name);
        }
        command
            .env("HF_ENDPOINT", &self.endpoint)
            .env("INSCRIBE_CACHE", self.cache())
            .env("HOME", self.folder.path())
            .env("OLLAMA_MODELS", self.folder.path().join("ollama"))
            .env("INSCRIBE_PYTHON", self.folder.path().join("no-python"))
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    pub fn run(&self, arguments: &[&str]) -> Ran {
        let output = self.command(PROGRAM).args(arguments).output().unwrap();
        Ran::of(output)
    }

    pub fn start(&self, arguments: &[&str]) -> Child {
        self.command(PROGRAM).args(arguments).spawn().unwrap()
    }

    /// Every file below a folder of the cache but the locks, which stay for the next time.
    pub fn files(&self, below: &str) -> Vec<String> {
        let mut found = Vec::new();
        collect(&self.cache().join(below), &mut found);
        found.retain(|name| !name.ends_with(".lock"));
        found
    }
}

/// The lines of `models --json`.
pub fn listed(ran: &Ran) -> Vec<serde_json::Value> {
    let lines = ran.out.lines();
    lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

pub const PROGRAM: &str = env!("CARGO_BIN_EXE_inscribe");

pub struct Ran {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl Ran {
    pub fn of(output: Output) -> Self {
        Self {
            code: output.status.code(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// The file that a successful pull printed.
    pub fn path(&self) -> PathBuf {
        assert_eq!(self.code, Some(0), "{}", self.err);
        PathBuf::from(self.out.trim_end())
    }

    /// Checks that it failed with one `error:` line that has this in it, and returns the hint.
    pub fn failed_with(&self, part: &str) -> String {
        assert_eq!(self.code, Some(1), "{}", self.err);
        assert_eq!(self.out, "", "an error leaves stdout empty");
        let lines: Vec<&str> = self
            .err
            .lines()
            .filter(|l| l.starts_with("error: "))
            .collect();
        assert_eq!(lines.len(), 1, "{}", self.err);
        assert!(lines[0].contains(part), "{}", self.err);
        let hint = self.err.lines().find_map(|l| l.strip_prefix("hint: "));
        hint.unwrap_or_default().to_owned()
    }
}

fn collect(folder: &Path, found: &mut Vec<String>) {
    let Ok(entries) = folder.read_dir() else {
        return;
    };
    for entry in entries.flatten() {
        if entry.path().is_dir() {
            collect(&entry.path(), found);
        } else {
            found.push(entry.file_name().to_string_lossy().into_owned());
        }
    }
    found.sort();
}

/// Where nothing listens: no program is given that port by chance.
pub const NOBODY: &str = "http://127.0.0.1:1";

pub const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// Bytes that look random and are the same every time.
pub fn content(bytes: usize) -> Vec<u8> {
    let mut state = 1u32;
    let next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    std::iter::repeat_with(next).take(bytes).collect()
}

pub fn sha256(content: &[u8]) -> String {
    Sha256::digest(content)
        .iter()
        .map(|b| format!("{b:02x}"))
        .collect()
}

/// What the hub says of a repository with these files.
pub fn description(files: &[(&str, &[u8])]) -> Vec<u8> {
    let siblings: Vec<_> = files
        .iter()
        .map(|(name, content)| {
            serde_json::json!({
                "rfilename": name,
                "size": content.len(),
                "lfs": { "sha256": sha256(content), "size": content.len() },
            })
        })
        .collect();
    serde_json::json!({ "sha": COMMIT, "siblings": siblings })
        .to_string()
        .into_bytes()
}

/// A hub with one repository `org/name` that holds `x.Q4_0.gguf`; `serve` answers for the file.
pub fn hub_with(
    content: Vec<u8>,
    serve: impl Fn(&Request, usize, &[u8]) -> Answer + Send + Sync + 'static,
) -> Server {
    Server::start(move |request, before| {
        if request
            .path
            .starts_with("/api/models/org/name/revision/main")
        {
            return Answer::ok(description(&[("x.Q4_0.gguf", content.as_slice())]));
        }
        if request.path == format!("/org/name/resolve/{COMMIT}/x.Q4_0.gguf") {
            return serve(request, before, &content);
        }
        Answer::status(404)
    })
}
