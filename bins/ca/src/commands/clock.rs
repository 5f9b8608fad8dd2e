//! `koshin-ca clock`.

use clap::{Args, Subcommand};
use koshin_operator::{clock::Standing, output::Form};

use super::desk::Place;
use crate::exit::PROGRAM;

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
    let recorded = desk.clock.recorded();
    let confirmed = if confirm { Some(desk.clock.confirm(&desk.by).await?) } else { None };
    let standing = Standing { recorded, trusted: desk.clock.trusted(), confirmed };
    desk.close().await;
    standing.say(Form::new(json), PROGRAM)
}
