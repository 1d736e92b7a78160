//! The fields of an event line and their types, as the JSON schema has them: what expressions may ask.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::LazyLock,
};

use serde_json::Value;

use crate::view::schema;

/// What a value can be; several at once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Kinds(u8);

impl Kinds {
    pub const NONE: Self = Self(0);
    pub const NULL: Self = Self(1);
    pub const BOOL: Self = Self(1 << 1);
    pub const INT: Self = Self(1 << 2);
    pub const DOUBLE: Self = Self(1 << 3);
    pub const STRING: Self = Self(1 << 4);
    pub const LIST: Self = Self(1 << 5);
    pub const OBJECT: Self = Self(1 << 6);
    pub const NUMBER: Self = Self(1 << 2 | 1 << 3);

    const NAMES: [(Self, &'static str); 7] = [
        (Self::NULL, "null"),
        (Self::BOOL, "a boolean"),
        (Self::INT, "an integer"),
        (Self::DOUBLE, "a decimal number"),
        (Self::STRING, "a string"),
        (Self::LIST, "a list"),
        (Self::OBJECT, "an object"),
    ];

    pub const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub const fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// `a string or null`.
    pub fn words(self) -> String {
        let names: Vec<&str> = Self::NAMES.iter().filter(|(kind, _)| self.has(*kind)).map(|(_, name)| *name).collect();
        if names.is_empty() { "nothing".to_owned() } else { names.join(" or ") }
    }
}

/// One field.
#[derive(Clone, Debug, Default)]
pub struct Field {
    pub kinds: Kinds,
    /// Of an object.
    pub members: BTreeMap<String, Field>,
    /// Of a list.
    pub items: Option<Box<Field>>,
    /// The strings it can be; None: any.
    pub words: Option<BTreeSet<String>>,
}

/// The event line, an object.
pub static EVENT: LazyLock<Field> = LazyLock::new(|| {
    // The schema is part of the program and a test holds that it is JSON.
    let schema: Value = serde_json::from_str(schema::TEXT).unwrap_or_default();
    let definitions = &schema["$defs"];
    of(&definitions["event"], definitions, DEEPEST)
});

/// No field of a line lies deeper, in steps of the schema.
const DEEPEST: u32 = 16;

fn of(node: &Value, definitions: &Value, deep: u32) -> Field {
    let mut field = Field::default();
    if deep == 0 {
        return field;
    }
    let resolve = |node: &Value| of(node, definitions, deep - 1);
    if let Some(name) = node["$ref"].as_str().and_then(|path| path.strip_prefix("#/$defs/")) {
        // As text only where a number is too big for JavaScript: here it is one.
        if name == "u64" {
            return Field { kinds: Kinds::INT, ..Field::default() };
        }
        field = resolve(&definitions[name]);
    }
    for alternative in ["anyOf", "oneOf"].into_iter().filter_map(|key| node[key].as_array()).flatten() {
        field.merge(resolve(alternative));
    }
    let constants = node["enum"].as_array().into_iter().flatten().chain(node.get("const"));
    for constant in constants {
        field.merge(match constant {
            Value::String(word) => {
                Field { kinds: Kinds::STRING, words: Some([word.clone()].into()), ..Field::default() }
            }
            Value::Null => Field { kinds: Kinds::NULL, ..Field::default() },
            _ => Field { kinds: Kinds::INT, ..Field::default() },
        });
    }
    let types: Vec<&str> = match &node["type"] {
        Value::String(one) => vec![one],
        Value::Array(many) => many.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    for name in types {
        let kinds = match name {
            "null" => Kinds::NULL,
            "boolean" => Kinds::BOOL,
            "integer" => Kinds::INT,
            "number" => Kinds::NUMBER,
            "string" => Kinds::STRING,
            "array" => Kinds::LIST,
            "object" => Kinds::OBJECT,
            _ => Kinds::NONE,
        };
        field.merge(Field { kinds, ..Field::default() });
    }
    for (name, member) in node["properties"].as_object().into_iter().flatten() {
        let member = resolve(member);
        field.members.entry(name.clone()).or_default().merge(member);
    }
    if let Some(items) = node.get("items") {
        field.merge(Field { kinds: Kinds::LIST, items: Some(Box::new(resolve(items))), ..Field::default() });
    }
    field
}

impl Field {
    /// What either can be.
    fn merge(&mut self, other: Self) {
        self.words = match (self.words.take(), other.words) {
            (words, _) if !other.kinds.has(Kinds::STRING) => words,
            (_, words) if !self.kinds.has(Kinds::STRING) => words,
            (Some(mut ours), Some(theirs)) => {
                ours.extend(theirs);
                Some(ours)
            }
            _ => None,
        };
        self.kinds = self.kinds.or(other.kinds);
        for (name, member) in other.members {
            self.members.entry(name).or_default().merge(member);
        }
        match (&mut self.items, other.items) {
            (Some(ours), Some(theirs)) => ours.merge(*theirs),
            (ours @ None, theirs) => *ours = theirs,
            (Some(_), None) => {}
        }
    }

    /// `comm pid pids tid uid`.
    pub fn names(&self) -> String {
        self.members.keys().map(String::as_str).collect::<Vec<_>>().join(" ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(path: &str) -> &'static Field {
        path.split('.').fold(&*EVENT, |field, name| {
            field.members.get(name).unwrap_or_else(|| panic!("{path}: {name} of {}", field.names()))
        })
    }

    #[test]
    fn fields_have_the_types_of_the_schema() {
        assert_eq!(field("task.pid").kinds, Kinds::INT);
        assert_eq!(field("boot_ns").kinds, Kinds::INT);
        assert_eq!(field("lifetime_ns").kinds, Kinds::INT.or(Kinds::NULL));
        assert_eq!(field("ns").kinds, Kinds::OBJECT.or(Kinds::NULL));
        assert_eq!(field("ns.id").kinds, Kinds::INT.or(Kinds::NULL));
        assert_eq!(field("deed.place.mnt_ns.inum").kinds, Kinds::INT);
        assert_eq!(field("suppressed").kinds, Kinds::STRING.or(Kinds::NULL));
        assert_eq!(field("suppressed").words, None);
        assert_eq!(field("severity").words.as_ref().map(BTreeSet::len), Some(5));
        assert!(field("event").words.as_ref().is_some_and(|words| words.contains("finding")));
        assert!(field("ns.type").words.as_ref().is_some_and(|words| words.len() == 8 && words.contains("mnt")));
        let flags = field("cause.flags");
        assert_eq!(flags.kinds, Kinds::LIST);
        assert_eq!(flags.items.as_ref().map(|items| items.kinds), Some(Kinds::STRING));
        let holder = field("holders").items.as_ref().expect("a list of objects");
        assert_eq!(holder.members.keys().collect::<Vec<_>>(), ["fd", "kind", "mnt_ns", "path", "pid"]);
    }

    #[test]
    fn kinds_have_words() {
        assert_eq!(Kinds::STRING.or(Kinds::NULL).words(), "null or a string");
    }
}
