//! The commands, one noun a file. Each file has an enum of its commands with their options,
//! and a function for each that asks the API and writes what came of it.

pub(crate) mod access;
pub(crate) mod account;
pub(crate) mod addons;
pub(crate) mod apps;
pub(crate) mod authorizations;
pub(crate) mod buildpacks;
pub(crate) mod builds;
pub(crate) mod ci_config;
pub(crate) mod config;
pub(crate) mod domains;
pub(crate) mod drains;
pub(crate) mod dynos;
pub(crate) mod git;
pub(crate) mod heroku;
pub(crate) mod local;
pub(crate) mod logs;
pub(crate) mod maintenance;
pub(crate) mod members;
pub(crate) mod pipelines;
pub(crate) mod redis;
pub(crate) mod regions;
pub(crate) mod releases;
pub(crate) mod run;
pub(crate) mod scale;
pub(crate) mod stack;
pub(crate) mod teams;
pub(crate) mod telemetry;
pub(crate) mod transfers;
