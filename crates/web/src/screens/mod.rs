//! Everything a person sees, rendered purely: a frame and a view go in, a page comes out.
//!
//! One function per screen. Views hold typed data: serial numbers, validities, instants; the words, the dates and the
//! markup are made here. This module refuses to know HTTP, sessions, the registry and the clock.
//!
//! ```
//! use koshin_types::Language;
//! use koshin_web::screens::{self, Bilingual, Brand, Clocked, Contact, Frame, Host, Hosts, Login, Seen, Texts};
//!
//! let both = |ja: &str, en: &str| Bilingual { ja: ja.to_owned(), en: en.to_owned() };
//! let brand = Brand { operator: both("更新信用金庫", "Koshin Bank"), portal: both("法人ポータル", "Business portal") };
//! let contact = Contact { name: both("お問い合わせ窓口", "Help desk"), telephone: None, hours: None };
//! let host = |name: &str| format!("https://{name}.example");
//! let hosts = Hosts { portal: host("portal"), public: host("www"), activate: host("activate") };
//! let (texts, zone) = (Texts::load()?, Clocked::jst());
//! let frame = Frame {
//!     language: Language::En,
//!     texts: &texts,
//!     zone: &zone,
//!     hosts: &hosts,
//!     host: Host::Portal,
//!     brand: &brand,
//!     contact: &contact,
//!     path: "/",
//! };
//! let page = screens::login(&frame, &Login { seen: &Seen::None, refusal: None, id: "" })?;
//! assert!(page.contains("Your browser showed no certificate") && page.contains("https://www.example/enrol"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod activation;
mod agent;
mod complete;
mod doctor;
mod enrolment;
mod est;
mod frame;
mod main_screen;
mod markup;
mod moment;
mod notice;
mod problem;
mod renewal;
mod seen;
mod sign_in;
mod texts;
mod ticket;
mod undelivered;

pub use activation::{Activation, activation};
pub use agent::{AgentRefusal, AgentWay, OnlyAgent, Ways, agent, agent_refusal};
pub use complete::{Complete, CompleteStage, Term, complete};
pub use doctor::{Doctor, doctor};
pub use enrolment::{
    CodeRefusal, EnrolmentCode, EnrolmentIdentify, EnrolmentRefusal, enrolment_code, enrolment_home, enrolment_identify,
};
pub use est::{EstRefusal, est_refusal};
pub use frame::{Bilingual, Brand, Contact, Frame, Host, Hosts, Purpose};
pub use main_screen::{Main, RenewalOffer, main};
pub use moment::{Clocked, Zone};
pub use notice::{Insistence, Notice, notice};
pub use problem::{Problem, ProblemWords, problem, problem_words};
pub use renewal::{
    Check, Declined, DeclinedStep, Preparing, RenewalCheck, Stage, Start, StartAgain, declined, preparing, start,
    start_again,
};
pub use seen::{Door, Seen, SeenCertificate};
pub use sign_in::{Login, LoginRefusal, SignedOut, login, signed_out};
pub use texts::{TextError, Texts};
pub use ticket::{Ticket, ticket};
pub use undelivered::undelivered;

/// Why a screen cannot be shown. Each of these is a fault of this crate, and a test renders every screen.
#[derive(Debug, thiserror::Error)]
#[error("a screen cannot be rendered")]
pub struct RenderError(#[from] askama::Error);
