//! The window of Inscribe.
