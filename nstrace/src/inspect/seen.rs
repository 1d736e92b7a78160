//! Absent, null and unreadable are three different things.

use rustix::io::Errno;
use serde::{Serialize, Serializer, ser::SerializeMap};

use crate::view::errno;

/// Something that was looked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Seen<T> {
    Is(T),
    /// There is none: JSON `null`.
    #[default]
    Absent,
    /// It may be there: JSON `{"unreadable": "EACCES"}`.
    Unreadable(Errno),
}

impl<T> Seen<T> {
    /// ENOENT, and ESRCH of a task that ended, mean that there is none.
    pub fn from_result(result: Result<T, Errno>) -> Self {
        match result {
            Ok(value) => Self::Is(value),
            Err(Errno::NOENT | Errno::SRCH) => Self::Absent,
            Err(errno) => Self::Unreadable(errno),
        }
    }

    pub fn known(&self) -> Option<&T> {
        match self {
            Self::Is(value) => Some(value),
            _ => None,
        }
    }

    pub fn map<U>(self, f: impl FnOnce(T) -> U) -> Seen<U> {
        match self {
            Self::Is(value) => Seen::Is(f(value)),
            Self::Absent => Seen::Absent,
            Self::Unreadable(errno) => Seen::Unreadable(errno),
        }
    }

    /// None stands for absent.
    pub fn and_then<U>(self, f: impl FnOnce(T) -> Option<U>) -> Seen<U> {
        match self {
            Self::Is(value) => f(value).map_or(Seen::Absent, Seen::Is),
            Self::Absent => Seen::Absent,
            Self::Unreadable(errno) => Seen::Unreadable(errno),
        }
    }
}

impl<T: Serialize> Serialize for Seen<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Is(value) => value.serialize(serializer),
            Self::Absent => serializer.serialize_none(),
            Self::Unreadable(error) => {
                let mut map = serializer.serialize_map(Some(1))?;
                map.serialize_entry("unreadable", &errno::name(error.raw_os_error()))?;
                map.end()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_different_things() {
        let json = |seen: Seen<u32>| serde_json::to_string(&seen).expect("serializes");
        assert_eq!(json(Seen::Is(7)), "7");
        assert_eq!(json(Seen::from_result(Err(Errno::NOENT))), "null");
        assert_eq!(json(Seen::from_result(Err(Errno::ACCESS))), r#"{"unreadable":"EACCES"}"#);
    }
}
