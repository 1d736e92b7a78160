//! What each detection means, for those who have to act on it: what it rests on, what it can tell apart, and what not.

/// Explanation of one [`super::Rule`].
#[derive(Debug, PartialEq, Eq)]
pub struct Explanation {
    pub rule: &'static str,
    pub detects: &'static str,
    /// Facts of the kernel.
    pub rests_on: &'static [&'static str],
    /// What looks alike and is no finding.
    pub tells_apart: &'static str,
    /// What it cannot know.
    pub cannot_tell: &'static str,
    /// What the kernel side has to report.
    pub needs: &'static [&'static str],
    /// Its findings name a namespace, so that exceptions can be about types of namespaces.
    pub about_namespace: bool,
}

const CONTAINED: &str = "contained: the task, or one it descends from, executed a program in an own mount namespace \
                  with an own root directory";

/// In the order of [`super::RULES`].
pub static EXPLANATIONS: &[Explanation] = &[
    Explanation {
        rule: "NST-001",
        detects: "A task of a container becomes a member of a namespace that belongs to the host, or to the \
                  container around its own: by a descriptor of the namespace, or by one of a task. The sentence \
                  names both namespaces and says whether the task had CAP_SYS_ADMIN over the user namespace that \
                  owns the one it entered.",
        rests_on: &[
            CONTAINED,
            "the namespaces of the task before and after the call, from task_struct",
            "who sealed \
                  or made the namespace that was entered: it is neither the container's own nor one inside of it",
        ],
        tells_apart: "Set-up of containers and entering one from the host go the other way. Going back to where the \
                  task, or its container, has been before is no leaving. Services of the host in a sandbox (own \
                  mount namespace, the host's root directory) may go back to the host. Attempts that the kernel \
                  refused are told as denied.",
        cannot_tell: "Whether it was granted: agents that are deployed as privileged containers do leave them. An \
                  exception by image digest and posture says so.",
        needs: &["namespaces at setns(2) and unshare(2)", "placed (exec)", "forks"],
        about_namespace: true,
    },
    Explanation {
        rule: "NST-002",
        detects: "A task of a container opens, receives or bind-mounts the file of a namespace that is not its \
                  container's, nor of one inside of it. With it in hand one call enters the namespace.",
        rests_on: &[CONTAINED, "the inode of the file lies on nsfs; the namespace behind it, by type and number"],
        tells_apart: "Files of its own namespaces, of those it made, and of containers inside are its own business. \
                  Lists of tasks that only look at links open nothing.",
        cannot_tell: "What the file is wanted for: comparing namespaces takes the same file as entering them.",
        needs: &["deed open", "deed receive", "deed bind"],
        about_namespace: true,
    },
    Explanation {
        rule: "NST-003",
        detects: "The working directory, root directory, program or an opened file of a contained task lies on a \
                  mount of a mount namespace that is not its container's, or outside the root of its mount: a \
                  descriptor that leaked, a way through /proc of another task, a file handle. Files on mounts \
                  that are attached nowhere are told as low.",
        rests_on: &[
            CONTAINED,
            "the mount of the path, and the mount namespace it is in, beside that of the \
                  task",
            "whether the directory entry is below the root of the mount",
        ],
        tells_apart: "Pipes, memfds and pidfds lie on mounts of the kernel's own. Files of mounts that the container \
                  made itself, in mount namespaces of its own, are its own.",
        cannot_tell: "On kernels and in modes where the mount namespace of a mount cannot be read it is silent, and \
                  doctor says so.",
        needs: &["placed (exec)", "deed open", "deed receive", "deed working-directory", "deed root"],
        about_namespace: true,
    },
    Explanation {
        rule: "NST-004",
        detects: "A contained task looks into a task outside its container, or controls it: ptrace(2), links and \
                  memory in /proc, process_vm_readv(2), pidfd_getfd(2).",
        rests_on: &[
            CONTAINED,
            "ptrace_access_check of the kernel, its mode bits, and that it was granted",
            "the \
                  containers of both tasks",
        ],
        tells_apart: "Programs that list tasks ask without audit (PTRACE_MODE_NOAUDIT) and are left out, or look at \
                  environment, program and the like: a call that opens, reads or asks for names, and goes no further \
                  than the task, is told as low, once for all tasks of one place. What it opens by way of a task is \
                  NST-003. Tasks in a pid namespace that was shared on purpose with another container are left out. \
                  From the host into a container is the other direction.",
        cannot_tell: "Debuggers and profilers that were given the host's pid namespace do the same.",
        needs: &["deed access"],
        about_namespace: true,
    },
    Explanation {
        rule: "NST-005",
        detects: "A file by which the whole host is controlled is opened for writing in a container, or by a task of \
                  the host that is setting one up and was tricked: core_pattern, modprobe, release_agent, \
                  uevent_helper, binfmt_misc, sysctls that all namespaces share, debugfs, tracefs, securityfs, \
                  efivarfs.",
        rests_on: &[
            "the magic number of the file system and the directory entry, not the path: bind mounts and \
                  aliases change nothing",
            "the sysctl table entry of the file: whether each namespace has its \
                  own value",
            "write mode of the open file",
        ],
        tells_apart: "Sysctls of a network, ipc or uts namespace are the namespace's own. Reading is no finding. \
                  Services of the host may write.",
        cannot_tell: "What is written. Registering binary formats for an emulator is done by this very file.",
        needs: &["deed open"],
        about_namespace: false,
    },
    Explanation {
        rule: "NST-006",
        detects: "The kernel runs a program for itself (a core dump handler, a module loader, a release agent) by a \
                  path below the root directory of a task: it lies in a container and runs on the host as root.",
        rests_on: &[
            "the path that the kernel hands to its user-mode helper, and on whose behalf: a task that leaves a core \
                  dump, one that wants a module, a work queue",
            "which file that names such a program a container opened before (NST-005)",
        ],
        tells_apart: "Helpers that ran before, and those that the file in question does not name.",
        cannot_tell: "Programs on the host's own file system that a container replaced before.",
        needs: &["deed helper"],
        about_namespace: false,
    },
    Explanation {
        rule: "NST-007",
        detects: "A contained task mounts a block device, by the old or the new mount calls, attached or not, opens \
                  one or the machine's memory, or makes a device node of one.",
        rests_on: &[
            CONTAINED,
            "the file system type wants a device (FS_REQUIRES_DEV), and the device of the \
                  superblock",
            "the type and the device number of the inode that was opened or made",
        ],
        tells_apart: "Devices in name only, such as /dev/null, are character devices of other numbers.",
        cannot_tell: "Storage drivers and containers that were given a disk on purpose.",
        needs: &["deed mount", "deed open", "deed mknod"],
        about_namespace: false,
    },
    Explanation {
        rule: "NST-008",
        detects: "A contained task mounts proc, sysfs, cgroup, bpf, debugfs, tracefs or securityfs such that it \
                  belongs to the initial user namespace: with it the host is controlled.",
        rests_on: &[CONTAINED, "the file system type and the user namespace that owns the superblock"],
        tells_apart: "A container that sets up another one inside, in a mount namespace that it made for it, needs \
                  proc, sysfs and cgroup2: told as info. File systems of a user namespace of its own have only \
                  its own powers.",
        cannot_tell: "Whether what was mounted is used.",
        needs: &["deed mount"],
        about_namespace: false,
    },
    Explanation {
        rule: "NST-009",
        detects: "A contained task opens a file by its handle, past every directory and mount: with \
                  CAP_DAC_READ_SEARCH any file of the file system.",
        rests_on: &[CONTAINED, "open_by_handle_at(2) that succeeded, the inode it led to"],
        tells_apart: "Handles of pidfs and nsfs name tasks and namespaces, not files.",
        cannot_tell: "Backup and file server programs that were given the capability.",
        needs: &["deed handle-open"],
        about_namespace: false,
    },
    Explanation {
        rule: "NST-010",
        detects: "A contained task connects to a unix socket of a service that is root on the host, by a path or by \
                  an abstract name.",
        rests_on: &[
            CONTAINED,
            "the task that listens, its user and its namespaces, by the socket itself: not by its \
                  path",
        ],
        tells_apart: "Services that run as other users, in user namespaces or in containers.",
        cannot_tell: "What is asked of the service: a log daemon looks like one that starts containers.",
        needs: &["deed connect"],
        about_namespace: false,
    },
    Explanation {
        rule: "NST-011",
        detects: "A contained task loads a kernel module, a BPF program or another kernel. BPF programs that see or \
                  change what the kernel does for others are critical, those that see packets medium, those for \
                  own cgroups info.",
        rests_on: &[CONTAINED, "the module, the type of the BPF program, as the kernel takes them"],
        tells_apart: "BPF programs for the container's own cgroups, as service managers load them.",
        cannot_tell: "What the program does. Network and observability agents load them by profession.",
        needs: &["deed module", "deed bpf", "deed kexec"],
        about_namespace: false,
    },
    Explanation {
        rule: "NST-012",
        detects: "Namespaces or credentials of a task were switched though it called nothing that switches them: the \
                  mark of a kernel exploit.",
        rests_on: &["switch_task_namespaces and commit_creds, and the system call in which they ran"],
        tells_apart: "setns, unshare, clone, execve, the set*id calls and capset are the legal ways, and kernel \
                  threads set themselves up.",
        cannot_tell: "Exploits that make the switch within a legal call, or write to memory: see NST-013.",
        needs: &["namespaces at every switch", "deed credentials"],
        about_namespace: true,
    },
    Explanation {
        rule: "NST-013",
        detects: "A task is in other namespaces than its last transition left it in, or a contained one has more \
                  capabilities than its program was started with, and no call gave it that: something wrote to kernel \
                  memory. The sentence has both values, and how old what was known is.",
        rests_on: &[
            "the namespaces of a task in each record of what it does, at execve(2), fork and exit, beside those \
                  of the record before",
            "the capabilities permitted at execve(2) and in force at later deeds",
            "that \
                  no record was lost meanwhile: it is told when that is known, and nothing is from a loss until the \
                  census after it",
        ],
        tells_apart: "Every call that moves a task is seen where it takes effect. Kernel threads, workers of io_uring \
                  and credentials that are overridden for a while are left out.",
        cannot_tell: "A write that is undone before the task does anything that is recorded. Who is given the initial \
                  namespaces and was in the initial pid namespace is silent from then on; user ids are not compared.",
        needs: &["namespaces at every switch", "namespaces at exit, execve(2) and fork", "placed (exec)"],
        about_namespace: true,
    },
    Explanation {
        rule: "NST-014",
        detects: "A contained task opens an executable file of another mount namespace for writing: a program that \
                  the host runs.",
        rests_on: &[CONTAINED, "the mount namespace of the file's mount, its mode bits, write mode of the open file"],
        tells_apart: "Executables on mounts of the container itself.",
        cannot_tell: "Whether the host ever runs it.",
        needs: &["deed open"],
        about_namespace: false,
    },
    Explanation {
        rule: "NST-015",
        detects: "A task of a container uses the network capabilities of a user namespace that the container made: \
                  parts of the kernel that are closed to it otherwise, and known for their faults.",
        rests_on: &["the capability check of the kernel, over which user namespace it was asked, and who made that \
                  one"],
        tells_apart: "A user namespace that was there when the container was sealed is how it was set up. In a container \
                      that started with CAP_SYS_ADMIN over the initial user namespace it opens nothing new: info.",
        cannot_tell: "Which part of the kernel CAP_NET_ADMIN was asked for: a sandbox inside of a container sets up its \
                      loopback device with it, so it is low; CAP_NET_RAW is medium.",
        needs: &["deed capability"],
        about_namespace: true,
    },
    Explanation {
        rule: "NST-016",
        detects: "A uid or gid map gives ids that its writer had no right to.",
        rests_on: &["the extents that were written, the ids and capabilities of the writer over the parent user \
                  namespace"],
        tells_apart: "Own ids, and those that a set-user-ID program maps with its capabilities.",
        cannot_tell: "Which ids an administrator delegated to whom.",
        needs: &["deed id-map"],
        about_namespace: false,
    },
    Explanation {
        rule: "NST-017",
        detects: "A task of a container becomes a member of a namespace of another container.",
        rests_on: &[
            CONTAINED,
            "the namespaces before and after the call, and which container sealed the one that \
                  was entered",
        ],
        tells_apart: "Namespaces that were shared when the container was sealed, as in a pod.",
        cannot_tell: "Whether somebody allowed it: debugging containers that join later do so too.",
        needs: &["namespaces at setns(2) and unshare(2)", "placed (exec)", "forks"],
        about_namespace: true,
    },
    Explanation {
        rule: "NST-018",
        detects: "A contained task moves a task into a cgroup that is not below its own: out of its limits.",
        rests_on: &[CONTAINED, "the cgroups from and to, by their ids in the hierarchy"],
        tells_apart: "Cgroups below its own are the container's.",
        cannot_tell: "Managers of containers that were given the whole hierarchy.",
        needs: &["deed cgroup"],
        about_namespace: false,
    },
    Explanation {
        rule: "NST-019",
        detects: "A contained task makes the host's root directory its own, mounts something on a mount that is shared \
                  with the host or another container, or makes a mount shared (low).",
        rests_on: &[
            CONTAINED,
            "the directory entry that became the root, beside the host's",
            "the mount namespaces of the \
                  mounts in the same peer group",
            "the propagation flags of the call",
        ],
        tells_apart: "Own root directories, private and slave mounts, and shared ones whose peers are the container's own.",
        cannot_tell: "Storage drivers that were given a shared mount in order to mount for others.",
        needs: &["deed root", "deed propagation", "deed propagated"],
        about_namespace: true,
    },
    Explanation {
        rule: "NST-020",
        detects: "A task of the host executes a program that lies on a mount of a container: whoever can write there \
                  decides what runs on the host.",
        rests_on: &[
            "the mount namespace of the program's mount beside that of the task",
            "that the mount namespace \
                  was sealed by a container",
        ],
        tells_apart: "Whoever enters the container first, with its mount namespace, is inside when it executes. Whoever \
                  makes the container's root directory its own before means to run what is there: told as low. \
                  Reading, copying and listing a container's files is nobody's concern.",
        cannot_tell: "Who wrote the program.",
        needs: &["placed (exec)"],
        about_namespace: true,
    },
    Explanation {
        rule: "NST-021",
        detects: "A container starts, and has more of the host than its own namespaces need: it is in initial \
                  namespaces, or has CAP_SYS_ADMIN over the initial user namespace. Told once for each container, \
                  as info; as low with the host's pid namespace or that capability.",
        rests_on: &[
            "the namespaces of the task that executed the first program of the container",
            "its \
                  capabilities, seccomp mode and no_new_privs at that moment",
        ],
        tells_apart: "Sandboxed services of the host, which keep the host's root directory. The initial user \
                  namespace alone is that of every plain container.",
        cannot_tell: "What the container is for. The whole posture, mounts and limits, is what audit shows.",
        needs: &["placed (exec)"],
        about_namespace: false,
    },
    Explanation {
        rule: "NST-022",
        detects: "A namespace outlived all its members: it is held by a descriptor or a mount.",
        rests_on: &["the members of the namespace and its nsfs inode"],
        tells_apart: "It is told when it is kept for 10 s, by the stream's own clock: managers keep the namespaces of \
                  a container for a moment. What a container has mounted is told at once. Once for each namespace. \
                  What was so before the watch began is what audit shows.",
        cannot_tell: "What it is kept for: network namespaces with a name are kept so, too.",
        needs: &["namespaces at exit", "nsfs files"],
        about_namespace: true,
    },
    Explanation {
        rule: "NST-023",
        detects: "A container makes a mount or pid namespace of its own, and has made none of that type since it \
                  started: tasks and files in it are not seen by the rest of the container.",
        rests_on: &[CONTAINED, "the first namespace of each of the two types that a task of the container makes"],
        tells_apart: "Namespaces that the container started with. Told once for each container and type.",
        cannot_tell: "Containers inside of containers, service managers and sandboxes of programs do the same.",
        needs: &["forks", "namespaces at setns(2) and unshare(2)", "placed (exec)"],
        about_namespace: true,
    },
    Explanation {
        rule: "NST-024",
        detects: "Many records were lost: what happened meanwhile was not looked at.",
        rests_on: &["the counters of records that found no room, and gaps in their numbers"],
        tells_apart: "A few lost records, which a census mends, are told as lost only.",
        cannot_tell: "Whether somebody caused it on purpose.",
        needs: &["loss counters"],
        about_namespace: false,
    },
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{deed::Act, detect::RULES};

    #[test]
    fn every_rule_is_explained() {
        let explained: Vec<&str> = EXPLANATIONS.iter().map(|explanation| explanation.rule).collect();
        assert_eq!(explained, RULES.iter().map(|rule| rule.id).collect::<Vec<_>>());
        for explanation in EXPLANATIONS {
            for need in explanation.needs {
                let act = need.strip_prefix("deed ");
                assert!(act.is_none_or(|act| Act::ALL.iter().any(|known| known.name() == act)), "{need}");
            }
            for said in [explanation.detects, explanation.tells_apart, explanation.cannot_tell] {
                assert!(said.ends_with('.'), "{}: {said}", explanation.rule);
            }
            assert!(!explanation.rests_on.is_empty() && !explanation.needs.is_empty());
        }
    }
}
