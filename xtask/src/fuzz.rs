//! The fuzz targets, on plain stable Rust: libFuzzer without a sanitizer, which safe code does not need.

use std::{
    fs,
    num::NonZero,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

use anyhow::{Context as _, Result, bail};

use crate::shell::{Cmd, have, root, target_dir};

/// How long `cargo xtask ci` gives each target.
pub(crate) const SMOKE_SECONDS: u32 = 10;

/// How long `cargo xtask nightly` gives each target. What a night finds stays in the corpus, from which the next one goes on.
pub(crate) const LONG_SECONDS: u32 = 180;

/// What libFuzzer is built with, even where nothing is fuzzed.
pub(crate) const NEEDS: &[&str] = &["c++"];

/// Replays the committed seeds through every target's function, as ordinary tests.
pub(crate) fn replay() -> Result<()> {
    Cmd::cargo("test --manifest-path fuzz/Cargo.toml --lib").run()
}

/// Runs every target for so many seconds, as many at a time as there are cores.
pub(crate) fn run(seconds: u32) -> Result<()> {
    if !have("cargo-fuzz") {
        bail!("cargo-fuzz is missing: `cargo xtask setup` installs it");
    }
    let targets = targets()?;
    Cmd::cargo("fuzz build --sanitizer none").run()?;
    let next = AtomicUsize::new(0);
    let take_turns = || {
        while let Some(target) = targets.get(next.fetch_add(1, Ordering::Relaxed)) {
            run_one(target, seconds)?;
        }
        Ok(())
    };
    thread::scope(|scope| {
        let cores = thread::available_parallelism().map_or(1, NonZero::get);
        let workers: Vec<_> = (0..cores).map(|_| scope.spawn(take_turns)).collect();
        // All are heard before the first failure is passed on.
        let ended: Vec<Result<()>> = workers
            .into_iter()
            .map(|worker| worker.join().unwrap_or_else(|_| bail!("a thread that ran fuzz targets panicked")))
            .collect();
        ended.into_iter().collect()
    })
}

fn run_one(target: &str, seconds: u32) -> Result<()> {
    // New finds go into the first folder, which is nobody's to commit; the seeds are only read.
    let corpus = target_dir().join("fuzz-corpus").join(target);
    fs::create_dir_all(&corpus).with_context(|| corpus.display().to_string())?;
    let seeds = root().join("fuzz/seeds").join(target);
    if !seeds.is_dir() {
        bail!("the target {target} has no seeds in fuzz/seeds/{target}");
    }
    let said = Cmd::cargo(&format!("fuzz run --sanitizer none {target}"))
        .arg(corpus)
        .arg(seeds)
        .arg("--")
        .arg(format!("-max_total_time={seconds}"))
        .arg("-timeout=10")
        .arg("-rss_limit_mb=1024")
        .arg("-verbosity=0")
        .arg("-print_final_stats=1")
        .talk()
        .with_context(|| format!("the input that failed lies in fuzz/artifacts/{target}"))?;
    println!("fuzz: {target}: {} runs, nothing found", executed(&said)?);
    Ok(())
}

/// The number of inputs a target was run with. A target that ran none has proven nothing.
fn executed(said: &str) -> Result<u64> {
    let runs = said.lines().find_map(|line| line.strip_prefix("stat::number_of_executed_units:"));
    match runs.and_then(|runs| runs.trim().parse().ok()) {
        None | Some(0) => bail!("the fuzz target ran no input:\n{said}"),
        Some(runs) => Ok(runs),
    }
}

fn targets() -> Result<Vec<String>> {
    let listed = Cmd::cargo("fuzz list").output()?;
    let targets: Vec<String> =
        listed.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect();
    if targets.is_empty() {
        bail!("fuzz/Cargo.toml names no target");
    }
    Ok(targets)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_that_ran_nothing_fails() {
        assert_eq!(executed("INFO: a\nstat::number_of_executed_units: 563595\nstat::x: 1").unwrap(), 563_595);
        assert!(executed("stat::number_of_executed_units: 0").is_err());
        assert!(executed("").is_err());
    }
}
