//! A small BTF with only the structures and functions that matter: fixtures for tests, made from a real kernel's.

use super::btf::Btf;

/// Writes a BTF blob that holds these structures (members as they lie, nested anonymous ones flattened; a member path such
/// as `thread_info.status` becomes a nested structure), functions and tracepoints, as far as `btf` has them.
pub fn reduce(btf: &Btf, members: &[(&str, &str)], functions: &[&str], tracepoints: &[&str]) -> Vec<u8> {
    let mut out = Writer::default();
    let int = out.int();
    let mut structures: Vec<&str> = members.iter().map(|(structure, _)| *structure).collect();
    structures.sort_unstable();
    structures.dedup();
    for structure in structures {
        let Some(size) = btf.size_of(structure) else { continue };
        let mut fields = Vec::new();
        for (_, path) in members.iter().filter(|(s, _)| *s == structure) {
            match (path.split_once('.'), btf.offset_of(structure, path)) {
                (_, None) => {}
                (None, Some(offset)) => fields.push(((*path).to_owned(), int, offset)),
                (Some((outer, inner)), Some(offset)) => {
                    // Only its offset as a whole matters, so the inner structure starts at the member's own place.
                    let nested = out.structure("", size, &[(inner.to_owned(), int, 0)]);
                    fields.push((outer.to_owned(), nested, offset));
                }
            }
        }
        out.structure(structure, size, &fields);
    }
    for function in functions {
        if let Some(parameters) = btf.parameters(function) {
            out.function(function, parameters);
        }
    }
    for tracepoint in tracepoints {
        if btf.has_tracepoint(tracepoint) {
            out.typedef(&format!("btf_trace_{tracepoint}"), int);
        }
    }
    out.finish()
}

/// Appends types; type numbers start at 1.
#[derive(Default)]
struct Writer {
    types: Vec<u8>,
    strings: Vec<u8>,
    count: u32,
}

impl Writer {
    fn words(&mut self, words: &[u32]) {
        for word in words {
            self.types.extend_from_slice(&word.to_le_bytes());
        }
    }

    fn name(&mut self, name: &str) -> u32 {
        if self.strings.is_empty() {
            self.strings.push(0);
        }
        if name.is_empty() {
            return 0;
        }
        let at = self.strings.len();
        self.strings.extend_from_slice(name.as_bytes());
        self.strings.push(0);
        u32::try_from(at).unwrap_or(0)
    }

    /// `unsigned int`.
    fn int(&mut self) -> u32 {
        let name = self.name("unsigned int");
        self.words(&[name, 1 << 24, 4, 32]);
        self.count += 1;
        self.count
    }

    fn structure(&mut self, name: &str, size: u32, fields: &[(String, u32, u32)]) -> u32 {
        let name = self.name(name);
        let count = u32::try_from(fields.len()).unwrap_or(0);
        self.words(&[name, 4 << 24 | count, size]);
        for (field, ty, offset) in fields {
            let field = self.name(field);
            self.words(&[field, *ty, offset * 8]);
        }
        self.count += 1;
        self.count
    }

    fn typedef(&mut self, name: &str, ty: u32) {
        let name = self.name(name);
        self.words(&[name, 8 << 24, ty]);
        self.count += 1;
    }

    fn function(&mut self, name: &str, parameters: u32) {
        self.words(&[0, 13 << 24 | parameters, 0]);
        for _ in 0..parameters {
            self.words(&[0, 1]);
        }
        self.count += 1;
        let proto = self.count;
        let name = self.name(name);
        self.words(&[name, 12 << 24, proto]);
        self.count += 1;
    }

    fn finish(self) -> Vec<u8> {
        let types = u32::try_from(self.types.len()).unwrap_or(0);
        let strings = u32::try_from(self.strings.len()).unwrap_or(0);
        let mut out = Vec::new();
        out.extend_from_slice(&0xeb9f_u16.to_le_bytes());
        out.extend_from_slice(&[1, 0]);
        for word in [24, 0, types, types, strings] {
            out.extend_from_slice(&u32::to_le_bytes(word));
        }
        out.extend_from_slice(&self.types);
        out.extend_from_slice(&self.strings);
        out
    }
}
