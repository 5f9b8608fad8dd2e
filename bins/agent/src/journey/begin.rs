//! Where an exchange begins, or goes on.

use koshin_keystore::KeyId;

use super::{Desk, Journey, discard, held};
use crate::{
    config::{Config, Portal},
    exit::{Fault, Status},
    http::{Call, CallError},
    link::{Kind, Link},
    state::{Held, Opener, Proof, Record, Stage},
    wire::Standing,
};

/// Takes up what a link asks for: a new exchange, or the one that is on its way for the same certificate. The caller holds the lock
/// of the portal.
pub(crate) async fn begin<'a>(desk: &'a Desk<'a>, portal: &'a Portal, link: Link) -> anyhow::Result<Journey<'a>> {
    let opener = match link.kind {
        Kind::Enrol => {
            // Those that have a key wait until the portal says which enrolment this is.
            for record in desk.shelf.records(Some(&portal.origin))? {
                if record.kind == Kind::Enrol && record.made().is_none() {
                    discard(desk, &record)?;
                }
            }
            Opener::Nobody
        }
        Kind::Renew => {
            let records = desk.shelf.records(Some(&portal.origin))?;
            // A certificate that is installed and not in use yet is renewed by nobody.
            let fresh: Vec<KeyId> = records.iter().filter_map(|record| Some(record.made()?.key)).collect();
            let predecessor = || predecessor(desk, &link, &fresh);
            let (on_its_way, held) = match predecessor() {
                Ok(held) => (records.into_iter().find(|record| is_of(record, &held)), Some(held)),
                // Its key may be gone already because its successor is in use.
                Err(error) => match records.into_iter().find(|record| names(record, &link)) {
                    Some(record) => (Some(record), None),
                    None => return Err(error),
                },
            };
            if let Some(record) = on_its_way {
                let journey = Journey::new(desk, portal, record)?;
                if journey.goes_on().await? {
                    return Ok(journey);
                }
                journey.discard()?;
            }
            match held {
                Some(held) => Opener::Predecessor(held),
                None => Opener::Predecessor(predecessor()?),
            }
        }
    };
    let opening = Stage::Opening { ticket: link.ticket, opener };
    let record = Record::new(link.kind, portal.origin.clone(), opening)?;
    desk.shelf.save(&record)?;
    Journey::new(desk, portal, record)
}

/// Goes on with one that is on its way. The caller holds the lock of the portal.
pub(crate) fn unfinished<'a>(desk: &'a Desk<'a>, config: &'a Config, record: Record) -> anyhow::Result<Journey<'a>> {
    let portal = config.of_origin(&record.portal).ok_or_else(|| {
        let host = record.portal.authority();
        Fault::new(
            Status::NotPermitted,
            format!("{host} is no longer configured; register it, or `koshin-agent forget`"),
        )
    })?;
    Journey::new(desk, portal, record)
}

impl Journey<'_> {
    /// Whether a new link adds nothing to this exchange: the portal waits for what is here.
    async fn goes_on(&self) -> anyhow::Result<bool> {
        let (Some(exchange), Some(_)) = (self.record.exchange(), self.record.made()) else { return Ok(false) };
        if matches!(self.record.stage, Stage::Installed { .. } | Stage::Activated { .. }) {
            return Ok(true);
        }
        let (host, caller) = (self.host(&exchange.proof)?, self.caller(&exchange.proof)?);
        let call = Call::get(&host, &caller, Self::path(exchange, ""));
        match self.client.call::<Standing>(call, &()).await {
            Ok(standing) => {
                let words = ["requested", "intended", "issued", "delivered", "activated"];
                Ok(words.contains(&standing.state.as_str()))
            }
            Err(CallError::Refused(refusal)) if !refusal.is_transient() => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}

/// The certificate that a renewal's link is about.
fn predecessor(desk: &Desk<'_>, link: &Link, fresh: &[KeyId]) -> anyhow::Result<Held> {
    let mut found = Vec::new();
    for (store, entry) in desk.stores.certificates().into_iter().filter(|(_, entry)| !fresh.contains(&entry.id)) {
        if let Some(certificate) =
            entry.certificate.filter(|one| link.serial.is_none_or(|serial| one.serial() == serial))
        {
            found.push(held(&store, &certificate));
        }
    }
    match (found.as_slice(), link.serial) {
        ([only], _) => Ok(only.clone()),
        ([], Some(serial)) => {
            let reason = format!(
                "the certificate {serial} has no key in a store of this computer; renew it where it is installed, or choose the \
                 way with a file in the page{}",
                desk.stores.complaints()
            );
            Err(Fault::new(Status::NotFound, reason).into())
        }
        ([], None) => {
            let reason = format!("no certificate with a key is on this computer{}", desk.stores.complaints());
            Err(Fault::new(Status::NotFound, reason).into())
        }
        // Whatever is shown first, one of them is as good as the other: it is the same certificate.
        ([first, rest @ ..], Some(_)) if rest.iter().all(|other| other.fingerprint == first.fingerprint) => {
            Ok(first.clone())
        }
        (several, _) => {
            let serials: Vec<_> = several.iter().map(|held| held.serial.to_string()).collect();
            let reason = format!("several certificates could be meant; name one with --serial: {}", serials.join(", "));
            Err(Fault::new(Status::State, reason).into())
        }
    }
}

/// Whether this exchange renews that certificate.
fn is_of(record: &Record, held: &Held) -> bool {
    shown(record).is_some_and(|one| one.fingerprint == held.fingerprint)
}

fn names(record: &Record, link: &Link) -> bool {
    shown(record).is_some_and(|held| link.serial.is_some_and(|serial| held.serial == serial))
}

fn shown(record: &Record) -> Option<&Held> {
    if let Stage::Opening { opener: Opener::Predecessor(held), .. } = &record.stage {
        return Some(held);
    }
    match &record.exchange()?.proof {
        Proof::Predecessor(held) => Some(held),
        Proof::Bearer(_) => None,
    }
}
