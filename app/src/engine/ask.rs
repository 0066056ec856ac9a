//! Questions to a memory.

use std::path::Path;

use inscribe::Remembered;
use inscribe::model::generate::GenerateOptions;
use inscribe::words::shown_text;
use inscribe::write::asker::Answer;
use inscribe::write::reader::View;

use super::Outbox;
use super::load::{Loaded, Pace};
use super::message::{Answered, AskRequest, End, Report, ScoreRequest};
use crate::trouble::Failure;

/// The memory at `folder`: the one that is open, if it is the same.
pub fn opened(
    open: &mut Option<Remembered>,
    folder: &Path,
    loaded: &Loaded,
) -> Result<Remembered, Failure> {
    if let Some(memory) = open.as_ref().filter(|o| o.memory().path() == folder) {
        return Ok(memory.clone());
    }
    // Before the next one is read: both may not fit.
    *open = None;
    let memory = loaded.inscriber.remembered(folder)?;
    Ok(open.insert(memory).clone())
}

pub fn ask(
    memory: &Remembered,
    request: &AskRequest,
    loaded: &Loaded,
    out: &Outbox,
) -> Result<End, Failure> {
    let mut options = GenerateOptions::greedy(request.max_tokens);
    options.cut_loops = true;
    options.sample.temperature = request.temperature;
    options.sample.seed = request.seed;
    for &view in &request.views {
        out.tell(Report::Answering(view));
        let mut on_read = reading(out);
        let mut on_text = |piece: &str| out.tell(Report::Text(shown_text(piece).into_owned()));
        let asking = memory.asking(&request.question).view(view);
        let asking = asking.options(options.clone());
        let answer = asking.on_read(&mut on_read).on_text(&mut on_text).run()?;
        if view == View::Memory {
            memory.remember(&request.question, &answer)?;
        }
        out.tell(Report::Answered(Box::new(answered(answer, loaded))));
    }
    Ok(End::Done)
}

pub fn score(memory: &Remembered, request: &ScoreRequest, out: &Outbox) -> Result<End, Failure> {
    let mut scores = Vec::new();
    for view in [View::Nothing, View::Memory, View::Document] {
        let (part, question) = (request.segment, &request.question);
        let mut on_read = reading(out);
        let of_view = memory.score(view, part, question, &request.ids, &mut on_read)?;
        scores.push((view, of_view));
    }
    out.tell(Report::Scored {
        turn: request.turn,
        answer: request.answer,
        scores,
    });
    Ok(End::Done)
}

/// Reports the progress of a document that is read first.
fn reading(out: &Outbox) -> impl FnMut(usize, usize) {
    let mut pace = Pace::default();
    move |done, total| {
        if done >= total || pace.is_due() {
            out.tell(Report::Reading { done, total });
        }
    }
}

fn answered(answer: Answer, loaded: &Loaded) -> Answered {
    let tokenizer = &loaded.inscriber.loaded().model.tokenizer;
    let mut stream = tokenizer.decode_stream(&[]);
    let shown = |id: &u32| shown_text(&stream.push(*id)).into_owned();
    let pieces = answer.ids.iter().map(shown).collect();
    Answered {
        view: answer.view,
        text: shown_text(&answer.text).into_owned(),
        pieces,
        ids: answer.ids,
        logprobs: answer.logprobs,
        seconds: answer.seconds,
        segment: answer.segment,
        ended: answer.ended,
    }
}
