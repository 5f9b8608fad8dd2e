//! One decision of the expiry policy: in calendar mode (Japan Standard Time) and in instant mode, at the places of a
//! certificate's life where it costs least and most, and the instant of the next mail.

use std::hint::black_box;

use criterion::Criterion;
use koshin_counts::Life;
use koshin_expiry::Mode;

fn main() -> anyhow::Result<()> {
    let mut criterion = Criterion::default().configure_from_args();
    for (mode, name) in [(Mode::Calendar, "calendar"), (Mode::Instant, "instant")] {
        let life = Life::new(mode)?;
        let mut group = criterion.benchmark_group(format!("policy/{name}"));
        for (name, days) in [("200 days left", 200), ("8 days left", 8), ("expired", -3)] {
            let now = life.days_left(days);
            group.bench_function(name, |b| b.iter(|| black_box(&life).decide(black_box(now))));
        }
        let now = life.days_left(200);
        group.bench_function("next mail", |b| b.iter(|| black_box(&life).next_mail(black_box(now))));
        group.finish();
    }
    criterion.final_summary();
    Ok(())
}
