//! Downloads from a hub: resumed where they stopped, checked when whole.
//!
//! Beside `<file>.partial` lies `<file>.partial.json`, which says what the bytes are a part of: a
//! file that has changed on the hub since is started again from its beginning.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use ureq::config::RedirectAuthHeaders;
use ureq::tls::{RootCerts, TlsConfig};

use super::cache::{make_folder, remove_if_there};
use super::error::{PullError, Result};
use super::{PullEvent, Setup, Watch, check_sha256};

/// The longest wait for a connection: a hub that is not there must be noticed fast, since another
/// source may be waiting.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// The longest wait for an answer to begin.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(15);
/// The longest silence in an answer before the connection counts as broken.
const SILENCE_TIMEOUT: Duration = Duration::from_secs(30);
/// Tries in a row that brought no new byte.
const FRUITLESS_TRIES: u32 = 4;
const TRIES: u32 = 50;
/// The first wait before another try, where a connection broke and where none can be made; each
/// fruitless try doubles it.
const BROKEN_WAIT: Duration = Duration::from_millis(250);
const GONE_WAIT: Duration = Duration::from_secs(1);
/// Answers that are read into memory (JSON) are refused above this.
const SMALL_ANSWER_BYTES: usize = 16 << 20;

/// One file to fetch.
pub(super) struct Remote<'a> {
    pub url: String,
    pub label: &'a str,
    /// The repository's id, for messages and for the page that explains a gated model.
    pub repo: &'a str,
    pub bytes: Option<u64>,
    pub sha256: Option<&'a str>,
}

pub(super) struct Client {
    agent: ureq::Agent,
    endpoint: String,
    host: String,
    token: Option<String>,
}

/// What is known of a partial file.
#[derive(Serialize, Deserialize, Default)]
struct Origin {
    url: String,
    etag: Option<String>,
    total: Option<u64>,
}

struct Head {
    status: u16,
    etag: Option<String>,
    length: Option<u64>,
    /// First byte and total of a partial answer.
    range: Option<(u64, Option<u64>)>,
}

enum Message {
    Head(Head),
    Data(Vec<u8>),
    End,
    Failed(ureq::Error),
}

impl Client {
    pub fn new(setup: &Setup) -> Result<Self> {
        let host = host_of(&setup.endpoint);
        if setup.offline {
            let detail = "HF_HUB_OFFLINE is set".into();
            return Err(PullError::Unreachable { host, detail });
        }
        if !["http://", "https://"]
            .iter()
            .any(|scheme| setup.endpoint.starts_with(scheme))
        {
            let detail = "HF_ENDPOINT must begin with https:// or http://".into();
            return Err(PullError::Unreachable { host, detail });
        }
        let tls = TlsConfig::builder()
            .root_certs(RootCerts::PlatformVerifier)
            .build();
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_resolve(Some(CONNECT_TIMEOUT))
            .timeout_connect(Some(CONNECT_TIMEOUT))
            .timeout_recv_response(Some(ANSWER_TIMEOUT))
            .timeout_per_read(Some(SILENCE_TIMEOUT))
            .timeout_per_write(Some(SILENCE_TIMEOUT))
            .redirect_auth_headers(RedirectAuthHeaders::SameHost)
            .user_agent(concat!("inscribe/", env!("CARGO_PKG_VERSION")))
            .tls_config(tls)
            .build();
        Ok(Self {
            agent: config.into(),
            endpoint: setup.endpoint.clone(),
            host,
            token: setup.token.clone(),
        })
    }

    pub fn file_url(&self, repo: &str, revision: &str, file: &str) -> String {
        format!(
            "{}/{repo}/resolve/{}/{}",
            self.endpoint,
            escape(revision),
            escape_path(file)
        )
    }

    /// The hub's description of a repository at a revision.
    pub fn describe(&self, repo: &str, revision: &str, watch: &mut Watch<'_>) -> Result<Vec<u8>> {
        let revision = escape(revision);
        let url = format!(
            "{}/api/models/{repo}/revision/{revision}?blobs=true",
            self.endpoint
        );
        let mut answer = self.get(&url, None);
        let head = self.head(&mut answer, watch)?;
        if head.status != 200 {
            return Err(self.refused(&url, repo, head.status));
        }
        let mut body = Vec::new();
        while let Some(data) = self.data(&mut answer, body.len() as u64, watch)? {
            body.extend_from_slice(&data);
            if body.len() > SMALL_ANSWER_BYTES {
                let detail = "it is far too long".into();
                return Err(PullError::Answer { what: url, detail });
            }
        }
        Ok(body)
    }

    /// Brings the whole, checked file to `partial`; what is there already is not fetched again.
    /// The caller moves it to its place.
    pub fn download(
        &self,
        remote: &Remote<'_>,
        partial: &Path,
        watch: &mut Watch<'_>,
    ) -> Result<()> {
        if let Some(parent) = partial.parent() {
            make_folder(parent)?;
        }
        let pieced = self.fetch_all(remote, partial, watch)?;
        let Some(expected) = remote.sha256 else {
            return forget_origin(partial);
        };
        match check_sha256(partial, remote.label, expected, watch) {
            // The pieces may be of two files: once more, from the beginning.
            Err(PullError::WrongHash { .. }) if pieced => {
                discard(partial)?;
                self.fetch_all(remote, partial, watch)?;
                check_sha256(partial, remote.label, expected, watch)
            }
            done => done,
        }
        .or_else(|error| {
            if matches!(error, PullError::WrongHash { .. }) {
                discard(partial)?;
            }
            Err(error)
        })?;
        forget_origin(partial)
    }

    /// Tries until the file is whole; true if it was put together from more than one answer.
    fn fetch_all(
        &self,
        remote: &Remote<'_>,
        partial: &Path,
        watch: &mut Watch<'_>,
    ) -> Result<bool> {
        let first = length(partial);
        let mut fruitless = 0;
        for tries in 0..TRIES {
            let before = length(partial);
            let error = match self.fetch_once(remote, partial, watch) {
                Ok(()) => return Ok(first > 0 || tries > 0),
                Err(error) => error,
            };
            let grew = length(partial) > before;
            fruitless = if grew { 0 } else { fruitless + 1 };
            // Once bytes have come, a host that is gone may come back, though not at once.
            let gone = matches!(error, PullError::Unreachable { .. });
            let again = error.is_transient() || gone && length(partial) > first;
            if !again || fruitless >= FRUITLESS_TRIES {
                return Err(error);
            }
            let step = if gone { GONE_WAIT } else { BROKEN_WAIT };
            let wait = step * (1 << fruitless.min(4));
            watch.tell(PullEvent::Retry {
                error: &error,
                wait,
            });
            watch.pause(wait)?;
        }
        Err(self.dropped(length(partial), "it broke again and again".into()))
    }

    fn fetch_once(&self, remote: &Remote<'_>, partial: &Path, watch: &mut Watch<'_>) -> Result<()> {
        let origin = read_origin(partial)
            .filter(|o| o.url == remote.url)
            .unwrap_or_default();
        let have = if origin.url.is_empty() {
            0
        } else {
            length(partial)
        };
        if have > 0 && origin.total == Some(have) {
            return Ok(());
        }
        let resume = (have > 0).then_some((have, origin.etag.as_deref()));
        let mut answer = self.get(&remote.url, resume);
        let head = self.head(&mut answer, watch)?;
        let (start, total) = match (head.status, head.range) {
            (200, _) => (0, head.length),
            (206, Some((start, total))) if start == have && same_file(&origin, &head, total) => {
                (start, total.or(origin.total))
            }
            // Not the part that was asked for, or of another file: from the beginning.
            (206 | 416, _) if have > 0 => {
                discard(partial)?;
                let detail = "the file has changed since the last try".into();
                return Err(self.dropped(0, detail));
            }
            (status, _) => return Err(self.refused(&remote.url, remote.repo, status)),
        };
        if let (Some(expected), Some(actual)) = (remote.bytes, total)
            && expected != actual
        {
            let what = remote.label.to_owned();
            return Err(PullError::WrongSize {
                what,
                expected,
                actual,
            });
        }
        let total = total.or(remote.bytes);
        let mut file = open_at(partial, start)?;
        write_origin(
            partial,
            &Origin {
                url: remote.url.clone(),
                etag: head.etag,
                total,
            },
        )?;
        watch.tell(PullEvent::Begin {
            label: remote.label,
            done: start,
            total,
        });
        let mut done = start;
        while let Some(data) = self.data(&mut answer, done, watch)? {
            done += data.len() as u64;
            if let Some(expected) = total.filter(|&t| done > t) {
                drop(file);
                discard(partial)?;
                let what = remote.label.to_owned();
                return Err(PullError::WrongSize {
                    what,
                    expected,
                    actual: done,
                });
            }
            file.write_all(&data)
                .map_err(|e| PullError::io(partial, e))?;
            watch.tell(PullEvent::Advance { done });
        }
        if total.is_some_and(|t| done < t) {
            return Err(self.dropped(done, "it ended early".into()));
        }
        file.sync_all().map_err(|e| PullError::io(partial, e))
    }

    /// Asks in a thread of its own, so that a cancel is heard while the network is silent.
    /// The thread ends with the answer, when nobody listens, or after the silence timeout.
    fn get(&self, url: &str, resume: Option<(u64, Option<&str>)>) -> Receiver<Message> {
        let (sender, receiver) = sync_channel(16);
        let mut request = self.agent.get(url).header("accept-encoding", "identity");
        if let Some(token) = &self.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        if let Some((from, etag)) = resume {
            request = request.header("range", format!("bytes={from}-"));
            // A weak tag does not vouch for every byte, and If-Range refuses it.
            if let Some(etag) = etag.filter(|e| !e.starts_with("W/")) {
                request = request.header("if-range", etag);
            }
        }
        std::thread::spawn(move || {
            let message = match request.call() {
                Ok(response) => forward(response, &sender),
                Err(error) => Message::Failed(error),
            };
            // Nobody listens after a cancel.
            let _ = sender.send(message);
        });
        receiver
    }

    fn head(&self, answer: &mut Receiver<Message>, watch: &Watch<'_>) -> Result<Head> {
        match next(answer, watch)? {
            Some(Message::Head(head)) => Ok(head),
            Some(Message::Failed(error)) => Err(PullError::Unreachable {
                host: self.host.clone(),
                detail: reason(&error),
            }),
            _ => Err(self.dropped(0, "it ended before the answer".into())),
        }
    }

    /// The next bytes of the body; none at its end.
    fn data(
        &self,
        answer: &mut Receiver<Message>,
        done: u64,
        watch: &Watch<'_>,
    ) -> Result<Option<Vec<u8>>> {
        match next(answer, watch)? {
            Some(Message::Data(data)) => Ok(Some(data)),
            Some(Message::End) => Ok(None),
            Some(Message::Failed(error)) => Err(self.dropped(done, reason(&error))),
            _ => Err(self.dropped(done, "it ended early".into())),
        }
    }

    fn dropped(&self, bytes: u64, detail: String) -> PullError {
        PullError::Dropped {
            host: self.host.clone(),
            bytes,
            detail,
        }
    }

    fn refused(&self, url: &str, repo: &str, status: u16) -> PullError {
        match status {
            401 | 403 => PullError::Gated {
                repo: repo.to_owned(),
                status,
                page: format!("{}/{repo}", self.endpoint),
                has_token: self.token.is_some(),
            },
            404 => PullError::NotFound {
                url: url.to_owned(),
            },
            _ => PullError::Status {
                url: url.to_owned(),
                status,
            },
        }
    }
}

/// Sends the answer on, piece by piece; returns the last message.
fn forward(response: ureq::http::Response<ureq::Body>, sender: &SyncSender<Message>) -> Message {
    let text = |name: &str| {
        let value = response.headers().get(name)?.to_str().ok()?;
        Some(value.to_owned())
    };
    let head = Head {
        status: response.status().as_u16(),
        etag: text("etag"),
        length: text("content-length").and_then(|v| v.parse().ok()),
        range: text("content-range").and_then(|v| parse_range(&v)),
    };
    if sender.send(Message::Head(head)).is_err() {
        return Message::End;
    }
    let mut body = response.into_body().into_reader();
    loop {
        let mut data = vec![0; 64 << 10];
        match body.read(&mut data) {
            Ok(0) => return Message::End,
            Ok(count) => {
                data.truncate(count);
                if sender.send(Message::Data(data)).is_err() {
                    return Message::End;
                }
            }
            Err(error) => return Message::Failed(error.into()),
        }
    }
}

fn next(answer: &mut Receiver<Message>, watch: &Watch<'_>) -> Result<Option<Message>> {
    loop {
        watch.check()?;
        match answer.recv_timeout(Duration::from_millis(100)) {
            Ok(message) => return Ok(Some(message)),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return Ok(None),
        }
    }
}

/// `bytes 5-9/10`: the first byte and the total.
fn parse_range(value: &str) -> Option<(u64, Option<u64>)> {
    let (range, total) = value.strip_prefix("bytes ")?.split_once('/')?;
    let start = range.split_once('-')?.0.parse().ok()?;
    Some((start, total.parse().ok()))
}

fn same_file(origin: &Origin, head: &Head, total: Option<u64>) -> bool {
    let agree = |a: Option<&str>, b: Option<&str>| a.is_none() || b.is_none() || a == b;
    agree(origin.etag.as_deref(), head.etag.as_deref())
        && (origin.total.is_none() || total.is_none() || origin.total == total)
}

fn reason(error: &ureq::Error) -> String {
    match error {
        ureq::Error::HostNotFound => "its name cannot be resolved".into(),
        ureq::Error::Timeout(ureq::Timeout::Resolve | ureq::Timeout::Connect) => {
            format!("no answer within {} s", CONNECT_TIMEOUT.as_secs())
        }
        ureq::Error::Timeout(ureq::Timeout::RecvResponse) => {
            format!("no answer within {} s", ANSWER_TIMEOUT.as_secs())
        }
        ureq::Error::Timeout(_) => format!("silent for {} s", SILENCE_TIMEOUT.as_secs()),
        ureq::Error::Io(error) if error.to_string().contains("failed to lookup address") => {
            "its name cannot be resolved".into()
        }
        ureq::Error::Io(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
            "the other side closed it".into()
        }
        // Its Display repeats the kind and the number; the kind says it plainly.
        ureq::Error::Io(error) if error.raw_os_error().is_some() => error.kind().to_string(),
        error => match error.to_string().split_once("invalid peer certificate: ") {
            Some((_, why)) => format!(
                "its certificate is not trusted: {why}; SSL_CERT_FILE names further certificates"
            ),
            None => error.to_string(),
        },
    }
}

fn origin_path(partial: &Path) -> PathBuf {
    partial.with_added_extension("json")
}

fn read_origin(partial: &Path) -> Option<Origin> {
    serde_json::from_slice(&fs::read(origin_path(partial)).ok()?).ok()
}

fn write_origin(partial: &Path, origin: &Origin) -> Result<()> {
    let path = origin_path(partial);
    let text = serde_json::to_vec(origin).map_err(|e| PullError::io(&path, e.into()))?;
    fs::write(&path, text).map_err(|e| PullError::io(&path, e))
}

fn forget_origin(partial: &Path) -> Result<()> {
    remove_if_there(&origin_path(partial))
}

/// Throws away a partial file and what is known of it.
pub(super) fn discard(partial: &Path) -> Result<()> {
    remove_if_there(partial)?;
    forget_origin(partial)
}

fn length(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |m| m.len())
}

fn open_at(partial: &Path, start: u64) -> Result<File> {
    let mut options = OpenOptions::new();
    if start == 0 {
        options.write(true).create(true).truncate(true);
    } else {
        options.append(true);
    }
    options.open(partial).map_err(|e| PullError::io(partial, e))
}

fn host_of(endpoint: &str) -> String {
    let rest = endpoint
        .split_once("://")
        .map_or(endpoint, |(_, rest)| rest);
    let authority = rest.split('/').next().unwrap_or(rest);
    // A user name and password in the address stay out of messages.
    authority.rsplit('@').next().unwrap_or(authority).to_owned()
}

/// Percent-encodes what is not plain in one path segment.
fn escape(segment: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~".contains(&b);
    segment.bytes().fold(String::new(), |mut text, b| {
        if plain(b) {
            text.push(b as char)
        } else {
            text.push_str(&format!("%{b:02X}"))
        }
        text
    })
}

fn escape_path(path: &str) -> String {
    path.split('/').map(escape).collect::<Vec<_>>().join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_and_hosts_are_read() {
        assert_eq!(parse_range("bytes 5-9/10"), Some((5, Some(10))));
        assert_eq!(parse_range("bytes 5-9/*"), Some((5, None)));
        assert_eq!(parse_range("bytes */10"), None);
        assert_eq!(parse_range("items 1-2/3"), None);
        assert_eq!(
            host_of("https://me:secret@hub.example:81/x"),
            "hub.example:81"
        );
        assert_eq!(escape_path("a b/c#d.gguf"), "a%20b/c%23d.gguf");
    }
}
