//! Tables: columns of text with a title line, as text for people or as JSON for programs.
//!
//! Layout only; what the cells say is decided elsewhere. Invariant: a row has as many cells as the table has columns.

use serde::{Serialize, Serializer};
use serde_json::Value;

use super::style::{Style, Tone};

/// One field of a table.
#[derive(Debug, Clone)]
pub(crate) struct Cell {
    text: String,
    tone: Tone,
    json: Value,
}

impl Cell {
    /// Plain text, the same in JSON.
    pub(crate) fn new(text: impl Into<String>) -> Self {
        let text = text.into();
        Self { json: Value::String(text.clone()), text, tone: Tone::Plain }
    }

    /// Text in a colour.
    pub(crate) fn toned(text: impl Into<String>, tone: Tone) -> Self {
        Self { tone, ..Self::new(text) }
    }

    /// No value: a dash, `null` in JSON.
    pub(crate) fn none() -> Self {
        Self { text: "-".into(), tone: Tone::Plain, json: Value::Null }
    }

    /// A number.
    pub(crate) fn number(number: u32) -> Self {
        Self { text: number.to_string(), tone: Tone::Plain, json: number.into() }
    }

    /// A number that programs get exactly, and people as `text`.
    pub(crate) fn rounded(text: String, number: impl Into<Value>) -> Self {
        Self { text, tone: Tone::Plain, json: number.into() }
    }

    /// Several names in one field: a list in JSON.
    pub(crate) fn list(texts: &[String]) -> Self {
        match texts {
            [] => Self::none(),
            [one] => Self::new(one),
            many => Self { text: many.join(", "), tone: Tone::Plain, json: many.into() },
        }
    }
}

/// Columns and rows.
#[derive(Debug)]
pub(crate) struct Table {
    /// Titles; a column without a title holds marks, which JSON leaves out.
    columns: Vec<&'static str>,
    rows: Vec<Vec<Cell>>,
}

/// Columns are never made narrower than this to fit the terminal.
const NARROWEST: usize = 8;

impl Table {
    pub(crate) fn new(columns: &[&'static str]) -> Self {
        Self { columns: columns.to_vec(), rows: Vec::new() }
    }

    pub(crate) fn push(&mut self, row: Vec<Cell>) {
        debug_assert_eq!(row.len(), self.columns.len());
        self.rows.push(row);
    }

    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }

    /// The rows as lines, the titles above them if wanted; where `width` is given, long fields are shortened to fit it.
    pub(crate) fn render(&self, style: &Style, titles: bool, width: Option<usize>) -> String {
        let widths = self.widths(titles, width);
        let mut text = String::new();
        if titles {
            let row: Vec<Cell> = self.columns.iter().map(|title| Cell::toned(*title, Tone::Title)).collect();
            text.push_str(&line(style, &row, &widths));
        }
        for row in &self.rows {
            text.push_str(&line(style, row, &widths));
        }
        text
    }

    fn widths(&self, titles: bool, limit: Option<usize>) -> Vec<usize> {
        let mut widths: Vec<usize> =
            self.columns.iter().map(|title| if titles { length(title).max(1) } else { 0 }).collect();
        for row in &self.rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(length(&cell.text));
            }
        }
        if let Some(limit) = limit {
            shrink(&mut widths, limit);
        }
        widths
    }
}

/// In JSON a table is a list with one object per row, whose keys are the titles in lower case.
impl Serialize for Table {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.rows.iter().map(|cells| Row { titles: &self.columns, cells }))
    }
}

struct Row<'a> {
    titles: &'a [&'static str],
    cells: &'a [Cell],
}

impl Serialize for Row<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let fields = self.titles.iter().zip(self.cells).filter(|(title, _)| !title.is_empty());
        serializer.collect_map(fields.map(|(title, cell)| (title.to_lowercase(), &cell.json)))
    }
}

/// Takes from the widest column until the line fits, or nothing is left to take.
fn shrink(widths: &mut [usize], limit: usize) {
    let gaps = widths.len().saturating_sub(1);
    while widths.iter().sum::<usize>() + gaps > limit {
        match widths.iter_mut().max() {
            Some(widest) if *widest > NARROWEST => *widest -= 1,
            _ => return,
        }
    }
}

fn line(style: &Style, row: &[Cell], widths: &[usize]) -> String {
    let mut text = String::new();
    let last = row.len().saturating_sub(1);
    for (at, (cell, width)) in row.iter().zip(widths).enumerate() {
        let shown = shorten(&cell.text, *width);
        text.push_str(&style.paint(cell.tone, &shown));
        if at < last {
            text.extend(std::iter::repeat_n(' ', width - length(&shown) + 1));
        }
    }
    text.truncate(text.trim_end_matches(' ').len());
    text.push('\n');
    text
}

/// Text cut to `width` characters, the last of them an ellipsis where something is missing.
pub(crate) fn shorten(text: &str, width: usize) -> String {
    if length(text) <= width {
        return text.to_owned();
    }
    text.chars().take(width.saturating_sub(1)).chain(['…']).collect()
}

fn length(text: &str) -> usize {
    text.chars().count()
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    fn sample() -> Table {
        let mut table = Table::new(&["", "UNIT", "ACTIVATES"]);
        table.push(vec![
            Cell::toned("●", Tone::Bad),
            Cell::new("web.socket"),
            Cell::list(&["a".into(), "b".into()]),
        ]);
        table.push(vec![Cell::new(" "), Cell::new("long-name-of-a.socket"), Cell::none()]);
        table
    }

    #[test]
    fn columns_line_up() {
        let plain = Style::default();
        expect![[r#"
              UNIT                  ACTIVATES
            ● web.socket            a, b
              long-name-of-a.socket -
        "#]]
        .assert_eq(&sample().render(&plain, true, None));
        expect![[r#"
              UNIT        ACTIVATES
            ● web.socket  a, b
              long-name-… -
        "#]]
        .assert_eq(&sample().render(&plain, true, Some(23)));
        expect![[r#"
            ● web.socket            a, b
              long-name-of-a.socket -
        "#]]
        .assert_eq(&sample().render(&plain, false, None));
    }

    #[test]
    fn json_has_no_marks() {
        expect![[r#"[{"unit":"web.socket","activates":["a","b"]},{"unit":"long-name-of-a.socket","activates":null}]"#]]
            .assert_eq(&serde_json::to_string(&sample()).unwrap());
    }

    #[test]
    fn an_empty_table_has_only_titles() {
        let table = Table::new(&["LISTEN", "UNIT"]);
        assert_eq!(table.render(&Style::default(), true, None), "LISTEN UNIT\n");
        assert_eq!(serde_json::to_string(&table).unwrap(), "[]");
    }
}
