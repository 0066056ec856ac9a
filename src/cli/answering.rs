//! What verbs that ask share: signs of life, titles, and how many answers are right.

use std::cell::RefCell;

use anyhow::Result;
use indicatif::ProgressBar;
use inscribe::Remembered;
use inscribe::model::generate::{Ended, GenerateOptions};
use inscribe::write::asker::Answer;
use inscribe::write::reader::View;
use inscribe::write::statistics::holds_answer;

use super::{Context, setup};

/// The name of a view for people.
pub fn title(view: View) -> &'static str {
    match view {
        View::Nothing => "no document",
        View::Memory => "memory",
        View::Document => "full document",
    }
}

/// How to ask.
pub struct Manner<'a> {
    pub options: &'a GenerateOptions,
    pub instructions: &'a str,
    /// Whether the answer is printed word by word.
    pub streams: bool,
}

/// Asks, and shows that something goes on until the first word.
pub fn ask(
    memory: &Remembered,
    view: View,
    question: &str,
    manner: &Manner<'_>,
    app: &Context,
) -> Result<Answer> {
    let waiting = Waiting::new(app);
    let mut on_read = |done, total| waiting.read(done, total);
    let mut begun = false;
    let mut on_text = |piece: &str| {
        // White space at the beginning is no part of the answer.
        let piece = if begun { piece } else { piece.trim_start() };
        if manner.streams && !piece.is_empty() {
            begun = true;
            waiting.end();
            setup::print_piece(piece);
        }
    };
    let asking = memory.asking(question).view(view);
    let asking = asking.instructions(manner.instructions);
    let asking = asking.options(manner.options.clone());
    let answer = asking.on_read(&mut on_read).on_text(&mut on_text).run();
    waiting.end();
    Ok(answer?)
}

/// Why an answer ended, where a reader could take it for whole though it is not.
pub fn cut_short(answer: &Answer) -> Option<&'static str> {
    match answer.ended {
        Ended::EndOfText | Ended::StopText => None,
        Ended::MaxTokens => Some("cut at --max-tokens"),
        Ended::Context => Some("cut: the model's context is full"),
        Ended::Loop => Some("cut where it began to repeat itself"),
    }
}

/// A sign on the screen while nothing is printed.
struct Waiting<'a> {
    app: &'a Context,
    bar: RefCell<Option<ProgressBar>>,
}

impl Waiting<'_> {
    fn new(app: &Context) -> Waiting<'_> {
        let waiting = Waiting {
            app,
            bar: RefCell::new(None),
        };
        waiting.spin();
        waiting
    }

    fn spin(&self) {
        let spinner = self.app.spinner("answering".to_owned());
        self.put(Some(spinner));
    }

    fn put(&self, bar: Option<ProgressBar>) {
        if let Some(old) = self.bar.replace(bar) {
            old.finish_and_clear();
        }
    }

    /// The document is read first.
    fn read(&self, done: usize, total: usize) {
        if done >= total {
            self.spin();
            return;
        }
        let total = total as u64;
        let reads = self.bar.borrow().as_ref().and_then(ProgressBar::length) == Some(total);
        if !reads {
            self.put(None);
            self.put(Some(self.app.counter(
                "reading the document",
                total,
                "tokens",
            )));
        }
        if let Some(bar) = &*self.bar.borrow() {
            bar.set_position(done as u64);
        }
    }

    fn end(&self) {
        self.put(None);
    }
}

/// How many answers of each view are right.
#[derive(Default)]
pub struct Score {
    pub asked: usize,
    right: Vec<(View, usize)>,
}

impl Score {
    /// Counts the answers to one question; which of them hold the expected words.
    pub fn count(&mut self, answers: &[Answer], expected: &str) -> Vec<bool> {
        self.asked += 1;
        let held = |answer: &Answer| holds_answer(&answer.text, expected);
        let right: Vec<bool> = answers.iter().map(held).collect();
        for (answer, right) in answers.iter().zip(&right) {
            match self.right.iter_mut().find(|(view, _)| *view == answer.view) {
                Some((_, count)) => *count += usize::from(*right),
                None => self.right.push((answer.view, usize::from(*right))),
            }
        }
        right
    }

    /// The views with their right answers, in the order they were asked in.
    pub fn right(&self) -> &[(View, usize)] {
        &self.right
    }

    /// `no document 0, memory 2, full document 2 of 3`.
    pub fn words(&self) -> String {
        let each = self.right.iter();
        let each: Vec<String> = each
            .map(|(view, count)| format!("{} {count}", title(*view)))
            .collect();
        format!("{} of {}", each.join(", "), self.asked)
    }
}
