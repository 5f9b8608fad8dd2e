//! `koshin-ca config`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use koshin_operator::{config::show, output::Form};
use serde_json::json;

use crate::config::{self, Checked};

/// The file that a command is about.
#[derive(Debug, Args)]
pub(crate) struct ConfigFile {
    /// The configuration; without it `KOSHIN_CA_CONFIG`, ./koshin-ca.toml, or /etc/koshin/koshin-ca.toml
    #[arg(long = "config", value_name = "FILE")]
    named: Option<PathBuf>,
}

impl ConfigFile {
    pub(crate) fn read(self) -> anyhow::Result<Checked> {
        Checked::read(&config::find(self.named)?)
    }
}

/// The configuration file.
#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Check the file and everything it names, keys in tokens too, and say all that is wrong
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
            checked.open()?;
            for authority in checked.config.authorities.iter().filter(|authority| authority.key.token().is_some()) {
                authority.key.load(&checked.file)?;
            }
            Form::new(json).one(&json!({"config": checked.file, "ok": true}))
        }
        ConfigCommand::Show(ShowArguments { effective, arguments: Arguments { file, json } }) => {
            let checked = file.read()?;
            let effective = if effective { Some(checked.effective()?) } else { None };
            show(&checked.file, effective, json)
        }
    }
}
