//! A page about a run: figures, tables, settings. It asks nothing of the network and prints well.

use std::fmt::Write;

use crate::write::record::RunRecord;

use super::colour::{Palette, Theme};
use super::compose;
use super::panels;
use super::svg::escape;
use super::text;
use super::view::{ChunkCell, View};
use crate::words;

/// Writing to a `String` cannot fail.
macro_rules! put {
    ($page:expr, $($arg:tt)*) => {{ let _ = writeln!($page, $($arg)*); }};
}

/// The page; `width` is that of its column in pixels.
pub fn page(run: &RunRecord, theme: Theme, width: u32) -> String {
    let view = View::new(run, theme);
    let name = escape(&compose::name(run));
    let mut page = String::new();
    put!(page, "<!doctype html>");
    put!(page, "<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">");
    put!(
        page,
        "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">"
    );
    put!(page, "<title>{name} · Inscribe</title>");
    put!(
        page,
        "<style>{}</style>\n</head>\n<body>\n<main>",
        style(view.palette, width)
    );
    put!(page, "<header>\n<h1>{name}</h1>");
    put!(
        page,
        "<p class=\"sub\">{}</p>",
        escape(&panels::subtitle(run))
    );
    if let Some(status) = panels::unfinished(run) {
        put!(page, "<p class=\"status\">{}</p>", escape(&status));
    }
    put!(page, "</header>");
    tiles(&mut page, run);
    figures(&mut page, &view, f64::from(width));
    chunk_table(&mut page, &view);
    settings(&mut page, run);
    put!(page, "</main>\n</body>\n</html>");
    page
}

fn tiles(page: &mut String, run: &RunRecord) {
    put!(page, "<dl class=\"tiles\">");
    for (what, much) in panels::facts(run) {
        put!(
            page,
            "<div><dt>{}</dt><dd>{}</dd></div>",
            escape(what),
            escape(&much)
        );
    }
    put!(page, "</dl>");
}

fn figures(page: &mut String, view: &View<'_>, width: f64) {
    let parts = [
        (
            compose::chunks_figure(view, width),
            "Each column is a chunk of the document, in its order. Utility is the mean of \
             |log P(token | whole document) − log P(token | nearest tokens only)| over its tokens: \
             how much the model's expectation there depends on context that is not near. Without \
             the absolute value, the mean tells whether distant context helps (+) or hinders (−). \
             After every chunk has had its share (coverage), steps go where utility is high.",
        ),
        (
            compose::curve_figure(view, width),
            "The loss of the tokens each step learned from, before that step.",
        ),
        (
            compose::phases_figure(view, width),
            "The local pass is what measuring utility costs beyond reading the document once.",
        ),
    ];
    for (figure, caption) in parts {
        if let Some(figure) = figure {
            put!(
                page,
                "<figure>\n{figure}<figcaption>{caption}</figcaption>\n</figure>"
            );
        }
    }
}

fn chunk_table(page: &mut String, view: &View<'_>) {
    if view.cells.is_empty() {
        return;
    }
    let segments = view.run.segments.len() > 1;
    let segment = if segments { "<th>Segment</th>" } else { "" };
    put!(
        page,
        "<h2>Chunks</h2>\n<div class=\"wide\">\n<table class=\"chunks\">"
    );
    put!(
        page,
        "<thead><tr><th>Chunk</th>{segment}<th class=\"text\">Heading</th><th>Tokens</th>\
         <th colspan=\"2\" class=\"text\">Utility</th><th>Signed</th><th>Steps</th><th>Loss before</th>\
         <th>after</th></tr></thead>\n<tbody>"
    );
    for cell in &view.cells {
        chunk_row(page, view, cell, segments);
    }
    put!(page, "</tbody>\n</table>\n</div>");
}

fn chunk_row(page: &mut String, view: &View<'_>, cell: &ChunkCell<'_>, segments: bool) {
    let chunk = cell.chunk;
    let number = |value: Option<f64>| value.map_or("–".to_owned(), words::number);
    let title = chunk
        .title
        .as_deref()
        .map(text::one_line)
        .unwrap_or_default();
    put!(page, "<tr><td>{}</td>", cell.number);
    if segments {
        put!(page, "<td>{}</td>", cell.segment + 1);
    }
    put!(page, "<td class=\"text\">{}</td>", escape(&title));
    put!(page, "<td>{}</td>", words::count(chunk.tokens.len()));
    put!(page, "<td>{}</td>", number(chunk.utility));
    let scale = view.utility.unwrap_or(1.0);
    let share = chunk.utility.map_or(0.0, |utility| utility / scale);
    put!(
        page,
        "<td class=\"bar\"><i style=\"width:{:.0}%;background:{}\"></i></td>",
        (share * 100.0).clamp(0.0, 100.0),
        cell.colour.hex()
    );
    put!(
        page,
        "<td>{}</td>",
        chunk.signed.map_or("–".to_owned(), words::signed)
    );
    let (taken, planned) = (chunk.taken.total(), chunk.planned.total());
    let steps = if taken < planned {
        format!("{taken} of {planned}")
    } else {
        taken.to_string()
    };
    put!(
        page,
        "<td>{steps}</td><td>{}</td>",
        number(chunk.loss_before)
    );
    put!(page, "<td>{}</td></tr>", number(chunk.loss_after));
}

fn settings(page: &mut String, run: &RunRecord) {
    let mut rows: Vec<(String, String)> = Vec::new();
    let mut row = |name: &str, value: String| rows.push((name.to_owned(), value));
    if let Some(document) = &run.document {
        row("document", document.name.clone());
        row("sha-256 of its text", document.sha256.clone());
    }
    if let Some(model) = &run.model {
        row("model", model.name.clone());
        row("parameters", words::count(model.parameters as usize));
        row("fingerprint", model.fingerprint.clone());
    }
    if !run.device.is_empty() {
        row("device", run.device.clone());
    }
    if let Some(Ok(serde_json::Value::Object(fields))) =
        run.settings.as_ref().map(serde_json::to_value)
    {
        for (name, value) in &fields {
            row(&name.replace('_', " "), plain(value));
        }
    }
    if rows.is_empty() {
        return;
    }
    put!(
        page,
        "<h2>How it was made</h2>\n<table class=\"settings\">\n<tbody>"
    );
    for (name, value) in rows {
        put!(
            page,
            "<tr><th>{}</th><td>{}</td></tr>",
            escape(&name),
            escape(&value)
        );
    }
    put!(page, "</tbody>\n</table>");
}

/// A setting without JSON's quotes and braces.
fn plain(value: &serde_json::Value) -> String {
    match value {
        serde_json::Value::String(text) => text.clone(),
        serde_json::Value::Array(items) => items.iter().map(plain).collect::<Vec<_>>().join(", "),
        serde_json::Value::Object(fields) => {
            let fields = fields
                .iter()
                .map(|(name, value)| format!("{name} {}", plain(value)));
            fields.collect::<Vec<_>>().join(", ")
        }
        // Settings of single precision are kept with the digits of double precision.
        serde_json::Value::Number(number) => match number.as_f64() {
            Some(value) if number.is_f64() => (value as f32).to_string(),
            _ => number.to_string(),
        },
        other => other.to_string(),
    }
}

fn style(palette: &Palette, width: u32) -> String {
    let Palette {
        background,
        ink,
        muted,
        grid,
        trough,
        worse,
        ..
    } = palette;
    let families = text::FAMILIES;
    let fonts = text::style_sheet();
    format!(
        "
{fonts}:root {{ background: {background}; color: {ink}; font: 16px/1.5 {families}; }}
body {{ margin: 0; }}
main {{ max-width: {width}px; margin: 0 auto; padding: 40px 24px 64px; }}
h1 {{ font-size: 34px; line-height: 1.2; margin: 0 0 6px; overflow-wrap: anywhere; }}
h2 {{ font-size: 21px; margin: 44px 0 10px; }}
.sub {{ color: {muted}; margin: 0; }}
.status {{ color: {worse}; font-weight: 600; margin: 6px 0 0; }}
.tiles {{ display: grid; grid-template-columns: repeat(auto-fill, minmax(225px, 1fr)); gap: 14px;
  margin: 28px 0 8px; }}
.tiles div {{ background: {trough}; border-radius: 8px; padding: 12px 16px; }}
.tiles dt {{ color: {muted}; font-size: 14px; }}
.tiles dd {{ margin: 2px 0 0; font-weight: 600; }}
figure {{ margin: 40px 0 0; break-inside: avoid; }}
figure svg {{ display: block; width: calc(100% + 12px); height: auto; margin-left: -6px; }}
figcaption {{ color: {muted}; font-size: 14px; max-width: 76ch; margin-top: 8px; }}
.wide {{ overflow-x: auto; }}
table {{ border-collapse: collapse; font-size: 14px; font-variant-numeric: tabular-nums; }}
th, td {{ text-align: right; padding: 5px 12px 5px 0; border-bottom: 1px solid {grid};
  white-space: nowrap; }}
th {{ color: {muted}; font-weight: 600; }}
.chunks {{ width: 100%; }}
.chunks .text {{ text-align: left; }}
.chunks td.text {{ white-space: normal; min-width: 16ch; }}
.chunks .bar {{ width: 120px; }}
.bar i {{ display: block; height: 11px; border-radius: 2px; print-color-adjust: exact;
  -webkit-print-color-adjust: exact; }}
.settings th, .settings td {{ text-align: left; white-space: normal; overflow-wrap: anywhere; }}
tr {{ break-inside: avoid; }}
@media print {{
  @page {{ margin: 14mm; }}
  :root, svg, .tiles div {{ print-color-adjust: exact; -webkit-print-color-adjust: exact; }}
  main {{ max-width: none; padding: 0; }}
  .wide {{ overflow: visible; }}
}}
"
    )
}
