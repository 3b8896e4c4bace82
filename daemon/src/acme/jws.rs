//! Signatures of an account's requests (RFC 7515, 7638): ES256, and HMAC to bind an account.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
use ring::{
    hmac,
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _},
};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::{AcmeError, http::Binding};

/// The key of an account: P-256.
pub struct AccountKey {
    pair: EcdsaKeyPair,
}

impl std::fmt::Debug for AccountKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("AccountKey(..)")
    }
}

fn bad(what: &str) -> AcmeError {
    AcmeError::Settings(format!("The key of the ACME account {what}."))
}

impl AccountKey {
    /// A new one, as PKCS#8.
    pub fn generate() -> Result<Vec<u8>, AcmeError> {
        let made = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new());
        Ok(made.map_err(|_| bad("can't be made"))?.as_ref().to_vec())
    }

    /// Reads one.
    pub fn from_pkcs8(der: &[u8]) -> Result<Self, AcmeError> {
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, der, &SystemRandom::new());
        Ok(Self { pair: pair.map_err(|_| bad("can't be read"))? })
    }

    fn jwk(&self) -> Value {
        // A point without compression: 4, x, y.
        let point = self.pair.public_key().as_ref();
        let (x, y) = point.get(1..).unwrap_or_default().split_at_checked(32).unwrap_or_default();
        json!({"crv": "P-256", "kty": "EC", "x": BASE64.encode(x), "y": BASE64.encode(y)})
    }

    /// What a challenge's token is answered with.
    pub fn answer(&self, token: &str) -> String {
        // The members in this order and nothing between them: serde_json sorts them.
        format!("{token}.{}", BASE64.encode(Sha256::digest(self.jwk().to_string())))
    }

    /// A signed request. Without an account's address (`kid`) the key itself is in it.
    pub(super) fn sign(
        &self,
        kid: Option<&str>,
        nonce: &str,
        url: &str,
        payload: Option<&Value>,
    ) -> Result<Value, AcmeError> {
        let mut header = json!({"alg": "ES256", "nonce": nonce, "url": url});
        match kid {
            Some(kid) => header["kid"] = json!(kid),
            None => header["jwk"] = self.jwk(),
        }
        let payload = payload.map(Value::to_string).unwrap_or_default();
        let (protected, payload) = (BASE64.encode(header.to_string()), BASE64.encode(payload));
        let signature = self.pair.sign(&SystemRandom::new(), format!("{protected}.{payload}").as_bytes());
        let signature = signature.map_err(|_| bad("can't sign"))?;
        Ok(json!({"protected": protected, "payload": payload, "signature": BASE64.encode(signature)}))
    }

    /// What binds this key to an account that was made by hand (RFC 8555 §7.3.4).
    pub(super) fn bound(&self, binding: &Binding, url: &str) -> Value {
        let header = json!({"alg": "HS256", "kid": binding.key_id, "url": url});
        let (protected, payload) = (BASE64.encode(header.to_string()), BASE64.encode(self.jwk().to_string()));
        let key = hmac::Key::new(hmac::HMAC_SHA256, &binding.key);
        let signature = hmac::sign(&key, format!("{protected}.{payload}").as_bytes());
        json!({"protected": protected, "payload": payload, "signature": BASE64.encode(signature)})
    }
}
