//! Event lines as values of expressions, and as texts of explanations.

use std::{collections::HashMap, sync::Arc};

use cel::{
    Value,
    objects::{Key, Map},
};
use serde_json::Value as Json;

use super::{
    expression::Line,
    fields::{EVENT, Field, Kinds},
};

impl Line {
    /// Of an event line of `-J`, or of the part of one that a test is about.
    pub fn of(json: &Json) -> Self {
        let keys = json.as_object().into_iter().flatten();
        Self(keys.filter_map(|(key, json)| Some((key.clone(), value(json, EVENT.members.get(key)?)))).collect())
    }
}

fn value(json: &Json, field: &Field) -> Value {
    match json {
        Json::Null => Value::Null,
        Json::Bool(is) => Value::Bool(*is),
        Json::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(number), _) => Value::Int(number),
            (None, Some(number)) => Value::UInt(number),
            (None, None) => Value::Float(number.as_f64().unwrap_or(f64::NAN)),
        },
        // A number beyond 2^53, as lines have it.
        Json::String(digits) if !field.kinds.has(Kinds::STRING) => match (digits.parse(), digits.parse()) {
            (Ok(number), _) => Value::Int(number),
            (Err(_), Ok(number)) => Value::UInt(number),
            (Err(_), Err(_)) => Value::String(Arc::new(digits.clone())),
        },
        Json::String(text) => Value::String(Arc::new(text.clone())),
        Json::Array(items) => {
            let none = Field::default();
            let field = field.items.as_deref().unwrap_or(&none);
            Value::List(Arc::new(items.iter().map(|item| value(item, field)).collect()))
        }
        Json::Object(members) => {
            let members = members.iter().filter_map(|(key, json)| {
                let field = field.members.get(key)?;
                Some((Key::String(Arc::new(key.clone())), value(json, field)))
            });
            Value::Map(Map { map: Arc::new(members.collect::<HashMap<_, _>>()) })
        }
    }
}

/// The first key of a made-up line that no line has, or whose value no line can have: its path and what is wrong.
pub fn misfit(json: &Json, field: &Field, path: &str) -> Option<String> {
    let is = match json {
        Json::Null => Kinds::NULL,
        Json::Bool(_) => Kinds::BOOL,
        Json::Number(number) if number.is_f64() => Kinds::DOUBLE,
        Json::Number(_) => Kinds::INT,
        Json::String(_) => Kinds::STRING,
        Json::Array(_) => Kinds::LIST,
        Json::Object(_) => Kinds::OBJECT,
    };
    let name = if path.is_empty() { "event" } else { path };
    if !field.kinds.has(is) {
        return Some(format!("'{name}' is never {}: write {}", is.words(), field.kinds.words()));
    }
    match json {
        Json::String(word) => {
            let words = field.words.as_ref().filter(|words| !words.contains(word))?;
            let words = words.iter().map(String::as_str).collect::<Vec<_>>().join(" ");
            Some(format!("'{name}' is never '{word}': use one of {words}"))
        }
        Json::Array(items) => {
            let field = field.items.as_deref()?;
            items.iter().find_map(|item| misfit(item, field, name))
        }
        Json::Object(members) => members.iter().find_map(|(key, json)| {
            let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
            match field.members.get(key) {
                Some(field) => misfit(json, field, &path),
                None => Some(format!("no event has a field '{path}': use one of {}", field.names())),
            }
        }),
        _ => None,
    }
}

/// A sentence with fields of the line in it, in braces: `{task.comm} made {ns.type}`. `{{` and `}}` are braces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sentence(Vec<Part>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Field(Vec<String>),
}

impl Sentence {
    /// # Errors
    /// The character at which something is wrong, and what.
    pub fn parse(text: &str) -> Result<Self, (usize, String)> {
        let mut parts = Vec::new();
        let mut plain = String::new();
        let mut chars = text.chars().enumerate().peekable();
        while let Some((at, c)) = chars.next() {
            match c {
                '{' | '}' if chars.next_if(|(_, next)| *next == c).is_some() => plain.push(c),
                '{' => {
                    let mut path = String::new();
                    loop {
                        match chars.next() {
                            Some((_, '}')) => break,
                            Some((_, c)) => path.push(c),
                            None => return Err((at, "this brace is not closed: write {{ for a brace".to_owned())),
                        }
                    }
                    let path: Vec<String> = path.split('.').map(|name| name.trim().to_owned()).collect();
                    let mut field = &*EVENT;
                    for name in &path {
                        field = field.members.get(name).ok_or_else(|| {
                            (at + 1, format!("there is no field '{name}' here: use one of {}", field.names()))
                        })?;
                    }
                    parts.push(Part::Text(std::mem::take(&mut plain)));
                    parts.push(Part::Field(path));
                }
                '}' => return Err((at, "this brace closes none: write }} for a brace".to_owned())),
                c => plain.push(c),
            }
        }
        parts.push(Part::Text(plain));
        Ok(Self(parts))
    }

    /// With the values of this line; hostile.
    pub fn about(&self, json: &Json) -> String {
        let mut text = String::new();
        for part in &self.0 {
            match part {
                Part::Text(plain) => text.push_str(plain),
                Part::Field(path) => match path.iter().try_fold(json, |json, name| json.get(name)) {
                    None | Some(Json::Null) => text.push('?'),
                    Some(Json::String(value)) => text.push_str(value),
                    Some(value) => text.push_str(&value.to_string()),
                },
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn sentences_take_fields() {
        let sentence = Sentence::parse("{task.comm} made {{{ns.type}}} {cause.flags} {ns.id}").expect("a sentence");
        let line = json!({"task": {"comm": "x"}, "ns": {"type": "net", "id": null}, "cause": {"flags": ["A"]}});
        assert_eq!(sentence.about(&line), "x made {net} [\"A\"] ?");
        for (text, at) in [("a {task.pit}", 3), ("a {task", 2), ("a }", 2), ("{}", 1)] {
            assert_eq!(Sentence::parse(text).map_err(|(at, _)| at), Err(at), "{text}");
        }
    }

    #[test]
    fn made_up_lines_are_held_to_the_schema() {
        assert_eq!(misfit(&json!({"event": "created", "ns": {"type": "net"}}), &EVENT, ""), None);
        for (line, part) in [
            (json!({"evnt": "created"}), "'evnt'"),
            (json!({"event": "creatd"}), "'creatd'"),
            (json!({"ns": {"type": 1}}), "'ns.type' is never an integer"),
            (json!({"task": {"pids": ["x"]}}), "'task.pids'"),
            (json!([]), "'event' is never a list"),
        ] {
            let said = misfit(&line, &EVENT, "").unwrap_or_default();
            assert!(said.contains(part), "{line}: {said}");
        }
    }
}
