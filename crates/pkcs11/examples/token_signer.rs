//! Signs each line of standard input with a key in a token, and says how that went: for trying a module and a token out.
//!
//! `token_signer MODULE TOKEN KEY PIN-FILE [PATIENCE-MS] [--beside] [--generate p256|p384|rsa2048]`
//!
//! With `--beside` two signers use the module, as with two keys in one token, and each line is signed by both.

use std::{
    io::{BufRead as _, Write as _},
    path::PathBuf,
    time::Duration,
};

use koshin_issuance::{Curve, Signer as _, SignerError};
use koshin_pkcs11::{KeyType, Pin, TokenConfig, TokenSigner};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments: Vec<String> = std::env::args().skip(1).collect();
    let generate = match arguments.iter().position(|argument| argument == "--generate") {
        Some(place) => arguments.drain(place..).nth(1),
        None => None,
    };
    let beside =
        arguments.iter().position(|argument| argument == "--beside").map(|place| arguments.remove(place)).is_some();
    let [module, token, key, pin_file, rest @ ..] = arguments.as_slice() else {
        return Err("MODULE TOKEN KEY PIN-FILE [PATIENCE-MS] [--generate KIND]".into());
    };
    let config = TokenConfig {
        module: PathBuf::from(module),
        token: token.clone(),
        key: key.clone(),
        pin: Some(Pin::new(&std::fs::read_to_string(pin_file)?)),
    };
    if let Some(kind) = generate {
        let kind = match kind.as_str() {
            "p256" => KeyType::Curve(Curve::P256),
            "p384" => KeyType::Curve(Curve::P384),
            "rsa2048" => KeyType::Rsa { bits: 2048 },
            _ => return Err("p256, p384 or rsa2048".into()),
        };
        TokenSigner::generate(&config, kind)?;
    }
    let patience = rest.first().map_or(Ok(10_000), |text| text.parse())?;
    let open = || TokenSigner::open(config.clone(), Duration::from_millis(patience));
    let signer = open()?;
    let second = beside.then(open).transpose()?;
    if beside {
        // One that goes takes everybody's sessions with it.
        drop(open()?);
    }
    let mut out = std::io::stdout();
    writeln!(out, "{:?} {}", signer.algorithm(), hex(signer.public_key_spki()))?;
    out.flush()?;
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        let also = second.iter().try_for_each(|second| second.sign(line.as_bytes()).map(drop));
        match also.and_then(|()| signer.sign(line.as_bytes())) {
            Ok(signature) => writeln!(out, "signed {}", hex(&signature))?,
            Err(SignerError::Refused { detail }) => writeln!(out, "refused {detail}")?,
            Err(error) => writeln!(out, "unavailable {error}")?,
        }
        out.flush()?;
    }
    Ok(())
}

fn hex(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}
