//! The CPU executor through the face both executors share.

use super::*;
use crate::engine::recording::test_kernel::{AFTER, BEFORE, COUNT};

fn cpu() -> Device {
    Device::cpu(2)
}

#[test]
fn copies_reach_their_targets_and_programs_can_be_replayed() {
    let device = cpu();
    let source = device
        .tensor_of(DType::F32, &[1f32, 2.0, 3.0, 4.0], "source")
        .expect("memory");
    let target = device.tensor(DType::F32, 2, 2, "target").expect("memory");
    let mut rec = Recording::new();
    let temp = rec.temp(DType::F32, 2, 2);
    rec.copy(&source.reshape(2, 2), &temp);
    rec.copy(&temp, &target);
    let program = device.prepare(rec, &mut Arena::new()).expect("a plan");
    device.run(&program, &RunOptions::default()).expect("a run");
    assert_eq!(
        device.read::<f32>(&target).expect("bytes"),
        [1.0, 2.0, 3.0, 4.0]
    );
    device.write(&source, &[5f32, 6.0]).expect("room");
    device.run(&program, &RunOptions::default()).expect("a run");
    assert_eq!(
        device.read::<f32>(&target).expect("bytes"),
        [5.0, 6.0, 3.0, 4.0]
    );
    assert_eq!(
        device.read::<f32>(&target.row_range(1..2)).expect("bytes"),
        [3.0, 4.0]
    );
}

#[test]
fn programs_of_one_arena_share_memory() {
    let device = cpu();
    let target = device.tensor(DType::F32, 1, 100, "target").expect("memory");
    let mut arena = Arena::new();
    let mut prepare = |cols: usize| {
        let mut rec = Recording::new();
        let temp = rec.temp(DType::F32, 1, cols);
        rec.copy(&target.col_range(0..cols), &temp);
        device.prepare(rec, &mut arena).expect("a plan")
    };
    let (large, small) = (prepare(100), prepare(10));
    assert!(large.slots[0].same(&small.slots[0]));
    assert_eq!(arena.bytes(), 400);
}

#[test]
fn a_cancelled_run_stops_before_the_next_operation() {
    let device = cpu();
    let counter = device.tensor(DType::F32, 1, 1, "counter").expect("memory");
    let mut rec = Recording::new();
    for _ in 0..5 {
        rec.dispatch(&COUNT, vec![Some(counter.clone())], [0u32; 0], 0, 0);
    }
    let program = device.prepare(rec, &mut Arena::new()).expect("a plan");
    let token = CancelToken::new();
    let options = RunOptions {
        cancel: Some(&token),
        profile: None,
    };
    device.run(&program, &options).expect("a run");
    assert_eq!(device.read::<f32>(&counter).expect("bytes"), [5.0]);
    token.cancel();
    assert!(matches!(
        device.run(&program, &options),
        Err(EngineError::Cancelled)
    ));
    assert_eq!(device.read::<f32>(&counter).expect("bytes"), [5.0]);
}

#[test]
fn what_cannot_be_had_is_an_error_with_its_size() {
    let device = cpu();
    let error = device
        .alloc(1 << 60, "a test")
        .err()
        .expect("no machine has an exbibyte");
    assert!(
        error.to_string().contains("1099511627776 MiB for a test"),
        "{error}"
    );
}

#[test]
#[should_panic(expected = "share their memory")]
fn a_written_view_shares_its_memory_with_no_other() {
    let device = cpu();
    let x = device.tensor(DType::F32, 2, 4, "x").expect("memory");
    let mut rec = Recording::new();
    let (gate, up) = (x.row_range(0..1), x.row_range(1..2));
    crate::kernels::gated::gated(
        &mut rec,
        &gate,
        &up,
        crate::kernels::gated::Activation::Silu,
    );
}

#[test]
#[should_panic(expected = "another CPU device")]
fn memory_of_another_executor_is_refused() {
    let (one, other) = (cpu(), cpu());
    let counter = one.tensor(DType::F32, 1, 1, "counter").expect("memory");
    let mut rec = Recording::new();
    rec.dispatch(&COUNT, vec![Some(counter)], [0u32; 0], 0, 0);
    other.run_once(rec).expect("a run");
}

/// What the second of two kernels leaves: 1 where the first took it along, 2 where it ran itself.
fn after(params: [u32; 2], same_views: bool, marked: bool) -> f32 {
    let device = cpu();
    let tensor = |what| device.tensor(DType::F32, 1, 1, what).expect("memory");
    let (both, other, between) = (tensor("both"), tensor("other"), tensor("between"));
    let result = tensor("result");
    let mut rec = Recording::new();
    // As in a model: dead after the first, of a size that suits what the second writes.
    let (own, written) = (rec.temp(DType::F32, 1, 1), rec.temp(DType::F32, 1, 1));
    rec.copy(&both, &own);
    let bound = |views: [&Tensor; 3]| views.map(|view| Some(view.clone())).to_vec();
    let views = bound([&own, &both, &between]);
    rec.dispatch(&BEFORE, views, [params[0]], 0, 0);
    if marked {
        rec.mark("a part");
    }
    let first = if same_views { &both } else { &other };
    let views = bound([first, &between, &written]);
    rec.dispatch(&AFTER, views, [params[1]], 0, 0);
    rec.copy(&written, &result);
    let program = device.prepare(rec, &mut Arena::new()).expect("a plan");
    device.run(&program, &RunOptions::default()).expect("a run");
    device.read::<f32>(&result).expect("bytes")[0]
}

#[test]
fn a_launch_takes_the_next_along_where_both_agree() {
    assert_eq!(after([1, 1], true, false), 1.0);
    assert_eq!(after([1, 1], true, true), 2.0);
    assert_eq!(after([0, 1], true, false), 2.0);
    assert_eq!(after([1, 1], false, false), 2.0);
}
