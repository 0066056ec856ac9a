//! A page's tags and text in order, in memory that no tag can fill and on a stack that none can use
//! up.

use std::convert::Infallible;

use html5gum::emitters::callback::{Callback, CallbackEmitter, CallbackEvent};
use html5gum::{Reader, Span, State, StringReader, Tokenizer};

/// One piece of a page.
pub enum Part {
    Start(StartTag),
    /// The end tag of an element of this name.
    End(String),
    Text(String),
}

/// A start tag, of whose attributes only those are kept that the text needs.
pub struct StartTag {
    pub name: String,
    pub self_closing: bool,
    /// The first number of a list.
    pub first_number: Option<u32>,
}

/// The pieces of a page.
pub struct Parts<'a>(Tokenizer<Spaced<'a>, CallbackEmitter<Collector, Part>>);

impl<'a> Parts<'a> {
    pub fn of(text: &'a str) -> Parts<'a> {
        let mut emitter = CallbackEmitter::new(Collector::default());
        emitter.naively_switch_states(true);
        let reader = Spaced {
            inner: html5gum::Readable::to_reader(text),
            equals_next: false,
        };
        Parts(Tokenizer::new_with_emitter(reader, emitter))
    }

    /// Reads what follows as markup, though the element before would hold none in HTML.
    pub fn go_on_with_markup(&mut self) {
        self.0.set_state(State::Data);
    }
}

impl Iterator for Parts<'_> {
    type Item = Part;

    fn next(&mut self) -> Option<Part> {
        // A string in memory cannot fail to be read.
        self.0.next().map(|Ok(part)| part)
    }
}

/// Puts together start tags. Attributes are many where a file is hostile, so they are not gathered.
#[derive(Default)]
struct Collector {
    name: String,
    /// Whether the attribute that is read is the first `start` of its tag.
    in_start: bool,
    start: Option<String>,
}

impl Callback<Part, ()> for Collector {
    fn handle_event(&mut self, event: CallbackEvent<'_>, _: Span<()>) -> Option<Part> {
        match event {
            CallbackEvent::OpenStartTag { name } => {
                self.name = local_name(name);
                self.in_start = false;
                self.start = None;
            }
            CallbackEvent::AttributeName { name } => {
                self.in_start = self.start.is_none() && local_name(name) == "start";
                if self.in_start {
                    self.start = Some(String::new());
                }
            }
            CallbackEvent::AttributeValue { value } if self.in_start => {
                self.start = Some(String::from_utf8_lossy(value).into_owned());
            }
            CallbackEvent::CloseStartTag { self_closing } => {
                let number = self.start.take().and_then(|s| s.trim().parse().ok());
                return Some(Part::Start(StartTag {
                    name: std::mem::take(&mut self.name),
                    self_closing,
                    first_number: number,
                }));
            }
            CallbackEvent::EndTag { name } => return Some(Part::End(local_name(name))),
            CallbackEvent::String { value } => {
                return Some(Part::Text(String::from_utf8_lossy(value).into_owned()));
            }
            _ => {}
        }
        None
    }
}

/// A name without its space: XHTML may have its elements in a named one, as in `<html:p>`.
fn local_name(name: &[u8]) -> String {
    let local = name.rsplit(|&b| b == b':').next().unwrap_or(name);
    String::from_utf8_lossy(local).into_owned()
}

/// Reads a page, with a space before the `=` of an attribute, which means nothing in HTML.
///
/// For `name="value" ` after `name="value" ` the tokenizer calls itself, state after state, so that
/// some ten thousand attributes of one tag would use up the stack. A space ends its chain of calls.
struct Spaced<'a> {
    inner: StringReader<'a>,
    /// The space was read and its `=` was not.
    equals_next: bool,
}

impl Reader for Spaced<'_> {
    type Error = Infallible;

    fn read_byte(&mut self) -> Result<Option<u8>, Infallible> {
        if std::mem::take(&mut self.equals_next) {
            return Ok(Some(b'='));
        }
        self.inner.read_byte()
    }

    fn try_read_string(&mut self, text: &[u8], case_sensitive: bool) -> Result<bool, Infallible> {
        if self.equals_next {
            return Ok(false);
        }
        self.inner.try_read_string(text, case_sensitive)
    }

    fn read_until<'b>(
        &'b mut self,
        needle: &[u8],
        buffer: &'b mut [u8; 4],
    ) -> Result<Option<&'b [u8]>, Infallible> {
        if std::mem::take(&mut self.equals_next) {
            return Ok(Some(b"="));
        }
        // Only in an attribute's name does an `=` count and a `&` not.
        let in_name = needle.contains(&b'=') && !needle.contains(&b'&');
        let read = self.inner.read_until(needle, buffer)?;
        if in_name && read == Some(b"=") {
            self.equals_next = true;
            return Ok(Some(b" "));
        }
        Ok(read)
    }
}
