//! Questions and answers of the memory that is open.

use std::collections::HashMap;

use inscribe::memory::store::Asked;
use inscribe::write::reader::View;

use crate::engine::Answered;

/// Name of a view.
pub fn view_name(view: View) -> &'static str {
    match view {
        View::Nothing => "No document",
        View::Memory => "Memory",
        View::Document => "Full document",
    }
}

pub const VIEWS: [View; 3] = [View::Nothing, View::Memory, View::Document];

#[derive(Clone, Debug)]
pub struct AskState {
    pub question: String,
    /// Whether to answer in all three views instead of the memory's alone.
    pub side_by_side: bool,
    /// Questions asked since the memory was opened, the newest last.
    pub turns: Vec<Turn>,
    /// Questions asked before the memory was opened, the newest last.
    pub history: Vec<Asked>,
    /// The token whose numbers are shown: index of the turn, of the answer, and of the token.
    pub picked: Option<(usize, usize, usize)>,
    /// Progress of a document that is read first: tokens done, and tokens in all.
    pub reading: Option<(usize, usize)>,
    /// Whether the field for the question is to take the keyboard.
    pub wants_focus: bool,
}

impl Default for AskState {
    fn default() -> AskState {
        AskState {
            question: String::new(),
            side_by_side: true,
            turns: Vec::new(),
            history: Vec::new(),
            picked: None,
            reading: None,
            wants_focus: false,
        }
    }
}

#[derive(Clone, Debug, Default)]
pub struct Turn {
    pub question: String,
    pub views: Vec<View>,
    pub answers: Vec<Answered>,
    /// The answer that is being written now: its view and its text so far.
    pub streaming: Option<(View, String)>,
    pub ended: bool,
    /// `log P` of each answer's tokens under each view, by the answer's index, once asked for.
    pub scores: HashMap<usize, Vec<(View, Vec<f64>)>>,
    pub scoring: Option<usize>,
}

impl AskState {
    /// Whether nothing was ever asked.
    pub fn is_empty(&self) -> bool {
        self.turns.is_empty() && self.history.is_empty()
    }

    /// Begins again with another memory.
    pub fn reset(&mut self, history: Vec<Asked>) {
        *self = AskState {
            history,
            side_by_side: self.side_by_side,
            wants_focus: self.wants_focus,
            ..AskState::default()
        };
    }
}
