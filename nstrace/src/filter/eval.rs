//! A compiled expression over one row. Total: an empty value compares as libsmartcols does it.

use std::{borrow::Cow, cmp::Ordering};

use super::{Kind, Row, Value, lex::Comparison, parse::Node};

/// A value counts as true when it is not empty: a string with characters, a number other than zero, `true`.
pub(super) fn truth(node: &Node, row: &dyn Row) -> bool {
    match node {
        Node::Or(parts) => parts.iter().any(|part| truth(part, row)),
        Node::And(parts) => parts.iter().all(|part| truth(part, row)),
        Node::Not(operand) => !truth(operand, row),
        Node::Compare { operator, kind, left, right } => {
            compare(*operator, *kind, value(left, row).as_ref(), value(right, row).as_ref())
        }
        Node::Match { negated, left, regex } => {
            let left = value(left, row);
            let text = left.as_ref().map_or(Cow::Borrowed(""), string);
            regex.is_match(&text) != *negated
        }
        Node::String(text) => !text.is_empty(),
        Node::Number(number) => *number != 0,
        Node::Float(number) => *number != 0.0,
        Node::Boolean(truth) => *truth,
        Node::Field(field) => match row.field(field.name) {
            None => false,
            Some(Value::String(text)) => !text.is_empty(),
            Some(Value::Number(number)) => number != 0,
            Some(Value::Float(number)) => number != 0.0,
            Some(Value::Boolean(truth)) => truth,
        },
    }
}

fn value<'a>(node: &'a Node, row: &'a dyn Row) -> Option<Value<'a>> {
    match node {
        Node::String(text) => Some(Value::String(Cow::Borrowed(text))),
        Node::Number(number) => Some(Value::Number(*number)),
        Node::Float(number) => Some(Value::Float(*number)),
        Node::Boolean(truth) => Some(Value::Boolean(*truth)),
        Node::Field(field) => row.field(field.name),
        Node::Or(_) | Node::And(_) | Node::Not(_) | Node::Compare { .. } | Node::Match { .. } => {
            Some(Value::Boolean(truth(node, row)))
        }
    }
}

fn compare(operator: Comparison, kind: Kind, left: Option<&Value<'_>>, right: Option<&Value<'_>>) -> bool {
    let order = match kind {
        // A missing string is less than any other, so `CONTAINER != "x"` holds outside of containers ...
        Kind::String => Some(left.map(string).cmp(&right.map(string))),
        // ... while no comparison with a missing number holds, not even `!=`.
        _ => left.zip(right).and_then(|(left, right)| match kind {
            Kind::Number => Some(number(left).cmp(&number(right))),
            Kind::Float => float(left).partial_cmp(&float(right)),
            _ => Some((number(left) != 0).cmp(&(number(right) != 0))),
        }),
    };
    match (order, operator) {
        (None, _) => false,
        (Some(order), Comparison::Eq) => order == Ordering::Equal,
        (Some(order), Comparison::Ne) => order != Ordering::Equal,
        (Some(order), Comparison::Le) => order != Ordering::Greater,
        (Some(order), Comparison::Lt) => order == Ordering::Less,
        (Some(order), Comparison::Ge) => order != Ordering::Less,
        (Some(order), Comparison::Gt) => order == Ordering::Greater,
    }
}

fn string<'a>(value: &'a Value<'a>) -> Cow<'a, str> {
    match value {
        Value::String(text) => Cow::Borrowed(text),
        Value::Number(number) => Cow::Owned(number.to_string()),
        Value::Float(number) => Cow::Owned(number.to_string()),
        Value::Boolean(truth) => Cow::Borrowed(if *truth { "true" } else { "false" }),
    }
}

/// As a number; the parser lets no string come here.
fn number(value: &Value<'_>) -> u64 {
    match value {
        Value::Number(number) => *number,
        Value::Boolean(truth) => u64::from(*truth),
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "`as` saturates, as wanted")]
        Value::Float(number) => *number as u64,
        Value::String(_) => 0,
    }
}

fn float(value: &Value<'_>) -> f64 {
    match value {
        Value::Float(number) => *number,
        #[expect(clippy::cast_precision_loss, reason = "what comparing with a float means")]
        other => number(other) as f64,
    }
}
