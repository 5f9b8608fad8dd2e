//! The running CA: the API for RA clients, what is published for everybody, and what has to be done by time alone.

mod authority;
mod lineup;
mod listening;
mod reload;
mod tasks;

use anyhow::Context as _;
use koshin_edge::Edge;
use koshin_endpoints::{Publication, ca::Ledger as _};
use koshin_operator::{heads::HeadFile, machine::Hangups};
use koshin_sqlite::LedgerStore;
use tokio::{net::TcpListener, sync::watch, task::JoinSet};

pub(crate) use self::lineup::AtWork;
use self::{
    authority::Ground,
    lineup::{Bar, Lineup},
    listening::Listening,
    reload::Reload,
    tasks::{is_behind, until},
};
use crate::{
    clock::Clock,
    config::{Checked, Opened},
    health::Health,
    share::Reservations,
};

/// Everything the service is made of. Each field is a choice that the caller names.
pub(crate) struct Parts {
    pub(crate) checked: Checked,
    pub(crate) opened: Opened,
    pub(crate) store: LedgerStore,
    pub(crate) clock: Clock,
    pub(crate) api: TcpListener,
    pub(crate) publication: TcpListener,
    /// When the configuration is to be read again, where anybody can say so.
    pub(crate) hangups: Option<Hangups>,
    /// Where the heads of the audit log go.
    pub(crate) heads: Option<HeadFile>,
}

impl Parts {
    /// Serves until `shutdown` is ready; then ends connections in order and returns. `ready` is called once everything
    /// answers.
    pub(crate) async fn serve(self, ready: impl FnOnce(), shutdown: impl Future<Output = ()>) -> anyhow::Result<()> {
        let Self { checked, opened, store, clock, api, publication, hangups, heads } = self;
        let files = Publication::new(clock.function());
        let ground =
            Ground { store: store.clone(), clock: clock.clone(), files, reservations: Reservations::default() };
        let lists = checked.path(&checked.config.storage.lists);
        std::fs::create_dir_all(&lists).with_context(|| format!("{} cannot be made", lists.display()))?;
        let bar = Bar::default();
        let at_work = AtWork::new(Lineup::new(&ground, &checked, &opened, &bar, None)?, bar.clone(), clock.clone());
        // Before anything is published, so that what is revoked meanwhile is noticed too.
        let seen = store.changes(u64::MAX, 0).await?.head;
        let behind = is_behind(&store).await;
        for authority in &at_work.lineup().authorities {
            authority.publisher.resume().await?;
        }
        at_work.hold();

        let (stop, stopping) = watch::channel(false);
        let mut tasks = JoinSet::new();
        let edge = Edge::new(clock.function());
        let health = Health { store: store.clone(), clock: clock.clone(), at_work: at_work.clone() };
        let published = ground.files.router().merge(health.router()).merge(at_work.ocsp());
        listening::serve_open(&mut tasks, publication, published, &edge, &stopping);
        let mut listening = Listening::new(api, at_work.api(), edge)?;
        listening.serve(&mut tasks, &opened, &stopping)?;
        for authority in &at_work.lineup().authorities {
            authority.keep(&ground, &mut tasks, &stopping);
        }
        let heads = heads.map(|heads| {
            let (log, watch) = (store.clone(), clock.clone());
            let head = move || {
                let log = log.clone();
                async move { log.audit_head().await }
            };
            heads.begin(head, move || watch.now())
        });
        let changes = tasks::watch_changes(store, at_work.clone(), seen, behind);
        tasks.spawn(until(stopping.clone(), changes));
        tasks.spawn(until(stopping.clone(), tasks::keep_clock(clock.clone(), at_work.clone())));
        tasks.spawn(until(stopping.clone(), tasks::finish(clock, at_work.clone())));
        ready();
        Reload { ground, checked, opened, at_work, bar, listening, tasks: &mut tasks, stopping }
            .watch(hangups, shutdown)
            .await;
        stop.send_replace(true);
        while tasks.join_next().await.is_some() {}
        if let Some(heads) = heads {
            heads.end().await;
        }
        Ok(())
    }
}
