//! Switches of apps and of the account: `features` and `labs`, each with `:info`, `:enable`,
//! `:disable`.

use clap::Subcommand;
use paas_wire::{Account, Feature, FeatureUpdate};
use reqwest::{Method, StatusCode};

use crate::app::AppArgs;
use crate::client::{Client, app_path, segment, status_of};
use crate::context::Context;
use crate::failure::Failure;
use crate::output;
use crate::progress::Action;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List the features of an app
    #[command(name = "features")]
    Features {
        #[command(flatten)]
        app: AppArgs,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Show a feature of an app
    #[command(name = "features:info")]
    FeaturesInfo {
        /// Its name
        #[arg(value_name = "FEATURE")]
        feature: String,
        #[command(flatten)]
        app: AppArgs,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Switch a feature of an app on
    #[command(name = "features:enable")]
    FeaturesEnable {
        /// Its name
        #[arg(value_name = "FEATURE")]
        feature: String,
        #[command(flatten)]
        app: AppArgs,
    },
    /// Switch a feature of an app off
    #[command(name = "features:disable")]
    FeaturesDisable {
        /// Its name
        #[arg(value_name = "FEATURE")]
        feature: String,
        #[command(flatten)]
        app: AppArgs,
    },
    /// List the features that can be tried, of your account and of an app
    #[command(name = "labs")]
    Labs {
        #[command(flatten)]
        app: AppArgs,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Show a feature of your account or of an app
    #[command(name = "labs:info")]
    LabsInfo {
        /// Its name
        #[arg(value_name = "FEATURE")]
        feature: String,
        #[command(flatten)]
        app: AppArgs,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Switch a feature of your account or of an app on
    #[command(name = "labs:enable")]
    LabsEnable {
        /// Its name
        #[arg(value_name = "FEATURE")]
        feature: String,
        #[command(flatten)]
        app: AppArgs,
    },
    /// Switch a feature of your account or of an app off
    #[command(name = "labs:disable")]
    LabsDisable {
        /// Its name
        #[arg(value_name = "FEATURE")]
        feature: String,
        #[command(flatten)]
        app: AppArgs,
    },
}

/// A feature where it is: of an app, or of the account.
struct Found {
    feature: Feature,
    path: String,
    of: String,
}

impl Command {
    pub(crate) async fn run(self, context: &Context) -> anyhow::Result<()> {
        match self {
            Self::Features { app, json } => {
                let (app, client) = context.app(&app)?;
                let mut features: Vec<Feature> = client.list(&app_path(&app, "/features")).await?;
                features.retain(|feature| feature.state == "general");
                if json {
                    return output::json(&features);
                }
                output::heading(format_args!("App features of {}", output::app(&app)));
                table(features);
                Ok(())
            }
            Self::FeaturesInfo { feature, app, json } => {
                let (app, client) = context.app(&app)?;
                info(&of_app(client, &app, &feature).await?.feature, json)
            }
            Self::FeaturesEnable { feature, app } => {
                let (app, client) = context.app(&app)?;
                switch(client, of_app(client, &app, &feature).await?, true).await
            }
            Self::FeaturesDisable { feature, app } => {
                let (app, client) = context.app(&app)?;
                switch(client, of_app(client, &app, &feature).await?, false).await
            }
            Self::Labs { app, json } => labs(context, &app, json).await,
            Self::LabsInfo { feature, app, json } => info(&find(context, &app, &feature).await?.feature, json),
            Self::LabsEnable { feature, app } => {
                switch(context.client()?, find(context, &app, &feature).await?, true).await
            }
            Self::LabsDisable { feature, app } => {
                switch(context.client()?, find(context, &app, &feature).await?, false).await
            }
        }
    }
}

async fn of_app(client: &Client, app: &str, name: &str) -> anyhow::Result<Found> {
    let path = app_path(app, &format!("/features/{}", segment(name)));
    let feature: Feature = client.get(&path).await?;
    Ok(Found { feature, path, of: output::app(app) })
}

/// A feature of the account, else of the app.
async fn find(context: &Context, app: &AppArgs, name: &str) -> anyhow::Result<Found> {
    let client = context.client()?;
    let path = format!("/account/features/{}", segment(name));
    match client.get::<Feature>(&path).await {
        Ok(feature) => {
            let account: Account = client.get("/account").await?;
            Ok(Found { feature, path, of: account.email })
        }
        Err(error) if status_of(&error) == Some(StatusCode::NOT_FOUND) => {
            let app = app.name(&context.settings).map_err(|_| {
                Failure::new(format!("Your account has no feature {name}."))
                    .hint("If it is an app's, name the app with --app. `paas labs` lists what there is.")
            })?;
            of_app(client, &app, name).await
        }
        Err(error) => Err(error),
    }
}

async fn switch(client: &Client, found: Found, enabled: bool) -> anyhow::Result<()> {
    let Found { feature, path, of } = found;
    let (word, done) = if enabled { ("Enabling", "enabled") } else { ("Disabling", "disabled") };
    let action = Action::start(format!("{word} {} for {of}", feature.name));
    if feature.enabled == enabled {
        action.end(format_args!("it is {done} already"));
        return Ok(());
    }
    let _: Feature = client.send_json(Method::PATCH, &path, &FeatureUpdate { enabled }).await?;
    action.done();
    Ok(())
}

fn info(feature: &Feature, json: bool) -> anyhow::Result<()> {
    if json {
        return output::json(feature);
    }
    output::heading(&feature.name);
    output::fields(&[
        ("Description", feature.description.clone()),
        ("Enabled", feature.enabled.to_string()),
        ("Docs", feature.doc_url.clone()),
    ]);
    Ok(())
}

fn table(features: Vec<Feature>) {
    let rows = features.into_iter().map(|feature| {
        let mark = if feature.enabled { "[+]" } else { "[ ]" };
        vec![mark.to_owned(), feature.name, feature.description]
    });
    output::table(&[], rows.collect());
}

async fn labs(context: &Context, app: &AppArgs, json: bool) -> anyhow::Result<()> {
    let client = context.client()?;
    let app = app.name(&context.settings).ok();
    let mut user: Vec<Feature> = client.list("/account/features").await?;
    user.retain(|feature| feature.state != "general");
    let of_app = match &app {
        Some(app) => {
            let mut features: Vec<Feature> = client.list(&app_path(app, "/features")).await?;
            features.retain(|feature| feature.state != "general");
            Some(features)
        }
        None => None,
    };
    if json {
        return output::json(&serde_json::json!({"app": of_app, "user": user}));
    }
    let account: Account = client.get("/account").await?;
    output::heading(format_args!("User features of {}", account.email));
    table(user);
    if let (Some(app), Some(features)) = (app, of_app) {
        output::line("");
        output::heading(format_args!("App features of {}", output::app(&app)));
        table(features);
    }
    Ok(())
}
