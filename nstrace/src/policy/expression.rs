//! Conditions of rules: expressions in CEL over an event line.
//!
//! What an expression may be is narrower than the language: [`super::check`] admits what has an end that can be foreseen, asks for
//! fields that there are, and is the same in every run (no maps, whose order is not).

use std::{
    collections::{BTreeSet, HashMap},
    fmt,
    sync::{Arc, LazyLock},
};

use cel::{
    Context, Env, Program, Value,
    common::ast::{Expr, IdedExpr, LiteralValue, operators},
    extractors::This,
};
use regex::Regex;

use super::check::{self, Misfit};

/// Bytes of an expression.
pub const LONGEST: usize = 2048;
/// Parentheses, brackets and braces inside each other.
const DEEPEST: usize = 16;

/// One compiled expression.
pub struct Expression {
    program: Program,
    patterns: Arc<HashMap<String, Regex>>,
    /// The only `event` words for which it can be true; None: cannot be told.
    events: Option<BTreeSet<String>>,
    /// Steps that one evaluation takes at most.
    pub cost: u64,
}

impl fmt::Debug for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Expression").field(&self.program.source_info().source).finish()
    }
}

static ENVIRONMENT: LazyLock<Arc<Env>> = LazyLock::new(|| Arc::new(Env::stdlib().with_optional_support(false)));

impl Expression {
    /// # Errors
    /// What is wrong, and at which character.
    pub fn compile(text: &str) -> Result<Self, Misfit> {
        if text.len() > LONGEST {
            return Err(Misfit::new(
                0,
                format!("the expression has {} bytes: write at most {LONGEST}, or several rules", text.len()),
            ));
        }
        // The parser descends for each of them before it looks at its own limit.
        if let Some(at) = too_deep(text) {
            return Err(Misfit::new(
                at,
                format!("more than {DEEPEST} brackets inside each other: write several rules"),
            ));
        }
        let program = ENVIRONMENT.compile(text).map_err(|errors| Misfit::of_parser(text, &errors))?;
        let checked = check::expression(&program)?;
        let events = events(program.expression());
        Ok(Self { patterns: Arc::new(checked.patterns), cost: checked.cost, program, events })
    }

    /// It can be true of such a line.
    pub fn may_match(&self, event: &str) -> bool {
        self.events.as_ref().is_none_or(|events| events.contains(event))
    }

    /// It is true of this line. A field that is not there makes it false.
    pub fn matches(&self, line: &Line) -> bool {
        let mut context = Context::with_env(Arc::clone(&ENVIRONMENT));
        for (name, value) in &line.0 {
            context.add_variable_from_value(name.as_str(), value.clone());
        }
        let patterns = Arc::clone(&self.patterns);
        let matches = move |This(text): This<Arc<String>>, pattern: Arc<String>| {
            patterns.get(pattern.as_str()).is_some_and(|regex| regex.is_match(&text))
        };
        // No other function has this name.
        let is_added = context.add_function(MATCHES, matches).is_ok();
        is_added && matches!(self.program.execute(&context), Ok(Value::Bool(true)))
    }
}

pub(super) const MATCHES: &str = "matches";

/// An event line as expressions see it: the values of its keys.
#[derive(Debug)]
pub struct Line(pub(super) Vec<(String, Value)>);

/// Where brackets are nested too deep, quoted ones left out.
fn too_deep(text: &str) -> Option<usize> {
    let mut depth = 0_usize;
    let mut quote = None;
    let mut escaped = false;
    for (at, c) in text.chars().enumerate() {
        match (quote, c) {
            _ if std::mem::take(&mut escaped) => {}
            (Some(_), '\\') => escaped = true,
            (Some(open), c) if open == c => quote = None,
            (Some(_), _) => {}
            (None, '"' | '\'') => quote = Some(c),
            (None, '(' | '[' | '{') => {
                depth += 1;
                if depth > DEEPEST {
                    return Some(at);
                }
            }
            (None, ')' | ']' | '}') => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    None
}

/// The words that `event` must be one of, as far as `and`ed comparisons say so.
fn events(expression: &IdedExpr) -> Option<BTreeSet<String>> {
    let Expr::Call(call) = &expression.expr else { return None };
    let [left, right] = call.args.as_slice() else { return None };
    let word = |expression: &IdedExpr| match &expression.expr {
        Expr::Literal(LiteralValue::String(word)) => Some(word.inner().to_owned()),
        _ => None,
    };
    let is_event = |expression: &IdedExpr| matches!(&expression.expr, Expr::Ident(name) if name == "event");
    match call.func_name.as_str() {
        operators::LOGICAL_AND => match (events(left), events(right)) {
            (Some(left), Some(right)) => Some(left.intersection(&right).cloned().collect()),
            (left, right) => left.or(right),
        },
        operators::LOGICAL_OR => {
            events(left).zip(events(right)).map(|(left, right)| left.union(&right).cloned().collect())
        }
        operators::EQUALS if is_event(left) => word(right).map(|word| [word].into()),
        operators::EQUALS if is_event(right) => word(left).map(|word| [word].into()),
        operators::IN if is_event(left) => match &right.expr {
            Expr::List(list) => list.elements.iter().map(word).collect(),
            _ => None,
        },
        _ => None,
    }
}
