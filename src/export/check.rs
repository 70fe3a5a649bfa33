//! Checking a whole file before anything of it is imported: is it an export, is it whole, can every line be read.

use super::lines::{Counts, Line};
use super::read::{BadLine, read_line};

/// What is wrong with a file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CheckFault {
    /// A line cannot be read.
    #[error("line {line}: {fault}")]
    Line {
        /// Its number, from 1.
        line: u64,
        /// What is wrong with it.
        fault: BadLine,
    },
    /// It begins with something else than an export does.
    #[error(
        "line 1: this is no export of Deskbell's: the first line of one is {{\"type\":\"deskbell-export\",…}}. A compressed \
         file has to be unpacked first"
    )]
    Foreign,
    /// It does not end as an export does.
    #[error(
        "line {0}: the file ends here, and its last line is missing: it was cut. Export again, or copy it again"
    )]
    Cut(u64),
    /// Something comes after the end.
    #[error("line {0}: something comes after the last line: two files in one?")]
    Longer(u64),
    /// Lines are missing in the middle.
    #[error(
        "line {0}: the last line counts other lines than there are: some are missing, or there twice"
    )]
    Counts(u64),
}

/// Reads a file line by line.
#[derive(Debug, Default)]
pub struct Check {
    lines: u64,
    counts: Counts,
    ended: bool,
}

impl Check {
    /// The next line.
    ///
    /// # Errors
    /// Where the file is not one that can be imported.
    pub fn line(&mut self, text: &[u8]) -> Result<(), CheckFault> {
        self.lines += 1;
        if self.ended {
            return Err(CheckFault::Longer(self.lines));
        }
        let line = match read_line(text) {
            Ok(line) => line,
            // What follows is in nobody's format: only a header tells of a newer version.
            Err(fault) if self.lines > 1 || fault.pointer == "/version" => {
                return Err(CheckFault::Line {
                    line: self.lines,
                    fault,
                });
            }
            Err(_) => return Err(CheckFault::Foreign),
        };
        match (&line, self.lines) {
            (Line::Header(_), 1) => {}
            (_, 1) => return Err(CheckFault::Foreign),
            (Line::Header(_), _) => return Err(CheckFault::Longer(self.lines)),
            (Line::End(end), _) => {
                if end.counts != self.counts {
                    return Err(CheckFault::Counts(self.lines));
                }
                self.ended = true;
            }
            _ => self.counts.count(&line),
        }
        Ok(())
    }

    /// The file is at its end: how many lines it has.
    ///
    /// # Errors
    /// Where it was cut.
    pub fn finish(self) -> Result<u64, CheckFault> {
        match (self.ended, self.lines) {
            (_, 0) => Err(CheckFault::Foreign),
            (false, lines) => Err(CheckFault::Cut(lines)),
            (true, lines) => Ok(lines),
        }
    }
}
