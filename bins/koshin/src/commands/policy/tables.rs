//! The objects of the lines, with the words of the expiry policy's specification.

use std::collections::HashMap;

use koshin_expiry::{Mode, Policy, PolicyConfig, PolicyError, RenewalProgress, ValidityRule};
use koshin_operator::zone::NamedZone;
use koshin_types::{CertificateStatus, Validity};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use time::UtcDateTime;

use super::lines::{At, Wrong, Zones};

/// The zone of a policy that names none.
pub(super) const ZONE: &str = "Asia/Tokyo";

/// A policy. Every key may be left out.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct PolicyObject {
    #[serde(deserialize_with = "mode", serialize_with = "mode_word")]
    pub(super) mode: Mode,
    pub(super) tz: String,
    pub(super) notice_days: u16,
    pub(super) mail_days: Vec<u16>,
    /// `null` for no end.
    pub(super) reacquire_days: Option<u32>,
    renew_after_expiry_days: u32,
}

impl Default for PolicyObject {
    fn default() -> Self {
        let PolicyConfig { mode, notice_days, mail_days, enrolment_days, .. } = PolicyConfig::default();
        Self {
            mode,
            tz: ZONE.into(),
            notice_days,
            mail_days,
            reacquire_days: enrolment_days,
            renew_after_expiry_days: 0,
        }
    }
}

impl PolicyObject {
    pub(super) fn policy(&self, zone: std::sync::Arc<NamedZone>) -> Result<Policy, Wrong> {
        if self.renew_after_expiry_days != 0 {
            return Err(Wrong::new("policy.renew_after_expiry_days", "only 0 is possible yet"));
        }
        let config = PolicyConfig {
            mode: self.mode,
            notice_days: self.notice_days,
            mail_days: self.mail_days.clone(),
            enrolment_days: self.reacquire_days,
            // The certificate comes with its validity; no rule limits the thresholds here.
            validity: ValidityRule::Days(u32::MAX),
            ..PolicyConfig::default()
        };
        Policy::new(config, zone).map_err(|error: PolicyError| {
            let reason = error.to_string();
            let prefix = format!("{}: ", error.key());
            Wrong::new(format!("policy.{}", error.key()), reason.strip_prefix(&prefix).unwrap_or(&reason))
        })
    }
}

/// Policies that were checked: a batch has few of them.
#[derive(Debug, Default)]
pub(super) struct Policies {
    zones: Zones,
    checked: HashMap<PolicyObject, Policy>,
}

/// More different policies than this are a study of policies; what was kept of them is dropped.
const KEPT: usize = 4096;

impl Policies {
    pub(super) fn find(&mut self, object: PolicyObject) -> Result<Policy, Wrong> {
        if let Some(policy) = self.checked.get(&object) {
            return Ok(policy.clone());
        }
        let zone = self.zones.find(&object.tz).map_err(|error| Wrong::new("policy.tz", format!("{error:#}")))?;
        let policy = object.policy(zone)?;
        if self.checked.len() >= KEPT {
            self.checked.clear();
        }
        self.checked.insert(object, policy.clone());
        Ok(policy)
    }
}

/// What is known of a certificate. Every key may be left out.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct StateObject {
    /// Thresholds sent or closed.
    pub(super) sent: Vec<u16>,
    pub(super) status: StatusWord,
    pub(super) renewal: RenewalWord,
    pub(super) grant: bool,
}

/// The status of a certificate that was in use.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(super) enum StatusWord {
    #[default]
    Active,
    Superseded,
    Revoked,
}

impl From<StatusWord> for CertificateStatus {
    fn from(word: StatusWord) -> Self {
        match word {
            StatusWord::Active => Self::Active,
            StatusWord::Superseded => Self::Superseded,
            StatusWord::Revoked => Self::Revoked,
        }
    }
}

/// How far a renewal has come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(super) enum RenewalWord {
    #[default]
    None,
    Started,
    Issued,
    Installed,
}

impl From<RenewalWord> for RenewalProgress {
    fn from(word: RenewalWord) -> Self {
        match word {
            RenewalWord::None => Self::None,
            RenewalWord::Started => Self::Started,
            RenewalWord::Issued => Self::Issued,
            RenewalWord::Installed => Self::Activated,
        }
    }
}

/// A validity in whole seconds, or which of the two instants is wrong.
pub(super) fn validity(not_before: At, not_after: At) -> Result<Validity, Wrong> {
    let fraction = |at: UtcDateTime| at.nanosecond() != 0;
    let key = if fraction(not_before.0) { "not_before" } else { "not_after" };
    Validity::new(not_before.0, not_after.0).map_err(|error| Wrong::new(key, error))
}

fn mode<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Mode, D::Error> {
    String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's shape")]
fn mode_word<S: Serializer>(mode: &Mode, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(mode)
}
