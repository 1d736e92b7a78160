//! One aligned line per change, for people.

use std::io::Write as _;

use anstyle::{AnsiColor, Style};
use jiff::tz::TimeZone;

use super::columns::Column;
use crate::{
    detect::Severity,
    model::{Change, What},
};

/// How lines look.
#[derive(Clone, Debug)]
pub struct TextView {
    pub columns: Vec<Column>,
    /// Write colours (ANSI escape sequences).
    pub colour: bool,
    /// Zone of the `TIME` column.
    pub zone: TimeZone,
}

impl TextView {
    /// Appends the heading line.
    pub fn heading(&self, out: &mut Vec<u8>) {
        self.row(out, |column| (column.name().to_owned(), Style::new().bold()));
    }

    /// Appends one line, its newline included. Untrusted names in it are escaped.
    pub fn line(&self, change: &Change, out: &mut Vec<u8>) {
        let event = event_style(&change.what);
        self.row(out, |column| {
            let style = match column {
                Column::Event => event,
                Column::Cause if change.cause.is_some_and(|c| c.errno.is_some()) => event,
                Column::Time | Column::Boot => Style::new().dimmed(),
                _ => Style::new(),
            };
            (column.cell(change, &self.zone), style)
        });
    }

    fn row(&self, out: &mut Vec<u8>, cell: impl Fn(Column) -> (String, Style)) {
        let start = out.len();
        // Spaces owed before the next cell that has something: none are left at a line's end.
        let mut owed = 0;
        for &column in &self.columns {
            let (text, style) = cell(column);
            let style = if self.colour { style } else { Style::new() };
            let padding = column.width().saturating_sub(text.chars().count());
            let (before, after) = if column.is_right() { (padding, 0) } else { (0, padding) };
            if !text.is_empty() {
                // Writing into memory cannot fail.
                let _ = write!(out, "{:owed$}{:before$}{style}{text}{style:#}", "", "");
                owed = 0;
            } else {
                owed += before;
            }
            owed += after + 1;
        }
        debug_assert!(!out[start..].contains(&b'\n'), "cells are escaped");
        out.push(b'\n');
    }
}

fn event_style(what: &What) -> Style {
    let colour = |colour: AnsiColor| Style::new().fg_color(Some(colour.into()));
    match what {
        What::Created { .. } => colour(AnsiColor::Green),
        What::Destroyed { .. } => colour(AnsiColor::Red),
        What::Denied { .. } => colour(AnsiColor::Yellow),
        What::Pinned { .. } | What::Unpinned { .. } => colour(AnsiColor::Cyan),
        What::Joined { .. } | What::Left { .. } | What::Snapshot { .. } => Style::new().dimmed(),
        What::Lost { .. } | What::Resynced => colour(AnsiColor::Magenta).bold(),
        What::Deed(_) => colour(AnsiColor::Yellow),
        What::Finding(finding) if finding.suppressed.is_some() => Style::new().dimmed(),
        What::Finding(finding) if finding.severity >= Severity::High => colour(AnsiColor::Red).bold(),
        What::Finding(finding) if finding.severity >= Severity::Medium => colour(AnsiColor::Yellow).bold(),
        What::Finding(_) => Style::new(),
    }
}
