//! The host's side: a process in the initial namespaces that has something to lose, and what asks for it.

use std::{
    env, fs,
    io::{IoSlice, Read, Write},
    mem::MaybeUninit,
    os::{
        fd::{AsFd, AsRawFd},
        linux::net::SocketAddrExt,
        unix::net::{SocketAddr, UnixListener},
    },
    process::ExitCode,
};

use nstrace_tests::escape::act::{SECRET, SECRET_FILE};
use rustix::{
    event::{PollFd, PollFlags, poll},
    net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg},
};

/// Listens in the stage's shared folder until standard input ends; the first line says what there is.
pub fn serve(stage: &str) -> ExitCode {
    match listen(stage) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("escape: the victim: {error}");
            ExitCode::FAILURE
        }
    }
}

fn listen(stage: &str) -> std::io::Result<()> {
    env::set_current_dir(format!("{stage}/outside"))?;
    let secret = fs::File::open(SECRET_FILE)?;
    let own = fs::File::open("/proc/self/ns/uts")?;
    let name = format!("nstrace-escape-{}", std::process::id());
    let control = UnixListener::bind(format!("{stage}/shared/control.sock"))?;
    let handles = UnixListener::bind(format!("{stage}/shared/handles.sock"))?;
    let abstract_one = UnixListener::bind_addr(&SocketAddr::from_abstract_name(&name)?)?;
    let mut stdout = std::io::stdout();
    writeln!(
        stdout,
        r#"{{"pid":{},"address":{},"fd":{},"abstract_name":"{name}"}}"#,
        std::process::id(),
        SECRET.as_ptr().addr(),
        secret.as_raw_fd()
    )?;
    stdout.flush()?;
    let stdin = std::io::stdin();
    loop {
        let mut polled = [
            PollFd::new(&stdin, PollFlags::IN),
            PollFd::new(&control, PollFlags::IN),
            PollFd::new(&handles, PollFlags::IN),
            PollFd::new(&abstract_one, PollFlags::IN),
        ];
        poll(&mut polled, None)?;
        let ready = polled.each_ref().map(|fd| !fd.revents().is_empty());
        if ready[0] && stdin.lock().read(&mut [0])? == 0 {
            return Ok(());
        }
        if ready[1] {
            control.accept()?;
        }
        if ready[2] {
            let (peer, _) = handles.accept()?;
            let files = [own.as_fd()];
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
            let mut control = SendAncillaryBuffer::new(&mut space);
            control.push(SendAncillaryMessage::ScmRights(&files));
            sendmsg(&peer, &[IoSlice::new(b"!")], &mut control, SendFlags::empty())?;
        }
        if ready[3] {
            abstract_one.accept()?;
        }
    }
}

/// Says its pid, then waits for standard input to end.
pub fn idle() -> ExitCode {
    println!("{}", std::process::id());
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
    ExitCode::SUCCESS
}
