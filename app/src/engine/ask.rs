//! Questions to a memory.

use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use inscribe::memory::Memory;
use inscribe::memory::store::Asked;
use inscribe::model::generate::GenerateOptions;
use inscribe::model::sample::SampleOptions;
use inscribe::model::session::SessionOptions;
use inscribe::write::asker::{Answer, Asker, Place};
use inscribe::write::reader::View;

use super::control::Control;
use super::load::{Loaded, Pace};
use super::message::{Answered, AskRequest, End, Report, ScoreRequest};
use super::{Outbox, write};
use crate::trouble::Failure;

/// A memory with the readers that questions have opened so far.
pub struct Opened<'m> {
    folder: PathBuf,
    max_tokens: usize,
    memory: Memory,
    asker: Asker<'m>,
}

/// The memory at `folder`: the one that is open, if it is the same.
pub fn opened<'o, 'm>(
    open: &'o mut Option<Opened<'m>>,
    folder: &Path,
    max_tokens: usize,
    loaded: &'m Loaded,
    control: &'m Control,
) -> Result<&'o mut Opened<'m>, Failure> {
    let same = |o: &Opened<'_>| o.folder == folder && o.max_tokens >= max_tokens;
    if open.as_ref().is_some_and(same) {
        return open.as_mut().ok_or(Failure::Cancelled);
    }
    // Before the next one is read: both may not fit.
    *open = None;
    let memory = Memory::open(folder)?;
    memory.check_model(&write::stored_model(loaded))?;
    let place = Place {
        model: &loaded.model,
        device: &loaded.device,
        transformer: &loaded.transformer,
        options: SessionOptions {
            cancel: Some(control.token()),
            profile: None,
        },
        max_tokens,
    };
    let asker = Asker::new(place, &memory)?;
    Ok(open.insert(Opened {
        folder: folder.to_owned(),
        max_tokens,
        memory,
        asker,
    }))
}

pub fn ask(
    open: &mut Opened<'_>,
    request: &AskRequest,
    loaded: &Loaded,
    out: &Outbox,
) -> Result<End, Failure> {
    let options = GenerateOptions {
        sample: SampleOptions {
            temperature: request.temperature,
            seed: request.seed,
            ..SampleOptions::default()
        },
        max_tokens: request.max_tokens,
        stop: Vec::new(),
    };
    for &view in &request.views {
        out.tell(Report::Answering(view));
        let mut pace = Pace::default();
        let mut on_read = |done, total| {
            if done >= total || pace.is_due() {
                out.tell(Report::Reading { done, total });
            }
        };
        let mut on_text = |piece: &str| out.tell(Report::Text(piece.to_owned()));
        let question = &request.question;
        let asker = &mut open.asker;
        let answer = asker.ask(view, question, &options, &mut on_read, &mut on_text)?;
        if view == View::Memory {
            open.memory.remember(&asked(question, &answer))?;
        }
        out.tell(Report::Answered(Box::new(answered(answer, loaded))));
    }
    Ok(End::Done)
}

pub fn score(open: &mut Opened<'_>, request: &ScoreRequest, out: &Outbox) -> Result<End, Failure> {
    let mut scores = Vec::new();
    for view in [View::Nothing, View::Memory, View::Document] {
        let mut pace = Pace::default();
        let mut on_read = |done, total| {
            if done >= total || pace.is_due() {
                out.tell(Report::Reading { done, total });
            }
        };
        let (segment, question) = (request.segment, &request.question);
        let asker = &mut open.asker;
        let of_view = asker.score(view, segment, question, &request.ids, &mut on_read)?;
        scores.push((view, of_view));
    }
    out.tell(Report::Scored {
        turn: request.turn,
        answer: request.answer,
        scores,
    });
    Ok(End::Done)
}

fn asked(question: &str, answer: &Answer) -> Asked {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    Asked {
        question: question.to_owned(),
        answer: answer.text.clone(),
        log_prob: answer.logprob(),
        seconds: answer.seconds,
        unix_secs: now.map_or(0, |d| d.as_secs()),
    }
}

fn answered(answer: Answer, loaded: &Loaded) -> Answered {
    let tokenizer = &loaded.model.tokenizer;
    let mut stream = tokenizer.decode_stream(&[]);
    let pieces = answer.ids.iter().map(|&id| stream.push(id)).collect();
    Answered {
        view: answer.view,
        text: answer.text,
        pieces,
        ids: answer.ids,
        logprobs: answer.logprobs,
        seconds: answer.seconds,
        segment: answer.segment,
    }
}
