//! The suite of the port `Authority`, on the one in memory.

use std::sync::Arc;

use async_trait::async_trait;
use koshin_issuance::IssuerCertificate;
use koshin_ra::{Authority, MemoryAuthority, conformance::authority::AuthorityRig};
use koshin_types::{RevocationReason, SerialNumber};
use time::UtcDateTime;

use crate::town::{NOW, authority, entropy, key};

struct Memory {
    authority: MemoryAuthority,
    issuer: IssuerCertificate,
}

#[async_trait]
impl AuthorityRig for Memory {
    fn authority(&self) -> &dyn Authority {
        &self.authority
    }

    fn issuer(&self) -> &IssuerCertificate {
        &self.issuer
    }

    fn now(&self) -> UtcDateTime {
        NOW
    }

    fn request(&self) -> Vec<u8> {
        key()
    }

    async fn revoke_there(&self, serial: SerialNumber, reason: RevocationReason) {
        assert!(self.authority.revoke_there(serial, reason, NOW));
    }
}

async fn empty() -> Memory {
    let (ca, _) = authority(10);
    Memory { issuer: IssuerCertificate::from(&*ca), authority: MemoryAuthority::new(Arc::clone(&ca), entropy) }
}

koshin_ra::authority_conformance!(empty);
