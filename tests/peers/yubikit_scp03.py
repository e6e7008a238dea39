"""yubikit against a card's security domain, through PC/SC: a secure channel, data, a new key, and what must be refused.

Arguments: the reader's name, `short` or `extended` (the form of commands that yubikit has to choose), the version of the card's
keys, and the keys K-ENC, K-MAC, K-DEK in hex. The exit status is 0 if all went as it should.
"""

import sys

from smartcard.System import readers
from ykman.pcsc import ScardSmartCardConnection
from yubikit.core import BadResponseError, Tlv
from yubikit.core.smartcard import SW, ApduError
from yubikit.core.smartcard.scp import KeyRef, Scp03KeyParams, StaticKeys
from yubikit.securitydomain import SecurityDomainSession

SCP03 = 0x01  # yubikit's name for the first of the three keys of a set
NEW_VERSION = 0x31
ISSUER_IDENTIFICATION = 0x42
CERTIFICATE_CHAIN = 0x7F21


class Line:
    """A connection that notes in which form the protected commands go."""

    def __init__(self, connection):
        self.connection = connection
        self.forms = set()

    def __getattr__(self, name):
        return getattr(self.connection, name)

    def send_and_receive(self, apdu):
        if apdu[0] & 0x04:
            self.forms.add("extended" if apdu[4] == 0 else "short")
        return self.connection.send_and_receive(apdu)


def refused(action, expected):
    """The status word, or the complaint, with which `action` is refused."""
    try:
        action()
    except (ApduError, ValueError) as error:
        # When a channel can't be opened, yubikit says that the parameters are wrong; why is behind it.
        cause = error if isinstance(error, ApduError) else error.__context__
        found = cause.sw if isinstance(cause, ApduError) else type(cause)
        assert found == expected, f"refused with {cause}, not {expected}"
    else:
        raise AssertionError("not refused")


def main(name, form, version, enc, mac, dek):
    version = int(version)
    keys = StaticKeys(*map(bytes.fromhex, (enc, mac, dek)))
    new_keys = StaticKeys(*(bytes(key[::-1]) for key in keys))
    [reader] = [reader for reader in readers() if reader.name == name]
    line = Line(ScardSmartCardConnection(reader.createConnection()))

    def opened(version, keys):
        session = SecurityDomainSession(line)
        session.authenticate(Scp03KeyParams(KeyRef(SCP03, version), keys))
        return session

    # A key that the card does not have, another key than the card's, and an answer that was made without any.
    refused(lambda: opened(0x44, keys), SW.REFERENCE_DATA_NOT_FOUND)
    refused(lambda: opened(version, new_keys), BadResponseError)
    session = SecurityDomainSession(line)
    session.protocol.send_apdu(0x80, 0x50, version, 0, bytes(8))
    refused(lambda: session.protocol.send_apdu(0x84, 0x82, 0x33, 0, bytes(16)), 0x6988)
    # Nothing is written without a channel.
    identification = Tlv(ISSUER_IDENTIFICATION, b"yubikit was here")
    store = lambda: session.protocol.send_apdu(0x80, 0xE2, 0x90, 0, identification)
    refused(store, SW.SECURITY_CONDITION_NOT_SATISFIED)

    session = opened(version, keys)
    assert list(session.get_key_information()) == [KeyRef(kid, version) for kid in (1, 2, 3)]
    session.get_card_recognition_data()
    session.store_data(identification)
    assert session.get_data(ISSUER_IDENTIFICATION) == b"yubikit was here"
    # yubikit sends no command of more than 3063 bytes.
    for length in (1, 127, 128, 255, 256, 1000, 3000):
        content = bytes(n % 251 for n in range(length))
        session.store_data(Tlv(CERTIFICATE_CHAIN, content))
        assert session.get_data(CERTIFICATE_CHAIN) == content, f"{length} bytes"

    session.put_key(KeyRef(SCP03, NEW_VERSION), new_keys)
    refused(lambda: opened(NEW_VERSION, keys), BadResponseError)
    session = opened(NEW_VERSION, new_keys)
    assert KeyRef(SCP03, NEW_VERSION) in session.get_key_information()
    session.delete_key(kvn=version)
    refused(lambda: opened(version, keys), SW.REFERENCE_DATA_NOT_FOUND)
    assert opened(NEW_VERSION, new_keys).get_data(CERTIFICATE_CHAIN) == content

    assert line.forms == {form}, f"commands were {line.forms}"
    line.close()
    print("as it should be")


main(*sys.argv[1:])
