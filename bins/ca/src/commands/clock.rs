//! `koshin-ca clock`.

use clap::{Args, Subcommand};
use koshin_expiry::ClockDoubt;
use koshin_operator::{instant::rfc3339, machine::now, output::Form};
use serde_json::json;

use super::desk::Place;
use crate::exit::{Fault, Status};

/// Whether the machine's clock is believed.
#[derive(Debug, Subcommand)]
pub(crate) enum ClockCommand {
    /// Say how the clock stands against what was recorded; status 4 while it is not believed
    Status(Arguments),
    /// Say that the clock is right, so that the CA signs again; recorded in the audit log
    Confirm(Arguments),
}

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// One line of JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: Place,
}

pub(crate) async fn run(command: ClockCommand) -> anyhow::Result<()> {
    let (Arguments { json, place }, confirm) = match command {
        ClockCommand::Status(arguments) => (arguments, false),
        ClockCommand::Confirm(arguments) => (arguments, true),
    };
    let desk = place.open().await?;
    let recorded = desk.clock.recorded().map(rfc3339);
    let confirmed = if confirm { Some(desk.clock.confirm(&desk.by).await?) } else { None };
    let trusted = desk.clock.trusted();
    let state = match trusted {
        Ok(()) => "trusted",
        Err(ClockDoubt::Behind { .. }) => "behind",
        Err(ClockDoubt::Ahead { .. }) => "ahead",
    };
    desk.close().await;
    Form::new(json).one(&json!({"state": state, "now": rfc3339(now()), "recorded": recorded, "doubted": confirmed}))?;
    trusted.map_err(|doubt| {
        Fault::new(Status::State, format!("{doubt}; if it is right, `koshin-ca clock confirm`")).into()
    })
}
