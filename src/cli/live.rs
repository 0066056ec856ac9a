//! A run as it goes, on standard error: a view that is drawn again in place on a terminal, plain
//! lines elsewhere.
//!
//! The cursor is never hidden and every drawing is one write that leaves it below the view, so
//! that there is nothing to restore however the program ends.

use std::io::{self, IsTerminal, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::Result;
use console::Term;
use inscribe::write::event::{Event, Phase};
use inscribe::write::figure::FigureError;
use inscribe::write::record::{RunRecord, Status};

use super::Context;
use super::chunks::{self, Steps};
use super::keys::{Keys, PauseKey};
use super::out::{self, errln, outln};
use super::terminal::{self, Look};

mod frame;
mod lines;
#[cfg(test)]
mod tests;

use frame::Clock;

/// Time between two drawings; events in between are drawn together.
const REDRAW: Duration = Duration::from_millis(80);
/// How often a view that hears nothing looks at the clock and at the terminal's size.
const IDLE: Duration = Duration::from_millis(500);

/// Shows a run. Feed it every event; it ends its view when it is dropped.
pub struct Live {
    mode: Mode,
}

enum Mode {
    Quiet,
    Lines(Box<lines::Lines>),
    View {
        shared: Arc<Shared>,
        ticker: Option<JoinHandle<()>>,
    },
}

struct Shared {
    view: Mutex<ViewState>,
    stop: Condvar,
}

struct ViewState {
    record: RunRecord,
    clock: Clock,
    /// Widths of the lines that are on the screen.
    drawn: Vec<usize>,
    last_drawn: Option<Instant>,
    /// Whether something has come that is not on the screen yet.
    stale: bool,
    ended: bool,
    /// The key that pauses, where there is one.
    pause: Option<PauseKey>,
}

impl Live {
    pub fn new(app: &Context) -> Live {
        let dumb = std::env::var("TERM").is_ok_and(|term| term == "dumb");
        let mode = match (app.global.quiet, io::stderr().is_terminal() && !dumb) {
            (true, _) => Mode::Quiet,
            (false, false) => Mode::Lines(Box::default()),
            (false, true) => view(),
        };
        Live { mode }
    }

    pub fn event(&mut self, event: &Event) {
        match &mut self.mode {
            Mode::Quiet => {}
            Mode::Lines(lines) => {
                for line in lines.event(event) {
                    errln!("{line}");
                }
            }
            Mode::View { shared, .. } => {
                let mut view = lock(&shared.view);
                view.clock.event(event, Instant::now());
                view.record.fold(event);
                view.stale = true;
                if view.last_drawn.is_none_or(|at| at.elapsed() >= REDRAW) {
                    view.draw();
                }
            }
        }
    }

    /// Shows which key pauses the run. `None` where nobody sees the view.
    pub fn watch_keys(&mut self) -> Option<Keys> {
        let Mode::View { shared, .. } = &self.mode else {
            return None;
        };
        let keys = Keys::watch()?;
        lock(&shared.view).pause = Some(keys.pause().clone());
        Some(keys)
    }

    /// Shows how many seconds the whole run is expected to take.
    pub fn expect(&self, seconds: f64) {
        if let Mode::View { shared, .. } = &self.mode {
            lock(&shared.view).clock.expected = Some(seconds);
        }
    }

    /// Whether there is no view that shows what goes on all the time.
    pub fn is_lines(&self) -> bool {
        matches!(self.mode, Mode::Lines(_))
    }

    /// A line for the person, above the view.
    pub fn note(&self, text: &str) {
        match &self.mode {
            Mode::Quiet => {}
            Mode::Lines(_) => errln!("{text}"),
            Mode::View { shared, .. } => {
                let mut view = lock(&shared.view);
                view.clear();
                out::note(text);
                view.draw();
            }
        }
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        let Mode::View { shared, ticker } = &mut self.mode else {
            return;
        };
        lock(&shared.view).ended = true;
        shared.stop.notify_all();
        if let Some(ticker) = ticker.take() {
            // It panics only where drawing does; the run is more than its view.
            let _ = ticker.join();
        }
        lock(&shared.view).draw();
    }
}

fn view() -> Mode {
    let shared = Arc::new(Shared {
        view: Mutex::new(ViewState {
            record: RunRecord::default(),
            clock: Clock::new(Instant::now()),
            drawn: Vec::new(),
            last_drawn: None,
            stale: false,
            ended: false,
            pause: None,
        }),
        stop: Condvar::new(),
    });
    let ticking = Arc::clone(&shared);
    // Without it the view still follows its events.
    let ticker = std::thread::Builder::new()
        .name("live view".to_owned())
        .spawn(move || tick(&ticking))
        .ok();
    Mode::View { shared, ticker }
}

fn lock(view: &Mutex<ViewState>) -> MutexGuard<'_, ViewState> {
    view.lock().unwrap_or_else(PoisonError::into_inner)
}

fn tick(shared: &Shared) {
    let mut view = lock(&shared.view);
    while !view.ended {
        let wait = if view.stale { REDRAW } else { IDLE };
        let waited = shared.stop.wait_timeout(view, wait);
        view = waited.unwrap_or_else(PoisonError::into_inner).0;
        if !view.ended && !view.drawn.is_empty() {
            view.draw();
        }
    }
}

impl ViewState {
    fn draw(&mut self) {
        let look = Look::of_stderr();
        let rows = Term::stderr()
            .size_checked()
            .map_or(24, |(rows, _)| usize::from(rows));
        let mut lines = frame::lines(&self.record, &self.clock, &look, rows.saturating_sub(1));
        if let (Some(pause), Some(last), false) = (&self.pause, lines.last_mut(), self.ended) {
            let hint = pause_hint(pause.is_paused(), &self.record);
            *last = with_hint(last, hint, &look);
        }
        let mut out = self.back_to_top(look.columns);
        for line in &lines {
            out += line;
            // To the end of the line, so that nothing of an older one is left.
            out += "\x1b[K\r\n";
        }
        out += "\x1b[J\x1b[?2026l";
        write_all(&out);
        self.drawn = lines
            .iter()
            .map(|line| console::measure_text_width(line))
            .collect();
        self.last_drawn = Some(Instant::now());
        self.stale = false;
    }

    fn clear(&mut self) {
        let columns = Look::of_stderr().columns;
        write_all(&(self.back_to_top(columns) + "\x1b[J\x1b[?2026l"));
        self.drawn.clear();
    }

    /// Moves to where the view began. A terminal that has become narrower has broken its lines.
    fn back_to_top(&self, columns: usize) -> String {
        let broken = self
            .drawn
            .iter()
            .map(|width| width.div_ceil(columns).max(1));
        let rows: usize = broken.sum();
        // Terminals that know of synchronised updates show the drawing at once.
        match rows {
            0 => "\x1b[?2026h\r".to_owned(),
            rows => format!("\x1b[?2026h\r\x1b[{rows}A"),
        }
    }
}

/// What the key does now, or what it did.
fn pause_hint(paused: bool, run: &RunRecord) -> &'static str {
    let phase = run.progress.map(|progress| progress.phase);
    let reads = matches!(phase, None | Some(Phase::Prefill | Phase::Local));
    match (paused, run.status) {
        (_, Status::Done) => "",
        (true, Status::Paused) => "p goes on",
        (false, _) if reads => "p pauses before the steps",
        (true, _) if reads => "pauses once all is read",
        (false, _) => "p pauses",
        (true, _) => "pauses at the next step",
    }
}

/// A line with a hint at its end, where there is room for it.
fn with_hint(line: &str, hint: &str, look: &Look) -> String {
    let more = format!("  {}  {hint}", look.dot());
    let width = console::measure_text_width(line) + console::measure_text_width(&more);
    if hint.is_empty() || width > look.columns {
        line.to_owned()
    } else {
        format!("{line}{}", look.paint(&more, terminal::MUTED))
    }
}

/// A view that cannot be written is lost: the run matters, not its view.
fn write_all(text: &str) {
    let mut err = io::stderr().lock();
    let _ = err.write_all(text.as_bytes()).and_then(|()| err.flush());
}

/// The whole record on standard output.
pub fn print_record(record: &RunRecord) -> Result<()> {
    let look = Look::of_stdout();
    let mut clock = Clock::new(Instant::now());
    clock.stop();
    if record.is_empty() {
        return Err(FigureError::NothingYet.into());
    }
    for line in frame::lines(record, &clock, &look, usize::MAX) {
        outln!("{}", line.trim_end());
    }
    let table = chunks::table(record, Steps::Taken);
    for line in std::iter::once(String::new()).chain(table.lines(&look)) {
        outln!("{line}");
    }
    Ok(())
}

/// Feeds back the events of a run, each after the time it took, divided by `speed`.
pub fn replay(events: &[Event], speed: f64, app: &Context) -> Result<()> {
    let mut live = Live::new(app);
    live.note(&format!("A run replayed at {speed} times its speed"));
    for event in events {
        let (phase, total, seconds) = took(event);
        // Events of a phase come at its end: show it on its way there.
        let parts = (seconds / speed / 0.1).ceil().clamp(1.0, 600.0) as usize;
        for part in 0..parts {
            if app.cancel.is_cancelled() {
                return Err(inscribe::engine::EngineError::Cancelled.into());
            }
            if let Some(phase) = phase {
                live.event(&Event::Progress {
                    phase,
                    done: total * part / parts,
                    total,
                });
            }
            let pause = seconds / speed / parts as f64;
            std::thread::sleep(Duration::try_from_secs_f64(pause).unwrap_or_default());
        }
        live.event(event);
    }
    Ok(())
}

/// The phase that an event ends, its size, and its seconds.
fn took(event: &Event) -> (Option<Phase>, usize, f64) {
    let (phase, total, seconds) = match event {
        Event::Prefilled {
            tokens, seconds, ..
        } => (Some(Phase::Prefill), *tokens, *seconds),
        Event::LocallyRead {
            surprisal, seconds, ..
        } => (Some(Phase::Local), surprisal.len(), *seconds),
        Event::Evaluated(evaluated) => (
            Some(Phase::Evaluate),
            evaluated.losses.len(),
            evaluated.seconds,
        ),
        Event::Step(step) => (None, 0, step.seconds),
        _ => (None, 0, 0.0),
    };
    let seconds = if seconds.is_finite() {
        seconds.max(0.0)
    } else {
        0.0
    };
    (phase, total, seconds)
}
