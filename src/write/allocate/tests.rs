use std::time::Duration;

use cpu_time::ThreadTime;

use proptest::prelude::*;

use super::*;

fn of(budget: usize) -> Allocation {
    Allocation {
        budget,
        k_min: 1,
        tau: 1.0,
        coverage: true,
        scale: UtilityScale::Raw,
        rule: Rule::Utility,
    }
}

fn totals(utilities: &[f64], input: &Allocation) -> Vec<u32> {
    let steps = allocate(utilities, input).unwrap();
    steps.into_iter().map(ChunkSteps::total).collect()
}

#[test]
fn a_worked_example() {
    // softmax(ln 1, ln 2, ln 5) = 1/8, 2/8, 5/8; 13 steps beyond coverage have the quotas
    // 1.625, 3.25, 8.125, so the one left over goes to the first.
    let utilities = [1f64.ln(), 2f64.ln(), 5f64.ln()];
    let steps = allocate(&utilities, &of(16)).unwrap();
    let pairs: Vec<(u32, u32)> = steps.iter().map(|s| (s.coverage, s.utility)).collect();
    assert_eq!(pairs, [(1, 2), (1, 3), (1, 8)]);
    let bare = Allocation {
        coverage: false,
        ..of(16)
    };
    assert_eq!(totals(&utilities, &bare), [2, 4, 10]);
}

#[test]
fn a_budget_below_coverage_goes_to_the_highest() {
    let utilities = [0.1, 0.9, 0.5, 0.9];
    assert_eq!(totals(&utilities, &of(0)), [0, 0, 0, 0]);
    assert_eq!(totals(&utilities, &of(1)), [0, 1, 0, 0]);
    assert_eq!(totals(&utilities, &of(3)), [0, 1, 1, 1]);
    for k_min in [2, usize::MAX] {
        let more = Allocation { k_min, ..of(6) };
        assert_eq!(totals(&utilities, &more), [1, 2, 1, 2]);
    }
}

#[test]
fn limits_of_the_temperature() {
    let utilities = [0.2, 0.7, 0.7, -3.0];
    let at = |tau| totals(&utilities, &Allocation { tau, ..of(104) });
    for cold in [0.0, f64::MIN_POSITIVE, 5e-324, 1e-9] {
        assert_eq!(at(cold), [1, 51, 51, 1]);
    }
    for hot in [f64::INFINITY, f64::MAX, 1e12] {
        assert_eq!(at(hot), [26, 26, 26, 26]);
    }
    let extreme = [f64::MAX, -f64::MAX, 0.0];
    for tau in [0.0, 1e-300, 1.0, 1e300, f64::INFINITY] {
        for scale in [UtilityScale::Raw, UtilityScale::Zscore] {
            let input = Allocation {
                tau,
                scale,
                ..of(100)
            };
            let sum: u32 = totals(&extreme, &input).iter().sum();
            assert_eq!(sum, 100, "{tau} {scale:?}");
        }
    }
}

#[test]
fn equal_chunks_are_served_in_order() {
    assert_eq!(totals(&[0.3; 4], &of(10)), [3, 3, 2, 2]);
    assert_eq!(totals(&[0.0, -0.0, 0.0], &of(2)), [1, 1, 0]);
    let zscore = Allocation {
        scale: UtilityScale::Zscore,
        ..of(10)
    };
    assert_eq!(totals(&[0.3; 4], &zscore), [3, 3, 2, 2]);
}

#[test]
fn z_scores_do_not_see_scale_or_offset() {
    let utilities = [0.01, 0.03, 0.02, 0.09];
    let moved = utilities.map(|u| 1000.0 * u + 5.0);
    let at = |utilities: &[f64], scale| totals(utilities, &Allocation { scale, ..of(400) });
    let (raw, zscore) = (UtilityScale::Raw, UtilityScale::Zscore);
    assert_eq!(at(&utilities, zscore), at(&moved, zscore));
    assert_ne!(at(&utilities, raw), at(&moved, raw));
}

#[test]
fn baselines() {
    let utilities = [0.4, 0.1, 0.3, 0.2, 0.9, 0.5, 0.6, 0.7];
    let by = |rule, budget, coverage| {
        let input = Allocation {
            rule,
            coverage,
            ..of(budget)
        };
        totals(&utilities, &input)
    };
    assert_eq!(by(Rule::Uniform, 16, true), [2; 8]);
    assert_eq!(by(Rule::Uniform, 4, true), [0, 1, 0, 1, 0, 1, 0, 1]);
    assert_eq!(by(Rule::TopK, 18, true), [1, 1, 1, 1, 6, 1, 1, 6]);
    assert_eq!(by(Rule::TopK, 11, false), [0, 0, 0, 0, 6, 0, 0, 5]);
    let random = by(Rule::Random { seed: 3 }, 5, true);
    assert!(random.iter().all(|&k| k <= 1) && random.iter().sum::<u32>() == 5);
}

#[test]
fn random_steps_differ_by_seed_and_favour_no_chunk() {
    let by = |seed| {
        let rule = Rule::Random { seed };
        totals(&[0.5; 10], &Allocation { rule, ..of(110) })
    };
    assert_ne!(by(1), by(2));
    assert_eq!(by(1), by(1));
    let mut sums = [0; 10];
    for seed in 0..1000 {
        for (sum, steps) in sums.iter_mut().zip(by(seed)) {
            *sum += steps;
        }
    }
    // 100,000 draws of 10 chunks beside 1000 of coverage: 11,000 each, deviation 95.
    for sum in sums {
        assert!(sum.abs_diff(11_000) < 500, "{sums:?}");
    }
}

#[test]
fn what_is_refused() {
    let refused = |utilities: &[f64]| allocate(utilities, &of(5)).unwrap_err();
    assert_eq!(refused(&[]), AllocationError::NoChunks { budget: 5 });
    for (chunk, value) in [(1, f64::NAN), (0, f64::INFINITY), (2, f64::NEG_INFINITY)] {
        let mut utilities = [0.0; 3];
        utilities[chunk] = value;
        match refused(&utilities) {
            AllocationError::UtilityNotFinite { chunk: found, .. } => assert_eq!(found, chunk),
            other => panic!("{other}"),
        }
    }
    let setting = |refused: Result<_, AllocationError>| match refused {
        Err(AllocationError::Setting(error)) => error.setting,
        other => panic!("{other:?}"),
    };
    for tau in [f64::NAN, -1.0, f64::NEG_INFINITY] {
        let refused = allocate(&[1.0], &Allocation { tau, ..of(5) });
        assert_eq!(setting(refused), Setting::Tau);
    }
    assert_eq!(allocate(&[], &of(0)), Ok(vec![]));
    let most = of(u32::MAX as usize);
    assert_eq!(totals(&[1.0], &most), [u32::MAX]);
    assert_eq!(
        setting(allocate(&[1.0], &of(most.budget + 1))),
        Setting::Budget
    );
}

#[test]
fn ten_thousand_chunks_while_a_slider_moves() {
    let moves = |chunks: usize| {
        let utilities: Vec<f64> = (0..chunks).map(|i| (i as f64 * 0.7).sin()).collect();
        let started = ThreadTime::now();
        for moved in 0..10 {
            let zscore = Allocation {
                tau: 0.1 * f64::from(moved),
                scale: UtilityScale::Zscore,
                ..of(100_000)
            };
            assert_eq!(totals(&utilities, &zscore).iter().sum::<u32>(), 100_000);
        }
        started.elapsed()
    };
    // A millisecond or two each of this thread's own time, whatever else the machine does. Work
    // that grows with the square takes 256 times as long for 16 times the chunks.
    let is_even = |_| moves(10_000) < 64 * moves(625) + Duration::from_millis(5);
    assert!((0..5).any(is_even));
}

fn rules() -> impl Strategy<Value = Rule> {
    prop_oneof![
        Just(Rule::Utility),
        Just(Rule::Uniform),
        Just(Rule::TopK),
        any::<u64>().prop_map(|seed| Rule::Random { seed }),
    ]
}

fn scales() -> impl Strategy<Value = UtilityScale> {
    prop_oneof![Just(UtilityScale::Raw), Just(UtilityScale::Zscore)]
}

fn utilities() -> impl Strategy<Value = Vec<f64>> {
    let value = prop_oneof![
        4 => -2.0f64..5.0,
        1 => prop::sample::select(vec![0.0, -0.0, 1.0, 1e300, -1e300, 1e-300]),
    ];
    prop::collection::vec(value, 1..60)
}

fn taus() -> impl Strategy<Value = f64> {
    prop_oneof![
        4 => 0.01f64..10.0,
        1 => prop::sample::select(vec![0.0, 1e-300, 1e-9, 1e9, 1e300, f64::INFINITY]),
    ]
}

fn allocations() -> impl Strategy<Value = Allocation> {
    let budgets = prop_oneof![0usize..500, 0usize..=u32::MAX as usize];
    let settings = (budgets, 0usize..5, any::<bool>(), taus(), scales(), rules());
    settings.prop_map(|(budget, k_min, coverage, tau, scale, rule)| Allocation {
        budget,
        k_min,
        coverage,
        tau,
        scale,
        rule,
    })
}

proptest! {
    #[test]
    fn steps_add_up_to_the_budget_and_cover(utilities in utilities(), input in allocations()) {
        let steps = allocate(&utilities, &input).unwrap();
        prop_assert_eq!(steps.len(), utilities.len());
        let total = |s: &ChunkSteps| u64::from(s.coverage) + u64::from(s.utility);
        prop_assert_eq!(steps.iter().map(total).sum::<u64>(), input.budget as u64);
        let rounds = input.budget / utilities.len();
        for s in &steps {
            if !input.coverage {
                prop_assert_eq!(s.coverage, 0);
            } else if rounds >= input.k_min {
                prop_assert_eq!(s.coverage as usize, input.k_min);
            } else {
                prop_assert_eq!(s.utility, 0);
                prop_assert!((rounds..=rounds + 1).contains(&(s.coverage as usize)));
            }
        }
        prop_assert_eq!(allocate(&utilities, &input).unwrap(), steps);
    }

    #[test]
    fn a_higher_utility_never_gets_less(
        utilities in utilities(),
        input in allocations(),
        top: bool,
    ) {
        let rule = if top { Rule::TopK } else { Rule::Utility };
        let steps = totals(&utilities, &Allocation { rule, ..input });
        for a in 0..steps.len() {
            for b in 0..steps.len() {
                let ahead =
                    utilities[a] > utilities[b] || (utilities[a] == utilities[b] && a < b);
                prop_assert!(!ahead || steps[a] >= steps[b], "{} {} {:?}", a, b, steps);
            }
        }
    }

    #[test]
    fn raising_one_utility_never_takes_steps_from_it(
        mut utilities in prop::collection::vec(-2.0f64..5.0, 1..40),
        which: prop::sample::Index,
        more in 0.0f64..3.0,
        budget in 0usize..500,
        k_min in 0usize..3,
    ) {
        let at = which.index(utilities.len());
        let input = Allocation { k_min, ..of(budget) };
        let before = totals(&utilities, &input)[at];
        utilities[at] += more;
        prop_assert!(totals(&utilities, &input)[at] >= before);
    }

    #[test]
    fn steps_stay_within_one_of_their_share(
        utilities in prop::collection::vec(-2.0f64..5.0, 1..40),
        budget in 0usize..5000,
        tau in 0.1f64..5.0,
    ) {
        let input = Allocation { tau, coverage: false, ..of(budget) };
        let steps = allocate(&utilities, &input).unwrap();
        let weights: Vec<f64> = utilities.iter().map(|u| (u / tau).exp()).collect();
        let sum: f64 = weights.iter().sum();
        for (s, weight) in steps.iter().zip(&weights) {
            let share = budget as f64 * weight / sum;
            prop_assert!((f64::from(s.utility) - share).abs() < 1.0 + 1e-6);
        }
    }
}
