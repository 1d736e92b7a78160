//! A table whose columns are as wide as their widest cell; the last one is not padded.

use std::fmt;

/// Rows under headings.
#[derive(Debug)]
pub struct Table {
    /// (heading, stands on the right).
    columns: Vec<(String, bool)>,
    /// The text of all cells, row by row: a string for each would take as long as all else.
    text: String,
    /// Where each cell ends in that, and how wide it is.
    cells: Vec<(usize, usize)>,
}

impl Table {
    pub fn new(columns: Vec<(impl Into<String>, bool)>) -> Self {
        let columns = columns.into_iter().map(|(name, right)| (name.into(), right)).collect();
        Self { columns, text: String::new(), cells: Vec::new() }
    }

    /// Adds a row: as many cells as there are columns, whose text is escaped.
    pub fn row(&mut self, cells: impl IntoIterator<Item = impl fmt::Display>) {
        for cell in cells {
            self.cell(|out| {
                use fmt::Write as _;
                // A string takes everything.
                let _ = write!(out, "{cell}");
            });
        }
    }

    /// Adds the next cell: what `write` appends, which is escaped.
    pub fn cell(&mut self, write: impl FnOnce(&mut String)) {
        let start = self.text.len();
        write(&mut self.text);
        let width = self.text[start..].chars().count();
        self.cells.push((self.text.len(), width));
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
        for (at, &(_, cell)) in self.cells.iter().enumerate() {
            let width = &mut widths[at % self.columns.len()];
            *width = (*width).max(cell);
        }
        let line = widths.iter().sum::<usize>() + widths.len();
        let mut out = String::with_capacity(line * (self.cells.len() / self.columns.len().max(1) + 1));
        if headings {
            let names = self.columns.iter().map(|(name, _)| (name.as_str(), name.chars().count()));
            self.line(&mut out, widths, names);
        }
        let mut start = 0;
        for row in self.cells.chunks(self.columns.len().max(1)) {
            let cells = row.iter().map(|&(end, width)| (&self.text[std::mem::replace(&mut start, end)..end], width));
            self.line(&mut out, widths, cells);
        }
        out
    }

    /// Adds the line of these cells, each with how wide it is.
    fn line<'a>(&self, out: &mut String, widths: &[usize], cells: impl Iterator<Item = (&'a str, usize)>) {
        let last = widths.len().saturating_sub(1);
        for (n, (((cell, taken), &width), (_, right))) in cells.zip(widths).zip(&self.columns).enumerate() {
            let pad = if n == last && !right { 0 } else { width };
            let blanks = std::iter::repeat_n(' ', pad.saturating_sub(taken));
            if *right {
                out.extend(blanks);
                out.push_str(cell);
            } else {
                out.push_str(cell);
                out.extend(blanks);
            }
            if n != last {
                out.push(' ');
            }
        }
        out.truncate(out.trim_end_matches(' ').len());
        out.push('\n');
    }
}
