//! The people at the counter, at a real terminal: questions in their language, PINs without a trace on the screen.

use std::fs::File;
use std::io::{self, IsTerminal, Write};
use std::sync::Arc;
use std::time::Duration;

use jpki::{CertificateKind, PinError, TextField};
use madoguchi_time::{Deadline, SharedClock};
use orchestrator::{Declined, People, Question};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::termios::{LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcsetattr};
use zeroize::Zeroizing;

use crate::explanation;
use crate::messages::Messages;

/// The longest line that is taken, in bytes. Longer than any PIN in UTF-8.
const LONGEST_LINE: usize = 64;
/// How often a new PIN may be typed in two different ways before the terminal takes it for a cancellation.
const ATTEMPTS: usize = 3;
/// Digits of 照合番号B.
const FACE_CODE_DIGITS: usize = 14;

/// [`People`] at the process's controlling terminal. What they type never passes through standard input, so that a
/// script can't put a PIN on a command line.
pub struct TerminalPeople {
    terminal: File,
    messages: Arc<Messages>,
    clock: SharedClock,
}

impl TerminalPeople {
    /// People at the process's terminal.
    ///
    /// # Errors
    /// If standard input is no terminal, or there is no terminal at all.
    pub fn open(messages: Arc<Messages>, clock: SharedClock) -> io::Result<Self> {
        if !io::stdin().is_terminal() {
            return Err(io::Error::other("standard input is not a terminal"));
        }
        let terminal = File::options().read(true).write(true).open("/dev/tty")?;
        Ok(Self::at(terminal, messages, clock))
    }

    /// People at `terminal`, which must be one.
    fn at(terminal: File, messages: Arc<Messages>, clock: SharedClock) -> Self {
        Self { terminal, messages, clock }
    }

    fn say(&self, text: &str) -> Result<(), Declined> {
        // Who can't be spoken to can't answer.
        writeln!(&self.terminal, "{text}\r").map_err(|_| Declined)
    }

    fn format_of(&self, kind: CertificateKind) -> String {
        self.messages.get(match kind {
            CertificateKind::Authentication => "people-pin-format-authentication",
            CertificateKind::Signature => "people-pin-format-signature",
        })
    }

    /// A line that is typed after `prompt`, shown or hidden.
    fn line(&self, prompt: &str, shown: Shown, deadline: Deadline) -> Result<Zeroizing<String>, Declined> {
        let _quiet = QuietTerminal::enter(&self.terminal).map_err(|_| Declined)?;
        self.keys(prompt, shown, deadline)
    }

    fn keys(&self, prompt: &str, shown: Shown, deadline: Deadline) -> Result<Zeroizing<String>, Declined> {
        // Reserved at once: a buffer that grows leaves copies behind.
        let mut typed = Zeroizing::new(Vec::with_capacity(LONGEST_LINE));
        self.write(prompt.as_bytes())?;
        self.write(b": ")?;
        loop {
            match self.key(deadline)? {
                b'\r' | b'\n' => break,
                // Ctrl-C, Ctrl-D
                0x03 | 0x04 => {
                    self.write(b"\r\n")?;
                    return Err(Declined);
                }
                // Backspace, delete
                0x08 | 0x7F => {
                    let erased = erase_last_character(&mut typed);
                    if erased && shown == Shown::Yes {
                        self.write(b"\x08 \x08")?;
                    }
                }
                // Ctrl-U
                0x15 if shown == Shown::No => typed.clear(),
                byte if byte.is_ascii_control() => {}
                byte if typed.len() < LONGEST_LINE => {
                    typed.push(byte);
                    if shown == Shown::Yes {
                        self.write(&[byte])?;
                    }
                }
                _ => {}
            }
        }
        self.write(b"\r\n")?;
        let mut text = Zeroizing::new(String::with_capacity(LONGEST_LINE));
        // Bytes that are no text can be no PIN: they count as nothing typed.
        text.push_str(std::str::from_utf8(&typed).unwrap_or_default());
        Ok(text)
    }

    fn write(&self, bytes: &[u8]) -> Result<(), Declined> {
        (&self.terminal).write_all(bytes).map_err(|_| Declined)
    }

    /// The next key, or nothing if the deadline passes.
    fn key(&self, deadline: Deadline) -> Result<u8, Declined> {
        loop {
            let remaining = deadline.remaining(&*self.clock);
            if remaining == Duration::ZERO {
                return Err(Declined);
            }
            let timeout = Timespec::try_from(remaining).ok();
            let mut terminals = [PollFd::new(&self.terminal, PollFlags::IN)];
            match poll(&mut terminals, timeout.as_ref()) {
                Ok(0) => return Err(Declined),
                Ok(_) => {
                    let mut key = Zeroizing::new([0]);
                    return match rustix::io::read(&self.terminal, &mut *key) {
                        Ok(1) => Ok(key[0]),
                        // The terminal was closed.
                        _ => Err(Declined),
                    };
                }
                Err(rustix::io::Errno::INTR) => {}
                Err(_) => return Err(Declined),
            }
        }
    }
}

/// Is what is typed seen on the screen?
#[derive(Clone, Copy, PartialEq, Eq)]
enum Shown {
    Yes,
    No,
}

/// A terminal that gives key by key and shows nothing by itself. Put back on drop.
struct QuietTerminal<'a> {
    terminal: &'a File,
    before: Termios,
}

impl<'a> QuietTerminal<'a> {
    fn enter(terminal: &'a File) -> rustix::io::Result<Self> {
        let before = tcgetattr(terminal)?;
        let mut quiet = before.clone();
        // Without signals, Ctrl-C is a key like any other, and the terminal is put back in every case.
        quiet.local_modes -= LocalModes::ECHO | LocalModes::ECHONL | LocalModes::ICANON | LocalModes::ISIG;
        quiet.special_codes[SpecialCodeIndex::VMIN] = 1;
        quiet.special_codes[SpecialCodeIndex::VTIME] = 0;
        // What was typed before the question is no answer to it.
        tcsetattr(terminal, OptionalActions::Flush, &quiet)?;
        Ok(Self { terminal, before })
    }
}

impl Drop for QuietTerminal<'_> {
    fn drop(&mut self) {
        if let Err(error) = tcsetattr(self.terminal, OptionalActions::Flush, &self.before) {
            tracing::warn!(%error, "the terminal could not be put back");
        }
    }
}

/// Removes the last character, which may have several bytes. False if there is none.
fn erase_last_character(typed: &mut Zeroizing<Vec<u8>>) -> bool {
    while let Some(byte) = typed.pop() {
        // The first byte of a character in UTF-8 is not 10xxxxxx.
        if byte & 0xC0 != 0x80 {
            return true;
        }
    }
    false
}

impl People for TerminalPeople {
    fn choose_pin(&mut self, kind: CertificateKind, deadline: Deadline) -> Result<Zeroizing<String>, Declined> {
        let args = [("certificate", self.messages.certificate(kind).into()), ("format", self.format_of(kind).into())];
        let prompt = self.messages.text("people-choose-pin", &args);
        let again = self.messages.get("people-repeat-pin");
        self.say(&self.messages.get("people-pin-hidden"))?;
        for _ in 0..ATTEMPTS {
            let first = self.line(&prompt, Shown::No, deadline)?;
            let second = self.line(&again, Shown::No, deadline)?;
            if first == second {
                return Ok(first);
            }
            self.say(&self.messages.get("people-pins-differ"))?;
        }
        Err(Declined)
    }

    fn enter_pin(
        &mut self,
        kind: CertificateKind,
        tries_left: u8,
        deadline: Deadline,
    ) -> Result<Zeroizing<String>, Declined> {
        let args = [
            ("certificate", self.messages.certificate(kind).into()),
            ("format", self.format_of(kind).into()),
            ("tries", tries_left.into()),
        ];
        let prompt = self.messages.text("people-enter-pin", &args);
        self.say(&self.messages.get("people-pin-hidden"))?;
        self.line(&prompt, Shown::No, deadline)
    }

    fn pin_refused(&mut self, _kind: CertificateKind, reason: &PinError) {
        let reason = explanation::pin(&self.messages, reason);
        // If nobody reads it, the next question finds out.
        let _ = self.say(&self.messages.text("people-pin-refused", &[("reason", reason.into())]));
    }

    fn card_face_code(&mut self, deadline: Deadline) -> Result<Zeroizing<String>, Declined> {
        let prompt = self.messages.get("people-card-face-code");
        loop {
            let code = self.line(&prompt, Shown::Yes, deadline)?;
            if code.len() == FACE_CODE_DIGITS && code.bytes().all(|byte| byte.is_ascii_digit()) {
                return Ok(code);
            }
            self.say(&self.messages.get("people-card-face-code-format"))?;
        }
    }

    fn choose_substitute(
        &mut self,
        text: TextField,
        position: usize,
        deadline: Deadline,
    ) -> Result<Zeroizing<String>, Declined> {
        let text = match text {
            TextField::Name => "people-text-name",
            TextField::Alias => "people-text-alias",
            TextField::Address => "people-text-address",
        };
        let args = [("text", self.messages.get(text).into()), ("position", position.into())];
        let prompt = self.messages.text("people-choose-substitute", &args);
        self.line(&prompt, Shown::Yes, deadline)
    }

    fn confirm(&mut self, question: Question, deadline: Deadline) -> Result<bool, Declined> {
        let question = match question {
            Question::ApplicantIsHere => self.messages.get("people-applicant-is-here"),
            Question::SubstitutedCharacters(count) => {
                self.messages.text("people-substituted-characters", &[("count", count.into())])
            }
            Question::OverwritesInPlace => self.messages.get("people-overwrites-in-place"),
            // A question that can't be put into words can't be answered.
            _ => return Err(Declined),
        };
        let prompt = format!("{question} {}", self.messages.get("people-yes-no"));
        loop {
            match self.line(&prompt, Shown::Yes, deadline)?.as_str() {
                "y" | "Y" => return Ok(true),
                "n" | "N" => return Ok(false),
                _ => self.say(&self.messages.get("people-yes-no-again"))?,
            }
        }
    }
}

/// [`People`] where nobody is: every question is declined.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Nobody;

impl People for Nobody {
    fn choose_pin(&mut self, _: CertificateKind, _: Deadline) -> Result<Zeroizing<String>, Declined> {
        Err(Declined)
    }

    fn enter_pin(&mut self, _: CertificateKind, _: u8, _: Deadline) -> Result<Zeroizing<String>, Declined> {
        Err(Declined)
    }

    fn pin_refused(&mut self, _: CertificateKind, _: &PinError) {}

    fn card_face_code(&mut self, _: Deadline) -> Result<Zeroizing<String>, Declined> {
        Err(Declined)
    }

    fn choose_substitute(&mut self, _: TextField, _: usize, _: Deadline) -> Result<Zeroizing<String>, Declined> {
        Err(Declined)
    }

    fn confirm(&mut self, _: Question, _: Deadline) -> Result<bool, Declined> {
        Err(Declined)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::time::Duration;

    use madoguchi_time::SystemClock;
    use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

    use super::*;
    use crate::Language;

    /// A pseudo-terminal: the keyboard and screen side, and people at the other.
    fn people() -> (File, TerminalPeople, Deadline) {
        let keyboard = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&keyboard).unwrap();
        unlockpt(&keyboard).unwrap();
        let name = ptsname(&keyboard, Vec::new()).unwrap();
        let terminal = File::options().read(true).write(true).open(name.to_str().unwrap()).unwrap();
        let clock = SystemClock::shared();
        let deadline = clock.deadline_in(Duration::from_secs(10));
        let messages = Arc::new(Messages::new(Language::En));
        (keyboard.into(), TerminalPeople::at(terminal, messages, clock), deadline)
    }

    /// Types each line as soon as the screen shows a prompt, and gives all that the screen showed.
    fn type_lines(mut keyboard: File, lines: &'static [&'static str]) -> std::thread::JoinHandle<String> {
        std::thread::spawn(move || {
            let mut screen = Vec::new();
            let mut seen = 0;
            for line in lines {
                while !screen[seen..].ends_with(b": ") {
                    let mut bytes = [0; 256];
                    let length = keyboard.read(&mut bytes).unwrap();
                    screen.extend_from_slice(&bytes[..length]);
                }
                seen = screen.len();
                keyboard.write_all(line.as_bytes()).unwrap();
            }
            // Reading ends with an error when the other side has closed the terminal.
            let _ = keyboard.read_to_end(&mut screen);
            String::from_utf8_lossy(&screen).into_owned()
        })
    }

    #[test]
    fn a_pin_is_taken_twice_and_never_shown() {
        let (keyboard, mut people, deadline) = people();
        let typing = type_lines(keyboard, &["8264\r", "8265\r", "82é\x7f7\x7f64\r", "8264\r"]);
        let pin = people.choose_pin(CertificateKind::Authentication, deadline).unwrap();
        assert_eq!(pin.as_str(), "8264");
        drop(people);
        let screen = typing.join().unwrap();
        assert!(screen.contains("not the same"), "{screen}");
        assert!(!screen.contains("826"), "{screen}");
    }

    #[test]
    fn a_question_is_put_until_it_is_answered() {
        let (keyboard, mut people, deadline) = people();
        let typing = type_lines(keyboard, &["perhaps\r", "y\r"]);
        assert_eq!(people.confirm(Question::ApplicantIsHere, deadline), Ok(true));
        drop(people);
        assert!(typing.join().unwrap().contains("perhaps"), "what the clerk types is shown");
    }

    #[test]
    fn ctrl_c_and_the_deadline_cancel() {
        let (keyboard, mut people, deadline) = people();
        let typing = type_lines(keyboard, &["82\x03"]);
        assert_eq!(people.enter_pin(CertificateKind::Signature, 4, deadline), Err(Declined));
        drop(people);
        typing.join().unwrap();

        let (_keyboard, mut people, _) = self::people();
        let passed = people.clock.deadline_in(Duration::ZERO);
        assert_eq!(people.confirm(Question::ApplicantIsHere, passed), Err(Declined));
    }
}
