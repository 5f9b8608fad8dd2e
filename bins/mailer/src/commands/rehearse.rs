//! `koshin-mailer once --dry-run`: what would be done, by the same rules, on a database that is only read.

use std::{collections::HashSet, sync::Arc};

use async_trait::async_trait;
use koshin_expiry::Policy;
use koshin_notify::{
    Claimed, Disposition, Envelope, Fence, Mail, Mailer, Outcome, Planner, Reply, ScheduleError, Steward, Transport,
};
use koshin_operator::{
    instant::rfc3339,
    output::{Form, Row},
    post::Overview,
};
use koshin_sqlite::{DueMail, Store};
use serde::Serialize;
use time::UtcDateTime;

use crate::{
    clock::Clock,
    config::Checked,
    exit::{Fault, PROGRAM, Status},
};

/// Due mails that are read at once.
const PAGE: u32 = 500;

pub(crate) async fn run(checked: &Checked, json: bool) -> anyhow::Result<()> {
    let view = checked.view().await?;
    let now = Clock::begin(&view).await?.now()?;
    let mailer = Mailer::new(Arc::clone(&view), Nowhere, checked.sender()).with_settings(checked.mail.settings());
    let mut steps = Vec::new();
    let mut waiting = HashSet::new();
    let mut after: Option<DueMail> = None;
    loop {
        let page = view.due_mails(now, after.as_ref(), PAGE).await?;
        for due in &page {
            waiting.insert(due.id);
            let (mail, end) = match &due.found {
                Ok(claim) => (Some(claim), mailer.rehearse(claim, now).await?),
                Err(end) => (None, Some(end.clone())),
            };
            steps.push(Step::of(due, mail, end.as_ref()));
        }
        match page.into_iter().last() {
            Some(last) => after = Some(last),
            None => break,
        }
    }
    for mail in planned(&view, checked, now).await? {
        if !waiting.contains(&mail.id) {
            let claim = Claimed { mail, fence: Fence(0), attempts: 0, unanswered: 0 };
            let end = mailer.rehearse(&claim, now).await?;
            steps.push(Step::planned(&claim, end.as_ref()));
        }
    }
    view.shut_down().await;
    let count = |outcome: fn(&Step) -> bool| steps.iter().filter(|step| outcome(step)).count();
    let (plan, send) = (count(|step| step.planned), count(|step| matches!(step.outcome, "send" | "repeat")));
    let said =
        format!("{PROGRAM}: {plan} would be planned, {send} sent, {} not; nothing was written", steps.len() - send);
    Form::new(json).list(steps)?;
    eprintln!("{said}");
    Ok(())
}

async fn planned(view: &Arc<Store>, checked: &Checked, now: UtcDateTime) -> anyhow::Result<Vec<Mail>> {
    let policy = || Policy::clone(&checked.policy);
    match Planner::new(Arc::clone(view), policy()).rehearse(now).await {
        Err(ScheduleError::OtherPolicy) => {
            let reason = "the notices are planned by another policy than the file's; what sends on this database adopts it \
                          first, and until then it is not known what is due";
            Err(Fault::new(Status::State, reason).into())
        }
        mails => {
            let Overview { operator, rhythm } = checked.mail.overview();
            let steward = Steward::new(Arc::clone(view), policy(), checked.sender().zone().clone());
            let told = steward.with_operator(operator).with_rhythm(rhythm).rehearse(now).await?;
            Ok(mails?.into_iter().chain(told).collect())
        }
    }
}

/// Nothing is sent.
struct Nowhere;

#[async_trait]
impl Transport for Nowhere {
    async fn send(&self, _: &Envelope, _: &[u8]) -> Outcome {
        Outcome::Transient { reply: Reply::new(None, "a rehearsal") }
    }
}

/// What would be done about one mail. The JSON is a contract: members are only added.
#[derive(Debug, Serialize)]
struct Step {
    mail: String,
    kind: String,
    subject: String,
    /// The address, without what would tell it; empty where there is none to send to.
    to: String,
    language: &'static str,
    /// Whether it is not in the outbox yet.
    planned: bool,
    /// `send`, `repeat`, `postpone`, or the word for its end, such as `suppressed_renewed`.
    outcome: &'static str,
    /// When it would be sent instead.
    until: Option<String>,
}

impl Step {
    fn of(due: &DueMail, claim: Option<&Claimed>, end: Option<&Disposition>) -> Self {
        let (outcome, until) = outcome(claim, end);
        Self {
            mail: due.id.to_string(),
            kind: due.kind.clone(),
            subject: due.subject_id.to_string(),
            to: claim.map(|claim| claim.mail.to.masked()).unwrap_or_default(),
            language: claim.map(|claim| claim.mail.language.as_str()).unwrap_or_default(),
            planned: false,
            outcome,
            until,
        }
    }

    fn planned(claim: &Claimed, end: Option<&Disposition>) -> Self {
        let (outcome, until) = outcome(Some(claim), end);
        Self {
            mail: claim.mail.id.to_string(),
            kind: claim.mail.kind.word().to_owned(),
            subject: claim.mail.subject_id.to_string(),
            to: claim.mail.to.masked(),
            language: claim.mail.language.as_str(),
            planned: true,
            outcome,
            until,
        }
    }
}

fn outcome(claim: Option<&Claimed>, end: Option<&Disposition>) -> (&'static str, Option<String>) {
    match end {
        None if claim.is_some_and(|claim| claim.unanswered > 0) => ("repeat", None),
        None => ("send", None),
        Some(Disposition::Retry { at, .. }) => ("postpone", Some(rfc3339(*at))),
        Some(end) => (end.word(), None),
    }
}

impl Row for Step {
    const HEAD: &'static [&'static str] = &["OUTCOME", "NEW", "KIND", "SUBJECT", "TO", "MAIL"];

    fn cells(&self) -> Vec<String> {
        vec![
            self.outcome.to_owned(),
            if self.planned { "yes" } else { "no" }.to_owned(),
            self.kind.clone(),
            self.subject.clone(),
            self.to.clone(),
            self.mail.clone(),
        ]
    }
}
