//! The CSV backend: the contract, the documented format, and what is said about faulty lines.

#![expect(clippy::unwrap_used, reason = "a failure is to be a panic")]

use std::io::Write;
use std::path::Path;

use jiff::civil::date;
use jpki::{Application, ApplicationChoices, Resident, Sex, SubstitutionTable};
use proptest::prelude::*;
use resident_register::contract::{Fixture, residents};
use resident_register::{
    Column, CsvRegister, FaultyLine, Problem, RegisterError, ResidentRegister, contract_suite, write,
};
use tempfile::NamedTempFile;

fn file(contents: &[u8]) -> NamedTempFile {
    let mut file = NamedTempFile::new().unwrap();
    file.write_all(contents).unwrap();
    file
}

fn csv(residents: &[Resident]) -> Vec<u8> {
    let mut csv = Vec::new();
    write(residents, &mut csv).unwrap();
    csv
}

fn register_holding(residents: &[Resident]) -> Fixture {
    let file = file(&csv(residents));
    Fixture { register: Box::new(CsvRegister::open(file.path()).unwrap()), keep: Box::new(file) }
}

contract_suite!(register_holding);

fn faults(contents: &[u8]) -> Vec<(u64, Option<Column>, Problem)> {
    let faults = CsvRegister::validate(file(contents).path()).unwrap();
    faults.into_iter().map(|FaultyLine { line, column, problem, .. }| (line, column, problem)).collect()
}

const HEADER: &str = "宛名番号,氏名,旧氏,通称,住所,生年月日,性別,在留期間満了日\n";

#[test]
fn every_faulty_line_is_named() {
    let lines = [
        "1,佐藤　一郎,,,東京都,1980-02-17,男,",
        "2,佐藤　二郎,,,東京都,1980-02-30,男,",
        "3,,,,東京都,17.2.1980,M,",
        "",
        "4,佐藤　四郎,,,東京都,みどり区,1980-02-17,男,",
        "1,佐藤　五郎,,,東京都,1980-02-17,男,",
        "6a,\"佐藤\n六郎\",,,東京都,1980-02-17,女,1979-01-01",
        "7,佐藤　七子",
        "0001,佐藤　八子,,,東京都,1980/2/7,女,2026-13-01",
    ];
    let contents = HEADER.to_owned() + &lines.join("\r\n") + "\r\n9,九,,," + &"町".repeat(201) + ",1980-02-17,女,";
    let expected = [
        (3, Some(Column::Birth), Problem::NotADate),
        (4, Some(Column::Name), Problem::Empty),
        (4, Some(Column::Birth), Problem::NotADate),
        (4, Some(Column::Sex), Problem::NotASex),
        (6, None, Problem::FieldCount { expected: 8, found: 9 }),
        (7, Some(Column::Number), Problem::DuplicateNumber { first: 2 }),
        (8, Some(Column::Number), Problem::NotANumber),
        (8, Some(Column::Name), Problem::ControlCharacter),
        (8, Some(Column::StayUntil), Problem::BeforeBirth),
        (10, None, Problem::FieldCount { expected: 8, found: 2 }),
        (11, Some(Column::StayUntil), Problem::NotADate),
        (12, Some(Column::Address), Problem::TooLong { most: 200 }),
    ];
    assert_eq!(faults(contents.as_bytes()), expected);
}

#[test]
fn messages_say_where_and_what_but_not_who() {
    let faults = CsvRegister::validate(file(format!("{HEADER}1,佐藤　一郎,,,東京都,1980-02-31,男,").as_bytes()).path());
    let message = faults.unwrap()[0].to_string();
    assert_eq!(message, "line 2, 生年月日: not a date such as 1980-02-17 or 1980/2/17");
}

#[test]
fn faulty_headers_are_named() {
    let line = "1,佐藤　一郎,,,東京都,1980-02-17,男,\n";
    for (header, expected) in [
        ("", vec![(1, None, Problem::EmptyFile)]),
        ("\n\r\n", vec![(1, None, Problem::EmptyFile)]),
        (
            "number,name,address,address,birth,旧性",
            vec![
                (1, Some(Column::Address), Problem::RepeatedColumn),
                (1, None, Problem::UnknownColumn { number: 6 }),
                (1, Some(Column::Sex), Problem::MissingColumn),
            ],
        ),
    ] {
        let line = if header.trim().is_empty() { "" } else { line };
        assert_eq!(faults(format!("{header}\n{line}").as_bytes()), expected);
        let opened = CsvRegister::open(file(header.as_bytes()).path());
        assert!(matches!(opened, Err(RegisterError::Faulty(FaultyLine { line: 1, .. }))));
    }
    assert!(matches!(CsvRegister::open("/nowhere/residents.csv"), Err(RegisterError::Unreadable(_))));
}

#[test]
fn other_encodings_are_told_apart_from_faults() {
    // 宛名番号,氏名 in Shift_JIS; the same in UTF-16 with byte order mark.
    let shift_jis = b"\x88\xB6\x96\xBC\x94\xD4\x8D\x86,\x8E\x81\x96\xBC\n1,\x8D\xB2\x93\xA1\n";
    let utf_16: Vec<u8> = "\u{FEFF}宛名番号,氏名\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
    for contents in [shift_jis.as_slice(), &utf_16] {
        assert_eq!(faults(contents), [(1, None, Problem::NotUtf8)]);
    }
    // One field pasted in from elsewhere.
    let contents = [HEADER.as_bytes(), b"1,\x8D\xB2\x93\xA1,,,\xE6\x9D\xB1,1980-02-17,1,\n"].concat();
    assert_eq!(faults(&contents), [(2, Some(Column::Name), Problem::NotUtf8)]);
}

#[test]
fn an_open_quotation_mark_does_not_swallow_the_file_in_silence() {
    let rest = "2,鈴木　二郎,,,東京都,1980-02-17,男,\n".repeat(1000);
    let contents = format!("{HEADER}1,\"佐藤　一郎,,,東京都,1980-02-17,男,\n{rest}");
    assert_eq!(faults(contents.as_bytes()), [(2, None, Problem::LineTooLong)]);
}

#[test]
fn other_peoples_faulty_lines_do_not_stop_a_look_up() {
    let contents = [
        b"\xEF\xBB\xBF\n".as_slice(),
        "sex,birth,Number,name,address\n".as_bytes(),
        b"1,\xFF,2,\xFF,\n".as_slice(),
        "女,1980/2/7, 1 ,佐藤　一子 ,東京都\n".as_bytes(),
        "女,1980/2/7,3,佐藤　三子,東京都\n女,1980/2/7,3,佐藤　四子,東京都".as_bytes(),
    ]
    .concat();
    let file = file(&contents);
    let mut register = CsvRegister::open(file.path()).unwrap();
    let resident = register.find("1").unwrap().unwrap();
    assert_eq!((resident.name.as_str(), resident.birth, resident.sex), ("佐藤　一子", date(1980, 2, 7), Sex::Female));
    let fault = register.find("2").unwrap_err();
    assert!(matches!(fault, RegisterError::Faulty(FaultyLine { line: 3, problem: Problem::NotUtf8, .. })), "{fault}");
    assert!(matches!(register.find("3"), Err(RegisterError::Ambiguous { first: 5, second: 6 })));
    assert_eq!(register.count().unwrap(), 4);
}

#[test]
fn the_documented_sample_is_in_order() {
    let docs = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs"));
    let sample = docs.join("samples/residents.csv");
    assert_eq!(CsvRegister::validate(&sample).unwrap(), []);
    let mut register = CsvRegister::open(&sample).unwrap();
    assert_eq!(register.count().unwrap(), 12);
    let (mut substituted, mut found) = (0, 0);
    for number in 101..=622 {
        let Some(resident) = register.find(&format!("{number:012}")).unwrap() else { continue };
        let choices = ApplicationChoices::default();
        let application =
            Application::from_resident(&resident, date(2026, 7, 1), SubstitutionTable::builtin(), &choices).unwrap();
        substituted += usize::from(application.name.substituted.contains('1'));
        found += 1;
    }
    assert_eq!((found, substituted), (12, 4));

    // The documented table is the one in force.
    let text = std::fs::read_to_string(docs.join("resident-register.md")).unwrap();
    for column in Column::ALL {
        let required = if column.is_required() { "yes" } else { "" };
        let row = format!("| {} | `{}` | {required}", column.name(), column.english_name());
        assert!(text.contains(row.trim_end()), "{row}");
    }
}

prop_compose! {
    fn any_resident()(
        number in "[0-9]{1,15}",
        texts in prop::collection::vec("[!-~ぁ-ん一-龠𠀀-𠀿][\\PC\",]{0,20}[!-~ぁ-ん一-龠𠀀-𠀿]", 4),
        has in any::<[bool; 3]>(),
        days in 0i32..40_000,
        sex in 0..3_usize,
    ) -> Resident {
        let birth = date(1900, 1, 1).saturating_add(jiff::Span::new().days(days));
        Resident {
            number,
            name: texts[0].clone(),
            former_family_name: has[0].then(|| texts[1].clone()),
            alias: has[1].then(|| texts[2].clone()),
            address: texts[3].clone(),
            birth,
            sex: [Sex::Male, Sex::Female, Sex::Other][sex],
            stay_until: has[2].then_some(birth),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_is_written_is_read(residents in prop::collection::vec(any_resident(), 0..8)) {
        let mut residents = residents;
        residents.sort_by(|a, b| a.number.cmp(&b.number));
        residents.dedup_by(|a, b| a.number == b.number);
        let file = file(&csv(&residents));
        prop_assert_eq!(CsvRegister::validate(file.path()).unwrap(), vec![]);
        let mut register = CsvRegister::open(file.path()).unwrap();
        for resident in &residents {
            prop_assert!(register.find(&resident.number).unwrap().as_ref() == Some(resident));
        }
    }

    #[test]
    fn any_bytes_are_judged(
        bytes in prop::collection::vec(prop_oneof![any::<u8>(), Just(b'"'), Just(b','), Just(b'\n'), Just(b'1')], 0..400),
        after_header: bool,
    ) {
        let contents = if after_header { [HEADER.as_bytes(), &bytes].concat() } else { bytes };
        let lines = 1 + contents.iter().filter(|byte| **byte == b'\n').count() as u64;
        for (line, _, _) in faults(&contents) {
            prop_assert!((1..=lines).contains(&line));
        }
        let file = file(&contents);
        if let Ok(mut register) = CsvRegister::open(file.path()) {
            let _ = register.find("1");
            prop_assert!(register.count().unwrap() <= lines);
        }
    }

    #[test]
    fn damaged_registers_are_judged(damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6)) {
        let mut contents = csv(&residents());
        for (index, byte) in damage {
            let index = index.index(contents.len());
            contents[index] = byte;
        }
        let _ = faults(&contents);
    }
}
