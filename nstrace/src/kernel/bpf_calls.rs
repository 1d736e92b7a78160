//! The few commands of bpf(2) that an object of iterators takes.

use std::{
    ffi::CStr,
    io,
    os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd, RawFd},
};

use aya_obj::generated::{
    bpf_attach_type::{BPF_CGROUP_DEVICE, BPF_TRACE_ITER},
    bpf_attr, bpf_cmd, bpf_insn, bpf_link_info, bpf_prog_info,
    bpf_prog_type::BPF_PROG_TYPE_TRACING,
};

/// What the verifier may say at most, in bytes.
const LOG: usize = 1 << 20;
/// The kernel gives a program up with EAGAIN when a signal comes.
const TRIES: usize = 5;

/// Number of a command's outcome: a descriptor or 0.
fn call(command: bpf_cmd, attributes: &mut bpf_attr) -> io::Result<RawFd> {
    // SAFETY: callers fill the members of the union that the command reads; every address in it is valid during the call.
    let outcome =
        unsafe { libc::syscall(libc::SYS_bpf, command, std::ptr::from_mut(attributes), size_of::<bpf_attr>()) };
    // A descriptor is an int.
    RawFd::try_from(outcome).ok().filter(|&fd| fd >= 0).ok_or_else(io::Error::last_os_error)
}

fn descriptor(command: bpf_cmd, attributes: &mut bpf_attr) -> io::Result<OwnedFd> {
    let fd = call(command, attributes)?;
    // SAFETY: the kernel has just given it to us.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn no_attributes() -> bpf_attr {
    // SAFETY: a union of plain numbers; the kernel wants what a command does not use to be zero.
    unsafe { std::mem::zeroed() }
}

/// The address of something as the kernel wants it.
fn address<T: ?Sized>(at: *const T) -> u64 {
    at.cast::<u8>().addr() as u64
}

fn number(fd: BorrowedFd<'_>) -> u32 {
    fd.as_raw_fd().cast_unsigned()
}

/// Copies what fits; the last byte stays 0.
fn copy_name(name: &str, to: &mut [std::ffi::c_char; 16]) {
    for (to, from) in to[..15].iter_mut().zip(name.bytes()) {
        *to = from.cast_signed();
    }
}

pub(super) fn create_map(name: &str, map: &aya_obj::Map) -> io::Result<OwnedFd> {
    let mut attributes = no_attributes();
    // SAFETY: any bytes are a value of this member.
    let create = unsafe { &mut attributes.__bindgen_anon_1 };
    create.map_type = map.map_type();
    create.key_size = map.key_size();
    create.value_size = map.value_size();
    create.max_entries = map.max_entries();
    create.map_flags = map.map_flags();
    copy_name(name, &mut create.map_name);
    descriptor(bpf_cmd::BPF_MAP_CREATE, &mut attributes)
}

/// `BPF_F_QUERY_EFFECTIVE` (include/uapi/linux/bpf.h).
const QUERY_EFFECTIVE: u32 = 1;

/// How many programs decide on devices for this cgroup. Room for their ids is not offered: the kernel only counts then.
pub(super) fn effective_device_programs(cgroup: BorrowedFd<'_>) -> io::Result<u32> {
    let mut attributes = no_attributes();
    attributes.query.__bindgen_anon_1.target_fd = number(cgroup);
    attributes.query.attach_type = BPF_CGROUP_DEVICE as u32;
    attributes.query.query_flags = QUERY_EFFECTIVE;
    call(bpf_cmd::BPF_PROG_QUERY, &mut attributes)?;
    // SAFETY: the kernel has written this member of the union.
    Ok(unsafe { attributes.query.__bindgen_anon_2.prog_cnt })
}

/// `value` has the map's value size.
pub(super) fn update(map: BorrowedFd<'_>, key: u32, value: &[u8]) -> io::Result<()> {
    element(bpf_cmd::BPF_MAP_UPDATE_ELEM, map, &key, value.as_ptr())
}

/// `value` has the map's value size.
pub(super) fn look_up(map: BorrowedFd<'_>, key: u32, value: &mut [u8]) -> io::Result<()> {
    element(bpf_cmd::BPF_MAP_LOOKUP_ELEM, map, &key, value.as_mut_ptr())
}

fn element(command: bpf_cmd, map: BorrowedFd<'_>, key: &u32, value: *const u8) -> io::Result<()> {
    let mut attributes = no_attributes();
    // SAFETY: any bytes are a value of this member.
    let element = unsafe { &mut attributes.__bindgen_anon_2 };
    element.map_fd = number(map);
    element.key = address(key);
    element.__bindgen_anon_1.value = address(value);
    call(command, &mut attributes).map(drop)
}

/// Programs see the map's content as constants from now on.
pub(super) fn freeze(map: BorrowedFd<'_>) -> io::Result<()> {
    let mut attributes = no_attributes();
    attributes.__bindgen_anon_2.map_fd = number(map);
    call(bpf_cmd::BPF_MAP_FREEZE, &mut attributes).map(drop)
}

pub(super) fn load_btf(bytes: &[u8]) -> io::Result<OwnedFd> {
    let mut attributes = no_attributes();
    // SAFETY: any bytes are a value of this member.
    let load = unsafe { &mut attributes.__bindgen_anon_7 };
    load.btf = address(bytes);
    load.btf_size = u32::try_from(bytes.len()).map_err(io::Error::other)?;
    descriptor(bpf_cmd::BPF_BTF_LOAD, &mut attributes)
}

/// What of a program matters here.
#[derive(Debug)]
pub(super) struct Iterator<'p> {
    pub name: &'p str,
    pub license: &'p CStr,
    pub instructions: &'p [bpf_insn],
    /// The object's BTF, and where its functions begin, for the verifier to tell global functions from others.
    pub btf: Option<(BorrowedFd<'p>, &'p aya_obj::btf::FuncSecInfo, usize)>,
    /// Type number of `bpf_iter_TARGET` in the kernel's BTF.
    pub target: u32,
}

/// Loads an iterator.
///
/// # Errors
/// With what the verifier said, empty when it was not the verifier.
pub(super) fn load_iterator(program: &Iterator<'_>) -> Result<OwnedFd, (io::Error, String)> {
    let functions = program.btf.map_or_else(Vec::new, |(_, info, _)| info.func_info_bytes());
    let mut attributes = no_attributes();
    // SAFETY: any bytes are a value of this member.
    let load = unsafe { &mut attributes.__bindgen_anon_3 };
    load.prog_type = BPF_PROG_TYPE_TRACING as u32;
    load.expected_attach_type = BPF_TRACE_ITER as u32;
    load.attach_btf_id = program.target;
    load.insns = address(program.instructions);
    load.insn_cnt = u32::try_from(program.instructions.len()).unwrap_or(u32::MAX);
    load.license = address(program.license.as_ptr());
    copy_name(program.name, &mut load.prog_name);
    if let Some((btf, info, record)) = program.btf.filter(|_| !functions.is_empty()) {
        load.prog_btf_fd = number(btf);
        load.func_info = address(&functions[..]);
        load.func_info_cnt = u32::try_from(info.len()).unwrap_or(u32::MAX);
        load.func_info_rec_size = u32::try_from(record).unwrap_or(u32::MAX);
    }
    let mut refused = None;
    for _ in 0..TRIES {
        match descriptor(bpf_cmd::BPF_PROG_LOAD, &mut attributes) {
            Err(error) if error.raw_os_error() == Some(libc::EAGAIN) => refused = Some(error),
            Err(error) => {
                refused = Some(error);
                break;
            }
            loaded => return loaded.map_err(|error| (error, String::new())),
        }
    }
    let mut log = vec![0_u8; LOG];
    // SAFETY: any bytes are a value of this member.
    let load = unsafe { &mut attributes.__bindgen_anon_3 };
    load.log_level = 1;
    load.log_buf = address(log.as_mut_ptr());
    load.log_size = LOG as u32;
    match descriptor(bpf_cmd::BPF_PROG_LOAD, &mut attributes) {
        Ok(program) => Ok(program),
        Err(error) => {
            let said = CStr::from_bytes_until_nul(&log).map(CStr::to_string_lossy).unwrap_or_default();
            Err((refused.unwrap_or(error), said.into_owned()))
        }
    }
}

/// The output of an iterator, to be read.
pub(super) fn open_iterator(program: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    let mut attributes = no_attributes();
    // SAFETY: any bytes are a value of this member.
    let link = unsafe { &mut attributes.link_create };
    link.__bindgen_anon_1.prog_fd = number(program);
    link.attach_type = BPF_TRACE_ITER as u32;
    let link = descriptor(bpf_cmd::BPF_LINK_CREATE, &mut attributes)?;
    let mut attributes = no_attributes();
    attributes.iter_create.link_fd = number(link.as_fd());
    descriptor(bpf_cmd::BPF_ITER_CREATE, &mut attributes)
}

/// Every link of the machine (5.8+) that may be opened, until the kernel has no more or says no.
pub(super) fn links() -> impl std::iter::Iterator<Item = OwnedFd> {
    let mut last = 0;
    let ids = std::iter::from_fn(move || {
        let mut attributes = no_attributes();
        attributes.__bindgen_anon_6.__bindgen_anon_1.start_id = last;
        call(bpf_cmd::BPF_LINK_GET_NEXT_ID, &mut attributes).ok()?;
        // SAFETY: the kernel has just written this member.
        last = unsafe { attributes.__bindgen_anon_6.next_id };
        Some(last)
    });
    ids.filter_map(|id| {
        let mut attributes = no_attributes();
        attributes.__bindgen_anon_6.__bindgen_anon_1.link_id = id;
        // One that is gone meanwhile is no error.
        descriptor(bpf_cmd::BPF_LINK_GET_FD_BY_ID, &mut attributes).ok()
    })
}

/// What the kernel says of a link; zero where it is older than a member.
pub(super) fn link_info(link: BorrowedFd<'_>) -> io::Result<bpf_link_info> {
    // SAFETY: plain numbers in structures and unions, for which zero is a value.
    unsafe { info(link) }
}

/// What the kernel says of a program; zero where it is older than a member. Arrays are not asked for.
pub(super) fn program_info(program: BorrowedFd<'_>) -> io::Result<bpf_prog_info> {
    // SAFETY: as above.
    unsafe { info(program) }
}

/// `BPF_OBJ_GET_INFO_BY_FD`.
///
/// # Safety
/// `T` is the kernel's structure for this kind of object, and any bytes are a value of it.
unsafe fn info<T>(object: BorrowedFd<'_>) -> io::Result<T> {
    // SAFETY: the caller's promise.
    let mut info: T = unsafe { std::mem::zeroed() };
    let mut attributes = no_attributes();
    // SAFETY: any bytes are a value of this member.
    let of = unsafe { &mut attributes.info };
    of.bpf_fd = number(object);
    of.info_len = size_of::<T>() as u32;
    of.info = address(std::ptr::from_mut(&mut info));
    call(bpf_cmd::BPF_OBJ_GET_INFO_BY_FD, &mut attributes)?;
    Ok(info)
}
