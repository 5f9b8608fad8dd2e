//! Commits a second of the group-commit writer at 1, 16 and 64 at a time.
//!
//! ```text
//! cargo run --release -p koshin-benches --bin commits
//! cargo run -p koshin-benches --bin commits -- --test               # seconds; says only that it works
//! ```
//!
//! Two kinds of commit. A *job* goes to the writer and nowhere else: a row and an audit record (a failed try is
//! counted). A *step* is what every use case does: read the file, decide, commit with the version and an audit record ("no"
//! to a dialog). CPU time is that of the whole process, with the callers in it.

use std::{
    process::ExitCode,
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use koshin_benches::{
    measure::{self, Disk, Latencies},
    place, rim, stage,
    town::Town,
};
use koshin_ra::{Access, Actor, AuditNote, Sessions as _};
use koshin_renewal::Dialog;
use koshin_types::RenewalId;

/// Callers at a time, and as many people.
const AT_ONCE: [usize; 3] = [1, 16, 64];
const PEOPLE: usize = 64;

fn main() -> ExitCode {
    stage::main("commits", |arguments| match arguments {
        [] => load(Duration::from_secs(3), Duration::from_secs(15)),
        ["--test"] => load(Duration::from_millis(30), Duration::ZERO),
        other => Err(anyhow::anyhow!("usage: commits [--test], not {other:?}")),
    })
}

/// Somebody with an open renewal.
struct Caller {
    access: Access,
    renewal: RenewalId,
}

fn load(time: Duration, patience: Duration) -> anyhow::Result<()> {
    if let Some((core, _)) = measure::cores() {
        measure::pin_self(core)?;
    }
    let folder = place::folder()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let (town, callers) = runtime.block_on(async {
        let mut town = Town::found(folder.path(), rim::now()).await?;
        let mut callers = Vec::new();
        for resident in town.settle(PEOPLE, rim::now()).await? {
            let access = town.ra.session(&resident.session, Some(&resident.fingerprint()), rim::now()).await?;
            let renewal = town.ra.start_renewal(&access, rim::now()).await?;
            callers.push(Caller { access, renewal });
        }
        anyhow::Ok((town, callers))
    })?;
    let callers = Arc::new(callers);
    for kind in [Kind::Job, Kind::Step] {
        for at_once in AT_ONCE {
            let quiet = measure::quiet(patience)?;
            let disk = Disk::measure(folder.path(), time / 3)?;
            let (stats, cpu) = (town.store.stats(), measure::used(std::process::id())?);
            let start = Instant::now();
            let mut latencies = runtime.block_on(run(&town, &callers, kind, at_once, time))?;
            let wall = start.elapsed();
            let cpu = measure::used(std::process::id())?.saturating_sub(cpu);
            let after = town.store.stats();
            #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
            let (count, batches) = (latencies.len() as f64, (after.batches - stats.batches) as f64);
            println!(
                "{kind:?}, {at_once:>2} at a time: {:>6.0} commits/s, {:.1} in a batch, CPU {:.0} us each, \
                 p50 {:.2} ms, p99 {:.2} ms; {disk}; {quiet}",
                count / wall.as_secs_f64(),
                count / batches.max(1.0),
                cpu.as_secs_f64() * 1e6 / count,
                latencies.millis(500),
                latencies.millis(990),
            );
        }
    }
    runtime.block_on(town.store.shut_down());
    Ok(())
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    /// Straight to the writer.
    Job,
    /// Read, decide, commit.
    Step,
}

/// Each caller commits again as soon as it is answered.
async fn run(
    town: &Town,
    callers: &Arc<Vec<Caller>>,
    kind: Kind,
    at_once: usize,
    time: Duration,
) -> anyhow::Result<Latencies> {
    let mut tasks = Vec::new();
    for number in 0..at_once {
        let (ra, store, callers) = (town.ra.clone(), Arc::clone(&town.store), Arc::clone(callers));
        tasks.push(tokio::spawn(async move {
            let Some(caller) = callers.get(number) else { anyhow::bail!("too few people") };
            let mut latencies = Latencies::default();
            let start = Instant::now();
            while start.elapsed() < time {
                let one = Instant::now();
                match kind {
                    Kind::Step => ra.decline(&caller.access, caller.renewal, Dialog::Key, rim::now()).await?,
                    Kind::Job => {
                        let id = caller.access.id();
                        let note = AuditNote {
                            actor: Actor::Holder(id.clone()),
                            subject: Some(id.clone()),
                            word: "sign_in_refused",
                            details: std::collections::BTreeMap::new(),
                        };
                        store.note_try(id.as_str(), Some((rim::now(), note.into()))).await?;
                    }
                }
                latencies.push(one.elapsed());
            }
            Ok(latencies)
        }));
    }
    let mut all = Latencies::default();
    let done: Vec<_> = stream::iter(tasks).buffer_unordered(at_once).try_collect().await?;
    for latencies in done {
        all.merge(latencies?);
    }
    Ok(all)
}
