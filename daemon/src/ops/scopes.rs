//! What a token may do: Heroku's scopes.
//!
//! `global` is everything. `identity` sees who the account is. `read` and `write` are for apps
//! and what belongs to them, without config vars and other secrets; `read-protected` and
//! `write-protected` are the same with them. Who may write may also read. The account itself
//! (its tokens, keys, password), and who else gets to its apps and teams, is for `global` only.
//! To run a program beside an app's code takes its secrets too. Code that is deployed sees them
//! as well, and whoever may write may deploy: `write` keeps them from being shown, not from code.

use crate::error::{Error, Result};

/// One scope.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Everything.
    Global,
    /// See who the account is.
    Identity,
    /// See apps.
    Read,
    /// Change apps.
    Write,
    /// See apps and their secrets.
    ReadProtected,
    /// Change apps and their secrets.
    WriteProtected,
}

/// All of them, in Heroku's order.
pub const ALL: [Scope; 6] =
    [Scope::Global, Scope::Identity, Scope::Read, Scope::Write, Scope::ReadProtected, Scope::WriteProtected];

impl Scope {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Global => "global",
            Self::Identity => "identity",
            Self::Read => "read",
            Self::Write => "write",
            Self::ReadProtected => "read-protected",
            Self::WriteProtected => "write-protected",
        }
    }

    /// What it lets somebody do, as a page says it to the account's owner.
    pub fn meaning(self) -> &'static str {
        match self {
            Self::Global => {
                "do everything that you can do: see and change your account, your apps and their config vars"
            }
            Self::Identity => "see your name and e-mail address",
            Self::Read => "see your apps and what belongs to them, without config vars",
            Self::Write => {
                "see and change your apps and what belongs to them, without config vars (but code that is deployed sees these)"
            }
            Self::ReadProtected => "see your apps and what belongs to them, config vars too",
            Self::WriteProtected => "see and change your apps and what belongs to them, config vars too",
        }
    }
}

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// What every token may do.
    Anything,
    /// Who the account is.
    Identity,
    /// The account itself.
    Account,
    /// Apps and what belongs to them.
    Apps,
    /// Config vars and what else is secret.
    Secrets,
}

/// What is asked for, and whether to change it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Need {
    /// What.
    pub what: What,
    /// To change it.
    pub write: bool,
}

impl Need {
    /// To change apps: what a push is.
    pub const WRITE: Self = Self { what: What::Apps, write: true };
    /// To see apps: what a clone is.
    pub const READ: Self = Self { what: What::Apps, write: false };

    /// The scopes of which one is enough.
    pub fn enough(self) -> &'static [Scope] {
        match (self.what, self.write) {
            (What::Anything, _) => &ALL,
            (What::Identity, false) => &[Scope::Global, Scope::Identity],
            (What::Identity | What::Account, _) => &[Scope::Global],
            (What::Apps, false) => {
                &[Scope::Global, Scope::Read, Scope::Write, Scope::ReadProtected, Scope::WriteProtected]
            }
            (What::Apps, true) => &[Scope::Global, Scope::Write, Scope::WriteProtected],
            (What::Secrets, false) => &[Scope::Global, Scope::ReadProtected, Scope::WriteProtected],
            (What::Secrets, true) => &[Scope::Global, Scope::WriteProtected],
        }
    }
}

/// The scopes of a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scopes(Vec<Scope>);

impl Scopes {
    /// Everything.
    pub fn global() -> Self {
        Self(vec![Scope::Global])
    }

    /// Reads names; none are an error, as is a name that there is not.
    pub fn parse<'a>(names: impl IntoIterator<Item = &'a str>) -> Result<Self> {
        let mut scopes = Vec::new();
        for name in names {
            let scope = ALL.into_iter().find(|scope| scope.name() == name).ok_or_else(|| {
                let all: Vec<&str> = ALL.iter().map(|scope| scope.name()).collect();
                let shown: String = name.chars().take(60).collect();
                Error::invalid(format!("scope: there is no scope {shown:?}. There are {}.", all.join(", ")))
            })?;
            if !scopes.contains(&scope) {
                scopes.push(scope);
            }
        }
        if scopes.is_empty() {
            return Err(Error::invalid("scope: at least one scope is needed, such as global or read."));
        }
        Ok(Self(scopes))
    }

    /// As they are kept. What can't be read allows nothing.
    pub fn kept(text: &str) -> Self {
        Self::parse(text.split_whitespace()).unwrap_or(Self(Vec::new()))
    }

    /// Each of them.
    pub fn iter(&self) -> impl Iterator<Item = Scope> + '_ {
        self.0.iter().copied()
    }

    /// Whether they suffice.
    pub fn allow(&self, need: Need) -> bool {
        self.0.iter().any(|scope| need.enough().contains(scope))
    }
}

impl std::fmt::Display for Scopes {
    /// As they are kept: names with spaces between.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<&str> = self.0.iter().map(|scope| scope.name()).collect();
        f.write_str(&names.join(" "))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    #[test]
    fn each_scope_allows_what_it_says() {
        let allowed = |scopes: &str| {
            let scopes = Scopes::kept(scopes);
            let mut can = Vec::new();
            for what in [What::Identity, What::Account, What::Apps, What::Secrets] {
                for write in [false, true] {
                    if scopes.allow(Need { what, write }) {
                        can.push(format!("{what:?}{}", if write { "!" } else { "" }));
                    }
                }
            }
            can.join(" ")
        };
        assert_eq!(allowed("global"), "Identity Identity! Account Account! Apps Apps! Secrets Secrets!");
        assert_eq!(allowed("identity"), "Identity");
        assert_eq!(allowed("read"), "Apps");
        assert_eq!(allowed("write"), "Apps Apps!");
        assert_eq!(allowed("read-protected"), "Apps Secrets");
        assert_eq!(allowed("write-protected"), "Apps Apps! Secrets Secrets!");
        assert_eq!(allowed("identity read"), "Identity Apps");
        assert_eq!(allowed("what is this"), "");
        assert_eq!(Scopes::parse(["read", "read", "identity"]).unwrap().to_string(), "read identity");
        assert!(Scopes::parse([]).is_err() && Scopes::parse(["Global"]).is_err());
    }
}
