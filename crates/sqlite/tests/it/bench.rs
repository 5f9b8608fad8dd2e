//! A store in a folder that goes with it, and people in it.

use std::path::PathBuf;

use koshin_ra::{
    Actor, AuditNote, Certified, Commit, CommitError, Directory as _, Intent, Organization, Registry as _, Subject,
    SubjectFile,
};
use koshin_renewal::{Change, Deadlines, Event, Key};
use koshin_sqlite::{Options, Store};
use koshin_types::{Fingerprint, Language, ProtectionLevel, RenewalId, Role, SerialNumber, SubjectId, Validity};
use sqlx::{ConnectOptions as _, SqliteConnection, sqlite::SqliteConnectOptions};
use tempfile::TempDir;
use time::{Duration, UtcDateTime};

pub(crate) struct Bench {
    pub(crate) store: Store,
    pub(crate) folder: TempDir,
}

pub(crate) fn options() -> Options {
    Options { readers: 2, busy_timeout: std::time::Duration::from_secs(5), ..Options::default() }
}

pub(crate) fn at(minutes: i64) -> UtcDateTime {
    UtcDateTime::UNIX_EPOCH + Duration::days(20_000) + Duration::minutes(minutes)
}

pub(crate) fn id(number: u32) -> SubjectId {
    format!("U-{number}").parse().unwrap()
}

pub(crate) fn note(word: &'static str) -> AuditNote {
    AuditNote { actor: Actor::System, subject: None, word, details: [].into() }
}

pub(crate) fn hash(number: u32) -> Fingerprint {
    let mut octets = [0x5a; 32];
    octets[..4].copy_from_slice(&number.to_be_bytes());
    Fingerprint::new(octets)
}

pub(crate) fn renewal_id(number: u32) -> RenewalId {
    let mut octets = [0x5a; 16];
    octets[..4].copy_from_slice(&number.to_be_bytes());
    RenewalId::new(octets)
}

impl Bench {
    /// An empty store.
    pub(crate) async fn empty() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("koshin.db"), &options()).await.unwrap();
        Self { store, folder }
    }

    /// The organization `C-1` with the subjects `U-1` to `U-count`.
    pub(crate) async fn with(count: u32) -> Self {
        let bench = Self::empty().await;
        let organization = Organization { id: "C-1".parse().unwrap(), name: "Midori".into() };
        bench.store.add_organization(&organization, note("organization_added"), at(0)).await.unwrap();
        for number in 1..=count {
            let subject = Subject {
                id: id(number),
                organization: organization.id.clone(),
                role: Role::User,
                name: String::new(),
                language: Language::En,
                address: None,
                address_rests_until: None,
                password_hash: None,
                last_sign_in: None,
            };
            bench.store.add_subject(&subject, note("subject_added"), at(0)).await.unwrap();
        }
        bench
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join("koshin.db")
    }

    /// A connection behind the store's back.
    pub(crate) async fn raw(&self) -> SqliteConnection {
        raw(self.path()).await
    }

    /// From nothing to an active certificate, whose fingerprint, key, serial number and renewal all bear `number`.
    pub(crate) async fn enrolled(&self, subject: u32, number: u32, now: UtcDateTime) {
        self.enrolled_for(subject, number, validity(now), now).await;
    }

    /// The same with a validity.
    pub(crate) async fn enrolled_for(&self, subject: u32, number: u32, validity: Validity, now: UtcDateTime) {
        permit(&self.store, subject, now).await.unwrap();
        let policy = koshin_expiry::Policy::default_jst();
        let file = self.file(subject).await;
        let enrol = file.holding.enrol(renewal_id(number), &policy, now).unwrap();
        self.store.commit(commit(&file, enrol, now)).await.unwrap();
        let file = self.file(subject).await;
        self.store.commit(requested(&file, number, now)).await.unwrap();
        let file = self.file(subject).await;
        self.store.commit(issued_for(&file, number, validity, now)).await.unwrap();
        let file = self.file(subject).await;
        let activate = Event::Activate { fingerprint: hash(number) };
        let change = file.holding.step(renewal_id(number), &activate, now, &Deadlines::default()).unwrap();
        self.store.commit(commit(&file, change, now)).await.unwrap();
    }

    pub(crate) async fn file(&self, subject: u32) -> std::sync::Arc<SubjectFile> {
        self.store.subject(&id(subject)).await.unwrap().unwrap()
    }
}

pub(crate) async fn raw(path: PathBuf) -> SqliteConnection {
    SqliteConnectOptions::new().filename(path).connect().await.unwrap()
}

pub(crate) async fn run(connection: &mut SqliteConnection, statement: &str) -> sqlx::Result<u64> {
    let statement = sqlx::AssertSqlSafe(statement.to_owned());
    sqlx::query(statement).execute(connection).await.map(|done| done.rows_affected())
}

pub(crate) fn commit(file: &SubjectFile, change: Change, now: UtcDateTime) -> Commit {
    Commit::new(file, change, Actor::Holder(file.subject.id.clone()), now)
}

/// Reads a file and commits a permission on it: a commit that is always allowed.
pub(crate) async fn permit(store: &Store, subject: u32, now: UtcDateTime) -> Result<u64, CommitError> {
    let file = store.subject(&id(subject)).await.unwrap().unwrap();
    store.commit(commit(&file, file.holding.permit(now + Duration::days(7), now), now)).await?;
    Ok(file.version + 1)
}

pub(crate) fn serial(number: u32) -> SerialNumber {
    SerialNumber::from_time_and_random(1_700_000_000_000 + i64::from(number), [0x5a; 13])
}

fn validity(now: UtcDateTime) -> Validity {
    Validity::new(now, now + Duration::days(40)).unwrap()
}

pub(crate) fn requested(file: &SubjectFile, number: u32, now: UtcDateTime) -> Commit {
    let (deadlines, renewal) = (Deadlines::default(), file.holding.open_renewal().unwrap().id);
    let key = Key { spki: hash(number), protection: ProtectionLevel::Os };
    let mut change = file.holding.step(renewal, &Event::Request { key }, now, &deadlines).unwrap();
    let serial = serial(number);
    let intended = change.next.step(renewal, &Event::Intend { serial }, now, &deadlines).unwrap();
    change.facts.extend(intended.facts);
    change.next = intended.next;
    let intent = Intent { renewal, serial, spki: key.spki, validity: validity(now), tbs: vec![1; 600] };
    Commit { intent: Some(intent), ..commit(file, change, now) }
}

pub(crate) fn issued(file: &SubjectFile, number: u32, now: UtcDateTime) -> Commit {
    issued_for(file, number, validity(now), now)
}

pub(crate) fn issued_for(file: &SubjectFile, number: u32, validity: Validity, now: UtcDateTime) -> Commit {
    let (renewal, serial, fingerprint) = (file.holding.open_renewal().unwrap().id, serial(number), hash(number));
    let deadlines = Deadlines::default();
    let change = file.holding.issue(renewal, serial, fingerprint, validity, now, &deadlines).unwrap();
    let certified = Certified { serial, fingerprint, der: vec![2; 700] };
    Commit { certified: Some(certified), ..commit(file, change, now) }
}
