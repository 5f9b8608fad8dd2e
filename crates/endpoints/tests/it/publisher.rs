//! When a revocation list is made, what stands on it, and what happens to it in bad times.

use std::{
    fs,
    path::PathBuf,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use axum::body::Body;
use http::{Request, StatusCode};
use http_body_util::BodyExt as _;
use koshin_endpoints::{
    Condition, CrlSettings, MemoryRevocations, Place, Publication, PublishError, Publisher, Reading, RevocationSource,
    Revoked,
};
use koshin_issuance::{
    Ca, CheckedCrl, CrlEdition, FileSigner, Profile, ProfileConfig, RevokedCertificate, SignatureAlgorithm, Signer,
    SignerError,
};
use koshin_types::{RevocationReason, SerialNumber};
use tempfile::TempDir;
use time::{Duration, UtcDateTime};
use tower::ServiceExt as _;

use crate::bench::{Bench, Issuing, NOW, now, random};

/// A publisher on the bench.
pub(crate) struct Rig {
    pub(crate) publisher: Publisher,
    pub(crate) publication: Publication,
    pub(crate) source: Arc<MemoryRevocations>,
    pub(crate) issuing: Arc<Issuing>,
    /// While set, the CA's key is away.
    pub(crate) signer_down: Arc<AtomicBool>,
    clock: Arc<Mutex<UtcDateTime>>,
    folder: Arc<TempDir>,
    pub(crate) ca: Arc<Ca>,
}

struct Switched {
    signer: FileSigner,
    down: Arc<AtomicBool>,
}

impl Switched {
    fn there(&self) -> Result<&FileSigner, SignerError> {
        if self.down.load(Ordering::Acquire) {
            return Err(SignerError::Unavailable { detail: "the token is out".into() });
        }
        Ok(&self.signer)
    }
}

impl Signer for Switched {
    fn algorithm(&self) -> SignatureAlgorithm {
        self.signer.algorithm()
    }

    fn public_key_spki(&self) -> &[u8] {
        self.signer.public_key_spki()
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignerError> {
        self.there()?.sign(message)
    }

    fn sign_digest(&self, digest: &[u8]) -> Result<Vec<u8>, SignerError> {
        self.there()?.sign_digest(digest)
    }
}

impl Rig {
    pub(crate) fn new() -> Self {
        Self::with(&Arc::new(Issuing::new()), Arc::default(), &Arc::new(tempfile::tempdir().unwrap()))
    }

    fn with(issuing: &Arc<Issuing>, source: Arc<MemoryRevocations>, folder: &Arc<TempDir>) -> Self {
        let clock = Arc::new(Mutex::new(now()));
        let reading = Arc::clone(&clock);
        let publication = Publication::new(Arc::new(move || *reading.lock().unwrap()));
        let signer_down = Arc::new(AtomicBool::new(false));
        let signer = FileSigner::from_pkcs8_der(&issuing.key, random()).unwrap();
        let signer = Box::new(Switched { signer, down: Arc::clone(&signer_down) });
        let profile = Profile::new(ProfileConfig::default()).unwrap();
        let ca = Arc::new(Ca::load(&issuing.certificate, &[], signer, profile).unwrap());
        let (issuing, folder) = (Arc::clone(issuing), Arc::clone(folder));
        let place = Place::new(folder.path(), "issuing.crl");
        let asked: Arc<dyn RevocationSource> = Arc::clone(&source) as _;
        let publisher = Publisher::new(Arc::clone(&ca), asked, publication.clone(), place, CrlSettings::default());
        Self { publisher, publication, source, issuing, signer_down, clock, folder, ca }
    }

    /// A publisher of the CA on another bench.
    pub(crate) fn of(bench: &Bench) -> Self {
        let rig = Self::new();
        let asked: Arc<dyn RevocationSource> = Arc::clone(&rig.source) as _;
        let place = Place::new(rig.folder.path(), "issuing.crl");
        let (ca, publication) = (Arc::clone(&bench.ca), rig.publication.clone());
        let publisher = Publisher::new(Arc::clone(&ca), asked, publication, place, CrlSettings::default());
        Self { publisher, ca, ..rig }
    }

    /// The same as after a restart, with this source.
    fn restarted(&self, source: Arc<MemoryRevocations>) -> Self {
        Self::with(&self.issuing, source, &self.folder)
    }

    pub(crate) fn set_clock(&self, at: UtcDateTime) {
        *self.clock.lock().unwrap() = at;
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("issuing.crl")
    }

    pub(crate) fn file(&self) -> Vec<u8> {
        fs::read(self.path()).unwrap()
    }

    /// What a fetch answers: the list, verified, with its entries. `None` for 404.
    pub(crate) async fn fetch(&self) -> Option<(CheckedCrl, Vec<RevokedCertificate>)> {
        let request = Request::get("/issuing.crl").body(Body::empty()).unwrap();
        let response = self.publication.router().oneshot(request).await.unwrap();
        if response.status() == StatusCode::NOT_FOUND {
            return None;
        }
        let der = response.into_body().collect().await.unwrap().to_bytes();
        let mut entries = Vec::new();
        let checked = self.ca.check_crl(&der[..], |entry| entries.push(entry)).unwrap();
        Some((checked, entries))
    }

    async fn number(&self) -> u64 {
        self.fetch().await.map_or(0, |(checked, _)| checked.edition.number)
    }

    async fn listed(&self) -> Vec<RevokedCertificate> {
        self.fetch().await.map(|(_, entries)| entries).unwrap_or_default()
    }

    pub(crate) fn revoke_many(&self, count: u32) {
        (0..count).for_each(|number| self.source.revoke(revoked(number, now(), now() + Duration::days(90))));
    }

    async fn tend(&self, at: UtcDateTime) {
        self.publisher.tend(Reading::Believed(at)).await;
    }
}

pub(crate) fn revoked(number: u32, at: UtcDateTime, not_after: UtcDateTime) -> Revoked {
    let mut digits = [0; 13];
    digits[..4].copy_from_slice(&number.to_be_bytes());
    let entry = RevokedCertificate {
        serial: SerialNumber::from_time_and_random(NOW * 1000, digits),
        revoked_at: at,
        reason: RevocationReason::ALL[number as usize % 6],
        invalidity_date: None,
    };
    Revoked { entry, not_after }
}

fn year() -> UtcDateTime {
    now() + Duration::days(365)
}

#[tokio::test]
async fn a_list_is_made_every_half_day_and_at_once_after_a_revocation() {
    let rig = Rig::new();
    assert_eq!(rig.publisher.resume().await.unwrap(), None);
    assert_eq!(rig.publisher.standing(now()).condition, Condition::Missing);
    rig.tend(now()).await;
    let first = rig.number().await;
    assert_eq!(first, u64::try_from(NOW).unwrap() * 1000, "milliseconds since 1970");
    let standing = rig.publisher.standing(now());
    assert_eq!((standing.condition, standing.entries, standing.failure), (Condition::Fresh, 0, None));
    rig.tend(now() + Duration::hours(12) - Duration::SECOND).await;
    assert_eq!(rig.number().await, first);
    let at = now() + Duration::hours(12);
    rig.tend(at).await;
    let second = rig.fetch().await.unwrap().0.edition;
    assert_eq!((second.this_update, second.next_update), (at, at + Duration::days(7)));
    rig.source.revoke(revoked(1, at + Duration::MINUTE, year()));
    rig.publisher.revoked();
    rig.tend(at + Duration::MINUTE).await;
    let (third, entries) = rig.fetch().await.unwrap();
    assert_eq!((third.edition.this_update, third.entries), (at + Duration::MINUTE, 1));
    assert_eq!(entries, [revoked(1, at + Duration::MINUTE, year()).entry]);
    rig.tend(at + Duration::MINUTE * 2).await;
    assert_eq!(rig.number().await, third.edition.number);
    let left: Vec<_> = fs::read_dir(rig.folder.path()).unwrap().map(|file| file.unwrap().file_name()).collect();
    assert_eq!(left, ["issuing.crl"], "nothing else stays behind");
}

#[tokio::test]
async fn a_revocation_from_the_future_comes_on_the_list_when_it_is_past() {
    let rig = Rig::new();
    rig.source.revoke(revoked(1, now() + Duration::seconds(20), year()));
    rig.tend(now()).await;
    assert_eq!(rig.listed().await, []);
    rig.tend(now() + Duration::seconds(19)).await;
    assert_eq!(rig.listed().await, []);
    rig.tend(now() + Duration::seconds(20)).await;
    assert_eq!(rig.listed().await.len(), 1);
}

#[tokio::test]
async fn no_list_is_made_by_a_clock_in_doubt() {
    let rig = Rig::new();
    rig.tend(now()).await;
    let first = rig.number().await;
    let wrong = now() + Duration::days(4000);
    rig.publisher.revoked();
    rig.publisher.tend(Reading::Doubted(wrong)).await;
    assert_eq!(rig.number().await, first);
    rig.tend(now() + Duration::MINUTE).await;
    assert_ne!(rig.number().await, first, "as soon as it is right");
}

/// F29: whoever makes the lists has stopped; the clock goes on.
#[tokio::test]
async fn the_alarm_comes_with_half_of_the_life_left() {
    let rig = Rig::new();
    rig.tend(now()).await;
    let first = rig.number().await;
    rig.signer_down.store(true, Ordering::Release);
    let mut at = now();
    let mut conditions = Vec::new();
    while at < now() + Duration::days(8) {
        at += Duration::hours(3);
        rig.tend(at).await;
        let standing = rig.publisher.standing(at);
        assert_eq!(standing.failure.is_some(), at >= now() + Duration::hours(12));
        if conditions.last() != Some(&(standing.condition, first)) {
            conditions.push((standing.condition, rig.number().await));
            let since = (at - now()).whole_hours();
            match standing.condition {
                Condition::Late => assert_eq!(since, 84),
                Condition::Ended => assert_eq!(since, 168),
                _ => {}
            }
        }
    }
    let expected = [Condition::Fresh, Condition::Late, Condition::Ended].map(|condition| (condition, first));
    assert_eq!(conditions, expected, "the old list stays where it is");
    let failure = rig.publisher.standing(at).failure.unwrap();
    assert!(failure.contains("the list could not be made") && failure.contains("the token is out"), "{failure}");
    rig.signer_down.store(false, Ordering::Release);
    rig.tend(at + Duration::seconds(59)).await;
    assert_eq!(rig.number().await, first, "it is tried again after a while");
    rig.tend(at + Duration::MINUTE).await;
    let standing = rig.publisher.standing(at + Duration::MINUTE);
    assert_eq!((standing.condition, standing.failure), (Condition::Fresh, None));
}

/// A key that is away for two days, while the service looks every second: a number is for a list, not for a try.
#[tokio::test]
async fn a_long_outage_of_the_key_burns_no_numbers() {
    let rig = Rig::new();
    rig.tend(now()).await;
    rig.source.revoke(revoked(1, now() + Duration::SECOND, year()));
    rig.publisher.revoked();
    rig.signer_down.store(true, Ordering::Release);
    let mut at = now();
    while at < now() + Duration::days(2) {
        at += Duration::SECOND;
        rig.tend(at).await;
    }
    let reserved = rig.source.reservations();
    assert!((2..=18).contains(&reserved), "{reserved} numbers in two days, of which the first is of a published list");
    assert_eq!(rig.listed().await, []);

    // What is revoked meanwhile waits for the next try, and needs one number more.
    rig.source.revoke(revoked(2, at, year()));
    for _ in 0..1000 {
        rig.publisher.revoked();
        rig.tend(at).await;
    }
    assert_eq!(rig.source.reservations(), reserved);
    rig.tend(at + Duration::MINUTE).await;
    rig.tend(at + Duration::MINUTE * 2).await;
    assert!(rig.source.reservations() <= reserved + 1, "{} {reserved}", rig.source.reservations());
    rig.signer_down.store(false, Ordering::Release);
    rig.tend(at + Duration::MINUTE * 3).await;
    let (list, entries) = rig.fetch().await.unwrap();
    assert_eq!(entries.len(), 2, "{list:?}");
    assert!(rig.source.reservations() <= reserved + 1);
    assert_eq!(rig.source.editions().await.unwrap().reserved, Some(list.edition), "the number that was left is used");
}

/// A try in vain is forgotten once another process has published: what is revoked then does not wait half a day.
#[tokio::test]
async fn after_another_process_published_a_revocation_waits_for_nothing() {
    let rig = Rig::new();
    rig.signer_down.store(true, Ordering::Release);
    rig.tend(now()).await;
    let other = rig.restarted(Arc::clone(&rig.source));
    other.tend(now() + Duration::SECOND).await;
    rig.publisher.resume().await.unwrap();
    rig.signer_down.store(false, Ordering::Release);
    let at = now() + Duration::MINUTE;
    rig.source.revoke(revoked(1, at, year()));
    rig.publisher.revoked();
    rig.tend(at).await;
    assert_eq!(rig.listed().await, [revoked(1, at, year()).entry]);
}

#[tokio::test]
async fn a_list_that_was_tried_before_is_made_as_it_was_reserved() {
    let rig = Rig::new();
    rig.signer_down.store(true, Ordering::Release);
    rig.tend(now()).await;
    let reserved = rig.source.editions().await.unwrap().reserved.unwrap();
    rig.signer_down.store(false, Ordering::Release);
    rig.tend(now() + Duration::seconds(4)).await;
    assert_eq!(rig.fetch().await, None);
    rig.tend(now() + Duration::seconds(5)).await;
    assert_eq!(rig.fetch().await.unwrap().0.edition, reserved);
    // Each try in vain doubles the wait.
    rig.signer_down.store(true, Ordering::Release);
    let mut at = now() + Duration::hours(13);
    for seconds in [5, 10, 20, 40, 60, 60] {
        rig.tend(at).await;
        let tried = rig.source.asked();
        rig.tend(at + Duration::seconds(seconds - 1)).await;
        assert_eq!(rig.source.asked(), tried, "{seconds}");
        at += Duration::seconds(seconds);
    }
}

/// The command and the service publish into one folder.
#[tokio::test]
async fn what_another_process_is_at_work_on_stays() {
    let rig = Rig::new();
    rig.tend(now()).await;
    let number = rig.number().await;
    let newer = [".issuing.crl.{}.entries", ".issuing.crl.{}.draft"];
    let newer = newer.map(|name| rig.folder.path().join(name.replace("{}", &(number + 1).to_string())));
    for file in &newer {
        fs::write(file, b"half a list").unwrap();
    }
    rig.restarted(Arc::clone(&rig.source)).publisher.resume().await.unwrap();
    assert!(newer.iter().all(|file| file.exists()), "somebody may publish it in a moment");
    // Its process was killed: a newer list makes it void.
    rig.tend(now() + Duration::hours(12)).await;
    assert!(rig.number().await > number + 1 && newer.iter().all(|file| !file.exists()));
}

#[tokio::test]
async fn while_the_database_is_away_the_old_list_stays() {
    let rig = Rig::new();
    rig.tend(now()).await;
    let first = rig.number().await;
    rig.source.set_away(true);
    rig.tend(now() + Duration::DAY).await;
    assert!(rig.publisher.standing(now()).failure.unwrap().contains("it was sent away"));
    assert_eq!(rig.number().await, first);
    rig.source.set_away(false);
    rig.tend(now() + Duration::DAY + Duration::MINUTE).await;
    assert!(rig.number().await > first);
}

#[tokio::test]
async fn a_restart_serves_the_last_list_and_keeps_its_schedule() {
    let rig = Rig::new();
    rig.source.revoke(revoked(1, now(), year()));
    rig.tend(now() + Duration::HOUR).await;
    let (first, entries) = rig.fetch().await.unwrap();
    let again = rig.restarted(Arc::clone(&rig.source));
    assert_eq!(again.publisher.resume().await.unwrap(), Some(first.edition));
    assert_eq!(again.fetch().await, Some((first, entries)), "before anything is made");
    again.tend(now() + Duration::hours(13) - Duration::SECOND).await;
    assert_eq!(again.number().await, first.edition.number);
    again.tend(now() + Duration::hours(13)).await;
    assert!(again.number().await > first.edition.number);
}

#[tokio::test]
async fn what_was_revoked_while_nobody_published_is_listed_at_once() {
    let rig = Rig::new();
    rig.source.revoke(revoked(5, now(), year()));
    rig.tend(now() + Duration::HOUR).await;
    let mut at = now() + Duration::HOUR;
    for (number, ends_in) in [(1, Duration::DAY), (9, Duration::DAY), (7, Duration::minutes(-30))] {
        let before = rig.listed().await;
        at += Duration::HOUR;
        rig.source.revoke(revoked(number, at, at + ends_in));
        let again = rig.restarted(Arc::clone(&rig.source));
        again.publisher.resume().await.unwrap();
        assert_eq!(again.listed().await, before);
        again.tend(at + Duration::SECOND).await;
        assert_eq!(again.listed().await.len(), before.len() + 1, "{number}");
        rig.publisher.resume().await.unwrap();
    }
}

/// F30: what is found at start is not what was published.
#[tokio::test]
async fn a_bad_file_is_not_served_and_soon_replaced() {
    let rig = Rig::new();
    rig.source.revoke(revoked(1, now(), year()));
    rig.tend(now()).await;
    let old = rig.file();
    rig.tend(now() + Duration::hours(12)).await;
    let good = rig.file();
    let foreign = Rig::new();
    foreign.tend(now() + Duration::DAY).await;
    let flipped: Vec<u8> =
        good.iter().enumerate().map(|(at, octet)| if at == 90 { octet ^ 1 } else { *octet }).collect();
    let bad: [(&str, &[u8]); 7] = [
        ("empty", b""),
        ("cut off", &good[..good.len() - 1]),
        ("longer", &[&good[..], b"\n"].concat()),
        ("no list", b"<html>404</html>"),
        ("changed", &flipped),
        ("of another CA", &foreign.file()),
        ("older", &old),
    ];
    for (what, octets) in bad {
        fs::write(rig.path(), octets).unwrap();
        let again = rig.restarted(Arc::clone(&rig.source));
        assert_eq!(again.publisher.resume().await.unwrap(), None, "{what}");
        assert_eq!(again.fetch().await, None, "{what}");
        let before = rig.source.editions().await.unwrap().reserved.unwrap();
        again.tend(now() + Duration::hours(13)).await;
        let (checked, entries) = again.fetch().await.unwrap();
        assert!(checked.edition.number > before.number && entries.len() == 1, "{what}");
    }
    let folder = rig.path();
    fs::remove_file(&folder).unwrap();
    fs::create_dir(&folder).unwrap();
    let again = rig.restarted(Arc::clone(&rig.source));
    assert_eq!(again.publisher.resume().await.unwrap(), None, "a folder");
    again.tend(now() + Duration::hours(14)).await;
    assert!(again.publisher.standing(now()).failure.unwrap().contains("could not be put in its place"));
}

#[tokio::test]
async fn what_a_crash_left_behind_is_cleared_away() {
    let rig = Rig::new();
    rig.tend(now()).await;
    let left = [".issuing.crl.17.entries", ".issuing.crl.17.draft"];
    let others = [".issuing.crl.bak", ".other.crl.17.draft", "issuing.crl.17.draft", ".issuing.crl.x.draft"];
    for name in left.iter().chain(&others) {
        fs::write(rig.folder.path().join(name), b"half a list").unwrap();
    }
    rig.restarted(Arc::clone(&rig.source)).publisher.resume().await.unwrap();
    assert!(left.iter().all(|name| !rig.folder.path().join(name).exists()));
    assert!(others.iter().all(|name| rig.folder.path().join(name).exists()), "other programs' files stay");
}

/// Between putting the list in its place and recording that, the process was killed.
#[tokio::test]
async fn a_list_that_was_put_in_place_counts_as_published() {
    let rig = Rig::new();
    let before = rig.source.copy();
    rig.tend(now()).await;
    let edition = rig.fetch().await.unwrap().0.edition;
    before.reserve(edition).await.unwrap();
    let again = rig.restarted(Arc::new(before));
    assert_eq!(again.publisher.resume().await.unwrap(), Some(edition));
    assert_eq!(again.source.editions().await.unwrap().published, Some(edition));
}

/// A restored database forgets numbers, dates and revocations; relying parties do not.
#[tokio::test]
async fn invariant_43_a_restored_database_does_not_lower_the_number() {
    let rig = Rig::new();
    rig.source.revoke(revoked(2, now(), year()));
    rig.tend(now()).await;
    let backup = rig.source.copy();
    rig.source.revoke(revoked(1, now() + Duration::MINUTE, year()));
    rig.source.revoke(revoked(4, now() + Duration::MINUTE, year()));
    rig.publisher.revoked();
    rig.tend(now() + Duration::MINUTE).await;
    rig.tend(now() + Duration::hours(13)).await;
    let (newest, entries) = rig.fetch().await.unwrap();
    assert_eq!(entries.len(), 3);
    // The clock of the machine that it was restored on is behind, too.
    let again = rig.restarted(Arc::new(backup));
    assert_eq!(again.publisher.resume().await.unwrap(), Some(newest.edition));
    assert_eq!(again.listed().await, entries);
    again.source.revoke(revoked(3, now() + Duration::MINUTE, year()));
    again.publisher.revoked();
    again.tend(now() + Duration::MINUTE).await;
    let (next, listed) = again.fetch().await.unwrap();
    assert!(next.edition.number > newest.edition.number);
    assert!(next.edition.this_update >= newest.edition.this_update);
    let serials: Vec<_> = listed.iter().map(|entry| entry.serial).collect();
    assert_eq!(serials, [1, 2, 3, 4].map(|number| revoked(number, now(), year()).entry.serial));
    assert!(entries.iter().all(|entry| listed.contains(entry)), "with their old dates and reasons");
    // And a second restart, when the numbers agree again.
    let third = rig.restarted(Arc::clone(&again.source));
    third.publisher.resume().await.unwrap();
    third.tend(now() + Duration::days(2)).await;
    assert_eq!(third.listed().await, listed);
    // Without the file only the clock is left to say how far the numbers had come.
    fs::remove_file(rig.path()).unwrap();
    let fourth = rig.restarted(Arc::new(MemoryRevocations::default()));
    assert_eq!(fourth.publisher.resume().await.unwrap(), None);
    fourth.tend(now() + Duration::days(3)).await;
    assert!(fourth.number().await > third.number().await);
}

#[tokio::test]
async fn an_older_list_never_takes_the_place_of_a_newer_one() {
    let rig = Rig::new();
    rig.tend(now()).await;
    let later = now() + Duration::DAY;
    let newer = CrlEdition { number: u64::MAX >> 2, this_update: later, next_update: later + Duration::DAY };
    // Another process has reserved and published while this one was signing.
    rig.source.published(newer).await.unwrap();
    let file = rig.file();
    let race = Overtaking { inner: Arc::clone(&rig.source) };
    let place = Place::new(rig.folder.path(), "issuing.crl");
    let settings = CrlSettings::default();
    let publisher = Publisher::new(Arc::clone(&rig.ca), Arc::new(race), rig.publication.clone(), place, settings);
    let refused = publisher.publish(now() + Duration::HOUR).await.unwrap_err();
    assert!(matches!(refused, PublishError::Overtaken { by, .. } if by == newer.number), "{refused}");
    assert!(rig.file() == file);
}

/// Reserves what it is asked for, although a newer list is out.
struct Overtaking {
    inner: Arc<MemoryRevocations>,
}

#[async_trait::async_trait]
impl RevocationSource for Overtaking {
    async fn revocations(
        &self,
        after: Option<SerialNumber>,
        limit: usize,
    ) -> Result<Vec<Revoked>, koshin_endpoints::SourceUnavailable> {
        self.inner.revocations(after, limit).await
    }

    async fn editions(&self) -> Result<koshin_endpoints::Editions, koshin_endpoints::SourceUnavailable> {
        self.inner.editions().await
    }

    async fn reserve(&self, wanted: CrlEdition) -> Result<CrlEdition, koshin_endpoints::SourceUnavailable> {
        Ok(CrlEdition { number: 5, ..wanted })
    }

    async fn published(&self, edition: CrlEdition) -> Result<(), koshin_endpoints::SourceUnavailable> {
        self.inner.published(edition).await
    }
}

#[tokio::test]
async fn a_former_ca_publishes_beside_its_successor() {
    let (former, present) = (Rig::new(), Rig::new());
    former.source.revoke(revoked(1, now(), year()));
    let place = Place::new(present.folder.path(), "former.crl");
    let source: Arc<dyn RevocationSource> = Arc::clone(&former.source) as _;
    let publication = present.publication.clone();
    let beside = Publisher::new(Arc::clone(&former.ca), source, publication, place, CrlSettings::default());
    beside.resume().await.unwrap();
    beside.tend(Reading::Believed(now())).await;
    present.tend(now()).await;
    assert_eq!(present.listed().await, []);
    let request = Request::get("/former.crl").body(Body::empty()).unwrap();
    let response = present.publication.router().oneshot(request).await.unwrap();
    let der = response.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(former.ca.check_crl(&der[..], |_| {}).unwrap().entries, 1);
}
