//! Reconciling a database that was put back with what was issued and published since it was copied.

use koshin_types::{Fingerprint, RevocationReason, SerialNumber};
use serde_json::json;
use time::{Duration, UtcDateTime};

use crate::{
    audit::Entry,
    codec::{millis, signed},
    database::Database,
    error::StoreError,
    script::Script,
    witness::{ListEdition, Standing, Testimony, Witnessed},
};

/// How far the number of a list jumps when nobody knows the newest one.
const JUMP: u64 = 1_000_000;

/// What the world outside has of a CA whose database was put back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evidence {
    /// The newest revocation list.
    pub list: NewestList,
    /// Certificates of this CA that were found. Whoever hands them in has verified that it signed them.
    pub certificates: Vec<FoundCertificate>,
}

/// The newest revocation list that relying parties could fetch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NewestList {
    /// This one.
    Found(PublishedList),
    /// None can be had. What was revoked since the copy was made is lost, and the number jumps by a million.
    Lost,
}

/// A revocation list as it was published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublishedList {
    /// Number and dates.
    pub edition: ListEdition,
    /// What it lists.
    pub entries: Vec<ListedRevocation>,
}

/// An entry of a published list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListedRevocation {
    /// The serial number.
    pub serial: SerialNumber,
    /// The revocationDate.
    pub at: UtcDateTime,
    /// The reason.
    pub reason: RevocationReason,
    /// The invalidityDate, in whole seconds.
    pub invalidity_date: Option<UtcDateTime>,
}

/// A certificate that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundCertificate {
    /// The serial number.
    pub serial: SerialNumber,
    /// SHA-256 of its `SubjectPublicKeyInfo`.
    pub spki: Fingerprint,
    /// Its notAfter.
    pub not_after: UtcDateTime,
    /// The whole of it, DER.
    pub der: Vec<u8>,
}

/// What came of it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Reconciled {
    /// Serial numbers that were not known here: revoked for ever, and never used again.
    pub adopted: u64,
    /// Certificates that were known here, and are revoked as the list says.
    pub revoked: u64,
    /// Certificates of intents that were known here.
    pub recovered: u64,
    /// Intents that were given up, because nobody can say what became of them.
    pub abandoned: u64,
    /// How often the database was reconciled so far.
    pub epoch: u64,
}

/// Why nothing was reconciled.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReconcileError {
    /// Nothing is missing.
    #[error("the database is the one that was written last; there is nothing to reconcile")]
    NotBehind,
    /// A newer list than this one could be fetched before.
    #[error("a revocation list with the number {witnessed} was published; the one at hand has {found}")]
    OlderList {
        /// The number of the list that was handed in.
        found: u64,
        /// The number that the witness or the database knows of.
        witnessed: u64,
    },
    /// The list revokes certificates that are held as valid here. They have to be revoked first.
    #[error("the revocation list revokes {} that are held here as valid", certificates(serials))]
    StillValid {
        /// Their entries of the list.
        serials: Vec<ListedRevocation>,
    },
    /// Storage failed.
    #[error(transparent)]
    Storage(#[from] StoreError),
}

fn certificates(listed: &[ListedRevocation]) -> String {
    let serials: Vec<_> = listed.iter().take(5).map(|entry| entry.serial.to_string()).collect();
    let more = if listed.len() > serials.len() { " …" } else { "" };
    format!("{} certificates ({}{more})", listed.len(), serials.join(", "))
}

impl Evidence {
    /// What the list says.
    pub(crate) fn listed(&self) -> &[ListedRevocation] {
        match &self.list {
            NewestList::Found(list) => &list.entries,
            NewestList::Lost => &[],
        }
    }
}

/// The ground on which a database is reconciled.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ground {
    /// The number of reconciliations, this one included.
    pub(crate) epoch: u64,
    /// The edition that the next list has to follow.
    pub(crate) list: Option<ListEdition>,
    mine: Testimony,
    witness: Option<Witnessed>,
}

impl Ground {
    /// The note in the audit log.
    pub(crate) fn note(&self, by: &str, now: UtcDateTime, done: &Reconciled) -> Entry {
        let seen = self.witness;
        let body = json!({
            "epoch": self.epoch, "list": self.list.map(|list| list.number),
            "database": { "sequence": self.mine.head.sequence, "list": self.mine.list.map(|list| list.number) },
            "witness": seen.map(|seen| json!({
                "sequence": seen.head.sequence, "hash": seen.head.hash.to_string(),
                "serial": seen.serial.map(|serial| serial.to_string()), "list": seen.list.map(|list| list.number),
            })),
            "adopted": done.adopted, "revoked": done.revoked, "recovered": done.recovered, "abandoned": done.abandoned,
        });
        Entry {
            at: millis(now),
            actor: by.to_owned(),
            subject: None,
            fact: false,
            word: "reconciled".to_owned(),
            body: body.to_string(),
        }
    }

    /// Adds the statement after which nothing is missing any more.
    pub(crate) fn settle(&self, script: &mut Script) {
        script.push(
            "/* Ground::settle */ UPDATE provenance SET epoch = ?, witnessed = 1, copied = NULL WHERE number = 1",
        );
        script.bind(signed(self.epoch));
    }
}

impl Database {
    /// Compares the evidence with what is known. Nothing is written yet.
    pub(crate) async fn ground(&self, evidence: &Evidence, now: UtcDateTime) -> Result<Ground, ReconcileError> {
        if self.standing().await? == Standing::Current {
            return Err(ReconcileError::NotBehind);
        }
        let witness = self.newest().await?;
        let mine = self.testimony().await?;
        let seen = witness.and_then(|seen| seen.list);
        let known = later(mine.list, seen);
        let list = match &evidence.list {
            NewestList::Found(PublishedList { edition, .. }) => {
                // Of numbers that were only reserved, while the key was away for example, there never was a list.
                let published = mine.published.max(witness.and_then(|seen| seen.published));
                let witnessed = published.unwrap_or_default();
                if edition.number < witnessed {
                    return Err(ReconcileError::OlderList { found: edition.number, witnessed });
                }
                later(known, Some(*edition))
            }
            NewestList::Lost => {
                let last = known.unwrap_or(ListEdition {
                    number: 0,
                    this_update: now,
                    next_update: now.saturating_add(Duration::SECOND),
                });
                Some(ListEdition { number: last.number.saturating_add(JUMP), ..last })
            }
        };
        let epoch = mine.epoch.max(witness.map_or(0, |seen| seen.epoch)) + 1;
        Ok(Ground { epoch, list, mine, witness })
    }
}

/// An edition that follows both: the greater number, the later dates.
fn later(one: Option<ListEdition>, other: Option<ListEdition>) -> Option<ListEdition> {
    let (Some(a), Some(b)) = (one, other) else { return one.or(other) };
    Some(ListEdition {
        number: a.number.max(b.number),
        this_update: a.this_update.max(b.this_update),
        next_update: a.next_update.max(b.next_update),
    })
}

/// The end of what has no end that anybody knows: 9999-12-31T23:59:59Z (RFC 5280, 4.1.2.5).
pub(crate) const NO_END: i64 = 253_402_300_799;
