//! Progress on stderr: a bar on a terminal, plain lines elsewhere, nothing when quiet.

use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use inscribe::model::hub::PullEvent;

/// One piece of work at a time.
pub struct Progress {
    quiet: bool,
    terminal: bool,
    bar: Option<ProgressBar>,
}

const BYTES: &str = "{msg}\n  {bar:32} {bytes} of {total_bytes}  {bytes_per_sec}  {eta} left";
const BYTES_UNKNOWN: &str = "{msg}\n  {spinner} {bytes}  {bytes_per_sec}";

impl Progress {
    pub fn new(quiet: bool) -> Self {
        Self {
            quiet,
            terminal: std::io::stderr().is_terminal(),
            bar: None,
        }
    }

    /// A line for the person, above the bar if there is one.
    pub fn note(&self, text: &str) {
        if self.quiet {
            return;
        }
        match &self.bar {
            Some(bar) => bar.suspend(|| eprintln!("{text}")),
            None => eprintln!("{text}"),
        }
    }

    pub fn pull_event(&mut self, event: &PullEvent<'_>) {
        match event {
            PullEvent::Source { name } => self.note(&format!("Source: {name}")),
            PullEvent::SourceFailed { error, next } => {
                self.finish();
                self.note(&format!("{error}; trying {next} instead"));
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
            PullEvent::WaitingForOther => {
                self.note("Another program is fetching this model: waiting for it (Ctrl-C stops)");
            }
        }
    }

    fn begin_bytes(&mut self, label: &str, done: u64, total: Option<u64>) {
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
            eprintln!("{label}{of}{from}");
            return;
        }
        let (bar, template) = match total {
            Some(total) => (ProgressBar::new(total), BYTES),
            None => (ProgressBar::new_spinner(), BYTES_UNKNOWN),
        };
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        bar.set_message(label.to_owned());
        // The bytes of an earlier run tell nothing of this run's speed.
        let bar = bar.with_position(done);
        bar.reset_eta();
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

/// Bytes in the units that files are listed in: `98.4 MB`.
pub fn size(bytes: u64) -> String {
    match bytes {
        0..1_000 => format!("{bytes} B"),
        1_000..1_000_000 => format!("{:.1} kB", bytes as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1} MB", bytes as f64 / 1e6),
        _ => format!("{:.2} GB", bytes as f64 / 1e9),
    }
}
