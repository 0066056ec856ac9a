//! The executor's own promises: slices, cancelling, profiles, limits and typed errors.

use inscribe::advice::Advice;
use inscribe::engine::gpu::{
    Choice, GpuDevice, OpenOptions, Precision, TierCap, Variant, list_adapters,
};
use inscribe::engine::{
    Access, Arena, Binding, CancelToken, DType, Device, EngineError, Joins, Kernel, Profile,
    Recording, RunOptions, Tensor,
};
use inscribe::kernels::gated::{Activation, gated};
use inscribe::kernels::matmul::{Onto, matmul};
use inscribe::kernels::self_test::fast_products;

use crate::common::{choice, open};
use crate::rig::{Input, WeightInput, compare, rig, run, same};

fn product_inputs(rows: usize, cols: usize, outputs: usize) -> ([Input; 2], WeightInput) {
    let weight = WeightInput {
        dtype: DType::Q8_0,
        rows: outputs,
        cols,
        seed: 4,
    };
    let inputs = [
        Input::noise(1, rows, cols, 0, 0),
        Input::noise(2, rows, outputs, 0, 0),
    ];
    (inputs, weight)
}

/// Replays on one device give the same bits, however the work is cut.
#[test]
fn slices_smaller_than_a_dispatch_change_nothing() {
    let whole = open(OpenOptions::default());
    let cut = open(OpenOptions {
        slice_secs: Some(2e-5),
        ..OpenOptions::default()
    });
    let (inputs, weight) = product_inputs(200, 256, 300);
    let record = |rec: &mut Recording, t: &[Tensor], w: &[inscribe::engine::Weight]| {
        matmul(rec, &t[0], &w[0], None, &t[1], Onto::Replace);
        matmul(rec, &t[0], &w[0], None, &t[1], Onto::Add);
    };
    let expected = run(&whole, &inputs, &[weight], record);
    for _ in 0..2 {
        let found = run(&cut, &inputs, &[weight], record);
        same(&expected, &found, 0.0).unwrap_or_else(|e| panic!("{e}"));
    }
}

/// A program whose dispatches are cut in one run and whole in the next.
#[test]
fn replays_after_cut_runs_start_at_the_first_workgroup() {
    let device = open(OpenOptions {
        slice_secs: Some(1e-3),
        ..OpenOptions::default()
    });
    let count = 3000 * 256;
    let gate = device
        .tensor(DType::F32, 3000, 256, "gate")
        .expect("memory");
    let up = device
        .tensor_of(DType::F32, &vec![2f32; count], "up")
        .expect("memory")
        .reshape(3000, 256);
    let mut rec = Recording::new();
    gated(&mut rec, &gate, &up, Activation::Silu);
    let program = device.prepare(rec, &mut Arena::new()).expect("a plan");
    for _ in 0..6 {
        device.write(&gate, &vec![1f32; count]).expect("room");
        device.run(&program, &RunOptions::default()).expect("a run");
        let out: Vec<f32> = device.read(&gate).expect("bytes");
        let expected = 2.0 / (1.0 + (-1f32).exp());
        assert!(out.iter().all(|v| (v - expected).abs() < 1e-5));
    }
}

#[test]
fn grids_beyond_the_limit_of_one_dispatch_are_folded() {
    let rows = 70_000;
    let inputs = [
        Input::noise(1, rows, 1, 0, 0),
        Input::noise(2, rows, 1, 0, 0),
    ];
    compare(&inputs, &[], 1e-5, |rec, t, _| {
        gated(rec, &t[1], &t[0], Activation::Silu);
    })
    .unwrap_or_else(|e| panic!("{e}"));
}

#[test]
fn a_cancelled_run_stops_between_slices() {
    let device = open(OpenOptions {
        slice_secs: Some(5e-3),
        ..OpenOptions::default()
    });
    let x = device.tensor(DType::F32, 256, 512, "x").expect("memory");
    let bytes = inscribe::kernels::random::random_weight(DType::F32, 512, 512, 1);
    let w = device
        .weight_of(&bytes, DType::F32, 512, 512, "w")
        .expect("memory");
    let out = device.tensor(DType::F32, 256, 512, "out").expect("memory");
    // Drivers compile at a shader's first use, which is not to be timed.
    let mut once = Recording::new();
    matmul(&mut once, &x, &w, None, &out, Onto::Add);
    device.run_once(once).expect("a run");
    device.wait().expect("a run");
    const LAUNCHES: u32 = 2000;
    const TIMED: u32 = 40;
    let mut some = Recording::new();
    for _ in 0..TIMED {
        matmul(&mut some, &x, &w, None, &out, Onto::Add);
    }
    let started = std::time::Instant::now();
    device.run_once(some).expect("a run");
    device.wait().expect("a run");
    // Some 15 seconds on a slow adapter.
    let whole = started.elapsed().as_secs_f64() * f64::from(LAUNCHES / TIMED);
    let mut rec = Recording::new();
    for _ in 0..LAUNCHES {
        matmul(&mut rec, &x, &w, None, &out, Onto::Add);
    }
    let program = device.prepare(rec, &mut Arena::new()).expect("a plan");
    let token = CancelToken::new();
    let options = RunOptions {
        cancel: Some(&token),
        profile: None,
    };
    let started = std::time::Instant::now();
    let cancelled = std::thread::scope(|scope| {
        scope.spawn(|| {
            std::thread::sleep(std::time::Duration::from_millis(20));
            token.cancel();
        });
        device.run(&program, &options)
    });
    // A fast adapter may be done before it is asked to stop.
    match cancelled {
        Err(EngineError::Cancelled) => {
            let taken = started.elapsed().as_secs_f64();
            assert!(taken < 0.5 * whole, "{taken} s of {whole} s");
        }
        other => assert!(other.is_ok()),
    }
    assert!(matches!(
        device.run(&program, &options),
        Err(EngineError::Cancelled)
    ));
    // The device still works.
    device.read::<f32>(&out).expect("bytes");
}

#[test]
fn a_profile_counts_every_launch_and_its_time() {
    // Short slices cut launches: each still counts once.
    for slice_secs in [None, Some(1e-4)] {
        profiled(&open(OpenOptions {
            slice_secs,
            ..OpenOptions::default()
        }));
    }
}

fn profiled(device: &Device) {
    let x = device.tensor(DType::F32, 40, 256, "x").expect("memory");
    let bytes = inscribe::kernels::random::random_weight(DType::Q8_0, 300, 256, 1);
    let w = device
        .weight_of(&bytes, DType::Q8_0, 300, 256, "w")
        .expect("memory");
    let out = device.tensor(DType::F32, 40, 300, "out").expect("memory");
    let mut rec = Recording::new();
    rec.mark("first");
    for _ in 0..3 {
        matmul(&mut rec, &x, &w, None, &out, Onto::Replace);
    }
    rec.mark("second");
    matmul(&mut rec, &x, &w, None, &out, Onto::Add);
    let program = device.prepare(rec, &mut Arena::new()).expect("a plan");
    let profile = Profile::default();
    let options = RunOptions {
        cancel: None,
        profile: Some(&profile),
    };
    let started = std::time::Instant::now();
    device.run(&program, &options).expect("a run");
    let elapsed = started.elapsed().as_secs_f64();
    let rows = profile.rows();
    let calls = |part: &str| {
        let of_part = rows.iter().filter(|r| r.0 == part);
        of_part
            .map(|r| (r.1.clone(), r.2.calls))
            .collect::<Vec<_>>()
    };
    assert_eq!(calls("first"), [("matmul Q8_0".to_owned(), 3)]);
    assert_eq!(calls("second"), [("matmul Q8_0".to_owned(), 1)]);
    let total: f64 = rows.iter().map(|r| r.2.secs).sum();
    assert!(total > 0.0 && total < elapsed, "{total} of {elapsed} s");
}

#[test]
fn a_lost_device_fails_every_call_with_its_name() {
    let device = open(OpenOptions::default());
    let name = device.name().to_owned();
    let x = device.tensor(DType::F32, 8, 8, "x").expect("memory");
    let y = device.tensor(DType::F32, 8, 8, "y").expect("memory");
    let record = || {
        let mut rec = Recording::new();
        gated(&mut rec, &x, &y, Activation::Silu);
        rec
    };
    let program = device.prepare(record(), &mut Arena::new()).expect("a plan");
    let Device::Gpu(gpu) = &device else {
        unreachable!()
    };
    gpu.destroy();
    let lost = |result: Result<(), EngineError>| match result {
        Err(EngineError::DeviceLost { device, .. }) => assert_eq!(device, name),
        other => panic!("{other:?}"),
    };
    lost(device.run(&program, &RunOptions::default()));
    lost(device.read::<f32>(&x).map(|_| ()));
    lost(device.write(&x, &[1f32]));
    lost(device.alloc(64, "more").map(|_| ()));
    lost(device.prepare(record(), &mut Arena::new()).map(|_| ()));
    lost(
        device
            .weight_of(&[0; 16], DType::F32, 2, 2, "w")
            .map(|_| ()),
    );
}

#[test]
fn what_cannot_be_had_is_an_error_with_its_size() {
    let device = open(OpenOptions::default());
    for bytes in [1 << 50, u64::MAX - 3] {
        let error = device.alloc(bytes, "a test").err().expect("too much");
        assert!(
            matches!(
                error,
                EngineError::OutOfMemory { .. } | EngineError::WillNotFit { .. }
            ),
            "{error}"
        );
        assert!(error.to_string().contains("a test"), "{error}");
    }
    device.alloc(64, "little").expect("the device still works");
}

#[test]
fn a_view_too_large_to_bind_is_an_error_with_its_size_and_a_way_out() {
    let device = open(OpenOptions::default());
    let Device::Gpu(gpu) = &device else {
        unreachable!()
    };
    let cols = gpu.max_binding_bytes() as usize / 4 + 1024;
    let outcome = device.tensor(DType::F32, 1, cols, "x").and_then(|x| {
        let y = device.tensor(DType::F32, 1, cols, "y")?;
        let mut rec = Recording::new();
        gated(&mut rec, &x, &y, Activation::Silu);
        // A part of the same tensor can be bound.
        let part = |t: &Tensor| t.col_range(cols - 1024..cols);
        let mut small = Recording::new();
        gated(&mut small, &part(&x), &part(&y), Activation::Silu);
        device.run_once(small)?;
        device.prepare(rec, &mut Arena::new()).map(|_| ())
    });
    let error = match outcome {
        Err(error @ (EngineError::WillNotFit { .. } | EngineError::OutOfMemory { .. })) => error,
        other => panic!("{other:?}"),
    };
    assert!(error.to_string().contains("MiB"), "{error}");
    assert_eq!(error.advice(), Some(Advice::UseCpu));
}

#[test]
fn devices_are_found_by_number_and_name() {
    let adapters = list_adapters(Precision::Exact);
    assert!(!adapters.is_empty());
    for adapter in &adapters {
        assert!(!adapter.name.is_empty() && adapter.max_binding_bytes >= 128 << 20);
        assert_eq!(adapters[adapter.index].name, adapter.name);
    }
    let name = rig().gpus[0].1.name();
    assert!(
        adapters.iter().any(|a| name.contains(&a.name)),
        "{name} is not listed"
    );
    let wanted = Choice::Name("no such adapter".into());
    let error = GpuDevice::open(&OpenOptions {
        choice: wanted,
        ..OpenOptions::default()
    })
    .err()
    .expect("no such adapter");
    let text = error.to_string();
    assert!(
        text.contains("no such adapter") && text.contains(&adapters[0].name),
        "{text}"
    );
    let automatic = GpuDevice::open(&OpenOptions::default());
    if !adapters.iter().any(|a| a.automatic) {
        assert!(matches!(
            automatic.err(),
            Some(EngineError::NoAdapter { .. })
        ));
    }
}

#[test]
fn the_tier_that_is_listed_is_the_one_that_runs() {
    for precision in [Precision::Exact, Precision::Fast] {
        for listed in list_adapters(precision) {
            let listed = listed.tested(fast_products);
            let opened = Device::open_gpu(&OpenOptions {
                choice: Choice::Index(listed.index),
                precision,
                self_test: Some(fast_products),
                cap: TierCap::from_env(),
                ..OpenOptions::default()
            });
            let Ok(Device::Gpu(gpu)) = opened else {
                panic!("{} does not open", listed.name)
            };
            assert_eq!(gpu.tier(), &listed.tier);
        }
    }
}

#[test]
fn pipelines_are_kept_between_starts_and_a_broken_file_is_ignored() {
    let folder = tempfile::tempdir().expect("a folder");
    let start = || {
        let device = Device::open_gpu(&OpenOptions {
            choice: choice(),
            cache_dir: Some(folder.path().join("pipelines")),
            ..OpenOptions::default()
        })
        .expect("an adapter");
        let (inputs, weight) = product_inputs(9, 32, 5);
        run(&device, &inputs, &[weight], |rec, t, w| {
            matmul(rec, &t[0], &w[0], None, &t[1], Onto::Replace);
        })
    };
    let first = start();
    let files = || {
        std::fs::read_dir(folder.path().join("pipelines"))
            .into_iter()
            .flatten()
            .flatten()
            .map(|entry| entry.path())
            .collect::<Vec<_>>()
    };
    for file in files() {
        std::fs::write(&file, b"not a cache").expect("a file");
    }
    same(&first, &start(), 0.0).unwrap_or_else(|e| panic!("{e}"));
    for file in files() {
        let len = std::fs::metadata(&file).expect("a file").len();
        assert!(len > 11, "the broken file was not replaced");
    }
}

#[test]
fn a_shader_that_fails_is_an_error_that_names_it() {
    static BROKEN: Kernel = Kernel {
        name: "broken",
        bindings: &[Binding {
            name: "x",
            access: Access::ReadWrite,
        }],
        params: &[],
        cpu: |_, _| {},
        cpu_joins: Joins::Nothing,
        // Four bindings where the kernel declares one.
        gpu: |_, _| Variant::portable("gated", [1; 3]),
        variants: || vec![Variant::portable("gated", [1; 3])],
    };
    let device = open(OpenOptions::default());
    let x = device.tensor(DType::F32, 8, 8, "x").expect("memory");
    let mut rec = Recording::new();
    rec.dispatch(&BROKEN, vec![Some(x.clone())], [0u32; 0], 0, 0);
    match device.prepare(rec, &mut Arena::new()).map(|_| ()) {
        Err(EngineError::Shader {
            device: name,
            shader,
            ..
        }) => {
            assert_eq!(name, device.name());
            assert!(shader.contains("gated"), "{shader}");
        }
        other => panic!("{other:?}"),
    }
    device.read::<f32>(&x).expect("the device still works");
}

#[test]
fn memory_given_back_can_be_had_again() {
    let device = open(OpenOptions::default());
    let Device::Gpu(gpu) = &device else {
        unreachable!()
    };
    assert_eq!(gpu.given_bytes(), 0);
    let x = device.alloc(1 << 20, "x").expect("memory");
    assert_eq!(gpu.given_bytes(), 1 << 20);
    drop(x);
    assert_eq!((gpu.given_bytes(), gpu.most_given_bytes()), (0, 1 << 20));
    let (all, free) = (gpu.memory_bytes(), device.available_bytes());
    assert!(free <= all, "{free:?} of {all:?} are free");
}
