//! Namespaces in namespaces: pids of three levels, users of three levels, an init that dies before its children.

use nstrace_tests::kinds::kind;

use super::Scenario;
use crate::{
    stage::{self, Gate, How},
    sys, truth,
};

pub fn scenarios() -> Vec<Scenario> {
    vec![
        Scenario::new("nested", "pid_three_levels", pid_three_levels),
        Scenario::new("nested", "user_three_levels", user_three_levels),
        Scenario::new("nested", "pid_for_children_then_fork", pid_for_children_then_fork),
        Scenario::new("nested", "kill_init_with_children", kill_init_with_children),
        Scenario::new("nested", "rootless", rootless),
        Scenario::new("nested", "other_uid", other_uid),
    ]
}

fn pid_three_levels() {
    let pid = kind("pid").flag;
    let one = stage::spawn(How::Clone, pid, || {
        let two = stage::spawn(How::Clone3, pid, || {
            stage::unshare(pid).expect("root may");
            let three = stage::spawn(How::Fork, 0, || {
                let leaf = stage::spawn(How::Fork, 0, || {}).expect("a child");
                stage::reap(leaf);
            })
            .expect("a child");
            stage::reap(three);
        })
        .expect("root may");
        stage::reap(two);
    })
    .expect("root may");
    stage::reap(one);
}

fn user_three_levels() {
    for _ in 0..3 {
        stage::unshare_user();
    }
    stage::unshare(kind("uts").flag).expect("capable in one's own user namespace");
}

/// The first child becomes init; the second joins it while it lives; the caller never does.
fn pid_for_children_then_fork() {
    let (go, ready) = (Gate::new(), Gate::new());
    stage::unshare(kind("pid").flag).expect("root may");
    let init = stage::spawn(How::Fork, 0, || {
        ready.open();
        go.wait();
    })
    .expect("a child");
    ready.wait();
    let second = stage::spawn(How::Fork, 0, || {}).expect("a child");
    stage::reap(second);
    go.open();
    stage::reap(init);
}

fn kill_init_with_children() {
    let ready = Gate::new();
    let init = stage::spawn(How::Clone, kind("pid").flag | kind("ipc").flag, || {
        for _ in 0..2 {
            stage::spawn(How::Fork, 0, || {
                stage::await_death(&ready);
            })
            .expect("a child");
        }
        stage::await_death(&ready);
    })
    .expect("root may");
    for _ in 0..3 {
        ready.wait();
    }
    sys::kill(init, libc::SIGKILL);
    sys::wait(init).expect("the child is ours");
}

/// What a rootless container does: a user namespace by someone who is nobody, the rest inside it.
fn rootless() {
    truth::set_uid(65534);
    if stage::unshare(kind("user").flag).is_err() {
        stage::skip("users without privileges may not make user namespaces here");
        return;
    }
    stage::unshare(kind("net").flag | kind("mnt").flag).expect("capable in one's own user namespace");
}

/// Real uid other than root but with children of other namespaces made before.
fn other_uid() {
    stage::unshare(kind("uts").flag).expect("root may");
    truth::set_uid(12_345);
    let child = stage::spawn(How::Fork, 0, || {}).expect("a child");
    stage::reap(child);
}
