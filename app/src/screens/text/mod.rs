//! The document's text, shaded by what context changes. Rows are laid out when they are seen, and
//! kept.

mod lines;
mod minimap;
mod shades;

use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap};
use std::ops::Range;
use std::sync::Arc;

use eframe::egui::{
    self, Color32, CornerRadius, FontId, Galley, Mesh, Pos2, Rect, Role, Sense, TextStyle, Ui,
    WidgetInfo, epaint::text::cursor::CCursor, pos2, vec2,
};
use inscribe::write::record::RunRecord;

use crate::state::{OpenDocument, State};
use crate::theme::{Theme, space, text};
use crate::vocabulary::Selection;

use lines::{Row, Widths, row_of, wrap};
pub use shades::Shades;
use shades::ground;

/// Distance between the baselines of two rows, in points.
const ROW: f32 = 23.0;
/// Width of the chunk's band next to the text, in points.
const GUTTER: f32 = 22.0;
const MINIMAP: f32 = 68.0;
/// Most rows that are kept laid out.
const KEPT: usize = 600;
/// What egui draws where no font has a character.
const BOX: char = '◻';
/// Texts of more bytes than this are wrapped again only once the width no longer changes.
const LONG: usize = 2 << 20;

/// What is kept between frames.
#[derive(Default)]
pub struct TextView {
    rows: Vec<Row>,
    wrapped: Option<Wrapped>,
    shades: Shades,
    laid_out: HashMap<usize, LaidOut>,
    laid_out_for: Option<(bool, u64)>,
    minimap: minimap::Minimap,
    chunks: ChunkMap,
    offset: f32,
    /// Scripts of which the document has characters that no font draws.
    boxes: BTreeSet<&'static str>,
    /// Number of changes of the shades so far.
    shaded: u64,
    last_width: f32,
}

/// What the rows were made of.
#[derive(Clone, Copy, PartialEq)]
struct Wrapped {
    document: u64,
    width: f32,
    pixels_per_point: f32,
}

struct LaidOut {
    galley: Arc<Galley>,
    /// Tokens of the row, each with the left and right end of its place.
    tokens: Vec<(usize, f32, f32)>,
}

/// The token under the pointer.
struct Hovered {
    token: usize,
    rect: Rect,
}

impl TextView {
    pub fn shades(&self) -> &Shades {
        &self.shades
    }

    /// What to do where characters show as boxes.
    pub fn advice(&self) -> Option<String> {
        let scripts: Vec<&str> = self.boxes.iter().copied().collect();
        let scripts = scripts.join(" and ");
        (!scripts.is_empty()).then(|| {
            format!(
                "No font on this computer draws {scripts}: boxes stand in their place. Install \
                 one, such as a Noto font, and start the program again."
            )
        })
    }

    pub fn show(&mut self, ui: &mut Ui, state: &mut State) {
        let Some(open) = state.document.clone() else {
            return;
        };
        if self.shades.refresh(&state.run.record) {
            self.shaded += 1;
        }
        let area = ui.available_rect_before_wrap();
        let text_width = (area.width() - GUTTER - MINIMAP - space::L).clamp(120.0, 760.0);
        let spare = (area.width() - MINIMAP - GUTTER - text_width - space::L).max(0.0);
        self.wrap(ui, &open, text_width);
        self.follow(state, &open, area.height());
        let left = area.min.x + spare / 2.0;
        let body = Rect::from_min_max(
            pos2(left, area.min.y),
            pos2(area.max.x - MINIMAP - spare / 2.0, area.max.y),
        );
        let map = Rect::from_min_max(pos2(area.max.x - MINIMAP + space::S, area.min.y), area.max);
        let mut child = ui.new_child(egui::UiBuilder::new().max_rect(body));
        self.show_rows(&mut child, state, &open);
        let total = self.rows.len() as f32 * ROW;
        let seen = (self.offset / total)..((self.offset + area.height()) / total).min(1.0);
        let marks = minimap::Marks {
            rows: &self.rows,
            tokens: open.tokens.as_deref().map_or(&[], Vec::as_slice),
            shades: &self.shades,
            version: (open.version, self.shaded, self.rows.len()),
            signed: state.prefs.signed,
            seen,
            selected: selected_bytes(&state.run.record, &state.selection),
        };
        if let Some(part) = self.minimap.show(ui, map, &marks) {
            let to = part * total - area.height() / 2.0;
            self.offset = to.clamp(0.0, (total - area.height()).max(0.0));
            state.scroll_to = None;
            ui.ctx().request_repaint();
        }
        ui.advance_cursor_after_rect(area);
    }

    fn wrap(&mut self, ui: &Ui, open: &OpenDocument, width: f32) {
        let wanted = Wrapped {
            document: open.version,
            width,
            pixels_per_point: ui.pixels_per_point(),
        };
        if self.wrapped == Some(wanted) {
            return;
        }
        let settled = self.last_width == width;
        self.last_width = width;
        let same = self.wrapped.is_some_and(|w| w.document == wanted.document);
        if same && !settled && open.document.text.len() > LONG {
            ui.ctx().request_repaint_after_secs(0.2);
            return;
        }
        let top = self
            .rows
            .get((self.offset / ROW) as usize)
            .map(|row| row.start);
        let (plain, strong) = fonts(ui);
        let ctx = ui.ctx().clone();
        let boxes = RefCell::new(BTreeSet::new());
        let of = |font: FontId| {
            let (ctx, boxes) = (&ctx, &boxes);
            move |c: char| {
                ctx.fonts_mut(|fonts| {
                    if c.is_control() || fonts.has_glyph(&font, c) {
                        return fonts.glyph_width(&font, c);
                    }
                    boxes.borrow_mut().insert(script_of(c));
                    fonts.glyph_width(&font, BOX)
                })
            }
        };
        let (mut plain, mut strong) = (Widths::new(of(plain)), Widths::new(of(strong)));
        // Shaping may add a little to the sum of widths.
        self.rows = wrap(&open.document, width - 4.0, &mut plain, &mut strong);
        drop((plain, strong));
        self.boxes = boxes.into_inner();
        self.laid_out.clear();
        if let Some(top) = top.filter(|_| same) {
            self.offset = row_of(&self.rows, top) as f32 * ROW;
        } else if !same {
            self.offset = 0.0;
        }
        self.wrapped = Some(wanted);
    }

    /// Scrolls to where something asked the text to be.
    fn follow(&mut self, state: &mut State, open: &OpenDocument, height: f32) {
        let Some(byte) = state.scroll_to.take() else {
            return;
        };
        let row = row_of(&self.rows, byte.min(open.document.text.len())) as f32;
        let most = (self.rows.len() as f32 * ROW - height).max(0.0);
        self.offset = (row * ROW - ROW * 2.0).clamp(0.0, most);
    }

    fn show_rows(&mut self, ui: &mut Ui, state: &mut State, open: &OpenDocument) {
        let total = self.rows.len() as f32 * ROW;
        let area = egui::ScrollArea::vertical()
            .id_salt("document text")
            .auto_shrink([false, false])
            .vertical_scroll_offset(self.offset)
            .scroll_bar_visibility(egui::scroll_area::ScrollBarVisibility::AlwaysHidden);
        let out = area.show_viewport(ui, |ui, seen| {
            ui.set_height(total);
            let first = (seen.min.y / ROW).floor().max(0.0) as usize;
            let last = ((seen.max.y / ROW).ceil() as usize).min(self.rows.len());
            self.draw(ui, state, open, first..last)
        });
        self.offset = out.state.clamped_offset().y;
        if let Some(hovered) = out.inner {
            tell(ui, state, open, &self.shades, &hovered);
        }
    }

    fn draw(
        &mut self,
        ui: &mut Ui,
        state: &mut State,
        open: &OpenDocument,
        range: Range<usize>,
    ) -> Option<Hovered> {
        let theme = Theme::of(ui);
        let key = (theme.dark, open.version);
        if self.laid_out_for != Some(key) || self.laid_out.len() > KEPT {
            self.laid_out.clear();
            self.laid_out_for = Some(key);
        }
        let origin = ui.min_rect().min;
        let pointer = ui.ctx().pointer_hover_pos();
        let selected = selected_bytes(&state.run.record, &state.selection);
        self.chunks.refresh(&state.run.record, state.run.version);
        let mut hovered = None;
        let mut clicked = None;
        // Everything behind the words is one shape: there are hundreds of tokens in sight.
        let behind = ui.painter().add(egui::Shape::Noop);
        let mut grounds = Mesh::default();
        for index in range {
            let row = self.rows[index];
            let top = origin.y + index as f32 * ROW;
            let rect = Rect::from_min_size(
                pos2(origin.x, top),
                vec2(ui.available_width().max(200.0), ROW),
            );
            let response = ui.interact(rect, ui.scope_id().with(("row", index)), Sense::click());
            let words = open.document.text.get(row.bytes()).unwrap_or("");
            response.widget_info(|| WidgetInfo::labeled(Role::Label, true, words));
            if let Some(part) = self.chunks.find(row.start).and_then(|chunk| chunk.part) {
                grounds.add_colored_rect(band(rect), theme.sequential(part));
            }
            let inside = |s: &Range<usize>| s.start <= row.start && row.start < s.end;
            if selected.as_ref().is_some_and(inside) {
                let ground = theme.palette.selected.gamma_multiply(0.45);
                grounds.add_colored_rect(rect.with_min_x(rect.min.x + GUTTER - 6.0), ground);
            }
            let laid_out = self
                .laid_out
                .entry(index)
                .or_insert_with(|| lay_out(ui, open, row));
            let at = pos2(
                rect.min.x + GUTTER,
                top + (ROW - laid_out.galley.size().y) / 2.0,
            );
            if state.prefs.shading {
                let signed = state.prefs.signed;
                for &(token, from, to) in &laid_out.tokens {
                    if let Some(colour) = ground(theme, self.shades.part(token), signed) {
                        grounds.add_colored_rect(token_rect(at, top, from, to), colour);
                    }
                }
            }
            let ink = theme.palette.ink;
            ui.painter().galley(at, Arc::clone(&laid_out.galley), ink);
            if let Some(pos) = pointer.filter(|pos| rect.contains(*pos) && response.hovered()) {
                hovered = token_at(laid_out, at, top, pos);
            }
            if response.clicked() {
                let token = hovered.as_ref().map(|h: &Hovered| h.token);
                clicked = Some((row.start, token));
            }
        }
        ui.painter().set(behind, egui::Shape::mesh(grounds));
        if let Some((byte, token)) = clicked {
            let token = token.and_then(|token| self.shades.place(token));
            if let Some(place) = self.chunks.find(byte).map(|chunk| chunk.place) {
                state.selection = Selection {
                    token: token.filter(|(s, _)| *s == place.0).map(|(_, t)| t),
                    ..Selection::chunk(place.0, place.1)
                };
            }
        }
        if let Some(hovered) = &hovered {
            let stroke = egui::Stroke::new(1.0, theme.palette.ink);
            let outline = hovered.rect.expand2(vec2(0.5, 0.0));
            ui.painter().rect_stroke(
                outline,
                CornerRadius::same(3),
                stroke,
                egui::StrokeKind::Outside,
            );
        }
        hovered
    }
}

/// What the writing that a character is of is called.
fn script_of(c: char) -> &'static str {
    match u32::from(c) {
        0x0590..=0x05ff => "Hebrew text",
        0x0600..=0x06ff | 0x0750..=0x077f => "Arabic text",
        0x0900..=0x0dff => "text in Indian scripts",
        0x0e00..=0x0e7f => "Thai text",
        0x2e80..=0xa4cf
        | 0xac00..=0xd7af
        | 0xf900..=0xfaff
        | 0xff00..=0xffef
        | 0x20000..=0x3ffff => "Chinese, Japanese or Korean text",
        _ => "some characters",
    }
}

fn fonts(ui: &Ui) -> (FontId, FontId) {
    let plain = TextStyle::Body.resolve(ui.style());
    let strong = text::strong_style().resolve(ui.style());
    (
        FontId::new(15.0, plain.family),
        FontId::new(15.0, strong.family),
    )
}

fn lay_out(ui: &Ui, open: &OpenDocument, row: Row) -> LaidOut {
    let words = open.document.text.get(row.bytes()).unwrap_or("");
    let (plain, strong) = fonts(ui);
    let font = if row.heading { strong } else { plain };
    let galley = ui
        .painter()
        .layout_no_wrap(words.to_owned(), font, Color32::PLACEHOLDER);
    let all = open.tokens.as_deref().map_or(&[][..], Vec::as_slice);
    let first = all.partition_point(|token| token.end <= row.start);
    // Tokens follow one another, so characters are counted once.
    let (mut at, mut chars) = (0, 0);
    let mut x = |byte: usize| {
        let byte = byte.clamp(row.start, row.end) - row.start;
        // A token may end within a character: it is drawn as far as the character before.
        if let Some(part) = words.get(at..byte) {
            chars += part.chars().count();
            at = byte;
        }
        galley.pos_from_cursor(CCursor::new(chars)).min.x
    };
    let seen = all[first..].iter().take_while(|t| t.start < row.end);
    let tokens = seen
        .enumerate()
        .map(|(offset, token)| (first + offset, x(token.start), x(token.end)))
        .collect();
    LaidOut { galley, tokens }
}

/// The place of a token's ground; a hair is left between two.
fn token_rect(at: Pos2, top: f32, from: f32, to: f32) -> Rect {
    let (left, right) = (at.x + from, at.x + to - 0.5);
    Rect::from_x_y_ranges(left..=right.max(left), top + 1.5..=top + ROW - 1.5)
}

fn token_at(row: &LaidOut, at: Pos2, top: f32, pos: Pos2) -> Option<Hovered> {
    let x = pos.x - at.x;
    let found = row
        .tokens
        .iter()
        .find(|(_, from, to)| (*from..*to).contains(&x));
    found.map(|&(token, from, to)| Hovered {
        token,
        rect: token_rect(at, top, from, to),
    })
}

/// The band that says which chunk a row is of, in the colour of its utility.
fn band(row: Rect) -> Rect {
    Rect::from_x_y_ranges(row.min.x + 4.0..=row.min.x + 9.0, row.y_range())
}

fn selected_bytes(record: &RunRecord, selection: &Selection) -> Option<Range<usize>> {
    let segment = record.segments.get(selection.segment)?;
    let chunk = segment.chunks.get(selection.chunk?)?;
    (!chunk.text.is_empty()).then(|| chunk.text.clone())
}

/// Places of the chunks in the text, and the colours of their bands.
#[derive(Default)]
struct ChunkMap {
    chunks: Vec<Placed>,
    made_of: Option<u64>,
}

struct Placed {
    text: Range<usize>,
    /// Index of the segment, and of the chunk within it.
    place: (usize, usize),
    /// Utility on a scale from 0, the lowest of the document, to 1, the highest.
    part: Option<f64>,
}

impl ChunkMap {
    fn refresh(&mut self, record: &RunRecord, version: u64) {
        if self.made_of == Some(version) {
            return;
        }
        let (low, high) = record.utility_range().unwrap_or((0.0, 0.0));
        let part = |utility: f64| {
            if high > low {
                (utility - low) / (high - low)
            } else {
                0.5
            }
        };
        self.chunks.clear();
        for (segment, of) in record.segments.iter().enumerate() {
            let placed = of.chunks.iter().enumerate().map(|(chunk, found)| Placed {
                text: found.text.clone(),
                place: (segment, chunk),
                part: found.utility.map(part),
            });
            self.chunks.extend(placed);
        }
        self.made_of = Some(version);
    }

    fn find(&self, byte: usize) -> Option<&Placed> {
        let at = self.chunks.partition_point(|chunk| chunk.text.end <= byte);
        // White space between two chunks belongs to the next.
        let found = self.chunks.get(at)?;
        (found.text.start <= byte || at > 0).then_some(found)
    }
}

/// What is known of the token under the pointer.
fn tell(ui: &Ui, state: &State, open: &OpenDocument, shades: &Shades, hovered: &Hovered) {
    let Some((segment, token)) = shades.place(hovered.token) else {
        return;
    };
    let record = &state.run.record;
    let Some(part) = record.segments.get(segment) else {
        return;
    };
    let full = part.surprisal.get(token).copied().flatten();
    let local = part.local_surprisal.get(token).copied().flatten();
    let after = part.surprisal_after.get(token).copied().flatten();
    let words = open.tokens.as_ref().and_then(|tokens| {
        let bytes = tokens.get(hovered.token)?.clone();
        open.document.text.get(bytes)
    });
    let layer = ui.layer_id();
    let id = ui.scope_id().with("token");
    let tooltip = egui::Tooltip::always_open(ui.ctx().clone(), layer, id, hovered.rect);
    tooltip.gap(6.0).show(|ui| {
        ui.set_max_width(320.0);
        let shown = words.unwrap_or("").replace('\n', "¶");
        ui.label(text::strong(format!("“{shown}”")));
        egui::Grid::new("token numbers")
            .num_columns(2)
            .show(ui, |ui| {
                let mut line = |label: String, value: Option<f32>| {
                    ui.label(text::muted(label));
                    let value = value.map_or("not read".to_owned(), |v| format!("{v:.2} nats"));
                    ui.with_layout(egui::Layout::right_to_left(egui::Align::Center), |ui| {
                        ui.label(value);
                    });
                    ui.end_row();
                };
                line("Surprisal given everything before".to_owned(), full);
                let window = part.window.unwrap_or(state.settings().window);
                line(format!("given about {window} tokens before"), local);
                if let (Some(full), Some(local)) = (full, local) {
                    line("Distant context saves".to_owned(), Some(local - full));
                }
                if after.is_some() {
                    line("Surprisal with the memory".to_owned(), after);
                }
            });
    });
}

/// What the shading means, with its unit.
pub fn legend(ui: &mut Ui, shades: &Shades, signed: bool) {
    if !shades.is_known() {
        return;
    }
    let theme = Theme::of(ui);
    let (bar, height) = (96.0, 10.0);
    let (low, title) = if signed {
        (format!("−{:.1}", shades.full), "log P_full − log P_local")
    } else {
        ("0".to_owned(), "|log P_full − log P_local|")
    };
    let high = format!("{:.1} nats", shades.full);
    ui.horizontal(|ui| {
        ui.spacing_mut().item_spacing.x = space::S;
        ui.label(text::caption(title));
        ui.label(text::caption(&low));
        let (rect, response) = ui.allocate_exact_size(vec2(bar, height), Sense::hover());
        let steps = 24;
        for step in 0..steps {
            let x = rect.min.x + bar * step as f32 / steps as f32;
            let part = (step as f32 + 0.5) / steps as f32;
            let part = if signed { 2.0 * part - 1.0 } else { part };
            let colour = ground(theme, part, signed).unwrap_or(Color32::TRANSPARENT);
            let cell = Rect::from_min_size(pos2(x, rect.min.y), vec2(bar / steps as f32, height));
            ui.painter().rect_filled(cell, CornerRadius::ZERO, colour);
        }
        let border = egui::Stroke::new(1.0, theme.palette.border);
        ui.painter().rect_stroke(
            rect,
            CornerRadius::same(2),
            border,
            egui::StrokeKind::Outside,
        );
        let label = format!("Shading: {title}, {low} to {high}");
        response.widget_info(|| WidgetInfo::labeled(Role::Label, true, &label));
        ui.label(text::caption(&high));
    });
}
