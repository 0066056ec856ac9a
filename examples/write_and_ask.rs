//! Writes a document into a memory and asks it.
//!
//! ```sh
//! cargo run --release --example write_and_ask -- report.pdf "What did it cost?" [MODEL]
//! ```

use std::env;

use inscribe::write::event::Event;
use inscribe::{Document, Error, Inscriber, WriteSettings};

fn main() -> Result<(), Error> {
    let mut arguments = env::args().skip(1);
    let document = arguments.next().unwrap_or("assets/sample.md".to_owned());
    let question = arguments
        .next()
        .unwrap_or("How much did it cost?".to_owned());
    let model = arguments
        .next()
        .unwrap_or("smollm2-135m-instruct".to_owned());
    let inscriber = Inscriber::open(&model)?;
    println!("{}", run(&inscriber, &document, &question, 8)?);
    Ok(())
}

/// The answer after `budget` gradient steps.
pub fn run(
    inscriber: &Inscriber,
    document: &str,
    question: &str,
    budget: usize,
) -> Result<String, Error> {
    let document = Document::open(document)?;
    let settings = WriteSettings {
        budget,
        ..WriteSettings::default()
    };
    // Kept in a temporary folder, since `keep_at` names none.
    let memory = inscriber.write(&document, settings).run(|event| {
        if let Event::Step(step) = event {
            println!("step {} of {}: loss {:.3}", step.step, step.of, step.loss);
        }
    })?;
    Ok(memory.ask(question)?.text)
}
