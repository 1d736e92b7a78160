//! What the lines of `nstrace watch -J` say: the state they lead to, and whether each is legal in the life of its
//! namespace. Lines are not kept.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};

use nstrace_tests::{kinds::KINDS, line::Line};

use crate::{Comms, expected::Item};

/// Type and inode number.
pub type Name = (&'static str, u32);

/// Lines about the actors that are passed over, to see that the comparison notices.
#[derive(Clone, Debug)]
pub struct Forget {
    event: String,
    ns_type: &'static str,
}

impl std::str::FromStr for Forget {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (event, name) = text.split_once(':').ok_or("EVENT:TYPE is wanted, say left:ipc")?;
        let ns_type = type_name(name).ok_or_else(|| format!("{name:?} is no type of namespaces"))?;
        Ok(Self { event: event.to_owned(), ns_type })
    }
}

impl Forget {
    fn is_meant(&self, line: &Line, comms: &Comms) -> bool {
        let comm = line.task.as_ref().and_then(|task| task.comm.as_deref());
        line.event == self.event && line.ns_type() == Some(self.ns_type) && comm == Some(&comms.actor)
    }
}

/// A namespace that lives, by the lines.
#[derive(Clone, Debug, Default)]
pub struct Life {
    pub id: Option<u64>,
    pub initial: bool,
    pub members: BTreeSet<u32>,
    /// Members that the snapshot counted but did not name.
    pub unnamed: u64,
    pub pinned: bool,
}

/// Lines kept to be shown with a divergence.
const LAST_LINES: usize = 20_000;

/// See the module.
#[derive(Debug)]
pub struct Lives {
    comms: Comms,
    forget: Option<Forget>,
    pub living: BTreeMap<Name, Life>,
    ids: HashMap<u64, Name>,
    ended_ids: HashSet<u64>,
    /// By process and type, or `denied`: what the actors' processes were said to do in this round.
    pub said: HashMap<(u32, &'static str), Vec<Item>>,
    pub illegal: Vec<String>,
    pub lines: u64,
    pub created: u64,
    pub lost: u64,
    pub lost_by_hook: BTreeMap<String, u64>,
    pub losses: u64,
    pub resyncs: u64,
    /// Otherwise holders show in snapshots and censuses only.
    pub sees_pins: bool,
    /// Ends that a repair after a loss told too early.
    pub returned: u64,
    /// A `lost` line came in this round.
    pub lossy: bool,
    /// `lost` lines that no `resynced` followed yet.
    pub unrepaired: bool,
    pub last: VecDeque<String>,
    /// Created in this round by nobody knows whom.
    pub orphans: HashSet<Name>,
    /// uts namespaces made by markers.
    pub markers: HashSet<u32>,
    /// Time of the group of refusals that the last line belonged to.
    refusal: Option<(u32, u64)>,
}

fn type_name(name: &str) -> Option<&'static str> {
    KINDS.into_iter().find(|kind| kind.name == name).map(|kind| kind.name)
}

impl Lives {
    pub fn new(forget: Option<Forget>) -> Self {
        Self {
            comms: Comms::of_this_run(),
            forget,
            living: BTreeMap::new(),
            ids: HashMap::new(),
            ended_ids: HashSet::new(),
            said: HashMap::new(),
            illegal: Vec::new(),
            lines: 0,
            created: 0,
            lost: 0,
            lost_by_hook: BTreeMap::new(),
            losses: 0,
            resyncs: 0,
            sees_pins: false,
            returned: 0,
            lossy: false,
            unrepaired: false,
            last: VecDeque::new(),
            orphans: HashSet::new(),
            markers: HashSet::new(),
            refusal: None,
        }
    }

    /// Forgets what was compared.
    pub fn next_round(&mut self) {
        self.said.clear();
        self.last.clear();
        self.markers.clear();
        self.orphans.clear();
        self.lossy = false;
    }

    /// The namespace of this mark was made, and whoever made it is no longer in it.
    pub fn knows_mark(&self, inum: u32) -> bool {
        self.markers.contains(&inum) && self.living.get(&("uts", inum)).is_none_or(|life| life.members.is_empty())
    }

    /// The namespace with this 64-bit id was told as destroyed.
    pub fn has_ended(&self, id: u64) -> bool {
        self.ended_ids.contains(&id)
    }

    pub fn read(&mut self, line: &Line) {
        self.lines += 1;
        if self.last.len() == LAST_LINES {
            self.last.pop_front();
        }
        self.last.push_back(line.raw.clone());
        if self.forget.as_ref().is_some_and(|forget| forget.is_meant(line, &self.comms)) {
            return;
        }
        match line.event.as_str() {
            "lost" => {
                let document: serde_json::Value = serde_json::from_str(&line.raw).unwrap_or_default();
                let count = nstrace_tests::line::number(document.get("count")).unwrap_or(1);
                let hook = document["hook"].as_str().unwrap_or("unknown").to_owned();
                self.lost += count;
                *self.lost_by_hook.entry(hook).or_default() += count;
                self.losses += 1;
                (self.lossy, self.unrepaired) = (true, true);
            }
            "resynced" => {
                self.resyncs += 1;
                self.unrepaired = false;
            }
            "denied" => self.denied(line),
            "finding" if line.alleges_forgery() => self.illegal.push(format!("nobody forged anything: {}", line.raw)),
            "snapshot" | "created" | "joined" | "left" | "destroyed" | "pinned" | "unpinned" => {
                if let Err(fault) = self.life(line) {
                    self.illegal.push(format!("{fault}: {}", line.raw));
                }
                self.note(line);
            }
            _ => {}
        }
    }

    fn life(&mut self, line: &Line) -> Result<(), &'static str> {
        let ns_type = line.ns_type().and_then(type_name).ok_or("a line without a type")?;
        let inum = line.inum().ok_or("a line without a number")?;
        let name = (ns_type, inum);
        let initial = line.ns.as_ref().and_then(|ns| ns.initial) == Some(true);
        let id = line.ns_id();
        if matches!(line.event.as_str(), "snapshot" | "created") {
            if self.living.keys().any(|known| known.1 == inum && *known != name) {
                return Err("its number is another living namespace's");
            }
            // While nstrace walked through /proc after a loss, somebody took hold of it behind its back: told as it shows again.
            if let Some(id) = id
                && self.lossy
                && line.task.is_none()
                && self.ended_ids.remove(&id)
            {
                self.returned += 1;
            }
            if let Some(id) = id
                && (self.ended_ids.contains(&id) || self.ids.insert(id, name).is_some())
            {
                return Err("its id has been another namespace's");
            }
            let mut life = Life { id, initial, ..Life::default() };
            if line.event == "snapshot" {
                let document: serde_json::Value = serde_json::from_str(&line.raw).map_err(|_| "no JSON")?;
                life.unnamed = document["nprocs"].as_u64().unwrap_or(0);
                life.pinned = document["holders"].as_array().is_some_and(|holders| !holders.is_empty());
            } else {
                self.created += 1;
                if line.task.is_none() {
                    self.orphans.insert(name);
                }
            }
            return match self.living.insert(name, life) {
                Some(_) => Err("it lives already"),
                None => Ok(()),
            };
        }
        let life = self.living.get_mut(&name).ok_or("it does not live")?;
        if life.id != id {
            // Found in /proc after a loss it has no id there: the next record of it tells.
            let is_learned = self.lossy && life.id.is_none();
            if !is_learned || id.is_none_or(|id| self.ended_ids.contains(&id) || self.ids.insert(id, name).is_some()) {
                return Err("its id was another one");
            }
            life.id = id;
        }
        let pid = line.pid();
        match line.event.as_str() {
            // Tasks in initial namespaces only are not followed.
            "joined" | "left" if life.initial => {}
            "joined" => {
                let new = life.members.insert(pid.ok_or("a member without a pid")?);
                return if new { Ok(()) } else { Err("it is a member already") };
            }
            "left" => {
                let named = life.members.remove(&pid.ok_or("a member without a pid")?);
                life.unnamed = life.unnamed.checked_sub(u64::from(!named)).ok_or("it was no member")?;
            }
            "pinned" if std::mem::replace(&mut life.pinned, true) => return Err("it is pinned already"),
            "unpinned" if !std::mem::replace(&mut life.pinned, false) => return Err("it was not pinned"),
            "unpinned" if self.sees_pins && !self.lossy && line.task.is_none() => {
                return Err("nobody was seen to let go of it");
            }
            "destroyed" => {
                let life = self.living.remove(&name).unwrap_or_default();
                if let Some(id) = id {
                    self.ids.remove(&id);
                    self.ended_ids.insert(id);
                }
                if !life.members.is_empty() || life.unnamed > 0 {
                    return Err("it has members");
                }
                if life.pinned && self.sees_pins {
                    return Err("it is pinned");
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// The actors' lines, to be compared one by one.
    fn note(&mut self, line: &Line) {
        let Some(task) = &line.task else { return };
        let (Some(ns_type), Some(inum)) = (line.ns_type().and_then(type_name), line.inum()) else { return };
        if task.comm.as_deref() == Some(&self.comms.marker) && line.event == "created" {
            self.markers.insert(inum);
        }
        // execve of /proc/self/exe makes it `exe` for a moment.
        let ours = match task.comm.as_deref() {
            Some("exe") => line.via() == Some("exec"),
            comm => comm == Some(&self.comms.actor),
        };
        if !ours {
            return;
        }
        let event = match line.event.as_str() {
            "created" => "created",
            "joined" => "joined",
            "left" => "left",
            _ => return,
        };
        let item = Item::Change { event, via: via(line), flags: flags(line), inum };
        self.said.entry((task.pid, ns_type)).or_default().push(item);
    }

    /// The lines of one refused call come one after the other with one time.
    fn denied(&mut self, line: &Line) {
        let Some(task) = &line.task else { return };
        if task.comm.as_deref() != Some(&self.comms.actor) {
            return;
        }
        let ns_type = line.ns_type().and_then(type_name);
        let group = (task.tid, line.boot_ns().unwrap_or(0));
        let items = self.said.entry((task.pid, "denied")).or_default();
        if self.refusal.replace(group) == Some(group)
            && let Some(Item::Denied { types, .. }) = items.last_mut()
        {
            types.extend(ns_type);
            return;
        }
        let errno = line.cause.as_ref().and_then(|cause| cause.errno.clone()).unwrap_or_default();
        let types = ns_type.into_iter().collect();
        items.push(Item::Denied { via: via(line), flags: flags(line), errno, types });
    }
}

fn via(line: &Line) -> String {
    line.via().unwrap_or_default().to_owned()
}

/// The `CLONE_NEW*` flags.
fn flags(line: &Line) -> u64 {
    let names = line.cause.as_ref().and_then(|cause| cause.flags.as_deref()).unwrap_or_default();
    let flag = |name: &String| KINDS.into_iter().find(|kind| kind.flag_name == name).map_or(0, |kind| kind.flag);
    names.iter().map(flag).fold(0, |all, flag| all | flag)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A namespace that is made, entered, pinned, left, unpinned and freed.
    fn life() -> Vec<Line> {
        let line = |event: &str| {
            let text = format!(
                r#"{{"event":"{event}","ns":{{"type":"uts","inum":7,"id":70,"initial":false}},
                "task":{{"pid":5,"tid":5,"comm":"x"}},"cause":{{"via":"unshare","flags":[]}}}}"#
            );
            Line::parse(&text).expect("an event line")
        };
        ["created", "joined", "pinned", "left", "unpinned", "destroyed"].map(line).into()
    }

    fn read(lines: &[Line]) -> Lives {
        let mut lives = Lives::new(None);
        lives.sees_pins = true;
        lines.iter().for_each(|line| lives.read(line));
        lives
    }

    #[test]
    fn a_whole_life_is_legal_and_leaves_nothing() {
        let lives = read(&life());
        assert!(lives.illegal.is_empty() && lives.living.is_empty(), "{:?}", lives.illegal);
    }

    #[test]
    fn no_line_of_a_life_can_be_missing_or_come_twice() {
        for at in 0..life().len() {
            let mut lines = life();
            lines.remove(at);
            let lives = read(&lines);
            assert!(!lives.illegal.is_empty() || !lives.living.is_empty(), "without line {at}");
            let mut lines = life();
            lines.insert(at, lines[at].clone());
            assert!(!read(&lines).illegal.is_empty(), "line {at} twice");
        }
    }

    #[test]
    fn nothing_is_forged_in_a_soak() {
        let finding =
            |rule: &str| vec![Line::parse(&format!(r#"{{"event":"finding","rule":"{rule}"}}"#)).expect("a line")];
        assert_eq!(read(&finding("NST-013")).illegal.len(), 1);
        assert_eq!(read(&finding("NST-003")).illegal.len(), 0);
    }

    #[test]
    fn an_id_belongs_to_one_namespace_only() {
        let twice: Vec<Line> = [life(), life()].concat();
        assert!(!read(&twice).illegal.is_empty());
    }
}
