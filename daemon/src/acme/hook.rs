//! The administrator's program that writes DNS records: `present NAME VALUE` before a challenge,
//! `cleanup NAME VALUE` after it.

use std::{path::Path, process::Stdio, time::Duration};

use tokio::{io::AsyncReadExt as _, process::Command};

/// How long it may take: it returns when the record can be seen, which takes some providers minutes.
const TIME: Duration = Duration::from_secs(300);

/// What is kept of what it says, in bytes.
const SAID: u64 = 4096;

/// Runs it, without a shell; an error is a sentence.
pub async fn run(program: &Path, action: &str, name: &str, value: &str) -> Result<(), String> {
    let shown = program.display();
    let child = Command::new(program)
        .args([action, name, value])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn();
    let mut child = child.map_err(|e| format!("{shown} can't be run: {e}"))?;
    let errors = child.stderr.take();
    let run = async {
        let mut said = Vec::new();
        if let Some(errors) = errors {
            let mut first = errors.take(SAID);
            let _ = first.read_to_end(&mut said).await;
            // The rest is read, so that it can write it, and forgotten.
            let _ = tokio::io::copy(&mut first.into_inner(), &mut tokio::io::sink()).await;
        }
        (child.wait().await, said)
    };
    match tokio::time::timeout(TIME, run).await {
        Ok((Ok(status), _)) if status.success() => Ok(()),
        Ok((Ok(status), said)) => {
            let said = String::from_utf8_lossy(&said);
            let last = said.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("it says nothing");
            let last: String = last.chars().filter(|c| !c.is_control()).take(300).collect();
            Err(format!("{shown} {action} {name} failed ({status}): {last}"))
        }
        Ok((Err(e), _)) => Err(format!("{shown} can't be waited for: {e}")),
        Err(_) => Err(format!("{shown} {action} {name} did not end within {} s", TIME.as_secs())),
    }
}
