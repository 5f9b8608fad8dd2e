//! The repository's own commands: `cargo xtask ci` is what CI runs, and what a developer runs before a commit.

mod ci;
mod counts;
mod e2e;
mod fuzz;
mod setup;
mod shell;
mod steps;
mod tidy;

use std::process::ExitCode;

use anyhow::{Context as _, bail};

const USAGE: &str = "\
usage: cargo xtask COMMAND

  ci                what has to pass before a commit: setup, fmt, tidy, clippy, tests, docs, benches, instruction counts,
                    fuzz, browser
  ci STEP           one step of it, by its name
  nightly           ci, then the long runs: every browser path, 100,000 property cases, fuzzing, mutants
  setup [--check]   install what the tests need (as root: Debian packages); --check only says what is missing,
                    --nightly installs what only the nightly steps need, too
  counts [--bless]  instructions of the pure crates' operations against the committed table; --bless writes it anew
  tidy              the rules of ARCHITECTURE.md: arrows, closures, purity, sizes, unfinished work
  fuzz [SECONDS]    every fuzz target for so long (default 10)
  bench-ca [PART]   build `koshin-ca` for release and measure it beside cfssl, openssl and nginx, as far as they are installed
  bench-sweep [ROWS]  what notices of expiry cost among 100,000 and among ROWS certificates (default 1,000,000; ten million
                    take 10 GB and some 10 minutes)
  e2e [ARGS]        build `koshin` for release and drive it with a browser (default --ci)";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// The load program starts the `koshin-ca` that lies beside it.
fn bench_ca(parts: &[&str]) -> anyhow::Result<()> {
    shell::Cmd::cargo("build --release -p koshin-ca").run()?;
    let arguments = [&["run", "--release", "-p", "koshin-benches", "--bin", "ca", "--"], parts].concat();
    shell::Cmd::new("cargo", &arguments).run()
}

fn bench_sweep(rows: &[&str]) -> anyhow::Result<()> {
    let arguments = [&["run", "--release", "-p", "koshin-benches", "--bin", "sweep", "--"], rows].concat();
    shell::Cmd::new("cargo", &arguments).run()
}

fn run(arguments: &[&str]) -> anyhow::Result<()> {
    match arguments {
        ["ci"] => ci::run(setup::Extent::Ci),
        ["ci", step] => ci::one(step),
        ["nightly"] => ci::run(setup::Extent::Nightly),
        ["setup"] => setup::run(setup::Extent::Ci).map(drop),
        ["setup", "--nightly"] => setup::run(setup::Extent::Nightly).map(drop),
        ["setup", "--check"] => setup::check(setup::Extent::Ci),
        ["counts"] => ci::one("counts"),
        ["counts", "--bless"] => counts::bless(),
        ["tidy"] => tidy::run(),
        ["fuzz"] => fuzz::run(fuzz::SMOKE_SECONDS),
        ["fuzz", seconds] => fuzz::run(seconds.parse().context("SECONDS is a whole number")?),
        ["bench-ca", rest @ ..] => bench_ca(rest),
        ["bench-sweep", rest @ ..] => bench_sweep(rest),
        ["e2e"] => e2e::run(&e2e::Build::Release, &["--ci"]).map(drop),
        ["e2e", rest @ ..] => e2e::run(&e2e::Build::Release, rest).map(drop),
        [] | ["help" | "-h" | "--help"] => {
            println!("{USAGE}");
            Ok(())
        }
        [other, ..] => bail!("unknown or with unknown arguments: {other}\n{USAGE}"),
    }
}
