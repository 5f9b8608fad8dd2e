//! What a subject as a whole goes through: its life under every command, and the situations people get into. Printed into
//! `transitions.md` by the test in `table`.

use std::fmt::Write as _;

use koshin_renewal::{Admission, Change, Deadlines, Dialog, Event, HeldCertificate, Holding, Refused, State, Status};
use koshin_types::RevocationReason;
use time::{Duration, UtcDateTime};

use crate::fixtures::{NOW, fingerprint, holder, id, key, policy, serial, with_pending, year_until};

const MS: Duration = Duration::MILLISECOND;

type Answer = Result<Change, Refused>;

fn deadlines() -> Deadlines {
    Deadlines::default()
}

fn send(holding: &Holding, n: u8, event: Event, now: UtcDateTime) -> Answer {
    holding.step(id(n), &event, now, &deadlines())
}

/// The page sends its request: key and intent in one commit, as `koshin-ra` does.
fn request(holding: &Holding, n: u8, number: u8, now: UtcDateTime) -> Answer {
    let requested = send(holding, n, Event::Request { key: key(number) }, now)?;
    if !matches!(requested.next.renewal.as_ref().map(|renewal| renewal.state), Some(State::Requested { .. })) {
        return Ok(requested);
    }
    let intended = send(&requested.next, n, Event::Intend { serial: serial(number) }, now)?;
    Ok(Change { facts: requested.facts.into_iter().chain(intended.facts).collect(), ..intended })
}

fn sign(holding: &Holding, n: u8, number: u8, now: UtcDateTime) -> Answer {
    let validity = year_until(now.replace_nanosecond(0).unwrap() + Duration::days(365));
    holding.issue(id(n), serial(number), fingerprint(number), validity, now, &deadlines())
}

fn activate(holding: &Holding, n: u8, now: UtcDateTime) -> Answer {
    send(holding, n, Event::Activate { fingerprint: fingerprint(n) }, now)
}

fn permitted(holding: &Holding, now: UtcDateTime) -> Holding {
    holding.permit(now + Duration::days(80), now).next
}

fn revoked(holding: &Holding) -> Holding {
    holding.revoke(RevocationReason::KeyCompromise, NOW).unwrap().next
}

/// The life of a subject, as columns: name, holding, instant.
fn lives() -> Vec<(&'static str, Holding, UtcDateTime)> {
    let end = holder(10).certificates[0].validity.end();
    let closed = end + Duration::days(90);
    let started = holder(10).start(id(1), &policy(), NOW).unwrap().next;
    let pending = with_pending(&holder(10), 1, NOW);
    let renewed = activate(&pending, 1, NOW).unwrap().next;
    vec![
        ("registered", Holding::default(), NOW),
        ("permitted", permitted(&Holding::default(), NOW), NOW),
        ("active", holder(200), NOW),
        ("active, reissue permitted", permitted(&holder(200), NOW), NOW),
        ("window", holder(10), NOW),
        ("window, started", started, NOW),
        ("window, pending", pending.clone(), NOW),
        ("renewed", renewed, NOW),
        ("expired", holder(10), end),
        ("expired, pending", pending, end),
        ("enrolment closed", holder(10), closed),
        ("revoked", revoked(&holder(10)), NOW),
        ("revoked, reissue permitted", permitted(&revoked(&holder(10)), NOW), NOW),
    ]
}

type Command = fn(&Holding, UtcDateTime) -> Answer;

fn commands() -> [(&'static str, Command); 7] {
    [
        ("start a renewal", |holding, now| holding.start(id(9), &policy(), now)),
        ("later", |holding, now| holding.defer(&policy(), now)),
        ("start again", |holding, now| holding.start_again(id(1), id(9), now, &deadlines())),
        ("enrol", |holding, now| holding.enrol(id(9), &policy(), now)),
        ("permit (reissue)", |holding, now| Ok(holding.permit(now + Duration::days(80), now))),
        ("revoke", |holding, now| holding.revoke(RevocationReason::KeyCompromise, now)),
        ("time", |holding, now| Ok(holding.sweep(now, &deadlines()))),
    ]
}

fn answered(answer: &Answer) -> String {
    match answer {
        Ok(change) if change.facts.is_empty() => "·".to_owned(),
        Ok(change) => change.facts.iter().map(|fact| format!("`{}`", fact.as_str())).collect::<Vec<_>>().join(", "),
        Err(refused) => format!("✗ {}", word(refused)),
    }
}

fn word(refused: &Refused) -> &'static str {
    match refused {
        Refused::TooEarly { .. } => "too early",
        Refused::Ended { .. } => "ended",
        Refused::NotInUse { .. } => "not in use",
        Refused::NoCertificate => "no certificate",
        Refused::EnrolmentClosed => "closed",
        Refused::Lapsed { .. } => "lapsed",
        Refused::OtherKey { .. } => "other key",
        Refused::OtherSerial { .. } => "other serial",
        Refused::OtherCertificate { .. } => "other certificate",
        Refused::OutOfPlace { .. } => "out of place",
        Refused::NoRenewal { .. } => "no renewal",
        Refused::TooOften { .. } => "too often",
        other => panic!("{other:?} has no word"),
    }
}

fn admission(holding: &Holding, now: UtcDateTime) -> &'static str {
    let Some(held) = holding.current() else { return "none" };
    match holding.admission(&held.fingerprint, now) {
        Admission::Login => "login",
        Admission::Expired { .. } => "expired",
        Admission::Revoked { .. } => "revoked",
        other => panic!("{other:?} is nothing that counts"),
    }
}

fn life_table(out: &mut String) {
    out.push_str(
        "## What a subject may do\n\nFor each command the facts that it records, `·` where it finds nothing to do. The first line \
         says what the certificate that counts is good for.\n\n| |",
    );
    for (name, ..) in lives() {
        write!(out, " {name} |").unwrap();
    }
    out.push_str("\n| --- |");
    out.push_str(&" --- |".repeat(lives().len()));
    out.push_str("\n| certificate |");
    for (_, holding, now) in lives() {
        write!(out, " {} |", admission(&holding, now)).unwrap();
    }
    for (name, command) in commands() {
        write!(out, "\n| {name} |").unwrap();
        for (_, holding, now) in lives() {
            write!(out, " {} |", answered(&command(&holding, now))).unwrap();
        }
    }
    out.push_str("\n\n");
}

/// One step of a situation: what happens, and what the machine answers.
struct Scene {
    holding: Holding,
    now: UtcDateTime,
    lines: Vec<String>,
}

impl Scene {
    fn new(holding: Holding, now: UtcDateTime) -> Self {
        Self { holding, now, lines: Vec::new() }
    }

    fn then(mut self, what: &str, command: impl FnOnce(&Holding, UtcDateTime) -> Answer) -> Self {
        let answer = command(&self.holding, self.now);
        self.lines.push(format!("{what}: {}", answered(&answer)));
        if let Ok(change) = answer {
            self.holding = change.next;
        }
        self
    }

    fn at(mut self, now: UtcDateTime) -> Self {
        self.now = now;
        self
    }

    /// The certificates by generation, and the renewal.
    fn end(&self) -> String {
        let word = |held: &HeldCertificate| match held.status {
            Status::Active { .. } if !held.validity.contains(self.now) => "active but expired".to_owned(),
            status => status.word().to_string(),
        };
        let certificates: Vec<_> = self.holding.certificates.iter().map(word).collect();
        let renewal = self.holding.renewal.as_ref().map_or("none".to_owned(), |renewal| renewal.state.to_string());
        format!("{}; renewal {renewal}", certificates.join(", "))
    }
}

type Told = Vec<(&'static str, Scene)>;

/// The situations people get into.
fn scenes() -> Told {
    [in_the_page(), on_the_way(), around_the_end()].into_iter().flatten().collect()
}

fn window() -> Scene {
    Scene::new(holder(10), NOW)
}

fn started() -> Scene {
    window().then("notice, \"renew\"", |holding, now| holding.start(id(1), &policy(), now))
}

fn requested() -> Scene {
    started().then("yes to dialog 1", |holding, now| request(holding, 1, 1, now))
}

fn issued() -> Scene {
    requested().then("signed", |holding, now| sign(holding, 1, 1, now))
}

/// What a page and its reloads do.
fn in_the_page() -> Told {
    let later = |holding: &Holding, now| holding.defer(&policy(), now);
    let no = |dialog| move |holding: &Holding, now| send(holding, 1, Event::Decline { dialog }, now);
    vec![
        ("\"Later\" twice", window().then("later", later).then("later", later)),
        (
            "Reload while the key is being made",
            started()
                .then("the page again, \"renew\"", |holding, now| holding.start(id(2), &policy(), now))
                .then("yes to dialog 1", |holding, now| request(holding, 1, 2, now)),
        ),
        (
            "Reload after the request: the page's key is gone",
            requested()
                .then("yes with a new key", |holding, now| request(holding, 1, 2, now))
                .then("start again", |holding, now| holding.start_again(id(1), id(2), now, &deadlines()))
                .then("yes with the new key", |holding, now| request(holding, 2, 2, now)),
        ),
        (
            "\"No\" to dialog 1",
            started()
                .then("no", no(Dialog::Key))
                .then("\"renew\" again", |holding, now| holding.start(id(2), &policy(), now))
                .then("yes to dialog 1", |holding, now| request(holding, 1, 1, now)),
        ),
        (
            "\"No\" to dialog 1 and nothing more",
            started()
                .then("no", no(Dialog::Key))
                .at(NOW + Duration::days(1))
                .then("a day later", |holding, now| Ok(holding.sweep(now, &deadlines()))),
        ),
        (
            "\"No\" to dialog 2, then the file is imported after all",
            issued().then("no", no(Dialog::Install)).then("first login", |holding, now| activate(holding, 1, now)),
        ),
        (
            "\"No\" to dialog 2 for good",
            issued()
                .then("no", no(Dialog::Install))
                .at(NOW + Duration::days(35))
                .then("35 days later", |holding, now| Ok(holding.sweep(now, &deadlines()))),
        ),
    ]
}

/// What gets lost or comes twice on the way.
fn on_the_way() -> Told {
    vec![
        (
            "Double submit",
            requested()
                .then("the same request", |holding, now| request(holding, 1, 1, now))
                .then("signed", |holding, now| sign(holding, 1, 1, now))
                .then("signed again", |holding, now| sign(holding, 1, 1, now)),
        ),
        (
            "Answer lost after the issue",
            issued()
                .then("the same request", |holding, now| request(holding, 1, 1, now))
                .then("yes to dialog 2", |holding, now| send(holding, 1, Event::Deliver, now))
                .then("yes to dialog 2 again", |holding, now| send(holding, 1, Event::Deliver, now))
                .then("first login", |holding, now| activate(holding, 1, now))
                .then("second login", |holding, now| activate(holding, 1, now)),
        ),
        (
            "Answer and key lost after the issue",
            issued()
                .then("start again", |holding, now| holding.start_again(id(1), id(2), now, &deadlines()))
                .then("yes with a new key", |holding, now| request(holding, 2, 2, now))
                .then("signed", |holding, now| sign(holding, 2, 2, now))
                .then("first login", |holding, now| activate(holding, 2, now)),
        ),
        (
            "A crash between intent and signature",
            requested().at(NOW + Duration::MINUTE).then("the sweeper signs", |holding, now| sign(holding, 1, 1, now)),
        ),
        (
            "Two browsers",
            started()
                .then("the other one, \"renew\"", |holding, now| holding.start(id(2), &policy(), now))
                .then("yes in one", |holding, now| request(holding, 1, 1, now))
                .then("yes in the other", |holding, now| request(holding, 1, 2, now))
                .then("signed", |holding, now| sign(holding, 1, 1, now))
                .then("first login", |holding, now| activate(holding, 1, now))
                .then("yes in the other", |holding, now| request(holding, 1, 2, now)),
        ),
    ]
}

/// What the predecessor's end and a revocation do to an open renewal.
fn around_the_end() -> Told {
    let end = holder(10).certificates[0].validity.end();
    vec![
        (
            "Straddling the end: nothing issued",
            requested()
                .at(end - MS)
                .then("the last millisecond", |holding, now| Ok(holding.sweep(now, &deadlines())))
                .at(end)
                .then("signed too late", |holding, now| sign(holding, 1, 1, now))
                .then("time", |holding, now| Ok(holding.sweep(now, &deadlines())))
                .then("enrol", |holding, now| holding.enrol(id(2), &policy(), now)),
        ),
        (
            "Straddling the end: issued in time",
            issued()
                .at(end)
                .then("time", |holding, now| Ok(holding.sweep(now, &deadlines())))
                .then("first login", |holding, now| activate(holding, 1, now)),
        ),
        (
            "Straddling the end: issued, but the file is lost",
            issued()
                .at(end)
                .then("start again", |holding, now| holding.start_again(id(1), id(2), now, &deadlines()))
                .then("enrol", |holding, now| holding.enrol(id(2), &policy(), now))
                .then("yes to dialog 1", |holding, now| request(holding, 2, 2, now))
                .then("signed", |holding, now| sign(holding, 2, 2, now))
                .then("first login", |holding, now| activate(holding, 2, now)),
        ),
        (
            "Revoked in the middle",
            issued()
                .then("revoke", |holding, now| holding.revoke(RevocationReason::KeyCompromise, now))
                .then("first login", |holding, now| activate(holding, 1, now))
                .then("permit (reissue)", |holding, now| Ok(holding.permit(now + Duration::days(80), now)))
                .then("enrol", |holding, now| holding.enrol(id(2), &policy(), now))
                .then("yes to dialog 1", |holding, now| request(holding, 2, 2, now))
                .then("signed", |holding, now| sign(holding, 2, 2, now))
                .then("first login", |holding, now| activate(holding, 2, now)),
        ),
    ]
}

fn scene_table(out: &mut String) {
    out.push_str(
        "## Situations\n\nEach begins in the window, ten days before the end. A request that is accepted stores key and serial \
         number in one commit.\n\n| situation | what happens: what is recorded | afterwards |\n| --- | --- | --- |",
    );
    for (name, scene) in scenes() {
        write!(out, "\n| {name} | {} | {} |", scene.lines.join("<br>"), scene.end()).unwrap();
    }
    out.push_str("\n\n");
}

/// The second half of `transitions.md`.
pub(crate) fn print(out: &mut String) {
    life_table(out);
    scene_table(out);
}

#[test]
fn no_situation_ends_with_two_certificates_in_use_or_none() {
    for (name, scene) in scenes() {
        let count =
            |status: fn(&Status) -> bool| scene.holding.certificates.iter().filter(|held| status(&held.status)).count();
        let (active, pending) = (
            count(|status| matches!(status, Status::Active { .. })),
            count(|status| matches!(status, Status::Pending)),
        );
        assert!(active == 1 && pending <= 1, "{name}: {}", scene.end());
    }
}
