//! `koshin demo`: everything on this machine, with people whose certificates are about to expire.

mod mailbox;
mod people;
mod site;
mod talk;

use std::{net::Ipv4Addr, path::PathBuf, process::ExitCode, sync::Arc};

use anyhow::Context as _;
use clap::Args;
use koshin_edge::{Connections, Edge, GreetingVerifier, serve};
use koshin_expiry::ValidityRule;
use koshin_issuance::Gate;
use koshin_notify::{Bilingual, Mailbox, Sender, Zone};
use koshin_operator::{machine, post::Mailing, zone::NamedZone};
use koshin_ra::Settings;
use koshin_types::Language;
use koshin_web::screens;

use crate::{
    clock::{Clock, Confirms},
    config::{self, Holders},
    service::{Listeners, Parts, Publishing, Upkeep, bind, calendar},
};

/// Arguments of `koshin demo`.
#[derive(Debug, Args)]
pub(crate) struct DemoArguments {
    /// Where everything is kept; an existing folder is continued [default: a new temporary folder]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// The first of five ports on 127.0.0.1: portal, public host, activation, CA files, mailbox
    #[arg(long, value_name = "N", default_value_t = 8443, value_parser = clap::value_parser!(u16).range(1..=65_531))]
    port_base: u16,
    /// The language of the people and their mails: ja or en [default: from LANG, else ja]
    #[arg(long, value_name = "LANGUAGE")]
    language: Option<Language>,
    /// Have the certificates issued by a koshin-ca that holds the demo's issuing CA: FILE says how it is asked, as [ca.remote] of
    /// a configuration does. The fourth port is left to it
    #[arg(long, value_name = "FILE")]
    remote_ca: Option<PathBuf>,
    /// Whether programs obtain and renew certificates by EST (RFC 7030): off, or ticket, which is meant without a word
    #[arg(
        long,
        value_name = "HOLDERS",
        num_args = 0..=1,
        require_equals = true,
        default_value = "off",
        default_missing_value = "ticket",
        hide_possible_values = true
    )]
    est: Holders,
    /// Ask, then put the demo's CA and certificates into this user's NSS database (Chromium's)
    #[arg(long)]
    import_nss: bool,
    /// Take out of the NSS database what --import-nss put there, and end
    #[arg(long, conflicts_with = "import_nss", requires = "data")]
    remove_nss: bool,
    /// One line of JSON on standard output instead of words
    #[arg(long)]
    json: bool,
}

/// The five sockets of a demonstration, from the first port on.
struct Addresses {
    base: u16,
}

impl Addresses {
    const fn port(&self, offset: u16) -> u16 {
        self.base + offset
    }

    fn hosts(&self) -> screens::Hosts {
        screens::Hosts {
            portal: format!("https://localhost:{}", self.port(0)),
            public: format!("https://localhost:{}", self.port(1)),
            activate: format!("https://activate.localhost:{}", self.port(2)),
        }
    }

    fn publication(&self) -> String {
        // An address and not a name: HSTS of the portal's host name would turn the browser away from plain HTTP.
        format!("http://127.0.0.1:{}", self.port(3))
    }

    async fn listeners(&self) -> anyhow::Result<Listeners> {
        Ok(Listeners {
            portal: self.bind("the portal", 0).await?,
            public: self.bind("the public host", 1).await?,
            activate: self.bind("the activation host", 2).await?,
        })
    }

    async fn bind(&self, what: &str, offset: u16) -> anyhow::Result<tokio::net::TcpListener> {
        let listener = bind(what, (Ipv4Addr::LOCALHOST, self.port(offset)).into()).await;
        listener.context("choose other ports with --port-base")
    }
}

/// Runs until it is interrupted.
pub(crate) async fn run(arguments: DemoArguments) -> anyhow::Result<ExitCode> {
    if arguments.remove_nss {
        return talk::remove_nss(&arguments.data.unwrap_or_default());
    }
    let language = arguments.language.unwrap_or_else(talk::language_of_the_terminal);
    let (folder, temporary) = site::folder(arguments.data)?;
    let addresses = Addresses { base: arguments.port_base };
    let listeners = addresses.listeners().await?;
    let remote = arguments.remote_ca.as_deref().map(config::remote).transpose()?;
    let publication = match remote {
        None => Some(addresses.bind("the CA's files", 3).await?),
        Some(_) => None,
    };
    let mailbox_listener = addresses.bind("the mailbox", 4).await?;

    let zone = NamedZone::find("Asia/Tokyo")?;
    let site = site::open(&folder, &addresses, machine::now()).await?;
    let sender = sender(&zone)?;
    let people = people::settle(&site, &folder, &sender, &zone, language, machine::now()).await?;
    site::finished(&folder)?;
    let clock = Clock::open(&site.store, Confirms::Itself).await?;
    let mailbox = Mailbox::default();
    let token = people.mailbox_token.clone();
    let mailbox_url = format!("http://127.0.0.1:{}/{token}", addresses.port(4));
    let publishing = |listener| Publishing { ca: Arc::clone(&site.ca), listener, folder: folder.join("lists") };
    let parts = Parts {
        store: Arc::clone(&site.store),
        clock: clock.clone(),
        issuing: match remote {
            Some(authority) => site.issued_elsewhere(authority)?,
            None => Arc::clone(&site.ca).into(),
        },
        gate: Arc::new(Gate::new()),
        publishing: publication.map(publishing),
        verifier: Arc::new(GreetingVerifier::new(&[site.ca.certificate_der().into()])?),
        policy: site::policy(&zone, ValidityRule::OneYear)?,
        zone: zone.clone(),
        settings: Settings::default(),
        brand: brand(),
        contact: contact(),
        hosts: addresses.hosts(),
        est: arguments.est.into(),
        calendar: calendar(sender.clone()),
        mailing: Some(Mailing::new(sender, Arc::new(mailbox.clone()))),
        identity: site.identity,
        listeners,
        upkeep: Upkeep::default(),
    };
    let ready = talk::Ready {
        hosts: addresses.hosts(),
        mailbox: mailbox_url,
        ca_pem: folder.join(site::SERVER_CA),
        data: folder.clone(),
        people,
        temporary,
        language,
    };
    if arguments.import_nss {
        talk::import_nss(&ready)?;
    }
    let (stop, mut stopping) = tokio::sync::watch::channel(false);
    let edge = Edge { connections: Connections::default(), ..Edge::new(clock.edge()) };
    let router = mailbox::router(mailbox, token, addresses.port(4));
    let stopped = async move { drop(stopping.wait_for(|stop| *stop).await) };
    let mailbox = tokio::spawn(serve(mailbox_listener, None, router, edge, stopped));
    let interrupted = machine::interrupted()?;
    parts.serve(|| ready.say(arguments.json, clock.now()), interrupted).await?;
    stop.send_replace(true);
    mailbox.await?;
    Ok(ExitCode::SUCCESS)
}

const BANK_JA: &str = "こうしん信用金庫";
const BANK_EN: &str = "Koshin Shinkin Bank";
const PORTAL_JA: &str = "こうしんビジネスWeb";
const PORTAL_EN: &str = "Koshin Business Web";
const DESK_JA: &str = "こうしんビジネスWeb サポートデスク";
const DESK_EN: &str = "Koshin Business Web support desk";
const TELEPHONE: &str = "0120-000-000";

fn brand() -> screens::Brand {
    screens::Brand {
        operator: screens::Bilingual { ja: BANK_JA.into(), en: BANK_EN.into() },
        portal: screens::Bilingual { ja: PORTAL_JA.into(), en: PORTAL_EN.into() },
    }
}

fn contact() -> screens::Contact {
    screens::Contact {
        name: screens::Bilingual { ja: DESK_JA.into(), en: DESK_EN.into() },
        telephone: Some(TELEPHONE.into()),
        hours: Some(screens::Bilingual { ja: "平日 9:00〜17:00".into(), en: "weekdays 9:00-17:00 JST".into() }),
    }
}

fn sender(zone: &NamedZone) -> anyhow::Result<Sender> {
    let zone = zone.clone();
    let zone = Zone::from_fn(move |at| zone.info_at(at));
    Ok(Sender::new(
        "noreply@koshin.example".parse()?,
        Bilingual::new(BANK_JA, BANK_EN),
        Bilingual::new(PORTAL_JA, PORTAL_EN),
        Bilingual::new(format!("{DESK_JA} {TELEPHONE}"), format!("{DESK_EN}, {TELEPHONE}")),
        zone,
    )?)
}
