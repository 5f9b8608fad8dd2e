//! Envelope senders that name the mail, so that what comes back can be told apart and not be made up.

use std::fmt;

use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use crate::{Address, MailId};

/// Makes a sender of its own for each mail (variable envelope return paths): `prefix+token@domain`. The token is the
/// mail's id and a MAC over it, so nobody who has not seen a mail can report it as failed.
#[derive(Clone)]
pub struct Verp {
    prefix: String,
    domain: String,
    key: Zeroizing<[u8; 32]>,
}

/// Octets of the MAC: guessing one takes 2⁶⁴ mails.
const MAC: usize = 8;

impl Verp {
    /// The longest prefix: the local part has at most 64 octets, of which the token takes 48 and the sign between 1.
    pub const MAX_PREFIX: usize = 64 - 2 * (16 + MAC) - 1;

    /// Senders `prefix+token@domain`. The key belongs to this installation, and stays the same while mails are on their
    /// way: a report that comes weeks later has to be recognized.
    ///
    /// # Errors
    ///
    /// [`BadVerp`] when no address can be made of them.
    ///
    /// ```
    /// use koshin_notify::{MailId, Verp};
    /// let verp = Verp::new("bounce", "bank.example", [7; 32])?;
    /// let id = MailId::from_bytes([0x5a; 16]);
    /// let sender = verp.sender(id).expect("an address");
    /// assert!(sender.as_str().starts_with("bounce+5a5a5a") && sender.as_str().ends_with("@bank.example"));
    /// assert_eq!(verp.mail(sender.as_str()), Some(id));
    /// assert_eq!(Verp::MAX_PREFIX, 15);
    /// # Ok::<(), koshin_notify::BadVerp>(())
    /// ```
    pub fn new(prefix: &str, domain: &str, key: [u8; 32]) -> Result<Self, BadVerp> {
        let verp = Self { prefix: prefix.to_lowercase(), domain: domain.to_lowercase(), key: Zeroizing::new(key) };
        let plain = prefix.chars().all(|c| c.is_ascii_alphanumeric() || ".-_".contains(c));
        let sender = verp.sender(MailId::from_bytes([0; 16]));
        if prefix.is_empty() || prefix.len() > Self::MAX_PREFIX || !plain || !domain.is_ascii() || sender.is_none() {
            return Err(BadVerp { prefix: prefix.to_owned(), domain: domain.to_owned() });
        }
        Ok(verp)
    }

    /// The sender of a mail. `None` never happens for a [`Verp`] that was made.
    pub fn sender(&self, id: MailId) -> Option<Address> {
        let mac: String = self.mac(id).iter().map(|octet| format!("{octet:02x}")).collect();
        format!("{}+{id}{mac}@{}", self.prefix, self.domain).parse().ok()
    }

    /// The mail whose sender an address is. `None` for any other address, and for one with a token that is not ours.
    /// Upper and lower case make no difference: servers on the way may have changed them.
    pub fn mail(&self, address: &str) -> Option<MailId> {
        let address = address.trim().trim_start_matches('<').trim_end_matches('>').to_ascii_lowercase();
        let (local, domain) = address.rsplit_once('@')?;
        let token = local.strip_prefix(&self.prefix)?.strip_prefix('+')?;
        if domain != self.domain || token.len() != 2 * (16 + MAC) || !token.is_ascii() {
            return None;
        }
        let (id, mac) = token.split_at(32);
        let id: MailId = id.parse().ok()?;
        let expected: String = self.mac(id).iter().map(|octet| format!("{octet:02x}")).collect();
        // In constant time: how long it takes tells nothing about how much of it was right.
        let wrong = mac.bytes().zip(expected.bytes()).fold(0, |wrong, (one, other)| wrong | (one ^ other));
        (wrong == 0).then_some(id)
    }

    fn mac(&self, id: MailId) -> [u8; MAC] {
        let mut message = b"koshin verp 1".to_vec();
        message.extend_from_slice(id.as_bytes());
        hmac_sha256(&self.key, &message).first_chunk().copied().unwrap_or_default()
    }
}

impl fmt::Debug for Verp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verp").field("prefix", &self.prefix).field("domain", &self.domain).finish_non_exhaustive()
    }
}

/// Of which no senders can be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{prefix}+…@{domain} is no address: a prefix is 1 to {} ASCII letters, digits, dots and dashes",
    Verp::MAX_PREFIX
)]
pub struct BadVerp {
    /// The prefix given.
    pub prefix: String,
    /// The domain given.
    pub domain: String,
}

/// HMAC (RFC 2104) with a key of one half block.
fn hmac_sha256(key: &[u8; 32], message: &[u8]) -> [u8; 32] {
    let pad = |with: u8| {
        let mut block = [with; 64];
        block.iter_mut().zip(key).for_each(|(octet, key)| *octet ^= key);
        block
    };
    let inner = Sha256::new().chain_update(pad(0x36)).chain_update(message).finalize();
    Sha256::new().chain_update(pad(0x5c)).chain_update(inner).finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 4231, test case 1, whose key of 20 octets is padded with zeros, and test case 2.
    #[test]
    fn the_mac_is_that_of_the_standard() {
        let hex = |octets: [u8; 32]| octets.iter().map(|octet| format!("{octet:02x}")).collect::<String>();
        let mut key = [0; 32];
        key[..20].fill(0x0b);
        let expected = "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7";
        assert_eq!(hex(hmac_sha256(&key, b"Hi There")), expected);
        let mut key = [0; 32];
        key[..4].copy_from_slice(b"Jefe");
        let expected = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
        assert_eq!(hex(hmac_sha256(&key, b"what do ya want for nothing?")), expected);
    }

    #[test]
    fn a_token_that_is_not_ours_names_no_mail() {
        let verp = Verp::new("bounce", "bank.example", [7; 32]).unwrap();
        let id = MailId::from_bytes([9; 16]);
        let sender = verp.sender(id).unwrap();
        let text = sender.as_str();
        for good in [text.to_owned(), format!("<{text}>"), text.to_uppercase(), format!(" {text} ")] {
            assert_eq!(verp.mail(&good), Some(id), "{good}");
        }
        for at in 7..55 {
            let mut forged = text.to_owned();
            let other = if &forged[at..=at] == "0" { "1" } else { "0" };
            forged.replace_range(at..=at, other);
            assert_eq!(verp.mail(&forged), None, "{forged}");
        }
        for forged in [
            "",
            "bounce@bank.example",
            "bounce+@bank.example",
            "taro@bank.example",
            &text.replace("bank", "bunk"),
            &text[1..],
        ] {
            assert_eq!(verp.mail(forged), None, "{forged}");
        }
        assert_eq!(Verp::new("bounce", "bank.example", [8; 32]).unwrap().mail(text), None, "another key");
        for (prefix, domain) in
            [("", "a.jp"), ("a b", "a.jp"), ("x", "a b"), ("bounce-bounce-16", "a.jp"), ("é", "a.jp"), ("a+b", "a.jp")]
        {
            assert!(Verp::new(prefix, domain, [0; 32]).is_err(), "{prefix} {domain}");
        }
    }
}
