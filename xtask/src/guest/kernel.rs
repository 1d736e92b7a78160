//! The kernels that guests run: one per Debian suite, in the flavour made for virtual machines.

use std::fmt;
use std::str::FromStr;

/// A supported kernel series.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kernel {
    V5_10,
    V6_1,
    V6_12,
    Newest,
}

impl Kernel {
    pub const ALL: [Self; 4] = [Self::V5_10, Self::V6_1, Self::V6_12, Self::Newest];

    /// The Debian suite whose `main` has it.
    pub fn suite(self) -> &'static str {
        match self {
            Self::V5_10 => "bullseye",
            Self::V6_1 => "bookworm",
            Self::V6_12 => "trixie",
            Self::Newest => "trixie-backports",
        }
    }
}

impl fmt::Display for Kernel {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(match self {
            Self::V5_10 => "5.10",
            Self::V6_1 => "6.1",
            Self::V6_12 => "6.12",
            Self::Newest => "7.x",
        })
    }
}

impl FromStr for Kernel {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        match name {
            "newest" => Ok(Self::Newest),
            _ if name.starts_with("7.") => Ok(Self::Newest),
            _ => Self::ALL
                .into_iter()
                .find(|kernel| kernel.to_string() == name)
                .ok_or_else(|| format!("no kernel {name}; there are 5.10, 6.1, 6.12 and 7.x (newest)")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Kernel;

    #[test]
    fn names_are_what_people_type() {
        assert_eq!("6.1".parse(), Ok(Kernel::V6_1));
        assert_eq!("7.3".parse(), Ok(Kernel::Newest));
        assert_eq!("newest".parse(), Ok(Kernel::Newest));
        assert!("6.2".parse::<Kernel>().is_err_and(|error| error.contains("6.12")));
        for kernel in Kernel::ALL {
            assert_eq!(kernel.to_string().parse(), Ok(kernel));
        }
    }
}
