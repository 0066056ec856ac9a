//! Printing that a closed pipe or a full disk cannot turn into a panic.

use std::borrow::Cow;
use std::fmt::Arguments;
use std::io::{self, ErrorKind, IsTerminal, Write};
use std::sync::atomic::{AtomicBool, Ordering};

use console::Term;

use super::columns::wrapped;
use super::progress::beside_bar;
use inscribe::words;

/// A line of results on standard output.
macro_rules! outln {
    ($($arg:tt)*) => { $crate::cli::out::result(format_args!("{}\n", format_args!($($arg)*))) };
}

/// A line for the person on standard error.
macro_rules! errln {
    ($($arg:tt)*) => { $crate::cli::out::remark(format_args!("{}\n", format_args!($($arg)*))) };
}

pub(crate) use {errln, outln};

/// Whether what was printed last did not end its line.
static IN_LINE: AtomicBool = AtomicBool::new(false);

/// A text that a model or a document wrote, as standard output takes it: a terminal would follow the
/// orders in it, another program gets it as it is.
pub fn stranger(text: &str) -> Cow<'_, str> {
    if io::stdout().is_terminal() {
        words::shown_text(text)
    } else {
        text.into()
    }
}

/// Prints a piece of a model's text that comes bit by bit.
pub fn piece(text: &str) {
    let text = stranger(text);
    result(format_args!("{text}"));
    if !text.is_empty() {
        IN_LINE.store(!text.ends_with('\n'), Ordering::Relaxed);
    }
}

/// Ends a line that an error would else go on with.
pub fn end_line() {
    if IN_LINE.load(Ordering::Relaxed) {
        result(format_args!("\n"));
    }
}

/// Prints results at once. Where nobody reads any more (`| head`), the program ends quietly; a
/// result that cannot be written ends it with an error.
pub fn result(text: Arguments<'_>) {
    IN_LINE.store(false, Ordering::Relaxed);
    let printed = beside_bar(|| {
        let mut out = io::stdout().lock();
        out.write_fmt(text).and_then(|()| out.flush())
    });
    if let Err(error) = printed {
        super::keys::restore();
        if error.kind() == ErrorKind::BrokenPipe {
            std::process::exit(0);
        }
        errln!("error: the output cannot be written: {error}");
        std::process::exit(1);
    }
}

/// Prints a remark for a person, broken at words where a terminal would break it anywhere.
pub fn note(text: &str) {
    if !io::stderr().is_terminal() {
        errln!("{text}");
        return;
    }
    let columns = Term::stderr()
        .size_checked()
        .map_or(80, |(_, columns)| usize::from(columns));
    for line in text.lines() {
        for line in wrapped(line, columns) {
            errln!("{line}");
        }
    }
}

/// Prints a remark. One that cannot be written is lost: the results matter, not the remark.
pub fn remark(text: Arguments<'_>) {
    let _ = beside_bar(|| io::stderr().lock().write_fmt(text));
}
