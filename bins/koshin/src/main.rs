//! Koshin's command: the service, a demonstration of it, and the operator's work.

use std::process::ExitCode;

fn main() -> ExitCode {
    koshin::koshin()
}
