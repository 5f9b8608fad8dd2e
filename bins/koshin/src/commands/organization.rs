//! `koshin organization`.

use clap::{Args, Subcommand};
use koshin_issuance::MAX_ORGANIZATION;
use koshin_operator::output::{Form, Row};
use koshin_ra::{Directory as _, Organization};
use koshin_types::OrganizationId;
use serde::Serialize;

use super::desk::Place;
use crate::exit::Fault;

/// The organizations whose people log in.
#[derive(Debug, Subcommand)]
pub(crate) enum OrganizationCommand {
    /// Add an organization: one contract
    Add(AddArguments),
    /// List all organizations
    List(ListArguments),
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
}

impl From<&Organization> for OrganizationView {
    fn from(organization: &Organization) -> Self {
        Self { id: organization.id.to_string(), name: organization.name.clone() }
    }
}

impl Row for OrganizationView {
    const HEAD: &'static [&'static str] = &["ID", "NAME"];

    fn cells(&self) -> Vec<String> {
        vec![self.id.clone(), self.name.clone()]
    }
}

pub(crate) async fn run(command: OrganizationCommand) -> anyhow::Result<()> {
    match command {
        OrganizationCommand::Add(arguments) => add(arguments).await,
        OrganizationCommand::List(arguments) => {
            let desk = arguments.place.open().await?;
            let organizations = desk.store.organizations().await?;
            Form::new(arguments.json).list(organizations.iter().map(OrganizationView::from))
        }
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
    Form::new(arguments.json).one(&OrganizationView::from(&organization))
}
