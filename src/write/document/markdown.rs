//! Markdown: the text stays as it was written, marks and all; models know them well.

use std::ops::Range;

use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};

use super::{Block, BlockKind, Draft, Format};

pub(super) fn read(text: String) -> Draft {
    let mut blocks = Vec::new();
    let mut add = |kind: BlockKind, bytes: Range<usize>| {
        let inner = text.get(bytes.clone()).unwrap_or("");
        let end = bytes.start + inner.trim_end().len();
        if bytes.start < end {
            let bytes = bytes.start..end;
            blocks.push(Block { kind, bytes });
        }
    };
    let options = Options::ENABLE_TABLES
        | Options::ENABLE_FOOTNOTES
        | Options::ENABLE_STRIKETHROUGH
        | Options::ENABLE_TASKLISTS
        | Options::ENABLE_YAML_STYLE_METADATA_BLOCKS;
    // Items that are not added yet, each from where its own text starts.
    let mut items: Vec<Option<usize>> = Vec::new();
    for (event, bytes) in Parser::new_ext(&text, options).into_offset_iter() {
        let in_item = items.last().is_some_and(Option::is_some);
        match event {
            Event::Start(Tag::Item) => items.push(Some(bytes.start)),
            // An item's own text ends where a list within it starts.
            Event::Start(Tag::List(_)) => {
                if let Some(start) = items.last_mut().and_then(Option::take) {
                    add(BlockKind::ListItem, start..bytes.start);
                }
            }
            Event::End(TagEnd::Item) => {
                if let Some(start) = items.pop().flatten() {
                    add(BlockKind::ListItem, start..bytes.end);
                }
            }
            _ if in_item => {}
            Event::Start(Tag::Heading { level, .. }) => {
                add(BlockKind::Heading(level as u8), bytes);
            }
            Event::Start(Tag::Paragraph | Tag::HtmlBlock) => add(BlockKind::Paragraph, bytes),
            Event::Start(Tag::CodeBlock(_) | Tag::MetadataBlock(_)) => add(BlockKind::Code, bytes),
            Event::Start(Tag::TableHead | Tag::TableRow) => add(BlockKind::TableRow, bytes),
            _ => {}
        }
    }
    Draft {
        blocks,
        text,
        ..Draft::new(Format::Markdown)
    }
}
