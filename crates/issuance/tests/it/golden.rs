//! What a profile writes today it writes tomorrow: bytes over published keys, held to their SHA-256. A change here changes
//! what relying parties see.

use crate::support::csr::{EcKey, Info};
use crate::support::{accept, days, profile_config, random, serial, subject};
use koshin_issuance::{AuthorityName, AuthorityPlan, Ca, FileSigner, Profile, ProfileConfig, certify_root};
use ring::digest;
use std::fmt::Write as _;

/// `PrivateKeyInfo` of the key of RFC 6979, A.2.5.
const CA_KEY: &str = "308187020100301306072a8648ce3d020106082a8648ce3d030107046d306b0201010420\
    c9afa9d845ba75166b5c215767b1d6934e50c3db36e89b127b8a622b120f6721a14403420004\
    60fed4ba255a9d31c961eb74c6356d68c049b8923b61fa6ce669622e60f29fb6\
    7903fe1008b8bc99a41ae9e95628bc64f2f1b20c2d7e9f5177a3c294d4462299";
/// The same of the first key of RFC 5903, 8.1.
const HOLDER_KEY: &str = "308187020100301306072a8648ce3d020106082a8648ce3d030107046d306b0201010420\
    c88f01f510d9ac3f70a292daa2316de544e9aab8afe84049c62a9c57862d1433a14403420004\
    dad0b65394221cf9b051e1feca5787d098dfe637fc90b9ef945d0c3772581180\
    5271a0461cdb8252d61f1c456fa3e59ab1f45b33accf5f58389e0577b8990bb3";

fn octets(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

fn written(config: ProfileConfig) -> String {
    let key = FileSigner::from_pkcs8_der(&octets(CA_KEY), random()).unwrap();
    let name = AuthorityName::new(Some("JP"), "更新信用金庫", "更新電子証明書認証局").unwrap();
    let certificate = certify_root(&AuthorityPlan::root(name), &key, serial(1), days(3650)).unwrap();
    let ca = Ca::load(&certificate, &[], Box::new(key), Profile::new(config).unwrap()).unwrap();
    let holder = EcKey::p256_of(&octets(HOLDER_KEY));
    let request = holder.csr_of(&Info { spki: holder.spki(), ..Info::default() });
    let prepared = ca.prepare(accept(&request), &subject(), Some("taro@example.jp"), serial(2), days(365)).unwrap();
    let digest = digest::digest(&digest::SHA256, prepared.tbs());
    digest.as_ref().iter().fold(String::new(), |mut text, octet| {
        write!(text, "{octet:02x}").unwrap();
        text
    })
}

#[test]
fn the_default_profile_writes_what_it_always_wrote() {
    assert_eq!(written(ProfileConfig::default()), "32ab46f3713e1826bdbe719c0f2c382402d781594460057d21f1f599b909fb77");
}

#[test]
fn the_usual_profile_writes_what_it_always_wrote() {
    assert_eq!(written(profile_config()), "9b4320c25864b66d3301823dffecd8df96b5e909d60acc5f782b855e0643e7d2");
}
