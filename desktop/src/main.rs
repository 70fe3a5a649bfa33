//! `deskbell-desktop`.

use std::process::ExitCode;

fn main() -> ExitCode {
    deskbell_desktop::cli::main()
}
