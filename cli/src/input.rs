//! What comes from stdin, read on a thread of its own: a read can't be called off, and Ctrl-C
//! must be heard meanwhile.

use anyhow::Context as _;

/// All of it.
pub(crate) async fn text() -> anyhow::Result<String> {
    read(|| std::io::read_to_string(std::io::stdin())).await
}

/// The next line, without its end.
pub(crate) async fn line() -> anyhow::Result<String> {
    let line = read(|| {
        let mut line = String::new();
        std::io::stdin().read_line(&mut line).map(|_| line)
    });
    Ok(line.await?.trim_end_matches(['\r', '\n']).to_owned())
}

async fn read<T: Send + 'static>(read: fn() -> std::io::Result<T>) -> anyhow::Result<T> {
    tokio::task::spawn_blocking(read).await?.context("stdin can't be read")
}
