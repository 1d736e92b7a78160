//! No detection rests on a name that whoever is watched can choose: of a program, an image, a container or a runtime's path.

use std::{fs, path::Path};

/// What programs, runtimes and their folders are called.
const NAMES: [&str; 27] = [
    "runc",
    "crun",
    "docker",
    "podman",
    "containerd",
    "crio",
    "cri-o",
    "kubelet",
    "kubepods",
    "nsenter",
    "unshare ",
    "bash",
    "busybox",
    "systemd",
    "snap",
    "flatpak",
    "bwrap",
    "chrome",
    "lxc",
    "nspawn",
    "buildah",
    "/var/lib",
    "/usr",
    "/run",
    "/bin",
    "/opt",
    "/home",
];

fn sources() -> Vec<(String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/detect");
    let mut all = Vec::new();
    for entry in fs::read_dir(&folder).expect("the detectors are here") {
        let path = entry.expect("an entry").path();
        let text = fs::read_to_string(&path).expect("source text");
        // Tests may say what they like.
        let code = text.split("#[cfg(test)]").next().unwrap_or_default().to_owned();
        all.push((path.file_name().expect("a file").to_string_lossy().into_owned(), code));
    }
    assert!(all.len() > 10, "there are detectors");
    all
}

/// The string literals of a source text, comments left out.
fn literals(code: &str) -> Vec<String> {
    let code: Vec<&str> = code.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
    code.join("\n").split('"').skip(1).step_by(2).map(str::to_owned).collect()
}

#[test]
fn no_detector_has_a_name_in_it() {
    for (file, code) in sources() {
        for literal in literals(&code) {
            let found = NAMES.iter().find(|name| literal.to_ascii_lowercase().contains(*name));
            assert_eq!(found, None, "{file}: \"{literal}\"");
        }
    }
}

#[test]
fn no_detector_asks_for_a_name() {
    for (file, code) in sources() {
        // What explanations are made of.
        if file == "words.rs" {
            continue;
        }
        for (n, line) in code.lines().enumerate() {
            let asks = [".comm", ".runtime", "container(", ".pod"].iter().find(|asked| line.contains(**asked));
            assert_eq!(asks, None, "{file}:{}: {line}", n + 1);
        }
    }
}
