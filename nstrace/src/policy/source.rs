//! Files of rules and exceptions, read with bounds.

use std::{fs::File, io::Read as _, path::Path};

use super::fault::Fault;

/// Bytes of one file.
pub const LONGEST: u64 = 1 << 20;

/// The text of a file, and what the file is called in messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// Hostile.
    pub name: String,
    pub text: String,
}

impl Source {
    /// Of files that a recording kept.
    pub fn kept(what: &str, texts: &[String]) -> Vec<Self> {
        let named = texts.iter().zip(1_u32..);
        named.map(|(text, n)| Self { name: format!("{what} {n} of the recording"), text: text.clone() }).collect()
    }

    /// # Errors
    /// When it cannot be read, is too long, or no text.
    pub fn read(path: &Path) -> Result<Self, Fault> {
        let name = path.to_string_lossy().into_owned();
        let fault = |message: String| Fault::of_file(&name, message);
        let file = File::open(path).map_err(|error| fault(format!("cannot be read: {error}")))?;
        let mut bytes = Vec::new();
        file.take(LONGEST + 1).read_to_end(&mut bytes).map_err(|error| fault(format!("cannot be read: {error}")))?;
        if bytes.len() as u64 > LONGEST {
            return Err(fault(format!("longer than {} KiB: split it", LONGEST >> 10)));
        }
        match String::from_utf8(bytes) {
            Ok(text) => Ok(Self { name, text }),
            Err(error) => {
                Err(fault(format!("no UTF-8 at byte {}: save it as UTF-8", error.utf8_error().valid_up_to())))
            }
        }
    }
}
