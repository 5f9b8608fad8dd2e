//! How many signatures a second a token gives to a caller that does nothing else, and how many through the CA's signer,
//! which hashes, hands over to its thread and back, and sees to it that the session is alive.
//!
//! `token_rate MODULE TOKEN KEY PIN-FILE [SIGNATURES]`, with a P-256 key; the one after the other.

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use cryptoki::{
    context::{CInitializeArgs, CInitializeFlags, Pkcs11},
    mechanism::Mechanism,
    object::{Attribute, ObjectClass},
    session::UserType,
    types::AuthPin,
};
use koshin_issuance::Signer as _;
use koshin_pkcs11::{Pin, TokenConfig, TokenSigner};

/// About the size of a certificate's to-be-signed bytes.
const MESSAGE: [u8; 620] = [0x5a; 620];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [module, token, key, pin_file, rest @ ..] = arguments.as_slice() else {
        return Err("MODULE TOKEN KEY PIN-FILE [SIGNATURES]".into());
    };
    let pin = std::fs::read_to_string(pin_file)?;
    let count = rest.first().map_or(Ok(3000), |text| text.parse())?;
    let own = own_rate(module, token, key, pin.trim(), count)?;
    let config = TokenConfig {
        module: PathBuf::from(module),
        token: token.clone(),
        key: key.clone(),
        pin: Some(Pin::new(&pin)),
    };
    let signer = TokenSigner::open(config, Duration::from_secs(10))?;
    let ours = per_second(count, || signer.sign(&MESSAGE).map(drop).map_err(Into::into))?;
    println!("the token's own {own:.0}/s, through the signer {ours:.0}/s: {:.3}", ours / own);
    Ok(())
}

/// Over one open session, without a thread of its own.
fn own_rate(module: &str, token: &str, key: &str, pin: &str, count: u32) -> Result<f64, Box<dyn std::error::Error>> {
    let context = Pkcs11::new(module)?;
    context.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK))?;
    let mut wanted = None;
    for slot in context.get_slots_with_initialized_token()? {
        if context.get_token_info(slot)?.label() == token {
            wanted = Some(slot);
        }
    }
    let session = context.open_ro_session(wanted.ok_or("there is no such token")?)?;
    session.login(UserType::User, Some(&AuthPin::new(pin.into())))?;
    let template = [Attribute::Class(ObjectClass::PRIVATE_KEY), Attribute::Label(key.as_bytes().to_vec())];
    let key = *session.find_objects(&template)?.first().ok_or("there is no such key")?;
    let digest = [0x5a; 32];
    let rate = per_second(count, || session.sign(&Mechanism::Ecdsa, key, &digest).map(drop).map_err(Into::into))?;
    drop(session);
    context.finalize()?;
    Ok(rate)
}

fn per_second(
    count: u32,
    mut sign: impl FnMut() -> Result<(), Box<dyn std::error::Error>>,
) -> Result<f64, Box<dyn std::error::Error>> {
    for _ in 0..count / 10 {
        sign()?;
    }
    let begun = Instant::now();
    for _ in 0..count {
        sign()?;
    }
    Ok(f64::from(count) / begun.elapsed().as_secs_f64())
}
