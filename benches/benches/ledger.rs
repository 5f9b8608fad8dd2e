//! The ledger's answer that every request waits for: whose certificate is this, and how does it stand. On a store with
//! 10,000 subjects (48 in test mode), by certificates in an order that no cache foresees.

use std::hint::black_box;

use criterion::Criterion;
use koshin_benches::{
    place, rim,
    town::{Resident, Town},
};
use koshin_ra::Registry as _;
use koshin_renewal::Admission;

fn main() -> anyhow::Result<()> {
    let mut criterion = Criterion::default().configure_from_args();
    let measured = std::env::args().any(|argument| argument == "--bench");
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let folder = place::folder()?;
    let now = rim::now();
    let count = if measured { 10_000 } else { 48 };
    let (town, certificates) = runtime.block_on(async {
        let mut town = Town::found(folder.path(), now).await?;
        let residents = town.settle(count, now).await?;
        let certificates: Vec<_> = residents.iter().map(Resident::fingerprint).collect();
        anyhow::Ok((town, certificates))
    })?;
    let store = &town.store;
    // 7919 is prime to both counts, so each certificate has its turn.
    let mut at = 0;
    let mut next = || {
        at = (at + 7919) % certificates.len();
        certificates.get(at)
    };
    for _ in 0..48 {
        let certificate = next().ok_or_else(|| anyhow::anyhow!("no certificates"))?;
        let file = runtime.block_on(store.holder(certificate))?;
        let admission = file.map(|file| file.holding.admission(certificate, now));
        anyhow::ensure!(admission == Some(Admission::Login), "{admission:?}");
    }
    let mut group = criterion.benchmark_group("ledger");
    group.bench_function(format!("status of one of {count}"), |b| {
        b.iter(|| {
            let certificate = next()?;
            let file = runtime.block_on(store.holder(black_box(certificate))).ok()??;
            Some(file.holding.admission(certificate, now))
        });
    });
    group.bench_function("unknown", |b| {
        let nobody = koshin_types::Fingerprint::new([0; 32]);
        b.iter(|| runtime.block_on(store.holder(black_box(&nobody))));
    });
    group.finish();
    criterion.final_summary();
    runtime.block_on(store.shut_down());
    Ok(())
}
