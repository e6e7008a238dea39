//! Certificate revocation lists (RFC 5280 §5), one for each kind of certificate and municipality.

use const_oid::db::rfc5912::{
    ID_CE_AUTHORITY_KEY_IDENTIFIER, ID_CE_CRL_NUMBER, ID_CE_CRL_REASONS, ID_CE_ISSUING_DISTRIBUTION_POINT,
};
use der::Encode;
use jiff::{SignedDuration, Timestamp};
use jpki::Municipality;
use x509_cert::Version;
use x509_cert::crl::{CertificateList, RevokedCert, TbsCertList};
use x509_cert::ext::pkix::name::DistributionPointName;
use x509_cert::ext::pkix::{AuthorityKeyIdentifier, CrlReason, IssuingDistributionPoint};
use x509_cert::serial_number::SerialNumber;

use crate::certificate::{CertificationAuthority, directory_name, extension, time};
use crate::profile::Names;
use crate::signer::SignError;
use crate::store::{Revocation, RevocationReason};

/// A new list comes out daily.
const LIFETIME: SignedDuration = SignedDuration::from_hours(24);

/// The list of one municipality's revoked certificates, as DER.
pub(crate) fn list(
    names: &Names,
    authority: &CertificationAuthority,
    municipality: &Municipality,
    number: u64,
    revoked: &[(u64, Revocation)],
    now: Timestamp,
) -> Result<Vec<u8>, SignError> {
    let partition = directory_name(names.distribution_point(authority.kind, municipality)?);
    let partition = IssuingDistributionPoint {
        distribution_point: Some(DistributionPointName::FullName(partition)),
        only_contains_user_certs: true,
        only_contains_ca_certs: false,
        only_some_reasons: None,
        indirect_crl: false,
        only_contains_attribute_certs: false,
    };
    let authority_key =
        AuthorityKeyIdentifier { key_identifier: Some(authority.key_identifier()?), ..Default::default() };
    let entries = revoked.iter().map(|(serial, revocation)| entry(*serial, *revocation));
    let entries = entries.collect::<Result<Vec<_>, der::Error>>()?;
    let tbs_cert_list = TbsCertList {
        version: Version::V2,
        signature: authority.signer.algorithm_identifier(),
        issuer: authority.name().clone(),
        this_update: time(now)?,
        next_update: Some(time(now.saturating_add(LIFETIME).unwrap_or(now))?),
        // An empty list is left out (RFC 5280 §5.1.2.6).
        revoked_certificates: (!entries.is_empty()).then_some(entries),
        crl_extensions: Some(vec![
            extension(ID_CE_AUTHORITY_KEY_IDENTIFIER, false, &authority_key)?,
            extension(ID_CE_CRL_NUMBER, false, &number)?,
            extension(ID_CE_ISSUING_DISTRIBUTION_POINT, true, &partition)?,
        ]),
    };
    let signature = authority.signer.sign_der(&tbs_cert_list)?;
    let signature_algorithm = authority.signer.algorithm_identifier();
    Ok(CertificateList { tbs_cert_list, signature_algorithm, signature }.to_der()?)
}

fn entry(serial: u64, revocation: Revocation) -> der::Result<RevokedCert> {
    // The reason `unspecified` is left out (RFC 5280 §5.3.1).
    let extensions = match reason(revocation.reason) {
        CrlReason::Unspecified => None,
        reason => Some(vec![extension(ID_CE_CRL_REASONS, false, &reason)?]),
    };
    Ok(RevokedCert {
        serial_number: SerialNumber::from(serial),
        revocation_date: time(revocation.at)?,
        crl_entry_extensions: extensions,
    })
}

pub(crate) fn reason(reason: RevocationReason) -> CrlReason {
    match reason {
        RevocationReason::Unspecified => CrlReason::Unspecified,
        RevocationReason::KeyCompromise => CrlReason::KeyCompromise,
        RevocationReason::CaCompromise => CrlReason::CaCompromise,
        RevocationReason::AffiliationChanged => CrlReason::AffiliationChanged,
        RevocationReason::Superseded => CrlReason::Superseded,
        RevocationReason::CessationOfOperation => CrlReason::CessationOfOperation,
        RevocationReason::CertificateHold => CrlReason::CertificateHold,
    }
}
