//! The rows of an SQL statement: as a table, as JSON or as CSV. Written as they come; no more than a part of a table is kept.

use serde::{Serialize, Serializer, ser::SerializeMap};

use super::{csv, escape::escaped, json, ls_table::Table};

/// Rows of a table that are kept to find out how wide its columns are.
const PART: usize = 1000;
/// Bytes of a blob that a table shows.
const BLOB: usize = 32;

/// What SQL has in a cell.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Cell<'a> {
    Null,
    Integer(i64),
    Real(f64),
    /// Not necessarily UTF-8.
    Text(&'a [u8]),
    Blob(&'a [u8]),
}

/// The form of the rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    Table,
    /// An array of objects, one a line.
    Json,
    Csv,
}

/// Rows on their way into text.
#[derive(Debug)]
pub struct Rows {
    form: Form,
    columns: Vec<String>,
    count: u64,
    headings: bool,
    /// Of a table: those not yet written, each cell with whether it is a number (None: nothing).
    part: Vec<Vec<(String, Option<bool>)>>,
    widths: Vec<usize>,
    right: Vec<bool>,
}

impl Rows {
    pub fn new(form: Form, columns: Vec<String>, headings: bool) -> Self {
        Self { form, columns, count: 0, headings, part: Vec::new(), widths: Vec::new(), right: Vec::new() }
    }

    /// Rows so far.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// What stands before the first row.
    pub fn begin(&self, out: &mut Vec<u8>) {
        if self.form == Form::Csv && self.headings {
            let names: Vec<String> = self.columns.iter().map(|name| csv::cell(name.as_bytes())).collect();
            csv::record(names.iter().map(String::as_str), out);
        }
    }

    /// Takes the next row; appends what can be written.
    pub fn row(&mut self, cells: &[Cell<'_>], out: &mut Vec<u8>) {
        self.count += 1;
        match self.form {
            Form::Table => {
                self.part.push(cells.iter().map(table_cell).collect());
                if self.part.len() >= PART {
                    self.write_part(out);
                }
            }
            Form::Json => {
                out.extend_from_slice(if self.count == 1 { b"[" } else { b",\n" });
                json::object(&Object { columns: &self.columns, cells }, out);
                out.pop();
            }
            Form::Csv => {
                let cells: Vec<String> = cells.iter().map(csv_cell).collect();
                csv::record(cells.iter().map(String::as_str), out);
            }
        }
    }

    /// The rest.
    pub fn end(&mut self, out: &mut Vec<u8>) {
        match self.form {
            Form::Table => self.write_part(out),
            Form::Json if self.count == 0 => out.extend_from_slice(b"[]\n"),
            Form::Json => out.extend_from_slice(b"]\n"),
            Form::Csv => {}
        }
    }

    fn write_part(&mut self, out: &mut Vec<u8>) {
        if self.part.is_empty() {
            return;
        }
        let is_first = self.right.is_empty();
        if is_first {
            // Columns of numbers stand on the right; the first part decides.
            let is_number = |column: usize| {
                let mut some = self.part.iter().filter_map(|row| row.get(column)?.1).peekable();
                some.peek().is_some() && some.all(|number| number)
            };
            self.right = (0..self.columns.len()).map(is_number).collect();
        }
        let names = self.columns.iter().map(|name| escaped(name.as_bytes()).to_string());
        let mut table = Table::new(names.zip(self.right.iter().copied()).collect());
        for row in self.part.drain(..) {
            table.row(row.into_iter().map(|(text, _)| text));
        }
        let text = table.text_from(self.headings && is_first, &mut self.widths);
        out.extend_from_slice(text.as_bytes());
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn table_cell(cell: &Cell<'_>) -> (String, Option<bool>) {
    match cell {
        Cell::Null => ("-".to_owned(), None),
        Cell::Integer(number) => (number.to_string(), Some(true)),
        Cell::Real(number) => (number.to_string(), Some(true)),
        Cell::Text(text) => (escaped(text).to_string(), Some(false)),
        Cell::Blob(bytes) if bytes.len() > BLOB => {
            (format!("x'{}' and {} bytes more", hex(&bytes[..BLOB]), bytes.len() - BLOB), Some(false))
        }
        Cell::Blob(bytes) => (format!("x'{}'", hex(bytes)), Some(false)),
    }
}

fn csv_cell(cell: &Cell<'_>) -> String {
    match cell {
        Cell::Null => String::new(),
        Cell::Integer(number) => number.to_string(),
        Cell::Real(number) => number.to_string(),
        Cell::Text(text) => csv::cell(text),
        Cell::Blob(bytes) => hex(bytes),
    }
}

struct Object<'a> {
    columns: &'a [String],
    cells: &'a [Cell<'a>],
}

impl Serialize for Object<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.cells.len()))?;
        for (name, cell) in self.columns.iter().zip(self.cells) {
            match cell {
                Cell::Null => map.serialize_entry(name, &())?,
                Cell::Integer(number) => map.serialize_entry(name, &SafeSigned(*number))?,
                Cell::Real(number) => map.serialize_entry(name, number)?,
                Cell::Text(text) => map.serialize_entry(name, &String::from_utf8_lossy(text))?,
                Cell::Blob(bytes) => map.serialize_entry(name, &hex(bytes))?,
            }
        }
        map.end()
    }
}

/// As [`json::Safe`], of a number that may be negative.
struct SafeSigned(i64);

impl Serialize for SafeSigned {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.0.unsigned_abs() < 1 << 53 { serializer.serialize_i64(self.0) } else { serializer.collect_str(&self.0) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(form: Form, rows: &[Vec<Cell<'_>>]) -> String {
        let mut out = Vec::new();
        let mut writer = Rows::new(form, vec!["n".to_owned(), "text\x1b".to_owned()], true);
        writer.begin(&mut out);
        rows.iter().for_each(|row| writer.row(row, &mut out));
        writer.end(&mut out);
        String::from_utf8(out).expect("UTF-8")
    }

    #[test]
    fn tables_have_numbers_on_the_right_and_nothing_hostile() {
        let rows = [
            vec![Cell::Integer(1), Cell::Text(b"\x1b[2J\xff")],
            vec![Cell::Integer(-100), Cell::Null],
            vec![Cell::Real(0.5), Cell::Blob(&[7; 40])],
        ];
        let text = written(Form::Table, &rows);
        let blob = "07".repeat(32);
        assert_eq!(text, format!("   n text\\x1b\n   1 \\x1b[2J\\xff\n-100 -\n 0.5 x'{blob}' and 8 bytes more\n"));
    }

    #[test]
    fn long_tables_keep_their_widths() {
        let rows: Vec<Vec<Cell<'_>>> = (0..2500).map(|n| vec![Cell::Integer(n), Cell::Text(b"x")]).collect();
        let text = written(Form::Table, &rows);
        assert_eq!(text.lines().count(), 2501);
        assert_eq!(text.lines().nth(1), Some("  0 x"));
        assert_eq!(text.lines().last(), Some("2499 x"));
    }

    #[test]
    fn json_is_an_array_of_objects() {
        let rows = [
            vec![Cell::Integer(1 << 53), Cell::Text(b"a\x1b")],
            vec![Cell::Integer(-1), Cell::Null],
            vec![Cell::Real(f64::INFINITY), Cell::Blob(b"\x01\xff")],
        ];
        let text = written(Form::Json, &rows);
        assert!(!text.chars().any(|c| c.is_control() && c != '\n'));
        let value: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        let expected = serde_json::json!([
            {"n": "9007199254740992", "text\x1b": "a\x1b"},
            {"n": -1, "text\x1b": null},
            {"n": null, "text\x1b": "01ff"},
        ]);
        assert_eq!(value, expected);
        assert_eq!(text.lines().count(), 3);
        assert_eq!(written(Form::Json, &[]), "[]\n");
    }

    #[test]
    fn csv_has_a_header_and_no_formulas() {
        let rows = [vec![Cell::Integer(-1), Cell::Text(b"=1+1")], vec![Cell::Null, Cell::Text(b"a,\"b\"")]];
        assert_eq!(written(Form::Csv, &rows), "n,text\\x1b\r\n-1,'=1+1\r\n,\"a,\"\"b\"\"\"\r\n");
    }
}
