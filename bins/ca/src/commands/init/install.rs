//! `koshin-ca init install`.

use std::path::{Path, PathBuf};

use clap::Args;
use koshin_issuance::{Ca, Profile, ProfileConfig, pem};
use koshin_operator::{instant::rfc3339, output::Form, pem as pem_file};
use koshin_sqlite::{LedgerStore, Options};
use serde_json::json;

use super::{DATABASE, Files, ISSUING, ROOT, refuse_existing, say_next};
use crate::{
    config::{CONFIG, Checked},
    exit::{Fault, Status},
};

#[derive(Debug, Args)]
pub(super) struct InstallArguments {
    /// The certificate that `init sign` made
    certificate: PathBuf,
    /// The root's certificate
    #[arg(long, value_name = "FILE")]
    root: PathBuf,
    /// Where `init request` was run
    #[arg(long, value_name = "DIR", default_value = ".")]
    dir: PathBuf,
    /// One line of JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(arguments: &InstallArguments) -> anyhow::Result<()> {
    let file = |name: &str| arguments.dir.join(name);
    let checked = Checked::read(&file(CONFIG))?;
    refuse_existing([file(ISSUING), file(ROOT), file(DATABASE)])?;
    let (certificate, root) = (pem_file::certificate(&arguments.certificate)?, pem_file::certificate(&arguments.root)?);
    let Some(authority) = checked.config.authorities.first() else {
        return Err(Fault::new(Status::State, "the configuration has no [[ca]]").into());
    };
    let key = authority.key.load(&checked.file)?;
    // Certificate, root and key belong together, or nothing is installed.
    let ca = Ca::load(&certificate, std::slice::from_ref(&root), key, Profile::new(ProfileConfig::default())?)?;
    let mut files = Files::below(&arguments.dir);
    files.open(ISSUING, pem("CERTIFICATE", &certificate));
    files.open(ROOT, pem("CERTIFICATE", &root));
    files.write()?;
    if let Err(error) = make_ledger(&file(DATABASE)).await {
        files.take_back();
        return Err(error);
    }
    Form::new(arguments.json).one(&json!({
        "config": checked.file,
        "database": file(DATABASE),
        "issuing_certificate": file(ISSUING),
        "root_certificate": file(ROOT),
        "issuer": ca.issuer_name(),
        "issuing_not_after": rfc3339(ca.not_after()),
    }))?;
    say_next(&checked.file);
    Ok(())
}

/// An empty ledger.
pub(super) async fn make_ledger(file: &Path) -> anyhow::Result<()> {
    let store = LedgerStore::open(file, &Options::default()).await?;
    store.shut_down().await;
    Ok(())
}
