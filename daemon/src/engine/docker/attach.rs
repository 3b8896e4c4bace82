//! Attached sessions: a dyno from its first byte on, or one more program in a container.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bollard::container::LogOutput;
use bollard::errors::Error;
use bollard::exec::{CreateExecOptions, ResizeExecOptions, StartExecOptions, StartExecResults};
use bollard::query_parameters::{AttachContainerOptions, ResizeContainerTTYOptions};
use bytes::Bytes;
use futures_util::stream::BoxStream;
use futures_util::{Stream, StreamExt};
use uuid::Uuid;

use super::super::{DynoSpec, EngineError, ExecSpec, OutputStream, Result, Session, SessionControl, Target};
use super::client::{failed, status};
use super::{DockerEngine, names};

/// Ends, in the container, whatever has this text among its environment. Docker tells no program
/// that its user has gone, and gives no number by which it is known inside.
const HANG_UP: &str = r#"tell() {
  there=
  for at in /proc/[0-9]*; do
    mapfile -d '' all <"$at/environ" && [[ " ${all[*]} " == *" $0 "* ]] && kill "-$1" "${at##*/}" && there=1
  done
} 2>/dev/null
tell HUP
for wait in 0.1 0.4 1.5 3 5; do
  [[ $there ]] || exit 0
  sleep "$wait"
  tell 0
done
tell KILL
exit 0"#;

impl DockerEngine {
    pub(super) async fn start_dyno_attached(&self, spec: &DynoSpec) -> Result<Session> {
        let docker = self.docker().await?;
        if !self.create_dyno(spec).await? {
            return Err(EngineError::AlreadyThere { what: format!("The dyno {} ({})", spec.name, spec.id) });
        }
        let name = names::dyno(spec.id);
        let options = AttachContainerOptions {
            stream: true,
            stdin: spec.stdin,
            stdout: true,
            stderr: true,
            ..Default::default()
        };
        // Attached before it starts, so that not a byte is missed.
        let attached = match docker.attach_container(&name, Some(options)).await {
            Ok(attached) => attached,
            Err(error) => {
                self.remove_dyno(spec.id).await?;
                return Err(failed("attach to the dyno", error));
            }
        };
        if let Err(problem) = self.start_created(spec.id).await {
            self.remove_dyno(spec.id).await?;
            return Err(problem);
        }
        Ok(Session {
            input: attached.input,
            output: pieces(attached.output),
            control: Arc::new(ContainerControl { engine: self.clone(), name, tty: spec.tty }),
        })
    }

    pub(super) async fn exec_in(&self, target: Target, spec: &ExecSpec) -> Result<Session> {
        let docker = self.docker().await?;
        let name = match target {
            Target::Dyno(id) => names::dyno(id),
            Target::Service(id) => names::service(id),
        };
        // By this it is found again when its user has gone.
        let mark = format!("PAAS_PROGRAM={}", Uuid::new_v4());
        let env = spec.env.iter().map(|(key, value)| format!("{key}={value}")).chain([mark.clone()]).collect();
        let options = CreateExecOptions {
            attach_stdin: Some(true),
            attach_stdout: Some(true),
            attach_stderr: Some(true),
            tty: Some(spec.tty),
            env: Some(env),
            cmd: Some(spec.argv.clone()),
            ..Default::default()
        };
        let exec = docker.create_exec(&name, options).await.map_err(|error| match status(&error) {
            Some(404 | 409) => EngineError::NotFound { what: format!("running container {name}") },
            Some(_) | None => failed("run a program in the container", error),
        })?;
        let start = StartExecOptions { detach: false, tty: spec.tty, output_capacity: None };
        let started = docker
            .start_exec(&exec.id, Some(start))
            .await
            .map_err(|error| failed("run a program in the container", error))?;
        let StartExecResults::Attached { output, input } = started else {
            return Err(EngineError::Other {
                action: "attach to a program".to_owned(),
                why: "it was started detached".to_owned(),
            });
        };
        let control = Arc::new(ExecControl { engine: self.clone(), container: name, id: exec.id, mark, tty: spec.tty });
        if let Some((columns, rows)) = spec.size {
            control.resize(columns, rows).await?;
        }
        Ok(Session { input, output: pieces(output), control })
    }
}

/// Docker's records as ours.
fn pieces(
    output: impl Stream<Item = std::result::Result<LogOutput, Error>> + Send + 'static,
) -> BoxStream<'static, Result<(OutputStream, Bytes)>> {
    output
        .map(|record| match record {
            Ok(LogOutput::StdErr { message }) => Ok((OutputStream::Stderr, message)),
            Ok(LogOutput::StdOut { message } | LogOutput::Console { message } | LogOutput::StdIn { message }) => {
                Ok((OutputStream::Stdout, message))
            }
            Err(error) => Err(failed("read the output", error)),
        })
        .boxed()
}

/// Steers a whole dyno.
struct ContainerControl {
    engine: DockerEngine,
    name: String,
    tty: bool,
}

#[async_trait]
impl SessionControl for ContainerControl {
    async fn resize(&self, columns: u16, rows: u16) -> Result<()> {
        if !self.tty {
            return Ok(());
        }
        let options = ResizeContainerTTYOptions { w: i32::from(columns), h: i32::from(rows) };
        match self.engine.docker().await?.resize_container_tty(&self.name, options).await {
            Ok(()) => Ok(()),
            // It has ended, or not begun.
            Err(error) if status(&error).is_some() => Ok(()),
            Err(error) => Err(failed("resize the terminal", error)),
        }
    }

    async fn exit_code(&self) -> Result<i64> {
        self.engine.wait(&self.name).await
    }

    async fn hang_up(&self) -> Result<()> {
        Ok(())
    }
}

impl DockerEngine {
    /// Waits until the container has ended; gives its exit code.
    pub(super) async fn wait(&self, name: &str) -> Result<i64> {
        let docker = self.docker().await?;
        let ended = docker.wait_container(name, None).next().await;
        match ended {
            Some(Ok(ended)) => Ok(ended.status_code),
            // How bollard gives every exit code but 0.
            Some(Err(Error::DockerContainerWaitError { code, .. })) => Ok(code),
            Some(Err(error)) => Err(failed("wait for the container", error)),
            None => Err(EngineError::Unavailable { why: format!("waiting for {name} broke off") }),
        }
    }
}

/// Steers one program in a container.
struct ExecControl {
    engine: DockerEngine,
    container: String,
    id: String,
    mark: String,
    tty: bool,
}

#[async_trait]
impl SessionControl for ExecControl {
    async fn resize(&self, columns: u16, rows: u16) -> Result<()> {
        if !self.tty {
            return Ok(());
        }
        let options = ResizeExecOptions { width: columns, height: rows };
        match self.engine.docker().await?.resize_exec(&self.id, options).await {
            Ok(()) => Ok(()),
            Err(error) if status(&error).is_some() => Ok(()),
            Err(error) => Err(failed("resize the terminal", error)),
        }
    }

    async fn exit_code(&self) -> Result<i64> {
        let docker = self.engine.docker().await?;
        loop {
            let seen = docker.inspect_exec(&self.id).await.map_err(|error| failed("look at a program", error))?;
            if let (Some(false), Some(code)) = (seen.running, seen.exit_code) {
                return Ok(code);
            }
            // Docker has no way to wait for it.
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
    }

    async fn hang_up(&self) -> Result<()> {
        let docker = self.engine.docker().await?;
        let options = CreateExecOptions {
            cmd: Some(["bash", "-c", HANG_UP, &self.mark].map(str::to_owned).into()),
            ..Default::default()
        };
        let exec = match docker.create_exec(&self.container, options).await {
            Ok(exec) => exec,
            // It has ended with its container.
            Err(error) if matches!(status(&error), Some(404 | 409)) => return Ok(()),
            Err(error) => return Err(failed("hang up on a program", error)),
        };
        let start = StartExecOptions { detach: true, ..Default::default() };
        docker.start_exec(&exec.id, Some(start)).await.map_err(|error| failed("hang up on a program", error))?;
        Ok(())
    }
}
