//! Which expressions are admitted: those whose fields exist, whose types can be true, and whose cost is known beforehand.

use std::collections::HashMap;

use cel::{
    ParseErrors, Program,
    common::ast::{
        CallExpr, ComprehensionExpr, Expr, IdedExpr, ListExpr, LiteralValue, SelectExpr, SourceInfo, operators,
    },
};
use regex::{Regex, RegexBuilder};

use super::{
    expression::MATCHES,
    fields::{EVENT, Field, Kinds},
};

/// Steps of one evaluation.
const MOST_STEPS: u64 = 10_000;
/// Elements that a list of a line is taken to have.
const LIST_OF_LINE: u64 = 64;
/// Nodes of the syntax tree inside each other.
const DEEPEST: u32 = 64;
/// Bytes of a compiled pattern.
const PATTERN: usize = 64 << 10;
/// Patterns of one expression.
const PATTERNS: usize = 16;

/// What does not fit, and at which character of the expression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Misfit {
    pub at: usize,
    pub message: String,
}

impl Misfit {
    pub fn new(at: usize, message: String) -> Self {
        Self { at, message }
    }

    /// The first thing that the parser says.
    pub(super) fn of_parser(text: &str, errors: &ParseErrors) -> Self {
        let Some(first) = errors.errors.first() else {
            return Self::new(0, "it is no expression".to_owned());
        };
        let (line, column) = first.pos;
        let before = usize::try_from(line - 1).unwrap_or(0);
        let lines: usize = text.split('\n').take(before).map(|line| line.chars().count() + 1).sum();
        let at = lines + usize::try_from(column - 1).unwrap_or(0);
        // The rest are lists of what the grammar would have taken.
        let said = first.msg.lines().next().unwrap_or_default();
        let said = said.split(" expecting ").next().unwrap_or(said).replace("Syntax error: ", "");
        Self::new(at, format!("no expression: {said}"))
    }
}

/// An expression that was admitted.
pub(super) struct Checked {
    pub patterns: HashMap<String, Regex>,
    pub cost: u64,
}

pub(super) fn expression(program: &Program) -> Result<Checked, Misfit> {
    let root = program.expression();
    let mut checker =
        Checker { source: program.source_info(), patterns: HashMap::new(), scope: Vec::new(), asks: false, depth: 0 };
    let (what, cost) = checker.infer(root)?;
    if !what.kinds.has(Kinds::BOOL) {
        return Err(
            checker.misfit(root, format!("it is {}: write a condition that is true or false", what.kinds.words()))
        );
    }
    if !checker.asks {
        return Err(checker.misfit(root, "it is the same for every event: ask for a field of it".to_owned()));
    }
    if cost > MOST_STEPS {
        let message = format!("it takes up to {cost} steps, {MOST_STEPS} are allowed: nest fewer loops");
        return Err(checker.misfit(root, message));
    }
    Ok(Checked { patterns: checker.patterns, cost })
}

/// What an expression can be.
#[derive(Clone, Debug, Default)]
struct Type {
    kinds: Kinds,
    /// Of the event line.
    field: Option<&'static Field>,
    /// Of a list that is written, or made by a loop.
    items: Option<Box<Type>>,
    /// Most elements of such a list.
    length: Option<u64>,
    /// A string that is written.
    literal: Option<String>,
}

impl Type {
    fn of(kinds: Kinds) -> Self {
        Self { kinds, ..Self::default() }
    }

    fn field(field: &'static Field) -> Self {
        Self { kinds: field.kinds, field: Some(field), ..Self::default() }
    }

    fn element(&self) -> Self {
        match (&self.items, self.field.and_then(|field| field.items.as_deref())) {
            (Some(items), _) => (**items).clone(),
            (None, Some(field)) => Self::field(field),
            (None, None) => Self::default(),
        }
    }

    /// What is one or the other.
    fn or(self, other: Self) -> Self {
        if self.kinds == Kinds::NONE {
            return other;
        }
        if other.kinds == Kinds::NONE {
            return self;
        }
        let field = self.field.filter(|field| other.field.is_some_and(|theirs| std::ptr::eq(*field, theirs)));
        let items = match (self.items, other.items) {
            (Some(ours), Some(theirs)) => Some(Box::new(ours.or(*theirs))),
            (ours, theirs) => ours.or(theirs),
        };
        let length = self.length.zip(other.length).map(|(ours, theirs)| ours.max(theirs));
        Self { kinds: self.kinds.or(other.kinds), field, items, length, literal: None }
    }
}

struct Checker<'p> {
    source: &'p SourceInfo,
    patterns: HashMap<String, Regex>,
    /// Variables of loops, the innermost last.
    scope: Vec<(String, Type)>,
    /// Some field of the event was asked for.
    asks: bool,
    depth: u32,
}

type Inferred = Result<(Type, u64), Misfit>;

impl Checker<'_> {
    fn misfit(&self, at: &IdedExpr, message: String) -> Misfit {
        let start = self.source.offset_for(at.id).map_or(0, |(start, _)| start as usize);
        Misfit::new(start, message)
    }

    /// What it can be, and the steps it takes at most.
    fn infer(&mut self, node: &IdedExpr) -> Inferred {
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err(self.misfit(node, "too many operations inside each other: write several rules".to_owned()));
        }
        let inferred = match &node.expr {
            Expr::Literal(literal) => self.literal(node, literal),
            Expr::Ident(name) => self.ident(node, name),
            Expr::Select(select) => self.select(node, select),
            Expr::List(list) => self.list(list),
            Expr::Call(call) => self.call(node, call),
            Expr::Comprehension(comprehension) => self.comprehension(node, comprehension),
            Expr::Map(_) | Expr::Struct(_) | Expr::Unspecified => {
                Err(self.misfit(node, "objects cannot be made here: compare the fields one by one".to_owned()))
            }
        };
        self.depth -= 1;
        inferred
    }

    fn literal(&self, node: &IdedExpr, literal: &LiteralValue) -> Inferred {
        let kinds = match literal {
            LiteralValue::Boolean(_) => Kinds::BOOL,
            LiteralValue::Double(_) => Kinds::DOUBLE,
            LiteralValue::Int(_) | LiteralValue::UInt(_) => Kinds::INT,
            LiteralValue::Null => Kinds::NULL,
            LiteralValue::String(text) => {
                let literal = Some(text.inner().to_owned());
                return Ok((Type { literal, ..Type::of(Kinds::STRING) }, 1));
            }
            LiteralValue::Bytes(_) => {
                return Err(self.misfit(node, "no field is bytes: write a string without b".to_owned()));
            }
        };
        Ok((Type::of(kinds), 1))
    }

    fn ident(&mut self, node: &IdedExpr, name: &str) -> Inferred {
        if let Some((_, what)) = self.scope.iter().rev().find(|(bound, _)| bound == name) {
            return Ok((what.clone(), 1));
        }
        let Some(field) = EVENT.members.get(name) else {
            return Err(self.misfit(node, format!("no event has a field '{name}': use one of {}", EVENT.names())));
        };
        self.asks = true;
        Ok((Type::field(field), 1))
    }

    fn select(&mut self, node: &IdedExpr, select: &SelectExpr) -> Inferred {
        let (of, cost) = self.infer(&select.operand)?;
        let member = self.member(node, &of, &select.field)?;
        Ok((if select.test { Type::of(Kinds::BOOL) } else { member }, cost + 1))
    }

    fn member(&self, node: &IdedExpr, of: &Type, name: &str) -> Result<Type, Misfit> {
        let Some(field) = of.field.filter(|field| field.kinds.has(Kinds::OBJECT)) else {
            return Err(self.misfit(node, format!("'{name}' is asked of {}, which has no fields", of.kinds.words())));
        };
        match field.members.get(name) {
            Some(member) => Ok(Type::field(member)),
            None => Err(self.misfit(node, format!("there is no field '{name}' here: use one of {}", field.names()))),
        }
    }

    fn list(&mut self, list: &ListExpr) -> Inferred {
        let mut items = Type::default();
        let mut cost = 1;
        for element in &list.elements {
            let (what, steps) = self.infer(element)?;
            items = items.or(what);
            cost += steps;
        }
        let length = Some(list.elements.len() as u64);
        Ok((Type { items: Some(Box::new(items)), length, ..Type::of(Kinds::LIST) }, cost))
    }

    fn call(&mut self, node: &IdedExpr, call: &CallExpr) -> Inferred {
        let name = call.func_name.as_str();
        let mut parts = Vec::new();
        let mut cost: u64 = 1;
        for part in call.target.iter().map(|target| &**target).chain(&call.args) {
            let (what, steps) = self.infer(part)?;
            cost = cost.saturating_add(steps);
            parts.push((part, what));
        }
        let is_method = call.target.is_some();
        let kinds = match (name, is_method, parts.as_slice()) {
            (operators::LOGICAL_AND | operators::LOGICAL_OR, false, all) => {
                all.iter().try_for_each(|(at, what)| self.want(at, what, Kinds::BOOL))?;
                Kinds::BOOL
            }
            (operators::LOGICAL_NOT | operators::NOT_STRICTLY_FALSE, false, [(at, what)]) => {
                self.want(at, what, Kinds::BOOL)?;
                Kinds::BOOL
            }
            (operators::NEGATE, false, [(at, what)]) => {
                self.want(at, what, Kinds::NUMBER)?;
                what.kinds.and(Kinds::NUMBER)
            }
            (operators::EQUALS | operators::NOT_EQUALS, false, [(at, left), (other, right)]) => {
                self.comparable(at, left, other, right)?;
                Kinds::BOOL
            }
            (
                operators::LESS | operators::LESS_EQUALS | operators::GREATER | operators::GREATER_EQUALS,
                false,
                [(at, left), (other, right)],
            ) => {
                let ordered = Kinds::NUMBER.or(Kinds::STRING);
                self.want(at, left, ordered)?;
                self.want(other, right, ordered)?;
                self.comparable(at, left, other, right)?;
                Kinds::BOOL
            }
            (operators::IN, false, [(at, left), (list, right)]) => {
                self.is_in(at, left, list, right)?;
                cost = cost.saturating_add(right.length.unwrap_or(LIST_OF_LINE));
                Kinds::BOOL
            }
            (operators::ADD, false, [(at, left), (other, right)]) => {
                let added = Kinds::NUMBER.or(Kinds::STRING).or(Kinds::LIST);
                self.want(at, left, added)?;
                self.want(other, right, left.kinds.and(added))?;
                if left.kinds.has(Kinds::LIST) {
                    return Ok((self.joined(left, right), cost.saturating_add(LIST_OF_LINE)));
                }
                left.kinds.and(added)
            }
            (
                operators::SUBSTRACT | operators::MULTIPLY | operators::DIVIDE | operators::MODULO,
                false,
                [(at, left), (other, right)],
            ) => {
                self.want(at, left, Kinds::NUMBER)?;
                self.want(other, right, Kinds::NUMBER)?;
                left.kinds.and(Kinds::NUMBER)
            }
            (operators::CONDITIONAL, false, [(at, condition), (_, left), (_, right)]) => {
                self.want(at, condition, Kinds::BOOL)?;
                return Ok((left.clone().or(right.clone()), cost));
            }
            (operators::INDEX, false, [(at, of), (index, by)]) => return Ok((self.index(at, of, index, by)?, cost)),
            ("size", _, [(at, what)]) => {
                self.want(at, what, Kinds::STRING.or(Kinds::LIST))?;
                Kinds::INT
            }
            ("contains" | "startsWith" | "endsWith", true, [(at, text), (other, part)]) => {
                self.want(at, text, Kinds::STRING)?;
                self.want(other, part, Kinds::STRING)?;
                Kinds::BOOL
            }
            (MATCHES, true, [(at, text), (pattern, what)]) => {
                self.want(at, text, Kinds::STRING)?;
                self.pattern(pattern, what)?;
                // A search is linear in the text and in the pattern.
                cost = cost.saturating_add(64);
                Kinds::BOOL
            }
            ("string", false, [(at, what)]) => {
                self.want(at, what, Kinds::NUMBER.or(Kinds::STRING).or(Kinds::BOOL))?;
                Kinds::STRING
            }
            ("int", false, [(at, what)]) => {
                self.want(at, what, Kinds::NUMBER.or(Kinds::STRING))?;
                Kinds::INT
            }
            _ => {
                let known = "size contains startsWith endsWith matches string int has all exists exists_one filter map";
                let message = format!("no function '{name}' with {} arguments: there are {known}", call.args.len());
                return Err(self.misfit(node, message));
            }
        };
        Ok((Type::of(kinds), cost))
    }

    fn want(&self, at: &IdedExpr, what: &Type, wanted: Kinds) -> Result<(), Misfit> {
        if what.kinds.has(wanted) {
            return Ok(());
        }
        Err(self.misfit(at, format!("this is {}, and {} is needed", what.kinds.words(), wanted.words())))
    }

    /// Some value of the one can be some value of the other.
    fn comparable(&self, at: &IdedExpr, left: &Type, other: &IdedExpr, right: &Type) -> Result<(), Misfit> {
        let numbers = left.kinds.has(Kinds::NUMBER) && right.kinds.has(Kinds::NUMBER);
        if !numbers && !left.kinds.has(right.kinds) {
            let (left, right) = (left.kinds.words(), right.kinds.words());
            return Err(self.misfit(at, format!("{left} is compared with {right}: they are never the same")));
        }
        for (field, literal, at) in [(left, right, other), (right, left, at)] {
            let words = field.field.and_then(|field| field.words.as_ref());
            if let (Some(words), Some(literal)) = (words, &literal.literal)
                && !words.contains(literal)
            {
                let words = words.iter().map(String::as_str).collect::<Vec<_>>().join(" ");
                return Err(self.misfit(at, format!("it is never '{literal}': use one of {words}")));
            }
        }
        Ok(())
    }

    fn is_in(&self, at: &IdedExpr, left: &Type, list: &IdedExpr, right: &Type) -> Result<(), Misfit> {
        self.want(list, right, Kinds::LIST)?;
        if let Expr::List(written) = &list.expr {
            for element in &written.elements {
                let literal = match &element.expr {
                    Expr::Literal(LiteralValue::String(text)) => Some(text.inner().to_owned()),
                    _ => None,
                };
                if literal.is_some() {
                    self.comparable(at, left, element, &Type { literal, ..Type::of(Kinds::STRING) })?;
                }
            }
        }
        self.comparable(at, left, list, &right.element())
    }

    fn index(&self, at: &IdedExpr, of: &Type, index: &IdedExpr, by: &Type) -> Result<Type, Misfit> {
        if let Some(name) = &by.literal {
            return self.member(index, of, name);
        }
        self.want(at, of, Kinds::LIST)?;
        self.want(index, by, Kinds::INT)?;
        Ok(of.element())
    }

    fn joined(&self, left: &Type, right: &Type) -> Type {
        let length = left.length.unwrap_or(LIST_OF_LINE).saturating_add(right.length.unwrap_or(LIST_OF_LINE));
        let items = Box::new(left.element().or(right.element()));
        Type { items: Some(items), length: Some(length), ..Type::of(Kinds::LIST) }
    }

    fn pattern(&mut self, at: &IdedExpr, what: &Type) -> Result<(), Misfit> {
        let Some(pattern) = &what.literal else {
            return Err(self.misfit(at, "a pattern is written out: put a string here".to_owned()));
        };
        let regex = RegexBuilder::new(pattern).size_limit(PATTERN).dfa_size_limit(PATTERN).build();
        let regex = regex.map_err(|error| {
            let said = error.to_string().lines().last().unwrap_or_default().trim().to_owned();
            self.misfit(at, format!("no pattern: {said}"))
        })?;
        self.patterns.insert(pattern.clone(), regex);
        if self.patterns.len() > PATTERNS {
            return Err(self.misfit(at, format!("more than {PATTERNS} patterns: write several rules")));
        }
        Ok(())
    }

    /// all, exists, exists_one, filter, map.
    fn comprehension(&mut self, node: &IdedExpr, loops: &ComprehensionExpr) -> Inferred {
        let (over, cost) = self.infer(&loops.iter_range)?;
        // The order of the keys of an object is another one in each run.
        if !over.kinds.has(Kinds::LIST) || over.kinds.has(Kinds::OBJECT) {
            return Err(self.misfit(node, format!("a loop goes over a list, and this is {}", over.kinds.words())));
        }
        let (start, _) = self.infer(&loops.accu_init)?;
        let turns = over.length.unwrap_or(LIST_OF_LINE);
        let outside = self.scope.len();
        self.scope.push((loops.iter_var.clone(), over.element()));
        self.scope.push((loops.accu_var.clone(), start.clone()));
        let (_, condition) = self.infer(&loops.loop_cond)?;
        let (step, steps) = self.infer(&loops.loop_step)?;
        // What a map or a filter gathers.
        let gathers = start.kinds.has(Kinds::LIST);
        let made =
            if gathers { Type { items: step.items, length: Some(turns), ..Type::of(Kinds::LIST) } } else { start };
        if let Some((_, accu)) = self.scope.last_mut() {
            *accu = made;
        }
        let (result, last) = self.infer(&loops.result)?;
        self.scope.truncate(outside);
        let turn = condition.saturating_add(steps).saturating_add(1);
        Ok((result, cost.saturating_add(turns.saturating_mul(turn)).saturating_add(last)))
    }
}
