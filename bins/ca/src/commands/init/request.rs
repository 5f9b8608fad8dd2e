//! `koshin-ca init request`.

use clap::Args;
use koshin_issuance::{Curve, pem, request_certificate};
use koshin_operator::{machine, output::Form};
use serde_json::json;

use super::{
    CONFIG, DATABASE, Files, ISSUING, ISSUING_KEY, ISSUING_REQUEST, KeyFlags, make_key, refuse_existing,
    site::SiteFlags,
};
use koshin_operator::evidence::fingerprint;

#[derive(Debug, Args)]
pub(super) struct RequestArguments {
    #[command(flatten)]
    site: SiteFlags,
    #[command(flatten)]
    key: KeyFlags,
    /// One line of JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &RequestArguments) -> anyhow::Result<()> {
    let (site, now) = (&arguments.site, machine::now());
    let file = |name: &str| site.dir.join(name);
    refuse_existing([CONFIG, DATABASE, ISSUING, ISSUING_KEY, ISSUING_REQUEST].map(file))?;
    let place = arguments.key.place(ISSUING_KEY);
    let mut files = Files::below(&site.dir);
    let clients = site.write_down(&place, now, &mut files)?;
    let name = site.name("Issuing CA")?;
    let key = make_key(&arguments.key, &place, &file(CONFIG), Curve::P256, &mut files)?;
    files.open(ISSUING_REQUEST, pem("CERTIFICATE REQUEST", &request_certificate(&name, key.as_ref())?));
    files.write()?;
    let digest = fingerprint(key.public_key_spki());
    Form::new(arguments.json).one(&json!({
        "config": file(CONFIG),
        "request": file(ISSUING_REQUEST),
        "issuing_key": place.to_string(),
        "key_fingerprint": digest.to_string(),
        "api_trust_anchor": site.made_anchor(),
        "clients": clients,
    }))?;
    eprintln!(
        "koshin-ca: carry {} to the root's machine, and note the key's fingerprint:",
        file(ISSUING_REQUEST).display()
    );
    eprintln!("koshin-ca: next, there: koshin-ca init sign issuing.csr --root-dir DIR --key-fingerprint {digest}");
    Ok(())
}
