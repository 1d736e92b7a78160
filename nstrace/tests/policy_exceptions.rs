//! Exceptions on a toy kernel: what they cover is told as suppressed, everything else as ever.

mod model_support;

use model_support::{CGROUP, INIT, IPC, MNT, NET, PID, Toy, UTS};
use nstrace::{
    container::ContainerFacts,
    detect::Finding,
    event::{Event, Stamp, Stamped},
    model::{Change, What, World},
    policy::{Policy, source::Source},
};
use proptest::prelude::*;

const OWN: u64 = MNT | PID | IPC | UTS | NET | CGROUP;
const ROOT: u64 = 500;
/// The clock of the toy kernel is in November 2023.
const VALID: &str = "2027-03-31";

fn id() -> String {
    "5a".repeat(32)
}

fn policy(text: &str) -> Result<Policy, Vec<String>> {
    let source = Source { name: "f".to_owned(), text: text.to_owned() };
    Policy::read(&[source], &[]).map_err(|faults| faults.iter().map(ToString::to_string).collect())
}

fn exception(rule: &str, expires: &str, more: &str) -> String {
    format!("[[exception]]\nrule = \"{rule}\"\nreason = \"known\"\nexpires = {expires}\n{more}\n")
}

struct Bench {
    toy: Toy,
    world: World,
}

impl Bench {
    /// Everything runs in a container of this cgroup.
    fn new(policy: Policy, facts: Option<ContainerFacts>) -> Self {
        let mut toy = Toy::new(true);
        let mut world = World::new(nstrace::container::from_cgroup_path);
        world.set_policy(policy);
        let stamp = Stamp { boot_ns: toy.tick(), cpu: 0, seq: 0 };
        let path = format!("/system.slice/kured.service/docker-{}.scope", id());
        let told = facts.map(|facts| Event::Container(Box::new(facts)));
        let place = Event::CgroupPath { cgroup: 1, path };
        let more = [place].into_iter().chain(told).chain([Event::SnapshotEnd]);
        let events = toy.start().into_iter().chain(more.map(|event| Stamped { stamp, event }));
        for event in events {
            world.apply(&event, &mut Vec::new());
        }
        Self { toy, world }
    }

    fn changes(&mut self) -> Vec<Change> {
        let mut changes: Vec<Change> = Vec::new();
        for event in self.toy.records() {
            self.world.apply(&event, &mut changes);
        }
        changes
    }

    /// A container starts, and one of its tasks enters the host's net and ipc namespaces.
    fn escape(&mut self) -> Vec<Finding> {
        let shell = self.toy.clone(INIT, OWN);
        self.toy.runs(shell, ROOT);
        for slot in [2, 3] {
            let host = self.toy.tasks[&INIT].slots[slot];
            self.toy.setns(shell, host);
        }
        let finding = |change: Change| match change.what {
            What::Finding(finding) => Some(*finding),
            _ => None,
        };
        self.changes().into_iter().filter_map(finding).collect()
    }
}

/// Types of the namespaces of the findings that are suppressed.
fn suppressed(text: &str, facts: Option<ContainerFacts>) -> (Vec<String>, Vec<String>) {
    let policy = policy(text).unwrap_or_else(|faults| panic!("{text}: {faults:?}"));
    let mut bench = Bench::new(policy, facts);
    let found = bench.escape();
    assert_eq!(found.len(), 2, "they are told all the same: {found:?}");
    let covered = found.iter().filter(|finding| finding.suppressed.as_deref() == Some("known"));
    let types = covered.filter_map(|finding| finding.ns).map(|ns| ns.name.ns_type.to_string()).collect();
    (types, bench.world.take_notices())
}

fn facts() -> ContainerFacts {
    ContainerFacts {
        id: id(),
        name: Some("web".to_owned()),
        image: Some("kured:1".to_owned()),
        image_digest: Some("sha256:aa".to_owned()),
        ..ContainerFacts::default()
    }
}

#[test]
fn what_is_covered_is_suppressed() {
    let both = ["net", "ipc"];
    for (more, types) in [
        (format!("container = \"{}\"", id()), &both[..]),
        (format!("container = \"{}\"", &id()[..12]), &both),
        (format!("container = \"{}\"", &id()[..11]), &[]),
        ("container = \"web\"".to_owned(), &both),
        ("container = \"we\"".to_owned(), &[]),
        ("image = \"kured:1\"".to_owned(), &both),
        ("image-digest = \"sha256:aa\"\nnamespace-types = [\"ipc\"]".to_owned(), &["ipc"]),
        ("image-digest = \"sha256:ab\"".to_owned(), &[]),
        ("unit = \"kured.service\"".to_owned(), &both),
        ("unit = \"other.service\"".to_owned(), &[]),
        ("unit = \"kured.service\"\nimage = \"other\"".to_owned(), &[]),
        ("severity-at-most = \"high\"\nunit = \"kured.service\"".to_owned(), &[]),
        ("severity-at-most = \"critical\"".to_owned(), &both),
        ("posture = [\"host-user\"]".to_owned(), &both),
        ("posture = [\"host-user\", \"host-pid\"]".to_owned(), &[]),
    ] {
        let (covered, notices) = suppressed(&exception("NST-001", VALID, &more), Some(facts()));
        assert_eq!(covered, types, "{more}");
        assert_eq!(notices, [""; 0], "{more}");
    }
}

#[test]
fn what_nobody_told_is_said_once_and_covers_nothing() {
    let (covered, notices) = suppressed(&exception("NST-001", VALID, "image-digest = \"sha256:aa\""), None);
    assert_eq!(covered, [""; 0]);
    assert_eq!(notices.len(), 1, "{notices:?}");
    assert!(notices[0].contains("NST-001 at f:2") && notices[0].contains("image-digest"), "{notices:?}");
}

#[test]
fn the_clock_of_the_stream_decides_what_is_expired() {
    let (covered, notices) = suppressed(&exception("NST-001", "2023-01-01", "unit = \"kured.service\""), None);
    assert_eq!(covered, [""; 0]);
    assert_eq!(notices, ["the exception for NST-001 at f:2 expired on 2023-01-01: it covers nothing"]);
    // The stream begins on 14 November 2023.
    for (expires, covers) in [("2023-11-14", 0), ("2023-11-15", 2)] {
        let (covered, _) = suppressed(&exception("NST-001", expires, "unit = \"kured.service\""), None);
        assert_eq!(covered.len(), covers, "{expires}");
    }
}

#[test]
fn a_checkpoint_keeps_what_exceptions_ask_for() {
    let text = exception("NST-001", VALID, "unit = \"kured.service\"\nimage = \"kured:1\"\nposture = [\"host-user\"]");
    let mut bench = Bench::new(Policy::default(), Some(facts()));
    let shell = bench.toy.clone(INIT, OWN);
    bench.toy.runs(shell, ROOT);
    bench.changes();
    let kept = serde_json::to_vec(&bench.world.checkpoint().expect("it is live")).expect("it is data");
    let kept = serde_json::from_slice(&kept).expect("it was written so");
    bench.world = World::restore(kept, nstrace::container::from_cgroup_path).expect("it was a world");
    bench.world.set_policy(policy(&text).expect("an exception"));
    let host = bench.toy.tasks[&INIT].slots[2];
    bench.toy.setns(shell, host);
    let is_suppressed =
        |change: &Change| matches!(&change.what, What::Finding(f) if f.suppressed.as_deref() == Some("known"));
    assert!(bench.changes().iter().any(is_suppressed));
}

#[test]
fn a_container_that_starts_with_much_of_the_host_is_told_once() {
    let mut bench = Bench::new(Policy::default(), None);
    let shell = bench.toy.clone(INIT, OWN & !PID & !NET);
    bench.toy.runs(shell, ROOT);
    let child = bench.toy.clone(shell, 0);
    bench.toy.runs(child, ROOT);
    let found: Vec<Change> = bench.changes().into_iter().filter(|c| c.what.event() == "finding").collect();
    let [Change { what: What::Finding(finding), .. }] = found.as_slice() else { panic!("{found:?}") };
    assert_eq!((finding.rule.as_ref(), finding.severity.name()), ("NST-021", "low"));
    assert!(finding.explain.contains("host-pid host-net"), "{}", finding.explain);
}

#[test]
fn rules_of_the_user_make_findings() {
    let text = format!(
        "[[rule]]\nid = \"T-1\"\ntitle = \"t\"\nseverity = \"medium\"\nmitre = [\"T1611\"]\n\
         when = \"event == 'created' && ns.type in ['net', 'ipc']\"\nexplain = \"{{task.comm}} made {{ns.type}}\"\n\
         [[rule]]\nid = \"T-2\"\ntitle = \"t\"\nseverity = \"low\"\nwhen = \"rule == 'NST-001' && direction == 'leave'\"\n\
         [[rule]]\nid = \"T-3\"\ntitle = \"never\"\nseverity = \"low\"\nwhen = \"event == 'finding' && rule.startsWith('T')\"\n{}",
        exception("T-1", VALID, "namespace-types = [\"ipc\"]")
    );
    let mut bench = Bench::new(policy(&text).expect("rules"), None);
    let shell = bench.toy.clone(INIT, OWN);
    bench.toy.runs(shell, ROOT);
    let host = bench.toy.tasks[&INIT].slots[2];
    bench.toy.setns(shell, host);
    let changes = bench.changes();
    assert!(changes.windows(2).all(|pair| pair[0].seq < pair[1].seq));
    let own: Vec<_> = changes
        .iter()
        .filter_map(|change| match &change.what {
            What::Finding(finding) if finding.rule.starts_with('T') => Some(finding),
            _ => None,
        })
        .collect();
    let told: Vec<_> = own.iter().map(|f| (f.rule.as_ref(), f.suppressed.is_some())).collect();
    assert_eq!(told, [("T-1", false), ("T-1", true), ("T-2", false)]);
    for finding in &own {
        let [seq] = finding.evidence[..] else { panic!("{finding:?}") };
        let line = changes.iter().find(|change| change.seq == seq).expect("it is there");
        assert_eq!(line.what.event(), if finding.rule == "T-2" { "finding" } else { "created" });
    }
    assert!(own[0].explain.ends_with("made net"), "{}", own[0].explain);
}

#[test]
fn exceptions_are_held_to_their_form() {
    let good = exception("NST-001", VALID, "container = \"web\"");
    assert!(policy(&good).is_ok());
    for (text, part) in [
        (good.replace("NST-001", "NST-999"), "f:2:8: there is no rule 'NST-999'"),
        (good.replace("reason = \"known\"\n", ""), "missing field `reason`"),
        (good.replace("expires = 2027-03-31\n", ""), "missing field `expires`"),
        (good.replace("\"known\"", "\" \""), "f:3:10: "),
        (good.replace("2027-03-31", "2027-03-31T00:00:00Z"), "f:4:11: this is no day"),
        (good.replace("2027-03-31", "\"soon\""), "f:4:11: "),
        (good.replace("container = \"web\"", ""), "f:2:8: it covers everybody"),
        (format!("{good}exe = \"x\""), "unknown field `exe`"),
        (format!("{good}namespace-types = [\"nett\"]"), "unknown namespace type 'nett'"),
        (format!("{good}posture = [\"root\"]"), "unknown posture 'root': use some of host-pid"),
        (format!("{good}posture = []"), "an empty list covers nothing"),
    ] {
        let faults = policy(&text).expect_err(&text);
        assert!(faults[0].contains(part), "{part}: {faults:?}");
    }
    let now = 1_700_000_000_000_000_000;
    let twice =
        format!("{good}{}", exception("NST-001", "2026-01-01", "container = \"web\"\nposture = [\"host-pid\"]"));
    let doubts = policy(&twice).expect("exceptions").doubts(now);
    assert_eq!(doubts.len(), 1, "{doubts:?}");
    assert!(doubts[0].to_string().starts_with("f:7:8: it is unused: the one at f:2"), "{}", doubts[0]);
    let same = policy(&good.repeat(2)).expect("exceptions").doubts(now);
    assert_eq!(same.iter().map(|doubt| doubt.line).collect::<Vec<_>>(), [7]);
    let expired = policy(&exception("NST-001", "2020-01-01", "container = \"web\"")).expect("one").doubts(now);
    assert!(expired[0].message.contains("expired on 2020-01-01"), "{expired:?}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// An exception touches findings of its rule only, and changes nothing but their mark.
    #[test]
    fn other_rules_are_never_suppressed(
        rule in 1_u32..=24,
        who in prop::option::of(prop::sample::select(vec!["container = \"web\"", "unit = \"kured.service\"", "image = \"x\""])),
        types in prop::collection::btree_set(prop::sample::select(vec!["net", "ipc", "mnt"]), 0..3),
        severity in prop::sample::select(vec!["info", "low", "medium", "high", "critical"]),
    ) {
        let rule = format!("NST-{rule:03}");
        let types: Vec<String> = types.iter().map(|name| format!("\"{name}\"")).collect();
        let types = if types.is_empty() { String::new() } else { format!("namespace-types = [{}]\n", types.join(",")) };
        let more = format!("severity-at-most = \"{severity}\"\n{types}{}", who.unwrap_or_default());
        let text = exception(&rule, VALID, &more);
        let plain = Bench::new(Policy::default(), Some(facts())).escape();
        let excepted = Bench::new(policy(&text).expect("an exception"), Some(facts())).escape();
        prop_assert_eq!(plain.len(), excepted.len());
        for (mut before, after) in plain.into_iter().zip(excepted) {
            prop_assert!(after.suppressed.is_none() || after.rule == rule);
            before.suppressed.clone_from(&after.suppressed);
            prop_assert_eq!(before, after);
        }
    }
}
