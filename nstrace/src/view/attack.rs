//! MITRE ATT&CK techniques (attack.mitre.org): `T1055.008` is the sub-technique 008 of `T1055`.

/// The technique, and the whole id where it is that of a sub-technique.
pub(super) fn split(id: &str) -> (&str, Option<&str>) {
    match id.split_once('.') {
        Some((technique, _)) => (technique, Some(id)),
        None => (id, None),
    }
}

#[cfg(test)]
mod tests {
    use super::split;

    #[test]
    fn techniques_and_sub_techniques() {
        assert_eq!(split("T1611"), ("T1611", None));
        assert_eq!(split("T1055.008"), ("T1055", Some("T1055.008")));
    }
}
