//! Sealing of what must not be read at rest: config vars, add-on passwords.
//!
//! XChaCha20-Poly1305 with a random nonce before each text and the row's own name as
//! associated data, so that a sealed value copied into another row does not open there.
//! The key is a file of the data directory, mode 0600, made at the first start.

use std::{io::Write as _, os::unix::fs::OpenOptionsExt as _, path::Path};

use chacha20poly1305::{
    KeyInit as _, XChaCha20Poly1305, XNonce,
    aead::{Aead as _, Payload},
};
use sha2::{Digest as _, Sha256};

/// Length of the nonce that stands before every sealed text, in bytes.
const NONCE: usize = 24;

/// Seals and opens; cheap to clone.
#[derive(Clone)]
pub struct Sealer {
    cipher: XChaCha20Poly1305,
}

impl std::fmt::Debug for Sealer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Sealer(..)")
    }
}

/// Why a secret could not be had.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The key file can't be read or made.
    #[error("the key file {path} can't be used; it must be readable by the daemon and hold 64 hexadecimal digits")]
    KeyFile {
        /// Where it is.
        path: String,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// There is no key, but something that one has sealed.
    #[error(
        "{path} is missing, but the database is in use and what is sealed in it opens with that key only. Bring the file back from a backup of this data directory"
    )]
    KeyMissing {
        /// Where it should be.
        path: String,
    },
    /// The sealed text was made with another key or for another row, or is damaged.
    #[error(
        "a sealed value does not open: it was sealed with another key, or is damaged; is secret.key the one that belongs to this database?"
    )]
    DoesNotOpen,
}

impl Sealer {
    /// A sealer for the given key of 32 bytes.
    pub fn new(key: [u8; 32]) -> Self {
        Self { cipher: XChaCha20Poly1305::new(&key.into()) }
    }

    /// Reads the key file. Where there is none, it makes one (mode 0600, fsynced), if `new`: nothing
    /// has been sealed yet.
    pub fn from_file(path: &Path, new: bool) -> Result<Self, SecretError> {
        let problem = |source| SecretError::KeyFile { path: path.display().to_string(), source };
        match std::fs::read_to_string(path) {
            Ok(text) => {
                let mut key = [0u8; 32];
                hex::decode_to_slice(text.trim(), &mut key)
                    .map_err(|e| problem(std::io::Error::new(std::io::ErrorKind::InvalidData, e)))?;
                Ok(Self::new(key))
            }
            Err(e) if e.kind() == std::io::ErrorKind::NotFound && !new => {
                Err(SecretError::KeyMissing { path: path.display().to_string() })
            }
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                let key: [u8; 32] = rand::random();
                let temp = path.with_extension("new");
                let mut file = std::fs::OpenOptions::new()
                    .write(true)
                    .create(true)
                    .truncate(true)
                    .mode(0o600)
                    .open(&temp)
                    .map_err(problem)?;
                writeln!(file, "{}", hex::encode(key)).map_err(problem)?;
                file.sync_all().map_err(problem)?;
                std::fs::rename(&temp, path).map_err(problem)?;
                Ok(Self::new(key))
            }
            Err(e) => Err(problem(e)),
        }
    }

    /// Seals `plain` for the row that `place` names.
    pub fn seal(&self, place: &str, plain: &[u8]) -> Vec<u8> {
        let nonce: [u8; NONCE] = rand::random();
        let payload = Payload { msg: plain, aad: place.as_bytes() };
        let mut sealed = nonce.to_vec();
        // The cipher only refuses texts of over 256 GB.
        sealed.extend(self.cipher.encrypt(&XNonce::from(nonce), payload).unwrap_or_default());
        sealed
    }

    /// Opens what [`Sealer::seal`] made for the same place.
    pub fn open(&self, place: &str, sealed: &[u8]) -> Result<Vec<u8>, SecretError> {
        let (nonce, text) = sealed.split_first_chunk::<NONCE>().ok_or(SecretError::DoesNotOpen)?;
        self.cipher
            .decrypt(&XNonce::from(*nonce), Payload { msg: text, aad: place.as_bytes() })
            .map_err(|_| SecretError::DoesNotOpen)
    }

    /// A proof, in hexadecimal digits, that whoever has this key said `text`.
    pub fn sign(&self, text: &str) -> String {
        hex::encode(self.seal(&format!("signature/{text}"), b""))
    }

    /// Whether `signature` is what [`Sealer::sign`] made for the same text.
    pub fn is_signed(&self, text: &str, signature: &str) -> bool {
        hex::decode(signature).is_ok_and(|sealed| self.open(&format!("signature/{text}"), &sealed).is_ok())
    }
}

/// A new API token: `HRKU-` and a random UUID, the shape that Heroku's clients know.
pub fn new_token() -> String {
    format!("HRKU-{}", uuid::Uuid::new_v4())
}

/// Its first and last letters, with as many stars between as Heroku's clients look for: by
/// this they know a token again. 90 bits of it stay unknown.
pub fn token_hint(token: &str) -> Option<String> {
    let (start, end) = (token.get(..9)?, token.get(token.len().checked_sub(4)?..)?);
    (token.len() > 30).then(|| format!("{start}**********{end}"))
}

/// Whether two secrets are the same, in a time that tells nothing of them.
pub fn same(a: &[u8], b: &[u8]) -> bool {
    use subtle::ConstantTimeEq as _;
    Sha256::digest(a).ct_eq(&Sha256::digest(b)).into()
}

/// What is stored of a token. It is 122 random bits, so a plain hash suffices.
pub fn token_hash(token: &str) -> Vec<u8> {
    Sha256::digest(token.as_bytes()).to_vec()
}

/// A random password of 256 bits in hexadecimal digits.
pub fn random_password() -> String {
    hex::encode(rand::random::<[u8; 32]>())
}

/// Argon2id of a password, in the PHC string form, with a fresh salt.
pub fn hash_password(password: &str) -> Result<String, String> {
    use argon2::PasswordHasher as _;
    argon2::Argon2::default().hash_password(password.as_bytes()).map(|hash| hash.to_string()).map_err(|e| e.to_string())
}

/// Whether `password` is the one of `hash`.
pub fn verify_password(password: &str, hash: &str) -> bool {
    use argon2::PasswordVerifier as _;
    argon2::PasswordHash::new(hash)
        .is_ok_and(|parsed| argon2::Argon2::default().verify_password(password.as_bytes(), &parsed).is_ok())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    #[test]
    fn sealed_for_one_place_opens_there_only() {
        let sealer = Sealer::new([7; 32]);
        let sealed = sealer.seal("app/KEY", b"value");
        assert_eq!(sealer.open("app/KEY", &sealed).unwrap(), b"value");
        assert!(sealer.open("app/OTHER", &sealed).is_err());
        assert!(Sealer::new([8; 32]).open("app/KEY", &sealed).is_err());
        assert!(sealer.open("app/KEY", &sealed[..10]).is_err());
        assert_ne!(sealed, sealer.seal("app/KEY", b"value"), "the nonce is fresh each time");
    }

    #[test]
    fn a_signature_is_of_one_text_and_key() {
        let sealer = Sealer::new([7; 32]);
        let signature = sealer.sign("slug/1/99");
        assert!(sealer.is_signed("slug/1/99", &signature));
        assert!(!sealer.is_signed("slug/1/999", &signature));
        assert!(!Sealer::new([8; 32]).is_signed("slug/1/99", &signature));
        // What is sealed for a row is no signature.
        assert!(!sealer.is_signed("slug/1/99", &hex::encode(sealer.seal("slug/1/99", b""))));
        assert!(!sealer.is_signed("slug/1/99", "") && !sealer.is_signed("slug/1/99", "no hex"));
    }

    #[test]
    fn a_hint_is_little_of_a_token() {
        let hint = token_hint("HRKU-01234567-89ab-cdef-0123-456789abcdef").unwrap();
        assert_eq!(hint, "HRKU-0123**********cdef");
        assert_eq!(token_hint("HRKU-short"), None);
        assert!(same(b"a", b"a") && !same(b"a", b"b") && !same(b"a", b"a "));
    }

    #[test]
    fn passwords() {
        let hash = hash_password("correct horse").unwrap();
        assert!(verify_password("correct horse", &hash));
        assert!(!verify_password("wrong", &hash));
        assert!(!verify_password("correct horse", "not a hash"));
    }
}
