//! The pinned kernel versions, `xtask/guest/pins.txt`.

use anyhow::{Context as _, Result};

use super::kernel::Kernel;

const PINS: &str = include_str!("../../guest/pins.txt");

/// One line of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pin {
    pub package: &'static str,
    pub version: &'static str,
}

/// The pin of this kernel's suite.
///
/// # Errors
/// The file has no well-formed line for it.
pub fn of(kernel: Kernel) -> Result<Pin> {
    let suite = kernel.suite();
    PINS.lines()
        .filter_map(|line| line.split_once(' '))
        .find(|(name, _)| *name == suite)
        .and_then(|(_, pin)| pin.trim().split_once('='))
        .map(|(package, version)| Pin { package, version })
        .with_context(|| format!("xtask/guest/pins.txt has no line `{suite} package=version`"))
}

#[cfg(test)]
mod tests {
    use super::{Kernel, of};

    #[test]
    fn every_kernel_is_pinned_to_its_series() {
        for kernel in Kernel::ALL {
            let pin = of(kernel).expect("a pin");
            assert_eq!(pin.package, "linux-image-cloud-amd64");
            let series = kernel.to_string().trim_end_matches('x').to_owned();
            assert!(pin.version.starts_with(&series), "{kernel}: {}", pin.version);
        }
    }
}
