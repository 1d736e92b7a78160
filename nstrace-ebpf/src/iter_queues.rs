//! A walk over files that no file table has: in messages of unix sockets, registered with io_uring, watched by inotify.
//!
//! As in [`crate::iter_mounts`], `iter/bpf_map` is only the engine, and user space lists what to look into. A visit ends with the
//! first file it finds, because what a file holds is long to ask.

use nstrace_common::{
    census::{Place, queue_of, what},
    layout::ABSENT,
};

use crate::{
    holding::{LISTENING, NSFS, census_pid, census_socket, hold, nsfs},
    iter_lists::start,
    iter_mounts::{MapIteration, TREES, WALK},
    kernel_memory::{Kptr, load_ptr, load_u32, load_u64},
    scratch::{Scratch, scratch, write_held},
    seen::{census, describe_waiting},
};

/// Moves of one visit that find nothing.
const MOVES: u32 = 16;

/// What a move found.
const NOTHING: u32 = 0;
const FILE: u32 = 1;
/// A `struct sock` that waits to be accepted.
const SOCK: u32 = 2;
/// A `struct pid` in a message.
const SENDER: u32 = 3;
/// A watched inode.
const INODE: u32 = 4;

#[unsafe(no_mangle)]
#[unsafe(link_section = "iter/bpf_map")]
pub fn census_queue(ctx: *mut MapIteration) -> i32 {
    // SAFETY: as in `census_task`.
    let visit = unsafe { (*ctx).visit() };
    let Some(walk) = WALK.get_ptr_mut(0) else { return 0 };
    let mut what = NOTHING;
    let mut found = core::ptr::null();
    let mut index = 0;
    // SAFETY: the map's only element; one reader runs at a time.
    unsafe {
        start(walk, visit);
        let mut at = (*walk).from;
        for _ in 0..MOVES {
            let Some(&entry) = TREES.get(at.index) else { break };
            if at.index >= (*walk).count {
                break;
            }
            index = at.index;
            (what, found) = step(entry, &mut at);
            if what != NOTHING {
                break;
            }
        }
        (*walk).to = at;
    }
    if what != NOTHING
        && let Some(scratch) = scratch()
    {
        scratch.begin(0, 0, index);
        match what {
            FILE => {
                scratch.set_file(found);
                hold(visit.number);
            }
            SOCK => _ = census_socket(visit.number, found as u64),
            SENDER => _ = census_pid(visit.number, found as u64, what::SENDER_PID),
            _ => watched(visit.number, scratch, found),
        }
        write_held(visit);
    }
    describe_waiting(visit);
    0
}

/// One move: what it found, and where that is.
#[inline(always)]
fn step(entry: u64, at: &mut Place) -> (u32, Kptr) {
    let object = (entry & !7) as Kptr;
    match (entry & 7) as u32 {
        queue_of::SOCK => message(object, at),
        queue_of::RING => registered(object, at),
        queue_of::CONNECTIONS => connection(object, at),
        _ => watch(object, at),
    }
}

#[inline(always)]
fn next_entry(at: &mut Place) -> (u32, Kptr) {
    *at = Place { mount: 0, index: at.index + 1, up: 0 };
    (NOTHING, core::ptr::null())
}

/// `at.mount` is the `struct request_sock` of the connection.
#[inline(always)]
fn connection(sk: Kptr, at: &mut Place) -> (u32, Kptr) {
    let (base, link) = if at.mount == 0 {
        (sk, census!(inet_csk_accept_head))
    } else {
        (at.mount as Kptr, census!(request_sock_next))
    };
    at.mount = load_u64(base, link);
    if at.mount == 0 {
        return next_entry(at);
    }
    (SOCK, load_ptr(at.mount as Kptr, census!(request_sock_sk)))
}

/// `at.mount` is the message, which is a connection in a socket that listens; `at.up` the number of its files that were looked at.
#[inline(always)]
fn message(sk: Kptr, at: &mut Place) -> (u32, Kptr) {
    let queue = sk as u64 + u64::from(census!(sock_receive_queue));
    let message = if at.mount == 0 { load_u64(queue as Kptr, census!(sk_buff_next)) } else { at.mount };
    if message == 0 || message == queue {
        return next_entry(at);
    }
    let listens = load_u32(sk, census!(sock_state)) & 0xff == LISTENING;
    let parms = census!(sk_buff_cb);
    let rights = load_ptr(message as Kptr, parms + census!(unix_skb_parms_fp));
    let count = load_u32(rights, census!(scm_fp_list_count)) & 0xffff;
    if !listens && at.up < count {
        let file = load_ptr((rights as u64 + u64::from(at.up) * 8) as Kptr, census!(scm_fp_list_fp));
        *at = Place { mount: message, index: at.index, up: at.up + 1 };
        return (FILE, file);
    }
    *at = Place { mount: load_u64(message as Kptr, census!(sk_buff_next)), index: at.index, up: 0 };
    // Of a queue that was emptied meanwhile.
    if at.mount == 0 {
        return next_entry(at);
    }
    if listens {
        (SOCK, load_ptr(message as Kptr, census!(sk_buff_sk)))
    } else {
        (SENDER, load_ptr(message as Kptr, parms + census!(unix_skb_parms_pid)))
    }
}

/// `at.up` is the number of places of the table that were looked at.
#[inline(always)]
fn registered(ring: Kptr, at: &mut Place) -> (u32, Kptr) {
    let table = load_ptr(ring, census!(io_ring_ctx_files));
    if table.is_null() || at.up >= load_u32(ring, census!(io_ring_ctx_count)) {
        return next_entry(at);
    }
    let mut file = load_u64((table as u64 + u64::from(at.up) * 8) as Kptr, 0);
    if census!(io_rsrc_node_file) != ABSENT {
        file = load_u64(file as Kptr, census!(io_rsrc_node_file));
    }
    at.up += 1;
    // The lowest bits are flags.
    let file = (file & !7) as Kptr;
    (if file.is_null() { NOTHING } else { FILE }, file)
}

/// `at.mount` is the link of the mark in the list of its group.
#[inline(always)]
fn watch(group: Kptr, at: &mut Place) -> (u32, Kptr) {
    let list = group as u64 + u64::from(census!(fsnotify_group_marks));
    let link = load_u64((if at.mount == 0 { list } else { at.mount }) as Kptr, 0);
    if link == 0 || link == list {
        return next_entry(at);
    }
    at.mount = link;
    let mark = (link - u64::from(census!(fsnotify_mark_list))) as Kptr;
    let connector = load_ptr(mark, census!(fsnotify_mark_connector));
    (INODE, load_ptr(connector, census!(fsnotify_connector_obj)))
}

/// The object of a mark is the inode (6.10+), or its member `i_fsnotify_marks`; those of other kinds are neither on nsfs.
#[inline(always)]
fn watched(visit: u64, scratch: &mut Scratch, object: Kptr) {
    let mut inode = object;
    if magic(inode) != NSFS {
        inode = (object as u64).wrapping_sub(u64::from(census!(inode_fsnotify_marks))) as Kptr;
    }
    if magic(inode) == NSFS {
        scratch.record.what = what::WATCH;
        scratch.record.object = inode as u64;
        scratch.record.ns = nsfs(visit, inode);
        scratch.put();
    }
}

#[inline(always)]
fn magic(inode: Kptr) -> u64 {
    load_u64(load_ptr(inode, census!(inode_i_sb)), census!(super_block_s_magic))
}
