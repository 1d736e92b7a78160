//! From what happened to numbered, dated [`Change`]s.

use super::{Cause, Change, What, containers::Containers};
use crate::event::{Call, Stamp, TaskInfo, Via};

impl Cause {
    /// Nothing is known of the way.
    pub(super) const UNKNOWN: Self = Self::by(Via::Unknown);

    pub(super) const fn by(via: Via) -> Self {
        Self { via, flags: 0, errno: None }
    }
}

impl From<&Call> for Cause {
    fn from(call: &Call) -> Self {
        Self { via: call.via, flags: call.flags, errno: call.errno }
    }
}

#[derive(Debug)]
pub(super) struct Log {
    /// CLOCK_BOOTTIME and UTC of one moment.
    pub(super) anchor: Option<(u64, i64)>,
    pub(super) last_seq: u64,
    pub containers: Containers,
    /// While the first snapshot is put together nothing is reported.
    pub silent: bool,
}

impl Log {
    pub fn new(containers: Containers) -> Self {
        Self { anchor: None, last_seq: 0, containers, silent: true }
    }

    pub fn set_clock(&mut self, boot_ns: u64, utc_ns: i64) {
        self.anchor = Some((boot_ns, utc_ns));
    }

    pub fn has_clock(&self) -> bool {
        self.anchor.is_some()
    }

    pub fn write(
        &mut self,
        out: &mut Vec<Change>,
        stamp: Stamp,
        what: What,
        task: Option<&TaskInfo>,
        cause: Option<Cause>,
    ) {
        if self.silent {
            return;
        }
        self.last_seq += 1;
        out.push(Change {
            stamp,
            utc_ns: self.utc_ns(stamp.boot_ns),
            seq: self.last_seq,
            what,
            task: task.copied(),
            cause,
            container: task.and_then(|task| self.containers.of(task)),
        });
    }

    /// 0 before the first anchor.
    pub fn utc_ns(&self, boot_ns: u64) -> i64 {
        let Some((anchor, utc_ns)) = self.anchor else { return 0 };
        let since = i128::from(boot_ns) - i128::from(anchor);
        i64::try_from(i128::from(utc_ns) + since).unwrap_or(i64::MAX)
    }
}
