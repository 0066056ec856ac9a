//! Questions and answers of the memory that is open.

use std::collections::HashMap;

use inscribe::memory::store::Asked;
use inscribe::write::reader::View;

use crate::engine::Answered;

/// How a view is called.
pub fn view_name(view: View) -> &'static str {
    match view {
        View::Nothing => "No document",
        View::Memory => "Memory",
        View::Document => "Full document",
    }
}

pub const VIEWS: [View; 3] = [View::Nothing, View::Memory, View::Document];

#[derive(Clone, Debug, Default)]
pub struct AskState {
    pub question: String,
    /// Answer in all three views instead of the memory's alone.
    pub side_by_side: bool,
    /// The newest last.
    pub turns: Vec<Turn>,
    /// Asked before the window was opened; the newest last.
    pub history: Vec<Asked>,
    /// The answer whose tokens are shown: turn, answer, token.
    pub picked: Option<(usize, usize, usize)>,
    /// The document is being read first: tokens done and in all.
    pub reading: Option<(usize, usize)>,
}

#[derive(Clone, Debug, Default)]
pub struct Turn {
    pub question: String,
    pub views: Vec<View>,
    pub answers: Vec<Answered>,
    /// What is being written now.
    pub streaming: Option<(View, String)>,
    pub ended: bool,
    /// `log P` of each answer's tokens under each view, once asked for.
    pub scores: HashMap<usize, Vec<(View, Vec<f64>)>>,
    pub scoring: Option<usize>,
}

impl AskState {
    /// Another memory is open.
    pub fn reset(&mut self, history: Vec<Asked>) {
        *self = AskState {
            history,
            side_by_side: self.side_by_side,
            ..AskState::default()
        };
    }
}
