//! A control socket of the host: bind-mounted into the container, or abstract in the host's network namespace.

use std::os::{
    linux::net::SocketAddrExt,
    unix::net::{SocketAddr, UnixStream},
};

use nstrace_tests::escape::act::Given;

use crate::attempt::{Attempt, Technique, done};

pub const ALL: &[Technique] = &[("socket-path", by_path), ("socket-abstract", abstract_one)];

fn by_path(_: &Given) -> Attempt {
    UnixStream::connect("/shared/control.sock")?;
    done("/shared/control.sock")
}

fn abstract_one(given: &Given) -> Attempt {
    UnixStream::connect_addr(&SocketAddr::from_abstract_name(&given.abstract_name)?)?;
    done(format!("@{}", given.abstract_name))
}
