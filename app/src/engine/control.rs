//! Cancelling and pausing, from the window's thread.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use inscribe::engine::CancelToken;

/// Jobs are counted from 1.
pub type JobId = u64;

/// Shared by the window and the engine. One token serves every job, since what a job leaves behind
/// (an opened reader) holds on to it.
#[derive(Clone, Debug, Default)]
pub struct Control {
    cancel: CancelToken,
    jobs: Arc<Mutex<Jobs>>,
    paused: Arc<AtomicBool>,
}

#[derive(Debug, Default)]
struct Jobs {
    running: JobId,
    /// Jobs that are to end, or not to begin.
    cancelled: BTreeSet<JobId>,
}

impl Control {
    pub fn token(&self) -> &CancelToken {
        &self.cancel
    }

    /// Ends a job, also one that has not begun.
    pub fn cancel(&self, job: JobId) {
        let mut jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        jobs.cancelled.insert(job);
        if jobs.running == job {
            self.cancel.cancel();
            self.pause(false);
        }
    }

    /// A job begins; it ends at its first look at the token if it was cancelled before.
    pub fn begin(&self, job: JobId) {
        let mut jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        jobs.running = job;
        jobs.cancelled = jobs.cancelled.split_off(&job);
        let cancelled = jobs.cancelled.contains(&job);
        self.cancel.flag().store(cancelled, Ordering::Relaxed);
    }

    pub fn pause(&self, pause: bool) {
        self.paused.store(pause, Ordering::Relaxed);
    }

    pub fn paused(&self) -> bool {
        self.paused.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cancel_reaches_its_job_and_none_after_it() {
        let control = Control::default();
        control.begin(1);
        control.cancel(2);
        assert!(!control.token().is_cancelled(), "1 goes on");
        control.begin(2);
        assert!(control.token().is_cancelled());
        control.begin(3);
        assert!(!control.token().is_cancelled());
        control.cancel(2);
        assert!(!control.token().is_cancelled(), "2 is over");
        control.cancel(3);
        assert!(control.token().is_cancelled());
    }
}
