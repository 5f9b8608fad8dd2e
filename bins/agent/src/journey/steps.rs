//! What happens at each stage.

use std::sync::Arc;

use anyhow::Context as _;
use base64::{Engine as _, prelude::BASE64_STANDARD};
use koshin_keystore::{KeyError, KeyStore, StoredCertificate, StoredKey};
use koshin_types::ProtectionLevel;
use serde_json::json;

use super::{After, Journey, Next, Outcome, discard, is_unfinished};
use crate::{
    ask::Answer,
    exit::{Fault, Status},
    http::{Call, CallError, Caller},
    link::{Kind, Ticket},
    origin::Origin,
    state::{Certificate, Exchange, Held, Made, Opener, Proof, Stage},
    texts::What,
    wire::{Activate, Activated, Asked, Bearer, Confirm, Declined, Issued, Open, Opened, Recognized, Refusal, Request},
};

impl Journey<'_> {
    /// Shows the ticket.
    pub(super) async fn open(&self, ticket: &Ticket, opener: &Opener) -> anyhow::Result<Next> {
        let body = Open { v: 1, ticket: ticket.reveal() };
        match opener {
            Opener::Predecessor(held) => {
                let caller = self.caller_of(held)?;
                let call = Call::post(&self.portal.origin, &caller, "/agent/open");
                match self.client.call::<Opened>(call, &body).await {
                    Ok(said) => self.opened(held.clone(), said),
                    Err(error) => self.failed(error, |_| After::End),
                }
            }
            Opener::Nobody => {
                let host = self.public()?;
                let call = Call::post(&host, &Caller::Nobody, "/agent/open");
                match self.client.call::<Asked>(call, &body).await {
                    Ok(said) => self.asked(said),
                    Err(error) => self.failed(error, |_| After::End),
                }
            }
        }
    }

    fn opened(&self, held: Held, opened: Opened) -> anyhow::Result<Next> {
        let activation = self.activation(opened.activation)?;
        if let Some(named) = &opened.predecessor
            && named.serial.parse() != Ok(held.serial)
        {
            self.discard()?;
            let reason = format!("the portal speaks of the certificate {}, not of {}", named.serial, held.serial);
            return Err(Fault::new(Status::NotPermitted, reason).into());
        }
        let exchange = Exchange {
            renewal: opened.renewal,
            subject: opened.subject,
            organization: opened.organization,
            authority: opened.authority,
            activation,
            minimum: opened.minimum_protection.unwrap_or(ProtectionLevel::File),
            proof: Proof::Predecessor(held),
            replaces: None,
        };
        Ok(Next::Stage(Stage::Opened { exchange, code_length: opened.code_length }))
    }

    fn asked(&self, asked: Asked) -> anyhow::Result<Next> {
        let activation = self.activation(asked.activation)?;
        let exchange = self.sound(asked.exchange)?;
        let (authority, code_length) = (asked.authority, asked.code_length);
        Ok(Next::Stage(Stage::Asked { exchange, activation, authority, code_length }))
    }

    /// Where a new certificate proves itself. A portal cannot name another host than the one that is configured.
    fn activation(&self, named: Origin) -> anyhow::Result<Origin> {
        match &self.portal.activation {
            Some(configured) if *configured != named => {
                self.discard()?;
                let reason = format!("the portal names {named} for the activation; {configured} is configured");
                Err(Fault::new(Status::NotPermitted, reason).into())
            }
            _ => Ok(named),
        }
    }

    fn sound(&self, bearer: Bearer) -> anyhow::Result<Bearer> {
        if bearer.is_sound() {
            return Ok(bearer);
        }
        self.discard()?;
        Err(Fault::new(Status::Failure, "the portal's secret for this exchange is none").into())
    }

    /// The first confirmation of a renewal: the digits on the page.
    pub(super) async fn digits(&self, exchange: Exchange, length: u8) -> anyhow::Result<Next> {
        self.store_for(&exchange)?;
        let (words, host) = (&self.desk.asker.words, self.portal.origin.authority());
        let question = words.first_with_digits(Self::who(&host, &exchange), length);
        let mut text = question.clone();
        loop {
            let code = match self.desk.asker.digits(&text, length)? {
                Answer::Given(code) => code,
                Answer::No => {
                    self.decline(&exchange, 1).await;
                    return Ok(Next::Stop(Outcome::DeclinedFirst));
                }
                Answer::Silence => return Ok(Next::Stop(Outcome::Silence)),
            };
            let caller = self.caller(&exchange.proof)?;
            let call = Call::post(&self.portal.origin, &caller, Self::path(&exchange, "/confirm"));
            match self.client.call::<serde_json::Value>(call, &Confirm { code: &code }).await {
                Ok(_) => return Ok(Next::Stage(Stage::Confirmed { exchange })),
                Err(error) => text = format!("{}\n\n{question}", self.wrong(error)?),
            }
        }
    }

    /// What is said before the code is asked for again, unless it is over.
    fn wrong(&self, error: CallError) -> anyhow::Result<String> {
        if let CallError::Refused(refusal) = &error
            && refusal.code == "agent.code_wrong"
            && self.desk.asker.may_ask_again()
        {
            return Ok(self.desk.asker.words.wrong(refusal.left));
        }
        self.failed(error, |refusal| if refusal.code == "agent.code_wrong" { After::Keep } else { After::End })
    }

    /// An enrolment's mailed code.
    pub(super) async fn code(
        &self,
        bearer: &Bearer,
        activation: Origin,
        authority: Option<String>,
        length: u8,
    ) -> anyhow::Result<Next> {
        let (words, host) = (&self.desk.asker.words, self.public()?);
        let question = words.mailed_code(&host.authority(), length);
        let mut text = question.clone();
        let caller = Caller::Bearer(bearer.clone());
        let recognized = loop {
            let code = match self.desk.asker.digits(&text, length)? {
                Answer::Given(code) => code,
                Answer::No => return Ok(Next::Stop(Outcome::DeclinedFirst)),
                Answer::Silence => return Ok(Next::Stop(Outcome::Silence)),
            };
            let call = Call::post(&host, &caller, "/agent/confirm");
            match self.client.call::<Recognized>(call, &Confirm { code: &code }).await {
                Ok(recognized) => break recognized,
                Err(error) => text = format!("{}\n\n{question}", self.wrong(error)?),
            }
        };
        let exchange = Exchange {
            renewal: recognized.renewal,
            subject: recognized.subject,
            organization: recognized.organization,
            authority,
            activation,
            minimum: recognized.minimum_protection.unwrap_or(ProtectionLevel::File),
            proof: Proof::Bearer(self.sound(recognized.exchange)?),
            replaces: recognized.predecessor.map(|predecessor| predecessor.serial),
        };
        Ok(Next::Stage(self.taken_up(exchange)?))
    }

    /// An enrolment that was left with a key goes on with that key: its certificate may have been issued for it.
    fn taken_up(&self, exchange: Exchange) -> anyhow::Result<Stage> {
        let mut taken = None;
        for mut other in self.desk.shelf.records(Some(&self.portal.origin))? {
            let Some(theirs) = other.exchange() else { continue };
            if other.kind != Kind::Enrol || theirs.subject != exchange.subject || other.name == self.record.name {
                continue;
            }
            if theirs.renewal == exchange.renewal && other.made().is_some() {
                if let Some(theirs) = other.exchange_mut() {
                    *theirs = exchange.clone();
                }
                // Both records may be there for a moment: the older one is forgotten only when this one has its stage.
                let record = self.record.at(other.stage.clone());
                self.desk.shelf.save(&record)?;
                self.desk.shelf.forget(&other)?;
                taken = Some(record.stage);
            } else {
                discard(self.desk, &other)?;
            }
        }
        Ok(taken.unwrap_or(Stage::Recognized { exchange }))
    }

    /// The first confirmation of an enrolment.
    pub(super) async fn first(&self, exchange: Exchange) -> anyhow::Result<Next> {
        self.store_for(&exchange)?;
        let host = self.public()?.authority();
        match self.desk.asker.confirm(&self.desk.asker.words.first(Self::who(&host, &exchange)))? {
            Answer::Given(()) => Ok(Next::Stage(Stage::Confirmed { exchange })),
            Answer::No => {
                self.decline(&exchange, 1).await;
                Ok(Next::Stop(Outcome::DeclinedFirst))
            }
            Answer::Silence => Ok(Next::Stop(Outcome::Silence)),
        }
    }

    /// Tells the portal of a No. It changes nothing there, so nothing depends on whether it is heard.
    async fn decline(&self, exchange: &Exchange, at: u8) {
        let (Ok(host), Ok(caller)) = (self.host(&exchange.proof), self.caller(&exchange.proof)) else { return };
        let call = Call::post(&host, &caller, Self::path(exchange, "/declined"));
        _ = self.client.call::<serde_json::Value>(call, &Declined { at }).await;
    }

    /// Where the key will be made; fails where nothing here is good enough.
    fn store_for(&self, exchange: &Exchange) -> anyhow::Result<Arc<dyn KeyStore>> {
        let store = self.desk.stores.for_new_keys(self.desk.choice)?;
        if store.protection() < exchange.minimum {
            self.discard()?;
            let reason = format!(
                "the portal wants the key at the level {}, and the best place here is {}: {}{}",
                exchange.minimum,
                store.protection(),
                store.describe(),
                self.desk.stores.complaints()
            );
            return Err(Fault::new(Status::NotPermitted, reason).into());
        }
        Ok(store)
    }

    pub(super) fn choose(&self, exchange: Exchange) -> anyhow::Result<Next> {
        let store = self.store_for(&exchange)?.describe();
        // People see the label; its end finds the key again if this program is killed before it knows which one it made.
        let id = exchange.renewal.to_string();
        let mark = id.get(..8).unwrap_or(&id);
        let label = format!("{} ({}) {mark}", exchange.subject, self.portal.origin.authority());
        Ok(Next::Stage(Stage::Making { exchange, store, label }))
    }

    pub(super) fn make(&self, exchange: Exchange, store: &str, label: &str) -> anyhow::Result<Next> {
        let place = self.store(store)?;
        let left = place.list()?.into_iter().find(|entry| is_unfinished(entry, label));
        let key = match left {
            Some(entry) => entry.id,
            None => place.generate(label).context("no key could be made")?.id(),
        };
        Ok(Next::Stage(Stage::Keyed { exchange, made: Made { store: store.to_owned(), key } }))
    }

    /// Asks for the certificate.
    pub(super) async fn request(&self, exchange: Exchange, made: Made) -> anyhow::Result<Next> {
        let key = self.key(&made)?;
        let request = key.certification_request().context("the key does not sign")?;
        let body = Request { request: BASE64_STANDARD.encode(request), protection: key.protection() };
        let (host, caller) = (self.host(&exchange.proof)?, self.caller(&exchange.proof)?);
        let call = Call::post(&host, &caller, Self::path(&exchange, "/request"));
        let issued = match self.client.call::<Issued>(call, &body).await {
            Ok(issued) => issued,
            Err(error) => return self.failed(error, after_request),
        };
        let certificate = read(&issued.certificate)?;
        let serial = certificate.serial();
        if certificate.key_id() != made.key || issued.serial.parse() != Ok(serial) {
            let reason = "the portal sent a certificate for another key, or with another serial number than it says";
            return Err(Fault::new(Status::Failure, reason).into());
        }
        let issued = Certificate { leaf: issued.certificate, chain: issued.chain, serial };
        Ok(Next::Stage(Stage::Issued { exchange, made, issued }))
    }

    fn key(&self, made: &Made) -> anyhow::Result<StoredKey> {
        match self.store(&made.store)?.key(made.key) {
            Ok(key) => Ok(key),
            Err(error @ KeyError::Missing { .. }) => {
                self.desk.shelf.forget(&self.record)?;
                let next = self.desk.asker.words.click_again();
                Err(anyhow::Error::new(error).context(next))
            }
            Err(error) => Err(anyhow::Error::new(error).context("the new key cannot be used")),
        }
    }

    /// The second confirmation, and the installation.
    pub(super) async fn install(&self, exchange: Exchange, made: Made, issued: Certificate) -> anyhow::Result<Next> {
        let (store, key) = (self.store(&made.store)?, self.key(&made)?);
        let certificate = read(&issued.leaf)?;
        let host = self.portal.origin.authority();
        let what = What {
            host: &host,
            subject: exchange.subject.as_str(),
            authority: exchange.authority.as_deref(),
            serial: issued.serial,
            not_after: certificate.validity().not_after(),
            protection: key.protection(),
        };
        match self.desk.asker.confirm(&self.desk.asker.words.second(what))? {
            Answer::Given(()) => {}
            Answer::No => {
                self.decline(&exchange, 2).await;
                return Ok(Next::Stop(Outcome::DeclinedSecond));
            }
            Answer::Silence => return Ok(Next::Stop(Outcome::Silence)),
        }
        let chain = chain(&issued)?;
        store.install(made.key, certificate.der(), &chain).context("the certificate could not be installed")?;
        Ok(Next::Stage(Stage::Installed { exchange, made, issued }))
    }

    /// Says that it is installed, and proves it with the new key.
    pub(super) async fn activate(&self, exchange: Exchange, made: Made, issued: Certificate) -> anyhow::Result<Next> {
        self.installed(&exchange).await;
        let mut shown = vec![read(&issued.leaf)?.der().to_vec()];
        shown.extend(chain(&issued)?);
        let caller = Caller::Certificate(Arc::new(self.key(&made)?.certified(shown)));
        let call = Call::post(&exchange.activation, &caller, "/activate");
        match self.client.call::<Activated>(call, &Activate { renewal: exchange.renewal }).await {
            Ok(activated) if activated.serial.parse() == Ok(issued.serial) => {
                Ok(Next::Stage(Stage::Activated { exchange, made, issued }))
            }
            Ok(activated) => {
                let reason = format!("the portal activated {}, not {}", activated.serial, issued.serial);
                Err(Fault::new(Status::Failure, reason).into())
            }
            // In doubt it stays: it may be in use already, and the answer that said so was lost.
            Err(error) => {
                self.failed(error, |refusal| if refusal.code == "agent.ended" { After::End } else { After::Keep })
            }
        }
    }

    /// Tells the portal that it is installed. The activation decides, so nothing depends on whether this is heard: a portal that has
    /// activated already no longer listens to the predecessor.
    async fn installed(&self, exchange: &Exchange) {
        let (Ok(host), Ok(caller)) = (self.host(&exchange.proof), self.caller(&exchange.proof)) else { return };
        let call = Call::post(&host, &caller, Self::path(exchange, "/installed"));
        _ = self.client.call::<serde_json::Value>(call, &json!({})).await;
    }

    /// Removes what was replaced: by its key, never by its name, which the new one shares.
    pub(super) fn finish(&self, exchange: &Exchange, made: &Made, issued: &Certificate) -> anyhow::Result<Next> {
        let old = match &exchange.proof {
            Proof::Predecessor(held) => Some((held.store.clone(), held.key)),
            Proof::Bearer(_) => self.replaced(exchange, made, issued)?,
        };
        if let Some((store, key)) = old.filter(|(_, key)| *key != made.key) {
            self.store(&store)?
                .remove(key)
                .context("the certificate that was replaced cannot be removed; run it again")?;
        }
        self.desk.shelf.forget(&self.record)?;
        let restart = self.store(&made.store)?.protection() == ProtectionLevel::Hardware;
        Ok(Next::Stop(Outcome::Done { serial: issued.serial, restart }))
    }

    /// The certificate that an enrolment replaces, if it lies here: of the same CA, with the serial number that the portal named.
    fn replaced(
        &self,
        exchange: &Exchange,
        made: &Made,
        issued: &Certificate,
    ) -> anyhow::Result<Option<(String, koshin_keystore::KeyId)>> {
        let Some(serial) = exchange.replaces.as_ref().and_then(|serial| serial.parse().ok()) else { return Ok(None) };
        let authority = read(&issued.leaf)?.issuer().to_owned();
        let mut certificates = self.desk.stores.certificates().into_iter();
        let found = certificates.find(|(_, entry)| {
            let same = |one: &StoredCertificate| one.serial() == serial && one.issuer() == authority;
            entry.id != made.key && entry.certificate.as_ref().is_some_and(same)
        });
        Ok(found.map(|(store, entry)| (store, entry.id)))
    }
}

/// What becomes of the key when a request was refused.
fn after_request(refusal: &Refusal) -> After {
    if refusal.needs_a_new_link() { After::Link } else { After::End }
}

fn read(base64: &str) -> anyhow::Result<StoredCertificate> {
    let der = BASE64_STANDARD.decode(base64).context("the portal's certificate is no base64")?;
    StoredCertificate::read(&der).context("the portal's certificate cannot be used")
}

fn chain(issued: &Certificate) -> anyhow::Result<Vec<Vec<u8>>> {
    let decoded: Result<Vec<_>, _> = issued.chain.iter().map(|one| BASE64_STANDARD.decode(one)).collect();
    decoded.context("the portal's chain is no base64")
}
