//! What a push means: which refs are only kept, and which one deploys.

use super::hook::Update;

/// What is pushed to one of these is deployed.
const DEPLOYED: [&str; 2] = ["refs/heads/main", "refs/heads/master"];

/// What shall become of a push.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Plan<'a> {
    /// What is built and released.
    pub(super) deploy: Option<&'a Update>,
    /// What the pusher is told.
    pub(super) notes: Vec<String>,
}

/// A branch without `refs/heads/`.
pub(super) fn short(name: &str) -> &str {
    name.strip_prefix("refs/heads/").unwrap_or(name)
}

/// Whether git means "none" by it.
pub(super) fn is_zero(id: &str) -> bool {
    id.bytes().all(|b| b == b'0')
}

/// Those that move what is deployed, and so must be what git will take.
pub(super) fn deploying(updates: &[Update]) -> impl Iterator<Item = &Update> {
    updates.iter().filter(|update| DEPLOYED.contains(&update.name.as_str()) && !is_zero(&update.new))
}

/// The branch that is deployed and has one of the name of `branch` in its way, or is in its.
fn above(branch: &str) -> Option<&'static str> {
    let below = |name: &&str| branch.strip_prefix(short(name)).is_some_and(|rest| rest.starts_with('/'));
    DEPLOYED.into_iter().find(below).map(short)
}

/// Decides; `head` is the branch that was deployed last. `Err` is why the push is refused, for
/// the pusher.
pub(super) fn plan<'a>(updates: &'a [Update], app: &str, head: &str) -> Result<Plan<'a>, String> {
    let mut plan = Plan::default();
    if let Some(update) = updates.iter().find(|update| is_zero(&update.new) && update.name == head) {
        let short = short(&update.name);
        return Err(format!(
            "\n !     The branch {short} is what {app} was deployed from: it can't be deleted.\n \
             !     To deploy something else, push it there: git push -f paas BRANCH:{short}\n \
             !     To remove the app: paas apps:destroy -a {app}\n\n"
        ));
    }
    for update in deploying(updates) {
        match plan.deploy {
            Some(other) if other.new != update.new => {
                return Err("\n !     main and master were pushed at once, with different commits.\n \
                     !     Push the one that you want to deploy.\n\n"
                    .to_owned());
            }
            Some(_) | None => plan.deploy = Some(update),
        }
    }
    let mut branches = updates
        .iter()
        .filter(|update| update.name.starts_with("refs/heads/") && !is_zero(&update.new))
        .map(|update| short(&update.name));
    if plan.deploy.is_none()
        && let Some(branch) = branches.next()
    {
        let command = match above(branch) {
            // Beside it git can't have the branch that deploys.
            Some(deployed) => format!("git push paas --delete {branch} && git push paas {branch}:{deployed}"),
            None => format!("git push paas {branch}:main"),
        };
        plan.notes.push(format!(
            "\nPushed to branch other than [main, master], skipping build.\nTo deploy this branch: {command}\n\n"
        ));
    }
    Ok(plan)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn update(name: &str, new: &str) -> Update {
        Update { old: "0".repeat(40), new: new.into(), name: name.into() }
    }

    #[test]
    fn only_main_and_master_deploy() {
        let zero = "0".repeat(40);
        let deploys =
            |list: &[Update]| plan(list, "a", "refs/heads/main").map(|plan| plan.deploy.map(|u| u.name.clone()));
        assert_eq!(deploys(&[update("refs/heads/main", "1")]), Ok(Some("refs/heads/main".into())));
        assert_eq!(deploys(&[update("refs/heads/master", "1")]), Ok(Some("refs/heads/master".into())));
        assert_eq!(deploys(&[update("refs/tags/v1", "1")]), Ok(None));
        assert_eq!(deploys(&[update("refs/heads/feature", &zero)]), Ok(None));
        assert!(deploys(&[update("refs/heads/main", &zero)]).unwrap_err().contains("can't be deleted"));
        assert_eq!(deploys(&[update("refs/heads/master", &zero)]), Ok(None), "the app was deployed from main");
        assert!(deploys(&[update("refs/heads/main", "1"), update("refs/heads/master", "2")]).is_err());
        assert!(deploys(&[update("refs/heads/main", "1"), update("refs/heads/master", "1")]).is_ok());
        let list = [update("refs/heads/mainly", "1")];
        let mainly = plan(&list, "a", "refs/heads/main").unwrap();
        assert!(mainly.notes[0].contains("branch: git push paas mainly:main\n"), "{mainly:?}");
        let list = [update("refs/heads/main/x", "1")];
        let plan = plan(&list, "a", "refs/heads/main").unwrap();
        assert!(plan.deploy.is_none() && plan.notes[0].contains("git push paas main/x:main"), "{plan:?}");
        assert!(plan.notes[0].contains("git push paas --delete main/x"), "{plan:?}");
    }
}
