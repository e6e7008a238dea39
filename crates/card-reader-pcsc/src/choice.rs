use std::fmt;

/// Which reader is meant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReaderChoice {
    /// The reader of exactly this name, as the service lists it.
    Named(String),
    /// Any reader whose name has one of these parts, upper and lower case alike: the product names of a device table. The
    /// numbers that the service adds at the end change when readers are plugged in another order, so they are best left out.
    Containing(Vec<String>),
    /// Any reader whose name has none of these parts, upper and lower case alike: the names in a device table of what the service
    /// takes for a reader and is no place for a card.
    Except(Vec<String>),
    /// Any reader that is there.
    #[default]
    Any,
}

impl ReaderChoice {
    /// Is this reader meant?
    #[must_use]
    pub fn matches(&self, name: &str) -> bool {
        match self {
            Self::Named(exact) => name == exact,
            Self::Containing(parts) => has_part(name, parts),
            Self::Except(parts) => !has_part(name, parts),
            Self::Any => true,
        }
    }
}

fn has_part(name: &str, parts: &[String]) -> bool {
    let name = name.to_lowercase();
    parts.iter().any(|part| name.contains(&part.to_lowercase()))
}

/// The name or its parts, for messages; `*` is any.
impl fmt::Display for ReaderChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Named(exact) => f.write_str(exact),
            Self::Containing(parts) => f.write_str(&parts.join(" | ")),
            Self::Except(_) | Self::Any => f.write_str("*"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_match_whole_or_in_part() {
        let name = "SCM Microsystems Inc. SCR 3310 [CCID Interface] 00 00";
        assert!(ReaderChoice::Any.matches(name));
        assert!(ReaderChoice::Named(name.into()).matches(name));
        assert!(!ReaderChoice::Named("SCR 3310".into()).matches(name));
        assert!(ReaderChoice::Containing(vec!["RC-S300".into(), "scr 3310".into()]).matches(name));
        assert!(!ReaderChoice::Containing(vec!["RC-S300".into()]).matches(name));
        assert!(!ReaderChoice::Containing(vec![]).matches(name));
        assert!(ReaderChoice::Except(vec!["YubiKey".into()]).matches(name));
        assert!(!ReaderChoice::Except(vec!["YubiKey".into(), "scr 3310".into()]).matches(name));
        assert!(ReaderChoice::Except(vec![]).matches(name));
    }
}
