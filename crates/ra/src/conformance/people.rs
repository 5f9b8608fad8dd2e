//! Sessions and directory.

use koshin_notify::{Mail, Notice};
use koshin_renewal::Status;
use koshin_types::{Language, Role, SubjectId};
use time::{Duration, UtcDateTime};

use super::{
    Rig,
    world::{World, at, bare, hash, id, note, renewal_id, subject},
};
use crate::{
    Actor, AgentBound, AgentRight, AuditNote, Beginning, Begun, CommitError, DirectoryError, Organization, Patience,
    Proof, Revocation, SentCode, Session, SessionKind, StorageError, Subject, Trace, Tries,
};

fn session(number: u32, kind: SessionKind) -> Session {
    Session { key: hash(number), kind, opened_at: at(0), seen_at: at(0), ends_at: at(60) }
}

fn portal(number: u32) -> Session {
    let previous_sign_in = Some(at(0) - Duration::days(3));
    session(number, SessionKind::Portal { subject: id("U-1"), certificate: hash(900), previous_sign_in })
}

fn ticket(number: u32) -> Session {
    let (subject, renewal) = (id("U-1"), renewal_id(5));
    session(number, SessionKind::Ticket { subject, certificate: hash(901), renewal, session: hash(1) })
}

/// A session of an agent in each of its forms, from this number on.
fn agents(number: u32) -> Vec<Session> {
    let bound = AgentBound { certificate: hash(901), renewal: renewal_id(5) };
    let (code, ticket) = (hash(55), hash(56));
    let rights = [
        AgentRight::Ticket { bound, code },
        AgentRight::Used { bound },
        AgentRight::Opened { bound, code, ticket, tries: 2 },
        AgentRight::Confirmed { bound },
        AgentRight::Exhausted { bound },
        AgentRight::EnrolmentTicket { sealed: hash(57) },
        AgentRight::EnrolmentUsed,
        AgentRight::EnrolmentOpened { sealed: hash(58) },
    ];
    let agent = |right| SessionKind::Agent { subject: Some(id("U-1")), session: hash(1), right };
    rights.into_iter().zip(number..).map(|(right, number)| session(number, agent(right))).collect()
}

fn enrolment(number: u32, subject: Option<SubjectId>, proof: Proof) -> Session {
    session(number, SessionKind::Enrolment { subject, proof })
}

fn code_sent(tries: u8) -> Proof {
    Proof::CodeSent(sent(tries))
}

fn sent(tries: u8) -> SentCode {
    SentCode { code: hash(77), tries, until: at(10), typed_id: hash(78) }
}

/// A session of `U-1`, as it is registered by the suite.
async fn opened(rig: &dyn Rig, session: Session, word: &'static str) {
    assert!(rig.sessions().open(session, &subject("U-1", "C-1"), note(word)).await.unwrap());
}

/// Every kind of session is read as it was opened, with its record; a sign-in is remembered without a new version.
pub async fn sessions_are_read_as_they_were_opened(rig: &dyn Rig) {
    let world = World::with(rig, &["U-1"]).await;
    assert_eq!(rig.sessions().find(&hash(1)).await.unwrap(), None);
    let proven = Proof::Proven { renewal: renewal_id(5) };
    let first = SessionKind::Portal { subject: id("U-1"), certificate: hash(901), previous_sign_in: None };
    let right = AgentRight::EnrolmentTicket { sealed: hash(59) };
    let nobody = SessionKind::Agent { subject: None, session: hash(3), right };
    let sessions = [
        portal(1),
        session(5, first),
        enrolment(2, Some(id("U-1")), code_sent(3)),
        enrolment(3, None, code_sent(0)),
        enrolment(4, Some(id("U-1")), proven),
        enrolment(6, Some(id("U-1")), Proof::CodeUsed { sent: sent(1), renewal: renewal_id(5) }),
        ticket(7),
        session(8, SessionKind::ProgramKey { renewal: renewal_id(5) }),
        session(9, SessionKind::AgentKey { renewal: renewal_id(5) }),
        session(10, nobody),
    ];
    let sessions: Vec<_> = sessions.into_iter().chain(agents(20)).collect();
    let before = rig.audit().await.len();
    for session in &sessions {
        let actor = Actor::Holder(id("U-1"));
        let note = AuditNote { actor, subject: Some(id("U-1")), word: "opened", details: [].into() };
        assert!(rig.sessions().open(session.clone(), &subject("U-1", "C-1"), note).await.unwrap());
    }
    for session in &sessions {
        assert_eq!(rig.sessions().find(&session.key).await.unwrap().as_ref(), Some(session));
    }
    let audit = rig.audit().await;
    assert_eq!(audit.len(), before + sessions.len());
    let last = audit.last().unwrap();
    assert_eq!((last.at, last.word.as_str(), last.subject.clone()), (at(0), "opened", Some(id("U-1"))));
    let file = world.file("U-1").await;
    assert_eq!((file.subject.last_sign_in, file.version), (Some(at(0)), 0));
    let again = rig.sessions().open(portal(1), &subject("U-1", "C-1"), note("opened")).await;
    assert!(matches!(again, Err(StorageError::Damaged { .. })), "the key of a session is its own: {again:?}");
    assert_eq!(rig.audit().await.len(), audit.len());
}

/// A session is replaced only by who knows how it stands.
pub async fn a_session_is_replaced_once(rig: &dyn Rig) {
    World::with(rig, &["U-1"]).await;
    let mut first = enrolment(1, Some(id("U-1")), code_sent(0));
    opened(rig, first.clone(), "opened").await;
    first.seen_at = at(1);
    let before = enrolment(1, Some(id("U-1")), code_sent(0));
    assert!(rig.sessions().replace(&before, &first, None).await.unwrap());
    let records = rig.audit().await.len();
    let wrong = Session { kind: enrolment(1, Some(id("U-1")), code_sent(1)).kind, ..first.clone() };
    let change = || rig.sessions().replace(&first, &wrong, Some((at(2), note("code_wrong"))));
    let (a, b) = tokio::join!(change(), change());
    assert!(a.unwrap() ^ b.unwrap(), "two tries at once count as two");
    let audit = rig.audit().await;
    assert_eq!((audit.len(), audit.last().unwrap().at), (records + 1, at(2)));
    assert!(!rig.sessions().replace(&before, &first, Some((at(3), note("stale")))).await.unwrap());
    assert_eq!(rig.sessions().find(&hash(1)).await.unwrap(), Some(wrong.clone()));
    let renamed = Session { key: hash(2), kind: portal(2).kind, ..wrong.clone() };
    assert!(rig.sessions().replace(&wrong, &renamed, None).await.unwrap());
    assert_eq!(rig.sessions().find(&hash(1)).await.unwrap(), None);
    assert_eq!(rig.sessions().find(&hash(2)).await.unwrap(), Some(renamed));
    assert!(!rig.sessions().replace(&portal(9), &portal(9), None).await.unwrap(), "unknown");
    assert_eq!(rig.audit().await.len(), records + 1);
    // A ticket becomes what it has opened, and only once.
    let mut steps = agents(30);
    for step in &mut steps {
        step.key = hash(30);
    }
    opened(rig, steps[0].clone(), "made").await;
    for (from, to) in steps.iter().zip(&steps[1..]) {
        assert!(rig.sessions().replace(from, to, None).await.unwrap(), "{to:?}");
        assert!(!rig.sessions().replace(from, to, None).await.unwrap(), "{to:?}");
        assert_eq!(rig.sessions().find(&hash(30)).await.unwrap().as_ref(), Some(to));
    }
}

/// Closing is recorded once.
pub async fn a_session_is_closed_once(rig: &dyn Rig) {
    World::with(rig, &["U-1"]).await;
    opened(rig, portal(1), "opened").await;
    let before = rig.audit().await.len();
    for _ in 0..2 {
        rig.sessions().close(&hash(1), note("signed_out"), at(4)).await.unwrap();
        assert_eq!(rig.sessions().find(&hash(1)).await.unwrap(), None);
    }
    let audit = rig.audit().await;
    assert_eq!((audit.len(), audit.last().unwrap().at), (before + 1, at(4)));
}

/// Failed tries add up under their key until a success.
pub async fn tries_are_counted(rig: &dyn Rig) {
    let sessions = rig.sessions();
    assert_eq!(sessions.tries("password U-1").await.unwrap(), Tries::default());
    for failures in 1..=3 {
        let failed =
            sessions.note_try("password U-1", Some((at(i64::from(failures)), note("wrong").into()))).await.unwrap();
        let last_at = at(i64::from(failures)).unix_timestamp() * 1000 + 7;
        assert_eq!(failed, Tries { failures, last_at });
        assert_eq!(sessions.tries("password U-1").await.unwrap(), failed);
    }
    assert_eq!(sessions.tries("password U-2").await.unwrap(), Tries::default());
    assert_eq!(rig.audit().await.len(), 3);
    assert_eq!(sessions.note_try("password U-1", None).await.unwrap(), Tries::default());
    assert_eq!(sessions.tries("password U-1").await.unwrap(), Tries::default());
    assert_eq!(rig.audit().await.len(), 3);
}

/// What is only counted leaves a record at round numbers, and nothing else of it grows.
pub async fn what_is_counted_is_recorded_seldom(rig: &dyn Rig) {
    let sessions = rig.sessions();
    for number in 1..=10 {
        let key = format!("enrolment {number}");
        let trace = Trace::Counted(note("nobody"));
        assert_eq!(sessions.note_try(&key, Some((at(number), trace))).await.unwrap().failures, 1, "{key}");
        assert_eq!(rig.audit().await.len(), usize::from(number == 10));
    }
    let audit = rig.audit().await;
    assert_eq!((audit[0].word.as_str(), audit[0].at), ("nobody", at(10)));
}

fn beginning(number: u32, of: Option<Subject>, at: UtcDateTime) -> Beginning {
    let whose = of.as_ref().map(|subject| subject.id.clone());
    let kind = enrolment(number, whose, code_sent(0)).kind;
    let session = Session { key: hash(number), kind, opened_at: at, seen_at: at, ends_at: at + Duration::MINUTE };
    let notice = Notice::AddressChanged { at };
    let mail = of.as_ref().and_then(|subject| {
        let address = subject.address.clone()?;
        Some(Mail::new(notice, &number.to_string(), address, subject.language, subject.id.clone()))
    });
    let trace = if of.is_some() { Trace::Recorded(note("begun")) } else { Trace::Counted(note("nobody")) };
    let patience = Patience { free: 2, first: Duration::SECOND, longest: Duration::MINUTE };
    Beginning { session, tries: "enrolment x".into(), patience, subject: of, trace, mail }
}

/// Session, try, trace and mail of a beginning are one commit. It comes too soon for one ID whoever asks, also when
/// several come at once, and then nothing is left of it.
pub async fn an_enrolment_begins_as_one_commit(rig: &dyn Rig) {
    World::with(rig, &["U-1"]).await;
    let sessions = rig.sessions();
    let (records, u1) = (rig.audit().await.len(), subject("U-1", "C-1"));
    assert_eq!(sessions.begin(beginning(1, Some(u1.clone()), at(0))).await.unwrap(), Begun::Opened);
    assert_eq!((rig.audit().await.len(), rig.mails().await.len()), (records + 1, 1));
    let found = sessions.find(&hash(1)).await.unwrap().unwrap();
    assert_eq!((found.kind, found.ends_at), (enrolment(1, Some(id("U-1")), code_sent(0)).kind, at(1)));
    let (a, b) =
        tokio::join!(sessions.begin(beginning(2, None, at(0))), sessions.begin(beginning(3, Some(u1.clone()), at(0))));
    let retry_at = at(0) + Duration::SECOND;
    let mut begun = [a.unwrap(), b.unwrap()];
    begun.sort_by_key(|begun| *begun == Begun::Opened);
    assert_eq!(begun, [Begun::TooSoon { retry_at }, Begun::Opened]);
    assert_eq!(sessions.tries("enrolment x").await.unwrap().failures, 2);
    let (records, mails) = (rig.audit().await.len(), rig.mails().await.len());
    let early = sessions.begin(beginning(4, Some(u1.clone()), retry_at - Duration::MILLISECOND)).await.unwrap();
    assert_eq!(early, Begun::TooSoon { retry_at });
    assert_eq!(sessions.find(&hash(4)).await.unwrap(), None);
    assert_eq!(sessions.begin(beginning(5, None, retry_at)).await.unwrap(), Begun::Opened);
    assert!(sessions.find(&hash(5)).await.unwrap().is_some());
    assert_eq!((rig.audit().await.len(), rig.mails().await.len()), (records, mails), "nobody is told of nobody");
    sessions.note_try("enrolment x", None).await.unwrap();
    let stale = Subject { password_hash: None, ..u1 };
    assert_eq!(sessions.begin(beginning(6, Some(stale), at(1))).await.unwrap(), Begun::Changed);
    assert_eq!(sessions.find(&hash(6)).await.unwrap(), None);
    assert_eq!((rig.audit().await.len(), rig.mails().await.len()), (records, mails));
    assert_eq!(sessions.tries("enrolment x").await.unwrap(), Tries::default());
}

/// Another password, or another address, ends the subject's sessions of every kind, and no session opens on the old one.
pub async fn a_changed_password_or_address_ends_sessions(rig: &dyn Rig) {
    let world = World::with(rig, &["U-1", "U-2"]).await;
    let kinds = [
        portal(1),
        agents(8).remove(0),
        agents(9).remove(3),
        enrolment(2, Some(id("U-1")), code_sent(0)),
        enrolment(3, Some(id("U-1")), Proof::Proven { renewal: renewal_id(1) }),
        ticket(5),
    ];
    let mark = session(6, SessionKind::ProgramKey { renewal: renewal_id(1) });
    opened(rig, mark, "marked").await;
    opened(rig, session(10, SessionKind::AgentKey { renewal: renewal_id(1) }), "marked").await;
    let other = session(4, SessionKind::Portal { subject: id("U-2"), certificate: hash(9), previous_sign_in: None });
    assert!(rig.sessions().open(other, &subject("U-2", "C-1"), note("opened")).await.unwrap());
    let password = |old: &Subject| Subject { password_hash: Some("$argon2id$other".into()), ..old.clone() };
    let address = |old: &Subject| Subject { address: None, ..old.clone() };
    let name = |old: &Subject| Subject { name: "somebody else".into(), ..old.clone() };
    let changes = [(name as fn(&Subject) -> Subject, false), (password, true), (address, true)];
    for (change, ends) in changes {
        let old = world.file("U-1").await;
        for session in &kinds {
            if rig.sessions().find(&session.key).await.unwrap().is_none() {
                assert!(rig.sessions().open(session.clone(), &old.subject, note("opened")).await.unwrap());
            }
        }
        rig.directory().update_subject(&change(&old.subject), old.version, vec![], note("set"), at(1)).await.unwrap();
        for session in &kinds {
            assert_eq!(rig.sessions().find(&session.key).await.unwrap().is_none(), ends, "{session:?}");
        }
        let records = rig.audit().await.len();
        let late = rig.sessions().open(portal(7), &old.subject, note("late")).await.unwrap();
        assert_eq!(late, !ends);
        assert_eq!(rig.audit().await.len(), records + usize::from(late));
    }
    assert!(rig.sessions().find(&hash(4)).await.unwrap().is_some(), "nobody else's");
    for mark in [6, 10] {
        assert!(rig.sessions().find(&hash(mark)).await.unwrap().is_some(), "a key stays what it is");
    }
}

/// An identifier is taken once, and a subject needs its organization. A refusal leaves no record.
pub async fn identifiers_are_taken_once(rig: &dyn Rig) {
    World::with(rig, &["U-1"]).await;
    let before = rig.audit().await.len();
    let directory = rig.directory();
    let organization = Organization { id: "C-1".parse().unwrap(), name: "another".into() };
    let error = directory.add_organization(&organization, note("added"), at(1)).await.unwrap_err();
    assert!(matches!(&error, DirectoryError::Exists { what: "organization", id } if id == "C-1"), "{error:?}");
    let error = directory.add_subject(&subject("U-1", "C-1"), note("added"), at(1)).await.unwrap_err();
    assert!(matches!(&error, DirectoryError::Exists { what: "subject", id } if id == "U-1"), "{error:?}");
    let error = directory.add_subject(&subject("U-2", "C-2"), note("added"), at(1)).await.unwrap_err();
    assert!(matches!(&error, DirectoryError::Missing { what: "organization", id } if id == "C-2"), "{error:?}");
    let error = directory.update_subject(&subject("U-2", "C-1"), 0, vec![], note("set"), at(1)).await.unwrap_err();
    assert!(matches!(&error, DirectoryError::Missing { what: "subject", id } if id == "U-2"), "{error:?}");
    assert_eq!(rig.audit().await.len(), before);
}

/// A changed subject is a new version of its file: decisions on the old one conflict, on both sides.
pub async fn a_changed_subject_is_a_new_version(rig: &dyn Rig) {
    let world = World::with(rig, &["U-1"]).await;
    world.permitted("U-1", at(0)).await;
    let old = world.file("U-1").await;
    let changed = Subject {
        role: Role::Administrator,
        name: String::new(),
        language: Language::En,
        address: None,
        address_rests_until: None,
        password_hash: None,
        ..old.subject.clone()
    };
    assert!(rig.sessions().open(portal(1), &old.subject, note("signed_in")).await.unwrap());
    rig.directory().update_subject(&changed, 1, vec![], note("subject_set"), at(2)).await.unwrap();
    let new = world.file("U-1").await;
    let subject = Subject { last_sign_in: Some(at(0)), ..changed.clone() };
    assert_eq!((&new.subject, new.version), (&subject, 2), "a sign-in meanwhile stays");
    assert_eq!(new.holding, old.holding);
    let stale = world.refused(bare(&old, at(3))).await;
    assert!(matches!(stale, CommitError::Conflict { expected: 1, found: 2 }), "{stale:?}");
    let stale = rig.directory().update_subject(&old.subject, 1, vec![], note("subject_set"), at(3)).await;
    assert!(matches!(stale, Err(DirectoryError::Conflict)), "{stale:?}");
    assert_eq!(world.file("U-1").await, new);
}

/// Organizations and subjects are listed by identifier.
pub async fn subjects_are_listed(rig: &dyn Rig) {
    let mut world = World::with(rig, &["U-3", "U-1"]).await;
    let other = Organization { id: "B-2".parse().unwrap(), name: "b".into() };
    rig.directory().add_organization(&other, note("added"), at(0)).await.unwrap();
    rig.directory().add_subject(&subject("U-2", "B-2"), note("added"), at(0)).await.unwrap();
    world.enrolled("U-3", at(0)).await;
    world.renewed("U-3", at(0) + Duration::days(20)).await;
    let organizations = rig.directory().organizations().await.unwrap();
    assert_eq!(organizations.iter().map(|found| found.id.as_str()).collect::<Vec<_>>(), ["B-2", "C-1"]);
    assert_eq!(organizations[0], other);
    let all = rig.directory().subjects(None, None).await.unwrap();
    assert_eq!(all.iter().map(|file| file.subject.id.as_str()).collect::<Vec<_>>(), ["U-1", "U-2", "U-3"]);
    for file in &all {
        assert_eq!(**file, *world.file(file.subject.id.as_str()).await, "a listed file is the whole file");
    }
    let administrator = Subject { role: Role::Administrator, ..subject("A-1", "C-1") };
    rig.directory().add_subject(&administrator, note("added"), at(0)).await.unwrap();
    let listed = async |organization: Option<&str>, role| {
        let organization = organization.map(|id| id.parse().unwrap());
        let files = rig.directory().subjects(organization.as_ref(), role).await.unwrap();
        files.iter().map(|file| file.subject.id.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(listed(Some("C-1"), None).await, ["A-1", "U-1", "U-3"]);
    assert_eq!(listed(Some("C-1"), Some(Role::Administrator)).await, ["A-1"]);
    assert_eq!(listed(None, Some(Role::User)).await, ["U-1", "U-2", "U-3"]);
    assert_eq!(listed(Some("C-9"), None).await, [""; 0]);
}

/// Whatever was revoked, and nothing that was superseded, with the instant and the reason.
pub async fn the_revoked_are_listed(rig: &dyn Rig) {
    let mut world = World::with(rig, &["U-1", "U-2"]).await;
    assert_eq!(rig.directory().revoked().await.unwrap(), []);
    world.enrolled("U-1", at(0)).await;
    world.renewed("U-1", at(0) + Duration::days(20)).await;
    world.enrolled("U-2", at(1)).await;
    assert_eq!(rig.directory().revoked().await.unwrap(), []);
    let later = at(0) + Duration::days(21);
    world.revoked("U-1", later).await;
    world.revoked("U-2", later + Duration::HOUR).await;
    let mut wanted = Vec::new();
    for (name, at) in [("U-1", later), ("U-2", later + Duration::HOUR)] {
        let file = world.file(name).await;
        let held = file.holding.certificates.last().unwrap();
        assert!(matches!(held.status, Status::Revoked { at: when, .. } if when == at));
        wanted.extend(match held.status {
            Status::Revoked { at, reason } => Some(Revocation { serial: held.serial, at, reason }),
            _ => None,
        });
    }
    wanted.sort_by_key(|revocation| revocation.serial);
    assert_eq!(rig.directory().revoked().await.unwrap(), wanted);
}

/// Both ends of the period count, soonest first, and only active certificates.
pub async fn expiring_is_inclusive(rig: &dyn Rig) {
    let mut world = World::with(rig, &["U-1", "U-2", "U-3", "U-4"]).await;
    for (name, minute) in [("U-2", 0), ("U-1", 5), ("U-3", 3), ("U-4", 9)] {
        world.enrolled(name, at(minute)).await;
    }
    world.revoked("U-3", at(20)).await;
    let end = async |name: &str| world.file(name).await.holding.certificates[0].validity.not_after();
    let (first, last) = (end("U-2").await, end("U-1").await);
    let expiring = async |from, until| {
        let files = rig.directory().expiring(from, until).await.unwrap();
        files.iter().map(|file| file.subject.id.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(expiring(first, last).await, ["U-2", "U-1"]);
    assert_eq!(expiring(first + Duration::MILLISECOND, last).await, ["U-1"]);
    assert_eq!(expiring(first, last - Duration::MILLISECOND).await, ["U-2"]);
    assert_eq!(expiring(last, first).await, [""; 0]);
}
