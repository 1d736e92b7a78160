//! The scenarios, by group. A group is what one watch observes in one go.

pub mod calls;
pub mod denied;
pub mod exec;
pub mod holders;
pub mod hostile;
pub mod nested;
pub mod programs;
pub mod storms;
pub mod threads;

/// A named performance.
pub struct Scenario {
    pub group: &'static str,
    pub name: String,
    pub run: Box<dyn FnOnce()>,
}

impl Scenario {
    pub fn new(group: &'static str, name: impl Into<String>, run: impl FnOnce() + 'static) -> Self {
        Self { group, name: name.into(), run: Box::new(run) }
    }
}

pub fn all() -> Vec<Scenario> {
    let mut all = Vec::new();
    all.extend(calls::scenarios());
    all.extend(exec::scenarios());
    all.extend(denied::scenarios());
    all.extend(nested::scenarios());
    all.extend(threads::scenarios());
    all.extend(holders::scenarios());
    all.extend(storms::scenarios());
    all.extend(hostile::scenarios());
    all.extend(programs::scenarios());
    all
}
