//! From a link to a certificate in use, one stage after another.
//!
//! Each stage is on disk before what follows it is sent. Every call to the portal can be repeated, except for the two that open an
//! exchange, and after those nothing is lost but a click. So a program that is killed at any moment goes on when run again: the
//! same renewal, the same key, the same certificate.

mod begin;
mod steps;

use std::sync::Arc;

use anyhow::Context as _;
use koshin_keystore::{KeyPresence, KeyStore, StoredCertificate};
use koshin_types::SerialNumber;

use crate::{
    ask::Asker,
    config::{Choice, Portal},
    exit::{Fault, Status},
    http::{CallError, Caller, Client},
    state::{Exchange, Held, Proof, Record, Shelf, Stage},
    stores::Stores,
    texts::Who,
    wire::Refusal,
};
pub(crate) use begin::{begin, unfinished};

/// How it ended, where nothing went wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The certificate with this serial number is in use.
    Done { serial: SerialNumber, restart: bool },
    /// The holder said No at the first question.
    DeclinedFirst,
    /// The holder said No at the second.
    DeclinedSecond,
    /// Nobody answered.
    Silence,
}

/// What an exchange is carried out with.
#[derive(Debug)]
pub(crate) struct Desk<'a> {
    pub(crate) shelf: &'a Shelf,
    pub(crate) stores: &'a Stores,
    pub(crate) choice: &'a Choice,
    pub(crate) asker: &'a Asker,
}

/// One exchange on its way.
pub(crate) struct Journey<'a> {
    desk: &'a Desk<'a>,
    portal: &'a Portal,
    client: Client,
    record: Record,
}

/// What follows a stage.
#[expect(clippy::large_enum_variant, reason = "there is one of them at a time")]
enum Next {
    Stage(Stage),
    Stop(Outcome),
}

/// What becomes of the record when a portal has refused.
#[derive(Clone, Copy, PartialEq, Eq)]
enum After {
    /// Everything is kept; the same may succeed later.
    Keep,
    /// A new link is needed, and goes on from here.
    Link,
    /// It is over; what was made for it goes.
    End,
}

impl<'a> Journey<'a> {
    fn new(desk: &'a Desk<'a>, portal: &'a Portal, record: Record) -> anyhow::Result<Self> {
        let client = portal.client(desk.asker.words.language)?;
        Ok(Self { desk, portal, client, record })
    }

    /// Goes on from wherever it stands.
    pub(crate) async fn go(mut self) -> anyhow::Result<Outcome> {
        loop {
            let next = match self.record.stage.clone() {
                Stage::Opening { ticket, opener } => self.open(&ticket, &opener).await?,
                Stage::Asked { exchange, activation, authority, code_length } => {
                    self.code(&exchange, activation, authority, code_length).await?
                }
                Stage::Opened { exchange, code_length } => self.digits(exchange, code_length).await?,
                Stage::Recognized { exchange } => self.first(exchange).await?,
                Stage::Confirmed { exchange } => self.choose(exchange)?,
                Stage::Making { exchange, store, label } => self.make(exchange, &store, &label)?,
                Stage::Keyed { exchange, made } => self.request(exchange, made).await?,
                Stage::Issued { exchange, made, issued } => self.install(exchange, made, issued).await?,
                Stage::Installed { exchange, made, issued } => self.activate(exchange, made, issued).await?,
                Stage::Activated { exchange, made, issued } => self.finish(&exchange, &made, &issued)?,
            };
            match next {
                Next::Stage(stage) => {
                    self.record.stage = stage;
                    self.desk.shelf.save(&self.record)?;
                }
                Next::Stop(outcome) => return Ok(outcome),
            }
        }
    }

    /// The host that answers for this exchange.
    fn host(&self, proof: &Proof) -> anyhow::Result<crate::origin::Origin> {
        match proof {
            Proof::Predecessor(_) => Ok(self.portal.origin.clone()),
            Proof::Bearer(_) => self.public(),
        }
    }

    fn public(&self) -> anyhow::Result<crate::origin::Origin> {
        let reason = "the portal's host for those without a certificate is not configured; register it with --public";
        Ok(self.portal.public.clone().ok_or_else(|| Fault::new(Status::State, reason))?)
    }

    fn caller(&self, proof: &Proof) -> anyhow::Result<Caller> {
        match proof {
            Proof::Predecessor(held) => self.caller_of(held),
            Proof::Bearer(bearer) => Ok(Caller::Bearer(bearer.clone())),
        }
    }

    fn caller_of(&self, held: &Held) -> anyhow::Result<Caller> {
        let (store, certificate) = self.desk.stores.held(held)?;
        let key = store.key(held.key).context("the key of the certificate that is renewed cannot be used")?;
        Ok(Caller::Certificate(Arc::new(key.certified(vec![certificate.der().to_vec()]))))
    }

    fn store(&self, name: &str) -> anyhow::Result<Arc<dyn KeyStore>> {
        self.desk.stores.named(name)
    }

    fn path(exchange: &Exchange, step: &str) -> String {
        format!("/agent/renewals/{}{step}", exchange.renewal)
    }

    fn who<'b>(host: &'b str, exchange: &'b Exchange) -> Who<'b> {
        Who { host, subject: exchange.subject.as_str(), organization: exchange.organization.as_deref() }
    }

    /// Deals with a call that gave nothing: what is of no more use is forgotten, and with it a key that never got into use.
    fn failed<T>(&self, error: CallError, judge: fn(&Refusal) -> After) -> anyhow::Result<T> {
        let words = &self.desk.asker.words;
        let after = match &error {
            CallError::Refused(refusal) if !refusal.is_transient() => judge(refusal),
            _ => After::Keep,
        };
        let next = match after {
            After::Keep => words.later(),
            After::Link => words.click_again(),
            After::End => {
                self.discard()?;
                words.nothing_was_issued()
            }
        };
        Err(anyhow::Error::new(error).context(next))
    }

    /// Forgets the exchange, and removes the key that was made for it. A certificate in use is never touched.
    fn discard(&self) -> anyhow::Result<()> {
        discard(self.desk, &self.record)
    }
}

fn discard(desk: &Desk<'_>, record: &Record) -> anyhow::Result<()> {
    if matches!(record.stage, Stage::Activated { .. }) {
        return Ok(());
    }
    discard_from(desk.shelf, desk.stores, record)
}

/// Forgets an exchange, and removes the key that was made for it unless its certificate is installed. Answers whether it did: what
/// lacks only the end of the former certificate is not forgotten.
pub(crate) fn forget(shelf: &Shelf, stores: &Stores, record: &Record) -> anyhow::Result<bool> {
    match record.stage {
        Stage::Activated { .. } => return Ok(false),
        // It may be in use already, and the answer that said so was lost.
        Stage::Installed { .. } => shelf.forget(record)?,
        _ => discard_from(shelf, stores, record)?,
    }
    Ok(true)
}

fn discard_from(shelf: &Shelf, stores: &Stores, record: &Record) -> anyhow::Result<()> {
    if let Some(made) = record.made() {
        stores.named(&made.store)?.remove(made.key).context("a key that is of no use cannot be removed")?;
    }
    if let Stage::Making { store, label, .. } = &record.stage {
        let store = stores.named(store)?;
        for entry in store.list()?.iter().filter(|entry| is_unfinished(entry, label)) {
            store.remove(entry.id)?;
        }
    }
    shelf.forget(record)
}

/// Whether this is a key that was made for an exchange and has no certificate yet.
fn is_unfinished(entry: &koshin_keystore::Entry, label: &str) -> bool {
    entry.label.starts_with(label) && entry.key == KeyPresence::Here && entry.certificate.is_none()
}

/// What of a certificate is kept in a record.
fn held(store: &str, certificate: &StoredCertificate) -> Held {
    Held {
        serial: certificate.serial(),
        fingerprint: certificate.fingerprint(),
        key: certificate.key_id(),
        store: store.to_owned(),
    }
}
