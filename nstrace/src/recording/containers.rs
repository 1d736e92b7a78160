//! What was learned of containers while recording: their names are no facts of the kernel, and where a recording is read there
//! may be no engine to ask.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{ReadError, Recording, entry::Kind};
use crate::engine::Named;

/// More containers of one recording are not remembered.
const MOST: usize = 1 << 16;

/// The content of a `container` entry: what the engines told by then, of those that were new or told of differently.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Containers {
    pub containers: Vec<Named>,
}

impl Recording {
    /// Every container that was learned of, each once: as it was at this UTC time (nanoseconds; None: at the end), or what was
    /// learned first where that was later. In the order of their ids.
    ///
    /// # Errors
    /// When the rows cannot be read.
    pub fn containers(&self, utc_ns: Option<i64>) -> Result<Vec<Named>, ReadError> {
        Ok(self.learned(utc_ns)?.into_values().map(|(_, named)| named).collect())
    }

    /// The same with the time (UTC, nanoseconds) at which it was learned, by id.
    ///
    /// # Errors
    /// When the rows cannot be read.
    pub fn learned(&self, utc_ns: Option<i64>) -> Result<BTreeMap<String, (i64, Named)>, ReadError> {
        let mut known: BTreeMap<String, (i64, Named)> = BTreeMap::new();
        for id in self.ids(Kind::Container)? {
            let Some((entry, _)) = self.entry(id)? else { continue };
            let learned: Containers =
                serde_json::from_slice(&self.raw(&entry)?).map_err(|error| self.damaged(id, error.to_string()))?;
            let at = entry.span.utc.1;
            for named in learned.containers {
                let is_later = utc_ns.is_some_and(|wanted| at > wanted);
                if (is_later && known.contains_key(&named.id))
                    || (known.len() >= MOST && !known.contains_key(&named.id))
                {
                    continue;
                }
                known.insert(named.id.clone(), (at, named));
            }
        }
        Ok(known)
    }
}
