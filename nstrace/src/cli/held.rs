//! Lines of containers that were asked for by a name which no engine has told yet: kept until it does.

use std::collections::BTreeMap;

use crate::engine::is_same;

/// A line, and whether it belongs to the start-up snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    pub bytes: Vec<u8>,
    pub is_snapshot: bool,
}

/// In bytes, all containers together.
const MOST: usize = 32 << 20;

#[derive(Debug, Default)]
pub struct Held {
    /// By id, as the cgroup shows it.
    lines: BTreeMap<String, Vec<Line>>,
    bytes: usize,
    /// Lines that were too many.
    dropped: u64,
}

impl Held {
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// Keeps a line of this container.
    pub fn hold(&mut self, id: &str, line: Line) {
        if self.bytes + line.bytes.len() > MOST {
            self.dropped += 1;
            return;
        }
        self.bytes += line.bytes.len();
        match self.lines.get_mut(id) {
            Some(lines) => lines.push(line),
            None => drop(self.lines.insert(id.to_owned(), vec![line])),
        }
    }

    /// The lines of the container that an engine tells this id of, in their order; nothing is kept of it any more.
    pub fn take(&mut self, told: &str) -> Vec<Line> {
        let mut taken = Vec::new();
        for (_, lines) in self.lines.extract_if(.., |shown, _| is_same(shown, told)) {
            taken.extend(lines);
        }
        self.bytes -= taken.iter().map(|line| line.bytes.len()).sum::<usize>();
        taken
    }

    /// What is to be said of lines that could not be kept, once.
    pub fn complaint(&mut self) -> Option<String> {
        let dropped = std::mem::take(&mut self.dropped);
        (dropped > 0).then(|| {
            format!(
                "{dropped} lines of containers without a name so far were too many to keep until an engine names them: \
                 ask for containers by id, or for fewer types (-t)"
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: &str) -> Line {
        Line { bytes: text.as_bytes().to_vec(), is_snapshot: false }
    }

    #[test]
    fn lines_wait_for_the_name_of_their_container() {
        let (web, db) = ("3f2a".repeat(16), "aaaa".repeat(16));
        let mut held = Held::default();
        held.hold(&web, line("1"));
        held.hold(&db, line("2"));
        held.hold(&web[..12], line("3"));
        held.hold(&web, line("4"));
        assert_eq!(held.take("3f2a"), []);
        assert_eq!(held.take(&web), [line("3"), line("1"), line("4")]);
        assert_eq!(held.take(&web), []);
        assert_eq!(held.take(&db), [line("2")]);
        assert!(held.is_empty() && held.bytes == 0 && held.complaint().is_none());
    }

    #[test]
    fn what_is_too_much_to_keep_is_said() {
        let mut held = Held::default();
        let long = Line { bytes: vec![b'x'; MOST], is_snapshot: false };
        held.hold("a", long.clone());
        held.hold("b", line("1"));
        held.hold("b", line("2"));
        assert!(held.complaint().is_some_and(|text| text.starts_with("2 lines ")));
        assert_eq!(held.complaint(), None);
        assert_eq!(held.take("a"), [long]);
        held.hold("b", line("3"));
        assert_eq!(held.take("b"), [line("3")]);
    }
}
