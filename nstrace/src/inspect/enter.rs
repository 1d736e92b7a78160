//! Going into other namespaces and back: in a thread that is thrown away, so nothing of nstrace ever stays there.

use rustix::{
    fd::OwnedFd,
    io::Errno,
    thread::{LinkNameSpaceType, move_into_link_name_space},
};

/// Runs `f` in a thread of its own inside the namespaces behind `files` (setns(2)); it is over when this returns.
///
/// Works for net, uts and ipc: a mount or user namespace would need a process of its own.
///
/// # Errors
/// `EPERM` without `CAP_SYS_ADMIN` over the user namespace that owns one of them and in the caller's own.
pub fn inside<T: Send>(files: &[(&OwnedFd, LinkNameSpaceType)], f: impl FnOnce() -> T + Send) -> Result<T, Errno> {
    use rustix::fd::AsFd as _;
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name("visitor".to_owned()).spawn_scoped(scope, || {
            for (file, ns_type) in files {
                move_into_link_name_space(file.as_fd(), Some(*ns_type))?;
            }
            Ok(f())
        });
        match thread {
            // A panic in `f` is a defect: it goes on here.
            Ok(thread) => thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
            Err(error) => Err(Errno::from_io_error(&error).unwrap_or(Errno::AGAIN)),
        }
    })
}
