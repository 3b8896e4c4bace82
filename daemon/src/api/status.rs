//! `/api/v4/current-status`: what `heroku status` asks, without credentials.

use axum::{Json, extract::State};
use paas_wire::status::{CurrentStatus, Incident, IncidentUpdate, SystemStatus};

use super::endpoints::Endpoints;
use crate::ops::{
    Platform,
    status::{self, Problem, Severity, System},
};

pub(super) fn routes() -> Endpoints {
    Endpoints::new().get("/api/v4/current-status", current)
}

async fn current(State(p): State<Platform>) -> Json<CurrentStatus> {
    let problems = status::problems(&p).await;
    let color = |system: System| match problems.iter().filter(|it| it.system == system).map(|it| it.severity).max() {
        None => "green",
        Some(Severity::Yellow) => "yellow",
        Some(Severity::Red) => "red",
    };
    let systems = [(System::Apps, "Apps"), (System::Data, "Data"), (System::Tools, "Tools")];
    let mut incidents: Vec<Incident> = Vec::new();
    for problem in &problems {
        if incidents.iter().any(|incident| incident.title == problem.title) {
            continue;
        }
        let id = incidents.len() as u64 + 1;
        incidents.push(incident(&p, id, problem));
    }
    Json(CurrentStatus {
        incidents,
        scheduled: Vec::new(),
        status: systems.map(|(system, name)| SystemStatus { status: color(system).into(), system: name.into() }).into(),
    })
}

fn incident(p: &Platform, id: u64, problem: &Problem) -> Incident {
    Incident {
        created_at: problem.since,
        full_url: format!("{}/api/v4/current-status", p.cx.config().api_url()),
        id,
        state: "open".into(),
        title: problem.title.into(),
        updates: vec![IncidentUpdate {
            contents: problem.text.into(),
            created_at: problem.since,
            update_type: "issue".into(),
            updated_at: problem.since,
        }],
    }
}
