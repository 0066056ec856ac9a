//! Chat templates.
use crate::model::error::ModelError;
pub struct ChatTemplate {}
pub struct Message {
    pub role: String,
    pub content: String,
}
impl Message {
    pub fn new(role: &str, content: &str) -> Self {
        Message {
            role: role.into(),
            content: content.into(),
        }
    }
}
impl ChatTemplate {
    pub fn render(&self, messages: &[Message], _g: bool) -> Result<String, ModelError> {
        let mut s = String::from(
            "<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n",
        );
        for m in messages {
            s += &format!("<|im_start|>{}\n{}<|im_end|>\n", m.role, m.content);
        }
        Ok(s + "<|im_start|>assistant\n")
    }
}
