//! Everybody at once: two browsers with the same certificate, the CA, the mailer, the sweeper, lost answers and lost pages,
//! in every order there is. The decisions are those of [`Holding`]; around them stands what `koshin-ra` does: read, decide,
//! commit if the version is still the one that was read, else again; each request with the instant at which it came in.

use std::{collections::BTreeSet, sync::Arc};

use koshin_expiry::Standing;
use koshin_renewal::{Admission, Basis, Change, Deadlines, Event, Fact, Holding, Refused, Renewal, State, Status};
use koshin_types::{Fingerprint, RenewalId, SerialNumber};
use stateright::{Checker as _, Expectation, HasDiscoveries, Model, Property};
use time::{Duration, UtcDateTime};

use crate::fixtures::{NOW, fingerprint, holder, id, key, policy, serial, year_until};

const DEADLINES: Deadlines = Deadlines {
    request: Duration::hours(24),
    activation_after_issue: Duration::days(35),
    activation_after_end: Duration::days(7),
    again_limit: 1,
    again_within: Duration::days(400),
};

/// What of all this is done wrong on purpose, so that it is seen that the model would tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flaw {
    None,
    /// The predecessor is superseded when the successor is issued, not when it is proven.
    SupersededAtIssue,
    /// A commit does not look at the version.
    LastWriterWins,
    /// Starting again leaves what was issued before as it is.
    NothingWithdrawn,
    /// An answer that was lost is made up for with another certificate.
    IssuedAnew,
    /// What time ends is ended a day early.
    SweptEarly,
}

/// How much of all this there is.
#[derive(Debug, Clone, Copy)]
struct Town {
    flaw: Flaw,
    /// How many answers, pages and records may be lost.
    losses: u8,
    /// How many identifiers of renewals and serial numbers may be drawn.
    draws: u8,
    /// Which instants there are.
    hours: &'static [Duration],
    mailer: bool,
    /// The keys of the two pages: two browsers, or one request sent twice.
    keys: [u8; 2],
}

/// Noon, the deadline of a start, the end of the old certificate, the deadline of whatever was issued.
const HOURS: [Duration; 4] =
    [Duration::ZERO, Duration::days(1), Duration::seconds(10 * 86_400 + 1), Duration::days(50)];

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct World {
    /// What is stored, and how many identifiers and serial numbers were drawn.
    holding: Arc<Holding>,
    drawn: u8,
    now: UtcDateTime,
    losses: u8,
    browsers: [Browser; 2],
    /// What the sweeper has read and not yet committed.
    sweeper: Option<Read>,
    mailer: Option<Read>,
    mails: Vec<Mail>,
    /// Every certificate that was ever issued, by renewal.
    issued: Vec<(RenewalId, SerialNumber)>,
    /// What must never happen and did.
    wrong: Option<&'static str>,
}

/// A file that was read, whether somebody has committed since, and when the request came in that it was read for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Read {
    seen: Arc<Holding>,
    stale: bool,
    at: UtcDateTime,
}

/// One page: what it knows, and what it has asked.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
struct Browser {
    key: u8,
    renewal: Option<RenewalId>,
    certificate: Option<(RenewalId, Fingerprint)>,
    /// The server said that the renewal is bound to another key.
    other_key: bool,
    asked: Option<(Ask, Read)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Ask {
    Start,
    Enrol,
    Request,
    StartAgain,
    Deliver,
    /// A handshake with the new certificate.
    Activate,
    /// The second half of a request: the signature over what was stored.
    Sign,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Mail {
    about: SerialNumber,
    days: u16,
    sent: u8,
    recorded: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Action {
    Ask(usize, Ask),
    /// The server decides and commits; the answer may be lost.
    Answer(usize, Loss),
    /// The page is reloaded; key and knowledge are gone.
    Reload(usize),
    SweepReads,
    SweepCommits,
    MailerReads,
    MailerClaims,
    MailerSends(usize),
    MailerRecords(usize, Loss),
    TimePasses,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Loss {
    Arrives,
    Lost,
}

impl World {
    fn read(&self) -> Read {
        Read { seen: Arc::clone(&self.holding), stale: false, at: self.now }
    }

    fn lose(&mut self, loss: Loss) -> Option<()> {
        if loss == Loss::Lost {
            self.losses = self.losses.checked_sub(1)?;
        }
        Some(())
    }

    /// Commits a decision on what was read; `false` when somebody else was faster.
    fn commit(&mut self, read: &Read, change: Change, flaw: Flaw) -> bool {
        // Finding nothing to do is only believed of the newest version, so it counts as a conflict too.
        if read.stale && (flaw != Flaw::LastWriterWins || change.facts.is_empty()) {
            return false;
        }
        if change.facts.is_empty() {
            return true;
        }
        let at = read.at;
        let mut next = change.next;
        if flaw == Flaw::SupersededAtIssue
            && let Some(Fact::Issued { serial, .. }) = change.facts.first()
            && let Some(active) = active(&next)
        {
            next.apply(&Fact::Superseded { serial: active, by: *serial }, at);
        }
        if read.seen.replay(&change.facts, at).as_ref() != Ok(&next) {
            self.wrong = Some("a commit is no step of the machine");
        }
        for fact in &change.facts {
            match *fact {
                Fact::RenewalStarted { .. } | Fact::Intended { .. } => self.drawn += 1,
                Fact::Issued { id, serial, .. } => self.issued.push((id, serial)),
                _ => {}
            }
        }
        self.holding = Arc::new(next);
        let asked = self.browsers.iter_mut().filter_map(|browser| browser.asked.as_mut().map(|(_, read)| read));
        for read in asked.chain(&mut self.sweeper).chain(&mut self.mailer) {
            read.stale = true;
            if flaw != Flaw::LastWriterWins {
                // Nobody will ask what was in it: worlds that differ in nothing else are the same.
                read.seen = Arc::default();
            }
        }
        true
    }
}

fn end() -> UtcDateTime {
    NOW + HOURS[2]
}

fn active(holding: &Holding) -> Option<SerialNumber> {
    let active = |status| matches!(status, Status::Active { .. });
    holding.certificates.iter().find(|held| active(held.status)).map(|held| held.serial)
}

/// What the server decides about a request.
fn decide(ask: Ask, browser: &Browser, read: &Read, drawn: u8, flaw: Flaw) -> Result<Change, Refused> {
    let (holding, now, fresh) = (&read.seen, read.at, drawn + 1);
    let renewal = browser.renewal.unwrap_or(id(0));
    match ask {
        Ask::Start => holding.start(id(fresh), &policy(), now),
        Ask::Enrol => holding.enrol(id(fresh), &policy(), now),
        Ask::StartAgain => {
            let mut change = holding.start_again(renewal, id(fresh), now, &DEADLINES)?;
            if flaw == Flaw::NothingWithdrawn {
                change.facts.retain(|fact| !matches!(fact, Fact::Revoked { .. }));
                change.next = Holding::clone(holding);
                change.facts.iter().for_each(|fact| change.next.apply(fact, now));
            }
            Ok(change)
        }
        Ask::Request => request(holding, renewal, browser.key, fresh, now, flaw),
        Ask::Sign => sign(holding, renewal, now),
        Ask::Deliver => holding.step(renewal, &Event::Deliver, now, &DEADLINES),
        Ask::Activate => {
            let (renewal, fingerprint) = browser.certificate.unwrap_or((id(0), fingerprint(0)));
            holding.step(renewal, &Event::Activate { fingerprint }, now, &DEADLINES)
        }
    }
}

/// Key and intent in one commit; for a key that is known already, nothing.
fn request(
    holding: &Holding,
    renewal: RenewalId,
    number: u8,
    fresh: u8,
    now: UtcDateTime,
    flaw: Flaw,
) -> Result<Change, Refused> {
    let mut requested = holding.step(renewal, &Event::Request { key: key(number) }, now, &DEADLINES)?;
    let state = requested.next.renewal.as_ref().map(|renewal| renewal.state);
    if flaw == Flaw::IssuedAnew
        && let Some(State::Issued { issued }) = state
        && let Some(renewal) = &mut requested.next.renewal
    {
        renewal.state = State::Requested { key: issued.key };
    } else if !matches!(state, Some(State::Requested { .. })) {
        return Ok(requested);
    }
    let intended = requested.next.step(renewal, &Event::Intend { serial: serial(fresh) }, now, &DEADLINES)?;
    Ok(Change { facts: requested.facts.into_iter().chain(intended.facts).collect(), ..intended })
}

/// Signs what was stored and stores the certificate, whoever asks for it.
fn sign(holding: &Holding, renewal: RenewalId, now: UtcDateTime) -> Result<Change, Refused> {
    let open = holding.renewal.as_ref().filter(|open| open.id == renewal).ok_or(Refused::NoRenewal { id: renewal })?;
    let State::Intended { serial, .. } = open.state else { return Ok(holding.unchanged()) };
    let number = *serial.as_be_bytes().last().unwrap();
    let validity = year_until(now + Duration::days(365));
    holding.issue(renewal, serial, fingerprint(number), validity, now, &DEADLINES)
}

impl Town {
    /// What a page does next, as far as it knows; at the server's end its session has to be of a certificate in use, or of
    /// the enrolment.
    fn asks(world: &World, browser: &Browser) -> Vec<Ask> {
        if browser.asked.is_some() {
            return vec![];
        }
        let signed_in = world.holding.admission(&fingerprint(0), world.now) == Admission::Login;
        let enrolling = world.holding.open_renewal().is_some_and(|open| matches!(open.basis, Basis::Enrolment { .. }));
        let mut asks = Vec::new();
        if let Some((_, fingerprint)) = browser.certificate {
            let known = world.holding.admission(&fingerprint, world.now);
            asks.extend((known == Admission::ActivationOnly).then_some(Ask::Activate));
            asks.extend((known == Admission::ActivationOnly && (signed_in || enrolling)).then_some(Ask::Deliver));
        } else if browser.renewal.is_some() && (signed_in || enrolling) {
            asks.push(if browser.other_key { Ask::StartAgain } else { Ask::Request });
        } else if signed_in {
            asks.push(Ask::Start);
        } else if world.now >= end() {
            asks.push(Ask::Enrol);
        }
        asks
    }

    fn later(&self, world: &World) -> Option<UtcDateTime> {
        self.hours.iter().map(|&hour| NOW + hour).find(|&at| at > world.now)
    }

    fn answer(&self, world: &mut World, at: usize, loss: Loss) -> Option<()> {
        let (ask, read) = world.browsers[at].asked.take()?;
        let again = |world: &mut World| {
            let read = Read { at: read.at, ..world.read() };
            world.browsers[at].asked = Some((ask, read));
        };
        match decide(ask, &world.browsers[at], &read, world.drawn, self.flaw) {
            Err(_) if read.stale => again(world),
            Err(refused) => {
                world.lose(loss)?;
                if loss == Loss::Arrives {
                    let browser = &mut world.browsers[at];
                    browser.other_key = matches!(refused, Refused::OtherKey { .. });
                    browser.renewal = browser.renewal.filter(|_| browser.other_key);
                }
            }
            Ok(change) => {
                let renewal = change.next.renewal.as_ref().map(|renewal| (renewal.id, renewal.state));
                if !world.commit(&read, change, self.flaw) {
                    again(world);
                    return Some(());
                }
                world.lose(loss)?;
                if loss == Loss::Arrives {
                    Self::learn(world, at, ask, &read, renewal?);
                }
            }
        }
        Some(())
    }

    /// The answer arrives.
    fn learn(world: &mut World, at: usize, ask: Ask, read: &Read, (renewal, state): (RenewalId, State)) {
        if matches!(state, State::Intended { .. }) && matches!(ask, Ask::Request) {
            // Not an answer yet: the same request goes on to the signature.
            let read = Read { at: read.at, ..world.read() };
            world.browsers[at].asked = Some((Ask::Sign, read));
            return;
        }
        let certificate = state.issued().map(|issued| (renewal, issued.fingerprint));
        let other = world.browsers[1 - at].certificate;
        let browser = &mut world.browsers[at];
        match ask {
            Ask::Start | Ask::Enrol => browser.renewal = Some(renewal),
            Ask::StartAgain => {
                browser.renewal = Some(renewal);
                browser.other_key = false;
            }
            Ask::Request | Ask::Sign => {
                browser.certificate = certificate;
                let differs = |(one, fingerprint), (other, print)| one == other && fingerprint != print;
                if certificate.zip(other).is_some_and(|(mine, other)| differs(mine, other)) {
                    world.wrong = Some("one renewal was answered with two certificates");
                }
            }
            Ask::Deliver | Ask::Activate => {}
        }
    }

    /// What the sweeper finds to do in what it has read.
    fn swept(&self, read: &Read) -> Option<Change> {
        let early = if self.flaw == Flaw::SweptEarly { Duration::days(41) } else { Duration::ZERO };
        let swept = read.seen.sweep(read.at + early, &DEADLINES);
        let intended = read.seen.open_renewal().filter(|open| matches!(open.state, State::Intended { .. }));
        match intended.map(|open| open.id) {
            Some(renewal) if swept.facts.is_empty() => sign(&read.seen, renewal, read.at).ok(),
            _ => Some(swept).filter(|swept| !swept.facts.is_empty()),
        }
    }

    /// The mail that the mailer finds due in what it has read.
    fn due(world: &World, read: &Read) -> Option<Mail> {
        let held = read.seen.current()?;
        let recorded = world.mails.iter().filter(|mail| mail.about == held.serial).map(|mail| mail.days);
        let closed: Vec<u16> = recorded.collect();
        let standing = Standing { status: held.status.word(), closed: &closed, ..Standing::active(held.validity) };
        let days = policy().decide(&standing, read.at).mail_due?;
        Some(Mail { about: held.serial, days, sent: 0, recorded: false })
    }

    fn claim(&self, world: &mut World) -> Option<()> {
        let read = world.mailer.take()?;
        if read.stale && self.flaw != Flaw::LastWriterWins {
            return Some(());
        }
        if let Some(mail) = Self::due(world, &read) {
            if active(&world.holding) != Some(mail.about) {
                world.wrong = Some("a mail was claimed about a certificate that is not in use");
            }
            world.mails.push(mail);
        }
        Some(())
    }
}

impl Model for Town {
    type State = World;
    type Action = Action;

    fn init_states(&self) -> Vec<World> {
        vec![World {
            holding: Arc::new(holder(10)),
            drawn: 0,
            now: NOW,
            losses: self.losses,
            browsers: self.keys.map(|key| Browser { key, ..Browser::default() }),
            sweeper: None,
            mailer: None,
            mails: vec![],
            issued: vec![],
            wrong: None,
        }]
    }

    fn actions(&self, world: &World, actions: &mut Vec<Action>) {
        for (at, browser) in world.browsers.iter().enumerate() {
            actions.extend(Self::asks(world, browser).into_iter().map(|ask| Action::Ask(at, ask)));
            if browser.asked.is_some() {
                actions.push(Action::Answer(at, Loss::Arrives));
                actions.extend((world.losses > 0).then_some(Action::Answer(at, Loss::Lost)));
            } else if world.losses > 0 && browser.renewal.is_some() {
                actions.push(Action::Reload(at));
            }
        }
        let read = world.read();
        match &world.sweeper {
            Some(_) => actions.push(Action::SweepCommits),
            None => actions.extend(self.swept(&read).map(|_| Action::SweepReads)),
        }
        match &world.mailer {
            Some(_) => actions.push(Action::MailerClaims),
            None if self.mailer => actions.extend(Self::due(world, &read).map(|_| Action::MailerReads)),
            None => {}
        }
        for (at, mail) in world.mails.iter().enumerate().filter(|(_, mail)| !mail.recorded) {
            if mail.sent == 0 {
                actions.push(Action::MailerSends(at));
            } else {
                actions.push(Action::MailerRecords(at, Loss::Arrives));
                actions.extend((world.losses > 0).then_some(Action::MailerRecords(at, Loss::Lost)));
            }
        }
        // Nobody waits for an answer for days.
        let mut reads = world.browsers.iter().filter_map(|browser| browser.asked.as_ref().map(|(_, read)| read));
        let prompt = reads.all(|read| read.at == world.now);
        actions.extend(self.later(world).filter(|_| prompt).map(|_| Action::TimePasses));
    }

    fn next_state(&self, world: &World, action: Action) -> Option<World> {
        let mut next = world.clone();
        match action {
            Action::Ask(at, ask) => next.browsers[at].asked = Some((ask, world.read())),
            Action::Answer(at, loss) => self.answer(&mut next, at, loss)?,
            Action::Reload(at) => {
                next.lose(Loss::Lost)?;
                next.browsers[at] = Browser { key: world.browsers[at].key + 1, ..Browser::default() };
            }
            Action::SweepReads => next.sweeper = Some(world.read()),
            Action::SweepCommits => {
                let read = next.sweeper.take()?;
                if let Some(change) = self.swept(&read) {
                    next.commit(&read, change, self.flaw);
                }
            }
            Action::MailerReads => next.mailer = Some(world.read()),
            Action::MailerClaims => self.claim(&mut next)?,
            Action::MailerSends(at) => next.mails[at].sent += 1,
            Action::MailerRecords(at, loss) => {
                next.lose(loss)?;
                match loss {
                    Loss::Arrives => next.mails[at].recorded = true,
                    // It is not known whether it went out: the same mail goes out again.
                    Loss::Lost => next.mails[at].sent += 1,
                }
            }
            Action::TimePasses => next.now = self.later(world)?,
        }
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let always = Property::<Self>::always;
        let sometimes = Property::<Self>::sometimes;
        vec![
            always("never locked out", |_, world| {
                let now = world.now;
                let mut held = world.holding.certificates.iter();
                now >= end() || held.any(|held| world.holding.admission(&held.fingerprint, now) == Admission::Login)
            }),
            always("one certificate a renewal", |_, world| {
                let renewals: BTreeSet<_> = world.issued.iter().map(|(id, _)| id).collect();
                renewals.len() == world.issued.len()
            }),
            always("one active, one pending", |_, world| {
                let count = |wanted: fn(&Status) -> bool| {
                    world.holding.certificates.iter().filter(|held| wanted(&held.status)).count()
                };
                let pending = world.holding.open_renewal().and_then(Renewal::pending);
                count(|status| matches!(status, Status::Active { .. })) <= 1
                    && count(|status| matches!(status, Status::Pending)) == usize::from(pending.is_some())
            }),
            always("one mail a threshold, repeated after a loss only", |town, world| {
                let mails: BTreeSet<_> = world.mails.iter().map(|mail| (mail.about, mail.days)).collect();
                let repeats: u8 = world.mails.iter().map(|mail| mail.sent.saturating_sub(1)).sum();
                mails.len() == world.mails.len() && repeats <= town.losses - world.losses
            }),
            always("nothing goes wrong", |_, world| world.wrong.is_none()),
            sometimes("activated in time", |_, world| world.now < end() && active(&world.holding) != Some(serial(0))),
            sometimes("activated after a loss", |town, world| {
                world.losses < town.losses && active(&world.holding) != Some(serial(0))
            }),
            sometimes("activated after the predecessor's end", |_, world| {
                world.now >= end()
                    && world.holding.renewal.as_ref().is_some_and(|renewal| {
                        matches!((renewal.basis, renewal.state), (Basis::Renewal { .. }, State::Activated { .. }))
                    })
                    && world.holding.certificates[0].status.word() == koshin_types::CertificateStatus::Superseded
            }),
            sometimes("enrolled after the end", |_, world| {
                world.holding.renewal.as_ref().is_some_and(|renewal| {
                    matches!((renewal.basis, renewal.state), (Basis::Enrolment { .. }, State::Activated { .. }))
                })
            }),
            sometimes("started again", |_, world| {
                world.holding.renewal.as_ref().is_some_and(|renewal| renewal.again == 1)
            }),
            sometimes("expired before the issue", |_, world| {
                world.holding.renewal.as_ref().is_some_and(|renewal| renewal.state == State::Expired)
            }),
            sometimes("both pages have the certificate", |_, world| {
                let [a, b] = &world.browsers;
                a.certificate.is_some() && a.certificate == b.certificate
            }),
        ]
    }

    fn within_boundary(&self, world: &World) -> bool {
        world.drawn <= self.draws
    }
}

/// One day, in which everybody may start again.
const ONE_DAY: Town =
    Town { flaw: Flaw::None, losses: 1, draws: 4, hours: HOURS.split_at(1).0, mailer: false, keys: [100, 150] };

/// One renewal from the first notice to long after everything has ended.
const ONE_RENEWAL: Town = Town { draws: 2, hours: &HOURS, ..ONE_DAY };

/// One renewal whose every request is sent twice, and the mailer beside it.
const ONE_MAIL: Town = Town { draws: 2, mailer: true, keys: [100, 100], ..ONE_DAY };

fn explore(town: Town, sometimes: &[&'static str]) {
    let properties = town.properties();
    let checked = town.checker().threads(2).spawn_bfs().join();
    println!("{} states, {} steps deep: {town:?}", checked.unique_state_count(), checked.max_depth());
    let found = checked.discoveries();
    for property in properties {
        let expected = property.expectation == Expectation::Sometimes && sometimes.contains(&property.name);
        let path = found.get(property.name);
        if property.expectation == Expectation::Always || expected {
            assert_eq!(path.is_some(), expected, "{}: {path:#?}", property.name);
        }
    }
    assert!(checked.unique_state_count() > 10_000, "this is no town");
}

#[test]
fn invariant_30_two_pages_may_start_again_in_any_order() {
    explore(ONE_DAY, &["activated in time", "activated after a loss", "started again"]);
}

#[test]
fn invariant_30_one_renewal_may_straddle_any_instant() {
    let ends = ["activated after the predecessor's end", "enrolled after the end", "expired before the issue"];
    explore(ONE_RENEWAL, &ends);
    explore(Town { losses: 0, mailer: true, ..ONE_RENEWAL }, &ends);
}

#[test]
fn invariant_30_the_mailer_may_run_beside_it() {
    explore(ONE_MAIL, &["activated in time", "activated after a loss", "both pages have the certificate"]);
}

/// A model that finds nothing wrong proves something only if it would.
#[test]
fn every_flaw_is_found() {
    for (town, flaw, property) in [
        (ONE_DAY, Flaw::SupersededAtIssue, "never locked out"),
        (ONE_DAY, Flaw::LastWriterWins, "one certificate a renewal"),
        (ONE_MAIL, Flaw::LastWriterWins, "nothing goes wrong"),
        (ONE_DAY, Flaw::NothingWithdrawn, "one active, one pending"),
        (ONE_DAY, Flaw::IssuedAnew, "one certificate a renewal"),
        (ONE_RENEWAL, Flaw::SweptEarly, "nothing goes wrong"),
    ] {
        let until = HasDiscoveries::AnyOf([property].into());
        let checked = Town { flaw, ..town }.checker().finish_when(until).spawn_bfs().join();
        let path = checked.discovery(property).unwrap_or_else(|| panic!("{flaw:?} does not break: {property}"));
        println!("{flaw:?} breaks \"{property}\" after {} steps", path.into_actions().len());
    }
}
