//! Pairs written into the small model that comes with the program, step by step.

use std::time::Instant;

use inscribe::engine::Device;
use inscribe::train::bench::Bench;
use inscribe::train::shipped;

use super::message::{BenchRequest, Benched, End, Report};
use super::{Control, Outbox};
use crate::trouble::Failure;

/// Reports every stage from the memory before any step on. The model is on the processor, whatever
/// the one for documents is on.
pub fn write(
    bench: &mut Option<Bench>,
    request: &BenchRequest,
    out: &Outbox,
    control: &Control,
) -> Result<End, Failure> {
    let bench = match bench {
        Some(bench) => bench,
        None => bench.insert(Bench::new(shipped::model()?, Device::cpu(request.threads))),
    };
    let mut started = Instant::now();
    let mut stage = bench.write(&request.pairs, request.memory_rows)?;
    loop {
        let step = stage.step;
        out.tell(Report::Benched(Box::new(Benched {
            request: request.number,
            stage,
            seconds: started.elapsed().as_secs_f64(),
        })));
        if step >= request.steps {
            return Ok(End::Done);
        }
        if control.token().is_cancelled() {
            return Err(Failure::Cancelled);
        }
        started = Instant::now();
        stage = bench.step()?;
    }
}
