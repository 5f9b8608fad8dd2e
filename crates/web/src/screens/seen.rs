//! What the server saw of a client certificate, and the one next step.

use koshin_types::{ProtectionLevel, RenewalId, SerialNumber, SubjectId, Validity};
use time::UtcDateTime;

use super::{
    frame::Page,
    markup::{self, Markup},
};

/// A certificate whose key the browser has proven to hold.
#[derive(Debug, Clone)]
pub struct SeenCertificate {
    /// Whose it is. Shown masked before the login.
    pub subject: SubjectId,
    /// Its serial number.
    pub serial: SerialNumber,
    /// Its validity.
    pub validity: Validity,
    /// How its key is protected, as far as is known.
    pub protection: ProtectionLevel,
    /// Its subject's open renewal, whose key the browser may still keep.
    pub renewal: Option<RenewalId>,
}

/// Where the subject goes whose certificate can no longer log in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Door {
    /// To another certificate of its own, which it received and which waits for its activation.
    Waiting {
        /// Its serial number.
        serial: SerialNumber,
    },
    /// To another certificate of its own, which is in use.
    InUse {
        /// Its serial number.
        serial: SerialNumber,
    },
    /// To 電子証明書取得.
    Open,
    /// To 電子証明書取得, but not yet: the registered address was changed.
    OpensAt {
        /// When.
        until: UtcDateTime,
    },
    /// Only a reissue helps.
    Closed,
}

/// What the server saw in the handshake, judged by the registry.
#[derive(Debug, Clone)]
pub enum Seen {
    /// No certificate.
    None,
    /// The subject's certificate, in use.
    Active {
        /// The certificate.
        certificate: SeenCertificate,
        /// The serial number of a successor that waits for its activation.
        waiting: Option<SerialNumber>,
    },
    /// The validity has not begun.
    NotYetValid {
        /// The certificate.
        certificate: SeenCertificate,
    },
    /// The validity is over.
    Expired {
        /// The certificate.
        certificate: SeenCertificate,
        /// Local dates since then.
        days_ago: u32,
        /// Where to go.
        door: Door,
    },
    /// Issued, not yet activated.
    Pending {
        /// The certificate.
        certificate: SeenCertificate,
    },
    /// Replaced by an activated successor, which may have ended meanwhile.
    Superseded {
        /// The certificate.
        certificate: SeenCertificate,
        /// Where to go.
        door: Door,
    },
    /// Revoked.
    Revoked {
        /// The certificate.
        certificate: SeenCertificate,
        /// Since when.
        at: UtcDateTime,
        /// Where to go.
        door: Door,
    },
    /// Not issued by this installation's CA, or unknown to its ledger.
    Unknown,
}

impl Seen {
    /// The certificate, where it is one of ours.
    pub const fn certificate(&self) -> Option<&SeenCertificate> {
        match self {
            Self::None | Self::Unknown => None,
            Self::Active { certificate, .. }
            | Self::NotYetValid { certificate }
            | Self::Expired { certificate, .. }
            | Self::Pending { certificate }
            | Self::Superseded { certificate, .. }
            | Self::Revoked { certificate, .. } => Some(certificate),
        }
    }

    /// The key of the word for the certificate's state.
    pub(crate) const fn status_key(&self) -> &'static str {
        match self {
            Self::None => "status-none",
            Self::Active { .. } => "status-active",
            Self::NotYetValid { .. } => "status-future",
            Self::Expired { .. } => "status-expired",
            Self::Pending { .. } => "status-pending",
            Self::Superseded { .. } => "status-superseded",
            Self::Revoked { .. } => "status-revoked",
            Self::Unknown => "status-unknown",
        }
    }
}

/// How a banner looks and is announced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tone {
    Info,
    Ok,
    Warn,
    Stop,
}

impl Tone {
    /// The word in class names and icons.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Stop => "stop",
        }
    }

    /// The key of the word that says the tone to those who do not see it.
    pub(crate) const fn key(self) -> &'static str {
        match self {
            Self::Info => "kind-info",
            Self::Ok => "kind-ok",
            Self::Warn => "kind-warn",
            Self::Stop => "kind-stop",
        }
    }
}

/// A banner: what it is about, and where to go.
#[derive(Debug)]
pub(crate) struct Advice {
    pub(crate) tone: Tone,
    pub(crate) title: Markup,
    pub(crate) body: Markup,
    pub(crate) next: Option<Link>,
}

/// A link that looks like a button.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) href: String,
    pub(crate) text: Markup,
}

impl Advice {
    pub(crate) fn new(page: &Page<'_>, tone: Tone, title: &str, body: Markup) -> askama::Result<Self> {
        Ok(Self { tone, title: page.t(title)?, body, next: None })
    }

    pub(crate) fn leading_to(mut self, href: String, text: Markup) -> Self {
        self.next = Some(Link { href, text });
        self
    }

    /// Leads to 電子証明書取得, or to somebody who can reissue.
    fn through(self, page: &Page<'_>, door: Door) -> askama::Result<Self> {
        Ok(match door {
            Door::Open => self.leading_to(page.enrolment_url(), page.t("next-enrol")?),
            _ => self.leading_to("#help".to_owned(), page.t("next-contact")?),
        })
    }
}

/// What to say about the certificate, and the one next step. Whoever has another certificate needs neither a new one nor
/// a reissue, but a browser that shows the other one.
pub(crate) fn advice(page: &Page<'_>, seen: &Seen) -> askama::Result<Advice> {
    let serial = |serial: &SerialNumber| markup::serial(serial);
    Ok(match seen {
        Seen::Expired { door: Door::Waiting { serial: other }, .. }
        | Seen::Superseded { door: Door::Waiting { serial: other }, .. }
        | Seen::Revoked { door: Door::Waiting { serial: other }, .. } => {
            let body = page.t1("seen-waiting-dead-body", "serial", serial(other))?;
            Advice::new(page, Tone::Warn, "seen-waiting-title", body)?
        }
        Seen::Expired { door: Door::InUse { serial: other }, .. }
        | Seen::Superseded { door: Door::InUse { serial: other }, .. }
        | Seen::Revoked { door: Door::InUse { serial: other }, .. } => {
            let body = page.t1("seen-superseded-body", "serial", serial(other))?;
            Advice::new(page, Tone::Warn, "seen-superseded-title", body)?
        }
        Seen::Expired { door: Door::OpensAt { until }, .. }
        | Seen::Superseded { door: Door::OpensAt { until }, .. }
        | Seen::Revoked { door: Door::OpensAt { until }, .. } => {
            let title = match seen {
                Seen::Expired { .. } => "seen-expired-title",
                Seen::Superseded { .. } => "seen-superseded-title",
                _ => "seen-revoked-title",
            };
            let body = page.t1("seen-opens-later-body", "at", page.moment(until))?;
            Advice::new(page, Tone::Stop, title, body)?.leading_to("#help".to_owned(), page.t("next-contact")?)
        }
        Seen::None => Advice::new(page, Tone::Warn, "seen-none-title", page.t("seen-none-body")?)?
            .leading_to(page.enrolment_url(), page.t("next-enrol")?),
        Seen::Active { waiting: None, .. } => {
            Advice::new(page, Tone::Ok, "seen-active-title", page.t("seen-active-body")?)?
                .leading_to(page.login_url(), page.t("next-login")?)
        }
        Seen::Active { waiting: Some(waiting), .. } => {
            let body = page.t1("seen-waiting-body", "serial", serial(waiting))?;
            Advice::new(page, Tone::Warn, "seen-waiting-title", body)?
        }
        Seen::NotYetValid { certificate } => {
            let at = page.moment(certificate.validity.not_before());
            Advice::new(page, Tone::Warn, "seen-future-title", page.t1("seen-future-body", "at", at)?)?
        }
        Seen::Expired { certificate, days_ago, door } => expired(page, certificate, *days_ago, *door)?,
        Seen::Pending { certificate } => {
            let body = page.t1("seen-pending-body", "serial", serial(&certificate.serial))?;
            Advice::new(page, Tone::Info, "seen-pending-title", body)?
                .leading_to(page.activation_url(), page.t("next-activate")?)
        }
        Seen::Superseded { door, .. } => {
            let body = if *door == Door::Open { "seen-superseded-open-body" } else { "seen-superseded-closed-body" };
            Advice::new(page, Tone::Stop, "seen-superseded-title", page.t(body)?)?.through(page, *door)?
        }
        Seen::Revoked { at, door, .. } => {
            let body = if *door == Door::Open { "seen-revoked-body" } else { "seen-revoked-closed-body" };
            let body = page.t1(body, "at", page.moment(at))?;
            Advice::new(page, Tone::Stop, "seen-revoked-title", body)?.through(page, *door)?
        }
        Seen::Unknown => Advice::new(page, Tone::Warn, "seen-unknown-title", page.t("seen-unknown-body")?)?,
    })
}

fn expired(page: &Page<'_>, certificate: &SeenCertificate, days_ago: u32, door: Door) -> askama::Result<Advice> {
    let at = page.moment(certificate.validity.not_after());
    let body = match (door, days_ago) {
        (Door::Open, 0) => page.t1("seen-expired-today-body", "at", at)?,
        (Door::Open, days) => page.t2("seen-expired-body", "at", at, "days", days)?,
        _ => page.t1("seen-expired-closed-body", "at", at)?,
    };
    Advice::new(page, Tone::Stop, "seen-expired-title", body)?.through(page, door)
}
