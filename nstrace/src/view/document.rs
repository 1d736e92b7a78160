//! Snapshot documents: one JSON object with `schema`, `complete` and `missing`.

use std::fmt::Write as _;

use serde::Serialize;

use super::{escape, schema};

/// What stands around the content of a document.
#[derive(Debug, Serialize)]
pub struct Document<'a, T> {
    schema: u32,
    /// Nothing that was asked for stayed unseen.
    complete: bool,
    /// What did, and why.
    missing: &'a [String],
    #[serde(flatten)]
    content: &'a T,
}

/// `content` as one document, a newline at its end. `content` has to be an object. Characters that a terminal would act
/// upon are written as `\u` escapes, which mean the same to a JSON reader.
pub fn json<T: Serialize>(content: &T, missing: &[String]) -> String {
    safe_json(&Document { schema: schema::VERSION, complete: missing.is_empty(), missing, content })
}

/// As [`json`], of a document of another form.
pub fn safe_json<T: Serialize>(document: &T) -> String {
    let text = serde_json::to_string_pretty(document).expect("a document has only string keys");
    let mut safe = String::with_capacity(text.len() + 1);
    for c in text.chars() {
        // Such characters stand only within strings.
        if c == '\x7f' || escape::is_deceptive(c) {
            for unit in c.encode_utf16(&mut [0; 2]) {
                let _ = write!(safe, "\\u{unit:04x}");
            }
        } else {
            safe.push(c);
        }
    }
    safe.push('\n');
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn means_the_same_and_holds_nothing_that_a_terminal_acts_upon() {
        #[derive(Serialize)]
        struct Content {
            name: &'static str,
        }
        let text = json(&Content { name: "\u{9b}2J\u{202e}\x7f\x1b\u{e0041}" }, &["x".to_owned()]);
        assert!(!text.chars().any(|c| (c.is_control() && c != '\n') || escape::is_deceptive(c)), "{text}");
        let value: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(value["name"], "\u{9b}2J\u{202e}\x7f\x1b\u{e0041}");
        assert_eq!((&value["complete"], &value["schema"]), (&false.into(), &1.into()));
    }
}
