//! Text that goes round in circles, as small models write it.

/// The longest round, in tokens: a few sentences.
const LONGEST: usize = 64;
/// Tokens that repeat what came before them, from which on it is a loop: a short round must come many
/// times, since lists and tables repeat a few tokens as well.
const ENOUGH: usize = 24;
/// Rounds after the first, from which on it is a loop; of long rounds one is enough.
const ROUNDS: usize = 2;
const LONG: usize = 24;

/// What the end of a text repeats.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Repeats {
    /// Number of the first token that is as the one a round before it; the number of all tokens where
    /// the last one repeats nothing.
    pub from: usize,
    pub is_loop: bool,
}

/// Looks whether the tokens at the end repeat those before them, round by round.
pub fn at_end(ids: &[u32]) -> Repeats {
    let mut found = Repeats {
        from: ids.len(),
        is_loop: false,
    };
    for round in 1..=LONGEST.min(ids.len().saturating_sub(1)) {
        let earlier = ids[..ids.len() - round].iter().rev();
        let pairs = ids.iter().rev().zip(earlier);
        let repeated = pairs.take_while(|(one, other)| one == other).count();
        let rounds = if round >= LONG { 1 } else { ROUNDS };
        let is_loop = repeated >= ENOUGH && repeated >= rounds * round;
        let from = ids.len() - repeated;
        if is_loop {
            return Repeats { from, is_loop };
        }
        found.from = found.from.min(from);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn repeated(lead: &[u32], round: &[u32], times: usize) -> Vec<u32> {
        [lead.to_vec(), round.repeat(times)].concat()
    }

    #[test]
    fn rounds_of_every_length_are_loops_once_they_came_often_enough() {
        for length in [1, 2, 7, 12, 30, 64] {
            let round: Vec<u32> = (100..100 + length).collect();
            let times = 24_usize.div_ceil(round.len()).max(2) + 1;
            let often = repeated(&[1, 2, 3], &round, times);
            let end = at_end(&often);
            assert!(end.is_loop, "{length}");
            assert_eq!(end.from, 3 + round.len(), "{length}: one round stays");
        }
    }

    #[test]
    fn what_comes_twice_is_no_loop() {
        for (round, times) in [(vec![5], 12), (vec![5, 6, 7], 4), ((0..20).collect(), 2)] {
            let text = repeated(&[1, 2, 3], &round, times);
            assert!(!at_end(&text).is_loop, "{round:?}");
        }
        let broken = repeated(&[], &[5, 6, 7, 8], 9);
        let broken = [&broken[..], &[9]].concat();
        let end = Repeats {
            from: broken.len(),
            is_loop: false,
        };
        assert_eq!(at_end(&broken), end);
        assert!(!at_end(&[]).is_loop);
    }

    #[test]
    fn what_may_become_a_loop_is_known_from_its_first_token_on() {
        let round: Vec<u32> = (100..112).collect();
        let text = repeated(&[1, 2, 3], &round, 3);
        for length in 16..text.len() {
            assert!(at_end(&text[..length]).from <= 15, "{length}");
        }
    }
}
