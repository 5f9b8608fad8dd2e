//! `koshin policy eval`.

use koshin_expiry::{Decision, Phase, Standing};
use koshin_operator::instant::rfc3339;
use serde::{Deserialize, Serialize};

use super::{
    lines::{Answer, At, Id, Wrong, object},
    tables::{Policies, PolicyObject, StateObject, validity},
};

/// One certificate at one instant.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Question {
    id: Id,
    not_before: At,
    not_after: At,
    now: At,
    #[serde(default, deserialize_with = "object")]
    policy: PolicyObject,
    #[serde(default, deserialize_with = "object")]
    state: StateObject,
}

/// What holds for it.
#[derive(Debug, Serialize)]
#[expect(clippy::struct_excessive_bools, reason = "independent answers to different questions, not a state")]
pub(super) struct View {
    /// None for the one certificate of a command line.
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<Id>,
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
    pub(super) fn new(id: Option<Id>, decision: Decision) -> Self {
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

#[derive(Debug, Default)]
pub(super) struct Evaluator {
    policies: Policies,
}

impl Answer for Evaluator {
    type Question = Question;
    type Answer = View;

    fn answer(&mut self, question: Question) -> Result<View, Wrong> {
        let Question { id, not_before, not_after, now, policy, state } = question;
        let validity = validity(not_before, not_after)?;
        let policy = self.policies.find(policy)?;
        let standing = Standing {
            validity,
            status: state.status.into(),
            successor: state.renewal.into(),
            grant: state.grant,
            closed: &state.sent,
        };
        Ok(View::new(Some(id), policy.decide(&standing, now.0)))
    }
}
