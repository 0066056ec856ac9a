//! A team of threads for kernels that last microseconds.
//!
//! Decoding one token of a small model is some 300 kernels of 5 to 100 microseconds. A
//! work-stealing pool costs several microseconds for each fork and join, so the members of this
//! team spin for a short while between jobs before they sleep.

use std::cell::Cell;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::{self, JoinHandle};

use super::view::MatMut;

/// Turns of the spin loop before a waiting thread goes to sleep: some 100 to 200 microseconds.
const SPINS: u32 = 4_000;
/// In `Shared::state`: the job takes members.
const OPEN: u64 = 1 << 31;
/// In `Shared::state`: one job later.
const EPOCH: u64 = 1 << 32;

type Job = dyn Fn(usize) + Sync + 'static;

thread_local! {
    /// Whether this thread is at work on a job.
    static AT_WORK: Cell<bool> = const { Cell::new(false) };
}

/// Shared between the members.
struct Shared {
    /// The number of the job (upper half), whether it takes members (`OPEN`), and how many work on
    /// it. A member that comes late finds the job closed: the caller waits only for those at work,
    /// not for one that another program keeps from running.
    state: AtomicU64,
    /// Next task of the current job.
    next: AtomicUsize,
    job: Mutex<Option<(&'static Job, usize)>>,
    /// Members asleep on `wake`.
    asleep: Mutex<usize>,
    wake: Condvar,
    stop: AtomicBool,
    panicked: AtomicBool,
}

/// Threads that run one job at a time together with the caller.
pub struct Team {
    shared: Arc<Shared>,
    members: Vec<JoinHandle<()>>,
    /// Lock held for the length of a job, so that one runs at a time.
    turn: Mutex<()>,
}

impl Team {
    /// A team of `threads` threads, the caller included.
    pub fn new(threads: usize) -> Team {
        let shared = Arc::new(Shared {
            state: AtomicU64::new(0),
            next: AtomicUsize::new(0),
            job: Mutex::new(None),
            asleep: Mutex::new(0),
            wake: Condvar::new(),
            stop: AtomicBool::new(false),
            panicked: AtomicBool::new(false),
        });
        let members = (1..threads.max(1))
            .filter_map(|i| {
                let shared = shared.clone();
                let name = format!("inscribe-cpu-{i}");
                // A machine that refuses another thread gets a smaller team.
                thread::Builder::new()
                    .name(name)
                    .spawn(move || member(&shared))
                    .ok()
            })
            .collect();
        Team {
            shared,
            members,
            turn: Mutex::new(()),
        }
    }

    /// Threads that work on a job.
    pub fn threads(&self) -> usize {
        self.members.len() + 1
    }

    /// Runs `task(0)` to `task(tasks - 1)`, each once, on whichever thread is free, and returns
    /// when all are done. Within a task it does everything itself: the others are at work, or wait
    /// for this one.
    pub fn run(&self, tasks: usize, task: impl Fn(usize) + Sync) {
        if tasks <= 1 || self.members.is_empty() || AT_WORK.get() {
            (0..tasks).for_each(task);
            return;
        }
        let _turn = self.turn.lock().unwrap_or_else(|e| e.into_inner());
        let shared = &*self.shared;
        let job: &(dyn Fn(usize) + Sync) = &task;
        // SAFETY: only the lifetime changes. Members use the job between joining it, while it is
        // open, and leaving it; this function returns (or unwinds, through `Finish`) only after it
        // has closed the job and all have left, so `task` outlives every use.
        let job: &'static Job =
            unsafe { std::mem::transmute::<&(dyn Fn(usize) + Sync), &'static Job>(job) };
        *shared.job.lock().unwrap_or_else(|e| e.into_inner()) = Some((job, tasks));
        shared.next.store(0, Ordering::Relaxed);
        // Still set where the caller's own task panicked beside another.
        shared.panicked.store(false, Ordering::Relaxed);
        {
            let asleep = shared.asleep.lock().unwrap_or_else(|e| e.into_inner());
            shared.state.fetch_add(EPOCH | OPEN, Ordering::Release);
            if *asleep > 0 {
                shared.wake.notify_all();
            }
        }
        {
            let _finish = Finish(shared);
            drain(shared, job, tasks);
        }
        if shared.panicked.swap(false, Ordering::Relaxed) {
            panic!("a task of the CPU executor panicked");
        }
    }

    /// Runs `task` over `0..len` cut into ranges of `grain`.
    pub fn ranges(&self, len: usize, grain: usize, task: impl Fn(Range<usize>) + Sync) {
        let grain = grain.max(1);
        self.run(len.div_ceil(grain), |i| {
            task(i * grain..len.min((i + 1) * grain))
        });
    }

    /// Runs `task` on each row of `out`, `grain` rows at a time.
    pub fn rows(
        &self,
        out: &mut MatMut<'_>,
        grain: usize,
        task: impl Fn(usize, &mut [f32]) + Sync,
    ) {
        let parts = out.parts();
        self.ranges(parts.rows(), grain, |range| {
            for row in range {
                // SAFETY: every row belongs to exactly one range, so no two tasks touch it.
                task(row, unsafe { parts.row_mut(row) });
            }
        });
    }
}

impl Drop for Team {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        {
            let _asleep = self.shared.asleep.lock().unwrap_or_else(|e| e.into_inner());
            self.shared.state.fetch_add(EPOCH, Ordering::Release);
            self.shared.wake.notify_all();
        }
        for member in self.members.drain(..) {
            // A member catches its tasks' panics, so joining cannot fail in a way that matters.
            let _ = member.join();
        }
    }
}

/// Closes the job and waits for every member at work, also while the caller's own task unwinds.
struct Finish<'a>(&'a Shared);

impl Drop for Finish<'_> {
    fn drop(&mut self) {
        let mut turns = 0u32;
        self.0.state.fetch_and(!OPEN, Ordering::Relaxed);
        while self.0.state.load(Ordering::Acquire) & (OPEN - 1) != 0 {
            turns += 1;
            if turns < SPINS {
                std::hint::spin_loop()
            } else {
                thread::yield_now()
            }
        }
    }
}

struct AtWork;

impl AtWork {
    fn begin() -> AtWork {
        AT_WORK.set(true);
        AtWork
    }
}

impl Drop for AtWork {
    fn drop(&mut self) {
        AT_WORK.set(false);
    }
}

fn drain(shared: &Shared, job: &Job, tasks: usize) {
    let _at_work = AtWork::begin();
    loop {
        let i = shared.next.fetch_add(1, Ordering::Relaxed);
        if i >= tasks {
            return;
        }
        job(i);
    }
}

fn member(shared: &Shared) {
    let mut seen = 0;
    loop {
        seen = wait_for_change(shared, seen);
        if shared.stop.load(Ordering::Relaxed) {
            return;
        }
        if !join(shared, seen) {
            continue;
        }
        let job = *shared.job.lock().unwrap_or_else(|e| e.into_inner());
        if let Some((job, tasks)) = job {
            let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                drain(shared, job, tasks);
            }));
            if outcome.is_err() {
                shared.panicked.store(true, Ordering::Relaxed);
            }
        }
        shared.state.fetch_sub(1, Ordering::Release);
    }
}

/// Takes part in job `number`, if it still takes members.
fn join(shared: &Shared, number: u64) -> bool {
    let joined = |state: u64| (state / EPOCH == number && state & OPEN != 0).then_some(state + 1);
    let order = (Ordering::Acquire, Ordering::Relaxed);
    shared.state.fetch_update(order.0, order.1, joined).is_ok()
}

fn wait_for_change(shared: &Shared, seen: u64) -> u64 {
    let number = || shared.state.load(Ordering::Acquire) / EPOCH;
    for _ in 0..SPINS {
        let now = number();
        if now != seen {
            return now;
        }
        std::hint::spin_loop();
    }
    let mut asleep = shared.asleep.lock().unwrap_or_else(|e| e.into_inner());
    *asleep += 1;
    while number() == seen {
        asleep = shared.wake.wait(asleep).unwrap_or_else(|e| e.into_inner());
    }
    *asleep -= 1;
    number()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_task_runs_once() {
        let team = Team::new(3);
        for tasks in [0, 1, 2, 7, 1000] {
            let hits: Vec<AtomicU64> = (0..tasks).map(|_| AtomicU64::new(0)).collect();
            team.run(tasks, |i| {
                hits[i].fetch_add(1, Ordering::Relaxed);
            });
            assert!(hits.iter().all(|h| h.load(Ordering::Relaxed) == 1));
        }
    }

    #[test]
    fn a_task_may_run_tasks() {
        let team = Team::new(2);
        let sum = AtomicU64::new(0);
        team.run(8, |_| {
            team.run(8, |i| {
                sum.fetch_add(i as u64, Ordering::Relaxed);
            });
        });
        assert_eq!(sum.load(Ordering::Relaxed), 8 * 28);
    }

    #[test]
    fn one_panic_is_told_once() {
        let team = Team::new(2);
        for _ in 0..20 {
            let failed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                team.run(64, |_| panic!("every task fails"));
            }));
            assert!(failed.is_err());
            team.run(64, |_| {});
        }
    }

    #[test]
    fn works_after_sleeping_and_after_a_panic() {
        let team = Team::new(2);
        let sum = AtomicU64::new(0);
        for _ in 0..5 {
            thread::sleep(std::time::Duration::from_millis(5));
            team.run(64, |i| {
                sum.fetch_add(i as u64, Ordering::Relaxed);
            });
        }
        assert_eq!(sum.load(Ordering::Relaxed), 5 * 2016);
        let failed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            team.run(64, |i| assert!(i != 40));
        }));
        assert!(failed.is_err());
        team.run(64, |i| {
            sum.fetch_add(i as u64, Ordering::Relaxed);
        });
        assert_eq!(sum.load(Ordering::Relaxed), 6 * 2016);
    }
}
