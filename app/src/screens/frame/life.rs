//! A sign of life on the screens that have no bar of progress: a ring that fills, and a number.

use eframe::egui::{Color32, Pos2, Role, Sense, Shape, Stroke, TextStyle, Ui, WidgetInfo, vec2};
use inscribe::write::event::Phase;

use crate::action::Action;
use crate::state::{ModelState, Pause, State, Task};
use crate::theme::{Theme, space};
use crate::vocabulary::Screen;

/// What goes on elsewhere.
#[derive(Clone, Debug, PartialEq)]
pub struct Life {
    /// How much of it is done; `None` where that is not known.
    pub part: Option<f32>,
    /// The number beside the ring.
    pub short: String,
    pub words: String,
    /// Where it is shown in full.
    pub screen: Screen,
}

/// What goes on that the screen in front does not show.
pub fn of(state: &State) -> Option<Life> {
    let job = state.current_job()?;
    let screen = match job.task {
        Task::Ask | Task::Score(_) => Screen::Ask,
        Task::Train => Screen::Learn,
        _ => Screen::Write,
    };
    if state.screen == screen || job.orphaned || !state.can_show(screen) {
        return None;
    }
    let (part, short, words) = match job.task {
        Task::Measure | Task::Write => of_run(state),
        Task::Ask | Task::Score(_) => (None, String::new(), "Answering".to_owned()),
        Task::Train => {
            let run = state.train.run.as_ref();
            let part = run.map(|run| run.part());
            let percent = part.map(percent).unwrap_or_default();
            (part, percent, "Training a model".to_owned())
        }
        Task::Export => (None, String::new(), "Exporting".to_owned()),
        Task::Load | Task::Tokenize | Task::Bench => {
            let part = loaded(&state.model);
            let percent = part.map(percent).unwrap_or_default();
            (part, percent, "Loading the model".to_owned())
        }
    };
    Some(Life {
        part,
        short,
        words,
        screen,
    })
}

/// How far the run is: its part, a short number, and words.
pub fn of_run(state: &State) -> (Option<f32>, String, String) {
    let record = &state.run.record;
    let (done, of) = (record.steps.len(), record.steps_to_take());
    let steps = || (done as f32 / of.max(1) as f32, format!("{done}/{of}"));
    if state.pause == Pause::Reached {
        let (part, short) = steps();
        return (
            Some(part),
            short,
            format!("Paused after step {done} of {of}"),
        );
    }
    let Some(now) = record.progress else {
        return (None, String::new(), "Beginning".to_owned());
    };
    let part = now.done as f32 / now.total.max(1) as f32;
    let words = match now.phase {
        Phase::Steps => {
            let (part, short) = steps();
            return (Some(part), short, format!("Learning: step {done} of {of}"));
        }
        Phase::Prefill | Phase::Local => "Reading",
        Phase::Evaluate => "Measuring what was learned",
        Phase::Save => return (None, String::new(), "Saving".to_owned()),
    };
    let short = percent(part);
    let words = format!("{words}: {short}");
    (Some(part), short, words)
}

fn loaded(model: &ModelState) -> Option<f32> {
    match model {
        ModelState::Loading { done, total } => Some(*done as f32 / (*total).max(1) as f32),
        ModelState::Fetching(fetch) => {
            let total = fetch.total?.max(1);
            Some(fetch.done as f32 / total as f32)
        }
        _ => None,
    }
}

fn percent(part: f32) -> String {
    format!("{} %", (part.clamp(0.0, 1.0) * 100.0).round())
}

const RADIUS: f32 = 7.0;

pub fn show(ui: &mut Ui, state: &State, actions: &mut Vec<Action>) {
    let Some(life) = of(state) else {
        return;
    };
    let p = Theme::of(ui).palette;
    let font = TextStyle::Small.resolve(ui.style());
    let words = ui.painter().layout_no_wrap(life.short, font, p.ink);
    let size = vec2(
        2.0 * RADIUS + words.size().x + space::S + 2.0 * space::XS,
        28.0,
    );
    let (rect, response) = ui.allocate_exact_size(size, Sense::click());
    response.widget_info(|| WidgetInfo::labeled(Role::Button, true, &life.words));
    let centre = rect.left_center() + vec2(RADIUS + space::XS, 0.0);
    let painter = ui.painter();
    painter.circle_stroke(centre, RADIUS, Stroke::new(3.0, p.trough));
    let (from, part) = match life.part {
        Some(part) => (0.0, part),
        None => {
            ui.ctx().request_repaint_after_secs(0.05);
            (ui.input(|input| input.time * 0.5).fract() as f32, 0.25)
        }
    };
    painter.add(arc(centre, from, part, p.accent));
    let at = centre + vec2(RADIUS + space::XS, -words.size().y / 2.0);
    painter.galley(at, words, p.ink);
    let hover = format!("{}. Click to see it.", life.words);
    if response.on_hover_text(hover).clicked() {
        actions.push(Action::Show(life.screen));
    }
}

/// A part of the ring, clockwise from a place on it; 0 is the top.
fn arc(centre: Pos2, from: f32, part: f32, colour: Color32) -> Shape {
    const POINTS: usize = 48;
    let points = (0..=POINTS).map(|at| {
        let turn = from + part.clamp(0.0, 1.0) * at as f32 / POINTS as f32;
        let (sin, cos) = (turn * std::f32::consts::TAU).sin_cos();
        centre + RADIUS * vec2(sin, -cos)
    });
    Shape::line(points.collect(), Stroke::new(3.0, colour))
}
