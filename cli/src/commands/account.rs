//! Who is logged in: `login`, `logout`, `auth:whoami`, `auth:token`, `auth:2fa`.

use std::io::IsTerminal as _;

use anyhow::Context as _;
use clap::Subcommand;
use paas_wire::{Account, Authorization, AuthorizationCreate};
use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::client::{Client, status_of};
use crate::context::Context;
use crate::credentials::{self, Login};
use crate::failure::Failure;
use crate::progress::Action;
use crate::{input, output};

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Log in with e-mail address and password, or with an API token
    #[command(name = "login", visible_alias = "auth:login")]
    Login {
        /// Log in with this API token instead ("-" reads it from stdin)
        #[arg(long, value_name = "TOKEN")]
        token: Option<String>,
        /// Log in with your browser instead, or with the one of this name
        #[arg(short, long, value_name = "NAME", num_args = 0..=1, conflicts_with = "token")]
        browser: Option<Option<String>>,
        /// Seconds that the token is good for; without an end when left out
        #[arg(short, long, value_name = "SECONDS", conflicts_with_all = ["token", "browser"])]
        expires_in: Option<u64>,
    },
    /// Log out: revoke the token and forget it
    #[command(name = "logout", visible_alias = "auth:logout")]
    Logout,
    /// Show who is logged in
    #[command(name = "auth:whoami", visible_alias = "whoami")]
    Whoami {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Show whether a second factor is asked for at login
    #[command(name = "auth:2fa", visible_aliases = ["2fa", "twofactor"])]
    SecondFactor {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Show the API token in use
    #[command(name = "auth:token")]
    Token,
}

impl Command {
    pub(crate) async fn run(self, context: &Context) -> anyhow::Result<()> {
        match self {
            Self::Login { token, browser, expires_in } => login(context, token, browser, expires_in).await,
            Self::Logout => logout(context).await,
            Self::Whoami { json } => {
                let account: Account = context.client()?.get("/account").await?;
                if json {
                    return output::json(&account);
                }
                output::line(account.email);
                Ok(())
            }
            Self::SecondFactor { json } => {
                let account: Account = context.client()?.get("/account").await?;
                if json {
                    return output::json(&json!({"two_factor_authentication": account.two_factor_authentication}));
                }
                let word = if account.two_factor_authentication { "enabled" } else { "not enabled" };
                output::line(format_args!("Two-factor authentication is {word}"));
                Ok(())
            }
            Self::Token => {
                context.client()?;
                output::line(context.token()?.unwrap_or_default());
                Ok(())
            }
        }
    }
}

async fn login(
    context: &Context,
    token: Option<String>,
    browser: Option<Option<String>>,
    expires_in: Option<u64>,
) -> anyhow::Result<()> {
    let settings = &context.settings;
    let file = settings
        .netrc
        .as_ref()
        .ok_or_else(|| Failure::new("There is no home folder to keep the token in.").hint("Set HOME or NETRC."))?;
    let login = match (token, browser) {
        (Some(token), _) => login_with_token(context, token).await?,
        (None, Some(browser)) => login_with_browser(context, browser.as_deref()).await?,
        (None, None) => login_with_password(context, expires_in).await?,
    };
    credentials::save(file, &settings.machine(), &login)?;
    output::note(format_args!("Logged in to {} as {}", settings.base(), login.user));
    if settings.api_key.is_some() {
        output::complain("PAAS_API_KEY is set and goes before this login; unset it to use the login.");
    }
    Ok(())
}

/// The server's own words tell one to log in, which is what was just tried.
fn refused(error: anyhow::Error, what: &str) -> anyhow::Error {
    if status_of(&error) != Some(StatusCode::UNAUTHORIZED) {
        return error;
    }
    Failure::new(format!("The server does not know this {what}.")).hint("Nothing was changed; try again.").into()
}

async fn login_with_token(context: &Context, token: String) -> anyhow::Result<Login> {
    let token = if token == "-" {
        if std::io::stdin().is_terminal() {
            output::note("Type the token, then Return and Ctrl-D:");
        }
        input::text().await?.trim().to_owned()
    } else {
        token
    };
    let client = Client::new(&context.settings, Some(token.clone()))?;
    let account: Account = client.get("/account").await.map_err(|error| refused(error, "API token"))?;
    Ok(Login { user: account.email, token })
}

/// Where the user goes on, and where this program waits.
#[derive(serde::Deserialize)]
struct Begun {
    browser_url: String,
    cli_url: String,
    token: String,
}

/// A token, or why there is none.
#[derive(serde::Deserialize)]
struct Ended {
    access_token: Option<String>,
    error: Option<String>,
}

async fn login_with_browser(context: &Context, browser: Option<&str>) -> anyhow::Result<Login> {
    let settings = &context.settings;
    let asked = json!({"description": "paas login"});
    let begun: Begun = Client::new(settings, None)?.send_json(Method::POST, "/auth", &asked).await?;
    let address = format!("{}{}", settings.base(), begun.browser_url);
    output::note(format_args!("Open this page and log in there:\n  {address}"));
    if settings.desktop || browser.is_some() {
        let opener = browser.unwrap_or(if cfg!(target_os = "macos") { "open" } else { "xdg-open" });
        // Without an opener the address above is all there is to give.
        let _ = std::process::Command::new(opener)
            .arg(&address)
            .stdin(std::process::Stdio::null())
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .spawn();
    }
    let action = Action::start("Waiting for the browser");
    let ended: Ended = Client::new(settings, Some(begun.token))?.wait_for(&begun.cli_url).await?;
    let Some(token) = ended.access_token else {
        let why = ended.error.unwrap_or_else(|| "The server gave no token.".to_owned());
        return Err(Failure::new(why).hint("Nothing was changed.").into());
    };
    action.done();
    login_with_token(context, token).await
}

async fn login_with_password(context: &Context, expires_in: Option<u64>) -> anyhow::Result<Login> {
    let (email, password) = if std::io::stdin().is_terminal() {
        output::note(format_args!("Log in to {}", context.settings.base()));
        let email = inquire::Text::new("E-mail address:").prompt()?;
        let password = inquire::Password::new("Password:").without_confirmation().prompt()?;
        (email, password)
    } else {
        let text = input::text().await?;
        let mut lines = text.lines().map(str::to_owned);
        lines.next().zip(lines.next()).ok_or_else(|| {
            Failure::usage("There is no terminal to ask on.").hint(
                "Use `paas login --token TOKEN`, set PAAS_API_KEY, \
                 or give e-mail address and password as two lines on stdin.",
            )
        })?
    };
    let client = Client::new(&context.settings, None)?;
    let wanted = AuthorizationCreate {
        scope: Some(vec!["global".to_owned()]),
        description: Some("paas login".to_owned()),
        expires_in,
        ..AuthorizationCreate::default()
    };
    let made: Authorization = client
        .post_as(email.trim(), &password, "/oauth/authorizations", &wanted)
        .await
        .map_err(|error| refused(error, "e-mail address with this password"))?;
    let token = made.access_token.context("The server answered no token")?.token;
    let user = made.user.map_or_else(|| email.trim().to_owned(), |user| user.email);
    Ok(Login { user, token })
}

async fn logout(context: &Context) -> anyhow::Result<()> {
    let settings = &context.settings;
    let machine = settings.machine();
    let kept = match &settings.netrc {
        Some(file) => credentials::load(file, &machine)?,
        None => None,
    };
    let action = Action::start(format!("Logging out of {}", settings.base()));
    match kept {
        Some(login) => {
            let client = Client::new(settings, Some(login.token))?;
            // A token that is no longer good, or a server that is gone, must not keep one logged in.
            let revoked = client.delete("/oauth/sessions/~").await;
            if let Some(file) = &settings.netrc {
                credentials::remove(file, &machine)?;
            }
            match revoked {
                Err(error) if status_of(&error) != Some(StatusCode::UNAUTHORIZED) => {
                    action.end("forgotten here, but not revoked");
                    output::complain(&format!(
                        "{error}\nWhoever has the token can still use it. Once the server answers, log in and end it \
                         with `paas authorizations` and `paas authorizations:revoke ID`."
                    ));
                }
                _ => action.done(),
            }
        }
        None => action.end("you were not logged in"),
    }
    if settings.api_key.is_some() {
        output::complain("PAAS_API_KEY is still set and still works.");
    }
    Ok(())
}
