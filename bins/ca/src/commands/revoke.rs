//! `koshin-ca revoke`.

use clap::Args;
use koshin_endpoints::ca::{Ledger, Revocation, RevokeError, Standing};
use koshin_operator::{
    instant::{self, rfc3339},
    machine,
    output::Form,
};
use koshin_types::{RevocationReason, SerialNumber};
use serde_json::json;
use time::UtcDateTime;

use super::desk::Place;
use crate::exit::Fault;

#[derive(Debug, Args)]
pub(crate) struct RevokeArguments {
    /// The serial number, in hexadecimal
    #[arg(value_parser = serial)]
    serial: SerialNumber,
    /// Why, as it will stand in the revocation list: keyCompromise, affiliationChanged, superseded, cessationOfOperation,
    /// privilegeWithdrawn, or unspecified
    #[arg(long, value_name = "REASON", value_parser = reason)]
    reason: RevocationReason,
    /// Since when the key may have been in other hands, such as 2026-12-22T14:59:59Z
    #[arg(long, value_name = "INSTANT", value_parser = instant::parse)]
    invalidity_date: Option<UtcDateTime>,
    /// One line of JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: Place,
}

/// A revocation is final, and goes on whatever is thought of the clock.
pub(crate) async fn run(arguments: RevokeArguments) -> anyhow::Result<()> {
    let RevokeArguments { serial, reason, invalidity_date, json, place } = arguments;
    let desk = place.open().await?;
    let Some(status) = Ledger::status(&desk.store, &serial).await? else { return Err(unknown(&serial)) };
    let now = desk.clock.now();
    // Of what the clock says and what was recorded before, the earlier one: a date in the future would keep the certificate
    // off the lists until then.
    let at = machine::now().min(now).max(status.validity.not_before());
    let invalidity_date = invalidity_date.map(UtcDateTime::truncate_to_second);
    let revocation = Revocation { at, reason, invalidity_date, by: desk.by.clone() };
    let standing = match desk.store.revoke(&serial, &revocation, now).await {
        Ok(standing) => standing,
        Err(RevokeError::Unknown { serial }) => return Err(unknown(&serial)),
        Err(RevokeError::Ledger(error)) => return Err(error.into()),
        Err(error) => return Err(error.into()),
    };
    let counts = standing.revocation().cloned().unwrap_or_else(|| revocation.clone());
    let state = if matches!(standing, Standing::Abandoned(_)) { "abandoned" } else { "revoked" };
    let changed = counts == revocation;
    Form::new(json).one(&json!({
        "serial": serial.to_string(),
        "state": state,
        "revoked_at": rfc3339(counts.at),
        "reason": counts.reason.as_str(),
        "invalidity_date": counts.invalidity_date.map(rfc3339),
        "by": counts.by,
        "changed": changed,
    }))?;
    if changed {
        eprintln!(
            "koshin-ca: a running `koshin-ca serve` publishes it at once; where none runs, `koshin-ca crl publish`"
        );
    } else {
        eprintln!("koshin-ca: it was revoked before; a revocation is never changed");
    }
    desk.close().await;
    Ok(())
}

fn unknown(serial: &SerialNumber) -> anyhow::Error {
    Fault::not_found(format!("the serial number {serial} was never recorded here")).into()
}

pub(super) fn serial(text: &str) -> Result<SerialNumber, String> {
    text.replace(':', "").parse().map_err(|error: koshin_types::SerialError| error.to_string())
}

fn reason(text: &str) -> Result<RevocationReason, String> {
    let plain = |text: &str| text.replace(['-', '_'], "").to_ascii_lowercase();
    let found = RevocationReason::ALL.into_iter().find(|reason| plain(reason.as_str()) == plain(text));
    found.ok_or_else(|| {
        let all: Vec<_> = RevocationReason::ALL.iter().map(|reason| reason.as_str()).collect();
        format!("{text:?} is none of {}", all.join(", "))
    })
}
