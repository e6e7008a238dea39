//! The record as a page of A4, to be printed by a browser and signed. One file: no script, nothing from the network. Both languages
//! stand on it side by side, whoever prints it: those who sign it and those who audit it years later need not share one.

use std::fmt::{self, Write};

use jiff::tz::{Offset, TimeZone};

use crate::record::{Act, Deed, KeyEntry, Person, PersonsProof, Record, Sealed, Trial};

/// A text in Japanese and in English.
type Words = (&'static str, &'static str);

impl Sealed {
    /// The record as a page (HTML).
    #[must_use]
    pub fn page(&self) -> String {
        let mut page = String::new();
        // Writing to a String does not fail.
        let _ = self.write_page(&mut page);
        page
    }

    fn write_page(&self, page: &mut String) -> fmt::Result {
        let record = &self.record;
        let title = act(record.act);
        write!(page, "{HEAD}<title>{}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n", escaped(title.0))?;
        if record.simulated {
            writeln!(
                page,
                "<p class=\"simulated\">SIMULATED　模擬 — この記録は本物ではありません / not a record of real keys</p>"
            )?;
        }
        writeln!(page, "<h1>{} <small>{}</small></h1>", title.0, title.1)?;
        circumstances(page, record)?;
        hsm(page, record)?;
        if let Some(trial) = &record.honesty {
            honesty(page, trial)?;
        }
        keys(page, &record.keys)?;
        if let Some(reason) = &record.reason {
            heading(page, ("廃止の理由", "Reason"))?;
            writeln!(page, "<p>{}</p>", escaped(reason))?;
        }
        if let Some(log) = &record.log {
            heading(page, ("この立会いより前の記録簿", "The log before this ceremony"))?;
            open_table(page)?;
            row(page, ("件数", "Entries"), &log.entries.to_string())?;
            writeln!(
                page,
                "<tr><th>{}</th><td><code>{}</code></td></tr>",
                labelled(("ルート", "Root (RFC 9162)")),
                in_groups(&log.root)
            )?;
            close_table(page)?;
        }
        signatures(page, record)?;
        let digest = self.digest();
        writeln!(
            page,
            "<footer><p>{}.json の SHA-256 / SHA-256 of the file<br><code>{}</code></p>\n<p>madoguchi {}</p></footer>",
            self.file_stem(),
            in_groups(&digest),
            escaped(&record.program)
        )?;
        page.push_str("</body>\n</html>\n");
        Ok(())
    }
}

const HEAD: &str = "<!DOCTYPE html>\n<html lang=\"ja\">\n<head>\n<meta charset=\"utf-8\">\n\
<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n";

const STYLE: &str = "
@page { size: A4; margin: 16mm 15mm }
body { font: 9.5pt/1.45 'Noto Sans CJK JP', 'Noto Sans JP', 'Hiragino Sans', 'Yu Gothic', sans-serif; max-width: 180mm; margin: 0 auto }
h1 { font-size: 16pt; margin: 0 0 4mm } h2 { font-size: 11pt; margin: 5mm 0 1mm; border-bottom: .4pt solid }
h1 small, h2 small, th small { font-weight: normal; font-size: 80% }
table { border-collapse: collapse; width: 100% } th, td { text-align: left; vertical-align: top; padding: .8mm 1.5mm; border: .3pt solid #777 }
th { width: 42mm; font-weight: normal; background: #f2f2f2 } code { font: 8.5pt/1.4 'Noto Sans Mono', 'DejaVu Sans Mono', monospace }
tr, .signatures { break-inside: avoid } .weaker td { font-weight: bold }
.simulated { border: 1.2pt solid; padding: 1mm 2mm; font-weight: bold; text-align: center }
.signatures td { height: 14mm } footer { margin-top: 5mm; font-size: 8.5pt }
";

fn circumstances(page: &mut String, record: &Record) -> fmt::Result {
    let at = |moment: jiff::Timestamp| {
        let japan = moment.to_zoned(TimeZone::fixed(Offset::constant(9)));
        japan.strftime("%Y-%m-%d %H:%M:%S +09:00").to_string()
    };
    let installation = match record.installation.as_str() {
        "terminal" => "統合端末 (terminal)",
        "authority" => "認証局 (authority)",
        other => other,
    };
    open_table(page)?;
    row(page, ("対象", "Installation"), &format!("{installation}: {}", record.name))?;
    row(page, ("開始", "Began"), &at(record.began_at))?;
    row(page, ("終了", "Ended"), &at(record.ended_at))?;
    row(page, ("場所", "Place"), "")?;
    row(page, ("立会人", "Others present"), "")?;
    close_table(page)
}

fn hsm(page: &mut String, record: &Record) -> fmt::Result {
    heading(page, ("HSM", "and what it was found to do"))?;
    open_table(page)?;
    row(page, ("製造者・型式", "Manufacturer, model"), &format!("{} {}", record.hsm_manufacturer, record.hsm_model))?;
    row(page, ("製造番号", "Serial number"), &record.hsm_serial)?;
    for ability in &record.abilities {
        let is_weaker = record.weaker_modes.contains(ability);
        let (ja, en) = ability_words(ability);
        let (class, label) = if is_weaker {
            (" class=\"weaker\"", labelled(("弱い方式", "weaker mode")))
        } else {
            ("", labelled(("機能", "ability")))
        };
        writeln!(page, "<tr{class}><th>{label}</th><td>{}<br>{}</td></tr>", escaped(ja), escaped(en))?;
    }
    close_table(page)
}

fn honesty(page: &mut String, trial: &Trial) -> fmt::Result {
    heading(page, ("鍵を取り出す試み", "Attempts to get keys out"))?;
    open_table(page)?;
    let refused = match trial.refused {
        0 => "試していません (シミュレーター) / none were made (a simulator)".to_owned(),
        count => format!("{count} 通りを試し、すべて拒否されました / {count} were made, all were refused"),
    };
    row(page, ("結果", "Outcome"), &refused)?;
    if trial.readable_children {
        let said = "カードの鍵のうち導出したものは読み出せます / derived keys of cards can be read; the master can't";
        row(page, ("注意", "Note"), said)?;
    }
    if !trial.without_control.is_empty() {
        row(page, ("判定できない方法", "Ways that prove nothing"), &trial.without_control.join(", "))?;
    }
    close_table(page)
}

fn keys(page: &mut String, keys: &[KeyEntry]) -> fmt::Result {
    heading(page, ("鍵", "Keys"))?;
    for key in keys {
        open_table(page)?;
        let (ja, en) = match key.deed {
            Deed::Created => ("生成した鍵", "made"),
            Deed::Found => ("既にあった鍵", "was there"),
            Deed::Retired => ("廃止した鍵", "destroyed"),
        };
        writeln!(
            page,
            "<tr><th>{}</th><td><b>{}</b>　{}</td></tr>",
            labelled((ja, en)),
            escaped(&key.name),
            escaped(&key.kind)
        )?;
        let label = match key.fingerprint.kind.as_str() {
            "spki-sha256" => ("公開鍵の SHA-256", "SHA-256 of the SPKI"),
            _ => ("確認値", "check value"),
        };
        writeln!(
            page,
            "<tr><th>{}</th><td><code>{}</code></td></tr>",
            labelled(label),
            in_groups(&key.fingerprint.value)
        )?;
        let origin = match key.origin.as_str() {
            "made-inside" => "HSM の中で生成 / made inside",
            "brought-in" => "外から持ち込み / brought in from outside",
            _ => "不明 / unknown",
        };
        row(page, ("出どころ", "Origin"), origin)?;
        if !key.attributes.is_empty() {
            let attributes: Vec<String> = key.attributes.iter().map(|(name, is)| format!("{name}={is}")).collect();
            row(page, ("属性", "Attributes"), &attributes.join(" "))?;
        }
        close_table(page)?;
    }
    Ok(())
}

fn signatures(page: &mut String, record: &Record) -> fmt::Result {
    heading(page, ("立ち会った二人", "The two persons"))?;
    let (ja, en) = match record.persons_proved_by {
        PersonsProof::Palms => ("二人とも照合情報認証を受けました。", "Both were authenticated by the palm."),
        PersonsProof::Declared => (
            "二人の氏名は申告によります。プログラムは本人であることを確かめていません。",
            "Both said who they are. The program did not authenticate them.",
        ),
    };
    writeln!(page, "<p>{ja}<br>{en}</p>\n<div class=\"signatures\">")?;
    open_table(page)?;
    for Person { id, role } in &record.persons {
        let role = match role.as_deref() {
            Some("access-manager") => "アクセス管理責任者 / access manager",
            Some("security-officer") => "情報セキュリティ責任者 / information security officer",
            Some(other) => other,
            None => "",
        };
        writeln!(
            page,
            "<tr><th>{}<br>{}</th><td>署名・日付<br><small>Signature, date</small></td></tr>",
            escaped(id),
            escaped(role)
        )?;
    }
    close_table(page)?;
    page.push_str("</div>\n");
    Ok(())
}

fn act(act: Act) -> Words {
    match act {
        Act::Init => ("鍵生成の記録", "Record of the key ceremony: setting up"),
        Act::Create => ("鍵生成の記録", "Record of the key ceremony: a key made"),
        Act::Retire => ("鍵廃止の記録", "Record of the key ceremony: a key destroyed"),
    }
}

/// What the codes of [`hsm::custody::Ability`] mean. A code that is not known stands for itself.
fn ability_words(code: &str) -> (&str, &str) {
    match code {
        "derives-inside" => ("カードの鍵は HSM の中で導出", "keys of cards are derived inside (SP 800-108)"),
        "derives-outside" => (
            "HSM に SP 800-108 がなく、使う間だけカードの鍵が HSM の外にある",
            "no SP 800-108: a card's keys are outside while they are used",
        ),
        "derives-readable" => (
            "プログラムが求めれば、読み出せるカードの鍵も導出する",
            "derives keys of cards that can be read, if asked to",
        ),
        "derives-nothing" => ("カードの鍵を導出できない", "derives no keys of cards"),
        "hashes-inside" => ("署名対象のハッシュは HSM の中で計算", "what is signed is hashed inside"),
        "hashes-outside" => ("署名対象のハッシュは HSM の外で計算", "what is signed is hashed outside"),
        "wraps-exactly" => ("鍵ペアを RFC 5649 で包む", "wraps key pairs (RFC 5649)"),
        "wraps-with-zeros" => ("鍵ペアをうしろに 0 を付けて包む", "wraps key pairs with zeros after them"),
        "wraps-nothing" => ("鍵ペアを包めない", "wraps no key pairs"),
        "sends-card-keys" => ("カードの鍵を更新できる", "replaces keys of cards"),
        "sends-no-card-keys" => ("カードの鍵を更新できない", "replaces no keys of cards"),
        "signs-p256" => ("ECDSA P-256 あり", "ECDSA P-256"),
        "signs-no-p256" => ("ECDSA P-256 なし", "no ECDSA P-256"),
        "signs-p384" => ("ECDSA P-384 あり", "ECDSA P-384"),
        "signs-no-p384" => ("ECDSA P-384 なし", "no ECDSA P-384"),
        "signs-rsa-2048" => ("RSA-2048 あり", "RSA-2048"),
        "signs-no-rsa-2048" => ("RSA-2048 なし", "no RSA-2048"),
        "authenticates" => ("HMAC-SHA-256 あり", "HMAC-SHA-256"),
        "authenticates-not" => ("HMAC-SHA-256 なし", "no HMAC-SHA-256"),
        other => (other, ""),
    }
}

fn heading(page: &mut String, words: Words) -> fmt::Result {
    writeln!(page, "<h2>{} <small>{}</small></h2>", words.0, words.1)
}

fn open_table(page: &mut String) -> fmt::Result {
    writeln!(page, "<table>")
}

fn close_table(page: &mut String) -> fmt::Result {
    writeln!(page, "</table>")
}

fn row(page: &mut String, label: Words, value: &str) -> fmt::Result {
    writeln!(page, "<tr><th>{}</th><td>{}</td></tr>", labelled(label), escaped(value))
}

fn labelled((ja, en): Words) -> String {
    format!("{ja}<br><small>{en}</small>")
}

/// For the content of an element, and for attributes in quotation marks.
fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            other => safe.push(other),
        }
    }
    safe
}

/// Hexadecimal digits in groups of eight, which people can compare.
fn in_groups(digits: &str) -> String {
    let groups = digits.as_bytes().chunks(8).map(|group| String::from_utf8_lossy(group));
    groups.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use hsm::KeyName;
    use hsm::custody::KeyCustody as _;
    use jiff::Timestamp;
    use madoguchi_time::{Deadline, Moment};
    use sim_hsm::{Provision, SoftwareHsm};

    use super::*;
    use crate::{Installation, examine, key_entry};

    fn sealed(name: &str, reason: &str) -> Sealed {
        let deadline = Deadline::at(Moment::since_start(std::time::Duration::from_secs(60)));
        let module = SoftwareHsm::in_memory(&Provision::empty("page", [3; 32])).unwrap();
        let installation = Installation::terminal(name, &[1]);
        module.create(&KeyName::card_master(1), hsm::KeyKind::CardMaster(hsm::AesLength::Aes256), deadline).unwrap();
        let found = examine(&module, &installation, deadline).unwrap();
        let persons = ["<i>0001</i>", "0002"].map(|id| Person { id: id.into(), role: None });
        let begun =
            Record::begin(Act::Init, &installation, &module, persons, PersonsProof::Declared, Timestamp::UNIX_EPOCH);
        let key = key_entry(&module, &found.found[0], Deed::Found, deadline).unwrap();
        let record = Record {
            keys: vec![key],
            honesty: Some((&found.honesty).into()),
            reason: Some(reason.into()),
            weaker_modes: vec!["hashes-inside".into()],
            ..begun
        };
        record.seal(Timestamp::UNIX_EPOCH).unwrap()
    }

    #[test]
    fn what_people_wrote_does_not_become_markup() {
        let page = sealed("<script>alert(1)</script>", "a & b \"c\"").page();
        assert!(!page.contains("<script") && !page.contains("<i>"), "{page}");
        assert!(page.contains("&lt;script&gt;") && page.contains("a &amp; b &quot;c&quot;"));
    }

    #[test]
    fn the_page_says_what_the_record_says() {
        let sealed = sealed("counter-1", "");
        let page = sealed.page();
        let digest = in_groups(&sealed.digest());
        let value = in_groups(&sealed.record.keys[0].fingerprint.value);
        for said in [
            "SIMULATED",
            "counter-1",
            "card-master-01",
            "not authenticate",
            "1970-01-01 09:00:00 +09:00",
            &digest,
            &value,
        ] {
            assert!(page.contains(said), "{said}: {page}");
        }
        assert_eq!(page.matches("class=\"weaker\"").count(), 1);
        assert_eq!(page.matches("Signature, date").count(), 2);
        for away in ["http://", "https://", "<script", "<img", "<link"] {
            assert!(!page.contains(away), "{away}");
        }
    }

    #[test]
    fn a_record_is_read_as_it_was_sealed() {
        let sealed = sealed("counter-1", "no more");
        assert_eq!(Record::read(&sealed.json).unwrap(), sealed);
        let other = String::from_utf8(sealed.json).unwrap().replace("madoguchi-key-ceremony", "another");
        assert!(Record::read(other.as_bytes()).is_err());
    }
}
