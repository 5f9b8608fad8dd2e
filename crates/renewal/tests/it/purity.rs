//! Time comes in as an argument.

use std::{fs, path::Path};

/// What would ask the machine for the time or for random octets, and what would bring the standard library in.
const NAMED: [&str; 8] =
    ["::now(", "now_utc", "now_local", "SystemTime", "extern crate std", "use std::", "getrandom", "rand::"];

/// Lines that name something impure, but for those of documentation, whose examples are programs of their own.
fn impure(source: &str) -> Vec<&str> {
    let code = source.lines().filter(|line| !line.trim_start().starts_with("//"));
    code.filter(|line| NAMED.iter().any(|named| line.contains(named))).collect()
}

/// Clippy's `disallowed-methods`, `#![no_std]` and `cargo xtask tidy` see to it too; this needs none of them.
#[test]
fn invariant_40_the_pure_crates_name_no_clock() {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut read = 0;
    for name in ["types", "expiry", "renewal"] {
        for file in fs::read_dir(crates.join(name).join("src")).unwrap() {
            let path = file.unwrap().path();
            let source = fs::read_to_string(&path).unwrap();
            assert_eq!(impure(&source), [""; 0], "{}", path.display());
            read += usize::from(source.contains("UtcDateTime"));
            let root = path.file_name().is_some_and(|name| name == "lib.rs");
            assert!(!root || source.lines().any(|line| line == "#![no_std]"), "{}", path.display());
        }
    }
    assert!(read > 8, "only {read} of the sources know of instants");
    assert_eq!(impure("let now = UtcDateTime::now();\n/// use std::sync::Arc;\nuse std::fs;").len(), 2);
}
