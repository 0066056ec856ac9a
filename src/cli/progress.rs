//! Progress on stderr: a bar on a terminal, plain lines elsewhere, nothing when quiet.

use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{HumanDuration, ProgressBar, ProgressState, ProgressStyle};
use inscribe::model::hub::PullEvent;

use super::out::errln;

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
        match &self.bar {
            Some(bar) => bar.suspend(|| errln!("{text}")),
            None => errln!("{text}"),
        }
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
                self.note(&format!("{error}; trying {next} instead"));
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
        bar.enable_steady_tick(Duration::from_millis(200));
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
                    write!(
                        out,
                        "{}",
                        HumanDuration(Duration::from_secs_f64(bytes / speed))
                    )
                } else {
                    write!(out, "?")
                };
            },
        )
}

/// A bar for counted work. It shows on a terminal only, so that pipes stay clean.
pub fn counter(quiet: bool, label: &'static str, total: u64, unit: &str) -> ProgressBar {
    if quiet || !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let template =
        format!("{{msg:>8}} {{bar:32}} {{pos}} of {{len}} {unit}  {{per_sec}}  {{eta}} left");
    let bar = ProgressBar::new(total);
    if let Ok(style) = ProgressStyle::with_template(&template) {
        bar.set_style(style);
    }
    bar.set_message(label);
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
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
    bar.enable_steady_tick(Duration::from_millis(200));
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
