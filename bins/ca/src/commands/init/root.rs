//! `koshin-ca init root`.

use std::path::PathBuf;

use clap::Args;
use koshin_issuance::{AuthorityName, Curve, pem};
use koshin_operator::{instant::rfc3339, machine, output::Form};
use serde_json::json;

use super::{Files, KeyFlags, make_key, refuse_existing, self_signed, sign};

#[derive(Debug, Args)]
pub(super) struct RootArguments {
    /// Where root.pem and root.key are made
    #[arg(long, value_name = "DIR", default_value = ".")]
    dir: PathBuf,
    /// The operator's name
    #[arg(long, value_name = "NAME")]
    organization: String,
    /// Two capital letters
    #[arg(long, value_name = "CC", default_value = "JP")]
    country: String,
    /// The root's name; without it the operator's and `Root CA`
    #[arg(long, value_name = "NAME")]
    common_name: Option<String>,
    #[command(flatten)]
    key: KeyFlags,
    /// One line of JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &RootArguments) -> anyhow::Result<()> {
    let now = machine::now();
    let file = |name: &str| arguments.dir.join(name);
    refuse_existing([file(sign::ROOT), file(sign::ROOT_KEY)])?;
    let common = arguments.common_name.clone().unwrap_or_else(|| format!("{} Root CA", arguments.organization));
    let name = AuthorityName::new(Some(&arguments.country), &arguments.organization, &common)?;
    let place = arguments.key.place(sign::ROOT_KEY);
    let mut files = Files::below(&arguments.dir);
    let key = make_key(&arguments.key, &place, &file(sign::ROOT), Curve::P384, &mut files)?;
    let certificate = self_signed(&name, key.as_ref(), now)?;
    files.open(sign::ROOT, pem("CERTIFICATE", &certificate));
    files.write()?;
    let not_after = super::days(now, super::ROOT_DAYS)?.not_after();
    Form::new(arguments.json).one(&json!({
        "root_certificate": file(sign::ROOT),
        "root_key": if place.token().is_some() { place.to_string() } else { file(sign::ROOT_KEY).display().to_string() },
        "root_fingerprint": koshin_operator::evidence::fingerprint(&certificate).to_string(),
        "root_not_after": rfc3339(not_after),
    }))?;
    eprintln!("koshin-ca: carry {} to the CA; the key stays here", file(sign::ROOT).display());
    eprintln!("koshin-ca: next, at the CA: koshin-ca init request --organization NAME --dir DIR");
    Ok(())
}
