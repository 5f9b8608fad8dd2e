//! The objects of a person's key in a token, and what is asked of them.

use std::collections::BTreeMap;

use cryptoki::{
    error::{Error, RvError},
    mechanism::Mechanism,
    object::{Attribute, AttributeType, CertificateType, KeyType, ObjectClass, ObjectHandle},
    session::Session,
};
pub(super) use koshin_keystore::CertificateNames as Names;
use koshin_keystore::{KeyId, PublicPoint, Removed, StoredCertificate};

use super::{Asked, Fault};

/// The DER `ECParameters` of P-256 (RFC 5480, 2.1.1.1).
const P256: [u8; 10] = [0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];

/// What a key pair bears from when it is made until its point is known: milliseconds. What still bears it later was made by
/// a program that was killed, and never used.
const NASCENT: &[u8; 20] = b"koshin: not yet made";

/// Makes a key pair that the token keeps to itself, and returns its point.
pub(super) fn generate(session: &Session, label: &str) -> Asked<PublicPoint> {
    destroy(session, &[Attribute::Id(NASCENT.to_vec())])?;
    let named = |attributes: &[Attribute]| {
        let label = Attribute::Label(label.as_bytes().to_vec());
        [attributes, &[Attribute::Token(true), label, Attribute::Id(NASCENT.to_vec())]].concat()
    };
    let public = named(&[Attribute::Verify(true), Attribute::EcParams(P256.to_vec())]);
    let sealed = [Attribute::Private(true), Attribute::Sensitive(true), Attribute::Extractable(false)];
    let private = named(&[&[Attribute::Sign(true)], &sealed[..]].concat());
    let (public, private) = session.generate_key_pair(&Mechanism::EccKeyPairGen, &public, &private)?;
    let point = point_of(session, public)?.ok_or(Fault::Point)?;
    let id = [Attribute::Id(KeyId::of_point(&point).as_bytes().to_vec())];
    // The private key last: with it the pair counts as made.
    session.update_attributes(public, &id)?;
    session.update_attributes(private, &id)?;
    Ok(point)
}

/// The private key of an identifier.
pub(super) fn private_key(session: &Session, id: KeyId) -> Asked<Option<ObjectHandle>> {
    let found = session.find_objects(&[Attribute::Class(ObjectClass::PRIVATE_KEY), identified(id)])?;
    Ok(found.first().copied())
}

/// All private keys whose identifier is one.
pub(super) fn private_keys(session: &Session) -> Asked<BTreeMap<KeyId, ObjectHandle>> {
    let mut keys = BTreeMap::new();
    for key in session.find_objects(&[Attribute::Class(ObjectClass::PRIVATE_KEY)])? {
        if let Some(Attribute::Id(id)) = read(session, key, AttributeType::Id)?
            && let Ok(id) = <[u8; 20]>::try_from(id)
        {
            keys.insert(KeyId::new(id), key);
        }
    }
    Ok(keys)
}

/// The public point of a key: from its public key or its certificate, whichever is there. `None` when neither is on P-256 and of
/// this identifier.
pub(super) fn point(session: &Session, id: KeyId) -> Asked<Option<PublicPoint>> {
    let fits = |point: &PublicPoint| KeyId::of_point(point) == id;
    for key in session.find_objects(&[Attribute::Class(ObjectClass::PUBLIC_KEY), identified(id)])? {
        if let Some(point) = point_of(session, key)?.filter(fits) {
            return Ok(Some(point));
        }
    }
    // A key that a tool imported with its certificate may have no public key beside it.
    let certified = certificates_of(session, &[Attribute::Class(ObjectClass::CERTIFICATE), identified(id)])?;
    let points = certified.iter().map(|(_, certificate)| certificate.point());
    Ok(points.into_iter().find(fits))
}

/// Whether the token says that it made the key itself. NSS forgets so of a key that it keeps, but not that it was never
/// extractable, which no key from outside is.
pub(super) fn made_here(session: &Session, key: ObjectHandle) -> bool {
    let says =
        |kind| matches!(read(session, key, kind), Ok(Some(Attribute::Local(true) | Attribute::NeverExtractable(true))));
    says(AttributeType::Local) || says(AttributeType::NeverExtractable)
}

/// What people see beside an object.
pub(super) fn label(session: &Session, object: ObjectHandle) -> Asked<String> {
    match read(session, object, AttributeType::Label)? {
        Some(Attribute::Label(label)) => Ok(String::from_utf8_lossy(&label).into_owned()),
        _ => Ok(String::new()),
    }
}

/// Signs a digest and returns r and s side by side. Few tokens hash by themselves.
pub(super) fn sign_digest(session: &Session, key: ObjectHandle, digest: &[u8; 32]) -> Asked<Vec<u8>> {
    Ok(session.sign(&Mechanism::Ecdsa, key, digest)?)
}

/// Stores a certificate under its key's identifier, unless it is there.
pub(super) fn put_certificate(session: &Session, label: &str, der: &[u8], names: &Names) -> Asked<()> {
    let class = Attribute::Class(ObjectClass::CERTIFICATE);
    let id = Attribute::Id(names.key.clone());
    for known in session.find_objects(&[class.clone(), id.clone()])? {
        if matches!(read(session, known, AttributeType::Value)?, Some(Attribute::Value(value)) if value == der) {
            return Ok(());
        }
    }
    let attributes = [
        class,
        id,
        Attribute::CertificateType(CertificateType::X_509),
        Attribute::Token(true),
        Attribute::Private(false),
        Attribute::Subject(names.subject.clone()),
        Attribute::Issuer(names.issuer.clone()),
        Attribute::SerialNumber(names.serial.clone()),
        Attribute::Value(der.to_vec()),
    ];
    let with_label = |label: String| [&attributes[..], &[Attribute::Label(label.into_bytes())]].concat();
    match session.create_object(&with_label(label.to_owned())) {
        // NSS lets no two subjects bear the same name.
        Err(Error::Pkcs11(RvError::AttributeValueInvalid, _)) => {
            let short: String = names.key.iter().take(4).map(|octet| format!("{octet:02x}")).collect();
            session.create_object(&with_label(format!("{label} ({short})")))?;
        }
        created => drop(created?),
    }
    Ok(())
}

/// The end-entity certificates on P-256 that lie under their own key's identifier, with their labels.
pub(super) fn certificates(session: &Session) -> Asked<Vec<(String, StoredCertificate)>> {
    let all = certificates_of(session, &[Attribute::Class(ObjectClass::CERTIFICATE)])?;
    Ok(all.into_iter().filter(|(_, certificate)| !certificate.is_authority()).collect())
}

fn certificates_of(session: &Session, template: &[Attribute]) -> Asked<Vec<(String, StoredCertificate)>> {
    let mut certificates = Vec::new();
    for object in session.find_objects(template)? {
        let Some(Attribute::Value(der)) = read(session, object, AttributeType::Value)? else { continue };
        let Ok(certificate) = StoredCertificate::read(&der) else { continue };
        let id = read(session, object, AttributeType::Id)?;
        if matches!(id, Some(Attribute::Id(id)) if id == certificate.key_id().as_bytes()) {
            certificates.push((label(session, object)?, certificate));
        }
    }
    Ok(certificates)
}

/// Removes a key pair and its certificates, by the identifier alone.
pub(super) fn remove(session: &Session, id: KeyId) -> Asked<Removed> {
    let keys = destroy(session, &[Attribute::Class(ObjectClass::PRIVATE_KEY), identified(id)])?;
    destroy(session, &[Attribute::Class(ObjectClass::PUBLIC_KEY), identified(id)])?;
    let certificates = destroy(session, &[Attribute::Class(ObjectClass::CERTIFICATE), identified(id)])?;
    Ok(Removed { keys, certificates })
}

fn destroy(session: &Session, template: &[Attribute]) -> Asked<usize> {
    let found = session.find_objects(template)?;
    for object in &found {
        session.destroy_object(*object)?;
    }
    Ok(found.len())
}

fn identified(id: KeyId) -> Attribute {
    Attribute::Id(id.as_bytes().to_vec())
}

fn read(session: &Session, object: ObjectHandle, kind: AttributeType) -> Asked<Option<Attribute>> {
    Ok(session.get_attributes(object, &[kind])?.into_iter().next())
}

/// The point of a public key on P-256. `CKA_EC_POINT` is a point in an OCTET STRING; some tokens leave that out.
fn point_of(session: &Session, key: ObjectHandle) -> Asked<Option<PublicPoint>> {
    if !matches!(read(session, key, AttributeType::KeyType)?, Some(Attribute::KeyType(KeyType::EC)))
        || !matches!(read(session, key, AttributeType::EcParams)?, Some(Attribute::EcParams(curve)) if curve == P256)
    {
        return Ok(None);
    }
    let Some(Attribute::EcPoint(octets)) = read(session, key, AttributeType::EcPoint)? else { return Ok(None) };
    let bare = || octets.strip_prefix(&[4, 65]).and_then(|point| PublicPoint::from_sec1(point).ok());
    Ok(PublicPoint::from_sec1(&octets).ok().or_else(bare))
}
