//! `koshin organization`.

use clap::{Args, Subcommand, ValueEnum};
use koshin_issuance::MAX_ORGANIZATION;
use koshin_notify::Digests;
use koshin_operator::output::{Form, Row};
use koshin_ra::{AdministerError, AuditNote, Directory as _, Organization, Preferences as _};
use koshin_types::OrganizationId;
use serde::Serialize;
use serde_json::json;

use super::desk::Place;
use crate::exit::Fault;

/// The organizations whose people log in.
#[derive(Debug, Subcommand)]
pub(crate) enum OrganizationCommand {
    /// Add an organization: one contract
    Add(AddArguments),
    /// List all organizations
    List(ListArguments),
    /// Say whether its administrators get one list of all its IDs each week, or a mail about each
    ///
    /// Who opts out gets by itself what was left to the next list. Holders are told in either case.
    #[command(after_help = DIGESTS)]
    Digests(DigestsArguments),
}

const DIGESTS: &str = "\
Example:
koshin organization digests C-1001 off";

#[derive(Debug, Args)]
pub(crate) struct DigestsArguments {
    /// The organization
    id: OrganizationId,
    /// The weekly list, which an organization has from the beginning
    digests: Wanted,
    /// One line of JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: Place,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Wanted {
    /// One list a week
    On,
    /// A mail about each
    Off,
}

#[derive(Debug, Args)]
pub(crate) struct AddArguments {
    /// Its identifier: 1 to 64 of A-Z a-z 0-9 . _ -, beginning with a letter or digit
    id: OrganizationId,
    /// Its name, as it will stand in certificates
    name: String,
    /// One line of JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: Place,
}

#[derive(Debug, Args)]
pub(crate) struct ListArguments {
    /// One line of JSON for each
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: Place,
}

#[derive(Debug, Serialize)]
struct OrganizationView {
    id: String,
    name: String,
    /// `on` or `off`.
    digests: &'static str,
}

impl OrganizationView {
    fn new(organization: &Organization, digests: Digests) -> Self {
        let digests = match digests {
            Digests::Wanted => "on",
            Digests::OptedOut => "off",
        };
        Self { id: organization.id.to_string(), name: organization.name.clone(), digests }
    }
}

impl Row for OrganizationView {
    const HEAD: &'static [&'static str] = &["ID", "NAME", "DIGESTS"];

    fn cells(&self) -> Vec<String> {
        vec![self.id.clone(), self.name.clone(), self.digests.to_owned()]
    }
}

pub(crate) async fn run(command: OrganizationCommand) -> anyhow::Result<()> {
    match command {
        OrganizationCommand::Add(arguments) => add(arguments).await,
        OrganizationCommand::List(arguments) => {
            let desk = arguments.place.open().await?;
            let organizations = desk.store.organizations().await?;
            let mut views = Vec::with_capacity(organizations.len());
            for organization in &organizations {
                let digests = desk.store.digests(&organization.id).await?.unwrap_or_default();
                views.push(OrganizationView::new(organization, digests));
            }
            Form::new(arguments.json).list(views)
        }
        OrganizationCommand::Digests(arguments) => digests(arguments).await,
    }
}

async fn add(arguments: AddArguments) -> anyhow::Result<()> {
    // What cannot stand in a certificate would be found at the first issue, too late.
    koshin_issuance::SubjectName::new(&arguments.name, arguments.id.as_str()).map_err(|error| {
        Fault::usage(format!("the name of 1 to {MAX_ORGANIZATION} characters cannot stand in a certificate: {error}"))
    })?;
    let desk = arguments.place.open().await?;
    let organization = Organization { id: arguments.id, name: arguments.name };
    desk.administration()?.add_organization(&organization, &desk.actor, desk.now).await?;
    Form::new(arguments.json).one(&OrganizationView::new(&organization, Digests::default()))
}

async fn digests(DigestsArguments { id, digests, json, place }: DigestsArguments) -> anyhow::Result<()> {
    let desk = place.open().await?;
    let (digests, word) = match digests {
        Wanted::On => (Digests::Wanted, "on"),
        Wanted::Off => (Digests::OptedOut, "off"),
    };
    let details = [("organization", id.to_string()), ("digests", word.to_owned())].into();
    let note = AuditNote { actor: desk.actor.clone(), subject: None, word: "digests_set", details };
    desk.store.prefer_digests(&id, digests, note, desk.now).await.map_err(AdministerError::from)?;
    Form::new(json).one(&json!({"id": id.to_string(), "digests": word}))
}
