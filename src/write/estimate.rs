//! How much tokens change without distant context, where a sampled local pass skipped them.
//!
//! The change of a token that was read anew is known. One that was glanced at changes as much as the
//! glance saw, times what glances missed where a block was both glanced at and read. The others are
//! told by least squares from what the first pass and the text itself say of them: how surprising
//! they are, how often they were there before, and whether they, alone or with the one or two tokens
//! before them, stood in the document before, but out of the local pass's sight.

use std::collections::HashMap;

/// How a token's surprisal changes when only the nearest tokens stand before it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Change {
    /// `|log P_full - log P_local|`
    pub size: f64,
    /// `log P_full - log P_local`
    pub signed: f64,
}

/// What a local pass found out about each token.
#[derive(Clone, Default)]
pub struct Local {
    /// `-log P_local` of those read anew.
    pub surprisal: Vec<Option<f32>>,
    /// `log P_full - log P_local` as glances saw it.
    pub glanced: Vec<Option<f32>>,
}

impl Local {
    /// Nothing known of any of some tokens.
    pub fn nothing(tokens: usize) -> Local {
        Local {
            surprisal: vec![None; tokens],
            glanced: vec![None; tokens],
        }
    }

    /// `-log P_local` of each token, given those of the first pass: as read anew, or as glances say.
    pub fn told(&self, full: &[Option<f32>]) -> Vec<Option<f32>> {
        let missed = missed_by_glances(&measured(full, self), &self.glanced);
        let glanced = self.glanced.iter().zip(full).map(|(glanced, full)| {
            let change = missed * f64::from((*glanced)?);
            Some((f64::from((*full)?) + change).max(0.0) as f32)
        });
        let read = self.surprisal.iter().zip(glanced);
        read.map(|(read, glanced)| read.or(glanced)).collect()
    }
}

/// The changes of tokens that were read anew.
fn measured(full: &[Option<f32>], local: &Local) -> Vec<Option<Change>> {
    let pairs = full.iter().zip(&local.surprisal);
    let change = |(full, local): (&Option<f32>, &Option<f32>)| {
        // Surprisals are negated log-probabilities: log P_full - log P_local = local - full.
        let signed = f64::from((*local)?) - f64::from((*full)?);
        Some(Change {
            size: signed.abs(),
            signed,
        })
    };
    pairs.map(change).collect()
}

const FEATURES: usize = 15;
type Row = [f64; FEATURES];

/// The change of every token: as measured, or estimated from those that were; `None` where nothing
/// stands before a token, or too few were measured.
pub fn changes(
    ids: &[u32],
    full: &[Option<f32>],
    local: &Local,
    window: usize,
) -> Vec<Option<Change>> {
    let mut changes = measured(full, local);
    let missed = missed_by_glances(&changes, &local.glanced);
    for (change, glanced) in changes.iter_mut().zip(&local.glanced) {
        let seen = glanced.map(|glanced| missed * f64::from(glanced));
        *change = change.or(seen.map(|signed| Change {
            size: signed.abs(),
            signed,
        }));
    }
    let skipped = |at: usize| full[at].is_some() && changes[at].is_none();
    let skipped: Vec<usize> = (0..full.len()).filter(|&at| skipped(at)).collect();
    if skipped.is_empty() {
        return changes;
    }
    let features = features(ids, full, window);
    // The first two windows see all that stands before them: they change nothing and teach nothing.
    let sampled: Vec<(Row, Change)> = (sight(window)..full.len())
        .filter_map(|at| Some((features[at], changes[at]?)))
        .collect();
    if sampled.len() < 8 * FEATURES {
        return changes;
    }
    let fit = |of: fn(&Change) -> f64| least_squares(sampled.iter().map(|(row, c)| (row, of(c))));
    let (size, signed) = (fit(|c| c.size), fit(|c| c.signed));
    for at in skipped {
        changes[at] = Some(Change {
            size: dot(&features[at], &size).max(0.0),
            signed: dot(&features[at], &signed),
        });
    }
    changes
}

/// How many times larger changes are than glances see them, by the tokens of which both are known.
fn missed_by_glances(measured: &[Option<Change>], glanced: &[Option<f32>]) -> f64 {
    let both = measured.iter().zip(glanced);
    let both = both.filter_map(|(change, glanced)| Some(((*change)?.size, (*glanced)?)));
    let (change, seen) = both.fold((0.0, 0.0), |(change, seen), (c, g)| {
        (change + c, seen + f64::from(g.abs()))
    });
    if seen > 0.0 { change / seen } else { 1.0 }
}

/// Tokens at the beginning to which the local pass shows all that the first pass shows.
pub fn sight(window: usize) -> usize {
    window.saturating_mul(2)
}

fn features(ids: &[u32], full: &[Option<f32>], window: usize) -> Vec<Row> {
    let window = window.max(1);
    let mut triples: HashMap<[u32; 3], usize> = HashMap::new();
    let mut pairs: HashMap<[u32; 2], usize> = HashMap::new();
    let mut tokens: HashMap<u32, (usize, usize)> = HashMap::new();
    let mut rows = Vec::with_capacity(full.len());
    for (at, (&id, surprisal)) in ids.iter().zip(full).enumerate() {
        let unseen = (at / window).saturating_sub(1) * window;
        let before = |count: usize| at.checked_sub(count).and_then(|at| ids.get(at)).copied();
        let triple = before(2).zip(before(1)).map(|(a, b)| [a, b, id]);
        let last_triple = triple.and_then(|triple| triples.insert(triple, at));
        let last_pair = before(1).and_then(|a| pairs.insert([a, id], at));
        let known = tokens.get(&id).copied();
        let times = known.map_or(0, |(_, times)| times);
        tokens.insert(id, (at, times + 1));
        let out_of_sight = |last: Option<usize>| f64::from(last.is_some_and(|at| at < unseen));
        let triple = out_of_sight(last_triple);
        let pair = out_of_sight(last_pair);
        let token = out_of_sight(known.map(|(at, _)| at));
        let new = f64::from(known.is_none());
        let surprisal = f64::from(surprisal.unwrap_or(0.0)).max(0.0);
        let (root, likelihood) = (surprisal.sqrt(), (-surprisal).exp());
        rows.push([
            1.0,
            surprisal,
            root,
            likelihood,
            pair,
            token,
            (unseen as f64 / window as f64).ln_1p(),
            // What is likely now and stood before out of sight is likely because of that.
            pair * likelihood,
            token * likelihood,
            token * root,
            triple,
            triple * likelihood,
            new,
            new * root,
            (times as f64).ln_1p(),
        ]);
    }
    rows
}

fn dot(row: &Row, weights: &Row) -> f64 {
    row.iter().zip(weights).map(|(x, w)| x * w).sum()
}

/// Weights that leave the least squares, by the normal equations with a trace of damping, so that
/// features that say the same do no harm.
fn least_squares<'a>(samples: impl Iterator<Item = (&'a Row, f64)>) -> Row {
    let mut left = [[0.0; FEATURES]; FEATURES];
    let mut right = [0.0; FEATURES];
    for (row, target) in samples {
        for (i, x) in row.iter().enumerate() {
            right[i] += x * target;
            for (sum, y) in left[i].iter_mut().zip(row) {
                *sum += x * y;
            }
        }
    }
    let trace: f64 = (0..FEATURES).map(|i| left[i][i]).sum();
    for (i, row) in left.iter_mut().enumerate() {
        row[i] += 1e-6 * trace / FEATURES as f64;
    }
    solve(left, right)
}

/// Gaussian elimination of a positive definite system.
fn solve(mut left: [Row; FEATURES], mut right: Row) -> Row {
    for i in 0..FEATURES {
        let pivot = left[i];
        for k in i + 1..FEATURES {
            let times = left[k][i] / pivot[i];
            for (to, from) in left[k].iter_mut().zip(&pivot) {
                *to -= times * from;
            }
            right[k] -= times * right[i];
        }
    }
    for i in (0..FEATURES).rev() {
        let known: f64 = (i + 1..FEATURES).map(|k| left[i][k] * right[k]).sum();
        right[i] = (right[i] - known) / left[i][i];
    }
    right
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: usize = 16;

    /// Surprisals whose change without context follows from where the token stood before.
    fn text() -> (Vec<u32>, Vec<Option<f32>>, Vec<Option<f32>>) {
        let ids: Vec<u32> = (0..2000u32).map(|i| (i * i + i / 7) % 61).collect();
        let full: Vec<Option<f32>> = (0..ids.len())
            .map(|i| (i > 0).then(|| 0.5 + (i * 37 % 11) as f32 / 4.0))
            .collect();
        let rows = features(&ids, &full, WINDOW);
        let change = |row: &Row| (0.1 * row[1] + 0.8 * row[4]) as f32;
        let local = full
            .iter()
            .zip(&rows)
            .map(|(full, row)| full.map(|full| full + change(row)));
        let local = local.collect();
        (ids, full, local)
    }

    fn read_anew(surprisal: Vec<Option<f32>>) -> Local {
        let glanced = vec![None; surprisal.len()];
        Local { surprisal, glanced }
    }

    #[test]
    fn what_was_measured_stays() {
        let (ids, full, local) = text();
        let known = read_anew(local.clone());
        for (at, change) in changes(&ids, &full, &known, WINDOW).iter().enumerate() {
            let expected = full[at]
                .zip(local[at])
                .map(|(f, l)| f64::from(l) - f64::from(f));
            assert_eq!(change.map(|c| c.signed), expected);
            assert_eq!(change.map(|c| c.size), expected.map(f64::abs));
        }
    }

    #[test]
    fn what_was_skipped_is_told_from_a_quarter() {
        let (ids, full, local) = text();
        let seen = |at: usize| at < sight(WINDOW) || (at / WINDOW).is_multiple_of(4);
        let sampled: Vec<Option<f32>> = (0..ids.len())
            .map(|at| local[at].filter(|_| seen(at)))
            .collect();
        let found = changes(&ids, &full, &read_anew(sampled), WINDOW);
        let true_changes = changes(&ids, &full, &read_anew(local), WINDOW);
        assert!(found.iter().any(|c| c.is_some_and(|c| c.size > 0.5)));
        for (found, known) in found.iter().zip(&true_changes).skip(sight(WINDOW)) {
            let (found, known) = (found.unwrap(), known.unwrap());
            assert!(
                (found.size - known.size).abs() < 1e-3,
                "{found:?} {known:?}"
            );
            assert!((found.signed - known.signed).abs() < 1e-3);
        }
    }

    #[test]
    fn too_few_samples_tell_nothing() {
        let (ids, full, local) = text();
        let sampled: Vec<Option<f32>> = (0..ids.len())
            .map(|at| local[at].filter(|_| at < sight(WINDOW) + 20))
            .collect();
        let found = changes(&ids, &full, &read_anew(sampled), WINDOW);
        assert!(found[sight(WINDOW) + 20..].iter().all(Option::is_none));
    }

    #[test]
    fn glances_count_as_one_block_says_they_should() {
        let (ids, full, local) = text();
        let mut known = read_anew(local.clone());
        let whole = changes(&ids, &full, &known, WINDOW);
        let block = sight(WINDOW)..sight(WINDOW) + WINDOW;
        for (at, change) in whole.iter().enumerate().skip(sight(WINDOW)) {
            // A glance sees half of each change.
            known.glanced[at] = change.map(|change| (change.signed / 2.0) as f32);
            if !block.contains(&at) {
                known.surprisal[at] = None;
            }
        }
        for (told, local) in known.told(&full).iter().zip(&local).skip(1) {
            assert!((told.unwrap() - local.unwrap()).abs() < 1e-4);
        }
        let found = changes(&ids, &full, &known, WINDOW);
        for (found, whole) in found.iter().zip(&whole).skip(1) {
            let (found, whole) = (found.unwrap(), whole.unwrap());
            assert!(
                (found.size - whole.size).abs() < 1e-4,
                "{found:?} {whole:?}"
            );
            assert!((found.signed - whole.signed).abs() < 1e-4);
        }
    }
}
