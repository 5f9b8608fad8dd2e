//! Going through the revocations in the order of their serial numbers.

use std::{iter::Peekable, sync::Arc, vec};

use koshin_issuance::RevokedCertificate;
use koshin_types::SerialNumber;
use time::{Duration, UtcDateTime};
use tokio::task::JoinHandle;

use super::source::{RevocationSource, Revoked, SourceUnavailable};

/// How many revocations are asked for at once.
const PAGE: usize = 4096;
/// How long a revocation may take from its instant to its commit. One that was under way while a list was made is not taken for
/// one that the list has.
const SETTLING: Duration = Duration::MINUTE;

/// All revocations of a source, page by page. While one page is gone through, the next one is on its way.
pub(super) struct Pages {
    source: Arc<dyn RevocationSource>,
    page: vec::IntoIter<Revoked>,
    next: Option<JoinHandle<Result<Vec<Revoked>, SourceUnavailable>>>,
}

impl Pages {
    pub(super) fn of(source: &Arc<dyn RevocationSource>) -> Self {
        let mut pages = Self { source: Arc::clone(source), page: Vec::new().into_iter(), next: None };
        pages.ask(None);
        pages
    }

    fn ask(&mut self, after: Option<SerialNumber>) {
        let source = Arc::clone(&self.source);
        self.next = Some(tokio::spawn(async move { source.revocations(after, PAGE).await }));
    }

    /// The next one, which stays the next one.
    pub(super) async fn peek(&mut self) -> Result<Option<Revoked>, SourceUnavailable> {
        if self.page.len() == 0
            && let Some(next) = self.next.take()
        {
            let page = next.await.map_err(|error| SourceUnavailable(Box::new(error)))??;
            if let Some(last) = page.last().filter(|_| page.len() >= PAGE) {
                self.ask(Some(last.entry.serial));
            }
            self.page = page.into_iter();
        }
        Ok(self.page.as_slice().first().copied())
    }

    pub(super) async fn next(&mut self) -> Result<Option<Revoked>, SourceUnavailable> {
        self.peek().await?;
        Ok(self.page.next())
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        if let Some(next) = &self.next {
            next.abort();
        }
    }
}

/// From which thisUpdate on a list is the last one that has this entry: made after the certificate expired (RFC 5280, 5: an
/// entry stays on at least one list beyond the validity) and after the revocation was there to be read.
pub(super) fn last_listed_from(revoked: &Revoked) -> UtcDateTime {
    let expired = revoked.not_after.saturating_add(Duration::SECOND);
    expired.max(revoked.entry.revoked_at.saturating_add(SETTLING))
}

/// Entries that only the published list knows, put in where they belong.
pub(super) struct Carried(Peekable<vec::IntoIter<RevokedCertificate>>);

impl Carried {
    pub(super) fn new(entries: Vec<RevokedCertificate>) -> Self {
        Self(entries.into_iter().peekable())
    }

    /// The next one below a serial number, or the next one at all.
    pub(super) fn before(&mut self, serial: Option<SerialNumber>) -> Option<RevokedCertificate> {
        self.0.next_if(|entry| serial.is_none_or(|serial| entry.serial < serial))
    }

    /// Drops the one with this serial number: the source knows it again.
    pub(super) fn skip(&mut self, serial: SerialNumber) {
        while self.0.next_if(|entry| entry.serial <= serial).is_some() {}
    }
}
