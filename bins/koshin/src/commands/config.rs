//! `koshin config`.

use clap::{Args, Subcommand};
use koshin_operator::{config, machine, output::Form};
use serde_json::json;

use super::desk::ConfigFile;

/// The configuration file.
#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Check the file and everything it names, and say all that is wrong
    Check(Arguments),
    /// Print the settings. Secrets are not among them: the file only names the files that hold them
    Show(ShowArguments),
}

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    file: ConfigFile,
    /// One line of JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ShowArguments {
    /// With every default filled in
    #[arg(long)]
    effective: bool,
    #[command(flatten)]
    arguments: Arguments,
}

pub(crate) fn run(command: ConfigCommand) -> anyhow::Result<()> {
    match command {
        ConfigCommand::Check(Arguments { file, json }) => {
            let checked = file.read()?;
            let warnings = checked.inspect(&checked.load()?, machine::now())?;
            for warning in &warnings {
                eprintln!("koshin: {warning}");
            }
            Form::new(json).one(&json!({"config": checked.file, "ok": true, "warnings": warnings}))
        }
        ConfigCommand::Show(ShowArguments { effective, arguments: Arguments { file, json } }) => {
            let checked = file.read()?;
            let effective = if effective { Some(checked.effective()?) } else { None };
            config::show(&checked.file, effective, json)
        }
    }
}
