//! What has to be done by time alone.

use std::{mem, time::Duration as Wait};

use koshin_endpoints::ca::{ChangeKind, Ledger as _};
use koshin_sqlite::{LedgerStore, Standing};
use time::UtcDateTime;
use tokio::{sync::watch, time::Instant};

use super::{authority::Authority, lineup::AtWork};
use crate::clock::Clock;

/// How often other processes' revocations are looked for.
const CHANGES_EVERY: Wait = Wait::from_millis(200);
/// How often a list that another process published, and that could not be shown, is looked for again.
const LOOK_AGAIN: Wait = Wait::from_secs(10);
/// How often clock and ledger compare notes.
const NOTES_EVERY: Wait = Wait::from_secs(1);
/// How often what a crash or a missing key left unsigned is tried again.
const FINISH_EVERY: Wait = Wait::from_secs(2);
/// After how many rounds a doubt that remains is logged again: ten minutes.
const SAY_AGAIN: u32 = 600;

/// Publishes anew what any process revoked, and shows the list that another process published.
pub(super) async fn watch_changes(store: LedgerStore, at_work: AtWork, mut seen: u64, mut behind: bool) {
    use koshin_endpoints::RevocationSource as _;
    let mut sought = Sought::default();
    loop {
        tokio::time::sleep(CHANGES_EVERY).await;
        let lineup = at_work.lineup();
        match store.changes(seen, 1000).await {
            Ok(page) => {
                seen = page.changes.last().map_or(seen, |last| last.sequence);
                // What is found again after a restore is no change of anybody's certificate here.
                let reconciled = mem::replace(&mut behind, is_behind(&store).await) && !behind;
                let revoked = page.changes.iter().any(|change| !matches!(change.kind, ChangeKind::Issued));
                if revoked || reconciled {
                    for authority in &lineup.authorities {
                        authority.publisher.revoked();
                        authority.ocsp.forget();
                    }
                }
            }
            Err(error) => tracing::error!(error = ?error, "changes of the ledger cannot be read"),
        }
        let Ok(editions) = store.editions().await else { continue };
        let number = |authority: &Authority| authority.publisher.standing(UtcDateTime::MIN).edition.map(|it| it.number);
        let shown = lineup.authorities.iter().filter_map(number).max();
        let newer = editions.published.map(|published| published.number).filter(|number| Some(*number) > shown);
        if newer.is_some_and(|number| sought.is_due(number, Instant::now())) {
            for authority in &lineup.authorities {
                if let Err(error) = authority.publisher.resume().await {
                    tracing::error!(error = ?error, "a revocation list of another process cannot be shown");
                }
            }
        }
    }
}

/// The list of another process that was looked for last. While its file is not there, looking reads a whole list in vain.
#[derive(Debug, Default)]
struct Sought(Option<(u64, Instant)>);

impl Sought {
    /// Whether to look for the list of this number now. If so, it is taken as looked for.
    fn is_due(&mut self, number: u64, now: Instant) -> bool {
        let waits = self.0.is_some_and(|(last, at)| last == number && now.duration_since(at) < LOOK_AGAIN);
        if !waits {
            self.0 = Some((number, now));
        }
        !waits
    }
}

/// Whether the ledger is to be reconciled first.
pub(super) async fn is_behind(store: &LedgerStore) -> bool {
    matches!(store.standing().await, Ok(Standing::Behind(_)))
}

/// Keeps clock and ledger together, and lets the CA sign again when the clock is believed again.
pub(super) async fn keep_clock(clock: Clock, at_work: AtWork) {
    let mut rounds_in_doubt = 0_u32;
    let mut issuing = None;
    loop {
        match clock.keep().await {
            Ok(Some(confirmed)) => {
                for authority in &at_work.lineup().authorities {
                    if let Err(error) = authority.service.confirm_clock(confirmed).await {
                        tracing::error!(error = ?error, "the ledger cannot be asked for the recorded time");
                    }
                }
            }
            Ok(None) => {}
            Err(error) => tracing::error!(error = ?error, "the time cannot be recorded"),
        }
        if let Err(doubt) = clock.trusted() {
            if rounds_in_doubt.is_multiple_of(SAY_AGAIN) {
                tracing::error!(
                    code = "clock_doubted",
                    "{doubt}: nothing is signed; set the clock right, and if it is right run `koshin-ca clock confirm`"
                );
            }
            rounds_in_doubt = rounds_in_doubt.wrapping_add(1);
        } else if rounds_in_doubt > 0 {
            tracing::warn!("the clock is believed again; everything goes on");
            rounds_in_doubt = 0;
        }
        // Also when a doubt came and went between two rounds.
        at_work.hold();
        issuing = say_whose_turn_it_is(&at_work, clock.now(), issuing);
        tokio::time::sleep(NOTES_EVERY).await;
    }
}

/// Says that another CA issues than before, and answers which one issues.
fn say_whose_turn_it_is(at_work: &AtWork, now: UtcDateTime, before: Option<String>) -> Option<String> {
    let lineup = at_work.lineup();
    let ca = lineup.authorities.get(lineup.turn(now)).map(|authority| authority.stem.clone());
    if let (Some(former), Some(ca)) = (before.filter(|before| Some(before) != ca.as_ref()), &ca) {
        tracing::warn!(code = "ca_turn", ca, former, "it is the turn of another CA: it issues from now on");
    }
    ca
}

/// Signs what a crash, or a key that was away, left recorded and unsigned.
pub(super) async fn finish(clock: Clock, at_work: AtWork) {
    loop {
        if clock.trusted().is_ok() {
            for authority in &at_work.lineup().authorities {
                let now = authority.share.span().clamp(clock.now());
                match authority.service.finish_unfinished(now).await {
                    Ok(finished) => {
                        for serial in &finished.issued {
                            tracing::warn!(%serial, "what was recorded before is signed now");
                        }
                        for (serial, why) in &finished.abandoned {
                            tracing::error!(code = "abandoned", %serial, %why, "what was recorded can never be signed");
                        }
                        if let Some(stopped) = &finished.stopped {
                            tracing::warn!(why = %stopped, "what was recorded is not signed yet; it is tried again");
                        }
                    }
                    Err(error) => tracing::error!(error = ?error, "the ledger cannot be asked what is unfinished"),
                }
            }
        }
        tokio::time::sleep(FINISH_EVERY).await;
    }
}

/// Waits until the service is to stop.
pub(super) async fn stopped(mut stopping: watch::Receiver<bool>) {
    // A sender that is gone has stopped too.
    let _ = stopping.wait_for(|stop| *stop).await;
}

pub(super) async fn until(stopping: watch::Receiver<bool>, work: impl Future<Output = ()>) {
    tokio::select! {
        () = stopped(stopping) => {}
        () = work => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_list_is_looked_for_every_ten_seconds_and_a_newer_one_at_once() {
        let (mut sought, start) = (Sought::default(), Instant::now());
        let after = |milliseconds| start + Wait::from_millis(milliseconds);
        let rounds = [(0, 7, true), (200, 7, false), (9_999, 7, false), (10_000, 7, true), (10_200, 7, false)];
        for (milliseconds, number, due) in rounds.into_iter().chain([(10_400, 8, true), (10_600, 8, false)]) {
            assert_eq!(sought.is_due(number, after(milliseconds)), due, "{number} after {milliseconds} ms");
        }
    }
}
