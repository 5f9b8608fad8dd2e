//! A login over loopback, client and server in this process: a full handshake of mutual TLS and the login page with the
//! ledger's answer. Beside it the same handshake in memory. CPU time of the server alone: see the program `logins`.

use std::sync::Arc;

use criterion::Criterion;
use koshin_benches::{
    authority,
    client::Target,
    handshake, place, rim,
    service::{self, HOSTS, Tls},
    town::Town,
};
use tokio::sync::oneshot;

fn main() -> anyhow::Result<()> {
    let mut criterion = Criterion::default().configure_from_args();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let folder = place::folder()?;
    let (stop, stopped) = oneshot::channel::<()>();
    let (target, resident, hosts) = runtime.block_on(async {
        let mut town = Town::found(folder.path(), rim::now()).await?;
        let resident = town.settle(1, rim::now()).await?.pop();
        town.store.shut_down().await;
        let hosts = service::listen().await?;
        let target = Target::new(HOSTS[0], hosts.1[0], authority::load(folder.path())?.server_ca)?;
        anyhow::Ok((target, resident, hosts))
    })?;
    let serving = std::thread::spawn({
        let (handle, path) = (runtime.handle().clone(), folder.path().to_owned());
        move || handle.block_on(service::run(&path, hosts, async { drop(stopped.await) }))
    });
    let resident = resident.ok_or_else(|| anyhow::anyhow!("nobody enrolled"))?;
    let browser = target.browser(&resident)?;
    let tls = Tls::new(&authority::load(folder.path())?)?;
    let login = || {
        runtime.block_on(async {
            let mut connection = target.connect(Arc::clone(&browser)).await?;
            let page = connection.get("/", None).await?;
            connection.close().await;
            anyhow::Ok(page)
        })
    };
    login()?;
    handshake::in_memory(&tls.config, &browser)?;
    let mut group = criterion.benchmark_group("login");
    group.bench_function("handshake in memory, both sides", |b| {
        b.iter(|| handshake::in_memory(&tls.config, &browser).map(|(_, session)| session));
    });
    group.bench_function("handshake in memory, the server's side", |b| {
        b.iter_custom(|count| {
            (0..count).map_while(|_| handshake::in_memory(&tls.config, &browser).ok()).map(|(spent, _)| spent).sum()
        });
    });
    group.bench_function("connect, login page, close", |b| b.iter(login));
    group.finish();
    criterion.final_summary();
    let _ = stop.send(());
    serving.join().unwrap_or_else(|_| anyhow::bail!("the server panicked"))
}
