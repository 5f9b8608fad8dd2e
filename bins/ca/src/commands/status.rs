//! `koshin-ca status`.

use clap::Args;
use koshin_operator::{clock, instant::rfc3339, output::Form};
use koshin_sqlite::Standing;
use serde_json::{Value, json};

use super::{
    crl, desk,
    desk::{Desk, Place},
    ocsp,
};
use crate::{
    config::{Checked, Loaded},
    exit::{Fault, PROGRAM, Status},
};

#[derive(Debug, Args)]
pub(crate) struct StatusArguments {
    /// Leave the keys alone; without this each signs a few octets
    #[arg(long)]
    no_key: bool,
    /// One line of JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: Place,
}

pub(crate) async fn run(arguments: StatusArguments) -> anyhow::Result<()> {
    let desk = arguments.place.open().await?;
    let (checked, now) = (&desk.checked, desk.clock.now());
    let opened = checked.open()?;
    let issuing = checked.issuing(now);
    let mut authorities = Vec::new();
    for (at, (loaded, list)) in opened.authorities.iter().zip(crl::lists(checked, now)?).enumerate() {
        let role = match at.cmp(&issuing) {
            std::cmp::Ordering::Less => "former",
            std::cmp::Ordering::Equal => "issuing",
            std::cmp::Ordering::Greater => "next",
        };
        authorities.push(json!({
            "name": loaded.ca.issuer_name(),
            "role": role,
            "not_after": rfc3339(loaded.ca.not_after()),
            "key": key(checked, at, loaded, arguments.no_key),
            "list": list,
        }));
    }
    let counts = desk.store.counts(now).await?;
    let ledger = match desk.store.standing().await? {
        Standing::Current => "current",
        Standing::Behind(_) => "behind",
    };
    let clock = clock::word(desk.clock.trusted());
    let responder = ocsp::responder(&desk.store).await?.map(|responder| rfc3339(responder.not_after));
    let mut attention = attention(&desk, &authorities);
    attention.extend(desk::warnings(checked, &opened, &desk.store, now).await?);
    desk.close().await;
    Form::new(arguments.json).one(&json!({
        "now": rfc3339(now),
        "clock": clock,
        "ledger": ledger,
        "authorities": authorities,
        "certificates": {"valid": counts.valid, "issued": counts.issued, "revoked": counts.revoked,
            "abandoned": counts.abandoned, "unfinished": counts.unfinished},
        "newest_serial": counts.newest.map(|serial| serial.to_string()),
        "ocsp_responder_until": responder,
        "clients": opened.clients.iter().map(|client| &client.name).collect::<Vec<_>>(),
        "attention": attention,
    }))?;
    if attention.is_empty() {
        return Ok(());
    }
    Err(Fault::new(Status::State, format!("somebody has to act: {}", attention.join("; "))).into())
}

/// What is not as it should be, beside what the desk warns of.
fn attention(desk: &Desk, authorities: &[Value]) -> Vec<String> {
    let mut attention = Vec::new();
    if let Err(doubt) = desk.clock.trusted() {
        attention.push(clock::remedy(doubt, PROGRAM));
    }
    for authority in authorities {
        let text = |path: &str| authority.pointer(path).and_then(Value::as_str).unwrap_or_default();
        if authority.pointer("/key/signs") == Some(&Value::Bool(false)) {
            attention.push(format!("the key of {} does not sign: {}", text("/name"), text("/key/why")));
        }
        if text("/list/condition") != "fresh" {
            attention.push(format!("{} is {}", text("/list/list"), text("/list/condition")));
        }
    }
    attention
}

/// Whether a key signs now, by a signature that is verified with the CA's certificate.
fn key(checked: &Checked, at: usize, loaded: &Loaded, leave: bool) -> Value {
    let place = checked.config.authorities.get(at).map(|authority| authority.key.kind());
    if leave {
        return json!({"kind": place});
    }
    match loaded.ca.try_key() {
        Ok(()) => json!({"kind": place, "signs": true}),
        Err(error) => json!({"kind": place, "signs": false, "why": in_full(&error)}),
    }
}

/// An error with its sources.
pub(crate) fn in_full(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        // Transparent errors say what they wrap already.
        if !text.ends_with(&cause.to_string()) {
            text = format!("{text}: {cause}");
        }
        source = cause.source();
    }
    text
}
