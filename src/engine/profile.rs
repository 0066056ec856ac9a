//! Time by kernel.

use std::collections::BTreeMap;
use std::sync::Mutex;

use super::recording::Dispatch;

/// Collects the time kernels take; shared by the runs of one job.
#[derive(Default)]
pub struct Profile {
    entries: Mutex<BTreeMap<(String, String), Entry>>,
}

/// Totals of one kernel in one part of the work.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Entry {
    /// Number of launches.
    pub calls: u64,
    /// Seconds in all.
    pub secs: f64,
    /// Floating-point operations in all, as the launches were declared.
    pub flops: u64,
    /// Bytes read and written in all, as the launches were declared.
    pub bytes: u64,
}

impl Profile {
    /// Adds one launch.
    pub fn add(&self, part: &str, dispatch: &Dispatch, secs: f64) {
        let label = dispatch.label();
        let mut entries = self.entries.lock().unwrap_or_else(|e| e.into_inner());
        let entry = entries.entry((part.to_owned(), label)).or_default();
        entry.calls += 1;
        entry.secs += secs;
        entry.flops += dispatch.flops;
        entry.bytes += dispatch.bytes;
    }

    /// `(part, kernel, totals)`, the slowest first.
    pub fn rows(&self) -> Vec<(String, String, Entry)> {
        let entries = self.entries.lock().unwrap_or_else(|e| e.into_inner());
        let mut rows: Vec<_> = entries
            .iter()
            .map(|((p, k), e)| (p.clone(), k.clone(), e.clone()))
            .collect();
        rows.sort_by(|a, b| b.2.secs.total_cmp(&a.2.secs));
        rows
    }

    /// A table for people: share of time, calls, GFLOP/s, GB/s.
    pub fn table(&self) -> String {
        let rows = self.rows();
        let total: f64 = rows.iter().map(|r| r.2.secs).sum::<f64>().max(1e-12);
        let mut out = format!(
            "{:<28} {:>7} {:>10} {:>6} {:>9} {:>8}\n",
            "kernel", "calls", "ms", "share", "GFLOP/s", "GB/s"
        );
        for (part, kernel, e) in &rows {
            let name = if part.is_empty() {
                kernel.clone()
            } else {
                format!("{part}/{kernel}")
            };
            let secs = e.secs.max(1e-12);
            out += &format!(
                "{:<28} {:>7} {:>10.2} {:>5.1}% {:>9.1} {:>8.1}\n",
                name,
                e.calls,
                e.secs * 1e3,
                100.0 * e.secs / total,
                e.flops as f64 / secs / 1e9,
                e.bytes as f64 / secs / 1e9
            );
        }
        out += &format!("{:<28} {:>7} {:>10.2}\n", "total", "", total * 1e3);
        out
    }
}
