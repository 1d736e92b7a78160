//! A table whose columns are as wide as their widest cell; the last one is not padded.

/// Text of a cell, escaped.
#[derive(Clone, Debug)]
pub struct Cell(pub String);

/// Rows under headings.
#[derive(Debug)]
pub struct Table {
    /// (heading, stands on the right).
    columns: Vec<(String, bool)>,
    rows: Vec<Vec<Cell>>,
}

impl Table {
    pub fn new(columns: Vec<(impl Into<String>, bool)>) -> Self {
        let columns = columns.into_iter().map(|(name, right)| (name.into(), right)).collect();
        Self { columns, rows: Vec::new() }
    }

    pub fn row(&mut self, cells: Vec<Cell>) {
        self.rows.push(cells);
    }

    /// All lines, each with its newline.
    pub fn text(&self, headings: bool) -> String {
        self.text_from(headings, &mut Vec::new())
    }

    /// As [`Table::text`], of a part of a table: columns are at least as wide as the parts before had them.
    pub fn text_from(&self, headings: bool, widths: &mut Vec<usize>) -> String {
        widths.resize(self.columns.len(), 0);
        if headings {
            for (width, (name, _)) in widths.iter_mut().zip(&self.columns) {
                *width = (*width).max(name.chars().count());
            }
        }
        for row in &self.rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.0.chars().count());
            }
        }
        let mut out = String::new();
        if headings {
            self.line(&mut out, widths, self.columns.iter().map(|(name, _)| name.as_str()));
        }
        for row in &self.rows {
            self.line(&mut out, widths, row.iter().map(|cell| cell.0.as_str()));
        }
        out
    }

    fn line<'a>(&self, out: &mut String, widths: &[usize], cells: impl Iterator<Item = &'a str>) {
        let last = widths.len().saturating_sub(1);
        for (n, ((cell, &width), (_, right))) in cells.zip(widths).zip(&self.columns).enumerate() {
            let gap = if n == last { "" } else { " " };
            let pad = if n == last && !right { 0 } else { width };
            let blanks = std::iter::repeat_n(' ', pad.saturating_sub(cell.chars().count()));
            if *right {
                out.extend(blanks);
                out.push_str(cell);
            } else {
                out.push_str(cell);
                out.extend(blanks);
            }
            out.push_str(gap);
        }
        out.truncate(out.trim_end_matches(' ').len());
        out.push('\n');
    }
}
