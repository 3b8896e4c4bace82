//! What every command is given: the settings and, once it asks, the client.

use std::cell::{Cell, OnceCell};
use std::process::ExitStatus;

use crate::app::AppArgs;
use crate::client::Client;
use crate::credentials;
use crate::failure::Failure;
use crate::settings::Settings;

/// The surroundings of a command.
pub(crate) struct Context {
    /// What the environment says.
    pub(crate) settings: Settings,
    client: OnceCell<Client>,
    lent: Cell<bool>,
}

impl Context {
    /// Surroundings without a client yet: commands that need none pay for none.
    pub(crate) fn new(settings: Settings) -> Self {
        Self { settings, client: OnceCell::new(), lent: Cell::new(false) }
    }

    /// The client of the person who is logged in.
    pub(crate) fn client(&self) -> anyhow::Result<&Client> {
        if let Some(client) = self.client.get() {
            return Ok(client);
        }
        let token = self.token()?.ok_or_else(|| {
            Failure::new(format!("You are not logged in to {}.", self.settings.base()))
                .hint("Log in with `paas login`, or set PAAS_API_KEY to an API token.")
        })?;
        let client = Client::new(&self.settings, Some(token))?;
        Ok(self.client.get_or_init(|| client))
    }

    /// The token to use: `PAAS_API_KEY`, else the one of the netrc file.
    pub(crate) fn token(&self) -> anyhow::Result<Option<String>> {
        self.token_of(&self.settings.machine())
    }

    /// The token of a host (`HOST` or `HOST:PORT`), which need not be the one of these settings;
    /// `PAAS_API_KEY` is that one's only.
    pub(crate) fn token_of(&self, machine: &str) -> anyhow::Result<Option<String>> {
        if let Some(key) = self.settings.api_key.as_ref().filter(|_| machine == self.settings.machine()) {
            return Ok(Some(key.clone()));
        }
        let Some(file) = &self.settings.netrc else { return Ok(None) };
        Ok(credentials::load(file, machine)?.map(|login| login.token))
    }

    /// Whether a request that changes something has been sent and not been answered.
    pub(crate) fn is_changing(&self) -> bool {
        self.client.get().is_some_and(Client::is_changing)
    }

    /// Runs a program that has the terminal to itself: what is typed there, Ctrl-C too, is its
    /// affair until it ends.
    pub(crate) async fn lend_terminal(&self, program: &mut tokio::process::Command) -> std::io::Result<ExitStatus> {
        self.lent.set(true);
        let status = program.status().await;
        // A signal that came last is seen now, not later.
        tokio::task::yield_now().await;
        self.lent.set(false);
        status
    }

    /// Whether a program has the terminal.
    pub(crate) fn has_lent_terminal(&self) -> bool {
        self.lent.get()
    }

    /// The app to work on and the client to do it with.
    pub(crate) fn app(&self, arguments: &AppArgs) -> anyhow::Result<(String, &Client)> {
        let app = arguments.name(&self.settings)?;
        Ok((app, self.client()?))
    }
}
