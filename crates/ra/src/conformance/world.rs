//! A small registry with people in it, and the steps of a renewal.

use std::sync::Arc;

use koshin_expiry::Policy;
use koshin_renewal::{Change, Deadlines, Event, Holding, Key};
use koshin_types::{
    Fingerprint, Language, OrganizationId, ProtectionLevel, RenewalId, RevocationReason, Role, SerialNumber, SubjectId,
    Validity,
};
use time::{Duration, UtcDateTime};

use super::Rig;
use crate::{Actor, AuditNote, Certified, Commit, CommitError, Intent, Organization, Subject, SubjectFile};

/// The first instant of the suite: 2024-10-04.
pub(super) fn at(minutes: i64) -> UtcDateTime {
    UtcDateTime::UNIX_EPOCH + Duration::days(20_000) + Duration::minutes(minutes) + Duration::milliseconds(7)
}

pub(super) fn id(text: &str) -> SubjectId {
    text.parse().unwrap()
}

pub(super) fn note(word: &'static str) -> AuditNote {
    let actor = Actor::Operator("suite".into());
    AuditNote { actor, subject: None, word, details: [("why", "a test".to_owned())].into() }
}

/// 32 octets that begin with the number.
pub(super) fn hash(number: u32) -> Fingerprint {
    let mut octets = [0xab; 32];
    octets[..4].copy_from_slice(&number.to_be_bytes());
    Fingerprint::new(octets)
}

pub(super) fn renewal_id(number: u32) -> RenewalId {
    let mut octets = [0xcd; 16];
    octets[..4].copy_from_slice(&number.to_be_bytes());
    RenewalId::new(octets)
}

pub(super) fn serial(number: u32) -> SerialNumber {
    SerialNumber::from_time_and_random(20_000 * 86_400_000 + i64::from(number), [0xef; 13])
}

/// 40 days from the last whole second: renewal opens after 10.
pub(super) fn validity(now: UtcDateTime) -> Validity {
    let not_before = now.replace_nanosecond(0).unwrap();
    Validity::new(not_before, not_before + Duration::days(40)).unwrap()
}

pub(super) fn subject(name: &str, organization: &str) -> Subject {
    Subject {
        id: id(name),
        organization: organization.parse::<OrganizationId>().unwrap(),
        role: Role::User,
        name: "山田 太郎".into(),
        language: Language::Ja,
        address: Some("taro@example.co.jp".parse().unwrap()),
        address_rests_until: Some(at(-1)),
        password_hash: Some("$argon2id$v=19$m=8,t=1,p=1$c2FsdA$aGFzaA".into()),
        last_sign_in: None,
    }
}

/// The rig with a policy and numbers that are never used twice.
pub(super) struct World<'a> {
    pub(super) rig: &'a dyn Rig,
    pub(super) policy: Policy,
    pub(super) deadlines: Deadlines,
    next: u32,
}

impl<'a> World<'a> {
    /// The organization `C-1` with these subjects.
    pub(super) async fn with(rig: &'a dyn Rig, subjects: &[&str]) -> Self {
        let organization = Organization { id: "C-1".parse().unwrap(), name: "緑商事株式会社".into() };
        rig.directory().add_organization(&organization, note("organization_added"), at(0)).await.unwrap();
        for name in subjects {
            rig.directory().add_subject(&subject(name, "C-1"), note("subject_added"), at(0)).await.unwrap();
        }
        Self { rig, policy: Policy::default_jst(), deadlines: Deadlines::default(), next: 1 }
    }

    pub(super) fn number(&mut self) -> u32 {
        self.next += 1;
        self.next
    }

    pub(super) async fn file(&self, name: &str) -> Arc<SubjectFile> {
        self.rig.registry().subject(&id(name)).await.unwrap().unwrap()
    }

    /// Commits and looks whether the file is what the commit says, one version on.
    pub(super) async fn commit(&self, commit: Commit) {
        let (subject, version, next) = (commit.subject.clone(), commit.version, commit.next.clone());
        self.rig.registry().commit(commit).await.unwrap();
        let file = self.rig.registry().subject(&subject).await.unwrap().unwrap();
        assert_eq!(file.version, version + 1);
        assert_eq!(file.holding, next);
    }

    pub(super) async fn permitted(&self, name: &str, now: UtcDateTime) {
        let file = self.file(name).await;
        self.commit(commit(&file, file.holding.permit(now + Duration::days(7), now), now)).await;
    }

    pub(super) async fn enrolling(&mut self, name: &str, now: UtcDateTime) -> RenewalId {
        let (file, renewal) = (self.file(name).await, renewal_id(self.number()));
        self.commit(commit(&file, file.holding.enrol(renewal, &self.policy, now).unwrap(), now)).await;
        renewal
    }

    pub(super) async fn renewing(&mut self, name: &str, now: UtcDateTime) -> RenewalId {
        let (file, renewal) = (self.file(name).await, renewal_id(self.number()));
        self.commit(commit(&file, file.holding.start(renewal, &self.policy, now).unwrap(), now)).await;
        renewal
    }

    /// The commit that binds a renewal to a key and a serial number.
    pub(super) fn intended(&self, file: &SubjectFile, key: u32, number: u32, now: UtcDateTime) -> Commit {
        let renewal = file.holding.renewal.clone().unwrap().id;
        let key = Key { spki: hash(key), protection: ProtectionLevel::Os };
        let requested = file.holding.step(renewal, &Event::Request { key }, now, &self.deadlines).unwrap();
        let serial = serial(number);
        let intended = requested.next.step(renewal, &Event::Intend { serial }, now, &self.deadlines).unwrap();
        let tbs = format!("to be signed {number}").into_bytes();
        let intent = Intent { renewal, serial, spki: key.spki, validity: validity(now), tbs };
        Commit { intent: Some(intent), ..commit(file, both(requested, intended), now) }
    }

    /// The commit that issues the certificate `number`.
    pub(super) fn issued(&self, file: &SubjectFile, number: u32, now: UtcDateTime) -> Commit {
        let renewal = file.holding.renewal.clone().unwrap();
        let (serial, fingerprint, validity) = (renewal.state.serial().unwrap(), hash(number), validity(now));
        let change = file.holding.issue(renewal.id, serial, fingerprint, validity, now, &self.deadlines).unwrap();
        let certified = Certified { serial, fingerprint, der: format!("certificate {number}").into_bytes() };
        Commit { certified: Some(certified), ..commit(file, change, now) }
    }

    pub(super) async fn event(&self, name: &str, event: &Event, now: UtcDateTime) {
        let file = self.file(name).await;
        let renewal = file.holding.renewal.clone().unwrap().id;
        let change = file.holding.step(renewal, event, now, &self.deadlines).unwrap();
        self.commit(commit(&file, change, now)).await;
    }

    /// From an open renewal to a certificate that is pending. Answers with its number.
    pub(super) async fn issuing(&mut self, name: &str, now: UtcDateTime) -> u32 {
        let number = self.number();
        let file = self.file(name).await;
        self.commit(self.intended(&file, number, number, now)).await;
        let file = self.file(name).await;
        self.commit(self.issued(&file, number, now)).await;
        number
    }

    /// From nothing to the first active certificate.
    pub(super) async fn enrolled(&mut self, name: &str, now: UtcDateTime) -> u32 {
        self.permitted(name, now).await;
        self.enrolling(name, now).await;
        let number = self.issuing(name, now).await;
        self.event(name, &Event::Deliver, now).await;
        self.event(name, &Event::Activate { fingerprint: hash(number) }, now).await;
        number
    }

    pub(super) async fn renewed(&mut self, name: &str, now: UtcDateTime) -> u32 {
        self.renewing(name, now).await;
        let number = self.issuing(name, now).await;
        self.event(name, &Event::Activate { fingerprint: hash(number) }, now).await;
        number
    }

    pub(super) async fn revoked(&self, name: &str, now: UtcDateTime) {
        let file = self.file(name).await;
        self.commit(commit(&file, file.holding.revoke(RevocationReason::KeyCompromise, now).unwrap(), now)).await;
    }

    /// Everything that could have changed, to compare before and after a refusal.
    pub(super) async fn everything(&self, name: &str) -> (Arc<SubjectFile>, usize, usize) {
        (self.file(name).await, self.rig.audit().await.len(), self.rig.mails().await.len())
    }

    pub(super) async fn refused(&self, commit: Commit) -> CommitError {
        let name = commit.subject.to_string();
        let before = self.everything(&name).await;
        let error = self.rig.registry().commit(commit).await.unwrap_err();
        assert_eq!(self.everything(&name).await, before, "a refused commit changed something");
        error
    }
}

/// Two changes as one.
fn both(first: Change, second: Change) -> Change {
    let facts = first.facts.into_iter().chain(second.facts).collect();
    let effects = first.effects.into_iter().chain(second.effects).collect();
    Change { next: second.next, facts, effects }
}

/// A commit of a change, on behalf of the holder.
pub(super) fn commit(file: &SubjectFile, change: Change, now: UtcDateTime) -> Commit {
    Commit::new(file, change, Actor::Holder(file.subject.id.clone()), now)
}

/// A commit without facts, for what it carries beside them.
pub(super) fn bare(file: &SubjectFile, now: UtcDateTime) -> Commit {
    let next: Holding = file.holding.clone();
    commit(file, Change { next, facts: Vec::new(), effects: Vec::new() }, now)
}
