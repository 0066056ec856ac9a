//! A hub on the loopback that does what a test tells it to.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// One request as the server saw it; header names in lower case.
#[derive(Debug, Clone)]
pub struct Request {
    pub path: String,
    pub headers: HashMap<String, String>,
}

/// What is sent back, and how badly.
#[derive(Debug, Clone, Default)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// Close the connection after this many bytes of the body.
    pub cut_at: Option<usize>,
    /// Send the body in pieces of this size with a pause after each.
    pub pace: Option<(usize, Duration)>,
    /// Say nothing at all for this long.
    pub silence: Duration,
}

impl Answer {
    pub fn status(status: u16) -> Self {
        Self {
            status,
            ..Self::default()
        }
    }

    pub fn ok(body: impl Into<Vec<u8>>) -> Self {
        Self {
            status: 200,
            body: body.into(),
            ..Self::default()
        }
    }

    pub fn redirect(to: &str) -> Self {
        Self::status(302).header("Location", to)
    }

    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    pub fn cut_at(mut self, bytes: usize) -> Self {
        self.cut_at = Some(bytes);
        self
    }

    pub fn pace(mut self, bytes: usize, pause: Duration) -> Self {
        self.pace = Some((bytes, pause));
        self
    }

    pub fn silence(mut self, time: Duration) -> Self {
        self.silence = time;
        self
    }

    /// A file with its tag, whole or from where a Range (that If-Range allows) asks.
    pub fn file(request: &Request, content: &[u8], etag: &str) -> Self {
        let from = request.headers.get("range").and_then(|r| {
            r.strip_prefix("bytes=")?
                .strip_suffix('-')?
                .parse::<usize>()
                .ok()
        });
        let same = request
            .headers
            .get("if-range")
            .is_none_or(|tag| tag == etag);
        let answer = match from {
            Some(from) if same && from >= content.len() => Self::status(416),
            Some(from) if same => {
                let range = format!("bytes {from}-{}/{}", content.len() - 1, content.len());
                let mut part = Self::ok(&content[from..]).header("Content-Range", &range);
                part.status = 206;
                part
            }
            _ => Self::ok(content),
        };
        answer.header("ETag", etag)
    }
}

pub struct Server {
    pub port: u16,
    seen: Arc<Mutex<Vec<Request>>>,
}

impl Server {
    /// Answers each request, on a thread of its own, with what `answer` makes of it. The second
    /// argument is how many requests for the same path came before.
    pub fn start(answer: impl Fn(&Request, usize) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let seen = Arc::new(Mutex::new(Vec::<Request>::new()));
        let (answer, log) = (Arc::new(answer), seen.clone());
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (answer, log) = (answer.clone(), log.clone());
                thread::spawn(move || {
                    let Some(request) = read_request(&stream) else {
                        return;
                    };
                    let before = {
                        let mut log = log.lock().unwrap();
                        let before = log.iter().filter(|r| r.path == request.path).count();
                        log.push(request.clone());
                        before
                    };
                    // The client may hang up in the middle: that is what some tests do.
                    let _ = send(stream, &answer(&request, before));
                });
            }
        });
        Self { port, seen }
    }

    pub fn address(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The requests whose path has this in it, in the order they came.
    pub fn requests(&self, part: &str) -> Vec<Request> {
        let seen = self.seen.lock().unwrap();
        seen.iter()
            .filter(|r| r.path.contains(part))
            .cloned()
            .collect()
    }
}

fn read_request(stream: &TcpStream) -> Option<Request> {
    let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
    let path = lines.next()?.split(' ').nth(1)?.to_owned();
    let headers = lines
        .take_while(|line| !line.is_empty())
        .filter_map(|line| {
            let (name, value) = line.split_once(':')?;
            Some((name.to_ascii_lowercase(), value.trim().to_owned()))
        })
        .collect();
    Some(Request { path, headers })
}

fn send(mut stream: TcpStream, answer: &Answer) -> std::io::Result<()> {
    thread::sleep(answer.silence);
    write!(
        stream,
        "HTTP/1.1 {} x\r\nConnection: close\r\n",
        answer.status
    )?;
    write!(stream, "Content-Length: {}\r\n", answer.body.len())?;
    for (name, value) in &answer.headers {
        write!(stream, "{name}: {value}\r\n")?;
    }
    write!(stream, "\r\n")?;
    let end = answer
        .cut_at
        .unwrap_or(answer.body.len())
        .min(answer.body.len());
    let (piece, pause) = answer.pace.unwrap_or((usize::MAX, Duration::ZERO));
    for part in answer.body[..end].chunks(piece) {
        stream.write_all(part)?;
        stream.flush()?;
        thread::sleep(pause);
    }
    Ok(())
}
