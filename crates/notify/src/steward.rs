//! The steward: what administrators, the operator and whoever may obtain a certificate are told.

use koshin_expiry::{Policy, RenewalProgress};
use koshin_types::{Language, Role, SubjectId, Validity};
use time::{Duration, UtcDateTime};

use crate::{
    Address, By, Coming, Conclusion, Digest, Digested, Gathering, Mail, Matter, Matters, Notice, OutboxError, Party,
    Place, Rhythm, Stage, Telling, Then, Wake, What, Zone, escalation_opens, planner::counting,
};

/// Tells what is told once: that a holder ignored every notice, that a permission to obtain a certificate ends, that an
/// address refuses mails; and sums up: the IDs of an organization for its administrators once a week, the day for the
/// operator. Any number of stewards may share one store, as long as their settings are the same.
///
/// Where no administrator can be reached, and where an administrator's own certificate or address is concerned, the
/// operator is told. Where there is no operator's address either, the matter is kept until somebody can be told.
#[derive(Debug)]
pub struct Steward<S> {
    store: S,
    policy: Policy,
    zone: Zone,
    rhythm: Rhythm,
    operator: Option<Operator>,
}

/// Whom the operator's mails go to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operator {
    /// The address.
    pub address: Address,
    /// The language of the mails.
    pub language: Language,
}

/// Matters, or organizations, that are read and decided at once.
const BATCH: usize = 100;
/// How long a matter is left alone that nobody can be told of, or whose holder has just begun.
const LATER: Duration = Duration::DAY;
/// How long a row is left alone that could not be read or stored.
const REST: Duration = Duration::MINUTE;
/// Whose mail the daily summary is: that of no ID.
const OPERATOR: &str = "operator";

impl<S: Matters> Steward<S> {
    /// Puts a steward together. Days are those of the zone.
    pub fn new(store: S, policy: Policy, zone: Zone) -> Self {
        Self { store, policy, zone, rhythm: Rhythm::default(), operator: None }
    }

    /// The same steward with digests on another day or at another hour.
    #[must_use]
    pub fn with_rhythm(mut self, rhythm: Rhythm) -> Self {
        self.rhythm = rhythm;
        self
    }

    /// The same steward with an operator to tell. Without one there are no daily summaries.
    #[must_use]
    pub fn with_operator(mut self, operator: Option<Operator>) -> Self {
        self.operator = operator;
        self
    }

    /// Owes everything that is due at `now`, and says when to run again. What a run owes is in the outbox when it returns,
    /// to be sent from `now` on.
    ///
    /// # Errors
    ///
    /// [`OutboxError::Unavailable`]. Nothing is lost, run again later.
    pub async fn run(&self, now: UtcDateTime) -> Result<Wake, OutboxError> {
        let coming = self.store.coming().await?;
        if coming.matter.is_some_and(|at| at <= now) {
            self.conclude(now).await?;
        }
        let (due, next_digest) = self.rhythm.around(now, &self.zone);
        if coming.digested.lacks(due) {
            self.gather(due, now).await?;
        }
        self.summarize(&coming, now).await?;
        let coming = self.store.coming().await?;
        let next_day = self.operator.as_ref().map(|_| self.day(now).1);
        let wakes = [coming.matter, Some(next_digest), next_day];
        Ok(match wakes.into_iter().flatten().min() {
            // What is still due was left out: it cannot be read, or somebody else is at it.
            Some(at) if at <= now => Wake::At(now.saturating_add(REST)),
            Some(at) => Wake::At(at),
            None => Wake::Idle,
        })
    }

    /// The mails that a run at `at` would owe, without storing anything, by what is known now.
    ///
    /// # Errors
    ///
    /// [`OutboxError::Unavailable`].
    pub async fn rehearse(&self, at: UtcDateTime) -> Result<Vec<Mail>, OutboxError> {
        let mut mails = Vec::new();
        let mut after = None;
        loop {
            let page = self.store.matters(at, after, BATCH).await?;
            after = page.more;
            let owed = page.rows.iter().flat_map(|matter| self.decide(matter, at).owed);
            mails.extend(owed.filter(|telling| telling.by == By::Itself).map(|telling| telling.mail));
            if after.is_none() {
                break;
            }
        }
        let coming = self.store.coming().await?;
        let (due, _) = self.rhythm.around(at, &self.zone);
        let mut after = None;
        while coming.digested.lacks(due) {
            let gatherings = self.store.gatherings(due, after.as_ref(), BATCH).await?;
            mails.extend(gatherings.iter().flat_map(|one| self.digest(one, due, at).owed).map(|telling| telling.mail));
            if gatherings.len() < BATCH {
                break;
            }
            after = gatherings.last().map(|one| one.organization.clone());
        }
        mails.extend(self.summary(&coming, at).await?.and_then(|(_, _, mail)| mail));
        Ok(mails)
    }

    async fn conclude(&self, now: UtcDateTime) -> Result<(), OutboxError> {
        let mut after: Option<Place> = None;
        loop {
            let page = self.store.matters(now, after, BATCH).await?;
            after = page.more;
            let conclusions: Vec<_> = page.rows.iter().map(|matter| self.decide(matter, now)).collect();
            let looked = conclusions.len();
            if looked > 0 {
                let owed: usize = conclusions.iter().map(|conclusion| conclusion.owed.len()).sum();
                let stored = self.store.conclude(conclusions, now).await?;
                tracing::info!(looked, stored, owed, "matters looked at");
            }
            if after.is_none() {
                return Ok(());
            }
        }
    }

    async fn gather(&self, due: UtcDateTime, now: UtcDateTime) -> Result<(), OutboxError> {
        let mut after = None;
        loop {
            let gatherings = self.store.gatherings(due, after.as_ref(), BATCH).await?;
            for gathering in &gatherings {
                let digested = self.digest(gathering, due, now);
                let owed = digested.owed.len();
                if self.store.digest(digested, due, now).await? && owed > 0 {
                    tracing::info!(organization = %gathering.organization, owed, "a digest is owed");
                }
            }
            if gatherings.len() < BATCH {
                return Ok(());
            }
            after = gatherings.last().map(|gathering| gathering.organization.clone());
        }
    }

    async fn summarize(&self, coming: &Coming, now: UtcDateTime) -> Result<(), OutboxError> {
        if let Some((from, until, mail)) = self.summary(coming, now).await? {
            self.store.summarize(from, until, mail, now).await?;
        }
        Ok(())
    }

    /// The summary that is due: since when, until when, and the mail. The first one only marks where to begin.
    async fn summary(
        &self,
        coming: &Coming,
        now: UtcDateTime,
    ) -> Result<Option<(Option<UtcDateTime>, UtcDateTime, Option<Mail>)>, OutboxError> {
        let Some(operator) = &self.operator else { return Ok(None) };
        let (until, _) = self.day(now);
        let Some(from) = coming.summarized else { return Ok(Some((None, until, None))) };
        // Compared as dates: where a clock is put back, one day begins at two instants.
        if self.date(from) >= self.date(until) {
            return Ok(None);
        }
        let summary = self.store.day(from, until).await?;
        let notice = Notice::OperatorSummary { from, until, summary };
        let mail = OPERATOR.parse::<SubjectId>().ok().map(|nobody| {
            let key = until.unix_timestamp().to_string();
            Mail::new(notice, &key, operator.address.clone(), operator.language, nobody)
        });
        Ok(Some((Some(from), until, mail)))
    }

    fn date(&self, at: UtcDateTime) -> i64 {
        let offset = i64::from(self.zone.at(at).0.whole_seconds());
        (at.unix_timestamp() + offset).div_euclid(86_400)
    }

    /// When the local date of an instant begins, and when the next one does.
    fn day(&self, now: UtcDateTime) -> (UtcDateTime, UtcDateTime) {
        let begins = |near: UtcDateTime| {
            let (begins, _) = self.zone.day(near);
            // By the offset of then, where that is another one than now.
            let moved = self.zone.at(near).0.whole_seconds() - self.zone.at(begins).0.whole_seconds();
            begins.saturating_add(Duration::seconds(i64::from(moved)))
        };
        let today = begins(now);
        (today, begins(today.saturating_add(Duration::hours(36))))
    }

    /// What is to be done about one matter at `now`.
    fn decide(&self, matter: &Matter, now: UtcDateTime) -> Conclusion {
        let place = matter.place;
        let then = |then| Conclusion { place, owed: Vec::new(), then };
        match &matter.what {
            What::Permission { until } if now >= *until => then(Then::Over),
            What::Permission { until } => remind(matter, *until, now),
            What::Address { at } => {
                let notice = Notice::AddressUndeliverable { at: *at };
                self.tell(matter, &notice, &at.unix_timestamp_nanos().to_string(), now)
            }
            What::Ignored { validity, .. } if now >= validity.end() => then(Then::Over),
            What::Ignored { serial, validity, notices, renewal } => match self.escalates(*validity, notices) {
                None => then(Then::Rest),
                Some(at) if now < at => then(Then::LookAt(at)),
                Some(_) if *renewal != RenewalProgress::None => then(Then::LookAt(now.saturating_add(LATER))),
                Some(_) => {
                    let notice = Notice::Escalation { validity: *validity };
                    self.tell(matter, &notice, &serial.to_string(), now)
                }
            },
        }
    }

    fn escalates(&self, validity: Validity, notices: &[(u16, Stage)]) -> Option<UtcDateTime> {
        escalation_opens(&self.policy, validity, &counting(notices))
    }

    /// Tells the administrators, and the operator where it is needed.
    fn tell(&self, matter: &Matter, notice: &Notice, key: &str, now: UtcDateTime) -> Conclusion {
        let parties = &matter.parties;
        let about = || parties.holder.subject_id.clone();
        let mut owed = Vec::new();
        for party in &parties.administrators {
            let Some(address) = party.address.clone() else { continue };
            let key = format!("{key} {}", party.subject_id);
            let mail = Mail::new(notice.clone(), &key, address, party.language, about());
            // A digest that cannot be expected to arrive replaces nothing.
            let by = if party.is_reachable() && parties.digests.replace(notice) { By::Digest } else { By::Itself };
            owed.push(Telling { mail, addressee: Some(party.subject_id.clone()), by });
        }
        let unheard = !parties.administrators.iter().any(Party::is_reachable);
        if let Some(operator) = self.operator.as_ref().filter(|_| unheard || parties.role == Role::Administrator) {
            let key = format!("{key} the operator");
            let mail = Mail::new(notice.clone(), &key, operator.address.clone(), operator.language, about());
            owed.push(Telling { mail, addressee: None, by: By::Itself });
        }
        let then = if owed.is_empty() { Then::LookAt(now.saturating_add(LATER)) } else { Then::Over };
        Conclusion { place: matter.place, owed, then }
    }

    fn digest(&self, gathering: &Gathering, due: UtcDateTime, now: UtcDateTime) -> Digested {
        let organization = gathering.organization.clone();
        // The first one only marks where to begin.
        if gathering.last.is_none() {
            return Digested { organization, owed: Vec::new(), unreachable: Vec::new() };
        }
        let digest = Digest::of(&gathering.members, &self.policy, now);
        let key = Rhythm::key(&organization, due);
        let (mut owed, mut unreachable) = (Vec::new(), Vec::new());
        for party in &gathering.administrators {
            match (&party.address, party.is_reachable(), &digest) {
                (Some(address), true, Some(digest)) => {
                    let notice = Notice::Digest { digest: digest.clone() };
                    let mail = Mail::new(notice, &key, address.clone(), party.language, party.subject_id.clone());
                    owed.push(Telling { mail, addressee: Some(party.subject_id.clone()), by: By::Itself });
                }
                (_, true, _) => {}
                (_, false, _) => unreachable.push(party.subject_id.clone()),
            }
        }
        Digested { organization, owed, unreachable }
    }
}

/// Reminds the holder of a permission, as soon as there is an address.
fn remind(matter: &Matter, until: UtcDateTime, now: UtcDateTime) -> Conclusion {
    let holder = &matter.parties.holder;
    let telling = holder.address.clone().map(|address| {
        let (notice, key) = (Notice::EnrolmentReminder { until }, until.unix_timestamp_nanos().to_string());
        let mail = Mail::new(notice, &key, address, holder.language, holder.subject_id.clone());
        Telling { mail, addressee: Some(holder.subject_id.clone()), by: By::Itself }
    });
    let then = if telling.is_some() { Then::Over } else { Then::LookAt(now.saturating_add(LATER)) };
    Conclusion { place: matter.place, owed: telling.into_iter().collect(), then }
}
