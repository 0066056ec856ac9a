//! Inscribe writes a long document into a small language model's memory with gradient steps at
//! test time, on any GPU that wgpu reaches, and on the CPU where there is none.
//!
//! ```no_run
//! use inscribe::{Document, Inscriber, WriteSettings};
//!
//! // Fetches the model where it is not here yet, and takes the best device.
//! let inscriber = Inscriber::open("smollm2-135m-instruct")?;
//! let report = Document::open("report.pdf")?;
//! let memory = inscriber
//!     .write(&report, WriteSettings::default())
//!     .keep_at("report.memory")
//!     .run(|event| println!("{event:?}"))?;
//! println!("{}", memory.ask("What did it cost?")?.text);
//! # Ok::<(), inscribe::Error>(())
//! ```
//!
//! [`Inscriber`] and the [`Remembered`] that it writes own everything that they use and are cheap
//! to clone. Below them lie, each using only those after it: [`mod@write`] (how a memory is written),
//! [`memory`] (what is written, and its folders), [`model`] (model files and the transformer),
//! [`kernels`] and [`engine`] (recordings, and the two executors that run them).
//!
//! Cargo features, all on by default: `hub` downloads models, `documents` reads PDF, Word, EPUB and
//! HTML (plain text and Markdown are read without), `figures` draws reports, and `cli` is the
//! command line. A program that needs less names what it needs, with `default-features = false`.

pub mod advice;
pub mod engine;
pub mod inscriber;
pub mod kernels;
pub mod memory;
pub mod model;
mod quiet;
pub mod train;
pub mod words;
pub mod write;

pub use inscriber::{Error, Inscriber, Remembered};
pub use write::document::Document;
pub use write::settings::WriteSettings;
