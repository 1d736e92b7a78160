//! Detectors look at each event once the world has taken it in, and their findings are changes like all others.

use std::{borrow::Cow, hash::BuildHasher as _};

use super::{Change, FixedMap, Mismatch, NsKey, NsSeen, What, World, snapshot::Phase};
use crate::{
    deed::Placed,
    detect::{Finding, lineage::Contained},
    event::{Event, Stamp, TaskInfo},
    ns::NsType,
    policy::exceptions::Standing,
};

impl World {
    /// The tasks of containers and sandboxes, by tid.
    pub fn contained(&self) -> Vec<Contained> {
        let seen = |key: NsKey| self.namespace(key).map(|ns| NsSeen { key, name: ns.name(), initial: ns.is_initial() });
        let of = |(task, namespaces): (TaskInfo, [Option<NsKey>; NsType::ALL.len()])| {
            let (home, sandbox, powers) = self.detectors.contained(&task)?;
            Some(Contained { task, home, sandbox, namespaces: namespaces.map(|key| key.and_then(seen)), powers })
        };
        self.tasks().into_iter().filter_map(of).collect()
    }

    /// `out[told..]` is what the event changed. `mismatch`: what it showed otherwise than the world had it.
    pub(super) fn detect(
        &mut self,
        stamp: Stamp,
        event: &Event,
        mismatch: Option<Mismatch>,
        told: usize,
        out: &mut Vec<Change>,
    ) {
        let mut found = Vec::new();
        let mut detectors = std::mem::take(&mut self.detectors);
        detectors.doubt(stamp.boot_ns, event, mismatch, &out[told..]);
        detectors.see(self, stamp, event, &out[told..], &mut found);
        self.detectors = detectors;
        // A deed has a line when, and only when, a finding rests on it.
        let mut line = None;
        for mut one in found {
            if let Event::Deed(deed) = event {
                let seq = *line.get_or_insert_with(|| {
                    let cause = (&deed.call).into();
                    self.log.write(out, stamp, What::Deed(deed.clone()), Some(&deed.task), Some(cause));
                    self.log.last_seq
                });
                one.finding.evidence.push(seq);
            }
            let stamp = one.seen.map_or(stamp, |boot_ns| Stamp { boot_ns, cpu: 0, seq: 0 });
            if let Some(deed) = one.deed {
                let (task, cause) = (deed.task, (&deed.call).into());
                self.log.write(out, stamp, What::Deed(deed), Some(&task), Some(cause));
                one.finding.evidence.push(self.log.last_seq);
            }
            self.suppress(stamp, &mut one.finding, one.task.as_ref());
            let what = What::Finding(Box::new(one.finding));
            self.log.write(out, stamp, what, one.task.as_ref(), one.cause);
        }
    }

    /// An exception that covers the finding is its reason to be told as suppressed.
    fn suppress(&mut self, stamp: Stamp, finding: &mut Finding, task: Option<&TaskInfo>) {
        if self.policy.exceptions.is_empty() {
            return;
        }
        let containers = &self.log.containers;
        let seat = task.and_then(|task| containers.seat(task));
        let facts = seat.and_then(|seat| containers.facts(seat.container.as_ref()?));
        let standing = Standing { seat, facts, granted: task.and_then(|task| self.detectors.granted(task)) };
        finding.suppressed = self.policy.suppresses(self.log.utc_ns(stamp.boot_ns), finding, &standing);
    }

    /// The user's rules look at `out[told..]`.
    pub(super) fn judge(&mut self, stamp: Stamp, told: usize, out: &mut Vec<Change>) {
        if self.log.has_clock() {
            self.policy.at(self.log.utc_ns(stamp.boot_ns));
        }
        if self.policy.rules.is_empty() || told == out.len() {
            return;
        }
        let mut all = Vec::new();
        for (place, change) in out.iter().enumerate().skip(told) {
            all.extend(self.policy.true_of(change).into_iter().map(|(rule, explain)| (place, rule, explain)));
        }
        for (place, rule, explain) in all {
            let (Some(change), Some(rule)) = (out.get(place), self.policy.rules.get(rule)) else { continue };
            let ns = change.what.ns().copied();
            let object = ns.map_or_else(|| FixedMap::<u64, ()>::default().hasher().hash_one(&explain), |ns| ns.key.0);
            let Some(count) = self.detectors.count(&rule.id, change.task.as_ref(), object) else { continue };
            let direction = match &change.what {
                What::Finding(finding) => finding.direction,
                _ => None,
            };
            let mut finding = Finding {
                rule: Cow::Owned(rule.id.clone()),
                severity: rule.severity,
                title: Cow::Owned(rule.title.clone()),
                mitre: rule.mitre.iter().map(|technique| Cow::Owned(technique.clone())).collect(),
                explain,
                evidence: vec![change.seq],
                count,
                direction,
                ns,
                from: None,
                suppressed: None,
            };
            let (task, cause) = (change.task, change.cause);
            self.suppress(change.stamp, &mut finding, task.as_ref());
            self.log.write(out, stamp, What::Finding(Box::new(finding)), task.as_ref(), cause);
        }
    }

    /// Where a task stands that a snapshot found: of the first one at once, of a later one when it is complete, because
    /// its namespaces are only known then.
    pub(super) fn stands(&mut self, placed: &Placed) {
        match &mut self.phase {
            Phase::Resync(resync) => resync.placed(placed),
            Phase::Snapshot { .. } | Phase::Live => self.stand(std::slice::from_ref(placed)),
        }
    }

    /// The same for all tasks of a snapshot that is complete: the detectors forget those that are no more.
    pub(super) fn stand(&mut self, placed: &[Placed]) {
        let mut detectors = std::mem::take(&mut self.detectors);
        if matches!(self.phase, Phase::Live) {
            detectors.forget(|task| self.tasks.get(task.tid).is_none_or(|known| !known.task.key().same_task(task)));
        }
        for placed in placed {
            detectors.snapshot(self, placed);
        }
        self.detectors = detectors;
    }
}
