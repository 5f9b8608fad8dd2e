//! How the mails stand.

use anyhow::Context as _;
use koshin_expiry::Policy;
use koshin_notify::{Matters as _, Schedule as _, horizon};
use koshin_sqlite::{PostCounts, Store};
use time::UtcDateTime;

use super::{Alarm, Lag, Limits};

/// How the mails of a database stand, whoever sends them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// The instant that this is of.
    pub now: UtcDateTime,
    /// How many stand how.
    pub counts: PostCounts,
    /// Since when a notice is to be planned: of expiry, or for an administrator.
    pub unplanned: Option<UtcDateTime>,
    /// How late those of the last day were.
    pub lag: Option<Lag>,
    /// Why somebody has to look.
    pub alarms: Vec<Alarm>,
}

/// How many of the mails that were sent last are looked at.
const LATELY: u32 = 1_000;

impl Standing {
    /// Looks at a database. Nothing is written.
    ///
    /// # Errors
    ///
    /// When it does not answer.
    pub async fn look(store: &Store, policy: &Policy, limits: Limits, now: UtcDateTime) -> anyhow::Result<Self> {
        let counts = store.post_counts(now).await.context("the outbox cannot be counted")?;
        let delivered = store.delivered(LATELY).await.context("what was sent cannot be read")?;
        let ahead = store.ahead(now).await?;
        let enters = policy.mail_days().last().zip(ahead.unplanned);
        let enters = enters.map(|(days, not_after)| not_after.saturating_sub(horizon(*days)));
        let matter = store.coming().await?.matter;
        let unplanned = ahead.next_look.into_iter().chain(enters).chain(matter).min().filter(|at| *at <= now);
        let lag = Lag::of(&delivered, policy, now);
        let alarms = Alarm::all(&counts, unplanned, limits, now);
        Ok(Self { now, counts, unplanned, lag, alarms })
    }

    /// The same, of a process or a database whose clock is not believed.
    #[must_use]
    pub fn with_doubted_clock(mut self) -> Self {
        self.alarms.insert(0, Alarm::Clock);
        self
    }
}
