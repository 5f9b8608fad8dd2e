//! Making a CA's revocation list, in time, and putting it where relying parties fetch it.

pub mod conformance;
mod memory;
mod pages;
mod place;
mod resume;
mod source;
mod standing;

pub use memory::MemoryRevocations;
pub use place::Place;
pub use source::{Editions, RevocationSource, Revoked, SourceUnavailable};
pub use standing::{Condition, Standing};

use std::{
    fmt,
    fs::File,
    future::Future,
    io::{self, BufWriter, Write as _},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration as Wait,
};

use koshin_issuance::{Ca, CrlEdition, CrlError, CrlWriter, RevokedCertificate};
use time::{Duration, UtcDateTime};
use tokio::sync::Notify;

use crate::{Publication, Reading, Readings};
use pages::{Carried, Pages, last_listed_from};
use place::Temporary;
use standing::Alarm;

/// How often [`Publisher::keep`] looks whether a list is due.
const LOOK_EVERY: Wait = Wait::from_secs(1);

/// How long lists live and when they are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CrlSettings {
    /// From thisUpdate to nextUpdate: 7 days by default.
    pub validity: Duration,
    /// After how long the next one is made at the latest: 12 hours by default.
    pub interval: Duration,
    /// How soon one that could not be made is tried again: 5 seconds by default, each time twice as long up to
    /// [`LONGEST_RETRY`](Self::LONGEST_RETRY).
    pub retry: Duration,
    /// For how many seconds caches on the way may keep a list: 3,600 by default. A revocation is seen through them only
    /// after that.
    pub max_age: u32,
}

impl CrlSettings {
    /// However often it failed, a list is tried again after a minute, or after [`retry`](Self::retry) if that is longer.
    ///
    /// ```
    /// assert_eq!(koshin_endpoints::CrlSettings::LONGEST_RETRY.whole_seconds(), 60);
    /// ```
    pub const LONGEST_RETRY: Duration = Duration::MINUTE;

    /// How long to wait after so many tries in vain.
    fn wait(&self, failures: u32) -> Duration {
        let doubled = 2_i32.saturating_pow(failures.saturating_sub(1).min(30));
        self.retry.saturating_mul(doubled).min(Self::LONGEST_RETRY.max(self.retry))
    }
}

impl Default for CrlSettings {
    /// ```
    /// let settings = koshin_endpoints::CrlSettings::default();
    /// assert_eq!((settings.validity.whole_days(), settings.interval.whole_hours()), (7, 12));
    /// assert_eq!((settings.retry.whole_seconds(), settings.max_age), (5, 3_600));
    /// ```
    fn default() -> Self {
        Self { validity: Duration::days(7), interval: Duration::hours(12), retry: Duration::seconds(5), max_age: 3_600 }
    }
}

/// Makes and publishes the full revocation list of one CA; several CAs, a former one too, have a publisher each.
///
/// A new edition is made when half a day is over or something was revoked, never by a clock in doubt. Its number and dates are
/// recorded before it is signed; it is written beside the old one and takes its place as a whole, when it is on the disk. It
/// lists everything revoked until its thisUpdate, an expired certificate on one edition after its expiry, too. One that could
/// not be signed is tried again with the same number and dates, as long as nothing is revoked that it would lack.
///
/// Clones share it.
#[derive(Clone)]
pub struct Publisher(Arc<Inner>);

struct Inner {
    ca: Arc<Ca>,
    source: Arc<dyn RevocationSource>,
    publication: Publication,
    place: Place,
    settings: CrlSettings,
    /// Something was revoked since the newest list was begun.
    revoked: AtomicBool,
    wake: Notify,
    shown: Mutex<Shown>,
    /// Held by whoever makes a list.
    work: tokio::sync::Mutex<Work>,
}

/// What relying parties can fetch.
#[derive(Default)]
struct Shown {
    edition: Option<CrlEdition>,
    entries: u64,
    failure: Option<String>,
}

struct Work {
    /// When the next list is made.
    due: UtcDateTime,
    /// How often it was tried in vain.
    failures: u32,
    /// What was reserved and is not published: nobody has seen a list of this number.
    unused: Option<CrlEdition>,
    /// Entries of the published list that the source does not know, because it was restored from an older copy.
    carried: Vec<RevokedCertificate>,
    alarm: Alarm,
}

impl Publisher {
    /// A publisher that has published nothing yet. Call [`resume`](Self::resume) before anything else.
    pub fn new(
        ca: Arc<Ca>,
        source: Arc<dyn RevocationSource>,
        publication: Publication,
        place: Place,
        settings: CrlSettings,
    ) -> Self {
        let (due, alarm) = (UtcDateTime::MIN, Alarm::default());
        let work = Work { due, failures: 0, unused: None, carried: Vec::new(), alarm };
        Self(Arc::new(Inner {
            ca,
            source,
            publication,
            place,
            settings,
            revoked: AtomicBool::default(),
            wake: Notify::new(),
            shown: Mutex::default(),
            work: tokio::sync::Mutex::new(work),
        }))
    }

    /// Something was revoked: the next list is made at once.
    pub fn revoked(&self) {
        self.0.revoked.store(true, Ordering::Release);
        self.0.wake.notify_one();
    }

    /// How the list stands.
    pub fn standing(&self, now: UtcDateTime) -> Standing {
        let shown = self.0.shown();
        let (edition, entries, failure) = (shown.edition, shown.entries, shown.failure.clone());
        Standing { edition, entries, condition: Condition::of(edition, now), failure }
    }

    /// Makes and publishes a list now.
    ///
    /// # Errors
    ///
    /// [`PublishError`]; the list that was published before stays as it is.
    pub async fn publish(&self, now: UtcDateTime) -> Result<CrlEdition, PublishError> {
        let mut work = self.0.work.lock().await;
        let made = self.0.make(&mut work, now).await;
        self.0.shown().failure = made.as_ref().err().map(in_full);
        made
    }

    /// Makes and publishes a list if one is due, and sounds the alarm when there is none that will do. To be called at
    /// least every few seconds.
    pub async fn tend(&self, reading: Reading) {
        let mut work = self.0.work.lock().await;
        let now = reading.instant();
        match reading {
            // None by a wrong clock, but one as soon as it is right: it may go back when that is said.
            Reading::Doubted(_) => work.due = UtcDateTime::MIN,
            Reading::Believed(now) => {
                if self.0.is_due(&work, now) {
                    let made = self.0.make(&mut work, now).await;
                    if let Err(error) = &made {
                        work.failures = work.failures.saturating_add(1);
                        let wait = self.0.settings.wait(work.failures);
                        work.due = now.saturating_add(wait);
                        tracing::error!(
                            error = in_full(error),
                            again_in = %wait,
                            "no revocation list could be published; it is tried again"
                        );
                    }
                    self.0.shown().failure = made.err().as_ref().map(in_full);
                }
            }
        }
        let standing = self.standing(now);
        work.alarm.watch(self.0.place.name(), &standing, now);
    }

    /// Keeps a list published until it is stopped.
    pub async fn keep(self, readings: Readings, stopped: impl Future<Output = ()>) {
        tokio::pin!(stopped);
        loop {
            self.tend(readings.read()).await;
            tokio::select! {
                () = &mut stopped => return,
                () = self.0.wake.notified() => {}
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
        }
    }
}

impl Inner {
    fn shown(&self) -> MutexGuard<'_, Shown> {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_due(&self, work: &Work, now: UtcDateTime) -> bool {
        // Further away than a whole interval: the clock went back.
        let too_far = work.due > now.saturating_add(self.settings.interval);
        // What was revoked waits for the next try, however much it is.
        let revoked = work.failures == 0 && self.revoked.load(Ordering::Acquire);
        revoked || work.due <= now || too_far
    }

    async fn make(&self, work: &mut Work, now: UtcDateTime) -> Result<CrlEdition, PublishError> {
        // Whoever revokes from here on gets a list after this one.
        self.revoked.store(false, Ordering::Release);
        let shown = self.shown().edition;
        let Editions { reserved, published } = self.source.editions().await?;
        let earlier = newer(published, shown);
        let unused = work.unused.filter(|unused| self.is_good_for(*unused, reserved, earlier, now));
        let taken_up = match unused {
            // Whatever was revoked since belongs on a list that is made now.
            Some(edition) => Some((edition, self.gather(edition, earlier, &work.carried).await?))
                .filter(|(_, (_, later))| *later > now),
            None => None,
        };
        let (edition, (entries, later)) = if let Some(taken_up) = taken_up {
            taken_up
        } else {
            let edition = self.source.reserve(self.wanted(now).following(earlier)).await?;
            work.unused = Some(edition);
            (edition, self.gather(edition, earlier, &work.carried).await?)
        };
        let listed = entries.entries();
        let (draft, file, octets) = self.seal(entries, edition).await?;
        if let Some(by) = self.source.editions().await?.published
            && by.number > edition.number
        {
            return Err(PublishError::Overtaken { number: edition.number, by: by.number });
        }
        let place = self.place.clone();
        blocking(move || {
            place.publish(&draft)?;
            if let Err(error) = place.clear(edition.number) {
                tracing::warn!(%error, "what a killed process left behind of older lists stays");
            }
            Ok(())
        })
        .await?;
        (work.unused, work.failures) = (None, 0);
        self.show(file, octets, edition, listed);
        work.due = edition.this_update.min(now).saturating_add(self.settings.interval).min(later);
        if let Err(error) = self.source.published(edition).await {
            tracing::warn!(
                error = in_full(&error),
                "a published revocation list is not recorded as such; the next one will be"
            );
        }
        Ok(edition)
    }

    /// Whether what was reserved for a list that was not made does for one now: nobody has reserved since, and its dates are
    /// not older than a quarter of an interval.
    fn is_good_for(
        &self,
        unused: CrlEdition,
        reserved: Option<CrlEdition>,
        earlier: Option<CrlEdition>,
        now: UtcDateTime,
    ) -> bool {
        reserved.is_some_and(|reserved| reserved.number == unused.number)
            && earlier.is_none_or(|earlier| earlier.number < unused.number)
            && now < unused.this_update.saturating_add(self.settings.interval / 4)
    }

    /// The edition that would be made if there was none yet. Its number is the milliseconds since 1970, so that it grows
    /// over a restore of a database that has forgotten the newest ones.
    fn wanted(&self, now: UtcDateTime) -> CrlEdition {
        CrlEdition {
            number: u64::try_from(now.unix_timestamp_nanos() / 1_000_000).unwrap_or(1),
            this_update: now,
            next_update: now.saturating_add(self.settings.validity),
        }
    }

    /// Writes the entries of an edition; answers when one that is still to come belongs on a list, too.
    async fn gather(
        &self,
        edition: CrlEdition,
        earlier: Option<CrlEdition>,
        carried: &[RevokedCertificate],
    ) -> Result<(CrlWriter<Temporary>, UtcDateTime), PublishError> {
        let mut entries = CrlWriter::begin(edition, self.place.entries(edition.number)?)?;
        let mut carried = Carried::new(carried.to_vec());
        let mut pages = Pages::of(&self.source);
        let listed = earlier.map(|earlier| earlier.this_update.truncate_to_second());
        let mut later = UtcDateTime::MAX;
        loop {
            let next = pages.next().await?;
            while let Some(entry) = carried.before(next.map(|next| next.entry.serial)) {
                entries.push(&entry)?;
            }
            let Some(revoked) = next else { break };
            carried.skip(revoked.entry.serial);
            if revoked.entry.revoked_at > edition.this_update {
                later = later.min(revoked.entry.revoked_at);
            } else if listed.is_none_or(|listed| last_listed_from(&revoked) > listed) {
                entries.push(&revoked.entry)?;
            }
        }
        Ok((entries, later))
    }

    /// Signs the list into a draft.
    async fn seal(
        &self,
        entries: CrlWriter<Temporary>,
        edition: CrlEdition,
    ) -> Result<(Temporary, File, u64), PublishError> {
        let (place, ca) = (self.place.clone(), Arc::clone(&self.ca));
        blocking(move || {
            let mut draft = place.draft(edition.number)?;
            let mut out = BufWriter::new(&mut draft);
            let octets = entries.finish(&ca, &mut out)?;
            out.flush()?;
            drop(out);
            let file = draft.reader()?;
            Ok((draft, file, octets))
        })
        .await
    }

    fn show(&self, file: File, octets: u64, edition: CrlEdition, entries: u64) {
        let (name, max_age) = (self.place.name(), self.settings.max_age);
        self.publication.revocation_list(name, file, octets, edition, max_age);
        let mut shown = self.shown();
        (shown.edition, shown.entries) = (Some(edition), entries);
    }
}

/// Of two editions the one with the greater number.
fn newer(one: Option<CrlEdition>, other: Option<CrlEdition>) -> Option<CrlEdition> {
    one.into_iter().chain(other).max_by_key(|edition| edition.number)
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, PublishError> + Send + 'static,
) -> Result<T, PublishError> {
    tokio::task::spawn_blocking(work).await.unwrap_or(Err(PublishError::Stopped))
}

/// An error with its sources.
fn in_full(error: &(impl std::error::Error + ?Sized)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}

impl fmt::Debug for Publisher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Publisher").field("place", &self.0.place).finish_non_exhaustive()
    }
}

/// Why no list was published.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PublishError {
    /// The source of revocations does not answer.
    #[error("the list's content is not known")]
    Source(#[from] SourceUnavailable),
    /// The list could not be signed.
    #[error("the list could not be made")]
    Crl(#[from] CrlError),
    /// The folder does not take it.
    #[error("the list could not be put in its place")]
    Place(#[from] io::Error),
    /// Another process published a newer list meanwhile.
    #[error("the list {number} is older than the list {by}, which another process has published")]
    Overtaken {
        /// Our number.
        number: u64,
        /// The other one's.
        by: u64,
    },
    /// The process is about to end.
    #[error("the process ends")]
    Stopped,
}
