//! Every screen with sample data: for the snapshots and for the gallery.

use koshin_ra::{NotDelivered, Undelivered};
use koshin_types::{Language, ProtectionLevel, RenewalId, Role, SerialNumber, Validity};
use koshin_web::screens::{
    self, Activation, AgentWay, Bilingual, Brand, Check, Clocked, CodeRefusal, Complete, CompleteStage, Contact,
    Declined, DeclinedStep, Doctor, Door, EnrolmentCode, EnrolmentIdentify, EnrolmentRefusal, Frame, Host, Hosts,
    Login, LoginRefusal, Main, Notice, OnlyAgent, Preparing, Problem, Purpose, RenderError, RenewalCheck, RenewalOffer,
    Seen, SeenCertificate, SignedOut, Stage, Start, StartAgain, Term, Texts, Ticket, Ways,
};
use time::{UtcDateTime, macros::utc_datetime};

/// The instant all samples are seen at.
const NOW: UtcDateTime = utc_datetime!(2026-11-22 06:30:00);
const NOT_BEFORE: UtcDateTime = utc_datetime!(2025-12-22 15:00:00);
const NOT_AFTER: UtcDateTime = utc_datetime!(2026-12-22 14:59:59);

/// What a sample is made of.
pub(crate) struct World {
    texts: Texts,
    brand: Brand,
    contact: Contact,
    hosts: Hosts,
    zone: Clocked,
}

/// One rendered screen.
pub(crate) type Sample = (&'static str, Result<String, RenderError>);

fn both(ja: &str, en: &str) -> Bilingual {
    Bilingual { ja: ja.to_owned(), en: en.to_owned() }
}

fn serial(digits: &str) -> SerialNumber {
    digits.parse().unwrap()
}

fn old() -> SerialNumber {
    serial("0193F0A1C27E5B8D4417A90C3E66D2F081B54A")
}

fn new() -> SerialNumber {
    serial("019AA9E04B107C21E85D3F96B02A7714CD380E")
}

fn id() -> RenewalId {
    "5f0e1d2c3b4a5968778695a4b3c2d1e0".parse().unwrap()
}

fn certificate() -> SeenCertificate {
    SeenCertificate {
        subject: "U-1001".parse().unwrap(),
        serial: old(),
        validity: Validity::new(NOT_BEFORE, NOT_AFTER).unwrap(),
        protection: ProtectionLevel::File,
        renewal: None,
    }
}

fn successor() -> SeenCertificate {
    SeenCertificate {
        serial: new(),
        validity: Validity::new(utc_datetime!(2026-11-22 06:25:00), utc_datetime!(2027-11-22 06:29:59)).unwrap(),
        ..certificate()
    }
}

fn expired(days_ago: u32, door: Door) -> Seen {
    let not_after = utc_datetime!(2026-11-19 14:59:59);
    let certificate = SeenCertificate { validity: Validity::new(NOT_BEFORE, not_after).unwrap(), ..certificate() };
    Seen::Expired { certificate, days_ago, door }
}

/// Everything a server can see of a certificate.
fn all_seen() -> Vec<(&'static str, Seen)> {
    let (active, at) = (certificate(), utc_datetime!(2026-11-20 01:23:45));
    let opens = Door::OpensAt { until: utc_datetime!(2026-11-23 06:30:00) };
    vec![
        ("none", Seen::None),
        ("active", Seen::Active { certificate: active.clone(), waiting: None }),
        ("waiting", Seen::Active { certificate: active.clone(), waiting: Some(new()) }),
        ("future", Seen::NotYetValid { certificate: active.clone() }),
        ("expired", expired(3, Door::Open)),
        ("expired_today", expired(0, Door::Open)),
        ("expired_closed", expired(120, Door::Closed)),
        ("expired_opens_later", expired(3, opens)),
        ("pending", Seen::Pending { certificate: successor() }),
        ("expired_waiting", expired(3, Door::Waiting { serial: new() })),
        ("superseded", Seen::Superseded { certificate: active.clone(), door: Door::InUse { serial: new() } }),
        ("superseded_open", Seen::Superseded { certificate: active.clone(), door: Door::Open }),
        ("superseded_opens_later", Seen::Superseded { certificate: active.clone(), door: opens }),
        ("superseded_closed", Seen::Superseded { certificate: active.clone(), door: Door::Closed }),
        ("revoked", Seen::Revoked { certificate: active.clone(), at, door: Door::Open }),
        ("revoked_replaced", Seen::Revoked { certificate: active.clone(), at, door: Door::InUse { serial: new() } }),
        ("revoked_opens_later", Seen::Revoked { certificate: active.clone(), at, door: opens }),
        ("revoked_closed", Seen::Revoked { certificate: active, at, door: Door::Closed }),
        ("unknown", Seen::Unknown),
    ]
}

/// Sample names are made once per run and kept.
fn name(prefix: &str, suffix: &str) -> &'static str {
    Box::leak(format!("{prefix}_{suffix}").into_boxed_str())
}

impl World {
    /// A bank that does not exist.
    pub(crate) fn new() -> Self {
        let host = |name: &str| format!("https://{name}.koshin-shinkin.example");
        Self {
            texts: Texts::load().unwrap(),
            brand: Brand {
                operator: both("更新信用金庫", "Koshin Shinkin Bank"),
                portal: both("法人インターネットバンキング", "Business Internet Banking"),
            },
            contact: Contact {
                name: both("更新信用金庫 ヘルプデスク", "Koshin Shinkin help desk"),
                telephone: Some("0120-000-000".to_owned()),
                hours: Some(both("平日 9:00～17:00", "weekdays 9:00–17:00 JST")),
            },
            hosts: Hosts { portal: host("portal"), public: host("www"), activate: host("activate") },
            zone: Clocked::jst(),
        }
    }

    pub(crate) fn frame(&self, language: Language, host: Host, path: &'static str) -> Frame<'_> {
        Frame {
            language,
            texts: &self.texts,
            zone: &self.zone,
            hosts: &self.hosts,
            host,
            brand: &self.brand,
            contact: &self.contact,
            path,
        }
    }

    /// Every screen in one language.
    pub(crate) fn screens(&self, language: Language) -> Vec<Sample> {
        let mut samples = self.sign_in(language);
        samples.extend(self.portal(language));
        samples.extend(self.renewal(language));
        samples.extend(self.completion(language));
        samples.extend(self.activation_host(language));
        samples.extend(self.enrolment(language));
        samples.extend(self.problems(language));
        samples
    }

    fn sign_in(&self, language: Language) -> Vec<Sample> {
        let frame = self.frame(language, Host::Portal, "/");
        let mut samples: Vec<Sample> = all_seen()
            .iter()
            .map(|(seen_name, seen)| {
                (name("00_login", seen_name), screens::login(&frame, &Login { seen, refusal: None, id: "" }))
            })
            .collect();
        let active = Seen::Active { certificate: certificate(), waiting: None };
        let refusals = [
            ("mismatch", LoginRefusal::Mismatch),
            ("certificate", LoginRefusal::CertificateNeeded),
            ("empty", LoginRefusal::Empty { id: true, password: true }),
            ("too_many", LoginRefusal::TooMany { retry_after: 600 }),
            ("busy", LoginRefusal::Busy { retry_after: 5 }),
        ];
        for (refusal_name, refusal) in refusals {
            let seen = if refusal == LoginRefusal::CertificateNeeded { &Seen::None } else { &active };
            let view = Login { seen, refusal: Some(refusal), id: "U-1001\"<b>" };
            samples.push((name("00_login_refused", refusal_name), screens::login(&frame, &view)));
        }
        let ends = [
            ("by_choice", SignedOut::ByChoice { restart: false }),
            ("restart", SignedOut::ByChoice { restart: true }),
            ("idle", SignedOut::Idle { minutes: 15 }),
            ("total", SignedOut::Total),
            ("replaced", SignedOut::Replaced { successor: new() }),
            ("expired", SignedOut::Expired { at: NOT_AFTER }),
            ("revoked", SignedOut::Revoked),
        ];
        samples.extend(ends.map(|(end, view)| (name("09_signed_out", end), screens::signed_out(&frame, &view))));
        let public = Frame { host: Host::Public, ..frame };
        let ends = [("idle", SignedOut::Idle { minutes: 15 }), ("total", SignedOut::Total)];
        samples.extend(ends.map(|(end, view)| (name("09_enrolment_over", end), screens::signed_out(&public, &view))));
        samples
    }

    fn portal(&self, language: Language) -> Vec<Sample> {
        let frame = self.frame(language, Host::Portal, "/notice");
        let mut samples: Vec<Sample> = [("calm", 30, 0), ("firm", 9, 2), ("strong", 3, 5), ("today", 0, 1)]
            .map(|(level, days_left, later_count)| {
                let validity = certificate().validity;
                let view = Notice { serial: old(), validity, days_left, later_count };
                (name("01_notice", level), screens::notice(&frame, &view))
            })
            .into();
        let frame = self.frame(language, Host::Portal, "/undelivered");
        let address = || Some("t***@example.co.jp".to_owned());
        for (what, address, how) in [
            ("refused", address(), NotDelivered::Refused),
            ("came_back", address(), NotDelivered::CameBack),
            ("no_address", None, NotDelivered::Refused),
        ] {
            let view = Undelivered { address, how, since: utc_datetime!(2026-11-21 15:00:07) };
            samples.push((name("01_undelivered", what), screens::undelivered(&frame, &view)));
        }
        let frame = self.frame(language, Host::Portal, "/main");
        let offers = [
            ("not_yet", RenewalOffer::NotYet { opens: utc_datetime!(2026-11-21 15:00:00) }),
            ("open", RenewalOffer::Open),
            ("underway", RenewalOffer::Underway { id: id() }),
            ("issued", RenewalOffer::Issued { id: id(), serial: new(), delivered: false }),
            ("delivered", RenewalOffer::Issued { id: id(), serial: new(), delivered: true }),
            ("programs", RenewalOffer::Open),
        ];
        for (offer, renewal) in offers {
            let view = Main {
                organization: "株式会社 山田製作所 & Co.",
                role: if offer == "open" { Role::User } else { Role::Administrator },
                name: if offer == "not_yet" { "" } else { "更新 <花子>" },
                certificate: &SeenCertificate { renewal: (offer != "open").then(id), ..certificate() },
                days_left: 30,
                renewal,
                last_login: (offer != "open").then_some(NOW),
                programs: offer == "programs",
            };
            samples.push((name("02_main", offer), screens::main(&frame, &view)));
        }
        let frame = self.frame(language, Host::Portal, "/ticket");
        let ticket = "5c".repeat(32);
        let tickets = [
            ("closed", Ticket::Closed { opens: utc_datetime!(2026-11-21 15:00:00) }),
            ("offer", Ticket::Offer { minutes: 15 }),
            ("made", Ticket::Made { subject: &certificate().subject, ticket: &ticket, until: NOW }),
        ];
        samples.extend(tickets.map(|(case, view)| (name("13_ticket", case), screens::ticket(&frame, &view))));
        samples
    }

    fn renewal(&self, language: Language) -> Vec<Sample> {
        let portal = self.frame(language, Host::Portal, "/renewals/5f0e1d2c3b4a5968778695a4b3c2d1e0/start");
        let public = Frame { host: Host::Public, ..portal };
        let mut samples = Vec::new();
        let subject = certificate().subject;
        for (frame, purpose, way) in
            [(&portal, Purpose::Renewal, "renewal"), (&public, Purpose::Enrolment, "enrolment")]
        {
            let done = |check| Check { check, done: true };
            let first = match purpose {
                Purpose::Renewal => [RenewalCheck::Certificate, RenewalCheck::Window],
                Purpose::Enrolment => [RenewalCheck::Identity, RenewalCheck::Grant],
            };
            let running = Check { check: RenewalCheck::Authority, done: false };
            let checks = [done(first[0]), done(first[1]), running];
            let view = Preparing { purpose, id: id(), checks: &checks, stopped: None };
            samples.push((name("03_preparing", way), screens::preparing(frame, &view)));
            let view = Preparing { stopped: Some(&Problem::AuthorityEnding), ..view };
            samples.push((name("03_preparing", &format!("{way}_stopped")), screens::preparing(frame, &view)));
            let stages = [
                ("started", Stage::Started),
                ("requested", Stage::Requested),
                ("intended", Stage::Intended),
                ("issued", Stage::Issued { serial: new() }),
                ("delivered", Stage::Delivered { serial: new() }),
            ];
            for (stage_name, stage) in stages {
                let view = Start { purpose, subject: &subject, id: id(), stage, ways: Ways::File, problem: None };
                samples.push((name("04_start", &format!("{way}_{stage_name}")), screens::start(frame, &view)));
            }
            let problem = Problem::KeyRefused;
            let started =
                Start { purpose, subject: &subject, id: id(), stage: Stage::Started, ways: Ways::File, problem: None };
            let view = Start { problem: Some(&problem), ..started };
            samples.push((name("04_start", &format!("{way}_refused")), screens::start(frame, &view)));
            samples.extend(Self::agents(frame, way, &started));
            for (step_name, step) in [("request", DeclinedStep::Request), ("delivery", DeclinedStep::Delivery)] {
                let view = Declined { purpose, id: id(), step };
                samples.push((name("06_declined", &format!("{way}_{step_name}")), screens::declined(frame, &view)));
            }
            let cases = [("plain", None, None), ("issued", Some(new()), None), ("too_often", Some(new()), Some(3600))];
            for (case, serial, retry_after) in cases {
                let view = StartAgain { purpose, id: id(), serial, retry_after };
                samples.push((name("06_start_again", &format!("{way}_{case}")), screens::start_again(frame, &view)));
            }
        }
        samples
    }

    /// The start screens with the agent, and the page beside it.
    fn agents(frame: &Frame<'_>, way: &str, started: &Start<'_>) -> Vec<Sample> {
        let why = |why| Start { ways: Ways::Agent { why }, ..*started };
        let begun = Start { stage: Stage::Issued { serial: new() }, ..why(OnlyAgent::Begun) };
        let starts = [
            ("both", Start { ways: Ways::Both, ..*started }),
            ("agent_required", why(OnlyAgent::Required)),
            ("agent_begun", begun),
        ];
        let starts =
            starts.map(|(case, view)| (name("04_start", &format!("{way}_{case}")), screens::start(frame, &view)));
        let token = "t=6a1f-00ff&x";
        let url = |page: &str| format!("https://www.koshin-shinkin.example/renewals/{}/{page}?{token}", id());
        let (events, status, complete) = (url("events"), url("status"), url("complete"));
        let renewal = AgentWay {
            purpose: Purpose::Renewal,
            link: Some("koshin:renew?v=1&portal=https%3A%2F%2Fportal.koshin-shinkin.example&t=0123456789abcdef"),
            digits: Some("0472"),
            until: Some(NOW + time::Duration::minutes(10)),
            id: Some(id()),
            events_url: &events,
            status_url: &status,
            onward: &complete,
            file_way: Some("/renewals/5f0e1d2c3b4a5968778695a4b3c2d1e0/start"),
        };
        let pages = match started.purpose {
            Purpose::Renewal => [("link", renewal), ("required", AgentWay { file_way: None, ..renewal })].to_vec(),
            Purpose::Enrolment => {
                let code = AgentWay {
                    purpose: Purpose::Enrolment,
                    link: Some("koshin:enrol?v=1&portal=https%3A%2F%2Fwww.koshin-shinkin.example&t=0123456789abcdef"),
                    digits: None,
                    id: None,
                    events_url: "",
                    status_url: "/enrol/agent/status",
                    onward: "",
                    file_way: Some("/enrol/code"),
                    ..renewal
                };
                let work = AgentWay { purpose: Purpose::Enrolment, link: None, digits: None, until: None, ..renewal };
                [("link", code), ("at_work", work)].to_vec()
            }
        };
        let page = |(case, view): (&str, AgentWay<'_>)| {
            (name("05_agent", &format!("{way}_{case}")), screens::agent(frame, &view))
        };
        starts.into_iter().chain(pages.into_iter().map(page)).collect()
    }

    fn completion(&self, language: Language) -> Vec<Sample> {
        let frame = self.frame(language, Host::Portal, "/renewals/5f0e1d2c3b4a5968778695a4b3c2d1e0/complete");
        let view = Complete {
            purpose: Purpose::Renewal,
            subject: &certificate().subject,
            id: id(),
            ca_name: "Koshin Shinkin Client CA G1",
            serial: new(),
            validity: successor().validity,
            term: Term::Year,
            protection: ProtectionLevel::File,
            stage: CompleteStage::Delivered,
            predecessor: Some(old()),
            status_url: "https://www.koshin-shinkin.example/renewals/5f0e1d2c3b4a5968778695a4b3c2d1e0/status?t=a&b",
        };
        let public = Frame { host: Host::Public, ..frame };
        let enrolled = Complete { purpose: Purpose::Enrolment, predecessor: None, term: Term::Days(30), ..view };
        let os = Complete { protection: ProtectionLevel::Os, ..view };
        let hardware = Complete { protection: ProtectionLevel::Hardware, ..view };
        vec![
            ("07_complete_file", screens::complete(&frame, &view)),
            ("07_complete_enrolment", screens::complete(&public, &enrolled)),
            ("07_complete_activated", screens::complete(&frame, &Complete { stage: CompleteStage::Activated, ..view })),
            ("07_complete_os", screens::complete(&frame, &os)),
            ("07_complete_hardware", screens::complete(&frame, &hardware)),
            (
                "07_complete_hardware_activated",
                screens::complete(
                    &public,
                    &Complete { stage: CompleteStage::Activated, predecessor: None, ..hardware },
                ),
            ),
        ]
    }

    fn activation_host(&self, language: Language) -> Vec<Sample> {
        let frame = self.frame(language, Host::Activate, "/");
        let mut samples: Vec<Sample> = all_seen()
            .iter()
            .map(|(seen_name, seen)| {
                (name("08_activation", seen_name), screens::activation(&frame, &Activation::Seen(seen)))
            })
            .collect();
        for (case, superseded) in [("activated", Some(old())), ("activated_first", None)] {
            let view = Activation::Activated { certificate: &successor(), superseded };
            samples.push((name("08_activation", case), screens::activation(&frame, &view)));
        }
        let frame = self.frame(language, Host::Portal, "/doctor");
        samples.extend(all_seen().iter().map(|(seen_name, seen)| {
            let view = Doctor { seen, host_name: "portal.koshin-shinkin.example", tls: "TLS 1.3", now: NOW };
            (name("11_doctor", seen_name), screens::doctor(&frame, &view))
        }));
        samples
    }

    fn enrolment(&self, language: Language) -> Vec<Sample> {
        let frame = self.frame(language, Host::Public, "/enrol");
        let home = self.frame(language, Host::Public, "/");
        let mut samples = vec![("10_enrolment_home", screens::enrolment_home(&home, 37))];
        let refusals = [
            ("first", None),
            ("empty", Some(EnrolmentRefusal::Empty { id: false, password: true })),
            ("too_many", Some(EnrolmentRefusal::TooMany { retry_after: 45 })),
            ("crowded", Some(EnrolmentRefusal::Crowded { retry_after: 2 })),
            ("busy", Some(EnrolmentRefusal::Busy { retry_after: 1 })),
        ];
        for (case, refusal) in refusals {
            let view = EnrolmentIdentify { id: if refusal.is_some() { "U-1004" } else { "" }, refusal };
            samples.push((name("10_enrolment_identify", case), screens::enrolment_identify(&frame, &view)));
        }
        let frame = self.frame(language, Host::Public, "/enrol/code");
        let refusals = [
            ("first", None),
            ("empty", Some(CodeRefusal::Empty)),
            ("wrong", Some(CodeRefusal::Wrong)),
            ("expired", Some(CodeRefusal::Expired)),
            ("spent", Some(CodeRefusal::Spent)),
            ("too_many", Some(CodeRefusal::TooMany { retry_after: 120 })),
        ];
        for (case, refusal) in refusals {
            let view = EnrolmentCode { minutes: 10, digits: 8, agent: false, refusal };
            samples.push((name("10_enrolment_code", case), screens::enrolment_code(&frame, &view)));
        }
        let view = EnrolmentCode { minutes: 10, digits: 8, agent: true, refusal: None };
        samples.push((name("10_enrolment_code", "agent"), screens::enrolment_code(&frame, &view)));
        samples
    }

    fn problems(&self, language: Language) -> Vec<Sample> {
        let frame = self.frame(language, Host::Portal, "/");
        let problems = [
            Problem::Malformed,
            Problem::SessionMissing,
            Problem::EnrolmentMissing,
            Problem::Forbidden,
            Problem::AgentNeeded,
            Problem::TooEarly { opens: utc_datetime!(2026-11-21 15:00:00) },
            Problem::NotFound,
            Problem::MethodNotAllowed,
            Problem::Conflict,
            Problem::OtherKey,
            Problem::Ended,
            Problem::Refused,
            Problem::AuthorityEnding,
            Problem::TooLarge,
            Problem::UnsupportedType,
            Problem::Misdirected,
            Problem::Invalid,
            Problem::KeyRefused,
            Problem::PrivateKey,
            Problem::TooMany { retry_after: 90 },
            Problem::Internal { reference: "7f3a-<x>".to_owned() },
            Problem::Unavailable { retry_after: 30 },
            Problem::AuthorityUnavailable { retry_after: 300 },
            Problem::ClockDoubted { retry_after: 300 },
        ];
        let sample = |problem: &Problem| {
            let code = problem.code().replace('.', "_");
            (name("12_problem", &format!("{}_{code}", problem.status())), screens::problem(&frame, problem))
        };
        problems.iter().map(sample).collect()
    }
}
