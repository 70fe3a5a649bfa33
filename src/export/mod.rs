//! The history as a file that can be taken away, and read again: JSON Lines, described in `docs/export.md`.
//!
//! [`lines`] are the words of the file, [`records`] turns them into records and back, [`Exporter`] writes what a store
//! holds, [`read_line`] and [`Check`] read a file. What an import changes is decided by `desk::import`.

mod check;
mod exact;
mod exporter;
pub mod lines;
mod read;
pub mod records;
#[cfg(test)]
mod tests;

pub use check::{Check, CheckFault};
pub use exporter::{ExportError, Exporter, Source};
pub use read::{BadLine, read_line};
