//! `/pipeline-promotions`: what an app runs is released on other apps of its pipeline.

use axum::{Json, extract::State, http::HeaderMap};
use paas_wire as wire;
use uuid::Uuid;
use wire::{IdRef, PipelinePromotion, PromotionStatus, PromotionTarget, TargetStatus};

use super::{
    endpoints::{Created, Endpoints, Page},
    error::ApiResult,
    extract::{Auth, Body, Path},
    list::list,
};
use crate::{
    ops::{Platform, pipelines::promotions},
    store::promotions::{Promotion, Target},
};

pub(super) fn routes() -> Endpoints {
    Endpoints::new()
        .post("/pipeline-promotions", create)
        .get("/pipeline-promotions/{promotion}", info)
        .get("/pipeline-promotions/{promotion}/promotion-targets", targets)
}

fn show(row: &Promotion) -> PipelinePromotion {
    PipelinePromotion {
        created_at: row.created_at,
        id: row.id,
        pipeline: IdRef { id: row.pipeline_id },
        source: wire::PromotionSource {
            app: IdRef { id: row.source_app_id },
            release: IdRef { id: row.source_release_id },
        },
        status: if row.status == "pending" { PromotionStatus::Pending } else { PromotionStatus::Completed },
        updated_at: row.updated_at,
    }
}

fn show_target(row: &Target) -> PromotionTarget {
    PromotionTarget {
        app: IdRef { id: row.app_id },
        error_message: row.error_message.clone(),
        id: row.id,
        pipeline_promotion: IdRef { id: row.promotion_id },
        release: row.release_id.map(|id| IdRef { id }),
        status: match row.status.as_str() {
            "pending" => TargetStatus::Pending,
            "succeeded" => TargetStatus::Succeeded,
            _ => TargetStatus::Failed,
        },
    }
}

async fn create(
    State(p): State<Platform>,
    Auth(actor): Auth,
    Body(body): Body<wire::PipelinePromotionCreate>,
) -> ApiResult<Created<PipelinePromotion>> {
    let source = (body.source.app.id, body.source.release.map(|release| release.id));
    let to: Vec<Uuid> = body.targets.iter().map(|target| target.app.id).collect();
    Ok(Created(show(&promotions::create(&p, &actor, body.pipeline.id, source, &to).await?)))
}

async fn info(
    State(p): State<Platform>,
    Auth(actor): Auth,
    Path(id): Path<String>,
) -> ApiResult<Json<PipelinePromotion>> {
    Ok(Json(show(&promotions::find_one(&p, &actor, &id).await?)))
}

async fn targets(
    State(p): State<Platform>,
    Auth(actor): Auth,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> ApiResult<Page<PromotionTarget>> {
    let promotion = promotions::find_one(&p, &actor, &id).await?;
    let items = promotions::targets(&p, &promotion).await?.iter().map(show_target).collect();
    Ok(list(&headers, "id", items, |item: &PromotionTarget| item.id.to_string()))
}
