//! `koshin policy eval`.

use std::collections::HashMap;

use koshin_expiry::{Decision, Phase, Policy, Standing};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    lines::{Answer, At, Wrong, Zones},
    tables::{PolicyObject, StateObject, validity},
};
use crate::instant::rfc3339;

/// One certificate at one instant.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Question {
    id: Value,
    not_before: At,
    not_after: At,
    now: At,
    #[serde(default)]
    policy: PolicyObject,
    #[serde(default)]
    state: StateObject,
}

/// What holds for it.
#[derive(Debug, Serialize)]
#[expect(clippy::struct_excessive_bools, reason = "independent answers to different questions, not a state")]
pub(super) struct View {
    id: Value,
    phase: &'static str,
    login: bool,
    notice: bool,
    renewal: bool,
    reacquire: bool,
    mails_due: Vec<u16>,
    mails_closed: Vec<u16>,
    days_left: Option<u32>,
    window_opens: String,
    ends: String,
    next_change: Option<String>,
}

impl View {
    pub(super) fn new(id: Value, decision: Decision) -> Self {
        Self {
            id,
            phase: match decision.phase {
                Phase::NotYetValid => "not_yet_valid",
                Phase::Valid => "valid",
                Phase::Expired => "expired",
            },
            login: decision.login,
            notice: decision.notice,
            renewal: decision.renewal,
            reacquire: decision.enrolment,
            mails_due: decision.mail_due.into_iter().collect(),
            mails_closed: decision.mails_closed,
            days_left: decision.days_left,
            window_opens: rfc3339(decision.window_opens),
            ends: rfc3339(decision.ends),
            next_change: decision.next_change.map(rfc3339),
        }
    }
}

/// Policies that were checked: a batch has few of them.
#[derive(Debug, Default)]
pub(super) struct Evaluator {
    zones: Zones,
    policies: HashMap<PolicyObject, Policy>,
}

/// More different policies than this are a study of policies; what was kept of them is dropped.
const KEPT: usize = 4096;

impl Answer for Evaluator {
    type Question = Question;
    type Answer = View;

    fn answer(&mut self, question: Question) -> Result<View, Wrong> {
        let Question { id, not_before, not_after, now, policy, state } = question;
        let validity = validity(not_before, not_after)?;
        let policy = self.policy(policy)?;
        let standing = Standing {
            validity,
            status: state.status.into(),
            successor: state.renewal.into(),
            grant: state.grant,
            closed: &state.sent,
        };
        Ok(View::new(id, policy.decide(&standing, now.0)))
    }
}

impl Evaluator {
    fn policy(&mut self, object: PolicyObject) -> Result<Policy, Wrong> {
        if let Some(policy) = self.policies.get(&object) {
            return Ok(policy.clone());
        }
        let zone = self.zones.find(&object.tz).map_err(|error| Wrong::new("policy.tz", format!("{error:#}")))?;
        let policy = object.policy(zone)?;
        if self.policies.len() >= KEPT {
            self.policies.clear();
        }
        self.policies.insert(object, policy.clone());
        Ok(policy)
    }
}
