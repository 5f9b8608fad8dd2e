//! `koshin request`.

use std::{
    fs::File,
    io::{self, Read as _},
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use clap::{Args, Subcommand};
use koshin_issuance::{CertificationRequest, Gate, KeyKind};
use koshin_operator::{output::Form, profile};
use serde_json::json;
use zeroize::Zeroizing;

use crate::exit::{Fault, Status};

/// Certification requests (PKCS#10, RFC 2986).
#[derive(Debug, Subcommand)]
pub(crate) enum RequestCommand {
    /// Run a request through the gate of the CA; status 1 when it would be refused
    ///
    /// What is read is judged and forgotten; nothing is stored or issued. A key that somebody used before is only
    /// known where requests are handled.
    Check(CheckArguments),
}

#[derive(Debug, Args)]
pub(crate) struct CheckArguments {
    /// The request, as PEM or DER; `-` for standard input
    file: PathBuf,
    /// Also refuse the keys of this block list, as `ca.blocked_keys` of the configuration names one
    #[arg(long, value_name = "FILE")]
    blocked: Option<PathBuf>,
    /// One line of JSON
    #[arg(long)]
    json: bool,
}

/// Far more than the gate reads, so that its answer tells the true length of whatever was given by mistake.
const MOST: u64 = 64 * 1024 * 1024;

pub(crate) fn run(command: RequestCommand) -> anyhow::Result<()> {
    let RequestCommand::Check(CheckArguments { file, blocked, json }) = command;
    let gate = blocked.map_or_else(|| Ok(Gate::new()), |list| profile::block(Gate::new(), &list))?;
    let octets = read(&file)?;
    let form = Form::new(json);
    match CertificationRequest::from_bytes(&octets, &gate) {
        Ok(request) => form.one(&json!({
            "accepted": true,
            "key": name(request.key_kind()),
            "spki_sha256": request.spki_fingerprint().to_string(),
        })),
        Err(rejected) => {
            form.one(&json!({"accepted": false, "code": rejected.code(), "reason": rejected.to_string()}))?;
            Err(Fault::new(Status::Failure, format!("the request is refused ({})", rejected.code())).into())
        }
    }
}

/// A private key that was given by mistake is wiped like one.
fn read(path: &Path) -> anyhow::Result<Zeroizing<Vec<u8>>> {
    let mut octets = Zeroizing::new(Vec::new());
    if path == Path::new("-") {
        io::stdin().lock().take(MOST).read_to_end(&mut octets).context("standard input cannot be read")?;
    } else {
        let named = || path.display().to_string();
        File::open(path).with_context(named)?.take(MOST).read_to_end(&mut octets).with_context(named)?;
    }
    Ok(octets)
}

fn name(kind: KeyKind) -> String {
    match kind {
        KeyKind::P256 => "P-256".to_owned(),
        KeyKind::P384 => "P-384".to_owned(),
        KeyKind::Rsa { bits } => format!("RSA {bits}"),
        other => format!("{other:?}"),
    }
}
