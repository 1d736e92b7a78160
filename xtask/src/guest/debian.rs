//! A second, download-only view of Debian's suites, fed by the mirror that the host's own apt uses. Nothing is ever
//! installed from it on the host.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;

use anyhow::{Context as _, Result, anyhow, bail};

use super::kernel::Kernel;
use super::pins::Pin;
use crate::step;

const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// A package with its version.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Package {
    pub name: String,
    /// None: whatever is newest.
    pub version: Option<String>,
}

impl Package {
    fn shown(&self) -> String {
        self.version.as_ref().map_or_else(|| self.name.clone(), |version| format!("{}={version}", self.name))
    }
}

/// The view; its package lists are fetched at most once per process, and only if something is missing.
#[derive(Debug)]
pub struct View {
    folder: PathBuf,
    fetched: Mutex<bool>,
}

impl View {
    pub fn new(folder: PathBuf) -> Self {
        Self { folder, fetched: Mutex::new(false) }
    }

    /// The version of `pin` that can be had: the pinned one or, with a note, the suite's newest.
    pub fn resolve(&self, kernel: Kernel, pin: Pin) -> Result<String> {
        self.fetch_lists()?;
        let table = step::output(self.apt_cache().args(["madison", pin.package]))?;
        let offered = offered(&table, kernel.suite());
        if offered.contains(&pin.version) {
            return Ok(pin.version.to_owned());
        }
        let newest = offered.first().with_context(|| format!("{} has no {}", kernel.suite(), pin.package))?;
        step::note(format_args!(
            "NOTE: {} no longer has {} {}, taking {newest} (pins are in xtask/guest/pins.txt)",
            kernel.suite(),
            pin.package,
            pin.version
        ));
        Ok((*newest).to_owned())
    }

    /// The packages that a kernel image's metapackage leads to: image, and since 6.17 its split-off parts.
    pub fn kernel_packages(&self, image: Package) -> Result<BTreeSet<Package>> {
        let mut found = BTreeSet::new();
        let mut open = vec![image];
        while let Some(package) = open.pop() {
            let shown = step::output(self.apt_cache().args(["show", &package.shown()]))?;
            if found.insert(package) {
                open.extend(dependencies(&shown, &KERNEL_PARTS));
            }
        }
        Ok(found)
    }

    /// Packages, each as new as there is, and those that they depend on whose names begin with one of `follow`.
    pub fn with_dependencies(&self, names: &[String], follow: &[&str]) -> Result<BTreeSet<Package>> {
        self.fetch_lists()?;
        let mut found = BTreeSet::new();
        let mut open: Vec<Package> = names.iter().map(|name| Package { name: name.clone(), version: None }).collect();
        while let Some(package) = open.pop() {
            let shown = step::output(self.apt_cache().args(["show", &package.shown()]))?;
            if found.insert(package) {
                open.extend(dependencies(&shown, follow));
            }
        }
        Ok(found)
    }

    /// Downloads packages into `folder` and returns the files.
    pub fn download(&self, packages: &BTreeSet<Package>, folder: &Path) -> Result<Vec<PathBuf>> {
        fs::create_dir_all(folder)?;
        let names = packages.iter().map(Package::shown);
        step::logged("apt-download", self.apt("apt-get").args(["-q", "download"]).args(names).current_dir(folder))?;
        let entries = fs::read_dir(folder)?.collect::<Result<Vec<_>, _>>()?;
        let files = entries.into_iter().map(|entry| entry.path());
        Ok(files.filter(|path| path.extension().is_some_and(|extension| extension == "deb")).collect())
    }

    /// Unpacks packages, and those that they depend on whose names begin so.
    pub fn unpack(&self, names: &[String], follow: &[&str], tree: &Path) -> Result<()> {
        let packages = self.with_dependencies(names, follow)?;
        let files = self.download(&packages, &tree.join("packages"))?;
        for file in files {
            step::execute(Command::new("dpkg-deb").arg("-x").arg(file).arg(tree))?;
        }
        fs::remove_dir_all(tree.join("packages"))?;
        Ok(())
    }

    fn fetch_lists(&self) -> Result<()> {
        let mut fetched = self.fetched.lock().map_err(|_poisoned| anyhow!("fetching package lists panicked"))?;
        if *fetched {
            return Ok(());
        }
        let mirror = mirror()?;
        step::timed("fetch package lists of Debian's suites", || {
            fs::create_dir_all(self.folder.join("lists/partial"))?;
            fs::create_dir_all(self.folder.join("cache/archives/partial"))?;
            let suites = Kernel::ALL
                .map(|kernel| format!("deb [arch=amd64 signed-by={KEYRING}] {mirror} {} main\n", kernel.suite()));
            fs::write(self.folder.join("sources.list"), suites.concat())?;
            step::logged("apt-update", self.apt("apt-get").args(["-q", "update"]))
        })?;
        *fetched = true;
        Ok(())
    }

    fn apt_cache(&self) -> Command {
        self.apt("apt-cache")
    }

    fn apt(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        let folder = self.folder.display();
        for option in [
            format!("Dir::Etc::sourcelist={folder}/sources.list"),
            "Dir::Etc::sourceparts=-".into(),
            format!("Dir::State::Lists={folder}/lists"),
            format!("Dir::Cache={folder}/cache"),
            // The folder is under a home that apt's own user cannot read.
            "APT::Sandbox::User=root".into(),
            "Acquire::Languages=none".into(),
            "Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false".into(),
            "Acquire::IndexTargets::deb::DEP-11-icons-small::DefaultEnabled=false".into(),
            "Acquire::Retries=3".into(),
        ] {
            command.arg("-o").arg(option);
        }
        command
    }
}

/// The mirror of Debian proper in the host's own apt configuration.
///
/// # Errors
/// None is configured, or its package lists were never fetched.
pub fn mirror() -> Result<String> {
    let find = || -> Result<Option<String>> {
        let format = "$(REPO_URI) $(ORIGIN) $(COMPONENT) $(LABEL)";
        let targets = step::output(
            Command::new("apt-get").args(["indextargets", "--format", format]).arg("Identifier: Packages"),
        )?;
        // The security archive has the same origin under another label.
        Ok(targets.lines().find_map(|line| line.strip_suffix(" Debian main Debian").map(str::to_owned)))
    };
    if let Some(mirror) = find()? {
        return Ok(mirror);
    }
    step::execute(Command::new("apt-get").args(["-q", "update"]))?;
    match find()? {
        Some(mirror) => Ok(mirror),
        None => bail!("apt's configuration names no Debian mirror; guests are made of Debian packages"),
    }
}

/// The versions that `apt-cache madison` lists for a suite, newest first.
fn offered<'a>(madison: &'a str, suite: &str) -> Vec<&'a str> {
    let wanted = format!(" {suite}/main ");
    let rows = madison.lines().filter_map(|line| {
        let mut columns = line.split('|');
        let version = columns.nth(1)?.trim();
        columns.next()?.contains(&wanted).then_some(version)
    });
    rows.collect()
}

/// How the names of the packages begin that a kernel is made of.
const KERNEL_PARTS: [&str; 4] = ["linux-image-", "linux-binary-", "linux-modules-", "linux-base-"];

/// Those of the `Depends:` of the first record of `apt-cache show` whose names begin with one of `follow`.
fn dependencies(shown: &str, follow: &[&str]) -> Vec<Package> {
    let record = shown.lines().take_while(|line| !line.is_empty());
    let depends =
        record.filter_map(|line| line.strip_prefix("Depends: ").or_else(|| line.strip_prefix("Pre-Depends: ")));
    let mut found = Vec::new();
    for alternative in depends.flat_map(|list| list.split([',', '|'])) {
        let mut words = alternative.split_whitespace();
        let Some(name) = words.next() else { continue };
        if !follow.iter().any(|part| name.starts_with(part)) {
            continue;
        }
        let version = (words.next() == Some("(=")).then(|| words.next()).flatten();
        let version = version.map(|version| version.trim_end_matches(')').to_owned());
        found.push(Package { name: name.to_owned(), version });
    }
    found
}

#[cfg(test)]
mod tests {
    use super::{KERNEL_PARTS, Package, dependencies, offered};

    #[test]
    fn madison_lists_newest_first_and_suites_apart() {
        let table = "linux-image-cloud-amd64 | 7.3.4-1~bpo13+1 | mirror trixie-backports/main amd64 Packages\n\
                     linux-image-cloud-amd64 | 6.12.107-1 | mirror trixie/main amd64 Packages\n";
        assert_eq!(offered(table, "trixie"), ["6.12.107-1"]);
        assert_eq!(offered(table, "trixie-backports"), ["7.3.4-1~bpo13+1"]);
        assert!(offered(table, "bookworm").is_empty());
    }

    #[test]
    fn only_kernel_parts_are_followed() {
        let shown = "Package: linux-image-x\nDepends: kmod, linux-base (>= 4.3~), linux-binary-x (= 7.3-1), \
                     initramfs-tools (>= 0.120+deb8u2) | linux-initramfs-tool\n\nPackage: other\nDepends: linux-image-y\n";
        let expected = Package { name: "linux-binary-x".into(), version: Some("7.3-1".into()) };
        assert_eq!(dependencies(shown, &KERNEL_PARTS), [expected]);
    }
}
