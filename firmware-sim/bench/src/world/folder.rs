//! Where the things of a world are.

use std::path::{Path, PathBuf};

/// The folder of a world.
#[derive(Clone, Debug)]
pub struct WorldFolder(PathBuf);

impl WorldFolder {
    pub(super) fn new(root: impl Into<PathBuf>) -> Self {
        Self(root.into())
    }

    /// Is a world at `path`, or one that is being made?
    #[must_use]
    pub fn is_at(path: &Path) -> bool {
        let folder = Self::new(path);
        folder.simulators().is_dir() && folder.authority().is_dir()
    }

    /// The folder itself: the terminal's state folder.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.0
    }

    /// The resident register.
    #[must_use]
    pub fn register(&self) -> PathBuf {
        self.0.join("register.csv")
    }

    /// The authority's folder.
    #[must_use]
    pub fn authority(&self) -> PathBuf {
        self.0.join("authority")
    }

    /// The simulators' folder.
    #[must_use]
    pub fn simulators(&self) -> PathBuf {
        self.0.join("sim")
    }

    /// What a resident's own programs have read from the card.
    #[must_use]
    pub fn holder(&self) -> PathBuf {
        self.simulators().join("holder")
    }

    /// The file of the terminal's HSM.
    #[must_use]
    pub fn terminal_hsm(&self) -> PathBuf {
        self.simulators().join("terminal.hsm")
    }

    /// What the cards' maker keeps of the master key, if the terminal's HSM is a token.
    #[must_use]
    pub fn card_factory(&self) -> PathBuf {
        self.simulators().join("factory.hsm")
    }

    /// The memory of the card with this serial number.
    #[must_use]
    pub fn card(&self, serial: &str) -> PathBuf {
        self.simulators().join(format!("card-{serial}.nvm"))
    }

    /// Pictures of people's palms, in a folder for each.
    #[must_use]
    pub fn palms(&self) -> PathBuf {
        self.simulators().join("palms")
    }

    /// The terminal's own temporary folder.
    #[must_use]
    pub fn temp(&self) -> PathBuf {
        self.simulators().join("temp")
    }

    /// What is in this folder and not the terminal's: the municipality's register, the authority's store, the residents' cards and what
    /// they have read from them, the cards' maker's key, people's hands.
    #[must_use]
    pub fn not_the_terminals(&self) -> Vec<PathBuf> {
        let cards = std::fs::read_dir(self.simulators()).into_iter().flatten().filter_map(Result::ok);
        let cards = cards.map(|entry| entry.path()).filter(|path| {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            name.starts_with("card-") && name.ends_with(".nvm")
        });
        [self.register(), self.authority(), self.holder(), self.palms(), self.card_factory()]
            .into_iter()
            .chain(cards)
            .collect()
    }

    pub(super) fn record(&self) -> PathBuf {
        self.simulators().join("world.toml")
    }
}
