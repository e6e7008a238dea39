//! GlobalPlatform SCP03, the host side
