//! Keys that work everywhere where no text is being typed.

use eframe::egui::{self, Key, KeyboardShortcut, Modifiers, Ui};

use crate::action::Action;
use crate::state::{Pause, State, Task};
use crate::vocabulary::{Dialog, Purpose, Screen, Selection};

pub const OPEN: KeyboardShortcut = KeyboardShortcut::new(Modifiers::COMMAND, Key::O);

/// The screens in their order, each with its keys.
pub const SCREENS: [(KeyboardShortcut, Screen, &str); 5] = [
    (with_command(Key::Num1), Screen::Write, "Write"),
    (with_command(Key::Num2), Screen::Ask, "Ask"),
    (with_command(Key::Num3), Screen::Compare, "Compare"),
    (with_command(Key::Num4), Screen::Learn, "Learn"),
    (with_command(Key::Num5), Screen::Replay, "Replay"),
];

const fn with_command(key: Key) -> KeyboardShortcut {
    KeyboardShortcut::new(Modifiers::COMMAND, key)
}

pub fn take(ui: &Ui, state: &mut State, actions: &mut Vec<Action>) {
    let ctx = ui.ctx();
    if ctx.input_mut(|input| input.consume_shortcut(&OPEN)) {
        actions.push(Action::Pick(Purpose::OpenDocument));
    }
    if state.dialog != Dialog::None {
        if ctx.input(|input| input.key_pressed(Key::Escape)) {
            actions.push(Action::Dialog(Dialog::None));
        }
        return;
    }
    for (shortcut, screen, _) in SCREENS {
        let pressed = ctx.input_mut(|input| input.consume_shortcut(&shortcut));
        if pressed && state.can_show(screen) {
            actions.push(Action::Show(screen));
        }
    }
    let escape = |ctx: &egui::Context| {
        ctx.input_mut(|input| input.consume_key(Modifiers::NONE, Key::Escape))
    };
    if !state.troubles.is_empty() && escape(ctx) {
        actions.push(Action::DismissAll);
    }
    if ctx.egui_wants_keyboard_input() {
        return;
    }
    pasted(ui, state, actions);
    if state.screen != Screen::Write || state.document.is_none() {
        return;
    }
    let pressed = |key| ctx.input_mut(|input| input.consume_key(Modifiers::NONE, key));
    if state.is_busy_with(Task::Write) && pressed(Key::Space) {
        actions.push(match state.pause {
            Pause::No => Action::Pause,
            Pause::Asked | Pause::Reached => Action::Resume,
        });
    }
    let by = i64::from(pressed(Key::ArrowRight)) - i64::from(pressed(Key::ArrowLeft));
    if by != 0 {
        move_selection(state, by);
    }
    if pressed(Key::Escape) {
        state.selection = Selection::default();
    }
}

/// Text that is pasted where no field takes it is a document.
fn pasted(ui: &Ui, state: &mut State, actions: &mut Vec<Action>) {
    use eframe::egui::Event;
    if state.screen != Screen::Welcome {
        return;
    }
    let text = ui.ctx().input(|input| {
        let mut pasted = input.events.iter().filter_map(|event| match event {
            Event::Paste(text) => Some(text.clone()),
            _ => None,
        });
        pasted.next()
    });
    if let Some(text) = text.filter(|text| !text.trim().is_empty()) {
        state.draft = text;
        actions.push(Action::Dialog(Dialog::Paste));
    }
}

/// To the next chunk of the document, or to the one before; the text follows.
pub fn move_selection(state: &mut State, by: i64) {
    let places: Vec<(usize, usize, usize)> = {
        let segments = state.run.record.segments.iter().enumerate();
        let chunks = segments.flat_map(|(segment, part)| {
            let chunks = part.chunks.iter().enumerate();
            chunks.map(move |(chunk, found)| (segment, chunk, found.text.start))
        });
        chunks.collect()
    };
    let now = places.iter().position(|&(segment, chunk, _)| {
        state.selection.segment == segment && state.selection.chunk == Some(chunk)
    });
    let last = places.len() as i64 - 1;
    let to = match now {
        Some(now) => (now as i64 + by).clamp(0, last.max(0)),
        None if by > 0 => 0,
        None => last,
    };
    if let Some(&(segment, chunk, byte)) = usize::try_from(to).ok().and_then(|to| places.get(to)) {
        state.selection = Selection::chunk(segment, chunk);
        state.scroll_to = Some(byte);
    }
}
