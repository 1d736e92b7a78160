//! Names chosen by the traced system, made safe for a terminal.
//!
//! What could move the cursor, change colours, reorder text or hide is written as a visible escape: control characters
//! (C0, DEL, C1), bidirectional controls, invisible and unassigned-width format characters, and bytes that are no UTF-8.
//! Everything else, other scripts included, stays as it is. A backslash is doubled, so that an escape cannot be faked.

use std::fmt;

/// Displays bytes of unknown make: `\n`, `\x1b`, `\u{202e}`, `\xff`, `\\`.
#[derive(Clone, Copy, Debug)]
pub struct Escaped<'a>(&'a [u8]);

/// See [`Escaped`].
pub fn escaped(name: &[u8]) -> Escaped<'_> {
    Escaped(name)
}

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use fmt::Write as _;
        if self.0.iter().all(|&byte| matches!(byte, b' '..=b'~') && byte != b'\\')
            && let Ok(plain) = str::from_utf8(self.0)
        {
            return f.write_str(plain);
        }
        for chunk in self.0.utf8_chunks() {
            for c in chunk.valid().chars() {
                match c {
                    '\\' => f.write_str("\\\\")?,
                    '\n' => f.write_str("\\n")?,
                    '\r' => f.write_str("\\r")?,
                    '\t' => f.write_str("\\t")?,
                    '\0'..='\x1f' | '\x7f' => write!(f, "\\x{:02x}", u32::from(c))?,
                    _ if is_deceptive(c) => write!(f, "\\u{{{:x}}}", u32::from(c))?,
                    _ => f.write_char(c)?,
                }
            }
            for byte in chunk.invalid() {
                write!(f, "\\x{byte:02x}")?;
            }
        }
        Ok(())
    }
}

/// Characters beyond ASCII that a terminal does not show as themselves.
pub(super) fn is_deceptive(c: char) -> bool {
    matches!(
        c,
        '\u{80}'..='\u{9f}'           // C1 controls: 8-bit CSI and its like
        | '\u{ad}'                    // soft hyphen
        | '\u{61c}'                   // Arabic letter mark
        | '\u{115f}' | '\u{1160}'     // Hangul fillers
        | '\u{17b4}' | '\u{17b5}'
        | '\u{180b}'..='\u{180f}'
        | '\u{200b}'..='\u{200f}'     // zero width, direction marks
        | '\u{2028}'..='\u{202e}'     // line and paragraph separators, bidirectional embeddings and overrides
        | '\u{2060}'..='\u{206f}'     // invisible operators, bidirectional isolates
        | '\u{3164}'
        | '\u{fe00}'..='\u{fe0f}'     // variation selectors
        | '\u{feff}'                  // byte order mark
        | '\u{ffa0}'
        | '\u{fff9}'..='\u{fffb}'
        | '\u{e000}'..='\u{f8ff}'     // private use: whatever the font makes of it
        | '\u{1d173}'..='\u{1d17a}'
        | '\u{e0000}'..='\u{10ffff}'  // tags, variation selectors, private use
    )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn show(name: &[u8]) -> String {
        escaped(name).to_string()
    }

    #[test]
    fn hostile_names_become_visible() {
        assert_eq!(show(b"\x1b[31mred\x07"), r"\x1b[31mred\x07");
        assert_eq!(show("evil\u{202e}txt".as_bytes()), r"evil\u{202e}txt");
        assert_eq!(show(b"a\nb\tc\r"), r"a\nb\tc\r");
        assert_eq!(show(b"\xff\xc3("), r"\xff\xc3(");
        assert_eq!(show("\u{9b}2J".as_bytes()), r"\u{9b}2J");
        assert_eq!(show(br"\x1b"), r"\\x1b");
    }

    #[test]
    fn honest_names_stay() {
        for name in ["runc:[1:INIT]", "Grüße", "日本語", "kworker/0:1-ev"] {
            assert_eq!(show(name.as_bytes()), name);
        }
    }

    proptest! {
        #[test]
        fn nothing_of_a_control_sequence_gets_through(name in proptest::collection::vec(any::<u8>(), 0..64)) {
            let shown = show(&name);
            prop_assert!(!shown.chars().any(|c| c.is_control() || is_deceptive(c)), "{shown:?}");
        }

        #[test]
        fn also_of_valid_text(name in any::<String>()) {
            let shown = show(name.as_bytes());
            prop_assert!(!shown.chars().any(|c| c.is_control() || is_deceptive(c)), "{shown:?}");
        }

        #[test]
        fn different_names_look_different(a in any::<Vec<u8>>(), b in any::<Vec<u8>>()) {
            prop_assert_eq!(a == b, show(&a) == show(&b));
        }
    }
}
