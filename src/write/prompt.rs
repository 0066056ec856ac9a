//! How a document and a question are put before a model: in its chat template, where it has one.
//!
//! Writing and reading use the same words, so that what was learned from the document is found
//! where the reader will be.

use std::sync::Arc;

use crate::model::chat::Message;
use crate::model::error::ModelError;
use crate::model::model_file::Model;

/// Stands for the document while a template is rendered, to find where its text goes.
const PLACE: &str = "INSCRIBE-DOCUMENT";
const INTRODUCTION: &str = "Read this document.\n\n";

/// The tokens around a document and a question.
#[derive(Clone)]
pub struct Prompt {
    model: Arc<Model>,
    /// Tokens before the document.
    pub lead: Vec<u32>,
}

impl Prompt {
    /// Prepares the prompt from the model's chat template, or a plain one where the model has none.
    pub fn new(model: &Arc<Model>) -> Result<Prompt, ModelError> {
        let lead = match rendered(model, &with_document(""))? {
            Some(text) => {
                let (before, _) = around(&text);
                model.tokenizer.encode(before, false, true)?
            }
            None => begin(model),
        };
        let model = model.clone();
        Ok(Prompt { model, lead })
    }

    /// The model whose tokens these are.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// What follows the document: the question, up to where the answer begins.
    pub fn question(&self, question: &str) -> Result<Vec<u32>, ModelError> {
        let tokenizer = &self.model.tokenizer;
        match rendered(&self.model, &with_document(question))? {
            Some(text) => Ok(tokenizer.encode(around(&text).1, false, true)?),
            None => Ok(tokenizer.encode(&after_document(question), false, false)?),
        }
    }

    /// A question by itself, with no document before it.
    pub fn bare_question(&self, question: &str) -> Result<Vec<u32>, ModelError> {
        let tokenizer = &self.model.tokenizer;
        match rendered(&self.model, &asking(question))? {
            Some(text) => Ok(tokenizer.encode(&text, false, true)?),
            None => {
                let mut ids = begin(&self.model);
                ids.extend(tokenizer.encode(
                    after_document(question).trim_start(),
                    false,
                    false,
                )?);
                Ok(ids)
            }
        }
    }

    /// The tokens of an answer, as they follow a question.
    pub fn answer(&self, answer: &str) -> Result<Vec<u32>, ModelError> {
        let text = match &self.model.chat {
            Some(_) => answer.trim().to_owned(),
            None => format!(" {}", answer.trim()),
        };
        Ok(self.model.tokenizer.encode(&text, false, false)?)
    }
}

fn rendered(model: &Model, content: &str) -> Result<Option<String>, ModelError> {
    let Some(template) = &model.chat else {
        return Ok(None);
    };
    Ok(Some(
        template.render(&[Message::new("user", content)], true)?,
    ))
}

/// The texts before and after the document.
fn around(text: &str) -> (&str, &str) {
    text.split_once(PLACE).unwrap_or(("", text))
}

fn with_document(question: &str) -> String {
    format!("{INTRODUCTION}{PLACE}{}", after_document(question))
}

fn after_document(question: &str) -> String {
    format!("\n\n{}", asking(question))
}

fn asking(question: &str) -> String {
    format!("Question: {}\nAnswer:", question.trim())
}

/// The begin token, where the model was trained with one.
fn begin(model: &Model) -> Vec<u32> {
    let bos = model.tokenizer.bos().filter(|_| model.tokenizer.add_bos());
    bos.into_iter().collect()
}
