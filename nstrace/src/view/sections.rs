//! Text made of headed sections, aligned tables and, when asked for, the classic commands that show the same.

use anstyle::Style;

use super::escape::escaped;

/// How a text looks.
#[derive(Clone, Copy, Debug, Default)]
pub struct Look {
    /// Write colours (ANSI escape sequences).
    pub colour: bool,
    /// Print the classic command of each part.
    pub explain: bool,
}

/// A text being written.
#[derive(Debug)]
pub struct Sections {
    look: Look,
    text: String,
}

impl Sections {
    pub fn new(look: Look) -> Self {
        Self { look, text: String::new() }
    }

    /// A line as it is: the caller has escaped what is untrusted in it.
    pub fn line(&mut self, line: &str) {
        debug_assert!(!line.contains('\n'), "one line: {line:?}");
        self.text.push_str(line.trim_end());
        self.text.push('\n');
    }

    /// A heading, an empty line before it unless it is the first.
    pub fn heading(&mut self, heading: &str) {
        if !self.text.is_empty() {
            self.text.push('\n');
        }
        let heading = self.paint(Style::new().bold(), heading);
        self.line(&heading);
    }

    /// The command that shows the same; only with `--explain`.
    pub fn explain(&mut self, command: &str) {
        if self.look.explain {
            let command = self.paint(Style::new().dimmed(), &format!("  $ {command}"));
            self.line(&command);
        }
    }

    /// Rows of cells, two spaces before and between them, as wide as their widest; empty rows are no problem.
    pub fn table(&mut self, rows: &[Vec<String>]) {
        let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column: usize| {
            // What is far longer than the others pushes only its own row.
            rows.iter()
                .filter_map(|row| row.get(column))
                .map(|cell| cell.chars().count())
                .filter(|&n| n <= 44)
                .max()
                .unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        for row in rows {
            let mut line = String::new();
            for (cell, &width) in row.iter().zip(&widths) {
                line.push_str("  ");
                line.push_str(cell);
                let padding = width.saturating_sub(cell.chars().count());
                line.extend(std::iter::repeat_n(' ', padding));
            }
            self.line(&line);
        }
    }

    /// `text` in `style` where colours are wanted.
    pub fn paint(&self, style: Style, text: &str) -> String {
        if self.look.colour && !text.is_empty() { format!("{style}{text}{style:#}") } else { text.to_owned() }
    }

    pub fn finish(self) -> String {
        self.text
    }
}

/// An untrusted name for a line.
pub fn clean(name: &str) -> String {
    escaped(name.as_bytes()).to_string()
}
