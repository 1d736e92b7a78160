//! Names that attack whoever prints them.

use nstrace_tests::kinds::kind;

use super::Scenario;
use crate::{stage, sys};

/// At most 15 bytes each: terminal escapes, line breaks, quotes, invalid and tricky UTF-8.
const NAMES: [(&str, &[u8]); 8] = [
    ("escape", b"\x1b[31mred\x1b]0;x"),
    ("newline", b"a\nb\r\tc"),
    ("quotes", br#"","ns":{"x":"#),
    ("invalid_utf8", b"\xff\xfe\x80ok"),
    ("cut_utf8", b"abc\xe2\x82"),
    ("c1", b"x\xc2\x9b31mC1"),
    ("bidi", b"\xe2\x80\xaeevil\x7f"),
    ("spaces", b"   pid=1 (x) \\"),
];

pub fn scenarios() -> Vec<Scenario> {
    NAMES
        .into_iter()
        .map(|(name, comm)| {
            Scenario::new("hostile", format!("comm_{name}"), move || {
                sys::set_comm(comm);
                stage::unshare(kind("uts").flag).expect("root may");
            })
        })
        .collect()
}
