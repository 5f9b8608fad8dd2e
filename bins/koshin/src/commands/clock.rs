//! `koshin clock`.

use clap::{Args, Subcommand};
use koshin_operator::{clock::Standing, output::Form};
use koshin_ra::Chronicle as _;

use super::desk::Place;

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
    let confirmed = if confirm { Some(desk.clock.confirm(desk.actor.clone()).await?) } else { None };
    let standing = Standing { recorded: before.largest, trusted: desk.clock.trusted(), confirmed };
    standing.say(Form::new(json), "koshin")
}
