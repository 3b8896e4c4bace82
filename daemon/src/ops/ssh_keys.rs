//! SSH keys of accounts: kept and shown; nothing here lets anybody in by them yet.

use md5::{Digest as _, Md5};
use ssh_key::{PublicKey, public::KeyData};

use super::{Actor, Platform};
use crate::{
    context::new_id,
    error::{Error, Result},
    store::ssh_keys::{self, SshKey},
};

/// Most keys of one account.
const MOST: usize = 100;

/// Shortest RSA key, in bits.
const SHORTEST_RSA: usize = 2048;

/// The actor's keys.
pub async fn list(p: &Platform, actor: &Actor) -> Result<Vec<SshKey>> {
    Ok(ssh_keys::list(&mut p.db.read().await?, actor.user.id).await?)
}

/// One of them, by identity or fingerprint.
pub async fn find(p: &Platform, actor: &Actor, which: &str) -> Result<SshKey> {
    let found = list(p, actor).await?.into_iter().find(|key| key.id.to_string() == which || key.fingerprint == which);
    found.ok_or_else(|| Error::not_found("key", which))
}

/// Adds one.
pub async fn add(p: &Platform, actor: &Actor, text: &str) -> Result<SshKey> {
    let parsed = parse(text)?;
    let comment: String = match parsed.comment.trim() {
        "" => actor.user.email.clone(),
        comment => comment.chars().filter(|c| !c.is_control()).take(200).collect(),
    };
    let now = p.cx.now();
    let key = SshKey {
        id: new_id(),
        user_id: actor.user.id,
        public_key: format!("{} {comment}", parsed.line),
        comment,
        fingerprint: parsed.fingerprint,
        created_at: now,
        updated_at: now,
    };
    let mut tx = p.db.begin().await?;
    // The insert first: a change begins with a write.
    ssh_keys::insert(&mut tx, &key).await.map_err(|e| {
        if e.is_duplicate() {
            Error::invalid("public_key: this key has been added already, to this account or to another.")
        } else {
            e.into()
        }
    })?;
    if ssh_keys::list(&mut tx, actor.user.id).await?.len() > MOST {
        return Err(Error::invalid(format!("public_key: an account has at most {MOST} keys; remove one first.")));
    }
    tx.commit(None).await?;
    Ok(key)
}

/// Removes one.
pub async fn remove(p: &Platform, key: &SshKey) -> Result<()> {
    let mut tx = p.db.begin().await?;
    ssh_keys::delete(&mut tx, key.id).await?;
    tx.commit(None).await?;
    Ok(())
}

#[derive(Debug)]
pub(crate) struct Parsed {
    /// Kind and key, without the comment.
    pub(crate) line: String,
    comment: String,
    pub(crate) fingerprint: String,
}

/// Reads a line as in a file that ends in `.pub`.
pub(crate) fn parse(text: &str) -> Result<Parsed> {
    let text = text.trim();
    let bad = |why: &str| Error::invalid(format!("public_key: {why}."));
    if text.contains("PRIVATE KEY") {
        return Err(bad("this is a private key, which nobody else may see; give the file that ends in .pub"));
    }
    if text.len() > 20_000 || text.lines().count() != 1 {
        return Err(bad("it must be one line, as in a file that ends in .pub"));
    }
    let key = PublicKey::from_openssh(text)
        .map_err(|_| bad("this is no SSH public key; it looks like: ssh-ed25519 AAAA… you@example.com"))?;
    if let KeyData::Dsa(_) = key.key_data() {
        return Err(bad("DSA keys are not safe any more; make another with: ssh-keygen -t ed25519"));
    }
    if let KeyData::Rsa(rsa) = key.key_data()
        && rsa.n.as_positive_bytes().map_or(0, <[u8]>::len) * 8 < SHORTEST_RSA
    {
        return Err(bad("RSA keys need at least 2048 bits; make another with: ssh-keygen -t ed25519"));
    }
    let bytes = key.to_bytes().map_err(|_| bad("this key can't be read"))?;
    let hex: Vec<String> = Md5::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    let mut parts = text.split_whitespace();
    let line = [parts.next().unwrap_or_default(), parts.next().unwrap_or_default()].join(" ");
    Ok(Parsed { line, comment: key.comment().to_owned(), fingerprint: hex.join(":") })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    const ED: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIE0ZzUiac7LVSQt7HU+qkBpmupVTQ2Y/DYIgI4q1ju3i me@laptop";

    #[test]
    fn keys_are_read_as_ssh_keygen_does() {
        let key = parse(&format!("  {ED}\n")).unwrap();
        assert_eq!(key.comment, "me@laptop");
        assert!(ED.starts_with(&key.line) && key.line.len() < ED.len());
        // What `ssh-keygen -l -E md5` says of it.
        assert_eq!(key.fingerprint, "cc:82:6e:34:0a:68:be:1c:9e:b8:d0:43:43:66:9a:5b");
        for bad in [
            "",
            "ssh-ed25519",
            "ssh-ed25519 AAAA me",
            "ssh-rsa AAAAC3NzaC1lZDI1NTE5AAAAIE0ZzUiac7LVSQt7HU+qkBpmupVTQ2Y/DYIgI4q1ju3i me",
            // 1024 bits.
            "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAAAgQDkkIRfulAlpGX3kVDJdpuo9xTFa6iOG11hbAnrCutc9HougdE6E/IdHJzRdzEO192mpEoyZrU/5uY6itpy+mxIlyhjfliMvVnu158EeUkwkm6nHUHecQeL4pkw8BAjf49t5FuI/C9BY9smHJY5J9fAcRuH4UdpjTfnfAclH3xJ5Q== weak",
            "-----BEGIN OPENSSH PRIVATE KEY-----",
            &format!("{ED}\n{ED}"),
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
