//! The application: once a frame it takes in what the threads report, draws, and carries out what
//! the widgets asked for.

mod commands;
mod jobs;
mod models;
mod open;
mod quit;
mod reports;
mod small;

pub use open::SAMPLE;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use eframe::egui;
use inscribe::model::elsewhere::Places;
use inscribe::model::hub;

use crate::action::Action;
use crate::dialogs::Picker;
use crate::engine::{Engine, FileWork, Outbox};
use crate::screens::{self, Views};
use crate::state::prefs::ThemeChoice;
use crate::state::{Prefs, State};
use crate::theme;

/// The name that preferences are kept under.
const PREFS: &str = "prefs";
/// Time for which a note of success is shown.
const NOTE: Duration = Duration::from_secs(6);
/// Time for which a discarded write can be had back with one click.
const UNDO: Duration = Duration::from_secs(10);
/// Time between two tries to draw what came while a frame was already being drawn.
const FRAME: Duration = Duration::from_millis(33);

/// The least size of the window in points: smaller, and its parts would not fit.
pub const LEAST: [f32; 2] = [960.0, 640.0];

/// How the window starts; tests start it in their own way.
#[derive(Clone, Default)]
pub struct Options {
    /// Where models are kept; the platform's place where `None`.
    pub cache: Option<PathBuf>,
    /// Where memories are kept; the platform's place where `None`.
    pub memories: Option<PathBuf>,
    /// Preferences in place of those that were kept.
    pub prefs: Option<Prefs>,
    /// Answers in place of the system's dialogs.
    pub picker: Option<Picker>,
    /// Where models are fetched from; as the environment says where `None`.
    pub hub: Option<hub::Setup>,
    /// Whether nothing is to move by itself.
    pub still: bool,
    /// Where other programs keep models; as the environment says where `None`.
    pub places: Option<Places>,
    /// A document or memory to open at once.
    pub open: Option<PathBuf>,
}

pub struct InscribeApp {
    pub state: State,
    pub(crate) engine: Engine,
    pub(crate) options: Options,
    pub views: Views,
    actions: Vec<Action>,
    /// Seconds of work of the latest frames, the newest last.
    pub frame_secs: Vec<f32>,
    /// The zoom that the window's least size was set for.
    sized_for: Option<f32>,
    /// Context to wake the window with, for code that is not given one.
    pub(crate) ctx: egui::Context,
}

impl InscribeApp {
    pub fn new(
        context: &eframe::CreationContext<'_>,
        options: Options,
    ) -> std::io::Result<InscribeApp> {
        theme::install(&context.egui_ctx);
        let ctx = context.egui_ctx.clone();
        let hub = options.hub.clone().unwrap_or_else(hub::Setup::from_env);
        let engine = Engine::start(hub, move || ctx.request_repaint_after(FRAME))?;
        let kept = || {
            let text = context.storage?.get_string(PREFS)?;
            Some(Prefs::from_text(&text))
        };
        let prefs = options.prefs.clone().or_else(kept).unwrap_or_default();
        let mut app = InscribeApp {
            state: State {
                prefs,
                still: options.still,
                ..State::default()
            },
            engine,
            options,
            views: Views::default(),
            actions: Vec::new(),
            frame_secs: Vec::new(),
            sized_for: None,
            ctx: context.egui_ctx.clone(),
        };
        app.apply_look(&context.egui_ctx);
        app.survey();
        if let Some(path) = app.options.open.take() {
            app.open_path(path);
        }
        Ok(app)
    }

    /// Sends reports from threads other than the engine's.
    pub fn outbox(&self) -> Outbox {
        self.engine.outbox()
    }

    /// Looks again at which devices, models and stopped writes there are.
    pub fn survey(&self) {
        self.engine.send_file(FileWork::Survey {
            memories: self.memories(),
            cache: self.options.cache.clone(),
            model: self.state.prefs.model.clone(),
            places: self.options.places.clone().unwrap_or_else(Places::from_env),
        });
    }

    /// The folder of memories.
    pub(crate) fn memories(&self) -> PathBuf {
        let chosen = self.options.memories.clone();
        chosen
            .or_else(|| self.state.prefs.memories.clone())
            .unwrap_or_else(default_memories)
    }

    pub(crate) fn apply_look(&self, ctx: &egui::Context) {
        ctx.set_theme(match self.state.prefs.theme {
            ThemeChoice::System => egui::ThemePreference::System,
            ThemeChoice::Light => egui::ThemePreference::Light,
            ThemeChoice::Dark => egui::ThemePreference::Dark,
        });
        if (ctx.zoom_factor() - self.state.prefs.zoom).abs() > 1e-3 {
            ctx.set_zoom_factor(self.state.prefs.zoom);
        }
    }

    fn take_drops(&mut self, ctx: &egui::Context) {
        let (hover, dropped) = ctx.input(|input| {
            let hover = !input.raw.hovered_files.is_empty();
            (hover, input.raw.dropped_files.clone())
        });
        self.state.drop_hover = hover;
        for file in dropped {
            self.open_path(file.path().to_owned());
        }
    }

    fn fade_notes(&mut self, ctx: &egui::Context) {
        let lasts = |most: Duration, since: Instant| {
            let left = most.checked_sub(since.elapsed());
            if let Some(left) = left {
                ctx.request_repaint_after(left);
            }
            left.is_some()
        };
        let state = &mut self.state;
        state.note.take_if(|(_, since)| !lasts(NOTE, *since));
        state.undo.take_if(|undo| !lasts(UNDO, undo.since));
    }

    /// The size may also have been changed by keys, which egui takes itself.
    fn keep_zoom(&mut self, ctx: &egui::Context) {
        let zoom = ctx.zoom_factor();
        self.state.prefs.zoom = zoom.clamp(0.5, 3.0);
        if self.state.prefs.zoom != zoom {
            self.apply_look(ctx);
        }
        if self.sized_for != Some(zoom) {
            self.sized_for = Some(zoom);
            least_size(ctx);
        }
    }

    fn keep_frame_time(&mut self, secs: f32) {
        const KEPT: usize = 4096;
        if self.frame_secs.len() >= KEPT {
            self.frame_secs.drain(..KEPT / 2);
        }
        self.frame_secs.push(secs);
    }
}

/// Keeps the window large enough for what is in it, as far as the screen goes.
fn least_size(ctx: &egui::Context) {
    let (monitor, now) = ctx.input(|input| {
        let viewport = input.viewport();
        (viewport.monitor_size, viewport.inner_rect)
    });
    let Some(monitor) = monitor else {
        return;
    };
    // In points of the zoomed window; some of the screen is taken by bars.
    let least = egui::Vec2::from(LEAST).min(monitor * 0.9);
    ctx.send_viewport_cmd(egui::ViewportCommand::MinInnerSize(least));
    if let Some(now) = now.map(|rect| rect.size())
        && (now.x < least.x || now.y < least.y)
    {
        ctx.send_viewport_cmd(egui::ViewportCommand::InnerSize(now.max(least)));
    }
}

/// Memories are kept with the person's data, under the program's name.
fn default_memories() -> PathBuf {
    use etcetera::BaseStrategy as _;
    match etcetera::base_strategy::choose_native_strategy() {
        Ok(places) => places.data_dir().join("inscribe").join("memories"),
        Err(_) => PathBuf::from("inscribe-memories"),
    }
}

impl eframe::App for InscribeApp {
    fn logic(&mut self, ctx: &egui::Context, _frame: &mut eframe::Frame) {
        while let Some(report) = self.engine.next_report() {
            self.take_in(report);
        }
        self.watch_close(ctx);
        self.fade_notes(ctx);
    }

    fn ui(&mut self, ui: &mut egui::Ui, _frame: &mut eframe::Frame) {
        let started = Instant::now();
        // Here and not in `logic`, which sees the last frame's drops again while nothing is drawn.
        if ui.ctx().current_pass_index() == 0 {
            let ctx = ui.ctx().clone();
            self.take_drops(&ctx);
            self.keep_zoom(&ctx);
        }
        let state = &mut self.state;
        let settings = &state.prefs.settings;
        state
            .preview
            .refresh(&state.run.record, state.run.version, settings);
        screens::show(ui, state, &mut self.views, &mut self.actions);
        let ctx = ui.ctx().clone();
        for action in std::mem::take(&mut self.actions) {
            self.carry_out(action, &ctx);
            // What an action changes is drawn at once.
            ctx.request_repaint();
        }
        self.keep_frame_time(started.elapsed().as_secs_f32());
    }

    fn save(&mut self, storage: &mut dyn eframe::Storage) {
        storage.set_string(PREFS, self.state.prefs.to_text());
    }

    fn on_exit(&mut self) {
        self.close();
    }
}
