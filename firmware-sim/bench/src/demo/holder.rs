//! The resident with the card in another reader, at home: the commands that public clients of the card use.

use der::{Decode, Header, Reader, SliceReader};
use jpki::card::{AID_JPKI, fid};
use jpki::{CertificateKind, KeyAlgorithm};
use sha2::{Digest, Sha256, Sha384};
use sim_card::Card;
use zeroize::Zeroizing;

/// ASN.1 prefix of a DigestInfo with SHA-256 (RFC 8017 §9.2, note 1).
const SHA256_DIGEST_INFO: [u8; 19] =
    [0x30, 0x31, 0x30, 0x0D, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00, 0x04, 0x20];

/// Why the card did not do what its holder asked for.
#[derive(Debug, thiserror::Error)]
pub(super) enum HolderError {
    /// The card answered with this status word.
    #[error("the card answered {sw:04X} to {command}")]
    Refused {
        /// What was asked for.
        command: &'static str,
        /// The status word.
        sw: u16,
    },
    /// The file holds no certificate.
    #[error("the card's file {0:04X} holds no certificate")]
    NoCertificate(u16),
}

/// A card in its holder's reader.
pub(super) struct Holder {
    card: Card,
    algorithm: KeyAlgorithm,
}

impl Holder {
    /// Selects 公的個人認証AP.
    pub(super) fn new(mut card: Card, algorithm: KeyAlgorithm) -> Result<Self, HolderError> {
        card.reset();
        let mut holder = Self { card, algorithm };
        holder.transmit("SELECT", &[0x00, 0xA4, 0x04, 0x0C], &AID_JPKI, None)?;
        Ok(holder)
    }

    /// Signs a message with the active key of `kind`.
    pub(super) fn sign(&mut self, kind: CertificateKind, pin: &str, message: &[u8]) -> Result<Vec<u8>, HolderError> {
        self.verify(kind, pin)?;
        let to_be_signed = match self.algorithm {
            KeyAlgorithm::Rsa2048 => [&SHA256_DIGEST_INFO[..], &Sha256::digest(message)].concat(),
            KeyAlgorithm::EcP384 => Sha384::digest(message).to_vec(),
        };
        self.select(match kind {
            CertificateKind::Signature => fid::SIGN_KEY,
            CertificateKind::Authentication => fid::AUTH_KEY,
        })?;
        let signature =
            self.transmit("COMPUTE DIGITAL SIGNATURE", &[0x80, 0x2A, 0x00, 0x80], &to_be_signed, Some(0))?;
        Ok(signature.to_vec())
    }

    /// Reads the active certificate of `kind`. The one for signatures is read after its PIN.
    pub(super) fn certificate(&mut self, kind: CertificateKind, pin: &str) -> Result<Vec<u8>, HolderError> {
        let file = match kind {
            CertificateKind::Signature => {
                self.verify(kind, pin)?;
                fid::SIGN_CERTIFICATE
            }
            CertificateKind::Authentication => fid::AUTH_CERTIFICATE,
        };
        self.read(file)
    }

    /// The certificate of the authority that issues `kind`, as the card carries it.
    pub(super) fn authority(&mut self, kind: CertificateKind) -> Result<Vec<u8>, HolderError> {
        self.read(match kind {
            CertificateKind::Signature => fid::SIGN_CA_CERTIFICATE,
            CertificateKind::Authentication => fid::AUTH_CA_CERTIFICATE,
        })
    }

    fn verify(&mut self, kind: CertificateKind, pin: &str) -> Result<(), HolderError> {
        self.select(match kind {
            CertificateKind::Signature => fid::SIGN_PIN,
            CertificateKind::Authentication => fid::AUTH_PIN,
        })?;
        self.transmit("VERIFY", &[0x00, 0x20, 0x00, 0x80], pin.as_bytes(), None).map(drop)
    }

    fn select(&mut self, file: u16) -> Result<(), HolderError> {
        self.transmit("SELECT FILE", &[0x00, 0xA4, 0x02, 0x0C], &file.to_be_bytes(), None).map(drop)
    }

    /// A file that holds one DER structure, read piece by piece: its beginning tells its length.
    fn read(&mut self, file: u16) -> Result<Vec<u8>, HolderError> {
        self.select(file)?;
        let mut content = self.transmit("READ BINARY", &[0x00, 0xB0, 0x00, 0x00], &[], Some(0))?.to_vec();
        let length = der_length(&content).ok_or(HolderError::NoCertificate(file))?;
        while content.len() < length {
            let [high, low] = u16::try_from(content.len()).unwrap_or(u16::MAX).to_be_bytes();
            let piece = u8::try_from((length - content.len()).min(0x100) % 0x100).unwrap_or(0);
            content.extend_from_slice(&self.transmit("READ BINARY", &[0x00, 0xB0, high, low], &[], Some(piece))?);
        }
        content.truncate(length);
        Ok(content)
    }

    /// One command in its short form. An answer in pieces is fetched with GET RESPONSE (ISO/IEC 7816-4 §11.7.1).
    fn transmit(
        &mut self,
        name: &'static str,
        header: &[u8; 4],
        data: &[u8],
        le: Option<u8>,
    ) -> Result<Zeroizing<Vec<u8>>, HolderError> {
        let mut command = Zeroizing::new(header.to_vec());
        if !data.is_empty() {
            command.push(u8::try_from(data.len()).unwrap_or(u8::MAX));
            command.extend_from_slice(data);
        }
        command.extend(le);
        let mut whole = Zeroizing::new(Vec::new());
        loop {
            let answer = Zeroizing::new(self.card.transmit(&command));
            let (data, sw) = answer.split_at(answer.len().saturating_sub(2));
            whole.extend_from_slice(data);
            match *sw {
                [0x90, 0x00] => return Ok(whole),
                [0x61, more] => command = Zeroizing::new(vec![0x00, 0xC0, 0x00, 0x00, more]),
                [sw1, sw2] => {
                    return Err(HolderError::Refused { command: name, sw: u16::from_be_bytes([sw1, sw2]) });
                }
                _ => return Err(HolderError::Refused { command: name, sw: 0 }),
            }
        }
    }
}

/// Length of the DER structure that begins here, its header included.
fn der_length(bytes: &[u8]) -> Option<usize> {
    let mut reader = SliceReader::new(bytes).ok()?;
    let header = Header::decode(&mut reader).ok()?;
    usize::try_from((reader.position() + header.length).ok()?).ok()
}
