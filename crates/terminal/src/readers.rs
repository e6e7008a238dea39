//! Which of the PC/SC service's readers a card is looked for in.

use std::sync::Arc;
use std::time::Duration;

use card_reader_pcsc::{ReaderChoice, ReaderEvent, ReaderWatch};
use cli::Site;
use madoguchi_time::Deadline;

/// How long the service may take to tell which readers it has.
const PATIENCE: Duration = Duration::from_millis(500);

/// The reader that the site names, else those that the device table knows. If none is there yet, any that comes.
pub(crate) fn choice(site: &Site) -> ReaderChoice {
    if let Some(part) = &site.card_reader {
        return ReaderChoice::Containing(vec![part.clone()]);
    }
    let there = readers(site);
    if there.is_empty() {
        return ReaderChoice::Any;
    }
    let known = there.iter().filter(|name| site.means_reader(name));
    ReaderChoice::Containing(known.map(|name| without_numbers(name).to_owned()).collect())
}

/// The readers that the service has now; none if it can't be asked, as the first use of the reader tells why.
fn readers(site: &Site) -> Vec<String> {
    let mut watch = ReaderWatch::new(ReaderChoice::Any, Arc::clone(&site.clock));
    let mut names = Vec::new();
    // The first events tell what is there; what happens later is not waited for.
    let mut next = site.clock.deadline_in(PATIENCE);
    while let Ok(event) = watch.next_event(next) {
        next = Deadline::at(site.clock.now());
        if let ReaderEvent::ReaderArrived { reader } = event {
            names.push(reader);
        }
    }
    names
}

/// A reader's name without the two numbers that the service adds, which change when readers are plugged in another order.
fn without_numbers(name: &str) -> &str {
    let is_number = |text: &str| text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let mut words = name.rsplitn(3, ' ');
    match (words.next(), words.next(), words.next()) {
        (Some(last), Some(before), Some(rest)) if is_number(last) && is_number(before) => rest,
        _ => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_services_numbers_are_taken_off_and_nothing_else() {
        for (name, expected) in [
            (
                "SCM Microsystems Inc. SCR 3310 [CCID Interface] 00 00",
                "SCM Microsystems Inc. SCR 3310 [CCID Interface]",
            ),
            ("ACS ACR39U ICC 0A 01", "ACS ACR39U ICC"),
            ("Reader 38", "Reader 38"),
            ("Reader", "Reader"),
            ("", ""),
        ] {
            assert_eq!(without_numbers(name), expected);
        }
    }
}
