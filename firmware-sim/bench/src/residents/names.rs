//! Names as they are common in Japan: family names by how many bear them, given names by the years in which they were given. From general
//! knowledge; the weights are rough.

use std::sync::LazyLock;

/// Family names and how common they are.
pub(super) static FAMILY_NAMES: LazyLock<Vec<(&str, u32)>> = LazyLock::new(|| {
    let lines = include_str!("family_names.tsv").lines().filter_map(|line| line.split_once('\t'));
    lines.filter_map(|(name, weight)| Some((name, weight.parse().ok()?))).collect()
});

/// Given names of those born up to a year, separated by spaces, the more common ones first.
pub(super) struct Generation {
    /// The last year of birth.
    pub(super) until: i16,
    pub(super) men: &'static str,
    pub(super) women: &'static str,
}

/// From the oldest to the youngest.
pub(super) const GENERATIONS: &[Generation] = &[
    Generation {
        until: 1945,
        men: "清 勇 正 茂 実 弘 進 昭 博 勝 正雄 義雄 一郎 三郎 武 功 忠 豊 登 利夫 和夫 \
              昭夫 勲 明 稔 徳治 正一 幸雄 寛 久 清次郎 隆 英三 徳之助 喜代治",
        women: "和子 幸子 節子 洋子 弘子 久子 美代子 千代子 文子 静子 信子 昭子 トシ子 ハル キミ \
              正子 恵子 敏子 フミ 八重子 良子 照子 光子 清子 みつ ヨシ 栄子 澄子 貞子 佳代",
    },
    Generation {
        until: 1965,
        men: "誠 浩 隆 茂 修 博 豊 明 健一 和彦 正彦 浩一 哲也 剛 清 勉 進 幸男 孝 徹 薫 \
              聡 英樹 隆夫 弘 寛 靖 裕 浩二 雅彦 正 朗 徳彦 俊夫 秀樹 晴彦",
        women: "恵子 由美子 久美子 明美 洋子 幸子 真由美 和子 陽子 智子 裕子 京子 美智子 順子 直美 \
              典子 啓子 純子 節子 悦子 美由紀 千恵子 由美 さゆり 薫 靖子 晴美 孝子 清美 真理子",
    },
    Generation {
        until: 1985,
        men: "誠 大輔 健一 剛 大介 学 直樹 健太郎 浩 英樹 哲也 健 雄一 亮 和也 崇 徹 智 慎也 \
              裕介 洋平 祐介 竜也 浩二 洋介 隆之 貴之 純 徳仁 寛之 拓也 真一 敦 努",
        women: "陽子 久美子 智子 裕子 直美 恵 香織 愛 美穂 恵美 麻衣 由美子 真由美 友美 めぐみ 舞 \
              絵美 理恵 さやか 美香 千春 奈緒美 亜希子 彩 明日香 瞳 綾 美紀 優子 緑 志穂",
    },
    Generation {
        until: 2005,
        men: "翔太 拓也 健太 大輔 翔 大樹 達也 亮 雄太 和也 翔平 拓海 大輝 蓮 駿 海斗 陸 優斗 \
              颯太 悠斗 大翔 直人 航 匠 隼人 一輝 涼太 響 虎太郎 晴人 寛太 嵐 瑠偉",
        women: "美咲 愛 彩 葵 萌 七海 さくら 陽菜 美優 優花 遥 結衣 千尋 彩香 茜 麻衣 舞 楓 \
              未来 美月 凜 莉子 桃子 沙織 綾乃 奈々 静香 真央 ひかる 樹里亜 瞳 緒美",
    },
    Generation {
        until: i16::MAX,
        men: "蓮 湊 陽翔 悠真 大翔 樹 律 蒼 碧 新 朝陽 颯 暖 結翔 悠人 颯真 陽向 奏太 悠斗 \
              伊織 翔 凪 隼 瑛太 一颯 晴 理人 煌 琥珀 龍之介 旭 葵 そら 央祐",
        women: "陽葵 凜 紬 芽依 結菜 葵 莉子 澪 咲良 美桜 心春 杏 さくら 詩 翠 凪 琴葉 結愛 \
              陽菜 ひまり 彩葉 花 楓 心結 莉緒 一花 柚葉 菫 ゆい 叶羽 朱莉 音羽",
    },
];

/// Older forms of name characters, how many in a hundred bearers of the character write it so, and whether the form is outside
/// JIS X 0208 and JIS X 0212, so that a certificate needs 代替文字.
pub(super) const VARIANTS: &[(char, &str, u32, bool)] = &[
    ('高', "髙", 45, true),
    ('崎', "﨑", 45, true),
    ('吉', "𠮷", 30, true),
    ('瀬', "瀨", 18, true),
    ('柳', "栁", 30, true),
    ('黒', "黑", 18, true),
    ('土', "圡", 18, true),
    ('徳', "德", 60, true),
    ('葛', "葛\u{E0100}", 45, true),
    ('辻', "辻\u{E0101}", 60, true),
    ('神', "\u{FA19}", 30, true),
    ('寛', "寬", 18, true),
    ('薫', "薰", 18, true),
    ('緒', "緖", 30, true),
    ('靖', "\u{FA1C}", 30, true),
    ('朗', "\u{F929}", 30, true),
    ('晴', "\u{FA12}", 15, true),
    ('彦', "彥", 18, true),
    ('清', "淸", 12, true),
    ('隆', "\u{F9DC}", 12, true),
    ('辺', "邊", 12, false),
    ('斎', "齋", 25, false),
    ('沢', "澤", 25, false),
    ('浜', "濱", 20, false),
    ('桜', "櫻", 15, false),
    ('富', "冨", 25, false),
    ('島', "嶋", 12, false),
    ('広', "廣", 20, false),
    ('恵', "惠", 4, false),
    ('真', "眞", 4, false),
    ('栄', "榮", 5, false),
];

/// A group of foreign residents: how common it is, how its members are named, how many in a hundred have a 通称 and how many stay without limit.
pub(super) struct ForeignGroup {
    pub(super) weight: u32,
    /// Chinese characters, as on the residence card, or Roman letters, family name first. Names are separated by `/`.
    pub(super) family: &'static str,
    pub(super) men: &'static str,
    pub(super) women: &'static str,
    pub(super) aliases: u32,
    pub(super) permanent: u32,
}

pub(super) const FOREIGN_GROUPS: &[ForeignGroup] = &[
    ForeignGroup {
        weight: 26,
        family: "王/李/張/劉/陳/楊/黄/趙/呉/周/徐/孫/馬/朱/胡/林/郭/何/欧陽",
        men: "偉/強/磊/軍/勇/傑/濤/明/超/志強/建華/浩然/宇航/小龍/文博",
        women: "芳/秀英/敏/静/麗/艶/娟/霞/小紅/雪梅/欣怡/思雨/佳琪/麗華/婷婷",
        aliases: 20,
        permanent: 40,
    },
    ForeignGroup {
        weight: 14,
        family: "金/李/朴/崔/鄭/姜/趙/尹/張/林/申/呉/韓/権",
        men: "永洙/正浩/成民/相哲/炳哲/東賢/俊昊/民宇/泰植/鍾基",
        women: "美英/順子/恵淑/明姫/京愛/智恵/秀珍/宥真/貞順/英姫",
        aliases: 85,
        permanent: 80,
    },
    ForeignGroup {
        weight: 20,
        family: "NGUYEN/TRAN/LE/PHAM/HOANG/PHAN/VU/DANG/BUI/DO",
        men: "VAN ANH/VAN DUNG/MINH DUC/QUOC HUY/VAN TUAN/HOANG NAM/DUC THANG",
        women: "THI LAN/THI HUONG/THI MAI/THI THANH HUYEN/NGOC ANH/THI THU TRANG",
        aliases: 3,
        permanent: 10,
    },
    ForeignGroup {
        weight: 12,
        family: "SANTOS/REYES/CRUZ/GARCIA/BAUTISTA/DELA CRUZ/MENDOZA",
        men: "JOHN PAUL RAMOS/MARK ANTHONY/JOSE MARIA LOPEZ/ARNEL",
        women: "MARIA CRISTINA VILLANUEVA/ROSE ANN/JENNIFER TORRES/MARICEL",
        aliases: 15,
        permanent: 50,
    },
    ForeignGroup {
        weight: 12,
        family: "SHRESTHA/GURUNG/TAMANG/RAI/THAPA MAGAR/KARKI",
        men: "BIKASH/SURAJ KUMAR/RAM BAHADUR/ANIL",
        women: "SUNITA/ANJALI/SITA DEVI/PRATIKSHYA",
        aliases: 1,
        permanent: 8,
    },
    ForeignGroup {
        weight: 8,
        family: "SILVA/OLIVEIRA DOS SANTOS/TANAKA DE SOUZA/PEREIRA YAMAMOTO",
        men: "CARLOS EDUARDO/RODRIGO HENRIQUE/LUCAS",
        women: "ANA PAULA/FERNANDA MAYUMI/JULIANA",
        aliases: 30,
        permanent: 65,
    },
    ForeignGroup {
        weight: 8,
        family: "SMITH/O’CONNOR/MÜLLER/DUBOIS/SMITH-JONES/\
                 WOLFESCHLEGELSTEINHAUSENBERGERDORFF",
        men: "JAMES/MICHAEL ALEXANDER/FRANÇOIS/THOMAS",
        women: "EMILY/CHARLOTTE ELIZABETH/RENÉE/ANNA",
        aliases: 4,
        permanent: 45,
    },
];
