//! The suites of the ports, on a new file each.

mod registry {
    use async_trait::async_trait;
    use koshin_notify::MailId;
    use koshin_ra::{
        Actor, Chronicle, Correspondence, Directory, Registry, Sessions,
        conformance::{Recorded, Rig},
    };
    use sqlx::Row as _;

    use crate::bench::Bench;

    struct File(Bench);

    #[async_trait]
    impl Rig for File {
        fn registry(&self) -> &dyn Registry {
            &self.0.store
        }

        fn sessions(&self) -> &dyn Sessions {
            &self.0.store
        }

        fn directory(&self) -> &dyn Directory {
            &self.0.store
        }

        fn chronicle(&self) -> &dyn Chronicle {
            &self.0.store
        }

        fn correspondence(&self) -> &dyn Correspondence {
            &self.0.store
        }

        async fn audit(&self) -> Vec<Recorded> {
            self.0.store.audit_replay().await.expect("the log is whole, and gives what is stored");
            let records = self.0.store.audit_records(0, u32::MAX).await.unwrap();
            let recorded = |record: koshin_sqlite::AuditRecord| Recorded {
                sequence: record.sequence,
                at: record.at,
                actor: actor(&record.actor),
                subject: record.subject.map(|id| id.parse().unwrap()),
                word: record.word,
            };
            records.into_iter().map(recorded).collect()
        }

        async fn mails(&self) -> Vec<MailId> {
            let rows = sqlx::query("SELECT id FROM outbox ORDER BY number").fetch_all(&mut self.0.raw().await).await;
            let id = |row: &sqlx::sqlite::SqliteRow| MailId::from_bytes(row.get::<&[u8], _>(0).try_into().unwrap());
            rows.unwrap().iter().map(id).collect()
        }
    }

    /// What is written reads as who it was.
    fn actor(text: &str) -> Actor {
        match text.split_once(':') {
            Some(("holder", id)) => Actor::Holder(id.parse().unwrap()),
            Some(("administrator", id)) => Actor::Administrator(id.parse().unwrap()),
            Some(("operator", name)) => Actor::Operator(name.to_owned()),
            None if text == "system" => Actor::System,
            _ => panic!("{text}"),
        }
    }

    async fn empty() -> File {
        File(Bench::empty().await)
    }

    koshin_ra::store_conformance!(empty);
}

mod outbox {
    use async_trait::async_trait;
    use koshin_notify::{Mail, MailId, Outbox, Tasks, conformance::Rig};
    use koshin_ra::{Commit, Registry as _};
    use sqlx::Row as _;
    use time::UtcDateTime;

    use crate::bench::{Bench, commit};

    struct File(Bench);

    impl File {
        async fn column(&self, column: &str, id: MailId) -> Option<String> {
            let query = sqlx::AssertSqlSafe(format!("SELECT {column} FROM outbox WHERE id = ?"));
            let query = sqlx::query(query).bind(id.as_bytes().to_vec());
            query.fetch_optional(&mut self.0.raw().await).await.unwrap()?.get(0)
        }
    }

    #[async_trait]
    impl Rig for File {
        fn outbox(&self) -> &dyn Outbox {
            &self.0.store
        }

        fn tasks(&self) -> &dyn Tasks {
            &self.0.store
        }

        async fn put(&self, mail: &Mail, due: UtcDateTime) {
            let file = self.0.file(1).await;
            let nothing = koshin_renewal::Change { next: file.holding.clone(), facts: vec![], effects: vec![] };
            let owed = Commit { mails: vec![mail.clone()], ..commit(&file, nothing, due) };
            self.0.store.commit(owed).await.unwrap();
        }

        async fn stored(&self, id: MailId) -> Option<String> {
            self.column("mail", id).await
        }

        async fn end(&self, id: MailId) -> Option<String> {
            self.column("CASE state WHEN 'done' THEN disposition END", id).await
        }
    }

    async fn empty() -> File {
        File(Bench::with(1).await)
    }

    koshin_notify::outbox_conformance!(empty);
}

/// A row that nobody can read goes out of the way, with its text, and stops nobody.
#[tokio::test]
async fn an_unreadable_row_is_suppressed() {
    use crate::bench::{Bench, at, run};
    use koshin_notify::Outbox as _;
    use sqlx::Row as _;

    let bench = Bench::with(1).await;
    let row = "INSERT INTO outbox (id, kind, subject, mail, planned_at, state, claimable_from) \
               VALUES (zeroblob(16), 'enrolment_code', 'U-1', '{\"code\": \"12345\"}', 0, 'waiting', 0)";
    let mut raw = bench.raw().await;
    run(&mut raw, row).await.unwrap();
    assert_eq!(bench.store.claim(at(0), "worker", time::Duration::minutes(1), 10).await.unwrap(), []);
    assert_eq!(bench.store.next_wake(at(0)).await.unwrap(), None);
    let row = sqlx::query("SELECT mail, disposition FROM outbox").fetch_one(&mut raw).await.unwrap();
    assert_eq!((row.get::<&str, _>(0), row.get::<&str, _>(1)), ("", "suppressed_unreadable"));
}
