//! The portal: what each host answers to each request.
//!
//! Three routers over one [`Portal`]: [`Portal::portal_router`] for the host with client certificates,
//! [`Portal::public_router`] for the one without, [`Portal::activation_router`] for the one that proves a new
//! certificate. All expect to be served by [`koshin_edge::serve`], which stamps each request with its instant and its
//! client certificate. The ledger is asked at every request; nothing is decided from a cookie alone.

mod activation;
mod agent;
mod calendar;
mod completion;
mod context;
mod doctor;
mod enrolment;
mod est;
mod layers;
mod renewal;
mod sign_in;
mod throttle;
mod ticket;
mod trouble;
mod view;

use std::{fmt, sync::Arc};

use axum::{
    Router,
    routing::{get, post},
};
use koshin_edge::Connections;
use koshin_ra::{Owed, Ra};
use tokio::sync::{Notify, Semaphore};

use self::throttle::Throttle;
pub use self::{
    calendar::{Calendar, Dates},
    completion::CompletionKey,
    est::HolderEst,
};
use crate::screens::{Brand, Contact, Host, Hosts, Texts, Zone};

/// What a portal is made of. The binary names every part.
pub struct Portal {
    /// The use cases.
    pub ra: Ra,
    /// The texts of the screens.
    pub texts: Texts,
    /// Whose portal it is.
    pub brand: Brand,
    /// Whom to ask.
    pub contact: Contact,
    /// Where the three hosts are.
    pub hosts: Hosts,
    /// The zone in which days and times are shown.
    pub zone: Box<dyn Zone>,
    /// The open connections of all hosts.
    pub connections: Connections,
    /// The key of completion tokens.
    pub completion: CompletionKey,
    /// Makes calendar files of certificates.
    pub calendar: Calendar,
    /// Told whenever a mail was planned.
    pub mail: Arc<Notify>,
    /// Whether programs may obtain and renew certificates for holders.
    pub est: HolderEst,
}

impl fmt::Debug for Portal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Portal").field("hosts", &self.hosts).finish_non_exhaustive()
    }
}

/// The portal as one of its hosts.
#[derive(Clone)]
pub(crate) struct Site {
    pub(crate) portal: Arc<Portal>,
    pub(crate) host: Host,
    /// How often strangers may ask this host for what costs something.
    pub(crate) throttle: Arc<Throttle>,
    /// How many more pages may listen to this host.
    pub(crate) listeners: Arc<Semaphore>,
}

impl Site {
    fn new(portal: Arc<Portal>, host: Host) -> Self {
        Self { portal, host, throttle: Arc::default(), listeners: Arc::new(Semaphore::new(agent::LISTENERS)) }
    }
}

impl Portal {
    /// The host with client certificates: login, notice, main screen, renewal.
    pub fn portal_router(self: Arc<Self>) -> Router {
        let router = Router::new()
            .route("/", get(sign_in::login_page))
            .route("/login", post(sign_in::login))
            .route("/logout", post(sign_in::logout))
            .route("/undelivered", get(sign_in::undelivered))
            .route("/notice", get(sign_in::notice))
            .route("/notice/later", post(sign_in::later))
            .route("/main", get(sign_in::main))
            .route("/certificate.ics", get(calendar::file))
            .route("/renewals", post(renewal::start))
            .merge(renewal_routes())
            .merge(agent::routes(&self.ra, Host::Portal))
            .merge(est::routes(self.est, Host::Portal));
        let router = match self.est {
            HolderEst::Off => router,
            HolderEst::Ticket => router.route("/ticket", get(ticket::page).post(ticket::make)),
        };
        self.finish(router, Host::Portal)
    }

    /// The host without client certificates: enrolment, and the status of a completed renewal.
    pub fn public_router(self: Arc<Self>) -> Router {
        let router = Router::new()
            .route("/", get(enrolment::home))
            .route("/enrol", get(enrolment::identify_page).post(enrolment::identify))
            .route("/enrol/code", get(enrolment::code_page).post(enrolment::code))
            .route("/logout", post(sign_in::logout))
            .merge(renewal_routes())
            .merge(agent::routes(&self.ra, Host::Public))
            .merge(est::routes(self.est, Host::Public));
        self.finish(router, Host::Public)
    }

    /// The host that says whether a new certificate works.
    pub fn activation_router(self: Arc<Self>) -> Router {
        let router = Router::new().route("/", get(activation::page)).route("/activate", post(activation::activate));
        self.finish(router, Host::Activate)
    }

    /// The answer of the edge itself, on one host, as a page in the language of the request.
    pub fn refusal(self: Arc<Self>, host: Host) -> koshin_edge::Refuse {
        let site = Site::new(self, host);
        Arc::new(move |status, parts| layers::refuse(&site, status, parts))
    }

    fn finish(self: Arc<Self>, router: Router<Site>, host: Host) -> Router {
        let site = Site::new(self, host);
        let router = router.route("/doctor", get(doctor::doctor)).route("/assets/{name}", get(layers::asset));
        layers::around(router, &site).with_state(site)
    }

    /// Does what a change owes outside of storage.
    pub fn settle(&self, owed: &Owed) {
        for fingerprint in &owed.close {
            self.connections.close(fingerprint);
        }
        if owed.mail {
            self.mail.notify_one();
        }
    }
}

/// The first octets in lower-case hexadecimal.
fn hex(octets: &[u8], count: usize) -> String {
    octets.iter().take(count).map(|octet| format!("{octet:02x}")).collect()
}

fn renewal_routes() -> Router<Site> {
    Router::new()
        .route("/renewals/{id}", get(renewal::preparing))
        .route("/renewals/{id}/start", get(renewal::start_page))
        .route("/renewals/{id}/request", post(renewal::request))
        .route("/renewals/{id}/certificate", get(renewal::certificate))
        .route("/renewals/{id}/declined", post(renewal::declined))
        .route("/renewals/{id}/delivered", post(renewal::delivered))
        .route("/renewals/{id}/complete", get(renewal::complete))
        .route("/renewals/{id}/status", get(completion::status))
        .route("/renewals/{id}/events", get(agent::events))
        .route("/renewals/{id}/start-again", get(renewal::start_again_page).post(renewal::start_again))
}
