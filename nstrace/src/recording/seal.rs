//! Seals: minisign(1) signatures over a text that names the last entry and its hash, so that whoever has the public key can
//! tell a recording from one that was made anew. The stock minisign tool checks them without nstrace.

use std::{io::Cursor, path::Path};

use ct_codecs::{Base64, Decoder as _};
use minisign::{PublicKeyBox, SecretKeyBox, SignatureBox};

use super::{
    chain::{self, Hash},
    document::{Seal, Session},
};

/// First line of what is signed.
const TITLE: &str = "nstrace seal 1";

/// Longest key file that is read, in bytes.
const MAX_KEY: u64 = 16 << 10;

/// Why a key is none.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    #[error("cannot read the key {path}: {error}")]
    Read { path: String, error: std::io::Error },
    #[error("{path} is no minisign secret key: {error}: make one with 'minisign -G'")]
    Secret { path: String, error: String },
    #[error("{path} has a password and nobody can be asked for it: {error}: make a key without one, 'minisign -G -W'")]
    Password { path: String, error: std::io::Error },
    #[error(
        "{0} is no minisign public key: give the file that 'minisign -G' made, or the line in it that starts with RW"
    )]
    Public(String),
}

/// What signs.
#[derive(Debug)]
pub struct SecretKey(minisign::SecretKey);

impl SecretKey {
    /// Reads `minisign -G`'s secret key. One with a password asks for it on the terminal.
    ///
    /// # Errors
    /// When the file is no such key, or the password is wrong.
    pub fn read(path: &Path) -> Result<Self, KeyError> {
        let text = read(path)?;
        let bad =
            |error: minisign::PError| KeyError::Secret { path: path.display().to_string(), error: error.to_string() };
        let parse = || SecretKeyBox::from_string(text.trim());
        // The stock tool leaves the checksum of a key without password empty, which the box would refuse.
        let bytes = text.lines().nth(1).and_then(|line| Base64::decode_to_vec(line.trim(), None).ok());
        let plain =
            bytes.and_then(|bytes| minisign::SecretKey::from_bytes(&bytes).ok()).filter(|key| !key.is_encrypted());
        let key = match plain {
            Some(key) => key,
            None => {
                let encrypted = parse().map_err(bad)?;
                // minisign's own prompt would write to stdout, where event lines go.
                let password = rpassword::prompt_password(format!("Password of {}: ", path.display()));
                let password =
                    password.map_err(|error| KeyError::Password { path: path.display().to_string(), error })?;
                encrypted.into_secret_key(Some(password)).map_err(bad)?
            }
        };
        Ok(Self(key))
    }

    /// Seals the chain up to the entry `id`.
    ///
    /// # Errors
    /// None but a failing random number generator.
    pub fn seal(&self, id: i64, hash: &Hash, facts: u64, utc_ns: i64, session: &Session) -> std::io::Result<Seal> {
        let time = jiff::Timestamp::from_nanosecond(i128::from(utc_ns)).unwrap_or_default();
        let text = format!(
            "{TITLE}\nentry {id}\nhash {}\nfacts {facts}\ntime {time}\nboot {}\n",
            chain::hex(hash),
            session.boot_id
        );
        let comment = format!("nstrace recording, entry {id}, {time}");
        let signature =
            minisign::sign(None, &self.0, Cursor::new(&text), Some(&comment), Some("signature of an nstrace seal"));
        let signature = signature.map_err(std::io::Error::other)?.into_string();
        Ok(Seal { text, signature })
    }
}

/// What checks.
#[derive(Debug)]
pub struct PublicKey(minisign::PublicKey);

impl PublicKey {
    /// A key file, or the key itself.
    ///
    /// # Errors
    /// When it is neither.
    pub fn read(key: &str) -> Result<Self, KeyError> {
        if let Ok(key) = minisign::PublicKey::from_base64(key) {
            return Ok(Self(key));
        }
        let text = read(Path::new(key))?;
        let parsed = PublicKeyBox::from_string(text.trim()).and_then(PublicKeyBox::into_public_key);
        parsed.map(Self).map_err(|_| KeyError::Public(key.to_owned()))
    }

    /// The seal was made with the secret half, over exactly its text.
    pub fn made(&self, seal: &Seal) -> bool {
        SignatureBox::from_string(&seal.signature).is_ok_and(|signature| {
            minisign::verify(&self.0, &signature, Cursor::new(&seal.text), true, false, true).is_ok()
        })
    }

    /// The number by which minisign names it.
    pub fn id(&self) -> String {
        let number: Vec<u8> = self.0.keynum().iter().rev().copied().collect();
        chain::hex(&number).to_uppercase()
    }
}

fn read(path: &Path) -> Result<String, KeyError> {
    use std::io::Read as _;
    let mut text = String::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(MAX_KEY).read_to_string(&mut text))
        .map_err(|error| KeyError::Read { path: path.display().to_string(), error })?;
    Ok(text)
}

/// Entry and hash that a seal's text names.
pub fn covered(text: &str) -> Option<(i64, Hash)> {
    let mut lines = text.lines();
    if lines.next()? != TITLE {
        return None;
    }
    let id = lines.next()?.strip_prefix("entry ")?.parse().ok()?;
    Some((id, chain::from_hex(lines.next()?.strip_prefix("hash ")?)?))
}
