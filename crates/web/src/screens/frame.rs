//! What every screen is given, and what every template asks.

use koshin_types::{Language, ProtectionLevel, SerialNumber, SubjectId};

use super::{
    markup::{self, Markup},
    moment::{self, Instant, Zone},
    texts::{Slot, Texts, ToSlot},
};
use crate::assets;

/// What surrounds a screen: the same for every screen of one request.
#[derive(Clone, Copy)]
pub struct Frame<'a> {
    /// The language of the page.
    pub language: Language,
    /// The texts.
    pub texts: &'a Texts,
    /// The zone in which days and times are shown.
    pub zone: &'a dyn Zone,
    /// Where the three hosts are.
    pub hosts: &'a Hosts,
    /// Which of them shows this page.
    pub host: Host,
    /// Whose portal it is.
    pub brand: &'a Brand,
    /// Whom to ask.
    pub contact: &'a Contact,
    /// The path of a GET that shows this page, or the page to return to, without a query: for the language switch.
    pub path: &'a str,
}

/// The hosts of one installation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Host {
    /// Login with certificate and password.
    Portal,
    /// Reachable without a certificate: enrolment.
    Public,
    /// Proves that a new certificate works.
    Activate,
}

/// The base URLs of the three hosts, without a slash at the end: `https://portal.example:8443`.
#[derive(Debug, Clone)]
pub struct Hosts {
    /// Login with certificate and password.
    pub portal: String,
    /// Reachable without a certificate: enrolment.
    pub public: String,
    /// Proves that a new certificate works.
    pub activate: String,
}

/// A text in every language.
#[derive(Debug, Clone)]
pub struct Bilingual {
    /// Japanese.
    pub ja: String,
    /// English.
    pub en: String,
}

impl Bilingual {
    /// The text in one language.
    pub fn get(&self, language: Language) -> &str {
        match language {
            Language::Ja => &self.ja,
            Language::En => &self.en,
        }
    }
}

/// Whose portal it is.
#[derive(Debug, Clone)]
pub struct Brand {
    /// The operator's name, for example a bank's.
    pub operator: Bilingual,
    /// The portal's name.
    pub portal: Bilingual,
}

/// Whom to ask: stands on every page, in the same place (WCAG 2.2, 3.2.6).
#[derive(Debug, Clone)]
pub struct Contact {
    /// The name of the desk.
    pub name: Bilingual,
    /// Its telephone number, as people write it.
    pub telephone: Option<String>,
    /// When it answers.
    pub hours: Option<Bilingual>,
}

/// The two ways to a certificate. Each has its own words on the same screens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// A valid certificate is replaced.
    Renewal,
    /// There is no valid certificate.
    Enrolment,
}

/// A screen's frame with what belongs to the screen itself. Every template has one, named `page`.
pub(crate) struct Page<'a> {
    frame: &'a Frame<'a>,
    /// What stands in the window's title and, mostly, in the heading.
    title: Markup,
    /// The screen shows that something went wrong.
    pub(crate) failed: bool,
    /// Somebody is signed in and may sign out.
    pub(crate) session: bool,
    /// Where in the flow the screen stands: 1 to 5.
    pub(crate) step: Option<(Purpose, u32)>,
    /// The script, by its name among the assets.
    pub(crate) script: Option<&'static str>,
}

impl<'a> Page<'a> {
    pub(crate) fn new(frame: &'a Frame<'a>, title: &str) -> askama::Result<Self> {
        let title = say(frame, title, &[])?;
        Ok(Self { frame, title, failed: false, session: false, step: None, script: None })
    }

    pub(crate) fn with_title(frame: &'a Frame<'a>, title: Markup) -> Self {
        Self { frame, title, failed: false, session: false, step: None, script: None }
    }

    pub(crate) fn title(&self) -> &Markup {
        &self.title
    }

    pub(crate) fn replace_title(&mut self, title: &Markup) {
        self.title = title.clone();
    }

    pub(crate) fn language(&self) -> &'static str {
        self.frame.language.as_str()
    }

    pub(crate) fn operator(&self) -> &str {
        self.frame.brand.operator.get(self.frame.language)
    }

    pub(crate) fn portal(&self) -> &str {
        self.frame.brand.portal.get(self.frame.language)
    }

    pub(crate) fn path(&self) -> &str {
        self.frame.path
    }

    pub(crate) fn contact(&self) -> &str {
        self.frame.contact.name.get(self.frame.language)
    }

    pub(crate) fn telephone(&self) -> Option<&str> {
        self.frame.contact.telephone.as_deref()
    }

    pub(crate) fn hours(&self) -> Option<&str> {
        self.frame.contact.hours.as_ref().map(|hours| hours.get(self.frame.language))
    }

    /// Where 電子証明書取得 begins: on this host where it is the public one, else there.
    pub(crate) fn enrolment_url(&self) -> String {
        match self.frame.host {
            Host::Public => "/enrol".to_owned(),
            Host::Portal | Host::Activate => format!("{}/enrol", self.frame.hosts.public),
        }
    }

    /// Where people log in.
    pub(crate) fn login_url(&self) -> String {
        match self.frame.host {
            Host::Portal => "/".to_owned(),
            Host::Public | Host::Activate => format!("{}/", self.frame.hosts.portal),
        }
    }

    /// Where the server says what it sees of a certificate. The public host never asks for one.
    pub(crate) fn doctor_url(&self) -> String {
        match self.frame.host {
            Host::Portal | Host::Activate => "/doctor".to_owned(),
            Host::Public => format!("{}/doctor", self.frame.hosts.portal),
        }
    }

    /// Where a new certificate is tried.
    pub(crate) fn activation_url(&self) -> String {
        format!("{}/", self.frame.hosts.activate)
    }

    /// The URL of an asset of this crate.
    #[expect(clippy::unused_self, reason = "templates reach everything through their page")]
    pub(crate) fn asset(&self, name: &str) -> askama::Result<String> {
        assets::find(name)
            .map(assets::Asset::url)
            .ok_or_else(|| askama::Error::Custom(format!("no asset is named {name}").into()))
    }

    /// A text without gaps.
    pub(crate) fn t(&self, key: &str) -> askama::Result<Markup> {
        say(self.frame, key, &[])
    }

    /// A text with one gap.
    pub(crate) fn t1(&self, key: &str, name: &str, slot: impl ToSlot) -> askama::Result<Markup> {
        say(self.frame, key, &[(name, slot.to_slot())])
    }

    /// A text with two gaps.
    pub(crate) fn t2(
        &self,
        key: &str,
        first: &str,
        one: impl ToSlot,
        second: &str,
        two: impl ToSlot,
    ) -> askama::Result<Markup> {
        say(self.frame, key, &[(first, one.to_slot()), (second, two.to_slot())])
    }

    /// Day and time of an instant.
    pub(crate) fn moment(&self, instant: impl Instant) -> Markup {
        moment::moment(self.frame.language, self.frame.zone, instant.instant())
    }

    /// The day of an instant.
    pub(crate) fn date(&self, instant: impl Instant) -> Markup {
        moment::date(self.frame.language, self.frame.zone, instant.instant())
    }

    /// The words for a protection level.
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "templates pass references")]
    pub(crate) fn protection(&self, level: &ProtectionLevel) -> askama::Result<Markup> {
        self.t(match level {
            ProtectionLevel::File => "protection-file",
            ProtectionLevel::Os => "protection-os",
            ProtectionLevel::Hardware => "protection-hardware",
        })
    }

    #[expect(clippy::unused_self, reason = "templates reach everything through their page")]
    pub(crate) fn serial(&self, serial: &SerialNumber) -> Markup {
        markup::serial(serial)
    }

    #[expect(clippy::unused_self, reason = "templates reach everything through their page")]
    pub(crate) fn masked_serial(&self, serial: &SerialNumber) -> Markup {
        markup::masked_serial(serial)
    }

    #[expect(clippy::unused_self, reason = "templates reach everything through their page")]
    pub(crate) fn masked_id(&self, id: &SubjectId) -> String {
        markup::masked_id(id)
    }

    /// A word for a subject, under which this browser keeps the keys of its renewals.
    #[expect(clippy::unused_self, reason = "templates reach everything through their page")]
    pub(crate) fn owner(&self, id: &SubjectId) -> String {
        markup::owner(id)
    }

    /// The five steps of the flow, each with its text and where it stands to the present one.
    pub(crate) fn steps(&self) -> Vec<(&'static str, Place)> {
        let Some((purpose, here)) = self.step else { return Vec::new() };
        let keys = match purpose {
            Purpose::Renewal => ["step-notice", "step-preparing", "step-start", "step-complete", "step-activate"],
            Purpose::Enrolment => ["step-identify", "step-preparing", "step-obtain", "step-complete", "step-activate"],
        };
        (1..).zip(keys).map(|(number, key): (u32, _)| (key, Place::of(number.cmp(&here)))).collect()
    }
}

/// Where a step stands to the present one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    Done,
    Here,
    Ahead,
}

impl Place {
    const fn of(order: std::cmp::Ordering) -> Self {
        match order {
            std::cmp::Ordering::Less => Self::Done,
            std::cmp::Ordering::Equal => Self::Here,
            std::cmp::Ordering::Greater => Self::Ahead,
        }
    }

    pub(crate) fn is_here(self) -> bool {
        self == Self::Here
    }

    pub(crate) fn is_done(self) -> bool {
        self == Self::Done
    }
}

/// One text in the frame's language.
pub(crate) fn say(frame: &Frame<'_>, key: &str, slots: &[(&str, Slot)]) -> askama::Result<Markup> {
    frame.texts.say(frame.language, key, slots).map_err(|error| askama::Error::Custom(Box::new(error)))
}
