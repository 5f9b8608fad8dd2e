//! One decision of the expiry policy: in calendar mode (Japan Standard Time) and in instant mode, at the places of a
//! certificate's life where it costs least and most, and the instant of the next mail.

use std::{hint::black_box, sync::Arc};

use criterion::Criterion;
use koshin_expiry::{FixedOffset, Mode, Policy, PolicyConfig, Standing};
use time::{Duration, macros::utc_datetime};

fn main() -> anyhow::Result<()> {
    let mut criterion = Criterion::default().configure_from_args();
    let config = PolicyConfig { mode: Mode::Instant, ..PolicyConfig::default() };
    let policies = [("calendar", Policy::default_jst()), ("instant", Policy::new(config, Arc::new(FixedOffset::JST))?)];
    let validity = policies[0].1.validity_for(utc_datetime!(2026-03-01 3:00), utc_datetime!(2040-01-01 0:00));
    let validity = validity.map_err(|refused| anyhow::anyhow!("{refused}"))?;
    let standing = Standing::active(validity);
    for (mode, policy) in &policies {
        let mut group = criterion.benchmark_group(format!("policy/{mode}"));
        for (name, days) in [("200 days left", 200), ("8 days left", 8), ("expired", -3)] {
            let now = validity.not_after() - Duration::days(days);
            anyhow::ensure!(policy.decide(&standing, now).renewal == (days == 8), "{mode}, {name}");
            group.bench_function(name, |b| b.iter(|| policy.decide(black_box(&standing), black_box(now))));
        }
        let now = validity.not_after() - Duration::days(200);
        group.bench_function("next mail", |b| b.iter(|| policy.next_mail(black_box(&standing), black_box(now))));
        group.finish();
    }
    criterion.final_summary();
    Ok(())
}
