//! docs/events.md tells of every event and of all its fields.

use std::collections::BTreeSet;

use inscribe::write::event::Event;
use serde_json::Value;

const PAGE: &str = include_str!("../../../docs/events.md");

/// The kinds of events, in a match that must name each, so that a new one is not forgotten here.
fn kind(event: &Event) -> &'static str {
    match event {
        Event::Started(_) => "started",
        Event::SegmentStarted { .. } => "segment_started",
        Event::Progress { .. } => "progress",
        Event::Prefilled { .. } => "prefilled",
        Event::LocallyRead { .. } => "locally_read",
        Event::Utility { .. } => "utility",
        Event::Allocated { .. } => "allocated",
        Event::Evaluated(_) => "evaluated",
        Event::Step(_) => "step",
        Event::ChunkDone { .. } => "chunk_done",
        Event::Checkpointed { .. } => "checkpointed",
        Event::Paused => "paused",
        Event::Resumed { .. } => "resumed",
        Event::Done(_) => "done",
    }
}

/// As many as `kind` has arms.
const KINDS: usize = 14;

#[test]
fn the_page_has_an_example_of_every_event() {
    let blocks = PAGE.split("```json\n").skip(1);
    let examples = blocks.filter_map(|block| block.split("\n```").next());
    let mut told = BTreeSet::new();
    for example in examples {
        let event: Event = serde_json::from_str(example).expect(example);
        let kind = kind(&event);
        assert!(PAGE.contains(&format!("### `{kind}`\n")), "{kind}");
        let written = serde_json::to_value(&event).expect("JSON");
        let shown: Value = serde_json::from_str(example).expect("JSON");
        assert_eq!(keys(&written, ""), keys(&shown, ""), "{kind}");
        told.insert(kind);
    }
    assert_eq!(told.len(), KINDS, "{told:?}");
}

/// Names of all fields, with those around them; settings are those of the call.
fn keys(value: &Value, around: &str) -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    match value {
        Value::Object(fields) => {
            for (name, inner) in fields {
                let path = format!("{around}.{name}");
                if name != "settings" {
                    all.extend(keys(inner, &path));
                }
                all.insert(path);
            }
        }
        Value::Array(items) => all.extend(items.iter().flat_map(|item| keys(item, around))),
        _ => {}
    }
    all
}
