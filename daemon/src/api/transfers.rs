//! `/account/app-transfers`: apps offered from one account to another.

use axum::{Json, extract::State, http::HeaderMap};
use paas_wire as wire;
use wire::TransferState;

use super::{
    endpoints::{Created, Endpoints, Page},
    error::{ApiError, ApiResult},
    extract::{Auth, Body, Path},
    list::list,
    view,
};
use crate::ops::{
    self, Platform,
    apps::Permission,
    transfers::{self, Shown},
};

pub(super) fn routes() -> Endpoints {
    Endpoints::new()
        .get("/account/app-transfers", index)
        .post("/account/app-transfers", create)
        .get("/account/app-transfers/{transfer}", info)
        .patch("/account/app-transfers/{transfer}", update)
        .delete("/account/app-transfers/{transfer}", cancel)
}

fn show(shown: &Shown) -> wire::AppTransfer {
    wire::AppTransfer {
        app: view::app_ref(&shown.app),
        created_at: shown.row.created_at,
        id: shown.row.id,
        owner: view::user_ref(&shown.owner),
        recipient: view::user_ref(&shown.recipient),
        state: match shown.row.state.as_str() {
            "accepted" => TransferState::Accepted,
            "declined" => TransferState::Declined,
            _ => TransferState::Pending,
        },
        updated_at: shown.row.updated_at,
    }
}

async fn index(State(p): State<Platform>, Auth(actor): Auth, headers: HeaderMap) -> ApiResult<Page<wire::AppTransfer>> {
    let mut items: Vec<_> = transfers::list(&p, &actor).await?.iter().map(show).collect();
    items.sort_by_key(|item| item.id);
    Ok(list(&headers, "id", items, |item: &wire::AppTransfer| item.id.to_string()))
}

async fn create(
    State(p): State<Platform>,
    Auth(actor): Auth,
    Body(body): Body<wire::AppTransferCreate>,
) -> ApiResult<Created<wire::AppTransfer>> {
    let app = ops::apps::find_for(&p, &actor, body.app.as_str(), Permission::Manage).await?;
    Ok(Created(show(&transfers::create(&p, &actor, &app, body.recipient.as_str()).await?)))
}

async fn info(
    State(p): State<Platform>,
    Auth(actor): Auth,
    Path(transfer): Path<String>,
) -> ApiResult<Json<wire::AppTransfer>> {
    Ok(Json(show(&transfers::find(&p, &actor, &transfer).await?)))
}

async fn update(
    State(p): State<Platform>,
    Auth(actor): Auth,
    Path(transfer): Path<String>,
    Body(body): Body<wire::AppTransferUpdate>,
) -> ApiResult<Json<wire::AppTransfer>> {
    let accept = match body.state {
        TransferState::Accepted => true,
        TransferState::Declined => false,
        TransferState::Pending => return Err(ApiError::invalid("state: a transfer can be accepted or declined.")),
    };
    let found = transfers::find(&p, &actor, &transfer).await?;
    Ok(Json(show(&transfers::answer(&p, &actor, &found, accept).await?)))
}

async fn cancel(
    State(p): State<Platform>,
    Auth(actor): Auth,
    Path(transfer): Path<String>,
) -> ApiResult<Json<wire::AppTransfer>> {
    let found = transfers::find(&p, &actor, &transfer).await?;
    Ok(Json(show(&transfers::cancel(&p, &actor, &found).await?)))
}
