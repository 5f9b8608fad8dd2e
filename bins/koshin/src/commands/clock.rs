//! `koshin clock`.

use clap::{Args, Subcommand};
use koshin_expiry::ClockDoubt;
use koshin_operator::{instant::rfc3339, machine::now, output::Form};
use koshin_ra::Chronicle as _;
use serde_json::json;

use super::desk::Place;
use crate::exit::{Fault, Status};

/// Whether the machine's clock is believed.
#[derive(Debug, Subcommand)]
pub(crate) enum ClockCommand {
    /// Say how the clock stands against what was recorded; status 4 while it is not believed
    Status(Arguments),
    /// Say that the clock is right, so that what was stopped goes on; recorded in the audit log
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
    let before = desk.store.recorded().await?;
    let confirmed = confirm && desk.clock.confirm(desk.actor.clone()).await?;
    let trusted = desk.clock.trusted();
    let state = match trusted {
        Ok(()) => "trusted",
        Err(ClockDoubt::Behind { .. }) => "behind",
        Err(ClockDoubt::Ahead { .. }) => "ahead",
    };
    let (now, recorded) = (rfc3339(now()), before.largest.map(rfc3339));
    Form::new(json).one(&if confirm {
        json!({"state": state, "now": now, "recorded": recorded, "confirmed": confirmed})
    } else {
        json!({"state": state, "now": now, "recorded": recorded})
    })?;
    trusted
        .map_err(|doubt| Fault::new(Status::State, format!("{doubt}; if it is right, `koshin clock confirm`")).into())
}
