//! Addresses of a municipality that does not exist.

use rand::Rng;
use rand::seq::SliceRandom;

/// 全国地方公共団体コード of the fictional municipality, without check digit. 13 is Tokyo; no municipality has this code.
pub const MUNICIPALITY_CODE: &str = "13999";
/// Its name, with the prefecture. There is no such ward.
pub const MUNICIPALITY: &str = "東京都みどり区";
/// The prefecture as certificates write it.
pub const PREFECTURE_ROMAN: &str = "Tokyo-to";
/// The municipality as certificates write it.
pub const MUNICIPALITY_ROMAN: &str = "Midori-ku";

/// Districts and how many 丁目 they have; none for one that is not divided.
const DISTRICTS: &[(&str, u32)] = &[
    ("北町", 6),
    ("南町", 5),
    ("東町", 4),
    ("西町", 4),
    ("若葉台", 7),
    ("緑が丘", 6),
    ("桜ヶ丘", 3),
    ("本町", 2),
    ("駅前", 1),
    ("栄町", 3),
    ("大字上野原", 0),
    ("神明台", 4),
    ("榎木戸", 2),
    ("富士見", 5),
    ("柳橋", 2),
    ("旭が丘南", 3),
    ("字下河原", 0),
    ("葦沼", 2),
];

const BUILDINGS: &[&str] = &[
    "コーポ",
    "メゾン",
    "ハイツ",
    "グリーンハイツ",
    "サンライズ",
    "パークサイド",
    "レジデンス",
    "ドミール",
    "コンフォート",
    "第二",
    "シャトー",
    "ロイヤル",
    "ヴィラ",
    "プラザ",
    "フォレスト",
    "クレスト",
];

const SUFFIXES: &[&str] = &["", "", "", "", "弐番館", "Ａ棟", "Ⅱ", "壱番街", "アネックス", "ウエスト"];

const LONG_BUILDINGS: &[&str] = &[
    "グランドメゾン若葉台ガーデンヒルズ参番館ノースウイング",
    "都営みどり区緑が丘南アパート第二十七号棟サービス付き高齢者向け住宅ふれあいの里",
    "ザ・パークタワー駅前フロントレジデンス＆ガーデンテラス・イーストコート",
    "独立行政法人都市再生機構みどり区若葉台団地ショッピングセンター棟",
];

/// Where a household lives, from the prefecture on, in full width.
pub(super) fn address(random: &mut impl Rng) -> String {
    let (district, parts) = DISTRICTS[random.gen_range(0..DISTRICTS.len())];
    let mut address = format!("{MUNICIPALITY}{district}");
    match parts {
        0 => {
            address += &format!("{}番地", number(random, 3999));
            if random.gen_bool(0.4) {
                address += &format!("の{}", number(random, 9));
            }
        }
        _ if random.gen_bool(0.85) => {
            address += &format!("{}丁目{}番{}号", number(random, parts), number(random, 40), number(random, 30));
        }
        _ => address += &format!("{}－{}－{}", number(random, parts), number(random, 40), number(random, 30)),
    }
    match random.gen_range(0..100) {
        0..=3 => address += &format!("　{}{}号室", pick(random, LONG_BUILDINGS), room(random)),
        4..=44 => {
            let building = format!(
                "{}{}{}",
                pick(random, BUILDINGS),
                district.trim_start_matches(['大', '字']),
                pick(random, SUFFIXES)
            );
            address += &format!("　{building}　{}{}", room(random), if random.gen_bool(0.3) { "号" } else { "" });
        }
        45..=46 => address += &format!("　{}方", super::pick_weighted(random, &super::names::FAMILY_NAMES).0),
        _ => {}
    }
    address
}

fn pick<'a>(random: &mut impl Rng, list: &[&'a str]) -> &'a str {
    list.choose(random).copied().unwrap_or_default()
}

fn number(random: &mut impl Rng, most: u32) -> String {
    full_width(&random.gen_range(1..=most).to_string())
}

fn room(random: &mut impl Rng) -> String {
    let floor = [1, 1, 1, 2, 2, 2, 3, 3, 4, 5, 7, 11, 15][random.gen_range(0..13)];
    full_width(&format!("{floor}{:02}", random.gen_range(1..=12)))
}

/// ASCII in full width, with U+3000 for spaces; other characters stay.
pub(super) fn full_width(text: &str) -> String {
    let widen = |character: char| match character {
        ' ' => '\u{3000}',
        '!'..='~' => char::from_u32(u32::from(character) + 0xFEE0).unwrap_or(character),
        other => other,
    };
    text.chars().map(widen).collect()
}
