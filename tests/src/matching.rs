//! Lines against expectations, field by field.

mod fields;
mod verdict;

pub use verdict::Verdict;

use std::collections::{HashMap, HashSet};

use crate::{
    doctor::Facts,
    expect::{Book, Expect, Generation},
    line::Line,
};

/// Events about the life of a namespace and its members.
const LIFE: [&str; 7] = ["created", "joined", "left", "destroyed", "pinned", "unpinned", "denied"];

/// Compares. Each expectation takes the first line that names the same event, namespace and task; its other fields are
/// then compared one by one. What is left over among the lines about the actor's processes was said without a reason.
pub fn judge(book: &Book, lines: &[Line], facts: &Facts) -> Verdict {
    let mut judge = Judge {
        book,
        lines,
        facts,
        lives: book.generations.clone(),
        by_event: HashMap::new(),
        taken: HashSet::new(),
        by_generation: vec![Vec::new(); book.generations.len()],
        verdict: Verdict::default(),
    };
    for (index, line) in lines.iter().enumerate() {
        judge.by_event.entry(&line.event).or_default().push(index);
    }
    // First of all, for a loss explains much of what may follow.
    judge.check_accounting();
    for expect in &book.expects {
        judge.find(expect);
    }
    judge.check_order();
    judge.check_rest();
    judge.verdict
}

struct Judge<'a> {
    book: &'a Book,
    lines: &'a [Line],
    facts: &'a Facts,
    /// With the numbers that lines revealed.
    lives: Vec<Generation>,
    by_event: HashMap<&'a str, Vec<usize>>,
    taken: HashSet<usize>,
    /// Per generation: positions of its lines.
    by_generation: Vec<Vec<usize>>,
    verdict: Verdict,
}

impl Judge<'_> {
    fn find(&mut self, expect: &Expect) {
        let candidates = self.by_event.get(expect.event).map_or(&[][..], Vec::as_slice);
        let found = candidates.iter().copied().find(|i| !self.taken.contains(i) && self.is(expect, &self.lines[*i]));
        let Some(index) = found else {
            match self.facts.excuse(expect) {
                Some(why) => self.verdict.skip(expect.event, &why),
                None => self.verdict.missing.push(self.describe(expect)),
            }
            return;
        };
        self.taken.insert(index);
        self.verdict.matched += 1;
        let line = &self.lines[index];
        if let Some(generation) = expect.generation {
            self.by_generation[generation].push(index);
            let life = &mut self.lives[generation];
            life.inum = life.inum.or(line.inum());
            life.id = life.id.or(line.ns_id());
        }
        for fault in fields::compare(expect, self.life(expect), line, self.facts) {
            self.verdict.wrong.push(format!(
                "{fault}\n    expected: {}\n    received: {}",
                self.describe(expect),
                line.raw
            ));
        }
    }

    fn life(&self, expect: &Expect) -> Option<&Generation> {
        expect.generation.map(|index| &self.lives[index])
    }

    /// `line` is the one that `expect` is about.
    fn is(&self, expect: &Expect, line: &Line) -> bool {
        if line.event != expect.event {
            return false;
        }
        if let Some(life) = self.life(expect) {
            let same_id = life.id.is_none() || line.ns_id().is_none() || life.id == line.ns_id();
            let same_inum = life.inum.is_none() || life.inum == line.inum();
            if line.ns_type() != Some(&life.ns_type) || !same_id || !same_inum {
                return false;
            }
        }
        if expect.ns_type.is_some() && line.ns_type() != expect.ns_type.as_deref() {
            return false;
        }
        if let Some(who) = &expect.who {
            let Some(task) = &line.task else { return false };
            if task.pid != who.pid || who.tid.is_some_and(|tid| tid != task.tid) {
                return false;
            }
        }
        // The actor's own look at an id opens the namespace for a moment: the time tells it from the scripted pin.
        let timed = matches!(expect.event, "pinned" | "unpinned" | "denied");
        !timed || fields::in_window(expect, line)
    }

    /// One life: created, then members and holders, then destroyed; then the next life under the same number.
    fn check_order(&mut self) {
        let rank = |event: &str| match event {
            "created" => 0,
            "destroyed" => 2,
            _ => 1,
        };
        for (life, positions) in self.lives.iter().zip(&self.by_generation) {
            let mut sorted = positions.clone();
            sorted.sort_unstable();
            for pair in sorted.windows(2) {
                let (a, b) = (&self.lines[pair[0]], &self.lines[pair[1]]);
                if rank(&a.event) > rank(&b.event) {
                    self.verdict.wrong.push(format!(
                        "{} before {} in the life of one {} namespace\n    first: {}\n    then: {}",
                        a.event, b.event, life.ns_type, a.raw, b.raw
                    ));
                }
            }
            fields::check_members(self.lines, &sorted, life.made && !life.foreign, &mut self.verdict);
            if let (Some(first), Some(last)) = (sorted.first(), sorted.last()) {
                fields::check_lifetime(&self.lines[*first], &self.lines[*last], &mut self.verdict);
            }
        }
    }

    fn check_rest(&mut self) {
        for (index, line) in self.lines.iter().enumerate() {
            if self.taken.contains(&index) || !LIFE.contains(&line.event.as_str()) {
                continue;
            }
            let older = line.boot_ns().is_some_and(|at| at < self.book.first_ns);
            let ours = line.pid().is_some_and(|pid| self.book.pids.contains(&pid));
            let held = matches!(line.event.as_str(), "pinned" | "unpinned");
            let again = line.event == "destroyed"
                && line.ns_id().is_some()
                && self
                    .lives
                    .iter()
                    .any(|l| l.made && l.id == line.ns_id() && Some(l.ns_type.as_str()) == line.ns_type());
            if !older && (again || (ours && !held)) {
                self.verdict.unexpected.push(line.raw.clone());
            }
        }
    }

    fn check_accounting(&mut self) {
        let mut previous = None;
        for line in self.lines {
            if line.event == "lost" {
                self.verdict.wrong.push(format!("records were lost: {}", line.raw));
            }
            match (previous, line.seq()) {
                (Some(before), Some(now)) if now <= before => {
                    self.verdict.wrong.push(format!("seq {now} after {before}: {}", line.raw));
                }
                (_, None) => self.verdict.wrong.push(format!("no seq: {}", line.raw)),
                _ => {}
            }
            previous = line.seq().or(previous);
        }
    }

    fn describe(&self, expect: &Expect) -> String {
        let ns = self.life(expect).map_or_else(
            || expect.ns_type.clone().unwrap_or_else(|| "any type".to_owned()),
            |l| {
                let number = |n: Option<u64>| n.map_or_else(|| "?".to_owned(), |n| n.to_string());
                format!("{}:[{}] id {}", l.ns_type, number(l.inum.map(u64::from)), number(l.id))
            },
        );
        let who = expect.who.as_ref().map_or_else(String::new, |w| match w.tid {
            Some(tid) if tid != w.pid => format!(" by {}/{tid}", w.pid),
            _ => format!(" by {}", w.pid),
        });
        let errno = expect.errno.as_ref().map_or_else(String::new, |e| format!(" {e}"));
        format!("{} {ns}{who} via {:?}{errno}, for {}", expect.event, expect.via, expect.origin)
    }
}

#[cfg(test)]
mod tests;
