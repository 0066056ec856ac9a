//! The rows of the strips: which there are, how high they are, and what stands over them.

use eframe::egui::{Align, Color32, Layout, Rect, Sense, TextStyle, Ui, UiBuilder, pos2};

use super::Scales;
use super::bodies::{self, Drawn};
use crate::run::Cell;
use crate::theme::{ColourScale, Map, Mark, Theme, keys_at, legend, legend_width, space, text};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Row {
    /// With a thin line below it that says which way.
    Utility,
    Steps,
    Losses,
}

impl Row {
    /// The rows there is something for, in this run or in the one it shares its scales with.
    pub fn shown(scales: &Scales) -> Vec<Row> {
        let mut rows = Vec::new();
        if scales.utility.is_some() {
            rows.push(Row::Utility);
        }
        if scales.most_steps > 0 {
            rows.push(Row::Steps);
        }
        if scales.losses.is_some() {
            rows.push(Row::Losses);
        }
        rows
    }

    pub fn height(self) -> f32 {
        match self {
            Row::Utility => bodies::UTILITY,
            Row::Steps | Row::Losses => 84.0,
        }
    }

    /// The height that a low window leaves it.
    pub fn least(self) -> f32 {
        match self {
            Row::Utility => bodies::UTILITY,
            Row::Steps | Row::Losses => 50.0,
        }
    }

    /// Whether the row takes room that is left over.
    pub fn grows(self) -> bool {
        matches!(self, Row::Steps | Row::Losses)
    }

    fn title(self) -> &'static str {
        match self {
            Row::Utility => "Utility",
            Row::Steps => "Gradient steps",
            Row::Losses => "Loss",
        }
    }

    fn explanation(self) -> &'static str {
        match self {
            Row::Utility => "how much the far text matters",
            Row::Steps => "where they go",
            Row::Losses => "lower is better",
        }
    }

    /// More than fits beside the title.
    fn tooltip(self) -> &'static str {
        match self {
            Row::Utility => {
                "How much text from far above changes what the model expects here: the mean of \
                 |log P_full − log P_local| over the words of a chunk, in nats a token.\n\
                 The line below: orange where that text helps, blue where it misleads."
            }
            Row::Steps => {
                "How often the memory is changed to fit a chunk.\n\
                 Hatched are the steps that every chunk gets, filled the others; an open frame is \
                 still to be taken."
            }
            Row::Losses => {
                "How badly the model foresees a chunk, in nats a token: as it was, and with the \
                 memory.\nOne nat less makes the right word 2.7 times likelier."
            }
        }
    }

    pub fn heading(self, ui: &mut Ui, area: Rect, drawn: &Drawn<'_>) {
        let p = Theme::of(ui).palette;
        let font = text::strong_style().resolve(ui.style());
        let small = TextStyle::Small.resolve(ui.style());
        let title = ui
            .painter()
            .layout_no_wrap(self.title().to_owned(), font, p.ink);
        let middle = area.top() + 9.0;
        let at = pos2(area.left(), middle - title.size().y / 2.0);
        let title_end = at.x + title.size().x + space::S;
        ui.painter().galley(at, title, p.ink);
        let words = ui
            .painter()
            .layout_no_wrap(self.explanation().to_owned(), small, p.muted);
        let words_end = title_end + words.size().x + space::L;
        let key_width = self.key(ui, area.with_min_x(title_end), words_end, drawn);
        // What is in plain words stays longer than the names of colours.
        if words_end < area.right() - key_width {
            let at = pos2(title_end, middle - words.size().y / 2.0 + 0.5);
            ui.painter().galley(at, words, p.muted);
        }
        let title = area.with_max_x(words_end.min(area.right() - key_width));
        let id = ui
            .scope_id()
            .with(("row title", self.title(), area.top() as i32));
        ui.interact(title, id, Sense::hover())
            .on_hover_text(self.tooltip());
    }

    /// What the row's colours and marks mean, at the right end; returns its width. What is left of
    /// `words_end` is given up last.
    fn key(self, ui: &mut Ui, area: Rect, words_end: f32, drawn: &Drawn<'_>) -> f32 {
        let p = Theme::of(ui).palette;
        let end = pos2(area.right(), area.top() + 9.0);
        match self {
            Row::Utility => {
                let area = Rect::from_min_max(area.min, pos2(end.x, area.top() + 18.0));
                let layout = Layout::right_to_left(Align::Center);
                let id = ("key", self.title());
                let mut child =
                    ui.new_child(UiBuilder::new().id_salt(id).max_rect(area).layout(layout));
                let mut colours = utility_colours(drawn);
                if words_end + legend_width(&child, &colours) > area.right() {
                    colours.unit = "nats";
                }
                let legend = legend(&mut child, &colours);
                let width = legend.rect.width();
                legend.on_hover_text(self.tooltip());
                width
            }
            Row::Steps => {
                let rule = drawn.figures.rule.unwrap_or("by utility");
                let mut entries = vec![
                    (Mark::Hatch, p.coverage, "for every chunk"),
                    (Mark::Fill, p.utility, rule),
                ];
                let cells = &drawn.figures.cells;
                let open = |c: &Cell| c.record.taken.total() < c.record.planned.total();
                if drawn.figures.begun && cells.iter().any(open) {
                    entries.push((Mark::Frame, p.faint, "to come"));
                }
                if drawn.preview.is_some() {
                    entries.push(match drawn.figures.begun {
                        true => (Mark::Line, p.ink, "as set now"),
                        false => (Mark::Dashes, p.faint, "plan before"),
                    });
                }
                keys_at(ui, end, &entries)
            }
            Row::Losses => {
                let mut entries: Vec<(Mark, Color32, &str)> = vec![
                    (Mark::Ring, p.muted, "before"),
                    (Mark::Dot, p.better, "after"),
                ];
                if drawn.figures.held_out {
                    entries.push((Mark::Diamond, p.utility, "held out, after"));
                }
                keys_at(ui, end, &entries)
            }
        }
    }

    pub fn draw(self, ui: &Ui, drawn: &Drawn<'_>) {
        match self {
            Row::Utility => bodies::utility(ui, drawn),
            Row::Steps => bodies::steps(ui, drawn),
            Row::Losses => bodies::losses(ui, drawn),
        }
    }
}

/// From zero, as in the figures that are saved.
pub fn utility_colours(drawn: &Drawn<'_>) -> ColourScale<'static> {
    ColourScale {
        title: "",
        unit: "nats a token",
        low: 0.0,
        high: drawn.scales.utility.unwrap_or(0.0),
        map: Map::Sequential,
    }
}

/// On the scale of the utilities: none is larger than its own.
pub fn signed_colours(drawn: &Drawn<'_>) -> ColourScale<'static> {
    let most = drawn.scales.utility.unwrap_or(0.0);
    ColourScale {
        low: -most,
        map: Map::Diverging,
        ..utility_colours(drawn)
    }
}
