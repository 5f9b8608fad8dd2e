//! `koshin policy replay`: a script of events against the real planner and mailer, with a simulated clock and a mail
//! server that answers as told.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, PoisonError},
};

use async_trait::async_trait;
use koshin_expiry::{Policy, PolicyConfig, ValidityRule, validity_for};
use koshin_notify::{
    Address, Bilingual, Digests, Envelope, InUse, MailId, Mailer, MemorySchedule, Notice, Outcome, Party, Planner,
    Reply, Sender, Steward, Transport, Zone,
};
use koshin_operator::instant::rfc3339;
use koshin_types::{CertificateStatus, Language, OrganizationId, Role, SerialNumber, SubjectId, Validity};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, value::RawValue};
use time::{PrimitiveDateTime, UtcDateTime, UtcOffset};
use tokio::{runtime::Handle, sync::Notify, task};

use super::{
    lines::{Answer, At, Id, Object, Wrong, in_one_line, object, read},
    tables::{Policies, PolicyObject, RenewalWord, validity},
};

/// What `koshin policy replay --help` says of the lines.
pub(super) const HELP: &str = "\
Rehearse a year, an outage or a change of thresholds: read scripts of events as JSON lines from standard input and write \
the mails of each.

Each line is run through the real planner and mailer, over a mail server that answers as told, with a clock that stands \
where the events put it:

  {\"id\": …, \"not_before\": INSTANT, \"not_after\": INSTANT, \"policy\": {…}, \"events\": [{\"do\": WORD, \"at\": INSTANT, …}, …]}

\"policy\" and its keys are those of `koshin policy eval`. Events happen in their order; \"at\" sets the clock, also back, and \
an event without it happens where the clock stands, at first at not_before. What may be done:

  run                      the mailer runs, and the server takes every mail
  run_two_at_once          two mailers run at the same time
  run_smtp_4xx             the server refuses every mail for now (tried again after 5 minutes at the earliest)
  run_smtp_5xx             the server refuses every mail for ever
  run_crash_before_record  the server takes the mail, and the mailer dies before it has recorded that (its claim holds for
                           10 minutes)
  policy                   \"set\": {…} changes these keys of the policy from the next run on
  renewal                  \"to\": \"none\", \"started\", \"issued\" or \"installed\"; only the last one ends the mails
  revoke                   the certificate is revoked
  new_certificate          a successor takes its place: \"not_before\" and \"not_after\", or without them one year from the clock

The answer is one line for each, with [instant, threshold, outcome] for every mail that the server took or refused for ever:

  {\"id\": …, \"mails\": [[\"2026-11-21T15:00:00Z\", 30, \"sent\"], …]}

\"administrator\": \"single\" or \"digest\" beside \"events\" puts an administrator beside the holder, who is told by single mails or
by a weekly digest. Then the answer also has \"others\", with [instant, kind, outcome] for every mail that is no notice of
expiry: escalation_administrator, address_undeliverable_administrator, digest.

The outcome is sent, undeliverable, or repeat: the one second sending, with the same Message-ID, after a crash. The first line \
that cannot be used ends the batch, with its number and key, and exit status 2.";

/// One script.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Script {
    id: Id,
    not_before: At,
    not_after: At,
    #[serde(default, deserialize_with = "object")]
    policy: PolicyObject,
    #[serde(default)]
    administrator: Option<Told>,
    events: Vec<Object<Event>>,
}

/// How the holder's administrator is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Told {
    Single,
    Digest,
}

/// One event. Which keys it may have depends on what is done.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Event {
    r#do: Deed,
    #[serde(default)]
    at: Option<At>,
    #[serde(default)]
    set: Option<Box<RawValue>>,
    #[serde(default)]
    to: Option<Box<RawValue>>,
    #[serde(default)]
    not_before: Option<At>,
    #[serde(default)]
    not_after: Option<At>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Deed {
    Run,
    RunTwoAtOnce,
    #[serde(rename = "run_smtp_4xx")]
    RunRefusedForNow,
    #[serde(rename = "run_smtp_5xx")]
    RunRefusedForEver,
    RunCrashBeforeRecord,
    Policy,
    Renewal,
    Revoke,
    NewCertificate,
}

/// The mails of a script.
#[derive(Debug, Serialize)]
pub(super) struct View {
    id: Id,
    mails: Vec<(String, u16, &'static str)>,
    #[serde(skip_serializing_if = "Option::is_none")]
    others: Option<Vec<(String, &'static str, &'static str)>>,
}

#[derive(Debug)]
pub(super) struct Rehearsal {
    policies: Policies,
    sender: Sender,
    holder: SubjectId,
    address: Address,
    administrator: Party,
    organization: OrganizationId,
}

impl Rehearsal {
    pub(super) fn new() -> anyhow::Result<Self> {
        let words = || Bilingual::new("予行演習", "Rehearsal");
        let zone = Zone::fixed(UtcOffset::UTC, "UTC");
        let sender = Sender::new("rehearsal@koshin.example".parse()?, words(), words(), words(), zone)?;
        let (holder, address) = ("U-1".parse()?, "holder@koshin.example".parse()?);
        let administrator = Party {
            subject_id: "A-1".parse()?,
            language: Language::En,
            address: Some("administrator@koshin.example".parse()?),
            refused: false,
        };
        let organization = "C-1".parse()?;
        Ok(Self { policies: Policies::default(), sender, holder, address, administrator, organization })
    }
}

impl Answer for Rehearsal {
    type Question = Script;
    type Answer = View;

    fn answer(&mut self, script: Script) -> Result<View, Wrong> {
        let Script { id, not_before, not_after, policy, administrator, events } = script;
        let certificate = validity(not_before, not_after)?;
        let mut stage = Stage::new(self, certificate, administrator);
        let mut keys = serde_json::to_value(&policy).map_err(|error| Wrong::new("policy", error))?;
        let mut checked = self.policies.find(policy)?;
        for (number, Object(event)) in events.into_iter().enumerate() {
            let within = |wrong: Wrong| below(&format!("events[{number}]"), wrong);
            event.check().map_err(within)?;
            if let Some(at) = event.at {
                stage.now = at.0;
            }
            match event.r#do {
                Deed::Policy => {
                    let (key, change) = event.argument("set").map_err(within)?;
                    let changed = read(change).and_then(|change| self.change(&mut keys, change));
                    checked = changed.map_err(|wrong| within(below(key, wrong)))?;
                }
                Deed::Renewal => {
                    let (key, word) = event.argument("to").map_err(within)?;
                    match serde_json::from_str(word) {
                        Ok(RenewalWord::Installed) => stage.retire(CertificateStatus::Superseded),
                        Ok(word) => stage.schedule.progress(&self.holder, word.into()),
                        Err(error) => return Err(within(Wrong::new(key, in_one_line(&error)))),
                    }
                }
                Deed::Revoke => stage.retire(CertificateStatus::Revoked),
                Deed::NewCertificate => {
                    let successor = event.successor(&checked, stage.now).map_err(within)?;
                    stage.retire(CertificateStatus::Superseded);
                    stage.activate(successor);
                }
                run => {
                    let running = stage.run(&checked, run);
                    // The command is not async; the mailer needs the runtime's clock to watch over its leases.
                    task::block_in_place(|| Handle::current().block_on(running))
                        .map_err(|error| within(Wrong::new("do", error)))?;
                }
            }
        }
        Ok(View { id, mails: stage.mails(), others: administrator.map(|_| stage.others()) })
    }
}

impl Rehearsal {
    /// The policy with some keys changed.
    fn change(&mut self, keys: &mut Value, change: Map<String, Value>) -> Result<Policy, Wrong> {
        let mut changed = keys.clone();
        if let Some(keys) = changed.as_object_mut() {
            keys.extend(change);
        }
        let policy = self.policies.find(read(&changed.to_string())?).map_err(|Wrong { key, reason }| {
            let key = key.strip_prefix("policy.").unwrap_or(&key).to_owned();
            Wrong { key, reason }
        })?;
        *keys = changed;
        Ok(policy)
    }
}

/// The same, found in the value of a key.
fn below(key: &str, Wrong { key: inner, reason }: Wrong) -> Wrong {
    let key = if inner.is_empty() { key.to_owned() } else { format!("{key}.{inner}") };
    Wrong { key, reason }
}

impl Event {
    /// Refuses keys that mean nothing for what is done.
    fn check(&self) -> Result<(), Wrong> {
        let takes: &[&str] = match self.r#do {
            Deed::Policy => &["set", "to"],
            Deed::Renewal => &["to", "set"],
            Deed::NewCertificate => &["not_before", "not_after"],
            _ => &[],
        };
        let given = [
            ("set", self.set.is_some()),
            ("to", self.to.is_some()),
            ("not_before", self.not_before.is_some()),
            ("not_after", self.not_after.is_some()),
        ];
        match given.into_iter().find(|(key, given)| *given && !takes.contains(key)) {
            Some((key, _)) => Err(Wrong::new(key, "means nothing for what is done here")),
            None => Ok(()),
        }
    }

    /// The value of `set` or `to`, of which one has to be there, with its key.
    fn argument(&self, usual: &str) -> Result<(&'static str, &str), Wrong> {
        match (&self.set, &self.to) {
            (Some(value), None) => Ok(("set", value.get())),
            (None, Some(value)) => Ok(("to", value.get())),
            (None, None) => Err(Wrong::new(usual, "is missing")),
            (Some(_), Some(_)) => Err(Wrong::new("to", "set is there already")),
        }
    }

    fn successor(&self, policy: &Policy, now: UtcDateTime) -> Result<Validity, Wrong> {
        match (self.not_before, self.not_after) {
            (Some(not_before), Some(not_after)) => validity(not_before, not_after),
            (None, None) => {
                let (rule, backdate) = (ValidityRule::default(), PolicyConfig::default().backdate);
                let ever = PrimitiveDateTime::MAX.as_utc();
                validity_for(policy.zone(), rule, backdate, now, ever).map_err(|error| Wrong::new("at", error))
            }
            (Some(_), None) => Err(Wrong::new("not_after", "is missing")),
            (None, Some(_)) => Err(Wrong::new("not_before", "is missing")),
        }
    }
}

/// The certificates of one script, its mailers and its clock.
struct Stage {
    schedule: Arc<MemorySchedule>,
    server: Arc<Server>,
    mailers: [Mailer<Arc<MemorySchedule>, Arc<Server>>; 2],
    /// The certificate that is, or was last, in use.
    holder: InUse,
    /// How many certificates there were.
    count: i64,
    now: UtcDateTime,
    /// Whether there is anybody to tell beside the holder.
    told: Option<Told>,
    zone: Zone,
    /// Every mail that reached the server, with its instant.
    log: Vec<(UtcDateTime, Took)>,
}

impl Stage {
    fn new(rehearsal: &Rehearsal, validity: Validity, told: Option<Told>) -> Self {
        let holder = InUse {
            serial: serial(0),
            validity,
            subject_id: rehearsal.holder.clone(),
            language: Language::En,
            address: Some(rehearsal.address.clone()),
        };
        let (schedule, server) = (Arc::new(MemorySchedule::default()), Arc::new(Server::default()));
        let mailer = || Mailer::new(Arc::clone(&schedule), Arc::clone(&server), rehearsal.sender.clone());
        let mailers = [mailer(), mailer()];
        let now = validity.not_before();
        if let Some(told) = told {
            let Rehearsal { administrator, organization, .. } = rehearsal;
            let InUse { subject_id, language, address, .. } = holder.clone();
            schedule.found(organization);
            schedule.register(organization, Role::Administrator, administrator.clone());
            schedule.register(organization, Role::User, Party { subject_id, language, address, refused: false });
            if told == Told::Single {
                schedule.prefer(organization, Digests::OptedOut, now);
            }
        }
        let zone = rehearsal.sender.zone().clone();
        let mut stage = Self { schedule, server, mailers, holder, count: 0, now, told, zone, log: Vec::new() };
        stage.activate(validity);
        stage
    }

    fn activate(&mut self, validity: Validity) {
        self.count += 1;
        self.holder = InUse { serial: serial(self.count), validity, ..self.holder.clone() };
        self.schedule.activate(self.holder.clone());
    }

    fn retire(&mut self, status: CertificateStatus) {
        self.schedule.retire(&self.holder.serial, status);
    }

    async fn run(&mut self, policy: &Policy, how: Deed) -> anyhow::Result<()> {
        self.server.answer_as(how);
        let [first, second] = &self.mailers;
        let one = async |mailer: &Mailer<_, _>| -> anyhow::Result<()> {
            Planner::new(Arc::clone(&self.schedule), policy.clone()).run(self.now).await?;
            if self.told.is_some() {
                Steward::new(Arc::clone(&self.schedule), policy.clone(), self.zone.clone()).run(self.now).await?;
            }
            mailer.run(self.now).await?;
            Ok(())
        };
        match how {
            Deed::RunTwoAtOnce => {
                let (one, two) = tokio::join!(one(first), one(second));
                one.and(two)?;
            }
            Deed::RunCrashBeforeRecord => tokio::select! {
                ran = one(first) => ran?,
                () = self.server.crash.notified() => {}
            },
            _ => one(first).await?,
        }
        let now = self.now;
        self.log.extend(self.server.took().into_iter().map(|took| (now, took)));
        Ok(())
    }

    /// The notices of expiry: when, which threshold, and what came of it.
    fn mails(&self) -> Vec<(String, u16, &'static str)> {
        self.logged(Notice::threshold)
    }

    /// All others.
    fn others(&self) -> Vec<(String, &'static str, &'static str)> {
        self.logged(|kind| kind.threshold().is_none().then(|| kind.word()))
    }

    fn logged<T>(&self, tell: impl Fn(&Notice) -> Option<T>) -> Vec<(String, T, &'static str)> {
        let mut seen = HashSet::new();
        let entry = |(at, Took { id, taken }): &(UtcDateTime, Took)| {
            let told = tell(&self.schedule.outbox().mail(*id)?.kind)?;
            let word = match (taken, *taken && !seen.insert(*id)) {
                (false, _) => "undeliverable",
                (true, false) => "sent",
                (true, true) => "repeat",
            };
            Some((rfc3339(*at), told, word))
        };
        self.log.iter().filter_map(entry).collect()
    }
}

fn serial(number: i64) -> SerialNumber {
    SerialNumber::from_time_and_random(number, [0; 13])
}

/// A mail server that answers every mail of a run alike.
#[derive(Default)]
struct Server {
    state: Mutex<(Option<Deed>, Vec<Took>)>,
    /// Told when a mail was taken after which its mailer is to die.
    crash: Notify,
}

/// A mail that will not be tried again by itself.
struct Took {
    id: MailId,
    /// `false`: refused for ever.
    taken: bool,
}

impl Server {
    fn answer_as(&self, how: Deed) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).0 = Some(how);
    }

    fn took(&self) -> Vec<Took> {
        std::mem::take(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner).1)
    }

    /// Notes a mail that was taken or refused for ever.
    fn note(&self, message_id: &str, taken: bool) {
        let id = message_id.trim_start_matches('<').split('@').next().and_then(|id| id.parse().ok());
        let took = id.map(|id| Took { id, taken });
        self.state.lock().unwrap_or_else(PoisonError::into_inner).1.extend(took);
    }
}

#[async_trait]
impl Transport for Server {
    async fn send(&self, envelope: &Envelope, _: &[u8]) -> Outcome {
        // Another mailer gets its turn while this one waits for the answer.
        task::yield_now().await;
        let how = self.state.lock().unwrap_or_else(PoisonError::into_inner).0;
        match how {
            Some(Deed::RunRefusedForNow) => Outcome::Transient { reply: Reply::new(Some(450), "not now") },
            Some(Deed::RunRefusedForEver) => {
                self.note(&envelope.message_id, false);
                Outcome::Permanent { reply: Reply::new(Some(550), "never") }
            }
            Some(Deed::RunCrashBeforeRecord) => {
                self.note(&envelope.message_id, true);
                self.crash.notify_one();
                std::future::pending().await
            }
            _ => {
                self.note(&envelope.message_id, true);
                Outcome::Accepted
            }
        }
    }
}
