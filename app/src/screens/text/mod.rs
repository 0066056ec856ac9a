//! The document's text, shaded by what context changes. Rows are laid out when they are seen, and
//! kept.

mod chunks;
mod layout;
mod lines;
mod minimap;
mod places;
mod shades;
mod tell;

use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap};
use std::ops::Range;
use std::sync::Arc;

use eframe::egui::{
    self, Align2, CornerRadius, FontId, Mesh, Pos2, Rect, Role, Sense, Stroke, TextStyle, Ui,
    WidgetInfo, epaint, pos2, vec2,
};

use crate::state::{OpenDocument, State};
use crate::theme::{Theme, space};
use crate::vocabulary::Selection;

use chunks::{ChunkMap, selected_bytes};
use layout::{LaidOut, fonts, lay_out};
use lines::{Row, Widths, row_of, wrap};
use places::{Hottest, Learned};
pub use shades::Shades;
use shades::ground;
pub use tell::legend;

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
    laid_out_for: Option<(bool, u64, usize)>,
    minimap: minimap::Minimap,
    chunks: ChunkMap,
    offset: f32,
    /// Height of the part that is seen.
    seen: f32,
    /// Scripts of which the document has characters that no font draws.
    boxes: BTreeSet<&'static str>,
    /// Number of changes of the shades so far.
    shaded: u64,
    last_width: f32,
    hottest: Option<Hottest>,
    /// The document and the shades that the hottest place was looked for in.
    hottest_of: Option<(u64, u64, usize)>,
    /// The document whose hottest place was shown.
    shown_hottest_of: Option<u64>,
    learned: Learned,
}

/// What the rows were made of.
#[derive(Clone, Copy, PartialEq)]
struct Wrapped {
    document: u64,
    width: f32,
    pixels_per_point: f32,
}

/// The word under the pointer.
struct Hovered {
    tokens: Range<usize>,
    bytes: Range<usize>,
    rect: Rect,
}

/// A document and its tokens, as they are drawn.
struct Drawn {
    open: OpenDocument,
    tokens: Arc<Vec<Range<usize>>>,
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
        let tokens = state.token_bytes().unwrap_or_default();
        let drawn = Drawn { open, tokens };
        let open = &drawn.open;
        if self.shades.refresh(&state.run.record) {
            self.shaded += 1;
        }
        let area = ui.available_rect_before_wrap();
        self.seen = area.height();
        let text_width = (area.width() - GUTTER - MINIMAP - space::L).clamp(120.0, 760.0);
        let spare = (area.width() - MINIMAP - GUTTER - text_width - space::L).max(0.0);
        self.wrap(ui, open, text_width);
        self.find_hottest(state, &drawn);
        self.follow_steps(state, &drawn);
        self.follow(state, open, area.height());
        let left = area.min.x + spare / 2.0;
        let body = Rect::from_min_max(
            pos2(left, area.min.y),
            pos2(area.max.x - MINIMAP - spare / 2.0, area.max.y),
        );
        let map = Rect::from_min_max(pos2(area.max.x - MINIMAP + space::S, area.min.y), area.max);
        let mut child = ui.new_child(egui::UiBuilder::new().max_rect(body));
        self.show_rows(&mut child, state, &drawn);
        let total = self.rows.len() as f32 * ROW;
        let seen = (self.offset / total)..((self.offset + area.height()) / total).min(1.0);
        let marks = minimap::Marks {
            rows: &self.rows,
            tokens: &drawn.tokens,
            shades: &self.shades,
            version: (
                open.version,
                self.shaded,
                self.rows.len() + drawn.tokens.len(),
            ),
            signed: state.prefs.signed,
            seen,
            selected: selected_bytes(&state.run.record, &state.selection),
            now: self.learned.chunk.clone(),
        };
        if let Some(part) = self.minimap.show(ui, map, &marks) {
            let to = part * total - area.height() / 2.0;
            self.offset = to.clamp(0.0, (total - area.height()).max(0.0));
            state.scroll_to = None;
            self.learned.left_alone = true;
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

    fn show_rows(&mut self, ui: &mut Ui, state: &mut State, drawn: &Drawn) {
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
            self.draw(ui, state, drawn, first..last)
        });
        let offset = out.state.clamped_offset().y;
        let most = (total - out.inner_rect.height()).max(0.0);
        if (offset - self.offset.clamp(0.0, most)).abs() > 1.0 {
            self.learned.left_alone = true;
        }
        self.offset = offset;
        if let Some(hovered) = out.inner {
            tell::tell(ui, state, &drawn.open, &self.shades, &hovered);
        }
    }

    fn draw(
        &mut self,
        ui: &mut Ui,
        state: &mut State,
        drawn: &Drawn,
        range: Range<usize>,
    ) -> Option<Hovered> {
        let theme = Theme::of(ui);
        let Drawn { open, tokens } = drawn;
        let key = (theme.dark, open.version, Arc::as_ptr(tokens) as usize);
        if self.laid_out_for != Some(key) || self.laid_out.len() > KEPT {
            self.laid_out.clear();
            self.laid_out_for = Some(key);
        }
        let origin = ui.min_rect().min;
        let pointer = ui.ctx().pointer_hover_pos();
        let selected = selected_bytes(&state.run.record, &state.selection);
        self.chunks.refresh(&state.run.record, state.run.version);
        let quiet = self.quiet_bytes(tokens);
        let mut hovered = None;
        let mut clicked = None;
        // Everything behind the words is one shape: there are hundreds of tokens in sight.
        let behind = ui.painter().add(egui::Shape::Noop);
        let mut grounds = Mesh::default();
        for index in range.clone() {
            let row = self.rows[index];
            let top = origin.y + index as f32 * ROW;
            let rect = Rect::from_min_size(
                pos2(origin.x, top),
                vec2(ui.available_width().max(200.0), ROW),
            );
            let response = ui.interact(rect, ui.scope_id().with(("row", index)), Sense::click());
            let words = open.document.text.get(row.bytes()).unwrap_or("");
            response.widget_info(|| WidgetInfo::labeled(Role::Label, true, words));
            let inside = |s: &Range<usize>| s.start <= row.start && row.start < s.end;
            let colour = if quiet.iter().any(inside) {
                Some(theme.palette.trough)
            } else {
                let part = self.chunks.find(row.start).and_then(|chunk| chunk.part);
                part.map(|part| theme.sequential(part))
            };
            if let Some(colour) = colour {
                grounds.add_colored_rect(band(rect), colour);
            }
            if selected.as_ref().is_some_and(inside) {
                let ground = theme.palette.selected.gamma_multiply(0.45);
                grounds.add_colored_rect(rect.with_min_x(rect.min.x + GUTTER - 6.0), ground);
            }
            let laid_out = self
                .laid_out
                .entry(index)
                .or_insert_with(|| lay_out(ui, &open.document, tokens, row));
            let at = pos2(
                rect.min.x + GUTTER,
                top + (ROW - laid_out.galley.size().y) / 2.0,
            );
            let (shades, shading) = (&self.shades, state.prefs.shading);
            let learned = &self.learned.tokens;
            for word in &laid_out.words {
                let place = token_rect(at, top, word.from, word.to);
                let part = shades.part(word.tokens.clone());
                let colour = ground(theme, part, state.prefs.signed);
                if let Some(colour) = colour.filter(|_| shading && !word.is_mark) {
                    grounds.add_colored_rect(place, colour);
                }
                let now = |span: &Range<usize>| {
                    span.start < word.tokens.end && word.tokens.start < span.end
                };
                if learned.iter().any(now) {
                    let line = place.with_min_y(place.max.y - 2.0);
                    grounds.add_colored_rect(line, theme.palette.accent);
                }
            }
            let ink = theme.palette.ink;
            ui.painter().galley(at, Arc::clone(&laid_out.galley), ink);
            if let Some(pos) = pointer.filter(|pos| rect.contains(*pos) && response.hovered()) {
                hovered = word_at(laid_out, tokens, at, top, pos);
            }
            if response.clicked() {
                let token = hovered.as_ref().map(|h: &Hovered| h.tokens.start);
                clicked = Some((row.start, token));
            }
        }
        ui.painter().set(behind, egui::Shape::mesh(grounds));
        for quiet in &quiet {
            self.mark_quiet(ui, origin, quiet, &range);
        }
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
            let stroke = Stroke::new(1.0, theme.palette.ink);
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

    /// The bytes of the beginnings where nothing is distant yet.
    fn quiet_bytes(&self, tokens: &[Range<usize>]) -> Vec<Range<usize>> {
        let bytes = self.shades.quiet.iter().filter_map(|quiet| {
            let last = tokens.get(quiet.end.checked_sub(1)?)?;
            Some(tokens.get(quiet.start)?.start..last.end)
        });
        bytes.collect()
    }

    /// Says along the margin why words have no shade.
    fn mark_quiet(&self, ui: &Ui, origin: Pos2, quiet: &Range<usize>, seen: &Range<usize>) {
        let first = row_of(&self.rows, quiet.start).max(seen.start);
        let last = (row_of(&self.rows, quiet.end) + 1).min(seen.end);
        let p = Theme::of(ui).palette;
        let font = TextStyle::Small.resolve(ui.style());
        let words = "nothing is distant yet".to_owned();
        let galley = ui.painter().layout_no_wrap(words, font, p.muted);
        let height = last.saturating_sub(first) as f32 * ROW;
        if height < galley.size().x + 2.0 * ROW {
            return;
        }
        let middle = pos2(
            origin.x + 14.0,
            origin.y + first as f32 * ROW + height / 2.0,
        );
        // It is turned about its middle, and placed by its corner.
        let corner = middle - galley.size() / 2.0;
        let turned = epaint::TextShape::new(corner, galley, p.muted)
            .with_angle_and_anchor(-std::f32::consts::FRAC_PI_2, Align2::CENTER_CENTER);
        ui.painter().add(turned);
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

/// The place of a word's ground; a hair is left between two.
fn token_rect(at: Pos2, top: f32, from: f32, to: f32) -> Rect {
    let (left, right) = (at.x + from, at.x + to - 0.5);
    Rect::from_x_y_ranges(left..=right.max(left), top + 1.5..=top + ROW - 1.5)
}

fn word_at(
    row: &LaidOut,
    tokens: &[Range<usize>],
    at: Pos2,
    top: f32,
    pos: Pos2,
) -> Option<Hovered> {
    let x = pos.x - at.x;
    let word = row.words.iter().find(|w| (w.from..w.to).contains(&x))?;
    let last = tokens.get(word.tokens.end.checked_sub(1)?)?;
    Some(Hovered {
        bytes: tokens.get(word.tokens.start)?.start..last.end,
        tokens: word.tokens.clone(),
        rect: token_rect(at, top, word.from, word.to),
    })
}

/// The band that says which chunk a row is of, in the colour of its utility.
fn band(row: Rect) -> Rect {
    Rect::from_x_y_ranges(row.min.x + 1.0..=row.min.x + 6.0, row.y_range())
}
