//! What is wrong with a file of rules or exceptions, and where.

use std::{fmt, ops::Range};

/// One fault.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Fault {
    /// Of the file, as its user named it; hostile.
    pub file: String,
    /// From 1; 0: of no line.
    pub line: usize,
    /// Characters, from 1.
    pub column: usize,
    /// What is wrong and what to write instead. Hostile.
    pub message: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}: {}", self.file, self.message),
            line => write!(f, "{}:{line}:{}: {}", self.file, self.column, self.message),
        }
    }
}

impl Fault {
    /// About a whole file.
    pub fn of_file(file: &str, message: String) -> Self {
        Self { file: file.to_owned(), line: 0, column: 0, message }
    }

    /// At this byte of its text.
    pub fn at(file: &str, text: &str, byte: usize, message: String) -> Self {
        let before = text.get(..byte.min(text.len())).unwrap_or_else(|| {
            let start = (0..=byte.min(text.len())).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0);
            &text[..start]
        });
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        Self { file: file.to_owned(), line, column, message }
    }
}

/// The byte of a TOML text at which the character number `wanted` of the string literal in `span` is written.
pub fn place_in_literal(text: &str, span: Range<usize>, wanted: usize) -> usize {
    let Some(raw) = text.get(span.clone()) else { return span.start };
    let (quotes, escapes) = match raw.as_bytes() {
        [b'"', b'"', b'"', ..] => (3, true),
        [b'\'', b'\'', b'\'', ..] => (3, false),
        [b'"', ..] => (1, true),
        _ => (1, false),
    };
    let mut at = quotes;
    // A newline right after the opening quotes is not part of the string.
    if quotes == 3 {
        at += ["\r\n", "\n"].into_iter().find(|end| raw[at..].starts_with(end)).map_or(0, str::len);
    }
    for _ in 0..wanted {
        let Some(rest) = raw.get(at..) else { break };
        let mut chars = rest.chars();
        at += match (chars.next(), chars.next()) {
            (Some('\\'), Some(escaped)) if escapes => match escaped {
                'x' => 4,
                'u' => 6,
                'U' => 10,
                // The end of a line and the blanks that follow are not part of the string.
                blank if blank.is_whitespace() => {
                    let blanks = rest[1..].len() - rest[1..].trim_start().len();
                    let next = rest[1 + blanks..].chars().next().map_or(0, char::len_utf8);
                    1 + blanks + next
                }
                other => 1 + other.len_utf8(),
            },
            (Some(plain), _) => plain.len_utf8(),
            (None, _) => 0,
        };
    }
    span.start + at.min(raw.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_and_columns_count_from_one_and_in_characters() {
        let text = "a = 1\né = 22\n";
        let place = |byte| {
            let fault = Fault::at("f", text, byte, String::new());
            (fault.line, fault.column)
        };
        assert_eq!((place(0), place(4)), ((1, 1), (1, 5)));
        assert_eq!((place(6), place(8), place(7)), ((2, 1), (2, 2), (2, 1)));
        assert_eq!(place(1000), (3, 1));
    }

    #[test]
    fn characters_of_literals_are_found_behind_escapes() {
        for (text, wanted, expected) in [
            (r#""abc""#, 2, "c"),
            (r#""a\"bc""#, 3, "c"),
            (r#""a\u0041bc""#, 3, "c"),
            ("'a\\bc'", 3, "c"),
            ("'''\nabc'''", 2, "c"),
            ("\"\"\"\na\nc\"\"\"", 2, "c"),
            ("\"\"\"a\\\n   bc\"\"\"", 2, "c"),
        ] {
            let at = place_in_literal(text, 0..text.len(), wanted);
            assert!(text[at..].starts_with(expected), "{text}: {}", &text[at..]);
        }
        assert_eq!(place_in_literal("'a'", 0..3, 99), 3);
        assert_eq!(place_in_literal("é", 1..2, 1), 1);
    }
}
