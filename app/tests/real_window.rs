//! The program itself on a real display: it opens a window, draws in it, and ends when it is
//! closed. `tests/run` gives it a display of its own.
#![cfg(target_os = "linux")]

use std::path::Path;
use std::process::{Child, Command, ExitStatus};
use std::time::{Duration, Instant};

use image::RgbaImage;
use x11rb::connection::Connection;
use x11rb::protocol::xproto::{
    AtomEnum, ClientMessageEvent, ConnectionExt, EventMask, ImageFormat, Window,
};
use x11rb::rust_connection::RustConnection;

/// How long a window may take to come or to go on a slow machine.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long it has to live.
const LIFE: Duration = Duration::from_secs(5);

struct Display {
    connection: RustConnection,
    root: Window,
}

impl Display {
    fn open() -> Display {
        let (connection, screen) = x11rb::connect(None)
            .expect("an X display: `tests/run` starts one, or set DISPLAY yourself");
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

#[test]
fn the_program_opens_a_window_lives_and_ends_when_it_is_closed() {
    let display = Display::open();
    let home = tempfile::tempdir().expect("a temporary folder");
    let mut running = Running::start(home.path());
    let window = wait("the window", || {
        assert!(running.ended().is_none(), "it ended before its window came");
        display.find("Inscribe")
    });
    wait("something drawn in it", || {
        (colours(&display.picture(window)?) > 50).then_some(())
    });
    std::thread::sleep(LIFE);
    assert!(running.ended().is_none(), "it ended by itself");
    let kept = Path::new(env!("CARGO_TARGET_TMPDIR")).join("real-window.png");
    let picture = display.picture(window).expect("a window that is seen");
    picture.save(&kept).expect("room");
    println!("{}", kept.display());
    display.close(window);
    let status = wait("its end", || running.ended());
    assert!(status.success(), "{status}");
    let prefs = home.path().join("data/inscribe/app.ron");
    assert!(prefs.is_file(), "preferences were kept");
}
