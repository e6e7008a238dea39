//! What every backend of the register must do. A backend instantiates the suite with one line in its tests:
//!
//! ```text
//! resident_register::contract_suite!(register_holding);
//! ```
//!
//! `register_holding` is a function `fn(&[Resident]) -> Fixture` that makes a register which holds exactly these residents. Each check
//! becomes a test of its own.

use std::any::Any;

use jiff::civil::date;
use jpki::{Resident, Sex};

use crate::ResidentRegister;

/// A register to be put through the suite.
pub struct Fixture {
    /// The register.
    pub register: Box<dyn ResidentRegister>,
    /// What must live as long as the register, such as a temporary folder.
    pub keep: Box<dyn Any>,
}

/// Residents with everything that a register may hold.
#[must_use]
pub fn residents() -> Vec<Resident> {
    let plain = |number: &str, name: &str, address: &str| Resident {
        number: number.to_owned(),
        name: name.to_owned(),
        former_family_name: None,
        alias: None,
        address: address.to_owned(),
        birth: date(1980, 2, 17),
        sex: Sex::Male,
        stay_until: None,
    };
    let mut residents = vec![
        plain("1000001", "佐藤　一郎", "東京都みどり区北町１丁目２番３号"),
        // A prefix and a suffix of the first one's number, and the same digits behind a zero.
        plain("100000", "鈴木　二郎", "東京都みどり区北町１丁目２番４号"),
        plain("000001", "高橋　三郎", "東京都みどり区北町１丁目２番５号"),
        plain("01000001", "田中　四郎", "東京都みどり区北町１丁目２番６号"),
        plain("999999999999999", "𠮷﨑　髙", "東京都みどり区南町１－１　コーポ\"緑\", 101"),
        plain("7", "山田　花子", &"町".repeat(200)),
        plain("8", "ＮＧＵＹＥＮ　ＶＡＮ　Ａ", "東京都みどり区東町５－５"),
    ];
    residents[5].former_family_name = Some("佐々木".to_owned());
    residents[5].sex = Sex::Female;
    residents[5].birth = date(2012, 2, 29);
    residents[6].alias = Some("緑川　明".to_owned());
    residents[6].stay_until = Some(date(2028, 3, 31));
    residents[6].sex = Sex::Other;
    residents
}

/// Everyone is found, with every item.
pub fn everyone_is_found(register_holding: impl Fn(&[Resident]) -> Fixture) {
    let residents = residents();
    let mut fixture = register_holding(&residents);
    // Twice, and in both directions: no look-up may disturb the next.
    for resident in residents.iter().chain(residents.iter().rev()) {
        assert!(matches!(fixture.register.find(&resident.number), Ok(Some(found)) if found == *resident));
    }
}

/// Nobody is found under a number that nobody has, however close or odd it is.
pub fn nobody_else_is_found(register_holding: impl Fn(&[Resident]) -> Fixture) {
    let mut fixture = register_holding(&residents());
    let long = "1".repeat(100_000);
    for number in [
        "",
        " ",
        "1",
        "10000",
        "1000001 ",
        " 1000001",
        "+1000001",
        "1000001.0",
        "１０００００１",
        "%",
        "*",
        "1000001%",
        "100000_",
        "' OR 1=1 --",
        "\"1000001\"",
        "1000001,",
        "1000001\n",
        "\0",
        "佐藤　一郎",
        "宛名番号",
        "number",
        &long,
    ] {
        assert!(matches!(fixture.register.find(number), Ok(None)), "a number of {} bytes", number.len());
    }
}

/// Residents are counted, also where there are none.
pub fn residents_are_counted(register_holding: impl Fn(&[Resident]) -> Fixture) {
    let residents = residents();
    for count in [0, 1, residents.len()] {
        let mut fixture = register_holding(&residents[..count]);
        assert!(matches!(fixture.register.count(), Ok(counted) if counted == count as u64));
        assert!(matches!(fixture.register.find("31"), Ok(None)));
    }
}

/// Makes one test of each check, for registers made by the given function.
#[macro_export]
macro_rules! contract_suite {
    ($register_holding:path) => {
        #[test]
        fn everyone_is_found() {
            $crate::contract::everyone_is_found($register_holding);
        }

        #[test]
        fn nobody_else_is_found() {
            $crate::contract::nobody_else_is_found($register_holding);
        }

        #[test]
        fn residents_are_counted() {
            $crate::contract::residents_are_counted($register_holding);
        }
    };
}
