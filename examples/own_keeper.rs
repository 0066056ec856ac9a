//! Keeps what a run learns in one's own way instead of a memory's folder: here in the program's own
//! memory, to be read by a session of one's own.
//!
//! ```sh
//! cargo run --release --example own_keeper -- report.pdf [MODEL]
//! ```

use std::env;

use inscribe::memory::{Content, Lora, kind};
use inscribe::write::error::WriteError;
use inscribe::write::event::Event;
use inscribe::write::learner::Segment;
use inscribe::write::writer::Keeper;
use inscribe::{Document, Error, Inscriber, WriteSettings};

fn main() -> Result<(), Error> {
    let mut arguments = env::args().skip(1);
    let document = arguments.next().unwrap_or("assets/sample.md".to_owned());
    let model = arguments
        .next()
        .unwrap_or("smollm2-135m-instruct".to_owned());
    let inscriber = Inscriber::open(&model)?;
    let kept = run(&inscriber, &document, WriteSettings::default())?;
    let numbers: usize = kept.adapters.iter().map(size).sum();
    println!("{} losses, {numbers} numbers learned", kept.losses.len());
    Ok(())
}

/// What a run leaves that nobody keeps on disk.
#[derive(Default)]
pub struct Kept {
    /// Of every step.
    pub losses: Vec<f64>,
    /// Of every part of the document.
    pub adapters: Vec<Lora>,
}

impl Keeper for Kept {
    fn event(&mut self, event: &Event) -> Result<(), WriteError> {
        if let Event::Step(step) = event {
            self.losses.push(step.loss);
        }
        Ok(())
    }

    fn memory(&mut self, _: &Segment, memory: &[Content]) -> Result<(), WriteError> {
        self.adapters.extend(kind::find::<Lora>(memory).cloned());
        Ok(())
    }
}

/// Writes a document, keeping what is learned here.
pub fn run(inscriber: &Inscriber, document: &str, settings: WriteSettings) -> Result<Kept, Error> {
    let document = Document::open(document)?;
    let mut kept = Kept::default();
    inscriber.write(&document, settings).kept_by(&mut kept)?;
    Ok(kept)
}

fn size(lora: &Lora) -> usize {
    let matrices = lora.matrices.iter();
    matrices.map(|matrix| matrix.a.len() + matrix.b.len()).sum()
}
