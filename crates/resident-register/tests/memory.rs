//! After a look-up nothing that was read is in the memory of the process: not the resident who was found and made into an application, not the
//! others whom the search passed over.
//!
//! The words searched for are kept masked, so that the search does not find itself.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a failure is to be a panic")]

use std::fs::File;
use std::io::Write;
use std::os::unix::fs::FileExt;

use jiff::civil::date;
use jpki::{Application, ApplicationChoices, SubstitutionTable};
use resident_register::{CsvRegister, ResidentRegister};
use zeroize::Zeroizing;

const MASK: u8 = 0x2A;

const fn masked<const N: usize>(text: &[u8; N]) -> [u8; N] {
    let mut masked = *text;
    let mut index = 0;
    while index < N {
        masked[index] ^= MASK;
        index += 1;
    }
    masked
}

/// Family name, given name and street of each resident, in ASCII for legibility here.
const WORDS: [[[u8; 12]; 3]; 3] = [
    [masked(b"QUENDELSTRUP"), masked(b"ZYGMUNTINKAX"), masked(b"FJORDWALZING")],
    [masked(b"BRIXTHUMPEDO"), masked(b"VEXILLONAXUQ"), masked(b"KLYPHMOZARDE")],
    [masked(b"WUPPJANGDOSK"), masked(b"TRYMBOLQUAVE"), masked(b"GNOSTWICKHYR")],
];

/// A word as the register has it, and as the application has it: in full width.
#[derive(Clone, Copy)]
enum Form {
    Ascii,
    FullWidth,
}

impl Form {
    /// Does `memory` begin with the word?
    fn begins(self, memory: &[u8], word: &[u8; 12]) -> bool {
        let unmasked = word.iter().map(|byte| byte ^ MASK);
        match self {
            Self::Ascii => memory.len() >= 12 && memory.iter().zip(unmasked).all(|(found, byte)| *found == byte),
            // Ａ to Ｚ are U+FF21 to U+FF3A, in UTF-8 EF BC A1 to EF BC BA.
            Self::FullWidth => {
                memory.len() >= 36
                    && memory.chunks(3).zip(unmasked).all(|(found, byte)| found == [0xEF, 0xBC, byte + 0x60])
            }
        }
    }
}

/// How often each word stands in the process's writable memory.
fn occurrences(form: Form) -> [[usize; 3]; 3] {
    /// Pieces overlap by what the longest form needs.
    const OVERLAP: usize = 35;
    let memory = File::open("/proc/self/mem").unwrap();
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    let mut buffer = vec![0; 1 << 20];
    let mut counts = [[0; 3]; 3];
    for map in maps.lines().filter(|map| map.split(' ').nth(1).is_some_and(|rights| rights.starts_with("rw"))) {
        let (start, end) = map.split(' ').next().unwrap().split_once('-').unwrap();
        let (mut at, end) = (u64::from_str_radix(start, 16).unwrap(), u64::from_str_radix(end, 16).unwrap());
        while at < end {
            let length = usize::try_from(end - at).unwrap().min(buffer.len());
            let Ok(read) = memory.read_at(&mut buffer[..length], at) else { break };
            let is_last = read <= OVERLAP || at + read as u64 == end;
            // What begins in the overlap belongs to the next piece.
            for start in 0..if is_last { read } else { read - OVERLAP } {
                if !(buffer[start].is_ascii_uppercase() || buffer[start] == 0xEF) {
                    continue;
                }
                for (counts, words) in counts.iter_mut().zip(&WORDS) {
                    for (count, word) in counts.iter_mut().zip(words) {
                        *count += usize::from(form.begins(&buffer[start..read], word));
                    }
                }
            }
            buffer[..read].fill(0);
            if is_last {
                break;
            }
            at += (read - OVERLAP) as u64;
        }
    }
    counts
}

fn write_register(file: &mut File) {
    let unmask = |word: &[u8; 12]| Zeroizing::new(word.map(|byte| byte ^ MASK));
    file.write_all("宛名番号,氏名,住所,生年月日,性別\n".as_bytes()).unwrap();
    for (number, [family, given, street]) in WORDS.iter().enumerate() {
        write!(file, "{number},").unwrap();
        file.write_all(&*unmask(family)).unwrap();
        file.write_all("　".as_bytes()).unwrap();
        file.write_all(&*unmask(given)).unwrap();
        file.write_all(",東京都".as_bytes()).unwrap();
        file.write_all(&*unmask(street)).unwrap();
        file.write_all(",1980-02-17,男\n".as_bytes()).unwrap();
    }
}

#[test]
fn nothing_of_a_look_up_stays_in_memory() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    write_register(file.as_file_mut());
    assert_eq!(occurrences(Form::Ascii), [[0; 3]; 3], "writing the file left traces");

    let mut register = CsvRegister::open(file.path()).unwrap();
    let resident = register.find("1").unwrap().unwrap();
    // The search finds what is there: the living resident, and nobody else.
    let [first, second, third] = occurrences(Form::Ascii);
    assert!(second.iter().all(|count| *count > 0), "{second:?}");
    assert_eq!([first, third], [[0; 3]; 2]);

    let choices = ApplicationChoices::default();
    let application =
        Application::from_resident(&resident, date(2026, 7, 1), SubstitutionTable::builtin(), &choices).unwrap();
    let [first, second, third] = occurrences(Form::FullWidth);
    assert!(second.iter().all(|count| *count > 0), "{second:?}");
    assert_eq!([first, third], [[0; 3]; 2]);

    drop(resident);
    drop(application);
    assert!(register.find("9").unwrap().is_none());
    assert_eq!(CsvRegister::validate(file.path()).unwrap(), []);
    assert_eq!([occurrences(Form::Ascii), occurrences(Form::FullWidth)], [[[0; 3]; 3]; 2]);
}
