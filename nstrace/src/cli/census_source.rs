//! What the verbs over the census share: names of users and commands, and how a run over it ends.

use std::{collections::HashMap, fs, thread};

use super::exit::Outcome;
use crate::census::{Census, NsIndex, Task};

/// Command lines that take longer to read than a thread to start.
const WORTH_A_READER: usize = 32;

/// Longest command line shown, in bytes.
const MAX_COMMAND: usize = 4096;

/// Looks names up, each once.
#[derive(Debug, Default)]
pub(super) struct Names {
    /// Of another time, and maybe of another machine: nothing of this one is asked.
    recorded: bool,
    commands: HashMap<u32, String>,
    users: Option<HashMap<u32, String>>,
}

impl Names {
    /// For tasks and users of a recording.
    pub fn recorded() -> Self {
        Self { recorded: true, ..Self::default() }
    }

    /// The command line of the task's process with spaces between the arguments; of kernel threads, of the dead and of
    /// who may not be read, the task's name. Hostile.
    pub fn command(&mut self, task: &Task) -> String {
        let name = || task.comm.to_string_lossy().into_owned();
        if self.recorded || task.kernel_thread || task.dead {
            return name();
        }
        self.commands.entry(task.tgid).or_insert_with(|| command_line(task.tgid).unwrap_or_else(name)).clone()
    }

    /// Reads the command lines of these tasks' processes ahead, several at a time: each takes the kernel a while.
    pub fn read_ahead<'t>(&mut self, tasks: impl Iterator<Item = &'t Task>) {
        if self.recorded {
            return;
        }
        let mut pids: Vec<u32> = tasks.filter(|task| !task.kernel_thread && !task.dead).map(|task| task.tgid).collect();
        pids.sort_unstable();
        pids.dedup();
        let readers = thread::available_parallelism().map_or(1, usize::from).min(pids.len() / WORTH_A_READER);
        if readers < 2 {
            return;
        }
        let read = |pids: &[u32]| pids.iter().filter_map(|&pid| Some((pid, command_line(pid)?))).collect::<Vec<_>>();
        let (own, others) = pids.split_at(pids.len().div_ceil(readers));
        let found = thread::scope(|scope| {
            let others: Vec<_> = others.chunks(own.len()).map(|pids| scope.spawn(move || read(pids))).collect();
            let mut found = read(own);
            // What is missing is read when it is asked for.
            others.into_iter().for_each(|other| found.extend(other.join().unwrap_or_default()));
            found
        });
        self.commands.extend(found);
    }

    /// The name of a user, else the number.
    pub fn user(&mut self, uid: u32) -> String {
        if self.recorded {
            return uid.to_string();
        }
        let users = self.users.get_or_insert_with(users);
        users.get(&uid).cloned().unwrap_or_else(|| uid.to_string())
    }
}

fn command_line(pid: u32) -> Option<String> {
    use std::io::Read as _;
    let mut bytes = Vec::new();
    fs::File::open(format!("/proc/{pid}/cmdline")).ok()?.take(MAX_COMMAND as u64).read_to_end(&mut bytes).ok()?;
    let end = bytes.iter().rposition(|&b| b != 0)?;
    bytes.truncate(end + 1);
    for byte in bytes.iter_mut().filter(|byte| **byte == 0) {
        *byte = b' ';
    }
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// Of `/etc/passwd` (passwd(5)); users of other sources stay numbers.
fn users() -> HashMap<u32, String> {
    let text = fs::read("/etc/passwd").unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let mut users = HashMap::new();
    for line in text.lines() {
        let mut fields = line.split(':');
        if let (Some(name), Some(uid)) = (fields.next(), fields.nth(1).and_then(|uid| uid.parse().ok())) {
            users.entry(uid).or_insert_with(|| name.to_owned());
        }
    }
    users
}

/// What the census could not see, as one line; None: nothing.
pub(super) fn missing(census: &Census) -> Option<String> {
    let missing = census.all_missing();
    (!missing.is_empty()).then(|| missing.join("; "))
}

/// As [`missing`], of the answer about these namespaces.
pub(super) fn missing_of(census: &Census, chosen: &[NsIndex]) -> Option<String> {
    let mut missing: Vec<String> = chosen.iter().flat_map(|&index| census.missing_of(index)).collect();
    missing.sort_unstable();
    missing.dedup();
    (!missing.is_empty()).then(|| missing.join("; "))
}

/// How a run ends that found nothing; what could not be seen may be why.
pub(super) fn no_match(what: &str, census: &Census) -> Outcome {
    Outcome::Nothing(match missing(census) {
        None => what.to_owned(),
        Some(missing) => format!("{what} among those that could be seen; not seen: {missing}"),
    })
}
