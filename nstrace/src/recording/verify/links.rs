//! The rows: each the next link of the chain, none missing, none after the end; what the seals are about.

use super::{Fault, Inside, Sealed, Whole};
use crate::recording::{
    Recording,
    chain::{self, Hash},
    document::{Cut, End, Seal},
    entry::{Entry, Kind},
    seal::{self, PublicKey},
};

pub(super) struct Links<'a> {
    recording: &'a Recording,
    key: Option<&'a PublicKey>,
    cut: Option<Cut>,
    /// Id and hash of the last entry.
    last: i64,
    hash: Hash,
    entries: u64,
    facts: u64,
    /// The number that the next fact must have.
    next_fact: Option<i64>,
    span: Option<(i64, i64)>,
    end: Option<End>,
    seals: Vec<Sealed>,
}

impl<'a> Links<'a> {
    pub fn new(recording: &'a Recording, key: Option<&'a PublicKey>) -> Self {
        Self {
            recording,
            key,
            cut: None,
            last: 0,
            hash: chain::START,
            entries: 0,
            facts: 0,
            next_fact: Some(0),
            span: None,
            end: None,
            seals: Vec::new(),
        }
    }

    /// The last entry that is what it should be, and the facts up to it.
    pub fn reached(&self) -> (i64, u64) {
        (self.last, self.facts)
    }

    pub fn entry(&mut self, entry: &Entry, hash: Hash) -> Result<(), Fault> {
        if entry.id != self.last + 1 {
            self.gap(entry)?;
        }
        if chain::hash(&self.hash, entry) != hash {
            return Err(self.fault(entry.id, "it is not what was recorded, or what comes before it is not"));
        }
        if self.end.is_some() && entry.kind != Kind::Seal {
            return Err(self.fault(entry.id, "it comes after the end"));
        }
        if self.next_fact.is_some_and(|next| next != entry.first_fact) {
            return Err(self.fault(entry.id, "facts are missing before it"));
        }
        match entry.kind {
            Kind::Session if entry.id != 1 => return Err(self.fault(entry.id, "it begins another recording")),
            Kind::Facts => {
                self.facts = self.facts.saturating_add(u64::try_from(entry.facts).unwrap_or(0));
                let (first, last) = self.span.unwrap_or(entry.span.utc);
                self.span = Some((first.min(entry.span.utc.0), last.max(entry.span.utc.1)));
            }
            Kind::Seal => self.seal(entry)?,
            Kind::End => self.end = Some(self.document(entry)?),
            Kind::Cut => self.cut = Some(self.document(entry)?),
            Kind::Session | Kind::Keyframe | Kind::Container => {}
        }
        self.next_fact = entry.first_fact.checked_add(entry.facts);
        (self.last, self.hash, self.entries) = (entry.id, hash, self.entries + 1);
        Ok(())
    }

    fn document<D: serde::de::DeserializeOwned>(&self, entry: &Entry) -> Result<D, Fault> {
        let raw = entry.raw().map_err(|error| self.fault(entry.id, &error.to_string()))?;
        serde_json::from_slice(&raw).map_err(|error| self.fault(entry.id, &error.to_string()))
    }

    /// Entries are missing before this one: a cut may have taken them.
    fn gap(&mut self, entry: &Entry) -> Result<(), Fault> {
        let missing = self.last + 1;
        if self.last == 1
            && let Some(cut) = self.recording.last_cut()?
            && cut.before == entry.id
            && entry.kind == Kind::Keyframe
            && let Some(hash) = chain::from_hex(&cut.hash)
        {
            (self.hash, self.next_fact) = (hash, Some(entry.first_fact));
            return Ok(());
        }
        Err(self.fault(missing, "it is gone"))
    }

    fn seal(&mut self, entry: &Entry) -> Result<(), Fault> {
        let seal: Seal = self.document(entry)?;
        if seal::covered(&seal.text) != Some((self.last, self.hash)) {
            return Err(self.fault(entry.id, "its seal is not about what comes before it"));
        }
        let by_key = self.key.map(|key| key.made(&seal));
        if by_key == Some(false) {
            return Err(self.fault(entry.id, "its seal was not made with this key"));
        }
        self.seals.push(Sealed { covers: self.last, by_key, seal });
        Ok(())
    }

    fn fault(&self, id: i64, what: &str) -> Fault {
        let first_fact = self.next_fact.and_then(|next| u64::try_from(next).ok());
        Fault::Entry { id, first_fact, what: what.to_owned() }
    }

    pub fn finish(self, inside: Option<Inside>) -> Result<Whole, Fault> {
        if self.entries == 0 {
            return Err(self.fault(1, "it is gone"));
        }
        if self.recording.head() != Some((self.last, self.hash)) {
            return Err(self.fault(self.last + 1, "it is gone: entries were taken from the end"));
        }
        if let Some(key) = self.key
            && self.seals.is_empty()
        {
            return Err(Fault::Unsealed { key: key.id() });
        }
        Ok(Whole {
            session: self.recording.session().clone(),
            entries: self.entries,
            facts: self.facts,
            span: self.span,
            cut: self.cut,
            inside,
            end: self.end,
            seals: self.seals,
            head: (self.last, chain::hex(&self.hash)),
        })
    }
}
