//! The portal alone, with a CA elsewhere.

use std::process::ExitCode;

fn main() -> ExitCode {
    koshin::koshin_web()
}
