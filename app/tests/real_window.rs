//! The program itself on a real display: it opens a window, draws in it, shares the clipboard with
//! other programs, and ends when it is closed. `tests/run` gives it a display of its own, with
//! `xdotool` to press keys and `xclip` for another program.
#![cfg(target_os = "linux")]

use std::io::Write as _;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use image::RgbaImage;
use x11rb::connection::Connection;
use x11rb::protocol::xproto::{
    AtomEnum, ClientMessageEvent, ConnectionExt, EventMask, ImageFormat, Window,
};
use x11rb::rust_connection::RustConnection;

/// After this much time something hangs, however slow the machine.
const PATIENCE: Duration = Duration::from_secs(600);
/// How long it has to live.
const LIFE: Duration = Duration::from_secs(5);

/// Windows are found by their title and have one keyboard: one test at a time.
fn alone() -> MutexGuard<'static, ()> {
    static ONE: Mutex<()> = Mutex::new(());
    ONE.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Display {
    connection: RustConnection,
    root: Window,
}

impl Display {
    fn open() -> Display {
        // A server that has lost its last program begins anew, and hears nobody for that moment.
        let mut tries = 0..20;
        let (connection, screen) = loop {
            match x11rb::connect(None) {
                Ok(connected) => break connected,
                Err(_) if tries.next().is_some() => {
                    std::thread::sleep(Duration::from_millis(250));
                }
                Err(e) => panic!("a display: `tests/run` starts one, or set DISPLAY: {e}"),
            }
        };
        let root = connection.setup().roots[screen].root;
        Display { connection, root }
    }

    fn atom(&self, name: &str) -> u32 {
        let cookie = self.connection.intern_atom(false, name.as_bytes());
        cookie.expect("sent").reply().expect("an atom").atom
    }

    fn text_of(&self, window: Window, property: u32) -> String {
        let any = AtomEnum::ANY;
        let cookie = self
            .connection
            .get_property(false, window, property, any, 0, 256);
        let value = cookie.expect("sent").reply().map(|reply| reply.value);
        String::from_utf8_lossy(&value.unwrap_or_default()).into_owned()
    }

    /// The window of this title, which may stand within another.
    fn find(&self, title: &str) -> Option<Window> {
        let name = self.atom("_NET_WM_NAME");
        let mut to_look_at = vec![self.root];
        while let Some(window) = to_look_at.pop() {
            if self.text_of(window, name) == title {
                return Some(window);
            }
            let tree = self.connection.query_tree(window).expect("sent").reply();
            to_look_at.extend(tree.map(|tree| tree.children).unwrap_or_default());
        }
        None
    }

    /// As the cross in a title bar does.
    fn close(&self, window: Window) {
        let (protocols, delete) = (self.atom("WM_PROTOCOLS"), self.atom("WM_DELETE_WINDOW"));
        let message = ClientMessageEvent::new(32, window, protocols, [delete, 0, 0, 0, 0]);
        let send = &self.connection;
        send.send_event(false, window, EventMask::NO_EVENT, message)
            .expect("sent");
        send.flush().expect("sent");
    }

    /// Nothing where the window is not seen yet.
    fn picture(&self, window: Window) -> Option<RgbaImage> {
        let size = self.connection.get_geometry(window).expect("sent").reply();
        let size = size.ok()?;
        let (width, height) = (size.width, size.height);
        let pixels = self
            .connection
            .get_image(ImageFormat::Z_PIXMAP, window, 0, 0, width, height, !0)
            .expect("sent")
            .reply()
            .ok()?;
        let rgba = pixels.data.chunks_exact(4);
        let rgba = rgba.flat_map(|bgrx| [bgrx[2], bgrx[1], bgrx[0], 255]);
        RgbaImage::from_raw(width.into(), height.into(), rgba.collect())
    }
}

/// Ends with the test, also where the test fails.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Running {
    /// The program with a home of its own, so that nobody's preferences are read or changed.
    fn start(home: &Path) -> Running {
        let mut command = Command::new(env!("CARGO_BIN_EXE_inscribe-app"));
        command
            .env_remove("WAYLAND_DISPLAY")
            .env_remove("WAYLAND_SOCKET")
            .env("XDG_DATA_HOME", home.join("data"))
            .env("XDG_CACHE_HOME", home.join("cache"))
            .env("XDG_CONFIG_HOME", home.join("config"))
            .env("INSCRIBE_CACHE", home.join("models"));
        Running(command.spawn().expect("the program"))
    }

    fn ended(&mut self) -> Option<ExitStatus> {
        self.0.try_wait().expect("a child")
    }
}

/// The program with its window on the display.
struct Shown {
    running: Running,
    display: Display,
    window: Window,
    home: tempfile::TempDir,
    _alone: MutexGuard<'static, ()>,
}

impl Shown {
    fn new() -> Shown {
        let alone = alone();
        let display = Display::open();
        let home = tempfile::tempdir().expect("a temporary folder");
        let mut running = Running::start(home.path());
        let window = wait("the window", || {
            assert!(running.ended().is_none(), "it ended before its window came");
            display.find("Inscribe")
        });
        Shown {
            running,
            display,
            window,
            home,
            _alone: alone,
        }
    }

    fn picture(&self) -> Option<RgbaImage> {
        self.display.picture(self.window)
    }
}

fn wait<T>(what: &str, mut found: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(found) = found() {
            return found;
        }
        assert!(started.elapsed() < PATIENCE, "waited for {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// How many colours there are, which a blank window has one of.
fn colours(picture: &RgbaImage) -> usize {
    let mut seen: Vec<[u8; 4]> = picture.pixels().map(|pixel| pixel.0).collect();
    seen.sort_unstable();
    seen.dedup();
    seen.len()
}

/// Runs a program that the test needs to its end: what it wrote, where it succeeded.
fn run(program: &str, arguments: &[&str]) -> Option<String> {
    let ran = Command::new(program).args(arguments).output();
    let ran = ran.unwrap_or_else(|e| panic!("{program}, which `tests/run` installs: {e}"));
    let wrote = String::from_utf8_lossy(&ran.stdout).into_owned();
    ran.status.success().then_some(wrote)
}

/// Another program that has copied a text, and owns the clipboard until it is dropped.
fn copied_elsewhere(text: &str) -> Running {
    let mut owner = Command::new("xclip")
        .args(["-quiet", "-selection", "clipboard"])
        .stdin(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("xclip, which `tests/run` installs");
    let mut input = owner.stdin.take().expect("a pipe");
    input.write_all(text.as_bytes()).expect("a reader");
    drop(input);
    let owner = Running(owner);
    wait("the clipboard", || (clipboard()? == text).then_some(()));
    owner
}

/// What another program would paste.
fn clipboard() -> Option<String> {
    run("xclip", &["-out", "-selection", "clipboard"])
}

/// Presses keys in the window that has the keyboard.
fn press(keys: &[&str]) {
    let words = [&["key", "--delay", "40"], keys].concat();
    assert!(run("xdotool", &words).is_some(), "{keys:?} were pressed");
}

#[test]
fn what_was_copied_elsewhere_is_pasted_and_what_is_copied_here_is_pasted_elsewhere() {
    let shown = Shown::new();
    let mut before = None;
    let before = wait("a window at rest", || {
        std::thread::sleep(Duration::from_secs(1));
        let now = shown.picture().filter(|now| colours(now) > 50)?;
        let last = before.replace(now.clone());
        (last.as_ref() == Some(&now)).then_some(now)
    });
    wait("the keyboard", || {
        let focus = shown
            .display
            .connection
            .get_input_focus()
            .expect("sent")
            .reply();
        if focus.is_ok_and(|focus| focus.focus == shown.window) {
            return Some(());
        }
        run("xdotool", &["windowfocus", &shown.window.to_string()]);
        None
    });
    let elsewhere = copied_elsewhere("Nobody knew why it burnt");
    press(&["ctrl+v"]);
    wait("the pasted text", || {
        (shown.picture()? != before).then_some(())
    });
    // Nobody owns the clipboard now, until the window does.
    drop(elsewhere);
    press(&["ctrl+End", "space", "d", "o", "w", "n"]);
    wait("the copied text", || {
        press(&["ctrl+a", "ctrl+c"]);
        std::thread::sleep(Duration::from_millis(500));
        (clipboard()? == "Nobody knew why it burnt down").then_some(())
    });
}

#[test]
fn the_program_opens_a_window_lives_and_ends_when_it_is_closed() {
    let mut shown = Shown::new();
    wait("something drawn in it", || {
        (colours(&shown.picture()?) > 50).then_some(())
    });
    std::thread::sleep(LIFE);
    assert!(shown.running.ended().is_none(), "it ended by itself");
    let kept = Path::new(env!("CARGO_TARGET_TMPDIR")).join("real-window.png");
    let picture = shown.picture().expect("a window that is seen");
    picture.save(&kept).expect("room");
    println!("{}", kept.display());
    shown.display.close(shown.window);
    let status = wait("its end", || shown.running.ended());
    assert!(status.success(), "{status}");
    let prefs = shown.home.path().join("data/inscribe/app.ron");
    assert!(prefs.is_file(), "preferences were kept");
}
