//! Everything that reads a recording, for files made to harm: an answer or an error is right, a panic is not.
#![allow(dead_code, clippy::allow_attributes, reason = "each user uses its part")]

use std::{path::Path, time::Duration};

use nstrace::{
    census::from_world,
    container,
    engine::Engines,
    inspect::recorded::Scene,
    model::Difference,
    ns::NsType,
    query::Query,
    recording::{
        Recording,
        verify::{Depth, verify},
    },
    source::{Replay, Source as _, world_at},
    view::{
        View, document,
        recorded::{MapAt, ShowAt, map},
        sections::Look,
    },
};

use crate::recording_support::count::Count;

/// Reads it in every way. `middle`: some UTC time of it, nanoseconds.
pub fn read(path: &Path, middle: i64) {
    let _ = verify(path, None, Depth::Chain);
    let _ = verify(path, None, Depth::All);
    replay(path, None);
    replay(path, Some(middle));
    let world = |at| {
        Recording::open(path).map_err(anyhow::Error::from).and_then(|recording| {
            let engines = Engines::of(recording.containers(Some(middle))?);
            Ok((world_at(recording, at, container::from_cgroup_path)?, engines))
        })
    };
    let worlds: Vec<_> = [Some(middle), None].into_iter().filter_map(|at| world(at).ok()).collect();
    for (world, engines) in &worlds {
        let census = from_world::census(world, "");
        for at in census.indices() {
            let _ = census.namespace(at).unexplained();
        }
        let scene = Scene::new(world, engines);
        for ns_type in [NsType::Pid, NsType::User, NsType::Mnt, NsType::Net] {
            let namespaces = scene.map(ns_type);
            let found = MapAt { at: middle, what: ns_type.name(), namespaces };
            let _ = (map(&found, Look::default()), document::json(&found, &[]));
        }
        for (task, _) in world.tasks().iter().take(20) {
            let task = scene.show_task(task.key.tid);
            let show =
                ShowAt { at: middle, target: String::new(), kind: "task", task, container: None, namespace: None };
            let _ = (show.text(Look::default(), 1 << 40), document::json(&show, &[]));
        }
    }
    if let [(one, _), (other, _)] = &worlds[..] {
        let _ = Difference::between(one, other, true);
    }
    for sql in [
        "SELECT count(*), max(json) FROM events",
        "SELECT * FROM namespaces JOIN memberships USING (ns_key) JOIN tasks USING (pid)",
        "SELECT * FROM containers, holders",
    ] {
        if let Ok(query) = Query::prepare(path, sql, || false) {
            let _ = query.run(&mut Count::default());
        }
    }
}

fn replay(path: &Path, since: Option<i64>) {
    let start =
        Recording::open(path).and_then(|recording| Replay::start(recording, since, container::from_cgroup_path));
    let Ok((mut source, mut world)) = start else { return };
    let (mut changes, mut line) = (Vec::new(), Vec::new());
    while let Ok(Some(events)) = source.next(Duration::ZERO) {
        for event in &events {
            world.apply(event, &mut changes);
            for change in changes.drain(..) {
                line.clear();
                View::Json.line(&change, &mut line);
            }
        }
    }
}
