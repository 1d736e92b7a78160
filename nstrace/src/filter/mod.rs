//! Filter expressions (`-Q`), in the grammar of scols-filter(5) as util-linux 2.41 documents it.
//!
//! [`lex`] cuts the text into tokens, [`parse`] builds the tree and checks every name and type against a list of
//! [`Field`]s, [`Filter::matches`] asks a [`Row`]. Everything that can be wrong with an expression is found while it is
//! compiled, with the place; evaluation is total.
//!
//! Where the man page and libsmartcols' parser differ, the man page is followed: `or` binds weaker than `and` (in the
//! parser they are equal). Stricter than libsmartcols: a comparison that could only fail or mislead at run time (a string
//! column with a bare number, the result of a comparison with a number or string) is an error with a hint.
//! Regular expressions have the syntax of the `regex` crate, which has no back-references.

mod change;
mod error;
mod eval;
pub mod follow;
mod lex;
mod parse;

pub use change::FIELDS as CHANGE_FIELDS;
pub use error::{Fault, FilterError};

use std::borrow::Cow;

/// The type of a field's values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    String,
    /// Unsigned 64-bit, `integer` in the man page.
    Number,
    Float,
    Boolean,
}

impl Kind {
    /// The word used in error messages.
    pub const fn name(self) -> &'static str {
        match self {
            Self::String => "string",
            Self::Number => "number",
            Self::Float => "float",
            Self::Boolean => "boolean",
        }
    }
}

/// A field that expressions may name (a `holder` in the man page).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    /// In capitals; expressions may use any case.
    pub name: &'static str,
    pub kind: Kind,
}

/// One value of a row.
#[derive(Clone, Debug, PartialEq)]
pub enum Value<'a> {
    String(Cow<'a, str>),
    Number(u64),
    Float(f64),
    Boolean(bool),
}

/// Something with fields.
pub trait Row {
    /// The value of a field under its [`Field::name`]; None where it is empty.
    fn field(&self, name: &str) -> Option<Value<'_>>;
}

/// A compiled expression.
#[derive(Clone, Debug)]
pub struct Filter {
    root: parse::Node,
}

impl Filter {
    /// Compiles `text` for rows that have these fields.
    ///
    /// # Errors
    /// The first fault, with its place in `text`.
    pub fn parse(text: &str, fields: &[Field]) -> Result<Self, FilterError> {
        let fault = |fault| FilterError::new(text, fields, fault);
        let tokens = lex::tokens(text).map_err(fault)?;
        let root = parse::parse(text, &tokens, fields).map_err(fault)?;
        Ok(Self { root })
    }

    pub fn matches(&self, row: &dyn Row) -> bool {
        eval::truth(&self.root, row)
    }
}
