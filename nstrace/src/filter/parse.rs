//! Tokens → a tree whose names and types are known to be right.

use std::ops::Range;

use regex::Regex;

use super::{
    Field, Kind,
    error::Fault,
    lex::{self, Comparison, Token},
};

/// Deeper nesting than anybody writes, shallow enough for any stack.
const MAX_DEPTH: usize = 100;

#[derive(Clone, Debug)]
pub(super) enum Node {
    Or(Vec<Node>),
    And(Vec<Node>),
    Not(Box<Node>),
    /// Both sides are converted to `kind` and compared.
    Compare {
        operator: Comparison,
        kind: Kind,
        left: Box<Node>,
        right: Box<Node>,
    },
    Match {
        negated: bool,
        left: Box<Node>,
        regex: Regex,
    },
    String(String),
    Number(u64),
    Float(f64),
    Boolean(bool),
    Field(Field),
}

/// A node with what is needed to check the operator above it.
struct Typed {
    node: Node,
    kind: Kind,
    at: Range<usize>,
    depth: usize,
}

impl Typed {
    fn is_field(&self) -> bool {
        matches!(self.node, Node::Field(_))
    }

    /// The result of an operator rather than a value somebody wrote or a field holds.
    fn is_result(&self) -> bool {
        matches!(self.node, Node::Or(_) | Node::And(_) | Node::Not(_) | Node::Compare { .. } | Node::Match { .. })
    }
}

pub(super) fn parse(text: &str, tokens: &[Token], fields: &[Field]) -> Result<Node, Fault> {
    let mut parser = Parser { tokens, next: 0, end: text.len(), fields, depth: 0 };
    let root = parser.or()?;
    match parser.tokens.get(parser.next) {
        None => Ok(root.node),
        Some(token) if token.kind == lex::Kind::Close => {
            Err(Fault::new(token.at.clone(), "this parenthesis closes nothing"))
        }
        Some(token) => Err(Fault::new(token.at.clone(), "expected an operator such as 'and', 'or', '==' here")),
    }
}

struct Parser<'a> {
    tokens: &'a [Token],
    next: usize,
    end: usize,
    fields: &'a [Field],
    /// Open parentheses and `not`s around the current token.
    depth: usize,
}

impl Parser<'_> {
    fn peek(&self) -> Option<&lex::Kind> {
        self.tokens.get(self.next).map(|t| &t.kind)
    }

    fn or(&mut self) -> Result<Typed, Fault> {
        self.list(&lex::Kind::Or, Self::and, Node::Or)
    }

    fn and(&mut self) -> Result<Typed, Fault> {
        self.list(&lex::Kind::And, Self::comparison, Node::And)
    }

    /// One or more parts with `separator` between them: a list, not a chain, so that long ones stay flat.
    fn list(
        &mut self,
        separator: &lex::Kind,
        part: fn(&mut Self) -> Result<Typed, Fault>,
        node: fn(Vec<Node>) -> Node,
    ) -> Result<Typed, Fault> {
        let first = part(self)?;
        if self.peek() != Some(separator) {
            return Ok(first);
        }
        let (mut at, mut depth, mut parts) = (first.at, first.depth, vec![first.node]);
        while self.peek() == Some(separator) {
            self.next += 1;
            let more = part(self)?;
            at.end = more.at.end;
            depth = depth.max(more.depth);
            parts.push(more.node);
        }
        Ok(Typed { node: node(parts), kind: Kind::Boolean, at, depth: depth + 1 })
    }

    /// Comparisons and matches, left to right.
    fn comparison(&mut self) -> Result<Typed, Fault> {
        let mut left = self.unary()?;
        loop {
            match self.peek() {
                Some(&lex::Kind::Compare(operator)) => {
                    self.next += 1;
                    let right = self.unary()?;
                    left = compare(left, operator, right)?;
                }
                Some(&lex::Kind::Match { negated }) => {
                    self.next += 1;
                    left = self.match_string(left, negated)?;
                }
                _ => return Ok(left),
            }
            if left.depth > MAX_DEPTH {
                return Err(Fault::new(left.at, "nested too deeply"));
            }
        }
    }

    fn match_string(&mut self, left: Typed, negated: bool) -> Result<Typed, Fault> {
        let Some(Token { kind: lex::Kind::String(pattern), at }) = self.tokens.get(self.next) else {
            let at = self.tokens.get(self.next).map_or(self.end..self.end, |t| t.at.clone());
            return Err(Fault::new(at, "a regular expression in quotes must follow '=~' and '!~'"));
        };
        self.next += 1;
        let regex = Regex::new(pattern).map_err(|error| Fault::new(at.clone(), regex_fault(&error)))?;
        Ok(Typed {
            kind: Kind::Boolean,
            at: left.at.start..at.end,
            depth: left.depth + 1,
            node: Node::Match { negated, left: Box::new(left.node), regex },
        })
    }

    fn unary(&mut self) -> Result<Typed, Fault> {
        let Some(token) = self.tokens.get(self.next) else {
            let what = "the expression ends here: expected a field or a value";
            return Err(Fault { name_fields: self.tokens.is_empty(), ..Fault::new(self.end..self.end, what) });
        };
        self.next += 1;
        let at = token.at.clone();
        let leaf = |node, kind| Ok(Typed { node, kind, at: at.clone(), depth: 1 });
        match &token.kind {
            lex::Kind::Not => {
                let operand = self.nested(&at, Self::unary)?;
                Ok(Typed {
                    kind: Kind::Boolean,
                    at: at.start..operand.at.end,
                    depth: operand.depth + 1,
                    node: Node::Not(Box::new(operand.node)),
                })
            }
            lex::Kind::Open => {
                let inner = self.nested(&at, Self::or)?;
                let Some(close) = self.tokens.get(self.next).filter(|t| t.kind == lex::Kind::Close) else {
                    return Err(Fault::new(at, "this parenthesis is never closed"));
                };
                self.next += 1;
                Ok(Typed { at: at.start..close.at.end, ..inner })
            }
            lex::Kind::Boolean(value) => leaf(Node::Boolean(*value), Kind::Boolean),
            lex::Kind::Number(value) => leaf(Node::Number(*value), Kind::Number),
            lex::Kind::Float(value) => leaf(Node::Float(*value), Kind::Float),
            lex::Kind::String(value) => leaf(Node::String(value.clone()), Kind::String),
            lex::Kind::Name(name) => match self.fields.iter().find(|f| f.name.eq_ignore_ascii_case(name)) {
                Some(&field) => leaf(Node::Field(field), field.kind),
                None => {
                    let what = format!("no field is called '{name}' (strings need quotes)");
                    Err(Fault { name_fields: true, ..Fault::new(at, what) })
                }
            },
            lex::Kind::Close | lex::Kind::And | lex::Kind::Or | lex::Kind::Compare(_) | lex::Kind::Match { .. } => {
                Err(Fault::new(at, "expected a field or a value here"))
            }
        }
    }

    fn nested(&mut self, at: &Range<usize>, parse: fn(&mut Self) -> Result<Typed, Fault>) -> Result<Typed, Fault> {
        if self.depth == MAX_DEPTH {
            return Err(Fault::new(at.clone(), "nested too deeply"));
        }
        self.depth += 1;
        let inner = parse(self);
        self.depth -= 1;
        inner
    }
}

/// Checks the types of a comparison and settles the one in which it is made: that of the literal rather than the
/// field's, a float rather than an integer (scols-filter(5)).
fn compare(left: Typed, operator: Comparison, right: Typed) -> Result<Typed, Fault> {
    let at = left.at.start..right.at.end;
    let kind = match (left.kind, right.kind) {
        (l, r) if l == r => l,
        (Kind::Number | Kind::Float, Kind::Number | Kind::Float) => Kind::Float,
        (l, r) => match (left.is_field(), right.is_field()) {
            (true, false) => r,
            _ => l,
        },
    };
    for (side, other) in [(&left, &right), (&right, &left)] {
        if side.is_result() && other.kind != Kind::Boolean {
            return Err(Fault::new(
                at,
                format!(
                    "a comparison's result is compared with a {}: 'not' and '!' bind tighter than operators, use parentheses",
                    other.kind.name()
                ),
            ));
        }
        if side.kind == Kind::String && kind != Kind::String {
            let what = if side.is_field() {
                format!("a string field is compared with a {}: write the value in quotes", other.kind.name())
            } else {
                format!("a {} is compared with a string", other.kind.name())
            };
            return Err(Fault::new(at, what));
        }
    }
    Ok(Typed {
        kind: Kind::Boolean,
        at,
        depth: left.depth.max(right.depth) + 1,
        node: Node::Compare { operator, kind, left: Box::new(left.node), right: Box::new(right.node) },
    })
}

/// The last line of the crate's message: what is wrong, without its own drawing of the place.
fn regex_fault(error: &regex::Error) -> String {
    let text = error.to_string();
    let line = text.lines().last().unwrap_or_default();
    format!("bad regular expression: {}", line.trim().trim_start_matches("error: "))
}
