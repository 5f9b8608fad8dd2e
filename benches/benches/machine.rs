//! One step of the renewal machine, and the commands on a subject's holding that a renewal consists of.

use std::hint::black_box;

use criterion::Criterion;
use koshin_counts::{NOW, Renewing};

fn main() -> anyhow::Result<()> {
    let mut criterion = Criterion::default().configure_from_args();
    let renewing = Renewing::new()?;
    renewing.step(NOW)?;
    let facts = renewing.facts()?;
    criterion.bench_function("machine/step", |b| b.iter(|| black_box(&renewing).step(black_box(NOW))));
    criterion.bench_function("machine/holding: start", |b| b.iter(|| black_box(&renewing).start(black_box(NOW))));
    criterion.bench_function("machine/holding: a whole renewal", |b| {
        b.iter(|| black_box(&renewing).whole(black_box(NOW)));
    });
    criterion.bench_function("machine/holding: admission", |b| {
        b.iter(|| black_box(&renewing).admission(black_box(NOW)));
    });
    criterion.bench_function("machine/holding: a renewal from its facts", |b| {
        b.iter(|| black_box(&renewing).replay(black_box(&facts), NOW));
    });
    criterion.final_summary();
    Ok(())
}
