//! What the pages are written about: a run, and one chunk of it as an example.

use inscribe::write::allocate::{Allocation, Rule, allocate};
use inscribe::write::event::ChunkSteps;
use inscribe::write::record::RunRecord;
use inscribe::write::settings::WriteSettings;

use super::example::Example;
use super::formula::{Formula, up};
use super::words::Words;
use crate::run::Figures;

/// What a page is written about.
pub struct Lesson<'a> {
    pub record: &'a RunRecord,
    pub figures: &'a Figures,
    pub example: &'a Example,
    /// The document's words, where its tokens are known.
    pub words: Option<Words<'a>>,
    /// The temperature that the page on the softmax is drawn with.
    pub tau: &'a mut f64,
    /// The temperature of the run.
    pub own_tau: f64,
}

impl Lesson<'_> {
    pub fn settings(&self) -> WriteSettings {
        self.record.settings.clone().unwrap_or_default()
    }

    /// Steps of the part of the document that the example is in.
    pub fn budget(&self) -> usize {
        let own = self
            .figures
            .cells
            .iter()
            .filter(|c| c.segment == self.example.cell.segment);
        let planned = own.map(|c| c.record.planned.total());
        let planned = planned.fold(0, u32::saturating_add);
        if planned == 0 {
            self.settings().budget
        } else {
            planned as usize
        }
    }

    pub fn chunks(&self) -> usize {
        self.example.utilities.len()
    }

    pub fn k_min(&self) -> usize {
        let settings = self.settings();
        if settings.coverage { settings.k_min } else { 0 }
    }

    /// Steps left once every chunk has its coverage.
    pub fn rest(&self) -> usize {
        self.budget().saturating_sub(self.chunks() * self.k_min())
    }

    /// The allocation at the temperature that the page shows.
    pub fn allocation(&self) -> Vec<ChunkSteps> {
        let settings = self.settings();
        let allocation = Allocation {
            budget: self.budget(),
            k_min: settings.k_min,
            coverage: settings.coverage,
            tau: *self.tau,
            scale: settings.scale,
            rule: Rule::Utility,
        };
        allocate(&self.example.utilities, &allocation).unwrap_or_default()
    }

    /// The number of the example among its part's chunks, in a formula.
    pub fn c(&self) -> Formula {
        up((self.example.cell.chunk + 1).to_string())
    }
}
