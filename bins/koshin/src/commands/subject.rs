//! `koshin subject`.

use std::{
    io::{BufRead as _, IsTerminal as _},
    path::PathBuf,
};

use clap::{Args, Subcommand};
use koshin_notify::Address;
use koshin_operator::{instant::rfc3339, output::Form, secret};
use koshin_ra::{ChangeError, Directory as _, Owed, Passwords, Registry as _, Subject};
use koshin_renewal::Refused;
use koshin_types::{Language, OrganizationId, RevocationReason, Role, SubjectId};
use serde::Serialize;
use serde_json::json;

use super::{
    desk::{Desk, Place},
    view::{CertificateView, SubjectView},
};
use crate::exit::{Fault, Status};

/// The people: administrator and user IDs.
#[derive(Debug, Subcommand)]
pub(crate) enum SubjectCommand {
    /// Add an ID to an organization
    Add(AddArguments),
    /// List IDs and how they stand
    List(ListArguments),
    /// Show one ID with its certificates
    Show(OneArguments),
    /// Set the password: typed, or from --password-file
    SetPassword(PasswordArguments),
    /// Set or remove the mail address; the old and the new one are told
    SetAddress(AddressArguments),
    /// Permit an ID to obtain a certificate, whatever it holds, or take the permission back
    Permit(PermitArguments),
    /// Let an ID that lost its certificate obtain a new one
    Reissue(ReissueArguments),
    /// Revoke every certificate of an ID, for ever, and take back a permission to obtain one
    Revoke(RevokeArguments),
}

#[derive(Debug, Args)]
pub(crate) struct Common {
    /// One line of JSON for each
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: Place,
}

#[derive(Debug, Args)]
pub(crate) struct AddArguments {
    /// The ID, as typed at login: 1 to 64 of A-Z a-z 0-9 . _ -, beginning with a letter or digit
    id: SubjectId,
    /// Its organization
    #[arg(long, value_name = "ID")]
    organization: OrganizationId,
    /// administrator or user
    #[arg(long, default_value = "user")]
    role: Role,
    /// The holder's name, for screens and mails
    #[arg(long, default_value = "")]
    name: String,
    /// The language of screens and mails: ja or en
    #[arg(long, default_value = "ja")]
    language: Language,
    /// The mail address that one-time codes and notices go to
    #[arg(long, value_name = "MAIL")]
    address: Option<Address>,
    /// Take the password from the first line of a file, or of standard input (-) [default: none yet]
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, Args)]
pub(crate) struct ListArguments {
    /// Only those of one organization
    #[arg(long, value_name = "ID")]
    organization: Option<OrganizationId>,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, Args)]
pub(crate) struct OneArguments {
    /// The ID
    id: SubjectId,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, Args)]
pub(crate) struct PasswordArguments {
    /// The ID
    id: SubjectId,
    /// Take the password from the first line of a file, or of standard input (-) [default: ask]
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, Args)]
pub(crate) struct AddressArguments {
    /// The ID
    id: SubjectId,
    /// The new address
    #[arg(required_unless_present = "none")]
    address: Option<Address>,
    /// Remove the address
    #[arg(long, conflicts_with = "address")]
    none: bool,
    /// Let the new address open an enrolment at once, without the usual wait
    #[arg(long)]
    at_once: bool,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, Args)]
pub(crate) struct PermitArguments {
    /// The ID
    id: SubjectId,
    /// Take an open permission back. An enrolment that has begun goes on; `koshin subject revoke` ends it too
    #[arg(long)]
    withdraw: bool,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, Args)]
pub(crate) struct ReissueArguments {
    /// The ID
    id: SubjectId,
    /// Revoke what the ID holds at once, for this reason [default: it works until the new one does]
    #[arg(long, value_name = "REASON")]
    revoke: Option<RevocationReason>,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, Args)]
pub(crate) struct RevokeArguments {
    /// The ID
    id: SubjectId,
    /// unspecified, keyCompromise, affiliationChanged, superseded, cessationOfOperation or privilegeWithdrawn
    #[arg(long, default_value = "unspecified")]
    reason: RevocationReason,
    /// Do not ask; needed where there is no terminal to answer on
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    common: Common,
}

pub(crate) async fn run(command: SubjectCommand) -> anyhow::Result<()> {
    match command {
        SubjectCommand::Add(arguments) => add(arguments).await,
        SubjectCommand::List(ListArguments { organization, common }) => {
            let desk = common.place.open().await?;
            desk.knows(organization.as_ref()).await?;
            let files = desk.store.subjects(organization.as_ref(), None).await?;
            Form::new(common.json).list(files.iter().map(|file| SubjectView::new(file, &desk.policy, desk.now)))
        }
        SubjectCommand::Show(OneArguments { id, common }) => {
            let desk = common.place.open().await?;
            show(&desk, &id, common.json).await
        }
        SubjectCommand::SetPassword(PasswordArguments { id, password_file, common }) => {
            let desk = common.place.open().await?;
            existing(&desk, &id).await?;
            let password = secret::new_password(password_file.as_deref())?;
            desk.administration()?.set_password(&id, &password, &desk.actor, desk.now).await?;
            done(common.json, &id, "password_set")
        }
        SubjectCommand::SetAddress(AddressArguments { id, address, at_once, common, .. }) => {
            let desk = common.place.open().await?;
            desk.administration()?.set_address(&id, address, at_once, &desk.actor, desk.now).await?;
            done(common.json, &id, "address_set")
        }
        SubjectCommand::Permit(PermitArguments { id, withdraw: false, common }) => {
            let desk = common.place.open().await?;
            permit(&desk, &id, 0, common.json).await
        }
        SubjectCommand::Permit(PermitArguments { id, withdraw: true, common }) => {
            let desk = common.place.open().await?;
            if !desk.administration()?.withdraw_permission(&id, &desk.actor, desk.now).await? {
                return Err(Fault::new(Status::State, format!("{id} has no open permission")).into());
            }
            done(common.json, &id, "permission_withdrawn")
        }
        SubjectCommand::Reissue(arguments) => reissue(arguments).await,
        SubjectCommand::Revoke(arguments) => revoke(arguments).await,
    }
}

async fn add(arguments: AddArguments) -> anyhow::Result<()> {
    let AddArguments { id, organization, role, name, language, address, password_file, common } = arguments;
    let password = password_file.map(|file| secret::new_password(Some(&file))).transpose()?;
    if let Some(password) = &password {
        // Before the ID is added, so that a refused password leaves nothing behind.
        let chars = password.chars().count();
        if chars < Passwords::MIN_CHARS || password.len() > Passwords::MAX_OCTETS {
            return Err(koshin_ra::AdministerError::from(koshin_ra::PasswordError::Length { chars }).into());
        }
    }
    if name.chars().any(char::is_control) || name.chars().count() > 64 {
        return Err(Fault::usage("a name has at most 64 characters and no control characters").into());
    }
    let desk = common.place.open().await?;
    let subject = Subject {
        id: id.clone(),
        organization,
        role,
        name,
        language,
        address,
        address_rests_until: None,
        password_hash: None,
        last_sign_in: None,
    };
    let administration = desk.administration()?;
    administration.add_subject(&subject, &desk.actor, desk.now).await?;
    if let Some(password) = password {
        administration.set_password(&id, &password, &desk.actor, desk.now).await?;
    }
    show(&desk, &id, common.json).await
}

/// A subject with everything it holds.
#[derive(Debug, Serialize)]
struct Whole {
    #[serde(flatten)]
    subject: SubjectView,
    certificates: Vec<CertificateView>,
}

async fn show(desk: &Desk, id: &SubjectId, json: bool) -> anyhow::Result<()> {
    let file = existing(desk, id).await?;
    let held = file.holding.certificates.iter();
    let certificates = held.map(|held| CertificateView::new(&file, held, &desk.policy, desk.now)).collect();
    Form::new(json).one(&Whole { subject: SubjectView::new(&file, &desk.policy, desk.now), certificates })
}

async fn existing(desk: &Desk, id: &SubjectId) -> anyhow::Result<std::sync::Arc<koshin_ra::SubjectFile>> {
    let file = desk.store.subject(id).await?;
    file.ok_or_else(|| Fault::not_found(format!("there is no subject {id}")).into())
}

fn done(json: bool, id: &SubjectId, what: &str) -> anyhow::Result<()> {
    Form::new(json).one(&json!({"id": id.as_str(), "done": what}))
}

async fn permit(desk: &Desk, id: &SubjectId, revoked: usize, json: bool) -> anyhow::Result<()> {
    let until = desk.administration()?.permit(id, &desk.actor, desk.now).await?;
    let subject = &existing(desk, id).await?.subject;
    let lacks = [(subject.password_hash.is_none(), "password"), (subject.address.is_none(), "address")];
    for (_, what) in lacks.into_iter().filter(|(lacks, _)| *lacks) {
        eprintln!("koshin: {id} cannot enrol yet: it has no {what}; `koshin subject set-{what} {id}`");
    }
    Form::new(json).one(&json!({"id": id.as_str(), "permitted_until": rfc3339(until), "revoked": revoked}))
}

async fn reissue(arguments: ReissueArguments) -> anyhow::Result<()> {
    let ReissueArguments { id, revoke: reason, common } = arguments;
    let desk = common.place.open().await?;
    if existing(&desk, &id).await?.holding.certificates.is_empty() {
        let reason = format!("{id} never had a certificate; use `koshin subject permit`");
        return Err(Fault::new(Status::State, reason).into());
    }
    let revoked = match reason {
        Some(reason) => match desk.administration()?.revoke(&id, reason, &desk.actor, desk.now).await {
            Ok(Owed { close, .. }) => close.len(),
            // Revoked before, perhaps by a command that was interrupted here.
            Err(ChangeError::Refused(Refused::NoCertificate)) => 0,
            Err(error) => return Err(error.into()),
        },
        None => 0,
    };
    permit(&desk, &id, revoked, common.json).await
}

async fn revoke(arguments: RevokeArguments) -> anyhow::Result<()> {
    let RevokeArguments { id, reason, yes, common } = arguments;
    let asks = !yes;
    if asks && !std::io::stdin().is_terminal() {
        return Err(Fault::usage("there is no terminal to confirm on; say --yes to revoke without being asked").into());
    }
    let desk = common.place.open().await?;
    let grant = existing(&desk, &id).await?.holding.grant.filter(|grant| desk.now < grant.until);
    if asks && !confirmed(&id, grant.is_some())? {
        return Err(Fault::new(Status::NotPermitted, "nothing was revoked").into());
    }
    // A running service learns of it from the database and ends the connections.
    let owed = desk.administration()?.revoke(&id, reason, &desk.actor, desk.now).await?;
    Form::new(common.json).one(&json!({
        "id": id.as_str(),
        "revoked": owed.close.len(),
        "reason": reason.as_str(),
        "permission_withdrawn": grant.is_some(),
    }))
}

fn confirmed(id: &SubjectId, permitted: bool) -> anyhow::Result<bool> {
    let permission = if permitted { ", and its open permission to obtain one is taken back" } else { "" };
    eprint!("Every certificate of {id} will be revoked, for ever{permission}. Type the ID to confirm: ");
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer)?;
    Ok(answer.trim() == id.as_str())
}
