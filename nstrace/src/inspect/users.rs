//! Names of users and groups (passwd(5), group(5)); pure.

use std::collections::HashMap;

/// Number to name of one file; hostile when it is a container's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names(HashMap<u32, String>);

impl Names {
    /// `name:x:number:…`; the first line of a number counts, as with getpwuid(3).
    pub fn parse(text: &[u8]) -> Self {
        let mut names = HashMap::new();
        for line in text.split(|&b| b == b'\n') {
            let line = String::from_utf8_lossy(line);
            let mut fields = line.split(':');
            if let (Some(name), Some(_), Some(Ok(number))) =
                (fields.next(), fields.next(), fields.next().map(str::parse))
                && !name.is_empty()
            {
                names.entry(number).or_insert_with(|| name.to_owned());
            }
        }
        Self(names)
    }

    pub fn of(&self, number: u32) -> Option<&str> {
        self.0.get(&number).map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_line_counts() {
        let names =
            Names::parse(b"root:x:0:0::/root:/bin/sh\ntoor:x:0:0:\n# no line\n:x:7:\nalice:x:1000:1000\nbad:x:-1:\n");
        assert_eq!((names.of(0), names.of(1000), names.of(7)), (Some("root"), Some("alice"), None));
    }
}
