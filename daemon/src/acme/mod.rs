//! The client of certificate authorities (ACME, RFC 8555): what is said to them, and what is
//! tried before.
//!
//! [`Authority`] is one of them, spoken to in the name of an [`Account`]; it knows nothing of apps.
//! [`reach`] tries whether a name leads to this server, [`dns`] asks where it leads at all, and
//! [`hook`] has a program of the administrator's write DNS records. What is done when, and what is
//! kept of it, is told in `tasks/acm`.

pub mod dns;
mod error;
pub mod hook;
mod http;
mod jws;
mod keys;
mod objects;
pub mod reach;

pub use error::{AcmeError, RetryAfter};
pub use http::{Account, Authority, Binding};
pub use jws::AccountKey;
pub use keys::{CertificateKey, dns_value, renewal_id, tls_answer};
pub use objects::{Authorization, Challenge, Order, Problem, RenewalInfo, Window};
