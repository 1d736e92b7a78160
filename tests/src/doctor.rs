//! What `nstrace doctor -J` says is seen on this kernel: the only excuse for a line that does not come.

use std::collections::HashMap;

use anyhow::Context;
use serde::Deserialize;
use serde_json::Value;

use crate::expect::Expect;

/// The facts of one doctor document.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    by_name: HashMap<String, Fact>,
    detectors: bool,
}

#[derive(Clone, Debug, Deserialize)]
struct Fact {
    fact: String,
    coverage: String,
    #[serde(default)]
    invisible: Option<String>,
    #[serde(default)]
    hooks: Vec<Hook>,
}

#[derive(Clone, Debug, Deserialize)]
struct Hook {
    kind: String,
    #[serde(default)]
    rejected: Option<String>,
}

impl Facts {
    /// Reads the document that `doctor -J` prints.
    ///
    /// # Errors
    /// When it is not the one JSON document of interface.md or has no facts.
    pub fn parse(document: &str) -> anyhow::Result<Self> {
        let document: Value = serde_json::from_str(document).context("doctor -J prints one JSON document")?;
        anyhow::ensure!(document.get("schema").is_some(), "the document of doctor -J has no `schema`");
        let facts = document.get("facts").context("the document of doctor -J has no `facts`")?;
        let facts: Vec<Fact> = serde_json::from_value(facts.clone()).context("`facts` of doctor -J")?;
        anyhow::ensure!(!facts.is_empty(), "`facts` of doctor -J is empty");
        let detectors = document.get("detectors").is_some();
        Ok(Self { detectors, by_name: facts.into_iter().map(|f| (f.fact.clone(), f)).collect() })
    }

    /// Everything is seen.
    pub fn complete() -> Self {
        Self::default()
    }

    /// `fact` is not seen at all, and why.
    pub fn unseen(&self, fact: &str) -> Option<&str> {
        let fact = self.by_name.get(fact)?;
        (fact.coverage == "none").then(|| fact.invisible.as_deref().unwrap_or("not seen"))
    }

    /// A hook of this kind is attached for `fact`.
    pub fn is_seen_by(&self, fact: &str, kind: &str) -> bool {
        let hooks = self.by_name.get(fact).into_iter().flat_map(|fact| &fact.hooks);
        hooks.into_iter().any(|hook| hook.kind == kind && hook.rejected.is_none())
    }

    /// It says what detectors can see.
    pub fn tells_detectors(&self) -> bool {
        self.detectors
    }

    /// Of some fact not everything is seen at once.
    pub fn incomplete(&self) -> bool {
        self.by_name.values().any(|f| f.coverage != "full")
    }

    /// Files and mounts that hold a namespace are reported.
    pub fn sees_pins(&self) -> bool {
        self.unseen("pinned").is_none() && self.unseen("unpinned").is_none()
    }

    /// Why this line may stay away; None: it has to come.
    pub fn excuse(&self, expect: &Expect) -> Option<String> {
        let via = expect.via.first().map_or("", String::as_str);
        let fact = match (expect.event, via) {
            ("pinned", _) => "pinned",
            ("unpinned", _) => "unpinned",
            ("destroyed", _) => "destroyed",
            ("denied", "clone" | "clone3") => "denied-clone",
            ("denied", _) => "denied-setns-unshare",
            (_, "exit") => "exit",
            (_, "exec") => "exec",
            (_, "setns" | "unshare") => "setns-unshare",
            _ => "task-born",
        };
        self.unseen(fact).map(|why| format!("doctor: {fact}: {why}"))
    }
}
