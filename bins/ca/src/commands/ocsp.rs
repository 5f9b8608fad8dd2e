//! `koshin-ca ocsp`.

use clap::{Args, Subcommand};
use koshin_endpoints::StatusSource as _;
use koshin_issuance::OcspStatus;
use koshin_operator::{
    instant::{self, rfc3339},
    output::Form,
};
use koshin_sqlite::LedgerStore;
use koshin_types::SerialNumber;
use serde_json::{Value, json};
use time::UtcDateTime;

use super::{desk::Place, revoke};
use crate::exit::{Fault, Status};

/// The OCSP responder.
#[derive(Debug, Subcommand)]
pub(crate) enum OcspCommand {
    /// Say until when the responder's newest certificate holds; status 4 when it has ended
    Show(OcspArguments),
    /// Say what the responder answers for a certificate now
    Check(CheckArguments),
}

#[derive(Debug, Args)]
pub(crate) struct OcspArguments {
    /// One line of JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: Place,
}

#[derive(Debug, Args)]
pub(crate) struct CheckArguments {
    /// The serial number, in hexadecimal
    #[arg(value_parser = revoke::serial)]
    serial: SerialNumber,
    #[command(flatten)]
    arguments: OcspArguments,
}

pub(crate) async fn run(command: OcspCommand) -> anyhow::Result<()> {
    match command {
        OcspCommand::Show(OcspArguments { json, place }) => {
            let desk = place.open().await?;
            let (now, responder) = (desk.clock.now(), responder(&desk.store).await?);
            desk.close().await;
            let ends = responder.as_ref().map(|responder| responder.not_after);
            Form::new(json).one(&json!({
                "serial": responder.as_ref().map(|responder| &responder.serial),
                "made_at": responder.as_ref().map(|responder| rfc3339(responder.made_at)),
                "not_after": ends.map(rfc3339),
            }))?;
            match ends {
                Some(end) if end >= now => Ok(()),
                Some(_) => Err(Fault::new(Status::State, "the responder's certificate has ended").into()),
                None => Err(Fault::new(Status::State, "no responder's certificate was ever made").into()),
            }
        }
        OcspCommand::Check(CheckArguments { serial, arguments: OcspArguments { json, place } }) => {
            let desk = place.open().await?;
            let status = desk.store.status(&serial).await;
            desk.close().await;
            let answer = match status? {
                OcspStatus::Good => json!({"serial": serial.to_string(), "status": "good"}),
                OcspStatus::Revoked { at, reason } => json!({
                    "serial": serial.to_string(), "status": "revoked",
                    "revoked_at": rfc3339(at), "reason": reason.as_str(),
                }),
                OcspStatus::Unknown => json!({"serial": serial.to_string(), "status": "unknown"}),
            };
            Form::new(json).one(&answer)
        }
    }
}

/// The responder's newest certificate, as the audit log has it: recorded before it was signed.
pub(super) struct Responder {
    serial: String,
    made_at: UtcDateTime,
    pub(super) not_after: UtcDateTime,
}

pub(super) async fn responder(store: &LedgerStore) -> anyhow::Result<Option<Responder>> {
    let Some(note) = store.newest_note("ocsp_responder_intended").await? else { return Ok(None) };
    let details: Value = serde_json::from_str(&note.body)?;
    let text = |name: &str| details.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let not_after = instant::parse(&text("not_after")).map_err(anyhow::Error::msg)?;
    Ok(Some(Responder { serial: text("serial"), made_at: note.at, not_after }))
}
