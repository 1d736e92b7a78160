//! What can be wrong with an expression, and how it is shown: a caret under the fault.

use std::{fmt, ops::Range};

use super::Field;
use crate::view::escape::escaped;

/// A fault and the bytes of the expression it is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Byte range in the expression, at character borders; empty at the end of the text.
    pub at: Range<usize>,
    /// What is wrong and what to do, one line.
    pub what: String,
    /// The list of fields helps.
    pub name_fields: bool,
}

impl Fault {
    pub(super) fn new(at: Range<usize>, what: impl Into<String>) -> Self {
        Self { at, what: what.into(), name_fields: false }
    }
}

/// A bad expression, ready to be shown: the fault, the expression with a caret under it, the fields.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct FilterError {
    text: String,
    fields: Vec<&'static str>,
    pub fault: Fault,
}

impl FilterError {
    pub(super) fn new(text: &str, fields: &[Field], fault: Fault) -> Self {
        Self { text: text.to_owned(), fields: fields.iter().map(|f| f.name).collect(), fault }
    }
}

impl fmt::Display for FilterError {
    /// Several lines without a final newline.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Escaping widens characters, so the caret's place is measured on escaped text.
        let shown = |range: Range<usize>| escaped(self.text.get(range).unwrap_or_default().as_bytes()).to_string();
        let Range { start, end } = self.fault.at.clone();
        let (before, fault) = (shown(0..start), shown(start..end));
        writeln!(f, "bad filter: {}", self.fault.what)?;
        writeln!(f, "  {before}{fault}{}", shown(end..self.text.len()))?;
        let indent = before.chars().count();
        write!(f, "  {:indent$}{}", "", "^".repeat(fault.chars().count().max(1)))?;
        if self.fault.name_fields {
            write!(f, "\nfields: {}", self.fields.join(" "))?;
        }
        Ok(())
    }
}
