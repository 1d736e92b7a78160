//! The processes in one namespace, as lsns(8) lists them when it is given one. Pure.

use super::{escape::escaped, ls_table::Table};

/// One process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    pub pid: u32,
    /// None: not known.
    pub ppid: Option<u32>,
    pub user: String,
    /// Command line, or its name; hostile.
    pub command: String,
}

const COLUMNS: [(&str, bool); 4] = [("PID", true), ("PPID", true), ("USER", false), ("COMMAND", false)];

/// The table.
pub fn table(processes: &[Process], headings: bool) -> String {
    let mut table = Table::new(COLUMNS.to_vec());
    for process in processes {
        table.row(cells(process));
    }
    table.text(headings)
}

/// For scripts: one space between cells, blanks within as `\x20`.
pub fn raw(processes: &[Process], headings: bool) -> String {
    let heading = headings.then(|| COLUMNS.map(|(name, _)| name.to_owned()));
    let cells = processes.iter().map(|process| cells(process).map(|cell| cell.replace(' ', "\\x20")));
    heading.into_iter().chain(cells).map(|line| line.join(" ") + "\n").collect()
}

fn cells(process: &Process) -> [String; 4] {
    let clean = |text: &str| escaped(text.as_bytes()).to_string();
    let ppid = process.ppid.map_or_else(|| "-".to_owned(), |ppid| ppid.to_string());
    [process.pid.to_string(), ppid, clean(&process.user), clean(&process.command)]
}
