//! How far apart two gradients in 32 bits should be for their difference to stand for the product
//! with second derivatives: a thousandth of the memory's length to either side.

use inscribe::train::episode::Rows;
use inscribe::train::net::{Use, names};

use super::cases::{Case, KINDS, all_parts, error, wide};
use super::gradients::run;
use super::net::Text;
use super::rows::dot;
use super::scalar::Dual;

/// Distances over the length of the memory, and the error that each may have: what is rounded
/// counts for more the nearer the two are, and third derivatives the further apart.
const DISTANCES: [(f64, f64); 4] = [(1e-4, 5e-3), (3e-4, 2e-3), (1e-3, 1e-3), (3e-3, 5e-3)];

/// A memory on both sides, and what the difference of two gradients there is multiplied by.
struct Sides {
    memories: [Vec<f32>; 2],
    factor: f64,
}

impl Sides {
    fn new(memory: &[f64], v: &[f64], relative: f64) -> Sides {
        let [size, length] = [v, memory].map(|list| dot(list, list).sqrt());
        let distance = relative * length;
        let memories = [1.0, -1.0].map(|sign| {
            let pairs = memory.iter().zip(v);
            pairs
                .map(|(m, v)| (m + sign * distance / size * v) as f32)
                .collect()
        });
        Sides {
            memories,
            factor: size / (2.0 * distance),
        }
    }

    fn difference(&self, [plus, minus]: [&[f32]; 2]) -> Vec<f64> {
        let pairs = plus.iter().zip(minus);
        pairs
            .map(|(&plus, &minus)| self.factor * (f64::from(plus) - f64::from(minus)))
            .collect()
    }
}

/// Both products by differences in plain loops.
fn in_plain_loops(case: &Case, sides: &Sides) -> [Vec<f64>; 2] {
    let text = Text::context(&case.samples[0]);
    let at = |memory: &Vec<f32>| case.exact().gradients(&case.flat, memory, &text);
    let [plus, minus] = sides.memories.each_ref().map(at);
    [
        sides.difference([&plus.memory, &minus.memory]),
        sides.difference([&plus.params, &minus.params]),
    ]
}

/// Both products as training takes them: one pass over both sides.
fn in_one_pass(case: &Case, sides: &Sides) -> [Vec<f64>; 2] {
    let mut net = case.net();
    let rows = Rows::of_contexts(&net, &case.samples[..1]).twice();
    let factor = sides.factor as f32;
    let rows = rows.scaled(|side| if side == 0 { factor } else { -factor });
    let d_memory = run(&mut net, &rows, &sides.memories.concat(), Use::Write);
    let (plus, minus) = d_memory.split_at(d_memory.len() / 2);
    let sum = wide(plus).into_iter().zip(wide(minus));
    let memory = sum.map(|(plus, minus)| plus + minus).collect();
    [memory, wide(&net.gradients().expect("gradients"))]
}

#[test]
fn a_thousandth_of_the_memory_s_length_is_near_enough() {
    for kind in KINDS {
        let case = Case::new(kind, &all_parts());
        let params = case.wide();
        let start = case.layout.entry(names::MEMORY).expect("a memory");
        let memory = &params[start.range.clone()];
        let text = Text::context(&case.samples[0]);
        let question = Text::question(&case.samples[0].questions[0]);
        let v = case.exact().gradients(&params, memory, &question).memory;
        let found = case.exact().along(&params, memory, &v, &text);
        let exact = [found.memory, found.params].map(|duals| Dual::tangents(&duals));
        for (relative, most) in DISTANCES {
            let sides = Sides::new(memory, &v, relative);
            for found in [in_plain_loops(&case, &sides), in_one_pass(&case, &sides)] {
                for (found, exact) in found.into_iter().zip(&exact) {
                    let off = error(&found, exact);
                    assert!(off < most, "{kind:?} at {relative:e}: off by {off:.2e}");
                }
            }
        }
    }
}
