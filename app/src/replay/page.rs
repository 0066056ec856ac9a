//! The document of a run that is played, beside it.

use eframe::egui::{Label, Ui};
use inscribe::write::record::{RunRecord, Status};

use super::load::Text;
use crate::screens::text::{TextView, legend};
use crate::state::{OpenDocument, State};
use crate::theme::{card, space, text};
use crate::vocabulary::{Selection, fresh_version};

/// The text in a state of its own: what is open elsewhere in the window is not touched.
pub struct Page {
    state: State,
    view: TextView,
    /// Whether the text was taken to its hottest part.
    went: bool,
}

impl Page {
    pub fn new(of: Text) -> Page {
        let mut state = State::default();
        state.prefs.signed = true;
        state.document = Some(OpenDocument {
            document: of.document,
            path: None,
            tokens: of.tokens,
            tokens_of: String::new(),
            version: fresh_version(),
        });
        Page {
            state,
            view: TextView::default(),
            went: false,
        }
    }

    pub fn show(
        &mut self,
        ui: &mut Ui,
        record: &RunRecord,
        version: u64,
        selection: &mut Selection,
    ) {
        let state = &mut self.state;
        if state.run.version != version {
            state.run.record = record.clone();
            state.run.version = version;
            self.go_to_the_hottest();
        }
        let state = &mut self.state;
        let shown = at_work(record, selection);
        if state.selection != shown {
            state.selection = shown;
        }
        let height = ui.available_height();
        card(ui, |ui| {
            ui.set_min_height(height - 2.0 * space::L - 2.0);
            if let Some(open) = &state.document {
                ui.add(Label::new(text::heading(&open.document.name)).truncate());
            }
            if self.view.shades().is_known() {
                legend(ui, self.view.shades(), true);
            } else {
                ui.label(text::caption(said_meanwhile(record)));
            }
            ui.add_space(space::XS);
            self.view.show(ui, state);
        });
        if state.selection != shown {
            *selection = state.selection;
        }
    }

    /// Once it is known where far context matters most, the text shows that place.
    fn go_to_the_hottest(&mut self) {
        let chunks = self
            .state
            .run
            .record
            .segments
            .iter()
            .flat_map(|s| &s.chunks);
        let hot = chunks
            .filter_map(|chunk| Some((chunk.utility?, chunk.text.start)))
            .max_by(|a, b| a.0.total_cmp(&b.0));
        if let Some((_, byte)) = hot.filter(|_| !self.went) {
            self.state.scroll_to = Some(byte);
        }
        self.went = hot.is_some();
    }
}

/// What was chosen, or else the chunk that the last step was taken in, while steps are taken.
fn at_work(record: &RunRecord, selection: &Selection) -> Selection {
    let last = record
        .steps
        .last()
        .filter(|_| record.status == Status::Running);
    match last.and_then(|last| Some((last.step.segment, last.step.chunk?))) {
        Some((segment, chunk)) if *selection == Selection::default() => {
            Selection::chunk(segment, chunk)
        }
        _ => *selection,
    }
}

fn said_meanwhile(record: &RunRecord) -> &'static str {
    let utility = record
        .segments
        .iter()
        .any(|s| s.chunks.iter().any(|c| c.utility.is_some()));
    if utility {
        "The band at the left: how much far context matters in each part."
    } else {
        "It is being read, once with everything before each word and once with its neighbourhood only."
    }
}
