//! The tables that follow something over time: namespaces, tasks, holders, memberships. They are kept in the database, not in
//! memory: each event inserts rows or completes them.

use rusqlite::{Connection, Statement, params, types::Value};

use super::{
    event_columns::{flags, inum, number, pids, via},
    guard::Read,
    tables,
};
use crate::{
    event::{PinHolder, TaskInfo},
    model::{Change, Container, NsSeen, What, World},
    ns::NsName,
    view::time,
};

const NAMESPACE: &str = "\
INSERT INTO temp.namespaces (ns_key, type, ns, nsid, initial, first_seen, state) VALUES (?, ?, ?, ?, ?, ?, 'live')
ON CONFLICT (ns_key) DO UPDATE SET nsid = coalesce(nsid, excluded.nsid) WHERE nsid IS NULL";
const CREATED: &str = "\
UPDATE temp.namespaces SET (created, via, flags, pid, comm, uid, runtime, container, pod, owner, parent)
  = (?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12) WHERE ns_key = ?1";
const DESTROYED: &str = "\
UPDATE temp.namespaces SET (state, destroyed, destroyed_via, destroyed_pid, destroyed_comm, lifetime_ns)
  = ('destroyed', ?2, ?3, ?4, ?5, ?6) WHERE ns_key = ?1";
const NPROCS: &str = "UPDATE temp.namespaces SET nprocs = ?2 WHERE ns_key = ?1";
/// From /proc a start is known to a clock tick only; the first exact one of the same tick completes it.
const EXACT_TASK: &str = "UPDATE OR IGNORE temp.tasks SET start_ns = ?2 WHERE tid = ?1 AND start_ns = ?3";
const TASK: &str = "\
INSERT INTO temp.tasks (tid, start_ns, pid, comm, uid, euid, pids, runtime, container, pod, first_seen, last_seen, events)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?11, ?12)
ON CONFLICT (tid, start_ns) DO UPDATE SET pid = ?3, comm = ?4, uid = ?5, euid = ?6, last_seen = ?11,
  runtime = coalesce(?8, runtime), container = coalesce(?9, container), pod = coalesce(?10, pod), events = events + ?12";
const HOLDER: &str = "INSERT INTO temp.holders VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
const NO_HOLDER: &str = "UPDATE temp.holders SET until = ?2, until_via = ?3 WHERE ns_key = ?1 AND until IS NULL";
const MEMBER: &str = "\
INSERT INTO temp.memberships SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, NULL, NULL
WHERE NOT EXISTS (SELECT 1 FROM temp.memberships WHERE ns_key = ?1 AND pid = ?6 AND \"left\" IS NULL)";
const LEFT: &str = "\
UPDATE temp.memberships SET \"left\" = ?3, left_via = ?4, comm = ?5 WHERE ns_key = ?1 AND pid = ?2 AND \"left\" IS NULL";
const FINDING: &str = "INSERT INTO temp.findings VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
const FORMER_MEMBER: &str = "\
INSERT INTO temp.memberships VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, NULL, NULL, ?10, ?11)";

/// Writes those of the tables that are read.
pub(super) struct Lives<'d> {
    namespaces: Option<Namespaces<'d>>,
    tasks: Option<Tasks<'d>>,
    holders: Option<Holders<'d>>,
    memberships: Option<Memberships<'d>>,
    findings: Option<Statement<'d>>,
}

impl<'d> Lives<'d> {
    pub fn new(database: &'d Connection, read: &Read) -> rusqlite::Result<Self> {
        let sql = |sql| database.prepare(sql);
        let mut lives = Self { namespaces: None, tasks: None, holders: None, memberships: None, findings: None };
        if read.table(&tables::NAMESPACES) {
            let (seen, created, destroyed) = (sql(NAMESPACE)?, sql(CREATED)?, sql(DESTROYED)?);
            lives.namespaces = Some(Namespaces { seen, created, destroyed, nprocs: sql(NPROCS)? });
        }
        if read.table(&tables::TASKS) {
            lives.tasks = Some(Tasks { exact: sql(EXACT_TASK)?, upsert: sql(TASK)?, to_the_tick: false });
        }
        if read.table(&tables::HOLDERS) {
            lives.holders = Some(Holders { insert: sql(HOLDER)?, end: sql(NO_HOLDER)? });
        }
        if read.table(&tables::MEMBERSHIPS) {
            let (join, leave, left_before) = (sql(MEMBER)?, sql(LEFT)?, sql(FORMER_MEMBER)?);
            lives.memberships = Some(Memberships { join, leave, left_before });
        }
        if read.table(&tables::FINDINGS) {
            lives.findings = Some(sql(FINDING)?);
        }
        Ok(lives)
    }

    pub fn learn(&mut self, change: &Change) -> rusqlite::Result<()> {
        if let Some(namespaces) = &mut self.namespaces {
            namespaces.learn(change)?;
        }
        if let (Some(tasks), Some(task)) = (&mut self.tasks, &change.task) {
            // Who let a namespace go last may be long gone when it is destroyed; a snapshot is nobody's deed.
            let deeds = u32::from(!matches!(change.what, What::Snapshot { .. }));
            if !matches!(change.what, What::Destroyed { .. }) {
                tasks.seen(task, change.container.as_deref(), &now(change), deeds)?;
            }
        }
        if let (Some(insert), What::Finding(finding)) = (&mut self.findings, &change.what) {
            let evidence = finding.evidence.iter().map(u64::to_string).collect::<Vec<_>>().join(" ");
            insert.execute(params![
                number(change.seq),
                now(change),
                finding.rule,
                finding.severity.name(),
                finding.title,
                finding.mitre.join(" "),
                finding.explain,
                evidence,
                number(finding.count),
                finding.suppressed,
                change.task.map(|task| task.tgid),
                change.container.as_ref().map(|container| container.id.as_str()),
            ])?;
        }
        if let Some(holders) = &mut self.holders {
            holders.learn(change)?;
        }
        if let Some(memberships) = &mut self.memberships {
            memberships.learn(change)?;
        }
        Ok(())
    }

    /// Who and what was there at the start, `utc_ns`; members of namespaces other than the initial ones.
    pub fn start(&mut self, world: &World, utc_ns: i64) -> rusqlite::Result<()> {
        let now = || Value::Text(time::rfc3339(utc_ns));
        if let Some(namespaces) = &mut self.namespaces {
            for ns in world.namespaces() {
                namespaces.seen(&NsSeen { key: ns.key(), name: ns.name(), initial: ns.is_initial() }, &now())?;
            }
        }
        for (task, spaces) in world.tasks() {
            if let Some(tasks) = &mut self.tasks {
                tasks.seen(&task, None, &now(), 0)?;
            }
            let Some(memberships) = &mut self.memberships else { continue };
            for ns in spaces.into_iter().flatten().filter_map(|key| world.namespace(key)) {
                if !ns.is_initial() {
                    let seen = NsSeen { key: ns.key(), name: ns.name(), initial: false };
                    member(&mut memberships.join, &seen, &task, None, (Value::Null, Value::Null))?;
                }
            }
        }
        Ok(())
    }

    pub fn end(&mut self, world: &World) -> rusqlite::Result<()> {
        if let Some(namespaces) = &mut self.namespaces {
            for ns in world.namespaces() {
                namespaces.nprocs.execute(params![number(ns.key().0), ns.nprocs()])?;
            }
        }
        Ok(())
    }
}

fn now(change: &Change) -> Value {
    Value::Text(time::rfc3339(change.utc_ns))
}

fn comm(task: &TaskInfo) -> String {
    task.comm.to_string_lossy().into_owned()
}

fn id(name: NsName) -> Option<Value> {
    name.id.map(number)
}

struct Namespaces<'d> {
    seen: Statement<'d>,
    created: Statement<'d>,
    destroyed: Statement<'d>,
    nprocs: Statement<'d>,
}

impl Namespaces<'_> {
    fn seen(&mut self, ns: &NsSeen, now: &Value) -> rusqlite::Result<()> {
        let NsSeen { key, name, initial } = ns;
        self.seen.execute(params![number(key.0), name.ns_type.name(), name.inum, id(*name), initial, now])?;
        Ok(())
    }

    fn learn(&mut self, change: &Change) -> rusqlite::Result<()> {
        let Some(ns) = change.what.ns() else { return Ok(()) };
        self.seen(ns, &now(change))?;
        let key = number(ns.key.0);
        let (task, container) = (change.task.as_ref(), change.container.as_deref());
        match change.what {
            What::Created { owner, parent, .. } => {
                self.created.execute(params![
                    key,
                    now(change),
                    via(change),
                    flags(change),
                    task.map(|task| task.tgid),
                    task.map(comm),
                    task.map(|task| task.uid),
                    container.map(|container| container.runtime),
                    container.map(|container| &container.id),
                    container.map(|container| &container.pod),
                    inum(owner),
                    inum(parent),
                ])?;
            }
            What::Destroyed { lifetime_ns, .. } => {
                self.destroyed.execute(params![
                    key,
                    now(change),
                    via(change),
                    task.map(|task| task.tgid),
                    task.map(comm),
                    lifetime_ns.map(number),
                ])?;
            }
            _ => {}
        }
        Ok(())
    }
}

struct Tasks<'d> {
    exact: Statement<'d>,
    upsert: Statement<'d>,
    /// Some start is known to the tick only.
    to_the_tick: bool,
}

impl Tasks<'_> {
    fn seen(
        &mut self,
        task: &TaskInfo,
        container: Option<&Container>,
        now: &Value,
        events: u32,
    ) -> rusqlite::Result<()> {
        let key = task.key;
        if key.is_to_the_tick() {
            self.to_the_tick = true;
        } else if self.to_the_tick {
            let tick = key.start_boottime - key.start_boottime % crate::event::TaskKey::TICK_NS;
            self.exact.execute(params![key.tid, number(key.start_boottime), number(tick)])?;
        }
        self.upsert.execute(params![
            key.tid,
            number(key.start_boottime),
            task.tgid,
            comm(task),
            task.uid,
            task.euid,
            pids(task),
            container.map(|container| container.runtime),
            container.map(|container| &container.id),
            container.and_then(|container| container.pod.as_ref()),
            now,
            events,
        ])?;
        Ok(())
    }
}

struct Holders<'d> {
    insert: Statement<'d>,
    end: Statement<'d>,
}

impl Holders<'_> {
    fn learn(&mut self, change: &Change) -> rusqlite::Result<()> {
        let Some(NsSeen { key, name, .. }) = change.what.ns() else { return Ok(()) };
        let key = number(key.0);
        let (kind, inum, id) = (name.ns_type.name(), name.inum, id(*name));
        let none = Value::Null;
        let pid = change.task.map(|task| task.tgid);
        let name = change.task.as_ref().map(comm);
        match &change.what {
            What::Snapshot { holders, .. } => {
                for holder in holders {
                    let (holder, pid, fd, mnt_ns, path) = match holder {
                        PinHolder::Fd { tgid, fd } => ("fd", Some(tgid), Some(fd), None, None),
                        PinHolder::Mount { mnt_ns, path } => {
                            ("mount", None, None, Some(mnt_ns).filter(|&&inum| inum != 0), Some(path))
                        }
                    };
                    self.insert.execute(params![
                        key, kind, inum, id, holder, pid, none, fd, mnt_ns, path, none, none, none, none
                    ])?;
                }
            }
            What::Pinned { .. } => {
                let (since, via) = (now(change), via(change));
                self.insert.execute(params![
                    key, kind, inum, id, "nsfs", pid, name, none, none, none, since, via, none, none
                ])?;
            }
            What::Unpinned { .. } => {
                let (until, via) = (now(change), via(change));
                if self.end.execute(params![key, until, via])? == 0 {
                    self.insert.execute(params![
                        key, kind, inum, id, "nsfs", none, none, none, none, none, none, none, until, via
                    ])?;
                }
            }
            What::Destroyed { .. } => {
                self.end.execute(params![key, now(change), via(change)])?;
            }
            _ => {}
        }
        Ok(())
    }
}

struct Memberships<'d> {
    join: Statement<'d>,
    leave: Statement<'d>,
    left_before: Statement<'d>,
}

impl Memberships<'_> {
    fn learn(&mut self, change: &Change) -> rusqlite::Result<()> {
        let Some(task) = &change.task else { return Ok(()) };
        match &change.what {
            What::Joined { ns } => {
                member(&mut self.join, ns, task, change.container.as_deref(), (now(change), via(change)))
            }
            What::Left { ns } => self.leave(ns, task, change),
            _ => Ok(()),
        }
    }

    fn leave(&mut self, ns: &NsSeen, task: &TaskInfo, change: &Change) -> rusqlite::Result<()> {
        if self.leave.execute(params![number(ns.key.0), task.tgid, now(change), via(change), comm(task)])? == 0 {
            let how = (now(change), via(change));
            member(&mut self.left_before, ns, task, change.container.as_deref(), how)?;
        }
        Ok(())
    }
}

/// Adds a row by a statement of the parameters of [`MEMBER`] and [`FORMER_MEMBER`].
fn member(
    statement: &mut Statement<'_>,
    ns: &NsSeen,
    task: &TaskInfo,
    container: Option<&Container>,
    (at, via): (Value, Value),
) -> rusqlite::Result<()> {
    let NsSeen { key, name, initial } = ns;
    statement.execute(params![
        number(key.0),
        name.ns_type.name(),
        name.inum,
        id(*name),
        initial,
        task.tgid,
        comm(task),
        task.uid,
        container.map(|container| &container.id),
        at,
        via
    ])?;
    Ok(())
}
