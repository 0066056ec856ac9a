//! HTML and XHTML: the text of a page in blocks, from its tags in order. There is no tree, so that
//! neither depth nor tags left open can hurt.

mod tags;

use super::{BlockKind, DocumentProblem, Draft, Format};
use tags::{Part, Parts, StartTag};

pub(super) fn read(text: &str) -> Result<Draft, DocumentProblem> {
    let mut draft = Draft::new(Format::Html);
    append(text, false, &mut draft)?;
    Ok(draft)
}

/// Adds a page's blocks. In XHTML, `<script/>` ends where it starts; in HTML it does not.
pub(super) fn append(text: &str, is_xhtml: bool, draft: &mut Draft) -> Result<(), DocumentProblem> {
    let mut parts = Parts::of(text);
    let mut page = Page::default();
    while let Some(part) = parts.next() {
        match part {
            Part::Start(tag) => {
                let ends = tag.self_closing && is_xhtml;
                if ends {
                    parts.go_on_with_markup();
                }
                page.start(&tag, ends, draft);
            }
            Part::End(name) => page.end(&name, draft),
            Part::Text(text) => page.text(&text),
        }
        draft.check_length()?;
    }
    page.finish_row(draft);
    page.flush(draft);
    Ok(())
}

/// What has been read and not yet added.
#[derive(Default)]
struct Page {
    text: String,
    heading: Option<u8>,
    /// Whether a list's item has begun and has no text yet.
    item_begins: bool,
    /// The lists that are open: the next number of a numbered one, `None` for others.
    lists: Vec<Option<u32>>,
    /// Mark of the item, such as a bullet or a number.
    mark: String,
    /// Number of `<pre>` elements that are open.
    pre: usize,
    in_row: bool,
    /// The element that is left out with all in it, and how many of its name are open.
    skipped: Option<(String, usize)>,
}

const LEFT_OUT: [&str; 9] = [
    "script", "style", "title", "template", "svg", "noscript", "iframe", "noframes", "textarea",
];

/// Lists within each other, beyond which numbers help nobody.
const MOST_LISTS: usize = 64;

impl Page {
    fn start(&mut self, tag: &StartTag, ends: bool, draft: &mut Draft) {
        let name = tag.name.as_str();
        if let Some((skipped, open)) = &mut self.skipped {
            *open += usize::from(*skipped == name && !ends);
            return;
        }
        match name {
            _ if LEFT_OUT.contains(&name) && !ends => self.skipped = Some((name.to_owned(), 1)),
            "br" => self.text.push('\n'),
            "h1" | "h2" | "h3" | "h4" | "h5" | "h6" => {
                self.leave_row(draft);
                self.flush(draft);
                self.heading = name.as_bytes().get(1).map(|digit| digit - b'0');
            }
            "table" => self.leave_row(draft),
            "tr" => {
                self.finish_row(draft);
                self.flush(draft);
                self.in_row = true;
            }
            "td" | "th" if self.in_row && !self.text.trim().is_empty() => {
                self.text.push_str(" | ");
            }
            "li" | "dt" if !self.in_row => {
                self.flush(draft);
                self.item_begins = true;
                self.mark = match self.lists.last_mut() {
                    Some(Some(number)) if name == "li" => {
                        let own = format!("{number}.");
                        *number = number.saturating_add(1);
                        own
                    }
                    _ => "-".to_owned(),
                };
            }
            "ol" | "ul" if !ends => {
                self.flush(draft);
                let counts = name == "ol" && self.lists.len() < MOST_LISTS;
                self.lists
                    .push(counts.then(|| tag.first_number.unwrap_or(1)));
            }
            "pre" => {
                self.flush(draft);
                self.pre += usize::from(!ends);
            }
            name if is_block(name) => self.flush(draft),
            _ => {}
        }
    }

    fn end(&mut self, name: &str, draft: &mut Draft) {
        if let Some((skipped, open)) = &mut self.skipped {
            *open -= usize::from(skipped == name);
            // An element left open must not hide the rest of a page.
            if *open == 0 || name == "body" {
                self.skipped = None;
            }
            return;
        }
        match name {
            "h1" | "h2" | "h3" | "h4" | "h5" | "h6" => {
                self.flush(draft);
                self.heading = None;
            }
            "tr" | "table" => self.finish_row(draft),
            "pre" => {
                self.flush(draft);
                self.pre = self.pre.saturating_sub(1);
            }
            "li" | "dt" if !self.in_row => {
                self.flush(draft);
                self.item_begins = false;
            }
            "ol" | "ul" => {
                self.flush(draft);
                self.lists.pop();
            }
            name if is_block(name) => self.flush(draft),
            _ => {}
        }
    }

    fn text(&mut self, text: &str) {
        if self.skipped.is_some() {
            return;
        }
        if self.pre > 0 {
            self.text.push_str(text);
            return;
        }
        for c in text.chars() {
            let c = if c.is_ascii_whitespace() { ' ' } else { c };
            if c != ' ' || !self.text.ends_with(' ') {
                self.text.push(c);
            }
        }
    }

    /// Adds the text so far as a block. Blocks in a table's cell are part of its row.
    fn flush(&mut self, draft: &mut Draft) {
        if self.in_row {
            self.text.push(' ');
            return;
        }
        let kind = match self.heading {
            Some(level) => BlockKind::Heading(level),
            None if self.pre > 0 => BlockKind::Code,
            None if self.item_begins => BlockKind::ListItem,
            None => BlockKind::Paragraph,
        };
        if !self.text.trim().is_empty() {
            draft.push_marked(kind, &self.mark, &self.text);
            self.item_begins = false;
        }
        self.text.clear();
    }

    fn finish_row(&mut self, draft: &mut Draft) {
        if std::mem::take(&mut self.in_row) {
            draft.push(BlockKind::TableRow, &self.text);
            self.text.clear();
        }
    }

    /// A table or heading within a cell: the outer table only lays out the page.
    fn leave_row(&mut self, draft: &mut Draft) {
        self.in_row = false;
        self.flush(draft);
    }
}

fn is_block(name: &str) -> bool {
    matches!(
        name,
        "p" | "div"
            | "section"
            | "article"
            | "header"
            | "footer"
            | "main"
            | "aside"
            | "nav"
            | "blockquote"
            | "figure"
            | "figcaption"
            | "address"
            | "dl"
            | "dd"
            | "ul"
            | "ol"
            | "hr"
            | "form"
            | "fieldset"
            | "legend"
            | "details"
            | "summary"
            | "body"
            | "html"
            | "head"
            | "option"
            | "center"
            | "caption"
            | "thead"
            | "tbody"
            | "tfoot"
            | "menu"
    )
}
