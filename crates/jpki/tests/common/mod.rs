//! Files of a real JPKI test card, which the package `myna-card` carries.

use std::path::PathBuf;
use std::process::Command;
use std::sync::LazyLock;

static FIXTURES: LazyLock<PathBuf> = LazyLock::new(|| {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--locked", "--offline", "--filter-platform"])
        .arg(format!("{}-unknown-linux-gnu", std::env::consts::ARCH))
        .args(["--manifest-path", concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")])
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).expect("cargo writes JSON");
    let packages = metadata["packages"].as_array().expect("packages");
    let package = packages.iter().find(|package| package["name"] == "myna-card").expect("myna-card is a dependency");
    let manifest = PathBuf::from(package["manifest_path"].as_str().expect("a path"));
    manifest.with_file_name("tests").join("fixtures")
});

/// A file of the test card.
pub(crate) fn fixture(name: &str) -> Vec<u8> {
    std::fs::read(FIXTURES.join(name)).expect("the package carries the file")
}
