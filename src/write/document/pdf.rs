//! PDF: characters at their places on the page, put together into lines and blocks by `layout`.
//!
//! The parser under it panics on some damaged files and follows some circles for ever, so it runs
//! on a thread of its own, within a time, a page at a time, and over what `load` has found to
//! unpack to a sensible size.

pub mod load;
mod whole;

use std::collections::{BTreeMap, HashSet};
use std::panic::{self, AssertUnwindSafe};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use pdf_extract::content::{Content, Operation};
use pdf_extract::{
    Dictionary, Document as Pdf, MediaBox, Object, ObjectId, OutputDev, OutputError, Stream,
    Transform, output_doc_page,
};

use crate::quiet::quietly;
use load::Loaded;

use super::layout::{Glyph, Lines, add_blocks};
use super::{DocumentProblem, Draft, Format, MAX_CONTENT_BYTES, MAX_TEXT_BYTES, Pages};

/// A page takes milliseconds; a book of a thousand pages well under a minute.
const TIME_LIMIT: Duration = Duration::from_secs(120);
/// What pages nested deep take; only what is used becomes real memory.
const STACK_BYTES: usize = 256 << 20;
/// Forms within forms and page tree nodes within each other, beyond which a file is damaged.
const MAX_DEPTH: usize = 32;
/// Graphics states saved within each other; each takes about 1 KB. Pages need a few dozen.
const MAX_STATES: usize = 8192;
/// Numbers, names and operators of a page's content; each takes some hundreds of bytes once parsed.
/// Text has thousands, detailed maps some hundred thousands.
const MAX_MARKS: usize = 2_000_000;

pub(super) fn read(bytes: &[u8], wanted: Option<&Pages>) -> Result<Draft, DocumentProblem> {
    let (bytes, wanted) = (bytes.to_vec(), wanted.cloned());
    let (sender, receiver) = mpsc::channel();
    let deadline = Instant::now() + TIME_LIMIT;
    let reader = thread::Builder::new()
        .name("read PDF".to_owned())
        .stack_size(STACK_BYTES)
        .spawn(move || {
            let read = quietly(|| read_pages(&bytes, wanted.as_ref(), deadline));
            // Nobody waits any more if it took too long.
            let _ = sender.send(read.unwrap_or_else(|()| Err(unreadable())));
        });
    reader.map_err(DocumentProblem::Unreadable)?;
    // The thread looks at the time itself, but may be caught where it cannot. Then it is left
    // behind: a thread cannot be ended from outside.
    let grace = Duration::from_secs(2);
    match receiver.recv_timeout(TIME_LIMIT + grace) {
        Ok(read) => read,
        Err(mpsc::RecvTimeoutError::Timeout) => Err(timed_out()),
        Err(mpsc::RecvTimeoutError::Disconnected) => Err(unreadable()),
    }
}

fn timed_out() -> DocumentProblem {
    DocumentProblem::TimedOut {
        seconds: TIME_LIMIT.as_secs(),
    }
}

fn unreadable() -> DocumentProblem {
    DocumentProblem::damaged(Format::Pdf, "its structure cannot be followed")
}

fn read_pages(
    bytes: &[u8],
    wanted: Option<&Pages>,
    deadline: Instant,
) -> Result<Draft, DocumentProblem> {
    let loaded = load::load(bytes, deadline)?;
    let pdf = &loaded.pdf;
    let mut draft = Draft::new(Format::Pdf);
    let mut collector = PageText::new(deadline);
    let (mut failed, mut empty) = (Vec::new(), Vec::new());
    let mut draws_text = false;
    let mut pages = pdf.get_pages();
    if pages.is_empty() && loaded.was_encrypted {
        return Err(DocumentProblem::Password);
    }
    if pages.is_empty() {
        return Err(DocumentProblem::damaged(Format::Pdf, "it has no pages"));
    }
    if let Some(wanted) = wanted {
        choose(&mut pages, wanted)?;
    }
    for (&number, &id) in &pages {
        collector.lines.begin_page(number);
        let before = collector.characters;
        let look = PageLook::of(&loaded, id);
        draws_text |= look.draws_text;
        let drawn = (!look.unsafe_to_draw).then(|| quietly_page(pdf, &mut collector, number));
        match collector.stop {
            Some(Stop::Late) => return Err(timed_out()),
            Some(Stop::TooLong) => return Err(DocumentProblem::TextTooLong),
            None => {}
        }
        if !drawn.unwrap_or(false) {
            failed.push(number);
        } else if collector.characters == before {
            empty.push(number);
        }
    }
    if collector.characters == 0 {
        return Err(if !loaded.left_out.is_empty() {
            DocumentProblem::PdfBomb
        } else if draws_text {
            DocumentProblem::UnknownFonts
        } else if failed.len() == pages.len() {
            unreadable()
        } else if let Some(damage) = whole::damage(bytes, &loaded, pages.values(), failed.len()) {
            DocumentProblem::damaged(Format::Pdf, damage)
        } else {
            DocumentProblem::Scanned
        });
    }
    add_blocks(collector.lines, &mut draft);
    let all = pages.len();
    if !failed.is_empty() {
        let listed = listed(&failed);
        draft
            .notes
            .push(format!("Of {all} pages, {listed} could not be read whole."));
    }
    if !whole::has_end(bytes) {
        let note = "The file breaks off before its end; some of its text may be missing.";
        draft.notes.push(note.to_owned());
    }
    if !loaded.left_out.is_empty() {
        let (count, most) = (loaded.left_out.len(), MAX_CONTENT_BYTES >> 20);
        draft.notes.push(format!(
            "{count} of its parts would unpack to more than {most} MiB each and were left out."
        ));
    }
    if !empty.is_empty() {
        let listed = listed(&empty);
        draft.notes.push(format!(
            "Of {all} pages, {listed} hold no text; they may be pictures."
        ));
    }
    Ok(draft)
}

/// Leaves the pages that are wanted.
fn choose(pages: &mut BTreeMap<u32, ObjectId>, wanted: &Pages) -> Result<(), DocumentProblem> {
    let count = pages.len();
    pages.retain(|&page, _| wanted.contains(page));
    if pages.is_empty() || wanted.highest() as usize > count {
        return Err(DocumentProblem::PagesOutside {
            pages: wanted.to_string(),
            count,
        });
    }
    Ok(())
}

/// Whether a page was read to its end; what came before damage is kept.
fn quietly_page(pdf: &Pdf, collector: &mut PageText, number: u32) -> bool {
    let page = panic::catch_unwind(AssertUnwindSafe(|| output_doc_page(pdf, collector, number)));
    matches!(page, Ok(Ok(())))
}

fn listed(pages: &[u32]) -> String {
    let numbers: Vec<String> = pages.iter().take(8).map(u32::to_string).collect();
    let more = if pages.len() > 8 { ", …" } else { "" };
    format!("{} ({}{more})", pages.len(), numbers.join(", "))
}

enum Stop {
    Late,
    TooLong,
}

/// Takes the characters that a page draws.
struct PageText {
    lines: Lines,
    characters: usize,
    deadline: Instant,
    stop: Option<Stop>,
}

impl PageText {
    fn new(deadline: Instant) -> PageText {
        PageText {
            lines: Lines::default(),
            characters: 0,
            deadline,
            stop: None,
        }
    }

    /// An error ends the reading of a page.
    fn check(&mut self) -> Result<(), OutputError> {
        if self.characters > MAX_TEXT_BYTES {
            self.stop = Some(Stop::TooLong);
        } else if self.characters.is_multiple_of(256) && Instant::now() > self.deadline {
            self.stop = Some(Stop::Late);
        }
        match self.stop {
            Some(_) => Err(OutputError::FormatError(std::fmt::Error)),
            None => Ok(()),
        }
    }
}

impl OutputDev for PageText {
    fn begin_page(
        &mut self,
        _number: u32,
        _media_box: &MediaBox,
        _art_box: Option<(f64, f64, f64, f64)>,
    ) -> Result<(), OutputError> {
        if Instant::now() > self.deadline {
            self.stop = Some(Stop::Late);
        }
        self.check()
    }

    fn end_page(&mut self) -> Result<(), OutputError> {
        Ok(())
    }

    fn output_character(
        &mut self,
        place: &Transform,
        width: f64,
        _spacing: f64,
        font_size: f64,
        text: &str,
    ) -> Result<(), OutputError> {
        self.characters += text.trim().len();
        self.lines.add(&Glyph {
            across: (place.m11, place.m12),
            up: (place.m21, place.m22),
            at: (place.m31, place.m32),
            width,
            font_size,
            text,
        });
        self.check()
    }

    fn begin_word(&mut self) -> Result<(), OutputError> {
        self.lines.begin_word();
        Ok(())
    }

    fn end_word(&mut self) -> Result<(), OutputError> {
        Ok(())
    }

    fn end_line(&mut self) -> Result<(), OutputError> {
        Ok(())
    }
}

/// What is seen of a page without reading its text.
#[derive(Default)]
struct PageLook {
    /// Whether drawing the page could end the program: its parents, or the forms that it draws,
    /// lead back to themselves and would use up the stack, or it would take far too much memory.
    unsafe_to_draw: bool,
    draws_text: bool,
}

impl PageLook {
    fn of(loaded: &Loaded, page: ObjectId) -> PageLook {
        let pdf = &loaded.pdf;
        let mut look = PageLook::default();
        let mut resources = None;
        let mut node = pdf.get_dictionary(page).ok();
        let mut depth = 0;
        while let Some(dictionary) = node {
            depth += 1;
            if depth > MAX_DEPTH {
                look.unsafe_to_draw = true;
                return look;
            }
            resources = resources.or_else(|| entry(pdf, dictionary, b"Resources"));
            node = entry(pdf, dictionary, b"Parent");
        }
        if loaded.page_bytes(page) > MAX_CONTENT_BYTES {
            look.unsafe_to_draw = true;
        } else if let Ok(content) = pdf.get_page_content(page) {
            let mut forms = Forms {
                pdf,
                open: Vec::new(),
                sound: HashSet::new(),
                draws_text: false,
            };
            look.unsafe_to_draw = forms.lead_back(&content, resources);
            look.draws_text = forms.draws_text;
        }
        look
    }
}

fn entry<'a>(pdf: &'a Pdf, dictionary: &'a Dictionary, key: &[u8]) -> Option<&'a Dictionary> {
    match dictionary.get(key).ok()? {
        Object::Dictionary(inner) => Some(inner),
        Object::Reference(id) => pdf.get_dictionary(*id).ok(),
        _ => None,
    }
}

struct Forms<'a> {
    pdf: &'a Pdf,
    /// Being followed.
    open: Vec<ObjectId>,
    sound: HashSet<ObjectId>,
    draws_text: bool,
}

impl<'a> Forms<'a> {
    fn lead_back(&mut self, content: &[u8], resources: Option<&'a Dictionary>) -> bool {
        if marks(content) > MAX_MARKS {
            return true;
        }
        let Ok(content) = Content::decode(content) else {
            return false;
        };
        if deepest_state(&content) > MAX_STATES {
            return true;
        }
        let shows = |operator: &str| matches!(operator, "Tj" | "TJ" | "'" | "\"");
        let mut operations = content.operations.iter();
        self.draws_text |= operations.any(|operation| shows(&operation.operator));
        let Some(objects) = resources.and_then(|r| entry(self.pdf, r, b"XObject")) else {
            return false;
        };
        let drawn: HashSet<&[u8]> = content
            .operations
            .iter()
            .filter(|operation| operation.operator == "Do")
            .filter_map(|operation| operation.operands.first()?.as_name().ok())
            .collect();
        drawn.into_iter().any(|name| {
            let object = objects.get(name).and_then(Object::as_reference);
            object.is_ok_and(|id| self.form_leads_back(id, resources))
        })
    }

    fn form_leads_back(&mut self, id: ObjectId, around: Option<&'a Dictionary>) -> bool {
        if self.open.contains(&id) || self.open.len() > MAX_DEPTH {
            return true;
        }
        if self.sound.contains(&id) {
            return false;
        }
        let Ok(form) = self.pdf.get_object(id).and_then(Object::as_stream) else {
            return false;
        };
        let is_form = form.dict.get(b"Subtype").and_then(Object::as_name);
        if is_form.is_ok_and(|kind| kind != b"Form") {
            return false;
        }
        let resources = entry(self.pdf, &form.dict, b"Resources").or(around);
        self.open.push(id);
        let circle = self.lead_back(&plain_content(form), resources);
        self.open.pop();
        self.sound.insert(id);
        circle
    }
}

/// What a parser makes parts of, counted without parsing; brackets in texts count, too.
fn marks(content: &[u8]) -> usize {
    let mut before = b' ';
    let mut count = 0;
    for &byte in content {
        let begins = !byte.is_ascii_whitespace() && byte != 0;
        let parted = before.is_ascii_whitespace() || before == 0;
        count += usize::from((begins && parted) || b"[]()<>/{}%".contains(&byte));
        before = byte;
    }
    count
}

/// How many graphics states a content keeps at once.
fn deepest_state(content: &Content<Vec<Operation>>) -> usize {
    let (mut kept, mut most) = (0_usize, 0);
    for operation in &content.operations {
        match operation.operator.as_str() {
            "q" => kept += 1,
            "Q" => kept = kept.saturating_sub(1),
            _ => {}
        }
        most = most.max(kept);
    }
    most
}

fn plain_content(stream: &Stream) -> Vec<u8> {
    let unpacked = stream.decompressed_content();
    unpacked.unwrap_or_else(|_| stream.content.clone())
}
