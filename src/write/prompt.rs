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

/// A question, and what the model should know about how to answer it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Query<'a> {
    /// The question.
    pub question: &'a str,
    /// What stands before the question, in its own message: the document before it, and its keys and
    /// values, stay as they were read. Empty for nothing.
    pub instructions: &'a str,
}

impl<'a> From<&'a str> for Query<'a> {
    fn from(question: &'a str) -> Self {
        Query {
            question,
            instructions: "",
        }
    }
}

impl<'a> From<&'a String> for Query<'a> {
    fn from(question: &'a String) -> Self {
        question.as_str().into()
    }
}

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
        let lead = match rendered(model, &with_document(Query::default()))? {
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
    pub fn question<'q>(&self, query: impl Into<Query<'q>>) -> Result<Vec<u32>, ModelError> {
        let (tokenizer, query) = (&self.model.tokenizer, query.into());
        match rendered(&self.model, &with_document(query))? {
            Some(text) => Ok(tokenizer.encode(around(&text).1, false, true)?),
            None => Ok(tokenizer.encode(&after_document(query), false, false)?),
        }
    }

    /// A question by itself, with no document before it.
    pub fn bare_question<'q>(&self, query: impl Into<Query<'q>>) -> Result<Vec<u32>, ModelError> {
        let (tokenizer, query) = (&self.model.tokenizer, query.into());
        match rendered(&self.model, &asking(query))? {
            Some(text) => Ok(tokenizer.encode(&text, false, true)?),
            None => {
                let mut ids = begin(&self.model);
                ids.extend(tokenizer.encode(after_document(query).trim_start(), false, false)?);
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

fn with_document(query: Query<'_>) -> String {
    format!("{INTRODUCTION}{PLACE}{}", after_document(query))
}

fn after_document(query: Query<'_>) -> String {
    format!("\n\n{}", asking(query))
}

fn asking(query: Query<'_>) -> String {
    let question = format!("Question: {}\nAnswer:", query.question.trim());
    match query.instructions.trim() {
        "" => question,
        instructions => format!("{instructions}\n\n{question}"),
    }
}

/// The begin token, where the model was trained with one.
fn begin(model: &Model) -> Vec<u32> {
    let bos = model.tokenizer.bos().filter(|_| model.tokenizer.add_bos());
    bos.into_iter().collect()
}
