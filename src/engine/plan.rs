//! Gives a recording's temporaries memory: those never alive together share it.

use super::recording::{Op, Recording};
use super::tensor::{Place, Tensor};

/// Where each temporary of a recording goes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Slot of each temporary; `None` for one that is never used.
    pub slot_of: Vec<Option<usize>>,
    /// Bytes of each slot.
    pub slots: Vec<u64>,
}

impl Plan {
    /// Bytes all temporaries take together.
    pub fn bytes(&self) -> u64 {
        self.slots.iter().sum()
    }

    /// Walks the recording once. A temporary takes the free slot that fits it best, enlarging the
    /// largest free one where none is big enough, and gives it back after its last use.
    pub fn new(recording: &Recording) -> Plan {
        let lifetimes = lifetimes(recording);
        let mut plan = Plan {
            slot_of: vec![None; recording.temps.len()],
            slots: Vec::new(),
        };
        // Temporaries that each operation is the first and the last to touch.
        let mut begin = vec![Vec::new(); recording.ops.len()];
        let mut end = begin.clone();
        for (temp, lifetime) in lifetimes.into_iter().enumerate() {
            if let Some((first, last)) = lifetime {
                begin[first].push(temp);
                end[last].push(temp);
            }
        }
        let mut free: Vec<usize> = Vec::new();
        for (begin, end) in begin.into_iter().zip(end) {
            for temp in begin {
                plan.slot_of[temp] = Some(plan.take(&mut free, recording.temps[temp]));
            }
            free.extend(end.into_iter().filter_map(|temp| plan.slot_of[temp]));
        }
        plan
    }

    fn take(&mut self, free: &mut Vec<usize>, bytes: u64) -> usize {
        let fitting = (0..free.len())
            .filter(|&i| self.slots[free[i]] >= bytes)
            .min_by_key(|&i| self.slots[free[i]]);
        let chosen = fitting.or_else(|| (0..free.len()).max_by_key(|&i| self.slots[free[i]]));
        match chosen {
            Some(i) => {
                let slot = free.swap_remove(i);
                self.slots[slot] = self.slots[slot].max(bytes);
                slot
            }
            None => {
                self.slots.push(bytes);
                self.slots.len() - 1
            }
        }
    }
}

/// Gives each of `sizes` one of the buffers of `held` bytes, or a new one where none that is free
/// is big enough. For programs that share their memory because they never run at the same time.
pub fn share(held: &mut Vec<u64>, sizes: &[u64]) -> Vec<usize> {
    let mut used = vec![false; held.len()];
    let mut order: Vec<usize> = (0..sizes.len()).collect();
    order.sort_by_key(|&i| std::cmp::Reverse(sizes[i]));
    let mut chosen = vec![0; sizes.len()];
    for i in order {
        let fitting = (0..held.len()).filter(|&b| !used[b] && held[b] >= sizes[i]);
        chosen[i] = fitting.min_by_key(|&b| held[b]).unwrap_or_else(|| {
            held.push(sizes[i]);
            used.push(false);
            held.len() - 1
        });
        used[chosen[i]] = true;
    }
    chosen
}

/// First and last operation that touches each temporary.
fn lifetimes(recording: &Recording) -> Vec<Option<(usize, usize)>> {
    let mut lifetimes = vec![None; recording.temps.len()];
    let mut touch = |tensor: &Tensor, index: usize| {
        if let Place::Temp(id) = tensor.place {
            let entry = &mut lifetimes[id.0 as usize];
            *entry = Some(
                entry.map_or((index, index), |(first, last): (usize, usize)| {
                    (first.min(index), last.max(index))
                }),
            );
        }
    };
    for (index, op) in recording.ops.iter().enumerate() {
        match op {
            Op::Dispatch(dispatch) => {
                dispatch
                    .views
                    .iter()
                    .flatten()
                    .for_each(|view| touch(view, index));
                // Where two run as one, what the second writes must not lie where the first reads.
                let before = index.checked_sub(1).map(|before| &recording.ops[before]);
                if let Some(Op::Dispatch(before)) = before
                    && dispatch.follows(before)
                {
                    let views = dispatch.views.iter().flatten();
                    views.for_each(|view| touch(view, index - 1));
                }
            }
            Op::Copy { src, dst } => {
                touch(src, index);
                touch(dst, index);
            }
            Op::Mark(_) => {}
        }
    }
    lifetimes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::DType;
    use proptest::prelude::*;

    proptest! {
        /// Two temporaries alive at the same operation never share a slot, every slot holds its
        /// largest tenant, and the whole is never more than one slot each.
        #[test]
        fn live_temporaries_never_share(
            sizes in prop::collection::vec(1usize..500, 1..24),
            pairs in prop::collection::vec((0usize..24, 0usize..24), 1..80),
        ) {
            let mut recording = Recording::new();
            let temps: Vec<_> =
                sizes.iter().map(|&n| recording.temp(DType::F32, 1, n)).collect();
            for (a, b) in pairs {
                let (a, b) = (a % temps.len(), b % temps.len());
                recording.ops.push(Op::Copy { src: temps[a].clone(), dst: temps[b].clone() });
            }
            let plan = Plan::new(&recording);
            let lives = lifetimes(&recording);
            for i in 0..temps.len() {
                let (Some(a), Some(slot)) = (lives[i], plan.slot_of[i]) else {
                    prop_assert!(lives[i].is_none() && plan.slot_of[i].is_none());
                    continue;
                };
                prop_assert!(plan.slots[slot] >= recording.temps[i]);
                for (j, life) in lives.iter().enumerate().take(i) {
                    if let Some(b) = life {
                        let together = a.0 <= b.1 && b.0 <= a.1;
                        prop_assert!(!together || plan.slot_of[j] != Some(slot));
                    }
                }
            }
            prop_assert!(plan.bytes() <= recording.temps.iter().sum());
        }
    }

    #[test]
    fn a_chain_needs_two_slots() {
        let mut recording = Recording::new();
        let temps: Vec<_> = (0..50).map(|_| recording.temp(DType::F32, 8, 8)).collect();
        for pair in temps.windows(2) {
            recording.copy(&pair[0], &pair[1]);
        }
        let plan = Plan::new(&recording);
        assert_eq!(plan.slots, [256, 256]);
    }
}
