//! Keys pressed while a run is shown: `p` or the space bar pauses it and lets it go on.
//!
//! The terminal is set to hand over single keys and not to show them; everything else (Ctrl-C, line
//! ends) stays as it is. It is set back when the watch ends, also by a panic or Ctrl-C.

use std::io::{self, IsTerminal};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

/// Whether the person wants the run to wait.
#[derive(Clone, Default)]
pub struct PauseKey(Arc<AtomicBool>);

impl PauseKey {
    pub fn is_paused(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    fn press(&self, key: char) {
        if matches!(key, 'p' | 'P' | ' ') {
            self.0.fetch_xor(true, Ordering::Relaxed);
        }
    }
}

/// Watches the keys until it is dropped.
pub struct Keys {
    pause: PauseKey,
    ended: Arc<AtomicBool>,
    watcher: Option<JoinHandle<()>>,
}

impl Keys {
    /// `None` where standard input is no terminal, or one whose keys cannot be had.
    pub fn watch() -> Option<Keys> {
        if !io::stdin().is_terminal() {
            return None;
        }
        terminal::begin()?;
        let pause = PauseKey::default();
        let ended = Arc::new(AtomicBool::new(false));
        let (pressed, end) = (pause.clone(), Arc::clone(&ended));
        let watcher = std::thread::Builder::new()
            .name("keys".to_owned())
            .spawn(move || terminal::read_keys(&end, |key| pressed.press(key)));
        match watcher {
            Ok(watcher) => Some(Keys {
                pause,
                ended,
                watcher: Some(watcher),
            }),
            Err(_) => {
                terminal::restore();
                None
            }
        }
    }

    pub fn pause(&self) -> &PauseKey {
        &self.pause
    }
}

impl Drop for Keys {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        if let Some(watcher) = self.watcher.take().filter(|_| terminal::READS_END) {
            // It has nothing to say.
            let _ = watcher.join();
        }
        terminal::restore();
    }
}

/// Sets the terminal back, for an exit that drops nothing.
pub fn restore() {
    terminal::restore();
}

#[cfg(unix)]
mod terminal {
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::sync::{Mutex, PoisonError};
    use std::time::Duration;

    use rustix::io::Errno;
    use rustix::process::getpgrp;
    use rustix::stdio::stdin;
    use rustix::termios::{
        LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcgetpgrp, tcsetattr,
    };

    /// A read gives up after a tenth of a second, so that the watcher can be waited for.
    pub const READS_END: bool = true;
    const TENTHS: u8 = 1;
    /// Time between two looks of a run in the background whether it has the terminal again.
    const AWAY: Duration = Duration::from_millis(200);

    /// The terminal's settings before the watch began.
    static BEFORE: Mutex<Option<Termios>> = Mutex::new(None);

    /// In the background a program that touches the terminal is stopped by the system.
    fn has_terminal() -> bool {
        tcgetpgrp(stdin()).is_ok_and(|group| group == getpgrp())
    }

    pub fn begin() -> Option<()> {
        if !has_terminal() {
            return None;
        }
        let before = tcgetattr(stdin()).ok()?;
        let mut keys = before.clone();
        keys.local_modes
            .remove(LocalModes::ICANON | LocalModes::ECHO);
        keys.special_codes[SpecialCodeIndex::VMIN] = 0;
        keys.special_codes[SpecialCodeIndex::VTIME] = TENTHS;
        let mut kept = BEFORE.lock().unwrap_or_else(PoisonError::into_inner);
        tcsetattr(stdin(), OptionalActions::Now, &keys).ok()?;
        *kept = Some(before);
        Some(())
    }

    pub fn read_keys(ended: &AtomicBool, mut pressed: impl FnMut(char)) {
        let mut keys = [0; 64];
        while !ended.load(Ordering::Relaxed) {
            if !has_terminal() {
                std::thread::sleep(AWAY);
                continue;
            }
            match rustix::io::read(stdin(), &mut keys) {
                // An arrow or a function key, or something pasted.
                Ok(many) if many > 1 => {}
                Ok(read) => keys[..read].iter().for_each(|&key| pressed(key.into())),
                Err(Errno::INTR) => {}
                Err(_) => return,
            }
        }
    }

    pub fn restore() {
        let mut kept = BEFORE.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(before) = kept.take().filter(|_| has_terminal()) {
            // A terminal that is gone needs nothing.
            let _ = tcsetattr(stdin(), OptionalActions::Now, &before);
        }
    }
}

#[cfg(not(unix))]
mod terminal {
    use std::sync::atomic::{AtomicBool, Ordering};

    use console::{Key, Term};

    /// A read waits for a key however long; the program's end ends it.
    pub const READS_END: bool = false;

    pub fn begin() -> Option<()> {
        Some(())
    }

    pub fn read_keys(ended: &AtomicBool, mut pressed: impl FnMut(char)) {
        let term = Term::stderr();
        while let Ok(key) = term.read_key() {
            if ended.load(Ordering::Relaxed) {
                return;
            }
            if let Key::Char(key) = key {
                pressed(key);
            }
        }
    }

    pub fn restore() {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_pause_and_let_go_on() {
        let pause = PauseKey::default();
        for (key, paused) in [
            ('x', false),
            ('p', true),
            ('q', true),
            (' ', false),
            ('P', true),
        ] {
            pause.press(key);
            assert_eq!(pause.is_paused(), paused, "{key}");
        }
    }
}
