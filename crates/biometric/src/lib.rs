//! The biometric port: palm sensors, HID framing, verifiers, contract suite
