//! A CA in memory, and one issuance through the library: request bytes in, certificate out.

use koshin_issuance::{
    AuthorityName, AuthorityPlan, Ca, Certificate, CertificationRequest, Gate, Prepared, Profile, SubjectName,
    create_issuing, create_root, new_serial,
};
use koshin_types::{SerialNumber, Validity};
use time::{Duration, UtcDateTime, macros::utc_datetime};

use crate::{authority, rim, town::ClientKey};

const NOW: UtcDateTime = utc_datetime!(2026-11-22 3:00);

/// Everything an issuance takes.
pub struct Issuing {
    /// The CA, its key parsed once.
    pub ca: Ca,
    /// The request, PKCS#10 DER.
    pub request: Vec<u8>,
    gate: Gate,
    subject: SubjectName,
    serial: SerialNumber,
    validity: Validity,
}

impl Issuing {
    /// A P-256 CA below a P-384 root, with the whole profile, and a P-256 request.
    ///
    /// # Errors
    ///
    /// When a key is not made.
    pub fn new() -> anyhow::Result<Self> {
        let random = rim::random();
        let years = |years: i64| Validity::new(NOW, NOW + Duration::days(365 * years) - Duration::SECOND);
        let serial = || new_serial(NOW, random.as_ref());
        let name = |common_name| AuthorityName::new(Some("JP"), "更新信用金庫", common_name);
        let root = create_root(&AuthorityPlan::root(name("更新ルート認証局")?), serial()?, years(20)?, &random)?;
        let plan = AuthorityPlan::issuing(name("更新電子証明書認証局")?);
        let issuing = create_issuing(&plan, &root, serial()?, years(10)?, &random)?;
        let (certificate, chain) = (issuing.certificate_der().to_vec(), [root.certificate_der().to_vec()]);
        let profile = Profile::new(authority::profile())?;
        Ok(Self {
            ca: Ca::load(&certificate, &chain, Box::new(issuing.into_signer()), profile)?,
            request: ClientKey::new()?.request,
            gate: Gate::new(),
            subject: SubjectName::new("更新商店株式会社", "U-1001")?,
            serial: serial()?,
            validity: years(1)?,
        })
    }

    /// The gate: parse, check, verify the proof of possession.
    ///
    /// # Errors
    ///
    /// When the request is refused.
    pub fn gate(&self) -> anyhow::Result<CertificationRequest> {
        Ok(CertificationRequest::from_der(&self.request, &self.gate)?)
    }

    /// The profile and the lints: bytes to be signed.
    ///
    /// # Errors
    ///
    /// When the CA refuses.
    pub fn prepare(&self, request: CertificationRequest) -> anyhow::Result<Prepared> {
        Ok(self.ca.prepare(request, &self.subject, Some("u-1001@example.co.jp"), self.serial, self.validity)?)
    }

    /// Signature, its verification, comparison.
    ///
    /// # Errors
    ///
    /// When the CA refuses.
    pub fn issue(&self, prepared: Prepared) -> anyhow::Result<Certificate> {
        Ok(self.ca.issue(prepared.recorded())?)
    }

    /// All of it.
    ///
    /// # Errors
    ///
    /// As its parts.
    pub fn whole(&self) -> anyhow::Result<Certificate> {
        self.issue(self.prepare(self.gate()?)?)
    }
}
