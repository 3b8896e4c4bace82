//! The refs of an app's repository: whether git will take a push, and which branch is deployed.

use std::path::Path;

use git2::{ErrorCode, Repository};

use super::{
    hook::Update,
    plan::{deploying, is_zero, short},
    tree::TreeError,
};

/// Refuses what git would refuse after the build: a branch that has moved since the pusher
/// looked, or one that can't be beside another. Whoever asks has the app's turn, so that nothing
/// moves any more.
pub(super) fn check(repository: &Repository, updates: &[Update]) -> Result<(), TreeError> {
    for update in deploying(updates) {
        let now = match repository.find_reference(&update.name) {
            Ok(reference) => reference.target().map(|id| id.to_string()),
            Err(error) if error.code() == ErrorCode::NotFound => None,
            Err(error) => return Err(error.into()),
        };
        let branch = short(&update.name);
        if now.as_deref() != Some(update.old.as_str()).filter(|old| !is_zero(old)) {
            return Err(TreeError::Refused(format!("{branch} was pushed meanwhile: git fetch, then push again")));
        }
        let below = format!("{}/", update.name);
        let coming = updates.iter().find(|other| other.name.starts_with(&below) && !is_zero(&other.new));
        let kept = repository.references_glob(&format!("{below}*"))?.names().next().transpose()?.map(str::to_owned);
        if let Some(name) = coming.map(|other| other.name.clone()).or(kept) {
            let name = short(&name);
            return Err(TreeError::Refused(format!(
                "git can't have the branch {branch} beside {name}: git push paas --delete {name}, then push {branch} again"
            )));
        }
    }
    Ok(())
}

/// The branch that was deployed last, by its full name.
pub(super) fn head(git_dir: &Path) -> Result<String, git2::Error> {
    let repository = Repository::open_bare(git_dir)?;
    let head = repository.find_reference("HEAD")?;
    Ok(head.symbolic_target()?.unwrap_or_default().to_owned())
}

/// Whoever clones gets the branch that was just deployed, when git has taken it.
pub(super) fn follow(git_dir: &Path, branch: &str, commit: &str) -> Result<(), git2::Error> {
    let repository = Repository::open_bare(git_dir)?;
    let there = repository.find_reference(branch)?.target();
    if there.is_some_and(|id| id.to_string() == commit) {
        repository.set_head(branch)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn what_git_would_refuse_later_is_refused_before_the_build() {
        let root = std::env::temp_dir().join(format!("paas-git-refs-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&root);
        let repository = Repository::init_bare(&root).unwrap();
        let zero = "0".repeat(40);
        let tree = repository.find_tree(repository.treebuilder(None).unwrap().write().unwrap()).unwrap();
        let who = git2::Signature::now("a", "a@b").unwrap();
        let commit = |text: &str| repository.commit(None, &who, &who, text, &tree, &[]).unwrap();
        let (one, two) = (commit("1"), commit("2"));
        let update = |old: &str, name: &str| Update { old: old.into(), new: two.to_string(), name: name.into() };
        let said = |updates: &[Update]| check(&repository, updates).map_err(|error| error.to_string());
        assert_eq!(said(&[update(&zero, "refs/heads/main")]), Ok(()));
        assert!(said(&[update(&one.to_string(), "refs/heads/main")]).unwrap_err().contains("pushed meanwhile"));
        repository.reference("refs/heads/main", one, false, "").unwrap();
        assert!(said(&[update(&zero, "refs/heads/main")]).unwrap_err().contains("main was pushed meanwhile"));
        assert_eq!(said(&[update(&one.to_string(), "refs/heads/main")]), Ok(()));
        // `master` is a file, `master/x` would want a directory of that name.
        let both = [update(&zero, "refs/heads/master"), update(&zero, "refs/heads/master/x")];
        assert!(said(&both).unwrap_err().contains("the branch master beside master/x"));
        repository.reference("refs/heads/master/y/z", one, false, "").unwrap();
        assert!(said(&both[..1]).unwrap_err().contains("git push paas --delete master/y/z"));
        // What isn't deployed is git's own business.
        assert_eq!(said(&[update(&one.to_string(), "refs/heads/feature")]), Ok(()));
        follow(&root, "refs/heads/main", &two.to_string()).unwrap();
        repository.reference("refs/heads/live", two, false, "").unwrap();
        assert_ne!(head(&root).unwrap(), "refs/heads/live");
        follow(&root, "refs/heads/live", &two.to_string()).unwrap();
        assert_eq!(head(&root).unwrap(), "refs/heads/live");
        std::fs::remove_dir_all(&root).unwrap();
    }
}
