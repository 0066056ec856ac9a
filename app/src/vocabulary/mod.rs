//! Small types that screens, state and threads share; they depend on none of them.

mod pending;
mod purpose;
mod selection;
mod version;

pub use pending::{Dialog, PendingOpen};
pub use purpose::{ExportFormat, Purpose, Side};
pub use selection::{Lesson, Screen, Selection};
pub use version::fresh_version;
