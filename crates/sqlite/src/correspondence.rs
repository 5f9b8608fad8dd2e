//! The port `Correspondence`.

use async_trait::async_trait;
use koshin_ra::{Correspondence, Order, Progress, Reached, StorageError};
use koshin_types::RenewalId;
use sqlx::sqlite::SqliteRow;
use time::UtcDateTime;

use crate::{
    codec::{Columns, millis, signed},
    error::{StoreError, damaged},
    script::Script,
    store::Store,
    writer::{Failed, Job, Transaction},
};

/// Adds an order, or puts another one in the place of the same renewal's.
pub(crate) fn put_order(script: &mut Script, order: &Order) {
    script.push(
        "/* correspondence::put_order */ INSERT INTO orders (renewal, spki, organization, subject, mail, not_before, \
         not_after, request, ordered_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (renewal) DO UPDATE SET \
         spki = excluded.spki, organization = excluded.organization, subject = excluded.subject, mail = excluded.mail, \
         not_before = excluded.not_before, not_after = excluded.not_after, request = excluded.request, \
         ordered_at = excluded.ordered_at",
    );
    script.bind(order.renewal.as_bytes().to_vec()).bind(order.spki.as_bytes().to_vec());
    script.bind(order.organization.as_str()).bind(order.subject.as_str()).bind(order.mail.as_deref());
    script.bind(order.validity.not_before().unix_timestamp()).bind(order.validity.not_after().unix_timestamp());
    script.bind(order.request.as_slice()).bind(millis(order.at));
}

/// Takes the order away that a certificate answers.
pub(crate) fn answer_order(script: &mut Script, renewal: &RenewalId) {
    script.push("/* correspondence::answer_order */ DELETE FROM orders WHERE renewal = ?");
    script.bind(renewal.as_bytes().to_vec());
}

enum Write {
    Forget(RenewalId),
    Reached(Reached),
}

#[async_trait]
impl Job for Write {
    type Done = ();
    type Refused = StorageError;

    async fn run(&mut self, tx: &mut Transaction<'_>) -> Result<(), Failed<StorageError>> {
        let script = match self {
            Self::Forget(renewal) => Script::one(
                "/* correspondence::Write::run */ DELETE FROM orders WHERE renewal = ? AND renewal IN \
                 (SELECT id FROM renewals WHERE state NOT IN ('started', 'requested', 'intended'))",
            )
            .with(renewal.as_bytes().to_vec()),
            Self::Reached(Reached::Told(told)) => {
                Script::one("/* correspondence::Write::run */ UPDATE dealings SET told = ?").with(signed(*told))
            }
            Self::Reached(Reached::Heard(heard)) => {
                Script::one("/* correspondence::Write::run */ UPDATE dealings SET heard = ?").with(signed(*heard))
            }
        };
        tx.write_last(script).await?;
        Ok(())
    }
}

fn order(row: &SqliteRow) -> Result<Order, StoreError> {
    let mut columns = Columns::of(row);
    Ok(Order {
        renewal: columns.renewal_id("orders.renewal")?,
        spki: columns.fingerprint("orders.spki")?,
        organization: columns.get("orders.organization")?,
        subject: columns.word("orders.subject")?,
        mail: columns.get("orders.mail")?,
        validity: columns.validity("orders.not_before")?,
        request: columns.get("orders.request")?,
        at: columns.instant("orders.ordered_at")?,
    })
}

impl Store {
    /// The orders of open renewals from before an instant that wait for their certificates, the oldest first, at most `limit`;
    /// and how many there are.
    ///
    /// # Errors
    ///
    /// [`StorageError`].
    pub async fn waiting_orders(&self, before: UtcDateTime, limit: u32) -> Result<(u64, Vec<Order>), StorageError> {
        let query = "/* Store::waiting_orders */ SELECT o.renewal, o.spki, o.organization, o.subject, o.mail, o.not_before, \
                     o.not_after, o.request, o.ordered_at, count(*) OVER () FROM orders AS o \
                     JOIN renewals AS r ON r.id = o.renewal \
                     WHERE r.state IN ('started', 'requested', 'intended') AND o.ordered_at < ? \
                     ORDER BY o.ordered_at, o.number LIMIT ?";
        let rows = self.readers().all(Script::one(query).with(millis(before)).with(i64::from(limit))).await?;
        let all = rows.first().map(|row| {
            let mut columns = Columns::of(row);
            columns.skip(9);
            columns.unsigned("orders.number")
        });
        let orders = rows.iter().map(order).collect::<Result<_, _>>()?;
        Ok((all.transpose()?.unwrap_or_default(), orders))
    }
}

#[async_trait]
impl Correspondence for Store {
    async fn order(&self, renewal: &RenewalId) -> Result<Option<Order>, StorageError> {
        let query = "/* Store::order */ SELECT renewal, spki, organization, subject, mail, not_before, not_after, \
                     request, ordered_at FROM orders WHERE renewal = ?";
        let row = self.readers().one(Script::one(query).with(renewal.as_bytes().to_vec())).await?;
        Ok(row.map(|row| order(&row)).transpose()?)
    }

    async fn void(&self, limit: u32) -> Result<Vec<Order>, StorageError> {
        let query = "/* Store::void */ SELECT o.renewal, o.spki, o.organization, o.subject, o.mail, o.not_before, \
                     o.not_after, o.request, o.ordered_at FROM orders AS o JOIN renewals AS r ON r.id = o.renewal \
                     WHERE r.state NOT IN ('started', 'requested', 'intended') ORDER BY o.number LIMIT ?";
        let rows = self.readers().all(Script::one(query).with(i64::from(limit))).await?;
        Ok(rows.iter().map(order).collect::<Result<_, _>>()?)
    }

    async fn waiting_since(&self) -> Result<Option<UtcDateTime>, StorageError> {
        let query = "/* Store::waiting_since */ SELECT ordered_at FROM orders ORDER BY ordered_at LIMIT 1";
        let row = self.readers().one(Script::one(query)).await?;
        Ok(row.map(|row| Columns::of(&row).instant("orders.ordered_at")).transpose()?)
    }

    async fn forget(&self, renewal: &RenewalId) -> Result<(), StorageError> {
        self.write(Write::Forget(*renewal)).await
    }

    async fn progress(&self) -> Result<Progress, StorageError> {
        let query = "/* Store::progress */ SELECT told, heard FROM dealings WHERE number = 1";
        let row = self.readers().one(Script::one(query)).await?;
        let row = row.ok_or_else(|| damaged("dealings: the row is missing"))?;
        let mut columns = Columns::of(&row);
        Ok(Progress { told: columns.unsigned("dealings.told")?, heard: columns.unsigned("dealings.heard")? })
    }

    async fn reached(&self, place: Reached) -> Result<(), StorageError> {
        self.write(Write::Reached(place)).await
    }
}
