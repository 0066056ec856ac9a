//! The chunk, the token and the step that the walk explains the method with.

use inscribe::write::event::{Step, StepKind};
use inscribe::write::record::RunRecord;

use crate::run::{Cell, Figures};
use crate::vocabulary::Selection;

/// One token under both passes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Token {
    /// Index of the token within its segment.
    pub at: usize,
    /// `log P` of the token after all that comes before it, in nats.
    pub full: f64,
    pub local: f64,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Example {
    /// Index of the cell: the chosen chunk, or the one of highest utility.
    pub place: usize,
    pub cell: Cell,
    /// `log P_full - log P_local` in nats of each of the chunk's tokens that both passes reported.
    pub differences: Vec<f32>,
    /// The token whose prediction far context changes most.
    pub token: Option<Token>,
    /// Number of tokens of local context: each token sees so many and up to twice as many.
    pub window: usize,
    pub step: Option<Step>,
    /// The utilities that the softmax is taken of.
    pub utilities: Vec<f64>,
}

impl Example {
    /// Tokens before this one that the local pass showed the model.
    pub fn local_context(&self, token: &Token) -> usize {
        let window = self.window.max(1);
        // A block of n tokens is scored with the n before it.
        token.at - (token.at / window * window).saturating_sub(window)
    }

    pub fn of(record: &RunRecord, figures: &Figures, selection: &Selection) -> Option<Example> {
        let chosen = figures.selected(selection);
        let utility = |place: &usize| figures.cells[*place].record.utility;
        let highest = || {
            let known = (0..figures.cells.len()).filter(|place| utility(place).is_some());
            known.max_by(|a, b| {
                utility(a)
                    .unwrap_or(0.0)
                    .total_cmp(&utility(b).unwrap_or(0.0))
            })
        };
        let place = chosen
            .filter(|place| utility(place).is_some())
            .or_else(highest)?;
        let cell = figures.cells.get(place)?.clone();
        let segment = record.segments.get(cell.segment)?;
        let range = cell.record.tokens.clone();
        let full = segment.surprisal.get(range.clone()).unwrap_or_default();
        let local = segment
            .local_surprisal
            .get(range.clone())
            .unwrap_or_default();
        let tokens = full
            .iter()
            .zip(local)
            .enumerate()
            .filter_map(|(at, (full, local))| {
                Some(Token {
                    at: range.start + at,
                    full: -f64::from((*full)?),
                    local: -f64::from((*local)?),
                })
            });
        let tokens: Vec<Token> = tokens.collect();
        let far = |token: &Token| (token.full - token.local).abs();
        let token = tokens
            .iter()
            .copied()
            .max_by(|a, b| far(a).total_cmp(&far(b)));
        let same_part = figures.cells.iter().filter(|c| c.segment == cell.segment);
        Some(Example {
            place,
            differences: tokens.iter().map(|t| (t.full - t.local) as f32).collect(),
            token,
            window: segment.window.unwrap_or(256),
            step: step(record, figures, place),
            utilities: same_part.map(|c| c.record.utility.unwrap_or(0.0)).collect(),
            cell,
        })
    }
}

/// The chunk's first utility step, or else its first step.
fn step(record: &RunRecord, figures: &Figures, place: usize) -> Option<Step> {
    let own = figures.steps_of.get(place)?;
    let steps = || {
        own.iter()
            .filter_map(|&at| Some(&record.steps.get(at)?.step))
    };
    let by_utility = steps().find(|step| step.kind == StepKind::Utility);
    by_utility.or_else(|| steps().next()).cloned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use inscribe::write::synthetic::{Invented, events};

    #[test]
    fn it_takes_the_chosen_chunk_or_the_one_of_highest_utility() {
        let record = RunRecord::from_events(&events(&Invented::default()));
        let figures = Figures::of(&record);
        let best = Example::of(&record, &figures, &Selection::default()).unwrap();
        let utility = |cell: &Cell| cell.record.utility.unwrap();
        assert!(
            figures
                .cells
                .iter()
                .all(|c| utility(c) <= utility(&best.cell))
        );
        let third = Example::of(&record, &figures, &Selection::chunk(0, 2)).unwrap();
        assert_eq!(third.place, 2);
        assert_eq!(third.utilities.len(), figures.cells.len());
        assert!(third.differences.len() <= third.cell.tokens());
        let token = third.token.unwrap();
        assert!(third.cell.record.tokens.contains(&token.at));
        assert_eq!(third.step.unwrap().chunk, Some(2));
        assert_eq!(
            Example::of(
                &RunRecord::default(),
                &Figures::default(),
                &Selection::default()
            ),
            None
        );
    }
}
