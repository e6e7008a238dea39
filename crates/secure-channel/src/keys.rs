//! What goes into a channel's session keys, and the keys themselves. The HSM port derives them; the channel uses them.

use std::fmt;

use zeroize::Zeroizing;

/// What the session keys of one card channel depend on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionDerivation {
    /// Key version number, 0x01–0x7F.
    pub key_version: u8,
    /// Key diversification data, as the card gives them (10 bytes).
    pub diversification: [u8; 10],
    /// Length of the card's AES keys in bytes: 16, 24 or 32.
    pub key_length: usize,
    /// The host's challenge: 8 bytes in S8 mode, 16 in S16 mode.
    pub host_challenge: Vec<u8>,
    /// The card's challenge, of the same length.
    pub card_challenge: Vec<u8>,
}

/// The session keys of one card channel. Wiped when dropped.
#[derive(zeroize::ZeroizeOnDrop)]
pub struct SessionKeys {
    /// S-ENC: enciphers.
    pub enc: Vec<u8>,
    /// S-MAC: authenticates commands, and gives the cryptograms.
    pub mac: Vec<u8>,
    /// S-RMAC: authenticates responses.
    pub rmac: Vec<u8>,
}

impl fmt::Debug for SessionKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionKeys").finish_non_exhaustive()
    }
}

/// The static keys of one card. Wiped when dropped; they belong into an HSM, or into a simulated card.
pub struct CardKeys {
    /// K-ENC: session keys for enciphering come from it.
    pub enc: Zeroizing<Vec<u8>>,
    /// K-MAC: session keys for authentication come from it.
    pub mac: Zeroizing<Vec<u8>>,
    /// K-DEK: enciphers keys that are sent to the card.
    pub dek: Zeroizing<Vec<u8>>,
}

impl fmt::Debug for CardKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CardKeys").finish_non_exhaustive()
    }
}
