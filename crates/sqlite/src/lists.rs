//! The record of revocation lists, which every database of a CA has.

use async_trait::async_trait;
use koshin_issuance::CrlEdition;
use serde_json::json;

use crate::{
    audit::Entry,
    codec::{Columns, millis},
    database::Database,
    error::StoreError,
    script::Script,
    witness::{self, ListEdition, put_edition},
    writer::{Failed, Job, Transaction},
};

/// The newest revocation lists that are recorded.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RecordedLists {
    /// The newest one that may have been signed. Dates in whole seconds.
    pub reserved: Option<CrlEdition>,
    /// The newest one that could be fetched.
    pub published: Option<CrlEdition>,
}

const fn edition(list: ListEdition) -> CrlEdition {
    CrlEdition { number: list.number, this_update: list.this_update, next_update: list.next_update }
}

const fn list(edition: CrlEdition) -> ListEdition {
    ListEdition { number: edition.number, this_update: edition.this_update, next_update: edition.next_update }
}

impl Database {
    pub(crate) async fn lists(&self) -> Result<RecordedLists, StoreError> {
        let query = "/* Database::lists */ SELECT state, number, this_update, next_update FROM editions";
        let mut lists = RecordedLists::default();
        for row in &self.readers().all(Script::one(query)).await? {
            let mut columns = Columns::of(row);
            let state: &str = columns.get("editions.state")?;
            let list = witness::edition(&mut columns)?.map(edition);
            if state == "reserved" {
                lists.reserved = list;
            } else {
                lists.published = list;
            }
        }
        Ok(lists)
    }

    /// Records what may be signed next. The witness knows of it before it is signed.
    pub(crate) async fn reserve_list(&self, wanted: CrlEdition) -> Result<CrlEdition, StoreError> {
        self.has_to_be_current().await?;
        let reserved = self.write(Reserve { wanted }).await?;
        self.testify().await?;
        Ok(reserved)
    }

    pub(crate) async fn list_published(&self, edition: CrlEdition) -> Result<(), StoreError> {
        self.write(Published { edition }).await?;
        // After a restore no older list is taken for the newest one.
        self.testify().await
    }
}

struct Reserve {
    wanted: CrlEdition,
}

#[async_trait]
impl Job for Reserve {
    type Done = CrlEdition;
    type Refused = StoreError;

    async fn run(&mut self, tx: &mut Transaction<'_>) -> Result<CrlEdition, Failed<StoreError>> {
        let query = "/* Reserve::run */ SELECT number, this_update, next_update FROM editions WHERE state = 'reserved'";
        let rows = tx.read(Script::one(query)).await?;
        let last = match rows.first() {
            Some(row) => witness::edition(&mut Columns::of(row))?,
            None => None,
        };
        let next = self.wanted.following(last.map(edition));
        let record = Entry {
            at: millis(self.wanted.this_update),
            actor: "system".to_owned(),
            subject: None,
            fact: false,
            word: "list_reserved".to_owned(),
            body: json!({ "number": next.number }).to_string(),
        };
        let mut script = Script::default();
        record.append(&mut tx.head, &mut script);
        put_edition(&mut script, "reserved", list(next));
        tx.write_last(script).await?;
        Ok(next)
    }
}

struct Published {
    edition: CrlEdition,
}

#[async_trait]
impl Job for Published {
    type Done = ();
    type Refused = StoreError;

    async fn run(&mut self, tx: &mut Transaction<'_>) -> Result<(), Failed<StoreError>> {
        let mut script = Script::default();
        put_edition(&mut script, "published", list(self.edition));
        tx.write_last(script).await?;
        Ok(())
    }
}
