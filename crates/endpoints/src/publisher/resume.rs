//! Going on where the process before this one stopped.

use std::{fs::File, mem, sync::Arc};

use koshin_issuance::{CheckedCrl, CrlEdition, CrlReadError, RevokedCertificate};
use time::UtcDateTime;
use tokio::sync::mpsc;

use super::{
    Inner, PublishError, Publisher,
    pages::{Pages, last_listed_from},
};

/// How many entries go over at once.
const BATCH: usize = 4096;

/// What a published list says in comparison with the source.
struct Compared {
    checked: CheckedCrl,
    /// On the list, but unknown to the source.
    carried: Vec<RevokedCertificate>,
    /// From when on a list may lack everything that this one lacks.
    complete_from: UtcDateTime,
}

impl Publisher {
    /// Serves the list that was published last, and keeps to its schedule; answers its edition.
    ///
    /// It has to be ours, whole, and the newest that is recorded as published; else the alarm is sounded and `None` is the answer. When
    /// something was revoked that it lacks, the next one is due at once. When it lists what the source has forgotten, the
    /// source was restored from an older copy: those entries stay on every list from now on, because a revocation is final.
    ///
    /// # Errors
    ///
    /// [`PublishError`] when the folder or the source cannot be read.
    pub async fn resume(&self) -> Result<Option<CrlEdition>, PublishError> {
        let mut work = self.0.work.lock().await;
        let place = self.0.place.clone();
        let file = super::blocking(move || Ok(place.open()?));
        let Some(file) = file.await? else { return Ok(None) };
        let list = self.0.place.name();
        let editions = self.0.source.editions().await?;
        let Compared { checked, carried, complete_from } = match self.0.compare(&file).await? {
            Ok(compared) => compared,
            Err(error) => {
                tracing::error!(code = "crl_unusable", list, %error, "the published file is no revocation list of this CA");
                return Ok(None);
            }
        };
        let edition = checked.edition;
        let place = self.0.place.clone();
        super::blocking(move || Ok(place.clear(edition.number)?)).await?;
        if let Some(recorded) = editions.published.map(|recorded| recorded.number)
            && recorded > edition.number
        {
            let number = edition.number;
            tracing::error!(
                code = "crl_older",
                list,
                number,
                recorded,
                "the published revocation list is an older one"
            );
            return Ok(None);
        }
        if editions.reserved.is_none_or(|reserved| reserved.number < edition.number) || !carried.is_empty() {
            let forgotten = carried.len();
            tracing::error!(
                code = "crl_ahead",
                list,
                forgotten,
                "the published revocation list is newer than the database, which was restored from an older copy; what \
                 the database has forgotten stays on the list"
            );
        }
        self.0.show(file, checked.octets, edition, checked.entries);
        self.0.source.published(edition).await?;
        let lacks = complete_from > edition.this_update;
        let due = edition.this_update.saturating_add(self.0.settings.interval);
        (work.due, work.carried) = (if lacks { UtcDateTime::MIN } else { due }, carried);
        // What failed before was about a list that is not needed any more: what is revoked from here on waits for nothing.
        work.failures = 0;
        Ok(Some(edition))
    }
}

impl Inner {
    /// Reads a list from end to end beside the source. Both go up by serial number.
    async fn compare(&self, file: &File) -> Result<Result<Compared, CrlReadError>, PublishError> {
        let (batches, mut read) = mpsc::channel(2);
        let (ca, file) = (Arc::clone(&self.ca), file.try_clone()?);
        let reading = tokio::task::spawn_blocking(move || {
            let mut batch = Vec::with_capacity(BATCH);
            let checked = ca.check_crl(&file, |entry| {
                batch.push(entry);
                if batch.len() == BATCH {
                    // Nobody listens any more when the source failed.
                    let _: Result<(), _> = batches.blocking_send(mem::replace(&mut batch, Vec::with_capacity(BATCH)));
                }
            });
            let _: Result<(), _> = batches.blocking_send(batch);
            checked
        });
        let mut pages = Pages::of(&self.source);
        let mut carried = Vec::new();
        let mut complete_from = UtcDateTime::MIN;
        while let Some(batch) = read.recv().await {
            for entry in batch {
                while let Some(known) = pages.peek().await?
                    && known.entry.serial < entry.serial
                {
                    complete_from = complete_from.max(last_listed_from(&known));
                    pages.next().await?;
                }
                match pages.peek().await? {
                    Some(known) if known.entry.serial == entry.serial => drop(pages.next().await?),
                    _ => carried.push(entry),
                }
            }
        }
        while let Some(known) = pages.next().await? {
            complete_from = complete_from.max(last_listed_from(&known));
        }
        let checked = reading.await.map_err(|_| PublishError::Stopped)?;
        Ok(checked.map(|checked| Compared { checked, carried, complete_from }))
    }
}
