//! What an id may look like: every one is checked before it is believed.

use std::borrow::Cow;

/// `NAME_MAX`: the longest name of one cgroup.
const MAX_NAME: usize = 255;

fn is_lower_hex(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

/// A container id after the prefix of its runtime: 64 hexadecimal digits, or a cut of it, at least as long as the short id
/// that docker and podman print.
pub(super) fn is_prefixed_hex(text: &str) -> bool {
    (12..=64).contains(&text.len()) && is_lower_hex(text)
}

/// A container id that stands alone: only the full 64 digits are believed.
pub(super) fn is_bare_hex(text: &str) -> bool {
    text.len() == 64 && is_lower_hex(text)
}

/// An id of AWS Fargate: 32 hexadecimal digits, a dash, a decimal number.
pub(super) fn is_fargate(text: &str) -> bool {
    text.split_once('-').is_some_and(|(task, number)| {
        task.len() == 32
            && is_lower_hex(task)
            && (1..=12).contains(&number.len())
            && number.bytes().all(|b| b.is_ascii_digit())
    })
}

/// The id of a BuildKit step: 25 characters of base 36.
pub(super) fn is_buildkit(text: &str) -> bool {
    text.len() == 25 && text.bytes().all(|b| b.is_ascii_digit() || b.is_ascii_lowercase())
}

/// A container id as runc and crun take it from a person: letters, digits and `_+-.`, but not `.` and `..`
/// (runc(8), libcontainer's `validateID`).
pub fn is_oci_id(text: &str) -> bool {
    (1..=MAX_NAME).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"_+-.".contains(&b))
        && text != "."
        && text != ".."
}

/// The name of a machine (machinectl(1)) or of an LXC container: a host name, or what LXD makes of project and name.
pub(super) fn is_machine_name(text: &str) -> bool {
    (1..=MAX_NAME).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-.@:+".contains(&b))
        && text.bytes().any(|b| b.is_ascii_alphanumeric())
}

/// The uid of a Kubernetes pod in the name of its cgroup: `pod<uid>` (cgroupfs driver) or `…-pod<uid>.slice` (systemd
/// driver, dashes of the uid as `_`), also where `:` and a container follow. A uid is a UUID, or for static pods 32
/// hexadecimal digits.
pub(super) fn pod_uid(name: &str) -> Option<String> {
    let slice = name.split(':').next().unwrap_or(name);
    let uid = match slice.strip_suffix(".slice") {
        Some(stem) => match stem.strip_prefix("pod") {
            Some(uid) => uid,
            None => stem.rsplit_once("-pod")?.1,
        },
        None => slice.strip_prefix("pod")?,
    };
    let uid = uid.replace('_', "-");
    let is_uuid = uid.len() == 36
        && uid.split('-').map(str::len).eq([8, 4, 4, 4, 12])
        && uid.split('-').all(|part| is_lower_hex(&part.to_ascii_lowercase()));
    (is_uuid || (uid.len() == 32 && is_lower_hex(&uid))).then_some(uid)
}

/// Undoes the `\xNN` of systemd.unit(5) ("String escaping for inclusion in unit names"). None: what comes out is not text.
pub(super) fn unescape_unit(name: &str) -> Option<Cow<'_, str>> {
    if !name.contains('\\') {
        return Some(Cow::Borrowed(name));
    }
    let mut bytes = Vec::with_capacity(name.len());
    let mut rest = name.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        if let [b'\\', b'x', high, low, tail @ ..] = rest {
            let digit = |b: u8| char::from(b).to_digit(16).and_then(|d| u8::try_from(d).ok());
            bytes.push(digit(*high)? * 16 + digit(*low)?);
            rest = tail;
        } else {
            bytes.push(first);
            rest = after;
        }
    }
    String::from_utf8(bytes).ok().map(Cow::Owned)
}
