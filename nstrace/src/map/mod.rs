//! The structure of the system: pid trees, user namespaces, mounts, networks. Views print it.
