//! `koshin policy validity`.

use core::time::Duration;
use koshin_operator::instant::rfc3339;

use koshin_expiry::{PolicyConfig, ValidityRule, validity_for};
use koshin_types::Validity;
use serde::{Deserialize, Serialize};
use time::PrimitiveDateTime;

use super::{
    lines::{Answer, At, Id, Wrong, Zones},
    tables::ZONE,
};

/// One issue.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Question {
    id: Id,
    issue: At,
    #[serde(default)]
    tz: Option<String>,
    #[serde(default)]
    rule: Option<String>,
    #[serde(default)]
    backdate_s: Option<u32>,
    /// No bound when it is missing.
    #[serde(default)]
    ca_not_after: Option<At>,
}

/// The validity, or why there is none.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(super) enum View {
    Given { id: Id, not_before: String, not_after: String, seconds_inclusive: i64 },
    Refused { id: Id, refuse: String },
}

#[derive(Debug, Default)]
pub(super) struct Calculator {
    zones: Zones,
}

impl Answer for Calculator {
    type Question = Question;
    type Answer = View;

    fn answer(&mut self, question: Question) -> Result<View, Wrong> {
        let Question { id, issue, tz, rule, backdate_s, ca_not_after } = question;
        let zone = self.zones.find(tz.as_deref().unwrap_or(ZONE));
        let zone = zone.map_err(|error| Wrong::new("tz", format!("{error:#}")))?;
        let rule = rule.map_or(Ok(ValidityRule::default()), |rule| rule.parse());
        let rule = rule.map_err(|error| Wrong::new("rule", error))?;
        let backdate =
            backdate_s.map_or(PolicyConfig::default().backdate, |seconds| Duration::from_secs(seconds.into()));
        let ca_not_after = ca_not_after.map_or(PrimitiveDateTime::MAX.as_utc(), |at| at.0);
        Ok(match validity_for(&*zone, rule, backdate, issue.0, ca_not_after) {
            Ok(validity) => View::Given {
                id,
                not_before: rfc3339(validity.not_before()),
                not_after: rfc3339(validity.not_after()),
                seconds_inclusive: seconds_inclusive(validity),
            },
            Err(error) => View::Refused { id, refuse: error.to_string() },
        })
    }
}

/// Both ends count (RFC 5280, 4.1.2.5).
fn seconds_inclusive(validity: Validity) -> i64 {
    validity.not_after().unix_timestamp() - validity.not_before().unix_timestamp() + 1
}
