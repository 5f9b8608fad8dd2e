//! `koshin-ca backup`.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;
use koshin_operator::output::Form;
use serde_json::json;

use super::desk::Place;

#[derive(Debug, Args)]
pub(crate) struct BackupArguments {
    /// The new file; one that exists is not replaced
    file: PathBuf,
    /// One line of JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: Place,
}

pub(crate) async fn run(BackupArguments { file, json, place }: BackupArguments) -> anyhow::Result<()> {
    let desk = place.open().await?;
    let copied = desk.store.backup(&file).await;
    desk.close().await;
    copied?;
    let octets = std::fs::metadata(&file).with_context(|| format!("{} is gone", file.display()))?.len();
    Form::new(json).one(&json!({"backup": file, "octets": octets}))?;
    eprintln!("koshin-ca: keys are not in it; after a restore, `koshin-ca doctor --after-restore` comes first");
    Ok(())
}
