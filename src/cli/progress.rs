//! Progress on stderr: a bar on a terminal, plain lines elsewhere, nothing when quiet.

use std::io::IsTerminal;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressState, ProgressStyle, WeakProgressBar};
use inscribe::model::hub::PullEvent;
use inscribe::words;

use super::out::errln;

/// The bar that is on the screen.
static SHOWN: Mutex<Option<WeakProgressBar>> = Mutex::new(None);

/// Prints something while a bar may be on the screen: it is taken away meanwhile.
pub fn beside_bar<T>(print: impl FnOnce() -> T) -> T {
    let shown = SHOWN.lock().unwrap_or_else(PoisonError::into_inner).clone();
    match shown.and_then(|bar| bar.upgrade()) {
        Some(bar) if !bar.is_finished() => bar.suspend(print),
        _ => print(),
    }
}

/// Puts a bar on the screen.
fn show(bar: &ProgressBar) {
    bar.enable_steady_tick(Duration::from_millis(200));
    *SHOWN.lock().unwrap_or_else(PoisonError::into_inner) = Some(bar.downgrade());
}

/// One piece of work at a time.
pub struct Progress {
    quiet: bool,
    terminal: bool,
    bar: Option<ProgressBar>,
    /// The source that the last note said would be tried.
    announced: Option<String>,
}

const KNOWN_TOTAL: &str =
    "{bar:24} {decimal_bytes} of {decimal_total_bytes}  {speed}  {left} left  {wide_msg}";
const UNKNOWN_TOTAL: &str = "{spinner} {decimal_bytes}  {speed}  {wide_msg}";

impl Progress {
    pub fn new(quiet: bool) -> Self {
        let terminal = std::io::stderr().is_terminal();
        Self {
            quiet,
            terminal,
            bar: None,
            announced: None,
        }
    }

    /// A line for the person, above the bar if there is one.
    pub fn note(&self, text: &str) {
        if self.quiet {
            return;
        }
        errln!("{text}");
    }

    pub fn pull_event(&mut self, event: &PullEvent<'_>) {
        match event {
            PullEvent::Source { name } => {
                if self.announced.as_deref() != Some(*name) {
                    self.note(&format!("Fetching from {name}"));
                }
            }
            PullEvent::SourceFailed { error, next } => {
                self.finish();
                self.note(&format!("{error}; trying {next} instead{}", meant_by(next)));
                self.announced = Some((*next).to_owned());
            }
            PullEvent::Begin { label, done, total } => self.begin_bytes(label, *done, *total),
            PullEvent::Advance { done } => {
                if let Some(bar) = &self.bar {
                    bar.set_position(*done);
                }
            }
            PullEvent::Retry { error, wait } => {
                self.note(&format!(
                    "{error}; trying again in {:.1} s",
                    wait.as_secs_f32()
                ));
            }
            PullEvent::Damaged { label } => {
                self.finish();
                self.note(&format!(
                    "{label} has changed since it was fetched: fetching it anew"
                ));
            }
            PullEvent::WaitingForOther => {
                self.note("Another program is fetching this model: waiting for it (Ctrl-C stops)");
            }
        }
    }

    fn begin_bytes(&mut self, label: &str, done: u64, total: Option<u64>) {
        // The next part of the same work goes on with the same bar.
        if let Some(bar) = &self.bar
            && (bar.length(), bar.position()) == (total, done)
            && done > 0
        {
            bar.set_message(label.to_owned());
            return;
        }
        self.finish();
        if self.quiet {
            return;
        }
        if !self.terminal {
            let of = total.map(|t| format!(" ({})", size(t))).unwrap_or_default();
            let from = if done > 0 {
                format!(", from {} on", size(done))
            } else {
                String::new()
            };
            errln!("{label}{of}{from}");
            return;
        }
        let bar = match total {
            Some(total) => ProgressBar::new(total),
            None => ProgressBar::new_spinner(),
        };
        let template = if total.is_some() {
            KNOWN_TOTAL
        } else {
            UNKNOWN_TOTAL
        };
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(with_speed(style, done));
        }
        bar.set_position(done);
        bar.set_message(label.to_owned());
        show(&bar);
        self.bar = Some(bar);
    }

    /// Takes the bar away.
    pub fn finish(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.finish();
    }
}

/// Speed and time left from what came in this run: what an earlier run left counts for neither.
fn with_speed(style: ProgressStyle, start: u64) -> ProgressStyle {
    let speed = move |state: &ProgressState| {
        let seconds = state.elapsed().as_secs_f64().max(0.001);
        state.pos().saturating_sub(start) as f64 / seconds
    };
    style
        .with_key(
            "speed",
            move |state: &ProgressState, out: &mut dyn std::fmt::Write| {
                // A bar that cannot be written has nowhere to say so.
                let _ = write!(out, "{}/s", size(speed(state) as u64));
            },
        )
        .with_key(
            "left",
            move |state: &ProgressState, out: &mut dyn std::fmt::Write| {
                let bytes = state.len().unwrap_or(0).saturating_sub(state.pos()) as f64;
                let speed = speed(state);
                let _ = if speed >= 1.0 {
                    write!(out, "{}", words::duration(bytes / speed))
                } else {
                    write!(out, "?")
                };
            },
        )
}

/// What a person may wonder about a source.
fn meant_by(source: &str) -> &'static str {
    if source.contains("ackage") {
        " (they carry the same file; nothing of them is installed or run)"
    } else {
        ""
    }
}

/// The least and the most columns of a bar, and those of what stands beside it.
const BAR: (usize, usize) = (4, 32);
const BESIDE_BAR: usize = 60;

/// A bar for counted work, of bytes where the unit says so. It shows on a terminal only, so that pipes
/// stay clean.
pub fn counter(quiet: bool, label: &'static str, total: u64, unit: &'static str) -> ProgressBar {
    if quiet || !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let columns = console::Term::stderr().size_checked();
    let columns = columns.map_or(80, |(_, columns)| usize::from(columns));
    let room = columns.saturating_sub(BESIDE_BAR + label.len());
    let template = format!(
        "{{msg:>8}} {{bar:{}}} {{amount}}  {{pace}}  {{rest}}",
        room.clamp(BAR.0, BAR.1)
    );
    let bar = ProgressBar::new(total);
    if let Ok(style) = ProgressStyle::with_template(&template) {
        bar.set_style(with_amounts(style, unit));
    }
    bar.set_message(label);
    show(&bar);
    bar
}

/// `512 of 5,089 tokens`, `860/s` and `5 s left`.
fn with_amounts(style: ProgressStyle, unit: &'static str) -> ProgressStyle {
    let bytes = unit == "bytes";
    let told = move |value: u64| match (bytes, usize::try_from(value)) {
        (false, Ok(value)) => words::count(value),
        _ => size(value),
    };
    let amount = move |state: &ProgressState, out: &mut dyn std::fmt::Write| {
        // A bar that cannot be written has nowhere to say so.
        let _ = write!(
            out,
            "{}",
            amount_words(state.pos(), state.len().unwrap_or(0), unit)
        );
    };
    let pace = move |state: &ProgressState, out: &mut dyn std::fmt::Write| {
        let rate = state.per_sec();
        let _ = match rate {
            _ if !rate.is_finite() || rate <= 0.0 => Ok(()),
            _ if rate < 10.0 && !bytes => write!(out, "{}/s", words::number(rate)),
            _ => write!(out, "{}/s", told(rate.round() as u64)),
        };
    };
    let rest = |state: &ProgressState, out: &mut dyn std::fmt::Write| {
        let secs = state.eta().as_secs_f64();
        if state.pos() > 0 && secs >= 1.0 {
            let _ = write!(out, "{} left", words::rough_duration(secs));
        }
    };
    style
        .with_key("amount", amount)
        .with_key("pace", pace)
        .with_key("rest", rest)
}

/// `512 of 5,089 tokens`, `6.8 of 51.2 MB`.
fn amount_words(done: u64, total: u64, unit: &str) -> String {
    if unit == "bytes" {
        let (of, name) = in_units(total);
        return format!("{:.1} of {:.1} {name}", done as f64 / of, total as f64 / of);
    }
    let count =
        |value: u64| usize::try_from(value).map_or_else(|_| value.to_string(), words::count);
    format!("{} of {} {unit}", count(done), count(total))
        .trim_end()
        .to_owned()
}

fn in_units(bytes: u64) -> (f64, &'static str) {
    match bytes {
        0..1_000 => (1.0, "B"),
        1_000..1_000_000 => (1e3, "kB"),
        1_000_000..1_000_000_000 => (1e6, "MB"),
        _ => (1e9, "GB"),
    }
}

/// A turning sign with a label. It shows on a terminal only.
pub fn spinner(quiet: bool, label: String) -> ProgressBar {
    if quiet || !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new_spinner();
    if let Ok(style) = ProgressStyle::with_template("{spinner} {wide_msg} {elapsed}") {
        bar.set_style(style);
    }
    bar.set_message(label);
    show(&bar);
    bar
}

/// Bytes in the units that files are listed in: `98.4 MB`.
pub fn size(bytes: u64) -> String {
    match bytes {
        0..1_000 => format!("{bytes} B"),
        1_000..1_000_000 => format!("{:.1} kB", bytes as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1} MB", bytes as f64 / 1e6),
        _ => format!("{:.2} GB", bytes as f64 / 1e9),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_told_as_people_read_them() {
        assert_eq!(amount_words(512, 5089, "tokens"), "512 of 5,089 tokens");
        let bytes = amount_words(6_750_690, 51_208_855, "bytes");
        assert_eq!(bytes, "6.8 of 51.2 MB");
        assert_eq!(amount_words(0, 900, "bytes"), "0.0 of 900.0 B");
        assert_eq!(amount_words(1, 4, ""), "1 of 4");
    }

    #[test]
    fn a_counter_fits_eighty_columns() {
        let label = "reading the document";
        let bar = 80_usize
            .saturating_sub(BESIDE_BAR + label.len())
            .clamp(BAR.0, BAR.1);
        let amount = amount_words(123_456, 1_234_567, "tokens");
        let line = format!(
            "{label} {} {amount}  12,345/s  {} left",
            "#".repeat(bar),
            words::rough_duration(750.0)
        );
        assert!(line.len() <= 80, "{} {line}", line.len());
    }
}
