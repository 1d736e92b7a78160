//! What was measured, as tables; and whether the goals are met.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;

use anyhow::{Context as _, Result, bail};

use crate::{step, workspace};

/// What the figures of a section are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    Instructions,
    Nanoseconds,
}

/// Operations that a plain host process performs all the time: nstrace may add this much of their cost.
const PLAIN: [&str; 2] = ["fork-exit", "open"];
const PLAIN_LIMIT: f64 = 1.0;
/// Operations that change namespaces: nstrace is to be cheaper than every peer.
const CHANGING: [&str; 3] = ["unshare-uts", "unshare-net", "setns"];
const BASE: &str = "nothing";

/// Median cost by tracer and operation.
#[derive(Debug, Default)]
pub struct Measured {
    /// In the order of their first appearance.
    tracers: Vec<String>,
    operations: Vec<String>,
    /// Wall and own, nanoseconds, by tracer and operation; every round.
    costs: BTreeMap<(String, String), Vec<(u64, u64)>>,
}

impl Measured {
    /// From the lines of [`super::here::measure`].
    pub fn read(lines: &[String]) -> Result<Self> {
        let mut measured = Self::default();
        for line in lines {
            let words: Vec<&str> = line.split('\t').collect();
            let &[tracer, operation, wall, own] = &words[..] else { bail!("not a measurement: {line:?}") };
            for (known, name) in [(&mut measured.tracers, tracer), (&mut measured.operations, operation)] {
                if !known.iter().any(|known| known == name) {
                    known.push(name.to_owned());
                }
            }
            let cost = (wall.parse().context("wall")?, own.parse().context("own")?);
            measured.costs.entry((tracer.to_owned(), operation.to_owned())).or_default().push(cost);
        }
        Ok(measured)
    }

    /// Median over the rounds: wall and own.
    fn cost(&self, tracer: &str, operation: &str) -> Option<(f64, f64)> {
        let rounds = self.costs.get(&(tracer.to_owned(), operation.to_owned()))?;
        let median = |mut values: Vec<u64>| {
            values.sort_unstable();
            values[values.len() / 2] as f64
        };
        Some((median(rounds.iter().map(|c| c.0).collect()), median(rounds.iter().map(|c| c.1).collect())))
    }

    /// Per cent added to the operation, by wall and by own time.
    fn added(&self, tracer: &str, operation: &str) -> Option<(f64, f64)> {
        let (wall, own) = self.cost(tracer, operation)?;
        let base = self.cost(BASE, operation)?;
        Some(((wall / base.0 - 1.0) * 100.0, (own / base.1 - 1.0) * 100.0))
    }

    /// One table.
    pub fn section(&self, title: &str, unit: Unit) -> String {
        let mut text = format!("## {title}\n\n");
        text += match unit {
            Unit::Instructions => {
                "What one operation costs, and what is added to it: to the caller and its children themselves, and in brackets \
                 to the machine's only processor, the tracer's own work included.\n\n"
            }
            Unit::Nanoseconds => {
                "What one operation costs the caller and its children (processor time, nanoseconds), and what is added to it; \
                 in brackets by the clock on the wall, other work on the machine included.\n\n"
            }
        };
        let _ = writeln!(text, "| | {} |\n|---|{}", self.operations.join(" | "), "---:|".repeat(self.operations.len()));
        for tracer in &self.tracers {
            let _ = write!(text, "| {tracer} ");
            for operation in &self.operations {
                let _ = match (tracer.as_str(), self.cost(tracer, operation), self.added(tracer, operation)) {
                    (BASE, Some((wall, own)), _) => write!(text, "| {own:.0} ({wall:.0}) "),
                    (_, _, Some(added)) => write!(text, "| {} ", both(added)),
                    _ => write!(text, "| "),
                };
            }
            text.push_str("|\n");
        }
        if unit == Unit::Instructions {
            let _ = write!(text, "\n{}\n", self.goals());
        }
        text
    }

    /// nstrace in each mode, and the other tracers.
    fn sides(&self) -> (Vec<&str>, Vec<&str>) {
        let tracers = self.tracers.iter().map(String::as_str).filter(|name| *name != BASE);
        tracers.partition(|name| name.starts_with("nstrace"))
    }

    /// Two sentences: whether what plain processes do stays below the limit, and whether what changes namespaces is cheaper than
    /// with every peer; where not, by how much.
    fn goals(&self) -> String {
        let plain: Vec<String> = PLAIN.into_iter().flat_map(|operation| self.above_limit(operation)).collect();
        let peers = self.sides().1;
        let against_peers = |operation| peers.iter().filter_map(move |peer| self.dearer_than(peer, operation));
        let changing: Vec<String> = CHANGING.into_iter().flat_map(against_peers).collect();
        format!(
            "Goal: less than {PLAIN_LIMIT} % added to {} of a plain process of the host: {}\n\n\
             Goal: less added to {} than each peer adds, to the caller and to the processor: {}",
            PLAIN.join(" and "),
            verdict(&plain),
            CHANGING.join(", "),
            verdict(&changing),
        )
    }

    /// Modes that add too much to an operation of plain processes.
    fn above_limit(&self, operation: &str) -> Vec<String> {
        let miss = |tracer: &str| {
            let (_, own) = self.added(tracer, operation)?;
            let more = own / 100.0 * self.cost(BASE, operation)?.1;
            (!is_small(own)).then(|| format!("{tracer} {operation} ({} or {more:.0})", signed(own)))
        };
        self.sides().0.into_iter().filter_map(miss).collect()
    }

    /// Modes that add more to an operation than this peer.
    fn dearer_than(&self, peer: &str, operation: &str) -> Option<String> {
        let theirs = self.added(peer, operation)?;
        let miss = |tracer: &str| {
            let ours = self.added(tracer, operation)?;
            (!is_cheaper(ours, theirs)).then(|| format!("{tracer} {}", both(ours)))
        };
        let dearer: Vec<String> = self.sides().0.into_iter().filter_map(miss).collect();
        (!dearer.is_empty()).then(|| format!("{operation} against {peer} {}: {}", both(theirs), dearer.join(", ")))
    }

    /// Prints each goal of each mode, met or missed; true if all are met.
    pub fn judge(&self, machine: &str) -> bool {
        let mut met = true;
        let mut say = |what: &str, good: bool| {
            met &= good;
            println!("{}: {machine}: {what}", if good { "met" } else { "MISSED" });
        };
        let (ours, peers) = self.sides();
        for tracer in &ours {
            for operation in PLAIN {
                if let Some((_, own)) = self.added(tracer, operation) {
                    say(&format!("{tracer} adds {own:.2} % to {operation} (goal {PLAIN_LIMIT:.0} %)"), is_small(own));
                }
            }
            for operation in CHANGING {
                let Some(added) = self.added(tracer, operation) else { continue };
                for peer in &peers {
                    let Some(other) = self.added(peer, operation) else { continue };
                    let what = format!("{tracer} adds {} to {operation}, {peer} {}", both(added), both(other));
                    say(&what, is_cheaper(added, other));
                }
            }
        }
        met
    }
}

/// Of the own part of a result of [`Measured::added`] to what plain processes do.
fn is_small(own: f64) -> bool {
    own < PLAIN_LIMIT
}

/// Of two results of [`Measured::added`]. The work of a tracer outside of the caller counts too.
fn is_cheaper(ours: (f64, f64), theirs: (f64, f64)) -> bool {
    ours.0 < theirs.0 && ours.1 < theirs.1
}

fn verdict(missed: &[String]) -> String {
    if missed.is_empty() { "met.".to_owned() } else { format!("met but for {}.", missed.join("; ")) }
}

/// A result of [`Measured::added`], the caller's own first.
fn both((wall, own): (f64, f64)) -> String {
    format!("{} ({})", signed(own), signed(wall))
}

fn signed(percent: f64) -> String {
    if percent.abs() < 10.0 { format!("{percent:+.2} %") } else { format!("{percent:+.0} %") }
}

/// Writes docs/overhead.md.
pub fn write(sections: &[String]) -> Result<()> {
    let path = workspace::root().join("docs/overhead.md");
    fs::create_dir_all(workspace::root().join("docs"))?;
    let text = format!(
        "# What being traced costs\n\nMade by `cargo xtask bench overhead --write`, which builds everything, boots the guests and \
         takes some minutes.\n\n{}\n{}",
        include_str!("explanation.md"),
        sections.join("\n")
    );
    fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    step::note(format_args!("{} is written", path.display()));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::Measured;

    fn measured(open_of_nstrace: u64, setns_of_peer: u64) -> Measured {
        let lines = [
            "nothing\topen\t1000\t1000".to_owned(),
            "nothing\tsetns\t1000\t1000".to_owned(),
            format!("nstrace auto\topen\t{open_of_nstrace}\t{open_of_nstrace}"),
            "nstrace auto\tsetns\t1500\t1400".to_owned(),
            "peer\topen\t1000\t1000".to_owned(),
            format!("peer\tsetns\t{setns_of_peer}\t{setns_of_peer}"),
        ];
        Measured::read(&lines).expect("measurements")
    }

    #[test]
    fn goals() {
        assert!(measured(1009, 1600).judge("test"));
        assert!(!measured(1011, 1600).judge("test"), "more than 1 % added to open");
        assert!(!measured(1009, 1450).judge("test"), "a peer costs the machine less");
    }

    #[test]
    fn goals_are_told_with_what_misses_them() {
        assert_eq!(measured(1009, 1600).goals().matches("met.").count(), 2);
        let missed = measured(1030, 1450).goals();
        assert!(missed.contains("met but for nstrace auto open (+3.00 % or 30)."), "{missed}");
        assert!(
            missed.ends_with("met but for setns against peer +45 % (+45 %): nstrace auto +40 % (+50 %)."),
            "{missed}"
        );
    }

    #[test]
    fn the_median_of_the_rounds_counts() {
        let lines = ["100", "900", "110"].map(|own| format!("nothing\topen\t{own}\t{own}"));
        assert_eq!(Measured::read(&lines).expect("measurements").cost("nothing", "open"), Some((110.0, 110.0)));
        assert!(Measured::read(&["no measurement".to_owned()]).is_err());
    }
}
