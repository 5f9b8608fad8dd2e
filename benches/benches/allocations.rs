//! How often issuance in the library asks the allocator for memory. Exact: the same in every run.

use std::alloc::System;

use koshin_counts::Issuing;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, Stats, StatsAlloc};

#[global_allocator]
static COUNTING: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

fn main() -> anyhow::Result<()> {
    let issuing = Issuing::new()?;
    // Whatever is set up once is not counted.
    drop(issuing.whole()?);
    let (request, gate) = count(|| Ok(issuing.gate()?))?;
    let (prepared, prepare) = count(|| issuing.prepare(request))?;
    let (certificate, issue) = count(|| issuing.issue(prepared))?;
    let (_, whole) = count(|| issuing.whole())?;
    print("gate", &gate);
    print("prepare", &prepare);
    print("issue", &issue);
    print("whole", &whole);
    println!("certificate: {} octets", certificate.der().len());
    anyhow::ensure!(asked(&whole) > 0, "nothing was counted");
    Ok(())
}

fn count<T>(once: impl FnOnce() -> anyhow::Result<T>) -> anyhow::Result<(T, Stats)> {
    let region = Region::new(COUNTING);
    let result = once()?;
    Ok((result, region.change()))
}

const fn asked(stats: &Stats) -> usize {
    stats.allocations + stats.reallocations
}

fn print(step: &str, stats: &Stats) {
    let (asked, octets) = (asked(stats), stats.bytes_allocated);
    println!("{step}: {asked} allocations ({} of them to grow), {octets} octets", stats.reallocations);
}
