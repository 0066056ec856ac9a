//! Pairs written into the small model that comes with the program, step by step.

use std::time::Instant;

use inscribe::engine::Device;
use inscribe::train::bench::Bench;
use inscribe::train::saved::Saved;
use inscribe::train::shipped;

use super::message::{BenchRequest, Benched, End, Report, TrainedModel};
use super::{Control, Outbox};
use crate::trouble::Failure;

/// A model that is ready to be written to.
pub struct Loaded {
    model: Option<TrainedModel>,
    bench: Bench,
}

/// Reports every stage from the memory before any step on. The model is on the processor, whatever
/// the one for documents is on.
pub fn write(
    last: &mut Option<Loaded>,
    request: &BenchRequest,
    out: &Outbox,
    control: &Control,
) -> Result<End, Failure> {
    let found = last.take().filter(|last| last.model == request.model);
    let loaded = match found {
        Some(found) => found,
        None => {
            let saved = match &request.model {
                Some((folder, _)) => Saved::open(folder)?,
                None => shipped::model()?,
            };
            Loaded {
                model: request.model.clone(),
                bench: Bench::new(saved, Device::cpu(request.threads)),
            }
        }
    };
    let bench = &mut last.insert(loaded).bench;
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
