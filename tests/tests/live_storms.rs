//! Many lives in a short time under few names, and a machine that changes under the watch: numbers and pids that come back at
//! once, a reader that stands still, a wall clock that is set, a processor that goes away.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use anyhow::{bail, ensure};
use nstrace_tests::{
    kinds::kind,
    line::{Line, number},
    live::one_at_a_time,
    program::{self, in_guest, note, patience},
    sys,
    watch::{Watch, without_loss},
};
use rustix::process::Signal;

/// Does something in a thread of its own, whose namespaces end with it; its tid.
fn in_thread(act: impl FnOnce() + Send + 'static) -> u32 {
    thread::spawn(move || {
        act();
        rustix::thread::gettid().as_raw_nonzero().get().cast_unsigned()
    })
    .join()
    .expect("nothing in it fails")
}

fn unshare(name: &str) {
    sys::unshare(kind(name).flag).expect("root may");
}

/// Of a thread or process: what was said about namespaces that are not the initial ones.
fn about<'a>(lines: &'a [Line], of: impl Fn(&Line) -> bool + 'a) -> impl Iterator<Item = &'a Line> {
    lines.iter().filter(move |l| l.ns.as_ref().is_some_and(|ns| ns.initial != Some(true)) && of(l))
}

fn tid(line: &Line) -> Option<u32> {
    line.task.as_ref().map(|task| task.tid)
}

/// Each namespace that `tid` made was made once, entered once, left once, ended once, in this order, by `tid`'s calls.
fn whole_lives(lines: &[Line], tid_of: u32, made: usize) -> anyhow::Result<()> {
    const LIFE: [&str; 4] = ["created", "joined", "left", "destroyed"];
    let mut living: BTreeMap<u32, (usize, Option<u64>, Option<u64>)> = BTreeMap::new();
    let (mut ids, mut created, mut ended) = (BTreeSet::new(), 0, 0);
    for line in lines {
        let Some(inum) = line.inum() else { continue };
        let own = tid(line) == Some(tid_of) && line.ns.as_ref().is_some_and(|ns| ns.initial != Some(true));
        if line.event == "created" && own {
            ensure!(line.via() == Some("unshare"), "another cause: {}", line.raw);
            ensure!(living.insert(inum, (1, line.ns_id(), line.boot_ns())).is_none(), "it lives: {}", line.raw);
            ensure!(line.ns_id().is_none_or(|id| ids.insert(id)), "an id for the second time: {}", line.raw);
            created += 1;
            continue;
        }
        let Some((stage, id, born)) = living.get_mut(&inum).filter(|_| LIFE.contains(&line.event.as_str())) else {
            continue;
        };
        ensure!(line.event == LIFE[*stage], "{} was due: {}", LIFE[*stage], line.raw);
        ensure!(line.ns_id() == *id, "another id: {}", line.raw);
        ensure!(own, "by somebody else: {}", line.raw);
        *stage += 1;
        if *stage == LIFE.len() {
            let lifetime = line.boot_ns().zip(*born).map(|(end, born)| end - born);
            ensure!(line.lifetime_ns() == lifetime, "lifetime {lifetime:?}: {}", line.raw);
            living.remove(&inum);
            ended += 1;
        }
    }
    ensure!(created == made && ended == made, "{created} made and {ended} ended of {made}, {} live", living.len());
    Ok(())
}

/// `perform` makes `made` namespaces in the thread that it names; their lines are as they have to be.
fn storm(name: &str, ring: &str, made: usize, perform: impl Fn(&Watch) -> u32) {
    let _turn = one_at_a_time();
    if !program::live() {
        return;
    }
    let once = || {
        let watch = Watch::start(&["--ring-size", ring])?;
        let tid = perform(&watch);
        let start = Instant::now();
        let deadline = start + patience() * 2;
        watch.wait_for(deadline, |lines| {
            lines.iter().filter(|l| l.event == "destroyed" && self::tid(l) == Some(tid)).count() >= made
                || lines.iter().any(|l| l.event == "lost")
        });
        let ended = watch.stop()?;
        ended.check()?;
        note(&format!("{name}: {made} lives, the last line {:.1?} after the last call", start.elapsed()));
        whole_lives(&ended.lines, tid, made)
    };
    without_loss(name, once).unwrap_or_else(|error| panic!("{name}: {error:#}"));
}

/// The kernel gives the lowest free number at once to the next namespace, of whatever type.
#[test]
fn numbers_that_come_back_ten_thousand_times() {
    const TYPES: [&str; 2] = ["uts", "cgroup"];
    const TIMES: usize = 10_000;
    storm("inode numbers", "64M", TIMES, |_| {
        in_thread(|| (0..TIMES).for_each(|turn| unshare(TYPES[turn % TYPES.len()])))
    });
}

/// While the reader stands still for five seconds the ring keeps everything.
#[test]
fn a_reader_that_stands_still_for_five_seconds() {
    const TIMES: usize = 500;
    const STOP: Duration = Duration::from_secs(5);
    storm("standstill", "16M", TIMES, |watch| {
        watch.signal(Signal::STOP).expect("it runs");
        let start = Instant::now();
        let tid = in_thread(move || {
            for turn in 0..TIMES {
                // Evenly over the whole time.
                thread::sleep((STOP * turn as u32 / TIMES as u32).saturating_sub(start.elapsed()));
                unshare("uts");
            }
        });
        watch.signal(Signal::CONT).expect("it runs");
        tid
    });
}

/// clone3(2) with `set_tid`: one process after the other has the same pid, within the same clock tick even.
#[test]
fn a_pid_that_comes_back_a_thousand_times() {
    const TIMES: usize = 1000;
    let _turn = one_at_a_time();
    if !program::live() {
        return;
    }
    let once = || {
        let watch = Watch::start(&["--ring-size", "64M", "--type", "uts"])?;
        let flag = kind("uts").flag;
        let pid = sys::clone3(flag, &[]).expect("root may");
        if pid == 0 {
            sys::exit(0);
        }
        sys::wait(pid).expect("its own child");
        let mut made = 1;
        while made < TIMES {
            match sys::clone3(flag, &[pid.cast_signed()]) {
                Ok(0) => sys::exit(0),
                Ok(same) => {
                    sys::wait(same).expect("its own child");
                    made += 1;
                }
                // Somebody else on this machine has got it meanwhile.
                Err(_) => break,
            }
        }
        let ours = |l: &Line| l.pid() == Some(pid);
        watch.wait_for(Instant::now() + patience(), |lines| {
            lines.iter().filter(|l| l.event == "left" && ours(l)).count() >= made
                || lines.iter().any(|l| l.event == "lost")
        });
        let ended = watch.stop()?;
        ended.check()?;
        note(&format!("pid {pid} for {made} processes"));
        ensure!(made > TIMES / 2 || !in_guest(), "nobody else is there to take pid {pid}, but only {made} had it");
        let mut inside: Option<(u32, Option<u64>)> = None;
        let mut left = 0;
        for line in about(&ended.lines, ours) {
            let at = (line.inum().unwrap_or(0), line.ns_id());
            match line.event.as_str() {
                "joined" => ensure!(inside.replace(at).is_none(), "it is in another one: {}", line.raw),
                "left" => {
                    ensure!(inside.take() == Some(at), "it is not in there: {}", line.raw);
                    left += 1;
                }
                _ => {}
            }
        }
        ensure!(left == made && inside.is_none(), "{left} of {made} processes left, {inside:?} has not");
        Ok(())
    };
    without_loss("pids", once).unwrap_or_else(|error| panic!("{error:#}"));
}

fn wall() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("later than 1970")
}

/// The wall clock of this machine.
fn set_wall(to: Duration) {
    let to = rustix::time::Timespec { tv_sec: to.as_secs().cast_signed(), tv_nsec: to.subsec_nanos().into() };
    rustix::time::clock_settime(rustix::time::ClockId::Realtime, to).expect("root may");
}

/// Seconds of the day by a line's `time`: enough to tell one clock from another that is hours off.
fn second_of_day(line: &Line) -> Option<u64> {
    let time = line.time.as_deref()?.split_once('T')?.1;
    let mut numbers = time.split([':', '.']).map(|word| word.parse::<u64>().ok());
    Some(numbers.next()?? * 3600 + numbers.next()?? * 60 + numbers.next()??)
}

/// Lines go by the new clock soon after it was set, and spans of time by none that can be set.
#[test]
fn a_wall_clock_that_is_set() {
    const DAY: u64 = 86_400;
    let _turn = one_at_a_time();
    if !in_guest() {
        note("skipped: it sets the clock, so it runs in guests only");
        return;
    }
    let watch = Watch::start(&["--type", "uts"]).expect("a watch");
    for step in [3 * 3600_i64, -5 * 3600, 2 * 3600] {
        let before = wall();
        // Alive while the clock is set.
        let (ready, set) = std::sync::mpsc::channel::<()>();
        let holder = thread::spawn(move || {
            unshare("uts");
            let inum = nstrace_tests::nsfs::inum_of_link(Path::new("/proc/thread-self/ns/uts")).expect("its own");
            let _ = set.recv();
            (inum, rustix::thread::gettid().as_raw_nonzero().get().cast_unsigned())
        });
        set_wall(if step < 0 {
            before - Duration::from_secs(step.unsigned_abs())
        } else {
            before + Duration::from_secs(step.unsigned_abs())
        });
        ready.send(()).expect("it waits");
        let (inum, tid) = holder.join().expect("it ends");
        let deadline = Instant::now() + patience();
        let mut of_now = false;
        while !of_now && Instant::now() < deadline {
            let maker = in_thread(|| unshare("uts"));
            let now = wall().as_secs() % DAY;
            let made = |l: &&Line| l.event == "created" && self::tid(l) == Some(maker);
            watch.wait_for(deadline, |lines| lines.iter().any(|l| made(&l)));
            let lines = watch.lines();
            let said = lines.iter().rev().find(made).and_then(second_of_day).expect("a line with a time");
            let apart = (now + DAY - said) % DAY;
            of_now = apart.min(DAY - apart) < 1800;
        }
        assert!(of_now, "after a step of {step} s lines still have the old time");
        let ended = |l: &&Line| l.event == "destroyed" && l.inum() == Some(inum) && self::tid(l) == Some(tid);
        watch.wait_for(deadline, |lines| lines.iter().any(|l| ended(&l)));
        let lines = watch.lines();
        let line = lines.iter().rev().find(ended).expect("it ended with its thread");
        let lifetime = line.lifetime_ns().expect("it was seen to be made");
        assert!(lifetime < 600_000_000_000, "it lived for moments, not for the step of the clock: {}", line.raw);
    }
    let ended = watch.stop().expect("an end");
    let mut latest = 0;
    for line in ended.lines.iter().filter(|l| l.event != "snapshot") {
        let boot_ns = number(line.boot_ns.as_ref()).expect("every line has one");
        assert!(boot_ns >= latest, "the boot clock goes on: {}", line.raw);
        latest = boot_ns;
    }
}

/// A processor is taken away and comes back while every processor makes namespaces: nothing is missing and nothing told as lost.
#[test]
fn a_processor_that_goes_and_comes_back() {
    const SWITCH: &str = "/sys/devices/system/cpu/cpu1/online";
    let _turn = one_at_a_time();
    if !in_guest() || !Path::new(SWITCH).exists() {
        note(
            "skipped: it takes a processor away, so it runs in guests with more than one (`cargo xtask test --vm --smp 2`)",
        );
        return;
    }
    let once = || -> anyhow::Result<()> {
        let watch = Watch::start(&["--ring-size", "64M", "--type", "uts"])?;
        let mut makers = Vec::new();
        let go_on = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(true));
        for _ in 0..3 {
            let go_on = std::sync::Arc::clone(&go_on);
            makers.push(thread::spawn(move || {
                let mut made = 0;
                while go_on.load(std::sync::atomic::Ordering::Relaxed) {
                    unshare("uts");
                    made += 1;
                    thread::sleep(Duration::from_millis(1));
                }
                (rustix::thread::gettid().as_raw_nonzero().get().cast_unsigned(), made)
            }));
        }
        for state in ["0", "1", "0", "1"] {
            fs::write(SWITCH, state)?;
            ensure!(fs::read_to_string(SWITCH)?.trim() == state, "the processor stays");
            let count = watch.count();
            if !watch.wait_for(Instant::now() + patience(), |lines| lines.len() > count + 200) {
                bail!("no more lines after {state} went to {SWITCH}");
            }
        }
        go_on.store(false, std::sync::atomic::Ordering::Relaxed);
        let made: Vec<(u32, usize)> = makers.into_iter().map(|maker| maker.join().expect("it ends")).collect();
        watch.wait_for(Instant::now() + patience(), |lines| {
            made.iter().all(|(maker, times)| {
                lines.iter().filter(|l| l.event == "destroyed" && tid(l) == Some(*maker)).count() >= *times
            }) || lines.iter().any(|l| l.event == "lost")
        });
        let ended = watch.stop()?;
        ended.check()?;
        note(&format!("{made:?} made while a processor went twice"));
        made.iter().try_for_each(|(maker, times)| whole_lives(&ended.lines, *maker, *times))
    };
    without_loss("processors", once).unwrap_or_else(|error| panic!("{error:#}"));
}
