//! The part of an attached stream that knows the program: started with its user there,
//! bytes carried both ways, hung up on when the user goes.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _};
use tokio::{
    io::{AsyncWrite, AsyncWriteExt as _},
    task::JoinHandle,
    time::Instant,
};

use crate::{
    engine::{self, OutputStream, Session, SessionControl},
    ops::{
        Platform,
        attach::{self, Waiting},
    },
};

/// A connection on which nothing is said for so long is closed (Heroku's limit).
const IDLE: Duration = Duration::from_secs(3600);

/// How long the exit code is waited for once the output has ended.
const CODE: Duration = Duration::from_secs(10);

/// How long the rest of what the user sends is taken after the program has ended. Closed
/// with bytes unread, a connection is reset, and the user may lose what was sent last.
const LINGER: Duration = Duration::from_secs(5);

/// What comes from the user.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Input {
    /// For its standard input.
    Data(Bytes),
    /// The end of that.
    End,
    /// The terminal's columns and rows.
    Size(u16, u16),
}

/// What goes to the user.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Output {
    /// What it wrote.
    Data(OutputStream, Bytes),
    /// Its exit code.
    Code(i32),
    /// Why there is none.
    Trouble(String),
}

enum End {
    /// The program has ended, or the engine lost it.
    Program,
    /// The user has gone, or has been silent for too long.
    User,
}

/// Starts what waits and carries bytes until one side ends. `encode` makes what is sent of
/// an output; nothing for what the protocol has no word for.
pub(super) async fn run(
    p: Platform,
    waiting: Waiting,
    inputs: impl Stream<Item = Input> + Send,
    mut write: impl AsyncWrite + Unpin + Send,
    encode: impl Fn(Output) -> Vec<u8> + Send,
) {
    let session = match attach::start(&p, &waiting).await {
        Ok(session) => session,
        Err(error) => {
            if let crate::error::Error::Internal { what, source } = &error {
                tracing::error!(error = %source, "{what}");
            }
            let _ = write.write_all(&encode(Output::Trouble(error.to_string()))).await;
            let _ = write.shutdown().await;
            return;
        }
    };
    let Session { mut input, mut output, control } = session;
    // Asked for now: when a slow reader has taken the last of a dyno's output, the dyno may be
    // gone for long.
    let code = matches!(waiting, Waiting::Dyno { .. }).then(|| exit_code(&control));
    let heard = Arc::new(Mutex::new(Instant::now()));
    let mark = |heard: &Mutex<Instant>| *heard.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    let to_program = async {
        let mut inputs = std::pin::pin!(inputs);
        let mut open = true;
        while let Some(item) = inputs.next().await {
            mark(&heard);
            match item {
                // A program that reads no more is no reason to end: it may still speak.
                Input::Data(data) if open => {
                    open = input.write_all(&data).await.is_ok() && input.flush().await.is_ok();
                }
                Input::Data(_) => {}
                Input::End => {
                    open = false;
                    let _ = input.shutdown().await;
                }
                Input::Size(columns, rows) => {
                    let _ = control.resize(columns, rows).await;
                }
            }
        }
    };
    let to_user = async {
        let last = loop {
            match output.next().await {
                Some(Ok((stream, data))) => {
                    mark(&heard);
                    if write.write_all(&encode(Output::Data(stream, data))).await.is_err() {
                        return End::User;
                    }
                    if write.flush().await.is_err() {
                        return End::User;
                    }
                }
                Some(Err(error)) => break Output::Trouble(error.to_string()),
                None => break outcome(code.unwrap_or_else(|| exit_code(&control))).await,
            }
        };
        let _ = write.write_all(&encode(last)).await;
        let _ = write.shutdown().await;
        End::Program
    };
    let idle = async {
        loop {
            let until = *heard.lock().unwrap_or_else(PoisonError::into_inner) + IDLE;
            if until <= Instant::now() {
                return;
            }
            tokio::time::sleep_until(until).await;
        }
    };
    let mut to_program = std::pin::pin!(to_program);
    let end = tokio::select! {
        biased;
        end = to_user => end,
        () = &mut to_program => End::User,
        () = idle => End::User,
    };
    if matches!(end, End::Program) {
        if let Waiting::Dyno { dyno, .. } = &waiting {
            p.logs.drains().mark(dyno.id);
        }
        let _ = tokio::time::timeout(LINGER, to_program).await;
    }
    match (&waiting, end) {
        (Waiting::Dyno { dyno, .. }, end) => {
            if matches!(end, End::User)
                && let Err(error) = attach::hang_up(&p, dyno.id).await
            {
                tracing::warn!(%error, dyno.id = %dyno.id, "a dyno whose user has gone could not be told");
            }
            // Its container may go: there was nobody else to hear it.
            p.logs.drains().mark(dyno.id);
        }
        (Waiting::Program { .. }, End::User) => {
            if let Err(error) = control.hang_up().await {
                tracing::warn!(%error, "a program whose user has gone could not be told");
            }
        }
        (Waiting::Program { .. }, End::Program) => {}
    }
}

fn exit_code(control: &Arc<dyn SessionControl>) -> JoinHandle<engine::Result<i64>> {
    let control = control.clone();
    tokio::spawn(async move { control.exit_code().await })
}

async fn outcome(code: JoinHandle<engine::Result<i64>>) -> Output {
    match tokio::time::timeout(CODE, code).await {
        Ok(Ok(Ok(code))) => Output::Code(i32::try_from(code).unwrap_or(i32::MAX)),
        Ok(Ok(Err(error))) => Output::Trouble(error.to_string()),
        Ok(Err(error)) => Output::Trouble(format!("Its exit code was lost ({error}).")),
        Err(_) => Output::Trouble("The program's output has ended, but not the program. `paas ps` shows it.".into()),
    }
}
