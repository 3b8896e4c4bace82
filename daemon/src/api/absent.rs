//! What Heroku has and a server of one's own has not: private spaces with their networks,
//! enterprise accounts, bills. Lists are empty, since clients look into them; single things are
//! not found, in Heroku's words; what would make one is refused with the reason.

use axum::{Json, http::HeaderMap};
use serde_json::Value;

use super::{
    endpoints::{Endpoints, Page},
    error::{ApiError, ApiResult},
    extract::{Auth, Path},
    list::list,
};
use crate::error::Error;

pub(super) fn routes() -> Endpoints {
    Endpoints::new()
        .get("/spaces", spaces)
        .post("/spaces", make_space)
        .get("/spaces/{space}", get_space)
        .patch("/spaces/{space}", patch_space)
        .delete("/spaces/{space}", delete_space)
        .get("/spaces/{space}/{*part}", get_space_part)
        .post("/spaces/{space}/{*part}", post_space_part)
        .put("/spaces/{space}/{*part}", put_space_part)
        .patch("/spaces/{space}/{*part}", patch_space_part)
        .delete("/spaces/{space}/{*part}", delete_space_part)
        .get("/enterprise-accounts", enterprises)
        .get("/enterprise-accounts/{enterprise}", get_enterprise)
        .patch("/enterprise-accounts/{enterprise}", patch_enterprise)
        .get("/enterprise-accounts/{enterprise}/{*part}", get_enterprise_part)
        .post("/enterprise-accounts/{enterprise}/{*part}", post_enterprise_part)
        .patch("/enterprise-accounts/{enterprise}/{*part}", patch_enterprise_part)
        .delete("/enterprise-accounts/{enterprise}/{*part}", delete_enterprise_part)
        .get("/account/invoices", invoices)
        .get("/account/invoices/{invoice}", invoice)
        .get("/account/invoice-address", invoice_address)
        .put("/account/invoice-address", set_invoice_address)
        .get("/account/credits", credits)
        .post("/account/credits", add_credit)
        .get("/account/credits/{credit}", credit)
}

/// Handlers that find nothing.
macro_rules! none {
    ($resource:literal: $($name:ident($($part:ident),+)),+ $(,)?) => {
        $(async fn $name(Auth(_): Auth, Path(parts): Path<none!(@ $($part),+)>) -> ApiResult<Json<Value>> {
            let ($($part,)+) = parts;
            Err(Error::not_found($resource, [$($part),+].join("/")).into())
        })+
    };
    (@ $a:ident) => { (String,) };
    (@ $a:ident, $b:ident) => { (String, String) };
}

/// Handlers of lists that are empty.
macro_rules! empty {
    ($($name:ident),+) => {
        $(async fn $name(Auth(_): Auth, headers: HeaderMap) -> Page<Value> {
            list(&headers, "id", Vec::new(), |_: &Value| String::new())
        })+
    };
}

/// Handlers that refuse, with the reason.
macro_rules! refused {
    ($($name:ident: $why:literal),+ $(,)?) => {
        $(async fn $name(Auth(_): Auth) -> ApiResult<Json<Value>> {
            Err(ApiError::invalid($why))
        })+
    };
}

empty!(spaces, enterprises, invoices, credits);

none!("space":
    get_space(space), patch_space(space), delete_space(space),
    get_space_part(space, part), post_space_part(space, part), put_space_part(space, part),
    patch_space_part(space, part), delete_space_part(space, part),
);

none!("enterprise_account":
    get_enterprise(enterprise), patch_enterprise(enterprise),
    get_enterprise_part(enterprise, part), post_enterprise_part(enterprise, part),
    patch_enterprise_part(enterprise, part), delete_enterprise_part(enterprise, part),
);

none!("invoice": invoice(invoice));
none!("credit": credit(credit));

async fn invoice_address(Auth(_): Auth) -> ApiResult<Json<Value>> {
    Err(Error::not_found("invoice address", "").into())
}

refused! {
    make_space: "Private spaces are not available here: every app has a network of its own already.",
    set_invoice_address: "There are no invoices here, so no address for them.",
    add_credit: "There are no bills here, so no credits.",
}
