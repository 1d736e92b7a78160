//! What a detector says.

use std::borrow::Cow;

use super::catalogue::{Rule, Severity};
use crate::{event::TaskInfo, model::NsSeen, ns::NsName};

/// Whither a task went, as seen from its container.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// To where it, or its container, has been before.
    Return,
    /// Into a container that is inside its own, or from the host into any.
    Enter,
    /// Into another container.
    Lateral,
    /// Out of its container: to the host, or to the container around it.
    Leave,
    /// Not by any call that moves a task.
    Forged,
}

impl Direction {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Return => "return",
            Self::Enter => "enter",
            Self::Lateral => "lateral",
            Self::Leave => "leave",
            Self::Forged => "forged",
        }
    }
}

/// A detector spoke. What its line adds to the change it is part of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// `NST-…`, or the name of a user's rule.
    pub rule: Cow<'static, str>,
    pub severity: Severity,
    pub title: Cow<'static, str>,
    /// MITRE ATT&CK techniques.
    pub mitre: Vec<Cow<'static, str>>,
    /// One sentence with the names and numbers; they are hostile.
    pub explain: String,
    /// `seq` of the lines it rests on.
    pub evidence: Vec<u64>,
    /// How often it was so by now, this cause and this object: told again at each power of ten.
    pub count: u64,
    pub direction: Option<Direction>,
    /// The namespace it is about, where a single one is.
    pub ns: Option<NsSeen>,
    /// The task's own of that type.
    pub from: Option<NsName>,
    /// Why nobody needs to act: an exception covers it.
    pub suppressed: Option<String>,
}

/// A finding in the making.
#[derive(Clone, Debug)]
pub(super) struct Found {
    pub rule: &'static Rule,
    pub severity: Severity,
    pub explain: String,
    pub task: Option<TaskInfo>,
    pub direction: Option<Direction>,
    pub ns: Option<NsSeen>,
    pub from: Option<NsName>,
    /// What tells two objects of one rule and one process apart.
    pub object: u64,
}

impl Found {
    pub fn new(rule: &'static Rule, task: &TaskInfo, explain: String) -> Self {
        Self {
            rule,
            severity: rule.severity,
            explain,
            task: Some(*task),
            direction: None,
            ns: None,
            from: None,
            object: 0,
        }
    }

    /// About this namespace.
    pub fn about(mut self, ns: NsSeen) -> Self {
        self.object = ns.key.0;
        self.ns = Some(ns);
        self
    }

    pub fn with_object(mut self, object: u64) -> Self {
        self.object = object;
        self
    }

    pub fn with_severity(mut self, severity: Severity) -> Self {
        self.severity = severity;
        self
    }
}
