//! Lines for people on a terminal or in a file: marks, aligned columns, wrapped texts.

use std::io::{self, IsTerminal, Write};

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// Widest layout: longer lines are hard to read.
const MAX_COLUMNS: usize = 100;
/// Layout when nothing is known of the output: a pipe, a file.
const DEFAULT_COLUMNS: usize = 88;
/// Narrowest layout that is tried.
const MIN_COLUMNS: usize = 40;
/// Columns by which texts under an entry are set in: as far as the mark reaches.
pub(crate) const INDENT: usize = MARK_COLUMNS;
/// Columns before the label: space, mark, space.
const MARK_COLUMNS: usize = 3;
/// Columns between label, body and time.
const GAP: usize = 2;

/// What stands before a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// Done, or sound.
    Done,
    /// Failed.
    Failed,
    /// Under way, or for information.
    Plain,
}

/// A line of a view: mark, label, what happened, and how long it took.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Entry {
    /// What it is about; stands in the left column.
    pub label: String,
    /// What happened, in parts that are not broken if they fit.
    pub parts: Vec<String>,
    /// How long it took, at the right.
    pub time: Option<String>,
}

impl Entry {
    /// A line without a time.
    #[must_use]
    pub fn new(label: impl Into<String>, parts: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self { label: label.into(), parts: parts.into_iter().map(Into::into).collect(), time: None }
    }

    /// The line with a time.
    #[must_use]
    pub fn took(self, time: String) -> Self {
        Self { time: Some(time), ..self }
    }
}

/// Where people read.
pub struct Screen {
    out: Box<dyn Write + Send>,
    columns: usize,
    live: bool,
    colour: bool,
    /// Columns of the left column.
    label_columns: usize,
    /// Lines of the open entry that stand on the terminal and are drawn again.
    open_lines: usize,
}

impl Screen {
    /// Standard output: live and coloured on a terminal, unless `NO_COLOR` (no-color.org) is set; plain elsewhere.
    #[must_use]
    pub fn stdout() -> Self {
        let out = io::stdout();
        let live = out.is_terminal();
        let columns = match rustix::termios::tcgetwinsize(&out) {
            Ok(size) if live && size.ws_col > 0 => usize::from(size.ws_col),
            _ => DEFAULT_COLUMNS,
        };
        let colour = live && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        Self { live, colour, ..Self::plain(Box::new(out), columns) }
    }

    /// Any writer, without colours and without drawing anything twice.
    #[must_use]
    pub fn plain(out: Box<dyn Write + Send>, columns: usize) -> Self {
        Self {
            out,
            columns: columns.clamp(MIN_COLUMNS, MAX_COLUMNS),
            live: false,
            colour: false,
            label_columns: 0,
            open_lines: 0,
        }
    }

    /// Is a line that is under way seen before it is done?
    #[must_use]
    pub fn is_live(&self) -> bool {
        self.live
    }

    /// Makes the left column wide enough for these labels.
    pub fn align(&mut self, labels: impl IntoIterator<Item = impl AsRef<str>>) {
        self.label_columns = labels.into_iter().map(|label| label.as_ref().width()).max().unwrap_or(0);
    }

    /// A heading, with something at its right.
    ///
    /// # Errors
    /// If it can't be written.
    pub fn heading(&mut self, left: &str, right: &str) -> io::Result<()> {
        let fill = self.columns.saturating_sub(left.width() + right.width()).max(GAP);
        let right = if right.is_empty() { String::new() } else { format!("{:fill$}{right}", "") };
        let line = format!("{}{right}", self.paint(Paint::Strong, left));
        self.close(&[line])
    }

    /// An entry that is under way. Drawn on a terminal only, in the place of the one before.
    ///
    /// # Errors
    /// If it can't be written.
    pub fn open_entry(&mut self, entry: &Entry) -> io::Result<()> {
        if !self.live {
            return Ok(());
        }
        let lines = self.lay_out(Mark::Plain, entry);
        self.clear_open()?;
        self.write_lines(&lines)?;
        self.open_lines = lines.len();
        self.out.flush()
    }

    /// An entry that is done.
    ///
    /// # Errors
    /// If it can't be written.
    pub fn entry(&mut self, mark: Mark, entry: &Entry) -> io::Result<()> {
        let lines = self.lay_out(mark, entry);
        self.close(&lines)
    }

    /// A text under the entries, wrapped and set in by `indent` columns.
    ///
    /// # Errors
    /// If it can't be written.
    pub fn text(&mut self, indent: usize, text: &str) -> io::Result<()> {
        let width = self.columns.saturating_sub(indent);
        let lines: Vec<String> = wrap(text, width).into_iter().map(|line| format!("{:indent$}{line}", "")).collect();
        self.close(&lines)
    }

    /// A marked text across the whole width.
    ///
    /// # Errors
    /// If it can't be written.
    pub fn verdict(&mut self, mark: Mark, text: &str) -> io::Result<()> {
        let mark = self.mark(mark);
        let lines: Vec<String> = wrap(text, self.columns.saturating_sub(MARK_COLUMNS))
            .into_iter()
            .enumerate()
            .map(|(number, line)| if number == 0 { format!(" {mark} {line}") } else { format!("   {line}") })
            .collect();
        self.close(&lines)
    }

    /// A line as it is: a command to copy, a path.
    ///
    /// # Errors
    /// If it can't be written.
    pub fn verbatim(&mut self, line: &str) -> io::Result<()> {
        self.close(&[line.to_owned()])
    }

    /// Rows of cells in aligned columns, the first row being their names.
    ///
    /// # Errors
    /// If it can't be written.
    pub fn table(&mut self, rows: &[Vec<String>]) -> io::Result<()> {
        let count = rows.iter().map(Vec::len).max().unwrap_or(0);
        let widths: Vec<usize> = (0..count)
            .map(|column| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.width()).max().unwrap_or(0))
            .collect();
        for (number, row) in rows.iter().enumerate() {
            let cells: Vec<String> = row.iter().zip(&widths).map(|(cell, width)| pad(cell, *width)).collect();
            let line = cells.join("  ").trim_end().to_owned();
            let line = if number == 0 { self.paint(Paint::Dim, &line) } else { line };
            self.close(&[line])?;
        }
        Ok(())
    }

    /// An empty line.
    ///
    /// # Errors
    /// If it can't be written.
    pub fn gap(&mut self) -> io::Result<()> {
        self.close(&[String::new()])
    }

    /// Writes finished lines in the place of the open entry.
    fn close(&mut self, lines: &[String]) -> io::Result<()> {
        self.clear_open()?;
        self.write_lines(lines)?;
        self.out.flush()
    }

    fn clear_open(&mut self) -> io::Result<()> {
        if self.open_lines > 0 {
            // Up to the entry's first line, then erase to the end of the screen (ECMA-48 §8.3.22 CUU, §8.3.39 ED).
            write!(self.out, "\x1b[{}A\r\x1b[J", self.open_lines)?;
            self.open_lines = 0;
        }
        Ok(())
    }

    fn write_lines(&mut self, lines: &[String]) -> io::Result<()> {
        lines.iter().try_for_each(|line| writeln!(self.out, "{line}"))
    }

    fn lay_out(&self, mark: Mark, entry: &Entry) -> Vec<String> {
        let mark = self.mark(mark);
        let indent = MARK_COLUMNS + self.label_columns.max(entry.label.width()) + GAP;
        let time_columns = entry.time.as_ref().map_or(0, |time| time.width() + GAP);
        let body = flow(&entry.parts, self.columns.saturating_sub(indent + time_columns).max(MIN_COLUMNS / 2));
        let last = body.len().saturating_sub(1);
        let label = pad(&entry.label, indent - MARK_COLUMNS);
        body.iter()
            .enumerate()
            .map(|(number, text)| {
                let start = if number == 0 { format!(" {mark} {label}") } else { format!("{:indent$}", "") };
                let end = match &entry.time {
                    Some(time) if number == last => {
                        let fill = self.columns.saturating_sub(indent + text.width() + time.width()).max(GAP);
                        format!("{:fill$}{}", "", self.paint(Paint::Dim, time))
                    }
                    _ => String::new(),
                };
                format!("{start}{text}{end}").trim_end().to_owned()
            })
            .collect()
    }

    fn mark(&self, mark: Mark) -> String {
        match mark {
            Mark::Done => self.paint(Paint::Good, "✓"),
            Mark::Failed => self.paint(Paint::Bad, "✗"),
            Mark::Plain => " ".to_owned(),
        }
    }

    fn paint(&self, paint: Paint, text: &str) -> String {
        if self.colour && !text.is_empty() { format!("\x1b[{}m{text}\x1b[0m", paint.code()) } else { text.to_owned() }
    }
}

/// Graphic renditions (ECMA-48 §8.3.117 SGR).
#[derive(Clone, Copy)]
enum Paint {
    Strong,
    Dim,
    Bad,
    Good,
}

impl Paint {
    const fn code(self) -> u8 {
        match self {
            Self::Strong => 1,
            Self::Dim => 2,
            Self::Bad => 31,
            Self::Good => 32,
        }
    }
}

fn pad(text: &str, columns: usize) -> String {
    format!("{text}{:fill$}", "", fill = columns.saturating_sub(text.width()))
}

/// Sets parts side by side, and begins a new line where the next one does not fit. At least one line.
fn flow(parts: &[String], width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for part in parts.iter().filter(|part| !part.is_empty()) {
        let pieces = wrap(part, width);
        for piece in pieces {
            let line = lines.last_mut().filter(|line| line.is_empty() || line.width() + GAP + piece.width() <= width);
            match line {
                Some(line) if line.is_empty() => line.push_str(&piece),
                Some(line) => {
                    line.push_str(&" ".repeat(GAP));
                    line.push_str(&piece);
                }
                None => lines.push(piece),
            }
        }
    }
    lines
}

/// Breaks a text into lines of at most `width` columns: after a space, or between wide characters.
pub(crate) fn wrap(text: &str, width: usize) -> Vec<String> {
    /// Characters that begin no line in Japanese (JIS X 4051 行頭禁則文字), as far as our texts use them.
    const NEVER_FIRST: &str = "、。，．」』）〕】・ー！？)";
    let mut lines = Vec::new();
    for paragraph in text.split('\n') {
        let mut rest = paragraph;
        while rest.width() > width {
            let mut columns = 0;
            let mut end = 0;
            let mut break_at = None;
            let mut previous_wide = false;
            for (at, character) in rest.char_indices() {
                let wide = character.width().unwrap_or(0) > 1;
                if at > 0 && (previous_wide || wide) && !NEVER_FIRST.contains(character) && columns <= width {
                    break_at = Some(at);
                }
                columns += character.width().unwrap_or(0);
                if columns > width {
                    break;
                }
                end = at + character.len_utf8();
                if character == ' ' {
                    break_at = Some(end);
                }
                previous_wide = wide;
            }
            // A word longer than the line is cut; a first character wider than the line stands alone.
            let first = rest.chars().next().map_or(0, char::len_utf8);
            let (line, tail) = rest.split_at(break_at.unwrap_or(end).max(first));
            lines.push(line.trim_end().to_owned());
            rest = tail.trim_start();
        }
        lines.push(rest.to_owned());
    }
    lines
}

/// Seconds with one decimal.
#[must_use]
pub fn seconds(milliseconds: u64) -> String {
    // Rounded to the nearest tenth, halves up.
    let tenths = milliseconds.saturating_add(50) / 100;
    format!("{}.{} s", tenths / 10, tenths % 10)
}

#[cfg(test)]
pub(crate) mod tests {
    use std::sync::{Arc, Mutex};

    use proptest::prelude::*;

    use super::*;

    /// A writer whose content a test can read.
    #[derive(Clone, Default)]
    pub(crate) struct Paper(Arc<Mutex<Vec<u8>>>);

    impl Paper {
        pub(crate) fn text(&self) -> String {
            String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
        }
    }

    impl Write for Paper {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn columns_are_counted_as_a_terminal_does() {
        let paper = Paper::default();
        let mut screen = Screen::plain(Box::new(paper.clone()), 60);
        screen.align(["照合情報認証", "card"]);
        screen.entry(Mark::Done, &Entry::new("card", ["本人のカード"]).took("0.1 s".to_owned())).unwrap();
        screen.entry(Mark::Failed, &Entry::new("照合情報認証", ["refused"]).took("12.3 s".to_owned())).unwrap();
        let text = paper.text();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], " ✓ card          本人のカード                          0.1 s");
        assert!(lines.iter().all(|line| line.width() == 60), "{text}");
    }

    #[test]
    fn an_open_entry_is_drawn_again_in_its_place() {
        let paper = Paper::default();
        let mut screen = Screen { live: true, ..Screen::plain(Box::new(paper.clone()), 40) };
        screen.open_entry(&Entry::new("key", ["one …"])).unwrap();
        screen.entry(Mark::Done, &Entry::new("key", ["one"])).unwrap();
        screen.verbatim("next").unwrap();
        assert_eq!(paper.text(), "   key  one …\n\x1b[1A\r\x1b[J ✓ key  one\nnext\n");
    }

    #[test]
    fn lines_break_where_people_break_them() {
        assert_eq!(wrap("one two three", 8), ["one two", "three"]);
        assert_eq!(wrap("照合番号を確かめ、もう一度。", 16), ["照合番号を確か", "め、もう一度。"]);
        assert_eq!(wrap("unbreakable", 4), ["unbr", "eaka", "ble"]);
        assert_eq!(wrap("", 4), [""]);
    }

    #[test]
    fn times_are_rounded() {
        for (ms, expected) in [(0, "0.0 s"), (49, "0.0 s"), (50, "0.1 s"), (4_949, "4.9 s"), (59_960, "60.0 s")] {
            assert_eq!(seconds(ms), expected);
        }
    }

    proptest! {
        #[test]
        fn wrapping_keeps_every_character_and_the_width(text in "[a-zあ-ん、。 ]{0,60}", width in 2usize..30) {
            let lines = wrap(&text, width);
            for line in &lines {
                prop_assert!(line.width() <= width, "{line:?}");
            }
            let letters = |s: &str| s.chars().filter(|c| *c != ' ').collect::<String>();
            prop_assert_eq!(letters(&lines.concat()), letters(&text));
        }
    }
}
