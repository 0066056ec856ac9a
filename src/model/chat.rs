//! Chat templates: how a model was taught to be spoken to, as Jinja in its files.

mod bounds;
mod functions;
#[cfg(test)]
mod tests;

use std::fs;
use std::path::Path;

use minijinja::{Environment, ErrorKind, context};
use serde::Serialize;
use serde_json::Value;
use thiserror::Error;

use crate::model::error::ModelError;
use crate::model::gguf::Gguf;
use crate::model::tokenizer::{Tokenizer, TokenizerError, read_json};

const NAME: &str = "chat template";

#[derive(Debug, Error)]
pub enum ChatError {
    #[error("the model's chat template is damaged: {0}")]
    Syntax(String),
    /// The template itself objects, for instance to two turns of one role.
    #[error("the model's chat template refuses these messages: {0}")]
    Refused(String),
    #[error("the model's chat template failed: {0}")]
    Failed(String),
}

/// One turn of a conversation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Message {
    /// Who speaks: "system", "user" or "assistant".
    pub role: String,
    pub content: String,
}

impl Message {
    pub fn new(role: impl Into<String>, content: impl Into<String>) -> Self {
        Message {
            role: role.into(),
            content: content.into(),
        }
    }
}

/// A model's chat template, compiled.
pub struct ChatTemplate {
    environment: Environment<'static>,
    source: String,
    bos: String,
    eos: String,
}

impl ChatTemplate {
    /// Compiles a template; `bos` and `eos` are the texts of the tokenizer's tokens.
    pub fn new(source: &str, bos: &str, eos: &str) -> Result<ChatTemplate, ChatError> {
        let mut environment = functions::environment();
        let source = bounds::prepared(&functions::without_generation_marks(source))?;
        environment.set_fuel(Some(bounds::fuel(&source)));
        Ok(ChatTemplate {
            environment,
            source,
            bos: bos.to_owned(),
            eos: eos.to_owned(),
        })
    }

    /// The template of a GGUF file; `None` where the model was not made to chat.
    pub fn from_gguf(
        gguf: &Gguf,
        tokenizer: &Tokenizer,
    ) -> Result<Option<ChatTemplate>, ModelError> {
        let Some(source) = gguf.get_str("tokenizer.chat_template")? else {
            return Ok(None);
        };
        let (bos, eos) = special_texts(tokenizer);
        let template = ChatTemplate::new(source, &bos, &eos);
        let named = |e: ChatError| gguf.field_error("tokenizer.chat_template", e.to_string());
        template.map(Some).map_err(named)
    }

    /// The template of a model folder: `chat_template.jinja`, `chat_template.json` or in
    /// `tokenizer_config.json`; `None` where there is none.
    pub fn from_folder(
        folder: &Path,
        tokenizer: &Tokenizer,
    ) -> Result<Option<ChatTemplate>, ModelError> {
        let (path, source) = find_template(folder)?;
        let Some(source) = source else {
            return Ok(None);
        };
        let (bos, eos) = special_texts(tokenizer);
        let template = ChatTemplate::new(&source, &bos, &eos);
        template
            .map(Some)
            .map_err(|e| ModelError::file(&path, e.to_string()))
    }

    /// The text a model expects for these messages; with `add_generation_prompt` it ends where
    /// the assistant's answer begins. Encode it with `parse_special` and without `add_special`:
    /// a template writes the begin token itself.
    ///
    /// A template that knows no system role gets the system text at the head of the first user
    /// turn.
    pub fn render(
        &self,
        messages: &[Message],
        add_generation_prompt: bool,
    ) -> Result<String, ChatError> {
        let first = self.try_render(messages, add_generation_prompt);
        let Err(ChatError::Refused(_)) = first else {
            return first;
        };
        match fold_system(messages) {
            // What the template says to the folded messages is about something else.
            Some(folded) => self.try_render(&folded, add_generation_prompt).or(first),
            None => first,
        }
    }

    fn try_render(
        &self,
        messages: &[Message],
        add_generation_prompt: bool,
    ) -> Result<String, ChatError> {
        let values = context! {
            messages => messages,
            add_generation_prompt => add_generation_prompt,
            bos_token => self.bos,
            eos_token => self.eos,
        };
        bounds::run(&self.source, &self.environment, values)
    }
}

/// What went wrong, in words.
fn worded(error: &minijinja::Error) -> ChatError {
    let raised = functions::raised(error);
    match (raised, error.kind()) {
        (Some(message), _) => ChatError::Refused(message.to_owned()),
        (None, ErrorKind::SyntaxError) => ChatError::Syntax(describe(error)),
        (None, _) => ChatError::Failed(describe(error)),
    }
}

/// The error and its causes on one line.
fn describe(error: &minijinja::Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        cause = inner.source();
    }
    text
}

fn special_texts(tokenizer: &Tokenizer) -> (String, String) {
    (
        tokenizer.name(tokenizer.bos()),
        tokenizer.name(tokenizer.eos()),
    )
}

/// Puts the system text before the first user turn's.
fn fold_system(messages: &[Message]) -> Option<Vec<Message>> {
    let (system, rest) = messages.split_first().filter(|(m, _)| m.role == "system")?;
    let mut folded = rest.to_vec();
    let user = folded.first_mut().filter(|m| m.role == "user")?;
    user.content = format!("{}\n\n{}", system.content, user.content);
    Some(folded)
}

/// The text of a model folder's template, where it can be read.
pub(super) fn template_of_folder(folder: &Path) -> Option<String> {
    find_template(folder).ok()?.1
}

fn find_template(folder: &Path) -> Result<Found, ModelError> {
    let jinja = folder.join("chat_template.jinja");
    if !jinja.is_file() {
        return Ok(json_template(folder)?);
    }
    let read = fs::read_to_string(&jinja);
    let read = read.map_err(|e| ModelError::file(&jinja, format!("cannot be read: {e}")))?;
    Ok((jinja, Some(read)))
}

type Found = (std::path::PathBuf, Option<String>);

fn json_template(folder: &Path) -> Result<Found, TokenizerError> {
    let mut path = folder.join("tokenizer_config.json");
    for name in ["chat_template.json", "tokenizer_config.json"] {
        path = folder.join(name);
        let file = read_json(&path)?.unwrap_or(Value::Null);
        let source = file.get("chat_template").and_then(chosen);
        if source.is_some() {
            return Ok((path, source));
        }
    }
    Ok((path, None))
}

/// A template, or of several named ones the default.
fn chosen(template: &Value) -> Option<String> {
    let text = |v: &Value| v.as_str().map(str::to_owned);
    let Some(named) = template.as_array() else {
        return text(template);
    };
    let is_default = |t: &&Value| t.get("name").and_then(Value::as_str) == Some("default");
    let entry = named.iter().find(is_default).or_else(|| named.first())?;
    text(entry.get("template")?)
}
