//! Measures which chunks of a document need context from far away, and takes no step.
//!
//! ```sh
//! cargo run --release --example utility -- report.pdf [MODEL]
//! ```

use std::env;

use inscribe::write::event::{ChunkUtility, Event};
use inscribe::{Document, Error, Inscriber, WriteSettings};

fn main() -> Result<(), Error> {
    let mut arguments = env::args().skip(1);
    let document = arguments.next().unwrap_or("assets/sample.md".to_owned());
    let model = arguments
        .next()
        .unwrap_or("smollm2-135m-instruct".to_owned());
    let inscriber = Inscriber::open(&model)?;
    for chunk in run(&inscriber, &document, WriteSettings::default())? {
        let title = chunk.title.unwrap_or_default();
        println!("{:>6} {:>8.4}  {title}", chunk.tokens.start, chunk.utility);
    }
    Ok(())
}

/// The chunks of a document with their utilities.
pub fn run(
    inscriber: &Inscriber,
    document: &str,
    settings: WriteSettings,
) -> Result<Vec<ChunkUtility>, Error> {
    let document = Document::open(document)?;
    let mut found = Vec::new();
    inscriber.write(&document, settings).measure(|event| {
        if let Event::Utility { chunks, .. } = event {
            found.extend(chunks.iter().cloned());
        }
    })?;
    Ok(found)
}
