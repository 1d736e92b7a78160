//! Text → tokens.

use std::ops::Range;

use super::error::Fault;

/// One of the six comparisons.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Comparison {
    Eq,
    Ne,
    Le,
    Lt,
    Ge,
    Gt,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Kind {
    Open,
    Close,
    And,
    Or,
    Not,
    Compare(Comparison),
    /// `=~`, or `!~` when negated.
    Match {
        negated: bool,
    },
    Boolean(bool),
    Number(u64),
    Float(f64),
    /// Without its quotes. There are no escapes: a string cannot hold its own quote or a newline.
    String(String),
    /// A holder: the name of a field.
    Name(String),
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Token {
    pub kind: Kind,
    pub at: Range<usize>,
}

/// Operators made of signs; longer ones before their own beginnings.
const SIGNS: [(&str, Kind); 13] = [
    ("&&", Kind::And),
    ("||", Kind::Or),
    ("==", Kind::Compare(Comparison::Eq)),
    ("!=", Kind::Compare(Comparison::Ne)),
    ("<=", Kind::Compare(Comparison::Le)),
    (">=", Kind::Compare(Comparison::Ge)),
    ("=~", Kind::Match { negated: false }),
    ("!~", Kind::Match { negated: true }),
    ("<", Kind::Compare(Comparison::Lt)),
    (">", Kind::Compare(Comparison::Gt)),
    ("!", Kind::Not),
    ("(", Kind::Open),
    (")", Kind::Close),
];

pub(super) fn tokens(text: &str) -> Result<Vec<Token>, Fault> {
    let mut tokens = Vec::new();
    let mut start = 0;
    while let Some(first) = text[start..].chars().next() {
        let rest = &text[start..];
        if matches!(first, ' ' | '\t' | '\n') {
            start += 1;
            continue;
        }
        let (kind, len) = match first {
            '"' | '\'' => string(rest, first, start)?,
            '0'..='9' => number(rest, start)?,
            'a'..='z' | 'A'..='Z' => word(rest),
            _ => sign(rest, first, start)?,
        };
        tokens.push(Token { kind, at: start..start + len });
        start += len;
    }
    Ok(tokens)
}

fn sign(rest: &str, first: char, start: usize) -> Result<(Kind, usize), Fault> {
    if let Some((sign, kind)) = SIGNS.iter().find(|(sign, _)| rest.starts_with(sign)) {
        return Ok((kind.clone(), sign.len()));
    }
    let what = match first {
        '=' => "a single '=' is no operator: use '==' or '=~'".to_owned(),
        '&' => "a single '&' is no operator: use '&&' or 'and'".to_owned(),
        '|' => "a single '|' is no operator: use '||' or 'or'".to_owned(),
        '-' | '+' => "numbers are unsigned and written without a sign".to_owned(),
        _ => "unexpected character: strings need quotes".to_owned(),
    };
    Err(Fault::new(start..start + first.len_utf8(), what))
}

fn string(rest: &str, quote: char, start: usize) -> Result<(Kind, usize), Fault> {
    let body = &rest[1..];
    match body.find([quote, '\n']) {
        Some(len) if body[len..].starts_with(quote) => Ok((Kind::String(body[..len].to_owned()), len + 2)),
        _ => Err(Fault::new(start..start + 1, "this string has no end: close it on the same line")),
    }
}

/// A keyword (all lower or all upper case), else a name: `[a-zA-Z][a-zA-Z_.%:/\-0-9]*`.
fn word(rest: &str) -> (Kind, usize) {
    let len = rest
        .find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '%' | ':' | '/' | '-')))
        .unwrap_or(rest.len());
    let kind = match &rest[..len] {
        "and" | "AND" => Kind::And,
        "or" | "OR" => Kind::Or,
        "not" | "NOT" => Kind::Not,
        "eq" | "EQ" => Kind::Compare(Comparison::Eq),
        "ne" | "NE" => Kind::Compare(Comparison::Ne),
        "le" | "LE" => Kind::Compare(Comparison::Le),
        "lt" | "LT" => Kind::Compare(Comparison::Lt),
        "ge" | "GE" => Kind::Compare(Comparison::Ge),
        "gt" | "GT" => Kind::Compare(Comparison::Gt),
        "true" | "TRUE" => Kind::Boolean(true),
        "false" | "FALSE" => Kind::Boolean(false),
        name => Kind::Name(name.to_owned()),
    };
    (kind, len)
}

/// `integer.integer`, or an integer with an optional binary suffix.
fn number(rest: &str, start: usize) -> Result<(Kind, usize), Fault> {
    let digits = |text: &str| text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let whole = digits(rest);
    let too_large = |len: usize| Fault::new(start..start + len, "this number does not fit in 64 bits");

    let fraction = rest[whole..].strip_prefix('.').map_or(0, digits);
    if fraction > 0 {
        let len = whole + 1 + fraction;
        return rest[..len].parse().map(|f| (Kind::Float(f), len)).map_err(|_| too_large(len));
    }
    let power = rest[whole..].chars().next().and_then(|c| "KMGTPEZY".find(c));
    let suffix = match power {
        None => 0,
        Some(_) if rest[whole + 1..].starts_with("iB") => 3,
        Some(_) => 1,
    };
    let len = whole + suffix;
    let factor = power.map_or(Some(1), |p| u32::try_from(p + 1).ok().and_then(|p| 1024_u64.checked_pow(p)));
    let value = rest[..whole].parse::<u64>().ok();
    match value.zip(factor).and_then(|(value, factor)| value.checked_mul(factor)) {
        Some(value) => Ok((Kind::Number(value), len)),
        // Zero of any unit is zero.
        None if value == Some(0) => Ok((Kind::Number(0), len)),
        None => Err(too_large(len)),
    }
}
