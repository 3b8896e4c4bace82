//! Bytes that clients upload, as long as there is room for them.

use axum::{body::Body, http::StatusCode};
use bytes::Bytes;
use futures_util::{Stream, StreamExt as _};

use super::error::{ApiError, ApiResult};
use crate::{
    error::Error,
    ops::{Platform, disk},
};

/// After so many bytes the disk is looked at again.
const LOOK_EVERY: u64 = 16 << 20;

/// The pieces of an upload of a `what`, `largest` bytes at most; an error is the answer to it.
pub(super) fn pieces(
    p: &Platform,
    what: &'static str,
    largest: u64,
    body: Body,
) -> impl Stream<Item = ApiResult<Bytes>> + Send + use<> {
    let cx = p.cx.clone();
    let (mut size, mut looked) = (0, None);
    body.into_data_stream().map(move |piece| {
        let piece =
            piece.map_err(|_| ApiError::bad_request(format!("The upload broke off; send the {what} again.")))?;
        size += piece.len() as u64;
        if size > largest {
            let text = format!("The {what} is over {} GB; leave out what the app does not need.", largest >> 30);
            return Err(ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, "request_too_large", text));
        }
        if looked.is_none_or(|at| size - at >= LOOK_EVERY) {
            looked = Some(size);
            disk::enough(&cx).map_err(|scarce| Error::Unavailable(format!("The {what} can't be taken: {scarce}.")))?;
        }
        Ok(piece)
    })
}
