//! The characters of certificates, and 代替文字 for the others.
//!
//! A certificate may use JIS X 0208 (first and second level) and JIS X 0212 only. A register holds more: variants of name
//! characters (髙, 﨑, 𠮷), variation sequences, half-width letters. Three things can happen to a character:
//!
//! 1. *It is allowed*, or is the same character in another width or composition (`1` → `１`, `ｶﾞ` → `ガ`): it is taken over and
//!    **not** marked, as nothing stands for anything else.
//! 2. *It has a 代替文字*: in the table, or the character that Unicode names as its plain form (`Ⅱ` → `ＩＩ`, U+FA19 → `神`).
//!    Every character that stands for it is marked with `1` in the positions.
//! 3. *Neither*: [`TextError::NoSubstitute`] names the position, and a person chooses ([`Choices`]). The applicant may also ask
//!    for another 代替文字 than the table's.

use std::collections::{BTreeMap, HashMap};
use std::sync::LazyLock;

use encoding_rs::EUC_JP;
use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::{compose, is_combining_mark};
use zeroize::Zeroizing;

use crate::resident::CertificateText;

/// The longest text of a certificate, in characters (住所: プロファイル, at most 200).
pub const MAX_CHARACTERS: usize = 200;

/// May a certificate carry `character`? True for JIS X 0208 rows 1–8 and 16–84 and for JIS X 0212, without the vendors' rows.
///
/// Where JIS and Unicode are mapped in two ways (`－` U+FF0D or U+2212), the one that real certificates use counts: U+FF0D and its kin.
#[must_use]
pub fn is_allowed(character: char) -> bool {
    ALLOWED.binary_search(&character).is_ok()
}

/// All allowed characters in the order of Unicode. The tables are those of EUC-JP in the WHATWG Encoding Standard, read by decoding
/// every code of the rows that JIS defines; NEC's and IBM's rows (13, 89–92, 115–119) are left out.
static ALLOWED: LazyLock<Vec<char>> = LazyLock::new(|| {
    let jis_x_0208 = (1..=8).chain(16..=84).flat_map(|row| (1..=94).map(move |cell| [row, cell]));
    let jis_x_0212 = (1..=94).flat_map(|row| (1..=94).map(move |cell| [row, cell]));
    let decode = |bytes: &[u8]| {
        let text = EUC_JP.decode_without_bom_handling_and_without_replacement(bytes)?;
        text.chars().next()
    };
    let mut characters: Vec<char> = jis_x_0208
        .filter_map(|[row, cell]| decode(&[0xA0 + row, 0xA0 + cell]))
        .chain(jis_x_0212.filter_map(|[row, cell]| decode(&[0x8F, 0xA0 + row, 0xA0 + cell])))
        .collect();
    characters.sort_unstable();
    characters.dedup();
    characters
});

/// Which 代替文字 stands for which character.
///
/// The authority's own table is not public. The built-in one covers the variants that are common in names and addresses; a site
/// adds its own with [`SubstitutionTable::add`].
#[derive(Clone, Debug)]
pub struct SubstitutionTable(HashMap<char, String>);

impl SubstitutionTable {
    /// The table that ships with this crate, `data/substitutions.tsv`. Clone it to [`add`](Self::add) a site's own lines.
    #[must_use]
    pub fn builtin() -> &'static Self {
        static TABLE: LazyLock<SubstitutionTable> = LazyLock::new(|| {
            let mut table = SubstitutionTable(HashMap::new());
            #[expect(clippy::expect_used, reason = "the file is part of the crate and a test reads it")]
            table.add(include_str!("../data/substitutions.tsv")).expect("a valid table");
            table
        });
        &TABLE
    }

    /// Adds the lines of `tsv`: the character, a tab, what stands for it, and optionally a tab and a remark. Empty lines and lines that
    /// begin with `#` are passed over; a later line wins over an earlier one, so a site can change what is built in.
    ///
    /// # Errors
    /// The first faulty line. Lines before it have been added.
    pub fn add(&mut self, tsv: &str) -> Result<(), TableError> {
        for (number, line) in (1..).zip(tsv.lines()) {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let mut fields = line.split('\t');
            let mut key = fields.next().unwrap_or_default().chars();
            let (Some(character), None) = (key.next(), key.next()) else {
                return Err(TableError::NotOneCharacter { line: number });
            };
            let substitute = fields.next().unwrap_or_default();
            if is_allowed(character) {
                return Err(TableError::NeedsNone { line: number });
            }
            if substitute.is_empty() || !substitute.chars().all(is_allowed) {
                return Err(TableError::NotAllowed { line: number });
            }
            self.0.insert(character, substitute.to_owned());
        }
        Ok(())
    }

    /// What stands for `character`: the table's entry, or the plain form that Unicode names.
    fn substitute(&self, character: char) -> Option<Zeroizing<String>> {
        if let Some(substitute) = self.0.get(&character) {
            return Some(Zeroizing::new(substitute.clone()));
        }
        let plain = std::iter::once(character).nfkd().filter(|c| !is_combining_mark(*c)).map(fold_width);
        let plain: Zeroizing<String> = Zeroizing::new(plain.collect());
        (!plain.is_empty() && plain.chars().all(is_allowed)).then_some(plain)
    }
}

/// A faulty line of a table of substitutes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TableError {
    /// The first field is not one character; often the tab is missing.
    #[error("line {line}: the first field must be one character")]
    NotOneCharacter {
        /// The line, from 1 on.
        line: usize,
    },
    /// The character needs no substitute.
    #[error("line {line}: certificates allow this character")]
    NeedsNone {
        /// The line, from 1 on.
        line: usize,
    },
    /// The substitute is missing or not allowed itself.
    #[error("line {line}: the substitute must be made of characters of JIS X 0208 and JIS X 0212")]
    NotAllowed {
        /// The line, from 1 on.
        line: usize,
    },
}

/// 代替文字 that a clerk or the applicant chose for one text: position in the register's text, from 1 on, and what to write there.
///
/// `Debug` prints nothing of it; it is wiped when dropped.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Choices(BTreeMap<usize, Zeroizing<String>>);

impl Choices {
    /// No choices: the table decides.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// Adds the choice of `substitute` for the character at `position`, from 1 on.
    #[must_use]
    pub fn with_choice(mut self, position: usize, substitute: &str) -> Self {
        self.0.insert(position, Zeroizing::new(substitute.to_owned()));
        self
    }
}

impl std::fmt::Debug for Choices {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Choices").finish_non_exhaustive()
    }
}

/// Why a text can't be put into a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TextError {
    /// Nothing there.
    #[error("the text is empty")]
    Empty,
    /// More than [`MAX_CHARACTERS`].
    #[error("the text has {characters} characters; a certificate takes {MAX_CHARACTERS}")]
    TooLong {
        /// How many characters it would have in the certificate.
        characters: usize,
    },
    /// The character is not allowed and no table has a substitute: a person must choose one.
    #[error("character {position} has no 代替文字: choose one")]
    NoSubstitute {
        /// Position in the register's text, from 1 on.
        position: usize,
    },
    /// What was chosen is empty or not allowed itself.
    #[error("the 代替文字 chosen for character {position} is not in JIS X 0208 or JIS X 0212")]
    ChoiceNotAllowed {
        /// Position in the register's text, from 1 on.
        position: usize,
    },
    /// A choice for a character that needs none, or for a position that is not there. Often the register's text was changed since.
    #[error("character {position} needs no 代替文字")]
    NeedlessChoice {
        /// Position in the register's text, from 1 on.
        position: usize,
    },
}

impl CertificateText {
    /// The register's text as a certificate carries it, with substitutes from `table`.
    ///
    /// # Errors
    /// [`TextError`]; the position tells a person where to choose.
    pub fn from_register(text: &str, table: &SubstitutionTable) -> Result<Self, TextError> {
        Self::with_choices(text, table, &Choices::none())
    }

    /// The same, with a person's choices, which win over the table.
    ///
    /// # Errors
    /// [`TextError`], also for a choice that is not allowed or not needed.
    pub fn with_choices(text: &str, table: &SubstitutionTable, choices: &Choices) -> Result<Self, TextError> {
        let mut result = Self::empty();
        let mut characters = 0;
        let mut used = 0;
        for unit in units(text) {
            let position = unit.position;
            let needs_none = !unit.is_variant && is_allowed(unit.character);
            let (written, mark) = match choices.0.get(&position) {
                Some(_) if needs_none => return Err(TextError::NeedlessChoice { position }),
                None if needs_none => (Zeroizing::new(unit.character.to_string()), '0'),
                Some(choice) if choice.is_empty() || !choice.chars().all(is_allowed) => {
                    return Err(TextError::ChoiceNotAllowed { position });
                }
                Some(choice) => {
                    used += 1;
                    (choice.clone(), '1')
                }
                None => (table.substitute(unit.character).ok_or(TextError::NoSubstitute { position })?, '1'),
            };
            for character in written.chars() {
                characters += 1;
                result.push(character, mark);
            }
        }
        if used < choices.0.len() {
            let position = choices.0.keys().next_back().copied().unwrap_or_default();
            return Err(TextError::NeedlessChoice { position });
        }
        match characters {
            0 => Err(TextError::Empty),
            1..=MAX_CHARACTERS => Ok(result),
            _ => Err(TextError::TooLong { characters }),
        }
    }

    /// An empty text with room for the longest one: a string that grows leaves copies of itself in memory.
    fn empty() -> Self {
        Self {
            // Allowed characters take three bytes at most.
            text: String::with_capacity(MAX_CHARACTERS * 3),
            substituted: String::with_capacity(MAX_CHARACTERS),
        }
    }

    /// Adds a character while there is room.
    fn push(&mut self, character: char, mark: char) {
        if self.substituted.len() < MAX_CHARACTERS {
            self.text.push(character);
            self.substituted.push(mark);
        }
    }
}

/// One character of a register's text as a reader sees it: composed, in full width.
struct Unit {
    /// Where it begins in the register's text, counted in code points from 1 on.
    position: usize,
    character: char,
    /// A variation selector asked for another shape than the character's own.
    is_variant: bool,
}

/// The units of a register's text: combining marks and variation selectors go with the character before them.
fn units(text: &str) -> impl Iterator<Item = Unit> + '_ {
    let mut characters = (1..).zip(text.chars()).peekable();
    std::iter::from_fn(move || {
        let (position, character) = characters.next()?;
        let mut unit = Unit { position, character, is_variant: false };
        while let Some((_, next)) = characters.peek() {
            if is_variation_selector(*next) {
                unit.is_variant = true;
            } else if let Some(composed) =
                compose(unit.character, *next).or_else(|| compose(fold_width(unit.character), fold_width(*next)))
            {
                unit.character = composed;
            } else {
                break;
            }
            characters.next();
        }
        unit.character = fold_width(unit.character);
        Some(unit)
    })
}

fn is_variation_selector(character: char) -> bool {
    matches!(character, '\u{FE00}'..='\u{FE0F}' | '\u{E0100}'..='\u{E01EF}')
}

/// The full-width form of a character, and of two code points for one character of JIS X 0208 the one that certificates use.
fn fold_width(character: char) -> char {
    match character {
        ' ' | '\u{A0}' => '\u{3000}',
        '!'..='~' => char::from_u32(u32::from(character) + 0xFEE0).unwrap_or(character),
        // Half-width punctuation and katakana have a single full-width form each; their sound marks become combining ones.
        '\u{FF61}'..='\u{FF9F}' => std::iter::once(character).nfkd().next().unwrap_or(character),
        '\u{2212}' => '\u{FF0D}',
        '\u{301C}' => '\u{FF5E}',
        '\u{2016}' => '\u{2225}',
        '\u{2014}' => '\u{2015}',
        '\u{A2}' => '\u{FFE0}',
        '\u{A3}' => '\u{FFE1}',
        '\u{AC}' => '\u{FFE2}',
        '\u{A5}' => '\u{FFE5}',
        '\u{203E}' => '\u{FFE3}',
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn convert(text: &str) -> Result<(String, String), TextError> {
        let converted = CertificateText::from_register(text, SubstitutionTable::builtin())?;
        Ok((converted.text.clone(), converted.substituted.clone()))
    }

    #[test]
    fn the_allowed_characters_are_those_of_the_two_standards() {
        // JIS X 0208:1997 has 6,879 characters, JIS X 0212-1990 6,067; TILDE of JIS X 0212 and WAVE DASH of JIS X 0208 share U+FF5E.
        assert_eq!(ALLOWED.len(), 6_879 + 6_067 - 1);
        for (allowed, characters) in [
            (true, "　高崎吉徳邊邉齋斎濱澤々ーぁンＡｚ１－熙凜桒彅濵丂é"),
            (false, "髙﨑𠮷德栁瀨賴黑緖增敎①Ⅱ㈱㌔ A1-ｱ\u{FA19}\u{2212}\u{FF02}\n\0"),
        ] {
            for character in characters.chars() {
                assert_eq!(is_allowed(character), allowed, "{character} {:04X}", u32::from(character));
            }
        }
    }

    #[test]
    fn the_test_cards_address_stays_as_it_is() {
        let address = "東京都清瀬市観布子南１２－７－２０２";
        assert_eq!(convert(address), Ok((address.to_owned(), "000000000000000000".to_owned())));
    }

    #[test]
    fn other_forms_of_a_character_are_not_marked() {
        let (text, marks) = convert("ｶﾞｰﾃﾞﾝ か\u{3099} A1-2 \u{2212}\u{301C} e\u{301}").unwrap();
        assert_eq!(text, "ガーデン　が　Ａ１－２　－～　é");
        assert!(marks.chars().all(|mark| mark == '0'), "{marks}");
    }

    #[test]
    fn substitutes_are_marked() {
        for (register, text, marks) in [
            ("髙橋　太郎", "高橋　太郎", "10000"),
            ("山﨑　𠮷德", "山崎　吉徳", "01011"),
            ("\u{FA19}谷", "神谷", "10"),
            ("\u{845B}\u{E0100}西", "葛西", "10"),
            ("コーポⅡ", "コーポＩＩ", "00011"),
            ("Nguyễn O'Neill", "Ｎｇｕｙｅｎ　Ｏ’Ｎｅｉｌｌ", "00001000100000"),
        ] {
            assert_eq!(convert(register), Ok((text.to_owned(), marks.to_owned())), "{register}");
        }
    }

    #[test]
    fn a_person_chooses_where_no_table_helps() {
        let table = SubstitutionTable::builtin();
        let register = "小\u{FA0F}　\u{2A6A5}子";
        assert_eq!(convert(register), Err(TextError::NoSubstitute { position: 2 }));
        let one = Choices::none().with_choice(2, "谷");
        assert_eq!(CertificateText::with_choices(register, table, &one), Err(TextError::NoSubstitute { position: 4 }));
        let both = one.with_choice(4, "テツ");
        let text = CertificateText::with_choices(register, table, &both).unwrap();
        assert_eq!((text.text.as_str(), text.substituted.as_str()), ("小谷　テツ子", "010110"));

        // The applicant may ask for another one than the table's, for a character that has one.
        let other = CertificateText::with_choices("髙", table, &Choices::none().with_choice(1, "タカ")).unwrap();
        assert_eq!((other.text.as_str(), other.substituted.as_str()), ("タカ", "11"));
    }

    #[test]
    fn wrong_choices_are_refused() {
        let table = SubstitutionTable::builtin();
        for (position, substitute, expected) in [
            (1, "髙", TextError::ChoiceNotAllowed { position: 1 }),
            (1, "", TextError::ChoiceNotAllowed { position: 1 }),
            (2, "谷", TextError::NeedlessChoice { position: 2 }),
            (9, "谷", TextError::NeedlessChoice { position: 9 }),
            (0, "谷", TextError::NeedlessChoice { position: 0 }),
        ] {
            let choices = Choices::none().with_choice(position, substitute);
            assert_eq!(CertificateText::with_choices("髙橋", table, &choices), Err(expected));
        }
    }

    #[test]
    fn length_is_limited() {
        assert_eq!(convert(""), Err(TextError::Empty));
        assert!(convert(&"あ".repeat(200)).is_ok());
        assert_eq!(convert(&"あ".repeat(201)), Err(TextError::TooLong { characters: 201 }));
        assert_eq!(convert(&"Ⅲ".repeat(100)), Err(TextError::TooLong { characters: 300 }));
    }

    #[test]
    fn tables_name_their_faulty_line() {
        let mut table = SubstitutionTable::builtin().clone();
        assert_eq!(table.add("# ours\n\n𠮷\t善\tan example"), Ok(()));
        assert_eq!(CertificateText::from_register("𠮷", &table).unwrap().text, "善");
        for (line, expected) in [
            ("髙橋\t高", TableError::NotOneCharacter { line: 1 }),
            ("\t高", TableError::NotOneCharacter { line: 1 }),
            ("高\t髙", TableError::NeedsNone { line: 1 }),
            ("髙\t﨑", TableError::NotAllowed { line: 1 }),
            ("髙", TableError::NotAllowed { line: 1 }),
        ] {
            assert_eq!(table.add(line), Err(expected), "{line}");
        }
    }

    #[test]
    fn the_built_in_table_has_no_line_twice() {
        let lines =
            include_str!("../data/substitutions.tsv").lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
        assert_eq!(SubstitutionTable::builtin().0.len(), lines.count());
    }

    proptest! {
        #[test]
        fn what_comes_out_is_allowed_and_marked(text in "\\PC{0,60}|[ -~ｦ-ﾟ㐀-鿿豈-鶴𠀀-𠿿\u{E0100}\u{3099}]{0,60}") {
            let table = SubstitutionTable::builtin();
            if let Ok(converted) = CertificateText::from_register(&text, table) {
                prop_assert!(converted.text.chars().all(is_allowed));
                prop_assert_eq!(converted.text.chars().count(), converted.substituted.len());
                prop_assert!(converted.substituted.bytes().all(|mark| matches!(mark, b'0' | b'1')));
                // What is in certificate characters already stays as it is, unmarked.
                let again = CertificateText::from_register(&converted.text, table).unwrap();
                prop_assert_eq!(&again.text, &converted.text);
                prop_assert!(!again.substituted.contains('1'));
            }
        }

        #[test]
        fn the_named_position_is_the_one_to_choose_for(text in "[髙一-龠𠀀-𠿿\u{E0100}]{1,30}") {
            let table = SubstitutionTable::builtin();
            let mut choices = Choices::none();
            for _ in 0..=text.chars().count() {
                match CertificateText::with_choices(&text, table, &choices) {
                    Ok(_) => return Ok(()),
                    Err(TextError::NoSubstitute { position }) => choices = choices.with_choice(position, "〓"),
                    Err(other) => return Err(TestCaseError::fail(other.to_string())),
                }
            }
            prop_assert!(false, "choosing does not end");
        }
    }
}
