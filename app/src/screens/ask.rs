//! Questions to the memory: answers as they are written, side by side where that is wished, and
//! how likely each of their tokens is with the memory, with the document, and with neither.

mod question;
mod tokens;

use eframe::egui::{
    self, Align, CornerRadius, Frame, Id, Layout, Margin, Panel, Role, ScrollArea, Sense, Stroke,
    Ui, WidgetInfo, vec2,
};
use inscribe::memory::store::Asked;
use inscribe::model::generate::Ended;
use inscribe::words::{count, counted};
use inscribe::write::reader::View;

use crate::action::Action;
use crate::engine::Answered;
use crate::state::State;
use crate::state::ask::{Turn, VIEWS, view_name};
use crate::theme::{Theme, card, centred_row, column, empty, primary_button, space, text};
use crate::vocabulary::{PendingOpen, Screen};

use super::frame::of_run;
use super::transport::as_it_is;

/// Lines of text are no wider.
const WIDTH: f32 = 1120.0;

pub fn show(ui: &mut Ui, state: &mut State, actions: &mut Vec<Action>) {
    if !state.memory_written {
        return nothing_to_ask(ui, state, actions);
    }
    let frame = Frame::new().inner_margin(Margin {
        top: space::M as i8,
        ..Margin::ZERO
    });
    Panel::bottom("question")
        .frame(frame)
        .show_separator_line(false)
        .show(ui, |ui| {
            column(ui, WIDTH, |ui| question::show(ui, state, actions));
        });
    // The answers keep to the edges of the field, whether they scroll or not.
    ui.spacing_mut().scroll = egui::style::ScrollStyle {
        floating_allocated_width: 0.0,
        ..egui::style::ScrollStyle::thin()
    };
    ScrollArea::vertical()
        .auto_shrink([false, false])
        .stick_to_bottom(true)
        .show(ui, |ui| column(ui, WIDTH, |ui| turns(ui, state, actions)));
}

/// What is missing for a question, and the way to it.
fn nothing_to_ask(ui: &mut Ui, state: &State, actions: &mut Vec<Action>) {
    let record = &state.run.record;
    if state.is_running() {
        let (part, _, words) = of_run(state);
        empty(
            ui,
            "The memory is not ready yet",
            &format!("{words}. Questions can be asked once it is written."),
        );
        ui.vertical_centered(|ui| {
            let bar = egui::ProgressBar::new(part.unwrap_or(0.0));
            let bar = ui.add(bar.desired_width(320.0).desired_height(6.0));
            bar.widget_info(|| WidgetInfo::labeled(Role::ProgressIndicator, true, &words));
            ui.add_space(space::L);
            if ui.button("Watch it").clicked() {
                actions.push(Action::Show(Screen::Write));
            }
        });
        return;
    }
    let stopped = !record.steps.is_empty() && !state.run.is_done();
    if let Some(folder) = state.memory.clone().filter(|_| stopped) {
        let (done, of) = (record.steps.len(), record.steps_to_take());
        empty(
            ui,
            &format!("The write was stopped after {done} of {of} steps"),
            "What it learned so far can be asked, or it can go on first.",
        );
        return centred_row(ui, "stopped", |ui| {
            as_it_is(ui, folder.clone(), actions);
            if primary_button(ui, "Go on").clicked() {
                actions.push(Action::Open(PendingOpen::Unfinished(folder)));
            }
        });
    }
    empty(
        ui,
        "There is no memory to ask yet",
        "Write the document into a memory first, then ask here.",
    );
    ui.vertical_centered(|ui| {
        if primary_button(ui, "Go and write").clicked() {
            actions.push(Action::Show(Screen::Write));
        }
    });
}

fn turns(ui: &mut Ui, state: &mut State, actions: &mut Vec<Action>) {
    if state.ask.is_empty() {
        empty(
            ui,
            "Ask something",
            "The answer comes from the memory that was just written; nothing leaves this computer.",
        );
        return question::first(ui, state, actions);
    }
    let ask = &mut state.ask;
    for asked in &ask.history {
        earlier(ui, asked);
    }
    let mut picked = ask.picked;
    for (index, turn) in ask.turns.iter().enumerate() {
        show_turn(ui, index, turn, ask.reading, &mut picked, actions);
    }
    ask.picked = picked;
}

/// A question of another day, with what the memory answered.
fn earlier(ui: &mut Ui, asked: &Asked) {
    ui.label(text::strong(&asked.question));
    card(ui, |ui| {
        let more = if asked.cut { " …" } else { "" };
        ui.label(format!("{}{more}", asked.answer));
        let likely = asked.log_prob.map(likely_words);
        let likely = likely.unwrap_or_default();
        ui.label(text::caption(format!(
            "{likely}{:.1} s  ·  asked before",
            asked.seconds
        )));
    });
    ui.add_space(space::M);
}

type Picked = Option<(usize, usize, usize)>;

fn show_turn(
    ui: &mut Ui,
    index: usize,
    turn: &Turn,
    reading: Option<(usize, usize)>,
    picked: &mut Picked,
    actions: &mut Vec<Action>,
) {
    ui.label(text::heading(&turn.question));
    let columns = turn.views.len().max(1);
    let gap = space::M;
    let width = (ui.available_width() - gap * (columns as f32 - 1.0)) / columns as f32;
    // Cards of a row are as tall as the tallest of them was in the frame before.
    let id = Id::unique(("answers", index));
    let before: f32 = ui.data(|data| data.get_temp(id)).unwrap_or(0.0);
    let mut tallest = 0.0f32;
    ui.horizontal_top(|ui| {
        ui.spacing_mut().item_spacing.x = gap;
        for (column, &view) in turn.views.iter().enumerate() {
            ui.allocate_ui_with_layout(vec2(width, 0.0), Layout::top_down(Align::Min), |ui| {
                ui.set_width(width);
                card(ui, |ui| {
                    ui.label(text::strong_small(view_name(view)));
                    match turn.answers.get(column) {
                        Some(answer) => {
                            let at = (index, column);
                            given(ui, at, answer, turn, picked, actions);
                        }
                        None => coming(ui, view, turn, reading),
                    }
                    let own = ui.min_rect().height();
                    tallest = tallest.max(own);
                    ui.add_space((before - own).max(0.0));
                });
            });
        }
    });
    if (tallest - before).abs() > 0.5 {
        ui.data_mut(|data| data.insert_temp(id, tallest));
        ui.ctx()
            .request_discard("answers stand in cards of one height");
    }
    if let Some((turn_of, answer, token)) = *picked
        && turn_of == index
        && let Some(answered) = turn.answers.get(answer)
    {
        token_detail(ui, turn, answer, answered, token);
    }
    ui.add_space(space::L);
}

/// What there is of an answer that is not whole yet.
fn coming(ui: &mut Ui, view: View, turn: &Turn, reading: Option<(usize, usize)>) {
    match &turn.streaming {
        Some((of, words)) if *of == view && !words.is_empty() => {
            let label = ui.label(words);
            label.widget_info(|| WidgetInfo::labeled(Role::Label, true, words));
        }
        Some((of, _)) if *of == view => {
            ui.label(text::muted(match reading {
                Some((done, of)) => format!(
                    "Reading the document first: {} of {} tokens",
                    count(done),
                    count(of)
                ),
                None => "Thinking…".to_owned(),
            }));
        }
        _ if turn.ended => {
            ui.label(text::muted("No answer"));
        }
        _ => {
            ui.label(text::muted("Waits for its turn"));
        }
    }
}

/// An answer with the numbers beneath it.
fn given(
    ui: &mut Ui,
    (turn_index, column): (usize, usize),
    answer: &Answered,
    turn: &Turn,
    picked: &mut Picked,
    actions: &mut Vec<Action>,
) {
    let own = picked.filter(|(turn, answer, _)| (*turn, *answer) == (turn_index, column));
    let id = Id::unique(("answer", turn_index, column));
    if let Some(token) = tokens::show(ui, id, answer, own.map(|(_, _, token)| token)) {
        *picked = Some((turn_index, column, token));
        if !turn.scores.contains_key(&column) {
            actions.push(Action::Score {
                turn: turn_index,
                answer: column,
            });
        }
    }
    let mean = inscribe::write::statistics::mean(&answer.logprobs);
    let likely = mean.map(likely_words).unwrap_or_default();
    let facts = format!(
        "{likely}{}  ·  {:.1} s",
        counted(answer.ids.len(), "token"),
        answer.seconds
    );
    let p = Theme::of(ui).palette;
    if let Some(words) = ended_words(answer) {
        ui.label(text::caption(words).color(p.warning));
    }
    ui.label(text::caption(facts));
}

/// Why an answer breaks off; `None` where the model ended it.
fn ended_words(answer: &Answered) -> Option<String> {
    match answer.ended {
        Ended::EndOfText | Ended::StopText => None,
        Ended::MaxTokens => Some(format!("Cut at {}", counted(answer.ids.len(), "token"))),
        Ended::Context => Some("Cut: the model’s context is full".to_owned()),
        Ended::Loop => Some("Stopped: it repeated itself".to_owned()),
    }
}

/// The mean `log P` of an answer's tokens, before other facts about it.
fn likely_words(mean: f64) -> String {
    let mean = format!("{mean:.2}").replace('-', "−");
    format!("log P {mean} a token  ·  ")
}

/// A token's surprisal in every view.
fn token_detail(ui: &mut Ui, turn: &Turn, answer: usize, answered: &Answered, token: usize) {
    let theme = Theme::of(ui);
    let frame = Frame::new()
        .fill(theme.palette.raised)
        .corner_radius(CornerRadius::same(space::RADIUS as u8))
        .stroke(Stroke::new(1.0, theme.palette.border))
        .inner_margin(Margin::same(space::M as i8));
    frame.show(ui, |ui| {
        ui.set_width(ui.available_width());
        let piece = answered.pieces.get(token).map_or("", String::as_str);
        let shown = piece.trim().replace('\n', "¶");
        let with = match answered.view {
            View::Nothing => "with no document",
            View::Memory => "with the memory",
            View::Document => "with the full document",
        };
        ui.label(text::strong(format!(
            "Surprisal of “{shown}” in the answer {with}"
        )));
        let Some(scores) = turn.scores.get(&answer) else {
            let waits = turn.scoring == Some(answer);
            let words = if waits {
                "Weighing it in every view…"
            } else {
                "It could not be weighed."
            };
            ui.label(text::muted(words));
            return;
        };
        egui::Grid::new(("token", answer))
            .num_columns(3)
            .spacing(vec2(space::L, space::XS))
            .show(ui, |ui| {
                for view in VIEWS {
                    let of_view = scores.iter().find(|(of, _)| *of == view);
                    let Some(logprob) = of_view.and_then(|(_, l)| l.get(token)) else {
                        continue;
                    };
                    let surprisal = -logprob;
                    ui.label(view_name(view));
                    let (rect, _) = ui.allocate_exact_size(vec2(220.0, 10.0), Sense::hover());
                    ui.painter()
                        .rect_filled(rect, CornerRadius::same(3), theme.palette.border);
                    let part = (surprisal / 10.0).clamp(0.004, 1.0) as f32;
                    let filled = rect.with_max_x(rect.min.x + rect.width() * part);
                    ui.painter()
                        .rect_filled(filled, CornerRadius::same(3), theme.palette.utility);
                    let whole = of_view.and_then(|(_, l)| inscribe::write::statistics::mean(l));
                    let whole = whole.map_or(String::new(), |m| {
                        format!("  ·  the whole answer {:.2} a token", -m)
                    });
                    ui.label(format!("{surprisal:.2} nats{whole}"));
                    ui.end_row();
                }
            });
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_says_why_it_breaks_off_and_nothing_where_it_ends() {
        let words = |ended| {
            ended_words(&Answered {
                view: View::Memory,
                text: String::new(),
                ids: vec![1; 96],
                pieces: Vec::new(),
                logprobs: Vec::new(),
                seconds: 1.0,
                segment: 0,
                ended,
            })
        };
        assert_eq!(words(Ended::MaxTokens).as_deref(), Some("Cut at 96 tokens"));
        let repeats = words(Ended::Loop).expect("a reason");
        assert!(repeats.contains("repeated itself"), "{repeats}");
        assert_eq!(words(Ended::EndOfText), None);
    }
}
