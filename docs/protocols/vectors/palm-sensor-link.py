#!/usr/bin/env python3
"""Makes palm-sensor-link.json: a secure link of PVHID/1 (docs/protocols/palm-sensor.md §5), computed with Python's
`cryptography` (>= 45, for deterministic signatures) and not with the code under test.

    python3 palm-sensor-link.py > palm-sensor-link.json
"""

import hashlib
import hmac
import json

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.kdf.kbkdf import KBKDFHMAC, CounterLocation, Mode
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat


def sha256(*parts):
    return hashlib.sha256(b"".join(parts)).digest()


def secret(name):
    return ec.derive_private_key(int.from_bytes(sha256(b"vector: ", name.encode())), ec.SECP256R1())


def raw(key):
    return key.private_numbers().private_value.to_bytes(32)


def point(key):
    return key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)


def sign(key, message):
    r, s = decode_dss_signature(key.sign(message, ec.ECDSA(hashes.SHA256(), deterministic_signing=True)))
    return r.to_bytes(32) + s.to_bytes(32)


def derive(key, label, context, length):
    # SP 800-108, counter mode: the library writes counter (4), label, 00, context, bits (4).
    return KBKDFHMAC(
        algorithm=hashes.SHA256(), mode=Mode.CounterMode, length=length, rlen=4, llen=4,
        location=CounterLocation.BeforeFixed, label=label, context=context, fixed=None,
    ).derive(key)


def mac(key, label, *parts):
    return hmac.digest(key, label + b"\0" + b"".join(parts), "sha256")


model, device, firmware_key, host = (secret(name) for name in ("model", "device", "firmware", "host"))
host_random, sensor_random = sha256(b"host random"), sha256(b"sensor random")
firmware = sha256(b"firmware image")

claim = (
    point(model) + point(device) + point(firmware_key) + firmware + sign(model, point(device))
    + sign(device, b"\xC0\x01" + firmware + point(firmware_key))
)
shared = host.exchange(ec.ECDH(), firmware_key.public_key())
master = derive(shared, b"master secret", host_random + sensor_random, 32)
keys = derive(master, b"application keys", b"", 64)
mac_key, cipher_key = keys[:32], keys[32:]

info = bytes.fromhex("0280 01E0 08 0118 02 0352 0294") + b"".join(
    bytes([len(text)]) + text for text in (b"Maker", b"Model", b"SIM-1", b"1.0")
)
nonce = sha256(b"nonce")
capture = nonce + (9500).to_bytes(4) + b"\2" + (850).to_bytes(2) + (660).to_bytes(2)
retry = b"\1" + nonce + b"\2"
stream = bytes(range(50))
frame = 7
cipher = Cipher(algorithms.AES(cipher_key), modes.CTR(frame.to_bytes(4) + bytes(12))).encryptor()

vector = {
    "model_secret": raw(model),
    "device_secret": raw(device),
    "firmware_secret": raw(firmware_key),
    "host_secret": raw(host),
    "host_random": host_random,
    "sensor_random": sensor_random,
    "firmware": firmware,
    "attest_request": host_random + point(host),
    "shared": shared,
    "master_secret": master,
    "mac_key": mac_key,
    "cipher_key": cipher_key,
    "claim": claim,
    "attest_answer": sensor_random + claim + mac(mac_key, b"connect", sha256(claim)),
    "info_answer": info + mac(mac_key, b"info", info),
    "capture_request": capture,
    "retry_answer": retry + mac(mac_key, b"sample", capture, retry),
    "frame": frame.to_bytes(4),
    "stream": stream,
    "enciphered": cipher.update(stream),
}
print(json.dumps({name: value.hex() for name, value in vector.items()}, indent=1))
