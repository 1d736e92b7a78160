//! Who holds a socket, and for which container docker-proxy(1) holds it.

use std::collections::{HashMap, HashSet};

use rustix::fs::{Dir, Mode, OFlags};

use crate::inspect::{
    Places,
    net::sockets::Holder,
    processes::{Process, ProcessTable},
    task_dir::TaskDir,
};

/// The first process that has each of these sockets open. Descriptors that may not be seen are passed over.
pub fn holders(places: &Places, table: &ProcessTable, inodes: &HashSet<u64>) -> HashMap<u64, Holder> {
    let mut found = HashMap::new();
    if inodes.is_empty() {
        return found;
    }
    for process in table.iter().filter(|p| !p.status.kernel_thread && !p.status.is_zombie()) {
        let Ok(dir) = TaskDir::open(&places.proc, process.status.pid) else { continue };
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let Ok(fds) = rustix::fs::openat(&dir, "fd", flags, Mode::empty()) else { continue };
        let Ok(entries) = Dir::read_from(&fds) else { continue };
        for entry in entries.filter_map(Result::ok) {
            let link = rustix::fs::readlinkat(&fds, entry.file_name(), Vec::new());
            if let Some(inode) = link.ok().and_then(|link| socket_inode(link.as_bytes()))
                && inodes.contains(&inode)
            {
                found.entry(inode).or_insert_with(|| holder(&dir, process));
            }
        }
        if found.len() == inodes.len() {
            break;
        }
    }
    found
}

/// Of `socket:[123]`.
fn socket_inode(link: &[u8]) -> Option<u64> {
    std::str::from_utf8(link).ok()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()
}

fn holder(dir: &TaskDir, process: &Process) -> Holder {
    let is_proxy = process.status.name == "docker-proxy";
    let arguments = is_proxy.then(|| dir.read("cmdline").ok()).flatten().unwrap_or_default();
    Holder { pid: process.status.pid, comm: process.status.name.clone(), publishes: published(&arguments) }
}

/// `-container-ip 172.17.0.2 -container-port 80` of docker-proxy.
fn published(arguments: &[u8]) -> Option<String> {
    let words: Vec<&str> = arguments.split(|&b| b == 0).filter_map(|word| std::str::from_utf8(word).ok()).collect();
    let after = |flag: &str| words.iter().position(|word| *word == flag).and_then(|at| words.get(at + 1));
    let address: std::net::IpAddr = after("-container-ip")?.parse().ok()?;
    let port: u16 = after("-container-port")?.parse().ok()?;
    Some(std::net::SocketAddr::new(address, port).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_docker_proxy_serves() {
        let line = b"/usr/bin/docker-proxy\0-proto\0tcp\0-host-ip\x000.0.0.0\0-host-port\x008080\0-container-ip\x00172.17.0.2\0-container-port\x0080\0";
        assert_eq!(published(line).as_deref(), Some("172.17.0.2:80"));
        assert_eq!(published(b"docker-proxy\0-container-ip\0x\0"), None);
        assert_eq!(published(b""), None);
        assert_eq!(socket_inode(b"socket:[31337]"), Some(31_337));
        assert_eq!(socket_inode(b"pipe:[1]"), None);
    }
}
