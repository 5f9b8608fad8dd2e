//! What may be issued under a name.

use std::collections::BTreeSet;

use koshin_issuance::{KeyKind, Profile};
use koshin_types::Validity;
use time::{Duration, UtcDateTime};

use super::refused::IssueRefused;

/// Kinds of public keys, as a profile allows them. What each has to be like beside that is the gate's to say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum KeyClass {
    /// ECDSA on P-256.
    P256,
    /// ECDSA on P-384.
    P384,
    /// RSA of 2048 to 8192 bits.
    Rsa,
}

impl KeyClass {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::P256, Self::P384, Self::Rsa];

    /// The word for configuration files and messages.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::P256 => "p256",
            Self::P384 => "p384",
            Self::Rsa => "rsa",
        }
    }

    /// The class of a key; `None` for a kind that this crate does not know yet.
    pub const fn of(kind: KeyKind) -> Option<Self> {
        match kind {
            KeyKind::P256 => Some(Self::P256),
            KeyKind::P384 => Some(Self::P384),
            KeyKind::Rsa { .. } => Some(Self::Rsa),
            _ => None,
        }
    }
}

/// A profile of `koshin-issuance`, and the limits of what an RA may ask for under it.
#[derive(Debug, Clone)]
pub struct IssuingProfile {
    /// What stands in the certificates.
    pub profile: Profile,
    /// The longest validity, both ends included: one from 00:00:00 to 23:59:59 takes 24 hours.
    pub max_validity: Duration,
    /// How far notBefore may lie before the instant of the request.
    pub max_backdate: Duration,
    /// The kinds of keys.
    pub keys: BTreeSet<KeyClass>,
}

impl IssuingProfile {
    /// 398 days of validity, an hour of backdate, every kind of key.
    ///
    /// ```
    /// use koshin_endpoints::ca::{IssuingProfile, KeyClass};
    /// use koshin_issuance::{Profile, ProfileConfig};
    ///
    /// let profile = IssuingProfile::new(Profile::new(ProfileConfig::default())?);
    /// assert_eq!((profile.max_validity.whole_days(), profile.max_backdate.whole_minutes()), (398, 60));
    /// assert!(KeyClass::ALL.iter().all(|class| profile.keys.contains(class)));
    /// # Ok::<(), koshin_issuance::ProfileError>(())
    /// ```
    pub fn new(profile: Profile) -> Self {
        Self {
            profile,
            max_validity: Duration::days(398),
            // More than RAs take: a request is on its way for a while, and its validity is in whole seconds.
            max_backdate: Duration::hours(1),
            keys: KeyClass::ALL.into(),
        }
    }

    /// Whether a certificate of this validity may be asked for at `now`.
    pub(super) fn check_validity(&self, validity: Validity, now: UtcDateTime) -> Result<(), IssueRefused> {
        let asked = validity.end() - validity.not_before();
        if asked > self.max_validity {
            return Err(IssueRefused::ValidityTooLong { asked, limit: self.max_validity });
        }
        let not_before = validity.not_before();
        if not_before > now {
            return Err(IssueRefused::NotBeforeAhead { not_before, now });
        }
        if now - not_before > self.max_backdate {
            return Err(IssueRefused::Backdated { not_before, now, limit: self.max_backdate });
        }
        Ok(())
    }

    pub(super) fn check_key(&self, kind: KeyKind) -> Result<(), IssueRefused> {
        let allowed = KeyClass::of(kind).is_some_and(|class| self.keys.contains(&class));
        if allowed { Ok(()) } else { Err(IssueRefused::KeyKind { kind, allowed: self.keys.clone() }) }
    }
}
