//! What is told once: the suite of the port on a real file, and what the tables refuse.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use koshin_expiry::Policy;
use koshin_notify::{
    Address, Digests, Matters as _, Party, Past, conformance::matters::MattersRig, conformance::run as blocking,
};
use koshin_ra::{Directory as _, Organization, Preferences as _, Registry as _, Subject, SubjectFile};
use koshin_renewal::{Change, Deadlines, Event};
use koshin_sqlite::Store;
use koshin_types::{OrganizationId, RevocationReason, Role, SerialNumber, SubjectId, Validity};
use sqlx::Row as _;
use tempfile::TempDir;
use time::{Duration, UtcDateTime};

use crate::bench::{at, commit, hash, issued_for, note, options, raw, renewal_id, requested, run, serial};

struct File {
    store: Arc<Store>,
    folder: TempDir,
    /// The number of each holder's certificate.
    numbers: Mutex<HashMap<SubjectId, u32>>,
}

fn organization() -> OrganizationId {
    "C-1".parse().unwrap()
}

async fn empty() -> File {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&folder.path().join("koshin.db"), &options()).await.unwrap();
    let founded = Organization { id: organization(), name: "Midori".into() };
    store.add_organization(&founded, note("organization_added"), at(0)).await.unwrap();
    File { store: Arc::new(store), folder, numbers: Mutex::default() }
}

impl File {
    async fn file(&self, id: &SubjectId) -> Arc<SubjectFile> {
        self.store.subject(id).await.unwrap().unwrap()
    }

    async fn change(&self, id: &SubjectId, now: UtcDateTime, change: impl FnOnce(&SubjectFile) -> Change) {
        let file = self.file(id).await;
        self.store.commit(commit(&file, change(&file), now)).await.unwrap();
    }

    fn number(&self, id: &SubjectId) -> u32 {
        let numbers = &mut *self.numbers.lock().unwrap();
        let next = u32::try_from(numbers.len()).unwrap() + 1;
        *numbers.entry(id.clone()).or_insert(next)
    }
}

#[async_trait]
impl MattersRig for File {
    type Store = Store;

    fn store(&self) -> Arc<Store> {
        Arc::clone(&self.store)
    }

    async fn register(&self, role: Role, party: &Party) {
        let subject = Subject {
            id: party.subject_id.clone(),
            organization: organization(),
            role,
            name: String::new(),
            language: party.language,
            address: party.address.clone(),
            address_rests_until: None,
            password_hash: None,
            last_sign_in: None,
        };
        self.store.add_subject(&subject, note("subject_added"), at(0)).await.unwrap();
    }

    async fn activate(&self, holder: &Party, validity: Validity) -> SerialNumber {
        let (id, number, now) = (&holder.subject_id, self.number(&holder.subject_id), validity.not_before());
        self.change(id, now, |file| file.holding.permit(now + Duration::days(7), now)).await;
        let policy = Policy::default_jst();
        self.change(id, now, |file| file.holding.enrol(renewal_id(number), &policy, now).unwrap()).await;
        self.store.commit(requested(&*self.file(id).await, number, now)).await.unwrap();
        self.store.commit(issued_for(&*self.file(id).await, number, validity, now)).await.unwrap();
        let activate = Event::Activate { fingerprint: hash(number) };
        let deadlines = Deadlines::default();
        self.change(id, now, |file| file.holding.step(renewal_id(number), &activate, now, &deadlines).unwrap()).await;
        serial(number)
    }

    async fn revoke(&self, holder: &Party, now: UtcDateTime) {
        let reason = RevocationReason::KeyCompromise;
        self.change(&holder.subject_id, now, |file| file.holding.revoke(reason, now).unwrap()).await;
    }

    async fn begin(&self, holder: &Party, now: UtcDateTime) {
        let (number, policy) = (self.number(&holder.subject_id) + 1_000, Policy::default_jst());
        self.change(&holder.subject_id, now, |file| file.holding.start(renewal_id(number), &policy, now).unwrap())
            .await;
    }

    async fn permit(&self, holder: &Party, until: Option<UtcDateTime>, now: UtcDateTime) {
        let change = |file: &SubjectFile| match until {
            Some(until) => file.holding.permit(until, now),
            None => file.holding.withdraw_permission(now),
        };
        self.change(&holder.subject_id, now, change).await;
    }

    async fn readdress(&self, person: &Party, address: Option<Address>) {
        let file = self.file(&person.subject_id).await;
        let subject = Subject { address, ..file.subject.clone() };
        self.store.update_subject(&subject, file.version, vec![], note("address_set"), at(0)).await.unwrap();
    }

    async fn prefer(&self, digests: Digests, now: UtcDateTime) {
        self.store.prefer_digests(&organization(), digests, note("digests_set"), now).await.unwrap();
    }

    async fn ends(&self, kind: &str) -> Vec<String> {
        let query = "SELECT disposition FROM outbox WHERE kind = ? AND state = 'done' ORDER BY number";
        let rows = sqlx::query(query).bind(kind).fetch_all(&mut raw(self.folder.path().join("koshin.db")).await).await;
        rows.unwrap().iter().map(|row| row.get(0)).collect()
    }
}

koshin_notify::matters_conformance!(empty);

#[test]
fn an_organization_chooses_its_digests() {
    blocking(async {
        let file = empty().await;
        koshin_ra::conformance::an_organization_chooses_its_digests(&*file.store, &*file.store).await;
        assert_eq!(file.store.coming().await.unwrap().digested, Past::Never);
        file.prefer(Digests::OptedOut, at(0)).await;
        assert_ne!(file.store.coming().await.unwrap().digested, Past::Since(at(0)));
    });
}

/// What is asked every two seconds, and what a sweep reads, goes through an index.
#[tokio::test]
async fn a_look_scans_no_table() {
    let file = empty().await;
    let mut connection = raw(file.folder.path().join("koshin.db")).await;
    for (query, index) in [
        ("SELECT min(look_at) FROM matters WHERE look_at IS NOT NULL", "matters_due"),
        (
            "SELECT digest_due FROM organizations WHERE digests = 1 ORDER BY digest_due LIMIT 1",
            "organizations_digested",
        ),
        (
            "SELECT number FROM matters WHERE look_at BETWEEN 0 AND 9 AND (look_at, number) > (0, 5) \
             ORDER BY look_at, number LIMIT 5",
            "matters_due (look_at>",
        ),
        (
            "SELECT count(*) FILTER (WHERE disposition = 'sent') FROM outbox \
             WHERE state = 'done' AND recorded_at >= 0 AND recorded_at < 9",
            "COVERING INDEX outbox_recorded",
        ),
        ("SELECT count(*) FROM certificates WHERE issued_at >= 0 AND issued_at < 9", "certificates_issued"),
        (
            "SELECT count(*) FROM certificates WHERE status = 'active' AND not_after >= 0 AND not_after < 9",
            "certificates_expiring",
        ),
        (
            "SELECT 1 FROM outbox AS t WHERE t.subject = 'U-1' AND t.addressee IS NULL \
             AND t.disposition IN ('undeliverable', 'bounced', 'unknown') AND t.state = 'done' AND t.settled = 0",
            "outbox_tasks_of",
        ),
        ("SELECT 1 FROM outbox AS t WHERE t.addressee = 7 AND t.state = 'done' AND t.settled = 0", "outbox_addressee"),
    ] {
        let plan = sqlx::AssertSqlSafe(format!("EXPLAIN QUERY PLAN {query}"));
        let rows = sqlx::query(plan).fetch_all(&mut connection).await.unwrap();
        let plan: Vec<String> = rows.iter().map(|row| row.get("detail")).collect();
        // One step along an index is no scan.
        let looks = plan[0].contains("SEARCH") || query.ends_with("LIMIT 1");
        assert!(plan.len() == 1 && looks && plan[0].contains(index), "{query}: {plan:?}");
    }
}

/// What was open before there were matters is found: two notices that were told, and a permission.
#[tokio::test]
async fn what_was_open_before_is_a_matter() {
    let file = empty().await;
    let party = |id: &str| Party {
        subject_id: id.parse().unwrap(),
        language: koshin_types::Language::Ja,
        address: Some("taro@example.co.jp".parse().unwrap()),
        refused: false,
    };
    let (told, permitted) = (party("U-1"), party("U-2"));
    let validity = Validity::new(at(0), at(0) + Duration::days(365) - Duration::SECOND).unwrap();
    for holder in [&told, &permitted] {
        file.register(Role::User, holder).await;
    }
    file.activate(&told, validity).await;
    file.permit(&permitted, Some(at(0) + Duration::days(80)), at(0)).await;
    let path = file.folder.path().join("koshin.db");
    let mut connection = raw(path.clone()).await;
    run(&mut connection, "INSERT INTO notices (certificate, threshold, planned_at) VALUES (1, 10, 5), (1, 30, 4)")
        .await
        .unwrap();
    file.store.shut_down().await;
    for undo in [
        "DROP TRIGGER outbox_makes_a_matter",
        "DROP TRIGGER notices_make_a_matter",
        "DROP TRIGGER certificates_end_a_matter",
        "DROP TRIGGER subjects_end_a_permission",
        "DROP TRIGGER outbox_finds_an_address",
        "DROP TRIGGER subjects_end_an_address",
        "DROP TABLE matters",
        "DROP TABLE summaries",
        "DROP INDEX organizations_digested",
        "ALTER TABLE organizations DROP COLUMN digests",
        "ALTER TABLE organizations DROP COLUMN digest_due",
        "DROP INDEX outbox_addressee",
        "DROP INDEX outbox_escalations",
        "DROP INDEX outbox_recorded",
        "DROP INDEX outbox_tasks_of",
        "DROP INDEX certificates_issued",
        "ALTER TABLE outbox DROP COLUMN addressee",
        "DELETE FROM _sqlx_migrations WHERE version = 12",
    ] {
        run(&mut connection, undo).await.unwrap_or_else(|error| panic!("{undo}: {error}"));
    }
    drop(connection);
    let store = Store::open(&path, &options()).await.unwrap();
    let page = store.matters(at(0) + Duration::days(80), None, 9).await.unwrap();
    let about: Vec<_> = page.rows.iter().map(|matter| matter.parties.holder.subject_id.as_str().to_owned()).collect();
    assert_eq!(about, ["U-1", "U-2"]);
    let ten_days_before = at(0) + Duration::days(70);
    assert_eq!(page.rows[1].place.at, ten_days_before);
}
